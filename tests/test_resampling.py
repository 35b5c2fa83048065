"""A motion at another rate follows itself between its frames."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from arnold.errors import UserError
from arnold.motion import Motion
from arnold.motion.resampling import resampled

pytestmark = pytest.mark.unit


def test_resampling_follows_the_motion_between_its_frames() -> None:
    old, new = np.arange(121) / 120, np.arange(31) / 30

    def place(t: np.ndarray) -> np.ndarray:
        return np.stack([t, np.sin(3 * t), np.cos(3 * t)], axis=1)

    quats = Rotation.from_rotvec(np.stack([2 * old, 0 * old, 0 * old], axis=1)).as_quat(scalar_first=True)
    quats[50:] *= -1  # the same turns
    motion = Motion("m", 120.0, {"pelvis": place(old)}, {"pelvis": quats}, {"hip_flexion_r": np.sin(3 * old)})
    down = resampled(motion, 30.0)
    assert (down.rate, down.frames) == (30.0, 31)
    np.testing.assert_allclose(down.keypoints["pelvis"], place(new), atol=1e-9)
    up = resampled(down, 100.0)
    assert up.frames == 101
    np.testing.assert_allclose(up.keypoints["pelvis"], place(np.arange(101) / 100), atol=2e-5)
    np.testing.assert_allclose(up.angles["hip_flexion_r"], np.sin(3 * np.arange(101) / 100), atol=2e-5)
    turns = Rotation.from_quat(up.orientations["pelvis"], scalar_first=True).as_rotvec()
    np.testing.assert_allclose(turns[:, 0], 2 * np.arange(101) / 100, atol=1e-9)
    assert (np.sum(up.orientations["pelvis"][1:] * up.orientations["pelvis"][:-1], axis=1) > 0.99).all()


def test_resampling_leaves_gaps_as_they_are_and_invents_nothing_beside_them() -> None:
    points = np.stack([np.arange(11.0)] * 3, axis=1)
    points[4:6] = np.nan
    finer = resampled(Motion("m", 10.0, {"head": points}), 20.0).keypoints["head"][:, 0]
    np.testing.assert_allclose(finer[:7], np.arange(7) / 2)
    assert np.isnan(finer[7:12]).all()
    np.testing.assert_allclose(finer[12:], np.arange(12, 21) / 2)


@pytest.mark.parametrize("rate", [0.0, -30.0, float("nan")])
def test_resampling_to_no_rate_is_refused(rate: float) -> None:
    with pytest.raises(UserError, match="a number above 0 is accepted"):
        resampled(Motion("m", 10.0, {"head": np.zeros((3, 3))}), rate)
