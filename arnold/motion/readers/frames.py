"""From a file's axes and units to the world's: which way is up, which way the person faces, how long a metre is."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from arnold.errors import UserError, did_you_mean

UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001, "inch": 0.0254, "CMU": 0.0254 / 0.45}
"""Metres per unit of skeleton files; CMU's are 1/0.45 inch (`:units length 0.45` of its ASF files)."""

LEG_M = (0.45, 0.85, 1.1)
"""Shortest, usual and longest thigh and shank together, in metres."""

Z_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
"""Rotation from OpenSim's axes (x forward, y up, z right) to the world's (x forward, y left, z up)."""

_UP = {
    "x": np.array([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]]),
    "y": np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]),
    "z": np.eye(3),
}
_HALF_TURN = np.diag([1.0, -1.0, -1.0])
LIMBS = tuple(
    tuple(f"{side}_{joint}" for joint in chain)
    for side in ("left", "right")
    for chain in (("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle", "toe"))
)
# Pairs of which the first is above the second whenever a person stands, walks, runs, sits or squats.
_ABOVE = (
    *(
        (f"{side}_{a}", f"{side}_{b}")
        for side in ("left", "right")
        for a, b in (("hip", "ankle"), ("shoulder", "hip"), ("shoulder", "ankle"))
    ),
    ("head", "pelvis"),
    ("left_shoulder", "pelvis"),
    ("right_shoulder", "pelvis"),
)


def upright(path: Path, points: Mapping[str, np.ndarray], given: str | None, usual: str) -> np.ndarray:
    """The rotation (3, 3) from the file's axes to axes with z up.

    Args:
        path: the file, for the message.
        points: keypoints by name, (T, 3), in the file's axes.
        given: the axis that the user says points up; found from the pose where None.
        usual: the format's convention, taken where the pose does not tell.

    Raises:
        UserError: where ``given`` is no axis.
    """
    if given is not None and given.lstrip("+-").lower() not in _UP:
        raise UserError(
            f"up={given!r} for {str(path)!r} is no axis; {did_you_mean(given, ('x', 'y', 'z', '-x', '-y', '-z'))}"
        )
    axis = given.lower() if given is not None else _axis_up(points) or usual
    turn = _UP[axis.lstrip("+-")]
    return _HALF_TURN @ turn if axis.startswith("-") else turn


def heading(points: Mapping[str, np.ndarray]) -> np.ndarray:
    """The rotation (3, 3) about z after which the person faces x at the first frame that shows it; the identity where
    none does."""
    for joint in ("hip", "shoulder"):
        left, right = points.get(f"left_{joint}"), points.get(f"right_{joint}")
        if left is None or right is None:
            continue
        across = (left - right)[:, :2]
        known = np.flatnonzero(np.isfinite(across).all(axis=1) & (np.linalg.norm(np.nan_to_num(across), axis=1) > 0.02))
        if len(known):
            x, y = across[known[0]] / np.linalg.norm(across[known[0]])
            # Forward is across (left) turned by a quarter to the right.
            return np.array([[y, -x, 0.0], [x, y, 0.0], [0.0, 0.0, 1.0]])
    return np.eye(3)


def metres_per_unit(path: Path, leg: float, given: float | None) -> float:
    """Metres per unit of a skeleton file.

    Args:
        path: the file, for the message.
        leg: length of thigh and shank together, in the file's unit.
        given: what the user says.

    Raises:
        UserError: where ``given`` is no positive number, or the leg is that of no adult or child in any known unit.
    """
    if given is not None:
        if not (np.isfinite(given) and given > 0):
            raise UserError(
                f"scale={given!r} for {str(path)!r} is no scale; metres per unit of the file, above 0, are accepted"
            )
        return float(given)
    shortest, usual, longest = LEG_M
    fitting = {name: unit for name, unit in UNITS.items() if shortest <= leg * unit <= longest}
    if not fitting:
        raise UserError(
            f"{str(path)!r} has legs of {leg:.3g} units, which fit a person ({shortest} to {longest} m) in none of "
            f"{', '.join(UNITS)}; give scale=METRES_PER_UNIT"
        )
    return min(fitting.values(), key=lambda unit: abs(np.log(leg * unit / usual)))


def check_known(path: Path, found: Mapping[str, object], names: tuple[str, ...] | list[str]) -> None:
    """Raise where not even two neighbouring joints of one limb are known.

    Raises:
        UserError: says which keypoints were found, which are missing, and what the file calls its joints or markers.
    """
    if any(a in found and b in found for limb in LIMBS for a, b in itertools.pairwise(limb)):
        return
    missing = [name for limb in LIMBS for name in limb if name not in found]
    shown = ", ".join(names[:12]) + (f", ... ({len(names)} in all)" if len(names) > 12 else "")
    raise UserError(
        f"{str(path)!r} has a skeleton or marker set that is not known: found {', '.join(found) or 'no keypoint'}; "
        "missing "
        f"{', '.join(missing)}; its names are {shown or 'none'}: rename them to those of BVH, Plug-in Gait or OpenSim"
    )


def _axis_up(points: Mapping[str, np.ndarray]) -> str | None:
    """The axis that points up by the pose, or None where it does not tell."""
    ups = []
    for above, below in _ABOVE:
        if above in points and below in points:
            up = points[above] - points[below]
            up = up[np.isfinite(up).all(axis=1)]
            length = np.linalg.norm(up, axis=1, keepdims=True)
            ups.append((up / np.where(length > 0, length, 1)).mean(axis=0) if len(up) else np.zeros(3))
    if not ups:
        return None
    mean = np.mean(ups, axis=0)
    axis = int(np.argmax(np.abs(mean)))
    if abs(mean[axis]) < 0.7:
        return None
    return ("-" if mean[axis] < 0 else "") + "xyz"[axis]
