"""Rows of a rollout, shuffled and cut into the updates of one epoch."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from arnold.learning.losses import Rows


def minibatches(rows: Rows, key: jax.Array, count: int) -> Rows:
    """Rows in random order, each in at most one minibatch; a remainder waits for the next shuffle.

    Args:
        rows: of a bucket, (N, R, ...). The N tasks are shuffled alike, so that each has its share of every minibatch.
        key: typed PRNG key.
        count: minibatches, at most R.

    Returns:
        the same rows as (count, N, R // count, ...).
    """
    available = rows.target.shape[1]
    size = available // count
    order = jax.random.permutation(key, available)[: size * count]

    def cut(x: jax.Array) -> jax.Array:
        return jnp.moveaxis(x[:, order].reshape(x.shape[0], count, size, *x.shape[2:]), 1, 0)

    return jax.tree.map(cut, rows)
