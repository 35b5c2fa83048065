"""Experts: anything that maps an observation, and its own carry, to an action in a batch, inside jit."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from arnold.policy.actor_critic import ActorCritic
from arnold.vocab import TokenTable

Carry = Any  # a pytree with a leading batch axis, the expert's own


class Expert(Protocol):
    """What a distillation asks of an expert of one task; `params` travel beside the function, as arguments of jit."""

    @property
    def params(self) -> Any:
        """A pytree of arrays."""
        ...

    def initial_carry(self, batch: int) -> Carry:
        """What the expert remembers at the start of an episode, for ``batch`` environments."""

    def act(self, params: Any, carry: Carry, observation: jax.Array, fresh: jax.Array) -> tuple[Carry, jax.Array]:
        """Actions (B, M) in [-1, 1] for raw observations (B, K, H); ``fresh`` (B,) marks an episode's first step."""


@dataclasses.dataclass(frozen=True, eq=False)
class PolicyExpert:
    """An actor-critic as an expert: its mean action, clipped to [-1, 1]; it remembers nothing.

    Attributes:
        policy: the network.
        params: (parameters, observation statistics).
        tables: the (observation, action) tables of the task it labels.
        rows: of the task's observation that it is shown, whose tokens the first table has; all where None.
    """

    policy: ActorCritic
    params: Any
    tables: tuple[TokenTable, TokenTable]
    rows: np.ndarray | None = None

    def initial_carry(self, batch: int) -> Carry:
        """Nothing."""
        return ()

    def act(self, params: Any, carry: Carry, observation: jax.Array, fresh: jax.Array) -> tuple[Carry, jax.Array]:
        """Mean actions (B, M), clipped to [-1, 1]."""
        parameters, statistics = params
        if self.rows is not None:
            observation = observation[:, self.rows]
        output = self.policy.apply(parameters, statistics, self.policy.bind([self.tables]), observation[None])
        return carry, jnp.clip(output.executed(output.mean)[0], -1.0, 1.0)


@dataclasses.dataclass(frozen=True, eq=False)
class ScriptedExpert:
    """A hand-written controller as an expert.

    Attributes:
        controller: observations (B, K, H) -> actions (B, M).
    """

    controller: Callable[[jax.Array], jax.Array]
    params: Any = ()

    def initial_carry(self, batch: int) -> Carry:
        """Nothing."""
        return ()

    def act(self, params: Any, carry: Carry, observation: jax.Array, fresh: jax.Array) -> tuple[Carry, jax.Array]:
        """What the controller says."""
        return carry, self.controller(observation)
