"""The environment step: physics, observation, reward, endings, history and the automatic reset, as pure functions.

`reset(key) -> EnvState` and `step(state, action) -> EnvState` are of one environment; batch them with `jax.vmap`.
Everything lives in the `EnvState`, its random key included.
"""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from arnold.embodiments import Signals
from arnold.embodiments.physics import PhysicsState, make_physics
from arnold.errors import UserError
from arnold.tasks.perturbation import INTACT, Disturbance, Disturbed, Perturbation
from arnold.tasks.task import Ended, Goal, Start, Task
from arnold.vocab import TokenTable

VARIANTS = 64  # of a model that changes from episode to episode, on the mjx back end
LAGS = 6  # the present and five past control steps (arXiv 2508.18066: 5 memory steps)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Tally:
    """What an episode has come to so far; the three numbers that evaluation and training curves are made of."""

    steps: jax.Array  # () int32 control steps
    solved_steps: jax.Array  # () int32
    reward: jax.Array  # () float32, sum of the dense reward


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class EnvState:
    """One environment between two control steps (a leading batch axis under `jax.vmap`).

    After a step that ended an episode, `physics`, `goal` and `observation` are already those of the next one; what was
    last seen of the old one is `final_observation`, and its account is `tally` (the new episode starts its own at the
    next step).
    """

    physics: PhysicsState
    goal: Goal
    disturbed: Disturbed
    key: jax.Array  # () typed PRNG key
    elapsed: jax.Array  # () int32 control steps since the episode's start
    observation: jax.Array  # (K, H) raw token values, newest last
    final_observation: jax.Array  # (K, H) the observation before any automatic reset
    reward: jax.Array  # () float32
    terms: dict[str, jax.Array]  # () each
    solved: jax.Array  # () bool
    terminated: jax.Array  # () bool: failed, no bootstrap
    truncated: jax.Array  # () bool: out of time, bootstrap from final_observation
    diverged: jax.Array  # () bool: the physics was not finite; the episode ended there
    tally: Tally

    @property
    def done(self) -> jax.Array:
        """() bool: the episode ended with this step."""
        return self.terminated | self.truncated


class Environment:
    """A task on a physics back end.

    Args:
        task: the task to run.
        backend: "native" or "mjx".
        threads: threads of the native back end; all cores by default.
        lags: history length H.
        perturbation: of the muscles.

    Attributes:
        perturbation: of the muscles.
        observation_table: the K observation tokens.
        action_table: the M muscles to drive.

    Example:
        >>> env = Environment(task("hand_index_reach"))
        >>> state = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), 64))
        >>> state = jax.jit(jax.vmap(env.step))(state, jnp.zeros((64, 39)))
    """

    def __init__(
        self,
        task: Task,
        backend: str = "native",
        threads: int | None = None,
        lags: int = LAGS,
        perturbation: Perturbation = INTACT,
    ):
        self.task, self.perturbation = task, perturbation
        self._disturbance = Disturbance(perturbation, task.compile())
        self.body = self._disturbance.body
        variants = self._draw_variants() if self.body.changes and backend == "mjx" else None
        self.threads = threads or os.cpu_count() or 1
        self.physics = make_physics(self.body, backend, threads, variants)
        self.lags = lags
        self._channels = task.channels(self.body)
        self.observation_table: TokenTable = task.observation_table(self.body)
        self.action_table: TokenTable = self.body.action_table

    def reset(self, key: jax.Array) -> EnvState:
        """The first state of a new episode; everything is reset, activation included."""
        key, episode_key = jax.random.split(key)
        return self.reset_to(key, *self.task.draw(self.body, episode_key, None))

    def reset_to(self, key: jax.Array, start: Start, goal: Goal) -> EnvState:
        """The first state of an episode whose start and goal are given; later ones are drawn with ``key``."""
        physics = self.physics.forward(self._at(start), jnp.asarray(True))
        signals = self.body.signals(physics)
        goal = self.task.begin(self.body, signals, goal)
        observation = self._repeat(self._read(signals, goal))
        outcome = jax.tree.map(jnp.zeros_like, self.task.judge(self.body, signals, goal))
        no = jnp.asarray(False)
        return EnvState(
            physics=physics,
            goal=goal,
            disturbed=self._disturbance.begin(key, signals.activation),
            key=key,
            elapsed=jnp.int32(0),
            observation=observation,
            final_observation=observation,
            reward=jnp.float32(0.0),
            terms=outcome.terms,
            solved=no,
            terminated=no,
            truncated=no,
            diverged=no,
            tally=Tally(jnp.int32(0), jnp.int32(0), jnp.float32(0.0)),
        )

    def step(self, state: EnvState, action: jax.Array) -> EnvState:
        """One control step under an action (M,), clipped to [-1, 1]; resets by itself where the episode ends."""
        disturbed, command = self.send(state, action)
        physics = self.physics.step(state.physics, command)
        diverged = ~self._finite(physics)
        # A diverged state is not read: the episode is judged on the last finite one, and ends.
        physics = _where(diverged, state.physics, physics)
        signals = self.body.signals(physics)
        goal = self.task.advance(self.body, signals, state.goal)
        outcome = self.task.judge(self.body, signals, goal)
        observation = jnp.concatenate([state.observation[:, 1:], self._read(signals, goal)[:, None]], axis=1)
        elapsed = state.elapsed + 1
        terminated = outcome.failed | diverged
        truncated = ~terminated & ((elapsed >= self.task.horizon) | outcome.finished)
        reward = self.task.reward(outcome)
        key, episode_key = jax.random.split(state.key)
        done = terminated | truncated
        ended = Ended(goal, terminated)
        physics, goal, next_observation = self._restart(done, physics, ended, observation, episode_key)
        rested = self._disturbance.begin(episode_key, physics.act[self.body.muscle_act])
        return EnvState(
            physics=physics,
            goal=goal,
            disturbed=_where(done, rested, disturbed),
            key=key,
            elapsed=jnp.where(done, 0, elapsed),
            observation=next_observation,
            final_observation=observation,
            reward=reward,
            terms=outcome.terms,
            solved=outcome.solved,
            terminated=terminated,
            truncated=truncated,
            diverged=diverged,
            tally=_count(state, reward, outcome.solved),
        )

    def send(self, state: EnvState, action: jax.Array) -> tuple[Disturbed, jax.Array]:
        """What the muscles are sent under an action (M,), clipped to [-1, 1]; a part of `step`.

        Returns:
            what the perturbation remembers of it, and the command (M,) as it arrives: the excitation, or the wanted
            length where the action map has feedback.
        """
        return self._disturbance(state.disturbed, self.body.embodiment.action_map(action))

    def _restart(
        self, done: jax.Array, physics: PhysicsState, ended: Ended, observation: jax.Array, key: jax.Array
    ) -> tuple[PhysicsState, Goal, jax.Array]:
        """Where ``done``, the physics, goal and observation of a fresh episode."""
        start, fresh_goal = self.task.draw(self.body, key, ended)
        physics = self.physics.forward(_where(done, self._at(start), physics), done)
        signals = self.body.signals(physics)
        goal = _where(done, self.task.begin(self.body, signals, fresh_goal), ended.goal)
        first = self._repeat(self._read(signals, goal))
        return physics, goal, jnp.where(done, first, observation)

    def _at(self, start: Start) -> PhysicsState:
        model = self.body.model
        qvel = self.body.qvel_with(start.joint_velocity, start.moving)
        act = jnp.zeros(model.na, jnp.float32).at[self.body.muscle_act].set(start.activation)
        qpos = self.body.qpos_with(start.joint_position, start.placed)
        given, widths = [value.size for value in start.changes], [change.width for change in self.body.changes]
        if given != widths:
            raise UserError(
                f"task {self.task.name!r}: start(body, key).changes has sizes {given}; its `changes` "
                f"({', '.join(f'{c.field} of {c.of}' for c in self.body.changes) or 'none'}) are of sizes {widths}"
            )
        changes = jnp.concatenate([jnp.zeros(0, jnp.float32), *(jnp.ravel(value) for value in start.changes)])
        return self.physics.initial(qpos, qvel, act, changes)

    def _draw_variants(self) -> np.ndarray:
        """Draws (N, P) of what the task's episodes change, the same every time."""
        keys = jax.random.split(jax.random.key(0), VARIANTS)
        drawn = jax.jit(jax.vmap(lambda key: self.task.draw(self.body, key, None)[0].changes))(keys)
        return np.concatenate([np.asarray(value).reshape(VARIANTS, -1) for value in drawn], axis=1)

    def _read(self, signals: Signals, goal: Goal) -> jax.Array:
        return jnp.concatenate([channel.read(signals, goal) for channel in self._channels])

    def _repeat(self, values: jax.Array) -> jax.Array:
        """History before the first step is the first observation repeated, not zeros."""
        return jnp.tile(values[:, None], (1, self.lags))

    def _finite(self, physics: PhysicsState) -> jax.Array:
        numbers = (physics.qpos, physics.qvel, physics.act, physics.sensordata)
        return jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in numbers]))


def _count(state: EnvState, reward: jax.Array, solved: jax.Array) -> Tally:
    """The running account; the first step of an episode starts it from nothing."""
    begun = state.elapsed > 0
    before = jax.tree.map(lambda x: jnp.where(begun, x, jnp.zeros_like(x)), state.tally)
    return Tally(before.steps + 1, before.solved_steps + solved.astype(jnp.int32), before.reward + reward)


def _where(condition: jax.Array, chosen: Any, otherwise: Any) -> Any:
    """Leaf by leaf, ``chosen`` where the () condition holds."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), chosen, otherwise)
