"""OpenSim's tables of joint angles, also in MATLAB files: units, signs, the pelvis in the world, times."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import motion_files
import numpy as np
import pytest
import scipy.io
from motion_files import TABLE, TIMES, assert_at, mot_text, turned

from arnold.motion.readers import read_motion

pytestmark = pytest.mark.unit

write = motion_files.write  # a fixture


@pytest.mark.parametrize("suffix", [".mot", ".sto"])
def test_angles_of_an_opensim_table_are_radians_with_flexed_knees_positive(write: Any, suffix: str) -> None:
    motion = read_motion(write("ik" + suffix, mot_text(TABLE)))
    assert motion.rate == 100.0
    assert "knee_angle_r_beta" not in motion.angles
    assert "R.ASIS_tx" not in motion.angles
    np.testing.assert_allclose(motion.angles["knee_angle_r"], np.radians(np.linspace(0, 60, 21)), atol=1e-9)
    np.testing.assert_allclose(motion.angles["hip_flexion_r"], np.radians(np.linspace(-20, 30, 21)), atol=1e-9)
    np.testing.assert_allclose(motion.angles["pelvis_ty"], 0.95)


def test_the_pelvis_of_an_opensim_table_is_also_given_in_the_world(write: Any) -> None:
    motion = read_motion(write("ik.mot", mot_text(TABLE)))
    # OpenSim's z is to the right, and its rotation about the vertical turns forward to the left.
    assert_at(motion, 20, pelvis=(0.2, -0.2, 0.95))
    np.testing.assert_allclose(turned(motion, "pelvis", 0, (1, 0, 0)), (0, 1, 0), atol=1e-9)
    # Tilt is about the z of the ground, first of the three turns: 10 degrees that lift what is ahead.
    tilted = read_motion(write("tilt.mot", mot_text(TABLE | {"pelvis_rotation": np.zeros(21)})))
    ahead = (np.cos(np.radians(10)), 0, np.sin(np.radians(10)))
    np.testing.assert_allclose(turned(tilted, "pelvis", 0, (1, 0, 0)), ahead, atol=1e-9)


def test_radians_are_honoured_and_guessed_only_where_nothing_is_said(write: Any) -> None:
    radians = {
        name: values if "_t" in name[-4:] or name == "time" else np.radians(values) for name, values in TABLE.items()
    }
    for said in ("no", None):
        motion = read_motion(write("rad.sto", mot_text(radians, degrees=said)))
        np.testing.assert_allclose(motion.angles["knee_angle_r"], np.radians(np.linspace(0, 60, 21)), atol=1e-8)
    motion = read_motion(write("deg.mot", mot_text(TABLE, degrees=None)))
    np.testing.assert_allclose(motion.angles["knee_angle_r"][-1], np.radians(60))


def test_a_state_table_names_coordinates_by_path(write: Any) -> None:
    table = {"time": TIMES, "/jointset/hip_r/hip_flexion_r/value": TIMES, "/jointset/hip_r/hip_flexion_r/speed": TIMES}
    motion = read_motion(write("states.sto", mot_text(table, degrees="no")))
    np.testing.assert_allclose(motion.angles["hip_flexion_r"], TIMES)


def test_uneven_times_are_interpolated_and_rounded_ones_are_not(write: Any) -> None:
    uneven = np.concatenate([np.arange(10) / 100, [0.105, 0.12, 0.13]])
    motion = read_motion(write("uneven.mot", mot_text({"time": uneven, "hip_flexion_r": 100 * uneven**2})))
    assert motion.rate == pytest.approx(100)
    np.testing.assert_allclose(motion.angles["hip_flexion_r"], np.radians(100 * (np.arange(14) / 100) ** 2), atol=1e-9)
    rounded = np.round(np.arange(61) / 60, 3)
    assert read_motion(write("rounded.mot", mot_text({"time": rounded, "hip_flexion_r": rounded}))).rate == 60.0


def test_a_matlab_table_is_read_as_an_opensim_table_in_degrees(tmp_path: Path) -> None:
    names = [name for name in TABLE if "." not in name]
    table = {"data": np.stack([TABLE[name] for name in names], axis=1), "colheaders": np.array(names, object)}
    scipy.io.savemat(tmp_path / "IK.mat", {"Qsall": table})
    motion = read_motion(tmp_path / "IK.mat")
    np.testing.assert_allclose(motion.angles["knee_angle_r"][-1], np.radians(60))
    assert_at(motion, 20, pelvis=(0.2, -0.2, 0.95))
