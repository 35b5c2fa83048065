"""Initial weights as in the reference: Xavier-uniform matrices, biases of zero, small heads.

NumPy draws them. JAX would compile a program for the shape of every matrix, twelve seconds of them for a network of the
preset ``small`` on two CPU cores, before a job's first step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from arnold.policy.linear import Linear


class Draws:
    """Arrays of random numbers, float32, one after the other.

    Args:
        seed: whole numbers; the same ones give the same arrays.
    """

    def __init__(self, seed: np.ndarray | int):
        self._generator = np.random.default_rng(seed)

    def uniform(self, shape: tuple[int, ...], bound: float) -> np.ndarray:
        """Uniform in +-bound."""
        return self._generator.uniform(-bound, bound, shape).astype(np.float32)

    def normal(self, shape: tuple[int, ...], scale: float = 1.0) -> np.ndarray:
        """Normal, with mean 0 and standard deviation ``scale``."""
        return scale * self._generator.standard_normal(shape, np.float32)

    def xavier(self, inputs: int, outputs: int) -> np.ndarray:
        """(inputs, outputs), uniform in +-sqrt(6 / (inputs + outputs)).

        Glorot and Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks", eq. 16.
        """
        return self.uniform((inputs, outputs), (6.0 / (inputs + outputs)) ** 0.5)

    def orthogonal(self, inputs: int, outputs: int, gain: float) -> np.ndarray:
        """(inputs, outputs) with orthogonal rows or columns, whichever are fewer, of length ``gain``.

        Saxe et al. 2014, "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks".
        """
        tall = self._generator.standard_normal((max(inputs, outputs), min(inputs, outputs)))
        q, r = np.linalg.qr(tall)
        q *= np.sign(np.diag(r))  # else the draw is not uniform over rotations
        return (gain * (q if inputs >= outputs else q.T)).astype(np.float32)


def linear(inputs: int, outputs: int, draws: Draws) -> Linear:
    """A linear layer with Xavier-uniform weights and zero biases."""
    return Linear(draws.xavier(inputs, outputs), np.zeros(outputs, np.float32))


def head(inputs: int, draws: Draws) -> Linear:
    """A linear read-out of one number, uniform in +-1/sqrt(inputs) (PyTorch's default for a linear layer)."""
    bound = inputs**-0.5
    return Linear(draws.uniform((inputs, 1), bound), draws.uniform((1,), bound))


def initial_parameters(build: Callable[[Draws], nnx.Module], key: jax.Array) -> dict[str, Any]:
    """The parameters of a fresh module as a plain tree of JAX arrays.

    The same key gives the same ones, under ``jax.jit``, ``jax.vmap`` and ``jax.eval_shape`` too, where the host is
    called back for them.

    Args:
        build: makes the module of its draws.
        key: PRNG key.
    """

    def drawn(seed: np.ndarray) -> dict[str, Any]:
        return dict(nnx.to_pure_dict(nnx.state(build(Draws(np.asarray(seed))))))

    seed = jax.random.key_data(key)
    if not isinstance(seed, jax.core.Tracer):
        return jax.tree.map(jnp.asarray, drawn(np.asarray(seed)))
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), drawn(np.zeros(2, np.uint32)))
    return jax.pure_callback(drawn, shapes, seed, vmap_method="sequential")
