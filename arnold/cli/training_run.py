"""What `train`, `distill` and `finetune` share: start or resume a run, say how it ended."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from arnold import training
from arnold.cli.options import TrainingOptions
from arnold.cli.output import Done, say
from arnold.errors import UserError
from arnold.metric_log import read_rows
from arnold.progress import duration
from arnold.recipe import Recipe

STOPPED = 130  # what a shell reports of a program that was interrupted


@dataclasses.dataclass(frozen=True)
class TrainingRun:
    """A training that has ended."""

    trained: training.Trained

    @property
    def finished(self) -> bool:
        """Whether it came to its last iteration."""
        return self.trained.ended.finished

    def done(self, *more: Path) -> Done:
        """What the command line prints and returns; ``more`` paths come after the run's own, and its folder last."""
        run = self.trained.run
        if not self.finished:
            say(f"stopped and saved; go on with --resume {run.path}")
        written = tuple(path for path in run.written if path.exists())
        return Done((*written, *more, run.path), 0 if self.finished else STOPPED)


def started(recipe: Recipe, label: str, command: TrainingOptions) -> TrainingRun:
    """Start a run of a recipe, train to its end and say how it went.

    Args:
        recipe: what to train.
        label: names the run's folder.
        command: says where its folder goes, on what it runs, and who is told of it.
    """
    command.physics.check()
    trained = training.run_recipe(recipe, label, root=command.runs, **_options(command))
    return _told(TrainingRun(trained))


def resumed(command: TrainingOptions, not_with: tuple[str, ...]) -> TrainingRun:
    """Go on with the run that ``--resume`` names.

    Args:
        command: the command.
        not_with: its fields that belong to a new run, and must be at their defaults.

    Raises:
        UserError: one of those was given, because a resumed run follows its own recipe to the end.
    """
    command.physics.check()
    defaults = type(command)()
    given = [name for name in not_with if getattr(command, name) != getattr(defaults, name)]
    if given:
        raise UserError(
            f"--resume goes on with a run as it was begun, so {', '.join(given)} cannot be given with it; "
            "start a new run, or fine-tune the run's policy with `arnold finetune`"
        )
    return _told(TrainingRun(training.resume_run(Path(command.resume), **_options(command))))


def _options(command: TrainingOptions) -> dict[str, Any]:
    physics = command.physics
    return {"backend": physics.backend, "threads": physics.threads, "sinks": command.log}


def _told(ended: TrainingRun) -> TrainingRun:
    run = ended.trained.run
    last = read_rows(run.path / "metrics.jsonl")[-1:]
    if last:
        fractions = {name.removesuffix("/solved"): value for name, value in last[0].items() if name.endswith("/solved")}
        solved = [f"{name} {100 * value:.0f} %" for name, value in fractions.items() if value is not None]
        say(
            f"trained for {last[0]['step']:,} environment steps in {duration(last[0]['wall_s'])} of work; "
            f"steps solved in the last rollout, with exploration: {', '.join(solved)}"
        )
    return ended
