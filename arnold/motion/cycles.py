"""Movements that the library makes by itself: average gait cycles, and reaches.

The gait cycles are rebuilt from six Fourier coefficients of published averages: joint angles of one healthy adult who
walked at 1.3 m/s and ran at 2.8 m/s (Falisse et al. 2019, doi:10.1098/rsif.2019.0402; the averages are those of the
paper's repository, MIT licence). Left and right are averaged half a cycle apart, so the cycle is symmetric.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from arnold.errors import UserError
from arnold.motion.motion import Motion

# By OpenSim's coordinate, degrees (m for pelvis_ty): the mean, then cosine and sine of each harmonic. The phase is 0 at
# the heel strike of the right foot. Of limbs these are the right one's; the left one is half a cycle later.
_WALKING = {
    "hip_flexion": (10.31, 22.78, 0.95, -4.41, -1.78, -0.91, 1.30, -0.01, 0.13, -0.13, -0.12, 0.11, 0.04),
    "hip_adduction": (2.84, -1.12, 6.46, -0.29, -0.46, -2.31, -0.06, -0.07, 0.15, 0.07, -0.26, -0.02, -0.05),
    "hip_rotation": (-1.02, -1.18, -1.50, -1.16, -0.85, -1.26, 1.58, -0.17, 0.01, -0.57, -0.55, 0.0, -0.04),
    "knee_angle": (29.66, 2.03, -17.22, -16.07, 3.04, -2.33, 3.85, -0.55, 0.32, -0.54, 0.22, 0.06, 0.22),
    "ankle_angle": (1.46, -3.63, 6.95, 4.89, -6.51, -2.55, -1.51, 2.18, 1.34, 1.01, -0.64, -0.06, 0.33),
    "subtalar_angle": (0.24, -4.59, 0.40, 3.73, 1.53, 1.94, -1.41, 1.27, 0.87, 1.56, 0.43, 0.24, -0.14),
    "arm_flex": (-2.36, -4.95, -0.26, 0.56, -1.06, -0.55, 0.41, 0.48, 0.03, 0.0, -0.08, 0.0, 0.07),
    "arm_add": (-17.30, 3.65, -0.48, -0.72, 0.57, 0.60, 0.04, 0.01, 0.0, 0.0, 0.06, 0.01, -0.01),
    "arm_rot": (15.35, 3.05, 1.04, -0.79, -0.34, -0.72, 1.05, 0.38, 0.41, -0.08, -0.35, -0.06, 0.01),
    "elbow_flex": (23.95, -13.84, -2.25, 1.64, -1.06, 0.12, -0.33, -0.24, -0.10, 0.08, 0.29, 0.0, -0.03),
    "pelvis_tilt": (0.19, 0.0, 0.0, 0.60, -0.12, 0.0, 0.0, 0.14, -0.13, 0.0, 0.0, -0.05, 0.01),
    "pelvis_list": (0.0, 0.75, -4.61, 0.0, 0.0, 1.80, 0.59, 0.0, 0.0, -0.09, 0.15, 0.0, 0.0),
    "pelvis_rotation": (0.0, 0.63, 1.97, 0.0, 0.0, 0.76, -0.65, 0.0, 0.0, 0.07, 0.32, 0.0, 0.0),
    "pelvis_ty": (0.9081, 0.0, 0.0, -0.0073, -0.0132, 0.0, 0.0, 0.0, 0.0006, 0.0, 0.0, 0.0, 0.0),
    "lumbar_extension": (-6.26, 0.0, 0.0, -1.37, 1.15, 0.0, 0.0, -0.46, 0.12, 0.0, 0.0, 0.02, -0.09),
    "lumbar_bending": (0.0, -0.86, 6.01, 0.0, 0.0, -2.21, -0.75, 0.0, 0.0, 0.09, -0.17, 0.0, 0.0),
    "lumbar_rotation": (0.0, -6.83, -1.32, 0.0, 0.0, -0.35, 0.48, 0.0, 0.0, -0.11, -0.22, 0.0, 0.0),
}
_RUNNING = {
    "hip_flexion": (15.86, 24.44, -7.58, -6.22, 1.23, -1.67, -0.16, 0.05, 0.73, 0.08, -0.12, 0.05, 0.07),
    "hip_adduction": (4.16, 4.46, 7.17, 0.96, 0.24, -1.24, -1.47, -0.02, 0.07, 0.08, -0.21, 0.0, -0.01),
    "hip_rotation": (-0.25, 3.19, 2.50, -0.27, -1.12, 1.33, 0.17, -0.11, 0.83, -0.01, -0.35, -0.01, 0.10),
    "knee_angle": (45.23, -4.37, -23.38, -18.02, 11.02, -2.15, 0.0, -0.09, 0.12, 0.06, -0.11, 0.14, -0.01),
    "ankle_angle": (-4.84, 15.64, 13.94, -9.53, -2.48, 1.65, -3.03, 1.20, 0.18, -0.07, 0.03, 0.15, 0.05),
    "subtalar_angle": (-5.80, 0.20, 8.97, 0.11, 0.10, 0.36, -1.54, 0.60, -0.80, 0.12, 0.36, -0.05, -0.08),
    "arm_flex": (-16.28, -16.16, 10.65, -4.16, 0.91, -0.72, -0.14, 0.17, -0.27, 0.07, 0.15, 0.03, 0.03),
    "arm_add": (-27.14, 2.82, -4.38, 0.31, -0.27, 0.59, 0.14, 0.0, 0.01, -0.10, -0.01, -0.01, 0.02),
    "arm_rot": (3.14, -6.42, 2.61, -2.84, 2.19, -1.20, 0.54, 0.10, -0.27, 0.16, 0.12, 0.01, 0.02),
    "elbow_flex": (66.16, -10.78, 10.44, 4.73, -5.14, 0.47, 0.44, -0.22, 0.14, 0.09, -0.11, -0.01, -0.10),
    "pelvis_tilt": (-6.27, 0.0, 0.0, -0.64, 1.32, 0.0, 0.0, 0.03, -0.66, 0.0, 0.0, 0.01, -0.08),
    "pelvis_list": (0.0, -3.82, -4.15, 0.0, 0.0, 0.69, 1.47, 0.0, 0.0, -0.14, 0.21, 0.0, 0.0),
    "pelvis_rotation": (0.0, -2.00, -4.81, 0.0, 0.0, 0.54, 0.60, 0.0, 0.0, 0.0, -0.01, 0.0, 0.0),
    "pelvis_ty": (0.8864, 0.0, 0.0, 0.0292, -0.0182, 0.0, 0.0, -0.0005, 0.0002, 0.0, 0.0, 0.0, 0.0001),
    "lumbar_extension": (-3.36, 0.0, 0.0, 2.63, -1.44, 0.0, 0.0, -0.21, 1.01, 0.0, 0.0, -0.05, 0.08),
    "lumbar_bending": (0.0, 5.50, 6.77, 0.0, 0.0, -1.13, -1.48, 0.0, 0.0, 0.12, -0.15, 0.0, 0.0),
    "lumbar_rotation": (0.0, -10.97, 6.15, 0.0, 0.0, 0.17, -1.31, 0.0, 0.0, 0.01, -0.18, 0.0, 0.0),
}
_SIDED = ("hip_flexion", "hip_adduction", "hip_rotation", "knee_angle", "ankle_angle", "subtalar_angle")
_ARMS = ("arm_flex", "arm_add", "arm_rot", "elbow_flex")
_SAGITTAL = ("hip_flexion", "knee_angle", "ankle_angle", "arm_flex", "elbow_flex", "pelvis_rotation", "pelvis_ty")
STANCE = 0.6  # of a walking cycle
# By OpenSim's coordinate, rad and (the pelvis' height) m: soles flat, knees a little bent, weight ahead of the ankles.
STANDING = {
    "hip_flexion": 0.06,
    "hip_adduction": -0.05,
    "hip_rotation": 0.0,
    "knee_angle": 0.2,
    "ankle_angle": 0.14,
    "subtalar_angle": 0.0,
    "pelvis_ty": 0.93,
    **dict.fromkeys(("pelvis_tx", "pelvis_tz", "pelvis_tilt", "pelvis_list", "pelvis_rotation"), 0.0),
    "lumbar_bending": 0.0,
    "lumbar_rotation": 0.0,
}


@dataclasses.dataclass(frozen=True, eq=False)
class GaitCycle:
    """An average cycle of gait.

    Attributes:
        name: "walk" or "run".
        period: s, from a heel strike to the next one of the same foot.
        speed: m/s.
        coefficients: see this module's source.
        stance: share of the cycle that a foot is on the ground.
    """

    name: str
    period: float
    speed: float
    coefficients: Mapping[str, tuple[float, ...]]
    stance: float = STANCE

    def period_at(self, speed: float) -> float:
        """The period, s, at a speed, m/s: see `gait`."""
        return self.period / math.sqrt(speed / self.speed)

    def angle(self, name: str, phase: np.ndarray, scale: float = 1.0) -> np.ndarray:
        """A coordinate at phases (T,) in cycles, rad or m; its harmonics times ``scale``."""
        mean, *harmonics = self.coefficients[name]
        total = np.zeros_like(phase)
        for k in range(len(harmonics) // 2):
            turn = 2.0 * np.pi * (k + 1) * phase
            total += harmonics[2 * k] * np.cos(turn) + harmonics[2 * k + 1] * np.sin(turn)
        value = mean + scale * total
        return value if name == "pelvis_ty" else np.deg2rad(value)


WALKING = GaitCycle("walk", 1.04, 1.315, _WALKING)
RUNNING = GaitCycle("run", 0.70, 2.784, _RUNNING, stance=0.35)


def gait(
    cycle: GaitCycle, *, speed: float = 0.0, turn: float = 0.0, seconds: float = 6.0, rate: float = 100.0
) -> Motion:
    """A person who walks or runs as the average does, at another speed, on a circle.

    At another speed both the length and the rate of strides go with its square root (the walk ratio is constant,
    Sekiya & Nagasaki 1998, doi:10.1016/S0966-6362(98)00018-4), and the sagittal angles with the stride's length. On a
    circle the hips turn so that a foot on the ground keeps its direction.

    Args:
        cycle: `WALKING` or `RUNNING`.
        speed: m/s, the cycle's own by default.
        turn: rad/s about the vertical, positive to the left.
        seconds: how long.
        rate: frames per second.

    Raises:
        UserError: for a speed, a duration or a rate that is none.
    """
    speed = speed or cycle.speed
    for what, value in (("speed", speed), ("seconds", seconds), ("rate", rate)):
        if not (math.isfinite(value) and value > 0.0):
            raise UserError(f"gait: {what} is {value!r}; a number above 0 is accepted")
    step, period = math.sqrt(speed / cycle.speed), cycle.period_at(speed)
    time = np.arange(round(seconds * rate) + 1) / rate
    phase = time / period
    heading = turn * time
    angles = {}
    for name in cycle.coefficients:
        scale = step if name in _SAGITTAL else 1.0
        if name in _SIDED or name in _ARMS:
            for side, later in (("r", 0.0), ("l", 0.5)):
                angles[f"{name}_{side}"] = cycle.angle(name, phase + later, scale)
        else:
            angles[name] = cycle.angle(name, phase, scale)
    for side, later, inward in (("r", 0.0, 1.0), ("l", 0.5, -1.0)):
        away = -turn * period * _held(phase + later, cycle.stance)
        angles[f"hip_rotation_{side}"] = angles[f"hip_rotation_{side}"] + inward * away
    angles["pelvis_rotation"] = angles["pelvis_rotation"] + heading
    forward = np.stack([np.cos(heading), np.sin(heading)], axis=1) * speed / rate
    place = np.concatenate([np.zeros((1, 2)), np.cumsum(0.5 * (forward[1:] + forward[:-1]), axis=0)])
    angles["pelvis_tx"], angles["pelvis_tz"] = place[:, 0], -place[:, 1]
    turning = f", turning {math.degrees(turn):.0f} degrees/s" if turn else ""
    return Motion(
        name=cycle.name,
        rate=rate,
        angles=angles,
        source=f"average {cycle.name}ing of Falisse et al. 2019 (MIT), {speed:.2f} m/s{turning}, made by arnold",
        subject="average",
    )


def standing(seconds: float = 6.0, rate: float = 100.0) -> Motion:
    """A person who stands at ease: knees bent a little, soles flat, arms as they hang on average in walking.

    Args:
        seconds: how long.
        rate: frames per second.
    """
    upper = (*_ARMS, "lumbar_extension")
    held = {name: float(WALKING.angle(name, np.zeros(1), 0.0)[0]) for name in upper} | STANDING
    angles: dict[str, np.ndarray] = {}
    for name, value in held.items():
        sides = [f"{name}_r", f"{name}_l"] if name in (*_SIDED, *_ARMS) else [name]
        angles |= {side: np.full(round(seconds * rate) + 1, value) for side in sides}
    return Motion(name="stand", rate=rate, angles=angles, source="standing at ease, made by arnold", subject="average")


def _held(phase: np.ndarray, stance: float) -> np.ndarray:
    """How far (in cycles) a body that turns evenly is ahead of a foot that stays while on the ground, and then catches
    up: a smoothed sawtooth of mean zero over phases (T,), its stance beginning at phase 0."""
    middle, total = 0.5 * stance, np.zeros_like(phase)
    grid = np.arange(200) / 200.0
    saw = np.where(grid < stance, grid - middle, middle - (grid - stance) * stance / (1.0 - stance))
    waves = np.fft.rfft(saw) / len(grid)
    for k in range(1, 4):
        total += 2.0 * np.real(waves[k] * np.exp(2j * np.pi * k * phase))
    return total
