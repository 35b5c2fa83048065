"""The mjx back end: MuJoCo XLA (`impl="jax"`), for an accelerator and for end-to-end compilation."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from mujoco import mjx

from arnold.embodiments.embodiment import Body
from arnold.embodiments.physics.conversion import ConversionReport, convert_for_mjx
from arnold.embodiments.physics.evaluation import unread_by_sensors
from arnold.embodiments.physics.state import PhysicsState


class MjxPhysics:
    """Steps one body with MJX; the same two functions as the native back end.

    Attributes:
        report: what was changed in the model to make it fit MJX.
    """

    name = "mjx"

    def __init__(self, body: Body):
        self.body = body
        with _mjx_promotion():
            model, self.report = convert_for_mjx(body.model, body.embodiment.name)
            self._blank = mjx.make_data(body.model, impl="jax")
        self._stepping = _without(model, int(mjx.DisableBit.SENSOR))
        # Contacts and limits are most of what XLA has to compile; an evaluation does without them where it can.
        self._evaluating = _without(model, unread_by_sensors(body.model))

    def initial(
        self, qpos: jax.Array, qvel: jax.Array, act: jax.Array, changes: jax.Array | None = None
    ) -> PhysicsState:
        """A state at time 0 with everything else at rest; `forward` fills its sensors."""
        return PhysicsState(
            time=jnp.zeros((), jnp.float32),
            qpos=qpos,
            qvel=qvel,
            act=act,
            sensordata=jnp.zeros(self.body.model.nsensordata, jnp.float32),
            excitation=jnp.zeros(len(self.body.muscles), jnp.float32),
            changes=jnp.zeros(0, jnp.float32) if changes is None else changes,
        )

    def step(self, state: PhysicsState, excitation: jax.Array) -> PhysicsState:
        """One control step under a constant excitation (M,) in [0, 1]."""

        def advance(data: mjx.Data, _: None) -> tuple[mjx.Data, None]:
            return mjx.step(self._stepping, data), None

        with _mjx_promotion():
            data = self._data(state, excitation)
            data, _ = jax.lax.scan(advance, data, None, length=self.body.embodiment.frame_skip)
            data = self._evaluate(data)
        return PhysicsState(
            time=data.time,
            qpos=data.qpos,
            qvel=data.qvel,
            act=data.act,
            sensordata=data.sensordata,
            excitation=excitation,
            changes=state.changes,
        )

    def forward(self, state: PhysicsState, needed: jax.Array) -> PhysicsState:
        """The same state with its sensors evaluated; MJX evaluates every row, so ``needed`` only selects."""
        with _mjx_promotion():
            evaluated = self._evaluate(self._data(state, state.excitation)).sensordata
        return dataclasses.replace(state, sensordata=jnp.where(needed, evaluated, state.sensordata))

    def _evaluate(self, data: mjx.Data) -> mjx.Data:
        # MJX's own forward leaves out the sensors of forces where nothing is constrained (mujoco 3.17, `mjx.forward`).
        return mjx.sensor_acc(self._evaluating, mjx.forward(self._evaluating, data))

    def _data(self, state: PhysicsState, excitation: jax.Array) -> mjx.Data:
        control = jnp.zeros(self.body.model.nu, jnp.float32).at[self.body.muscle_controls].set(excitation)
        return self._blank.replace(time=state.time, qpos=state.qpos, qvel=state.qvel, act=state.act, ctrl=control)


def _without(model: mjx.Model, flags: int) -> mjx.Model:
    """The model with parts of the engine switched off."""
    return model.tree_replace({"opt.disableflags": mjx.DisableBit(int(model.opt.disableflags) | flags)})


@contextlib.contextmanager
def _mjx_promotion() -> Iterator[None]:
    """MJX relies on NumPy's promotion of ranks and dtypes, which a user (and our tests) may have forbidden."""
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


__all__ = ["ConversionReport", "MjxPhysics"]
