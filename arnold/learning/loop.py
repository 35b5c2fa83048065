"""The host's loop around the jitted iteration: logs, saves, resumes, stops cleanly, and keeps what went wrong.

SIGTERM and Ctrl-C finish the iteration under way, save and return. After a few non-finite updates in a row the run
stops and the state it happened from is written to ``<run>/nonfinite/``, which `arnold replay` runs again.
"""

from __future__ import annotations

import dataclasses
import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np

from arnold.checkpoints import load_learner, save_checkpoint
from arnold.checkpoints.durable import reported_writes
from arnold.errors import UserError
from arnold.learning.learner import Learner, TrainState
from arnold.progress import Progress
from arnold.runs import Run

SAVE_EVERY_S = 120.0
MAX_DUMPS = 3  # of iterations in which physics diverged, per process: the first ones tell


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a loop ended."""

    state: TrainState
    finished: bool  # False where it was asked to stop
    seconds: float  # worked by this process
    asked_to_stop: bool = False


def train(
    run: Run,
    learner: Learner,
    begin: Callable[[], TrainState],
    policy_config: dict[str, Any],
    *,
    save_every_s: float = SAVE_EVERY_S,
    label: str = "",
    on_iteration: Callable[[TrainState, dict[str, float]], None] | None = None,
) -> Ended:
    """Iterate until the learner's last iteration, or until asked to stop.

    Args:
        run: where metrics and checkpoints go.
        learner: what to iterate.
        begin: gives the state to start from; its own counter says how much is done.
        policy_config: the checkpoint's config (see `arnold.saved_policy`).
        save_every_s: seconds between checkpoints; one is always written at the end.
        label: for the progress line.
        on_iteration: called after each iteration with the state and its metrics.

    Raises:
        UserError: after too many non-finite updates in a row, naming the dump; or where the disk is full.
    """
    begun = saved = time.monotonic()
    dumps = 0
    with (
        _stop_signals() as stop,
        Progress(learner.iterations * learner.steps_per_iteration, label=label) as progress,
    ):
        progress.note("preparing the training iteration ...")
        state = begin()
        first = done = int(state.iteration)
        progress.restart_rate(done * learner.steps_per_iteration)
        while done < learner.iterations and not stop.asked:
            before = state
            state, device_metrics = learner.train_iteration(state)
            metrics = {name: float(value) for name, value in jax.device_get(device_metrics).items()}
            if done == first:
                progress.note(f"compiled and ran the first iteration in {time.monotonic() - begun:.1f} s")
            done += 1
            step = done * learner.steps_per_iteration
            run.log(step, metrics)
            progress.update(step, **_headline(learner, metrics))
            if dumps < MAX_DUMPS and (diverged := _diverged(learner, metrics)):
                dumps += 1
                folder = _dump(run, "diverged", before, policy_config)
                progress.note(f"physics diverged ({diverged}); those episodes ended. Again: arnold replay {folder}")
            if int(state.skipped_in_a_row) >= learner.config.max_skipped:
                raise _nonfinite(run, before, int(state.skipped_in_a_row), policy_config, metrics)
            if on_iteration is not None:
                on_iteration(state, metrics)
            if time.monotonic() - saved > save_every_s:
                save(run, learner, state, policy_config)
                saved = time.monotonic()
        if stop.asked:
            progress.note("asked to stop: saving")
        save(run, learner, state, policy_config)
    return Ended(state, done >= learner.iterations, time.monotonic() - begun, stop.asked)


def save(run: Run, learner: Learner, state: TrainState, policy_config: dict[str, Any]) -> Path:
    """Write a checkpoint of a training state: what inference reads, and everything a resume needs."""
    step = int(state.iteration) * learner.steps_per_iteration
    policy = {"params": learner.policy_params(state), "statistics": state.statistics}
    return run.save(step, policy, {**policy_config, "environment_steps": step}, state)


def resume(run: Run, learner: Learner) -> TrainState:
    """The state of the run's newest good checkpoint.

    Raises:
        UserError: where there is no checkpoint, or it is of another recipe.
    """
    latest = run.latest()
    if latest is None:
        raise UserError(f"run {str(run.path)!r} has no checkpoint to resume from; start it again without --resume")
    return load_learner(latest, learner.blank_state())


class _Stop:
    asked = False


@contextmanager
def _stop_signals() -> Iterator[_Stop]:
    """Turn SIGTERM and SIGINT into a request; a second one acts as usual. Only the main thread may set handlers."""
    stop = _Stop()
    previous: dict[signal.Signals, Any] = {}

    def ask(number: int, frame: object) -> None:
        stop.asked = True
        signal.signal(number, previous[signal.Signals(number)])

    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            previous[number] = signal.signal(number, ask)
    except ValueError:  # not the main thread: signals stay with whoever has it
        pass
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _headline(learner: Learner, metrics: dict[str, float]) -> dict[str, float | str]:
    """What the progress line shows: solved steps, averaged over the tasks, and the loss that matters."""
    solved = [metrics[f"{lane.name}/solved"] for lane in learner.lanes]
    figures: dict[str, float | str] = {"solved": float(np.mean(solved))}
    for part in ("imitation", "kl"):
        if part in metrics:
            figures[part] = metrics[part]
    return figures


def _diverged(learner: Learner, metrics: dict[str, float]) -> str:
    """How many environment steps diverged in which task; empty where none did."""
    counts = {lane.name: int(metrics[f"{lane.name}/diverged"]) for lane in learner.lanes}
    return ", ".join(f"{count} environment steps of {name}" for name, count in counts.items() if count)


def _dump(run: Run, kind: str, before: TrainState, policy_config: dict[str, Any]) -> Path:
    """Write the state before an iteration, for `arnold replay`; the folder's path."""
    folder = run.path / kind / f"iteration_{int(before.iteration):08d}"
    with reported_writes(folder):
        folder.parent.mkdir(exist_ok=True)
    policy = {"params": before.params, "statistics": before.statistics}
    save_checkpoint(folder, policy=policy, config=policy_config, learner=before)
    run.wrote(folder)
    return folder


def _nonfinite(
    run: Run, before: TrainState, in_a_row: int, policy_config: dict[str, Any], metrics: dict[str, float]
) -> UserError:
    """Write the state that led to ``in_a_row`` non-finite updates; the error to raise."""
    folder = _dump(run, "nonfinite", before, policy_config)
    empty = "/episode_solved"  # not a number where no episode ended
    bad = sorted(name for name, value in metrics.items() if not math.isfinite(value) and not name.endswith(empty))
    return UserError(
        f"training stopped: {in_a_row} updates in a row were not finite ({', '.join(bad) or 'gradients'}); "
        f"the state before is in {folder}: look at it with `arnold replay {folder}`, lower the learning rate or "
        "check the task's reward"
    )
