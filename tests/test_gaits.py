"""Gait cycles laid along a way: where they are, how they move, and how speeds mix."""

from __future__ import annotations

import dataclasses
import functools
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from arnold.embodiments import Body
from arnold.errors import UserError
from arnold.motion import Clip, velocities
from arnold.motion.cycles import STANDING, WALKING, gait, standing
from arnold.tasks.catalog import IMITATE_WALKING
from arnold.tasks.gaits import Gaits, Guide, gaits
from arnold.tasks.reference import Pose, poses

pytestmark = pytest.mark.native

PERIOD, RATE = 1.25, 100.0
HEADING, BEGIN = 0.9, np.array([2.0, -1.0])


@functools.cache
def body_of() -> Body:
    return IMITATE_WALKING.compile()


def swinging(name: str, speed: float, seconds: float = 4.0) -> Clip:
    """Legs that go ahead at ``speed`` as one swings and the pelvis sways and yaws, in a direction of the world."""
    model, time = body_of().model, np.arange(round(seconds * RATE) + 1) / RATE
    wave = np.sin(2 * np.pi * time / PERIOD)
    qpos = np.tile(np.asarray(body_of().rest_position, float), (len(time), 1))
    along, across = np.array([math.cos(HEADING), math.sin(HEADING)]), np.array([-math.sin(HEADING), math.cos(HEADING)])
    qpos[:, :2] = BEGIN + speed * time[:, None] * along + 0.03 * speed * wave[:, None] * across
    qpos[:, 2] = 0.93
    yaw = Rotation.from_rotvec((HEADING + 0.1 * speed * wave)[:, None] * [0.0, 0.0, 1.0])
    qpos[:, 3:7] = yaw.as_quat(scalar_first=True)
    qpos[:, model.joint("hip_flexion_r").qposadr[0]] = 0.4 * speed * wave
    qpos[:, model.joint("ankle_angle_l").qposadr[0]] = 0.2 * speed * wave
    joints = tuple(model.joint(j).name for j in range(model.njnt))
    return Clip(name, "kinesis_legs", RATE, joints, qpos, velocities(model, qpos, RATE))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Gaits:
    folder = tmp_path_factory.mktemp("clips")
    paths = [str(swinging(name, speed).save(folder / name)) for name, speed in (("quick", 1.6), ("slow", 0.8))]
    still = str(swinging("still", 0.0).save(folder / "still"))
    return gaits(((paths[0], PERIOD), (still, 0.0), (paths[1], PERIOD)), body_of())


def guide(speed: float, phase: float = 0.0, turning: float = 0.0, place=BEGIN, heading=HEADING) -> Guide:
    return Guide(jnp.asarray(place, jnp.float32), *(jnp.float32(x) for x in (heading, speed, turning, phase)))


def same(one: Pose, other: Pose, atol: float) -> None:
    for field in dataclasses.fields(Pose):
        ours, theirs = (np.asarray(getattr(pose, field.name)) for pose in (one, other))
        if field.name == "quaternion":
            theirs = theirs * np.sign((ours * theirs).sum(axis=-1, keepdims=True))
        np.testing.assert_allclose(ours, theirs, atol=atol, err_msg=field.name)


def test_laid_where_a_clip_went_it_is_the_clip(made: Gaits) -> None:
    np.testing.assert_allclose(made.speeds, [0.0, 0.8, 1.6], atol=2e-3)
    np.testing.assert_allclose(made.rates, 1.0 / PERIOD, rtol=1e-5)
    rows = poses(swinging("quick", 1.6), body_of())
    for frame in (130, 171, 233):
        along = np.array([math.cos(HEADING), math.sin(HEADING)]) * 1.6 * frame / RATE
        laid = made.at(guide(1.6, frame / RATE / PERIOD, place=BEGIN + along))
        there = jax.tree.map(lambda values, frame=frame: values[frame], rows)
        # root velocities are of central differences at two rates, and rows are 20 ms apart
        same(dataclasses.replace(laid, qvel=there.qvel), there, atol=1e-2)
        np.testing.assert_allclose(laid.qvel, there.qvel, atol=3e-2)


def test_ahead_of_a_guide_that_turns_velocities_are_how_places_change(made: Gaits) -> None:
    turning = guide(1.2, phase=0.3, turning=0.8)
    for seconds in (0.1, 0.5):
        before, there, after = (made.at(turning, seconds + dt) for dt in (-0.01, 0.0, 0.01))
        np.testing.assert_allclose((after.position - before.position) / 0.02, there.linear_velocity, atol=6e-2)
        turns = (
            Rotation.from_quat(np.asarray(after.quaternion), scalar_first=True)
            * Rotation.from_quat(np.asarray(before.quaternion), scalar_first=True).inv()
        )
        np.testing.assert_allclose(turns.as_rotvec() / 0.02, there.angular_velocity, atol=6e-2)
        np.testing.assert_allclose((after.qpos[:3] - before.qpos[:3]) / 0.02, there.qvel[:3], atol=6e-2)
    whole = turning.ahead(2.0 * math.pi / 0.8, made.rate(turning.speed))
    assert float(whole.heading) == pytest.approx(HEADING + 2.0 * math.pi, abs=1e-4)


def test_between_two_speeds_steps_are_between_theirs_and_standing_is_still(made: Gaits) -> None:
    hip = body_of().model.joint("hip_flexion_r").qposadr[0]
    for speed in (0.0, 0.4, 0.8, 1.1, 1.6):
        assert float(made.at(guide(speed, 0.25)).qpos[hip]) == pytest.approx(0.4 * speed, abs=5e-3)
    still = [made.at(guide(0.0, phase)) for phase in (0.0, 0.4)]
    same(*still, atol=1e-6)
    np.testing.assert_allclose(still[0].linear_velocity, 0.0, atol=1e-6)


def test_clips_that_are_no_gaits_are_refused(tmp_path: Path) -> None:
    short = str(swinging("short", 1.0, seconds=3.0).save(tmp_path / "short"))
    long = str(swinging("long", 1.0).save(tmp_path / "long"))
    for clips, said in (
        (((short, PERIOD),), "lasts 3.00 s; 3 periods of 1.25 s"),
        (((long, PERIOD), (long, PERIOD)), "give one per speed"),
        (((long, 0.0),), "at least one clip with a period"),
    ):
        with pytest.raises(UserError, match=said):
            gaits(clips, body_of())


def test_who_stands_has_flat_soles_and_walking_keeps_its_walk_ratio() -> None:
    angles = standing(seconds=0.1).angles
    for side in "rl":
        flat = angles[f"knee_angle_{side}"] - angles[f"hip_flexion_{side}"] - angles[f"ankle_angle_{side}"]
        np.testing.assert_allclose(flat, 0.0, atol=1e-9)
    assert all(np.ptp(values) == 0.0 for values in angles.values())
    assert set(angles) == set(gait(WALKING, seconds=0.1).angles)
    assert STANDING["hip_flexion"] == pytest.approx(0.06)
    slow, quick = (WALKING.period_at(speed) for speed in (0.9, 1.7))
    assert (0.9 * slow) * slow == pytest.approx((1.7 * quick) * quick), "length over rate of strides"
