"""A controller to begin with: what a clip's muscles do, corrected by their stretch.

Each muscle is sent the activation that the clip's static optimisation found for the next moment, and more where it is
longer than it will be then, as a stretch reflex does: u = a + k (l - l') / l0, with l0 its optimal fibre length. It
needs no training, and falls; what it knows is a better start than nothing.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from arnold.embodiments import Body
from arnold.embodiments.moments import independent_dofs, independent_velocities, moment_arms
from arnold.experts import ScriptedExpert
from arnold.policy.mlp import MlpActorCritic, MlpConfig
from arnold.policy.posture import UNIT_RAD, PostureActorCritic, muscle_rows
from arnold.tasks import Environment
from arnold.vocab import TokenTable, quantities
from arnold.vocab.mirror import mirror

GAIN = 3.0  # per optimal fibre length
# Excitation. Less than the least is no better a reflex, and there the sigmoid of the action is so flat that a policy
# which begins as one finds out of noise what few muscles are for.
LEAST, MOST = 0.02, 0.92
POSES = 64  # of the clips, over which moment arms are averaged


def reflex(environment: Environment) -> ScriptedExpert:
    """The controller of an environment whose task shows what each muscle will be: an `Imitate`.

    Raises:
        UserError: where the task does not.
    """
    body = environment.body
    tables = environment.observation_table, environment.action_table
    error, target = (muscle_rows(*tables, said) for said in ("error", "target"))
    per_metre = jnp.asarray(_per_metre(environment))
    action_map = body.embodiment.action_map

    def controller(observation: jax.Array) -> jax.Array:
        now = observation[..., -1]
        return action_map.inverse(jnp.clip(now[:, target] - now[:, error] * per_metre[None], LEAST, MOST))

    return ScriptedExpert(controller)


def posture_policy(environment: Environment, config: MlpConfig) -> PostureActorCritic:
    """A policy that commands the equilibrium of every joint that is free to move, in front of this reflex.

    Args:
        environment: of an imitation task.
        config: the network.

    Raises:
        UserError: where the task does not show what each muscle will be.
    """
    body = environment.body
    muscle_rows(environment.observation_table, environment.action_table, "error")
    joints = TokenTable(body.joint_tokens(quantities.JOINT_TARGET, [name for name, _ in _free_joints(body)]))
    network = MlpActorCritic(environment.observation_table, joints, config)
    about = {"least": LEAST, "most": MOST, "action_map": body.embodiment.action_map.name}
    return PostureActorCritic(network, environment.action_table, about)


def reflexes(environment: Environment, policy: PostureActorCritic) -> dict[str, jax.Array]:
    """The arrays of a policy's reflexes, ``per_metre`` (M,) and ``arms`` (M, I).

    Moment arms are means over the clips. Where the network is mirrored, so are they: what differs between the sides is
    the clips' doing.
    """
    per_metre, arms = _per_metre(environment), _arms(environment)
    if policy.network.config.mirrored:
        (joints, sign), (muscles, _) = mirror(policy.network.action_table), mirror(policy.action_table)
        arms = 0.5 * (arms + arms[muscles][:, joints] * sign)
    arrays = {"per_metre": per_metre, "arms": per_metre[:, None] * UNIT_RAD * arms}
    return {name: jnp.asarray(array, jnp.float32) for name, array in arrays.items()}


def _arms(environment: Environment) -> np.ndarray:
    """Moment arms (M, I), m per rad, means over `POSES` poses of the clips."""
    body = environment.body
    qpos = np.asarray(environment.task.reference(body).rows.qpos, np.float64)  # type: ignore[attr-defined]
    columns = [column for _, column in _free_joints(body)]
    data, arms = mujoco.MjData(body.model), []
    for pose in qpos[:: max(1, len(qpos) // POSES)]:
        data.qpos = pose
        mujoco.mj_fwdPosition(body.model, data)
        there = moment_arms(body.model, data) @ independent_velocities(body.model, pose)
        arms.append(there[body.muscle_controls][:, columns])
    return np.mean(arms, axis=0)


def _free_joints(body: Body) -> list[tuple[str, int]]:
    """The body's joints that follow no other, each with its column of `independent_velocities`."""
    columns = {dof: column for column, dof in enumerate(independent_dofs(body.model))}
    dofs = {joint: int(body.model.joint(joint).dofadr[0]) for joint in body.joints}
    return [(joint, columns[dof]) for joint, dof in dofs.items() if dof in columns]


def _per_metre(environment: Environment) -> np.ndarray:
    """Excitation (M,) per metre of stretch."""
    return np.asarray(GAIN / _optimal_lengths(environment)[environment.body.muscle_controls], np.float32)


def _optimal_lengths(environment: Environment) -> np.ndarray:
    """Optimal fibre length (nu,) m of MuJoCo's muscles: their range of length over their range in optimal lengths."""
    model = environment.body.model
    lengths, relative = model.actuator_lengthrange, model.actuator_gainprm[:, :2]
    return np.asarray((lengths[:, 1] - lengths[:, 0]) / (relative[:, 1] - relative[:, 0]), np.float32)
