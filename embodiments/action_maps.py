"""How a policy's action in [-1, 1] becomes the excitation in [0, 1] that is sent to a muscle.

An action map is a named value, so that a body can be given another one and a checkpoint can say which it was trained
with. Actions are clipped to [-1, 1] first: exploration noise beyond the range has no meaning.

Most maps are known before the step: what they give is the excitation, held for the whole control step. A map with
`feedback` gives a wanted muscle length instead, and the physics computes the excitation in every physics step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from arnold.errors import UserError, did_you_mean


@dataclasses.dataclass(frozen=True)
class LengthFeedback:
    """Gains of a muscle's pull towards a wanted length, the same for all muscles of a body (`length_control`).

    Attributes:
        stiffness: peak forces per metre too long.
        damping: peak forces per metre per second of lengthening.
    """

    stiffness: float
    damping: float


@dataclasses.dataclass(frozen=True)
class ActionMap:
    """A named, elementwise map from action to the command of a muscle: its excitation, or its wanted length.

    Attributes:
        name: what a checkpoint stores and a person types.
        formula: the map in words, with its source.
        forward: action (..., M) in [-1, 1] -> command (..., M) in [0, 1].
        inverse: command (..., M) -> action (..., M); commands outside the map's image give the nearest action.
        feedback: None where the command is the excitation; else how a command, the wanted length as a share of the
            muscle's longest, becomes the excitation in each physics step.
    """

    name: str
    formula: str
    forward: Callable[[jax.Array], jax.Array]
    inverse: Callable[[jax.Array], jax.Array]
    feedback: LengthFeedback | None = None

    def __call__(self, action: jax.Array) -> jax.Array:
        """Command (..., M) in [0, 1] of an action (..., M), which is clipped to [-1, 1]."""
        return self.forward(jnp.clip(action, -1.0, 1.0))


def _sigmoid(action: jax.Array) -> jax.Array:
    return jax.nn.sigmoid(5.0 * (action - 0.5))


def _inverse_sigmoid(excitation: jax.Array) -> jax.Array:
    clipped = jnp.clip(excitation, _sigmoid(jnp.float32(-1.0)), _sigmoid(jnp.float32(1.0)))
    return 0.5 - 0.2 * jnp.log(1.0 / clipped - 1.0)


SIGMOID = ActionMap(
    name="sigmoid",
    formula="excitation = 1 / (1 + exp(-5 (action - 0.5))): MyoSuite's muscle map (myosuite/terms/base_action.py), "
    "also Arnold's; action -1, 0, 0.5, 1 give 0.0006, 0.076, 0.5, 0.924",
    forward=_sigmoid,
    inverse=_inverse_sigmoid,
)
LINEAR = ActionMap(
    name="linear",
    formula="excitation = (action + 1) / 2: the whole range, evenly",
    forward=lambda action: 0.5 * (action + 1.0),
    inverse=lambda excitation: jnp.clip(2.0 * excitation - 1.0, -1.0, 1.0),
)
DIRECT = ActionMap(
    name="direct",
    formula="excitation = max(action, 0): MuscleMimic's DefaultControl, where negative actions are silent",
    forward=lambda action: jnp.maximum(action, 0.0),
    inverse=lambda excitation: jnp.clip(excitation, 0.0, 1.0),
)
LENGTH_PD = ActionMap(
    name="length_pd",
    formula="wanted length = (action + 1) / 2 of the muscle's longest; in each physics step the excitation pulls there "
    "with 5 peak forces per m and 0.5 per m/s: KINESIS' control mode (physics/length_control.py)",
    forward=LINEAR.forward,
    inverse=LINEAR.inverse,
    feedback=LengthFeedback(stiffness=5.0, damping=0.5),
)

ACTION_MAPS: dict[str, ActionMap] = {m.name: m for m in (SIGMOID, LINEAR, DIRECT, LENGTH_PD)}


def action_map(name: str) -> ActionMap:
    """The action map called ``name``.

    Raises:
        UserError: for an unknown name, with the nearest match.
    """
    if name not in ACTION_MAPS:
        raise UserError(f"unknown action map {name!r}; {did_you_mean(name, ACTION_MAPS)}")
    return ACTION_MAPS[name]
