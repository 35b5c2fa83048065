"""The bodies of MuscleMimic: two arms (126 muscles) and a whole body (416), each with and without finger muscles.

The models are those of the package musclemimic_models 1.0.6 (Apache-2.0), found without importing it. What is added or
changed, and why:

- *Mimic sites*, the places that imitation follows, as MuscleMimic attaches them in code (arXiv 2603.25544): 17 on the
  whole body, 7 on the arms, each at the origin of its MJCF body.
- *Timestep* 0.002 s for both, and five of them to a control step: 100 Hz. (The file of the whole body says 0.001 s.)
  To practise in, there is a whole body in steps of 0.005 s, six to a control step.
- *Solver* as in the files, in training and in evaluation: Newton, 100 iterations, 50 of the line search, implicit
  damping. MuscleMimic trains with 4, 8 and explicit damping, and evaluates with the former: its policies are measured
  in a physics other than their own. The numbers of iterations make no difference (1.3 on the arms and 1.7 on the whole
  body on average, 4 at most, over a second of random excitation); explicit damping does (up to 0.3 rad after 0.5 s).
- *Excitation* is in [0, 1], by the house's sigmoid of the action. The files let the control of arm muscles go down to
  -1, which MuJoCo's activation dynamics takes for 0: nothing is lost. MuscleMimic sends the action as it is, so that
  half of every action's range is silent; `DIRECT` is that map: `dataclasses.replace(FULLBODY, action_map=DIRECT)`.
- *Contacts* as in the files: collision shapes touch the floor, and one another in 33 (arms) or 75 listed pairs alone.
  In the rest pose the upper arms lie 21 mm deep in the ribcage; that too is as published.
- *Without fingers*: the 40 finger joints and the 62 muscles that end on fingers, with their tendons, are taken out. The
  bones stay, held at rest.
- No key frame: the one in the file of the whole body is its rest pose.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import mujoco
import numpy as np

from arnold.embodiments.embodiment import Embodiment
from arnold.embodiments.sources import package_folder, spec_from_file

TIMESTEP, FRAME_SKIP = 0.002, 5  # s, and physics steps to a control step
COARSE_TIMESTEP, COARSE_FRAME_SKIP = 0.005, 6
MIMIC_SITE_SIZE = (0.075, 0.05, 0.025)  # m, half edges of a box; sites are only looked at


def _on_both_sides(bones: dict[str, str]) -> dict[str, str]:
    """Sites of the left and then the right side, and the MJCF bodies they are on, from place and bone."""
    return {f"{side}_{place}": f"{bone}_{side[0]}" for side in ("left", "right") for place, bone in bones.items()}


_ARM_SITES = _on_both_sides({"shoulder": "humerus", "elbow": "ulna", "hand": "lunate"})
_LEG_SITES = _on_both_sides({"hip": "femur", "knee": "tibia", "ankle": "talus", "toes": "toes"})
BIMANUAL_SITES = {"upper_body_mimic": "thorax", **_ARM_SITES}
"""Mimic sites of the two arms and the MJCF bodies they are on; the first is the one that others are relative to."""
FULLBODY_SITES = {
    "pelvis_mimic": "pelvis",
    "upper_body_mimic": "lumbar1",
    "head_mimic": "head",
    **_ARM_SITES,
    **_LEG_SITES,
}
"""Mimic sites of the whole body, in MuscleMimic's order."""

_GEOMS_IN_1_0_5 = {  # places of wrapping geoms of the right arm, m; on the left z is mirrored
    "DELT1hh_ellipsoid_DELT1": np.array([-0.0179974, -0.0075035, -0.0580664]),
    "EDCL_torus_wrap": np.array([-0.0128, -0.0133, 0.0148]),
    "EDCM_torus_wrap": np.array([-0.0007, -0.0117, 0.0191]),
}
_FLIPPED_IN_1_0_5 = ("knee_angle_translation2_constraint_l", "knee_angle_rotation3_constraint_l")
_POLYNOMIAL = 5  # coefficients of an equality between joints
_ROTATION_RANGE_IN_1_0_5 = (-0.262788, 0.262788)  # rad

_FINGER_JOINT = re.compile(r"(cmc|mp|ip|mcp\d|pm\d|md\d)_(flexion|abduction)_[rl]")
_FINGER_MUSCLE = re.compile(r"(EDM|EIP|EPL|EPB|FPL|APL|OP|(FDS|FDP|EDC|RI|LU_RB|UI_UB)[2-5])(_tendon)?(_left)?")


def bimanual_spec() -> mujoco.MjSpec:
    """Two arms on a thorax that is fixed to the world: 76 joints, 126 muscles, 7 mimic sites."""
    return _made("arm/myoarm_bimanual.xml", BIMANUAL_SITES)


def bimanual_nofingers_spec() -> mujoco.MjSpec:
    """The two arms with stiff fingers: 36 joints, 64 muscles."""
    return _without_fingers(bimanual_spec())


def fullbody_spec() -> mujoco.MjSpec:
    """A whole body on a floor, free to move: 122 joints and the root, 416 muscles, 17 mimic sites."""
    return _made("body/myofullbody.xml", FULLBODY_SITES)


def fullbody_nofingers_spec() -> mujoco.MjSpec:
    """The whole body with stiff fingers: 82 joints and the root, 354 muscles."""
    return _without_fingers(fullbody_spec())


def fullbody_nofingers_coarse_spec() -> mujoco.MjSpec:
    """The same in physics steps of 5 ms."""
    spec = fullbody_nofingers_spec()
    spec.option.timestep = COARSE_TIMESTEP
    return spec


def _made(path: str, sites: dict[str, str]) -> mujoco.MjSpec:
    """A model of the package, by its path there, with mimic sites and the house's options."""
    spec = spec_from_file(package_folder("musclemimic_models") / "model" / path)
    spec.option.timestep = TIMESTEP
    for key in list(spec.keys):
        spec.delete(key)
    for muscle in spec.actuators:
        muscle.ctrlrange = (0.0, 1.0)
    for name, body in sites.items():
        box = mujoco.mjtGeom.mjGEOM_BOX
        spec.body(body).add_site(name=name, type=box, size=MIMIC_SITE_SIZE, group=4, rgba=(0.2, 0.8, 0.2, 0.5))
    return spec


def _without_fingers(spec: mujoco.MjSpec) -> mujoco.MjSpec:
    """The same model without what moves its fingers."""
    for elements, ours in (
        (spec.actuators, _FINGER_MUSCLE),
        (spec.tendons, _FINGER_MUSCLE),
        (spec.joints, _FINGER_JOINT),
    ):
        for element in [each for each in elements if ours.fullmatch(each.name)]:
            spec.delete(element)
    return spec


def as_released_in_1_0_5(spec: mujoco.MjSpec) -> mujoco.MjSpec:
    """Turn a spec of this module into that of musclemimic_models 1.0.5, which it edits and returns.

    Published checkpoints and retargeted motions were made on 1.0.5, where the left tibia turns the wrong way about its
    axis as the knee bends. They do not carry over to 1.0.6.

    Example:
        >>> build = lambda: as_released_in_1_0_5(fullbody_spec())
        >>> old = dataclasses.replace(FULLBODY, name="musclemimic_fullbody_1_0_5", build=build)
    """
    for name, place in _GEOMS_IN_1_0_5.items():
        spec.geom(name).pos = place
        spec.geom(f"{name}_left").pos = place * np.array([1.0, 1.0, -1.0])
    for equality in spec.equalities:
        if equality.name in _FLIPPED_IN_1_0_5:
            equality.data[:_POLYNOMIAL] = -equality.data[:_POLYNOMIAL]
    for joint in spec.joints:
        if joint.name.startswith("knee_angle_rotation3_"):
            joint.range = _ROTATION_RANGE_IN_1_0_5
    for geom in spec.geoms:
        if geom.name == "back_cylinder_l":
            geom.size[0] = 0.17
    return spec


def _embodiment(
    name: str, build: Callable[[], mujoco.MjSpec], summary: str, frame_skip: int = FRAME_SKIP
) -> Embodiment:
    # Only muscles of the right arm say no side in these files; joints of the spine have none whatever is said here.
    return Embodiment(f"musclemimic_{name}", build, frame_skip=frame_skip, side="right", summary=summary)


BIMANUAL = _embodiment("bimanual", bimanual_spec, "MuscleMimic's two arms: 76 joints, 126 muscles; 100 Hz")
BIMANUAL_NOFINGERS = _embodiment(
    "bimanual_nofingers", bimanual_nofingers_spec, "the same with stiff fingers: 36 joints, 64 muscles"
)
FULLBODY = _embodiment("fullbody", fullbody_spec, "MuscleMimic's whole body: 122 joints, 416 muscles; 100 Hz")
FULLBODY_NOFINGERS = _embodiment(
    "fullbody_nofingers", fullbody_nofingers_spec, "the same with stiff fingers: 82 joints, 354 muscles"
)
FULLBODY_NOFINGERS_COARSE = _embodiment(
    "fullbody_nofingers_coarse",
    fullbody_nofingers_coarse_spec,
    "the same with stiff fingers: 200 Hz, control at 33 Hz",
    COARSE_FRAME_SKIP,
)
