"""Moving the bodies: one scan over control steps for every task of a mixture, with labels where an expert is asked."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from arnold.experts import Expert
from arnold.learning.config import Regime
from arnold.learning.losses import log_probability
from arnold.learning.mixture import Bucket, Lane
from arnold.policy.actor_critic import PolicyOutput
from arnold.tasks import EnvState

Noises = tuple[jax.Array, ...]  # one (N, B, M) per bucket, of variance 1


class Transition(NamedTuple):
    """One control step of one task's B environments (with a leading T after the scan)."""

    observation: jax.Array  # (B, K, H') the lags that the student reads
    action: jax.Array  # (B, M) before the clip, and before the projection of a policy that acts within a subspace
    log_prob: jax.Array  # (B,)
    value: jax.Array  # (B,)
    label: jax.Array  # (B, M)
    reward: jax.Array  # (B,)
    terminated: jax.Array  # (B,) bool
    truncated: jax.Array  # (B,) bool
    solved: jax.Array  # (B,) bool
    diverged: jax.Array  # (B,) bool
    tally_reward: jax.Array  # (B,) reward of the episode so far
    tally_solved: jax.Array  # (B,) int32
    tally_steps: jax.Array  # (B,) int32


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LaneState:
    """What one task carries from step to step."""

    env: EnvState  # leading axis B
    carry: Any  # the expert's, leading axis B
    fresh: jax.Array  # (B,) bool, the next step is an episode's first
    last_seen: jax.Array  # (B, K, H') the final observation of the latest truncation in this rollout


def roll_out(
    buckets: tuple[Bucket, ...],
    act: Callable[[int, jax.Array], PolicyOutput],
    experts: dict[str, Expert],
    expert_params: dict[str, Any],
    regime: Regime,
    lags: int,
    states: dict[str, LaneState],
    key: jax.Array,
    steps: int,
    correlation: float = 0.0,
    mixings: Sequence[jax.Array | None] | None = None,
) -> tuple[dict[str, LaneState], dict[str, Transition]]:
    """Step every environment of every task ``steps`` times.

    Args:
        buckets: the mixture, by shape.
        act: (bucket index, observations (N, B, K, H)) -> `PolicyOutput`.
        experts: by task; only asked where the regime reads labels.
        expert_params: each expert's parameters.
        regime: says who drives.
        lags: history lags H' to keep for the update.
        states: one per task.
        key: for the sampled actions.
        steps: T.
        correlation: of a muscle's noise from one control step to the next, in [0, 1); each step's own distribution is
            the policy's whatever this is.
        mixings: of the noise of each bucket's muscles, see `arnold.learning.losses.log_probability`.

    Returns:
        the states after, and per task a `Transition` with a leading axis T.
    """

    def step(
        before: tuple[dict[str, LaneState], Noises], step_key: jax.Array
    ) -> tuple[tuple[dict[str, LaneState], Noises], dict[str, Transition]]:
        carried, noises = dict(before[0]), list(before[1])
        transitions = {}
        for index, bucket in enumerate(buckets):
            observations = jnp.stack([carried[lane.name].env.observation for lane in bucket.lanes])
            output: PolicyOutput = act(index, observations)
            fresh = jax.random.normal(jax.random.fold_in(step_key, index), output.mean.shape)
            noise = noises[index] = correlation * noises[index] + (1.0 - correlation**2) ** 0.5 * fresh
            mixing = mixings[index] if mixings else None
            mixed = noise if mixing is None else jnp.einsum("nij,nbj->nbi", mixing, noise)
            sampled = output.mean + mixed * jnp.exp(output.log_std)[:, None, :]
            log_probs = log_probability(output.mean, output.log_std, sampled, mixing)
            executed = output.executed(sampled)
            for n, lane in enumerate(bucket.lanes):
                choice = (output.mean[n], sampled[n], executed[n], log_probs[n], output.value[n])
                expert, params = experts.get(lane.name), expert_params.get(lane.name)
                carried[lane.name], transitions[lane.name] = _lane_step(
                    lane, carried[lane.name], choice, expert, params, regime, lags
                )
        return (carried, tuple(noises)), transitions

    noise_key, key = jax.random.split(key)
    seen = [jnp.stack([states[lane.name].env.observation for lane in bucket.lanes]) for bucket in buckets]
    shapes = [jax.eval_shape(functools.partial(act, index), x).mean.shape for index, x in enumerate(seen)]
    first = tuple(jax.random.normal(jax.random.fold_in(noise_key, i), shape) for i, shape in enumerate(shapes))
    (states, _), transitions = jax.lax.scan(step, (states, first), jax.random.split(key, steps))
    return states, transitions


def _lane_step(
    lane: Lane,
    state: LaneState,
    choice: tuple[jax.Array, jax.Array, jax.Array, jax.Array, jax.Array],
    expert: Expert | None,
    params: Any,
    regime: Regime,
    lags: int,
) -> tuple[LaneState, Transition]:
    mean, sampled, executed, log_prob, value = choice
    carry, label = state.carry, jnp.zeros_like(mean)
    if expert is not None and regime.needs_expert:
        carry, label = expert.act(params, carry, state.env.observation, state.fresh)
    driving = label if regime.driver == "expert" else executed
    env = jax.vmap(lane.environment.step)(state.env, driving)
    seen = env.final_observation[:, :, -lags:]
    last_seen = jnp.where(env.truncated[:, None, None], seen, state.last_seen)
    transition = Transition(
        observation=state.env.observation[:, :, -lags:],
        action=sampled,
        log_prob=log_prob,
        value=value,
        label=label,
        reward=env.reward,
        terminated=env.terminated,
        truncated=env.truncated,
        solved=env.solved,
        diverged=env.diverged,
        tally_reward=env.tally.reward,
        tally_solved=env.tally.solved_steps,
        tally_steps=env.tally.steps,
    )
    return LaneState(env, carry, env.done, last_seen), transition
