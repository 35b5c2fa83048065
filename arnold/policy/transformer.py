"""Arnold's network: an encoder over observation tokens, a decoder whose queries are the muscles' own word sums.

Every token is its values and the sum of its words, so the same weights read any body. The encoder turns K tokens into
a memory; the action decoder asks it one question per muscle (the sum of that muscle's words) and a linear head answers
with the mean action; a second decoder asks one question, the word ``value``. Source: the Arnold paper
(arXiv:2508.18066).

Two encoders share one interface. *Full*: self-attention among all tokens, the paper's. *Latent*: a few learned latents
choose by words what they read, read it once (after Perceiver, Jaegle et al. 2021) and think among themselves, so that
the cost grows with the number of tokens only linearly.

This module is the network on index arrays; :mod:`arnold.policy.generalist` binds it to words.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from arnold.errors import UserError
from arnold.policy.config import JsonConfig, require_at_least, require_one_of
from arnold.policy.initialise import Draws, head, linear
from arnold.policy.layers import DecoderStack, EncoderStack, LayerNorm
from arnold.policy.tokeniser import (
    GroupIds,
    Tokeniser,
    WordEmbeddings,
    WordFeatures,
    masked_sum,
    to_unit_rms,
    values_of,
)

GRANULARITIES = ("scalar", "entity")
ENCODERS = ("full", "latent")
VOCABULARIES = ("shared", "atomic", "per_task")
VALUE_ID = 1
"""The id of the word ``value`` in every vocabulary."""


@dataclasses.dataclass(frozen=True)
class TransformerConfig(JsonConfig):
    """Sizes and choices of the network; the defaults are the preset ``small``."""

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

    decoder_layers: int = 1
    """Layers of each decoder, at least 1."""

    latents: int = 16
    """How many latents read the tokens; only the latent encoder has them."""

    lags: int = 1
    """H, how many of the newest history lags a token shows."""

    word_gates: bool = True
    """Words also multiply: a token says its values along a direction made of its words, and a muscle's mean action is
    read out along a direction made of the muscle's words (see `tokeniser`). Paper-faithful: False, words are added only
    and all muscles share one linear head."""

    muscle_self_attention: bool = False
    """Whether the muscles' queries see each other (the paper's). Its cost grows with the square of the muscles; without
    it each muscle's action is read from the memory alone."""

    vocabulary: str = "shared"
    """``shared``: tokens are sums of words that all tasks share. The paper's ablations: ``atomic``, each token (or
    entity) is one word of its own; ``per_task``, every word is another one for each set of observation tokens, so that
    tasks share words only where they observe the same (the four Baoding tasks do)."""

    normalise_observations: bool = True
    """Whether values are normalised by their signatures' statistics (an ablation of the paper's)."""

    share_decoder: bool = False
    """One stack of decoder layers for actions and value (an option of the reference)."""

    shared_final_norm: bool = False
    """One final LayerNorm for both decoders. Paper-faithful: the reference's two decoders share it by accident."""

    detached_value: bool = True
    """The value decoder reads the memory without sending gradients into it, so that what the value learns does not move
    what the policy reads; its gradient is the larger by far when a policy distilled without a value goes on by reward.
    Paper-faithful: False."""

    init_log_std: float = -0.7
    """Initial log standard deviation of every muscle's action. The reference starts at 0."""

    log_std_per_word: bool = True
    """Add to the log standard deviation a learned number per word of the muscle, 0 at first, so that muscles can
    explore differently and a new muscle starts from its known words. Paper-faithful: False, one number for all
    muscles."""

    def __post_init__(self) -> None:
        require_one_of("TransformerConfig.granularity", self.granularity, GRANULARITIES)
        require_one_of("TransformerConfig.encoder", self.encoder, ENCODERS)
        require_one_of("TransformerConfig.vocabulary", self.vocabulary, VOCABULARIES)
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
    action_words: jax.Array  # (N, M, W) int32, padded with 0
    groups: tuple[GroupIds, ...]  # the tokens by the quantities that they have


class TransformerModule(nnx.Module):
    """The network on normalised values and index arrays.

    Args:
        config: sizes.
        words: V, the size of the vocabulary, padding included.
        quantities: Q, how many quantities the entity tokeniser knows.
        draws: source of the initial weights.
    """

    def __init__(self, config: TransformerConfig, words: int, quantities: int, draws: Draws):
        c = config
        self.config = c
        self.embeddings = WordEmbeddings(words, c.width, draws)
        maps = quantities if c.granularity == "entity" else 1
        self.tokeniser = Tokeniser(maps, c.lags, c.width, c.word_gates, draws)
        if c.encoder == "latent":
            self.reader = LatentReader(c, draws)
        else:
            self.token_bias = nnx.Param(np.zeros(c.width, np.float32))
        self.encoder = EncoderStack(c.width, c.heads, c.feedforward, c.layers, draws)

        def decoder(self_attention: bool) -> DecoderStack:
            return DecoderStack(c.width, c.heads, c.feedforward, c.decoder_layers, self_attention, draws)

        self.action_decoder = decoder(c.muscle_self_attention)
        self.action_norm = LayerNorm(c.width)
        if not c.share_decoder:
            self.value_decoder = decoder(c.muscle_self_attention)
        if not c.shared_final_norm:
            self.value_norm = LayerNorm(c.width)
        self.action_head = head(c.width, draws)
        if c.word_gates:
            self.read_out = WordFeatures(c.width, 0.3 * c.width**-0.5, draws)
        self.value_head = head(c.width, draws)
        self.log_std = nnx.Param(np.asarray(c.init_log_std, np.float32))
        if c.log_std_per_word:
            self.log_std_words = nnx.Param(np.zeros(words, np.float32))

    def __call__(self, ids: TransformerTokenIds, values: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Means (N, B, M), log standard deviations (N, M) and values (N, B) of normalised values (N, B, K, H)."""
        tasks, rows = values.shape[:2]
        memory = self.encode(ids, values)
        muscles = self.embeddings.sums(ids.action_words)
        value = self.embeddings.table[VALUE_ID].reshape(1, 1, -1)
        actions = self.action_norm(self.action_decoder(self.scaled(muscles), memory))
        value_decoder = self.action_decoder if self.config.share_decoder else self.value_decoder
        value_norm = self.action_norm if self.config.shared_final_norm else self.value_norm
        seen = jax.lax.stop_gradient(memory) if self.config.detached_value else memory
        judged = value_norm(value_decoder(self.scaled(value), seen))
        mean = self.action_head(actions).reshape(tasks, rows, -1)
        if self.config.word_gates:
            read_out = self.read_out(muscles)
            mean += jnp.einsum("nbmd,nmd->nbm", actions.reshape(tasks, rows, *actions.shape[1:]), read_out)
        return mean, self.log_stds(ids.action_words), self.value_head(judged).reshape(tasks, rows)

    def encode(self, ids: TransformerTokenIds, values: jax.Array) -> jax.Array:
        """The memory (N * B, K or L, D) that the decoders read."""
        return self.encoder(self.entered(ids, values))

    def entered(self, ids: TransformerTokenIds, values: jax.Array) -> jax.Array:
        """What the encoder's layers begin with, (N * B, K or L, D): the tokens, or the latents that have read them."""
        groups = [(group, self.embeddings.sums(group.words)) for group in ids.groups]
        if self.config.encoder == "latent":
            return self.reader(self.tokeniser, values, groups)
        tokens = [self.tokeniser.tokens(values, group, words) + self.scaled(words)[:, None] for group, words in groups]
        joined = jnp.concatenate(tokens, axis=2) + self.token_bias.reshape(1, 1, 1, -1)
        return joined.reshape(-1, *joined.shape[2:])

    def scaled(self, words: jax.Array) -> jax.Array:
        """Word sums (..., D) as tokens and queries start from them: with word gates, of unit size."""
        return to_unit_rms(words) if self.config.word_gates else words

    def log_stds(self, action_words: jax.Array) -> jax.Array:
        """The log standard deviation of each muscle's action, (N, M)."""
        base = jnp.broadcast_to(self.log_std[...], action_words.shape[:-1])
        if not self.config.log_std_per_word:
            return base
        return base + masked_sum(self.log_std_words[...][:, None], action_words)[..., 0]


class LatentReader(nnx.Module):
    """L learned latents read each row's tokens.

    Which tokens a latent reads, and how much of each, is attention of learned queries to keys made of the tokens'
    words; what it reads is what they say. The weights are thus a task's, not a row's, and the whole reading is one
    linear map of the row's values, computed once per call. Weights are scaled to a sum of squares of 1, not a sum of 1:
    what is read of independent values of variance 1 has variance 1, whether a latent reads one token or all.
    """

    def __init__(self, config: TransformerConfig, draws: Draws):
        c = config
        self.heads = c.heads
        self.queries = nnx.Param(draws.normal((c.latents, c.heads, c.width // c.heads)))
        self.latents = nnx.Param(draws.normal((c.latents, c.width), 0.3))
        self.key_projection = linear(c.width, c.width, draws)
        self.value_projection = linear(c.width, c.width, draws)
        self.out_projection = linear(c.width, c.width, draws)

    def __call__(
        self, tokeniser: Tokeniser, values: jax.Array, groups: Sequence[tuple[GroupIds, jax.Array]]
    ) -> jax.Array:
        """Latents (N * B, L, D) of normalised values (N, B, K, H).

        Args:
            tokeniser: says what each value says.
            values: normalised.
            groups: each group's ids and word sums (N, E, D).
        """
        weights = self.weights([words for _, words in groups])
        read, maps, first = [], [], 0
        for ids, words in groups:
            entities = words.shape[1]
            spoken = tokeniser.directions(ids, words) @ self.value_projection.kernel[...]
            spoken = spoken.reshape(*spoken.shape[:3], self.heads, -1)
            of_group = jnp.einsum("nhle,neihd->neilhd", weights[..., first : first + entities], spoken)
            maps.append(of_group.reshape(values.shape[0], -1, self.latents[...].size))
            read.append(values_of(values, ids).reshape(*values.shape[:2], -1))
            first += entities
        rows = jnp.einsum("nbi,nio->nbo", jnp.concatenate(read, axis=-1), jnp.concatenate(maps, axis=1))
        rows = rows.reshape(-1, *self.latents[...].shape) + self.value_projection.bias.reshape(1, 1, -1)
        return self.out_projection(rows) + self.latents[...][None]

    def weights(self, words: Sequence[jax.Array]) -> jax.Array:
        """How much of each token the latents read, (N, h, L, E), of all groups' word sums (N, E, D)."""
        keys = self.key_projection(to_unit_rms(jnp.concatenate(words, axis=1)))
        keys = keys.reshape(*keys.shape[:2], self.heads, -1)
        scores = jnp.einsum("lhd,nehd->nhle", self.queries[...], keys) * keys.shape[-1] ** -0.5
        weights = jax.nn.softmax(scores, axis=-1)
        return weights * jax.lax.rsqrt(jnp.square(weights).sum(axis=-1, keepdims=True))
