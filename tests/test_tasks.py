"""The shipped tasks and the environment step: goals, observations, endings, automatic reset, history and account."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arnold.embodiments.action_maps import SIGMOID
from arnold.tasks import LAGS, Environment, EnvState, Pose, Reach, list_tasks, task
from arnold.tasks.reach import reachable_points
from arnold.vocab import quantities

pytestmark = pytest.mark.native

REACHES = tuple(f"hand_{digit}_reach" for digit in ("thumb", "index", "middle", "ring", "little"))
NINE = ("elbow_pose", "finger_pose", "finger_reach", "hand_pose", *REACHES)


@functools.cache
def environment(name: str) -> Environment:
    return Environment(task(name), threads=2)


@functools.cache
def compiled(name: str):
    env = environment(name)
    return jax.jit(jax.vmap(env.reset)), jax.jit(jax.vmap(env.step))


def begin(name: str, count: int = 4, seed: int = 0) -> EnvState:
    return compiled(name)[0](jax.random.split(jax.random.key(seed), count))


def silent(name: str, count: int = 4) -> jax.Array:
    return jnp.full((count, len(environment(name).action_table)), -1.0)


def test_the_nine_tasks_ship_with_arnolds_and_myosuites_horizon() -> None:
    assert {t.name for t in list_tasks()} >= set(NINE)
    assert all(task(name).horizon == 100 for name in NINE)


@pytest.mark.parametrize("name", NINE)
def test_goals_are_uniform_in_their_ranges(name: str) -> None:
    chosen = task(name)
    body = environment(name).body
    count = 4000
    goals = np.asarray(jax.jit(jax.vmap(lambda k: chosen.goal(body, k)))(jax.random.split(jax.random.key(1), count)))
    if isinstance(chosen, Reach):
        low, high = np.array(chosen.low), np.array(chosen.high)
    else:
        ranges = {joint: (a, b) for joint, a, b in chosen.targets}
        low, high = np.array([ranges[joint] for joint in body.joints]).T
    assert (goals >= low - 1e-6).all()
    assert (goals <= high + 1e-6).all()
    if isinstance(chosen, Reach) and chosen.reachable:
        table = reachable_points(body, chosen.tip, chosen.low, chosen.high)
        assert {tuple(goal) for goal in goals} <= {tuple(place) for place in table}
        return
    moving = high > low
    quantiles = (np.sort(goals[:, moving], axis=0) - low[moving]) / (high - low)[moving]
    # Kolmogorov-Smirnov distance from the uniform distribution; 1.95 / sqrt(n) is its 0.1 % level.
    expected = (np.arange(count)[:, None] + 0.5) / count
    assert np.abs(quantiles - expected).max() < 1.95 / np.sqrt(count) + 1e-3


def test_random_starts_fill_the_joint_limits_and_the_others_rest() -> None:
    for name in ("elbow_pose", "hand_pose"):
        body = environment(name).body
        state = begin(name, 256)
        low, high = body.joint_range.T
        span = (np.asarray(state.physics.qpos) - low) / (high - low)
        assert span.min() > -1e-6
        assert span.max() < 1 + 1e-6
        np.testing.assert_allclose(span.mean(), 0.5, atol=0.1)
    for name in ("finger_pose", "finger_reach", "hand_index_reach"):
        state = begin(name)
        np.testing.assert_array_equal(state.physics.qpos, jnp.zeros_like(state.physics.qpos))
        np.testing.assert_array_equal(state.physics.qvel, jnp.zeros_like(state.physics.qvel))


@pytest.mark.parametrize(("name", "size"), [("hand_index_reach", 211), ("elbow_pose", 28)])
def test_observations_have_arnolds_size_and_their_tokens_say_what_the_numbers_are(name: str, size: int) -> None:
    env = environment(name)
    body = env.body
    state = compiled(name)[1](begin(name), jnp.zeros_like(silent(name)))
    table = env.observation_table
    assert state.observation.shape == (4, size, LAGS)
    assert len(table) == size
    assert len(set(table.signatures)) == size
    row = {token.words: i for i, token in enumerate(table.tokens)}
    now = np.asarray(state.observation[..., -1])

    def values(tokens) -> np.ndarray:
        return now[:, [row[token.words] for token in tokens]]

    np.testing.assert_array_equal(values(body.joint_tokens(quantities.JOINT_POSITION)), state.physics.qpos)
    np.testing.assert_array_equal(values(body.joint_tokens(quantities.JOINT_VELOCITY)), state.physics.qvel)
    np.testing.assert_array_equal(values(body.muscle_tokens(quantities.MUSCLE_ACTIVATION)), state.physics.act)
    sensors = np.asarray(state.physics.sensordata)[:, : 3 * len(body.muscles)].reshape(4, -1, 3)
    kinds = (quantities.MUSCLE_LENGTH, quantities.MUSCLE_VELOCITY, quantities.MUSCLE_FORCE)
    for place, kind in enumerate(kinds):
        np.testing.assert_array_equal(values(body.muscle_tokens(kind)), sensors[..., place])
    assert (sensors[..., 2] <= 0).all()
    if isinstance(env.task, Pose):
        np.testing.assert_array_equal(values(body.joint_tokens(quantities.JOINT_TARGET)), state.goal)
        error = values(body.joint_tokens(quantities.JOINT_ERROR))
        np.testing.assert_allclose(error, state.goal - state.physics.qpos, rtol=1e-6)
    else:
        tip = sensors.shape[1] * 3
        np.testing.assert_array_equal(now[:, 46:49], state.physics.sensordata[:, tip : tip + 3])
        np.testing.assert_array_equal(now[:, 49:52], state.goal)
        np.testing.assert_array_equal(now[:, 52:55], now[:, 49:52] - now[:, 46:49])


def test_arnolds_order_of_reach_keys_is_kept() -> None:
    words = [set(token.words) for token in environment("hand_index_reach").observation_table.tokens]
    blocks = (  # start, end, words that every token of the block has; from the reference's observation keys
        (0, 23, {"joint", "position"}),
        (23, 46, {"joint", "velocity"}),
        (46, 49, {"tip", "position"}),
        (49, 52, {"tip", "target"}),
        (52, 55, {"tip", "error"}),
        (55, 94, {"muscle", "position"}),
        (94, 133, {"muscle", "velocity"}),
        (133, 172, {"muscle", "force"}),
        (172, 211, {"muscle", "activation"}),
    )
    for start, end, expected in blocks:
        assert all(expected <= said for said in words[start:end])


def test_a_new_episodes_history_is_its_first_observation_repeated_and_then_shifts() -> None:
    _, step = compiled("finger_reach")
    first = begin("finger_reach")
    np.testing.assert_array_equal(first.observation, jnp.repeat(first.observation[..., -1:], LAGS, axis=-1))
    action = jnp.ones_like(silent("finger_reach"))
    second = step(first, action)
    third = step(second, action)
    np.testing.assert_array_equal(third.observation[..., :-1], second.observation[..., 1:])
    np.testing.assert_array_equal(third.observation[..., -2], second.observation[..., -1])
    np.testing.assert_array_equal(third.observation[..., 0], first.observation[..., 0])
    assert (third.observation[..., -1] != second.observation[..., -1]).any()
    np.testing.assert_array_equal(third.final_observation, third.observation)


def test_an_action_becomes_the_bodys_excitation_and_is_clipped() -> None:
    _, step = compiled("finger_reach")
    action = jnp.tile(jnp.array([-3.0, -1.0, 0.0, 0.5, 3.0]), (4, 1))
    state = step(begin("finger_reach"), action)
    np.testing.assert_allclose(state.physics.excitation, SIGMOID(action), rtol=1e-6)
    np.testing.assert_allclose(state.physics.excitation[0, -1], 0.92414182, rtol=1e-5)


def test_the_horizon_truncates_and_the_reset_keeps_what_was_last_seen() -> None:
    env = Environment(dataclasses.replace(task("finger_reach"), horizon=3), threads=1)
    step = jax.jit(jax.vmap(env.step))
    states = [jax.vmap(env.reset)(jax.random.split(jax.random.key(0), 2))]
    for _ in range(4):
        states.append(step(states[-1], jnp.ones((2, 5))))
    start, _, before, last, after = states
    np.testing.assert_array_equal([s.truncated[0] for s in states], [False, False, False, True, False])
    np.testing.assert_array_equal([s.elapsed[0] for s in states], [0, 1, 2, 0, 1])
    np.testing.assert_array_equal(last.truncated, last.done)
    assert not last.terminated.any()
    # what was last seen, in the old episode
    np.testing.assert_array_equal(last.final_observation[..., :-1], before.observation[..., 1:])
    assert jnp.abs(last.final_observation[:, :4, -1]).max() > 0.01, "the finger had moved"
    # the new one: everything is reset, the activation included, and the goal is another
    np.testing.assert_array_equal(last.physics.act, jnp.zeros((2, 5)))
    np.testing.assert_array_equal(last.physics.qpos, start.physics.qpos)
    np.testing.assert_array_equal(last.physics.qvel, start.physics.qvel)
    np.testing.assert_array_equal(last.physics.time, [0, 0])
    np.testing.assert_array_equal(last.physics.sensordata[:, -3:], start.physics.sensordata[:, -3:])
    assert (last.goal != before.goal).any(axis=1).all()
    np.testing.assert_array_equal(last.observation, jnp.repeat(last.observation[..., -1:], LAGS, axis=-1))
    # the account of the old episode is kept until the new one takes its first step
    np.testing.assert_array_equal([s.tally.steps[0] for s in states], [0, 1, 2, 3, 1])
    np.testing.assert_allclose(last.tally.reward, sum(s.reward for s in states[1:4]), rtol=1e-5)
    np.testing.assert_allclose(after.tally.reward, after.reward, rtol=1e-6)


def test_solved_steps_are_counted_and_rewarded() -> None:
    env = Environment(dataclasses.replace(task("elbow_pose"), horizon=5), threads=1)
    state = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), 2))
    goal = jnp.stack([state.physics.qpos[0], state.physics.qpos[1] + 1.0])
    state = dataclasses.replace(state, goal=goal)
    state = jax.jit(jax.vmap(env.step))(state, jnp.full((2, 6), -1.0))
    np.testing.assert_array_equal(state.solved, [True, False])
    np.testing.assert_array_equal(state.tally.solved_steps, [1, 0])
    effort = np.linalg.norm(state.physics.act, axis=1) / 6
    error = np.abs(goal - state.physics.qpos)[:, 0]
    np.testing.assert_allclose(state.reward, -error - effort + np.array([1.0, 0.0]), rtol=1e-5)
    np.testing.assert_allclose(state.terms["pose"], -error, rtol=1e-5)


def test_a_reach_fails_when_the_tip_is_far_but_not_at_the_first_step() -> None:
    _, step = compiled("hand_index_reach")
    state = begin("hand_index_reach")
    tip = state.observation[:, 46:49, -1]
    away = jnp.array([0.0, 0.3, 0.4, 0.4])[:, None] * jnp.array([[1.0, 0.0, 0.0]])
    state = dataclasses.replace(state, goal=tip + away)
    state = step(state, silent("hand_index_reach"))
    assert not state.done.any()
    state = step(state, silent("hand_index_reach"))
    np.testing.assert_array_equal(state.terminated, [False, False, True, True])
    np.testing.assert_array_equal(state.terms["penalty"], [0, 0, -1, -1])
    np.testing.assert_array_equal(state.elapsed, [2, 2, 0, 0])
    assert not state.truncated.any()


def test_equal_keys_give_equal_episodes_and_different_keys_other_goals() -> None:
    first, again, other = begin("hand_index_reach"), begin("hand_index_reach"), begin("hand_index_reach", seed=1)
    np.testing.assert_array_equal(first.goal, again.goal)
    assert (first.goal != other.goal).any(axis=1).all()
    assert len({tuple(goal) for goal in np.asarray(first.goal)}) == 4


def test_the_table_of_reachable_targets_is_made_once_for_a_body() -> None:
    chosen, body = task("finger_reach"), environment("finger_reach").body
    table = reachable_points(body, chosen.tip, chosen.low, chosen.high)
    assert table is reachable_points(body, chosen.tip, chosen.low, chosen.high)
    assert table.dtype == np.float32
    assert len(table) > 10_000
    assert np.ptp(table, axis=0).min() > 0.05
