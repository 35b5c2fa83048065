"""Transformer layers: pre-LN encoder and decoder layers, and stacks of them.

The layers are those of Vaswani et al. 2017 ("Attention is all you need") with the normalisation before each block
(Xiong et al. 2020, "On layer normalization in the transformer architecture"): the parameters and the results of
PyTorch's ``TransformerEncoderLayer`` and ``TransformerDecoderLayer`` with ``norm_first=True`` and no dropout.

A stack holds its layers' parameters with a leading layer axis and scans over it: one layer is compiled, not six, and
XLA cannot fuse the additions of all residual blocks into one slow loop, which is what it does on a CPU with unrolled
layers. A stack of one layer is applied as it is.

Axis letters: R rows, Q queries, K tokens, D width, F width of the feed-forward block.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from arnold.policy.attention import Attention, share_rows
from arnold.policy.initialise import Draws, linear
from arnold.policy.memory import KEPT, keep, rectify

LAYER_NORM_EPSILON = 1e-5  # PyTorch's default, which the reference uses

LayerT = TypeVar("LayerT", bound=nnx.Module)


class LayerNorm(nnx.Module):
    """Zero mean and unit variance over the last axis, then a gain and an offset (Ba et al. 2016)."""

    def __init__(self, width: int):
        self.scale = nnx.Param(np.ones(width, np.float32))
        self.bias = nnx.Param(np.zeros(width, np.float32))

    def __call__(self, x: jax.Array) -> jax.Array:
        """Features (..., D) in and out."""
        return layer_norm(x.reshape(-1, x.shape[-1]), self.scale[...], self.bias[...]).reshape(x.shape)


@jax.custom_vjp
def layer_norm(x: jax.Array, scale: jax.Array, bias: jax.Array) -> jax.Array:
    """The rows of x (R, D) with zero mean and unit variance, times scale (D,) plus bias (D,).

    The backward pass is written out: XLA has to compile half as many operations for each layer.
    """
    return _normed(x, scale, bias)[0]


def _normed(x: jax.Array, scale: jax.Array, bias: jax.Array) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    centred = x - x.mean(axis=1, keepdims=True)
    spread = jax.lax.rsqrt(jnp.square(centred).mean(axis=1, keepdims=True) + LAYER_NORM_EPSILON)
    normal = centred * spread
    return normal * scale[None] + bias[None], (normal, spread, scale)


def _normed_backward(saved: tuple[jax.Array, ...], grad: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    normal, spread, scale = saved
    scaled = grad * scale[None]
    along = (scaled * normal).mean(axis=1, keepdims=True)
    grad_x = spread * (scaled - scaled.mean(axis=1, keepdims=True) - normal * along)
    return grad_x, (grad * normal).sum(axis=0), grad.sum(axis=0)


layer_norm.defvjp(_normed, _normed_backward)


class FeedForward(nnx.Module):
    """Linear D -> F, ReLU, linear F -> D, token by token."""

    def __init__(self, width: int, hidden: int, draws: Draws):
        self.expand = linear(width, hidden, draws)
        self.contract = linear(hidden, width, draws)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Features (..., D) in and out."""
        return self.contract(rectify(self.expand(x)))


class EncoderLayer(nnx.Module):
    """Self-attention and a feed-forward block over the tokens of each row."""

    def __init__(self, width: int, heads: int, feedforward: int, draws: Draws):
        self.attention_norm = LayerNorm(width)
        self.attention = Attention(width, heads, draws)
        self.feedforward_norm = LayerNorm(width)
        self.feedforward = FeedForward(width, feedforward, draws)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Tokens (R, K, D) in and out."""
        x = keep(x + self.attention.to_self(self.attention_norm(x)))
        return x + self.feedforward(self.feedforward_norm(x))


class DecoderLayer(nnx.Module):
    """Queries look at each other, read the memory, and pass a feed-forward block.

    Queries that several rows share (one set per task, N < R) are worked on once until they meet the memory.

    Args:
        self_attention: False leaves out the first block; queries then do not see each other.
    """

    def __init__(self, width: int, heads: int, feedforward: int, self_attention: bool, draws: Draws):
        if self_attention:
            self.self_norm = LayerNorm(width)
            self.self_attention = Attention(width, heads, draws)
        self.sees_itself = self_attention
        self.memory_norm = LayerNorm(width)
        self.memory_attention = Attention(width, heads, draws)
        self.feedforward_norm = LayerNorm(width)
        self.feedforward = FeedForward(width, feedforward, draws)

    def __call__(self, x: jax.Array, memory: jax.Array) -> jax.Array:
        """Queries (N or R, Q, D) and memory (R, K, D) in, queries (R, Q, D) out."""
        if self.sees_itself:
            x = keep(x + self.self_attention.to_self(self.self_norm(x)))
        x = keep(share_rows(x, memory.shape[0]) + self.memory_attention.to_memory(self.memory_norm(x), memory))
        return x + self.feedforward(self.feedforward_norm(x))


class EncoderStack(nnx.Module):
    """Encoder layers one after the other, and a final LayerNorm.

    Args:
        layers: how many; 0 leaves only the norm.
    """

    def __init__(self, width: int, heads: int, feedforward: int, layers: int, draws: Draws):
        self.depth = layers
        if layers:
            self.layers = _stacked(lambda draws: EncoderLayer(width, heads, feedforward, draws), layers, draws)
        self.norm = LayerNorm(width)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Tokens (R, K, D) in and out."""
        if self.depth:
            graph, state = nnx.split(self.layers)
            x = _through(state, lambda layer, x: nnx.merge(graph, layer)(x), x)
        return self.norm(x)


class DecoderStack(nnx.Module):
    """Decoder layers one after the other; the final norm is the caller's, who may share it.

    Args:
        layers: how many, at least 1.
    """

    def __init__(self, width: int, heads: int, feedforward: int, layers: int, self_attention: bool, draws: Draws):
        def layer(draws: Draws) -> DecoderLayer:
            return DecoderLayer(width, heads, feedforward, self_attention, draws)

        self.layers = _stacked(layer, layers, draws)

    def __call__(self, x: jax.Array, memory: jax.Array) -> jax.Array:
        """Queries (N or R, Q, D) and memory (R, K, D) in, queries (R, Q, D) out."""
        graph, state = nnx.split(self.layers)
        return _through(state, lambda layer, x: nnx.merge(graph, layer)(x, memory), share_rows(x, memory.shape[0]))


def _stacked(build: Callable[[Draws], LayerT], layers: int, draws: Draws) -> LayerT:
    """``layers`` independently initialised layers as one module whose parameters have a leading layer axis."""
    built = [nnx.split(build(draws)) for _ in range(layers)]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *(state for _, state in built))
    return nnx.merge(built[0][0], stacked)


def _through(layers: Any, apply: Callable[[Any, jax.Array], jax.Array], x: jax.Array) -> jax.Array:
    """x after every layer of a stack; of several, between the passes, only what :func:`keep` names is stored.

    Args:
        layers: the layers' parameters with a leading layer axis.
        apply: one layer's parameters and x in, x out.
    """
    if len(jax.tree.leaves(layers)[0]) == 1:  # nothing to scan over: less to compile
        return apply(jax.tree.map(lambda leaf: leaf[0], layers), x)
    one = jax.checkpoint(apply, policy=jax.checkpoint_policies.save_only_these_names(KEPT), prevent_cse=False)
    return jax.lax.scan(lambda x, layer: (one(layer, x), None), x, layers)[0]
