"""A short name for the mechanics of a model: equal on every machine, different where the body would move differently.

A saved model's bytes will not do: they hold the paths of mesh files on this machine, the sensors that a task asked for,
and everything that is only seen.
"""

from __future__ import annotations

import hashlib

import mujoco
import numpy as np

# Fields of MjModel that decide how a body moves; named one by one, so that a field new in MuJoCo changes nothing here.
MECHANICS = {
    "body": ("parentid", "pos", "quat", "ipos", "iquat", "mass", "inertia", "gravcomp"),
    "jnt": ("type", "bodyid", "pos", "axis", "range", "limited", "stiffness", "margin", "solref", "solimp"),
    "dof": ("armature", "damping", "frictionloss", "solref", "solimp"),
    "geom": ("type", "bodyid", "pos", "quat", "size", "contype", "conaffinity", "condim", "friction", "margin", "gap"),
    "site": ("type", "bodyid", "pos", "quat", "size"),
    "eq": ("type", "obj1id", "obj2id", "data", "active0", "solref", "solimp"),
    "tendon": ("stiffness", "damping", "range", "limited", "lengthspring", "frictionloss"),
    "wrap": ("type", "objid", "prm"),
    "actuator": (
        "trntype",
        "trnid",
        "dyntype",
        "dynprm",
        "gaintype",
        "gainprm",
        "biastype",
        "biasprm",
        "gear",
        "ctrlrange",
        "ctrllimited",
        "forcerange",
        "forcelimited",
        "lengthrange",
    ),
    "pair": ("geom1", "geom2", "dim", "friction", "margin", "gap"),
}
OPTIONS = ("timestep", "integrator", "cone", "solver", "iterations", "gravity", "wind", "density", "viscosity")
NAMED = (
    mujoco.mjtObj.mjOBJ_BODY,
    mujoco.mjtObj.mjOBJ_JOINT,
    mujoco.mjtObj.mjOBJ_SITE,
    mujoco.mjtObj.mjOBJ_TENDON,
    mujoco.mjtObj.mjOBJ_ACTUATOR,
)


def model_fingerprint(model: mujoco.MjModel, driven: str) -> str:
    """Twelve hex digits of a model's mechanics and names, and of ``driven``, how it is driven.

    Numbers are rounded to five digits, because the last ones of an inertia depend on how MuJoCo's library was compiled.
    """
    digest = hashlib.sha256(driven.encode())
    for kind, count in zip(NAMED, (model.nbody, model.njnt, model.nsite, model.ntendon, model.nu), strict=True):
        digest.update(repr([mujoco.mj_id2name(model, kind, i) for i in range(count)]).encode())
    digest.update(_digits(model.qpos0))
    for option in OPTIONS:
        digest.update(_digits(np.asarray(getattr(model.opt, option), np.float64)))
    for group, fields in MECHANICS.items():
        for field in fields:
            digest.update(_digits(np.asarray(getattr(model, f"{group}_{field}"), np.float64)))
    return digest.hexdigest()[:12]


def _digits(values: np.ndarray) -> bytes:
    """Shape and numbers to five digits; adding zero makes -0 and 0 the same."""
    return f"{values.shape} {' '.join(f'{v:.5g}' for v in values.ravel() + 0.0)}".encode()
