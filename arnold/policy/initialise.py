"""Initial weights as in the reference: Xavier-uniform matrices, biases of zero, small heads.

Glorot and Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks", eq. 16.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

xavier_uniform = nnx.initializers.xavier_uniform()


def linear(inputs: int, outputs: int, rngs: nnx.Rngs) -> nnx.Linear:
    """A linear layer with Xavier-uniform weights and zero biases."""
    return nnx.Linear(inputs, outputs, kernel_init=xavier_uniform, rngs=rngs)


def head(inputs: int, rngs: nnx.Rngs) -> nnx.Linear:
    """A linear read-out of one number, uniform in +-1/sqrt(inputs) (PyTorch's default for a linear layer)."""
    bound = inputs**-0.5

    def uniform(key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return nnx.Linear(inputs, 1, kernel_init=uniform, bias_init=uniform, rngs=rngs)
