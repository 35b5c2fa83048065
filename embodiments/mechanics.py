"""The part of a model that moves: the same mechanics without what is only looked at.

MuJoCo computes the place of every site and geom in every physics step. Most of a musculoskeletal model's are bone
meshes, markers and cameras that no tendon passes, nothing collides with and no sensor reads: on the hand a third of
them all and a tenth of a step's time.
"""

from __future__ import annotations

import mujoco
import numpy as np

_WRAP_SITE = int(mujoco.mjtWrap.mjWRAP_SITE)
_WRAP_GEOMS = (int(mujoco.mjtWrap.mjWRAP_SPHERE), int(mujoco.mjtWrap.mjWRAP_CYLINDER))
_BODIES_ALONE = ("nflex", "nplugin", "nskin")  # models with any of these are left as they are
_SAME = (
    *("body_mass", "body_inertia", "body_pos", "body_quat", "body_ipos", "body_iquat", "body_invweight0"),
    *("dof_invweight0", "dof_armature", "dof_damping", "tendon_length0", "tendon_invweight0", "qpos0", "key_qpos"),
    *(
        "actuator_acc0",
        "actuator_lengthrange",
        "actuator_gainprm",
        "actuator_biasprm",
        "actuator_dynprm",
        "sensor_type",
    ),
)


def mechanics_of(spec: mujoco.MjSpec, model: mujoco.MjModel) -> mujoco.MjModel:
    """A model that steps as ``model`` does, to the last bit, in less time.

    Joints, tendons, actuators, sensors and bodies are all there, in their order; ids of geoms and sites differ.

    Args:
        spec: what ``model`` was compiled from; it is edited.
        model: the whole model. It is returned itself where a geom may matter in a way that is not looked for here
            (fluids, flexes, plugins), or where the stripped model does not agree with it.
    """
    fluid = model.opt.density > 0 or model.opt.viscosity > 0
    if fluid or any(getattr(model, count) for count in _BODIES_ALONE):
        return model
    geoms, sites = _geoms_in_use(model), _sites_in_use(model)
    for body in spec.bodies[1:]:  # masses may come from geoms that are about to go
        whole = model.body(body.id)
        body.explicitinertial = True
        body.fullinertia = np.full(6, np.nan)
        body.mass, body.ipos, body.iquat, body.inertia = whole.mass[0], whole.ipos, whole.iquat, whole.inertia
    unused = [geom for geom in spec.geoms if geom.id not in geoms]
    unused += [site for site in spec.sites if site.id not in sites]
    for element in (*unused, *spec.cameras, *spec.lights):
        spec.delete(element)
    try:
        stripped = spec.compile()
    except (ValueError, mujoco.FatalError):
        return model
    return stripped if _agree(stripped, model) else model


def _geoms_in_use(model: mujoco.MjModel) -> set[int]:
    """Geoms that collide, that a tendon wraps around, or that a sensor reads."""
    wraps = np.isin(model.wrap_type, _WRAP_GEOMS)
    return {
        *np.flatnonzero((model.geom_contype != 0) | (model.geom_conaffinity != 0)).tolist(),
        *model.pair_geom1.tolist(),
        *model.pair_geom2.tolist(),
        *model.wrap_objid[wraps].tolist(),
        *_read_by_sensors(model, mujoco.mjtObj.mjOBJ_GEOM),
    }


def _sites_in_use(model: mujoco.MjModel) -> set[int]:
    """Sites that a tendon passes, an actuator or an equality holds, or a sensor reads."""
    wraps = np.isin(model.wrap_type, _WRAP_GEOMS)
    at_sites = np.isin(model.actuator_trntype, [int(mujoco.mjtTrn.mjTRN_SITE), int(mujoco.mjtTrn.mjTRN_SLIDERCRANK)])
    held = model.eq_objtype == int(mujoco.mjtObj.mjOBJ_SITE)
    return {
        *model.wrap_objid[model.wrap_type == _WRAP_SITE].tolist(),
        *model.wrap_prm[wraps].astype(int).tolist(),  # the side of a geom that a tendon passes on; -1 for none
        *model.actuator_trnid[at_sites].ravel().tolist(),
        *model.eq_obj1id[held].tolist(),
        *model.eq_obj2id[held].tolist(),
        *_read_by_sensors(model, mujoco.mjtObj.mjOBJ_SITE),
    }


def _read_by_sensors(model: mujoco.MjModel, kind: mujoco.mjtObj) -> set[int]:
    return {
        *model.sensor_objid[model.sensor_objtype == int(kind)].tolist(),
        *model.sensor_refid[model.sensor_reftype == int(kind)].tolist(),
    }


def _agree(stripped: mujoco.MjModel, model: mujoco.MjModel) -> bool:
    """Whether the mechanics are the same to the last bit."""
    return all(np.array_equal(getattr(stripped, name), getattr(model, name)) for name in _SAME)
