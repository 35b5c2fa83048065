"""A person's keypoints scaled to a body, limb by limb: the person's directions, the body's lengths.

The targets are built outwards from the pelvis (from the trunk where the base is fixed), so that the body's own bones
can reach each of them exactly: pelvis, hip, knee, ankle, toe; trunk, shoulder, elbow, wrist.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from scipy.spatial.transform import Rotation

from arnold.errors import UserError
from arnold.motion.motion import Motion
from arnold.motion.skeleton import Skeleton

SIDES = ("left", "right")
LEG, ARM = ("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist")
STANCE_SHARE = 0.15  # of the frames, those in which foot and toes move least, tell how the person's foot lies flat


@dataclasses.dataclass(frozen=True)
class Targets:
    """Where a body's keypoints should be.

    Attributes:
        places: by keypoint, (T, 3) m; NaN where it is not known.
        turns: by keypoint, (T, 3, 3): how the MJCF body should be turned in the world.
        scale: by limb, the body's length over the person's.
        heading: (T,) rad: which way the pelvis, or the trunk, faces.
    """

    places: Mapping[str, np.ndarray]
    turns: Mapping[str, np.ndarray]
    scale: Mapping[str, float]
    heading: np.ndarray


def needed_keypoints(skeleton: Skeleton) -> list[str]:
    """What a motion must know for this body: its legs, or its arms where it has no legs.

    Of a body with both, arms that a motion does not know stay as in the rest pose.
    """
    limbs = [[f"{s}_{j}" for j in limb for s in SIDES if f"{s}_{j}" in skeleton.keypoints] for limb in (LEG, ARM)]
    return limbs[0] or limbs[1]


def targets(motion: Motion, skeleton: Skeleton, scale_limbs: bool = True) -> Targets:
    """Targets of a body from a person's keypoints.

    Args:
        motion: with keypoints, without gaps in those that the body needs.
        skeleton: the body's.
        scale_limbs: without it, all limbs are scaled alike, by the leg's length (or the arm's).

    Raises:
        UserError: where the motion lacks keypoints that the body has.
    """
    missing = [point for point in needed_keypoints(skeleton) if point not in motion.keypoints]
    if missing:
        raise UserError(
            f"motion {motion.name!r} has no keypoints {', '.join(missing)}, which body {skeleton.name!r} needs; "
            f"it has {', '.join(motion.keypoints) or 'none'}: retarget it to another body"
        )
    return _Builder(motion, skeleton, scale_limbs).build()


class _Builder:
    """One motion's targets, piece by piece."""

    def __init__(self, motion: Motion, skeleton: Skeleton, scale_limbs: bool):
        self.person = {name: np.asarray(points, float) for name, points in motion.keypoints.items()}
        self.given = {
            name: Rotation.from_quat(np.asarray(q, float), scalar_first=True).as_matrix()
            for name, q in motion.orientations.items()
        }
        self.rate, self.scale_limbs = motion.rate, scale_limbs
        self.skeleton = skeleton
        place, turn = skeleton.standing
        self.rest = dict(zip(skeleton.keypoints, place, strict=True))
        self.rest_turn = dict(zip(skeleton.keypoints, turn, strict=True))
        self.places: dict[str, np.ndarray] = {}
        self.turns: dict[str, np.ndarray] = {}
        self.scale: dict[str, float] = {}
        self.frames = motion.frames

    def build(self) -> Targets:
        """All of them."""
        fixed = self.skeleton.root < 0
        trunk = self._trunk_frame()
        base = trunk if fixed else self._pelvis_frame()
        if fixed:  # the person as seen from the trunk, in front of a body that does not move
            assert trunk is not None
            still = self.skeleton.rest_heading.as_matrix()
            self.person = {
                n: np.einsum("ij,tjk,tk->ti", still, trunk.transpose(0, 2, 1), p) for n, p in self.person.items()
            }
            self.given = {n: still @ trunk.transpose(0, 2, 1) @ r for n, r in self.given.items()}
            trunk = base = np.broadcast_to(still, (self.frames, 3, 3))
        assert base is not None
        if "left_hip" in self.rest:
            self._legs(base)
        if "left_shoulder" in self.rest and trunk is not None:
            self._upper_body(base, trunk, fixed)
        heading = np.unwrap(np.arctan2(base[:, 1, 0], base[:, 0, 0]))
        return Targets(self.places, self.turns, self.scale, heading)

    def _middle(self, joint: str, of: Mapping[str, np.ndarray]) -> np.ndarray:
        return 0.5 * (of[f"left_{joint}"] + of[f"right_{joint}"])

    def _across(self, joint: str, of: Mapping[str, np.ndarray]) -> np.ndarray:
        return of[f"left_{joint}"] - of[f"right_{joint}"]

    def _pelvis_frame(self) -> np.ndarray:
        """(T, 3, 3) how the pelvis is turned away from standing.

        Of a body whose trunk is one with the pelvis, the hips tell how it lies and the shoulders how it leans: a stiff
        trunk keeps its balance by its own lean. Else it is as the file says, its mean tilt being the trunk's.
        """
        across, hips = self._across("hip", self.person), self._middle("hip", self.person)
        given = self.given.get("pelvis")
        if {"left_shoulder", "right_shoulder"} <= set(self.person):
            lean = _frames(across, self._middle("shoulder", self.person) - hips)
            return lean if given is None or "left_shoulder" not in self.rest else _tilted_as(given, lean)
        return _frames(across, np.broadcast_to([0.0, 0.0, 1.0], hips.shape)) if given is None else given

    def _trunk_frame(self) -> np.ndarray | None:
        """(T, 3, 3) how the trunk is turned away from standing; None where the file does not tell."""
        given = self.given.get("spine")
        if not {"left_shoulder", "right_shoulder"} <= set(self.person):
            return given
        across, shoulders = self._across("shoulder", self.person), self._middle("shoulder", self.person)
        if not {"left_hip", "right_hip"} <= set(self.person):
            up = np.broadcast_to([0.0, 0.0, 1.0], shoulders.shape)
        else:
            up = shoulders - self._middle("hip", self.person)
        lean = _frames(across, up, first="up")
        return lean if given is None else _tilted_as(given, lean)

    def _length(self, limb: str, start: str, end: str) -> tuple[np.ndarray, np.ndarray]:
        """The person's directions (T, 3) along both sides' segment, and the body's length of each side."""
        ways, lengths, theirs = [], [], []
        for s in SIDES:
            along = self.person[f"{s}_{end}"] - self.person[f"{s}_{start}"]
            size = np.linalg.norm(along, axis=-1, keepdims=True)
            ways.append(along / np.maximum(size, 1e-9))
            lengths.append(np.linalg.norm(self.rest[f"{s}_{end}"] - self.rest[f"{s}_{start}"]))
            theirs.append(np.nanmedian(size))
        self.scale[limb] = float(np.mean(lengths) / max(np.mean(theirs), 1e-9))
        return np.array(ways), np.array(lengths)

    def _legs(self, pelvis: np.ndarray) -> None:
        thigh, thigh_length = self._length("thigh", "hip", "knee")
        shank, shank_length = self._length("shank", "knee", "ankle")
        own, theirs = (
            np.mean(thigh_length + shank_length),
            np.mean(thigh_length / self.scale["thigh"] + shank_length / self.scale["shank"]),
        )
        self.scale["leg"] = float(own / theirs)
        centre = self.scale["leg"] * self._middle("hip", self.person)
        centre = centre - np.array([centre[0, 0], centre[0, 1], 0.0])
        middle = self._middle("hip", self.rest)
        for point in ("pelvis", "left_hip", "right_hip"):
            if point in self.rest:
                self.places[point] = centre + pelvis @ (self.rest[point] - middle)
        if "pelvis" in self.rest:
            self.turns["pelvis"] = pelvis @ self.rest_turn["pelvis"]
        for i, s in enumerate(SIDES):
            if self.scale_limbs:
                self.places[f"{s}_knee"] = self.places[f"{s}_hip"] + thigh_length[i] * thigh[i]
                self.places[f"{s}_ankle"] = self.places[f"{s}_knee"] + shank_length[i] * shank[i]
            else:
                for joint in ("knee", "ankle"):
                    from_hips = self.person[f"{s}_{joint}"] - self._middle("hip", self.person)
                    self.places[f"{s}_{joint}"] = centre + self.scale["leg"] * from_hips
            self._foot(s)

    def _foot(self, s: str) -> None:
        """The toes: the person's direction, turned up or down by how differently the two feet lie flat."""
        toe, ankle = f"{s}_toe", f"{s}_ankle"
        if toe not in self.rest:
            return
        own = self.rest[toe] - self.rest[ankle]
        length = np.linalg.norm(own)
        if toe not in self.person or not np.isfinite(self.person[toe]).any():
            if ankle in self.given:
                self.places[toe] = self.places[ankle] + self.given[ankle] @ own
            return
        along = self.person[toe] - self.person[ankle]
        flat = np.maximum(np.linalg.norm(along[:, :2], axis=-1), 1e-6)
        pitch = np.arctan2(along[:, 2], flat)
        speed = sum(np.linalg.norm(np.gradient(self.person[p], axis=0), axis=-1) for p in (toe, ankle))
        still = speed <= np.nanquantile(speed, STANCE_SHARE)
        # A short foot, or one seen from toes raised, is not flat where it stands still: no more than 40 degrees.
        lean = np.clip(np.arctan2(own[2], np.linalg.norm(own[:2])) - np.nanmedian(pitch[still]), -0.7, 0.7)
        pitch = pitch + lean
        ahead = along[:, :2] / flat[:, None]
        way = np.concatenate([np.cos(pitch)[:, None] * ahead, np.sin(pitch)[:, None]], axis=-1)
        self.places[toe] = self.places[ankle] + length * way

    def _upper_body(self, pelvis: np.ndarray, trunk: np.ndarray, fixed: bool) -> None:
        """Trunk and head, which lie as in the rest pose, turned as the person's trunk; and arms, where known."""
        origin, rest_origin, chest = np.zeros(3), np.zeros(3), trunk
        if not fixed:
            origin, rest_origin = self.places["pelvis"], self.rest["pelvis"]
            chest = self._bent_trunk(pelvis, trunk)
        for point in ("spine", "head"):
            if point in self.rest:
                self.places[point] = origin + chest @ (self.rest[point] - rest_origin)
        if "spine" in self.rest and not fixed:
            self.turns["spine"] = trunk @ self.rest_turn["spine"]
        if {f"{s}_{joint}" for s in SIDES for joint in ARM} <= set(self.person):
            usual = [origin + chest @ (self.rest[f"{s}_shoulder"] - rest_origin) for s in SIDES]
            self._arms(trunk, usual)

    def _arms(self, trunk: np.ndarray, usual: list[np.ndarray]) -> None:
        """Arms: from each shoulder's usual place on the trunk, and where the person's goes away from it."""
        upper, upper_length = self._length("upper arm", "shoulder", "elbow")
        fore, fore_length = self._length("forearm", "elbow", "wrist")
        theirs = upper_length / self.scale["upper arm"] + fore_length / self.scale["forearm"]
        self.scale["arm"] = float(np.sum(upper_length + fore_length) / np.sum(theirs))
        centre = self._middle("shoulder", self.person)
        for i, s in enumerate(SIDES):
            there = np.einsum("tji,tj->ti", trunk, self.person[f"{s}_shoulder"] - centre)
            moved = np.einsum("tij,tj->ti", trunk, there - np.nanmedian(there, axis=0))
            self.places[f"{s}_shoulder"] = usual[i] + self.scale["arm"] * moved
            self.places[f"{s}_elbow"] = self.places[f"{s}_shoulder"] + upper_length[i] * upper[i]
            self.places[f"{s}_wrist"] = self.places[f"{s}_elbow"] + fore_length[i] * fore[i]
            if f"{s}_wrist" in self.given:
                self.turns[f"{s}_wrist"] = self.given[f"{s}_wrist"] @ self.rest_turn[f"{s}_wrist"]

    def _bent_trunk(self, pelvis: np.ndarray, trunk: np.ndarray) -> np.ndarray:
        """(T, 3, 3) the mean turn of pelvis and trunk, which places what lies on a spine that bends evenly."""
        between = Rotation.from_matrix(pelvis.transpose(0, 2, 1) @ trunk)
        half = Rotation.from_rotvec(0.5 * between.as_rotvec()).as_matrix()
        return pelvis @ half


def _frames(across: np.ndarray, up: np.ndarray, first: str = "across") -> np.ndarray:
    """Frames (T, 3, 3): x ahead, y along ``across`` (right to left), z along ``up``; ``first`` is kept exactly."""
    y, z = _unit(across), _unit(up)
    x = _unit(np.cross(y, z))
    if first == "across":
        return np.stack([x, y, np.cross(x, y)], axis=-1)
    return np.stack([x, np.cross(z, x), z], axis=-1)


def _tilted_as(given: np.ndarray, lean: np.ndarray) -> np.ndarray:
    """Turns ``given`` (T, 3, 3), tilted so that on average they lean ahead as ``lean`` does.

    Files' rest poses disagree about how a pelvis is tilted and how a trunk leans, by 20 degrees and more.
    """
    between = given.transpose(0, 2, 1) @ lean
    tilt = np.nanmedian(np.arctan2(between[:, 0, 2], between[:, 2, 2]))
    return given @ Rotation.from_euler("y", tilt).as_matrix()


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
