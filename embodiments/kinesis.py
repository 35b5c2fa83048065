"""The KINESIS legs: 80 muscles, 20 degrees of freedom, a passive rigid trunk, on a flat floor (arXiv 2503.14637).

Composed from the installed leg model, which is newer than the reference's: left and right agree, and joints have other
names. What the reference's model has beside it is added here: fourteen pairs of leg geoms that collide with each other,
the head's mass, and the mass of the toes. Two of its faults are not: its head lies 21 cm behind the pelvis and 9 cm
above it, here where a head is; and activation, which overshoots to 1.33 at 150 Hz there, is limited to [0, 1].
"""

from __future__ import annotations

import functools

import mujoco

from arnold.embodiments import scenes
from arnold.embodiments.embodiment import Embodiment

HEAD_MASS, TOES_MASS = 5.0, 0.285  # kg; the reference's model
HEAD_PLACE = (-0.10, 0.0, 0.67)  # m from the pelvis' origin, x forward: as on the full body of musclemimic_models
PUBLISHED_TIMESTEP, FINE_TIMESTEP = 1.0 / 150.0, 0.002  # s
_THIGH_AND_SHANK = ("femur1_col", "femur2_col", "tibia1_col", "tibia2_col")
_PAIRS = (
    *((f"{name}_r", f"{name}_l") for name in (*_THIGH_AND_SHANK, "foot_col1", "foot_col4")),
    *((f"femur{k}_col_{a}", f"tibia{n}_col_{b}") for k in (1, 2) for n in (1, 2) for a, b in (("r", "l"), ("l", "r"))),
)


def kinesis_legs_spec(timestep: float = PUBLISHED_TIMESTEP) -> mujoco.MjSpec:
    """The legs, an editable spec.

    Args:
        timestep: physics step, s.
    """
    spec = scenes.legs_spec()
    spec.option.timestep = timestep
    head = spec.body("torso").add_body(name="head")
    head.mass, head.ipos, head.inertia, head.explicitinertial = HEAD_MASS, HEAD_PLACE, (0.02, 0.02, 0.015), True
    light = spec.copy().compile()
    for toes in (spec.body(f"toes_{side}") for side in "rl"):
        whole = light.body(toes.name)
        toes.explicitinertial, toes.mass, toes.ipos, toes.iquat = True, TOES_MASS, whole.ipos, whole.iquat
        toes.inertia = whole.inertia * (TOES_MASS / whole.mass[0])
    for first, second in _PAIRS:
        spec.add_pair(geomname1=first, geomname2=second, condim=1)
    for muscle in spec.actuators:
        muscle.actlimited, muscle.actrange = True, (0.0, 1.0)
    return spec


KINESIS_LEGS = Embodiment(
    "kinesis_legs",
    kinesis_legs_spec,
    frame_skip=5,
    side=None,
    summary="KINESIS legs: 28 joints, 80 muscles; 150 Hz, control at 30 Hz",
)
KINESIS_LEGS_FINE = Embodiment(
    "kinesis_legs_fine",
    functools.partial(kinesis_legs_spec, FINE_TIMESTEP),
    side=None,
    summary="the same: 500 Hz, control at 50 Hz",
)
