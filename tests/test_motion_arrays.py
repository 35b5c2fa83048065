"""Motions in files of numpy: generated ones, poselib, LocoMuJoCo and MuscleMimic; code in them is never run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from motion_files import BODY, REST, assert_at, cache_file, mot_text, poselib_file, turned
from scipy.spatial.transform import Rotation

from arnold.errors import UserError
from arnold.motion.readers import read_motion

pytestmark = pytest.mark.unit


# ---- pickled numpy files


def joints_of_person(frames: int) -> np.ndarray:
    """(T, 22, 3) SMPL joints with y up, standing at the floor."""
    return np.tile(BODY + np.array([0, 1.2, -0.03]), (frames, 1, 1))


def test_one_of_several_generated_motions_is_read(tmp_path: Path) -> None:
    motions = np.zeros((2, 22, 3, 40), np.float32)
    motions[1] = joints_of_person(40).transpose(1, 2, 0)
    content = {"motion": motions, "text": ["lies", "a person stands"], "lengths": np.array([40, 30]), "num_samples": 2}
    np.save(tmp_path / "results.npy", np.array(content, object), allow_pickle=True)
    motion = read_motion(tmp_path / "results.npy", clip=1)
    assert (motion.name, motion.rate, motion.frames) == ("results_1", 20.0, 30)
    assert "a person stands" in motion.source
    assert_at(motion, 3, **REST)
    with pytest.raises(UserError, match="clip=2 is not among 0 to 1"):
        read_motion(tmp_path / "results.npy", clip=2)


def test_a_poselib_motion_is_posed(tmp_path: Path) -> None:
    motion = read_motion(poselib_file(tmp_path / "walk.npy"))
    assert motion.rate == 60.0
    assert_at(motion, 0, left_hip=(0, 0.09, 0.9), left_knee=(0, 0.09, 0.48), left_ankle=(0, 0.09, 0.07))
    assert_at(
        motion, 1, left_knee=(0.1, 0.09, 0.48), left_ankle=(0.1 - 0.41, 0.09, 0.48), right_ankle=(0.1, -0.09, 0.07)
    )
    np.testing.assert_allclose(turned(motion, "left_knee", 1, (0, 0, -1)), (-1, 0, 0), atol=1e-6)


class Hostile:
    """Runs a command when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.proof),)


def test_code_in_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    np.save(tmp_path / "bad.npy", np.array({"motion": Hostile(proof)}, object), allow_pickle=True)
    with pytest.raises(UserError, match="holds more than arrays"):
        read_motion(tmp_path / "bad.npy")
    np.savez(tmp_path / "bad.npz", poses=np.array(Hostile(proof), object), trans=np.zeros((2, 3)))
    with pytest.raises(UserError, match="holds code, which is never run"):
        read_motion(tmp_path / "bad.npz")
    assert not proof.exists()


# ---- joint positions


def loco_file(path: Path, full: bool, rate: float = 500.0) -> Path:
    way = 1.3 * np.arange(500) / rate
    q = {"pelvis_tx": way, "pelvis_tz": 0.1 + 0 * way, "pelvis_ty": -0.03 + 0 * way, "pelvis_tilt": 0 * way}
    q |= {
        "pelvis_list": 0 * way,
        "pelvis_rotation": 0 * way,
        "hip_adduction_l": 0.1 + way,
        "hip_adduction_r": 0.2 + way,
    }
    q["knee_angle_l"] = q["knee_angle_r"] = (1 if full else -1) * 0.5 * (1 + np.sin(way))
    if full:
        q |= {"knee_angle_l_translation1": 0 * way, "hip_adduction_l": -q["hip_adduction_l"]}
    speeds = {f"dq_{name}": np.full(500, 1.3) if name == "pelvis_tx" else 0 * way for name in q}
    np.savez(path, **{f"q_{name}": values for name, values in q.items()}, **speeds)
    return path


@pytest.mark.parametrize("full", [True, False])
def test_both_humanoids_of_loco_mujoco_give_opensims_signs(tmp_path: Path, full: bool) -> None:
    motion = read_motion(loco_file(tmp_path / "walk.npz", full))
    assert motion.rate == pytest.approx(500)
    assert "knee_angle_l_translation1" not in motion.angles
    np.testing.assert_allclose(motion.angles["knee_angle_l"], 0.5 * (1 + np.sin(motion.angles["pelvis_tx"])))
    np.testing.assert_allclose(motion.angles["hip_adduction_l"], 0.1 + motion.angles["pelvis_tx"])
    np.testing.assert_allclose(motion.angles["hip_adduction_r"], 0.2 + motion.angles["pelvis_tx"])
    assert_at(motion, 0, pelvis=(0, -0.1, 0.945))


def test_the_rate_of_joint_angles_follows_from_their_speeds(tmp_path: Path) -> None:
    assert read_motion(loco_file(tmp_path / "walk.npz", True, rate=250)).rate == pytest.approx(250)


def test_the_root_of_a_musclemimic_cache_is_told_in_opensims_coordinates_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    qpos = np.zeros((50, 11))
    qpos[:, :3] = rng.normal(size=(50, 3))
    steps = Rotation.from_rotvec(np.cumsum(rng.normal(0, 0.05, (50, 3)), axis=0))
    qpos[:, 3:7] = steps.as_quat(scalar_first=True)
    motion = read_motion(cache_file(tmp_path / "cache.npz", qpos=qpos))
    # An OpenSim table of those coordinates is the same pelvis in the world.
    table = {"time": np.arange(30) / 100} | {n: v for n, v in motion.angles.items() if n.startswith("pelvis_")}
    (tmp_path / "ik.sto").write_text(mot_text(table, degrees="no"))
    again = read_motion(tmp_path / "ik.sto")
    np.testing.assert_allclose(again.keypoints["pelvis"], motion.keypoints["pelvis"], atol=1e-8)
    np.testing.assert_allclose(again.orientations["pelvis"], motion.orientations["pelvis"], atol=1e-8)


def test_a_musclemimic_cache_gives_angles_without_the_coupled_knee(tmp_path: Path) -> None:
    motion = read_motion(cache_file(tmp_path / "cache.npz"), clip=1)
    assert (motion.name, motion.rate, motion.frames) == ("cache_1", 100.0, 20)
    angles = {name: values[0] for name, values in motion.angles.items() if not name.startswith("pelvis_")}
    assert angles == {"hip_flexion_l": 0.3, "knee_angle_l": 0.6}
    # It faces y and goes along y: aligned, it faces and goes along x.
    np.testing.assert_allclose(np.abs(motion.orientations["pelvis"]), [[1, 0, 0, 0]] * 20, atol=1e-9)
    assert_at(motion, 19, pelvis=(0.19, 0, 0.95))
    as_it_is = read_motion(tmp_path / "cache.npz", clip=1, align=False)
    np.testing.assert_allclose(turned(as_it_is, "pelvis", 0, (1, 0, 0)), (0, 1, 0), atol=1e-9)
