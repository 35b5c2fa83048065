"""The experts' network: two plain trunks over one task's tokens, policy and value apart.

A specialist needs no words at run time: its inputs are the normalised values of its own tokens in a fixed order. It
keeps the interface of the transformer all the same, so one learner trains both and a distillation reads either.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from arnold.errors import UserError
from arnold.policy import normaliser
from arnold.policy.actor_critic import PolicyOutput, Signature, TaskTables
from arnold.policy.config import JsonConfig, require_at_least
from arnold.policy.initialise import Draws, initial_parameters
from arnold.policy.linear import Linear
from arnold.policy.normaliser import ObservationStatistics
from arnold.vocab import TokenTable, Vocabulary
from arnold.vocab.mirror import exchange, mirror

if TYPE_CHECKING:
    from arnold.vocab import Token

SignedOrder = tuple[np.ndarray, np.ndarray]
"""How values change under an exchange, as `arnold.vocab.mirror.mirror` says it."""


@dataclasses.dataclass(frozen=True)
class MlpConfig(JsonConfig):
    """Sizes of an expert's network."""

    hidden: tuple[int, ...] = (256, 256)
    """Widths of the hidden layers (SiLU), the same for the policy trunk and the value trunk."""

    lags: int = 1
    """How many of the newest history lags are read; velocities and activations are tokens already, so one suffices."""

    init_log_std: float = -0.7
    """Initial log standard deviation of every muscle's action; exp(-0.7) is half of the action's range to one side."""

    init_mean_scale: float = 0.01
    """Gain of the policy's last layer: a new expert starts at a mean action near zero on every muscle."""

    unread: tuple[str, ...] = ()
    """A token that has all the words of one of these ("muscle force") is not read, or just these ("=position linear z
    root"); for what other tokens tell, too."""

    mirrored: bool = False
    """The policy treats left and right alike: its action in a mirrored situation is the mirrored action, and the value
    is the same (an equivariant network; Abdolhosseini et al. 2019, "On learning symmetric locomotion", method NET). For
    bodies that are their own mirror image; each step then teaches both sides."""

    interchangeable: tuple[str, ...] = ()
    """Two words, as ("id_1", "id_2"), each of one of two things that are alike: where they change places, action and
    value stay the same (by the same method), and each step teaches both."""

    def __post_init__(self) -> None:
        require_at_least("MlpConfig.lags", self.lags, 1)
        for width in self.hidden:
            require_at_least("MlpConfig.hidden", width, 1)
        if len(self.interchangeable) not in (0, 2):
            raise UserError(f"MlpConfig.interchangeable is {self.interchangeable!r}; two words are accepted, or none")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class MlpTokenIds:
    """One task's tokens as rows of an expert's own tables."""

    signature_ids: jax.Array  # (1, K) int32
    observation_order: jax.Array  # (K,) int32, the column of the values where each of the network's inputs lies
    action_order: jax.Array  # (M,) int32, the output of the network that drives each muscle of the table


class _Trunk(nnx.Module):
    """SiLU layers and a linear head, initialised orthogonally."""

    def __init__(self, sizes: Sequence[int], outputs: int, head_scale: float, draws: Draws):
        self.depth = len(sizes) - 1

        def layer(inputs: int, outputs: int, gain: float) -> Linear:
            return Linear(draws.orthogonal(inputs, outputs, gain), np.zeros(outputs, np.float32))

        for i in range(self.depth):
            setattr(self, f"layer_{i}", layer(sizes[i], sizes[i + 1], 2.0**0.5))
        self.head = layer(sizes[-1], outputs, head_scale)

    def __call__(self, x: jax.Array) -> jax.Array:
        for i in range(self.depth):
            x = jax.nn.silu(getattr(self, f"layer_{i}")(x))
        return self.head(x)


class _MlpModule(nnx.Module):
    """Both trunks and the log standard deviations; rows (B, K * lags) in, muscles (B, M) out."""

    def __init__(self, inputs: int, muscles: int, config: MlpConfig, draws: Draws):
        sizes = (inputs, *config.hidden)
        self.policy = _Trunk(sizes, muscles, config.init_mean_scale, draws)
        self.value = _Trunk(sizes, 1, 1.0, draws)
        self.log_std = nnx.Param(np.full(muscles, config.init_log_std, np.float32))


class MlpActorCritic:
    """An expert on one task: fixed observation and action tables, parameters kept outside (see ``ActorCritic``)."""

    def __init__(self, observation_table: TokenTable, action_table: TokenTable, config: MlpConfig | None = None):
        self.config = MlpConfig() if config is None else config
        self.observation_table = observation_table
        self.action_table = action_table
        self.vocabulary = Vocabulary.of([observation_table, action_table])
        self._read = np.array([place for place, token in enumerate(observation_table) if self._reads(token)], np.int32)
        self._symmetries = _symmetries(self.config, self.tokens_read, action_table)
        inputs = len(self._read) * self.config.lags
        muscles = len(action_table)
        self._build = lambda draws: _MlpModule(inputs, muscles, self.config, draws)
        self._graph = nnx.split(self._build(Draws(0)))[0]

    @functools.cached_property
    def tokens_read(self) -> TokenTable:
        """The tokens of the observation that are read, in the order of the network's inputs."""
        return TokenTable(tuple(self.observation_table[place] for place in self._read))

    def _reads(self, token: Token) -> bool:
        def meant(words: str) -> bool:
            said = set(words.removeprefix("=").split())
            return said == set(token.words) if words.startswith("=") else said <= set(token.words)

        return not any(meant(words) for words in self.config.unread)

    @property
    def signatures(self) -> tuple[Signature, ...]:
        """The signatures of the observation tokens, in the table's order."""
        return tuple(self.observation_table.signatures)

    @property
    def lags(self) -> int:
        """How many of the newest history lags are read."""
        return self.config.lags

    def init(self, key: jax.Array) -> dict[str, Any]:
        """Fresh parameters; gains sqrt(2) in the hidden layers, ``init_mean_scale`` and 1 in the two heads."""
        return initial_parameters(self._build, key)

    def init_statistics(self) -> ObservationStatistics:
        """Statistics of no observation yet, (K, lags)."""
        return normaliser.init(len(self.signatures), self.lags)

    def bind(self, tasks: Sequence[TaskTables]) -> MlpTokenIds:
        """The token ids of the expert's one task; its tables may list the same tokens in another order.

        Raises:
            UserError: more than one task, or tables with missing or extra signatures.
        """
        if len(tasks) != 1:
            raise UserError(f"an expert acts in one task at a time, not in {len(tasks)}; give each task its own expert")
        observation, action = tasks[0]
        signature_ids = _match("observation", self.observation_table, observation)
        outputs = _match("action", self.action_table, action)
        return MlpTokenIds(
            signature_ids=jnp.asarray(signature_ids[None]),
            observation_order=jnp.asarray(np.argsort(signature_ids).astype(np.int32)),
            action_order=jnp.asarray(outputs),
        )

    def with_log_std(self, params: Any, log_std: jax.Array) -> dict[str, Any]:
        """The parameters with one log standard deviation () for every muscle."""
        return {**params, "log_std": jnp.full_like(params["log_std"], log_std)}

    def apply(
        self, params: Any, statistics: ObservationStatistics, ids: MlpTokenIds, values: jax.Array
    ) -> PolicyOutput:
        """Actions and values for raw token values (1, B, K, H >= lags), newest lag last. Pure; for use inside jit."""
        net: _MlpModule = nnx.merge(self._graph, params)
        seen = values[0][:, ids.observation_order[self._read]]
        rows, log_std = self._rows(statistics, seen), net.log_std[...]
        mean, value, spread = net.policy(rows), net.value(rows)[:, 0], log_std
        for (order, sign), (action_order, action_sign) in self._symmetries:
            rows = self._rows(statistics, seen[:, order] * sign[None, :, None])
            mean += net.policy(rows)[:, action_order] * action_sign[None]
            value += net.value(rows)[:, 0]
            spread += log_std[action_order]
        share = 1.0 / (1 + len(self._symmetries))
        return PolicyOutput(
            mean=share * mean[:, ids.action_order][None],
            log_std=share * spread[ids.action_order][None],
            value=share * value[None],
        )

    def _rows(self, statistics: ObservationStatistics, seen: jax.Array) -> jax.Array:
        """Normalised values (B, inputs) of the tokens that are read (B, K', H), in the network's order."""
        return normaliser.normalise(statistics, jnp.asarray(self._read[None]), seen[None])[0].reshape(len(seen), -1)


def _symmetries(
    config: MlpConfig, observation: TokenTable, action: TokenTable
) -> tuple[tuple[SignedOrder, SignedOrder], ...]:
    """What exchanges observations and actions and leaves the policy what it is, but for nothing at all."""
    exchanges = []
    if config.mirrored:
        exchanges.append((mirror(observation), mirror(action)))
    if config.interchangeable:
        exchanges.append((exchange(observation, *config.interchangeable), exchange(action, *config.interchangeable)))
    if len(exchanges) == 2:  # and both together
        exchanges.append(
            tuple((b[0][a[0]], b[1][a[0]] * a[1]) for a, b in zip(*exchanges, strict=True))  # type: ignore[arg-type]
        )
    return tuple(exchanges)


def _match(kind: str, own: TokenTable, given: TokenTable) -> np.ndarray:
    """Where each token of ``given`` lies in ``own``, int32 (K,)."""
    place_of = {signature: place for place, signature in enumerate(own.signatures)}
    extra = [signature for signature in given.signatures if signature not in place_of]
    missing = sorted(set(own.signatures) - set(given.signatures))
    if missing or extra:
        raise UserError(
            f"the {kind} tokens are not this expert's: {_listed('missing', missing)}; {_listed('extra', extra)};"
            " use the task that the expert was trained on, or train a new expert"
        )
    return np.array([place_of[signature] for signature in given.signatures], dtype=np.int32)


def _listed(what: str, signatures: Sequence[Signature], limit: int = 4) -> str:
    """For example ``"extra: 'IFMCP flexion velocity' (1 in all)"``."""
    if not signatures:
        return f"{what}: none"
    names = ", ".join(repr(" ".join(signature)) for signature in signatures[:limit])
    return f"{what}: {names}{', ...' if len(signatures) > limit else ''} ({len(signatures)} in all)"
