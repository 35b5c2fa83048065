"""The stepping primitive: `step(state, command) -> state`, one function on every back end.

The command is the excitation, held for the whole control step; for a body whose action map has `feedback` it is the
wanted muscle length, from which the excitation follows in every physics step (`length_control`).

Back ends are made by name with :func:`make_physics`. Both can be jitted, vmapped and scanned, and task code cannot tell
them apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import jax
import numpy as np

from arnold.embodiments.physics.state import PhysicsState
from arnold.errors import UserError, did_you_mean

if TYPE_CHECKING:  # bodies read the physics state, so this module cannot import them while it loads
    from arnold.embodiments.embodiment import Body

BACKENDS = ("native", "mjx")


class Physics(Protocol):
    """What a back end offers; each function is of one environment, for use under `jax.vmap`."""

    name: str
    body: Body

    def initial(
        self, qpos: jax.Array, qvel: jax.Array, act: jax.Array, changes: jax.Array | None = None
    ) -> PhysicsState:
        """A state at time 0 with this episode's changes of the model (P,); its sensors are not yet evaluated."""

    def step(self, state: PhysicsState, command: jax.Array) -> PhysicsState:
        """One control step under a constant command (M,): what the body's action map gives."""

    def forward(self, state: PhysicsState, needed: jax.Array) -> PhysicsState:
        """The same state with its sensors evaluated where ``needed`` () is true."""


def make_physics(
    body: Body, backend: str = "native", threads: int | None = None, variants: np.ndarray | None = None
) -> Physics:
    """The back end called ``backend`` for a compiled body.

    Args:
        body: the compiled body.
        backend: "native" (the C engine, the default on a CPU) or "mjx" (MuJoCo XLA).
        threads: threads of the native pool; all cores by default.
        variants: (N, P) draws of what the body's episodes change, of which mjx makes its pool.

    Raises:
        UserError: for an unknown back end, or a body that it cannot take.
    """
    if backend == "native":
        from arnold.embodiments.physics.native import NativePhysics

        return NativePhysics(body, threads)
    if backend == "mjx":
        from arnold.embodiments.physics.mjx import MjxPhysics

        return MjxPhysics(body, variants)
    raise UserError(f"unknown physics back end {backend!r}; {did_you_mean(backend, BACKENDS)}")


__all__ = ["BACKENDS", "Physics", "PhysicsState", "make_physics"]
