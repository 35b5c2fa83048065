"""A policy as a checkpoint holds it: network, parameters, normaliser, and what was said about its training.

A checkpoint's config says everything that rebuilds the network without the code that trained it: the kind, the
network's own configuration, its words, signatures and token tables, the tasks and bodies it was trained on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from arnold.checkpoints import load_policy, resolve, restore_into
from arnold.errors import UserError, did_you_mean
from arnold.experts import PolicyExpert
from arnold.policy.actor_critic import ActorCritic
from arnold.policy.generalist import TransformerActorCritic
from arnold.policy.mlp import MlpActorCritic, MlpConfig
from arnold.policy.normaliser import ObservationStatistics
from arnold.policy.posture import PostureActorCritic
from arnold.policy.subspace import Subspace, SubspaceActorCritic, unconfined
from arnold.policy.transformer import TransformerConfig
from arnold.tasks import Environment, Task
from arnold.vocab import Token, TokenTable, Vocabulary


@dataclasses.dataclass(frozen=True, eq=False)
class SavedPolicy:
    """A network with its parameters.

    Attributes:
        policy: the network.
        params: its parameters.
        statistics: its observation statistics.
        config: what the checkpoint says about it (tasks, bodies, recipe, environment steps, ...).
        source: where it was read from.
    """

    policy: ActorCritic
    params: Any
    statistics: ObservationStatistics
    config: dict[str, Any]
    source: Path | None = None

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks it was trained on."""
        return tuple(self.config.get("tasks", ()))

    @property
    def subspace(self) -> Subspace | None:
        """What it acts within; None where it acts freely."""
        return unconfined(self.policy, self.params)[2]

    def expert(self, environment: Environment) -> PolicyExpert:
        """This policy as an expert for the task of an environment.

        One of a single task is shown what its own task shows; what the environment shows beside that is for others.

        Raises:
            UserError: where it cannot act there, with the words or signatures that differ.
        """
        table, rows = environment.observation_table, None
        if not isinstance(unconfined(self.policy, self.params)[0], TransformerActorCritic):
            known = set(self.policy.signatures)
            rows = np.array([place for place, signature in enumerate(table.signatures) if signature in known], int)
            table = TokenTable(tuple(table[place] for place in rows))
        tables = (table, environment.action_table)
        self.policy.bind([tables])
        return PolicyExpert(self.policy, (self.params, self.statistics), tables, rows)


def describe(policy: ActorCritic, tasks: tuple[Task, ...], **about: Any) -> dict[str, Any]:
    """A checkpoint's config for a network trained on ``tasks``.

    Args:
        policy: the network.
        tasks: what it is trained on.
        about: more JSON values (recipe, seed, ...).
    """
    if isinstance(policy, SubspaceActorCritic):
        subspace = {**policy.about, "rank": policy.rank, "muscles": [list(muscle) for muscle in policy.muscles]}
        return describe(policy.network, tasks, subspace=subspace, **about)
    if isinstance(policy, PostureActorCritic):
        posture = {**policy.about, "muscles": _tokens_to_json(policy.action_table)}
        return describe(policy.network, tasks, posture=posture, **about)
    if isinstance(policy, MlpActorCritic):
        own: dict[str, Any] = {
            "kind": "mlp",
            "observation_tokens": _tokens_to_json(policy.observation_table),
            "action_tokens": _tokens_to_json(policy.action_table),
        }
    elif isinstance(policy, TransformerActorCritic):
        own = {
            "kind": "transformer",
            "words": list(policy.vocabulary.words),
            "vocabulary_fingerprint": policy.vocabulary.fingerprint,
            "signatures": [list(s) for s in policy.signatures],
            "quantities": [list(q) for q in policy.quantities],
        }
    else:
        raise TypeError(f"no checkpoint format for a {type(policy).__name__}")
    bodies = {}
    for t in tasks:
        body = t.compile()
        bodies[t.embodiment.name] = {
            "muscles": len(body.muscles),
            "action_map": t.embodiment.action_map.name,
            "control_dt_s": body.control_dt,
        }
    return {**own, "network": policy.config.to_json(), "tasks": [t.name for t in tasks], "bodies": bodies, **about}


def load(name_or_path: str | Path) -> SavedPolicy:
    """Read a policy for inference: a name of the zoo, a checkpoint's folder, or a run (its newest good checkpoint).

    Raises:
        UserError: where there is none, it is damaged or of another version, or its parameters do not fit its config
            (path by path).

    Example:
        >>> expert = load("hand_index_reach")
        >>> Evaluator(expert.policy, task("hand_index_reach"))(expert.params, expert.statistics)
    """
    folder = resolve(name_or_path)
    tree, config = load_policy(folder)
    policy = _rebuild(config, folder)
    like = {
        "params": jax.eval_shape(policy.init, jax.random.key(0)),
        "statistics": jax.eval_shape(policy.init_statistics),
    }
    restored = restore_into(like, tree)
    return SavedPolicy(policy, restored["params"], restored["statistics"], config, folder)


def _rebuild(config: dict[str, Any], folder: Path) -> ActorCritic:
    kind = config.get("kind")
    builders: dict[str, Callable[[dict[str, Any]], ActorCritic]] = {
        "mlp": _rebuild_mlp,
        "transformer": _rebuild_transformer,
    }
    if kind not in builders:
        raise UserError(
            f"checkpoint {str(folder)!r} holds a policy of kind {kind!r}; {did_you_mean(str(kind), builders)}"
        )
    try:
        network = builders[kind](config)
        if config.get("posture") and isinstance(network, MlpActorCritic):
            about = dict(config["posture"])
            return PostureActorCritic(network, _tokens_from_json(about.pop("muscles")), about)
        if not config.get("subspace"):
            return network
        about = dict(config["subspace"])
        muscles = tuple(tuple(muscle) for muscle in about.pop("muscles"))
        return SubspaceActorCritic(network, muscles, int(about.pop("rank")), about)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"checkpoint {str(folder)!r} does not say how to rebuild its policy: {type(error).__name__}: {error}; "
            "its config.json was edited or cut short: take the checkpoint from its source again"
        ) from error


def _rebuild_mlp(config: dict[str, Any]) -> MlpActorCritic:
    return MlpActorCritic(
        _tokens_from_json(config["observation_tokens"]),
        _tokens_from_json(config["action_tokens"]),
        MlpConfig.from_json(config["network"]),
    )


def _rebuild_transformer(config: dict[str, Any]) -> TransformerActorCritic:
    return TransformerActorCritic(
        TransformerConfig.from_json(config["network"]),
        Vocabulary(tuple(config["words"])),
        signatures=tuple(tuple(s) for s in config["signatures"]),
        quantities=tuple(tuple(q) for q in config["quantities"]),
    )


def _tokens_to_json(table: TokenTable) -> list[list[list[str]]]:
    return [[list(token.entity), list(token.quantity)] for token in table.tokens]


def _tokens_from_json(rows: list[list[list[str]]]) -> TokenTable:
    return TokenTable(tuple(Token(tuple(entity), tuple(quantity)) for entity, quantity in rows))
