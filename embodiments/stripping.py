"""A model without what is only looked at: the same motion and sensors to the last bit, in less time.

MuJoCo computes the place of every site and geom in every physics step. Most of a musculoskeletal model's are bone
meshes, markers and cameras that no tendon passes, nothing collides with and no sensor reads: on the hand a third of
them all and a tenth of a step's time.
"""

from __future__ import annotations

import mujoco
import numpy as np

_WRAP_SITE = int(mujoco.mjtWrap.mjWRAP_SITE)
_WRAP_GEOMS = (int(mujoco.mjtWrap.mjWRAP_SPHERE), int(mujoco.mjtWrap.mjWRAP_CYLINDER))
_SEE_EVERY_GEOM = ("RANGEFINDER", "GEOMDIST", "GEOMNORMAL", "GEOMFROMTO")  # sensors that read geoms they do not name
_OF_WHAT_GOES = ("geom_", "site_", "cam_", "light_", "name_", "names", "bvh_", "oct_", "mesh_", "mat_", "tex_", "paths")
# Ids of geoms and sites, and where they begin; the last two are sizes of all geoms, read by bodies that fall asleep and
# by the choice of pairs near enough to collide.
_DIFFER_BY_RIGHT = (
    *("body_geomadr", "body_geomnum", "body_bvhadr", "body_bvhnum", "wrap_objid", "wrap_prm", "pair_geom1"),
    *("pair_geom2", "pair_signature", "actuator_trnid", "eq_obj1id", "eq_obj2id", "sensor_objid", "sensor_refid"),
    *("dof_length", "body_margin"),
)


def stripped(
    spec: mujoco.MjSpec, model: mujoco.MjModel, keep: frozenset[str] = frozenset()
) -> tuple[mujoco.MjModel, mujoco.MjSpec]:
    """A model that steps as ``model`` does, to the last bit, in less time.

    Joints, tendons, actuators, sensors and bodies are all there, in their order; ids of geoms and sites differ.

    Args:
        spec: what ``model`` was compiled from; it is edited.
        model: the whole model. It is returned itself where a geom may matter in a way that is not looked for here
            (fluids, sleeping, flexes, plugins, sensors that see every geom), or where the stripped model does not
            agree with it.
        keep: MJCF bodies that are left whole, because an episode may change them.

    Returns:
        The model, and the spec that it was compiled from.
    """
    if _needs_every_geom(model):
        return model, spec
    whole_spec = spec.copy()
    geoms, sites = _geoms_in_use(model), _sites_in_use(model)
    for body in spec.bodies[1:]:  # masses may come from geoms that are about to go
        if body.name in keep:
            continue
        whole = model.body(body.id)
        body.explicitinertial = True
        body.fullinertia = np.full(6, np.nan)
        body.mass, body.ipos, body.iquat, body.inertia = whole.mass[0], whole.ipos, whole.iquat, whole.inertia
    unused = [geom for geom in spec.geoms if geom.id not in geoms and geom.parent.name not in keep]
    unused += [site for site in spec.sites if site.id not in sites]
    for element in (*unused, *spec.cameras, *spec.lights):
        spec.delete(element)
    _forget_looks(spec)
    try:
        smaller = spec.compile()
    except (ValueError, mujoco.FatalError):
        return model, whole_spec
    return (smaller, spec) if _agree(smaller, model) else (model, whole_spec)


def _forget_looks(spec: mujoco.MjSpec) -> None:
    """Delete materials, textures, skins and the meshes that no geom has: tens of megabytes in every copy of a model."""
    for element in (*spec.geoms, *spec.sites, *spec.tendons, *spec.skins):
        element.material = ""
    worn = {geom.meshname for geom in spec.geoms}
    unworn = [mesh for mesh in spec.meshes if mesh.name not in worn]
    for element in (*spec.skins, *spec.materials, *spec.textures, *unworn):
        spec.delete(element)


def _needs_every_geom(model: mujoco.MjModel) -> bool:
    fluid = model.opt.density > 0 or model.opt.viscosity > 0
    sleeping = model.opt.enableflags & int(getattr(mujoco.mjtEnableBit, "mjENBL_SLEEP", 0))
    seeing = [int(getattr(mujoco.mjtSensor, f"mjSENS_{kind}")) for kind in _SEE_EVERY_GEOM]
    return bool(fluid or sleeping or model.nflex or model.nplugin or np.isin(model.sensor_type, seeing).any())


def _geoms_in_use(model: mujoco.MjModel) -> set[int]:
    """Geoms that collide, that a tendon wraps around, or that a sensor names."""
    wraps = np.isin(model.wrap_type, _WRAP_GEOMS)
    return {
        *np.flatnonzero((model.geom_contype != 0) | (model.geom_conaffinity != 0)).tolist(),
        *model.pair_geom1.tolist(),
        *model.pair_geom2.tolist(),
        *model.wrap_objid[wraps].tolist(),
        *_named_by_sensors(model, mujoco.mjtObj.mjOBJ_GEOM),
    }


def _sites_in_use(model: mujoco.MjModel) -> set[int]:
    """Sites that a tendon passes, an actuator or an equality holds, or a sensor names."""
    wraps = np.isin(model.wrap_type, _WRAP_GEOMS)
    transmissions = (int(mujoco.mjtTrn.mjTRN_SITE), int(mujoco.mjtTrn.mjTRN_SLIDERCRANK))
    at_sites = np.isin(model.actuator_trntype, transmissions)
    held = model.eq_objtype == int(mujoco.mjtObj.mjOBJ_SITE)
    return {
        *model.wrap_objid[model.wrap_type == _WRAP_SITE].tolist(),
        *model.wrap_prm[wraps].astype(int).tolist(),  # the side of a geom that a tendon passes on; -1 for none
        *model.actuator_trnid[at_sites].ravel().tolist(),
        *model.eq_obj1id[held].tolist(),
        *model.eq_obj2id[held].tolist(),
        *_named_by_sensors(model, mujoco.mjtObj.mjOBJ_SITE),
    }


def _named_by_sensors(model: mujoco.MjModel, kind: mujoco.mjtObj) -> set[int]:
    return {
        *model.sensor_objid[model.sensor_objtype == int(kind)].tolist(),
        *model.sensor_refid[model.sensor_reftype == int(kind)].tolist(),
    }


def _agree(smaller: mujoco.MjModel, model: mujoco.MjModel) -> bool:
    """Whether every array of the model that is not about what went is the same to the last bit."""
    for name in dir(model):
        whole = None if name.startswith("_") else getattr(model, name)
        if not isinstance(whole, np.ndarray) or name.startswith(_OF_WHAT_GOES) or name in _DIFFER_BY_RIGHT:
            continue
        if not np.array_equal(getattr(smaller, name), whole, equal_nan=whole.dtype.kind == "f"):
            return False
    return True
