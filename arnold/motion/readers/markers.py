"""From markers on the skin to centres of joints: which marker is where by its label, and what lies beneath.

Joint centres that the file has itself are taken first; then midpoints of the lateral and the medial marker; then the
lateral marker alone, moved inwards by half of a usual width. Hips are by the regression of Harrington et al. 2007
(J Biomech 40:595, table 3) and shoulders below the acromion by Rab et al. 2002 (Gait Posture 15:113).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from arnold.errors import UserError
from arnold.motion.motion import KEYPOINTS, Motion
from arnold.motion.readers.frames import Z_UP, check_known, heading, upright
from arnold.motion.readers.options import FAR_M, ReadOptions
from arnold.motion.readers.skeleton import quaternions

# Labels without case and signs; {s} is l or r, {side} left or right. Plug-in Gait (RASI, RKNE), Cleveland clinic and
# Rajagopal's set (RLFC, RLMAL), OpenSim's gait2354 and Hamner sets (R.ASIS, R.Knee), Visual3D names of BMClab (RKNEM),
# and the sets of pyomeca and the Kinetics Toolkit.
LANDMARKS: dict[str, tuple[str, ...]] = {
    "asis": ("{s}asi", "{s}asis", "asis{s}"),
    "psis": ("{s}psi", "{s}psis", "psis{s}"),
    "hip centre": ("{s}hjc", "v{s}hipjc", "{s}hipjc"),
    "knee centre": ("{s}kjc", "v{s}kneejc", "{s}kneejc"),
    "ankle centre": ("{s}ajc", "v{s}anklejc", "{s}anklejc"),
    "shoulder centre": ("{s}sjc", "{s}shoulderjc", "gu_{s}"),
    "elbow centre": ("{s}ejc", "{s}elbowjc", "centelbow_{s}"),
    "wrist centre": ("{s}wjc", "{s}wristjc"),
    "knee lateral": ("{s}lfc", "{s}kne", "{s}knee", "{s}kneelateral", "{s}kneelat", "{s}lek", "{s}lfcv"),
    "knee medial": ("{s}mfc", "{s}kneemedial", "{s}kneemed", "{s}mkne", "{s}knem", "{s}mek", "{s}mfcv"),
    "ankle lateral": ("{s}lmal", "{s}ank", "{s}ankle", "{s}anklelateral", "{s}anklelat", "{s}lm", "{s}lmalv"),
    "ankle medial": ("{s}mmal", "{s}anklemedial", "{s}anklemed", "{s}mank", "{s}ankm", "{s}med", "{s}mm", "{s}mmalv"),
    "acromion": ("{s}acr", "{s}acromium", "{s}acromion", "{s}sho", "{s}shoulder", "acrotip_{s}"),
    "elbow lateral": ("{s}lel", "{s}elb", "{s}elbow", "{s}elbowlateral", "{s}leb", "lateralepicondyle{s}", "epicl_{s}"),
    "elbow medial": ("{s}mel", "{s}elbowmedial", "{s}elbm", "{s}meb", "medialepicondyle{s}", "epicm_{s}"),
    "wrist radial": ("{s}faradius", "{s}wra", "{s}wristlat", "{s}wristlateral", "stylr_{s}"),
    "wrist ulnar": ("{s}faulna", "{s}wrb", "{s}wristmed", "{s}wristmedial", "stylu_{s}"),
    "wrist": ("{s}wri", "{s}wrist", "glove{s}1"),
    "first metatarsal": ("{s}mt1", "{s}toemed", "{s}footmedial"),
    "fifth metatarsal": ("{s}mt5", "{s}toelat", "{s}footlateral"),
    "second metatarsal": ("{s}mt2", "{s}toe"),
    "heel": ("{s}hee", "{s}heel", "{s}cal"),
    "head front": ("{s}fhd", "{s}temple"),
    "head back": ("{s}bhd",),
}
_MIDDLE = {"sacrum": ("vsac", "sacr", "vsacral", "sacral", "sacrum", "s2"), "neck": ("c7", "t1")}
# Sets of one arm, whose labels say no side.
_ONE_ARM = {"acrotip", "epicl", "epicm", "stylr", "stylu", "gu", "centelbow"}

KNEE_HALF_WIDTH_M, ANKLE_HALF_WIDTH_M = 0.06, 0.042
"""From the centre of a lateral marker to that of the joint: half of a usual adult width (105 and 70 mm) and the
marker."""

SHOULDERS_M = 0.36
"""Distance of the acromia where only one of them is marked."""

SKULL_BASE_BELOW_BAND_M = 0.09
"""From the band of head markers down to the base of the skull, along the trunk."""


def motion_of_markers(
    path: Path,
    options: ReadOptions,
    labels: Sequence[str],
    places: np.ndarray,
    *,
    rate: float,
    up: str,
    source: str,
    subject: str = "",
) -> Motion:
    """The motion of labelled markers.

    Args:
        path: the file.
        options: of the user.
        labels: of the markers; a prefix before a colon is the subject's.
        places: (T, N, 3) m in the file's axes; NaN where a marker was not seen.
        rate: frames per second.
        up: which axis is up where the pose does not tell.
        source: of the motion.
        subject: who moved.

    Raises:
        UserError: where the markers are of no set that is known.
    """
    far = np.flatnonzero((np.abs(np.nan_to_num(places, nan=0.0, posinf=np.inf)) > FAR_M).any(axis=(1, 2)))
    if len(far):
        raise UserError(
            f"{str(path)!r} has a marker more than {FAR_M:.0f} m away at frame {far[0]}; "
            "check its unit, or that it is whole"
        )
    marks = _landmarks(labels, places)
    rough = {name: mark for side in ("left", "right") for name, mark in _rough(marks, side).items()}
    to_world = upright(path, rough, options.up, up)
    if to_world[2, 1] == 1:
        to_world = Z_UP  # tables of markers with y up are of the laboratory's axes, x forward as OpenSim has them
    marks = {name: mark @ to_world.T for name, mark in marks.items()}
    points: dict[str, np.ndarray] = {}
    frame = _pelvis(marks)
    if frame is not None and _median(frame[:, 2, 2]) < 0:
        # The pelvis would be upside down: whoever labelled the markers took left for right.
        marks = {_other_side(name): mark for name, mark in marks.items()}
        frame, source = _pelvis(marks), f"{source}, left and right of its labels exchanged"
    turns: dict[str, np.ndarray] = {}
    if frame is not None:
        points["pelvis"], turns["pelvis"] = (marks["left asis"] + marks["right asis"] + 2 * _back(marks)) / 4, frame
    for side in ("left", "right"):
        points |= _leg(marks, side, frame) | _arm(marks, side)
    points |= _head(marks)
    points = {
        name: points[name] for name in KEYPOINTS if name in points and np.isfinite(points[name]).all(axis=1).any()
    }
    check_known(path, points, list(labels))
    seen = _seen(points)
    points, turns = {name: p[seen] for name, p in points.items()}, {name: turn[seen] for name, turn in turns.items()}
    if options.align:
        turn = heading(points)
        points, turns = {name: p @ turn.T for name, p in points.items()}, {name: turn @ t for name, t in turns.items()}
    # A motion's orientations are whole: where a marker of the pelvis was out of sight there are none.
    whole = {name: quaternions(turn) for name, turn in turns.items() if np.isfinite(turn).all()}
    return Motion(name=path.stem, rate=rate, keypoints=points, orientations=whole, source=source, subject=subject)


def _seen(points: Mapping[str, np.ndarray]) -> slice:
    """From the first frame to the last in which at least half of the keypoints were seen; all where there are not
    two."""
    share = np.mean([np.isfinite(point).all(axis=1) for point in points.values()], axis=0)
    frames = np.flatnonzero(share >= 0.5)
    return slice(frames[0], frames[-1] + 1) if len(frames) > 1 else slice(None)


def _other_side(name: str) -> str:
    """A landmark's name on the other side; those in the middle keep theirs."""
    side, _, landmark = name.partition(" ")
    return {"left": f"right {landmark}", "right": f"left {landmark}"}.get(side, name)


def _landmarks(labels: Sequence[str], places: np.ndarray) -> dict[str, np.ndarray]:
    """Markers (T, 3) by side and landmark ("left asis"), those in the middle by landmark."""
    plain = [re.sub(r"[^a-z0-9]", "", re.sub(r"^.*:", "", label).lower()) for label in labels]
    columns: dict[str, int] = {}
    for column, name in enumerate(plain):
        columns.setdefault(name, column)
    one_arm = _side_of_one_arm(columns, places)
    columns |= {f"{name}_{one_arm}": columns[name] for name in _ONE_ARM if name in columns}
    marks: dict[str, np.ndarray] = {}
    for side in ("left", "right"):
        for landmark, patterns in LANDMARKS.items():
            named = (pattern.format(s=side[0], side=side) for pattern in patterns)
            marks |= _first_seen(f"{side} {landmark}", [places[:, columns[name]] for name in named if name in columns])
    for landmark, names in _MIDDLE.items():
        marks |= _first_seen(landmark, [places[:, columns[name]] for name in names if name in columns])
    return marks


def _side_of_one_arm(columns: dict[str, int], places: np.ndarray) -> str:
    """Side of an arm whose labels say none: that of the nearer spina, right where there is none."""
    if not {"acrotip", "asisl", "asisr"} <= set(columns):
        return "r"
    gaps = {
        side: _median(np.linalg.norm(places[:, columns["acrotip"]] - places[:, columns[f"asis{side}"]], axis=1))
        for side in "rl"
    }
    return min(gaps, key=lambda side: gaps[side])


def _first_seen(name: str, candidates: list[np.ndarray]) -> dict[str, np.ndarray]:
    """In each frame the first of the candidates that was seen, under ``name``; empty without candidates.

    What stands in for another is shifted by their distance where both were seen last and next, so that nothing jumps.
    """
    if not candidates:
        return {}
    merged = candidates[0].copy()
    for other in candidates[1:]:
        seen, stands_in = np.isfinite(merged).all(axis=1), np.isfinite(other).all(axis=1)
        gaps, both = np.flatnonzero(~seen & stands_in), np.flatnonzero(seen & stands_in)
        merged[gaps] = other[gaps]
        if len(both):
            merged[gaps] += np.stack([np.interp(gaps, both, (merged - other)[both, i]) for i in range(3)], axis=-1)
    return {name: merged}


def _rough(marks: Mapping[str, np.ndarray], side: str) -> dict[str, np.ndarray]:
    """Markers that stand for joints, to find out which way is up."""
    stands = {"shoulder": "acromion", "hip": "asis", "ankle": "ankle lateral"}
    stands |= {} if f"{side} ankle lateral" in marks else {"ankle": "second metatarsal"}
    return {f"{side}_{joint}": marks[f"{side} {mark}"] for joint, mark in stands.items() if f"{side} {mark}" in marks}


def _back(marks: Mapping[str, np.ndarray]) -> np.ndarray:
    """Midpoint of the posterior spines: the sacral marker where they were not marked."""
    if {"left psis", "right psis"} <= set(marks):
        middle = (marks["left psis"] + marks["right psis"]) / 2
        return _first_seen("back", [middle, *([marks["sacrum"]] if "sacrum" in marks else [])])["back"]
    return marks["sacrum"]


def _pelvis(marks: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """Turn (T, 3, 3) of the pelvis: left to the left spine, up out of the plane of the spines, which is level when
    neutral."""
    if not {"left asis", "right asis"} <= set(marks) or not (
        {"left psis", "right psis"} <= set(marks) or "sacrum" in marks
    ):
        return None
    left = _unit(marks["left asis"] - marks["right asis"])
    ahead = (marks["left asis"] + marks["right asis"]) / 2 - _back(marks)
    up = _unit(np.cross(ahead, left))
    return np.stack([np.cross(left, up), left, up], axis=-1)


def _leg(marks: Mapping[str, np.ndarray], side: str, pelvis: np.ndarray | None) -> dict[str, np.ndarray]:
    """Hip, knee, ankle and toe of one side."""
    outward = 1.0 if side == "left" else -1.0
    hips = [marks[f"{side} hip centre"]] if f"{side} hip centre" in marks else []
    if pelvis is not None:
        width = np.linalg.norm(marks["left asis"] - marks["right asis"], axis=1)
        front = (marks["left asis"] + marks["right asis"]) / 2
        depth = np.linalg.norm(front - _back(marks), axis=1)
        own = np.stack([-0.24 * depth - 0.0099, outward * (0.33 * width + 0.0073), -0.30 * width - 0.0109], axis=-1)
        hips.append(front + np.einsum("tij,tj->ti", pelvis, own))
    points = _first_seen(f"{side}_hip", hips)
    inward = -outward * pelvis[:, :, 1] if pelvis is not None else None
    above = points.get(f"{side}_hip")
    for joint, half in (("knee", KNEE_HALF_WIDTH_M), ("ankle", ANKLE_HALF_WIDTH_M)):
        points |= _first_seen(f"{side}_{joint}", _between(marks, f"{side} {joint}", half, above, inward))
        above = points.get(f"{side}_{joint}")
    return points | _first_seen(f"{side}_toe", _ball(marks, side))


def _ball(marks: Mapping[str, np.ndarray], side: str) -> list[np.ndarray]:
    """Candidates for the centre of the ball of the foot.

    Where a set has the fifth metatarsal and a toe, and no other metatarsal, its toe is the tip (OpenSim's sets): the
    ball is then between the fifth and the line from heel to tip beside it.
    """
    fifth, toe, heel = (marks.get(f"{side} {name}") for name in ("fifth metatarsal", "second metatarsal", "heel"))
    candidates = _middle(marks, f"{side} first metatarsal", f"{side} fifth metatarsal")
    if f"{side} first metatarsal" not in marks and fifth is not None and toe is not None and heel is not None:
        along = _unit(toe - heel)
        beside = heel + along * ((fifth - heel) * along).sum(axis=1, keepdims=True)
        candidates.append((fifth + beside) / 2)
    return candidates if toe is None else [*candidates, toe]


def _between(
    marks: Mapping[str, np.ndarray], joint: str, half: float, above: np.ndarray | None, inward: np.ndarray | None
) -> list[np.ndarray]:
    """Candidates for the centre of a joint: its own, between its two markers, inwards of the lateral one."""
    candidates = [marks[f"{joint} centre"]] if f"{joint} centre" in marks else []
    candidates += _middle(marks, f"{joint} lateral", f"{joint} medial")
    lateral = marks.get(f"{joint} lateral")
    if lateral is not None and above is not None and inward is not None:
        along = _unit(lateral - above)
        candidates.append(lateral + half * _unit(inward - along * (inward * along).sum(axis=1, keepdims=True)))
    return candidates


def _middle(marks: Mapping[str, np.ndarray], one: str, other: str) -> list[np.ndarray]:
    """The midpoint of two landmarks, as a candidate; none where one is not marked."""
    return [(marks[one] + marks[other]) / 2] if one in marks and other in marks else []


def _arm(marks: Mapping[str, np.ndarray], side: str) -> dict[str, np.ndarray]:
    """Shoulder, elbow and wrist of one side. An elbow that has but its lateral marker is taken to be there."""
    shoulders = [marks[f"{side} shoulder centre"]] if f"{side} shoulder centre" in marks else []
    other = "right" if side == "left" else "left"
    if f"{side} acromion" in marks:
        acromion = marks[f"{side} acromion"]
        across = acromion - marks[f"{other} acromion"] if f"{other} acromion" in marks else np.full((1, 3), np.nan)
        width = np.nan_to_num(_median(np.linalg.norm(across, axis=1)), nan=SHOULDERS_M)
        shoulders.append(acromion - 0.17 * width * _trunk_up(marks, len(acromion)))
    lateral = [marks[f"{side} elbow lateral"]] if f"{side} elbow lateral" in marks else []
    own = [marks[f"{side} elbow centre"]] if f"{side} elbow centre" in marks else []
    elbows = own + _middle(marks, f"{side} elbow lateral", f"{side} elbow medial") + lateral
    wrists = _middle(marks, f"{side} wrist radial", f"{side} wrist ulnar")
    wrists += [marks[f"{side} {name}"] for name in ("wrist centre", "wrist") if f"{side} {name}" in marks]
    return (
        _first_seen(f"{side}_shoulder", shoulders)
        | _first_seen(f"{side}_elbow", elbows)
        | _first_seen(f"{side}_wrist", wrists)
    )


def _trunk_up(marks: Mapping[str, np.ndarray], frames: int) -> np.ndarray:
    """Unit vectors (T, 3) from the spines of the pelvis to the acromia; the vertical where they were not seen."""
    vertical = np.tile([0.0, 0.0, 1.0], (frames, 1))
    tops = [marks[name] for name in ("left acromion", "right acromion") if name in marks]
    if not tops or not {"left asis", "right asis"} <= set(marks):
        return vertical
    back = _back(marks) if "sacrum" in marks or {"left psis", "right psis"} <= set(marks) else marks["left asis"]
    bottom = (marks["left asis"] + marks["right asis"] + 2 * back) / 4
    along = _unit(np.mean(tops, axis=0) - bottom)
    return np.where(np.isfinite(along).all(axis=1, keepdims=True), along, vertical)


def _head(marks: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The base of the skull, below the middle of the head markers."""
    front = _middle(marks, "left head front", "right head front")
    back = _middle(marks, "left head back", "right head back")
    if not front:
        return {}
    band = (front[0] + back[0]) / 2 if back else front[0]
    return {"head": band - SKULL_BASE_BELOW_BAND_M * _trunk_up(marks, len(band))}


def _median(values: np.ndarray) -> float:
    """The median of those values that are known; NaN where none is."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (T, 3) of length one; NaN where they have none."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length > 0, length, np.nan)
