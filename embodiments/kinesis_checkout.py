"""The KINESIS legs exactly as published, from a checkout of the reference (github amathislab/Kinesis, BSD-3).

Its model differs from `kinesis_legs` and from every installed one: older legs, a head behind the pelvis, activation
that is not limited and overshoots to 1.33 at 150 Hz. Its checkpoints need it. Nothing of it is changed here but what
its own code changes after loading: 150 physics steps per second, five to a control step.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path

import mujoco

from arnold.embodiments.action_maps import LENGTH_PD
from arnold.embodiments.embodiment import Embodiment
from arnold.embodiments.sources import spec_from_file
from arnold.errors import UserError

TIMESTEP, FRAME_SKIP = 1.0 / 150.0, 5  # s, and physics steps to a control step
_MODEL = Path("data/xml/myolegs.xml")


def kinesis_checkout(folder: str | os.PathLike[str], name: str = "kinesis_checkout") -> Embodiment:
    """The legs of a local KINESIS checkout, driven by muscle lengths as published (`LENGTH_PD`).

    Args:
        folder: the checkout's top folder; the model is its ``data/xml/myolegs.xml``.
        name: what tasks call the body.

    Raises:
        UserError: where the folder has no such file, MuJoCo refuses it, or it has no muscles.

    Example:
        >>> body = register_embodiment(kinesis_checkout("~/Kinesis")).compile()
        >>> body.control_dt  # 30 Hz
        0.03333333333333333
    """
    folder = Path(folder).expanduser().resolve()
    path = folder / _MODEL
    if not path.is_file():
        raise UserError(
            f"no KINESIS checkout at {str(folder)!r}: it has no {_MODEL.as_posix()}; give the folder that "
            "`git clone https://github.com/amathislab/Kinesis` makes, or use the body 'kinesis_legs', which needs none"
        )
    embodiment = Embodiment(
        name=name,
        build=functools.partial(_spec, path),
        frame_skip=FRAME_SKIP,
        side=None,
        action_map=LENGTH_PD,
        summary="KINESIS' own legs: 150 Hz, control at 30 Hz by muscle lengths",
        source=str(path),
    )
    embodiment.compile()
    return embodiment


def _spec(path: Path) -> mujoco.MjSpec:
    spec = spec_from_file(path)
    spec.option.timestep = TIMESTEP
    return spec
