"""The native back end: the C engine behind a JAX function.

A callback hands the whole batch to `mujoco.rollout` with a persistent pool of threads. The state in is the state out.
A control step is ``frame_skip`` physics steps, and one more that only evaluates the sensors at the state reached:
MuJoCo computes sensors before it integrates, so without it they would be one physics step old. Where muscles are told
a length, the lengths are evaluated before every physics step in the same way, and the excitations computed from them
for the whole batch at once.
"""

from __future__ import annotations

import dataclasses
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import mujoco.rollout
import numpy as np
from jax.experimental.buffer_callback import buffer_callback

from arnold.embodiments.changes import apply_changes, current_values, width_of
from arnold.embodiments.embodiment import Body
from arnold.embodiments.physics.evaluation import WITHOUT_FORCES, idle_in, unread_by_sensors, without
from arnold.embodiments.physics.length_control import LengthControl
from arnold.embodiments.physics.state import PhysicsState


class NativePhysics:
    """Steps one body with the C engine; made for use under `jax.vmap`, inside `jit` and `lax.scan`.

    Args:
        body: the compiled body.
        threads: threads of the pool; all the machine's cores by default.
    """

    name = "native"

    def __init__(self, body: Body, threads: int | None = None):
        self.body = body
        self.threads = threads or os.cpu_count() or 1
        model = body.stripped_model
        self._nq, self._nv, self._na, self._ns = model.nq, model.nv, model.na, model.nsensordata
        self._nu, self._skip = model.nu, body.embodiment.frame_skip
        # A state that blows up must show as NaN or as a stopped clock, not as a silent reset to the rest pose.
        no_reset = mujoco.mjtDisableBit.mjDSBL_AUTORESET
        self._stepping = without(model, no_reset | mujoco.mjtDisableBit.mjDSBL_SENSOR | idle_in(model))
        self._evaluating = without(model, no_reset | unread_by_sensors(model))
        self._models: tuple[mujoco.MjModel, ...] = (self._stepping, self._evaluating)
        feedback = body.embodiment.action_map.feedback
        self._lengths = LengthControl(body, feedback) if feedback else None
        if self._lengths:  # lengths and velocities of muscles need less than a task's sensors may
            self._moving = without(model, no_reset | WITHOUT_FORCES)
            self._models = (*self._models, self._moving)
        self._np = width_of(body.changes)
        self._episodes: OrderedDict[bytes, tuple[mujoco.MjModel, ...]] = OrderedDict()
        self._data = [mujoco.MjData(model) for _ in range(self.threads)]
        self._pool = mujoco.rollout.Rollout(nthread=self.threads)
        self._lock = threading.Lock()
        self._forward = jax.custom_batching.custom_vmap(self._evaluate)
        self._forward.def_vmap(self._evaluate_batch)

    def initial(
        self, qpos: jax.Array, qvel: jax.Array, act: jax.Array, changes: jax.Array | None = None
    ) -> PhysicsState:
        """A state at time 0 with everything else at rest; `forward` fills its sensors."""
        return PhysicsState(
            time=jnp.zeros((), jnp.float32),
            qpos=qpos,
            qvel=qvel,
            act=act,
            sensordata=jnp.zeros(self._ns, jnp.float32),
            excitation=jnp.zeros(len(self.body.muscles), jnp.float32),
            changes=jnp.asarray(current_values(self.body.model, self.body.changes)) if changes is None else changes,
        )

    def step(self, state: PhysicsState, command: jax.Array) -> PhysicsState:
        """One control step under a constant command (M,) in [0, 1]; where the engine gives up, a state of NaN."""
        size = 1 + self._nq + self._nv + self._na
        packed = jnp.concatenate([self._pack(state), command])
        # One array in and one out: what crosses a callback costs more than all the arithmetic around it.
        sent = len(self.body.muscles) if self._lengths else 0
        reached = host_callback(self._host_step, (size + self._ns + sent,), packed)
        return PhysicsState(
            time=reached[0],
            qpos=reached[1 : 1 + self._nq],
            qvel=reached[1 + self._nq : 1 + self._nq + self._nv],
            act=reached[1 + self._nq + self._nv : size],
            sensordata=reached[size : size + self._ns],
            excitation=reached[size + self._ns :] if self._lengths else command,
            changes=state.changes,
        )

    def forward(self, state: PhysicsState, needed: jax.Array) -> PhysicsState:
        """The same state with its sensors evaluated, where ``needed`` () is true; elsewhere the state as it is."""
        sensors = self._forward(self._pack(state), needed)
        return dataclasses.replace(state, sensordata=jnp.where(needed, sensors, state.sensordata))

    def _evaluate(self, packed: jax.Array, needed: jax.Array) -> jax.Array:
        """Sensors (ns,) of a packed state where needed, else zeros. Leading axes are allowed, and are one host call."""
        asked = jnp.concatenate([packed, jnp.where(needed, 1.0, 0.0)[..., None]], axis=-1)
        return host_callback(self._host_forward, (*packed.shape[:-1], self._ns), asked)

    def _evaluate_batch(
        self, size: int, batched: list[bool], packed: jax.Array, needed: jax.Array
    ) -> tuple[jax.Array, bool]:
        """`_evaluate` under `jax.vmap`: in most steps of a batch no episode begins, and the host is not called."""
        packed = packed if batched[0] else jnp.broadcast_to(packed, (size, *packed.shape))
        needed = needed if batched[1] else jnp.broadcast_to(needed, (size, *needed.shape))
        silent = jnp.zeros((*packed.shape[:-1], self._ns), jnp.float32)
        return jax.lax.cond(needed.any(), self._evaluate, lambda packed, needed: silent, packed, needed), True

    def _pack(self, state: PhysicsState) -> jax.Array:
        """The state as `mujoco.rollout` takes it, (1 + nq + nv + na,), and this episode's changes of the model."""
        return jnp.concatenate([state.time[None], state.qpos, state.qvel, state.act, state.changes])

    def _host_step(self, packed: np.ndarray) -> np.ndarray:
        """Host side of `step`: (..., state, changes and command) to (..., state, sensors, excitation if computed)."""
        rows = packed.reshape(-1, packed.shape[-1])
        size = packed.shape[-1] - self._np - len(self.body.muscles)
        changes, command = rows[:, size : size + self._np], rows[:, size + self._np :]
        begin = rows[:, :size].astype(np.float64)
        if self._lengths is None:
            end, sent = (
                self._rollout(self._stepping, begin, changes, self._control(command, self._skip))[0][:, -1],
                None,
            )
        else:
            end, sent = self._follow_lengths(self._lengths, begin, changes, command)
        reached = np.empty((len(rows), size + self._ns + (0 if sent is None else sent.shape[1])), np.float32)
        with np.errstate(over="ignore"):  # a state beyond float32 becomes infinite, and is found to be
            reached[:, :size] = end
        # Sensors of the state that is handed back, which has been rounded.
        reached[:, size : size + self._ns] = self._sensors(reached[:, :size], changes)
        reached[:, size + self._ns :] = sent
        # The engine stops a row that has blown up and repeats its last output: its clock tells.
        stopped = ~(end[:, 0] - begin[:, 0] > (self._skip - 0.5) * self.body.timestep)
        reached[stopped] = np.nan
        return reached.reshape(*packed.shape[:-1], -1)

    def _follow_lengths(
        self, lengths: LengthControl, begin: np.ndarray, changes: np.ndarray, command: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """A control step under wanted lengths (B, M): the state reached, and the mean excitation (B, M)."""
        now, total = begin, np.zeros(command.shape)
        silent = np.zeros((len(begin), 1, self._nu))
        velocities = slice(1 + self._nq, 1 + self._nq + self._nv)
        for _ in range(self._skip):
            sensors = self._rollout(self._moving, now, changes, silent)[1][:, 0]
            excitation = lengths.excitation(np, command, *lengths.motion(sensors))
            after = self._rollout(self._stepping, now, changes, self._control(excitation, 1))[0][:, 0]
            # One step at a time the engine does not stop at what it warns of; such a row is looked for here.
            with np.errstate(invalid="ignore", over="ignore"):
                acceleration = (after - now)[:, velocities] / self.body.timestep
                extreme = np.abs(np.concatenate([now, acceleration], axis=1))
            after[~(extreme < mujoco.mjMAXVAL).all(axis=1)] = np.nan
            now = after
            total += excitation
        return now, total / self._skip

    def _control(self, excitation: np.ndarray, steps: int) -> np.ndarray:
        """Controls (B, steps, nu) of a constant excitation (B, M)."""
        control = np.zeros((len(excitation), steps, self._nu))
        control[:, :, self.body.muscle_controls] = excitation[:, None]
        return control

    def _host_forward(self, asked: np.ndarray) -> np.ndarray:
        """Host side of `forward`: sensors (..., ns) of the rows whose last number is not zero."""
        rows = asked.reshape(-1, asked.shape[-1])
        sensors = np.zeros((len(rows), self._ns), np.float32)
        needed = rows[:, -1] > 0
        if needed.any():
            size = rows.shape[1] - 1 - self._np
            sensors[needed] = self._sensors(rows[needed, :size], rows[needed, size:-1])
        return sensors.reshape(*asked.shape[:-1], self._ns)

    def _sensors(self, state: np.ndarray, changes: np.ndarray) -> np.ndarray:
        """Sensors (B, ns) at states (B, nstate) of models with changes (B, P)."""
        silent = np.zeros((len(state), 1, self._nu))
        return self._rollout(self._evaluating, state.astype(np.float64), changes, silent)[1][:, 0]

    def _rollout(
        self, model: mujoco.MjModel, state: np.ndarray, changes: np.ndarray, control: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """`mujoco.rollout` of (B, nstate) under (B, steps, nu): states and sensors after and at each step."""
        batch, steps, _ = control.shape
        states = np.empty((batch, steps, state.shape[1]))
        sensors = np.empty((batch, steps, self._ns))
        with self._lock:  # the pool's data objects serve one call at a time
            self._pool.rollout(
                self._changed(model, changes) if self._np else [model] * batch,
                self._data,
                state,
                control,
                nstep=steps,
                state=states,
                sensordata=sensors,
                skip_checks=True,
                control_spec=int(mujoco.mjtState.mjSTATE_CTRL),
                initial_warmstart=None,
                chunk_size=max(1, batch // (32 * self.threads)),  # small, so that no thread waits long for the last
            )
        return states, sensors

    def _changed(self, model: mujoco.MjModel, changes: np.ndarray) -> list[mujoco.MjModel]:
        """The model of each row, with its episode's changes (B, P).

        Models are kept by their values, so that within an episode nothing is computed; the least recently used one is
        written over, once there are more than two batches of them.
        """
        which = [one is model for one in self._models].index(True)
        models = []
        for values in changes:
            key = values.tobytes()
            changed = self._episodes.get(key)
            if changed is None:
                changed = self._recycled(2 * len(changes))
                for one in changed:
                    apply_changes(one, self.body.stripped_spec, self.body.changes, values)
                self._episodes[key] = changed
            self._episodes.move_to_end(key)
            models.append(changed[which])
        return models

    def _recycled(self, enough: int) -> tuple[mujoco.MjModel, ...]:
        """Models for stepping, for sensors and the like, that no row of the present call uses."""
        if len(self._episodes) >= max(enough, 128):
            return self._episodes.popitem(last=False)[1]
        return tuple(model.__copy__() for model in self._models)


def host_callback(host: Callable[[np.ndarray], np.ndarray], shape: tuple[int, ...], packed: jax.Array) -> jax.Array:
    """``host`` of the whole batch, called from inside a jitted function.

    `jax.pure_callback` puts its arguments back on the device. On a CPU an array of more than 100 KiB is copied there by
    the threads that are waiting in the callback: with all of them in callbacks (one core, or as many tasks as cores)
    nothing moves any more. `buffer_callback` reads and writes the arrays where they are. It serves processes whose
    default back end is the CPU; beside an accelerator the first of the two is used.
    """
    result = jax.ShapeDtypeStruct(shape, jnp.float32)
    if jax.default_backend() != "cpu":
        return jax.pure_callback(lambda packed: host(np.asarray(packed)), result, packed, vmap_method="broadcast_all")

    def in_place(context: Any, out: Any, packed: Any) -> None:
        np.asarray(out)[...] = host(np.asarray(packed))

    return buffer_callback(in_place, result, vmap_method="broadcast_all")(packed)
