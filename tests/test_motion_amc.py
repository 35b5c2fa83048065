"""AMC motions and their ASF skeletons: tilted axes turn as they say, and the skeleton is found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import motion_files
import numpy as np
import pytest
from motion_files import AMC, asf_text, turned

from arnold.errors import UserError
from arnold.motion.readers import read_motion
from arnold.motion.readers.frames import UNITS

pytestmark = pytest.mark.unit

write = motion_files.write  # a fixture


def test_an_amc_turns_bones_about_their_tilted_axes(write: Any) -> None:
    write("07.asf", asf_text())
    motion = read_motion(write("07_01.amc", AMC))
    unit = UNITS["CMU"]
    assert (motion.rate, motion.subject) == (120.0, "CMU 007")
    np.testing.assert_allclose(motion.keypoints["pelvis"], np.array([[0, 0, 18], [2, 1, 18]]) * unit, atol=1e-9)
    hip = np.array([2, 1 + 1.5, 18 - 2.0])
    # -20 degrees about the thigh's own z let it hang; then the knee bends by 90 degrees about its own x.
    knee = hip + np.array([0, 0, -7.6])
    np.testing.assert_allclose(motion.keypoints["left_hip"][1], hip * unit, atol=1e-9)
    np.testing.assert_allclose(motion.keypoints["left_knee"][1], knee * unit, atol=1e-9)
    np.testing.assert_allclose(motion.keypoints["left_ankle"][1], (knee - np.array([7.2, 0, 0])) * unit, atol=1e-9)
    # The right thigh hangs and is then raised forward by 30 degrees, x before z.
    thigh = (motion.keypoints["right_knee"] - motion.keypoints["right_hip"])[1] / unit
    np.testing.assert_allclose(thigh, 7.6 * np.array([0.5, 0, -np.sqrt(0.75)]), atol=1e-9)
    # Turns are away from straight legs, whatever the rest pose.
    np.testing.assert_allclose(turned(motion, "left_hip", 1, (0, 0, -1)), (0, 0, -1), atol=1e-9)


def test_the_skeleton_of_an_amc_is_found_beside_it_or_named(write: Any, tmp_path: Path) -> None:
    path = write("07_01.amc", AMC)
    with pytest.raises(UserError, match="no ASF file of its name beside it"):
        read_motion(path)
    write("0.asf", "damaged")
    write("07.asf", asf_text())
    assert read_motion(path, rate=60).rate == 60.0
    elsewhere = tmp_path / "skeletons"
    elsewhere.mkdir()
    (tmp_path / "07.asf").rename(elsewhere / "own.asf")
    assert read_motion(path, skeleton=elsewhere / "own.asf").frames == 2
    with pytest.raises(UserError, match="no skeleton at"):
        read_motion(path, skeleton=tmp_path / "none.asf")
