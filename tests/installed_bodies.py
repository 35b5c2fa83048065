"""The names that the installed bodies give their joints, muscles and sites, for the tests of the vocabulary."""

from __future__ import annotations

import contextlib
import functools
import tempfile
from collections.abc import Callable
from typing import NamedTuple


class Names(NamedTuple):
    """The joints, muscles and sites of a body, as its MJCF calls them."""

    joints: tuple[str, ...]
    muscles: tuple[str, ...]
    sites: tuple[str, ...]


BODIES = ("elbow", "finger", "hand", "arm", "legs", "bimanual", "fullbody", "reduced_legs", "left_hand")


@functools.cache
def names_of(body: str) -> Names:
    """The names in an installed body's MjSpec; nothing is compiled."""
    import mujoco
    import musclemimic_models
    import myo_sim
    from myo_sim.build import compose

    makers: dict[str, Callable[[], mujoco.MjSpec]] = {
        "elbow": lambda: mujoco.MjSpec.from_file(str(myo_sim.get_xml_path("elbow"))),
        "finger": lambda: mujoco.MjSpec.from_file(str(myo_sim.get_xml_path("finger"))),
        "hand": compose.build_right_hand_from_arm_spec,
        "left_hand": compose.build_left_hand_from_arm_spec,
        "arm": lambda: compose.build_spec("myoarm_r"),
        "legs": lambda: compose.build_spec("myolegs"),
        "reduced_legs": lambda: compose.build_spec("myolegs26"),
        "bimanual": lambda: mujoco.MjSpec.from_file(str(musclemimic_models.get_xml_path("bimanual"))),
        "fullbody": lambda: mujoco.MjSpec.from_file(str(musclemimic_models.get_xml_path("myofullbody"))),
    }
    # MuJoCo writes its log of warnings into the working directory.
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        spec = makers[body]()
    parts = (spec.joints, spec.actuators, spec.sites)
    return Names(*(tuple(part.name for part in each if part.name) for each in parts))
