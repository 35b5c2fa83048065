"""A motion at another rate."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation, Slerp

from arnold.errors import UserError
from arnold.motion.motion import Motion


def resampled(motion: Motion, rate: float) -> Motion:
    """The motion at ``rate`` frames per second, from the first frame on.

    Keypoints and angles are interpolated by cubic splines, orientations along the shortest turn (slerp). Where a
    keypoint has gaps (NaN), each stretch between them has its own spline and the gaps stay: a new frame knows a point
    where both of its old neighbours did. Nothing is smoothed: for a lower rate, motion faster than half of it is
    aliased.

    Args:
        motion: of at least 2 frames.
        rate: frames per second.

    Raises:
        UserError: where ``rate`` is no positive number, or the motion has fewer than 2 frames.
    """
    if not (np.isfinite(rate) and rate > 0):
        raise UserError(f"a motion cannot have {rate!r} frames per second; a number above 0 is accepted")
    if motion.frames < 2:
        raise UserError(f"motion {motion.name!r} has {motion.frames} frames; at least 2 are needed to interpolate")
    if rate == motion.rate:
        return motion
    # In frames of the old rate, so that shared times meet exactly.
    new = np.arange(int(np.floor((motion.frames - 1) * rate / motion.rate + 1e-6)) + 1) * (motion.rate / rate)
    new = np.minimum(new, motion.frames - 1)
    return dataclasses.replace(
        motion,
        rate=float(rate),
        keypoints={name: _points_at(points, new) for name, points in motion.keypoints.items()},
        orientations={name: _turns_at(quats, new) for name, quats in motion.orientations.items()},
        angles={name: CubicSpline(np.arange(motion.frames), values)(new) for name, values in motion.angles.items()},
    )


def _points_at(points: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Places (T, 3), with NaN in gaps, at times ``new`` counted in frames."""
    known = np.isfinite(points).all(axis=1)
    values = np.full((len(new), 3), np.nan)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], known, [False]]).astype(int)))
    for first, last in zip(edges[::2], edges[1::2] - 1, strict=True):
        inside = (new >= first - 1e-9) & (new <= last + 1e-9)
        if first == last:
            values[inside] = points[first]
        else:
            values[inside] = CubicSpline(np.arange(first, last + 1), points[first : last + 1])(new[inside])
    return values


def _turns_at(quats: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Unit quaternions (T, 4) w, x, y, z at times ``new`` counted in frames."""
    turns = Rotation.from_quat(quats, scalar_first=True)
    there = Slerp(np.arange(len(quats)), turns)(new).as_quat(scalar_first=True)
    flips = np.cumprod(np.where((there[1:] * there[:-1]).sum(axis=1) < 0, -1.0, 1.0))
    return np.concatenate([there[:1], there[1:] * flips[:, None]])
