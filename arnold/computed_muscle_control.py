"""Computed muscle control: the excitations that bring a body back to a clip, from its equations of motion.

At each control step the joints are asked for accelerations that close what they are off the clip as a critically damped
spring would::

    ddq* = ddq_clip + 2 w (dq_clip - dq) + w^2 (q_clip - q)

and static optimisation finds the activations for them, among those that muscles can reach within the step (Thelen,
Anderson & Delp 2003, doi:10.1016/S0021-9290(02)00432-3; Thelen & Anderson 2006, doi:10.1016/j.jbiomech.2005.02.010)::

    min  |a|^2 + WEIGHT |M^-1/2 (R(a) - M ddq* - h)|^2

with M the inertia, R the muscles' moments at the present lengths and velocities, h what gravity, damping and inertia
ask for. It needs no training, and sees no more than a policy does: what the observation says of joints, activations and
the clip ahead. What touches the body it does not foresee, so it is for arms and hands and not for legs on a floor.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import daqp
import jax
import mujoco
import numpy as np
from threadpoolctl import threadpool_limits

from arnold.embodiments import Body
from arnold.embodiments.moments import independent_dofs, independent_velocities, moment_arms
from arnold.embodiments.physics.native import host_callback
from arnold.errors import UserError
from arnold.experts import ScriptedExpert
from arnold.tasks import Environment
from arnold.vocab import TokenTable, quantities

STIFFNESS = 16.0  # w, rad/s
AHEAD_S = 0.02  # s: the clip is followed this far ahead, about what muscles lag behind their excitation
SEEN_S = 0.15  # s: of the clip ahead, what its position, velocity and acceleration there are read off
WEIGHT = 1.0  # per N m rad/s^2
LEAST, MOST = 0.005, 0.92  # excitation; of the sigmoid that actions go through, where it is not all but flat
_MOMENT = re.compile(r"ahead_(\d+)ms")


def computed_muscle_control(environment: Environment) -> ScriptedExpert:
    """The controller of an environment whose task shows the joints of a clip ahead: an `Imitate`.

    Raises:
        UserError: where the task does not, and for a body that stands on its own feet or has other joints than hinges
            and slides, or other actuators than muscles.
    """
    body, observation = environment.body, environment.observation_table
    _require_muscles_on_hinges(body)
    joints = TokenTable(body.joint_tokens(quantities.JOINT_TARGET))
    moments, errors = _ahead(observation, body)
    rows = np.concatenate(
        [
            _rows(observation, joints, quantities.JOINT_POSITION),
            _rows(observation, joints, quantities.JOINT_VELOCITY),
            _rows(observation, environment.action_table, quantities.MUSCLE_ACTIVATION),
            errors.ravel(),
        ]
    )
    control, action_map = _Batch(body, moments, environment.threads), body.embodiment.action_map

    def controller(seen: jax.Array) -> jax.Array:
        return action_map.inverse(host_callback(control, (len(seen), len(body.muscles)), seen[:, rows, -1]))

    return ScriptedExpert(controller)


def _require_muscles_on_hinges(body: Body) -> None:
    model = body.model
    if model.nv != len(body.joints) or (model.actuator_dyntype != int(mujoco.mjtDyn.mjDYN_MUSCLE)).any():
        raise UserError(
            "computed muscle control needs a body fixed to the world, with hinges, slides and muscles alone; "
            f"{body.embodiment.name!r} has {model.nv - len(body.joints)} other degrees of freedom: use teacher='reflex'"
        )


def _ahead(observation: TokenTable, body: Body) -> tuple[np.ndarray, np.ndarray]:
    """The moments (N,) s ahead at which the clip's joints are seen, and the rows (N, J) of what they are off there."""
    words = {word for token in observation for word in token.quantity}
    found = sorted((int(match[1]) / 1000.0, match[0]) for word in words if (match := _MOMENT.fullmatch(word)))
    near = [(moment, word) for moment, word in found if moment <= SEEN_S]
    if len(near) < 2:
        raise UserError(
            f"the task shows a clip's joints at {len(near)} moments within {1000 * SEEN_S:.0f} ms; computed muscle "
            "control needs two or more (Imitate.lookahead)"
        )
    joints = TokenTable(body.joint_tokens(quantities.JOINT_TARGET))
    rows = [_rows(observation, joints, (*quantities.JOINT_ERROR, word)) for _, word in near]
    return np.array([moment for moment, _ in near]), np.array(rows)


def _rows(observation: TokenTable, things: TokenTable, quantity: quantities.Quantity) -> np.ndarray:
    """The rows (N,) of an observation that say a quantity of each joint or muscle of a table."""
    place_of = {(token.entity, token.quantity): place for place, token in enumerate(observation)}
    sought = [(token.entity, quantity) for token in things]
    missing = [" ".join(entity) for entity, _ in sought if (entity, quantity) not in place_of]
    if missing:
        raise UserError(
            f"the task does not show the {' '.join(quantity)} of {missing[0]!r} and {len(missing) - 1} more; imitation "
            "tasks do (arnold.tasks.imitate.Imitate)"
        )
    return np.array([place_of[key] for key in sought], np.int32)


class _Batch:
    """Excitations of a batch, on the host; a thread to a part of it.

    Args:
        body: to be controlled.
        moments: (N,) s ahead at which the clip is seen.
        threads: how many.
    """

    def __init__(self, body: Body, moments: np.ndarray, threads: int):
        self.parts = [_Control(body, moments) for _ in range(threads)]
        self.pool = ThreadPoolExecutor(threads)

    @threadpool_limits.wrap(limits=1, user_api="blas")
    def __call__(self, seen: np.ndarray) -> np.ndarray:
        """Excitations (B, M) in [`LEAST`, `MOST`] for what is seen, (B, 2 J + M + N J)."""
        rows = np.array_split(seen.astype(np.float64), len(self.parts))
        found = self.pool.map(lambda part, rows: [part.excitation(row) for row in rows], self.parts, rows)
        return np.clip(np.array([excitation for part in found for excitation in part]), LEAST, MOST)


class _Control:
    """Excitations of one body after another; see `_Batch`."""

    def __init__(self, body: Body, moments: np.ndarray):
        self.model, self.data = body.model, mujoco.MjData(body.model)
        self.joints, self.muscles = len(body.joints), body.muscle_controls
        self.qpos, self.qvel = body.joint_qpos, body.joint_qvel
        self.free, self.dt = independent_dofs(body.model), body.control_dt
        powers = np.vander(moments, min(3, len(moments)), increasing=True)
        at = AHEAD_S ** np.arange(3)
        wanted = np.array([at, [0.0, 1.0, 2.0 * AHEAD_S], [0.0, 0.0, 2.0]])[:, : powers.shape[1]]
        self.of_the_clip = wanted @ np.linalg.pinv(powers)  # (3, N): its position, velocity, acceleration

    def excitation(self, seen: np.ndarray) -> np.ndarray:
        """Of the M muscles, (M,), for one row of what is seen."""
        j, model, data = self.joints, self.model, self.data
        angle, velocity, activation = seen[:j], seen[j : 2 * j], seen[2 * j : 2 * j + len(self.muscles)]
        # What the clip is off the body's own angle now, and how that changes.
        off, drift, push = self.of_the_clip @ seen[2 * j + len(self.muscles) :].reshape(-1, j)
        data.qpos[self.qpos], data.qvel[self.qvel] = angle, velocity
        wish = np.zeros(model.nv)
        wish[self.qvel] = push + 2.0 * STIFFNESS * (drift - velocity) + STIFFNESS**2 * (off - AHEAD_S * velocity)
        free = independent_velocities(model, data.qpos)
        mujoco.mj_fwdPosition(model, data)
        mujoco.mj_fwdVelocity(model, data)
        forces = []
        for level in (0.0, 1.0):
            data.act[:] = level
            mujoco.mj_fwdActuation(model, data)
            forces.append(data.actuator_force.copy())
        moment = moment_arms(model, data) @ free
        per_activation = moment * (forces[1] - forces[0])[:, None]
        inertia = np.zeros((model.nv, model.nv))
        mujoco.mj_fullM(model, data, inertia)
        inertia = free.T @ inertia @ free
        need = inertia @ wish[self.free] + (data.qfrc_bias - data.qfrc_passive) @ free - forces[0] @ moment
        columns = WEIGHT * np.linalg.solve(inertia, per_activation.T)
        cost = per_activation @ columns
        cost[np.diag_indices(model.nu)] += 1.0
        begun = np.zeros(model.nu)
        begun[self.muscles] = activation
        rise, fall = self._shares(begun)
        least, most = begun * (1.0 - fall), begun + (1.0 - begun) * rise
        found = daqp.solve(cost, -need @ columns, np.zeros((0, model.nu)), most, least, np.zeros(model.nu, np.intc))[0]
        change = found - begun
        return (begun + change / np.where(change > 0, rise, fall))[self.muscles]

    def _shares(self, activation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of what is missing to an excitation, the share that activation rises or falls by in one control step."""
        slow = 0.5 + 1.5 * activation  # Millard et al. 2013, as in MuJoCo
        rise, fall = self.model.actuator_dynprm[:, :2].T
        return 1.0 - np.exp(-self.dt / (rise * slow)), 1.0 - np.exp(-self.dt * slow / fall)
