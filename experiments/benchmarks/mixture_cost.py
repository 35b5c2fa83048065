"""What one training iteration of a mixture costs beside the sum of its tasks run alone, and what each compiles to.

Nothing is padded, so tasks of four bodies together should cost what they cost apart. Every task is distilled alone and
all are distilled together, with the environments that the recipe gives them; the iterations take turns, so that a
machine shared with other work slows all alike. Experts are untrained: speed does not depend on weights.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax

from arnold.errors import UserError
from arnold.experiments.benchmarks.learning_speed import SCHEDULE_ITERATIONS, untrained_expert
from arnold.experiments.recipes import distill_recipe
from arnold.experts import Expert
from arnold.learning.learner import Learner
from arnold.learning.mixture import Mixture
from arnold.policy.generalist import TransformerActorCritic
from arnold.recipe import DistillRecipe

MEBIBYTE = 2**20


@dataclasses.dataclass(frozen=True)
class MixtureCostRow:
    """One task alone, the sum of them, or the mixture."""

    what: str
    environments: int
    seconds_per_iteration: float
    """Median; of the sum, the median of the sums."""

    compile_s: float
    memory_mib: float
    """Working memory of the compiled iteration, beside its arguments and results."""

    share_of_sum: float | None
    """Of the mixture: its seconds over the sum of its tasks', median over turns."""


def measure_mixture_cost(
    recipe: str = "fourteen", turns: int = 5, backend: str = "native", threads: int | None = None
) -> list[MixtureCostRow]:
    """Time iterations of every task of a distillation alone, and of all together.

    Args:
        recipe: the distillation.
        turns: iterations of each, to take medians of.
        backend: physics back end.
        threads: threads of the native back end.

    Raises:
        UserError: an unknown recipe, or fewer than one turn.
    """
    if turns < 1:
        raise UserError(f"turns is {turns}; at least 1 is accepted")
    described = distill_recipe(recipe)
    alone = [_Compiled(described, dict([share]), backend, threads) for share in described.mixture]
    together = _Compiled(described, dict(described.mixture), backend, threads)
    singles: list[list[float]] = []
    wholes: list[float] = []
    for _ in range(turns):
        singles.append([one.seconds() for one in alone])
        wholes.append(together.seconds())
    names = [name for name, _ in described.mixture]
    rows = [one.row(names[i], [turn[i] for turn in singles]) for i, one in enumerate(alone)]
    sums = [sum(turn) for turn in singles]
    total = sum(row.environments for row in rows)
    largest = max(row.memory_mib for row in rows)
    summed = MixtureCostRow(
        "sum of the tasks alone", total, statistics.median(sums), sum(row.compile_s for row in rows), largest, None
    )
    whole = together.row("all in one mixture", wholes)
    share = statistics.median(mixed / apart for mixed, apart in zip(wholes, sums, strict=True))
    return [*rows, summed, dataclasses.replace(whole, share_of_sum=share)]


class _Compiled:
    """A learner's compiled iteration and the state that it stands at."""

    def __init__(self, recipe: DistillRecipe, shares: dict[str, int], backend: str, threads: int | None):
        mixture = Mixture.of(shares)
        # every policy knows all words, so that all are of one size
        bodies = [(goal, goal.compile()) for goal in Mixture.of(dict(recipe.mixture)).tasks]
        everything = [(goal.observation_table(body), body.action_table) for goal, body in bodies]
        policy = TransformerActorCritic.for_tasks(recipe.configuration, everything)
        tables = {goal.name: tables for (goal, _), tables in zip(bodies, everything, strict=True)}
        experts: dict[str, Expert] = {goal.name: untrained_expert(tables[goal.name]) for goal in mixture.tasks}
        learner = Learner(policy, mixture, recipe.learner, SCHEDULE_ITERATIONS, experts, backend, threads)
        self.environments = sum(shares.values())
        self._state = learner.blank_state()
        begun = time.perf_counter()
        compiled = learner.compiled(self._state)
        self.compile_s = time.perf_counter() - begun
        memory = compiled.memory_analysis()
        self.memory_mib = memory.temp_size_in_bytes / MEBIBYTE if memory else math.nan
        self._go: Callable[[Any], Any] = lambda state: compiled(state, learner.expert_params)
        self.seconds()  # the first is not counted

    def seconds(self) -> float:
        """Seconds of one iteration."""
        begun = time.perf_counter()
        self._state, _ = jax.block_until_ready(self._go(self._state))
        return time.perf_counter() - begun

    def row(self, what: str, seconds: list[float]) -> MixtureCostRow:
        """What was measured."""
        return MixtureCostRow(
            what, self.environments, statistics.median(seconds), self.compile_s, self.memory_mib, None
        )
