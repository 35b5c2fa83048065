"""Tests on similarities between things, whose null is that the things' names mean nothing.

The pairs of n things are not independent of each other, so that no test which counts them as samples is right; the
things themselves are exchanged instead, rows and columns together (Mantel 1967, Cancer Research 27:209; Clarke 1993,
Australian Journal of Ecology 18:117).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
from scipy.stats import mannwhitneyu, rankdata


@dataclasses.dataclass(frozen=True)
class Separation:
    """Whether some pairs are more alike than others.

    Attributes:
        near: mean similarity of the pairs that ought to be near.
        far: of those that ought to be far.
        superiority: the probability that a near pair is more alike than a far one; 0.5 says nothing, 1 all of them.
        p: one-sided, of a difference at least as large when names are exchanged.
    """

    near: float
    far: float
    superiority: float
    p: float

    @property
    def difference(self) -> float:
        """near - far."""
        return self.near - self.far


def separation(
    similarity: np.ndarray,
    near: np.ndarray,
    far: np.ndarray,
    resamples: int,
    seed: int = 0,
    strata: np.ndarray | None = None,
) -> Separation:
    """Compare the pairs of ``near`` with those of ``far``.

    Args:
        similarity: (n, n), symmetric.
        near: bool (n, n), symmetric; at least one pair. The diagonal is not looked at.
        far: likewise.
        resamples: exchanges, besides the names as they are.
        seed: of them.
        strata: (n,), such as sides of the body; only things of one stratum are exchanged. One stratum by default.
    """
    upper = np.triu(np.ones(similarity.shape, bool), 1)
    near_pairs, far_pairs = np.nonzero(near & upper), np.nonzero(far & upper)

    def difference(matrix: np.ndarray) -> float:
        return float(matrix[near_pairs].mean() - matrix[far_pairs].mean())

    first, second = similarity[near_pairs], similarity[far_pairs]
    superiority = float(mannwhitneyu(first, second).statistic) / (len(first) * len(second))
    p = _exchanged(similarity, difference, np.zeros(len(similarity)) if strata is None else strata, resamples, seed)
    return Separation(float(first.mean()), float(second.mean()), superiority, p)


def mantel(one: np.ndarray, other: np.ndarray, resamples: int, seed: int = 0) -> tuple[float, float]:
    """Spearman's correlation of two similarities (or of two distances) of the same things.

    Args:
        one: (n, n), symmetric.
        other: (n, n), symmetric.
        resamples: exchanges, besides the names as they are.
        seed: of them.

    Returns:
        the correlation, and the one-sided p of one at least as large when names are exchanged.
    """
    counted = np.triu_indices(len(one), 1)
    fixed = _standard_ranks(other[counted])
    ranks = np.zeros(one.shape)
    ranks[counted] = _standard_ranks(one[counted])
    ranks += ranks.T

    def correlation(matrix: np.ndarray) -> float:
        return float(np.mean(matrix[counted] * fixed))

    return correlation(ranks), _exchanged(ranks, correlation, np.zeros(len(one)), resamples, seed)


def exchanges(strata: np.ndarray, count: int, seed: int) -> Iterator[np.ndarray]:
    """Random orders, int (n,) each, in which the things of each stratum (n,) have changed places."""
    generator = np.random.default_rng(seed)
    members = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    for _ in range(count):
        order = np.arange(len(strata))
        for places in members:
            order[places] = generator.permutation(places)
        yield order


def _standard_ranks(values: np.ndarray) -> np.ndarray:
    ranks = rankdata(values)
    return np.asarray((ranks - ranks.mean()) / ranks.std())


def _exchanged(
    matrix: np.ndarray, statistic: Callable[[np.ndarray], float], strata: np.ndarray, resamples: int, seed: int
) -> float:
    """The share of exchanges, the names as they are among them, in which the statistic is as large.

    Phipson and Smyth 2010, doi:10.2202/1544-6115.1585: counted so, it is never 0, and a valid p.
    """
    # equal but for the order of summation
    threshold = statistic(matrix) - 1e-12
    as_large = 1
    for order in exchanges(strata, resamples, seed):
        as_large += statistic(matrix[np.ix_(order, order)]) >= threshold
    return as_large / (resamples + 1)
