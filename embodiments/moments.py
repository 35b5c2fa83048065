"""How muscles turn joints: moment arms about the coordinates that are free to move."""

from __future__ import annotations

import mujoco
import numpy as np


def independent_velocities(model: mujoco.MjModel, qpos: np.ndarray) -> np.ndarray:
    """How velocities follow from independent ones where joints are coupled by equalities.

    Args:
        model: with joint equalities, whose dependent joint follows a polynomial of another or stands still.
        qpos: (..., nq) where.

    Returns:
        (..., nv, I): qvel is this times the I independent velocities, which are those of the joints that are not
        dependent.
    """
    whole = np.zeros((*qpos.shape[:-1], model.nv, model.nv))
    whole[..., np.arange(model.nv), np.arange(model.nv)] = 1.0
    equalities = np.flatnonzero(model.eq_type == int(mujoco.mjtEq.mjEQ_JOINT))
    one, other = model.eq_obj1id[equalities], model.eq_obj2id[equalities]
    dofs = model.jnt_dofadr[one]
    whole[..., dofs, :] = 0.0
    led = other >= 0
    dofs, other, polynomial = dofs[led], other[led], model.eq_data[equalities[led], 1:5]
    x = qpos[..., model.jnt_qposadr[other]] - model.qpos0[model.jnt_qposadr[other]]
    powers = np.arange(4)
    slopes = (polynomial * (powers + 1) * x[..., None] ** powers).sum(axis=-1)
    whole[..., dofs, model.jnt_dofadr[other]] = slopes
    return whole[..., independent_dofs(model)]


def independent_dofs(model: mujoco.MjModel) -> list[int]:
    """The I velocities that follow no other by a joint equality, in order."""
    equalities = np.flatnonzero(model.eq_type == int(mujoco.mjtEq.mjEQ_JOINT))
    dependent = {int(model.jnt_dofadr[model.eq_obj1id[equality]]) for equality in equalities}
    return [dof for dof in range(model.nv) if dof not in dependent]


def moment_arms(model: mujoco.MjModel, data: mujoco.MjData) -> np.ndarray:
    """Moment arms (nu, nv) of actuators, m per rad or m per m, at the position that ``data`` has been brought to."""
    dense = np.zeros((model.nu, model.nv))
    mujoco.mju_sparse2dense(dense, data.actuator_moment, data.moment_rownnz, data.moment_rowadr, data.moment_colind)
    return dense


def pulling_directions(model: mujoco.MjModel, qpos: np.ndarray) -> np.ndarray:
    """In which direction of joint space each actuator pulls: (nu, I) of norm 1 over independent coordinates.

    Coordinates are weighed by how easily they turn (one over the root of the inertia about them), so that a muscle's
    direction is where it makes the body go.
    """
    data = mujoco.MjData(model)
    data.qpos = qpos
    mujoco.mj_fwdPosition(model, data)
    free = independent_velocities(model, qpos)
    inertia = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, data, inertia)
    arms = moment_arms(model, data) @ free / np.sqrt(np.maximum(np.diag(free.T @ inertia @ free), 1e-9))
    return np.asarray(arms / np.maximum(np.linalg.norm(arms, axis=1, keepdims=True), 1e-9))
