"""Observation statistics: what they are, that order does not matter, and that float32 carries them far."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arnold.policy import normaliser

pytestmark = pytest.mark.unit

A, B, C = ("FDS2", "activation"), ("angle", "wrist"), ("tip", "x")


def _values(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(3.0, 2.0, shape).astype(np.float32)


def _updated(stats, ids, values):
    return normaliser.update(stats, jnp.asarray(ids, jnp.int32), jnp.asarray(values))


def test_fresh_statistics_leave_values_as_they_are():
    stats = normaliser.init(2, 3)
    values = jnp.asarray([[[[0.5, -2.0, 0.0], [1.0, 2.0, 3.0]]]])
    np.testing.assert_allclose(normaliser.normalise(stats, jnp.asarray([[0, 1]]), values), values, rtol=1e-6)


def test_mean_and_variance_are_those_of_all_tokens_of_a_signature_per_lag():
    values = _values(0, 2, 5, 3, 4)
    stats = normaliser.init(3, 4)
    for batch in np.split(values, 5, axis=1):
        stats = _updated(stats, [[0, 1, 2], [2, 0, 0]], batch)  # signature 0: three tokens, of both tasks
    pooled = np.concatenate([values[0, :, 0], values[1, :, 1], values[1, :, 2]])
    np.testing.assert_allclose(stats.mean[0], pooled.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(stats.m2[0] / stats.count[0], pooled.var(axis=0), rtol=1e-3)
    np.testing.assert_allclose(stats.mean[1], values[0, :, 1].mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(stats.count, [15, 5, 10], rtol=1e-4)


def test_normalised_values_have_mean_zero_and_standard_deviation_one():
    values, ids = _values(1, 1, 2000, 2, 1), jnp.asarray([[0, 1]])
    stats = _updated(normaliser.init(2, 1), ids, values * np.float32([[[[0.01], [500.0]]]]))
    scaled = normaliser.normalise(stats, ids, jnp.asarray(values * np.float32([[[[0.01], [500.0]]]])))
    np.testing.assert_allclose(scaled.mean(axis=1), 0.0, atol=1e-4)
    np.testing.assert_allclose(scaled.std(axis=1), 1.0, atol=1e-3)


def test_a_signature_that_was_not_seen_keeps_its_statistics():
    stats = _updated(normaliser.init(3, 2), [[0, 1]], _values(2, 1, 50, 2, 2))
    again = _updated(stats, [[0]], _values(3, 1, 50, 1, 2))
    for name in ("count", "mean", "m2"):
        np.testing.assert_array_equal(getattr(again, name)[1:], getattr(stats, name)[1:])


def test_batches_merge_in_any_order():
    batches = [_values(seed, 1, 40, 2, 3) for seed in range(4)]
    parts = [normaliser.batch_statistics(jnp.asarray([[0, 1]]), jnp.asarray(batch), 2, 3) for batch in batches]
    left = normaliser.merge(normaliser.merge(normaliser.merge(parts[0], parts[1]), parts[2]), parts[3])
    right = normaliser.merge(normaliser.merge(parts[3], parts[1]), normaliser.merge(parts[2], parts[0]))
    for name in ("count", "mean", "m2"):
        np.testing.assert_allclose(getattr(left, name), getattr(right, name), rtol=1e-5)


def test_merging_nothing_changes_nothing():
    part = normaliser.batch_statistics(jnp.asarray([[0]]), jnp.asarray(_values(1, 1, 9, 1, 2)), 2, 2)
    merged = normaliser.merge(part, jax.tree.map(jnp.zeros_like, part))
    for name in ("count", "mean", "m2"):
        np.testing.assert_array_equal(getattr(merged, name), getattr(part, name))


def test_normalised_values_are_clipped_at_ten():
    stats = normaliser.init(1, 1)
    values = jnp.asarray([-1e6, 1e6]).reshape(1, 2, 1, 1)
    assert normaliser.normalise(stats, jnp.zeros((1, 1), jnp.int32), values).ravel().tolist() == [-10.0, 10.0]


@pytest.mark.parametrize("constant", [0.0, 0.3, 900.0])
def test_a_token_that_stood_still_does_not_blow_up_a_tiny_deviation(constant):
    ids = jnp.zeros((1, 1), jnp.int32)
    stats = _updated(normaliser.init(1, 1), ids, np.full((1, 64, 1, 1), constant, np.float32))
    moved = jnp.full((1, 1, 1, 1), constant + 1e-4 * max(1.0, constant / 10))
    assert float(jnp.abs(normaliser.normalise(stats, ids, moved))[0, 0, 0, 0]) < 0.2


@pytest.mark.parametrize("rows", [1, 64])
def test_a_hundred_million_samples_leave_mean_and_variance_right(rows):
    ids = jnp.zeros((1, 1), jnp.int32)
    start = normaliser.init(1, 1)
    seen = dataclasses.replace(start, count=jnp.full((1,), 1e8), mean=jnp.full((1, 1), 5.0), m2=jnp.full((1, 1), 4e8))

    def step(stats, key):
        values = 5.0 + 2.0 * jax.random.normal(key, (1, rows, 1, 1))
        return normaliser.update(stats, ids, values), None

    stats, _ = jax.lax.scan(step, seen, jax.random.split(jax.random.key(0), 20_000))
    np.testing.assert_allclose(stats.mean, 5.0, rtol=2e-3)
    np.testing.assert_allclose(normaliser.standard_deviation(stats), 2.0, rtol=5e-3)


def test_the_newest_lags_are_used_where_the_observations_have_more():
    values, ids = _values(5, 1, 30, 1, 6), jnp.zeros((1, 1), jnp.int32)
    all_lags = _updated(normaliser.init(1, 2), ids, values)
    newest = _updated(normaliser.init(1, 2), ids, values[..., -2:])
    np.testing.assert_array_equal(all_lags.mean, newest.mean)
    scaled = normaliser.normalise(newest, ids, jnp.asarray(values))
    np.testing.assert_array_equal(scaled, normaliser.normalise(newest, ids, jnp.asarray(values[..., -2:])))


def test_too_few_lags_are_an_error_that_names_both_numbers():
    with pytest.raises(ValueError, match="2 history lags; the policy reads 3"):
        normaliser.normalise(normaliser.init(1, 3), jnp.zeros((1, 1), jnp.int32), jnp.zeros((1, 1, 1, 2)))


def test_remapping_keeps_known_signatures_and_starts_new_ones_afresh():
    stats = _updated(normaliser.init(2, 2), [[0, 1]], _values(6, 1, 20, 2, 2))
    remapped = normaliser.remap(stats, [A, B], [C, B, A])
    fresh = normaliser.init(1, 2)
    for name in ("count", "mean", "m2"):
        old, new = getattr(stats, name), getattr(remapped, name)
        np.testing.assert_array_equal(new[1], old[1])
        np.testing.assert_array_equal(new[2], old[0])
        np.testing.assert_array_equal(new[0], getattr(fresh, name)[0])


def test_remapping_from_nothing_gives_fresh_statistics():
    remapped = normaliser.remap(normaliser.init(0, 2), [], [A])
    np.testing.assert_array_equal(remapped.mean, normaliser.init(1, 2).mean)
