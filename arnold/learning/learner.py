"""The learner: one jitted iteration, and a state that holds everything.

`Learner.train_iteration(state) -> state, metrics` rolls out, labels, estimates advantages and updates. BC, OBC,
OBC-PPO, PPO and fine-tuning are the same iteration under other loss weights. Nothing lives outside the `TrainState`:
a run resumed from it continues bit for bit on a CPU.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from arnold.embodiments.moments import pulling_directions
from arnold.errors import UserError, did_you_mean
from arnold.experts import Expert
from arnold.learning.advantages import generalised_advantages, values_after
from arnold.learning.config import LearnerConfig, regime
from arnold.learning.figures import figures
from arnold.learning.losses import Rows, mixed_loss
from arnold.learning.minibatches import minibatches
from arnold.learning.mixture import Bucket, Lane, Mixture, make_buckets, make_lanes
from arnold.learning.reward_scale import REWARD_CLIP, RewardScale, update_reward_scale
from arnold.learning.rollout import LaneState, Transition, roll_out
from arnold.policy import normaliser
from arnold.policy.actor_critic import ActorCritic, PolicyOutput
from arnold.policy.normaliser import ObservationStatistics


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """Everything a run needs to go on."""

    params: Any
    optimiser: Any  # its moments are of the parameters as one vector
    statistics: ObservationStatistics
    lanes: dict[str, LaneState]  # by task
    reward_scales: dict[str, RewardScale]  # by task
    key: jax.Array  # () typed PRNG key
    iteration: jax.Array  # () int32
    updates: jax.Array  # () int32, optimiser steps taken
    skipped: jax.Array  # () int32, non-finite updates skipped so far
    skipped_in_a_row: jax.Array  # () int32
    step_scale: jax.Array  # () float32, what `LearnerConfig.target_kl` has made of the schedule's step


class Learner:
    """Trains one policy on a mixture.

    Args:
        policy: the network (a transformer for the mixture, or an MLP for one task).
        mixture: environments per task.
        config: the learner's settings.
        iterations: length of the whole run; the learning rate and the noise follow it.
        experts: by task; required for every task where the regime reads labels.
        backend: physics back end.
        threads: threads of the native back end.
        critic_warmup: iterations at the start in which only the value's own parameters learn.

    Raises:
        UserError: a task without an expert where one is needed, an expert for a task that is not in the mixture, or a
            rollout longer than the shortest horizon.
    """

    def __init__(
        self,
        policy: ActorCritic,
        mixture: Mixture,
        config: LearnerConfig,
        iterations: int,
        experts: dict[str, Expert] | None = None,
        backend: str = "native",
        threads: int | None = None,
        critic_warmup: int = 0,
    ):
        self.policy = policy
        self.config = config
        self.critic_warmup = critic_warmup
        self.iterations = iterations
        self.experts = dict(experts or {})
        self.regime = regime(config.regime)
        self.weights = config.weights
        self.lanes = make_lanes(mixture, backend, threads)
        self._check()
        self.buckets = make_buckets(self.lanes)
        self.steps_per_iteration = config.rollout_steps * sum(lane.batch for lane in self.lanes)
        self._ids = [policy.bind(bucket.tables) for bucket in self.buckets]
        self._mixings = [_mixing(bucket, config.muscle_correlation) for bucket in self.buckets]
        updates = max(1, iterations) * config.epochs * config.minibatches
        self.schedule = optax.cosine_decay_schedule(
            config.learning_rate, updates, alpha=config.final_learning_rate / config.learning_rate
        )
        self.optimiser = optax.chain(
            optax.clip_by_global_norm(config.gradient_clip), optax.adam(self.schedule, eps=1e-5)
        )
        self.expert_params = {name: expert.params for name, expert in self.experts.items()}
        self._begin = jax.jit(self._beginning)
        self._iterate = jax.jit(self._iteration)

    def _check(self) -> None:
        names = [lane.name for lane in self.lanes]
        for name in self.experts:
            if name not in names:
                near = did_you_mean(name, names)
                raise UserError(f"an expert was given for task {name!r}, which is not in the mixture; {near}")
        if self.regime.needs_expert:
            for name in names:
                if name not in self.experts:
                    raise UserError(
                        f"regime {self.regime.name!r} needs an expert for task {name!r}; "
                        f"give one with --experts {name}=POLICY"
                    )
        shortest = min(self.lanes, key=lambda lane: lane.environment.task.horizon)
        if self.config.rollout_steps > shortest.environment.task.horizon:
            raise UserError(
                f"LearnerConfig.rollout_steps is {self.config.rollout_steps}; at most the shortest horizon of the "
                f"mixture is accepted ({shortest.name}: {shortest.environment.task.horizon} control steps)"
            )
        for lane in self.lanes:
            rows = lane.batch * self.config.rollout_steps
            if rows < self.config.minibatches:
                raise UserError(
                    f"task {lane.name!r} gives {rows} rows per iteration for {self.config.minibatches} minibatches; "
                    "raise its environments or rollout_steps, or lower minibatches"
                )

    # ---- state ------------------------------------------------------------------------------------------------------

    def initial_state(
        self, key: jax.Array, params: Any = None, statistics: ObservationStatistics | None = None
    ) -> TrainState:
        """The state before the first iteration.

        Episodes start staggered over their horizon, so that resets do not come all at once. One iteration is spent on
        the observation statistics, so that no signature is read with none; what it would have learned is thrown away
        (it is compiled anyway, and a rollout of its own would have to be).

        Args:
            key: typed PRNG key.
            params: parameters to start from (fine-tuning); fresh ones by default.
            statistics: the observation statistics that go with them.
        """
        params_key, env_key, key = jax.random.split(key, 3)
        params = self.policy.init(params_key) if params is None else params
        statistics = self.policy.init_statistics() if statistics is None else statistics
        state = self._begin(params, statistics, env_key, key)
        seen, _ = self._iterate(state, self.expert_params)
        return dataclasses.replace(state, lanes=seen.lanes, statistics=seen.statistics, key=seen.key)

    def blank_state(self) -> TrainState:
        """A state that has seen nothing, to read a stored one into: all states have its structure."""
        key = jax.random.key(0)
        return self._begin(self.policy.init(key), self.policy.init_statistics(), key, key)

    def _beginning(
        self, params: Any, statistics: ObservationStatistics, env_key: jax.Array, key: jax.Array
    ) -> TrainState:
        zero = jnp.int32(0)
        return TrainState(
            params=params,
            optimiser=self.optimiser.init(ravel_pytree(params)[0]),
            statistics=statistics,
            lanes={
                lane.name: self._initial_lane(lane, jax.random.fold_in(env_key, i)) for i, lane in enumerate(self.lanes)
            },
            reward_scales={lane.name: RewardScale.initial(lane.batch) for lane in self.lanes},
            key=key,
            iteration=zero,
            updates=zero,
            skipped=zero,
            skipped_in_a_row=zero,
            step_scale=jnp.float32(1.0),
        )

    def _initial_lane(self, lane: Lane, key: jax.Array) -> LaneState:
        reset_key, stagger_key = jax.random.split(key)
        env = jax.vmap(lane.environment.reset)(jax.random.split(reset_key, lane.batch))
        elapsed = jax.random.randint(stagger_key, (lane.batch,), 0, lane.environment.task.horizon)
        env = dataclasses.replace(env, elapsed=elapsed)
        expert = self.experts.get(lane.name)
        return LaneState(
            env=env,
            carry=expert.initial_carry(lane.batch) if expert else (),
            fresh=jnp.ones(lane.batch, bool),
            last_seen=env.observation[:, :, -self.policy.lags :],
        )

    # ---- one iteration ----------------------------------------------------------------------------------------------

    def train_iteration(self, state: TrainState) -> tuple[TrainState, dict[str, jax.Array]]:
        """One rollout and its updates.

        Returns:
            the state after, and metrics: per task ``<task>/solved`` (fraction of steps), ``<task>/reward`` (mean per
            step), ``<task>/episode_solved`` (solved steps / horizon of the episodes that ended; NaN where none did),
            the loss parts, ...
        """
        return self._iterate(state, self.expert_params)

    def compiled(self, state: TrainState) -> jax.stages.Compiled:
        """`train_iteration` compiled for states like ``state``, to be called with one and with `expert_params`."""
        return self._iterate.lower(state, self.expert_params).compile()

    def _iteration(self, state: TrainState, expert_params: Any) -> tuple[TrainState, dict[str, jax.Array]]:
        key, rollout_key, shuffle_key = jax.random.split(state.key, 3)
        lanes, transitions = self._roll_out(state, expert_params, rollout_key)
        scales, rows = self._prepare(state, lanes, transitions)
        state = dataclasses.replace(
            state, lanes=self._pooled(lanes), reward_scales=scales, key=key, optimiser=self._begun_in_earnest(state)
        )
        state, parts = self._update(state, rows, shuffle_key)
        if self.config.target_kl and "kl" in parts:
            # a policy that stands still while its critic warms up says nothing about steps
            still = state.iteration < self.critic_warmup
            adapted = self._adapted(state.step_scale, parts["kl"])
            state = dataclasses.replace(state, step_scale=jnp.where(still, state.step_scale, adapted))
        metrics = {**parts, **figures(self.lanes, transitions)}
        metrics["skipped"] = state.skipped
        scheduled = jnp.asarray(self.schedule(state.updates.astype(jnp.float32)), jnp.float32)
        metrics["learning_rate"] = state.step_scale * scheduled
        state = dataclasses.replace(
            state, statistics=self._observed(state.statistics, transitions), iteration=state.iteration + 1
        )
        return state, metrics

    def _apply(
        self,
        params: Any,
        statistics: ObservationStatistics,
        iteration: jax.Array,
        index: int,
        observations: jax.Array,
    ) -> PolicyOutput:
        output = self.policy.apply(params, statistics, self._ids[index], observations)
        if self.config.log_std:
            output = output._replace(log_std=jnp.full_like(output.log_std, self._scheduled_log_std(iteration)))
        return output

    def _scheduled_log_std(self, iteration: jax.Array) -> jax.Array:
        """Where the straight line of `LearnerConfig.log_std` stands, ()."""
        start, end = self.config.log_std
        progress = jnp.clip(iteration.astype(jnp.float32) / max(1, self.iterations), 0.0, 1.0)
        return start + (end - start) * progress

    def policy_params(self, state: TrainState) -> Any:
        """The parameters as a checkpoint's policy has them: noise that follows a line is said where it stands."""
        if not self.config.log_std:
            return state.params
        return self.policy.with_log_std(state.params, self._scheduled_log_std(state.iteration))

    def _roll_out(
        self, state: TrainState, expert_params: Any, key: jax.Array
    ) -> tuple[dict[str, LaneState], dict[str, Transition]]:
        def act(index: int, observations: jax.Array) -> PolicyOutput:
            return self._apply(state.params, state.statistics, state.iteration, index, observations)

        return roll_out(
            self.buckets,
            act,
            self.experts,
            expert_params,
            self.regime,
            self.policy.lags,
            state.lanes,
            key,
            self.config.rollout_steps,
            self.config.noise_correlation,
            self._mixings,
        )

    def _adapted(self, scale: jax.Array, kl: jax.Array) -> jax.Array:
        """The factor of the step after an iteration that moved the policy by ``kl``, see `LearnerConfig.target_kl`."""
        target = self.config.target_kl
        factor = jnp.where(kl > 2.0 * target, jnp.float32(0.8), jnp.where(kl < 0.5 * target, jnp.float32(1.25), 1.0))
        return jnp.clip(scale * factor, 1.0 / 30.0, 3.0)

    def _pooled(self, lanes: dict[str, LaneState]) -> dict[str, LaneState]:
        """The lanes, once the environments of each task have told each other what the task has them tell."""
        pooled = {}
        for lane in self.lanes:
            state = lanes[lane.name]
            goal = lane.environment.task.pool(state.env.goal)
            pooled[lane.name] = dataclasses.replace(state, env=dataclasses.replace(state.env, goal=goal))
        return pooled

    def _observed(self, statistics: ObservationStatistics, transitions: dict[str, Transition]) -> ObservationStatistics:
        for bucket, ids in zip(self.buckets, self._ids, strict=True):
            values = jnp.stack([_flat(transitions[lane.name].observation) for lane in bucket.lanes])
            seen = normaliser.update(statistics, ids.signature_ids, values)
            # One observation that is not finite must not spoil its signature's statistics for good.
            sound = jnp.isfinite(seen.mean).all(axis=1) & jnp.isfinite(seen.m2).all(axis=1)
            statistics = ObservationStatistics(
                count=jnp.where(sound, seen.count, statistics.count),
                mean=jnp.where(sound[:, None], seen.mean, statistics.mean),
                m2=jnp.where(sound[:, None], seen.m2, statistics.m2),
            )
        return statistics

    def _prepare(
        self, state: TrainState, lanes: dict[str, LaneState], transitions: dict[str, Transition]
    ) -> tuple[dict[str, RewardScale], list[Rows]]:
        """Scaled rewards, advantages and targets; rows by bucket (N, T * B, ...)."""
        scales, rows = {}, []
        for index, bucket in enumerate(self.buckets):
            bucket_rows = []
            newest = jnp.stack([lanes[lane.name].env.observation for lane in bucket.lanes])
            ended = jnp.stack([lanes[lane.name].last_seen for lane in bucket.lanes])
            both = jnp.concatenate([newest[..., -self.policy.lags :], ended], axis=1)
            values = self._apply(state.params, state.statistics, state.iteration, index, both).value
            after, at_end = jnp.split(values, 2, axis=1)
            for n, lane in enumerate(bucket.lanes):
                step = transitions[lane.name]
                done = step.terminated | step.truncated
                scales[lane.name], factor = update_reward_scale(
                    state.reward_scales[lane.name], step.reward, done, self.config.discount
                )
                reward = step.reward
                if self.config.normalise_reward:
                    reward = jnp.clip(reward * factor, -REWARD_CLIP, REWARD_CLIP)
                following = values_after(step.value, after[n], at_end[n], step.truncated)
                advantage, target = generalised_advantages(
                    reward,
                    step.value,
                    following,
                    step.terminated,
                    step.truncated,
                    self.config.discount,
                    self.config.gae_lambda,
                )
                advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
                parts = (step.observation, step.action, step.log_prob, advantage, target, step.label)
                bucket_rows.append(Rows(*(_flat(part) for part in parts)))
            rows.append(jax.tree.map(lambda *leaves: jnp.stack(leaves), *bucket_rows))
        return scales, rows

    # ---- the update -------------------------------------------------------------------------------------------------

    def _update(self, state: TrainState, rows: list[Rows], key: jax.Array) -> tuple[TrainState, dict[str, jax.Array]]:
        # Of one vector the optimiser takes a dozen operations, of a network's leaves hundreds that XLA has to compile.
        flat, unravel = ravel_pytree(state.params)

        def epoch(carried: Any, epoch_key: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
            shuffled = [
                minibatches(bucket_rows, jax.random.fold_in(epoch_key, i), self.config.minibatches)
                for i, bucket_rows in enumerate(rows)
            ]
            return jax.lax.scan(functools.partial(self._gradient_step, state, unravel), carried, shuffled)

        carried = (flat, state.optimiser, state.updates, state.skipped, state.skipped_in_a_row)
        carried, parts = jax.lax.scan(epoch, carried, jax.random.split(key, self.config.epochs))
        flat, optimiser, updates, skipped, in_a_row = carried
        state = dataclasses.replace(
            state,
            params=unravel(flat),
            optimiser=optimiser,
            updates=updates,
            skipped=skipped,
            skipped_in_a_row=in_a_row,
        )
        return state, {name: jnp.mean(values) for name, values in parts.items()}

    def _gradient_step(
        self, state: TrainState, unravel: Callable[[jax.Array], Any], carried: Any, minibatch: list[Rows]
    ) -> tuple[Any, dict[str, jax.Array]]:
        flat, optimiser, updates, skipped, in_a_row = carried

        def loss_of(flat: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
            return self._loss(unravel(flat), state, minibatch)

        (loss, parts), gradient = jax.value_and_grad(loss_of, has_aux=True)(flat)
        if self.critic_warmup:
            stands_still = (state.iteration < self.critic_warmup) & ~_of_the_value(state.params)
            gradient = jnp.where(stands_still, 0.0, gradient)
        norm = jnp.linalg.norm(gradient)
        finite = jnp.isfinite(loss) & jnp.isfinite(norm)
        with jax.numpy_dtype_promotion("standard"):  # optax raises a float to an integer count
            step, new_optimiser = self.optimiser.update(gradient, optimiser, flat)
        flat, optimiser = jax.tree.map(
            lambda new, old: jnp.where(finite, new, old),
            (flat + state.step_scale * step, new_optimiser),
            (flat, optimiser),
        )
        skipped += jnp.where(finite, 0, 1)
        in_a_row = jnp.where(finite, 0, in_a_row + 1)
        parts = {"loss": loss, "gradient_norm": norm, **parts}
        return (flat, optimiser, updates + jnp.where(finite, 1, 0), skipped, in_a_row), parts

    def _begun_in_earnest(self, state: TrainState) -> Any:
        """The optimiser's state; as the critic's warm-up ends, Adam's moments start afresh.

        Adam divides by an average of squared gradients that it corrects for its age. For the parameters that stood
        still the average is zero and old, the correction is gone, and the first steps would be several times too long.
        """
        if not self.critic_warmup:
            return state.optimiser
        clip, (moments, schedule) = state.optimiser
        _, (fresh, _) = self.optimiser.init(ravel_pytree(state.params)[0])
        over = state.iteration == self.critic_warmup
        return clip, (jax.tree.map(lambda new, old: jnp.where(over, new, old), fresh, moments), schedule)

    def _loss(self, params: Any, state: TrainState, minibatch: list[Rows]) -> tuple[jax.Array, dict[str, jax.Array]]:
        outputs = [
            self._apply(params, state.statistics, state.iteration, index, rows.observation)
            for index, rows in enumerate(minibatch)
        ]
        return mixed_loss(outputs, minibatch, self.weights, self.config.clip, self._mixings)


def _of_the_value(params: Any) -> jax.Array:
    """Which numbers (P,) of the parameters are the value's own: their names begin so."""

    def own(path: Any, leaf: jax.Array) -> jax.Array:
        return jnp.full(leaf.shape, str(getattr(path[0], "key", path[0])).startswith("value"))

    return ravel_pytree(jax.tree_util.tree_map_with_path(own, params))[0]


def _mixing(bucket: Bucket, correlation: float) -> jax.Array | None:
    """The Cholesky factors (N, M, M) of the correlations between the noises of a bucket's muscles; none of 0."""
    if not correlation:
        return None
    factors = []
    for body in (lane.environment.body for lane in bucket.lanes):
        along = pulling_directions(body.model, body.rest_position.astype(np.float64))[body.muscle_controls]
        shared = correlation * along @ along.T
        factors.append(np.linalg.cholesky(shared + np.diag(1.0 - np.diag(shared))))
    return jnp.asarray(np.stack(factors), jnp.float32)


def _flat(x: jax.Array) -> jax.Array:
    """(T, B, ...) -> (T * B, ...)."""
    return x.reshape(-1, *x.shape[2:])
