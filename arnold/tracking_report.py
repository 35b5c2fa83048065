"""The table of how well clips were followed: by held-out and training clips, by subject, by clip."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from arnold.checkpoints.durable import reported_writes, write_text
from arnold.episodes import Act
from arnold.tasks import Environment
from arnold.tasks.imitate import Imitate
from arnold.tasks.perturbation import INTACT, Perturbation
from arnold.tracking import FIGURES, RULES, ClipFigures, follow, measure

WORST = 5  # joints that are named
SUBJECT = "subject "
COLUMNS = {
    "success_each": ("success, each < 0.15 m", 100.0, ".1f", " %"),
    "coverage_each": ("coverage, each", 100.0, ".1f", " %"),
    "success_mean": ("success, mean < 0.5 m", 100.0, ".1f", " %"),
    "coverage_mean": ("coverage, mean", 100.0, ".1f", " %"),
    "mpjpe_mm": ("MPJPE mm", 1.0, ".1f", ""),
    "mpjpe_relative_mm": ("relative mm", 1.0, ".1f", ""),
    "joint_position_rms_rad": ("joints rad", 1.0, ".3f", ""),
    "joint_velocity_rms_rad_s": ("rad/s", 1.0, ".2f", ""),
    "early_termination": ("ended early, 0.3/0.5 m", 100.0, ".1f", " %"),
}
"""Figures of the printed table: heading, factor, format, unit."""


@dataclasses.dataclass(frozen=True)
class Group:
    """Some clips and the unweighted means of their figures.

    Attributes:
        name: what the clips have in common.
        clips: how many.
        figures: by the names of `FIGURES`; None where no clip has it.
        bodies: mean distance of each tracked MJCF body, m.
        joints: root mean square error of each joint, mean over clips, rad.
    """

    name: str
    clips: int
    figures: dict[str, float | None]
    bodies: dict[str, float | None]
    joints: dict[str, float | None]


@dataclasses.dataclass(frozen=True)
class Tracking:
    """How a policy followed the clips of a task.

    Attributes:
        task: its name.
        clips: one entry per clip, in the task's order.
        held_out: which of them no episode of training is drawn from.
    """

    task: str
    clips: tuple[ClipFigures, ...]
    held_out: tuple[bool, ...]

    @property
    def groups(self) -> tuple[Group, ...]:
        """Training clips and held-out ones where there are both, all of them, then each subject that has a name."""
        parts = {
            "training clips": [c for c, out in zip(self.clips, self.held_out, strict=True) if not out],
            "held-out clips": [c for c, out in zip(self.clips, self.held_out, strict=True) if out],
        }
        rows = [_group(name, clips) for name, clips in parts.items() if clips and any(self.held_out)]
        rows.append(_group("all clips", self.clips))
        subjects = dict.fromkeys(clip.subject for clip in self.clips if clip.subject)
        return (*rows, *(_group(SUBJECT + s, [c for c in self.clips if c.subject == s]) for s in subjects))

    @property
    def everything(self) -> Group:
        """All clips."""
        return _group("all clips", self.clips)

    def rows(self) -> list[dict[str, Any]]:
        """One row per group and per clip, for CSV."""
        groups = [{"task": self.task, "row": g.name, "clips": g.clips, **g.figures} for g in self.groups]
        clips = [
            {"task": self.task, "row": c.name, "subject": c.subject, "held_out": out, "frames": c.frames, **c.figures}
            for c, out in zip(self.clips, self.held_out, strict=True)
        ]
        return groups + clips

    def to_dict(self) -> dict[str, Any]:
        """Everything, per clip too."""
        clips = [{**dataclasses.asdict(c), "held_out": out} for c, out in zip(self.clips, self.held_out, strict=True)]
        return {"task": self.task, "groups": [dataclasses.asdict(group) for group in self.groups], "clips": clips}


def tracking(
    task: Imitate,
    agent: Callable[[Environment], Act],
    params: Any = None,
    *,
    backend: str = "native",
    threads: int | None = None,
    seed: int = 0,
    perturbation: Perturbation = INTACT,
) -> Tracking:
    """Follow every clip of a task and measure it; arguments and errors as `arnold.tracking.follow`."""
    held_out = tuple(bool(drawn == 0.0) for drawn in task.reference(task.compile()).drawn(task.held_out))
    made = {}
    for followed in follow(task, agent, params, backend=backend, threads=threads, seed=seed, perturbation=perturbation):
        made[followed.place] = measure(followed)
    clips = tuple(made[place] for place in range(len(made)))
    return Tracking(task.name, clips, held_out)


def _group(name: str, clips: Sequence[ClipFigures]) -> Group:
    return Group(
        name,
        len(clips),
        _means([clip.figures for clip in clips]),
        _means([clip.bodies for clip in clips]),
        _means([clip.joints for clip in clips]),
    )


def _means(rows: Sequence[dict[str, float | None]]) -> dict[str, float | None]:
    """Unweighted, over the rows that have a number."""
    known = {name: [value for row in rows if (value := row[name]) is not None] for name in rows[0]}
    return {name: float(np.mean(values)) if values else None for name, values in known.items()}


def shown(figures: dict[str, float | None]) -> list[str]:
    """The cells of `COLUMNS`."""
    cells = []
    for name, (_, factor, form, unit) in COLUMNS.items():
        value = figures[name]
        cells.append("" if value is None else f"{factor * value:{form}}{unit}")
    return cells


def table_rows(made: Tracking, each_clip: bool) -> tuple[list[str], list[list[str]]]:
    """The head and the rows of the table.

    Args:
        made: the figures.
        each_clip: whether every clip has a row too.
    """
    head = ["", "clips", *(column[0] for column in COLUMNS.values())]
    rows = [[group.name, str(group.clips), *shown(group.figures)] for group in made.groups]
    if each_clip:
        named = zip(made.clips, made.held_out, strict=True)
        rows += [[clip.name + (" (held out)" if out else ""), "", *shown(clip.figures)] for clip, out in named]
    return head, rows


def said_of(made: Tracking) -> list[str]:
    """What is said below the table: how far each body is off, and the joints that are farthest off."""
    lines = []
    for group in made.groups:
        bodies = ", ".join(f"{name} {100 * off:.1f}" for name, off in group.bodies.items() if off is not None)
        if bodies and not group.name.startswith(SUBJECT):
            lines.append(f"bodies, cm off, {group.name}: {bodies}")
    joints = sorted(((off, name) for name, off in made.everything.joints.items() if off is not None), reverse=True)
    worst = ", ".join(f"{name} {off:.2f}" for off, name in joints[:WORST])
    return [*lines, f"joints farthest off, rad: {worst}"] if worst else lines


def markdown(made: Sequence[Tracking]) -> str:
    """Tables of all tasks, with what their columns mean."""
    parts = []
    for each in made:
        head, rows = table_rows(each, each_clip=True)
        lines = [f"| {' | '.join(cells)} |" for cells in (head, *rows)]
        lines.insert(1, "|---" * len(head) + "|")
        parts.append(f"## {each.task}\n\n" + "\n".join(lines) + "\n\n" + "\n\n".join(said_of(each)) + "\n")
    rules = "\n".join(f"- *{name}*: {rule}" for name, rule in RULES.items())
    meanings = "\n".join(f"- `{name}`: {meaning}" for name, meaning in FIGURES.items())
    notes = (
        "Each clip once, from its first frame to its last, by the mean action; means over clips are unweighted. "
        "A clip fails, and what comes later does not count, where\n\n"
        f"{rules}\n\nMPJPE, joints and bodies are over the frames before rule *mean* is broken.\n\n"
        f"Figures of tracking.json and tracking.csv:\n\n{meanings}\n"
    )
    return "\n".join([*parts, notes])


def write_tracking(folder: Path, made: Sequence[Tracking], heading: dict[str, Any]) -> tuple[Path, ...]:
    """Write tracking.json (everything), tracking.csv (a row per group and clip) and tracking.md (the tables).

    Args:
        folder: where to; made if missing.
        made: one per task.
        heading: what was evaluated, for the JSON.

    Returns:
        the three paths.
    """
    paths = tuple(folder / f"tracking.{suffix}" for suffix in ("json", "csv", "md"))
    detail = {**heading, "rules": RULES, "figures": FIGURES, "tasks": [each.to_dict() for each in made]}
    rows = [row for each in made for row in each.rows()]
    with reported_writes(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_text(paths[0], json.dumps(detail, indent=1, allow_nan=False) + "\n")
        write_text(paths[1], _csv(rows))
        write_text(paths[2], markdown(made))
    return paths


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    columns = list(dict.fromkeys(["task", "row", "clips", "subject", "held_out", "frames", *FIGURES]))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()
