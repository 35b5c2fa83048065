"""Which parts of a body stand for which keypoints of a person, and which of its joints for which of OpenSim's angles.

Bodies whose parts have the names of MyoLegs, MyoArm or MyoFullBody are known by those names. A body of your own is
known once it is told::

    register_map("my_legs", BodyMap(keypoints={"left_hip": "thigh_left", ...}, angles={"hip_flexion_l": ("hipL", 1.0)}))
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import mujoco

from arnold.errors import UserError, did_you_mean
from arnold.motion.motion import KEYPOINTS

# The first of these MJCF bodies that a model has stands for the keypoint; their origins are the centres of joints.
# MuscleMimic's mimic sites lie at the same bodies' origins.
_KNOWN: dict[str, tuple[str, ...]] = {
    "pelvis": ("pelvis",),
    "spine": ("lumbar1", "thorax"),
    "head": ("head",),
    **{
        f"{side}_{joint}": (f"{part}_{side[0]}",)
        for side in ("left", "right")
        for joint, part in {
            "shoulder": "humerus",
            "elbow": "ulna",
            "wrist": "lunate",
            "hip": "femur",
            "knee": "tibia",
            "ankle": "talus",
            "toe": "toes",
        }.items()
    },
}
# OpenSim's coordinate (gait2392, Rajagopal 2015), the model's joint, and the factor between them. The toes' axis of
# MyoLegs is OpenSim's turned round.
_ANGLES: dict[str, tuple[str, float]] = {
    f"{angle}_{s}": (f"{joint}_{s}", factor)
    for s in "rl"
    for angle, joint, factor in (
        ("hip_flexion", "hip_flexion", 1.0),
        ("hip_adduction", "hip_adduction", 1.0),
        ("hip_rotation", "hip_rotation", 1.0),
        ("knee_angle", "knee_angle", 1.0),
        ("ankle_angle", "ankle_angle", 1.0),
        ("subtalar_angle", "subtalar_angle", 1.0),
        ("mtp_angle", "mtp_angle", -1.0),
        ("elbow_flex", "elbow_flex", 1.0),
        ("pro_sup", "pro_sup", 1.0),
    )
} | {
    "lumbar_extension": ("flex_extension", 1.0),
    "lumbar_bending": ("lat_bending", 1.0),
    "lumbar_rotation": ("axial_rotation", 1.0),
}
_TOUCHES = ("foot_touch_r", "toes_touch_r", "foot_touch_l", "toes_touch_l")
_TOUCHES_MIMIC = ("r_foot_touch", "r_toes_touch", "l_foot_touch", "l_toes_touch")
# A body that merely happens to have one such part (MyoArm has a thorax) is no target.
_LEGS = tuple(f"{side}_{joint}" for side in ("left", "right") for joint in ("hip", "knee", "ankle"))
_ARMS = tuple(f"{side}_{joint}" for side in ("left", "right") for joint in ("shoulder", "elbow", "wrist"))


@dataclasses.dataclass(frozen=True)
class BodyMap:
    """How a body is seen as a person.

    The body's rest pose (`qpos0`) must be a person's who stands upright with the arms hanging, palms to the thighs,
    whichever way it faces.

    Attributes:
        keypoints: by a name of `KEYPOINTS`, the MJCF body whose origin is that joint's centre.
        angles: by OpenSim's name of a coordinate, the joint and the factor: joint = factor times coordinate. Of a joint
            that others follow (a lumbar spine), the coordinate is what all of them turn together.
        touches: touch sites of the feet; a site is on the ground where the geoms of its MJCF body are.
    """

    keypoints: Mapping[str, str]
    angles: Mapping[str, tuple[str, float]] = dataclasses.field(default_factory=dict)
    touches: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the keypoints' names.

        Raises:
            UserError: for a keypoint that there is not.
        """
        for name in self.keypoints:
            if name not in KEYPOINTS:
                raise UserError(f"no keypoint {name!r} for a body's map; {did_you_mean(name, KEYPOINTS)}")


_GIVEN: dict[str, BodyMap] = {}


def register_map(body: str, mapped: BodyMap) -> BodyMap:
    """Say how the body called ``body`` is seen as a person; saying it again replaces it."""
    _GIVEN[body] = mapped
    return mapped


def body_map(body: str, model: mujoco.MjModel) -> BodyMap:
    """How the body called ``body`` is seen as a person: as it was registered, or by the names of its parts.

    Args:
        body: the embodiment's name.
        model: its model.

    Raises:
        UserError: where it has neither two legs nor two arms of known names, or where its map names a part that it
            does not have.
    """
    parts = [model.body(b).name for b in range(model.nbody)]
    if body in _GIVEN:
        missing = [part for part in _GIVEN[body].keypoints.values() if part not in parts]
        if missing:
            raise UserError(
                f"the map of body {body!r} names an MJCF body {missing[0]!r}; {did_you_mean(missing[0], parts)}"
            )
        return _GIVEN[body]
    found = {point: next((p for p in names if p in parts), None) for point, names in _KNOWN.items()}
    keypoints = {point: part for point, part in found.items() if part is not None}
    if "spine" not in keypoints:  # of a body whose trunk is one with the pelvis, a head is no place of its own
        keypoints.pop("head", None)
    if not any(all(point in keypoints for point in limbs) for limbs in (_LEGS, _ARMS)):
        raise UserError(
            f"motion cannot be retargeted to body {body!r}: it has neither two legs nor two arms of known names; "
            "kinesis_legs, musclemimic_bimanual and musclemimic_fullbody do; for a body of your own call "
            "arnold.motion.bodies.register_map"
        )
    joints = {model.joint(j).name for j in range(model.njnt)}
    sites = {model.site(s).name for s in range(model.nsite)}
    touches = next((t for t in (_TOUCHES, _TOUCHES_MIMIC) if set(t) <= sites), ())
    return BodyMap(keypoints, {angle: to for angle, to in _ANGLES.items() if to[0] in joints}, touches)
