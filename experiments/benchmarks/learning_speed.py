"""Environment steps per second of whole training iterations: physics, policy, expert labels and update together.

Two iterations that users wait for: on-policy behavioural cloning of the quickstart's mixture into one transformer, and
PPO of an expert on the hand. Experts are untrained networks of the experts' size: speed does not depend on weights.
"""

from __future__ import annotations

import dataclasses
import statistics
import time

import jax

from arnold.errors import UserError
from arnold.experiments.recipes import DISTILLATIONS, EXPERTS
from arnold.experts import Expert, PolicyExpert
from arnold.learning.learner import Learner
from arnold.learning.mixture import Mixture
from arnold.policy.generalist import TransformerActorCritic
from arnold.policy.mlp import MlpActorCritic
from arnold.tasks import Environment
from arnold.vocab import TokenTable

SCHEDULE_ITERATIONS = 1000  # the learning rate's schedule; it has no effect on speed


@dataclasses.dataclass(frozen=True)
class LearningSpeedRow:
    """The median of some iterations after the first."""

    what: str
    """Regime and what is trained."""

    environments: int
    steps_per_iteration: int
    """Environment steps of one iteration, over all tasks."""

    seconds_per_iteration: float
    steps_per_second: float
    compile_s: float
    """Seconds of the first iteration, most of them compilation."""


def measure_learning_speed(
    iterations: int = 5, backend: str = "native", threads: int | None = None
) -> list[LearningSpeedRow]:
    """Time whole iterations.

    Args:
        iterations: of each kind, to take the median of.
        backend: physics back end.
        threads: threads of the native back end.

    Raises:
        UserError: fewer than one iteration.
    """
    if iterations < 1:
        raise UserError(f"iterations is {iterations}; at least 1 is accepted")
    learners = (
        ("OBC, quickstart mixture, small transformer", _distillation(backend, threads)),
        ("PPO, hand_index_reach, MLP expert", _expert_training(backend, threads)),
    )
    return [_timed(what, learner, iterations) for what, learner in learners]


def _distillation(backend: str, threads: int | None) -> Learner:
    recipe = DISTILLATIONS["quickstart"]
    mixture = Mixture.of(dict(recipe.mixture))
    environments = [Environment(task, backend, threads) for task in mixture.tasks]
    tables = [(e.observation_table, e.action_table) for e in environments]
    policy = TransformerActorCritic.for_tasks(recipe.configuration, tables)
    named = zip(environments, tables, strict=True)
    experts: dict[str, Expert] = {environment.task.name: untrained_expert(own) for environment, own in named}
    return Learner(policy, mixture, recipe.learner, SCHEDULE_ITERATIONS, experts, backend, threads)


def _expert_training(backend: str, threads: int | None) -> Learner:
    recipe = EXPERTS["hand_index_reach"]
    mixture = Mixture.of({recipe.task: recipe.environments})
    (task,) = mixture.tasks
    environment = Environment(task, backend, threads)
    policy = MlpActorCritic(environment.observation_table, environment.action_table, recipe.network)
    return Learner(policy, mixture, recipe.learner, SCHEDULE_ITERATIONS, backend=backend, threads=threads)


def untrained_expert(tables: tuple[TokenTable, TokenTable]) -> PolicyExpert:
    """An expert of the experts' size, for the task of these observation and action tables, with fresh weights."""
    policy = MlpActorCritic(*tables)
    return PolicyExpert(policy, (policy.init(jax.random.key(0)), policy.init_statistics()), tables)


def _timed(what: str, learner: Learner, iterations: int) -> LearningSpeedRow:
    begun = time.perf_counter()
    state = jax.block_until_ready(learner.initial_state(jax.random.key(0)))
    compile_s = time.perf_counter() - begun
    seconds = []
    for _ in range(iterations):
        begun = time.perf_counter()
        state, _ = jax.block_until_ready(learner.train_iteration(state))
        seconds.append(time.perf_counter() - begun)
    median = statistics.median(seconds)
    return LearningSpeedRow(
        what=what,
        environments=sum(lane.batch for lane in learner.lanes),
        steps_per_iteration=learner.steps_per_iteration,
        seconds_per_iteration=median,
        steps_per_second=learner.steps_per_iteration / median,
        compile_s=compile_s,
    )
