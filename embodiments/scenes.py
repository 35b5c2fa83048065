"""Bodies with things: a pen, a die or two balls in the hand, an object and a bin before the arm, a floor for the legs.

The scenes are MyoSuite's own. Its files include one another across packages by paths that exist in its source tree
only; here the includes are put in place and every file is looked up in the installed packages, so that MyoSuite need
not be imported and nothing is written. The pen has no file: MyoSuite builds it in code, into the hand of its older
files, and so does `pen_spec`.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from pathlib import Path

import mujoco

from arnold.embodiments.sources import one_line, package_folder
from arnold.errors import UserError

PEN_PLACE = (-0.230, -0.530, 1.445)  # m, world; MyoSuite's `hand_pen` recipe
PEN_PITCH = 1.27  # rad about y
_PEN_PARTS = (  # (name, shape, size, place along x and z), m
    ("pen", mujoco.mjtGeom.mjGEOM_CYLINDER, (0.015, 0.065, 0.0), (0.0, 0.0)),
    ("top", mujoco.mjtGeom.mjGEOM_CYLINDER, (0.017, 0.020, 0.0), (0.0, -0.0455)),
    ("bot", mujoco.mjtGeom.mjGEOM_CYLINDER, (0.013, 0.002, 0.0), (0.0, 0.067)),
    ("cli", mujoco.mjtGeom.mjGEOM_BOX, (0.004, 0.006, 0.03), (-0.015, -0.0255)),
)
COARSE_BAODING_TIMESTEP = 0.005  # s
LEG_TIMESTEP = 1.0 / 150.0  # s; the reference's walking task (arXiv 2508.18066)
_THING_JOINTS = (("OBJT", mujoco.mjtJoint.mjJNT_SLIDE), ("OBJR", mujoco.mjtJoint.mjJNT_HINGE))
_AXES = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}


def pen_spec() -> mujoco.MjSpec:
    """MyoHand with a pen above the palm; the pen has three slides and three hinges."""
    spec = _myosuite_scene("hand/myohand_die.xml")
    for body in ("Object", "target"):
        spec.delete(spec.body(body))
    half_pitch = PEN_PITCH / 2.0
    pen = spec.worldbody.add_body(
        name="Object", pos=PEN_PLACE, quat=(math.cos(half_pitch), 0.0, math.sin(half_pitch), 0.0)
    )
    for prefix, kind in _THING_JOINTS:
        for letter, axis in _AXES.items():
            pen.add_joint(name=prefix + letter, type=kind, axis=axis)
    for name, kind, size, place in _PEN_PARTS:
        touches = name == "pen"  # the others have only mass
        pen.add_geom(
            name=name,
            type=kind,
            size=size,
            pos=(place[0], 0.0, place[1]),
            density=1500.0 if touches else 1000.0,
            condim=4 if touches else 3,
            contype=touches,
            conaffinity=touches,
            rgba=(0.6, 0.6, 0.6, 1.0) if touches else (0.0, 0.5, 1.0, 1.0),
        )
    return spec


def die_spec() -> mujoco.MjSpec:
    """MyoHand with a die in the palm; the die has three slides and three hinges."""
    spec = _myosuite_scene("hand/myohand_die.xml")
    _name_geoms(spec, "Object", "die")
    return spec


def baoding_spec() -> mujoco.MjSpec:
    """MyoHand with two Baoding balls in the palm, each on a free joint."""
    spec = _myosuite_scene("hand/myohand_baoding.xml")
    for tendon in list(spec.tendons):  # the strings that are drawn from each ball to its target
        if tendon.name in ("tendon1", "tendon2"):
            spec.delete(tendon)
    return spec


def baoding_coarse_spec() -> mujoco.MjSpec:
    """The same in physics steps of 5 ms, twice as long."""
    spec = baoding_spec()
    spec.option.timestep = COARSE_BAODING_TIMESTEP
    return spec


def relocation_spec() -> mujoco.MjSpec:
    """MyoArm, a table, an object of three geoms on three slides and three hinges, and a bin.

    MyoSuite's bin is a mocap body; here it is fixed to the world at a place that each episode may change, which is the
    same to whatever touches it.
    """
    spec = _myosuite_scene("arm/myoarm_relocate.xml")
    spec.body("target").mocap = False
    _name_geoms(spec, "Object", "object")
    return spec


def legs_spec() -> mujoco.MjSpec:
    """MyoLegs with MyoSuite's rigid torso on a flat floor, free to move: 80 muscles, 20 independent joints."""
    spec = _myosuite_scene("leg/myolegs_with_torso.xml", {"myosuite_scene.xml": "myosuite_scene_noPedestal.xml"})
    spec.delete(spec.geom("terrain"))
    spec.delete(spec.hfield("terrain"))
    spec.option.timestep = LEG_TIMESTEP
    return spec


def arm_spec() -> mujoco.MjSpec:
    """MyoArm alone: 38 joints, 63 muscles; the arm of `relocation_spec`."""
    spec = _myosuite_scene("arm/myoarm_relocate.xml")
    for body in ("table", "Object", "target"):
        spec.delete(spec.body(body))
    for key in list(spec.keys):
        spec.delete(key)
    return spec


def _name_geoms(spec: mujoco.MjSpec, body: str, prefix: str) -> None:
    """Give the geoms of an MJCF body names, so that an episode can change them."""
    for number, geom in enumerate(spec.body(body).geoms):
        geom.name = f"{prefix}{number}"


def _myosuite_scene(path: str, instead: dict[str, str] | None = None) -> mujoco.MjSpec:
    """A scene of MyoSuite's by its path below the package's assets.

    Args:
        path: of the main file.
        instead: other names of included files to take.

    Raises:
        UserError: where a file is missing, or MuJoCo cannot parse the scene.
    """
    main = package_folder("myosuite") / "envs/myo/assets" / path
    if not main.is_file():
        raise UserError(f"no scene at {str(main)!r}; install the version of myosuite that constraints.txt names")
    root = ET.parse(main).getroot()
    _put_includes_in_place(root, main.parent, instead or {})
    for compiler in root.iter("compiler"):  # files have become absolute
        for folder in ("assetdir", "meshdir", "texturedir"):
            compiler.attrib.pop(folder, None)
    try:
        return mujoco.MjSpec.from_string(ET.tostring(root, encoding="unicode"))
    except (ValueError, mujoco.FatalError) as error:
        raise UserError(f"MuJoCo cannot read {str(main)!r}: {one_line(error)}") from error


def _put_includes_in_place(parent: ET.Element, folder: Path, instead: dict[str, str]) -> None:
    """Replace each include below ``parent`` by what it includes, and each file by its absolute path."""
    children = []
    for child in parent:
        if child.tag == "include":
            named = Path(child.attrib["file"])
            path = _installed(folder, str(named.with_name(instead.get(named.name, named.name))))
            included = ET.parse(path).getroot()
            _put_includes_in_place(included, path.parent, instead)
            children += list(included)
            continue
        if "file" in child.attrib:
            child.set("file", str(_installed(folder, child.attrib["file"])))
        _put_includes_in_place(child, folder, instead)
        children.append(child)
    parent[:] = children


def _installed(folder: Path, named: str) -> Path:
    """The file that ``named`` means in a file in ``folder``: there, or among the models of the installed packages."""
    models, assets = package_folder("myo_sim") / "models", package_folder("myosuite") / "envs/myo/assets"
    tail = named.split("myo_sim/")[-1].split("envs/myo/assets/")[-1]
    while tail.startswith(("../", "./")):
        tail = tail.split("/", 1)[1]
    candidates = (folder / named, models / tail, assets / tail, models / "legacy" / tail)
    for path in candidates:
        if path.is_file():
            return path.resolve()
    raise UserError(
        f"a scene of MyoSuite's asks for {named!r}, which is in none of {[str(path) for path in candidates]}; "
        "install the versions of myosuite and myo-sim that constraints.txt names"
    )
