"""From raw-valued tokens to vectors: what a token says (its values over the lags) plus what it is (the sum of its
words).

Two granularities over the same observations. *Scalar*, the reference's: one vector per scalar, one shared linear map of
its H lags. *Entity*: one vector per joint, muscle or site; each of its quantities has a linear map of its own and the
results are added, so a muscle's length, velocity, force and activation are one vector instead of four. Entities are a
static gather from the same values, so that environments do not know which granularity reads them.

Word sums depend on the task, never on the row: they are computed once per call.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from arnold.policy.initialise import linear, xavier_uniform


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class GroupIds:
    """The entities of N tasks that have C quantities each, as index arrays; E entities per task."""

    words: jax.Array  # (N, E, W) int32, ids of the entities' words, padded with 0
    index: jax.Array  # (N, E, C) int32, where each quantity's scalar lies among the K observation tokens
    quantities: jax.Array  # (N, C) int32, each quantity's row in the table of linear maps


class WordEmbeddings(nnx.Module):
    """One vector per word of the vocabulary; row 0 (``<pad>``) is zero and stays so.

    Args:
        words: V, the size of the vocabulary, padding included.
        width: D.
    """

    def __init__(self, words: int, width: int, rngs: nnx.Rngs):
        self.table = nnx.Param(xavier_uniform(rngs.params(), (words, width), jnp.float32).at[0].set(0.0))

    def sums(self, word_ids: jax.Array) -> jax.Array:
        """The sum of the words' vectors, (..., D), for ids (..., W); padding counts nothing and gets no gradient."""
        return masked_sum(self.table[...], word_ids)


def masked_sum(table: jax.Array, word_ids: jax.Array) -> jax.Array:
    """Sum over the last axis of ``word_ids`` (..., W) of the rows of ``table`` (V, D), id 0 left out; (..., D)."""
    rows = table[word_ids]
    return jnp.where((word_ids > 0)[..., None], rows, 0.0).sum(axis=-2)


class ScalarTokeniser(nnx.Module):
    """One shared linear map H -> D for every token."""

    def __init__(self, lags: int, width: int, rngs: nnx.Rngs):
        self.projection = linear(lags, width, rngs)

    def __call__(self, values: jax.Array, words: jax.Array) -> jax.Array:
        """Normalised values (N, B, K, H) and word sums (N, K, D) in, tokens (N, B, K, D) out."""
        return self.projection(values) + words[:, None]


class EntityTokeniser(nnx.Module):
    """One linear map H -> D per quantity, added up over the quantities of an entity.

    Args:
        quantities: Q, how many quantities the policy knows.
        lags: H.
        width: D.
    """

    def __init__(self, quantities: int, lags: int, width: int, rngs: nnx.Rngs):
        # fan-in is the H lags of one quantity: batch_axis keeps the Q maps apart.
        initialise = nnx.initializers.variance_scaling(1.0, "fan_avg", "uniform", batch_axis=0)
        self.maps = nnx.Param(initialise(rngs.params(), (quantities, lags, width), jnp.float32))
        self.bias = nnx.Param(jnp.zeros((width,), jnp.float32))

    def __call__(self, values: jax.Array, groups: tuple[tuple[GroupIds, jax.Array], ...]) -> jax.Array:
        """Tokens (N, B, sum of E, D) of normalised values (N, B, K, H).

        Args:
            values: normalised.
            groups: each group's ids and word sums (N, E, D).
        """
        return jnp.concatenate([self._group(values, ids, words) for ids, words in groups], axis=2)

    def _group(self, values: jax.Array, ids: GroupIds, words: jax.Array) -> jax.Array:
        """The tokens (N, B, E, D) of one group."""
        tasks, rows, _, lags = values.shape
        entities, channels = ids.index.shape[1:]
        gathered = jax.vmap(lambda of_task, index: of_task[:, index])(values, ids.index)  # (N, B, E, C, H)
        gathered = gathered.reshape(tasks, rows * entities, channels * lags)
        maps = self.maps[...][ids.quantities].reshape(tasks, channels * lags, -1)
        tokens = jnp.einsum("nri,nid->nrd", gathered, maps).reshape(tasks, rows, entities, -1)
        return tokens + (words + self.bias.reshape(1, 1, -1))[:, None]
