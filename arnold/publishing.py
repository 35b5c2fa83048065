"""Making a zoo entry of a run: the policy alone, its evaluation, and a card that says how it came to be."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from arnold import provenance
from arnold.checkpoints import resolve, save_checkpoint, write_card
from arnold.checkpoints.zoo import ZOO_FOLDER
from arnold.episodes import Recording
from arnold.errors import UserError
from arnold.evaluation import Comparison, Evaluation, Evaluator
from arnold.metric_log import read_rows
from arnold.runs import Run, run_of
from arnold.saved_policy import SavedPolicy, load
from arnold.tasks import Environment, Task, task
from arnold.tasks.perturbation import INTACT, Perturbation


def evaluate_saved(
    saved: SavedPolicy,
    tasks: tuple[str, ...],
    experts: dict[str, SavedPolicy],
    *,
    episodes: int = 200,
    seed: int = 0,
    deterministic: bool = True,
    backend: str = "native",
    threads: int | None = None,
    perturbation: Perturbation = INTACT,
    note: Callable[[str], None] = lambda line: None,
) -> list[Comparison]:
    """Evaluate a policy on tasks, beside the experts given.

    Args:
        saved: the policy.
        tasks: task names.
        experts: by the task's name.
        episodes: per task.
        seed: of starts and goals; the same for policy and expert.
        deterministic: take mean actions.
        backend: physics back end.
        threads: threads of the native back end.
        perturbation: of the muscles, the same for policy and expert.
        note: given a line about each evaluation as it ends.

    Raises:
        UserError: an unknown task, or one in which the policy cannot act.
    """
    comparisons = []
    for name in tasks:
        environment = Environment(task(name), backend, threads, perturbation=perturbation)
        goal = environment.task

        def run(
            policy: SavedPolicy, role: str, environment: Environment = environment, goal: Task = goal
        ) -> tuple[Evaluation, Recording]:
            begun = time.monotonic()
            try:
                evaluator = Evaluator(policy.policy, goal, environment=environment, deterministic=deterministic)
            except UserError as error:
                raise UserError(f"this {role} cannot act in task {goal.name!r}: {error}") from error
            evaluation, recording = evaluator.recorded(policy.params, policy.statistics, episodes, seed)
            note(_said(role, evaluation, time.monotonic() - begun))
            return evaluation, recording

        evaluation, recording = run(saved, "policy")
        expert = experts.get(goal.name)
        expert_evaluation, expert_recording = run(expert, "expert") if expert else (None, None)
        comparisons.append(Comparison(evaluation, expert_evaluation, recording, expert_recording))
    return comparisons


def _said(role: str, evaluation: Evaluation, seconds: float) -> str:
    fraction = f"{100 * evaluation.solved_step_fraction:.1f} % of steps solved"
    return f"{evaluation.task}, {role}: {fraction} in {len(evaluation.steps)} episodes ({seconds:.1f} s)"


def publish(
    run_path: Path,
    name: str,
    experts: dict[str, SavedPolicy],
    episodes: int = 200,
    folder: Path = ZOO_FOLDER,
    note: Callable[[str], None] = lambda line: None,
) -> Path:
    """Copy a run's newest policy into the zoo under ``name``, with a card of what was measured.

    Args:
        run_path: the run.
        name: of the entry; an entry of that name is replaced.
        experts: by task, to compare with; empty for an expert.
        episodes: of the evaluation.
        folder: the zoo.
        note: given a line about each evaluation as it ends.

    Returns:
        the entry's folder.

    Raises:
        UserError: where the run has no good checkpoint, or ``name`` is not a plain name.
    """
    if not name or name.startswith(".") or any(c in name for c in "/\\\0"):
        raise UserError(
            f"the name of a zoo entry names a folder, so {name!r} will not do; use letters, digits, _ and -"
        )
    run = Run.open(run_path)
    saved = load(run.path)
    saved = dataclasses.replace(saved, config=portable(saved.config))
    comparisons = evaluate_saved(saved, saved.tasks, experts, episodes=episodes, note=note)
    policy = {"params": saved.params, "statistics": saved.statistics}
    entry = save_checkpoint(folder / name, policy=policy, config=saved.config)
    write_card(entry, card(run, saved, comparisons))
    return entry


def portable(value: Any) -> Any:
    """JSON values without the paths of the machine that trained: of a run its recipe (``runs/RECIPE``), else the name.

    Paths that are relative stay, as they mean something beside the command that made the run.
    """
    if isinstance(value, Mapping):
        return {name: portable(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [portable(inner) for inner in value]
    if not isinstance(value, str) or not Path(value).is_absolute():
        return value
    try:
        run = run_of(resolve(value))
    except UserError:  # no policy, or gone
        run = None
    return f"runs/{Run.open(run).manifest['recipe']}" if run else Path(value).name


def card(run: Run, saved: SavedPolicy, comparisons: list[Comparison]) -> dict[str, Any]:
    """What a card says: recipe, seed, steps, wall time, machine and figures, all read from the run."""
    rows = read_rows(run.path / "metrics.jsonl")
    settings = saved.config["recipe"]
    return {
        "recipe": run.manifest["recipe"],
        "seed": settings["seed"],
        "steps": saved.config["environment_steps"],
        "wall_time_s": rows[-1]["wall_s"] if rows else None,
        **({"trained_before": saved.config["earlier"]} if saved.config.get("earlier") else {}),
        "machine": run.manifest["machine"],
        "made": saved.config.get("made"),
        "settings": settings,
        "learning_curve": learning_curve(rows, saved.tasks),
        "versions": run.manifest.get("packages", {}),
        "evaluated_on": provenance.machine(),
        "evaluation": {c.student.task: _figures(c) for c in comparisons},
    }


def learning_curve(rows: Sequence[Mapping[str, Any]], tasks: Sequence[str]) -> dict[str, float]:
    """The share of solved steps in each tenth of a training, with its exploration, by the steps at the tenth's end.

    Args:
        rows: the run's metric rows.
        tasks: whose shares are averaged.
    """
    tenths = [part for part in np.array_split(np.arange(len(rows)), min(10, len(rows))) if len(part)]
    curve = {}
    for part in tenths:
        solved = [
            rows[i][f"{task}/solved"] for i in part for task in tasks if rows[i].get(f"{task}/solved") is not None
        ]
        if solved:
            curve[f"{rows[part[-1]]['step']:,}"] = round(float(np.mean(solved)), 4)
    return curve


def _figures(comparison: Comparison) -> dict[str, Any]:
    return {name: value for name, value in comparison.row().items() if name != "task"}
