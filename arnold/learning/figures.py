"""What a rollout tells of each task: solved steps, rewards, how episodes ended."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from arnold.learning.mixture import Lane
from arnold.learning.rollout import Transition


def figures(lanes: Sequence[Lane], transitions: dict[str, Transition]) -> dict[str, jax.Array]:
    """Figures () of each task's rollout, named ``<task>/<figure>``; see `Learner.train_iteration`."""
    found = {}
    for lane in lanes:
        step = transitions[lane.name]
        horizon = lane.environment.task.horizon
        # Episodes that began staggered run out of time early; only those that had their whole horizon count.
        whole = step.terminated | (step.truncated & (step.tally_steps >= horizon))
        done = whole.astype(jnp.float32)
        ended = jnp.maximum(done.sum(), 1.0)
        solved = (step.tally_solved.astype(jnp.float32) * done).sum() / (ended * horizon)
        found[f"{lane.name}/solved"] = step.solved.astype(jnp.float32).mean()
        found[f"{lane.name}/reward"] = step.reward.mean()
        found[f"{lane.name}/episode_solved"] = jnp.where(done.sum() > 0, solved, jnp.nan)
        found[f"{lane.name}/episode_steps"] = (step.tally_steps.astype(jnp.float32) * done).sum() / ended
        found[f"{lane.name}/failed"] = step.terminated.astype(jnp.float32).mean()
        found[f"{lane.name}/diverged"] = step.diverged.astype(jnp.int32).sum()
    return found
