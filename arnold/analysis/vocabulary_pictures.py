"""Pictures of what the vocabulary learned: maps of words, similarities of muscles, attention, ablated words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter

from arnold.analysis.attention import MEASURES, Reading
from arnold.analysis.muscle_anatomy import MuscleAnatomy
from arnold.analysis.vocabulary import DISTANCES, RELATIONS, SPACES
from arnold.checkpoints.durable import reported_writes
from arnold.drawing import COLOURS, DPI, EXPERT, GREY, TEXT_SIZE, TITLE_SIZE

if TYPE_CHECKING:
    import pandas

CELL_INCHES = 0.105
LABEL_SIZE = 5.5
STRONG = 0.6
"""Cosines beyond this are drawn alike."""
MOST_WORDS = 30
"""Ablated words that are drawn; the others matter less, and are in the table."""


def draw_words(path: Path, words: pandas.DataFrame) -> Path:
    """The words in the plane of their first two principal components, coloured by category.

    Args:
        path: the PNG file.
        words: from `vocabulary.word_map`.
    """
    figure = _figure(10.0, 8.0)
    axis = figure.add_subplot()
    names = list(dict.fromkeys(words["category"]))
    colours = {name: (*COLOURS, GREY, EXPERT)[i % (len(COLOURS) + 2)] for i, name in enumerate(names)}
    for row in words.itertuples():
        axis.plot(row.x, row.y, ".", color=colours[row.category], markersize=4)
        axis.annotate(row.word, (row.x, row.y), (2, 2), textcoords="offset points", fontsize=6, color=GREY)
    shares = [f"{100 * share:.1f} %" for share in words.attrs["explained"]]
    axis.set_xlabel(f"first component ({shares[0]} of the variance)", fontsize=TEXT_SIZE)
    axis.set_ylabel(f"second component ({shares[1]})", fontsize=TEXT_SIZE)
    axis.set_title("word embeddings at unit length", loc="left", fontsize=TITLE_SIZE)
    handles = [Line2D([], [], color=colours[name], marker=".", linestyle="", label=name) for name in names]
    figure.legend(handles=handles, loc="outside lower center", ncols=6, fontsize=TEXT_SIZE, frameon=False)
    _plain(axis)
    return _written(figure, path)


def draw_similarities(path: Path, anatomy: MuscleAnatomy, similarities: Mapping[str, np.ndarray]) -> Path:
    """The cosines of a body's moment arms beside those of its muscles in each space of a policy.

    Args:
        path: the PNG file.
        anatomy: of the muscles, which are drawn by side, segment and digit.
        similarities: by space, (M, M).
    """
    shown = {"moment arms": anatomy.moment_cosine, **similarities}
    order, names = anatomy.order, [anatomy.muscles[m] for m in anatomy.order]
    size = max(2.4, CELL_INCHES * len(order) * 0.8)
    figure = _figure(size * len(shown) + 1.6, size + 1.0)
    axes = figure.subplots(1, len(shown), squeeze=False)[0]
    for axis, (name, matrix) in zip(axes, shown.items(), strict=True):
        drawn = np.array(matrix)[np.ix_(order, order)]
        np.fill_diagonal(drawn, np.nan)
        image = axis.imshow(drawn, cmap="RdBu_r", vmin=-STRONG, vmax=STRONG, interpolation="nearest")
        axis.set_title(name, loc="left", fontsize=TITLE_SIZE)
        _boundaries(axis, [anatomy.groups[m] for m in order], both=True)
        axis.set_xticks(range(len(order)), names, rotation=90, fontsize=LABEL_SIZE - 1.5)
        axis.set_yticks(range(len(order)), names if axis is axes[0] else [], fontsize=LABEL_SIZE - 1.5)
        axis.tick_params(length=0)
    scale = figure.colorbar(image, ax=axes, shrink=0.6, pad=0.01, extend="both")
    scale.set_label("cosine", fontsize=TEXT_SIZE)
    scale.ax.tick_params(labelsize=TEXT_SIZE)
    figure.suptitle(f"muscles of {anatomy.body}", fontsize=TITLE_SIZE, x=0.01, ha="left")
    return _written(figure, path)


def draw_geometry(path: Path, table: pandas.DataFrame) -> Path:
    """A panel per body: each test's effect by space, over the effects that untrained networks have.

    Args:
        path: the PNG file.
        table: from `vocabulary.geometry`.
    """
    tested = table[table["effect"].notna()]
    bodies = list(dict.fromkeys(tested["body"]))
    rows = {body: _test_rows(tested[tested["body"] == body]) for body in bodies}
    highest = max(map(len, rows.values()))
    figure = _figure(4.4 * len(bodies), 0.42 * highest + 1.5)
    axes = figure.subplots(1, len(bodies), squeeze=False)[0]
    for axis, body in zip(axes, bodies, strict=True):
        of_body = tested[tested["body"] == body].set_index(["test", "side", "space"])
        for place, (test, side) in enumerate(rows[body]):
            for number, space in enumerate(SPACES):
                if (test, side, space) not in of_body.index:
                    continue
                row = of_body.loc[(test, side, space)]
                y, colour = place + 0.24 * (number - 1), COLOURS[number]
                axis.barh(
                    y, 4.0 * row["untrained_sd"], 0.2, row["untrained"] - 2.0 * row["untrained_sd"], color="#DDDDDD"
                )
                beyond = row[["p", "p_untrained"]].max() <= 0.05
                axis.plot(row["effect"], y, "o", color=colour, markersize=5, mfc=colour if beyond else "white")
        axis.axvline(0.0, color=GREY, linewidth=0.7)
        axis.set_yticks(range(len(rows[body])), [f"{test}, {side}" for test, side in rows[body]])
        axis.set_ylim(highest - 0.5, -0.5)
        axis.set_xlabel("mean cosine, near - far; of distances, rank correlation", fontsize=TEXT_SIZE)
        axis.set_title(body, loc="left", fontsize=TITLE_SIZE)
        axis.xaxis.set_major_locator(MaxNLocator(5))
        _plain(axis)
    marks: dict[str, Any] = {"marker": "o", "linestyle": ""}
    handles: list[Artist] = [Line2D([], [], color=COLOURS[i], label=s, **marks) for i, s in enumerate(SPACES)]
    handles.append(Line2D([], [], color=GREY, mfc="white", label="open: either p > 0.05", **marks))
    handles.append(Patch(color="#DDDDDD", label="untrained, mean ± 2 SD"))
    figure.legend(handles=handles, loc="outside lower center", ncols=5, fontsize=TEXT_SIZE, frameon=False)
    return _written(figure, path)


def draw_reading(path: Path, reading: Reading) -> Path:
    """Attention above influence: muscles by group, observed tokens by kind; colours from a quarter of even to four
    times.

    Args:
        path: the PNG file.
        reading: of one task.
    """
    anatomy = reading.anatomy
    order = anatomy.order
    columns = sorted(range(len(reading.observed)), key=lambda e: (_first(reading.kinds, e), _place(reading, e)))
    width, height = CELL_INCHES * len(columns) + 2.4, CELL_INCHES * len(order) * 0.9 + 0.5
    figure = _figure(max(width, 6.0), 2 * height + 1.6)
    axes = figure.subplots(2, 1, sharex=True)
    for axis, measure in zip(axes, MEASURES, strict=True):
        shares = reading.shares(measure)[order][:, columns]
        image = axis.imshow(
            np.log2(np.maximum(shares * len(columns), 2.0**-6)),
            aspect="auto",
            cmap="RdBu_r",
            vmin=-2.0,
            vmax=2.0,
            interpolation="nearest",
        )
        axis.set_title(f"{reading.task}: {measure}", loc="left", fontsize=TITLE_SIZE)
        axis.set_yticks(range(len(order)), [anatomy.muscles[m] for m in order], fontsize=LABEL_SIZE)
        _boundaries(axis, [anatomy.groups[m] for m in order], both=False)
        for edge in _edges([reading.kinds[e] for e in columns]):
            axis.axvline(edge, color="black", linewidth=0.8)
        axis.tick_params(length=0)
    axes[-1].set_xticks(range(len(columns)), [reading.observed[e] for e in columns], rotation=90, fontsize=LABEL_SIZE)
    scale = figure.colorbar(image, ax=axes, shrink=0.5, pad=0.01, ticks=[-2, -1, 0, 1, 2])
    scale.ax.set_yticklabels(["¼", "½", "1", "2", "4"], fontsize=TEXT_SIZE)
    scale.set_label("share, over that of even reading", fontsize=TEXT_SIZE)
    return _written(figure, path)


def draw_ablation(path: Path, table: pandas.DataFrame) -> Path:
    """A panel per task: what is solved without each word, with standard errors; the most needed first, `MOST_WORDS`
    at most.

    Args:
        path: the PNG file.
        table: from `word_ablation.WordAblation`, of one task or of several.
    """
    tasks = list(dict.fromkeys(table["task"]))
    counts = {task: int((table["task"] == task).sum()) - 1 for task in tasks}
    most = min(MOST_WORDS, max(counts.values()))
    figure = _figure(4.6 * len(tasks), 0.15 * most + 1.4)
    axes = figure.subplots(1, len(tasks), squeeze=False)[0]
    names = list(dict.fromkeys(table["category"][table["category"] != ""]))
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
    for axis, task in zip(axes, tasks, strict=True):
        of_task = table[table["task"] == task]
        whole = float(of_task["solved"].iloc[0])
        drawn = of_task.iloc[1:].sort_values("solved", kind="stable").head(MOST_WORDS)
        bars = [colours.get(name, GREY) for name in drawn["category"]]
        axis.barh(range(len(drawn)), drawn["solved"], color=bars, height=0.75)
        axis.errorbar(
            drawn["solved"], range(len(drawn)), xerr=drawn["solved_error"], fmt="none", color=GREY, linewidth=0.7
        )
        axis.axvline(whole, color="black", linestyle="--", linewidth=1.0)
        axis.set_yticks(range(len(drawn)), drawn["word"], fontsize=6.5)
        axis.set_ylim(most - 0.4, -0.7)
        axis.set_xlim(0.0, 1.0)
        axis.set_title(task, loc="left", fontsize=TITLE_SIZE)
        axis.set_title(f"– – intact {100 * whole:.0f} %", loc="right", fontsize=TEXT_SIZE, color=GREY)
        left_out = f"; {counts[task] - len(drawn)} words more" if counts[task] > len(drawn) else ""
        axis.set_xlabel(f"steps solved / horizon{left_out}", fontsize=TEXT_SIZE)
        axis.xaxis.set_major_formatter(PercentFormatter(1.0))
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(axis="x", labelsize=TEXT_SIZE)
    handles = [Patch(color=colours[name], label=name) for name in names]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=5, fontsize=TEXT_SIZE, frameon=False)
    return _written(figure, path)


def _test_rows(table: pandas.DataFrame) -> list[tuple[str, str]]:
    """The tests of one body, as (test, side), in the order of `RELATIONS` and `DISTANCES`."""
    order = (*RELATIONS, *DISTANCES)
    found = dict.fromkeys(zip(table["test"], table["side"], strict=True))
    return sorted(found, key=lambda row: order.index(row[0]))


def _first(kinds: Sequence[str], token: int) -> int:
    return list(dict.fromkeys(kinds)).index(kinds[token])


def _place(reading: Reading, token: int) -> int:
    """Muscles are in the order of the rows, so that a muscle's own token lies on a diagonal."""
    muscle = int(reading.muscle_of[token])
    return int(np.flatnonzero(reading.anatomy.order == muscle)[0]) if muscle >= 0 else token


def _boundaries(axis: Axes, groups: Sequence[str], both: bool) -> None:
    for edge in _edges(groups):
        axis.axhline(edge, color="black", linewidth=0.5)
        if both:
            axis.axvline(edge, color="black", linewidth=0.5)


def _edges(labels: Sequence[str]) -> list[float]:
    return [place - 0.5 for place in range(1, len(labels)) if labels[place] != labels[place - 1]]


def _figure(width: float, height: float) -> Figure:
    # a picture of hundreds of muscles is not to exceed what a page and an image reader take
    figure = Figure(figsize=(min(width, 40.0), min(height, 40.0)), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _plain(axis: Axes) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=TEXT_SIZE)


def _written(figure: Figure, path: Path) -> Path:
    with reported_writes(path):
        figure.savefig(path, dpi=DPI)
    return path
