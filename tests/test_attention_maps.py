"""What a policy attends to, and what its actions hang on: against direct computations, and planted relations."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest
import two_arms
from two_arms import EPISODES, HORIZON, SMALL, drawn, tables_of

from arnold.errors import UserError
from arnold.policy.attention import Attention
from arnold.policy.initialise import Draws
from arnold.policy.introspection import Introspection, probabilities
from arnold.tasks import Environment

pandas = pytest.importorskip("pandas", reason="needs the extra analysis")
pytest.importorskip("sklearn", reason="needs the extra analysis")
pytest.importorskip("xarray", reason="needs the extra analysis")

from arnold.analysis.attention import read  # noqa: E402

pytestmark = pytest.mark.native

environment, elsewhere, made = two_arms.environment, two_arms.elsewhere, two_arms.made  # fixtures
inside, attend = two_arms.inside, two_arms.attend


def some_observation(environment: Environment, rows: int = 3) -> np.ndarray:
    shape = (rows, len(environment.observation_table), 1)
    return np.random.default_rng(4).normal(size=shape).astype(np.float32)


def test_probabilities_are_the_weights_that_the_layer_reads_with():
    layer = Attention(8, 2, Draws(0))
    generator = np.random.default_rng(1)
    layer.in_projection.bias[...] = generator.normal(size=24).astype(np.float32)
    x, memory = (generator.normal(size=(3, n, 8)).astype(np.float32) for n in (5, 7))
    weights = jax.jit(probabilities)(layer, x, memory)
    value = memory @ np.asarray(layer.in_projection.kernel)[:, 16:] + np.asarray(layer.in_projection.bias)[16:]
    by_hand = np.einsum("rhqk,rkhd->rqhd", weights, value.reshape(3, 7, 2, 4)).reshape(3, 5, 8)
    by_hand = by_hand @ np.asarray(layer.out_projection.kernel) + np.asarray(layer.out_projection.bias)
    read_by_layer = jax.jit(lambda layer, x, memory: layer.to_memory(x, memory))(layer, x, memory)
    np.testing.assert_allclose(by_hand, read_by_layer, atol=1e-5)


def test_attention_agrees_with_a_direct_computation(environment, made, inside, attend):
    policy, (params, statistics) = made
    observation = some_observation(environment)
    maps = attend((params, statistics), observation)
    memory = np.asarray(jax.jit(inside.memory)((params, statistics), observation))

    def normal(x, of):
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * of["scale"][0] + of["bias"][0]

    table = params["embeddings"]["table"]
    words = np.stack([table[list(policy.vocabulary.ids(t.words))].sum(0) for t in environment.action_table])
    query = words / np.sqrt((words**2).mean(-1, keepdims=True) + 1e-6)
    layer = params["action_decoder"]["layers"]
    kernel, bias = (layer["memory_attention"]["in_projection"][name][0] for name in ("kernel", "bias"))
    asked = (normal(query, layer["memory_norm"]) @ kernel[:, :8] + bias[:8]).reshape(-1, 2, 4)
    key = (memory @ kernel[:, 8:16] + bias[8:16]).reshape(3, -1, 2, 4)
    scores = np.exp(np.einsum("mhd,rphd->rhmp", asked, key) / 2.0)
    np.testing.assert_allclose(maps.muscles[0], scores / scores.sum(-1, keepdims=True), atol=1e-5)

    held = np.asarray(maps.reading).mean(0)[None]
    held = 0.5 * (held + np.asarray(maps.memory)[0].mean(1) @ held)
    np.testing.assert_allclose(maps.observed()[0], np.einsum("rhmp,rpe->rhme", maps.muscles[0], held), atol=1e-5)
    assert maps.observed().shape == (1, 3, 2, 12, len(inside.observed_names))
    vectors = jax.jit(inside.muscle_vectors)(params)
    np.testing.assert_allclose(vectors.query, asked.reshape(12, 8), atol=1e-5)


@pytest.mark.parametrize(
    "config",
    [
        dataclasses.replace(
            SMALL, granularity="scalar", encoder="full", layers=2, decoder_layers=2, muscle_self_attention=True,
            word_gates=False,
        ),
        dataclasses.replace(SMALL, layers=0, decoder_layers=2),
    ],
    ids=["full", "no layers"],
)  # fmt: skip
def test_every_row_of_attention_sums_to_one(environment, config):
    policy, params = drawn(config, environment)
    inside = Introspection(policy, tables_of(environment))
    maps = jax.jit(inside.attention)(params, some_observation(environment))
    for stage in (maps.muscles, maps.memory, maps.observed(), *(() if maps.reading is None else (maps.reading,))):
        np.testing.assert_allclose(stage.sum(-1), 1.0, atol=1e-5)
    assert maps.observed().shape[-1] == len(inside.observed_names)
    assert maps.observed().shape[0] == config.decoder_layers


def test_influence_is_the_slope_of_the_mean_action(environment, made, inside):
    policy, (params, statistics) = made
    observation = 0.3 * some_observation(environment, 1)
    influence = jax.jit(inside.influence)((params, statistics), observation)[0]
    apply = jax.jit(lambda x: policy.apply(params, statistics, inside.ids, x[None]).mean[0, 0])
    slopes = []
    for row in range(observation.shape[1]):
        step = np.zeros_like(observation)
        step[0, row, -1] = 1e-2
        slopes.append((apply(observation + step) - apply(observation - step)) / 2e-2)
    slopes = np.stack(slopes, 1)
    columns = [index for group in environment.observation_table.entity_groups() for index in group.index]
    expected = np.stack([np.linalg.norm(slopes[:, index], axis=1) for index in columns], 1)
    np.testing.assert_allclose(influence, expected, atol=2e-3, rtol=2e-2)
    assert expected.max() > 0.05


@pytest.fixture(scope="module")
def seen(environment, made):
    """One sample of each episode, its start."""
    return read(*made, environment, episodes=EPISODES, every=HORIZON)


def test_reading_is_averaged_over_the_episodes_and_has_names(environment, made, inside, attend, seen):
    _, params = made
    assert seen.samples == EPISODES
    np.testing.assert_allclose(seen.attention.sum(-1), 1.0, atol=1e-5)
    np.testing.assert_allclose(seen.influence.sum(-1), 1.0, atol=1e-5)
    table = seen.table()
    assert tuple(table.columns) == inside.observed_names
    assert table.columns[seen.muscle_of == 3].tolist() == ["exta right muscle"]
    assert table.columns[seen.joint_of == 1].tolist() == ["hinge left joint"]
    keys = jax.random.split(jax.random.split(jax.random.key(0))[0], EPISODES)
    begun = jax.jit(jax.vmap(environment.reset))(keys).observation
    by_hand = np.asarray(attend(params, begun).observed()).mean((0, 1, 2))
    np.testing.assert_allclose(seen.shares(), by_hand, atol=1e-5)
    groups = seen.by_group()
    totals = groups.groupby("group")[["attention", "influence", "tokens"]].sum()
    np.testing.assert_allclose(totals, 1.0, atol=1e-5)
    assert len(seen.by_layer()) == seen.attention.size
    with pytest.raises(UserError, match="no head 2; 0 to 1"):
        seen.shares(head=2)


def test_relations_find_what_is_planted(seen):
    own = seen.muscle_of[None] == np.arange(12)[:, None]
    beside = seen.sides[None] == seen.anatomy.sides[:, None]
    shares = np.full(own.shape, 0.01) + 0.5 * own
    planted = dataclasses.replace(seen, attention=shares[None, None], influence=0.1 + 0.2 * beside)
    told = planted.relations(resamples=99).set_index(["measure", "relation"])
    assert told.loc[("attention", "own"), "ratio"] == pytest.approx(51.0)
    assert told.loc[("attention", "own"), "p"] == 0.01
    assert told.loc[("influence", "side"), "ratio"] == pytest.approx(3.0)
    assert told.loc[("influence", "side"), "p"] == 0.01
    assert told.loc[("influence", "own"), "p"] == 1.0, "that a muscle reads its side does not make it read itself"
    alone = dataclasses.replace(planted, muscle_of=np.full_like(seen.muscle_of, -1)).relations(resamples=9)
    row = alone.set_index(["measure", "relation"]).loc[("attention", "own")]
    assert pandas.isna(row["ratio"])
    assert row["note"] == "no such pair, or no other to compare with"
