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

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import jax
import jax.numpy as jnp

from arnold.policy.config import JsonConfig
from arnold.policy.normaliser import ObservationStatistics

if TYPE_CHECKING:
    from arnold.vocab import TokenTable, Vocabulary

Signature: TypeAlias = tuple[str, ...]
TaskTables: TypeAlias = "tuple[TokenTable, TokenTable]"
"""The observation table (K tokens) and the action table (M muscles) of one task."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Projection:
    """The subspace that the actions of a bucket's tasks are projected on; see :mod:`arnold.policy.subspace`."""

    mean: jax.Array  # (N, M) the action around which
    components: jax.Array  # (N, k, M) orthonormal rows
    inside: jax.Array  # (N,) bool, which tasks it is about: they have its muscles

    def __call__(self, actions: jax.Array) -> jax.Array:
        """Mean + P (actions - mean) of actions (N, B, M); those of other bodies as they are."""
        mean = self.mean[:, None]
        # In full precision also on an accelerator: a projection is not to add noise of its own.
        precise = jax.lax.Precision.HIGHEST
        along = jnp.einsum("nbm,nkm->nbk", actions - mean, self.components, precision=precise)
        left = jnp.einsum("nbk,nkm->nbm", along, self.components, precision=precise)
        return jnp.where(self.inside[:, None, None], mean + left, actions)


class PolicyOutput(NamedTuple):
    """What an actor-critic says about the rows of a bucket."""

    mean: jax.Array  # (N, B, M) float32, the action's mean; actions live in [-1, 1] but the mean is not squashed
    log_std: jax.Array  # (N, M) float32, the same for every row
    value: jax.Array  # (N, B) float32, the return expected from here
    sent: Callable[[jax.Array], jax.Array] | None = None
    """What the body is sent for what was drawn, where that is another thing: the projection of a policy that acts
    within a subspace, the reflexes of one that commands postures (whose mean is (N, B, I), of joints)."""

    def executed(self, drawn: jax.Array) -> jax.Array:
        """Actions (N, B, M) of the muscles where ``drawn`` was drawn around the mean, or is the mean."""
        return drawn if self.sent is None else self.sent(drawn)


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
