"""The table of an evaluation, and whether the bars were reached."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from arnold.cli.output import say, show_table
from arnold.evaluation import Comparison, bar_lines, shown_fraction, side_by_side


def show_comparisons(comparisons: Sequence[Comparison], bars: Mapping[str, float] | None = None) -> None:
    """Print one row per task, and what is said of each bar.

    Args:
        comparisons: one per task.
        bars: the share of the expert's solved-step fraction that is asked for, by task.
    """
    bars = bars or {}
    columns = ["task", "steps solved", "expert", "of the expert's", *(["asked"] if bars else []), "success", "reward"]
    rows = []
    for c in comparisons:
        asked = [f"{100 * bars[c.student.task]:.0f} %" if c.student.task in bars else ""] if bars else []
        rows.append(
            [
                c.student.task,
                shown_fraction(c.student),
                shown_fraction(c.expert) if c.expert else "",
                "" if math.isnan(c.relative) else f"{100 * c.relative:.1f} %",
                *asked,
                f"{100 * c.student.success:.1f} %",
                f"{c.student.summary()['mean_reward']:.2f}",
            ]
        )
    show_table(columns, rows, f"{len(comparisons[0].student.steps)} episodes per task; steps solved / horizon, ± 95 %")
    for line in bar_lines(comparisons, bars):
        say(line)


def write_side_by_side(folder: Path, policies: Mapping[str, Sequence[Comparison]]) -> tuple[Path, ...]:
    """Print several policies on the same tasks, and write comparison.md and radar.png.

    Args:
        folder: where to.
        policies: by name, one comparison per task.
    """
    from arnold.checkpoints.durable import reported_writes, write_text
    from arnold.drawing import draw_radar

    tasks = [c.student.task for c in next(iter(policies.values()))]
    columns = [[shown_fraction(c.student) for c in comparisons] for comparisons in policies.values()]
    show_table(["task", *policies], [list(row) for row in zip(tasks, *columns, strict=True)], "steps solved / horizon")
    path = folder / "comparison.md"
    with reported_writes(folder):
        write_text(path, side_by_side(policies))
    return path, draw_radar(folder / "radar.png", policies)


def write_effect(folder: Path, intact: Sequence[Comparison], perturbed: Sequence[Comparison], what: str) -> Path:
    """Print what a policy solves with and without a perturbation of the muscles, and write effect.md.

    Args:
        folder: where to.
        intact: one comparison per task.
        perturbed: likewise, in the same order.
        what: the perturbation, in words.
    """
    from arnold.checkpoints.durable import reported_writes, write_text

    both = {"intact": intact, what: perturbed}
    pairs = zip(intact, perturbed, strict=True)
    rows = [[a.student.task, shown_fraction(a.student), shown_fraction(b.student)] for a, b in pairs]
    show_table(["task", *both], rows, "steps solved / horizon")
    with reported_writes(folder):
        return write_text(folder / "effect.md", side_by_side(both))
