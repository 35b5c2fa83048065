"""The policies: what they promise whatever the sizes, on a made-up body of a few joints and muscles."""

from __future__ import annotations

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from arnold.errors import UserError
from arnold.policy import normaliser
from arnold.policy.actor_critic import ActorCritic
from arnold.policy.generalist import TransformerActorCritic, extend_tables
from arnold.policy.initialise import Draws
from arnold.policy.mlp import MlpActorCritic, MlpConfig
from arnold.policy.presets import PRESETS, preset
from arnold.policy.tokeniser import Tokeniser, WordFeatures, values_of
from arnold.policy.transformer import TransformerConfig
from arnold.vocab import Token, TokenTable, Vocabulary

pytestmark = pytest.mark.unit

COMBINATIONS = [
    ("scalar", "full"),  # the preset `paper`
    ("entity", "latent"),  # `small`
    pytest.param("scalar", "latent", marks=pytest.mark.slow),
    pytest.param("entity", "full", marks=pytest.mark.slow),
]
LAGS = 3


def _body(side: str, joints: int = 2, muscles: int = 3) -> tuple[TokenTable, TokenTable]:
    """Tables of a body: position and velocity of its joints, four quantities of its muscles."""
    joint = [("hinge", f"joint{i}", side) for i in range(joints)]
    muscle = [("muscle", f"pull{i}", side) for i in range(muscles)]
    observed = [Token(entity, (quantity, "angular")) for entity in joint for quantity in ("position", "velocity")]
    said = (("position",), ("velocity",), ("force",), ("activation",))
    observed += [Token(entity, quantity) for entity in muscle for quantity in said]
    return TokenTable(tuple(observed)), TokenTable(tuple(Token(entity, ("activation",)) for entity in muscle))


LEFT, RIGHT = _body("left"), _body("right")


def _config(granularity: str, encoder: str, **changes) -> TransformerConfig:
    return dataclasses.replace(preset("tiny"), granularity=granularity, encoder=encoder, lags=LAGS, **changes)


@functools.cache
def _policy(granularity: str = "scalar", encoder: str = "full"):
    """A policy that knows both sides, its parameters and statistics of random observations."""
    policy = TransformerActorCritic.for_tasks(_config(granularity, encoder), [LEFT, RIGHT])
    params = policy.init(jax.random.key(0))
    ids = policy.bind([LEFT, RIGHT])
    seen = normaliser.update(policy.init_statistics(), ids.signature_ids, 2.0 * _values(9, 2, 40) + 1.0)
    return policy, params, seen, jax.jit(policy.apply)


def _values(seed: int, tasks: int, rows: int, table: TokenTable = LEFT[0]) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), (tasks, rows, len(table), LAGS))


def _reversed(table: TokenTable) -> TokenTable:
    return TokenTable(table.tokens[::-1])


@pytest.mark.parametrize(("granularity", "encoder"), COMBINATIONS)
def test_outputs_have_the_shapes_of_the_contract_and_are_float32(granularity, encoder):
    policy, params, statistics, apply = _policy(granularity, encoder)
    output = apply(params, statistics, policy.bind([LEFT, RIGHT]), _values(1, 2, 5))
    arrays = {name: array for name, array in output._asdict().items() if name != "sent"}
    assert {name: array.shape for name, array in arrays.items()} == {
        "mean": (2, 5, 3),
        "log_std": (2, 3),
        "value": (2, 5),
    }
    assert all(array.dtype == jnp.float32 for array in arrays.values())
    assert output.sent is None  # it acts freely


@pytest.mark.parametrize(("granularity", "encoder"), COMBINATIONS)
def test_the_order_of_the_observation_tokens_does_not_matter(granularity, encoder):
    policy, params, statistics, apply = _policy(granularity, encoder)
    values = _values(1, 1, 5)
    expected = apply(params, statistics, policy.bind([LEFT]), values)
    got = apply(params, statistics, policy.bind([(_reversed(LEFT[0]), LEFT[1])]), values[:, :, ::-1])
    np.testing.assert_allclose(got.mean, expected.mean, atol=1e-5)
    np.testing.assert_allclose(got.value, expected.value, atol=1e-5)


@pytest.mark.parametrize(("granularity", "encoder"), COMBINATIONS)
def test_actions_follow_their_muscles_when_these_are_reordered(granularity, encoder):
    policy, params, statistics, apply = _policy(granularity, encoder)
    expected = apply(params, statistics, policy.bind([LEFT]), _values(1, 1, 5))
    got = apply(params, statistics, policy.bind([(LEFT[0], _reversed(LEFT[1]))]), _values(1, 1, 5))
    np.testing.assert_allclose(got.mean[..., ::-1], expected.mean, atol=1e-5)
    np.testing.assert_allclose(got.value, expected.value, atol=1e-5)


@pytest.mark.parametrize(("granularity", "encoder"), COMBINATIONS)
def test_a_second_task_in_the_bucket_does_not_change_the_first(granularity, encoder):
    policy, params, statistics, apply = _policy(granularity, encoder)
    values = _values(1, 2, 5)
    both = apply(params, statistics, policy.bind([LEFT, RIGHT]), values)
    for place, task in enumerate((LEFT, RIGHT)):
        alone = apply(params, statistics, policy.bind([task]), values[place : place + 1])
        for name in ("mean", "log_std", "value"):
            np.testing.assert_allclose(getattr(both, name)[place], getattr(alone, name)[0], atol=1e-5)


def test_two_tasks_with_the_same_values_but_other_words_are_answered_differently():
    policy, params, statistics, apply = _policy()
    values = jnp.repeat(_values(1, 1, 5), 2, axis=0)
    mean = apply(params, statistics, policy.bind([LEFT, RIGHT]), values).mean
    assert float(jnp.abs(mean[0] - mean[1]).max()) > 1e-3


@functools.cache
def _imitation(granularity: str, encoder: str):
    """A small imitation problem: its compiled loss with gradients, and the parameters to start from."""
    policy, params, statistics, _ = _policy(granularity, encoder)
    ids, values = policy.bind([LEFT, RIGHT]), _values(3, 2, 64)
    signs = jnp.asarray([1.0, -1.0, 0.5]).reshape(1, 1, 3)
    # Each muscle follows the mean of all observations in its own way.
    target = jnp.tanh(3.0 * values[..., -1].mean(axis=-1, keepdims=True)) * signs

    def loss(params):
        output = policy.apply(params, statistics, ids, values)
        exploration = jnp.square(output.log_std + 0.7).mean()
        return jnp.square(output.mean - target).mean() + jnp.square(output.value).mean() + exploration

    return jax.jit(jax.value_and_grad(loss)), params


@pytest.mark.parametrize(("granularity", "encoder"), COMBINATIONS)
def test_gradients_reach_every_parameter_but_the_padding_word(granularity, encoder):
    loss, params = _imitation(granularity, encoder)
    params = params | {"log_std": params["log_std"] + 0.1}
    gradient = loss(params)[1]
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        assert bool(jnp.abs(leaf).max() > 0), f"no gradient reaches {jax.tree_util.keystr(path)}"
    reached = jnp.abs(gradient["embeddings"]["table"]).max(axis=1) > 0
    known = _policy(granularity, encoder)[0].vocabulary.words
    said = {word for word, hit in zip(known, reached.tolist(), strict=True) if hit}
    # In entity granularity the quantities are linear maps, not words, but for those of the muscles' own tokens.
    silent = {"<pad>"} if granularity == "scalar" else {"<pad>", "angular", "position", "velocity", "force"}
    assert set(known) - said == silent


@pytest.mark.parametrize(("granularity", "encoder"), [("scalar", "full"), ("entity", "latent")])
def test_a_grown_policy_answers_old_tasks_bit_for_bit_as_before(granularity, encoder):
    policy, params, statistics, apply = _policy(granularity, encoder)
    foot = [Token(("foot", "tip", "right"), ("contact", "force")), Token(("pull9", "muscle", "right"), ("force",))]
    tables = (TokenTable(tuple(foot)), TokenTable((Token(("pull9", "muscle", "right"), ("activation",)),)))
    grown, grown_params, grown_statistics = policy.grow(params, statistics, [tables], jax.random.key(7))
    before = apply(params, statistics, policy.bind([LEFT]), _values(1, 1, 5))
    after = jax.jit(grown.apply)(grown_params, grown_statistics, grown.bind([LEFT]), _values(1, 1, 5))
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(new, old)
    fresh = grown_params["embeddings"]["table"][len(policy.vocabulary) :]
    assert len(fresh) == 4  # foot, tip, contact and pull9
    assert bool((jnp.abs(fresh).max(axis=1) > 1e-3).all())
    new_ids, new_values = grown.bind([tables]), _values(2, 1, 5, tables[0])
    assert jax.eval_shape(grown.apply, grown_params, grown_statistics, new_ids, new_values).mean.shape == (1, 5, 1)


def test_growing_by_known_tasks_changes_nothing():
    policy, params, statistics, _ = _policy()
    grown, grown_params, grown_statistics = policy.grow(params, statistics, [LEFT], jax.random.key(7))
    assert (grown.vocabulary, grown.signatures) == (policy.vocabulary, policy.signatures)
    jax.tree.map(np.testing.assert_array_equal, grown_params, params)
    jax.tree.map(np.testing.assert_array_equal, grown_statistics, statistics)


def test_extended_tables_keep_old_rows_and_take_the_rest_from_the_fresh_tree():
    old, fresh = {"a": jnp.ones((2, 2)), "b": jnp.zeros(3)}, {"a": jnp.full((3, 2), 5.0), "b": jnp.ones(3)}
    extended = extend_tables(old, fresh)
    assert extended["a"].tolist() == [[1, 1], [1, 1], [5, 5]]
    assert extended["b"].tolist() == [0, 0, 0]


def test_a_policy_without_a_word_says_which_and_what_to_do():
    policy = TransformerActorCritic.for_tasks(_config("scalar", "full"), [LEFT])
    with pytest.raises(UserError, match=r"lacks 1 words .*'right'.*grow"):
        policy.bind([RIGHT])


def test_tasks_of_different_shapes_do_not_share_a_bucket():
    policy = TransformerActorCritic.for_tasks(_config("scalar", "full"), [LEFT, _body("left", 3)])
    with pytest.raises(UserError, match="differ in observation tokens"):
        policy.bind([LEFT, _body("left", 3)])


def test_statistics_are_used_but_not_changed_by_apply():
    policy, params, statistics, apply = _policy()
    ids, values = policy.bind([LEFT]), _values(1, 1, 5)
    shifted = dataclasses.replace(statistics, mean=statistics.mean + 1.0)
    np.testing.assert_allclose(
        apply(params, shifted, ids, values + 1.0).mean, apply(params, statistics, ids, values).mean, atol=1e-5
    )


def test_older_lags_than_the_policy_reads_are_ignored():
    policy, params, statistics, apply = _policy()
    values = _values(1, 1, 5)
    longer = jnp.concatenate([jnp.full((*values.shape[:-1], 2), 99.0), values], axis=-1)
    ids = policy.bind([LEFT])
    np.testing.assert_allclose(
        apply(params, statistics, ids, longer).mean, apply(params, statistics, ids, values).mean, atol=1e-6
    )


def test_log_standard_deviations_add_the_words_of_each_muscle():
    policy, params, statistics, apply = _policy()
    word = policy.vocabulary.id("pull1")
    params = params | {"log_std_words": params["log_std_words"].at[word].set(0.5)}
    log_std = apply(params, statistics, policy.bind([LEFT]), _values(1, 1, 5)).log_std
    np.testing.assert_allclose(log_std, [[-0.7, -0.2, -0.7]], atol=1e-6)


def test_word_features_tell_apart_tokens_that_share_most_of_their_words():
    shared, own = jax.random.normal(jax.random.key(0), (1, 1, 64)), jax.random.normal(jax.random.key(1), (1, 30, 64))
    words = 1.5 * shared + own
    features = WordFeatures(64, 1.0, Draws(0))(words)

    def alikeness(vectors: jax.Array) -> float:
        unit = vectors[0] / jnp.linalg.norm(vectors[0], axis=-1, keepdims=True)
        return float((unit @ unit.T - jnp.eye(30)).sum() / (30 * 29))

    assert alikeness(words) > 0.6
    assert abs(alikeness(features)) < 0.1
    assert float(jnp.square(features).mean()) == pytest.approx(1.0, rel=0.2)


@pytest.mark.parametrize("word_gates", [True, False])
def test_what_a_token_says_is_its_values_times_their_directions(word_gates):
    policy = TransformerActorCritic.for_tasks(_config("entity", "latent"), [LEFT])
    tokeniser = Tokeniser(len(policy.quantities), LAGS, 16, word_gates, Draws(0))
    values = _values(1, 1, 5)
    for group in policy.bind([LEFT]).groups:
        words = jax.random.normal(jax.random.key(2), (*group.words.shape[:2], 16))
        directions = tokeniser.directions(group, words)
        expected = jnp.einsum("nbei,neid->nbed", values_of(values, group), directions)
        np.testing.assert_allclose(tokeniser.tokens(values, group, words), expected, atol=1e-5)


def test_what_a_latent_reads_has_the_variance_of_what_it_reads_of():
    policy = TransformerActorCritic.for_tasks(_config("entity", "latent"), [LEFT])
    module = nnx.merge(policy._graph, policy.init(jax.random.key(0)))
    words = [module.embeddings.sums(group.words) for group in policy.bind([LEFT]).groups]
    np.testing.assert_allclose(jnp.square(module.reader.weights(words)).sum(axis=-1), 1.0, atol=1e-5)


@pytest.mark.parametrize(("granularity", "encoder"), COMBINATIONS)
def test_every_combination_learns_to_imitate(granularity, encoder):
    loss, params = _imitation(granularity, encoder)
    optimiser = optax.adam(2e-3)

    @jax.jit
    def update(params, state, gradient):
        with jax.numpy_dtype_promotion("standard"):  # optax's bias correction is written for it
            updates, state = optimiser.update(gradient, state)
        return optax.apply_updates(params, updates), state

    state, losses = optimiser.init(params), []
    for _ in range(200):
        value, gradient = loss(params)
        params, state = update(params, state, gradient)
        losses.append(float(value))
    assert losses[0] > 0.24  # what answering nothing costs
    assert losses[-1] < 0.05


@pytest.mark.parametrize(
    "policy",
    [TransformerActorCritic.for_tasks(preset("tiny"), [LEFT]), MlpActorCritic(*LEFT)],
    ids=["transformer", "expert"],
)
def test_a_key_draws_the_same_parameters_however_it_is_traced(policy: ActorCritic):
    keys = jax.random.split(jax.random.key(4), 3)
    drawn = [policy.init(key) for key in keys]
    differing = jax.tree.map(lambda a, b: bool((a != b).any()), drawn[0], drawn[1])
    assert any(jax.tree.leaves(differing))
    for got in (jax.jit(policy.init)(keys[1]), policy.init(keys[1])):
        jax.tree.map(np.testing.assert_array_equal, got, drawn[1])
    together = jax.vmap(policy.init)(keys)
    jax.tree.map(lambda all_, one: np.testing.assert_array_equal(all_[2], one), together, drawn[2])
    shapes = jax.eval_shape(policy.init, keys[0])
    assert jax.tree.map(lambda x: (x.shape, x.dtype), shapes) == jax.tree.map(lambda x: (x.shape, x.dtype), drawn[0])


def test_the_paper_preset_has_the_number_of_parameters_of_the_paper():
    faithful = dataclasses.replace(preset("paper"), shared_final_norm=True)
    vocabulary = Vocabulary().grow(f"word{i}" for i in range(212))
    policy = TransformerActorCritic(faithful, vocabulary, [], [])
    shapes = jax.eval_shape(policy.init, jax.random.key(0))
    head_of_the_std = 129  # the reference's head that hardly modulates the std is not built
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 4_393_732 - head_of_the_std


def test_a_small_policy_with_two_thousand_words_fits_a_12_mb_checkpoint():
    vocabulary = Vocabulary().grow(f"word{i}" for i in range(2000))
    policy = TransformerActorCritic(preset("small"), vocabulary, [], [("angle",)])
    shapes = jax.eval_shape(policy.init, jax.random.key(0))
    assert sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes)) < 12e6


@pytest.mark.parametrize("granularity", ["scalar", "entity"])
def test_ablated_vocabularies_share_what_they_say_they_share(granularity):
    """Two bodies alike but for a muscle: by words they share muscles, atomically those alike, per task nothing."""
    one, other = _body("left"), _body("left", muscles=4)
    ids = {}
    for vocabulary in ("shared", "atomic", "per_task"):
        policy = TransformerActorCritic.for_tasks(_config(granularity, "full", vocabulary=vocabulary), [one, other])
        bound = [policy.bind([tables]) for tables in (one, other)]
        ids[vocabulary] = [{int(i) for i in np.asarray(b.action_words).ravel() if i} for b in bound]
        widths = {b.action_words.shape[-1] for b in bound}
        assert widths == ({1} if vocabulary == "atomic" else {4})
        params, statistics = policy.init(jax.random.key(0)), policy.init_statistics()
        output = jax.jit(policy.apply)(params, statistics, bound[0], _values(1, 1, 2))
        assert np.all(np.isfinite(output.mean))
    assert ids["shared"][0] < ids["shared"][1]
    assert len(ids["atomic"][0]) == 3
    assert ids["atomic"][0] < ids["atomic"][1]
    assert not ids["per_task"][0] & ids["per_task"][1]
    observed = TransformerActorCritic.for_tasks(_config("scalar", "full", vocabulary="atomic"), [one])
    (group,) = observed.bind([one]).groups
    activations = [i for i, token in enumerate(one[0]) if token.quantity == ("activation",)]
    driven = np.asarray(observed.bind([one]).action_words)[0, :, 0]
    np.testing.assert_array_equal(np.asarray(group.words)[0, activations, 0], driven)


def test_without_normalisation_the_statistics_are_not_read():
    policy = TransformerActorCritic.for_tasks(_config("scalar", "full", normalise_observations=False), [LEFT])
    params, ids, values = policy.init(jax.random.key(0)), policy.bind([LEFT]), _values(1, 1, 4)
    seen = normaliser.update(policy.init_statistics(), ids.signature_ids, 5.0 * values + 3.0)
    apply = jax.jit(policy.apply)
    plain, after = (apply(params, s, ids, values) for s in (policy.init_statistics(), seen))
    np.testing.assert_array_equal(plain.mean, after.mean)


@pytest.mark.parametrize("switches", [{"share_decoder": True, "shared_final_norm": True}, {"log_std_per_word": False}])
def test_the_switches_leave_out_what_they_name(switches):
    policy = TransformerActorCritic.for_tasks(_config("scalar", "full", **switches), [LEFT])
    params = jax.eval_shape(policy.init, jax.random.key(0))
    gone = {"share_decoder": "value_decoder", "shared_final_norm": "value_norm", "log_std_per_word": "log_std_words"}
    assert not {gone[name] for name in switches} & set(params)
    output = jax.eval_shape(policy.apply, params, policy.init_statistics(), policy.bind([LEFT]), _values(1, 1, 2))
    assert output.mean.shape == (1, 2, 3)


@pytest.mark.parametrize(("granularity", "encoder"), [("scalar", "full"), ("entity", "latent")])
@pytest.mark.parametrize("detached", [True, False])
def test_what_the_value_learns_moves_what_the_policy_reads_only_where_it_is_not_detached(
    granularity, encoder, detached
):
    policy = TransformerActorCritic.for_tasks(_config(granularity, encoder, detached_value=detached), [LEFT])
    params, ids = policy.init(jax.random.key(0)), policy.bind([LEFT])

    def judged(params) -> jax.Array:
        return jnp.square(policy.apply(params, policy.init_statistics(), ids, _values(1, 1, 4)).value - 1.0).sum()

    moved = {name for name, part in jax.jit(jax.grad(judged))(params).items() if optax.tree.norm(part) > 0.0}
    assert {"value_decoder", "value_head"} <= moved
    assert ({"tokeniser", "encoder"} <= moved) is not detached
    assert not {"tokeniser", "encoder", "reader", "action_decoder"} & moved or not detached


@pytest.mark.parametrize("config", [*PRESETS.values(), MlpConfig(), MlpConfig(hidden=(8,), lags=2)])
def test_configurations_survive_json(config):
    assert type(config).from_json(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"widht": 8}, "no field 'widht': did you mean 'width'"),
        ({"width": "wide"}, "a int is accepted"),
        ({"width": 10, "heads": 3}, "3 heads cannot share"),
        ({"granularity": "entities"}, "did you mean 'entity'"),
        ({"layers": -1}, "at least 0"),
        ({"share_decoder": 1}, "a bool is accepted"),
    ],
)
def test_a_wrong_configuration_is_refused_with_the_reason(data, message):
    with pytest.raises(UserError, match=message):
        TransformerConfig.from_json(data)


def test_an_unknown_preset_names_the_nearest():
    with pytest.raises(UserError, match="did you mean 'small'"):
        preset("smal")


def test_both_kinds_of_network_are_actor_critics():
    assert isinstance(_policy()[0], ActorCritic)
    assert isinstance(MlpActorCritic(*LEFT), ActorCritic)


def test_an_expert_answers_with_the_shapes_of_the_contract_and_starts_near_zero():
    expert = MlpActorCritic(*LEFT)
    params, ids = expert.init(jax.random.key(0)), expert.bind([LEFT])
    output = jax.jit(expert.apply)(params, expert.init_statistics(), ids, _values(1, 1, 5))
    assert (output.mean.shape, output.log_std.shape, output.value.shape) == ((1, 5, 3), (1, 3), (1, 5))
    assert float(jnp.abs(output.mean).max()) < 0.1
    np.testing.assert_allclose(output.log_std, -0.7, atol=1e-6)


def test_an_expert_follows_its_tokens_and_muscles_into_another_order():
    expert = MlpActorCritic(*LEFT, MlpConfig(hidden=(16,), lags=2, init_mean_scale=1.0))
    params, values = expert.init(jax.random.key(0)), _values(1, 1, 5)
    params["log_std"] = jnp.arange(3.0)
    statistics = normaliser.update(expert.init_statistics(), expert.bind([LEFT]).signature_ids, values)
    expected = expert.apply(params, statistics, expert.bind([LEFT]), values)
    reordered = (TokenTable(LEFT[0].tokens[3:] + LEFT[0].tokens[:3]), _reversed(LEFT[1]))
    got = expert.apply(params, statistics, expert.bind([reordered]), jnp.roll(values, -3, axis=2))
    np.testing.assert_allclose(got.mean[..., ::-1], expected.mean, atol=1e-5)
    np.testing.assert_allclose(got.log_std[..., ::-1], expected.log_std)
    np.testing.assert_allclose(got.value, expected.value, atol=1e-5)


def test_an_expert_refuses_tables_that_are_not_its_own_and_names_the_tokens():
    expert = MlpActorCritic(*LEFT)
    with pytest.raises(UserError, match=r"missing: '.*left.*extra: '.*right"):
        expert.bind([RIGHT])
    with pytest.raises(UserError, match="one task at a time, not in 2"):
        expert.bind([LEFT, LEFT])
