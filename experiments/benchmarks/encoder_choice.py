"""Quality against speed of the four combinations of granularity and encoder, at the sizes of one preset.

Each combination is distilled from the shipped experts of the five hand reaches for the same time on the same machine,
at a constant learning rate (so that no schedule needs to know how far a combination comes), and is then evaluated.
"""

from __future__ import annotations

import dataclasses
import itertools
import time

import jax
import numpy as np

from arnold import saved_policy
from arnold.errors import UserError
from arnold.evaluation import Evaluator
from arnold.experts import Expert
from arnold.learning.learner import Learner
from arnold.learning.mixture import Mixture
from arnold.policy.generalist import TransformerActorCritic
from arnold.policy.presets import preset as policy_preset
from arnold.policy.transformer import ENCODERS, GRANULARITIES
from arnold.recipe import DISTILLATION_LEARNER
from arnold.tasks import Environment

TASKS = tuple(f"hand_{digit}_reach" for digit in ("thumb", "index", "middle", "ring", "little"))
ENVIRONMENTS = 8  # per task: small enough that the slowest combination still takes some updates in its time
LEARNER = dataclasses.replace(
    DISTILLATION_LEARNER, minibatches=4, learning_rate=1e-3, final_learning_rate=1e-3, log_std=(-2.5, -2.5)
)


@dataclasses.dataclass(frozen=True)
class EncoderRow:
    """One combination after its time."""

    granularity: str
    encoder: str
    parameters: int
    tokens: int
    """Tokens that the encoder reads per observation."""

    steps_per_second: float
    """Environment steps of whole training iterations per second."""

    updates: int
    imitation_loss: float
    """Mean of the last tenth of the iterations."""

    relative: float
    """Solved steps / the expert's, mean over the tasks."""


def measure_encoder_choice(
    seconds: float = 100.0, episodes: int = 40, preset: str = "small", threads: int | None = None
) -> list[EncoderRow]:
    """Distil the hand reaches for ``seconds`` per combination (compilation not counted) and evaluate.

    Args:
        seconds: of training.
        episodes: of each evaluation, per task.
        preset: whose sizes all four have.
        threads: threads of the native back end.

    Raises:
        UserError: a number that is not positive.
    """
    for name, number in (("seconds", seconds), ("episodes", episodes)):
        if not number > 0:
            raise UserError(f"{name} is {number}; a number above 0 is accepted")
    mixture = Mixture.of(dict.fromkeys(TASKS, ENVIRONMENTS))
    environments = {task.name: Environment(task, "native", threads) for task in mixture.tasks}
    experts = {name: saved_policy.load(name) for name in TASKS}
    solved = {}
    for name, environment in environments.items():
        evaluator = Evaluator(experts[name].policy, environment.task, environment=environment)
        solved[name] = evaluator(experts[name].params, experts[name].statistics, episodes).solved_step_fraction
    labels: dict[str, Expert] = {name: experts[name].expert(environments[name]) for name in TASKS}
    return [
        _measured(granularity, encoder, preset, environments, labels, solved, seconds, episodes, threads)
        for granularity, encoder in itertools.product(GRANULARITIES, ENCODERS)
    ]


def _measured(
    granularity: str,
    encoder: str,
    preset: str,
    environments: dict[str, Environment],
    labels: dict[str, Expert],
    solved: dict[str, float],
    seconds: float,
    episodes: int,
    threads: int | None,
) -> EncoderRow:
    config = dataclasses.replace(policy_preset(preset), granularity=granularity, encoder=encoder)
    tables = [(e.observation_table, e.action_table) for e in environments.values()]
    policy = TransformerActorCritic.for_tasks(config, tables)
    learner = Learner(policy, Mixture.of(dict.fromkeys(TASKS, ENVIRONMENTS)), LEARNER, 1, labels, threads=threads)
    state, _ = learner.train_iteration(learner.initial_state(jax.random.key(1)))  # compiles
    jax.block_until_ready(state)
    losses, begun = [], time.perf_counter()
    while time.perf_counter() - begun < seconds:
        state, metrics = learner.train_iteration(state)
        losses.append(float(metrics["imitation"]))
    took = time.perf_counter() - begun
    relative = []
    for name, environment in environments.items():
        evaluator = Evaluator(policy, environment.task, environment=environment)
        relative.append(evaluator(state.params, state.statistics, episodes).solved_step_fraction / solved[name])
    groups = policy.bind(tables[:1]).groups
    return EncoderRow(
        granularity=granularity,
        encoder=encoder,
        parameters=sum(leaf.size for leaf in jax.tree.leaves(state.params)),
        tokens=sum(group.words.shape[1] for group in groups),
        steps_per_second=len(losses) * learner.steps_per_iteration / took,
        updates=int(state.updates),
        imitation_loss=float(np.mean(losses[-max(1, len(losses) // 10) :])),
        relative=float(np.mean(relative)),
    )
