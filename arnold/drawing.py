"""Pictures of a training and of what a policy does with its muscles; each is written to a PNG file.

Colours are of Okabe and Ito's palette, which people with any kind of colour vision tell apart; activations use
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
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, MaxNLocator, PercentFormatter

from arnold.checkpoints.durable import reported_writes
from arnold.episodes import Recording
from arnold.evaluation import Comparison, Evaluation

STUDENT, EXPERT, GREY = "#0072B2", "#D55E00", "#666666"
COLOURS = (STUDENT, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # of policies side by side
DPI = 130
TITLE_SIZE, TEXT_SIZE = 10, 8.5  # points
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
        axis.set_title(task, loc="left", fontsize=TITLE_SIZE)
        axis.set_ylim(-0.02, 1.02)
        axis.yaxis.set_major_formatter(PercentFormatter(1.0))
        if task in experts:
            axis.axhline(experts[task], color=EXPERT, linestyle="--", linewidth=1.2)
            axis.set_title(f"– – expert {100 * experts[task]:.0f} %", loc="right", fontsize=TEXT_SIZE, color=EXPERT)
    loss = axes[len(tasks)]
    _curve(loss, rows, "imitation", GREY)
    loss.set_yscale("log")
    loss.set_title("imitation loss, all tasks", loc="left", fontsize=TITLE_SIZE)
    for axis in axes[len(tasks) + 1 :]:
        axis.set_visible(False)
    for axis in axes:
        axis.xaxis.set_major_formatter(EngFormatter(sep=""))
        axis.set_xlabel("environment steps, all tasks", fontsize=TEXT_SIZE)
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
        _bar(axis, row - 0.19, "student", comparison.student, STUDENT)
        if comparison.expert is None:
            continue
        _bar(axis, row + 0.19, "expert", comparison.expert, EXPERT)
        if comparison.student.task in bars:
            asked = bars[comparison.student.task] * comparison.expert.solved_step_fraction
            axis.plot([asked, asked], [row - 0.4, row + 0.02], color="black", linewidth=1.6)
    axis.set_yticks(range(len(comparisons)), [c.student.task for c in comparisons])
    axis.invert_yaxis()
    axis.set_xlim(0.0, 1.0)
    axis.xaxis.set_major_formatter(PercentFormatter(1.0))
    tick = ";  black tick: what was asked of the student" if bars else ""
    axis.set_xlabel(f"steps solved / horizon{tick}", fontsize=TEXT_SIZE)
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
    strongest = max(0.05, *(float(recording.activation[0].max()) for _, _, recording in shown))
    maps = []
    for column, (name, colour, recording) in enumerate(shown):
        axis = figure.add_subplot(grid[0, column])
        image = _heatmap(axis, recording, strongest, labels=column == 0)
        axis.set_title(name, color=colour, loc="left", fontsize=TITLE_SIZE, fontweight="bold")
        maps.append(axis)
    scale = figure.colorbar(image, ax=maps, shrink=min(1.0, 2.2 / heat), pad=0.01)
    scale.set_label("activation (0 silent, 1 full)", fontsize=TEXT_SIZE)
    scale.ax.tick_params(labelsize=TEXT_SIZE)
    below = figure.add_subplot(grid[1, :])
    for _, colour, recording in shown:
        _error_trace(below, recording, colour)
    below.set_xlabel("time (s)", fontsize=TEXT_SIZE)
    return _written(figure, path)


def draw_transfer(path: Path, curves: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]) -> Path:
    """A panel per task: its share of solved steps while it is learned by a generalist of other tasks, and from nothing.

    Args:
        path: the PNG file.
        curves: by task, the metric rows of ``transferred`` and ``scratch``.
    """
    figure, axes = _grid(math.ceil(len(curves) / 2), min(len(curves), 2))
    for axis, (task, rows) in zip(axes, curves.items(), strict=False):
        for how, colour in (("transferred", STUDENT), ("scratch", EXPERT)):
            _curve(axis, rows[how], f"{task}/solved", colour)
        axis.set_title(task, loc="left", fontsize=TITLE_SIZE)
        axis.set_ylim(bottom=0.0)
        axis.yaxis.set_major_formatter(PercentFormatter(1.0))
        axis.xaxis.set_major_formatter(EngFormatter(sep=""))
        axis.set_xlabel("environment steps", fontsize=TEXT_SIZE)
    for axis in axes[len(curves) :]:
        axis.set_visible(False)
    handles = [Line2D([], [], color=STUDENT, linewidth=1.8), Line2D([], [], color=EXPERT, linewidth=1.8)]
    names = ["after pretraining on other tasks", "from nothing"]
    figure.legend(handles, names, loc="outside lower center", ncols=2, fontsize=TEXT_SIZE, frameon=False)
    return _written(figure, path)


def draw_radar(path: Path, policies: Mapping[str, Sequence[Comparison]]) -> Path:
    """Several policies on the same tasks, a spoke per task: steps solved over the expert's, or over the horizon.

    Args:
        path: the PNG file.
        policies: by name, one comparison per task, in the same order.
    """
    figure = _figure(7.2, 6.0)
    axis: Any = figure.add_subplot(projection="polar")
    (first, *_) = policies.values()
    angles = np.linspace(0.0, 2.0 * np.pi, len(first), endpoint=False)
    relative = all(not math.isnan(c.relative) for comparisons in policies.values() for c in comparisons)
    highest = 0.0
    for number, (name, comparisons) in enumerate(policies.items()):
        values = [c.relative if relative else c.student.solved_step_fraction for c in comparisons]
        highest = max(highest, *values)
        colour = COLOURS[number % len(COLOURS)]
        axis.plot([*angles, angles[0]], [*values, values[0]], color=colour, linewidth=1.8, label=name)
    if relative:
        circle = np.linspace(0.0, 2.0 * np.pi, 200)
        axis.plot(circle, np.ones_like(circle), color=EXPERT, linestyle="--", linewidth=1.2, label="expert")
    axis.set_xticks(angles, [c.student.task for c in first], fontsize=TEXT_SIZE)
    axis.set_theta_offset(np.pi / 2.0)
    axis.set_theta_direction(-1)
    axis.set_ylim(0.0, max(1.0, 1.05 * highest))
    axis.yaxis.set_major_formatter(PercentFormatter(1.0))
    axis.tick_params(axis="y", labelsize=TEXT_SIZE, labelcolor=GREY)
    axis.tick_params(axis="x", pad=12)
    what = "steps solved, of the expert's" if relative else "steps solved / horizon"
    axis.set_title(what, fontsize=TITLE_SIZE, pad=18)
    figure.legend(loc="outside lower center", ncols=4, fontsize=TEXT_SIZE, frameon=False)
    return _written(figure, path)


def _heatmap(axis: Axes, recording: Recording, strongest: float, labels: bool) -> AxesImage:
    seconds = recording.running.shape[1] * recording.control_dt
    image = axis.imshow(
        np.where(recording.running[0][:, None], recording.activation[0], np.nan).T,
        aspect="auto",
        interpolation="nearest",
        cmap="cividis",
        vmin=0.0,
        vmax=strongest,
        extent=(0.0, seconds, len(recording.muscles) - 0.5, -0.5),
    )
    axis.set_yticks(range(len(recording.muscles)), recording.muscles if labels else [])
    axis.tick_params(axis="y", labelsize=7, length=0)
    axis.tick_params(axis="x", labelsize=TEXT_SIZE)
    axis.xaxis.set_major_locator(MaxNLocator(5))
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
    axis.set_ylabel(label, fontsize=TEXT_SIZE)
    axis.set_title("thick: the step counts as solved", loc="left", fontsize=TEXT_SIZE, color=GREY)
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


def _bar(axis: Axes, place: float, name: str, evaluation: Evaluation, colour: str) -> None:
    value, half_width = evaluation.solved_step_fraction, evaluation.confidence
    axis.barh(place, value, 0.34, color=colour, alpha=0.85)
    if not math.isnan(half_width):
        axis.errorbar(value, place, xerr=half_width, color="black", linewidth=1.0, capsize=2.5)
    said = f"{name} {100 * value:.1f} %"
    beside = axis.get_yaxis_transform()
    axis.text(1.01, place, said, color=colour, fontsize=TEXT_SIZE, va="center", transform=beside)


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
    axis.tick_params(labelsize=TEXT_SIZE)


def _written(figure: Figure, path: Path) -> Path:
    with reported_writes(path):
        figure.savefig(path, dpi=DPI)
    return path
