"""Making a model fit MJX, and saying what that changed.

MJX's JAX implementation refuses contacts between some types of geoms, such as a cylinder and a box. The conversion
tries the model as it is; where MJX refuses a pair, geoms of one of its two types collide as capsules from then on where
a capsule is much like them, and otherwise lose their contacts. Each change is a line of the report that goes into a
run's manifest. Nothing is dropped silently.
"""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np
from mujoco import mjx

from arnold.errors import UserError

LIKE_CAPSULES = (mujoco.mjtGeom.mjGEOM_CYLINDER, mujoco.mjtGeom.mjGEOM_ELLIPSOID)
GIVEN_UP_IN_ORDER = (
    mujoco.mjtGeom.mjGEOM_HFIELD,
    mujoco.mjtGeom.mjGEOM_MESH,
    mujoco.mjtGeom.mjGEOM_ELLIPSOID,
    mujoco.mjtGeom.mjGEOM_CYLINDER,
    mujoco.mjtGeom.mjGEOM_BOX,
)
"""Geom types in the order in which their contacts are given up, the least supported first."""

ROUND = 1.5
"""An ellipsoid is like a capsule where its shorter axes differ by no more than this factor."""


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


def convert_for_mjx(model: mujoco.MjModel, body: str) -> tuple[mujoco.MjModel, ConversionReport]:
    """A copy of the model that `mjx.put_model` takes, and the report of what had to change in it.

    Raises:
        UserError: where nothing that can be changed makes MJX take the model.
    """
    changes: list[str] = []
    reasons: list[str] = []
    model = model.__copy__()
    while True:
        try:
            mjx.put_model(model, impl="jax")
        except NotImplementedError as refusal:
            reasons.append(" ".join(str(refusal).split()))
        else:
            return model, ConversionReport(body, tuple(changes), tuple(reasons))
        change = _remedy(model, reasons[-1])
        if not change:
            raise UserError(f"MJX cannot take body {body!r}: {reasons[-1]}; use the native back end (--backend native)")
        changes.append(change)


def _remedy(model: mujoco.MjModel, refusal: str) -> str:
    """Change the geoms of a type that the refusal names; what was changed, or nothing where nothing is left to."""
    for kind in LIKE_CAPSULES:
        named = [_collide_as_capsule(model, g) for g in _colliding(model, kind, refusal) if _is_like_capsule(model, g)]
        if named:
            return f"{len(named)} {_label(kind)} geoms collide as capsules: {', '.join(named)}"
    for kind in GIVEN_UP_IN_ORDER:
        geoms = _colliding(model, kind, refusal)
        model.geom_contype[geoms] = model.geom_conaffinity[geoms] = 0
        if geoms:
            named = [_name(model, g) for g in geoms]
            return f"contacts of {len(geoms)} {_label(kind)} geoms switched off: {', '.join(named)}"
    return ""


def _colliding(model: mujoco.MjModel, kind: mujoco.mjtGeom, refusal: str) -> list[int]:
    """The geoms of ``kind`` that may touch others, where the refusal names that type."""
    if kind.name not in refusal:
        return []
    touching = (model.geom_contype != 0) | (model.geom_conaffinity != 0)
    return [int(g) for g in np.flatnonzero((model.geom_type == int(kind)) & touching)]


def _is_like_capsule(model: mujoco.MjModel, g: int) -> bool:
    """Whether a capsule is much like geom ``g``, and no tendon wraps around it."""
    wraps = (model.wrap_type == mujoco.mjtWrap.mjWRAP_CYLINDER) | (model.wrap_type == mujoco.mjtWrap.mjWRAP_SPHERE)
    if g in model.wrap_objid[wraps]:
        return False
    if model.geom_type[g] == mujoco.mjtGeom.mjGEOM_CYLINDER:
        return True
    shortest, middle, _ = np.sort(model.geom_size[g])
    return bool(middle <= ROUND * shortest)


def _collide_as_capsule(model: mujoco.MjModel, g: int) -> str:
    """Make a capsule of a cylinder (its radius and length) or an ellipsoid (its length and mean width); its name."""
    if model.geom_type[g] == mujoco.mjtGeom.mjGEOM_CYLINDER:
        radius, half = model.geom_size[g, 0], model.geom_size[g, 1]
    else:
        longest = int(np.argmax(model.geom_size[g]))
        others = np.delete(model.geom_size[g], longest)
        radius = np.sqrt(others.prod())
        half = max(model.geom_size[g, longest] - radius, 1e-4)
        axis = np.eye(3)[longest]
        turn, turned = np.zeros(4), np.zeros(4)
        mujoco.mju_quatZ2Vec(turn, axis)  # a capsule lies along its z
        mujoco.mju_mulQuat(turned, model.geom_quat[g], turn)
        model.geom_quat[g] = turned
    model.geom_type[g] = mujoco.mjtGeom.mjGEOM_CAPSULE
    model.geom_size[g] = radius, half, 0.0
    model.geom_rbound[g] = radius + half
    model.geom_aabb[g] = 0.0, 0.0, 0.0, radius, radius, radius + half
    return _name(model, g)


def _name(model: mujoco.MjModel, g: int) -> str:
    return model.geom(g).name or f"#{g} of {model.body(int(model.geom_bodyid[g])).name}"


def _label(kind: mujoco.mjtGeom) -> str:
    return kind.name.removeprefix("mjGEOM_").lower()
