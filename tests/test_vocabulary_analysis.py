"""What the vocabulary learned: planted geometry is found and random geometry is not; attention, influence, ablation,
exchange and zero-shot transfer against direct computations; attention in recordings; the commands.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import h5py
import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from probes import TWO_MUSCLES, Moment, Probe, Ruling, network

from arnold import recording
from arnold.checkpoints import save_checkpoint
from arnold.cli import main
from arnold.embodiments import Body, Embodiment
from arnold.embodiments.action_maps import LINEAR
from arnold.errors import UserError
from arnold.evaluation import Evaluator
from arnold.policy.attention import Attention
from arnold.policy.generalist import TransformerActorCritic
from arnold.policy.initialise import Draws
from arnold.policy.introspection import Introspection, probabilities
from arnold.policy.subspace import Subspace, confined
from arnold.policy.transformer import TransformerConfig
from arnold.recording_file import load_recording
from arnold.saved_policy import SavedPolicy, describe
from arnold.tasks import Environment, register_task
from arnold.tasks.task import Channel

pandas = pytest.importorskip("pandas", reason="needs the extra analysis")
pytest.importorskip("sklearn", reason="needs the extra analysis")
pytest.importorskip("xarray", reason="needs the extra analysis")

from arnold.analysis.attention import read  # noqa: E402
from arnold.analysis.muscle_anatomy import MuscleAnatomy  # noqa: E402
from arnold.analysis.vocabulary import Geometry, MuscleWords, word_map, word_similarity  # noqa: E402
from arnold.analysis.word_ablation import WordAblation, exchanged_words  # noqa: E402
from arnold.analysis.word_transfer import zero_shot  # noqa: E402

pytestmark = pytest.mark.native

FLEXORS, EXTENSORS = ("flexa", "flexb", "flexc"), ("exta", "extb", "extc")
NAMES = FLEXORS + EXTENSORS
HORIZON, EPISODES = 4, 6


def two_arms() -> mujoco.MjSpec:
    """A hinge on each side; three flexors pass in front of it (moment arms of one sign) and three extensors behind."""
    spec = mujoco.MjSpec()
    spec.option.gravity = [0.0, 0.0, 0.0]
    spec.option.timestep = 0.005
    for side, y in (("r", -0.2), ("l", 0.2)):
        link = spec.worldbody.add_body(name=f"link_{side}", pos=[0.0, y, 0.0])
        link.add_joint(name=f"hinge_{side}", axis=[0, 1, 0], range=[-1, 1], limited=True, damping=[0.1, 0, 0])
        link.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[0.05, 0, 0], contype=0, conaffinity=0)
        for number, name in enumerate(NAMES):
            depth = (1.0 if name in FLEXORS else -1.0) * (0.03 + 0.005 * (number % 3))
            tendon = spec.add_tendon(name=f"{name}_{side}")
            for where, height in ((spec.worldbody, 0.3), (link, -0.1)):
                site = f"{name}_{side}_{height}"
                shift = y if where is spec.worldbody else 0.0
                where.add_site(name=site, pos=[depth, shift + 0.01 * number, height])
                tendon.wrap_site(site)
            muscle = spec.add_actuator(name=f"{name}_{side}", target=f"{name}_{side}")
            muscle.trntype = mujoco.mjtTrn.mjTRN_TENDON
            muscle.set_to_muscle(
                timeconst=[0.01, 0.01],
                tausmooth=0.0,
                force=1.0,
                scale=200.0,
                lmin=0.5,
                lmax=1.6,
                vmax=1.5,
                fpmax=1.3,
                fvmax=1.2,
                range=[0.75, 1.05],
            )
            muscle.lengthrange = [0.3, 0.5]
    return spec


TWO_ARMS = Embodiment(name="two_arms", build=two_arms, frame_skip=4, side=None, action_map=LINEAR)


def follows_the_cue(moment: Moment) -> Ruling:
    return Ruling(moment.cue * moment.activation, solved=moment.activation > 0.45 + 0.1 * moment.cue)


class TwoCues(Probe):
    """Both joints are shown the cue and the clock."""

    def channels(self, body: Body) -> tuple[Channel, ...]:
        return tuple(
            dataclasses.replace(c, read=lambda signals, goal, read=c.read: jnp.tile(read(signals, goal), 2))
            if len(c.tokens) == 2
            else c
            for c in super().channels(body)
        )


TASK = TwoCues(name="two_arms_follow", body=TWO_ARMS, horizon=HORIZON, rule=follows_the_cue, shows_muscles=True)
ELSEWHERE = Probe(name="elsewhere", body=TWO_MUSCLES, horizon=2, shows_muscles=True)
SMALL = TransformerConfig(width=8, heads=2, feedforward=8, layers=1, latents=3)


@pytest.fixture(scope="module")
def environment() -> Environment:
    return Environment(TASK, threads=1)


@pytest.fixture(scope="module")
def elsewhere() -> Environment:
    return Environment(ELSEWHERE, threads=1)


def tables_of(environment: Environment):
    return environment.observation_table, environment.action_table


def drawn(config: TransformerConfig, *environments: Environment) -> tuple[TransformerActorCritic, Any]:
    """A policy of some tasks, every parameter of it random."""
    policy = TransformerActorCritic.for_tasks(config, map(tables_of, environments))
    generator = np.random.default_rng(0)
    shapes = jax.eval_shape(policy.init, jax.random.key(0))
    params = jax.tree.map(lambda leaf: generator.normal(0.0, 0.4, leaf.shape).astype(np.float32), shapes)
    params["embeddings"]["table"][0] = 0.0
    for part in ("read_out", "action_head"):  # actions inside their range, where everything that changes them shows
        if part in params:
            params[part]["kernel"] *= 0.1
    return policy, (params, policy.init_statistics())


@pytest.fixture(scope="module")
def made(environment, elsewhere):
    """A policy of two bodies; the words of the second are not used on the first."""
    return drawn(SMALL, environment, elsewhere)


def with_words(params: Any, vocabulary, vectors: dict[str, np.ndarray]) -> Any:
    """Parameters with some embeddings replaced."""
    table = np.array(params["embeddings"]["table"])
    for word, vector in vectors.items():
        table[vocabulary.id(word)] = vector
    return {**params, "embeddings": {"table": table}}


# ---- anatomy and geometry -------------------------------------------------------------------------------------------


def test_anatomy_is_that_of_the_model(environment):
    anatomy = MuscleAnatomy.of(environment.body)
    assert anatomy.muscles[:2] == ("flexa_r", "flexb_r")
    assert anatomy.sides.tolist() == ["right"] * 6 + ["left"] * 6
    assert anatomy.bases.tolist() == list(NAMES) * 2
    cosine = anatomy.moment_cosine
    np.testing.assert_allclose(np.unique(np.round(cosine[:6, :6], 6)), [-1.0, 1.0])
    np.testing.assert_allclose(cosine[:6, 6:], 0.0, atol=1e-9)
    np.testing.assert_array_equal(anatomy.turns, [[True, False]] * 6 + [[False, True]] * 6)
    np.testing.assert_allclose(anatomy.origin[1], [0.035, -0.19, 0.3])
    np.testing.assert_allclose(anatomy.centre[1], [0.035, -0.19, 0.1])
    joints_only = MuscleAnatomy.of(TWO_MUSCLES.compile())
    assert np.isnan(joints_only.origin).all()
    assert joints_only.moment_cosine[0, 1] == pytest.approx(-1.0)


@pytest.fixture(scope="module")
def geometry(environment, elsewhere, made) -> Geometry:
    return Geometry(made[0], [environment, elsewhere], untrained=19)


@pytest.fixture(scope="module")
def planted(made):
    """Names of flexors lie one way, those of extensors the other."""
    policy, (params, _) = made
    generator = np.random.default_rng(3)
    way = 8.0 * np.eye(8)[0]
    vectors = {name: (way if name in FLEXORS else -way) + generator.normal(size=8) for name in NAMES}
    return with_words(params, policy.vocabulary, vectors)


def rows_of(table, *columns: str):
    return table[table["body"] == "two_arms"].set_index(["side", "space", "test"])[list(columns)]


def test_planted_synergists_are_found_and_those_of_a_random_network_are_not(geometry, made, planted):
    told = rows_of(geometry(planted, 199), "p", "p_untrained", "effect", "untrained", "superiority")
    for side in ("right", "left"):
        row = told.loc[(side, "token", "synergists")]
        assert row["p"] < 0.2, "a tenth of the orders of six names keep these three together"
        assert row["p_untrained"] == 1 / 20
        assert row["effect"] > 1.0 > 0.5 > abs(row["untrained"])
        assert row["superiority"] == 1.0
        assert told.loc[(side, "token", "moment arms"), "effect"] > 0.7
    plain = rows_of(geometry(made[1][0], 199), "p_untrained")
    assert plain.loc[("right", "token", "synergists")].item() > 0.1


def test_shared_words_alone_make_sides_alike_and_the_untrained_networks_say_so(geometry, made):
    policy, (params, _) = made
    row = rows_of(geometry(params, 199), "effect", "p", "p_untrained").loc[("both", "token", "mirrored")]
    assert row["effect"] > 0.3
    assert row["p"] == 1 / 200
    assert row["p_untrained"] > 0.1
    small = {side: np.full(8, 1e-3) for side in ("left", "right")}
    nearer = rows_of(geometry(with_words(params, policy.vocabulary, small), 9), "p_untrained")
    assert nearer.loc[("both", "token", "mirrored")].item() <= 0.1


def test_sides_planted_near_are_found_where_no_word_is_shared(environment):
    policy, (params, _) = drawn(dataclasses.replace(SMALL, vocabulary="atomic"), environment)
    atomic = Geometry(policy, [environment], untrained=9)
    plain = rows_of(atomic(params, 199), "p")
    assert plain.loc[("both", "token", "mirrored")].item() > 0.05
    words = ["+".join(sorted(token.words)) for token in environment.action_table]
    vectors = np.random.default_rng(5).normal(size=(6, 8))
    near = {word: vectors[i % 6] + 0.1 * (i // 6) for i, word in enumerate(words)}
    row = rows_of(atomic(with_words(params, policy.vocabulary, near), 199), "p", "p_untrained", "superiority", "q")
    row = row.loc[("both", "token", "mirrored")]
    assert (row["p"], row["p_untrained"], row["superiority"]) == (1 / 200, 1 / 10, 1.0)
    assert row["q"] >= 1 / 10


def test_what_cannot_be_tested_is_said(geometry, made, environment, elsewhere):
    policy, (params, _) = made
    by_body = dict(list(geometry(params, 9).groupby("body")))
    assert set(by_body["two_arms"]["test"]) == {"mirrored", "synergists", "moment arms", "origin", "path"}
    assert by_body["probe_pair"]["effect"].isna().all()
    said = {"fewer than 3 pairs on one side of the comparison", "fewer than 3 muscles"}
    assert set(by_body["probe_pair"]["note"]) == said
    with pytest.raises(UserError, match="number of untrained networks is 0"):
        Geometry(policy, [environment], untrained=0)
    with pytest.raises(UserError, match="number of exchanges of names is 0"):
        geometry(params, 0)
    with pytest.raises(UserError, match="word embeddings are of transformers"):
        MuscleWords(network(ELSEWHERE), elsewhere)


def test_words_have_a_map_and_a_matrix_with_names(geometry, made, planted):
    policy, _ = made
    matrix = word_similarity(policy, planted)
    assert matrix.loc["flexa", "flexb"] > 0.5 > -0.5 > matrix.loc["flexa", "exta"]
    assert "value" not in matrix.index
    words = word_map(policy, planted).set_index("word")
    assert np.sign(words.loc[list(FLEXORS), "x"]).nunique() == 1
    assert np.sign(words.loc["flexa", "x"]) != np.sign(words.loc["exta", "x"])
    muscles = geometry.muscles["two_arms"]
    assert muscles.similarity(planted).loc["flexa_r", "flexb_r"] > 0.5
    with pytest.raises(UserError, match="no space 'reedout'; did you mean 'read-out'"):
        muscles.similarity(planted, "reedout")


# ---- attention ------------------------------------------------------------------------------------------------------


def some_observation(environment: Environment, rows: int = 3) -> np.ndarray:
    shape = (rows, len(environment.observation_table), 1)
    return np.random.default_rng(4).normal(size=shape).astype(np.float32)


@pytest.fixture(scope="module")
def inside(environment, made) -> Introspection:
    return Introspection(made[0], tables_of(environment))


@pytest.fixture(scope="module")
def attend(inside):
    return jax.jit(inside.attention)


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


# ---- ablation, exchange, transfer -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ablation(environment, made) -> WordAblation:
    return WordAblation(made[0], environment, rows=4 * EPISODES)


@pytest.fixture(scope="module")
def evaluate(environment, made) -> Evaluator:
    return Evaluator(made[0], TASK, environment=environment)


def test_ablating_a_word_is_evaluating_without_it_and_one_that_is_not_used_changes_nothing(made, ablation, evaluate):
    policy, params = made
    table = ablation.ablate(params, ["flexa", "puller", "right"], episodes=EPISODES, seed=2).set_index("word")
    assert table.index.tolist() == ["(intact)", "flexa", "puller", "right"]
    same = ["solved", "change", "reward", "steps", "success"]
    assert (table.loc["puller", same] == table.loc["(intact)", same]).all(), "to the last bit"
    assert (table.loc["puller", "tokens"], table.loc["puller", "muscles"]) == (0, 0)
    assert (table.loc["flexa", "tokens"], table.loc["flexa", "muscles"]) == (2, 2)
    assert table.loc["right", "muscles"] == 6
    for word in ("(intact)", "flexa", "right"):
        changed = {} if word == "(intact)" else {word: np.zeros(8)}
        lacking = with_words(params[0], policy.vocabulary, changed)
        expected = evaluate(lacking, params[1], EPISODES, seed=2)
        assert table.loc[word, "solved"] == pytest.approx(expected.solved_step_fraction)
        assert table.loc[word, "reward"] == pytest.approx(np.mean(expected.reward), rel=1e-5)
    assert table.loc["flexa", "reward"] != table.loc["(intact)", "reward"]


def test_a_policy_within_a_subspace_is_ablated_as_it_acts(environment, made):
    policy, (params, statistics) = made
    components = np.linalg.qr(np.random.default_rng(6).normal(size=(12, 2)))[0].T
    subspace = Subspace(environment.action_table.signatures, np.linspace(-0.5, 0.5, 12), components)
    within, confined_params = confined(policy, params, subspace)
    ablation = WordAblation(within, environment)
    table = ablation.ablate((confined_params, statistics), ["flexa"], episodes=EPISODES).set_index("word")
    evaluate = Evaluator(within, TASK, environment=environment)
    for word, changed in (("(intact)", {}), ("flexa", {"flexa": np.zeros(8)})):
        lacking = with_words(confined_params, policy.vocabulary, changed)
        expected = evaluate(lacking, statistics, EPISODES, 0)
        assert table.loc[word, "reward"] == pytest.approx(np.mean(expected.reward), rel=1e-5)
    free = Evaluator(policy, TASK, environment=environment)(params, statistics, EPISODES, 0)
    assert abs(table.loc["(intact)", "reward"] - np.mean(free.reward)) > 0.01, "the projection takes something away"
    assert (table.loc["flexa", "tokens"], table.loc["flexa", "muscles"]) == (2, 2)


def test_all_words_of_a_task_are_ablated_some_at_a_time(made, ablation, evaluate):
    policy, params = made
    assert set(ablation.words) == {*NAMES, "left", "right", "muscle", "activation", "hinge", "joint"}
    lines: list[str] = []
    table = ablation.ablate(params, episodes=EPISODES, note=lines.append)
    assert lines == [f"{n} of 13 vocabularies, {EPISODES} episodes each" for n in (4, 8, 12, 13)]
    assert table["word"].tolist() == ["(intact)", *ablation.words]
    last = with_words(params[0], policy.vocabulary, {ablation.words[-1]: np.zeros(8)})
    expected = evaluate(last, params[1], EPISODES, 0)
    assert table["reward"].iloc[-1] == pytest.approx(np.mean(expected.reward), rel=1e-5)
    np.testing.assert_allclose(table["change"], table["solved"] - table["solved"][0], atol=1e-12)


def test_a_word_is_replaced_by_the_mean_of_all_or_of_its_kind(made, ablation, evaluate):
    policy, params = made
    table = np.asarray(params[0]["embeddings"]["table"])
    sides = np.mean([table[policy.vocabulary.id(side)] for side in ("left", "right")], axis=0)
    for by, vector in (("category", sides), ("mean", table[2:].mean(axis=0))):
        expected = evaluate(with_words(params[0], policy.vocabulary, {"right": vector}), params[1], EPISODES, 0)
        measured = ablation.ablate(params, ["right", "flexa", "flexb"], by=by, episodes=EPISODES)["reward"].iloc[1]
        assert measured == pytest.approx(np.mean(expected.reward), rel=1e-5)


def test_exchanged_words_change_places(made, ablation, evaluate):
    policy, params = made
    table = np.asarray(params[0]["embeddings"]["table"])
    vectors = {a: table[policy.vocabulary.id(b)] for a, b in (("left", "right"), ("right", "left"))}
    swapped = with_words(params[0], policy.vocabulary, vectors)
    rows = ablation.exchange(params, {"left": "right"}, episodes=EPISODES)
    assert rows["word"].tolist() == ["(intact)", "left=right"], "of two words there is no other exchange"
    expected = evaluate(swapped, params[1], EPISODES, 0)
    assert rows["reward"].iloc[1] == pytest.approx(np.mean(expected.reward), rel=1e-5)
    alike = with_words(params[0], policy.vocabulary, {"flexa": np.ones(8), "exta": np.ones(8)})
    rows = ablation.exchange((alike, params[1]), {"flexa": "exta"}, controls=2, episodes=EPISODES)
    assert rows["word"].tolist() == ["(intact)", "flexa=exta", "random 1", "random 2"]
    assert rows["reward"].iloc[0] == rows["reward"].iloc[1], "to the last bit"


def test_fingers_stand_for_the_words_that_both_have():
    from arnold.vocab import Vocabulary

    words = ("FDS2", "FDS3", "EIP", "IFtip", "MFtip", "mcp2_flexion", "mcp3_flexion", "RI2", "right")
    found = exchanged_words(Vocabulary().grow(words), {"index": "middle"})
    assert found == {"FDS2": "FDS3", "IFtip": "MFtip", "mcp2_flexion": "mcp3_flexion"}
    with pytest.raises(UserError, match="no words of both index and ring finger"):
        exchanged_words(Vocabulary().grow(words), {"index": "ring"})
    with pytest.raises(UserError, match="'FDS2' is in more than one"):
        exchanged_words(Vocabulary().grow(words), {"FDS2": "FDS3", "EIP": "FDS2"})


def test_bad_words_are_one_clear_line(made, ablation):
    _, params = made
    with pytest.raises(UserError, match=r"unknown word 'flexd'.*did you mean 'flex"):
        ablation.ablate(params, ["flexd"], episodes=2)
    with pytest.raises(UserError, match="'value' is reserved"):
        ablation.ablate(params, ["value"], episodes=2)
    with pytest.raises(UserError, match="cannot be replaced by 'zeros'; did you mean 'zero'"):
        ablation.ablate(params, ["right"], by="zeros", episodes=2)
    with pytest.raises(UserError, match="number of episodes is 1"):
        ablation.ablate(params, ["right"], episodes=1)


def test_zero_shot_is_an_evaluation_of_the_policy_as_it_is(made, elsewhere):
    policy, (params, statistics) = made
    evaluated = Evaluator(policy, ELSEWHERE, environment=elsewhere)(params, statistics, EPISODES, 0)
    seen = policy.signatures[:-2]  # two tokens of the other body were never met
    less = TransformerActorCritic(policy.config, policy.vocabulary, seen, policy.quantities)
    saved = SavedPolicy(less, params, less.init_statistics(), describe(less, (TASK,)))
    row = zero_shot(saved, [elsewhere], episodes=EPISODES, untrained=1).iloc[0]
    assert (row["task"], row["trained_on"], row["words_known"]) == ("elsewhere", False, 1.0)
    assert row["tokens_known"] == pytest.approx(1.0 - 2 / len(elsewhere.observation_table))
    assert row["solved"] == pytest.approx(evaluated.solved_step_fraction)
    assert row["reward"] == pytest.approx(np.mean(evaluated.reward), rel=1e-5)
    assert row["untrained_reward"] == row["untrained_reward_best"]
    with pytest.raises(UserError, match="only transformers"):
        zero_shot(dataclasses.replace(saved, policy=network(ELSEWHERE)), [elsewhere])


# ---- recordings, commands -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkpoint(made, tmp_path_factory) -> str:
    register_task(TASK)
    policy, (params, statistics) = made
    folder = tmp_path_factory.mktemp("saved") / "policy"
    weights = {"params": params, "statistics": statistics}
    save_checkpoint(folder, policy=weights, config=describe(policy, (TASK,)))
    return str(folder)


def test_attention_is_recorded_on_request_in_small_blocks(environment, made, attend, checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "BLOCK_BYTES", 4 * 2 * 2 * 12 * 16 * 3)  # three control steps of two episodes
    path = tmp_path / "heads.h5"
    options = ["--attention-heads", "--episodes", "2", "--threads", "1", "--out", str(path)]
    assert main(["record", checkpoint, *options]) == 0
    seen = load_recording(path)
    axes = ("episode", "time", "decoder_layer", "head", "muscle", "observed")
    assert (seen.attention.dims, seen.attention.shape) == (axes, (2, HORIZON, 1, 2, 12, 14))
    np.testing.assert_allclose(seen.attention.sum("observed"), 1.0, atol=1e-5)
    with h5py.File(path) as file:
        assert file["attention"].chunks == (2, 3, 1, 2, 12, 14)
        assert file.attrs["steps_per_block"] == 3
    observation = seen.token_value.isel(time=2).values[..., None]
    expected = np.asarray(attend(made[1], observation).observed())[0]
    np.testing.assert_allclose(seen.attention.isel(time=2, decoder_layer=0), expected, atol=1e-5)
    assert seen.attention.sel(observed="hinge right joint", muscle="exta_l").shape == (2, HORIZON, 1, 2)
    mean = recording.policy_attention(made[0], environment)
    assert jax.eval_shape(mean.of, made[1], observation).shape == (2, 1, 12, 14)
    assert mean.field.axes == ("decoder_layer", "muscle", "observed")
    with pytest.raises(UserError, match="attention maps are of transformers"):
        recording.policy_attention(network(ELSEWHERE), environment)


@pytest.mark.slow
def test_the_commands_write_tables_and_pictures(checkpoint, tmp_path, capsys):
    out = tmp_path / "out"
    options = ["--episodes", "2", "--untrained", "2", "--threads", "1", "--out", str(out)]
    assert main(["analyze", "vocabulary", checkpoint, *options]) == 0
    assert "synergists" in capsys.readouterr().out
    for name in ("geometry", "words", "muscles-two_arms", "attention-two_arms_follow"):
        assert (out / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
    tables = ("geometry", "words", "word_similarity", "attention_groups", "attention_relations", "attention_summary")
    for name in (*tables, "muscles-two_arms-read-out", "attention-two_arms_follow", "influence-two_arms_follow"):
        assert len(pandas.read_csv(out / f"{name}.csv")), name
    options = ["--episodes", "2", "--threads", "1", "--out", str(out)]
    assert main(["analyze", "ablation", checkpoint, "--task", TASK.name, "--words", "right", *options]) == 0
    said = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [TASK.name, "right", "7", "6"] in [line[:4] for line in said], "tokens and muscles that it names"
    assert pandas.read_csv(out / "ablation.csv")["word"].tolist() == ["(intact)", "right"]
    assert (out / "ablation.png").read_bytes()[:4] == b"\x89PNG"
    assert main(["analyze", "ablation", checkpoint, "--words", "right", "--exchange", "left=right"]) == 2
    assert "give one of them" in capsys.readouterr().err
