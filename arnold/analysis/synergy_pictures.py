"""Pictures of synergies as the field draws them: bars of weights by muscle group beside coefficients over the cycle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from arnold.analysis.synergies import Synergies
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
            of one standard deviation.
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
    figure = Figure(figsize=(3.4 * len(curves), 2.9), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(curves), squeeze=False, sharey=True)[0]
    for axis, (name, curve) in zip(axes, curves.items(), strict=True):
        axis.plot(curve.index, curve["vaf"], color=STUDENT, marker="o", markersize=3, label="VAF, all muscles")
        axis.plot(curve.index, curve["worst_vaf"], color=COLOURS[2], marker="o", markersize=3, label="worst muscle")
        if "held_out_r2" in curve:
            axis.errorbar(
                curve.index, curve["held_out_r2"], curve["held_out_r2_sd"], color=COLOURS[1], label="R², held out"
            )
        axis.axhline(0.9, color=GREY, linewidth=0.8, linestyle="--")
        axis.set_title(name, loc="left", fontsize=TITLE_SIZE)
        axis.set_xlabel("synergies", fontsize=TEXT_SIZE)
        axis.set_ylim(min(0.0, float(curve["worst_vaf"].min())), 1.02)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=TEXT_SIZE)
    axes[0].legend(fontsize=TEXT_SIZE, frameon=False)
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
