"""A controller to begin with: what a clip's muscles do, corrected by their stretch.

Each muscle is sent the activation that the clip's static optimisation found for the next moment, and more where it is
longer than it will be then, as a stretch reflex does: u = a + k (l - l') / l0, with l0 its optimal fibre length. It
needs no training, and falls; what it knows is a better start than nothing.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from arnold.errors import UserError
from arnold.experts import ScriptedExpert
from arnold.tasks import Environment

GAIN = 3.0  # per optimal fibre length
# Excitation. Less than the least is no better a reflex, and there the sigmoid of the action is so flat that a policy
# which begins as one finds out of noise what few muscles are for.
LEAST, MOST = 0.02, 0.92


def reflex(environment: Environment) -> ScriptedExpert:
    """The controller of an environment whose task shows what each muscle will be: an `Imitate`.

    Raises:
        UserError: where the task does not.
    """
    body = environment.body
    rows = {}
    for said in ("error", "target"):
        found = [
            place
            for place, token in enumerate(environment.observation_table.tokens)
            if "muscle" in token.entity and said in token.quantity
        ]
        if len(found) != len(body.muscles):
            raise UserError(
                f"task {environment.task.name!r} does not show the {said} of each muscle; the reflex is a teacher for "
                "imitation tasks (arnold.tasks.imitate.Imitate)"
            )
        rows[said] = np.array(found)
    optimal = jnp.asarray(_optimal_lengths(environment)[body.muscle_controls])
    action_map = body.embodiment.action_map

    def controller(observation: jax.Array) -> jax.Array:
        now = observation[..., -1]
        stretch = -now[:, rows["error"]] / optimal[None]
        return action_map.inverse(jnp.clip(now[:, rows["target"]] + GAIN * stretch, LEAST, MOST))

    return ScriptedExpert(controller)


def _optimal_lengths(environment: Environment) -> np.ndarray:
    """Optimal fibre length (nu,) m of MuJoCo's muscles: their range of length over their range in optimal lengths."""
    model = environment.body.model
    lengths, relative = model.actuator_lengthrange, model.actuator_gainprm[:, :2]
    return np.asarray((lengths[:, 1] - lengths[:, 0]) / (relative[:, 1] - relative[:, 0]), np.float32)
