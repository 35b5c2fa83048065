"""The lessons of the balls: the tasks' own words in coarser physics, targets that turn round, and an early end."""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arnold.tasks import Environment, task
from arnold.tasks.baoding import CENTRE
from arnold.tasks.rotations import rotation

pytestmark = pytest.mark.native


def test_lessons_of_the_balls_say_what_the_tasks_say_in_longer_steps_of_physics() -> None:
    fine, coarse = (Environment(task(name), threads=2) for name in ("baoding_ccw", "baoding_slow_ccw"))
    assert coarse.observation_table == fine.observation_table
    assert coarse.action_table == fine.action_table
    assert coarse.body.control_dt == fine.body.control_dt
    assert coarse.body.timestep == 2 * fine.body.timestep
    ways = []
    for env in (fine, coarse):
        state = jax.jit(env.reset)(jax.random.key(0))
        step = jax.jit(env.step)
        for _ in range(12):
            state = step(state, jnp.zeros(39))
        assert not bool(state.done)
        ways.append(np.stack([env.body.signals(state.physics).frame(ball).position for ball in ("ball1", "ball2")]))
    first = jax.jit(fine.reset)(jax.random.key(0))
    begun = np.stack([fine.body.signals(first.physics).frame(ball).position for ball in ("ball1", "ball2")])
    moved = np.linalg.norm(ways[0] - begun, axis=1)
    assert np.all(moved > 0.01)
    assert np.all(np.linalg.norm(ways[1] - ways[0], axis=1) < 0.05 * moved)


def test_targets_of_the_balls_turn_round_and_go_back_the_way_they_came() -> None:
    env = Environment(dataclasses.replace(task("baoding_follow"), lost=math.inf, turns=(0.25, 0.25)), threads=1)
    state, step, angles = jax.jit(env.reset)(jax.random.key(5)), jax.jit(env.step), []
    for _ in range(21):
        state = step(state, jnp.full(39, -0.3))
        palm = env.body.signals(state.physics).frame("trapezium")
        flat = rotation(palm.quaternion).inv().apply(state.goal.targets[0] - palm.position)[:2]
        y, x = ((flat - jnp.array(CENTRE)) / state.goal.radii)[::-1]
        angles.append(float(jnp.arctan2(y, x)))
    swept = np.unwrap(angles) - angles[0]
    np.testing.assert_allclose(swept, swept[::-1], atol=1e-4)  # steps 1 to 11 there, 11 to 21 back
    assert abs(swept[10]) == pytest.approx(abs(float(state.goal.speed)) * 0.25, abs=1e-4)
    assert np.sign(swept[10]) == np.sign(float(state.goal.speed))


def test_an_episode_of_the_balls_that_are_to_be_followed_ends_where_one_is_left_behind() -> None:
    patient = Environment(dataclasses.replace(task("baoding_follow"), lost=math.inf), threads=1)
    state, step = jax.jit(patient.reset)(jax.random.key(5)), jax.jit(patient.step)
    judge = jax.jit(
        lambda s: task("baoding_follow").judge(patient.body, patient.body.signals(s.physics), s.goal).failed
    )
    seen = []
    while not bool(state.done):  # it lies still until the balls fall, later than they are left behind
        state = step(state, jnp.zeros(39))
        if not bool(state.done):
            seen.append((max(-float(state.terms[f"pos_dist_{k}"]) for k in (1, 2)) > 0.03, bool(judge(state))))
    assert {left for left, _ in seen} == {False, True}
    assert all(left == failed for left, failed in seen)
