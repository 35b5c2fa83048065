"""AMASS and other motions of SMPL-H and SMPL-X, through smplx and the body models that the user brings.

The models have a licence of their own and cannot be shipped. Rates are those of the file: `mocap_framerate` of SMPL-H,
`mocap_frame_rate` of SMPL-X. The places of the 22 body joints follow from the shape and the pose; hands are left out.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from arnold.errors import UserError, did_you_mean
from arnold.motion.motion import Motion
from arnold.motion.readers.options import ReadOptions, check_finite, one_line
from arnold.motion.readers.skeleton import Tree, motion_of_tree

JOINTS = {
    "pelvis": 0, "left_hip": 1, "right_hip": 2, "spine": 3, "left_knee": 4, "right_knee": 5, "left_ankle": 7,
    "right_ankle": 8, "left_toe": 10, "right_toe": 11, "head": 15, "left_shoulder": 16, "right_shoulder": 17,
    "left_elbow": 18, "right_elbow": 19, "left_wrist": 20, "right_wrist": 21,
}  # fmt: skip
"""Which of SMPL's joints is which keypoint; the same in SMPL, SMPL-H and SMPL-X."""

VARIABLE = "ARNOLD_SMPL_MODELS"
BODY_JOINTS = 22
"""Joints of the body, which come first in SMPL-H and SMPL-X alike; hands and face follow."""

_COLUMNS = {72: "smpl", 156: "smplh", 165: "smplx"}
_WHERE = {
    "smpl": "https://smpl.is.tue.mpg.de",
    "smplh": "https://mano.is.tue.mpg.de (Extended SMPL+H model, used in AMASS)",
    "smplx": "https://smpl-x.is.tue.mpg.de",
}
_NEEDED = ("v_template", "shapedirs", "J_regressor", "kintree_table")


def read(path: Path, content: Any, options: ReadOptions) -> Motion:
    """The motion of an npz of SMPL poses.

    Args:
        path: the file.
        content: its arrays by name: `poses` (T, 72, 156 or 165) rad, `trans` (T, 3) m, `betas`, `gender`, and the rate.
        options: of the user.

    Raises:
        UserError: where arrays are missing or damaged, or smplx or the body model is not there.
    """
    if "trans" not in content:
        raise UserError(
            f"{str(path)!r} has poses and no trans; AMASS files have poses, trans, betas, gender and a rate"
        )
    poses, trans = np.asarray(content["poses"], float), np.asarray(content["trans"], float)
    if poses.ndim != 2 or poses.shape[1] not in _COLUMNS or trans.shape != (len(poses), 3):
        raise UserError(
            f"{str(path)!r} has poses of shape {poses.shape} and trans of {trans.shape}; (frames, 72, 156 or 165) and "
            "(frames, 3) are accepted"
        )
    kind = _COLUMNS[poses.shape[1]]
    said = next((content[name] for name in ("mocap_framerate", "mocap_frame_rate", "fps") if name in content), None)
    rate = options.frame_rate(path, None if said is None else np.asarray(said).item())
    window = options.window(path, len(poses), rate)
    check_finite(path, "pose", poses[window], window.start)
    check_finite(path, "trans", trans[window], window.start)
    betas = np.asarray(content["betas"], float).reshape(-1) if "betas" in content else np.zeros(10)
    gender = _gender(np.asarray(content["gender"]).item()) if "gender" in content else "neutral"
    tree = body_tree(path, kind, gender, betas, options)
    turns = _rotations(poses[window, : 3 * BODY_JOINTS])
    places, globals_ = tree.pose(turns, trans[window] + tree.offsets[0])
    return motion_of_tree(
        path,
        options,
        tree,
        places,
        globals_,
        rate=rate,
        found=JOINTS,
        metres=1.0,
        up="z",
        source=f"{kind} poses {path.name}, {gender} body",
        subject=path.parent.name if path.stem.endswith(("_poses", "_stageii")) else "",
    )


def body_tree(path: Path, kind: str, gender: str, betas: np.ndarray, options: ReadOptions) -> Tree:
    """The 22 body joints of a person's shape, as a tree in metres; its root's offset is the pelvis from the model's
    origin.

    Raises:
        UserError: where smplx is not installed, or no model of this kind and gender is in the folder of models.
    """
    try:
        import smplx.lbs
        import torch
    except ImportError as error:
        raise UserError(
            f"{str(path)!r} holds {kind} poses, which need smplx ({one_line(error)}); install the extra: pip install "
            "'arnold[smpl]'"
        ) from error
    model = _model(path, kind, gender, options)
    count = min(len(betas), model["shapedirs"].shape[2])
    shape = torch.tensor(betas[None, :count])
    directions = torch.tensor(model["shapedirs"][:, :, :count])
    vertices = torch.tensor(model["v_template"])[None] + smplx.lbs.blend_shapes(shape, directions)
    joints = smplx.lbs.vertices2joints(torch.tensor(model["J_regressor"]), vertices)[0, :BODY_JOINTS].numpy()
    parents = [-1, *(int(parent) for parent in model["kintree_table"][0][1:BODY_JOINTS])]
    offsets = np.stack(
        [joint - (joints[parent] if parent >= 0 else 0) for joint, parent in zip(joints, parents, strict=True)]
    )
    names = {index: name for name, index in JOINTS.items()}
    return Tree(tuple(names.get(i, f"joint{i}") for i in range(BODY_JOINTS)), tuple(parents), offsets)


def _model(path: Path, kind: str, gender: str, options: ReadOptions) -> dict[str, np.ndarray]:
    """The arrays of a body model that joints follow from, in double precision."""
    file = _model_file(path, kind, gender, options)
    if file.suffix == ".npz":
        with np.load(file, allow_pickle=False) as stored:
            missing = [name for name in _NEEDED if name not in stored.files]
            if missing:
                raise UserError(
                    f"body model {str(file)!r} has no {', '.join(missing)}; get it anew from {_WHERE[kind]}"
                )
            arrays = {name: stored[name] for name in _NEEDED}
    else:
        import smplx

        model = smplx.create(
            str(file),
            model_type=kind,
            gender=gender,
            ext="pkl",
            num_betas=300,
            **({} if kind == "smpl" else {"use_pca": False}),
        )
        arrays = {name: getattr(model, name).detach().numpy() for name in _NEEDED[:3]}
        arrays["kintree_table"] = model.parents.numpy()[None]
    return {name: array.astype(np.int64 if name == "kintree_table" else np.float64) for name, array in arrays.items()}


def _model_file(path: Path, kind: str, gender: str, options: ReadOptions) -> Path:
    """The file of a body model, laid out as smplx or as the download for AMASS has it."""
    folder = options.models if options.models is not None else os.environ.get(VARIABLE)
    where = f"get the models from {_WHERE[kind]} (free for research after registering)"
    advice = f"{where} and name their folder as models=FOLDER or in {VARIABLE}"
    if folder is None:
        raise UserError(
            f"{str(path)!r} needs the {kind} body model of gender {gender!r}, which no folder was named for; {advice}"
        )
    root, stem = Path(folder).expanduser(), f"{kind.upper()}_{gender.upper()}"
    tries = [root / sub / f"{stem}.{ext}" for ext in ("npz", "pkl") for sub in (kind, "")]
    tries += [root / sub / gender / "model.npz" for sub in (kind, "")]
    for file in tries:
        if file.is_file():
            return file
    raise UserError(
        f"{str(path)!r} needs the {kind} body model of gender {gender!r} and {str(root)!r} has no {kind}/{stem}.npz or "
        f".pkl; {advice}"
    )


def _gender(said: object) -> str:
    """The gender of the body model; old files hold it as bytes."""
    gender = (said.decode() if isinstance(said, bytes) else str(said)).strip().lower()
    gender = gender.removeprefix("b'").removesuffix("'")
    if gender not in ("neutral", "male", "female"):
        raise UserError(
            f"a motion says the gender {gender!r}, for which there is no body model; "
            f"{did_you_mean(gender, ('neutral', 'male', 'female'))}"
        )
    return gender


def _rotations(vectors: np.ndarray) -> np.ndarray:
    """Rotation matrices (T, J, 3, 3) of rotation vectors (T, 3 J)."""
    return Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix().reshape(len(vectors), -1, 3, 3)
