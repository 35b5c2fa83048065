"""The bodies that ship, by name, and the door for a user's own."""

from __future__ import annotations

from arnold.embodiments import musclemimic, scenes, sources
from arnold.embodiments.embodiment import Embodiment
from arnold.embodiments.kinesis import KINESIS_LEGS, KINESIS_LEGS_FINE
from arnold.errors import UserError, did_you_mean

ELBOW = Embodiment("elbow", sources.elbow_spec, side="right", summary="MyoElbow: 1 joint, 6 muscles")
FINGER = Embodiment("finger", sources.finger_spec, side="right", summary="MyoFinger: 4 joints, 5 muscles")
HAND = Embodiment("hand", sources.hand_spec, side="right", summary="MyoHand: 23 joints, 39 muscles")
HAND_PEN = Embodiment(
    "hand_pen", scenes.pen_spec, frame_skip=5, side="right", things=("Object",), summary="MyoHand and a pen"
)
HAND_DIE = Embodiment(
    "hand_die", scenes.die_spec, frame_skip=5, side="right", things=("Object",), summary="MyoHand and a die"
)
HAND_BAODING = Embodiment(
    "hand_baoding", scenes.baoding_spec, side="right", things=("ball1", "ball2"), summary="MyoHand and two balls"
)
HAND_BAODING_COARSE = Embodiment(
    "hand_baoding_coarse",
    scenes.baoding_coarse_spec,
    frame_skip=5,
    side="right",
    things=("ball1", "ball2"),
    summary="the same in physics steps of 5 ms",
)
ARM = Embodiment("arm", scenes.arm_spec, side="right", summary="MyoArm: 38 joints, 63 muscles")
ARM_OBJECT = Embodiment(
    "arm_object",
    scenes.relocation_spec,
    frame_skip=5,
    side="right",
    things=("Object",),
    summary="MyoArm, a table, an object and a bin",
)
LEGS = Embodiment(
    "legs", scenes.legs_spec, frame_skip=5, side=None, summary="MyoLegs on a floor: 28 joints, 80 muscles"
)

SHIPPED = (
    *(ELBOW, FINGER, HAND, HAND_PEN, HAND_DIE, HAND_BAODING, HAND_BAODING_COARSE),
    *(ARM, ARM_OBJECT, LEGS, KINESIS_LEGS, KINESIS_LEGS_FINE),
    *(musclemimic.BIMANUAL, musclemimic.BIMANUAL_NOFINGERS, musclemimic.FULLBODY, musclemimic.FULLBODY_NOFINGERS),
    musclemimic.FULLBODY_NOFINGERS_COARSE,
)
_CATALOG: dict[str, Embodiment] = {body.name: body for body in SHIPPED}


def register_embodiment(embodiment: Embodiment) -> Embodiment:
    """Add a body under its name, so that tasks can name it; registering the same name again replaces it.

    Raises:
        UserError: where the name is one of the bodies that ship.
    """
    if embodiment.name in [body.name for body in SHIPPED] and embodiment != _CATALOG[embodiment.name]:
        raise UserError(f"the name {embodiment.name!r} is taken by a body that ships with arnold; choose another name")
    _CATALOG[embodiment.name] = embodiment
    return embodiment


def embodiment(name: str) -> Embodiment:
    """The body called ``name``.

    Raises:
        UserError: for an unknown name, with the nearest match.
    """
    if name not in _CATALOG:
        raise UserError(
            f"unknown body {name!r}; {did_you_mean(name, _CATALOG)} "
            "A body of your own: Embodiment.from_mjcf(path), see docs/add-a-body.md"
        )
    return _CATALOG[name]


def list_embodiments() -> tuple[Embodiment, ...]:
    """Every body known now, those that ship first."""
    return tuple(_CATALOG.values())
