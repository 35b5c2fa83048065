"""Initial weights as in the reference: Xavier-uniform matrices, biases of zero, small heads.

Glorot and Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks", eq. 16.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from arnold.policy.linear import Linear

xavier_uniform = nnx.initializers.xavier_uniform()


def linear(inputs: int, outputs: int, rngs: nnx.Rngs) -> Linear:
    """A linear layer with Xavier-uniform weights and zero biases."""
    return Linear(inputs, outputs, xavier_uniform, nnx.initializers.zeros_init(), rngs)


def head(inputs: int, rngs: nnx.Rngs) -> Linear:
    """A linear read-out of one number, uniform in +-1/sqrt(inputs) (PyTorch's default for a linear layer)."""
    bound = inputs**-0.5

    def uniform(key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return Linear(inputs, 1, uniform, uniform, rngs)
