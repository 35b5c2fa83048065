"""What goes on inside a transformer while it acts: its memory, its attention, and the vectors that words become.

Nothing here is part of acting. The network's own layers are walked one by one with the parameters that they have, and
the probabilities of each attention are computed beside it; the mathematics of the layers stays where it is.

Attention from a muscle to an observation passes several stages, which are *composed*: the muscle's query reads memory
positions, these have read each other layer by layer, and latents have read the observed tokens at the very first. The
layers among memory positions are composed by attention rollout, in which a position keeps half of itself at each layer:
A = (W + I) / 2, multiplied up (Abnar and Zuidema 2020, arXiv:2005.00928, section 3). Rows of every stage and of their
product sum to 1.

Axis letters: R rows, K observed values, H lags, h heads, M muscles, P memory positions (latents, or the tokens
themselves), E observed tokens, D width.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from arnold.errors import UserError
from arnold.policy import normaliser
from arnold.policy.actor_critic import ActorCritic, TaskTables
from arnold.policy.attention import Attention, share_rows
from arnold.policy.generalist import TransformerActorCritic
from arnold.policy.layers import DecoderLayer, DecoderStack, EncoderStack
from arnold.policy.linear import affine
from arnold.policy.subspace import SubspaceActorCritic
from arnold.policy.transformer import TransformerModule


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class AttentionMaps:
    """Who reads whom, stage by stage; every row sums to 1."""

    muscles: jax.Array  # (decoder layers, R, h, M, P), what each muscle's query reads of the memory
    memory: jax.Array  # (encoder layers, R, h, P, P), what memory positions read of each other
    reading: jax.Array | None  # (h, P, E), what the latents read of the tokens, in every row; None of a full encoder

    def observed(self) -> jax.Array:
        """(decoder layers, R, h, M, E): the muscles' attention composed through to the observed tokens.

        The heads are those of the decoder; those of the encoder are averaged, as attention rollout does.
        """
        return jnp.einsum("lrhmp,rpe->lrhme", self.muscles, self.rollout())

    def rollout(self) -> jax.Array:
        """(R, P, E): what each memory position holds of the observed tokens."""
        rows, positions = self.muscles.shape[1], self.muscles.shape[-1]
        held = jnp.eye(positions) if self.reading is None else self.reading.mean(axis=0)
        held = jnp.broadcast_to(held[None], (rows, *held.shape))
        for layer in self.memory.mean(axis=2):
            held = 0.5 * (held + layer @ held)
        return held


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class MuscleVectors:
    """What the words of each muscle become, (M, D) each; functions of words alone."""

    token: jax.Array  # the sum of its words' embeddings
    query: jax.Array  # what the decoder's first layer asks the memory with, heads side by side
    read_out: jax.Array | None  # the direction along which its mean action is read; None without word gates


class Introspection:
    """A transformer in one task, opened.

    Args:
        policy: the network.
        tables: observation and action table of the task.
        purpose: what it is opened for, to begin an error with: ``"latents"``.

    Raises:
        UserError: the policy is not a transformer, or cannot act in this task.
    """

    def __init__(self, policy: ActorCritic, tables: TaskTables, purpose: str = "word embeddings"):
        if isinstance(policy, SubspaceActorCritic):
            policy = policy.network
        if not isinstance(policy, TransformerActorCritic):
            raise UserError(
                f"{purpose} are of transformers, and this policy is of kind {type(policy).__name__}; give one that was "
                "distilled, such as arnold-small, or do without"
            )
        self.policy, self.tables = policy, tables
        self.ids = policy.bind([tables])

    @property
    def observed(self) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
        """The E observed tokens, in the order of attention: words of the entity, and of the quantity in scalar
        granularity.
        """
        table = self.tables[0]
        if self.policy.config.granularity == "entity":
            return tuple((entity, ()) for group in table.entity_groups() for entity in group.entities)
        return tuple((token.entity, token.quantity) for token in table)

    @property
    def observed_names(self) -> tuple[str, ...]:
        """The E observed tokens, each as its words in one string."""
        return tuple(" ".join(entity + quantity) for entity, quantity in self.observed)

    def memory(self, params: Any, observation: jax.Array) -> jax.Array:
        """The memory (R, P, D) that muscles read.

        Args:
            params: parameters and observation statistics.
            observation: raw values (R, K, H).
        """
        encoded: jax.Array = self._module(params[0]).encode(self.ids, self._normalised(params, observation))
        return encoded

    def attention(self, params: Any, observation: jax.Array) -> AttentionMaps:
        """All attention on the way from observed tokens to muscles; arguments as `memory`."""
        module = self._module(params[0])
        x = module.entered(self.ids, self._normalised(params, observation))
        reading = None
        if self.policy.config.encoder == "latent":
            read = module.reader.weights([module.embeddings.sums(group.words) for group in self.ids.groups])
            reading = read[0] / read[0].sum(axis=-1, keepdims=True)
        memory, within = _through_encoder(module.encoder, x)
        query = module.scaled(module.embeddings.sums(self.ids.action_words))
        return AttentionMaps(_through_decoder(module.action_decoder, query, memory), within, reading)

    def influence(self, params: Any, observation: jax.Array) -> jax.Array:
        """(R, M, E): by how much a muscle's mean action moves with what each observed token says.

        The norm, over the token's values, of the action's derivative with respect to normalised values: per standard
        deviation of the observation, to first order. Arguments as `memory`; the cost is that of M backward passes.
        Of a policy within a subspace it is the network's own action, before the projection.
        """
        module = self._module(params[0])
        columns = [group.index[0] for group in self.ids.groups]  # (E, C) each

        def of_row(row: jax.Array) -> jax.Array:
            slopes = jax.jacrev(lambda values: module(self.ids, values[None, None])[0][0, 0])(row)  # (M, K, H)
            squares = jnp.square(slopes).sum(axis=-1)
            return jnp.sqrt(jnp.concatenate([squares[:, index].sum(axis=-1) for index in columns], axis=1))

        return jax.vmap(of_row)(self._normalised(params, observation)[0])

    def muscle_vectors(self, params: Any) -> MuscleVectors:
        """What the words of the task's muscles become.

        Args:
            params: the parameters alone.
        """
        module = self._module(params)
        words = module.embeddings.sums(self.ids.action_words)
        layer = next(_layers(module.action_decoder))
        asked = layer.memory_norm(_after_each_other(layer, module.scaled(words)))
        query, _ = _queries_and_keys(layer.memory_attention, asked, asked)
        gated = self.policy.config.word_gates
        read_out = module.action_head.kernel[..., 0].reshape(1, -1) + module.read_out(words)[0] if gated else None
        return MuscleVectors(words[0], query[0], read_out)

    def _module(self, params: Any) -> TransformerModule:
        return self.policy.module(SubspaceActorCritic.network_params(params))

    def _normalised(self, params: Any, observation: jax.Array) -> jax.Array:
        values = normaliser.newest_lags(observation[None], self.policy.lags)
        if self.policy.config.normalise_observations:
            values = normaliser.normalise(params[1], self.ids.signature_ids, values)
        return values


def probabilities(attention: Attention, x: jax.Array, memory: jax.Array) -> jax.Array:
    """(R, h, Q, K): with which weights the queries of x (R, Q, D) read the tokens of memory (R, K, D).

    softmax(q k^T / sqrt(d)), Vaswani et al. 2017, eq. 1.
    """
    query, key = (one.reshape(*one.shape[:-1], attention.heads, -1) for one in _queries_and_keys(attention, x, memory))
    scores = jnp.einsum("rqhd,rkhd->rhqk", query, key) * query.shape[-1] ** -0.5
    return jax.nn.softmax(scores, axis=-1)


def _queries_and_keys(attention: Attention, x: jax.Array, memory: jax.Array) -> tuple[jax.Array, jax.Array]:
    width, kernel, bias = attention.width, attention.in_projection.kernel[...], attention.in_projection.bias[...]
    query = affine(x, kernel[:, :width], bias[:width])
    return query, affine(memory, kernel[:, width : 2 * width], bias[width : 2 * width])


def _through_encoder(stack: EncoderStack, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The memory, and its attention layer by layer, (layers, R, h, P, P)."""
    maps = []
    for layer in _layers(stack) if stack.depth else ():
        normal = layer.attention_norm(x)
        maps.append(probabilities(layer.attention, normal, normal))
        x = layer(x)
    empty = jnp.zeros((0, x.shape[0], 1, x.shape[1], x.shape[1]), x.dtype)
    return stack.norm(x), jnp.stack(maps) if maps else empty


def _through_decoder(stack: DecoderStack, query: jax.Array, memory: jax.Array) -> jax.Array:
    """Attention of the queries to the memory, (layers, R, h, M, P)."""
    x, maps = share_rows(query, memory.shape[0]), []
    for layer in _layers(stack):
        maps.append(probabilities(layer.memory_attention, layer.memory_norm(_after_each_other(layer, x)), memory))
        x = layer(x, memory)
    return jnp.stack(maps)


def _after_each_other(layer: DecoderLayer, x: jax.Array) -> jax.Array:
    """Queries after they have seen each other, where they do."""
    return x + layer.self_attention.to_self(layer.self_norm(x)) if layer.sees_itself else x


def _layers(stack: EncoderStack | DecoderStack) -> Iterator[Any]:
    """A stack's layers one by one; their parameters have a leading layer axis."""
    graph, state = nnx.split(stack.layers)
    for number in range(jax.tree.leaves(state)[0].shape[0]):
        yield nnx.merge(graph, jax.tree.map(lambda leaf, n=number: leaf[n], state))
