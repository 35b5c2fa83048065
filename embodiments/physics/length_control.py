"""Muscles that are told a length: the excitation that pulls each one there, computed anew in every physics step.

KINESIS' control mode (arXiv 2503.14637). An action map whose `feedback` is set gives each muscle a *command*: the
wanted length as a share of the longest length that the model knows of this muscle. In every physics step

    wanted force   f = clip(stiffness (command * longest - length) - damping * velocity, -1, 0)      (peak forces)
    excitation     u = clip((f - passive force) / active force at full activation, 0, 1)

by MuJoCo's own curves of muscle force. MuJoCo's activation dynamics then follow the excitation. What that means, all as
published:

- A muscle can only be told to be shorter than it is: a command above its present length leaves it slack.
- Stiffness is 5 peak forces per metre for every muscle, so a resting muscle of length L reaches at most 5 L of its peak
  force: 0.57 to 0.93 of it for the nine shortest of each KINESIS leg.
- The middle of the action's range is no rest: half the longest length excites a standing leg's muscles to 0.56 on
  average.
- At 150 Hz activation dynamics overshoot, whoever computes the excitation: 1.33 after one step of full excitation.
  `kinesis_legs` limits activation to [0, 1]; a checkout of KINESIS, whose model is taken as it is, does not.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import mujoco
import numpy as np

from arnold.embodiments.action_maps import LengthFeedback
from arnold.embodiments.embodiment import Body
from arnold.errors import UserError

_TINY = 1e-15  # MuJoCo's mjMINVAL: what it divides by at least


class LengthControl:
    """The excitation that pulls a body's M muscles to their wanted lengths.

    Args:
        body: the compiled body; each of its muscles must have MuJoCo's curves of force.
        feedback: the gains.

    Raises:
        UserError: for a muscle without these curves.
    """

    def __init__(self, body: Body, feedback: LengthFeedback):
        model, at = body.model, body.muscle_controls
        curves = (int(mujoco.mjtGain.mjGAIN_MUSCLE), int(mujoco.mjtBias.mjBIAS_MUSCLE))
        for name, *kinds in zip(body.muscles, model.actuator_gaintype[at], model.actuator_biastype[at], strict=True):
            if tuple(map(int, kinds)) != curves:
                raise UserError(
                    f"body {body.embodiment.name!r} is driven by muscle lengths, but muscle {name!r} has not MuJoCo's "
                    "muscle curves (gaintype and biastype muscle); give it <muscle>, or the body another action map"
                )
        self._feedback, self._muscles = feedback, len(at)
        shortest, self._longest = model.actuator_lengthrange[at].T
        span, acc0 = self._longest - shortest, model.actuator_acc0[at]
        gain, bias = _Curve(model.actuator_gainprm[at], span, acc0), _Curve(model.actuator_biasprm[at], span, acc0)
        self._active, self._passive = gain, bias
        self._shortest, self._ratio = shortest, gain.peak / bias.peak

    def motion(self, sensors: Any) -> tuple[Any, Any]:
        """Lengths and velocities (..., M) of the muscles in the sensors (..., ns) that a body declares, m and m/s."""
        return sensors[..., 0 : 3 * self._muscles : 3], sensors[..., 1 : 3 * self._muscles : 3]

    def excitation(self, xp: ModuleType, command: Any, length: Any, velocity: Any) -> Any:
        """Excitation (..., M) in [0, 1].

        Args:
            xp: `numpy` or `jax.numpy`, whichever the arrays are of.
            command: wanted length (..., M), as a share of the longest.
            length: of the muscles now (..., M), m.
            velocity: of the muscles now (..., M), m/s.
        """
        wanted = self._feedback.stiffness * (command * self._longest - length) - self._feedback.damping * velocity
        missing = xp.clip(wanted, -1.0, 0.0) - self._passive_force(xp, length)
        # KINESIS divides by at least a newton.
        full = xp.minimum(-1.0 / self._passive.peak, self._ratio * self._active_force(xp, length, velocity))
        return xp.clip(missing / full, 0.0, 1.0)

    def _active_force(self, xp: ModuleType, length: Any, velocity: Any) -> Any:
        """Of full activation (..., M), in peak forces: MuJoCo's `mju_muscleGain`."""
        curve = self._active
        away = curve.stretch(length - self._shortest)
        away = xp.where(away < 0.0, away * curve.per_short, away * curve.per_long)
        near = 1.0 - xp.minimum(away, 1.0)
        by_length = xp.where(away <= 0.5, 1.0 - 2.0 * away * away, 2.0 * near * near)
        speed = xp.clip(velocity * curve.per_speed, -1.0, curve.plateau)
        rising, left = 1.0 + speed, curve.plateau - speed
        by_speed = xp.where(speed <= 0.0, rising * rising, 1.0 + curve.plateau - left * left * curve.per_plateau)
        return -by_length * by_speed

    def _passive_force(self, xp: ModuleType, length: Any) -> Any:
        """Of no activation (..., M), in peak forces: MuJoCo's `mju_muscleBias`."""
        curve = self._passive
        stretched = xp.maximum(curve.stretch(length - self._shortest), 0.0) * curve.per_half_long
        bent = xp.minimum(stretched, 1.0)
        return -curve.passive_peak * bent * (stretched - 0.5 * bent)


class _Curve:
    """Constants (M,) of MuJoCo's muscle curves, from the nine parameters of each muscle."""

    def __init__(self, parameters: np.ndarray, span: np.ndarray, acc0: np.ndarray):
        low, high, force, scale, shortest, longest, fastest, passive, eccentric = parameters[:, :9].T
        self.peak = np.where(force < 0, scale / np.maximum(_TINY, acc0), force)  # N
        optimum = np.maximum(_TINY, span / np.maximum(_TINY, high - low))  # m
        self._low, self._per_optimum = low - 1.0, 1.0 / optimum
        self.per_short, self.per_long = _per(shortest - 1.0), _per(longest - 1.0)
        self.per_half_long = _per(0.5 * (longest - 1.0))
        self.per_speed = _per(optimum * fastest)
        self.plateau = eccentric - 1.0
        self.per_plateau = _per(self.plateau)
        self.passive_peak = passive

    def stretch(self, above_shortest: Any) -> Any:
        """Normalised length (..., M) above the optimum, from the length above the shortest in m."""
        return self._low + above_shortest * self._per_optimum


def _per(value: np.ndarray) -> np.ndarray:
    """One over a number, which is taken to be at least MuJoCo's smallest in size."""
    return 1.0 / np.where(np.abs(value) < _TINY, _TINY, value)
