"""From raw-valued tokens to vectors: what a token says (its values over the lags) and what it is (the sum of its
words).

Two granularities over the same observations. *Scalar*, the reference's: one token per number, one linear map of its H
lags for all. *Entity*: one token per joint, muscle or site; each of its quantities has a linear map of its own and the
results are added, so a muscle's length, velocity, force and activation are one token instead of four. Either is a
static gather from the same values, so that environments do not know which granularity reads them.

The reference adds what a token is to what it says. Attention then averages many tokens whose values all point the same
way, and a network of a few layers takes long to tell them apart. With *word gates* the words also multiply: each token
says its values along a direction of its own (feature-wise modulation, Perez et al. 2018, arXiv:1709.07871), which is a
function of its words and of nothing else.

Words depend on the task, never on the row: whatever is a function of words alone is computed once per call.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from arnold.policy.initialise import Draws

WORD_FREQUENCY = 4.0
"""Initial frequency of the word features: tokens that share most of their words (two muscles of one hand: a cosine of
0.7) start with nearly orthogonal features, and so with directions of their own."""


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

    def __init__(self, words: int, width: int, draws: Draws):
        table = draws.xavier(words, width)
        table[0] = 0.0
        self.table = nnx.Param(table)

    def sums(self, word_ids: jax.Array) -> jax.Array:
        """The sum of the words' vectors, (..., D), for ids (..., W); padding counts nothing and gets no gradient."""
        return masked_sum(self.table[...], word_ids)


def masked_sum(table: jax.Array, word_ids: jax.Array) -> jax.Array:
    """Sum over the last axis of ``word_ids`` (..., W) of the rows of ``table`` (V, D), id 0 left out; (..., D)."""
    rows = table[word_ids]
    return jnp.where((word_ids > 0)[..., None], rows, 0.0).sum(axis=-2)


def to_unit_rms(x: jax.Array) -> jax.Array:
    """x (..., D) scaled to a root mean square of 1 over the last axis."""
    return x * jax.lax.rsqrt(jnp.square(x).mean(axis=-1, keepdims=True) + 1e-6)


class WordFeatures(nnx.Module):
    """A function of word sums that tells apart tokens which share most of their words.

    Sines of random projections and a linear map of them: the random Fourier features of Rahimi and Recht 2007
    ("Random features for large-scale kernel machines"), with trained weights.

    Args:
        width: D.
        scale: root mean square of the results at the start.
    """

    def __init__(self, width: int, scale: float, draws: Draws):
        features = 4 * width
        self.frequencies = nnx.Param(draws.normal((width, features), WORD_FREQUENCY * width**-0.5))
        self.phases = nnx.Param(draws.uniform((features,), np.pi))
        # A sine of random phase has a mean square of a half.
        self.kernel = nnx.Param(draws.normal((features, width), scale * (2.0 / features) ** 0.5))

    def __call__(self, words: jax.Array) -> jax.Array:
        """Word sums (N, E, D) in, (N, E, D) out."""
        angles = to_unit_rms(words) @ self.frequencies[...] + self.phases.reshape(1, 1, -1)
        return jnp.sin(angles) @ self.kernel[...]


class Tokeniser(nnx.Module):
    """One linear map H -> D per quantity, added up over the quantities of a token, and gated by its words.

    Args:
        quantities: Q, how many linear maps there are (one in scalar granularity).
        lags: H.
        width: D.
        word_gates: whether a token's words multiply what it says, feature by feature.
    """

    def __init__(self, quantities: int, lags: int, width: int, word_gates: bool, draws: Draws):
        # Xavier-uniform over the H lags of one quantity; with gates, what a value of variance 1 says has variance 1.
        bound = (3.0 / lags) ** 0.5 if word_gates else (6.0 / (lags + width)) ** 0.5
        self.maps = nnx.Param(draws.uniform((quantities, lags, width), bound))
        if word_gates:
            self.gates = WordFeatures(width, 1.0, draws)
        self.gated = word_gates

    def tokens(self, values: jax.Array, ids: GroupIds, words: jax.Array) -> jax.Array:
        """What each token of a group says, (N, B, E, D), of normalised values (N, B, K, H) and word sums (N, E, D)."""
        gathered = values_of(values, ids)
        tasks, rows, entities, inputs = gathered.shape
        maps = self.maps[...][ids.quantities].reshape(tasks, inputs, -1)
        said = jnp.einsum("nri,nid->nrd", gathered.reshape(tasks, rows * entities, inputs), maps)
        said = said.reshape(tasks, rows, entities, -1)
        return said * self.gates(words)[:, None] if self.gated else said

    def directions(self, ids: GroupIds, words: jax.Array) -> jax.Array:
        """What one unit of each value says, (N, E, C * H, D): ``tokens`` is the sum of values times directions."""
        maps = self.maps[...][ids.quantities]
        maps = maps.reshape(maps.shape[0], 1, -1, maps.shape[-1])
        if not self.gated:
            return jnp.broadcast_to(maps, (*words.shape[:2], *maps.shape[2:]))
        return maps * self.gates(words)[:, :, None]


def values_of(values: jax.Array, ids: GroupIds) -> jax.Array:
    """The values of a group's tokens, (N, B, E, C * H), among all values (N, B, K, H)."""
    gathered = jax.vmap(lambda of_task, index: of_task[:, index])(values, ids.index)  # (N, B, E, C, H)
    return gathered.reshape(*gathered.shape[:3], -1)
