"""The imitation task: what is seen, rewarded, ended; where episodes begin; which clips are drawn."""

from __future__ import annotations

import dataclasses
import functools
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from test_clips import elbow_clip

from arnold.embodiments import embodiment
from arnold.embodiments.physics import make_physics
from arnold.errors import UserError
from arnold.motion import Clip, velocities
from arnold.tasks import Environment, check_task
from arnold.tasks import task as registered
from arnold.tasks.catalog import KINESIS_TRACKED
from arnold.tasks.imitate import (
    KINESIS_SHARPNESS,
    KINESIS_WEIGHTS,
    MUSCLEMIMIC_SHARPNESS,
    MUSCLEMIMIC_WEIGHTS,
    Following,
    Imitate,
)
from arnold.tasks.reference import tracked
from arnold.tasks.task import Ended
from arnold.tasks.walk import FEET

pytestmark = pytest.mark.native


def elbow_task(folder: Path, **fields: object) -> Imitate:
    """Two clips of the elbow, of two subjects."""
    for name, subject in (("one", "ann"), ("two", "bob")):
        elbow_clip(name=name, subject=subject).save(folder / name)
    given = {"clips": (str(folder),), "tracked": ("r_humerus", "r_ulna_radius_hand"), "weights": KINESIS_WEIGHTS}
    return Imitate(**{"name": "swing", "body": "elbow", **given, **fields})


def legs_task(clip: Clip, path: Path, **fields: object) -> Imitate:
    given = {"tracked": KINESIS_TRACKED, "root": "root", "feet": FEET, "weights": KINESIS_WEIGHTS}
    return Imitate(**{"name": "walk", "body": "kinesis_legs", "clips": (str(clip.save(path)),), **given, **fields})


@functools.cache
def steps(turned: float = 0.0) -> Clip:
    """Legs that swing as they go forward, then turned about the vertical as a whole."""
    model = embodiment("kinesis_legs").compile().model
    time = np.arange(61) / 30.0
    qpos = np.tile(model.qpos0, (61, 1))
    yaw = turned + 0.2 * time
    way = np.array([math.cos(turned), math.sin(turned)])
    qpos[:, :2] = 1.2 * time[:, None] * way + (3.0, -1.0)
    qpos[:, 2] = 0.93
    qpos[:, 3:7] = np.stack([np.cos(yaw / 2), 0 * yaw, 0 * yaw, np.sin(yaw / 2)], axis=1)
    for side, phase in (("r", 0.0), ("l", np.pi)):
        qpos[:, model.joint(f"hip_flexion_{side}").qposadr[0]] = 0.4 * np.sin(2 * np.pi * time + phase)
    joints = tuple(model.joint(j).name for j in range(model.njnt))
    return Clip("steps", "kinesis_legs", 30.0, joints, qpos.astype(np.float32), velocities(model, qpos, 30.0))


def test_the_task_is_in_order(tmp_path: Path) -> None:
    report = check_task(elbow_task(tmp_path))
    assert report.ok, str(report)


def test_an_episode_begins_on_the_clip_with_its_velocity_and_activation(tmp_path: Path) -> None:
    clip = dataclasses.replace(steps(), activation=np.full((61, 80), 0.3, np.float32))
    task = legs_task(clip, tmp_path / "steps")
    env = Environment(task, threads=1)
    state = jax.jit(env.reset)(jax.random.key(3))
    frame = int(state.goal.frame)
    expected = clip.qpos[frame].copy()
    expected[:2] = 0.0  # episodes begin at the origin
    np.testing.assert_allclose(state.physics.qpos, expected, atol=1e-6)
    np.testing.assert_allclose(state.physics.qvel, clip.qvel[frame], atol=1e-6)
    np.testing.assert_allclose(state.physics.act, 0.3, atol=1e-6)


def test_what_is_seen_does_not_depend_on_where_the_body_is_and_faces(tmp_path: Path) -> None:
    seen = []
    for turned in (0.0, 2.0):
        task = legs_task(steps(turned), tmp_path / f"{turned}")
        env = Environment(task, threads=1)
        start, goal = task.at(env.body, jnp.int32(0), jnp.int32(20), jnp.ones(1))
        behind = dataclasses.replace(goal, frame=jnp.int32(25))  # the body is where the clip was a moment ago
        state = env.reset_to(jax.random.key(0), start, behind)
        seen.append(np.asarray(state.observation[:, -1]))
    np.testing.assert_allclose(seen[0], seen[1], atol=2e-3, rtol=2e-3)


def test_errors_are_clip_minus_body_at_each_frame_ahead(tmp_path: Path) -> None:
    task = legs_task(steps(), tmp_path / "steps", lookahead=(1, 5))
    env = Environment(task, threads=1)
    start, goal = task.at(env.body, jnp.int32(0), jnp.int32(20), jnp.ones(1))
    values = np.asarray(env.reset_to(jax.random.key(0), start, goal).observation[:, -1])
    by_words = {frozenset(token.words): v for token, v in zip(env.observation_table.tokens, values, strict=True)}
    clip, model = steps(), env.body.model
    hip = model.joint("hip_flexion_r").qposadr[0]
    for ahead, word in ((1, "ahead_33ms"), (5, "ahead_167ms")):
        error = by_words[frozenset({"hip_flexion", "right", "joint", "position", "angular", "error", word})]
        assert error == pytest.approx(clip.qpos[20 + ahead, hip] - clip.qpos[20, hip], abs=1e-5)
        forward = by_words[frozenset({"root", "position", "error", "linear", "x", word})]
        assert forward == pytest.approx(1.2 * ahead / 30.0 * math.cos(0.2 * 20 / 30.0), abs=2e-3)  # seen by heading


@pytest.mark.parametrize("name", ["imitate_walking", "imitate_fullbody"])
def test_what_a_body_that_stands_sees_lies_ahead_and_to_its_left(name: str) -> None:
    task = registered(name)
    body = task.compile()
    qpos = np.tile(body.model.qpos0, (2, 1))
    turn = np.zeros(4)
    mujoco.mju_mulQuat(turn, np.array([np.cos(0.6), 0.0, 0.0, np.sin(0.6)]), qpos[1, 3:7])
    qpos[1, 3:7] = turn  # the second faces another way
    physics = make_physics(body, threads=1)
    at_rest = (jnp.zeros(body.model.nv), jnp.zeros(body.model.na), jnp.zeros(0))
    for pose in qpos:
        begun = physics.initial(jnp.asarray(pose, jnp.float32), *at_rest)
        signals = body.signals(physics.forward(begun, jnp.asarray(True)))
        places = {part: signals.frame(part).position for part in task.tracked}
        ahead = task._seen(signals, places["toes_l"] - places["talus_l"])
        left = task._seen(signals, places["talus_l"] - places["talus_r"])
        assert ahead[0] > 0.1 > 0.05 > abs(ahead[1])
        assert left[1] > 0.1 > 0.03 > abs(left[0])
        np.testing.assert_allclose(task._tilt(signals), 0.0, atol=0.02)


def test_what_is_learned_in_coarse_steps_of_time_is_said_in_the_same_words() -> None:
    tables = []
    for name in ("imitate_fullbody_practice", "imitate_fullbody"):
        task = registered(name)
        body = task.compile()
        tables.append((task.observation_table(body).signatures, body.action_table.signatures))
    assert tables[0] == tables[1]


@pytest.mark.parametrize(("off", "expected"), [(0.05, 0.846), (0.10, 0.513), (0.15, 0.223)])
def test_the_reward_of_position_is_that_of_kinesis(tmp_path: Path, off: float, expected: float) -> None:
    """The figures are spec/kinesis.md's for a uniform error."""
    task = legs_task(steps(), tmp_path / "steps")
    body = task.compile()
    start, goal = task.at(body, jnp.int32(0), jnp.int32(20), jnp.ones(1))
    state = Environment(task, threads=1).reset_to(jax.random.key(0), start, goal)
    moved = dataclasses.replace(goal, shift=goal.shift + jnp.array([0.0, off, 0.0]))
    outcome = task.judge(body, body.signals(state.physics), moved)
    assert float(outcome.terms["position"]) == pytest.approx(expected, abs=2e-3)
    assert float(outcome.terms["velocity"]) == pytest.approx(1.0, abs=1e-3)


def test_both_references_are_values_of_one_task(tmp_path: Path) -> None:
    task = legs_task(steps(), tmp_path / "steps", weights=MUSCLEMIMIC_WEIGHTS, sharpness=MUSCLEMIMIC_SHARPNESS)
    body = task.compile()
    start, goal = task.at(body, jnp.int32(0), jnp.int32(20), jnp.ones(1))
    signals = body.signals(Environment(task, threads=1).reset_to(jax.random.key(0), start, goal).physics)
    perfect = task.judge(body, signals, goal)
    assert float(task.reward(perfect)) == pytest.approx(sum(w for _, w in MUSCLEMIMIC_WEIGHTS), abs=1e-3)
    aside = task.judge(body, signals, dataclasses.replace(goal, shift=goal.shift + jnp.array([0.3, 0.0, 0.0])))
    assert float(aside.terms["relative_position"]) == pytest.approx(1.0, abs=1e-4)  # seen from the main body
    assert float(aside.terms["root_position"]) == pytest.approx(math.exp(-10.0 * 0.09 / 3.0), abs=1e-3)
    assert {term for term, _ in KINESIS_SHARPNESS} == {term for term, _ in KINESIS_WEIGHTS}


@pytest.mark.parametrize(
    ("limit", "within"), [("each_within", 0.2), ("mean_within", 0.2), ("root_within", 0.2), ("relative_within", 0.2)]
)
def test_a_body_too_far_from_the_clip_ends_the_episode(tmp_path: Path, limit: str, within: float) -> None:
    task = legs_task(steps(), tmp_path / "steps", **{limit: within})
    body = task.compile()
    start, goal = task.at(body, jnp.int32(0), jnp.int32(20), jnp.ones(1))
    signals = body.signals(Environment(task, threads=1).reset_to(jax.random.key(0), start, goal).physics)

    def failed(shift: float) -> bool:
        moved = dataclasses.replace(goal, shift=goal.shift + jnp.array([0.0, shift, 0.0]))
        return bool(task.judge(body, signals, moved).failed)

    assert not failed(0.19)
    assert failed(0.21) == (limit != "relative_within")  # the whole body aside is no error seen from the body


def test_a_clip_that_was_followed_to_its_end_is_truncated_not_failed(tmp_path: Path) -> None:
    task = elbow_task(tmp_path, horizon=500)
    env = Environment(task, threads=1)
    start, goal = task.at(env.body, jnp.int32(0), jnp.int32(97), jnp.ones(2))  # 101 frames at the elbow's 50 Hz
    state, step = env.reset_to(jax.random.key(0), start, goal), jax.jit(env.step)
    ends = []
    for _ in range(3):
        state = step(state, jnp.zeros(6))
        ends.append((bool(state.terminated), bool(state.truncated)))
    assert ends == [(False, False), (False, False), (False, True)]


# ---- which clips are drawn ------------------------------------------------------------------------------------------


def drawn(task: Imitate, ended: Ended | None, count: int = 2000) -> np.ndarray:
    body = task.compile()
    keys = jax.random.split(jax.random.key(0), count)
    return np.asarray(jax.jit(jax.vmap(lambda key: task.draw(body, key, ended)[1].clip))(keys))


def after(trouble: list[float], failed: bool, clip: int = 0) -> Ended:
    goal = Following(jnp.int32(clip), jnp.int32(5), jnp.zeros(3), jnp.array(trouble, jnp.float32))
    return Ended(goal, jnp.asarray(failed))


def test_clips_that_fail_are_drawn_more_often(tmp_path: Path) -> None:
    task = elbow_task(tmp_path)
    assert np.mean(drawn(task, None) == 1) == pytest.approx(0.5, abs=0.05)
    # clip 0 is never failed, clip 1 always: 0.1 against 1.1
    assert np.mean(drawn(task, after([0.0, 1.0], failed=False)) == 1) == pytest.approx(1.1 / 1.2, abs=0.03)


def test_a_failure_is_remembered_and_shared(tmp_path: Path) -> None:
    task = elbow_task(tmp_path)
    body = task.compile()
    goal = task.draw(body, jax.random.key(0), after([0.5, 0.5], failed=True))[1]
    np.testing.assert_allclose(goal.trouble, [0.6, 0.5], atol=1e-6)
    goals = jax.tree.map(lambda *x: jnp.stack(x), goal, dataclasses.replace(goal, trouble=jnp.array([0.0, 0.1])))
    np.testing.assert_allclose(task.pool(goals).trouble, [[0.3, 0.3]] * 2, atol=1e-6)


@pytest.mark.parametrize("name", ["two", "bob"])
def test_held_out_clips_and_subjects_are_never_drawn(tmp_path: Path, name: str) -> None:
    assert set(drawn(elbow_task(tmp_path, held_out=(name,)), None)) == {0}


def test_an_unknown_held_out_name_is_refused(tmp_path: Path) -> None:
    task = elbow_task(tmp_path, held_out=("tow",))
    with pytest.raises(UserError, match="two"):
        drawn(task, None)


# ---- the reference --------------------------------------------------------------------------------------------------


def test_velocities_of_tracked_bodies_are_those_of_their_own_frames() -> None:
    """A finite difference of the joint centres' places; an inertial frame would be off by a metre per second."""
    clip, model = steps(), embodiment("kinesis_legs").compile().model
    fine = clip.resampled(model, 600.0)
    position, _, linear, _ = tracked(model, fine.qpos, fine.qvel, KINESIS_TRACKED)
    moved = (position[2:] - position[:-2]) * 300.0
    np.testing.assert_allclose(linear[1:-1][30:-30], moved[30:-30], atol=0.02)


def test_a_clip_for_another_body_is_refused(tmp_path: Path) -> None:
    elbow_clip().save(tmp_path / "wave")
    task = legs_task(steps(), tmp_path / "steps")
    task = dataclasses.replace(task, clips=(str(tmp_path / "wave.npz"),))
    with pytest.raises(UserError, match="kinesis_legs"):
        task.reference(task.compile())


def test_the_kinesis_legs_are_the_references() -> None:
    """Counts and mass of spec/kinesis.md 1.2; the head is where a head is, and activation cannot overshoot."""
    body = embodiment("kinesis_legs").compile()
    model = body.model
    counts = (model.nq, model.nv, model.nu, model.na, model.nbody, model.njnt, model.ntendon, model.neq, model.npair)
    assert counts == (35, 34, 80, 80, 17, 29, 80, 14, 14)
    assert model.body_mass.sum() == pytest.approx(80.71, abs=0.01)
    assert body.control_dt == pytest.approx(1 / 30)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    assert data.xipos[model.body("head").id][2] > data.xipos[model.body("torso").id][2] + 0.3
    data.ctrl[:] = 1.0
    for _ in range(5):
        mujoco.mj_step(model, data)
        assert data.act.max() <= 1.0
    fine = embodiment("kinesis_legs_fine").compile()
    assert (fine.model.opt.timestep, fine.control_dt) == (0.002, pytest.approx(0.02))
