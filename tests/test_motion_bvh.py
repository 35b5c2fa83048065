"""BVH: people of known geometry, bent, in other units, axes and names, fast and slow."""

from __future__ import annotations

from typing import Any

import motion_files
import numpy as np
import pytest
from motion_files import PERSON, REST, assert_at, bvh_text, turned

from arnold.motion import KEYPOINTS
from arnold.motion.readers import read_motion
from arnold.motion.readers.frames import UNITS

pytestmark = pytest.mark.unit

write = motion_files.write  # a fixture


def test_a_bvh_at_rest_is_the_person_in_metres_with_z_up(write: Any) -> None:
    motion = read_motion(write("rest.bvh", bvh_text([{}, {}])))
    assert (motion.name, motion.rate, motion.frames) == ("rest", 100.0, 2)
    assert list(motion.keypoints) == list(KEYPOINTS)
    assert_at(motion, 0, **REST)


def test_a_bvh_bends_joints_as_its_channels_say(write: Any) -> None:
    # The left thigh is raised forward by 90 degrees and its knee bent by 90: the shank hangs again.
    pose = {"LeftUpLeg": (0, 0, -90), "LeftLeg": (0, 0, 90), "LeftArm": (-90, 0, 0), "at": (20, 110, 50)}
    motion = read_motion(write("step.bvh", bvh_text([{}, pose])))
    assert_at(motion, 1, pelvis=(0.5, 0.2, 1.1), left_knee=(0.93, 0.29, 1.02), left_ankle=(0.93, 0.29, 0.6))
    assert_at(motion, 1, left_elbow=(0.5, 0.38, 1.29), left_wrist=(0.5, 0.38, 1.04), left_toe=(1.06, 0.29, 0.54))


def test_orientations_are_turns_away_from_standing_with_the_arms_down(write: Any) -> None:
    raised = {"LeftUpLeg": (0, 0, -90), "LeftLeg": (0, 0, 90), "LeftArm": (-90, 0, 0), "Hips": (0, 90, 0)}
    motion = read_motion(write("turns.bvh", bvh_text([{}, raised])))
    # At rest legs are neutral; the arms, held out, are turned out by 90 degrees.
    for name in ("pelvis", "spine", "head", "left_hip", "left_knee", "left_ankle"):
        np.testing.assert_allclose(np.abs(motion.orientations[name][0]), (1, 0, 0, 0), atol=1e-9)
    np.testing.assert_allclose(turned(motion, "left_shoulder", 0, (0, 0, -1)), (0, 1, 0), atol=1e-9)
    np.testing.assert_allclose(turned(motion, "left_shoulder", 0, (1, 0, 0)), (1, 0, 0), atol=1e-9)
    # Then the body has turned to its left, and everything with it.
    np.testing.assert_allclose(turned(motion, "pelvis", 1, (1, 0, 0)), (0, 1, 0), atol=1e-9)
    np.testing.assert_allclose(turned(motion, "left_hip", 1, (0, 0, -1)), (0, 1, 0), atol=1e-9)
    np.testing.assert_allclose(turned(motion, "left_knee", 1, (0, 0, -1)), (0, 0, -1), atol=1e-9)
    np.testing.assert_allclose(turned(motion, "left_elbow", 1, (0, 0, -1)), (0, 0, -1), atol=1e-9)
    np.testing.assert_allclose(turned(motion, "left_elbow", 1, (1, 0, 0)), (0, 1, 0), atol=1e-9)


@pytest.mark.parametrize(("unit", "metres"), UNITS.items())
def test_the_unit_of_a_bvh_is_found_from_its_legs(write: Any, unit: str, metres: float) -> None:
    motion = read_motion(write("units.bvh", bvh_text([{}, {}], scale=0.01 / metres)))
    assert_at(motion, 0, **REST)


def test_the_vertical_axis_of_a_bvh_is_found_from_the_pose(write: Any) -> None:
    upright = {name: (parent, (x, -z, y)) for name, (parent, (x, y, z)) in PERSON.items()}
    motion = read_motion(write("z_up.bvh", bvh_text([{"at": (0, 0, 100)}] * 2, person=upright)))
    assert_at(motion, 0, **REST)


def test_a_motion_faces_x_at_its_start_unless_told_otherwise(write: Any) -> None:
    path = write("away.bvh", bvh_text([{"Hips": (0, 90, 0)}, {"Hips": (0, 90, 0), "at": (100, 100, 0)}]))
    assert_at(read_motion(path), 0, **REST)
    np.testing.assert_allclose(read_motion(path).keypoints["pelvis"][1], (1, 0, 1), atol=1e-6)
    np.testing.assert_allclose(read_motion(path, align=False).keypoints["pelvis"][1], (0, 1, 1), atol=1e-6)


def test_names_of_other_exporters_are_known(write: Any) -> None:
    mixamo = {
        f"mixamorig:{name}": (f"mixamorig:{parent}" if parent else None, at) for name, (parent, at) in PERSON.items()
    }
    assert_at(read_motion(write("mixamo.bvh", bvh_text([{}, {}], person=mixamo))), 0, **REST)
    legs = {"LeftUpLeg": "lThigh", "LeftLeg": "lShin", "LeftFoot": "lFoot", "LeftToeBase": "lToe", "Hips": "hip"}
    poser = legs | {"LeftArm": "lShldr", "LeftForeArm": "lForeArm", "LeftHand": "lHand"}
    renamed = {poser.get(n, n): (poser.get(p, p) if p else None, at) for n, (p, at) in PERSON.items()}
    assert_at(read_motion(write("poser.bvh", bvh_text([{}, {}], person=renamed))), 0, **REST)


def test_a_skeleton_whose_rest_is_no_stance_gets_orientations_from_how_it_bends(write: Any) -> None:
    # All bones of the leg point up at rest, and the pose turns them down, as character tools export it.
    person = PERSON | {
        "LeftUpLeg": ("Hips", (9, -8, 0)),
        "LeftLeg": ("LeftUpLeg", (0, 43, 0)),
        "LeftFoot": ("LeftLeg", (0, 42, 0)),
    }
    person["LeftToeBase"] = ("LeftFoot", (0, 6, 13))
    down, flexed = {"LeftUpLeg": (180, 0, 0)}, {"LeftUpLeg": (180, 0, 0), "LeftLeg": (0, 0, -60)}
    motion = read_motion(write("odd.bvh", bvh_text([down, flexed, down], person=person)))
    assert motion.keypoints["left_knee"][0][2] == pytest.approx(0.49)
    assert motion.keypoints["left_ankle"][1][0] < -0.3  # bent backwards
    for vector in ((0, 0, -1), (1, 0, 0)):
        np.testing.assert_allclose(turned(motion, "left_hip", 1, vector), vector, atol=1e-6)
    np.testing.assert_allclose(turned(motion, "left_knee", 1, (1, 0, 0)), (0.5, 0, -np.sqrt(0.75)), atol=1e-6)


def test_frame_times_are_read_as_the_rates_they_round(write: Any) -> None:
    for step, rate in (("0.016667", 60), (".0083333", 120), ("0.0333667", 29.97), ("0.033333", 30), ("0.04", 25)):
        assert read_motion(write("rate.bvh", bvh_text([{}, {}], step=step))).rate == pytest.approx(rate, rel=2e-5)


def test_start_and_stop_cut_a_motion(write: Any) -> None:
    path = write("long.bvh", bvh_text([{"at": (0, 100, i)} for i in range(50)]))
    motion = read_motion(path, start=0.1, stop=0.3, name="part", subject="me")
    assert (motion.frames, motion.name, motion.subject) == (21, "part", "me")
    assert motion.keypoints["pelvis"][0][0] == pytest.approx(0.10)
