"""Multi-head attention, written for the machine that has no accelerator as well.

The parameters and the mathematics are those of ``torch.nn.MultiheadAttention``. Two things are done differently, both
exact:

* On a CPU the product is written out with its own backward pass. XLA's automatic one transposes the (R, heads, Q, K)
  array of probabilities, which costs more than the products themselves, and ``jax.nn.dot_product_attention`` does so
  even forwards. Elsewhere ``jax.nn.dot_product_attention`` is called.
* Few queries that read many tokens (latents, the value query) never project the tokens to keys and values: the query
  goes through the transposed key weights instead, and the weighted sum of the tokens through the value weights. The
  products are the same ones in another order; :func:`reads_unprojected` says when that is less work.

Axis letters: R rows, Q queries, K tokens, h heads, d features of a head, D = h * d.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from arnold.policy.initialise import Draws, linear
from arnold.policy.linear import affine
from arnold.policy.memory import keep


class Attention(nnx.Module):
    """Multi-head attention of width D; ``in_projection`` holds the query, key and value weights side by side.

    Args:
        width: D.
        heads: h; D is a multiple of it.
        draws: source of the initial weights: Xavier-uniform over the whole (D, 3D) matrix, biases 0, as the reference.
    """

    def __init__(self, width: int, heads: int, draws: Draws):
        self.width, self.heads = width, heads
        self.in_projection = linear(width, 3 * width, draws)
        self.out_projection = linear(width, width, draws)

    def to_self(self, x: jax.Array) -> jax.Array:
        """Every token of x (R, K, D) reads all of its own row."""
        if x.shape[-2] == 1:
            return self.out_projection(self._project(x, 2, 3))  # softmax over one token is 1
        query, key, value = jnp.split(keep(self.in_projection(x)), 3, axis=-1)
        return self._read(query, key, value)

    def to_memory(self, x: jax.Array, memory: jax.Array) -> jax.Array:
        """The queries of x (N, Q, D) read the tokens of memory (R, K, D); returns (R, Q, D), see :func:`share_rows`."""
        query = keep(self._project(x, 0, 1))
        if reads_unprojected(x.shape[-2], self.width, self.heads):
            return self.out_projection(self._read_unprojected(query, memory))
        key, value = jnp.split(keep(self._project(memory, 1, 3)), 2, axis=-1)
        return self._read(share_rows(query, memory.shape[0]), key, value)

    def _project(self, x: jax.Array, first: int, last: int) -> jax.Array:
        """x times the ``first`` to ``last`` third of the input projection."""
        columns = slice(first * self.width, last * self.width)
        return affine(x, self.in_projection.kernel[:, columns], self.in_projection.bias[columns])

    def _read(self, query: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
        """Heads split, scaled dot product, heads joined, output projection; (R, Q, D) and twice (R, K, D) in."""

        def split(x: jax.Array) -> jax.Array:
            return x.reshape(*x.shape[:-1], self.heads, -1)

        out = dot_product(split(query), split(key), split(value))
        return self.out_projection(out.reshape(query.shape))

    def _read_unprojected(self, query: jax.Array, memory: jax.Array) -> jax.Array:
        """Attention to tokens that are never projected; (N, Q, D) and (R, K, D) in, (R, Q, D) out.

        With key = memory Wk + bk the score is query . key = (query Wk^T) . memory + const, and the constant drops out
        of the softmax; with weights that sum to 1 the output is (weights memory) Wv + bv.
        """
        rows, (queries, width) = memory.shape[0], query.shape[1:]
        heads = self.heads
        kernel = self.in_projection.kernel[...].reshape(width, 3, heads, width // heads)
        query = query.reshape(*query.shape[:2], heads, -1) * (width // heads) ** -0.5
        through_keys = jnp.einsum("rqhd,ehd->rqhe", query, kernel[:, 1]).reshape(-1, queries * heads, width)
        through_keys = share_rows(through_keys, rows)
        read = product_of_heads(through_keys[:, None], memory[:, None], memory[:, None])
        read = read.reshape(rows, queries, heads, width)
        out = jnp.einsum("rqhe,ehd->rqhd", read, kernel[:, 2]).reshape(rows, queries, width)
        return out + self.in_projection.bias[2 * width :].reshape(1, 1, -1)


def reads_unprojected(queries: int, width: int, heads: int) -> bool:
    """Whether reading tokens unprojected takes fewer multiplications than projecting them to keys and values.

    In units of D multiplications per token, over forward and backward pass: projecting costs 3 * 2 D and seven products
    (two forward, five backward, the scores computed twice) of Q queries; unprojected, the seven are of Q h queries.
    """
    return 7 * queries * (heads - 1) < 6 * width


def share_rows(x: jax.Array, rows: int) -> jax.Array:
    """x (N, Q, D) for ``rows`` rows, (R, Q, D): each of the N is shared by R / N consecutive rows."""
    if x.shape[0] == rows:
        return x
    shared = jnp.broadcast_to(x[:, None], (x.shape[0], rows // x.shape[0], *x.shape[1:]))
    return shared.reshape(rows, *x.shape[1:])


def dot_product(query: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
    """softmax(query key^T / sqrt(d)) value per head; (R, Q, h, d) and twice (R, K, h, d) in, (R, Q, h, d) out."""

    if jax.default_backend() != "cpu":
        return jax.nn.dot_product_attention(query, key, value)
    query, key, value = (jnp.swapaxes(x, 1, 2) for x in (query, key, value))
    return jnp.swapaxes(product_of_heads(query * query.shape[-1] ** -0.5, key, value), 1, 2)


@jax.custom_vjp
def product_of_heads(query: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
    """softmax(query key^T) value; (R, h, Q, d), (R, h, K, d) and (R, h, K, d) in, (R, h, Q, d) out. Not scaled."""
    return _forward(query, key, value)[0]


def _forward(query: jax.Array, key: jax.Array, value: jax.Array) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    scores = jnp.einsum("rhqd,rhkd->rhqk", query, key)
    highest = scores.max(axis=-1, keepdims=True)
    weights = jnp.exp(scores - highest)
    total = weights.sum(axis=-1, keepdims=True)
    out = jnp.einsum("rhqk,rhkd->rhqd", weights, value) / total
    out, log_total = keep(out), keep(highest + jnp.log(total))
    return out, (query, key, value, out, log_total)


def _backward(saved: tuple[jax.Array, ...], grad: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    query, key, value, out, log_total = saved
    # Computed again: on a CPU it costs less than keeping (R, h, Q, K) numbers per layer from forward to backward pass.
    probabilities = jnp.exp(jnp.einsum("rhqd,rhkd->rhqk", query, key) - log_total)
    grad_probabilities = jnp.einsum("rhqd,rhkd->rhqk", grad, value)
    # The softmax's Jacobian; sum_k p_k dp_k equals out . grad, which is the cheaper sum.
    grad_scores = probabilities * (grad_probabilities - (out * grad).sum(axis=-1, keepdims=True))
    # Operand order matters on a CPU: with the small operand first, XLA does not transpose the large one.
    return (
        jnp.einsum("rhqk,rhkd->rhqd", grad_scores, key),
        jax.lax.optimization_barrier(jnp.einsum("rhqd,rhqk->rhdk", query, grad_scores)).swapaxes(-1, -2),
        jax.lax.optimization_barrier(jnp.einsum("rhqd,rhqk->rhdk", grad, probabilities)).swapaxes(-1, -2),
    )


product_of_heads.defvjp(_forward, _backward)
