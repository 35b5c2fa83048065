"""Making a model fit MJX, and saying what that changed.

MJX's JAX implementation refuses some contacts, such as those of a mesh or a height field with most shapes. The
conversion tries the model as it is; only where MJX refuses does it switch off contacts, those of one type of geom at a
time until MJX takes the model, and each change is a line of the report that goes into a run's manifest. Nothing is
dropped silently.
"""

from __future__ import annotations

import dataclasses

import mujoco
from mujoco import mjx

from arnold.errors import UserError

# Geom types in the order in which their contacts are given up, the least supported first.
GIVEN_UP_IN_ORDER = (
    mujoco.mjtGeom.mjGEOM_HFIELD,
    mujoco.mjtGeom.mjGEOM_MESH,
    mujoco.mjtGeom.mjGEOM_ELLIPSOID,
    mujoco.mjtGeom.mjGEOM_CYLINDER,
    mujoco.mjtGeom.mjGEOM_BOX,
)


@dataclasses.dataclass(frozen=True)
class ConversionReport:
    """What was changed in a body's model so that MJX takes it.

    Attributes:
        body: the body's name.
        changes: one line per change; empty where the model fits as it is.
        reasons: MJX's words for each refusal on the way.
    """

    body: str
    changes: tuple[str, ...]
    reasons: tuple[str, ...]

    def to_dict(self) -> dict[str, object]:
        """For a run's manifest."""
        return dataclasses.asdict(self)


def convert_for_mjx(model: mujoco.MjModel, body: str) -> tuple[mjx.Model, ConversionReport]:
    """The model on MJX, and the report of what had to change. The model given is left as it is.

    Raises:
        UserError: where no contact switched off makes MJX take the model.
    """
    changes: list[str] = []
    reasons: list[str] = []
    model = model.__copy__()
    for kind in (None, *GIVEN_UP_IN_ORDER):
        if kind is not None and not _give_up_contacts(model, kind, changes):
            continue
        try:
            return mjx.put_model(model, impl="jax"), ConversionReport(body, tuple(changes), tuple(reasons))
        except NotImplementedError as refusal:
            reasons.append(" ".join(str(refusal).split()))
    raise UserError(f"MJX cannot take body {body!r}: {reasons[-1]}; use the native back end (--backend native)")


def _give_up_contacts(model: mujoco.MjModel, kind: mujoco.mjtGeom, changes: list[str]) -> bool:
    """Switch off the contacts of every geom of ``kind``; true where there were any."""
    named = []
    for g in range(model.ngeom):
        if int(model.geom_type[g]) == int(kind) and (model.geom_contype[g] or model.geom_conaffinity[g]):
            model.geom_contype[g] = model.geom_conaffinity[g] = 0
            named.append(model.geom(g).name or f"#{g}")
    if named:
        label = kind.name.removeprefix("mjGEOM_").lower()
        changes.append(f"contacts of {len(named)} {label} geoms switched off: {', '.join(named)}")
    return bool(named)
