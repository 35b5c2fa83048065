"""SMPL-H and SMPL-X poses on a made-up body model, against smplx itself; what is missing is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from motion_files import BODY, turned
from scipy.spatial.transform import Rotation

from arnold.errors import UserError
from arnold.motion import KEYPOINTS
from arnold.motion.readers import read_motion, smpl

pytestmark = pytest.mark.unit

BODY_PARENTS = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19]


def body_model(folder: Path, kind: str) -> None:
    """A body model whose vertices are its joints; its first shape number makes it a tenth larger."""
    count = {"smplh": 52, "smplx": 55}[kind]
    joints = np.concatenate([BODY, np.tile(BODY[20], (count - 22, 1))])
    parents = np.array([*BODY_PARENTS, *[20] * (count - 22)])
    shapes = np.zeros((count, 3, 16))
    shapes[:, :, 0] = 0.1 * joints
    (folder / kind).mkdir(parents=True)
    np.savez(
        folder / kind / f"{kind.upper()}_NEUTRAL.npz",
        v_template=joints,
        shapedirs=shapes,
        J_regressor=np.eye(count),
        kintree_table=np.stack([np.where(parents < 0, 2**32 - 1, parents), np.arange(count)]).astype(np.uint32),
        dynamic=np.array({"a": 1}, object),  # official files hold such things beside what is needed
    )


@pytest.mark.parametrize(
    ("kind", "columns", "key"), [("smplh", 156, "mocap_framerate"), ("smplx", 165, "mocap_frame_rate")]
)
def test_amass_poses_move_the_body_of_the_subjects_shape(tmp_path: Path, kind: str, columns: int, key: str) -> None:
    pytest.importorskip("smplx")
    body_model(tmp_path, kind)
    poses, trans, betas = np.zeros((3, columns)), np.zeros((3, 3)), np.zeros(16)
    # SMPL stands with y up; AMASS turns its root so that z is up. Here it also walks along x and raises its left thigh.
    poses[:, :3] = Rotation.from_matrix([[0, 0, 1], [1, 0, 0], [0, 1, 0]]).as_rotvec()
    poses[1, 3 : 3 + 3] = (-np.pi / 2, 0, 0)
    trans[:, 0], trans[:, 2] = (0, 0.1, 0.2), 1.2
    betas[0] = 1.0
    np.savez(tmp_path / "walk_poses.npz", poses=poses, trans=trans, betas=betas, gender="neutral", **{key: 100.0})
    motion = read_motion(tmp_path / "walk_poses.npz", models=tmp_path, align=False)
    assert (motion.rate, motion.frames, motion.subject) == (100.0, 3, tmp_path.name)
    assert list(motion.keypoints) == list(KEYPOINTS)
    # By the formula of linear blend skinning the root turns about the pelvis of the shaped body, not about the origin.
    pelvis = 1.1 * BODY[0] + np.array([0, 0, 1.2])
    np.testing.assert_allclose(motion.keypoints["pelvis"][0], pelvis, atol=1e-6)
    np.testing.assert_allclose(motion.keypoints["left_knee"][0], pelvis + 1.1 * np.array([0, 0.09, -0.51]), atol=1e-6)
    np.testing.assert_allclose(
        motion.keypoints["left_knee"][1], pelvis + np.array([0.1 + 1.1 * 0.43, 1.1 * 0.09, -1.1 * 0.08]), atol=1e-6
    )
    np.testing.assert_allclose(turned(motion, "left_hip", 1, (0, 0, -1)), (1, 0, 0), atol=1e-6)
    np.testing.assert_allclose(turned(motion, "pelvis", 0, (1, 0, 0)), (1, 0, 0), atol=1e-6)


def test_smplx_agrees_on_where_joints_are(tmp_path: Path) -> None:
    lbs = pytest.importorskip("smplx.lbs")
    import torch

    body_model(tmp_path, "smplh")
    rng = np.random.default_rng(0)
    poses, trans = rng.normal(0, 0.4, (4, 156)), rng.normal(0, 1, (4, 3))
    np.savez(
        tmp_path / "random.npz", poses=poses, trans=trans, betas=np.zeros(10), gender="neutral", mocap_framerate=60
    )
    motion = read_motion(tmp_path / "random.npz", models=tmp_path, align=False)
    turns = torch.tensor(Rotation.from_rotvec(poses[:, :66].reshape(-1, 3)).as_matrix().reshape(4, 22, 3, 3))
    joints = torch.tensor(BODY)[None].expand(4, 22, 3)
    expected = (
        lbs.batch_rigid_transform(turns, joints, torch.tensor(BODY_PARENTS), dtype=torch.float64)[0].numpy()
        + trans[:, None]
    )
    for name, index in smpl.JOINTS.items():
        np.testing.assert_allclose(motion.keypoints[name], expected[:, index], atol=1e-9)


def test_a_missing_body_model_is_said_with_where_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("smplx")
    monkeypatch.delenv(smpl.VARIABLE, raising=False)
    np.savez(tmp_path / "a.npz", poses=np.zeros((3, 156)), trans=np.zeros((3, 3)), gender="female", mocap_framerate=100)
    with pytest.raises(UserError, match=r"no folder was named for; get the models from https://mano\.is\.tue\.mpg\.de"):
        read_motion(tmp_path / "a.npz")
    monkeypatch.setenv(smpl.VARIABLE, str(tmp_path))
    with pytest.raises(UserError, match=r"has no smplh/SMPLH_FEMALE\.npz or \.pkl; get the models from"):
        read_motion(tmp_path / "a.npz")


def test_a_missing_smplx_is_said_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "smplx.lbs", None)
    np.savez(tmp_path / "a.npz", poses=np.zeros((3, 156)), trans=np.zeros((3, 3)), gender="female", mocap_framerate=100)
    with pytest.raises(UserError, match=r"pip install 'arnold\[smpl\]'"):
        read_motion(tmp_path / "a.npz")
