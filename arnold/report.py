"""The report of a distillation: a table and pictures, as Markdown and as one self-contained HTML page.

::

    <run>/report/
      report.md        the text and the table; refers to the pictures
      index.html       the same with the pictures inside: one file to send
      learning.png     solved steps per task, and the imitation loss, against environment steps
      comparison.png   expert beside student
      episode_<task>.png   one episode's muscle activations
"""

from __future__ import annotations

import base64
import dataclasses
import html
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from arnold import drawing, provenance
from arnold.checkpoints.durable import reported_writes, write_text
from arnold.evaluation import Comparison, bar_lines, markdown_table
from arnold.metric_log import read_rows
from arnold.progress import duration

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "img{max-width:100%}table{border-collapse:collapse}"
    "td,th{padding:.25rem .8rem;border-bottom:1px solid #ddd;text-align:left}"
)


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of the report: a heading, paragraphs, a Markdown table or nothing, a picture or none."""

    title: str
    paragraphs: tuple[str, ...]
    table: str = ""
    picture: Path | None = None


def write_report(
    run: Path, comparisons: Sequence[Comparison], config: Mapping[str, Any], bars: Mapping[str, float] | None = None
) -> tuple[Path, ...]:
    """Draw the pictures and write the report of a run into its ``report`` folder.

    Args:
        run: the run's folder, whose metrics are read.
        comparisons: student and expert, one per task, with their recordings.
        config: the checkpoint's config.
        bars: the share of the expert's solved-step fraction that was asked for, by task.

    Returns:
        what was written, the HTML page last.

    Raises:
        UserError: the disk is full or read-only.
    """
    folder, bars = run / "report", bars or {}
    with reported_writes(folder):
        folder.mkdir(parents=True, exist_ok=True)
    rows = read_rows(run / "metrics.jsonl")
    sections = [_summary(comparisons, bars), *_pictures(folder, rows, comparisons, bars), _making(run, rows, config)]
    title = f"Distillation: {', '.join(c.student.task for c in comparisons)}"
    with reported_writes(folder):
        text = write_text(folder / "report.md", as_markdown(title, sections))
        page = write_text(folder / "index.html", as_html(title, sections))
    return (*(s.picture for s in sections if s.picture is not None), text, page)


def _summary(comparisons: Sequence[Comparison], bars: Mapping[str, float]) -> Section:
    first = comparisons[0].student
    how = "the mean of its action distribution" if first.deterministic else "samples of its action distribution"
    said = (
        f"One transformer drives {len(comparisons)} task{'s' if len(comparisons) > 1 else ''} and is compared with the "
        f"specialist it learned from, over {len(first.steps)} episodes each from the same starts to the same goals. "
        f"The policy acts by {how}. A step is solved while the goal is held; the figure is solved steps / horizon "
        "(mean ± 95 % interval)."
    )
    return Section("Result", (said, *bar_lines(comparisons, bars)), markdown_table(comparisons))


def _pictures(
    folder: Path, rows: Sequence[Mapping[str, Any]], comparisons: Sequence[Comparison], bars: Mapping[str, float]
) -> list[Section]:
    tasks = [c.student.task for c in comparisons]
    levels = {c.student.task: c.expert.solved_step_fraction for c in comparisons if c.expert is not None}
    learning = drawing.draw_learning_curves(folder / "learning.png", rows, levels, tasks)
    comparison = drawing.draw_comparison(folder / "comparison.png", comparisons, bars)
    sections = [
        Section(
            "Expert and student",
            ("Solved steps / horizon. Whiskers are 95 % intervals over episodes.",),
            picture=comparison,
        ),
        Section(
            "Learning",
            (
                "Share of the steps solved while the student drives with exploration noise, against environment steps. "
                "Faint: each iteration; strong: moving average; dashed: the expert without noise.",
                "The imitation loss is the mean squared distance between the student's and the expert's action, over "
                "muscles and states that the student visits.",
            ),
            picture=learning,
        ),
    ]
    for c in comparisons:
        if c.student_recording is not None:
            picture = folder / f"episode_{_file_name(c.student.task)}.png"
            sections.append(_episode(drawing.draw_episode(picture, c.student_recording, c.expert_recording), c))
    return sections


def _episode(picture: Path, comparison: Comparison) -> Section:
    recording = comparison.student_recording
    assert recording is not None  # the caller has looked
    said = (
        f"The first episode: activation of {len(recording.muscles)} muscles (0 silent, 1 full) at every control step "
        f"of {1000 * recording.control_dt:.4g} ms, student beside expert on one "
        "colour scale, and the error that is left."
    )
    return Section(f"Muscles: {comparison.student.task}", (said,), picture=picture)


def _making(run: Path, rows: Sequence[Mapping[str, Any]], config: Mapping[str, Any]) -> Section:
    recipe = config.get("recipe", {})
    steps, wall_s = (rows[-1]["step"], rows[-1]["wall_s"]) if rows else (0, 0.0)
    said = (
        f"Regime {recipe.get('learner', {}).get('regime', '?')}, {recipe.get('preset', '?')} transformer, seed "
        f"{recipe.get('seed', '?')}: {steps:,} environment steps in {duration(wall_s)} of training on "
        f"{provenance.machine()}."
    )
    again = f"Evaluate it again: `arnold evaluate {run}`. Its every setting is in `config.json` of the run."
    return Section("How it was made", (said, again))


def as_markdown(title: str, sections: Sequence[Section]) -> str:
    """The report as Markdown; pictures by name, beside it."""
    parts = [f"# {title}"]
    for section in sections:
        parts += [f"## {section.title}", *section.paragraphs]
        parts += [section.table.rstrip()] if section.table else []
        parts += [f"![{section.title}]({section.picture.name})"] if section.picture else []
    return "\n\n".join(parts) + "\n"


def as_html(title: str, sections: Sequence[Section]) -> str:
    """The report as one page with its pictures inside."""
    parts = [f"<h1>{html.escape(title)}</h1>"]
    for section in sections:
        parts.append(f"<h2>{html.escape(section.title)}</h2>")
        parts += [f"<p>{_code(html.escape(paragraph))}</p>" for paragraph in section.paragraphs]
        parts += [_html_table(section.table)] if section.table else []
        if section.picture:
            data = base64.b64encode(section.picture.read_bytes()).decode()
            parts.append(f'<img alt="{html.escape(section.title)}" src="data:image/png;base64,{data}">')
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>\n' + "\n".join(parts) + "\n</body></html>\n"


def _html_table(table: str) -> str:
    """A Markdown table, whose second line is the rule, as HTML."""
    header, _, *rows = [
        [cell.strip() for cell in line.strip().strip("|").split("|")] for line in table.strip().splitlines()
    ]
    top = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>"


def _code(text: str) -> str:
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", text)


def _file_name(task: str) -> str:
    return re.sub(r"[^\w.-]", "_", task)
