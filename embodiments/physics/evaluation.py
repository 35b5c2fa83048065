"""Evaluating the sensors of a state takes less than a physics step: what none of them reads need not be computed."""

from __future__ import annotations

import mujoco

# Sensors whose value depends on position, velocity and activation alone, not on constraint forces.
CONSTRAINT_FREE_SENSORS = (
    mujoco.mjtSensor.mjSENS_ACTUATORPOS,
    mujoco.mjtSensor.mjSENS_ACTUATORVEL,
    mujoco.mjtSensor.mjSENS_ACTUATORFRC,
    mujoco.mjtSensor.mjSENS_FRAMEPOS,
    mujoco.mjtSensor.mjSENS_FRAMEQUAT,
    mujoco.mjtSensor.mjSENS_FRAMELINVEL,
    mujoco.mjtSensor.mjSENS_FRAMEANGVEL,
)

_FLAG = mujoco.mjtDisableBit
_PASSIVE = _FLAG.mjDSBL_SPRING | _FLAG.mjDSBL_DAMPER | _FLAG.mjDSBL_GRAVITY
WITHOUT_FORCES = int(_FLAG.mjDSBL_CONSTRAINT | _PASSIVE | _FLAG.mjDSBL_EULERDAMP)
"""Disable flags for what moves a body, muscles apart; the sensors of muscles and frames do without it."""


def unread_by_sensors(model: mujoco.MjModel) -> int:
    """Disable flags for evaluation: contacts, limits and passive forces, unless a sensor of the model reads them."""
    free = set(model.sensor_type.tolist()) <= {int(kind) for kind in CONSTRAINT_FREE_SENSORS}
    return WITHOUT_FORCES if free else 0


def idle_in(model: mujoco.MjModel) -> int:
    """Disable flags for stepping: what costs time and changes nothing in this model.

    MuJoCo looks for islands, groups of bodies that constraints connect, to solve them apart. One kinematic tree is at
    most one island.
    """
    return int(mujoco.mjtDisableBit.mjDSBL_ISLAND) if model.ntree == 1 else 0


def without(model: mujoco.MjModel, flags: int) -> mujoco.MjModel:
    """A copy of the model with parts of the engine switched off."""
    copy = model.__copy__()
    copy.opt.disableflags |= flags
    return copy
