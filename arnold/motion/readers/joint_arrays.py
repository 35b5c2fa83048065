"""Joint positions of simulated bodies: data sets of loco-mujoco before its version 1, and MuscleMimic's caches.

loco-mujoco's files hold `q_NAME` by OpenSim's names, in radians. Of its two humanoids the full one counts adduction and
rotation of the left hip the other way round from OpenSim, the reduced one flexion of the knee; both become OpenSim's
signs. Heights are counted from the model's own 0.975 m.

MuscleMimic's caches hold `qpos` by `joint_names` of the released bodies of musclemimic-models 1.0.5, whose left knee
was coupled wrongly. The joints that follow the knee's flexion (`knee_angle_l_translation1`, `knee_angle_l_rotation3`,
...) are therefore left out of `Motion.angles`, for retargeting to take from the couplings of its own body. The free
root becomes the keypoint and the orientation `pelvis`, and OpenSim's six coordinates of the pelvis, `pelvis_tx` to
`pelvis_rotation`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from arnold.errors import UserError
from arnold.motion.motion import Motion
from arnold.motion.readers.frames import heading
from arnold.motion.readers.opensim import motion_of_angles, pelvis_coordinates
from arnold.motion.readers.options import ReadOptions, check_finite
from arnold.motion.readers.skeleton import quaternions

LOCO_MUJOCO_RATE = 500.0
"""Frames per second of loco-mujoco's real mini data sets."""

LOCO_MUJOCO_PELVIS_M = 0.975
"""Height of the pelvis at `q_pelvis_ty` = 0 (`humanoid_torque.xml` of loco-mujoco)."""

# What follows the flexion of a knee by an equality of the model.
_COUPLED = re.compile(r"knee_angle_[rl]_(beta|translation|rotation).*")
# The root body of MuscleMimic's full body looks along -y when its quaternion is 1, 0, 0, 0.
_ROOT_TO_X = Rotation.from_euler("z", 90, degrees=True).as_matrix()


def read_loco_mujoco(path: Path, content: Any, options: ReadOptions) -> Motion:
    """The motion of an npz of `q_NAME` (T,) rad or m.

    Raises:
        UserError: where arrays differ in length or hold what is not finite.
    """
    angles = {name[2:]: np.asarray(content[name], float) for name in content if name.startswith("q_")}
    sizes = {values.shape for values in angles.values()}
    if len(sizes) != 1 or len(next(iter(sizes))) != 1:
        raise UserError(
            f"{str(path)!r} has q_ arrays of shapes {', '.join(map(str, sorted(sizes)))}; one number per frame each is "
            "accepted"
        )
    rate = options.frame_rate(path, None, _rate_of_speeds(content, angles) or LOCO_MUJOCO_RATE)
    window = options.window(path, len(next(iter(angles.values()))), rate)
    full = "knee_angle_l_translation1" in angles
    angles = {name: values[window] for name, values in angles.items() if not _COUPLED.fullmatch(name)}
    for name, values in angles.items():
        check_finite(path, f"q_{name}", values, window.start)
    if full:
        angles |= {name: -angles[name] for name in ("hip_adduction_l", "hip_rotation_l") if name in angles}
    if "pelvis_ty" in angles:
        angles["pelvis_ty"] = angles["pelvis_ty"] + LOCO_MUJOCO_PELVIS_M
    return motion_of_angles(path, rate, angles, f"loco-mujoco joint angles {path.name}")


def read_musclemimic(path: Path, content: Any, options: ReadOptions) -> Motion:
    """Clip number `ReadOptions.clip` of a MuscleMimic cache.

    Raises:
        UserError: where an array is missing or of another shape, or there is no such clip.
    """
    missing = [name for name in ("qpos", "joint_names", "frequency") if name not in content]
    if missing:
        raise UserError(
            f"{str(path)!r} has no {', '.join(missing)}; a MuscleMimic cache has qpos, joint_names and frequency"
        )
    qpos, joints = (
        np.asarray(content["qpos"], float),
        [str(name) for name in np.asarray(content["joint_names"]).reshape(-1)],
    )
    free = 1 if qpos.ndim == 2 and qpos.shape[1] == len(joints) + 6 else 0
    if qpos.ndim != 2 or qpos.shape[1] != len(joints) + 6 * free:
        raise UserError(
            f"{str(path)!r} has qpos of shape {qpos.shape} for {len(joints)} joints; one number per joint, and seven "
            "for a free root, are accepted"
        )
    splits = np.asarray(content["split_points"]).reshape(-1) if "split_points" in content else np.array([0, len(qpos)])
    if not 0 <= options.clip < len(splits) - 1:
        raise UserError(
            f"{str(path)!r} has {len(splits) - 1} clips; clip={options.clip} is not among 0 to {len(splits) - 2}"
        )
    rate = options.frame_rate(path, np.asarray(content["frequency"]).item())
    first, last = int(splits[options.clip]), int(splits[options.clip + 1])
    window = options.window(path, last - first, rate)
    qpos = qpos[first:last][window]
    check_finite(path, "qpos", qpos, first + window.start)
    names = joints[free:]
    angles = {name: qpos[:, 7 * free + i] for i, name in enumerate(names) if not _COUPLED.fullmatch(name)}
    points, turns = {}, {}
    if free:
        own = Rotation.from_quat(qpos[:, 3:7], scalar_first=True).as_matrix() @ _ROOT_TO_X.T
        turn = _heading_of(own[0]) if options.align else np.eye(3)
        points["pelvis"], turns["pelvis"] = qpos[:, :3] @ turn.T, quaternions(turn @ own)
        angles |= pelvis_coordinates(points["pelvis"], turn @ own)
    return Motion(
        name=f"{path.stem}_{options.clip}" if len(splits) > 2 else path.stem,
        rate=rate,
        keypoints=points,
        orientations=turns,
        angles=angles,
        source=f"MuscleMimic cache {path.name}",
    )


def _heading_of(turn: np.ndarray) -> np.ndarray:
    """The rotation about z after which a body turned by ``turn`` (3, 3) faces x."""
    return heading({"left_hip": turn[:, 1][None], "right_hip": -turn[:, 1][None]})


def _rate_of_speeds(content: Any, angles: dict[str, np.ndarray]) -> float | None:
    """Frames per second at which the way gone is what the speeds `dq_NAME` say; None where the person stays in
    place."""
    ways = {}
    for name in ("pelvis_tx", "pelvis_tz"):
        if name in angles and f"dq_{name}" in content and len(angles[name]) > 2:
            speed = float(np.mean(np.asarray(content[f"dq_{name}"], float)))
            ways[name] = (float(angles[name][-1] - angles[name][0]), speed * (len(angles[name]) - 1))
    way, summed = max(ways.values(), key=lambda pair: abs(pair[0]), default=(0.0, 0.0))
    if not (np.isfinite(way) and np.isfinite(summed) and abs(way) > 0.3 and summed / way > 0):
        return None
    rate = summed / way
    return round(rate) if abs(rate - round(rate)) < 1e-3 * rate else rate
