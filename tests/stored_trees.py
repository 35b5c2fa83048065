"""Small trees such as a training stores, for the tests of storage."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

CONFIG = {"kind": "mlp", "words": ["<pad>", "value", "müscle"], "sizes": [64, 64], "rate_hz": 50.0, "recipe": None}


def small_policy(value: float = 1.0) -> dict[str, Any]:
    layers = [{"kernel": jnp.full((3, 4), value), "bias": jnp.zeros((4,))}, {"kernel": jnp.full((4, 2), value)}]
    return {"params": {"layers": layers, "log_std": jnp.full((2,), -0.5)}, "normaliser": {"count": jnp.int32(7)}}


@functools.cache
def small_learner(seed: int = 0) -> dict[str, Any]:
    """Everything that a training state is made of: optimiser state, typed keys, counters, numpy arrays."""
    params = small_policy()["params"]
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3))
    state = optimiser.init(params)
    gradients = jax.tree.map(lambda x: jnp.full_like(x, 0.1 + seed), params)
    with jax.numpy_dtype_promotion("standard"):  # Adam's bias correction raises a float to an integer power
        state = optimiser.update(gradients, state, params)[1]
    return {
        "optimiser": state,
        "key": jax.random.key(seed),
        "keys": jax.random.split(jax.random.key(seed + 1, impl="rbg"), 3),
        "iteration": 5 + seed,
        "host": np.arange(4.0),
        "no_rows": jnp.zeros((0, 3)),
    }
