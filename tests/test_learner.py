"""The learner on probe environments whose values and best actions are known in closed form."""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import Moment, Probe, Ruling, learner, observed, trained

from arnold.checkpoints import load_learner
from arnold.errors import UserError
from arnold.experts import ScriptedExpert
from arnold.learning.config import LearnerConfig
from arnold.learning.loop import train
from arnold.learning.mixture import Mixture
from arnold.runs import Run
from arnold.tasks import register_task, registry

pytestmark = pytest.mark.train

DISCOUNT = 0.8
VALUES = LearnerConfig(
    rollout_steps=4,
    epochs=4,
    minibatches=1,
    learning_rate=0.3,
    final_learning_rate=1e-3,
    gradient_clip=1e3,
    value=1.0,
    discount=DISCOUNT,
    log_std=(-1.0, -1.0),
    normalise_reward=False,
)
ACTIONS = LearnerConfig(
    rollout_steps=3,
    epochs=4,
    minibatches=2,
    learning_rate=0.03,
    final_learning_rate=1e-3,
    gradient_clip=10.0,
    log_std=(-0.7, -2.0),
)


@pytest.fixture(autouse=True)
def _own_tasks(monkeypatch):
    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))


def outputs(made, state, observations):
    """What a learner's policy says of observations, a list of (K, 1)."""
    ids = made.policy.bind(made.buckets[0].tables)
    return made.policy.apply(state.params, state.statistics, ids, jnp.stack(observations)[None])


def test_a_truncated_episode_is_bootstrapped_from_its_final_observation():
    """The reward is the clock, which is seen: only the endless continuation of it is worth what is expected here.

    Taking a truncation for an end gives the last step the value 1, and taking the reset observation for the final one
    gives it less than half of the true value.
    """
    horizon = 4
    task = Probe(name="clock", horizon=horizon, rule=lambda m: Ruling(m.steps / horizon))
    made = learner(task, VALUES, iterations=150)
    state, _ = trained(made)
    value = outputs(made, state, [observed(0.0, steps, horizon) for steps in range(horizon)]).value[0]
    endless = 1.0 / (1.0 - DISCOUNT)
    expected = [((steps + 1) * endless + DISCOUNT * endless**2) / horizon for steps in range(horizon)]
    np.testing.assert_allclose(value, expected, rtol=0.02)


def test_a_reward_that_comes_later_is_credited_to_the_action_that_earned_it_under_each_observation():
    """The best first activation is 0.5 + 0.4 cue, which the linear action map gives at the action 0.8 cue."""

    def rule(m: Moment) -> Ruling:
        miss = jnp.square(m.first - (0.5 + 0.4 * m.cue))
        return Ruling(jnp.where(m.steps >= 3.0, -miss, 0.0), failed=m.steps >= 3.0)

    made = learner(Probe(name="late", horizon=4, rule=rule), ACTIONS, environments=64, iterations=150)
    state, _ = trained(made)
    cues = [-0.9, 0.0, 0.9]
    mean = outputs(made, state, [observed(cue, 0, 4) for cue in cues]).mean[0, :, 0]
    np.testing.assert_allclose(mean, 0.8 * np.array(cues), atol=0.15)


def script(observation: jax.Array) -> jax.Array:
    """Actions (B, 1) of a controller, linear in the cue and the clock."""
    return 0.1 + 0.6 * observation[:, 0, -1:] - 0.3 * observation[:, 1, -1:]


@pytest.fixture(scope="module")
def student():
    """A student of the script in a probe that pays 3 at its second step and fails there: learner, state, figures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))
        config = dataclasses.replace(VALUES, regime="obc", learning_rate=0.1)
        task = Probe(
            name="script",
            horizon=4,
            rule=lambda m: Ruling(jnp.where(m.steps >= 2.0, 3.0, 0.0), failed=m.steps >= 2.0),
        )
        made = learner(task, config, iterations=80, experts={"script": ScriptedExpert(script)})
        return made, *trained(made)


def test_a_student_comes_to_match_a_scripted_expert_exactly(student):
    made, state, metrics = student
    seen = [observed(cue, steps, 4) for cue in (-0.8, 0.1, 0.7) for steps in range(2)]
    np.testing.assert_allclose(outputs(made, state, seen).mean[0], script(jnp.stack(seen)), atol=5e-3)
    assert float(metrics["imitation"]) < 1e-6


def test_a_terminated_episode_is_worth_its_discounted_rewards_and_nothing_more(student):
    made, state, metrics = student
    value = outputs(made, state, [observed(0.0, steps, 4) for steps in range(2)]).value[0]
    np.testing.assert_allclose(value, [DISCOUNT * 3.0, 3.0], rtol=0.02)
    assert float(metrics["script/episode_steps"]) == 2.0
    assert float(metrics["script/failed"]) == 0.5


PLAIN = LearnerConfig(
    rollout_steps=4,
    epochs=1,
    minibatches=1,
    learning_rate=0.01,
    final_learning_rate=0.005,
    log_std=(-0.5, -1.5),
    entropy=1e-6,
    max_skipped=1,
)
WARMUP, ITERATIONS = 12, 14


def mixed(m: Moment) -> Ruling:
    """One episode in ten fails at its first step, and half of them are solved all along."""
    return Ruling(m.activation * m.cue, failed=m.cue > 0.8, solved=m.cue < 0.0)


@pytest.fixture(scope="module")
def plain():
    """A learner of one update per iteration, whose policy stands still for the first twelve."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))
        task = Probe(name="plain", horizon=4, rule=mixed)
        return learner(task, PLAIN, environments=16, iterations=ITERATIONS, hidden=(8,), critic_warmup=WARMUP)


@pytest.fixture(scope="module")
def history(plain):
    """The states before each iteration and after the last, and the metrics of each."""
    states, metrics = [plain.initial_state(jax.random.key(3))], []
    for _ in range(ITERATIONS):
        state, figures = plain.train_iteration(states[-1])
        states.append(state)
        metrics.append({name: float(value) for name, value in figures.items()})
    return states, metrics


def same(a, b) -> bool:
    """Whether two trees are equal bit for bit."""
    return all(map(identical, jax.tree.leaves(a), jax.tree.leaves(b)))


def identical(a: jax.Array, b: jax.Array) -> bool:
    if jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key):
        a, b = jax.random.key_data(a), jax.random.key_data(b)
    return np.array_equal(np.asarray(a), np.asarray(b), equal_nan=jnp.issubdtype(a.dtype, jnp.floating))


def test_equal_seeds_give_equal_runs_and_other_seeds_other_runs(plain, history):
    states, _ = history
    again = plain.train_iteration(plain.initial_state(jax.random.key(3)))[0]
    assert same(again, states[1])
    other = plain.initial_state(jax.random.key(4))
    assert not same(other.params, states[0].params)
    assert not same(other.lanes["plain"].env.goal, states[0].lanes["plain"].env.goal)


def test_an_update_reads_the_statistics_that_the_rollout_was_made_with(history):
    """At an iteration's only update the policy is still the one that acted, unless its inputs were rescaled."""
    states, metrics = history
    assert not same(states[0].statistics, states[1].statistics)
    for figures in metrics:
        assert abs(figures["kl"]) < 1e-6


def test_every_observation_counts_once_in_the_statistics(history):
    states, _ = history
    for number, state in enumerate(states, start=1):  # the first rollout is the one before training
        np.testing.assert_allclose(state.statistics.count, number * 16 * 4, rtol=1e-5)


def test_the_noise_follows_its_line(history):
    _, metrics = history
    for iteration, figures in enumerate(metrics):
        log_std = -0.5 - iteration / ITERATIONS
        assert figures["entropy"] == pytest.approx(log_std + 0.5 + 0.5 * math.log(2.0 * math.pi), abs=1e-5)


def test_a_saved_policy_says_where_the_noise_s_line_stands(plain, history):
    states, _ = history
    for state in states:
        saved = plain.policy_params(state)
        np.testing.assert_allclose(saved["log_std"], -0.5 - int(state.iteration) / ITERATIONS, atol=1e-6)
        assert saved["policy"] is state.params["policy"]


def test_the_learning_rate_follows_a_cosine_from_the_first_to_the_last(history):
    _, metrics = history
    for done, figures in enumerate(metrics, start=1):
        expected = 0.005 + 0.005 * 0.5 * (1.0 + math.cos(math.pi * done / ITERATIONS))
        assert figures["learning_rate"] == pytest.approx(expected, rel=1e-5)


def test_only_the_value_learns_while_the_critic_warms_up(history):
    states, _ = history
    start, warm, after = states[0].params, states[WARMUP].params, states[WARMUP + 1].params
    assert same(start["policy"], warm["policy"])
    assert not same(start["value"], warm["value"])
    assert not same(warm["policy"], after["policy"])


def test_the_policy_s_first_step_after_the_warm_up_is_no_longer_than_the_learning_rate(history):
    states, metrics = history
    before, after = states[WARMUP].params["policy"], states[WARMUP + 1].params["policy"]
    steps = [float(jnp.abs(a - b).max()) for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)]
    assert max(steps) <= 1.01 * metrics[WARMUP - 1]["learning_rate"]
    assert max(steps) > 0.5 * metrics[WARMUP - 1]["learning_rate"]


def test_an_update_that_is_not_finite_is_skipped_and_counted_and_the_next_one_is_not(plain, history):
    states, _ = history
    lane = states[2].lanes["plain"]
    env = dataclasses.replace(lane.env, observation=lane.env.observation.at[0].set(jnp.nan))
    broken = dataclasses.replace(states[2], lanes={"plain": dataclasses.replace(lane, env=env)})
    skipped, metrics = plain.train_iteration(broken)
    assert same((skipped.params, skipped.optimiser), (broken.params, broken.optimiser))
    assert (int(skipped.skipped), int(skipped.skipped_in_a_row), int(skipped.updates)) == (1, 1, 2)
    assert int(metrics["skipped"]) == 1
    assert np.all(np.isfinite(skipped.statistics.mean) & np.isfinite(skipped.statistics.m2))
    assert int(metrics["plain/diverged"]) == 1  # the action was not finite either: that episode ended
    recovered, metrics = plain.train_iteration(skipped)
    assert not same(recovered.params, skipped.params)
    assert (int(recovered.skipped), int(recovered.skipped_in_a_row), int(recovered.updates)) == (1, 0, 3)
    assert all(np.isfinite(float(value)) for value in metrics.values())


def test_an_iteration_in_which_physics_diverged_is_dumped_and_the_run_goes_on(plain, history, tmp_path, capsys):
    states, _ = history
    lane = states[2].lanes["plain"]
    physics = dataclasses.replace(lane.env.physics, qvel=lane.env.physics.qvel.at[0].set(jnp.inf))
    env = dataclasses.replace(lane.env, physics=physics)
    broken = dataclasses.replace(states[2], lanes={"plain": dataclasses.replace(lane, env=env)})
    run = Run.create(tmp_path, "broken", {})
    ended = train(run, plain, lambda: broken, {})
    assert ended.finished
    (dump,) = (run.path / "diverged").iterdir()
    assert (
        f"1 environment steps of plain); those episodes ended. Again: arnold replay {dump}" in capsys.readouterr().err
    )
    found = load_learner(dump, states[0])
    assert int(plain.train_iteration(found)[1]["plain/diverged"]) == 1
    assert not ended.state.lanes["plain"].env.diverged.any()


def test_a_run_whose_updates_stay_not_finite_stops_and_leaves_a_state_that_does_it_again(plain, history, tmp_path):
    states, _ = history
    params = jax.tree.map(lambda leaf: leaf, states[2].params)
    params["value"]["head"]["bias"] = jnp.array([jnp.nan])
    broken = dataclasses.replace(states[2], params=params)
    run = Run.create(tmp_path, "broken", {})
    with pytest.raises(UserError, match=r"1 updates in a row were not finite \(.*value.*arnold replay") as stopped:
        train(run, plain, lambda: broken, {})
    (dump,) = (run.path / "nonfinite").iterdir()
    assert str(dump) in str(stopped.value)
    assert run.latest() is None  # a broken state never becomes a checkpoint of the run
    found = load_learner(dump, states[0])
    assert same(found, broken)
    assert int(plain.train_iteration(found)[0].skipped) == 1


def test_figures_count_whole_episodes_and_fractions_of_steps(plain, history):
    _, metrics = history
    mean = {name: np.nanmean([figures[f"plain/{name}"] for figures in metrics]) for name in ("solved", "episode_steps")}
    assert mean["solved"] == pytest.approx(0.5, abs=0.1)
    assert mean["episode_steps"] == pytest.approx((1.0 * 0.1 + 4.0 * 0.9), abs=0.4)


def test_a_learner_refuses_what_does_not_fit():
    task = Probe(name="short", horizon=4)
    register_task(task)
    expert = {"short": ScriptedExpert(lambda observation: observation[:, 0])}
    with pytest.raises(UserError, match=r"rollout_steps is 5.*short: 4 control steps"):
        learner(task, LearnerConfig(rollout_steps=5))
    with pytest.raises(UserError, match=r"needs an expert for task 'short'"):
        learner(task, LearnerConfig(regime="obc", rollout_steps=4))
    with pytest.raises(UserError, match=r"an expert was given for task 'shirt'.*short"):
        learner(task, LearnerConfig(rollout_steps=4), experts={"shirt": expert["short"]})
    with pytest.raises(UserError, match=r"gives 8 rows per iteration for 10 minibatches"):
        learner(task, LearnerConfig(rollout_steps=4, minibatches=10), environments=2)
    assert Mixture.of({"short": 3}).tasks == (task,)
