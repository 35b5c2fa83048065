"""Where the MJCF of each body comes from: editable `MjSpec` objects built from the installed packages.

Model files are found without importing the packages that carry them where a static file exists; the hand has none
(myo_sim composes it from the arm), so its builder is called: that imports only MuJoCo.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import mujoco

from arnold.errors import UserError

HAND_ROOT_POSITION = (-0.02525155, 0.07146933, 1.39249298)  # m, world frame; source in hand_spec
HAND_ROOT_QUATERNION = (0.52167746, 0.46981366, -0.47875126, -0.52718591)


def package_folder(package: str) -> Path:
    """The folder of an installed package, found without importing it.

    Raises:
        UserError: where the package is not installed.
    """
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise UserError(
            f"the body's model files are in the package {package!r}, which is not installed; pip install it"
        )
    return Path(next(iter(found.submodule_search_locations)))


def spec_from_file(path: str | os.PathLike[str]) -> mujoco.MjSpec:
    """An editable spec from an MJCF or URDF file.

    Raises:
        UserError: where the file is missing or MuJoCo cannot parse it; the message carries MuJoCo's words.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no model file at {str(path)!r}; give the path of an MJCF (.xml) file")
    try:
        return mujoco.MjSpec.from_file(str(path))
    except (ValueError, mujoco.FatalError) as error:
        raise UserError(f"MuJoCo cannot read {str(path)!r}: {one_line(error)}") from error


def compile_spec(spec: mujoco.MjSpec, what: str) -> mujoco.MjModel:
    """Compile a spec; MuJoCo's refusal becomes one line that names ``what`` was compiled.

    Raises:
        UserError: with MuJoCo's message.
    """
    try:
        return spec.compile()
    except (ValueError, mujoco.FatalError) as error:
        raise UserError(f"MuJoCo cannot compile {what}: {one_line(error)}") from error


def one_line(error: BaseException) -> str:
    """An error's text folded into one line."""
    return " ".join(str(error).split())


def elbow_spec() -> mujoco.MjSpec:
    """MyoElbow: one degree of freedom, six muscles (myo_sim, legacy/elbow)."""
    return spec_from_file(package_folder("myo_sim") / "models/legacy/elbow/myoelbow_1dof6muscles.xml")


def finger_spec() -> mujoco.MjSpec:
    """MyoFinger: four degrees of freedom, five muscles (myo_sim, legacy/finger)."""
    return spec_from_file(package_folder("myo_sim") / "models/legacy/finger/myofinger_v0.xml")


def hand_spec() -> mujoco.MjSpec:
    """MyoHand: 23 degrees of freedom, 39 muscles (myo_sim's right hand, composed from the arm).

    The root pose is MyoSuite 3's (myosuite/core/model_recipes.py, the hand of `myoHandReachRandom-v0`): it puts the
    hand where the targets of MyoSuite and Arnold, given in world coordinates, expect it.
    """
    package_folder("myo_sim")
    from myo_sim.build.compose import build_right_hand_from_arm_spec

    spec = build_right_hand_from_arm_spec()
    root = spec.body("myoarm_r_root")
    root.pos = HAND_ROOT_POSITION
    root.quat = HAND_ROOT_QUATERNION
    return spec
