"""Feet on the ground: how a motion is lifted, how the feet's targets are moved so that a foot that stands touches, and
which parts of the feet are in contact."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.ndimage import convolve1d, gaussian_filter1d, minimum_filter1d

from arnold.motion.scaling import SIDES, Targets
from arnold.motion.skeleton import Skeleton

SLOW, FAST = 0.35, 0.9  # m/s of a foot that surely stands, and of one that surely does not
NEAR, FAR = 0.05, 0.09  # m above the foot's own ground, likewise
SAME_GROUND = 0.03  # m: by how much the grounds of the two feet may differ
WANDER_S = 0.25  # s: standard deviation of the Gaussian that smooths the lift of the whole body
STEADY_S = 0.025  # s: likewise of the targets of a foot
MOST = 0.06  # m: by how much the lift may leave the clip's own level
GUARD_S = 0.15  # half the time over which the last lift rises and falls
CONTACT_HEIGHT, CONTACT_SPEED = 0.02, 0.6  # m, m/s: a part of the foot that is nearer and slower is on the ground
NEAR_SHARE = 0.35  # of the frames, in which the feet are lowest, a foot is surely on the ground, in running too
BELT_LEAST, BELT_LEAST_S = 0.4, 0.5  # m/s, s: slower or shorter, a foot slides rather than rides on a treadmill
TOES_FLAT_HEIGHT = 0.05  # m above the lowest that the toes' joint goes: below it the toes lie flat while the heel rises


def belt_velocity(skeleton: Skeleton, qpos: np.ndarray, rate: float) -> np.ndarray:
    """How fast the ground moves under a person who walks on the spot: (2,) m/s; 0 for one who gets on.

    It is the usual velocity of the lowest part of the feet while it is near the ground. On a treadmill, or where a file
    does not say how the pelvis travels, that is not nothing while the pelvis stays.
    """
    still = np.zeros(2)
    feet = [s for s in SIDES if f"{s}_ankle" in skeleton.keypoints]
    if skeleton.root < 0 or not feet or not len(skeleton.lowest.body) or len(qpos) < rate * BELT_LEAST_S:
        return still
    poses = skeleton.poses(qpos)
    geoms = np.any([_foot_geoms(skeleton, s) for s in feet], axis=0)
    heights = skeleton.heights(poses)[:, geoms]
    speed = np.gradient(skeleton.middles(poses)[:, geoms, :2], axis=0) * rate
    near = heights.min(axis=1) <= np.quantile(heights.min(axis=1), NEAR_SHARE)
    belt: np.ndarray = np.median(speed[np.arange(len(qpos)), heights.argmin(axis=1)][near], axis=0)
    way = (qpos[-1] - qpos[0])[skeleton.root : skeleton.root + 2]
    pelvis = float(np.linalg.norm(way)) / (len(qpos) - 1) * rate
    return belt if float(np.linalg.norm(belt)) > max(BELT_LEAST, 2.0 * pelvis) else still


def with_feet_on_the_ground(
    skeleton: Skeleton, goal: Targets, qpos: np.ndarray, rate: float
) -> tuple[Targets, np.ndarray]:
    """Targets moved up or down so that feet that stand touch the ground and none is below it.

    The whole body is lifted by what varies slowly, each foot (and half as much its knee) by what is left. A person's
    feet have another shape than the body's, and files have another idea of where the ground is.

    Args:
        skeleton: the body's.
        goal: where its keypoints should be.
        qpos: (T, nq) that has them there.
        rate: frames per second.

    Returns:
        the targets, and the lift (T,) of the whole body, m.
    """
    sides = [s for s in SIDES if f"{s}_ankle" in goal.places]
    if skeleton.root < 0 or not sides or not len(skeleton.lowest.body):
        return goal, np.zeros(len(qpos))
    places, turns = skeleton.poses(qpos)
    heights = skeleton.heights((places, turns))
    low = {s: heights[:, _foot_geoms(skeleton, s)].min(axis=1) for s in sides}
    stands = _stand(skeleton, places, low, rate)
    total = sum(stands.values())
    level = _weighted_median(np.concatenate(list(low.values())), np.concatenate(list(stands.values())))
    off = sum(stands[s] * (low[s] - level) for s in sides)
    sigma = WANDER_S * rate
    wander = gaussian_filter1d(off, sigma, mode="nearest") / (gaussian_filter1d(total, sigma, mode="nearest") + 0.05)
    lift = -(level + np.clip(wander, -MOST, MOST))
    moved = {name: points + lift[:, None] * [0.0, 0.0, 1.0] for name, points in goal.places.items()}
    for s in sides:
        over = low[s] + lift
        foot = np.where(over < 0.0, -over, -stands[s] * over)
        foot = gaussian_filter1d(foot, STEADY_S * rate, mode="nearest")
        for joint, share in (("ankle", 1.0), ("toe", 1.0), ("knee", 0.5)):
            if f"{s}_{joint}" in moved:
                moved[f"{s}_{joint}"][:, 2] += share * foot
    return dataclasses.replace(goal, places=moved), lift


def lifted_clear(skeleton: Skeleton, qpos: np.ndarray, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """The motion lifted where something is below the ground, rising and falling over `GUARD_S`; and the lift (T,) m."""
    if skeleton.root < 0 or not len(skeleton.lowest.body):
        return qpos, np.zeros(len(qpos))
    lowest = np.minimum(skeleton.heights(skeleton.poses(qpos)).min(axis=1), 0.0)
    half = max(1, round(GUARD_S * rate))
    floor = minimum_filter1d(lowest, 2 * half + 1, mode="nearest")
    kernel = np.hanning(2 * half + 3)[1:-1]  # no wider than the minimum's window: so nothing stays below the ground
    lift = -convolve1d(floor, kernel / kernel.sum(), mode="nearest")
    lifted = qpos.copy()
    lifted[:, skeleton.root + 2] += lift
    return lifted, lift


def ground_contact(skeleton: Skeleton, qpos: np.ndarray, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Whether the MJCF body of each touch site is on the ground, near it and slow; and how fast its lowest part slides.

    Args:
        skeleton: the body's.
        qpos: (T, nq).
        rate: frames per second.

    Returns:
        (T, C) bool, and (T, C) m/s, horizontal.
    """
    touches = skeleton.map.touches
    poses = skeleton.poses(qpos)
    heights, speeds = skeleton.heights(poses), np.gradient(skeleton.middles(poses), axis=0) * rate
    found, sliding = np.zeros((len(qpos), len(touches)), bool), np.zeros((len(qpos), len(touches)))
    every = np.arange(len(qpos))
    for c, site in enumerate(touches):
        mine = np.flatnonzero(skeleton.lowest.body == int(skeleton.full.site(site).bodyid[0]))
        if len(mine):
            lowest = mine[heights[:, mine].argmin(axis=1)]
            speed = speeds[every, lowest]
            sliding[:, c] = np.linalg.norm(speed[:, :2], axis=-1)
            slow = np.linalg.norm(speed, axis=-1) < CONTACT_SPEED
            found[:, c] = (heights[every, lowest] < CONTACT_HEIGHT) & slow
    return found, sliding


def with_toes_flat(skeleton: Skeleton, qpos: np.ndarray) -> np.ndarray:
    """The toes, of which no keypoint tells, level while they are near the ground and the heel rises."""
    places, turns = skeleton.poses(qpos)
    qpos = qpos.copy()
    for s in SIDES:
        if f"{s}_toe" not in skeleton.map.keypoints:
            continue
        toes = skeleton.full.body(skeleton.map.keypoints[f"{s}_toe"])
        turn, height = turns[:, toes.id], places[:, toes.id, 2]
        ahead = turn @ _ahead(skeleton, f"{s}_toe")
        near = np.clip(2.0 - (height - np.quantile(height, 0.02)) / TOES_FLAT_HEIGHT, 0.0, 1.0)
        pitch = np.arcsin(np.clip(ahead[:, 2], -1.0, 1.0))
        for j in range(toes.jntadr[0], toes.jntadr[0] + toes.jntnum[0]):
            rise = np.cross(turn @ skeleton.full.jnt_axis[j], ahead)[:, 2]  # rad of pitch per rad of the joint
            level = -pitch / np.where(np.abs(rise) > 0.2, rise, np.inf)
            qpos[:, int(skeleton.full.jnt_qposadr[j])] += near * np.where(pitch < 0.0, level, 0.0)
    return skeleton.obey(qpos)


def _foot_geoms(skeleton: Skeleton, s: str) -> np.ndarray:
    """(G,) bool: geoms of the ankle's MJCF body and of what it carries."""
    model, foot = skeleton.full, skeleton.full.body(skeleton.map.keypoints[f"{s}_ankle"]).id
    carried = {foot}
    for b in range(foot + 1, model.nbody):
        if int(model.body_parentid[b]) in carried:
            carried.add(b)
    return np.isin(skeleton.lowest.body, list(carried))


def _stand(skeleton: Skeleton, places: np.ndarray, low: dict[str, np.ndarray], rate: float) -> dict[str, np.ndarray]:
    """By side (T,) 0..1: how surely a foot stands: slow, and near the ground that it shares with the other foot.

    Each foot has a ground of its own, for the two of a recording lie some millimetres apart; one that stays further up
    all the time is a raised foot.
    """
    slow, ground = {}, {}
    for s in low:
        parts = [p for p in (f"{s}_ankle", f"{s}_toe") if p in skeleton.map.keypoints]
        points = [places[:, skeleton.full.body(skeleton.map.keypoints[p]).id] for p in parts]
        speed = np.min([np.linalg.norm(np.gradient(p, axis=0), axis=-1) * rate for p in points], axis=0)
        slow[s] = np.clip((FAST - speed) / (FAST - SLOW), 0.0, 1.0)
        ground[s] = float(np.quantile(low[s][slow[s] > 0.5], 0.2) if (slow[s] > 0.5).any() else low[s].min())
    lowest = min(ground.values())
    found = {}
    for s in low:
        own = ground[s] if ground[s] < lowest + SAME_GROUND else lowest
        over = np.abs(low[s] - own)
        found[s] = gaussian_filter1d(slow[s] * np.clip((FAR - over) / (FAR - NEAR), 0.0, 1.0), STEADY_S * rate)
    return found


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    """Of values with weights; the lowest value where all weights are 0."""
    if weights.sum() < 1e-6:
        return float(values.min())
    order = np.argsort(values)
    running = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(running, 0.5 * running[-1])])


def _ahead(skeleton: Skeleton, point: str) -> np.ndarray:
    """In the frame of a keypoint's MJCF body, the direction in which the standing body faces."""
    turn: np.ndarray = skeleton.standing[1][skeleton.keypoints.index(point)]
    return turn.T @ np.array([1.0, 0.0, 0.0])
