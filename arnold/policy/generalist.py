"""The transformer as an actor-critic: binds the network to words, tasks and statistics, and grows with them."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from arnold.errors import UserError
from arnold.policy import normaliser
from arnold.policy.actor_critic import PolicyOutput, Signature, TaskTables
from arnold.policy.initialise import Draws, initial_parameters
from arnold.policy.normaliser import ObservationStatistics
from arnold.policy.tokeniser import GroupIds
from arnold.policy.transformer import TransformerConfig, TransformerModule, TransformerTokenIds
from arnold.vocab import TokenTable, Vocabulary


class TransformerActorCritic:
    """One transformer for every body whose words it knows; parameters kept outside (see ``ActorCritic``).

    Args:
        config: sizes and choices.
        vocabulary: the words it has embeddings for.
        signatures: the S signatures that its statistics have rows for, in order.
        quantities: the quantities that its entity tokeniser has linear maps for, each as sorted words, in order.

    Example:
        >>> policy = TransformerActorCritic.for_tasks(preset("small"), [(task.observation_table, task.action_table)])
        >>> params, statistics = policy.init(jax.random.key(0)), policy.init_statistics()
        >>> output = jax.jit(policy.apply)(params, statistics, policy.bind([tables]), values)
    """

    def __init__(
        self,
        config: TransformerConfig,
        vocabulary: Vocabulary,
        signatures: Sequence[Signature],
        quantities: Sequence[Signature],
    ):
        self.config = config
        self.vocabulary = vocabulary
        self.signatures = tuple(tuple(signature) for signature in signatures)
        self.quantities = tuple(tuple(quantity) for quantity in quantities)
        self._signature_ids = {signature: row for row, signature in enumerate(self.signatures)}
        self._quantity_ids = {quantity: row for row, quantity in enumerate(self.quantities)}
        self._graph = _graph(config, len(self.vocabulary), len(self.quantities))

    @classmethod
    def for_tasks(cls, config: TransformerConfig, tasks: Iterable[TaskTables]) -> TransformerActorCritic:
        """A policy that knows exactly the words, signatures and quantities of ``tasks``."""
        words, signatures, quantities = _known_in(tasks, config.vocabulary)
        return cls(config, Vocabulary().grow(words), signatures, quantities)

    @property
    def lags(self) -> int:
        """How many of the newest history lags are read."""
        return self.config.lags

    def init(self, key: jax.Array) -> dict[str, Any]:
        """Fresh parameters: Xavier-uniform matrices, zero biases, the padding word's embedding zero."""
        sizes = (self.config, len(self.vocabulary), len(self.quantities))
        return initial_parameters(lambda draws: TransformerModule(*sizes, draws), key)

    def init_statistics(self) -> ObservationStatistics:
        """Statistics of no observation yet, (S, lags)."""
        return normaliser.init(len(self.signatures), self.lags)

    def bind(self, tasks: Sequence[TaskTables]) -> TransformerTokenIds:
        """The token ids of one bucket of tasks.

        Raises:
            UserError: no task, tables of different shapes, or a word, signature or quantity that the policy lacks.
        """
        if not tasks:
            raise UserError("a bucket has at least one task; none was given")
        observations, actions = [task[0] for task in tasks], [task[1] for task in tasks]
        _require_equal("observation tokens", [len(table) for table in observations])
        _require_equal("muscles", [len(table) for table in actions])
        self._require_known(tasks)
        rows = [[self._signature_ids[signature] for signature in table.signatures] for table in observations]
        return TransformerTokenIds(
            signature_ids=jnp.asarray(np.array(rows, dtype=np.int32)),
            action_words=self._word_ids(actions, observations),
            groups=self._groups(observations) if self.config.granularity == "entity" else self._scalars(observations),
        )

    def with_log_std(self, params: Any, log_std: jax.Array) -> dict[str, Any]:
        """The parameters with one log standard deviation () for every muscle."""
        changed = {"log_std": jnp.full_like(params["log_std"], log_std)}
        if self.config.log_std_per_word:
            changed["log_std_words"] = jnp.zeros_like(params["log_std_words"])
        return {**params, **changed}

    def apply(
        self, params: Any, statistics: ObservationStatistics, ids: TransformerTokenIds, values: jax.Array
    ) -> PolicyOutput:
        """Actions and values for raw token values (N, B, K, H >= lags), newest lag last. Pure; for use inside jit."""
        normalised = normaliser.newest_lags(values, self.lags)
        if self.config.normalise_observations:
            normalised = normaliser.normalise(statistics, ids.signature_ids, normalised)
        mean, log_std, value = self.module(params)(ids, normalised)
        return PolicyOutput(mean=mean, log_std=log_std, value=value)

    def module(self, params: Any) -> TransformerModule:
        """The network with these parameters in it, for use inside jit; it works on normalised values."""
        module: TransformerModule = nnx.merge(self._graph, params)
        return module

    def grown(self, tasks: Iterable[TaskTables]) -> TransformerActorCritic:
        """The policy that also knows the words, signatures and quantities of ``tasks``; old ones keep their places."""
        words, signatures, quantities = _known_in(tasks, self.config.vocabulary)
        return TransformerActorCritic(
            self.config,
            self.vocabulary.grow(words),
            tuple(dict.fromkeys((*self.signatures, *signatures))),
            tuple(dict.fromkeys((*self.quantities, *quantities))),
        )

    def grow(
        self, params: Any, statistics: ObservationStatistics, tasks: Iterable[TaskTables], key: jax.Array
    ) -> tuple[TransformerActorCritic, Any, ObservationStatistics]:
        """Make the policy ready for tasks and bodies that it has never seen.

        New words and quantities get fresh random vectors, new signatures fresh statistics; everything old is kept
        exactly, so the outputs on old tasks do not change by a bit.

        Args:
            params: of this policy.
            statistics: of this policy.
            tasks: tables of the new tasks; known ones change nothing.
            key: source of the fresh vectors.

        Returns:
            The grown policy, its parameters and its statistics.
        """
        policy = self.grown(tasks)
        grown_params = extend_tables(params, policy.init(key))
        return policy, grown_params, normaliser.remap(statistics, self.signatures, policy.signatures)

    def _require_known(self, tasks: Sequence[TaskTables]) -> None:
        """Raise a :class:`UserError` that names what the policy lacks."""
        words, signatures, _ = _known_in(tasks, self.config.vocabulary)
        unknown = [repr(word) for word in words if word not in self.vocabulary]
        unseen = [repr(" ".join(s)) for s in signatures if s not in self._signature_ids]
        for what, lacking in (("words", unknown), ("tokens", unseen)):
            if lacking:
                shown = ", ".join(lacking[:6]) + (", ..." if len(lacking) > 6 else "")
                raise UserError(
                    f"the policy lacks {len(lacking)} {what} of this task ({shown}) and acts in tasks that it knows:"
                    " grow it first (TransformerActorCritic.grow, or `arnold finetune`)"
                )

    def _word_ids(self, tables: Sequence[TokenTable], observations: Sequence[TokenTable]) -> jax.Array:
        """int32 (N, K, W) of N tables of tasks with these observations, padded to the longest token of all."""
        pairs = zip(tables, observations, strict=True)
        said = [self._ids([token.words for token in table], observed) for table, observed in pairs]
        return jnp.asarray(_padded(said))

    def _scalars(self, tables: Sequence[TokenTable]) -> tuple[GroupIds, ...]:
        """One group in which every scalar is a token of one quantity."""
        tasks, tokens = len(tables), len(tables[0])
        index = jnp.broadcast_to(jnp.arange(tokens, dtype=jnp.int32).reshape(1, -1, 1), (tasks, tokens, 1))
        return (GroupIds(self._word_ids(tables, tables), index, jnp.zeros((tasks, 1), jnp.int32)),)

    def _groups(self, tables: Sequence[TokenTable]) -> tuple[GroupIds, ...]:
        """The entity groups of N tables, task by task in the same order of groups."""
        per_task = [table.entity_groups() for table in tables]
        _require_equal("entities by their quantities", [[group.index.shape for group in task] for task in per_task])
        return tuple(
            GroupIds(
                words=jnp.asarray(
                    _padded([self._ids(g.entities, table) for g, table in zip(groups, tables, strict=True)])
                ),
                index=jnp.asarray(np.stack([group.index for group in groups]).astype(np.int32)),
                quantities=jnp.asarray(
                    np.array([[self._quantity_ids[q] for q in group.quantities] for group in groups], dtype=np.int32)
                ),
            )
            for groups in zip(*per_task, strict=True)
        )

    def _ids(self, things: Sequence[Signature], observed: TokenTable) -> np.ndarray:
        """The ids of the words of tokens or entities of a task with this observation, int32 (E, W)."""
        ids = [self.vocabulary.ids(_said(words, self.config.vocabulary, observed)) for words in things]
        padded = np.zeros((len(ids), max(map(len, ids))), dtype=np.int32)
        for row, words in enumerate(ids):
            padded[row, : len(words)] = words
        return padded


@functools.lru_cache(maxsize=64)
def _graph(config: TransformerConfig, words: int, quantities: int) -> nnx.GraphDef[TransformerModule]:
    """The network without its parameters; policies of one size share it."""

    graph: nnx.GraphDef[TransformerModule]
    graph, _ = nnx.split(TransformerModule(config, words, quantities, Draws(0)))
    return graph


def _known_in(
    tasks: Iterable[TaskTables], vocabulary: str
) -> tuple[tuple[str, ...], tuple[Signature, ...], tuple[Signature, ...]]:
    """The words, signatures and quantities of some tasks, each once, in order of first appearance."""
    tables = list(tasks)
    observations = [table for table, _ in tables]
    things = [(token, pair[0]) for pair in tables for table in pair for token in table]
    words = [word for token, observed in things for word in _said(token.words, vocabulary, observed)]
    if vocabulary == "atomic":  # an entity token is named by its entity alone
        words += [word for token, observed in things for word in _said(token.entity, vocabulary, observed)]
    signatures = (signature for table in observations for signature in table.signatures)
    quantities = (tuple(sorted(token.quantity)) for table in observations for token in table)
    return tuple(dict.fromkeys(words)), tuple(dict.fromkeys(signatures)), tuple(dict.fromkeys(quantities))


def _said(words: Signature, vocabulary: str, observed: TokenTable) -> Signature:
    """What the words of a token or entity are in a kind of vocabulary, for a task with this observation."""
    if vocabulary == "atomic":
        return ("+".join(sorted(words)),)
    if vocabulary == "per_task":
        return tuple(f"{word}@{_tag(observed)}" for word in words)
    return words


@functools.lru_cache(maxsize=256)
def _tag(observed: TokenTable) -> str:
    """Eight hex digits of an observation."""
    return hashlib.sha256(repr(observed.signatures).encode()).hexdigest()[:8]


def extend_tables(old: Any, fresh: Any) -> Any:
    """``fresh`` with the values of ``old``; where a table has become longer, its first rows are the old ones.

    Args:
        old: parameters, or anything shaped like them such as an optimiser's moments.
        fresh: the same tree after growth, whose leaves are as large or longer along the first axis.
    """

    def extend(before: jax.Array, after: jax.Array) -> jax.Array:
        return before if before.shape == after.shape else after.at[: before.shape[0]].set(before)

    return jax.tree.map(extend, old, fresh)


def _padded(ids: Sequence[np.ndarray]) -> np.ndarray:
    """int32 (N, K, W) of N arrays (K, W_n), filled with 0 to the largest W."""
    width = max(array.shape[-1] for array in ids)
    return np.stack([np.pad(array, ((0, 0), (0, width - array.shape[-1]))) for array in ids]).astype(np.int32)


def _require_equal(what: str, found: Sequence[Any]) -> None:
    """Raise a :class:`UserError` where the tasks of a bucket differ in ``what``."""
    if any(one != found[0] for one in found):
        raise UserError(
            f"the tasks of one bucket have equal shapes, but these differ in {what}: {found};"
            " put tasks of different shapes into buckets of their own"
        )
