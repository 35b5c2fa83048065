"""Evaluating a policy: whole episodes, side by side with an expert, with confidence intervals.

The figure that papers compare is the *solved-step fraction*: solved steps / horizon, averaged over episodes, so that an
episode which ends early counts its missing steps as unsolved. Evaluation reads statistics and never changes them.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from arnold.checkpoints.durable import reported_writes, write_text
from arnold.episodes import Episodes, Recording, policy_agent
from arnold.policy.actor_critic import ActorCritic
from arnold.tasks import Environment, Task

CONFIDENCE_Z = 1.959964  # two-sided 95 %


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What a policy did in one task; one entry per episode.

    Attributes:
        task: the task's name.
        horizon: control steps per episode.
        solved_steps: solved steps of each episode.
        steps: control steps until each episode's end.
        reward: sum of the dense reward of each episode.
        seed: the seed of the goals and starts.
        deterministic: whether the mean action was taken.
    """

    task: str
    horizon: int
    solved_steps: tuple[int, ...]
    steps: tuple[int, ...]
    reward: tuple[float, ...]
    seed: int
    deterministic: bool

    @property
    def solved_step_fraction(self) -> float:
        """Solved steps / horizon, averaged over episodes."""
        return float(np.mean(self.solved_steps)) / self.horizon

    @property
    def confidence(self) -> float:
        """Half the width of the 95 % interval of the solved-step fraction (normal, over episodes)."""
        fractions = np.asarray(self.solved_steps) / self.horizon
        if len(fractions) < 2:
            return math.nan
        return CONFIDENCE_Z * float(np.std(fractions, ddof=1)) / math.sqrt(len(fractions))

    @property
    def success(self) -> float:
        """Share of the episodes with at least one solved step."""
        return float(np.mean(np.asarray(self.solved_steps) > 0))

    def summary(self) -> dict[str, Any]:
        """The figures of the reference's benchmark, for tables and cards."""
        return {
            "episodes": len(self.steps),
            "horizon": self.horizon,
            "solved_step_fraction": self.solved_step_fraction,
            "confidence_95": _or_none(self.confidence),
            "success": self.success,
            "mean_reward": float(np.mean(self.reward)),
            "std_reward": float(np.std(self.reward)),
            "mean_step_reward": float(np.sum(self.reward) / np.sum(self.steps)),
            "mean_steps": float(np.mean(self.steps)),
            "seed": self.seed,
            "deterministic": self.deterministic,
        }

    def to_dict(self) -> dict[str, Any]:
        """Everything, per episode too."""
        per_episode = {
            "solved_steps": list(self.solved_steps),
            "steps": list(self.steps),
            "reward": list(self.reward),
        }
        return {"task": self.task, **self.summary(), "per_episode": per_episode}


class Evaluator:
    """Runs whole episodes of one task with one network; compiled once, for any parameters.

    Args:
        policy: the network.
        task: the task.
        backend: physics back end.
        threads: threads of the native back end.
        environment: an environment to reuse in place of a new one.
        deterministic: take the mean action; otherwise sample.
    """

    def __init__(
        self,
        policy: ActorCritic,
        task: Task,
        backend: str = "native",
        threads: int | None = None,
        environment: Environment | None = None,
        deterministic: bool = True,
    ):
        self.environment = environment or Environment(task, backend, threads)
        self.deterministic = deterministic
        self._episodes = Episodes(self.environment, policy_agent(policy, self.environment, deterministic))

    def __call__(self, params: Any, statistics: Any, episodes: int = 200, seed: int = 0) -> Evaluation:
        """Evaluate.

        Args:
            params: the network's parameters.
            statistics: its observation statistics, read only.
            episodes: how many, all stepped together.
            seed: of starts, goals and, where not deterministic, actions.

        Raises:
            UserError: for fewer than one episode.
        """
        return self.recorded(params, statistics, episodes, seed)[0]

    def recorded(
        self, params: Any, statistics: Any, episodes: int = 200, seed: int = 0
    ) -> tuple[Evaluation, Recording]:
        """Evaluate, and return what happened step by step too, with the activations of the first episode."""
        recording = self._episodes((params, statistics), episodes, seed)
        evaluation = Evaluation(
            task=self.environment.task.name,
            horizon=self.environment.task.horizon,
            solved_steps=tuple(int(x) for x in recording.solved.sum(axis=1)),
            steps=tuple(int(x) for x in recording.running.sum(axis=1)),
            reward=tuple(float(x) for x in recording.reward.sum(axis=1)),
            seed=seed,
            deterministic=self.deterministic,
        )
        return evaluation, recording


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A policy beside its expert in one task; the expert may be missing."""

    student: Evaluation
    expert: Evaluation | None = None
    student_recording: Recording | None = None
    expert_recording: Recording | None = None

    @property
    def relative(self) -> float:
        """The student's solved-step fraction over the expert's; NaN without an expert that solves anything."""
        if self.expert is None or self.expert.solved_step_fraction == 0.0:
            return math.nan
        return self.student.solved_step_fraction / self.expert.solved_step_fraction

    def row(self) -> dict[str, Any]:
        """One row of the table."""
        row = {"task": self.student.task, **self.student.summary()}
        if self.expert is not None:
            row["expert_solved_step_fraction"] = self.expert.solved_step_fraction
            row["expert_confidence_95"] = _or_none(self.expert.confidence)
            row["relative_to_expert"] = _or_none(self.relative)
        return row


def markdown_table(comparisons: Sequence[Comparison]) -> str:
    """The table of a report: solved-step fractions in percent with 95 % intervals."""
    lines = [
        "| task | episodes | solved steps | expert | relative | success | reward |",
        "|---|---|---|---|---|---|---|",
    ]
    for c in comparisons:
        expert = "" if c.expert is None else shown_fraction(c.expert)
        relative = "" if math.isnan(c.relative) else f"{100 * c.relative:.1f} %"
        summary = c.student.summary()
        lines.append(
            f"| {c.student.task} | {summary['episodes']} | {shown_fraction(c.student)} | {expert} | {relative} | "
            f"{100 * c.student.success:.1f} % | {summary['mean_reward']:.2f} |"
        )
    return "\n".join(lines) + "\n"


def side_by_side(policies: Mapping[str, Sequence[Comparison]]) -> str:
    """A Markdown table of several policies on the same tasks: solved-step fractions, and shares of the experts'.

    Args:
        policies: by name, one comparison per task, in the same order.
    """
    names = list(policies)
    lines = [f"| task | {' | '.join(names)} | expert |", "|---" * (len(names) + 2) + "|"]
    for row in zip(*policies.values(), strict=True):
        experts = [c.expert for c in row if c.expert is not None]
        shares = [f" ({100 * c.relative:.1f} %)" if not math.isnan(c.relative) else "" for c in row]
        cells = [shown_fraction(c.student) + share for c, share in zip(row, shares, strict=True)]
        lines.append(
            f"| {row[0].student.task} | {' | '.join(cells)} | {shown_fraction(experts[0]) if experts else ''} |"
        )
    return "\n".join(lines) + "\n"


def _or_none(figure: float) -> float | None:
    """JSON has no NaN: what is not known is null there, and empty in a table."""
    return None if math.isnan(figure) else figure


def shown_fraction(evaluation: Evaluation) -> str:
    """A solved-step fraction with its interval, such as ``"93.1 ± 0.8 %"``."""
    width = "" if math.isnan(evaluation.confidence) else f" ± {100 * evaluation.confidence:.1f}"
    return f"{100 * evaluation.solved_step_fraction:.1f}{width} %"


def bar_lines(comparisons: Sequence[Comparison], bars: Mapping[str, float]) -> list[str]:
    """Whether the student reached what was asked of it: one line for all, or one for each task where it did not.

    Args:
        comparisons: one per task.
        bars: the share of the expert's solved-step fraction that is asked for, by task.
    """
    asked = [c for c in comparisons if c.student.task in bars and not math.isnan(c.relative)]
    missed = [c for c in asked if not c.relative >= bars[c.student.task]]
    if asked and not missed:
        return [f"Every bar was reached ({len(asked)} of {len(asked)})."]
    return [
        f"Bar missed: {c.student.task} reached {100 * c.relative:.1f} % of its expert, "
        f"{100 * bars[c.student.task]:.0f} % was asked; train longer (--steps)."
        for c in missed
    ]


def write_evaluation(folder: Path, comparisons: Sequence[Comparison], heading: dict[str, Any]) -> tuple[Path, ...]:
    """Write evaluation.json (per episode), evaluation.csv (a row per task) and evaluation.md (the table).

    Args:
        folder: where to; made if missing.
        comparisons: one per task.
        heading: what was evaluated, for the JSON.

    Returns:
        the three paths.
    """
    rows = [c.row() for c in comparisons]
    pairs = [{"student": c.student.to_dict(), "expert": c.expert.to_dict() if c.expert else None} for c in comparisons]
    detail = {**heading, "tasks": pairs}
    paths = tuple(folder / f"evaluation.{suffix}" for suffix in ("json", "csv", "md"))
    with reported_writes(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_text(paths[0], json.dumps(detail, indent=1, allow_nan=False) + "\n")
        write_text(paths[1], _csv(rows))
        write_text(paths[2], markdown_table(comparisons))
    return paths


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()
