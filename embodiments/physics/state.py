"""The physics state that every back end takes and gives: a pytree with nothing hidden beside it."""

from __future__ import annotations

import dataclasses

import jax


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PhysicsState:
    """One environment's physics (a leading batch axis under `jax.vmap`).

    `sensordata` is of this very state, not of the one before it. The solver's warm start is not part of the state:
    each control step starts the solver cold, so that equal states have equal futures.
    """

    time: jax.Array  # () s
    qpos: jax.Array  # (nq,) generalised positions
    qvel: jax.Array  # (nv,) generalised velocities
    act: jax.Array  # (na,) activations
    sensordata: jax.Array  # (ns,) the sensors that the body declares
    excitation: jax.Array  # (M,) the excitation that led here, in [0, 1]; the mean where it varied on the way
    changes: jax.Array  # (P,) this episode's values of the model fields that the body declares as changing
