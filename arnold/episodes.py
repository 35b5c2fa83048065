"""Whole episodes of one agent in one task, as numpy arrays: what evaluation, play and the report are made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from arnold.errors import UserError
from arnold.policy.actor_critic import ActorCritic
from arnold.tasks import Environment

Act = Callable[[Any, jax.Array, jax.Array], jax.Array]
"""(parameters, observations (E, K, H), key) -> actions (E, M)."""


@dataclasses.dataclass(frozen=True, eq=False)
class Recording:
    """E episodes of T control steps. After an episode's end `running` is false and its other entries mean nothing.

    Attributes:
        task: the task's name.
        muscles: names of the M muscles.
        control_dt: control step, s.
        running: bool (E, T).
        solved: bool (E, T).
        reward: float32 (E, T), the dense reward.
        terms: float32 (E, T) each, the reward's terms, without weights.
        activation: float32 (R, T, M) in [0, 1], of the first R episodes, at the start of each control step.
    """

    task: str
    muscles: tuple[str, ...]
    control_dt: float
    running: np.ndarray
    solved: np.ndarray
    reward: np.ndarray
    terms: dict[str, np.ndarray]
    activation: np.ndarray

    @property
    def solved_at_the_end(self) -> float:
        """Share of the episodes that were solved in the last control step of the horizon: KINESIS' success."""
        return float((self.running & self.solved)[:, -1].mean())


class Episodes:
    """Runs whole episodes of one agent; compiled once per number of episodes, for any parameters.

    Args:
        environment: the task on a back end.
        act: the agent.
        recorded: how many episodes' activations to keep.
    """

    def __init__(self, environment: Environment, act: Act, recorded: int = 1):
        self.environment = environment
        self.act = act
        self.recorded = recorded
        self._run = jax.jit(self._episodes, static_argnames="episodes")

    def __call__(self, params: Any, episodes: int, seed: int) -> Recording:
        """Run them, all stepped together.

        Args:
            params: handed to the agent.
            episodes: E.
            seed: of starts, goals and the agent's own chance.

        Raises:
            UserError: for fewer than one episode.
        """
        if episodes < 1:
            raise UserError(f"the number of episodes is {episodes}; at least 1 is accepted")
        seen = jax.tree.map(np.asarray, self._run(params, jax.random.key(seed), episodes))
        running, solved, reward, terms, activation = jax.tree.map(lambda x: np.swapaxes(x, 0, 1), seen)
        body = self.environment.body
        return Recording(
            self.environment.task.name, body.muscles, body.control_dt, running, solved, reward, terms, activation
        )

    def _episodes(self, params: Any, key: jax.Array, episodes: int) -> Any:
        reset_key, action_key = jax.random.split(key)
        state = jax.vmap(self.environment.reset)(jax.random.split(reset_key, episodes))
        recorded, muscle_act = min(self.recorded, episodes), self.environment.body.muscle_act

        def step(carried: Any, step_key: jax.Array) -> Any:
            state, running = carried
            activation = state.physics.act[:recorded, muscle_act]
            state = jax.vmap(self.environment.step)(state, self.act(params, state.observation, step_key))
            seen = (running, running & state.solved, jnp.where(running, state.reward, 0.0), state.terms, activation)
            return (state, running & ~state.done), seen

        keys = jax.random.split(action_key, self.environment.task.horizon)
        return jax.lax.scan(step, (state, jnp.ones(episodes, bool)), keys)[1]


def policy_agent(policy: ActorCritic, environment: Environment, deterministic: bool = True) -> Act:
    """A network as an agent; its parameters are the pair (parameters, observation statistics).

    Args:
        policy: the network.
        environment: where it acts.
        deterministic: take the mean action; otherwise sample.

    Raises:
        UserError: where the network cannot act there.
    """
    ids = policy.bind([(environment.observation_table, environment.action_table)])

    def act(params: Any, observation: jax.Array, key: jax.Array) -> jax.Array:
        parameters, statistics = params
        output = policy.apply(parameters, statistics, ids, observation[None])
        if deterministic:
            return output.executed(output.mean)[0]
        noise = jax.random.normal(key, output.mean.shape)
        return output.executed(output.mean + noise * jnp.exp(output.log_std)[:, None, :])[0]

    return act


def zero_agent(environment: Environment) -> Act:
    """Action 0 on every muscle: the middle of the action's range, not silence (see the body's action map)."""
    muscles = len(environment.action_table)
    return lambda params, observation, key: jnp.zeros((observation.shape[0], muscles), jnp.float32)


def random_agent(environment: Environment) -> Act:
    """Actions uniform in [-1, 1], drawn anew for every muscle and control step."""
    muscles = len(environment.action_table)
    return lambda params, observation, key: jax.random.uniform(key, (observation.shape[0], muscles), minval=-1.0)
