"""How fast the policy is beside an equal model of PyTorch's own transformer layers, on the same CPU threads.

Both models have the dimensions of one preset with the full encoder over scalar tokens, read the same batch of
hand-sized observations (211 tokens, 39 muscles), and take the same training step: mean squared error on the mean
actions and on the value, backward pass, Adam. The calls alternate, with a pause between them in which the other
library's threads go to sleep; what is reported is the median over pairs, so that a machine shared with other work
shifts both alike.
"""

from __future__ import annotations

import dataclasses
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from arnold.errors import UserError
from arnold.policy.generalist import TransformerActorCritic
from arnold.policy.host_memory import keep_freed_memory
from arnold.policy.presets import preset as policy_preset
from arnold.policy.transformer import TransformerConfig
from arnold.vocab import Token, TokenTable

TOKENS, MUSCLES = 211, 39  # an observation of the hand in Arnold's scalar tokens, and the hand's muscles
LEARNING_RATE = 1e-4
PAUSE_S = 0.25
"""Longer than the time that OpenMP's threads spin after a call (200 ms at most, Intel's default)."""


@dataclasses.dataclass(frozen=True)
class SpeedRow:
    """One measurement: the median times of both libraries and the median of the pairs' ratios."""

    what: str
    """``forward`` or ``training step``."""

    batch: int
    """Observations per call."""

    threads: int
    """CPU threads that both libraries may use."""

    arnold_ms: float
    torch_ms: float
    ratio: float
    """PyTorch's time over ours; above 1 is faster than PyTorch."""


@dataclasses.dataclass(frozen=True)
class _Batch:
    """The same data for both libraries."""

    values: np.ndarray  # (B, K, H) float32
    actions: np.ndarray  # (B, M) float32
    returns: np.ndarray  # (B,) float32


def measure_policy_speed(batch: int = 32, repeats: int = 7, preset: str = "paper") -> list[SpeedRow]:
    """Time the forward pass and the training step of ``preset`` against an equal PyTorch model.

    Args:
        batch: observations per call.
        repeats: pairs of calls to take the median of.
        preset: whose dimensions both models have; the encoder is the full one over scalar tokens in any case.

    Raises:
        UserError: PyTorch is not installed, or a number is not positive.
    """
    for name, number in (("batch", batch), ("repeats", repeats)):
        if number < 1:
            raise UserError(f"{name} is {number}; at least 1 is accepted")
    config = dataclasses.replace(policy_preset(preset), granularity="scalar", encoder="full")
    keep_freed_memory()  # for both libraries alike
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    tables = hand_sized_tables()
    data = _random_batch(batch, config.lags)
    ours, theirs = _our_calls(config, tables, data), _torch_calls(config, tables, data, threads)
    return [
        _paired(what, batch, threads, repeats, our_call, their_call)
        for what, our_call, their_call in zip(("forward", "training step"), ours, theirs, strict=True)
    ]


def hand_sized_tables() -> tuple[TokenTable, TokenTable]:
    """Made-up tables of the hand's size: four quantities of 39 muscles, and joints for the remaining tokens."""
    muscles = [("muscle", f"muscle{i}", "right") for i in range(MUSCLES)]
    said = (("position",), ("velocity",), ("force",), ("activation",))
    observed = [Token(entity, quantity) for entity in muscles for quantity in said]
    joint_said = (("position", "angular"), ("velocity", "angular"))
    for i in range((TOKENS - len(observed) + 1) // 2):
        observed += [Token(("hinge", f"joint{i}", "right"), quantity) for quantity in joint_said]
    driven = tuple(Token(entity, ("activation",)) for entity in muscles)
    return TokenTable(tuple(observed[:TOKENS])), TokenTable(driven)


def _random_batch(batch: int, lags: int) -> _Batch:
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    return _Batch(normal(batch, TOKENS, lags), normal(batch, MUSCLES), normal(batch))


def _our_calls(
    config: TransformerConfig, tables: tuple[TokenTable, TokenTable], data: _Batch
) -> tuple[Callable[[], None], Callable[[], None]]:
    """Our forward pass and training step, compiled, each as a call that waits for its result."""
    policy = TransformerActorCritic.for_tasks(config, [tables])
    ids, seen, params = policy.bind([tables]), policy.init_statistics(), policy.init(jax.random.key(0))
    values, actions, returns = (jnp.asarray(x)[None] for x in (data.values, data.actions, data.returns))
    optimiser = optax.adam(LEARNING_RATE)

    def forward(params: Any, values: jax.Array) -> Any:
        return policy.apply(params, seen, ids, values)

    def loss(params: Any, values: jax.Array) -> jax.Array:
        output = forward(params, values)
        return jnp.square(output.mean - actions).mean() + jnp.square(output.value - returns).mean()

    def train(params: Any, state: Any, values: jax.Array) -> tuple[Any, Any]:
        updates, state = optimiser.update(jax.grad(loss)(params, values), state)
        return optax.apply_updates(params, updates), state

    compiled_forward, compiled_train = jax.jit(forward), jax.jit(train, donate_argnums=(0, 1))
    training = {"params": jax.tree.map(jnp.copy, params), "state": optimiser.init(params)}

    def step() -> None:
        trained = compiled_train(training["params"], training["state"], values)
        training["params"], training["state"] = jax.block_until_ready(trained)

    return lambda: jax.block_until_ready(compiled_forward(params, values)), step


def _torch_calls(
    config: TransformerConfig, tables: tuple[TokenTable, TokenTable], data: _Batch, threads: int
) -> tuple[Callable[[], None], Callable[[], None]]:
    """The same two calls of the PyTorch model."""
    from arnold.experiments.benchmarks.torch_peer import torch_calls

    arrays = (data.values, data.actions, data.returns)
    return torch_calls(config, tables, arrays, LEARNING_RATE, threads)


def _paired(
    what: str, batch: int, threads: int, repeats: int, ours: Callable[[], None], theirs: Callable[[], None]
) -> SpeedRow:
    """Alternate the two calls and take medians; the first call of each (compilation) is not counted."""
    ours()
    theirs()
    pairs = []
    for _ in range(repeats):
        pairs.append((_seconds(ours), _seconds(theirs)))
    return SpeedRow(
        what=what,
        batch=batch,
        threads=threads,
        arnold_ms=1e3 * statistics.median(our for our, _ in pairs),
        torch_ms=1e3 * statistics.median(their for _, their in pairs),
        ratio=statistics.median(their / our for our, their in pairs),
    )


def _seconds(call: Callable[[], None]) -> float:
    time.sleep(PAUSE_S)
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
