"""Generalised advantage estimation that tells an episode that failed from one that ran out of time."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def generalised_advantages(
    rewards: jax.Array,
    values: jax.Array,
    next_values: jax.Array,
    terminated: jax.Array,
    truncated: jax.Array,
    discount: float,
    gae_lambda: float,
) -> tuple[jax.Array, jax.Array]:
    """Advantages and value targets of a rollout (Schulman et al. 2016, arXiv 1506.02438, eq. 16).

    A termination is worth nothing afterwards; a truncation is worth the value of its true final observation, which the
    caller puts into ``next_values``. Neither lets advantages flow back from the episode that follows it.

    Args:
        rewards: (T, B) float32.
        values: (T, B), the value of the observation each action was chosen on.
        next_values: (T, B), the value of the observation that the action led to, before any automatic reset.
        terminated: (T, B) bool.
        truncated: (T, B) bool.
        discount: gamma.
        gae_lambda: lambda.

    Returns:
        advantages (T, B), targets (T, B) = advantages + values.
    """
    alive = 1.0 - terminated.astype(jnp.float32)
    continues = 1.0 - (terminated | truncated).astype(jnp.float32)
    errors = rewards + discount * alive * next_values - values

    def backwards(later: jax.Array, step: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        error, goes_on = step
        advantage = error + discount * gae_lambda * goes_on * later
        return advantage, advantage

    _, advantages = jax.lax.scan(backwards, jnp.zeros_like(rewards[0]), (errors, continues), reverse=True)
    return advantages, advantages + values


def values_after(values: jax.Array, newest: jax.Array, at_end: jax.Array, truncated: jax.Array) -> jax.Array:
    """The value of the observation that each action led to, before any automatic reset (T, B).

    Where an episode was truncated this is the value of its final observation, and elsewhere that of the next step's
    observation. A rollout is at most as long as the horizon and an environment cannot run out of time twice within a
    horizon, however its first episode was staggered, so one final observation per environment is enough. Where an
    episode was terminated the number is the next episode's and means nothing.

    Args:
        values: (T, B), of the observations that the actions were chosen on.
        newest: (B,), of the observation after the last step.
        at_end: (B,), of the final observation of the environment's latest truncation.
        truncated: (T, B) bool.
    """
    following = jnp.concatenate([values[1:], newest[None]])
    return jnp.where(truncated, at_end[None, :], following)
