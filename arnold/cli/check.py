"""`arnold check`: what is wrong with a task of one's own."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import tyro

from arnold.cli.output import Done, say
from arnold.errors import UserError


@dataclasses.dataclass(frozen=True)
class Check:
    """Run a task through its paces and say what is wrong with it."""

    task: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TASK_FILE")]
    """A file that registers a task (FILE.py or FILE.py:NAME), or a task's name."""

    def run(self) -> Done:
        """Check, and print what was found."""
        from arnold.tasks import check_task, task

        report = check_task(task(self.task))
        say(str(report))
        if not report.ok:
            raise UserError(
                f"task {self.task!r} cannot be trained as it is; put right what is named above, and check again"
            )
        return Done()
