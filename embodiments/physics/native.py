"""The native back end: the C engine behind a JAX function.

`jax.pure_callback` hands the whole batch to `mujoco.rollout` with a persistent pool of threads. The state in is the state
out. A control step is ``frame_skip`` physics steps and one more that only evaluates the sensors at the state reached:
MuJoCo computes sensors before it integrates, so without it they would be one physics step old.
"""

from __future__ import annotations

import dataclasses
import os
import threading

import jax
import jax.numpy as jnp
import mujoco
import mujoco.rollout
import numpy as np

from arnold.embodiments.embodiment import Body
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
        # A state that blows up must show as NaN or as a stopped clock, not as a silent reset to the rest pose.
        model = body.model.__copy__()
        model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
        self._model = model
        self._data = [mujoco.MjData(model) for _ in range(self.threads)]
        self._pool = mujoco.rollout.Rollout(nthread=self.threads)
        self._lock = threading.Lock()
        self._nq, self._nv, self._na, self._ns = model.nq, model.nv, model.na, model.nsensordata

    def initial(self, qpos: jax.Array, qvel: jax.Array, act: jax.Array) -> PhysicsState:
        """A state at time 0 with everything else at rest; `forward` fills its sensors."""
        return PhysicsState(
            time=jnp.zeros((), jnp.float32),
            qpos=qpos,
            qvel=qvel,
            act=act,
            sensordata=jnp.zeros(self._ns, jnp.float32),
            excitation=jnp.zeros(len(self.body.muscles), jnp.float32),
        )

    def step(self, state: PhysicsState, excitation: jax.Array) -> PhysicsState:
        """One control step under a constant excitation (M,) in [0, 1]."""
        integrated, sensors = self._call(self._host_step, state, excitation)
        return _with(state, integrated, sensors, self._nq, self._nv, excitation)

    def forward(self, state: PhysicsState, needed: jax.Array) -> PhysicsState:
        """The same state with its sensors evaluated, where ``needed`` () is true; elsewhere the state as it is."""
        _, sensors = self._call(self._host_forward, state, needed)
        return dataclasses.replace(state, sensordata=sensors)

    def _call(self, host, state: PhysicsState, extra: jax.Array) -> tuple[jax.Array, jax.Array]:
        size = 1 + self._nq + self._nv + self._na
        shapes = (jax.ShapeDtypeStruct((size,), jnp.float32), jax.ShapeDtypeStruct((self._ns,), jnp.float32))
        packed = jnp.concatenate([state.time[None], state.qpos, state.qvel, state.act])
        return jax.pure_callback(host, shapes, packed, state.sensordata, extra, vmap_method="broadcast_all")

    def _host_step(self, packed, sensors, excitation):
        """Host side of `step`; leading axes are the batch."""
        packed, excitation = np.asarray(packed), np.asarray(excitation)
        lead = packed.shape[:-1]
        flat = packed.reshape(-1, packed.shape[-1]).astype(np.float64)
        skip = self.body.embodiment.frame_skip
        control = np.zeros((len(flat), skip + 1, self._model.nu))
        control[:, :, self.body.muscle_controls] = excitation.reshape(len(flat), 1, -1)
        states, sensordata = self._rollout(flat, control)
        reached = states[:, skip - 1].astype(np.float32)
        return reached.reshape(*lead, -1), sensordata[:, skip].astype(np.float32).reshape(*lead, -1)

    def _host_forward(self, packed, sensors, needed):
        """Host side of `forward`: only the rows that need it are evaluated."""
        packed, sensors, needed = np.asarray(packed), np.array(sensors), np.asarray(needed)
        flat = packed.reshape(-1, packed.shape[-1])
        rows = sensors.reshape(len(flat), -1)
        mask = needed.reshape(-1)
        if mask.any():
            control = np.zeros((int(mask.sum()), 1, self._model.nu))
            rows[mask] = self._rollout(flat[mask].astype(np.float64), control)[1][:, 0]
        return packed, rows.reshape(sensors.shape)

    def _rollout(self, state: np.ndarray, control: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`mujoco.rollout` of (B, nstate) under (B, steps, nu): states and sensors after and at each step."""
        batch, steps, _ = control.shape
        states = np.empty((batch, steps, state.shape[1]))
        sensordata = np.empty((batch, steps, self._ns))
        with self._lock:  # the pool's data objects serve one call at a time
            self._pool.rollout(
                [self._model] * batch,
                self._data,
                state,
                control,
                nstep=steps,
                state=states,
                sensordata=sensordata,
                skip_checks=True,
                control_spec=int(mujoco.mjtState.mjSTATE_CTRL),
                initial_warmstart=None,
                chunk_size=max(1, batch // (4 * self.threads)),
            )
        return states, sensordata


def _with(state, integrated, sensors, nq, nv, excitation) -> PhysicsState:
    return PhysicsState(
        time=integrated[0],
        qpos=integrated[1 : 1 + nq],
        qvel=integrated[1 + nq : 1 + nq + nv],
        act=integrated[1 + nq + nv :],
        sensordata=sensors,
        excitation=excitation,
    )
