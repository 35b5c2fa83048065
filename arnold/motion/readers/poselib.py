"""Motions of poselib, as IsaacGymEnvs' AMP has them: a pickled dictionary with a skeleton and rotations per frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from arnold.errors import UserError
from arnold.motion.motion import Motion
from arnold.motion.readers.options import ReadOptions, check_finite, one_line
from arnold.motion.readers.skeleton import Tree, check_rest, find_joints, motion_of_tree

# A humanoid of this format names bodies, each with its origin at the joint above it.
_JOINTS = (
    ("upper_arm", "shoulder"),
    ("lower_arm", "elbow"),
    ("hand", "wrist"),
    ("thigh", "hip"),
    ("shin", "knee"),
    ("foot", "ankle"),
)
_BODIES = {f"{side}_{body}": f"{side}_{joint}" for side in ("left", "right") for body, joint in _JOINTS}
_BODIES["torso"] = "spine"


def read(path: Path, content: dict[str, Any], options: ReadOptions) -> Motion:
    """The motion of a poselib `SkeletonMotion`.

    Raises:
        UserError: where a part is missing or damaged, or the skeleton is not known.
    """
    try:
        skeleton = content["skeleton_tree"]
        names = tuple(str(name) for name in skeleton["node_names"])
        parents = tuple(int(parent) for parent in skeleton["parent_indices"]["arr"])
        tree = Tree(names, parents, np.asarray(skeleton["local_translation"]["arr"], float))
        quats = np.asarray(content["rotation"]["arr"], float)
        root = np.asarray(content["root_translation"]["arr"], float)
        is_local, said = bool(content["is_local"]), content["fps"]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{str(path)!r} is no whole poselib motion ({type(error).__name__}: {one_line(error)}); it is damaged or "
            "of another version"
        ) from error
    if (
        quats.shape != (len(root), len(names), 4)
        or root.shape[1:] != (3,)
        or tree.offsets.shape != (len(names), 3)
        or len(parents) != len(names)
    ):
        raise UserError(
            f"{str(path)!r} has rotations of shape {quats.shape} and places of {root.shape} for {len(names)} bodies; "
            f"(frames, {len(names)}, 4) and (frames, 3) are accepted"
        )
    if any(not -1 <= parent < joint for joint, parent in enumerate(parents)):
        raise UserError(f"{str(path)!r} has parents {parents}; each body comes after its parent, the root's is -1")
    check_rest(path, tree)
    rate = options.frame_rate(path, np.asarray(said).item())
    window = options.window(path, len(root), rate)
    quats, root = quats[window], root[window]
    check_finite(path, "rotation", quats, window.start)
    check_finite(path, "root place", root, window.start)
    lengths = np.linalg.norm(quats, axis=-1).min(axis=1)
    if (lengths < 0.5).any():
        raise UserError(
            f"{str(path)!r} has a quaternion of length {lengths.min():g} at frame "
            f"{int(np.argmin(lengths)) + window.start}; unit quaternions are accepted"
        )
    turns = Rotation.from_quat(quats.reshape(-1, 4)).as_matrix().reshape(*quats.shape[:2], 3, 3)
    if not is_local:
        turns = np.stack(
            [turns[:, j] if p < 0 else turns[:, p].transpose(0, 2, 1) @ turns[:, j] for j, p in enumerate(parents)],
            axis=1,
        )
    places, globals_ = tree.pose(turns, root)
    found = find_joints(tree) | {_BODIES[name]: i for i, name in enumerate(names) if name in _BODIES}
    return motion_of_tree(
        path,
        options,
        tree,
        places,
        globals_,
        rate=rate,
        found=found,
        metres=1.0,
        up="z",
        source=f"poselib motion {path.name}",
    )
