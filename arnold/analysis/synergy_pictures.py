"""Pictures of synergies as the field draws them: bars of weights by muscle group beside coefficients over the cycle."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from arnold.analysis.synergies import Synergies
from arnold.analysis.synergy_clusters import Clusters
from arnold.checkpoints.durable import reported_writes
from arnold.drawing import COLOURS, DPI, GREY, STUDENT, TEXT_SIZE, TITLE_SIZE
from arnold.vocab.anatomy import SEGMENTS

if TYPE_CHECKING:
    import pandas
    import xarray

BAR_INCHES = 0.17


def draw_synergies(path: Path, synergies: Synergies, coefficients: xarray.DataArray) -> Path:
    """A row per synergy: weights of all muscles, coloured and ordered by group, and coefficients over the cycle.

    Args:
        path: the PNG file.
        synergies: whose weights.
        coefficients: (cycle, phase, synergy) from `over_cycle`; each cycle is drawn thin, their mean thick, with a band
            of one standard deviation; empty where there is no cycle.
    """
    signals = synergies.signals
    order = sorted(range(len(signals.muscles)), key=lambda m: (_rank(signals.groups[m]), m))
    groups = list(dict.fromkeys(signals.groups[m] for m in order))
    colours = {group: COLOURS[i % len(COLOURS)] for i, group in enumerate(groups)}
    width = max(3.0, BAR_INCHES * len(order))
    figure = Figure(figsize=(width + 3.4, 1.25 * synergies.count + 1.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(synergies.count, 2, squeeze=False, sharex="col", width_ratios=[width, 2.8])
    for s, (bars, course) in enumerate(axes):
        bars.bar(
            range(len(order)), synergies.weights[order, s], color=[colours[signals.groups[m]] for m in order], width=0.8
        )
        bars.set_ylabel(synergies.names[s], fontsize=TITLE_SIZE, rotation=0, ha="right", va="center")
        bars.axhline(0.0, color=GREY, linewidth=0.6)
        if coefficients.sizes["cycle"]:
            _course(course, coefficients.isel(synergy=s))
        for axis in (bars, course):
            axis.spines[["top", "right"]].set_visible(False)
            axis.tick_params(labelsize=TEXT_SIZE)
    names = [f"{signals.muscles[m]} (silent)" if not signals.active[m] else signals.muscles[m] for m in order]
    axes[-1, 0].set_xticks(range(len(order)), names, rotation=90, fontsize=min(TEXT_SIZE, 6.5))
    axes[-1, 0].set_xlim(-0.7, len(order) - 0.3)
    axes[-1, 1].set_xlabel(f"cycle (%), {len(coefficients['cycle'])} cycles", fontsize=TEXT_SIZE)
    axes[0, 0].set_title(
        f"weights, {signals.name}: {synergies.method}, VAF {100 * synergies.vaf:.1f} %", loc="left", fontsize=TITLE_SIZE
    )
    axes[0, 1].set_title("coefficients", loc="left", fontsize=TITLE_SIZE)
    handles = [Patch(color=colours[group], label=group) for group in groups]
    figure.legend(handles=handles, loc="outside lower left", ncols=len(handles), fontsize=TEXT_SIZE, frameon=False)
    with reported_writes(path):
        figure.savefig(path, dpi=DPI)
    return path


def draw_number(path: Path, curves: Mapping[str, pandas.DataFrame]) -> Path:
    """A panel per set of signals: variance accounted for by the number of synergies, overall, of the worst muscle, and
    of held-out trials.

    Args:
        path: the PNG file.
        curves: by name, from `synergy_number.curve`.
    """
    columns = min(3, len(curves))
    rows = math.ceil(len(curves) / columns)
    figure = Figure(figsize=(3.4 * columns, 2.7 * rows + 0.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for axis in axes[len(curves) :]:
        axis.set_visible(False)
    for axis, (name, curve) in zip(axes, curves.items(), strict=False):
        axis.plot(curve.index, curve["vaf"], color=STUDENT, marker="o", markersize=3, label="VAF, all muscles")
        axis.plot(curve.index, curve["worst_vaf"], color=COLOURS[2], marker="o", markersize=3, label="worst muscle")
        if "held_out_r2" in curve:
            axis.errorbar(
                curve.index, curve["held_out_r2"], curve["held_out_r2_sd"], color=COLOURS[1], label="R², held out"
            )
        axis.axhline(0.9, color=GREY, linewidth=0.8, linestyle="--")
        axis.set_title(name, loc="left", fontsize=TITLE_SIZE)
        axis.set_xlabel("synergies", fontsize=TEXT_SIZE)
        axis.set_ylim(min(0.0, *(float(each["worst_vaf"].min()) for each in curves.values())), 1.02)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=TEXT_SIZE)
    axes[0].legend(fontsize=TEXT_SIZE, frameon=False)
    with reported_writes(path):
        figure.savefig(path, dpi=DPI)
    return path


def draw_similarity(path: Path, table: pandas.DataFrame) -> Path:
    """A matrix per method: the variance of each task's signals that the other tasks' synergies capture, over what its
    own do; the mean principal angle in degrees below.

    Args:
        path: the PNG file.
        table: from `subspaces.similarity`, with the method as index.
    """
    methods = list(dict.fromkeys(table.index))
    names = list(dict.fromkeys(table["of"]))
    size = 0.72 * len(names) + 1.9
    figure = Figure(figsize=(size * len(methods) + 0.7, size + 0.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(methods), squeeze=False, sharey=True)[0]
    for axis, method in zip(axes, methods, strict=True):
        pairs = table.loc[[method]].set_index(["of", "by"])
        shares = np.array([[1.0 if of == by else pairs.loc[(of, by), "relative"] for by in names] for of in names])
        image = axis.imshow(shares, cmap="cividis", vmin=0.0, vmax=1.0)
        for i, of in enumerate(names):
            for j, by in enumerate(names):
                angle = "" if i == j else f"\n{pairs.loc[(of, by), 'mean_angle']:.0f}°"
                dark = shares[i, j] < 0.6
                axis.text(
                    j,
                    i,
                    f"{100 * shares[i, j]:.0f} %{angle}",
                    color="white" if dark else "black",
                    fontsize=TEXT_SIZE - 1,
                    ha="center",
                    va="center",
                )
        axis.set_xticks(range(len(names)), names, rotation=40, ha="right", fontsize=TEXT_SIZE)
        axis.set_yticks(range(len(names)), names, fontsize=TEXT_SIZE)
        axis.set_xlabel("captured by the synergies of", fontsize=TEXT_SIZE)
        axis.set_title(f"{method}; {pairs['chance_angle'].median():.0f}° by chance", loc="left", fontsize=TITLE_SIZE)
    axes[0].set_ylabel("signals of", fontsize=TEXT_SIZE)
    bar = figure.colorbar(image, ax=axes, shrink=0.8, format=PercentFormatter(1.0))
    bar.set_label("variance captured, over that by their own", fontsize=TEXT_SIZE)
    bar.ax.tick_params(labelsize=TEXT_SIZE)
    with reported_writes(path):
        figure.savefig(path, dpi=DPI)
    return path


def draw_clusters(path: Path, clusters: Clusters, groups: Sequence[str]) -> Path:
    """A row per cluster: its centroid's weights, ordered and coloured by muscle group, and which tasks it is in.

    Args:
        path: the PNG file.
        clusters: of several tasks' synergies.
        groups: (M,) the muscles' groups.
    """
    members, weights = clusters.members, clusters.centroids
    tasks = list(dict.fromkeys(members["set"]))
    order = sorted(range(len(groups)), key=lambda m: (_rank(groups[m]), m))
    shown = list(dict.fromkeys(groups[m] for m in order))
    colours = {group: COLOURS[i % len(COLOURS)] for i, group in enumerate(shown)}
    width = max(3.0, BAR_INCHES * len(order))
    figure = Figure(figsize=(width + 0.45 * len(tasks) + 1.0, 0.72 * len(weights.columns) + 1.9), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(
        len(weights.columns), 2, squeeze=False, sharex="col", width_ratios=[width, 0.45 * len(tasks)]
    )
    for c, (bars, dots) in enumerate(axes):
        bars.bar(range(len(order)), weights.to_numpy()[order, c], color=[colours[groups[m]] for m in order], width=0.8)
        bars.set_ylabel(weights.columns[c], fontsize=TITLE_SIZE, rotation=0, ha="right", va="center")
        bars.set_yticks([])
        of_cluster = members[members["cluster"] == c + 1]
        counts = [int((of_cluster["set"] == task).sum()) for task in tasks]
        dots.scatter(range(len(tasks)), np.zeros(len(tasks)), s=60, color=[STUDENT if n else "#dddddd" for n in counts])
        for t, count in enumerate(counts):
            if count > 1:
                dots.text(t, 0.0, str(count), color="white", fontsize=TEXT_SIZE - 1, ha="center", va="center")
        dots.set_yticks([])
        dots.set_xlim(-0.6, len(tasks) - 0.4)
        for axis in (bars, dots):
            axis.spines[["top", "right", "left"]].set_visible(False)
            axis.spines["bottom"].set_color("#cccccc")
            axis.tick_params(length=0)
    muscles = [str(weights.index[m]) for m in order]
    axes[-1, 0].set_xticks(range(len(order)), muscles, rotation=90, fontsize=min(TEXT_SIZE, 6.5))
    axes[-1, 0].set_xlim(-0.7, len(order) - 0.3)
    axes[-1, 1].set_xticks(range(len(tasks)), tasks, rotation=90, fontsize=TEXT_SIZE)
    axes[0, 0].set_title(f"{len(members)} synergies in {len(axes)} clusters", loc="left", fontsize=TITLE_SIZE)
    axes[0, 1].set_title("in task", loc="left", fontsize=TITLE_SIZE)
    handles = [Patch(color=colours[group], label=group) for group in shown]
    figure.legend(handles=handles, loc="outside lower left", ncols=len(handles), fontsize=TEXT_SIZE, frameon=False)
    with reported_writes(path):
        figure.savefig(path, dpi=DPI)
    return path


def _rank(group: str) -> int:
    """Groups from the trunk outwards, as `vocab.anatomy` has them; unknown ones last."""
    return SEGMENTS.index(group) if group in SEGMENTS else len(SEGMENTS)


def _course(axis: Axes, coefficient: xarray.DataArray) -> None:
    phase, each = coefficient["phase"].values, coefficient.values
    mean, deviation = each.mean(axis=0), each.std(axis=0)
    for cycle in each[:20]:  # more of them are a grey area
        axis.plot(phase, cycle, color=GREY, linewidth=0.4, alpha=0.4)
    axis.fill_between(
        phase, np.maximum(mean - deviation, min(0.0, each.min())), mean + deviation, color=STUDENT, alpha=0.2
    )
    axis.plot(phase, mean, color=STUDENT, linewidth=1.8)
    axis.set_xlim(0.0, 100.0)
