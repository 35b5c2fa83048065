"""Arnold's network: an encoder over observation tokens, a decoder whose queries are the muscles' own word sums.

Every token is its values plus the sum of its words, so the same weights read any body. The encoder turns K tokens into
a memory; the action decoder asks it one question per muscle (the sum of that muscle's words) and a linear head answers
with the mean action; a second decoder asks one question, the word ``value``. Source: the Arnold paper
(arXiv:2508.18066).

Two encoders share one interface. *Full*: self-attention among all tokens, the paper's. *Latent*: a few learned latents
read the tokens once by cross-attention (as in Perceiver, Jaegle et al. 2021) and think among themselves, so that the
cost grows with the number of tokens only linearly.

This module is the network on index arrays; :mod:`arnold.policy.generalist` binds it to words.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from arnold.errors import UserError
from arnold.policy.config import JsonConfig, require_at_least, require_one_of
from arnold.policy.initialise import head, xavier_uniform
from arnold.policy.layers import DecoderLayer, DecoderStack, EncoderStack, LayerNorm
from arnold.policy.tokeniser import EntityTokeniser, GroupIds, ScalarTokeniser, WordEmbeddings, masked_sum

GRANULARITIES = ("scalar", "entity")
ENCODERS = ("full", "latent")
VALUE_ID = 1
"""The id of the word ``value`` in every vocabulary."""


@dataclasses.dataclass(frozen=True)
class TransformerConfig(JsonConfig):
    """Sizes and choices of the network; the defaults are those of the preset ``small`` except where a preset says
    otherwise."""

    granularity: str = "entity"
    """``scalar``: one token per number (the paper's). ``entity``: one token per joint, muscle or site."""

    encoder: str = "latent"
    """``full``: self-attention among all tokens (the paper's). ``latent``: a few learned latents read the tokens."""

    width: int = 64
    """D, the width of every token; a multiple of ``heads``."""

    heads: int = 4
    """Attention heads."""

    feedforward: int = 256
    """Width of the feed-forward blocks."""

    layers: int = 2
    """Self-attention layers of the encoder; of the latents after their reading, in the latent encoder."""

    decoder_layers: int = 2
    """Layers of each decoder, at least 1."""

    latents: int = 16
    """How many latents read the tokens; only the latent encoder has them."""

    lags: int = 6
    """H, how many of the newest history lags a token shows."""

    muscle_self_attention: bool = True
    """Whether the muscles' queries see each other (the paper's). Its cost grows with the square of the muscles; without
    it each muscle's action is read from the memory alone."""

    share_decoder: bool = False
    """One stack of decoder layers for actions and value (an option of the reference)."""

    shared_final_norm: bool = False
    """One final LayerNorm for both decoders. Paper-faithful: the reference's two decoders share it by accident."""

    init_log_std: float = -0.7
    """Initial log standard deviation of every muscle's action. The reference starts at 0."""

    log_std_per_word: bool = True
    """Add to the log standard deviation a learned number per word of the muscle, 0 at first, so that muscles can
    explore differently and a new muscle starts from its known words. Paper-faithful: False, one number for all
    muscles."""

    def __post_init__(self) -> None:
        require_one_of("TransformerConfig.granularity", self.granularity, GRANULARITIES)
        require_one_of("TransformerConfig.encoder", self.encoder, ENCODERS)
        for name in ("width", "heads", "feedforward", "decoder_layers", "latents", "lags"):
            require_at_least(f"TransformerConfig.{name}", getattr(self, name), 1)
        require_at_least("TransformerConfig.layers", self.layers, 0)
        if self.width % self.heads:
            raise UserError(
                f"TransformerConfig.width is {self.width}, which {self.heads} heads cannot share evenly;"
                " a multiple of heads is accepted"
            )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TransformerTokenIds:
    """A bucket's tokens as index arrays: N tasks, K observation tokens, M muscles, W words per token at most."""

    signature_ids: jax.Array  # (N, K) int32, rows of the observation statistics
    observation_words: jax.Array  # (N, K, W) int32, padded with 0
    action_words: jax.Array  # (N, M, W) int32, padded with 0
    groups: tuple[GroupIds, ...]  # the entity groups; empty in scalar granularity


class TransformerModule(nnx.Module):
    """The network on normalised values and index arrays.

    Args:
        config: sizes.
        words: V, the size of the vocabulary, padding included.
        quantities: Q, how many quantities the entity tokeniser knows.
        rngs: source of the initial weights.
    """

    def __init__(self, config: TransformerConfig, words: int, quantities: int, rngs: nnx.Rngs):
        c = config
        self.config = c
        self.embeddings = WordEmbeddings(words, c.width, rngs)
        if c.granularity == "scalar":
            self.scalar_tokeniser = ScalarTokeniser(c.lags, c.width, rngs)
        else:
            self.entity_tokeniser = EntityTokeniser(quantities, c.lags, c.width, rngs)
        if c.encoder == "latent":
            self.reader = LatentReader(c, rngs)
        self.encoder = EncoderStack(c.width, c.heads, c.feedforward, c.layers, rngs)

        def decoder(self_attention: bool) -> DecoderStack:
            return DecoderStack(c.width, c.heads, c.feedforward, c.decoder_layers, self_attention, rngs)

        self.action_decoder = decoder(c.muscle_self_attention)
        self.action_norm = LayerNorm(c.width)
        if not c.share_decoder:
            self.value_decoder = decoder(c.muscle_self_attention)
        if not c.shared_final_norm:
            self.value_norm = LayerNorm(c.width)
        self.action_head = head(c.width, rngs)
        self.value_head = head(c.width, rngs)
        self.log_std = nnx.Param(jnp.asarray(c.init_log_std, jnp.float32))
        if c.log_std_per_word:
            self.log_std_words = nnx.Param(jnp.zeros((words,), jnp.float32))

    def __call__(self, ids: TransformerTokenIds, values: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Means (N, B, M), log standard deviations (N, M) and values (N, B) of normalised values (N, B, K, H)."""
        tasks, rows = values.shape[:2]
        memory = self.encode(ids, values)
        muscles = self.embeddings.sums(ids.action_words)
        actions = self.action_norm(self.action_decoder(muscles, memory))
        query = self.embeddings.table[VALUE_ID].reshape(1, 1, -1)
        value_decoder = self.action_decoder if self.config.share_decoder else self.value_decoder
        value_norm = self.action_norm if self.config.shared_final_norm else self.value_norm
        judged = value_norm(value_decoder(query, memory))
        mean = self.action_head(actions).reshape(tasks, rows, -1)
        return mean, self.log_stds(ids.action_words), self.value_head(judged).reshape(tasks, rows)

    def encode(self, ids: TransformerTokenIds, values: jax.Array) -> jax.Array:
        """The memory (N * B, K or L, D) that the decoders read."""
        tokens = self.tokens(ids, values)
        tokens = tokens.reshape(-1, *tokens.shape[2:])
        if self.config.encoder == "latent":
            tokens = self.reader(tokens)
        return self.encoder(tokens)

    def tokens(self, ids: TransformerTokenIds, values: jax.Array) -> jax.Array:
        """What each token says and is: (N, B, K, D), or (N, B, E, D) with E entities."""
        if self.config.granularity == "scalar":
            return self.scalar_tokeniser(values, self.embeddings.sums(ids.observation_words))
        return self.entity_tokeniser(values, tuple((group, self.embeddings.sums(group.words)) for group in ids.groups))

    def log_stds(self, action_words: jax.Array) -> jax.Array:
        """The log standard deviation of each muscle's action, (N, M)."""
        base = jnp.broadcast_to(self.log_std[...], action_words.shape[:-1])
        if not self.config.log_std_per_word:
            return base
        return base + masked_sum(self.log_std_words[...][:, None], action_words)[..., 0]


class LatentReader(nnx.Module):
    """L learned latents read each row's tokens by cross-attention."""

    def __init__(self, config: TransformerConfig, rngs: nnx.Rngs):
        c = config
        self.latents = nnx.Param(xavier_uniform(rngs.params(), (c.latents, c.width), jnp.float32))
        self.token_norm = LayerNorm(c.width)
        self.read = DecoderLayer(c.width, c.heads, c.feedforward, False, rngs)

    def __call__(self, tokens: jax.Array) -> jax.Array:
        """Tokens (R, K, D) in, latents (R, L, D) out."""
        return self.read(self.latents[...][None], self.token_norm(tokens))
