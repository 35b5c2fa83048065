"""Imitation tasks on the command line: the table of an evaluation, and the user's own clips."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from arnold.cli.output import say, show_table
from arnold.episodes import policy_agent
from arnold.errors import UserError
from arnold.saved_policy import SavedPolicy
from arnold.tasks import register_task, task
from arnold.tasks.imitate import Imitate
from arnold.tasks.perturbation import INTACT, Perturbation
from arnold.tracking_report import Tracking, said_of, table_rows, tracking

SHORT = 20  # clips that the printed table names one by one


def with_clips(tasks: Sequence[str], clips: Sequence[Path | str]) -> tuple[str, ...]:
    """The imitation tasks among ``tasks``, with other clips, none held out, and a name that says so; registered.

    Raises:
        UserError: where none of them is one.
    """
    if not clips:
        return tuple(tasks)
    found = [made for made in map(task, tasks) if isinstance(made, Imitate)]
    if not found:
        raise UserError(f"clips are followed in imitation tasks only, not in {', '.join(tasks)}; name one with --tasks")
    given = tuple(str(clip) for clip in clips)
    replaced = [dataclasses.replace(made, name=f"{made.name}_with_clips", clips=given, held_out=()) for made in found]
    return tuple(register_task(made).name for made in replaced)


def track_saved(
    saved: SavedPolicy,
    tasks: Sequence[str],
    *,
    deterministic: bool = True,
    seed: int = 0,
    backend: str = "native",
    threads: int | None = None,
    perturbation: Perturbation = INTACT,
    note: Callable[[str], None] = lambda line: None,
) -> list[Tracking]:
    """Follow every clip of the imitation tasks among ``tasks``.

    Args:
        saved: the policy.
        tasks: task names.
        deterministic: take mean actions.
        seed: of sampled actions.
        backend: physics back end.
        threads: threads of the native back end.
        perturbation: of the muscles.
        note: given a line about each task as it ends.
    """
    made = []
    for asked in [each for each in map(task, tasks) if isinstance(each, Imitate)]:
        begun = time.monotonic()
        agent = functools.partial(policy_agent, saved.policy, deterministic=deterministic)
        parameters = (saved.params, saved.statistics)
        each = tracking(
            asked, agent, parameters, seed=seed, backend=backend, threads=threads, perturbation=perturbation
        )
        note(f"{asked.name}: followed {len(each.clips)} clips ({time.monotonic() - begun:.1f} s)")
        made.append(each)
    return made


def show_tracking(made: Sequence[Tracking]) -> None:
    """Print each task's table, and a row per clip where they are few."""
    for each in made:
        head, rows = table_rows(each, each_clip=1 < len(each.clips) <= SHORT)
        show_table(head, rows, f"{each.task}: each clip once, from its first frame to its last")
        for line in said_of(each):
            say(line)
