"""Fields of a model that a task sets anew for each episode: a ball's mass, an object's size.

A task declares which (`Change`) and draws the values; each back end applies them in its own way. The native one writes
them into a copy of the model and has inertia, bounding volumes and constants of the constraint solver computed anew, so
that the episode is the one of a model compiled with these values. That holds for things made of primitive shapes; what
muscles derive from the limbs that they pass (their ranges of length) is not computed anew.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
from collections.abc import Sequence
from types import ModuleType

import mujoco
import numpy as np

from arnold.embodiments.sources import package_folder
from arnold.errors import UserError, did_you_mean

WIDTHS = {
    "body_mass": 1,
    "body_pos": 3,
    "body_quat": 4,
    "geom_type": 1,
    "geom_size": 3,
    "geom_pos": 3,
    "geom_quat": 4,
    "geom_friction": 3,
}
"""Fields that may change, as MuJoCo calls them, and how many numbers each holds."""

_DERIVED_FROM = ("body_mass", "geom_type", "geom_size", "geom_pos", "geom_quat")


@dataclasses.dataclass(frozen=True)
class Change:
    """One field of one body or geom of the model; an episode's value is of MuJoCo's units and shape.

    Attributes:
        field: one of `WIDTHS`: ``body_mass`` (kg), ``geom_size`` (m), ...
        of: the name of the MJCF body or geom.
    """

    field: str
    of: str

    def __post_init__(self) -> None:
        if self.field not in WIDTHS:
            raise UserError(f"unknown field {self.field!r} of a model; {did_you_mean(self.field, WIDTHS)}")

    @property
    def kind(self) -> str:
        """What the field is of: ``MJCF body`` or ``geom``."""
        return "MJCF body" if self.field.startswith("body_") else "geom"

    @property
    def width(self) -> int:
        """How many numbers the field holds."""
        return WIDTHS[self.field]

    def row(self, model: mujoco.MjModel) -> int:
        """The id of the body or geom in ``model``."""
        return int(model.body(self.of).id if self.kind == "MJCF body" else model.geom(self.of).id)

    def current(self, model: mujoco.MjModel) -> np.ndarray:
        """The field's value (width,) in ``model``."""
        return np.array(getattr(model, self.field)[self.row(model)], np.float32).reshape(self.width)


def width_of(changes: Sequence[Change]) -> int:
    """How many numbers a list of changes holds."""
    return sum(change.width for change in changes)


def current_values(model: mujoco.MjModel, changes: Sequence[Change]) -> np.ndarray:
    """The values (P,) that a model has where episodes may change it."""
    return np.concatenate([np.zeros(0, np.float32), *(change.current(model) for change in changes)])


def apply_changes(model: mujoco.MjModel, spec: mujoco.MjSpec, changes: Sequence[Change], values: np.ndarray) -> None:
    """Write an episode's values into a model, and compute what MuJoCo derives from them.

    Args:
        model: edited in place; what was written before is overwritten.
        spec: what it was compiled from.
        changes: the fields.
        values: their values, one after the other.
    """
    first, derived = 0, set()
    for change in changes:
        value = values[first : first + change.width]
        getattr(model, change.field)[change.row(model)] = value if change.width > 1 else value[0]
        first += change.width
        if change.field in _DERIVED_FROM:
            body = change.row(model) if change.kind == "MJCF body" else int(model.geom_bodyid[change.row(model)])
            derived.add(body)
    try:
        _geom_utilities().refresh_geom_derived_fields(model, spec, sorted(derived))
    except NotImplementedError as error:
        raise UserError(
            f"an episode cannot change {', '.join(f'{c.field} of {c.of!r}' for c in changes)}: {error} "
            "Change things made of spheres, capsules, ellipsoids, cylinders and boxes"
        ) from error


@functools.cache
def _geom_utilities() -> ModuleType:
    """MyoSuite's module of derived fields, without importing the whole of MyoSuite."""
    path = package_folder("myosuite") / "utils" / "mujoco_geom_utils.py"
    found = importlib.util.spec_from_file_location("arnold_myosuite_geom_utils", path)
    if found is None or found.loader is None:
        raise UserError(f"{str(path)!r} is missing: install the version of myosuite that constraints.txt names")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module
