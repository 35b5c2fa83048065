"""The one interface of everything that acts and judges: the transformer policy and the experts' networks.

An actor-critic reads the raw token values of a *bucket*: N tasks whose tables have the same shapes, B rows each. It is
used in three steps, so that what is static is worked out once, on the host, and what is jitted is a pure function:

1. ``params = policy.init(key)``: a plain pytree of arrays for optax, orbax and vmap;
2. ``ids = policy.bind(tables)``: the words and signatures of the bucket's tokens as index arrays;
3. ``output = policy.apply(params, statistics, ids, values)`` inside jit.

Normalisation is part of the policy: ``apply`` takes raw values and the statistics that go with the parameters, and
never changes them. Whoever trains updates them with :func:`arnold.policy.normaliser.update`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import jax

from arnold.policy.config import JsonConfig
from arnold.policy.normaliser import ObservationStatistics

if TYPE_CHECKING:
    from arnold.vocab import TokenTable, Vocabulary

Signature: TypeAlias = tuple[str, ...]
TaskTables: TypeAlias = "tuple[TokenTable, TokenTable]"
"""The observation table (K tokens) and the action table (M muscles) of one task."""


class PolicyOutput(NamedTuple):
    """What an actor-critic says about the rows of a bucket."""

    mean: jax.Array  # (N, B, M) float32, the action's mean; actions live in [-1, 1] but the mean is not squashed
    log_std: jax.Array  # (N, M) float32, the same for every row
    value: jax.Array  # (N, B) float32, the return expected from here


class TokenIds(Protocol):
    """A registered pytree of int32 arrays that names a bucket's tokens to one actor-critic."""

    @property
    def signature_ids(self) -> jax.Array:
        """int32 (N, K): each token's row in the observation statistics."""
        ...


@runtime_checkable
class ActorCritic(Protocol):
    """A network with its vocabulary, its signatures and its configuration; parameters are kept outside."""

    @property
    def config(self) -> JsonConfig:
        """The frozen configuration; ``to_json`` and ``from_json`` store it."""
        ...

    @property
    def vocabulary(self) -> Vocabulary:
        """The words that the network knows."""
        ...

    @property
    def signatures(self) -> tuple[Signature, ...]:
        """The S signatures that the observation statistics have rows for, in order."""
        ...

    @property
    def lags(self) -> int:
        """How many of the newest history lags the network reads; the statistics have this many columns."""
        ...

    def init(self, key: jax.Array) -> Any:
        """Fresh parameters: a dict of dicts of float32 arrays."""
        ...

    def init_statistics(self) -> ObservationStatistics:
        """Statistics of no observation yet, (S, lags): mean 0, variance 1."""
        ...

    def bind(self, tasks: Sequence[TaskTables]) -> Any:
        """The :class:`TokenIds` of one bucket, given the tables of its N tasks.

        Raises:
            UserError: tables of different shapes, or words or signatures that the network does not have.
        """
        ...

    def with_log_std(self, params: Any, log_std: jax.Array) -> Any:
        """The parameters with one log standard deviation () for every muscle."""
        ...

    def apply(self, params: Any, statistics: ObservationStatistics, ids: Any, values: jax.Array) -> PolicyOutput:
        """Actions and values for raw token values (N, B, K, H >= lags), newest lag last. Pure; for use inside jit."""
        ...
