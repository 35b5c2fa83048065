"""A linear layer whose weight gradient is quick on a CPU.

XLA derives the weight gradient of ``x @ w`` as a product with a transposed copy of the large operand; written out as a sum over rows
of both operands it needs no copy. The value and the gradients are the same.
"""

from __future__ import annotations

import jax
from flax import nnx
from flax.typing import Initializer


class Linear(nnx.Module):
    """x @ kernel + bias over the last axis."""

    def __init__(
        self, inputs: int, outputs: int, kernel_init: Initializer, bias_init: Initializer, rngs: nnx.Rngs
    ):
        self.kernel = nnx.Param(kernel_init(rngs.params(), (inputs, outputs)))
        self.bias = nnx.Param(bias_init(rngs.params(), (outputs,)))

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
    along_outputs, along_rows = (((1,), (1,)), ((), ())), (((0,), (0,)), ((), ()))
    return jax.lax.dot_general(grad, kernel, along_outputs), jax.lax.dot_general(x, grad, along_rows)


product.defvjp(_forward, _backward)
