"""The one loss, and the Gaussian over a body's own muscles that it is about."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from arnold.learning.config import LossWeights
from arnold.policy.actor_critic import PolicyOutput

_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Rows:
    """Training rows of a bucket: N tasks, B rows each."""

    observation: jax.Array  # (N, B, K, H) raw token values
    action: jax.Array  # (N, B, M) as sampled, before the clip to [-1, 1]
    log_prob: jax.Array  # (N, B) of that action when it was sampled
    advantage: jax.Array  # (N, B), standardised per task
    target: jax.Array  # (N, B) value target
    label: jax.Array  # (N, B, M) the expert's action; zeros where nobody labels


def log_probability(
    mean: jax.Array, log_std: jax.Array, action: jax.Array, mixing: jax.Array | None = None
) -> jax.Array:
    """Log density (N, B) of actions (N, B, M) under Gaussians over the M muscles.

    Args:
        mean: (N, B, M).
        log_std: (N, M).
        action: (N, B, M), not clipped.
        mixing: (N, M, M) lower triangular, the Cholesky factor of the correlations between muscles; none by default.
    """
    spread = log_std[:, None, :]
    deviation = (action - mean) * jnp.exp(-spread)
    shrunk = jnp.float32(0.0)
    if mixing is not None:
        deviation = jnp.einsum("nij,nbj->nbi", _inverse(mixing), deviation)
        shrunk = jnp.sum(jnp.log(jnp.diagonal(mixing, axis1=-2, axis2=-1)), axis=-1)[:, None]
    return jnp.sum(-0.5 * jnp.square(deviation) - spread - _HALF_LOG_2PI, axis=-1) - shrunk


def _inverse(mixing: jax.Array) -> jax.Array:
    """Of lower triangular matrices (N, M, M)."""
    unit = jnp.broadcast_to(jnp.eye(mixing.shape[-1], dtype=mixing.dtype), mixing.shape)
    return jax.scipy.linalg.solve_triangular(mixing, unit, lower=True)


def entropy(log_std: jax.Array) -> jax.Array:
    """Entropy (N,) in nats of the Gaussians with log standard deviations (N, M), summed over muscles."""
    return jnp.sum(log_std + 0.5 + _HALF_LOG_2PI, axis=-1)


def imitation_loss(mean: jax.Array, label: jax.Array) -> jax.Array:
    """Mean squared distance between the student's mean action and the expert's, over rows and muscles."""
    return jnp.mean(jnp.square(mean - label))


def clipped_surrogate(log_prob: jax.Array, rows: Rows, clip: float) -> jax.Array:
    """PPO's loss () to minimise (Schulman et al. 2017, arXiv 1707.06347, eq. 7)."""
    ratio = jnp.exp(log_prob - rows.log_prob)
    clipped = jnp.clip(ratio, 1.0 - clip, 1.0 + clip)
    return -jnp.mean(jnp.minimum(ratio * rows.advantage, clipped * rows.advantage))


def total_loss(
    output: PolicyOutput, rows: Rows, weights: LossWeights, clip: float, mixing: jax.Array | None = None
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The weighted loss () of one bucket and its parts, means over its rows; a part without weight is not computed."""
    parts: dict[str, jax.Array] = {}
    loss = jnp.float32(0.0)
    if weights.imitation:
        parts["imitation"] = imitation_loss(output.mean, rows.label)
        loss += weights.imitation * parts["imitation"]
    if weights.policy_gradient:
        log_prob = log_probability(output.mean, output.log_std, rows.action, mixing)
        parts["policy_gradient"] = clipped_surrogate(log_prob, rows, clip)
        parts["kl"] = jnp.mean(rows.log_prob - log_prob)
        loss += weights.policy_gradient * parts["policy_gradient"]
    if weights.value:
        parts["value"] = jnp.mean(jnp.square(output.value - rows.target))
        loss += weights.value * parts["value"]
    if weights.entropy:
        parts["entropy"] = jnp.mean(entropy(output.log_std))
        loss -= weights.entropy * parts["entropy"]
    return loss, parts


def mixed_loss(
    outputs: Sequence[PolicyOutput],
    minibatch: Sequence[Rows],
    weights: LossWeights,
    clip: float,
    mixings: Sequence[jax.Array | None] | None = None,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The loss () of all buckets and its parts: the sum over buckets, each weighted by its share of the rows.

    Args:
        outputs: what the policy says of each bucket's rows.
        minibatch: the rows of each bucket.
        weights: of the parts.
        clip: PPO's ratio clip.
        mixings: of the noise of each bucket's muscles, see `log_probability`.
    """
    total = sum(rows.target.size for rows in minibatch)
    loss = jnp.float32(0.0)
    merged: dict[str, jax.Array] = {}
    for output, rows, mixing in zip(outputs, minibatch, mixings or [None] * len(outputs), strict=True):
        share = rows.target.size / total
        bucket_loss, parts = total_loss(output, rows, weights, clip, mixing)
        loss += share * bucket_loss
        for name, value in parts.items():
            merged[name] = merged.get(name, jnp.float32(0.0)) + share * value
    return loss, merged
