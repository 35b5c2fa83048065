"""What a layer stores between its forward and its backward pass, and what it computes again.

Left to itself, automatic differentiation keeps every intermediate array of every layer. On a CPU writing them to fresh
memory takes a fifth of a training step, on any machine it bounds the batch. Here a layer names what is dear to compute,
the results of large products; normalisations and the like are computed again from them.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

KEPT = "kept between the passes"


def keep(x: jax.Array) -> jax.Array:
    """x, to be stored for the backward pass where the layer is inside a stack."""
    return checkpoint_name(x, KEPT)


@jax.custom_vjp
def rectify(x: jax.Array) -> jax.Array:
    """max(x, 0), whose backward pass needs only its result, so that x need not be stored."""
    return jnp.maximum(x, 0.0)


def _forward(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    result = keep(jnp.maximum(x, 0.0))
    return result, result


def _backward(result: jax.Array, grad: jax.Array) -> tuple[jax.Array]:
    return (jnp.where(result > 0.0, grad, 0.0),)


rectify.defvjp(_forward, _backward)
