"""Making a zoo entry of a run: the policy alone, its evaluation, and a card that says how it came to be."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from arnold import provenance
from arnold.checkpoints import save_checkpoint, write_card
from arnold.checkpoints.zoo import ZOO_FOLDER
from arnold.evaluation import Comparison, Evaluator
from arnold.metric_log import read_rows
from arnold.runs import Run
from arnold.saved_policy import SavedPolicy, load
from arnold.tasks import Environment, task


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
) -> list[Comparison]:
    """Evaluate a policy on tasks, beside the experts given.

    Args:
        saved: the policy.
        tasks: task names.
        experts: by task.
        episodes: per task.
        seed: of starts and goals; the same for policy and expert.
        deterministic: take mean actions.
        backend: physics back end.
        threads: threads of the native back end.
    """
    comparisons = []
    for name in tasks:
        environment = Environment(task(name), backend, threads)

        def run(policy: SavedPolicy, environment=environment):
            evaluator = Evaluator(policy.policy, environment.task, environment=environment)
            return evaluator(policy.params, policy.statistics, episodes, seed, deterministic)

        expert = experts.get(name)
        comparisons.append(Comparison(run(saved), run(expert) if expert else None))
    return comparisons


def publish(run_path: Path, name: str, experts: dict[str, SavedPolicy], episodes: int = 200, folder: Path = ZOO_FOLDER) -> Path:
    """Copy a run's newest policy into the zoo under ``name``, with a card of what was measured.

    Args:
        run_path: the run.
        name: of the entry.
        experts: by task, to compare with; empty for an expert.
        episodes: of the evaluation.
        folder: the zoo.

    Returns:
        the entry's folder.

    Raises:
        UserError: where the run has no good checkpoint.
    """
    run = Run.open(run_path)
    saved = load(run.path)
    comparisons = evaluate_saved(saved, saved.tasks, experts, episodes=episodes)
    entry = folder / name
    if entry.exists():
        shutil.rmtree(entry)
    folder.mkdir(parents=True, exist_ok=True)
    policy = {"params": saved.params, "statistics": saved.statistics}
    save_checkpoint(entry, policy=policy, config=saved.config)
    write_card(entry, card(run, saved, comparisons))
    return entry


def card(run: Run, saved: SavedPolicy, comparisons: list[Comparison]) -> dict[str, Any]:
    """What a card says: recipe, seed, steps, wall time, machine and figures, all read from the run."""
    rows = read_rows(run.path / "metrics.jsonl")
    recipe = saved.config["recipe"]
    wall_s = rows[-1]["wall_s"] if rows else None
    return {
        "recipe": recipe,
        "seed": recipe["seed"],
        "environment_steps": saved.config["environment_steps"],
        "wall_time_s": wall_s,
        "machine": provenance.machine(),
        "made": saved.config.get("made"),
        "versions": run.manifest.get("packages", {}),
        "evaluation": {c.student.task: c.row() for c in comparisons},
    }
