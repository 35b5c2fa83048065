"""Reward normalisation per task: divide by the running standard deviation of the discounted return."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

REWARD_CLIP = 10.0  # standard deviations of the return (VecNormalize's)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RewardScale:
    """Running variance of one task's discounted return (OpenAI baselines' VecNormalize; the mean is kept)."""

    returns: jax.Array  # (B,) the discounted return of each environment so far
    count: jax.Array  # () float32
    mean: jax.Array  # () float32
    m2: jax.Array  # () float32

    @classmethod
    def initial(cls, batch: int) -> RewardScale:
        """Nothing seen yet: variance 1."""
        return cls(jnp.zeros(batch, jnp.float32), jnp.float32(1e-4), jnp.float32(0.0), jnp.float32(1e-4))


def update_reward_scale(
    scale: RewardScale, rewards: jax.Array, done: jax.Array, discount: float
) -> tuple[RewardScale, jax.Array]:
    """Account for a rollout.

    Args:
        scale: so far.
        rewards: (T, B) float32.
        done: (T, B) bool.
        discount: gamma.

    Returns:
        the scale after, and the factor () to multiply rewards by. A rollout with a return that is not finite leaves the
        variance as it was. Rewards beyond ten standard deviations, and ten times the rollout's usual size of a
        reward, count as that: one body thrown across the world must not make all later rewards small.
    """
    usual = jnp.nan_to_num(jnp.nanmedian(jnp.where(rewards != 0.0, jnp.abs(rewards), jnp.nan)))
    limit = REWARD_CLIP * jnp.maximum(jnp.sqrt(scale.m2 / scale.count), usual)
    rewards = jnp.clip(rewards, -limit, limit)

    def forward(returns: jax.Array, step: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        reward, ended = step
        returns = discount * returns + reward
        return jnp.where(ended, 0.0, returns), returns

    returns, seen = jax.lax.scan(forward, scale.returns, (rewards, done))
    size = jnp.float32(seen.size)
    count = scale.count + size
    delta = seen.mean() - scale.mean
    m2 = scale.m2 + jnp.square(seen - seen.mean()).sum() + jnp.square(delta) * scale.count * size / count
    kept = jnp.minimum(1.0, 2.0**22 / count)  # float32 cannot add to a larger count; older returns fade instead
    sound = jnp.isfinite(m2)
    new = RewardScale(
        returns=jnp.where(jnp.isfinite(returns), returns, 0.0),
        count=jnp.where(sound, count * kept, scale.count),
        mean=jnp.where(sound, scale.mean + delta * size / count, scale.mean),
        m2=jnp.where(sound, m2 * kept, scale.m2),
    )
    return new, jax.lax.rsqrt(new.m2 / new.count + 1e-8)
