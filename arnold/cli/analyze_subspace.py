"""`arnold analyze subspace`: how many components of its action a policy needs."""

from __future__ import annotations

import dataclasses
import numbers
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from arnold.cli.options import Names, PhysicsOptions
from arnold.cli.output import Done, note, say, show_table
from arnold.errors import UserError

if TYPE_CHECKING:  # importing it imports JAX, which help and errors do not wait for
    from arnold.analysis.bases import Basis


@dataclasses.dataclass(frozen=True)
class AnalyzeSubspace:
    """Project a policy's action on its first 0, 1, 2, ... principal components, and measure what it still solves."""

    policy: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="POLICY")]
    """A name of the zoo, a checkpoint's folder, or a run."""

    tasks: Annotated[Names, tyro.conf.arg(aliases=["--task"])] = ()
    """Tasks, or a group; the policy's own where not given. Those of one body are pooled, too."""

    episodes: int = 100
    """Episodes per task and number of components."""

    ranks: Annotated[tuple[int, ...], tyro.conf.arg(metavar="[N ...]")] = ()
    """How many components to keep; 0, 1, 2, ... where not given."""

    sampled: bool = False
    """Sample actions and project them, as the paper does, in place of taking their mean."""

    seed: int = 0
    """Of starts and goals, and of sampled actions."""

    out: Path | None = None
    """Folder of the results; runs/analyses/POLICY/subspace where not given."""

    physics: PhysicsOptions = dataclasses.field(default_factory=PhysicsOptions)

    def run(self) -> Done:
        """Measure, print what is needed, write table, picture and components."""
        from arnold.extras import extra_module

        for module in ("pandas", "sklearn"):  # said before an hour of episodes
            extra_module(module, "analysis", "control subspaces")
        from arnold.analysis.bases import save_bases
        from arnold.analysis.inactivation import draw_inactivation, inactivate, rank_needed
        from arnold.checkpoints.durable import reported_writes, write_text
        from arnold.cli.task_names import expand, own_tasks
        from arnold.saved_policy import load
        from arnold.tasks import Environment, task

        saved = load(self.policy)
        tasks = expand(self.tasks) or own_tasks(saved)
        if not tasks:
            raise UserError(
                f"the tasks of {self.policy!r} ({', '.join(saved.tasks)}) are not known here; name some with --tasks"
            )
        environments = [Environment(task(name), self.physics.backend, self.physics.threads) for name in tasks]
        table, bases = inactivate(
            saved.policy,
            (saved.params, saved.statistics),
            environments,
            episodes=self.episodes,
            seed=self.seed,
            ranks=self.ranks,
            deterministic=not self.sampled,
            note=note,
        )
        needed = rank_needed(table)
        told = "rank for 90 % of it", "variance there", "rank for 95 % of variance", "solved there, of the whole"
        columns = ["task", "basis", "whole action", *told, "note"]
        show_table(columns, [_row(row) for row in needed.itertuples()])
        for task_name in dict.fromkeys(needed["task"]):
            fixed = _still(bases[task_name]["own"])
            if fixed:
                say(f"{task_name}: the action of {', '.join(fixed)} never moves and is held at its mean")
        folder = (self.out or Path("runs") / "analyses" / Path(self.policy).name / "subspace").absolute()
        with reported_writes(folder):
            folder.mkdir(parents=True, exist_ok=True)
            curves = write_text(folder / "subspace.csv", table.to_csv(index=False))
            ranks = write_text(folder / "ranks.csv", needed.to_csv(index=False))
        picture = draw_inactivation(folder / "subspace.png", table)
        return Done((curves, ranks, save_bases(folder / "bases.npz", bases), picture, folder))


def _row(row: Any) -> list[str]:
    shown = [_percent(row.whole), _number(row.rank), _percent(row.explained), _number(row.rank_95)]
    return [row.task, row.basis, *shown, _percent(row.solved_95), row.note]


def _still(basis: Basis) -> list[str]:
    """Muscles whose action no component moves."""
    moved = (basis.components != 0.0).any(axis=0)
    return [muscle for muscle, one in zip(basis.muscles, moved, strict=True) if not one]


def _percent(share: Any) -> str:
    return f"{100 * share:.1f} %" if isinstance(share, float) else ""  # pandas' NA is no float


def _number(count: Any) -> str:
    return str(count) if isinstance(count, numbers.Integral) else ""
