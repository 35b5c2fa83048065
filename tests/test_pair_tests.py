"""Permutation tests on pairs of things: planted groups are found, and p is that of the permutations."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import spearmanr

from arnold.analysis.pair_tests import mantel, separation

pytestmark = pytest.mark.unit


def alike_in_groups(labels: np.ndarray, strength: float, generator: np.random.Generator) -> np.ndarray:
    noise = generator.normal(size=(len(labels), len(labels)))
    return strength * (labels[:, None] == labels[None]) + noise + noise.T


def test_planted_groups_are_found_and_random_ones_as_often_as_the_level_says():
    labels = np.repeat(np.arange(4), 4)
    same = labels[:, None] == labels[None]
    found = separation(alike_in_groups(labels, 3.0, np.random.default_rng(0)), same, ~same, 199)
    assert found.p == 1 / 200
    assert found.superiority > 0.9
    assert found.difference == pytest.approx(3.0, abs=0.6)
    by_chance = [
        separation(alike_in_groups(labels, 0.0, np.random.default_rng(seed)), same, ~same, 99, seed).p
        for seed in range(100)
    ]
    assert 0 < sum(p <= 0.05 for p in by_chance) < 13, "5 of 100 are expected; 13 or more happen once in 600 times"
    assert np.mean(by_chance) == pytest.approx(0.5, abs=0.1)


def test_pairs_are_compared_as_counting_them_says():
    generator = np.random.default_rng(1)
    similarity = alike_in_groups(np.arange(5), 0.0, generator)
    near = np.zeros((5, 5), bool)
    near[0, 1] = near[1, 0] = near[2, 4] = near[4, 2] = True
    found = separation(similarity, near, ~near, 0)
    close, other = [similarity[0, 1], similarity[2, 4]], similarity[np.triu(~near, 1)]
    assert found.superiority == pytest.approx(np.mean([a > b for a in close for b in other]))
    assert (found.near, found.far) == (pytest.approx(np.mean(close)), pytest.approx(other.mean()))


def test_mantels_correlation_is_spearmans_and_its_p_that_of_all_permutations():
    generator = np.random.default_rng(2)
    one = alike_in_groups(np.arange(5), 0.0, generator)
    other = one + alike_in_groups(np.arange(5), 0.0, generator)
    upper = np.triu_indices(5, 1)
    correlation, p = mantel(one, other, 3000)
    assert correlation == pytest.approx(spearmanr(one[upper], other[upper]).statistic)
    every = [
        spearmanr(one[np.ix_(order, order)][upper], other[upper]).statistic
        for order in map(list, itertools.permutations(range(5)))
    ]
    assert p == pytest.approx(np.mean(np.array(every) >= correlation - 1e-9), abs=0.03)


def test_things_of_other_strata_are_not_exchanged():
    """Only the first stratum's things differ, so that exchanging within the second changes nothing."""
    similarity = np.zeros((6, 6))
    similarity[:3, :3] = 1.0
    near = np.zeros((6, 6), bool)
    near[:3, :3] = True
    strata = np.repeat([0, 1], 3)
    assert separation(similarity, near, ~near, 99, strata=strata).p == 1.0
    assert separation(similarity, near, ~near, 99).p < 0.3
