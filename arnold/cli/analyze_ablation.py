"""`arnold analyze ablation`: what a policy still solves when a word loses its meaning."""

from __future__ import annotations

import dataclasses
import numbers
from pathlib import Path
from typing import Annotated, Any

import tyro

from arnold.cli.options import Names, Pairs, PhysicsOptions, name_value_pairs
from arnold.cli.output import Done, note, show_table
from arnold.errors import UserError


@dataclasses.dataclass(frozen=True)
class AnalyzeAblation:
    """Take words from a policy one at a time, or let words change places, and measure what it still solves."""

    policy: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="POLICY")]
    """A name of the zoo, a checkpoint's folder, or a run; a transformer."""

    tasks: Annotated[Names, tyro.conf.arg(aliases=["--task"])] = ()
    """Tasks, or a group; the policy's own where not given."""

    words: Names = ()
    """Which words; all that the task uses where not given."""

    by: str = "zero"
    """What is put in a word's place: zero, the mean of all words, or the mean of its category."""

    exchange: Pairs = ()
    """Instead of ablating, let the words of these pairs change places, all at once: left=right, or fingers, such as
    index=middle."""

    episodes: int = 20
    """Episodes per word."""

    seed: int = 0
    """Of starts and goals."""

    out: Path | None = None
    """Folder of the results; runs/analyses/POLICY/ablation (or exchange) where not given."""

    physics: PhysicsOptions = dataclasses.field(default_factory=PhysicsOptions)

    def run(self) -> Done:
        """Measure, print what changes, write table and picture."""
        from arnold.extras import extra_module

        extra_module("pandas", "analysis", "word ablation")
        import pandas as pd

        from arnold.analysis.vocabulary_pictures import draw_ablation
        from arnold.analysis.word_ablation import WordAblation
        from arnold.checkpoints.durable import reported_writes, write_text
        from arnold.cli.task_names import expand, own_tasks
        from arnold.saved_policy import load
        from arnold.tasks import Environment, task

        pairs = name_value_pairs("--exchange", self.exchange)
        if pairs and self.words:
            raise UserError("--words says what to ablate and --exchange what to exchange; give one of them")
        saved = load(self.policy)
        tasks = expand(self.tasks) or own_tasks(saved)
        if not tasks:
            raise UserError(
                f"the tasks of {self.policy!r} ({', '.join(saved.tasks)}) are not known here; name some with --tasks"
            )
        params, tables = (saved.params, saved.statistics), []
        for name in tasks:
            environment = Environment(task(name), self.physics.backend, self.physics.threads)
            note(f"{name}: compiling")
            made, how = WordAblation(saved.policy, environment), {"episodes": self.episodes, "seed": self.seed}
            tables.append(
                made.exchange(params, pairs, note=note, **how)
                if pairs
                else made.ablate(params, self.words, by=self.by, note=note, **how)
            )
        table = pd.concat(tables, ignore_index=True)
        columns = ["task", "word", "tokens", "muscles", "solved", "change", "reward"]
        show_table(columns, [_row(row) for row in table.sort_values("solved", kind="stable").itertuples()])
        what = "exchange" if pairs else "ablation"
        folder = (self.out or Path("runs") / "analyses" / Path(self.policy).name / what).absolute()
        with reported_writes(folder):
            folder.mkdir(parents=True, exist_ok=True)
            written = write_text(folder / f"{what}.csv", table.to_csv(index=False))
        return Done((written, draw_ablation(folder / f"{what}.png", table), folder))


def _row(row: Any) -> list[str]:
    named = [str(count) if isinstance(count, numbers.Integral) else "" for count in (row.tokens, row.muscles)]
    solved = f"{100 * row.solved:.1f} ± {100 * row.solved_error:.1f} %"
    return [row.task, row.word, *named, solved, f"{100 * row.change:+.1f} %", f"{row.reward:.2f}"]
