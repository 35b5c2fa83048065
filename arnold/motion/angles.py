"""Motions told in joint angles, put straight onto a body's joints.

OpenSim's ground has x ahead, y up and z to the right; its pelvis turns by tilt about z, then list about x, then
rotation about y (gait2392, Rajagopal 2015). Arms are told as flexion about z, adduction about x and rotation about y of
the upper arm on the trunk, while the bodies' shoulders have other axes: they follow by inverse kinematics.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from arnold.errors import UserError
from arnold.motion.motion import Motion
from arnold.motion.scaling import SIDES, Targets
from arnold.motion.skeleton import Skeleton

# OpenSim's axes in ours: its x, y, z are our x, z, -y.
_OPENSIM = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
_TURNS = ("pelvis_tilt", "pelvis_list", "pelvis_rotation")
_PLACES = ("pelvis_tx", "pelvis_ty", "pelvis_tz")


def follow_angles(motion: Motion, skeleton: Skeleton) -> tuple[np.ndarray, Targets]:
    """A motion's angles on the body's joints.

    Args:
        motion: with angles named as OpenSim names them, or as the body names its joints.
        skeleton: the body's.

    Returns:
        qpos (T, nq), on the body's couplings and within its limits, and the targets: where what was asked for would
        have the keypoints, limits or not.

    Raises:
        UserError: where the motion has none of the angles of the body's joints.
    """
    known = {angle: to for angle, to in skeleton.map.angles.items() if angle in motion.angles}
    own = [joint for joint in skeleton.free_joints if joint in motion.angles and joint not in known]
    arms = [s for s in SIDES if _has_arm(motion, skeleton, s)]
    if not known and not own and not arms:
        raise UserError(
            f"motion {motion.name!r} has no angle of a joint of body {skeleton.name!r}; it has "
            f"{', '.join(list(motion.angles)[:8])}; the body has {', '.join(list(skeleton.map.angles)[:8])}"
        )
    asked = np.repeat(skeleton.obey(skeleton.full.qpos0)[None], motion.frames, axis=0)
    for angle, (joint, factor) in known.items():
        address = int(skeleton.full.joint(joint).qposadr[0])
        asked[:, address] = factor * np.asarray(motion.angles[angle], float) / _share(skeleton, address)
    for joint in own:
        asked[:, int(skeleton.full.joint(joint).qposadr[0])] = motion.angles[joint]
    if skeleton.root >= 0:
        asked = _root(motion, skeleton, asked)
    asked = skeleton.led(asked)
    places = dict(zip(skeleton.keypoints, skeleton.places(asked).transpose(1, 0, 2), strict=True))
    qpos = skeleton.obey(asked)
    turns = (
        {"pelvis": skeleton.poses(asked)[1][:, skeleton.full.body(skeleton.map.keypoints["pelvis"]).id]}
        if "pelvis" in places
        else {}
    )
    if arms:
        qpos, wanted = _with_arms(motion, skeleton, qpos, arms)
        places |= wanted
    return qpos, Targets(places, turns, {}, np.zeros(motion.frames))


def _share(skeleton: Skeleton, leader: int) -> float:
    """How far a chain of joints turns in all per radian of its leader; 1 where the followers are none of the chain."""
    model = skeleton.full
    joints = {int(model.jnt_qposadr[j]): j for j in range(model.njnt)}
    axis, total = model.jnt_axis[joints[leader]], 1.0
    for c in skeleton.couplings:
        follower = joints[c.follower]
        straight = not np.any(c.coefficients[2:])
        same = (
            np.allclose(model.jnt_axis[follower], axis) and model.jnt_type[follower] == model.jnt_type[joints[leader]]
        )
        if c.leader == leader and straight and same and model.joint(follower).name not in _SIDE_BRANCHES:
            total += float(c.coefficients[1])
    return total


_SIDE_BRANCHES = ("Abs_r3",)  # turns the belly, which carries nothing


def _root(motion: Motion, skeleton: Skeleton, qpos: np.ndarray) -> np.ndarray:
    """The free joint from the pelvis' coordinates; what the file does not tell stays as in the rest pose."""
    root, angles, zero = skeleton.root, motion.angles, np.zeros(motion.frames)
    tilt, tip, turn = (np.asarray(angles.get(name, zero), float) for name in _TURNS)
    opensim = Rotation.from_euler("ZXY", np.stack([tilt, tip, turn], axis=-1)).as_matrix()
    turned = Rotation.from_matrix(_OPENSIM @ opensim @ _OPENSIM.T)
    rest = Rotation.from_quat(skeleton.full.qpos0[root + 3 : root + 7], scalar_first=True)
    qpos = qpos.copy()
    qpos[:, root + 3 : root + 7] = (turned * skeleton.rest_heading.inv() * rest).as_quat(scalar_first=True)
    place = np.stack([np.asarray(angles.get(name, zero), float) for name in _PLACES], axis=-1) @ _OPENSIM.T
    if "pelvis_ty" not in angles:
        place[:, 2] = skeleton.full.qpos0[root + 2]
    qpos[:, root : root + 3] = place - np.array([place[0, 0], place[0, 1], 0.0])
    return qpos


def _has_arm(motion: Motion, skeleton: Skeleton, side: str) -> bool:
    told = {f"arm_flex_{side[0]}", f"arm_add_{side[0]}"} <= set(motion.angles)
    return told and {f"{side}_wrist", "spine"} <= set(skeleton.keypoints)


def _with_arms(
    motion: Motion, skeleton: Skeleton, qpos: np.ndarray, sides: list[str]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The arms by inverse kinematics, all else as it is."""
    from arnold.motion.retargeting import solve

    points, turns = skeleton.poses(qpos)
    at = {name: points[:, skeleton.full.body(part).id] for name, part in skeleton.map.keypoints.items()}
    rest = dict(zip(skeleton.keypoints, skeleton.standing[0], strict=True))
    chest = turns[:, skeleton.full.body(skeleton.map.keypoints["spine"]).id]
    chest = chest @ skeleton.standing[1][skeleton.keypoints.index("spine")].T  # away from standing, facing x
    wanted = {}
    for s in sides:
        zero = np.zeros(motion.frames)
        mirror = 1.0 if s == "right" else -1.0
        flex, add, turn, bend = (
            np.asarray(motion.angles.get(f"{name}_{s[0]}", zero), float)
            for name in ("arm_flex", "arm_add", "arm_rot", "elbow_flex")
        )
        upper = Rotation.from_euler("ZXY", np.stack([flex, mirror * add, mirror * turn], axis=-1)).as_matrix()
        upper = chest @ (_OPENSIM @ upper @ _OPENSIM.T)
        fore = upper @ (_OPENSIM @ Rotation.from_rotvec(bend[:, None] * [0.0, 0.0, 1.0]).as_matrix() @ _OPENSIM.T)
        elbow = at[f"{s}_shoulder"] + upper @ (rest[f"{s}_elbow"] - rest[f"{s}_shoulder"])
        wanted[f"{s}_shoulder"] = at[f"{s}_shoulder"]
        wanted[f"{s}_elbow"] = elbow
        wanted[f"{s}_wrist"] = elbow + fore @ (rest[f"{s}_wrist"] - rest[f"{s}_elbow"])
    told = {
        int(skeleton.model.joint(joint).dofadr[0])
        for angle, (joint, _) in skeleton.map.angles.items()
        if angle in motion.angles
    }
    free = {d for s in sides for d in skeleton.dofs_between("spine", f"{s}_wrist")} - told
    return solve(skeleton, Targets(wanted, {}, {}, np.zeros(motion.frames)), near=qpos, free=free), wanted
