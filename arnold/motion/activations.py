"""Which activations move a body as a clip says: static optimisation with ground forces.

At each frame the accelerations of the clip ask for joint moments; muscles and the ground under the feet give them. Of
all the ways to do so the one with the smallest sum of squared activations is taken (Crowninshield & Brand 1981,
doi:10.1016/0021-9290(81)90035-X, with activations for stresses). Muscles have the lengths and velocities of the clip,
so their force is linear in activation; the ground pushes within a friction cone where a foot is on it.
"""

from __future__ import annotations

import daqp
import mujoco
import numpy as np
from scipy.ndimage import gaussian_filter1d

from arnold.embodiments.moments import independent_velocities, moment_arms
from arnold.errors import UserError
from arnold.motion.clip import Clip

FRICTION = 0.8
NEAR_GROUND, AT_REST = 0.025, 1.0  # m and m/s: a point of a foot that is lower and slower than this can be pushed
WEIGHT_OF_MOMENTS = 1.0  # per (N m)^2, against activation squared
WEIGHT_OF_GROUND = 1e-6  # per N^2
SMOOTHING_S = 0.03  # s, standard deviation of the filter of accelerations


def static_activations(model: mujoco.MjModel, clip: Clip, feet: tuple[str, ...] = ()) -> tuple[np.ndarray, np.ndarray]:
    """Activations that would give a clip's accelerations.

    Args:
        model: of the body, with muscles alone for actuators.
        clip: the motion.
        feet: MJCF bodies whose colliding geoms the ground can push.

    Returns:
        Activations (T, M) in [0, 1], and the norm (T,) of the generalised force that neither muscles nor the ground
        could give, N m and N together.

    Raises:
        UserError: where the model has actuators that are no muscles.
    """
    if (model.actuator_dyntype != int(mujoco.mjtDyn.mjDYN_MUSCLE)).any():
        raise UserError("static optimisation needs a model that has muscles alone for actuators")
    acceleration = gaussian_filter1d(np.gradient(clip.qvel, 1.0 / clip.rate, axis=0), SMOOTHING_S * clip.rate, axis=0)
    points = _points(model, feet)
    data = mujoco.MjData(model)
    activation, missing = np.zeros((clip.frames, model.nu)), np.zeros(clip.frames)
    for frame in range(clip.frames):
        data.qpos, data.qvel, data.qacc = clip.qpos[frame], clip.qvel[frame], acceleration[frame]
        moments, wanted = muscles_and_need(model, data)
        ground = _ground(model, data, points)
        free = independent_velocities(model, data.qpos)
        # rows: independent coordinates; columns: activations, then pushes along the edges of friction pyramids
        columns = np.concatenate([moments, ground], axis=1).T @ free
        need = wanted @ free
        cost = WEIGHT_OF_MOMENTS * columns @ columns.T
        cost[np.diag_indices(model.nu)] += 1.0
        pushes = np.arange(model.nu, len(columns))
        cost[pushes, pushes] += WEIGHT_OF_GROUND
        upper = np.concatenate([np.ones(model.nu), np.full(len(pushes), 1e5)])
        solution = daqp.solve(
            cost,
            -WEIGHT_OF_MOMENTS * columns @ need,
            np.zeros((0, len(columns))),
            upper,
            np.zeros(len(columns)),
            np.zeros(len(columns), np.intc),
        )[0]
        activation[frame] = solution[: model.nu]
        missing[frame] = np.linalg.norm(need - solution @ columns)
    return np.clip(activation, 0.0, 1.0).astype(np.float32), missing


def muscles_and_need(model: mujoco.MjModel, data: mujoco.MjData) -> tuple[np.ndarray, np.ndarray]:
    """Generalised force (nv, M) of each muscle per activation, and (nv,) what all of them and the ground must give."""
    need = np.zeros(model.nv)
    forces = []
    mujoco.mj_fwdPosition(model, data)
    mujoco.mj_fwdVelocity(model, data)
    for activation in (0.0, 1.0):
        data.act = activation
        mujoco.mj_fwdActuation(model, data)
        forces.append(data.actuator_force.copy())
    moment = moment_arms(model, data)
    mujoco.mj_mulM(model, data, need, data.qacc)
    need += data.qfrc_bias - data.qfrc_passive - forces[0] @ moment
    return (moment * (forces[1] - forces[0])[:, None]).T, need


def _points(model: mujoco.MjModel, feet: tuple[str, ...]) -> list[tuple[int, np.ndarray, float]]:
    """Ends of the colliding capsules of the feet: (body id, place in the body's frame, radius)."""
    ids = [model.body(name).id for name in feet]
    found = []
    for geom in range(model.ngeom):
        body, kind = int(model.geom_bodyid[geom]), int(model.geom_type[geom])
        if body in ids and model.geom_contype[geom] and kind == int(mujoco.mjtGeom.mjGEOM_CAPSULE):
            turn = np.zeros(9)
            mujoco.mju_quat2Mat(turn, model.geom_quat[geom])
            axis = turn.reshape(3, 3)[:, 2] * model.geom_size[geom, 1]
            found += [(body, model.geom_pos[geom] + end * axis, float(model.geom_size[geom, 0])) for end in (-1, 1)]
    return found


def _ground(model: mujoco.MjModel, data: mujoco.MjData, points: list[tuple[int, np.ndarray, float]]) -> np.ndarray:
    """Generalised force (nv, E) of unit pushes along the edges of the friction pyramids of points near the ground."""
    edges = np.array([(FRICTION, 0, 1), (-FRICTION, 0, 1), (0, FRICTION, 1), (0, -FRICTION, 1)])
    found = [np.zeros((model.nv, 0))]
    jacobian = np.zeros((3, model.nv))
    for body, place, radius in points:
        centre = data.xpos[body] + data.xmat[body].reshape(3, 3) @ place
        if centre[2] - radius < NEAR_GROUND:
            mujoco.mj_jac(model, data, jacobian, None, centre - (0.0, 0.0, radius), body)
            if np.linalg.norm(jacobian @ data.qvel) < AT_REST:
                found.append(jacobian.T @ edges.T)
    return np.concatenate(found, axis=1)
