"""What policies share that put something between a network and the muscles: a projection, or reflexes.

Their parameters are the network's, and under one more name the arrays of what stands between. Those are not trained.
"""

from __future__ import annotations

from typing import Any, ClassVar, Generic, TypeVar

import jax

from arnold.policy.actor_critic import ActorCritic, Signature
from arnold.policy.config import JsonConfig
from arnold.policy.normaliser import ObservationStatistics

Network = TypeVar("Network", bound=ActorCritic)


class Fronted(Generic[Network]):
    """A network with something between it and the muscles; what is not said otherwise is the network's.

    Attributes:
        network: any actor-critic.
        key: of the arrays among the parameters.
    """

    key: ClassVar[str]

    def __init__(self, network: Network):
        self.network = network

    @property
    def config(self) -> JsonConfig:
        """The network's."""
        return self.network.config

    @property
    def signatures(self) -> tuple[Signature, ...]:
        """The network's."""
        return self.network.signatures

    @property
    def lags(self) -> int:
        """The network's."""
        return self.network.lags

    def init_statistics(self) -> ObservationStatistics:
        """The network's."""
        return self.network.init_statistics()

    def with_log_std(self, params: Any, log_std: jax.Array) -> dict[str, Any]:
        """The parameters with one log standard deviation () for everything that the network commands."""
        return {**self.network.with_log_std(self.network_params(params), log_std), self.key: params[self.key]}

    @classmethod
    def network_params(cls, params: Any) -> dict[str, Any]:
        """The network's parameters alone."""
        return {name: value for name, value in params.items() if name != cls.key}
