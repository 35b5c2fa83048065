"""The mjx back end: MuJoCo XLA (`impl="jax"`), for an accelerator and for end-to-end compilation.

Where episodes change fields of the model, MJX has a pool of variants: values drawn from the task, each with all that
MuJoCo derives from them, compiled natively. An episode gets the variant nearest to what it drew. Shapes of geoms are
compiled into MJX's program and stay as the model has them; the report says so.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from mujoco import mjx

from arnold.embodiments.changes import apply_changes, width_of
from arnold.embodiments.embodiment import Body
from arnold.embodiments.physics.conversion import ConversionReport, convert_for_mjx
from arnold.embodiments.physics.evaluation import unread_by_sensors
from arnold.embodiments.physics.length_control import LengthControl
from arnold.embodiments.physics.state import PhysicsState
from arnold.errors import UserError

MAY_VARY = (
    *("body_mass", "body_inertia", "body_ipos", "body_iquat", "body_subtreemass", "body_invweight0", "dof_invweight0"),
    *("body_pos", "body_quat", "geom_size", "geom_pos", "geom_quat", "geom_friction", "geom_rbound", "geom_aabb"),
)
"""Fields of a model that differ between variants: what a task may change, and what MuJoCo derives from it."""


class MjxPhysics:
    """Steps one body with MJX; the same two functions as the native back end.

    Args:
        body: the compiled body.
        variants: (N, P) values of the body's changes, for a body that has any.

    Attributes:
        report: what was changed in the model to make it fit MJX.
    """

    name = "mjx"

    def __init__(self, body: Body, variants: np.ndarray | None = None):
        self.body = body
        with _mjx_promotion():
            fitted, self.report = convert_for_mjx(body.model, body.embodiment.name)
            model, self._blank = mjx.put_model(fitted, impl="jax"), mjx.make_data(fitted, impl="jax")
        self._stepping = _without(model, int(mjx.DisableBit.SENSOR))
        # Contacts and limits are most of what XLA has to compile; an evaluation does without them where it can.
        self._evaluating = _without(model, unread_by_sensors(body.model))
        feedback = body.embodiment.action_map.feedback
        self._lengths = LengthControl(body, feedback) if feedback else None
        self._values, self._weights = jnp.zeros((1, 0), jnp.float32), jnp.zeros(0, jnp.float32)
        self._fields: dict[str, jax.Array] = {}
        if body.changes:
            self._make_pool(fitted, variants)
        self._evaluate = jax.jit(self._evaluated)  # traced once, for steps and for new episodes

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
            changes=self._values[0 if changes is None else self._nearest(changes)],
        )

    def step(self, state: PhysicsState, command: jax.Array) -> PhysicsState:
        """One control step under a constant command (M,) in [0, 1]."""

        def advance(data: mjx.Data, _: None) -> tuple[mjx.Data, jax.Array]:
            excitation = self._excitation(state, data, command)
            return mjx.step(stepping, data.replace(ctrl=self._control(excitation))), excitation

        with _mjx_promotion():
            stepping = self._of_episode(self._stepping, state)
            data = self._data(state, command)
            data, sent = jax.lax.scan(advance, data, None, length=self.body.embodiment.frame_skip)
            data = self._evaluate(data, state)
        return PhysicsState(
            time=data.time,
            qpos=data.qpos,
            qvel=data.qvel,
            act=data.act,
            sensordata=data.sensordata,
            excitation=sent.mean(axis=0) if self._lengths else command,
            changes=state.changes,
        )

    def forward(self, state: PhysicsState, needed: jax.Array) -> PhysicsState:
        """The same state with its sensors evaluated; MJX evaluates every row, so ``needed`` only selects."""
        with _mjx_promotion():
            evaluated = self._evaluate(self._data(state, state.excitation), state).sensordata
        return dataclasses.replace(state, sensordata=jnp.where(needed, evaluated, state.sensordata))

    def _evaluated(self, data: mjx.Data, state: PhysicsState) -> mjx.Data:
        evaluating = self._of_episode(self._evaluating, state)
        # MJX's own forward leaves out the sensors of forces where nothing is constrained (mujoco 3.17, `mjx.forward`).
        return mjx.sensor_acc(evaluating, mjx.forward(evaluating, data))

    def _of_episode(self, model: mjx.Model, state: PhysicsState) -> mjx.Model:
        """The model with the fields of the episode's variant."""
        if not self._fields:
            return model
        number = self._nearest(state.changes)
        return model.tree_replace({name: values[number] for name, values in self._fields.items()})

    def _nearest(self, changes: jax.Array) -> jax.Array:
        """The number () of the variant whose values are nearest to ``changes`` (P,), in units of their spreads."""
        return jnp.argmin(jnp.sum(jnp.square((self._values - changes[None]) * self._weights[None]), axis=1))

    def _make_pool(self, fitted: mujoco.MjModel, variants: np.ndarray | None) -> None:
        """Compile the variants of a model that MJX takes natively, and keep what differs between them."""
        body = self.body
        if variants is None or variants.ndim != 2 or variants.shape[1] != width_of(body.changes):
            shape = None if variants is None else variants.shape
            raise UserError(
                f"the mjx back end was given variants of shape {shape} for body {body.embodiment.name!r}, whose "
                f"episodes change {width_of(body.changes)} numbers of the model; give (N, {width_of(body.changes)})"
            )
        values, first, fixed = np.array(variants, np.float32), 0, []
        for change in body.changes:
            if change.field == "geom_type":
                values[:, first] = change.current(fitted)
                fixed.append(change.of)
            first += change.width
        models = []
        for row in values:
            models.append(fitted.__copy__())
            apply_changes(models[-1], body.stripped_spec, body.changes, row)
        stacks = {name: np.stack([getattr(model, name) for model in models]) for name in MAY_VARY}
        self._fields = {
            name: jnp.asarray(stack, jnp.float32) for name, stack in stacks.items() if (stack != stack[:1]).any()
        }
        spread = values.std(axis=0)
        self._values = jnp.asarray(values)
        self._weights = jnp.asarray(np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 1e-9))
        notes = [f"episodes have the nearest of {len(values)} variants of {', '.join(sorted(self._fields))}"]
        if fixed:
            notes.append(f"shapes of geoms {', '.join(fixed)} stay as the model has them in every episode")
        self.report = dataclasses.replace(self.report, changes=(*self.report.changes, *notes))

    def _excitation(self, state: PhysicsState, data: mjx.Data, command: jax.Array) -> jax.Array:
        """Excitation (M,) of the next physics step: the command, or what pulls the muscles to the wanted lengths."""
        if self._lengths is None:
            return command
        model = self._of_episode(self._evaluating, state)
        # Only what lengths depend on; the step that follows has it in common, and XLA computes it once.
        for stage in (mjx.kinematics, mjx.com_pos, mjx.tendon, mjx.transmission, mjx.fwd_velocity):
            data = stage(model, data)
        sensors = mjx.sensor_vel(model, mjx.sensor_pos(model, data)).sensordata
        return self._lengths.excitation(jnp, command, *self._lengths.motion(sensors))

    def _data(self, state: PhysicsState, excitation: jax.Array) -> mjx.Data:
        at = {"time": state.time, "qpos": state.qpos, "qvel": state.qvel, "act": state.act}
        return self._blank.replace(ctrl=self._control(excitation), **at)

    def _control(self, excitation: jax.Array) -> jax.Array:
        return jnp.zeros(self.body.model.nu, jnp.float32).at[self.body.muscle_controls].set(excitation)


def _without(model: mjx.Model, flags: int) -> mjx.Model:
    """The model with parts of the engine switched off."""
    return model.tree_replace({"opt.disableflags": mjx.DisableBit(int(model.opt.disableflags) | flags)})


@contextlib.contextmanager
def _mjx_promotion() -> Iterator[None]:
    """MJX relies on NumPy's promotion of ranks and dtypes, which a user (and our tests) may have forbidden."""
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


__all__ = ["ConversionReport", "MjxPhysics"]
