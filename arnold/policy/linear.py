"""A linear layer whose weight gradient is quick on a CPU.

XLA derives the weight gradient of ``x @ w`` as a product with a transposed copy of the large operand; written out as a
sum over rows of both operands it needs no copy. The value and the gradients are the same.
"""

from __future__ import annotations

import jax
import numpy as np
from flax import nnx


class Linear(nnx.Module):
    """x @ kernel + bias over the last axis.

    Args:
        kernel: initial weights (inputs, outputs).
        bias: initial biases (outputs,).
    """

    def __init__(self, kernel: np.ndarray, bias: np.ndarray):
        self.kernel, self.bias = nnx.Param(kernel), nnx.Param(bias)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Features (..., inputs) in, (..., outputs) out."""
        return affine(x, self.kernel[...], self.bias[...])


def affine(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """x @ kernel + bias for x (..., I), kernel (I, O) and bias (O,)."""
    rows = product(x.reshape(-1, x.shape[-1]), kernel) + bias.reshape(1, -1)
    return rows.reshape(*x.shape[:-1], -1)


@jax.custom_vjp
def product(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """x (R, I) times kernel (I, O)."""
    return x @ kernel


def _forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return x @ kernel, (x, kernel)


def _backward(saved: tuple[jax.Array, jax.Array], grad: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = saved
    # The barrier keeps the small transposition apart from the product, which is quicker on an operand that lies as it
    # is read.
    return grad @ jax.lax.optimization_barrier(kernel.T), _sum_over_rows(x, grad)


def _sum_over_rows(a: jax.Array, b: jax.Array) -> jax.Array:
    """a^T b for a (R, I) and b (R, O), as a product whose narrower operand comes first: XLA's other order takes twice
    as long.

    The barrier keeps XLA from turning the transposed product back into the slow one.
    """
    over_rows = (((0,), (0,)), ((), ()))
    if a.shape[1] <= b.shape[1]:
        return jax.lax.dot_general(a, b, over_rows)
    return jax.lax.optimization_barrier(jax.lax.dot_general(b, a, over_rows)).T


product.defvjp(_forward, _backward)
