"""Legs that would pass through each other are spread.

A body's legs can be thicker than the person's: where the person's knees and feet pass close by, the body's collide, and
it cannot follow. Both hips are abducted by the same small angle, the smallest that keeps the legs apart, and what the
knees and feet are to reach moves along.
"""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np

from arnold.motion.scaling import Targets
from arnold.motion.skeleton import Skeleton

CLEARANCE = 0.015  # m between the legs' collision shapes
LARGEST, STEP = np.deg2rad(6.0), np.deg2rad(0.5)  # rad of abduction
EVERY = 0.04  # s between the frames that are looked at
_FAR = 0.3  # m: distances beyond are all the same


def legs_apart(skeleton: Skeleton, qpos: np.ndarray, goal: Targets, rate: float) -> tuple[np.ndarray, Targets, float]:
    """A motion whose legs do not collide with each other.

    Args:
        skeleton: of the body; its listed contact pairs say what collides.
        qpos: (T, nq).
        goal: where its keypoints should be.
        rate: frames per second.

    Returns:
        The motion, its targets, and the abduction of each hip that was added, rad: `LARGEST` where that is not enough.
    """
    model = skeleton.full
    hips = [model.joint(j) for j in range(model.njnt) if model.joint(j).name.startswith("hip_adduction")]
    pairs = _leg_pairs(model, [int(hip.bodyid[0]) for hip in hips])
    if len(hips) != 2 or not pairs:
        return qpos, goal, 0.0
    columns = [int(hip.qposadr[0]) for hip in hips]
    looked = qpos[:: max(1, round(EVERY * rate))]
    angle = 0.0
    while angle < LARGEST and _nearest(model, _abducted(skeleton, looked, columns, angle), pairs) < CLEARANCE:
        angle += STEP
    if not angle:
        return qpos, goal, 0.0
    spread = _abducted(skeleton, qpos, columns, angle)
    moved = dict(
        zip(skeleton.keypoints, np.moveaxis(skeleton.places(spread) - skeleton.places(qpos), 1, 0), strict=True)
    )
    places = {name: points + moved[name] if name in moved else points for name, points in goal.places.items()}
    return spread, dataclasses.replace(goal, places=places), float(angle)


def _abducted(skeleton: Skeleton, qpos: np.ndarray, columns: list[int], angle: float) -> np.ndarray:
    qpos = qpos.copy()
    qpos[:, columns] -= angle
    return skeleton.obey(qpos)


def _leg_pairs(model: mujoco.MjModel, thighs: list[int]) -> list[tuple[int, int]]:
    """The listed pairs of geoms of which each is on another leg."""

    def leg(geom: int) -> int:
        body = int(model.geom_bodyid[geom])
        while body and body not in thighs:
            body = int(model.body_parentid[body])
        return body

    pairs = zip(model.pair_geom1.tolist(), model.pair_geom2.tolist(), strict=True)
    return [(one, other) for one, other in pairs if leg(one) and leg(other) and leg(one) != leg(other)]


def _nearest(model: mujoco.MjModel, qpos: np.ndarray, pairs: list[tuple[int, int]]) -> float:
    """The smallest distance (m, negative inside) that the geoms of any pair come to."""
    data, segment, nearest = mujoco.MjData(model), np.zeros(6), _FAR
    for q in qpos:
        data.qpos = q
        mujoco.mj_kinematics(model, data)
        for one, other in pairs:
            nearest = min(nearest, mujoco.mj_geomDistance(model, data, one, other, _FAR, segment))
    return float(nearest)
