"""A tree of joints and its pose, and the keypoints and orientations in it, whatever the file calls its joints."""

from __future__ import annotations

import dataclasses
import itertools
import re
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from arnold.errors import UserError
from arnold.motion.motion import KEYPOINTS, Motion
from arnold.motion.readers.frames import check_known, heading, metres_per_unit, upright
from arnold.motion.readers.options import ReadOptions

# Names of joints without case, signs and the prefixes of exporters; {s} is l or r, {side} left or right. The first that
# a skeleton has is taken: some call the shoulder's joint "LeftArm" and the collar bone "LeftShoulder".
_SYNONYMS: dict[str, tuple[str, ...]] = {
    "shoulder": (
        "{side}arm",
        "{side}uparm",
        "{side}upperarm",
        "{s}humerus",
        "{s}upperarm",
        "{s}uparm",
        "{s}shldr",
        "{s}arm",
        "{side}shoulder",
        "{s}shoulder",
    ),
    "elbow": (
        "{side}forearm",
        "{side}lowarm",
        "{side}lowerarm",
        "{side}elbow",
        "{s}radius",
        "{s}forearm",
        "{s}lowerarm",
        "{s}elbow",
    ),
    "wrist": ("{side}wrist", "{s}wrist", "{side}hand", "{s}hand"),
    "hip": ("{side}upleg", "{side}upperleg", "{side}thigh", "{s}femur", "{s}thigh", "{s}upleg", "{side}hip", "{s}hip"),
    "knee": (
        "{side}leg",
        "{side}lowleg",
        "{side}lowerleg",
        "{side}calf",
        "{side}shin",
        "{side}knee",
        "{s}tibia",
        "{s}calf",
        "{s}shin",
        "{s}leg",
        "{s}knee",
    ),
    "ankle": ("{side}ankle", "{s}ankle", "{side}foot", "{s}foot"),
    "toe": ("{side}toebase", "{side}toe", "{side}toes", "{s}toebase", "{s}toes", "{s}toe"),
}
_CENTRE = {
    "pelvis": ("hips", "pelvis", "hip", "root"),
    "head": ("head",),
}
_PREFIX = re.compile(r"^(ccbase|mixamorig\d*|bip0?1?|biped|skeleton|def|character\d*)(?=.)")
_SPINE_FROM_PELVIS_M = 0.06
"""The `spine` keypoint is the first joint of the trunk at least this far from the pelvis."""


@dataclasses.dataclass(frozen=True)
class Tree:
    """Joints, parents before children.

    Attributes:
        names: of the J joints.
        parents: index of each joint's parent, -1 for the root.
        offsets: (J, 3) from the parent in the parent's frame, in the file's unit; the pose without any rotation is the
            skeleton's rest.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: np.ndarray

    def pose(
        self, turns: np.ndarray, root: np.ndarray, moves: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Places (T, J, 3) and global rotations (T, J, 3, 3) of the joints.

        Args:
            turns: (T, J, 3, 3) rotation of each joint in its parent's frame.
            root: (T, 3) place of the root.
            moves: (T, J, 3) offsets where they change over time; `offsets` where None.
        """
        places, globals_ = np.zeros((len(turns), len(self.names), 3)), np.zeros_like(turns)
        for joint, parent in enumerate(self.parents):
            if parent < 0:
                places[:, joint], globals_[:, joint] = root, turns[:, joint]
                continue
            offset = self.offsets[joint] if moves is None else moves[:, joint]
            places[:, joint] = places[:, parent] + np.einsum(
                "tij,...j->ti" if offset.ndim == 1 else "tij,tj->ti", globals_[:, parent], offset
            )
            globals_[:, joint] = globals_[:, parent] @ turns[:, joint]
        return places, globals_


def check_rest(path: Path, tree: Tree) -> None:
    """Raise where the length of a bone is no number.

    Raises:
        UserError: names the file and the joint.
    """
    bad = np.flatnonzero(~np.isfinite(tree.offsets).all(axis=1))
    if len(bad):
        raise UserError(f"{str(path)!r} has joint {tree.names[bad[0]]!r} at {tree.offsets[bad[0]]}; it is damaged")


def find_joints(tree: Tree) -> dict[str, int]:
    """Which joint of a tree is which keypoint: indices by a name of `KEYPOINTS`."""
    plain = [_PREFIX.sub("", re.sub(r"[^a-z0-9]", "", name.lower())) for name in tree.names]
    found: dict[str, int] = {}
    for side in ("left", "right"):
        for joint, patterns in _SYNONYMS.items():
            names = [pattern.format(side=side, s=side[0]) for pattern in patterns]
            if side_joint := [
                plain.index(name) for name in names if name in plain and plain.index(name) not in found.values()
            ]:
                found[f"{side}_{joint}"] = side_joint[0]
    for centre, centre_names in _CENTRE.items():
        if joints := [
            plain.index(name) for name in centre_names if name in plain and plain.index(name) not in found.values()
        ]:
            found[centre] = joints[0]
    return found


def motion_of_tree(
    path: Path,
    options: ReadOptions,
    tree: Tree,
    places: np.ndarray,
    turns: np.ndarray,
    *,
    rate: float,
    found: dict[str, int] | None = None,
    metres: float | None = None,
    up: str | None = None,
    source: str,
    subject: str = "",
) -> Motion:
    """The motion of a posed tree.

    Args:
        path: the file.
        options: of the user.
        tree: the joints.
        places: (T, J, 3) in the file's axes and unit.
        turns: (T, J, 3, 3) global rotations.
        rate: frames per second.
        found: which joint is which keypoint; by `find_joints` where None.
        metres: metres per unit where the file says it; otherwise found from the legs.
        up: the axis that points up in files of the format; found from the pose where None.
        source: of the motion.
        subject: who moved.

    Raises:
        UserError: where the skeleton or its scale is not known.
    """
    found = find_joints(tree) if found is None else dict(found)
    check_known(path, found, tree.names)
    if metres is None or options.scale is not None:
        metres = metres_per_unit(path, _leg(tree, found), options.scale)
    places = places * metres
    to_world = upright(path, {name: places[:, joint] for name, joint in found.items()}, options.up or up, "y")
    if "spine" not in found and (spine := _spine(tree, found, places)) is not None:
        found["spine"] = spine
    points = {name: places[:, found[name]] @ to_world.T for name in KEYPOINTS if name in found}
    if options.align:
        turn = heading(points)
        points = {name: point @ turn.T for name, point in points.items()}
        to_world = turn @ to_world
    return Motion(
        name=path.stem,
        rate=rate,
        keypoints=points,
        orientations=_orientations(tree, found, points, to_world @ turns),
        source=source,
        subject=subject,
    )


def quaternions(turns: np.ndarray) -> np.ndarray:
    """Unit quaternions (T, 4) w, x, y, z of rotations (T, 3, 3), without jumps of sign."""
    quats = Rotation.from_matrix(turns).as_quat(scalar_first=True)
    flips = np.cumprod(np.where((quats[1:] * quats[:-1]).sum(axis=1) < 0, -1.0, 1.0))
    return np.concatenate([quats[:1], quats[1:] * flips[:, None]])


def _leg(tree: Tree, found: dict[str, int]) -> float:
    """Mean length of thigh and shank together, in the tree's unit; that of the arms, scaled up, where there are no
    legs."""
    lengths = []
    for joints, per_leg in ((("hip", "knee", "ankle"), 1.0), (("shoulder", "elbow", "wrist"), 0.85 / 0.55)):
        for side in ("left", "right"):
            if all(f"{side}_{joint}" in found for joint in joints):
                chain = [found[f"{side}_{joint}"] for joint in joints]
                lengths.append(per_leg * sum(_distance(tree, a, b) for a, b in itertools.pairwise(chain)))
        if lengths:
            return float(np.mean(lengths))
    return float("nan")


def _distance(tree: Tree, ancestor: int, joint: int) -> float:
    """Length of the chain of bones from ``ancestor`` down to ``joint``."""
    total = 0.0
    while joint not in (ancestor, -1):
        total += float(np.linalg.norm(tree.offsets[joint]))
        joint = tree.parents[joint]
    return total


def _spine(tree: Tree, found: dict[str, int], places: np.ndarray) -> int | None:
    """The lowest joint of the trunk that is not the pelvis itself."""
    if "pelvis" not in found or "head" not in found:
        return None
    below, joint = [-1], found["pelvis"]
    while joint >= 0:
        below.append(joint)
        joint = tree.parents[joint]
    chain, joint = [], tree.parents[found["head"]]
    while joint not in below:
        chain.append(joint)
        joint = tree.parents[joint]
    above = (
        j for j in reversed(chain) if np.linalg.norm(places[0, j] - places[0, found["pelvis"]]) > _SPINE_FROM_PELVIS_M
    )
    return next(above, None)


def _orientations(
    tree: Tree, found: dict[str, int], points: dict[str, np.ndarray], turns: np.ndarray
) -> dict[str, np.ndarray]:
    """Turns (T, 4) of segments away from the neutral stance, for those of which the file tells what neutral is.

    How a joint's own frame lies in the neutral stance follows from the rest pose, where that stands upright with legs
    straight and arms out or down: the shortest turn from there (a T-pose with palms down gives palms to the thighs).
    For other rests it follows from the direction of the bone and the axis about which knee and elbow bend in the
    motion.
    """
    if not {"pelvis", "left_hip", "right_hip"} <= set(found):
        return {}
    pelvis = turns[:, found["pelvis"]]
    across = np.einsum("tji,tj->i", pelvis, points["left_hip"] - points["right_hip"])
    base = _pelvis_frame(across, pelvis.mean(axis=0).T @ np.array([0.0, 0.0, 1.0]))
    rest = tree.pose(np.tile(np.eye(3), (1, len(tree.names), 1, 1)), np.zeros((1, 3)))[0][0] @ base.T
    neutral = {"pelvis": base, **_trunk(found, rest, base)}
    for side in ("left", "right"):
        neutral |= _leg_frames(side, found, points, turns, rest, base)
        neutral |= _arm_frames(side, found, points, turns, rest, base)
    return {name: quaternions(turns[:, found[name]] @ neutral[name].T) for name in KEYPOINTS if name in neutral}


def _pelvis_frame(across: np.ndarray, up: np.ndarray) -> np.ndarray:
    """The rotation (3, 3) from the pelvis' own axes to x forward, y left, z up: its axes are those nearest to the two
    vectors."""
    up = np.sign(up[np.argmax(np.abs(up))]) * np.eye(3)[np.argmax(np.abs(up))]
    across = across - up * (across @ up)
    across = across / np.linalg.norm(across)
    nearest = np.argmax(np.abs(across))
    if abs(across[nearest]) > np.cos(np.radians(15)):
        across = np.sign(across[nearest]) * np.eye(3)[nearest]
    return np.stack([np.cross(across, up), across, up])


def _trunk(found: dict[str, int], rest: np.ndarray, base: np.ndarray) -> dict[str, np.ndarray]:
    """Neutral frames of spine and head, where the trunk is straight up at rest."""
    if "spine" not in found:
        return {}
    trunk = rest[found["head"]] - rest[found["spine"]]
    return {"spine": base, "head": base} if trunk[2] > 0.8 * np.linalg.norm(trunk) else {}


def _leg_frames(
    side: str,
    found: dict[str, int],
    points: dict[str, np.ndarray],
    turns: np.ndarray,
    rest: np.ndarray,
    base: np.ndarray,
) -> dict[str, np.ndarray]:
    """Neutral frames of thigh, shank and foot."""
    hip, knee, ankle, toe = (f"{side}_{joint}" for joint in ("hip", "knee", "ankle", "toe"))
    if not {hip, knee, ankle} <= set(found):
        return {}
    down = np.array([0.0, 0.0, -1.0])
    bones = {hip: rest[found[knee]] - rest[found[hip]], knee: rest[found[ankle]] - rest[found[knee]]}
    frames: dict[str, np.ndarray] = {}
    if all(bone @ down > 0.5 * np.linalg.norm(bone) for bone in bones.values()):
        frames |= {name: _shortest(bone, down) @ base for name, bone in bones.items()}
        foot = rest[found[toe]] - rest[found[ankle]] if toe in found else np.array([1.0, 0.0, 0.0])
        if foot[0] > 0:
            frames[ankle] = _shortest(foot * (1, 1, 0), np.array([1.0, 0.0, 0.0])) @ base
        return frames
    thigh, shank = _unit(points[knee] - points[hip]), _unit(points[ankle] - points[knee])
    frames = _by_hinge({hip: thigh, knee: shank}, found, turns, np.cross(thigh, shank), np.array([0.0, 1.0, 0.0]), down)
    if toe in found and frames:
        foot = _unit(points[toe] - points[ankle])
        flat = points[ankle][:, 2] <= np.quantile(points[ankle][:, 2], 0.2)
        pitch = np.median(foot[flat, 2])
        ahead = np.array([np.sqrt(1 - pitch**2), 0.0, pitch])
        frames |= _by_hinge({ankle: foot}, found, turns, np.cross(shank, foot), np.array([0.0, -1.0, 0.0]), ahead)
    return frames


def _arm_frames(
    side: str,
    found: dict[str, int],
    points: dict[str, np.ndarray],
    turns: np.ndarray,
    rest: np.ndarray,
    base: np.ndarray,
) -> dict[str, np.ndarray]:
    """Neutral frames of upper arm, forearm and hand."""
    shoulder, elbow, wrist = (f"{side}_{joint}" for joint in ("shoulder", "elbow", "wrist"))
    if not {shoulder, elbow, wrist} <= set(found):
        return {}
    down = np.array([0.0, 0.0, -1.0])
    bones = {shoulder: rest[found[elbow]] - rest[found[shoulder]], elbow: rest[found[wrist]] - rest[found[elbow]]}
    outward = 1.0 if side == "left" else -1.0
    if all(
        bone[2] < 0.35 * np.linalg.norm(bone) and bone[1] * outward > -0.2 * np.linalg.norm(bone)
        for bone in bones.values()
    ):
        frames = {name: _shortest(bone, down) @ base for name, bone in bones.items()}
        return {**frames, wrist: frames[elbow]}
    upper, fore = _unit(points[elbow] - points[shoulder]), _unit(points[wrist] - points[elbow])
    return _by_hinge(
        {shoulder: upper, elbow: fore}, found, turns, np.cross(upper, fore), np.array([0.0, -1.0, 0.0]), down
    )


def _by_hinge(
    bones: dict[str, np.ndarray],
    found: dict[str, int],
    turns: np.ndarray,
    hinge: np.ndarray,
    axis: np.ndarray,
    direction: np.ndarray,
) -> dict[str, np.ndarray]:
    """Neutral frames of segments whose bone then points along ``direction`` and whose bending axis along ``axis``.

    ``bones`` (T, 3) and ``hinge`` (T, 3) are seen in the motion. Empty where the joint hardly bends, so that no axis
    shows.
    """
    if np.abs(hinge).max() < 0.15:
        return {}
    frames = {}
    for name, bone in bones.items():
        own = turns[:, found[name]]
        own_bone = _unit(np.einsum("tji,tj->i", own, bone))
        own_axis = np.einsum("tji,tj->i", own, hinge)
        own_axis = _unit(own_axis - own_bone * (own_axis @ own_bone))
        local = np.stack([own_bone, own_axis, np.cross(own_bone, own_axis)], axis=1)
        frames[name] = np.stack([direction, axis, np.cross(direction, axis)], axis=1) @ local.T
    return frames


def _shortest(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The shortest rotation (3, 3) that turns ``source`` into the direction ``target``."""
    source, target = _unit(source), _unit(target)
    axis, cosine = np.cross(source, target), float(source @ target)
    sine = float(np.linalg.norm(axis))
    if sine < 1e-12:
        return (
            np.eye(3)
            if cosine > 0
            else Rotation.from_rotvec(np.pi * _unit(np.cross(source, np.eye(3)[np.argmin(np.abs(source))]))).as_matrix()
        )
    return Rotation.from_rotvec(axis / sine * np.arctan2(sine, cosine)).as_matrix()


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., 3) of length one; zero stays zero."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length > 0, length, 1)
