"""Real recordings are read: skeletons keep their bones, people have plausible sizes, angles their signs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from shared_data import SHARED, needs

from arnold.errors import UserError
from arnold.motion import Motion
from arnold.motion.readers import read_motion

pytestmark = pytest.mark.unit


SKELETONS = {
    **{f"cmu_bvh/{name}.bvh": 60.0 for name in ("002_01", "003_01", "005_01", "006_01", "007_01", "007_04")},
    "cmu_bvh/131_01.bvh": 120.0,
    **{f"cmu_amc/02_0{i}.amc": 120.0 for i in (1, 2, 3)},
    "isaacgymenvs_amp/amp_humanoid_walk.npy": 60.0,
    "isaacgymenvs_amp/amp_humanoid_run.npy": 60.0,
}
MARKER_FILES = {
    "bmclab_bmc/Gait.c3d": 100.0,
    "bmclab_bmc/walk.trc": 150.0,
    "bmclab_bmc/walk1.trc": 150.0,
    "bmclab_bmc/motion_capture_run.trc": 150.0,
    "opensim_core_moco_3dwalking/markers_walk.trc": 100.0,
    "opensim_core_tests/walking2.c3d": 250.0,
    "opensim_core_tests/walk_free_01.trc": 60.0,
    "kineticstoolkit/kinematics_tennis_serve.c3d": 50.0,
}
ARMS = {
    "pyomeca/markers_analogs.c3d": ({"right_shoulder", "right_elbow", "right_wrist"}, 100.0, {}),
    "opensim_core_tests/abdbonepin.trc": ({"right_shoulder", "right_elbow"}, 100.0, {}),
    "kineticstoolkit/kinematics_racing_propulsion.c3d": (
        {"left_elbow", "right_elbow", "right_wrist"},
        69.99,
        {"up": "y"},
    ),
}
ANGLES = {
    "bmclab_bmc/ik_output_run.mot": 150.0,
    "camargo_turning/levelground_ccw_fast_01_01_ik.mot": 200.0,
    "opencap_processing/squats1_videoAndMocap.mot": 100.0,
    "opensim_core_moco_3dwalking/coordinates.sto": 1000.0,
    "opensim_core_tests/subject01_walk1_ik.mot": 60.0,
    "opensim_core_tests/subject02_running_arms_ik.mot": 60.0,
    "falisse_3dpredictsim/IK_gait_14_mtp.mot": 100.0,
    "falisse_3dpredictsim/IK_gait_15_mtp.mot": 100.0,
    "falisse_3dpredictsim/IK_average_walking_HGC_mtp.mot": 94.76,
    "falisse_3dpredictsim/IK_average_walking_FGC.mat": 95.15,
    "falisse_3dpredictsim/IK_average_running_HGC.mat": 140.0,
    "falisse_3dpredictsim/IK_gait_1.mat": 100.0,
    "loco_mujoco_mini/02-constspeed_full_humanoid.npz": 500.0,
    "loco_mujoco_mini/02-constspeed_reduced_humanoid.npz": 500.0,
    "loco_mujoco_mini/05-run_full_humanoid.npz": 500.0,
    "loco_mujoco_mini/05-run_reduced_humanoid.npz": 500.0,
}
BONES = [("hip", "knee"), ("knee", "ankle"), ("ankle", "toe"), ("shoulder", "elbow"), ("elbow", "wrist")]
NO_MOTION = (
    "bmclab_bmc/grf_run.mot",
    "bmclab_bmc/subject_so_StaticOptimization_activation.sto",
    "opensim_core_moco_3dwalking/electromyography.sto",
    "opensim_core_moco_3dwalking/id_walk.sto",
    "falisse_3dpredictsim/GRF_gait_1.mat",
)


def real(*files: Any) -> list[Any]:
    """Parameters of a test, each skipped where its file is absent."""
    return [
        pytest.param(
            *(file if isinstance(file, tuple) else (file,)), marks=needs(file[0] if isinstance(file, tuple) else file)
        )
        for file in files
    ]


def lengths(motion: Motion, above: str, below: str) -> np.ndarray:
    """(T,) m between two keypoints."""
    length = np.linalg.norm(motion.keypoints[above] - motion.keypoints[below], axis=1)
    return length[np.isfinite(length)]


def walking_speed(motion: Motion) -> float:
    """m/s over ground, from the first frame that knows the pelvis to the last."""
    pelvis = motion.keypoints["pelvis"]
    frames = np.flatnonzero(np.isfinite(pelvis).all(axis=1))
    return float(np.linalg.norm((pelvis[frames[-1]] - pelvis[frames[0]])[:2]) / (frames[-1] - frames[0]) * motion.rate)


@pytest.mark.parametrize(("file", "rate"), real(*SKELETONS.items()))
def test_real_skeletons_stand_on_the_floor_and_keep_their_bones(file: str, rate: float) -> None:
    motion = read_motion(SHARED / file)
    assert motion.rate == rate
    feet = np.concatenate(
        [motion.keypoints[f"{s}_{'toe' if 'left_toe' in motion.keypoints else 'ankle'}"] for s in ("left", "right")]
    )
    if "003_01" not in file:  # walks over uneven ground
        assert -0.05 < feet[:, 2].min() < 0.08
    crown = np.median(motion.keypoints["head"][:, 2] - np.minimum(*np.split(feet[:, 2], 2))) + 0.2
    assert 1.4 < crown < 2.1
    for side in ("left", "right"):
        for above, below in BONES:
            if f"{side}_{below}" in motion.keypoints:
                bone = lengths(motion, f"{side}_{above}", f"{side}_{below}")
                assert np.ptp(bone) < 0.001
                assert 0.1 < bone[0] < 0.55
    assert 0.25 < walking_speed(motion) < 4
    # It goes the way that it faces at the start: all of these do.
    assert motion.keypoints["pelvis"][-1][0] - motion.keypoints["pelvis"][0][0] > 1.0


@pytest.mark.parametrize(("file", "rate"), real(*SKELETONS.items()))
def test_orientations_of_real_skeletons_carry_their_bones(file: str, rate: float) -> None:
    motion = read_motion(SHARED / file)
    for side in ("left", "right"):
        for above, below in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist")):
            turns = Rotation.from_quat(motion.orientations[f"{side}_{above}"], scalar_first=True)
            bone = motion.keypoints[f"{side}_{below}"] - motion.keypoints[f"{side}_{above}"]
            np.testing.assert_allclose(
                turns.apply((0, 0, -1)), bone / np.linalg.norm(bone, axis=1, keepdims=True), atol=1e-6
            )
        # Knees bend backwards, by no more than a person's, and about one axis.
        thigh, shank = (
            Rotation.from_quat(motion.orientations[f"{side}_{j}"], scalar_first=True) for j in ("hip", "knee")
        )
        bend = (thigh.inv() * shank).as_rotvec(degrees=True)
        assert bend[:, 1].min() > -5
        assert 30 < bend[:, 1].max() < 140
        assert np.abs(bend[:, [0, 2]]).max() < 2


@pytest.mark.parametrize(("file", "rate"), real(*MARKER_FILES.items()))
def test_real_marker_sets_give_people_of_plausible_size(file: str, rate: float) -> None:
    motion = read_motion(SHARED / file)
    assert motion.rate == rate
    assert {"pelvis", "left_hip", "right_hip", "left_toe", "right_toe"} <= set(motion.keypoints)
    assert np.nanmin(motion.keypoints["left_toe"][:, 2]) < 0.08
    assert 0.14 < np.median(lengths(motion, "left_hip", "right_hip")) < 0.24
    for side in ("left", "right"):
        for above, below in BONES:
            if {f"{side}_{above}", f"{side}_{below}"} <= set(motion.keypoints):
                bone = lengths(motion, f"{side}_{above}", f"{side}_{below}")
                assert bone.std() < 0.02, (side, above)
                assert 0.09 < np.median(bone) < 0.5, (side, above, np.median(bone))
    if "tennis" not in file and "walk_free" not in file:  # one stands, the other is on a treadmill
        assert 0.5 < walking_speed(motion) < 3.5
        assert motion.keypoints["right_hip"][-1][0] > motion.keypoints["right_hip"][0][0] + 0.5


@pytest.mark.parametrize(("file", "known", "rate", "options"), real(*((file, *rest) for file, rest in ARMS.items())))
def test_real_marker_sets_of_arms_are_read(file: str, known: set[str], rate: float, options: dict[str, str]) -> None:
    motion = read_motion(SHARED / file, **options)
    assert known <= set(motion.keypoints)
    assert motion.rate == pytest.approx(rate, abs=0.01)


@pytest.mark.parametrize(("file", "rate"), real(*ANGLES.items()))
def test_real_joint_angles_are_radians_in_opensims_sense(file: str, rate: float) -> None:
    motion = read_motion(SHARED / file)
    assert motion.rate == pytest.approx(rate, rel=1e-3)
    for side in ("l", "r"):
        assert motion.angles[f"knee_angle_{side}"].min() > -0.1
        assert 0.03 < motion.angles[f"knee_angle_{side}"].max() < 2.3
    turns = [values for name, values in motion.angles.items() if not name.startswith("pelvis_")]
    assert max(np.abs(values).max() for values in turns) < np.pi
    assert 0.7 < motion.keypoints["pelvis"][:, 2].mean() < 1.15
    assert (
        np.abs(np.diff(motion.keypoints["pelvis"], axis=0)).max() * motion.rate < 8
    )  # m/s; one of them jumps by 33 mm once


@needs("falisse_3dpredictsim/IK_average_walking_FGC.mat")
@needs("loco_mujoco_mini/02-constspeed_reduced_humanoid.npz")
def test_walkers_adduct_the_leg_they_stand_on_in_both_sources() -> None:
    for file in ("falisse_3dpredictsim/IK_average_walking_FGC.mat", "loco_mujoco_mini/02-constspeed_full_humanoid.npz",
                 "loco_mujoco_mini/02-constspeed_reduced_humanoid.npz"):  # fmt: skip
        angles = read_motion(SHARED / file).angles
        # The pelvis that drops to the left adducts the right hip and abducts the left one.
        assert np.corrcoef(angles["pelvis_list"], angles["hip_adduction_l"])[0, 1] > 0.5
        assert np.corrcoef(angles["pelvis_list"], angles["hip_adduction_r"])[0, 1] < -0.2


@pytest.mark.parametrize("file", real(*NO_MOTION))
def test_real_tables_without_joint_angles_are_refused(file: str) -> None:
    with pytest.raises(UserError, match="is no table of joint angles"):
        read_motion(SHARED / file)
