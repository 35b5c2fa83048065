"""Markers in TRC and C3D files become the joint centres of a person of known geometry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import motion_files
import numpy as np
import pytest
from motion_files import MARKERS, assert_at, c3d_file, trc_text

from arnold.motion.readers import read_motion

pytestmark = pytest.mark.unit

write = motion_files.write  # a fixture

# By the regression of Harrington et al. 2007 from width 240 mm and depth 180 mm.
HIP = (-0.24 * 0.18 - 0.0099, 0.33 * 0.24 + 0.0073, 1.0 - 0.30 * 0.24 - 0.0109)
CENTRES = {
    "left_hip": HIP,
    "right_hip": (HIP[0], -HIP[1], HIP[2]),
    "pelvis": (-0.09, 0, 1.0),
    "left_knee": (-0.05, 0.09, 0.5),
    "right_ankle": (-0.05, -0.09, 0.09),
    "left_toe": (0.09, 0.1, 0.03),
    "left_shoulder": (-0.09, 0.2, 1.5 - 0.17 * 0.4),
    "right_elbow": (-0.09, -0.5, 1.42),
    "left_wrist": (-0.09, 0.76, 1.42),
}


def test_markers_of_a_trc_become_joint_centres(write: Any) -> None:
    motion = read_motion(write("walk.trc", trc_text(MARKERS)))
    assert (motion.rate, motion.frames) == (150.0, 3)
    assert_at(motion, 0, **CENTRES)
    assert_at(motion, 2, left_knee=(-0.03, 0.09, 0.5))
    np.testing.assert_allclose(motion.orientations["pelvis"], [[1, 0, 0, 0]] * 3, atol=1e-9)


@pytest.mark.parametrize("unit", ["mm", "m"])
def test_markers_of_a_c3d_become_the_same_joint_centres(tmp_path: Path, unit: str) -> None:
    motion = read_motion(c3d_file(tmp_path / "walk.c3d", MARKERS, unit=unit))
    assert (motion.rate, motion.frames) == (200.0, 3)
    assert_at(motion, 0, **CENTRES)


def test_a_marker_out_of_sight_leaves_a_gap_in_its_joint_only(write: Any) -> None:
    motion = read_motion(write("gap.trc", trc_text(MARKERS, blank=(1, "LMFC"))))
    # By the lateral marker alone, without a jump.
    np.testing.assert_allclose(motion.keypoints["left_knee"][:, 1], 0.09, atol=1e-3)
    motion = read_motion(write("gap.trc", trc_text(MARKERS, blank=(1, "LMT1"))))
    assert np.isnan(motion.keypoints["left_toe"][:, 0]).tolist() == [False, True, False]


def test_joint_centres_of_the_file_itself_are_preferred(write: Any) -> None:
    motion = read_motion(write("own.trc", trc_text(MARKERS | {"LHJC": (-0.04, 0.085, 0.93)})), align=False)
    assert_at(motion, 0, left_hip=(-0.04, 0.085, 0.93), right_hip=(HIP[0], -HIP[1], HIP[2]))


def test_a_plug_in_gait_knee_lies_inwards_of_its_one_marker(write: Any) -> None:
    names = {"LLFC": "LKNE", "RLFC": "RKNE", "LLMAL": "LANK", "RLMAL": "RANK", "LACR": "LSHO", "RACR": "RSHO"}
    medial = ("MFC", "MMAL", "MEL", "MT1", "MT5")
    markers = {names.get(name, name): at for name, at in MARKERS.items() if name[1:] not in medial}
    motion = read_motion(write("pig.trc", trc_text(markers)))
    knee = motion.keypoints["left_knee"][0]
    assert np.linalg.norm(knee - MARKERS["LLFC"]) == pytest.approx(0.06, abs=1e-6)
    assert (knee - CENTRES["left_knee"])[1] == pytest.approx(-0.01, abs=2e-3)
    assert "left_toe" not in motion.keypoints


def test_exchanged_labels_of_left_and_right_are_put_right_and_said(write: Any) -> None:
    swapped = {{"L": "R", "R": "L"}[name[0]] + name[1:]: at for name, at in MARKERS.items()}
    motion = read_motion(write("swapped.trc", trc_text(swapped)))
    assert_at(motion, 0, **CENTRES)
    assert "exchanged" in motion.source
