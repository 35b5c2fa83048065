"""Pictures of a training and of what a policy does with its muscles; each is written to a PNG file.

Colours are two of Okabe and Ito's palette, which people with any kind of colour vision tell apart; activations use
matplotlib's "cividis", which is even in lightness for them too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import EngFormatter, PercentFormatter

from arnold.checkpoints.durable import reported_writes
from arnold.episodes import Recording
from arnold.evaluation import Comparison

STUDENT, EXPERT, GREY = "#0072B2", "#D55E00", "#666666"
DPI = 130
PANEL_INCHES = (3.3, 2.5)
SMOOTHING = 0.04  # share of the run that a learning curve's moving average spans

# term: (axis label, factor): the terms of the shipped kinds of task that measure how far the goal is
ERROR_TERMS = {"reach": ("distance to the target (mm)", -1000.0), "pose": ("posture error (rad)", -1.0)}


def draw_learning_curves(
    path: Path, rows: Sequence[Mapping[str, Any]], experts: Mapping[str, float], tasks: Sequence[str]
) -> Path:
    """A panel per task with its solved-step fraction against environment steps, and one with the imitation loss.

    Args:
        path: the PNG file.
        rows: a run's metric rows.
        experts: each task's expert's solved-step fraction, drawn as a dashed line.
        tasks: in order.
    """
    columns = min(len(tasks) + 1, 4)
    figure, axes = _grid(math.ceil((len(tasks) + 1) / columns), columns)
    for axis, task in zip(axes, tasks, strict=False):
        _curve(axis, rows, f"{task}/solved", STUDENT)
        axis.set_title(task, loc="left", fontsize=10)
        axis.set_ylim(0.0, 1.0)
        axis.yaxis.set_major_formatter(PercentFormatter(1.0))
        if task in experts:
            axis.axhline(experts[task], color=EXPERT, linestyle="--", linewidth=1.2)
            axis.text(0.98, experts[task] - 0.03, "expert", color=EXPERT, fontsize=8, ha="right", va="top", transform=axis.get_yaxis_transform())
    loss = axes[len(tasks)]
    _curve(loss, rows, "imitation", GREY)
    loss.set_yscale("log")
    loss.set_title("imitation loss, all tasks", loc="left", fontsize=10)
    for axis in axes[len(tasks) + 1 :]:
        axis.set_visible(False)
    for axis in axes:
        axis.xaxis.set_major_formatter(EngFormatter(sep=""))
        axis.set_xlabel("environment steps, all tasks", fontsize=8)
    return _written(figure, path)


def draw_comparison(path: Path, comparisons: Sequence[Comparison], bars: Mapping[str, float]) -> Path:
    """Expert beside student, solved-step fraction with 95 % intervals; a tick where the bar of each task lies.

    Args:
        path: the PNG file.
        comparisons: one per task.
        bars: the share of the expert's fraction that is asked for, by task.
    """
    height = 0.9 + 0.62 * len(comparisons)
    figure = _figure(6.4, height)
    axis = figure.add_subplot()
    for row, comparison in enumerate(comparisons):
        _bar(axis, row - 0.19, comparison.student.solved_step_fraction, comparison.student.confidence, STUDENT)
        if comparison.expert is None:
            continue
        _bar(axis, row + 0.19, comparison.expert.solved_step_fraction, comparison.expert.confidence, EXPERT)
        if comparison.student.task in bars:
            asked = bars[comparison.student.task] * comparison.expert.solved_step_fraction
            axis.plot([asked, asked], [row - 0.4, row + 0.02], color="black", linewidth=1.6)
    axis.set_yticks(range(len(comparisons)), [c.student.task for c in comparisons])
    axis.invert_yaxis()
    axis.set_xlim(0.0, 1.0)
    axis.xaxis.set_major_formatter(PercentFormatter(1.0))
    axis.set_xlabel("steps solved / horizon" + (";  black tick: what was asked of the student" if bars else ""))
    axis.set_title("student", color=STUDENT, loc="left", fontsize=10, fontweight="bold")
    if any(c.expert for c in comparisons):
        axis.set_title("expert", color=EXPERT, loc="right", fontsize=10, fontweight="bold")
    _plain(axis)
    return _written(figure, path)


def draw_episode(path: Path, student: Recording, expert: Recording | None) -> Path:
    """One episode's muscle activations, student beside expert, above the error that both are to remove.

    Args:
        path: the PNG file.
        student: its first episode is drawn.
        expert: the expert's, from the same start to the same goal.
    """
    shown = [("student", STUDENT, student), *([("expert", EXPERT, expert)] if expert is not None else [])]
    muscles = len(student.muscles)
    heat = max(1.5, 0.155 * muscles)
    figure = _figure(9.2 if expert is not None else 5.4, heat + 2.5)
    grid = figure.add_gridspec(2, len(shown), height_ratios=[heat, 1.35])
    image: AxesImage | None = None
    maps = []
    for column, (name, colour, recording) in enumerate(shown):
        axis = figure.add_subplot(grid[0, column])
        image = _heatmap(axis, recording, labels=column == 0)
        axis.set_title(name, color=colour, loc="left", fontsize=10, fontweight="bold")
        maps.append(axis)
    assert image is not None  # there is always a student
    figure.colorbar(image, ax=maps, label="activation", shrink=min(1.0, 2.2 / heat), pad=0.01)
    below = figure.add_subplot(grid[1, :])
    for _, colour, recording in shown:
        _error_trace(below, recording, colour)
    below.set_xlabel("time (s)")
    return _written(figure, path)


def _heatmap(axis: Axes, recording: Recording, labels: bool) -> AxesImage:
    seconds = recording.running.shape[1] * recording.control_dt
    image = axis.imshow(
        np.where(recording.running[0][:, None], recording.activation[0], np.nan).T,
        aspect="auto",
        interpolation="nearest",
        cmap="cividis",
        vmin=0.0,
        vmax=1.0,
        extent=(0.0, seconds, len(recording.muscles) - 0.5, -0.5),
    )
    axis.set_yticks(range(len(recording.muscles)), recording.muscles if labels else [])
    axis.tick_params(axis="y", labelsize=7, length=0)
    axis.set_xlabel("time (s)", fontsize=8)
    return image


def _error_trace(axis: Axes, recording: Recording, colour: str) -> None:
    """The error of the first episode; thick where the step counts as solved."""
    term = next((name for name in ERROR_TERMS if name in recording.terms), next(iter(recording.terms)))
    label, factor = ERROR_TERMS.get(term, (term, 1.0))
    running = recording.running[0]
    values = np.where(running, factor * recording.terms[term][0], np.nan)
    # the terms are of the state after the control step
    seconds = recording.control_dt * np.arange(1, len(values) + 1)
    axis.plot(seconds, values, color=colour, linewidth=1.0)
    axis.plot(seconds, np.where(recording.solved[0], values, np.nan), color=colour, linewidth=3.5, alpha=0.6)
    axis.set_xlim(0.0, recording.control_dt * len(values))
    if term in ERROR_TERMS:
        axis.set_ylim(bottom=0.0)
    axis.set_ylabel(label, fontsize=8)
    axis.set_title("thick: the step counts as solved", loc="left", fontsize=8, color=GREY)
    _plain(axis)


def _curve(axis: Axes, rows: Sequence[Mapping[str, Any]], name: str, colour: str) -> None:
    """One metric against environment steps, as it was (faint) and as a moving average."""
    points = [(row["step"], row[name]) for row in rows if row.get(name) is not None]
    if points:
        steps, values = np.array(points, float).T
        span = max(1, round(SMOOTHING * len(values)))
        axis.plot(steps, values, color=colour, alpha=0.25, linewidth=0.7)
        axis.plot(steps[span - 1 :], np.convolve(values, np.ones(span) / span, "valid"), color=colour, linewidth=1.8)
    _plain(axis)


def _bar(axis: Axes, place: float, value: float, half_width: float, colour: str) -> None:
    error = None if math.isnan(half_width) else half_width
    axis.barh(place, value, 0.34, color=colour, alpha=0.85)
    axis.errorbar(value, place, xerr=error, color="black", linewidth=1.0, capsize=2.5)
    axis.text(0.008, place, f"{100 * value:.1f} %", color="white", fontsize=8, va="center")


def _grid(rows: int, columns: int) -> tuple[Figure, list[Axes]]:
    figure = _figure(PANEL_INCHES[0] * columns, PANEL_INCHES[1] * rows)
    grid = figure.subplots(rows, columns, squeeze=False)
    return figure, list(grid.flat)


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)  # a canvas of its own: no window system, no state shared with a notebook
    return figure


def _plain(axis: Axes) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8)


def _written(figure: Figure, path: Path) -> Path:
    with reported_writes(path):
        figure.savefig(path, dpi=DPI)
    return path
