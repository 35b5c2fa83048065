"""Motions are eased where damping would hold a body back and its keypoints hardly notice."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from arnold.embodiments import embodiment
from arnold.motion import Clip, easing, velocities
from arnold.motion.activations import static_activations
from arnold.motion.easing import eased
from arnold.motion.quality import measure
from arnold.motion.skeleton import Skeleton, skeleton_of

pytestmark = pytest.mark.native
RATE, FRAMES = 50.0, 60


@functools.cache
def arms() -> Skeleton:
    return skeleton_of(embodiment("musclemimic_bimanual_nofingers"))


def at(skeleton: Skeleton, **joints: np.ndarray | float) -> np.ndarray:
    """Poses (T, nq) with these angles, rad, the left arm off the chest, and the rest as at rest."""
    qpos = np.tile(skeleton.full.qpos0, (FRAMES, 1))
    for name, angle in ({"shoulder_elv_l": 0.5} | joints if skeleton is arms() else joints).items():
        qpos[:, skeleton.full.joint(name).qposadr[0]] = angle
    return skeleton.obey(qpos)


@functools.cache
def hanging() -> np.ndarray:
    """An arm that hangs, nearly: the plane of its small elevation turns to and fro at up to 9 rad/s."""
    time = np.arange(FRAMES) / RATE
    plane = 0.7 * np.sin(2 * np.pi * 2.0 * time)
    return at(arms(), elv_angle_r=plane, shoulder_elv_r=0.15, elbow_flex_r=0.4 + 0.2 * time)


def clip_of(qpos: np.ndarray) -> Clip:
    model = arms().full
    joints = tuple(model.joint(j).name for j in range(model.njnt))
    return Clip("swing", arms().name, RATE, joints, qpos.astype(np.float32), velocities(model, qpos, RATE))


def missing(qpos: np.ndarray) -> float:
    """N m that muscles lack for a motion, root of the mean square."""
    return float(np.sqrt(np.mean(np.square(static_activations(arms().full, clip_of(qpos))[1]))))


def inside(qpos: np.ndarray) -> dict[str, object]:
    """How deep parts of the body are in each other, by a clip's report."""
    return dict(measure(clip_of(qpos), embodiment(arms().name))["in_itself_m"])


def test_muscles_can_follow_an_eased_motion_and_the_person_is_where_it_was() -> None:
    before, after = hanging(), eased(arms(), hanging(), RATE)
    assert missing(before) > 5.0
    assert missing(after) < 0.1 * missing(before)
    off = np.linalg.norm(arms().places(after) - arms().places(before), axis=-1)
    assert np.median(off.max(axis=1)) < 0.03
    np.testing.assert_allclose(after, arms().obey(after), atol=1e-12)  # within limits, on the couplings
    plane = arms().full.joint("elv_angle_r").qposadr[0]
    assert np.ptp(after[:, plane]) < 0.5 * np.ptp(before[:, plane])


def test_an_eased_motion_begins_and_ends_without_a_jump() -> None:
    steps = np.abs(np.diff(eased(arms(), hanging(), RATE), axis=0))
    assert (steps[[0, -1]] < steps[1:-1].max(axis=0) + 0.02).all()  # rad


def test_a_motion_that_asks_for_little_is_left_as_it_is() -> None:
    slow = at(arms(), elv_angle_r=np.linspace(0.3, 0.35, FRAMES), shoulder_elv_r=1.0)
    assert eased(arms(), slow, RATE) is slow


def test_an_arm_that_hangs_in_the_chest_is_taken_out_of_it() -> None:
    still = at(arms(), elv_angle_r=-1.55, shoulder_elv_r=0.02, elbow_flex_r=0.4)
    before, after = (inside(qpos) for qpos in (still, eased(arms(), still, RATE)))
    assert before["max"] > 0.01
    assert before["parts"] == "humerus_r and thorax"
    assert after["max"] < 0.005


def test_hands_in_the_floor_are_left_to_whatever_lifts_the_body() -> None:
    whole = skeleton_of(embodiment("musclemimic_fullbody_nofingers"))
    still = at(whole, shoulder_elv_r=0.5, shoulder_elv_l=0.5)
    still[:, whole.root + 2] -= 1.0  # m
    assert eased(whole, still, RATE) is still


def test_limits_are_counted_with_while_a_motion_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    time = np.arange(FRAMES) / RATE
    raised = np.abs(0.5 * np.sin(2 * np.pi * 2.0 * time))
    swing = at(arms(), elv_angle_r=0.3 * np.sin(25.0 * time), shoulder_elv_r=raised)
    cut: list[float] = []
    obey = type(arms()).obey

    def watched(skeleton: Skeleton, qpos: np.ndarray) -> np.ndarray:
        cut.append(float(np.abs(obey(skeleton, qpos) - qpos).max()))
        return obey(skeleton, qpos)

    monkeypatch.setattr(type(arms()), "obey", watched)
    eased(arms(), swing, RATE)
    assert max(cut) < 0.02  # rad
    cut.clear()
    monkeypatch.setattr(easing, "BEYOND", 1e9)
    eased(arms(), swing, RATE)
    assert max(cut) > 0.1


def test_fingers_that_stand_still_are_not_eased() -> None:
    whole = skeleton_of(embodiment("musclemimic_fullbody"))
    still = at(whole)
    names = [whole.full.joint(j).name for j in range(whole.full.njnt)]
    eased_joints = {names[list(whole.full.jnt_qposadr).index(a)] for a in easing._Arms.of(whole, still).address}
    assert {"elv_angle_r", "shoulder_elv_l", "elbow_flex_r", "pro_sup_l"} <= eased_joints
    assert len(eased_joints) <= 14  # of 54


def test_places_and_depths_change_as_their_derivatives_say() -> None:
    pose = at(arms(), elv_angle_r=-1.5, shoulder_elv_r=0.05, elbow_flex_r=0.4)[:2]
    found = easing._Arms.of(arms(), pose)
    before, change = found.at(pose), 1e-6 * np.random.default_rng(0).standard_normal((2, len(found.address)))
    pose = pose.copy()
    pose[:, found.address] += change
    after = found.at(arms().led(pose))
    moved = np.einsum("tki,ti->tk", before.moving, change)
    np.testing.assert_allclose(after.places - before.places, moved, atol=1e-10)
    assert len(before.depths) == 2  # the upper arm in the chest, in each frame
    np.testing.assert_allclose(after.depths - before.depths, before.deepening @ change.ravel(), atol=1e-9)


def test_what_carries_a_foot_is_never_changed() -> None:
    legs = skeleton_of(embodiment("kinesis_legs"))
    swing = at(legs, hip_flexion_r=np.sin(20.0 * np.arange(FRAMES) / RATE), subtalar_angle_l=np.arange(FRAMES) % 2)
    assert eased(legs, swing, RATE) is swing


def test_a_long_motion_is_eased_in_parts_that_join(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = eased(arms(), hanging(), RATE)
    monkeypatch.setattr(easing, "PIECE", 25)
    monkeypatch.setattr(easing, "OVERLAP", 20)
    parts = eased(arms(), hanging(), RATE)
    np.testing.assert_allclose(arms().places(parts), arms().places(whole), atol=0.01)
    assert missing(parts) < 0.1 * missing(hanging())
