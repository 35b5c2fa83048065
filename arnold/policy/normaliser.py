"""Running mean and variance of every observation signature and history lag.

Statistics are kept per *signature* (a token's set of words), not per position: the index finger's joint angle has one
mean on every body and task that shows it, and statistics follow the words when a vocabulary grows. They are plain
arrays in a pytree, are merged in any order, are saved with the policy and stand still during evaluation.

The update is the parallel form of Welford's algorithm (Chan, Golub and LeVeque 1983, "Algorithms for computing the
sample variance", eq. 1.5): a batch is first reduced to its own count, mean and sum of squared deviations, which is then
merged. Nothing is ever subtracted from a large sum of squares, so float32 suffices.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

INITIAL_COUNT = 1e-4
"""The weight of the initial guess (mean 0, variance 1), in samples: the first batch replaces it."""

COUNT_LIMIT = 2.0**22
"""Where the count stops. Float32 could not add a few samples to a count much larger than this, and the variance would
drift. At the limit older samples fade instead: the statistics are those of about the last four million samples."""

VARIANCE_EPSILON = 1e-8
CLIP = 10.0

MIN_STD = 1e-3
"""The least standard deviation that a value is divided by, in the value's own unit (m, rad, rad/s, N, 1). A token that
stood still while statistics were gathered would otherwise turn a deviation of a tenth of a millimetre into ten
sigmas."""

MIN_RELATIVE_STD = 1e-4
"""The same floor relative to the size of the mean, for values that are large and nearly constant."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ObservationStatistics:
    """Mean and spread of S signatures at H history lags, newest last."""

    count: jax.Array  # (S,) float32, samples seen
    mean: jax.Array  # (S, H) float32, in the token's own unit
    m2: jax.Array  # (S, H) float32, sum of squared deviations from the mean

    @property
    def lags(self) -> int:
        """H, the number of history lags."""
        return self.mean.shape[-1]


def init(signatures: int, lags: int) -> ObservationStatistics:
    """Statistics of nothing yet: mean 0 and variance 1, forgotten at the first sample.

    Args:
        signatures: S, the number of signatures.
        lags: H, the number of history lags.
    """
    return ObservationStatistics(
        count=jnp.full((signatures,), INITIAL_COUNT, jnp.float32),
        mean=jnp.zeros((signatures, lags), jnp.float32),
        m2=jnp.full((signatures, lags), INITIAL_COUNT, jnp.float32),
    )


def update(stats: ObservationStatistics, signature_ids: jax.Array, values: jax.Array) -> ObservationStatistics:
    """The statistics with one more batch of observations; tokens of one signature are pooled over tasks.

    Args:
        stats: (S, H).
        signature_ids: int32 (N, K), each token's row in ``stats``.
        values: float32 (N, B, K, H' >= H), raw; the newest H lags are used.
    """
    merged = merge(stats, batch_statistics(signature_ids, values, len(stats.count), stats.lags))
    kept = jnp.minimum(1.0, COUNT_LIMIT / merged.count)
    return dataclasses.replace(merged, count=merged.count * kept, m2=merged.m2 * kept[:, None])


def batch_statistics(signature_ids: jax.Array, values: jax.Array, signatures: int, lags: int) -> ObservationStatistics:
    """The statistics of one batch alone; a signature that does not occur has count 0.

    Args:
        signature_ids: int32 (N, K).
        values: float32 (N, B, K, H' >= lags).
        signatures: S.
        lags: H.
    """
    values = newest_lags(values, lags)
    rows = signature_ids.reshape(-1)
    per_token = values.shape[1]
    token_mean = values.mean(axis=1)  # (N, K, H)
    token_m2 = jnp.square(values - token_mean[:, None]).sum(axis=1).reshape(-1, lags)
    token_mean = token_mean.reshape(-1, lags)

    def pooled(x: jax.Array) -> jax.Array:
        return jax.ops.segment_sum(x, rows, num_segments=signatures)

    tokens = pooled(jnp.ones(rows.shape, jnp.float32))
    mean = pooled(token_mean) / jnp.maximum(tokens, 1.0)[:, None]
    between = jnp.square(token_mean - mean[rows]) * per_token
    return ObservationStatistics(count=tokens * per_token, mean=mean, m2=pooled(token_m2 + between))


def merge(a: ObservationStatistics, b: ObservationStatistics) -> ObservationStatistics:
    """The statistics of both sets of samples together; the order does not matter (Chan et al. 1983, eq. 1.5)."""
    count = a.count + b.count
    share = (b.count / jnp.maximum(count, jnp.finfo(jnp.float32).tiny))[:, None]
    delta = b.mean - a.mean
    return ObservationStatistics(
        count=count,
        mean=a.mean + delta * share,
        m2=a.m2 + b.m2 + jnp.square(delta) * a.count[:, None] * share,
    )


def standard_deviation(stats: ObservationStatistics) -> jax.Array:
    """What values are divided by, float32 (S, H): sqrt(variance + 1e-8), but never below the floors above."""
    variance = stats.m2 / jnp.maximum(stats.count, INITIAL_COUNT)[:, None]
    floor = jnp.maximum(MIN_STD, MIN_RELATIVE_STD * jnp.abs(stats.mean))
    return jnp.maximum(jnp.sqrt(variance + VARIANCE_EPSILON), floor)


def normalise(stats: ObservationStatistics, signature_ids: jax.Array, values: jax.Array) -> jax.Array:
    """Values in standard deviations from the mean, clipped to +-10.

    Args:
        stats: (S, H), not changed.
        signature_ids: int32 (N, K).
        values: float32 (N, B, K, H' >= H), raw; the newest H lags are used.

    Returns:
        float32 (N, B, K, H).
    """
    values = newest_lags(values, stats.lags)
    mean = stats.mean[signature_ids][:, None]
    scale = (1.0 / standard_deviation(stats))[signature_ids][:, None]
    return jnp.clip((values - mean) * scale, -CLIP, CLIP)


def newest_lags(values: jax.Array, lags: int) -> jax.Array:
    """The newest ``lags`` columns of values (..., H), which are newest last.

    Raises:
        ValueError: fewer lags than asked for.
    """
    if values.shape[-1] < lags:
        raise ValueError(f"observations have {values.shape[-1]} history lags; the policy reads {lags}")
    return values[..., values.shape[-1] - lags :]


def remap(
    stats: ObservationStatistics, old_signatures: Sequence[tuple[str, ...]], new_signatures: Sequence[tuple[str, ...]]
) -> ObservationStatistics:
    """The same statistics under another list of signatures: known ones keep theirs, new ones start afresh.

    Args:
        stats: (S, H), rows named by ``old_signatures``.
        old_signatures: S signatures.
        new_signatures: S' signatures, in any order.
    """
    row_of = {signature: row for row, signature in enumerate(old_signatures)}
    source = np.array([row_of.get(signature, -1) for signature in new_signatures], dtype=np.int32)
    known = jnp.asarray(source >= 0)
    rows = jnp.asarray(np.maximum(source, 0))
    fresh = init(len(source), stats.lags)
    if not row_of:
        return fresh
    return ObservationStatistics(
        count=jnp.where(known, stats.count[rows], fresh.count),
        mean=jnp.where(known[:, None], stats.mean[rows], fresh.mean),
        m2=jnp.where(known[:, None], stats.m2[rows], fresh.m2),
    )
