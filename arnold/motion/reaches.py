"""Reaches of both hands, made by code: straight and of minimum jerk, as people's are (Flash & Hogan 1985,
doi:10.1523/JNEUROSCI.05-07-01688.1985)."""

from __future__ import annotations

import math

import numpy as np

from arnold.errors import UserError
from arnold.motion.motion import Motion

# m, of a person of average height who stands upright at the origin and faces x
_TRUNK = {"pelvis": (0.0, 0.0, 0.95), "spine": (0.0, 0.0, 1.15), "head": (0.02, 0.0, 1.58)}
_SHOULDER, _UPPER_ARM, _FOREARM = (0.0, 0.17, 1.42), 0.29, 0.25
# where hands go, seen from the shoulder: forward, outward, up
_LOW, _HIGH = (0.18, -0.12, -0.38), (0.42, 0.22, 0.12)
_HANGING = (0.10, 0.06, -0.50)
SPEED, REST_S = 0.6, 0.25  # m/s on average; s between two reaches
_SWIVEL = math.radians(25.0)  # of the elbow, outward from straight below


def reaches(seed: int = 0, *, seconds: float = 8.0, rate: float = 100.0) -> Motion:
    """A person who stands and moves each hand to one place after another.

    Args:
        seed: of the places, and of when each hand goes.
        seconds: how long.
        rate: frames per second.

    Raises:
        UserError: for a duration or a rate that is none.
    """
    for what, value in (("seconds", seconds), ("rate", rate)):
        if not (math.isfinite(value) and value > 0.0):
            raise UserError(f"reaches: {what} is {value!r}; a number above 0 is accepted")
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate) + 1) / rate
    keypoints = {name: np.tile(place, (len(time), 1)) for name, place in _TRUNK.items()}
    for side, outward in (("left", 1.0), ("right", -1.0)):
        mirror = np.array([1.0, outward, 1.0])
        shoulder = np.array(_SHOULDER) * mirror
        hand = _hand(rng, time) * mirror
        keypoints[f"{side}_shoulder"] = np.tile(shoulder, (len(time), 1))
        keypoints[f"{side}_wrist"] = shoulder + hand
        keypoints[f"{side}_elbow"] = shoulder + _elbow(hand, outward)
    return Motion(
        name=f"reaches_{seed}",
        rate=rate,
        keypoints=keypoints,
        source="minimum-jerk reaches, made by arnold",
        subject="made",
    )


def minimum_jerk(progress: np.ndarray) -> np.ndarray:
    """The share of the way covered after a share ``progress`` of the time: 10 t^3 - 15 t^4 + 6 t^5."""
    t = np.clip(progress, 0.0, 1.0)
    return np.asarray(10.0 * t**3 - 15.0 * t**4 + 6.0 * t**5)


def _hand(rng: np.random.Generator, time: np.ndarray) -> np.ndarray:
    """Places (T, 3) m of a hand seen from its shoulder (forward, outward, up)."""
    path = np.empty((len(time), 3))
    now, place = 0.0, np.array(_HANGING)
    begin = now + rng.uniform(0.0, 2.0 * REST_S)
    path[:] = place
    while begin < time[-1]:
        target = rng.uniform(_LOW, _HIGH)
        takes = max(0.35, float(np.linalg.norm(target - place)) / SPEED)
        moved = minimum_jerk((time - begin) / takes)[:, None]
        path = np.where(time[:, None] >= begin, place + (target - place) * moved, path)
        place, begin = target, begin + takes + rng.uniform(0.5, 1.5) * REST_S
    return path


def _elbow(hand: np.ndarray, outward: float) -> np.ndarray:
    """The elbow (T, 3) m seen from the shoulder, of an arm that ends at ``hand`` (T, 3): below the line, outward."""
    reach = np.linalg.norm(hand, axis=1, keepdims=True)
    line = hand / reach
    span = np.clip(reach, 0.05, 0.995 * (_UPPER_ARM + _FOREARM))
    along = (span**2 + _UPPER_ARM**2 - _FOREARM**2) / (2.0 * span)
    off = np.sqrt(np.maximum(_UPPER_ARM**2 - along**2, 0.0))
    below = np.array([0.0, outward * math.sin(_SWIVEL), -math.cos(_SWIVEL)])
    aside = below - np.sum(below * line, axis=1, keepdims=True) * line
    return np.asarray(along * line + off * aside / np.linalg.norm(aside, axis=1, keepdims=True))
