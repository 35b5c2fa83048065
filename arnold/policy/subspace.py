"""A policy that acts within a subspace: its action, mean + P (a - mean), has k degrees of freedom in place of M.

The projection is a part of the policy. Its arrays lie among the parameters under ``subspace``, so a checkpoint stores
and verifies them as it does weights, and whatever loads the policy is handed projected actions by ``apply``. The
network within may be of any kind; it is trained through the projection, which itself stands still (arXiv:2508.18066
lets it learn, too, and does not save its rank).

Exploration lies in the subspace: actions are drawn around the projected mean as ever, and *executed* projected
(`PolicyOutput.executed`). PPO judges what was drawn. As the means differ only within the subspace, whatever is drawn
outside of it cancels in the ratio of two policies with the same noise on every muscle, so this is the Gaussian of the
k coordinates.

A subspace is of the muscles of one body. A generalist acts with the other bodies as it did.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from arnold.errors import UserError
from arnold.policy.actor_critic import ActorCritic, PolicyOutput, Projection, Signature, TaskTables
from arnold.policy.fronted import Fronted
from arnold.policy.normaliser import ObservationStatistics

if TYPE_CHECKING:
    from arnold.vocab import Vocabulary

KEY = "subspace"
"""Of the subspace's arrays among the parameters."""


@dataclasses.dataclass(frozen=True, eq=False)
class Subspace:
    """The span of k components around a mean action, of the M muscles of one body.

    Attributes:
        muscles: signatures of the M action tokens.
        mean: float32 (M,).
        components: float32 (k, M), orthonormal rows.
        about: what is said of it: where it is from, the share of the variance that it holds, ... (JSON values).
    """

    muscles: tuple[Signature, ...]
    mean: np.ndarray
    components: np.ndarray
    about: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        rank, muscles = self.components.shape
        if not (muscles == len(self.muscles) == len(self.mean) and 1 <= rank <= muscles):
            raise UserError(
                f"a subspace of {len(self.muscles)} muscles has a mean {self.mean.shape} and components "
                f"{self.components.shape}; ({len(self.muscles)},) and (1 to {len(self.muscles)}, {len(self.muscles)}) "
                "are accepted"
            )
        if not np.allclose(self.components @ self.components.T, np.eye(rank), atol=1e-4):
            raise UserError("the components of a subspace are not orthonormal; give those of `arnold analyze subspace`")

    @property
    def rank(self) -> int:
        """k."""
        return len(self.components)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SubspaceTokenIds:
    """The network's ids of a bucket, and where each task's muscles lie in the subspace."""

    network: Any
    order: jax.Array | None  # int32 (N, M), each muscle's place in the subspace; None where no task has its muscles
    inside: jax.Array  # (N,) bool, which tasks have them

    @property
    def signature_ids(self) -> jax.Array:
        """int32 (N, K): each token's row in the observation statistics."""
        ids: jax.Array = self.network.signature_ids
        return ids


class SubspaceActorCritic(Fronted[ActorCritic]):
    """A network whose actions are projected (see ``ActorCritic``); its parameters are the network's and ``subspace``.

    Args:
        network: any actor-critic.
        muscles: signatures of the M action tokens that the subspace is of.
        rank: k.
        about: what is said of the subspace.
    """

    key = KEY

    def __init__(
        self, network: ActorCritic, muscles: Sequence[Signature], rank: int, about: Mapping[str, Any] | None = None
    ):
        super().__init__(network)
        self.muscles = tuple(tuple(muscle) for muscle in muscles)
        self.rank = rank
        self.about = dict(about or {})
        self._place = {muscle: place for place, muscle in enumerate(self.muscles)}

    @property
    def vocabulary(self) -> Vocabulary:
        """The network's."""
        return self.network.vocabulary

    def init(self, key: jax.Array) -> dict[str, Any]:
        """Fresh parameters of the network, around the first k muscles on their own; `confined` gives the subspace."""
        subspace = {"mean": jnp.zeros(len(self.muscles)), "components": jnp.eye(self.rank, len(self.muscles))}
        return {**self.network.init(key), KEY: subspace}

    def bind(self, tasks: Sequence[TaskTables]) -> SubspaceTokenIds:
        """The token ids of one bucket of tasks, of any body that the network knows."""
        ids = self.network.bind(tasks)
        actions = [action.signatures for _, action in tasks]
        inside = np.array([set(signatures) == set(self._place) for signatures in actions])
        order = None
        if inside.any():
            rows = [
                [self._place[s] for s in signatures] if within else range(len(signatures))
                for signatures, within in zip(actions, inside, strict=True)
            ]
            order = jnp.asarray(np.array(rows, np.int32))
        return SubspaceTokenIds(ids, order, jnp.asarray(inside))

    def apply(
        self, params: Any, statistics: ObservationStatistics, ids: SubspaceTokenIds, values: jax.Array
    ) -> PolicyOutput:
        """The network's output with the mean projected, and the projection for what is drawn around it."""
        output = self.network.apply(self.network_params(params), statistics, ids.network, values)
        if ids.order is None:
            return output
        subspace = jax.lax.stop_gradient(params[KEY])
        components = jnp.swapaxes(subspace["components"][:, ids.order], 0, 1)
        projection = Projection(subspace["mean"][ids.order], components, ids.inside)
        return output._replace(mean=projection(output.mean), sent=projection)


def confined(network: ActorCritic, params: Any, subspace: Subspace) -> tuple[SubspaceActorCritic, dict[str, Any]]:
    """A network that acts within a subspace from now on, and its parameters."""
    policy = SubspaceActorCritic(network, subspace.muscles, subspace.rank, subspace.about)
    arrays = {
        "mean": jnp.asarray(subspace.mean, jnp.float32),
        "components": jnp.asarray(subspace.components, jnp.float32),
    }
    return policy, {**params, KEY: arrays}


def unconfined(policy: ActorCritic, params: Any) -> tuple[ActorCritic, Any, Subspace | None]:
    """A policy's network, its parameters, and the subspace that it acts within; None where it acts freely."""
    if not isinstance(policy, SubspaceActorCritic):
        return policy, params, None
    arrays = {name: np.asarray(value) for name, value in params[KEY].items()}
    return policy.network, policy.network_params(params), Subspace(policy.muscles, **arrays, about=policy.about)
