"""How like people's EMG a policy's muscle activations are, beside how like each other's people's are.

Everything is Pearson's r over the gait cycle, heel strike to heel strike, so that amplitudes, which EMG does not give,
do not count: where people are averaged, each one's peak is 1. A muscle's figure is the median over people, and all
muscles' the median over people of r averaged over muscles; ``r_mean`` is by Fisher's z, and tests are Wilcoxon's for
pairs on Fisher's z, over people, times the number of muscles (Bonferroni). Beside each muscle stands what KINESIS
(arXiv 2503.14637) published. Its own protocol was another one: it correlates excitation, takes single support as the
cycle's beginning and the biceps' short head; here it is activation, heel strikes and the long head.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.stats import wilcoxon

from arnold.analysis.gait import Averages, pearson
from arnold.analysis.human_data import HumanEmg
from arnold.analysis.muscle_signals import SILENT
from arnold.checkpoints.durable import reported_writes, write_text
from arnold.drawing import DPI, GREY, STUDENT, TEXT_SIZE, TITLE_SIZE
from arnold.errors import UserError

KINESIS = {
    "Soleus": 0.73,
    "Medial Gastrocnemius": 0.80,
    "Lateral Gastrocnemius": 0.88,
    "Tibialis Anterior": 0.17,
    "Semimembranosus": 0.12,
    "Biceps Femoris": 0.42,
    "Vastus Lateral": -0.18,
    "Rectus Femoris": 0.25,
    "Vastus Medial": 0.26,
}
"""KINESIS' r, median over people (its notebooks/emg_comparison.ipynb, cell 32, read off the figure), at 4.5 km/h."""
KINESIS_OVERALL = 0.37
"""KINESIS' r averaged over muscles, median over people (arXiv 2503.14637, figure 7)."""
KINESIS_SPEED = 4.5  # km/h
FAINT = 0.01
"""An envelope whose peak is less than this share of the other people's median is said: the electrode may be dead."""


@dataclasses.dataclass(frozen=True, eq=False)
class EmgComparison:
    """A policy's activations beside people's EMG.

    Attributes:
        speed: of the people, km/h.
        policy: correlations, a row per person and a column per muscle.
        pairwise: of people with each other, a row per pair.
        leave_one_out: of each person with the mean of the others, a row per person.
        table: a row per muscle, see `compare_emg`.
        overall: the same figures for r averaged over muscles.
        shifts: a row per shift of the policy's curves (percent of the cycle; below 0 is earlier), r averaged over
            people; a column per muscle and "all".
        notes: what was left out, and why.
        curves: (P, K) of the policy, NaN-free; (N, P, K) of people, as they were compared.
        muscles: the K muscles that were compared.
    """

    speed: float
    policy: pd.DataFrame
    pairwise: pd.DataFrame
    leave_one_out: pd.DataFrame
    table: pd.DataFrame
    overall: dict[str, Any]
    shifts: pd.DataFrame
    notes: tuple[str, ...]
    curves: tuple[np.ndarray, np.ndarray]
    muscles: tuple[str, ...]

    def lines(self) -> list[str]:
        """What is said below the table."""
        o, people = self.overall, f"people at {self.speed:g} km/h"
        shift = o["best_shift_percent"]
        moved = f"moved by {shift:+.0f} % of the cycle" if shift else "as it is"
        among = (
            "one person alone cannot be compared with others"
            if o["human_pairwise"] is None
            else f"{people} among themselves {o['human_pairwise']:.2f} in pairs, "
            f"{o['human_leave_one_out']:.2f} leave-one-out"
        )
        return [
            f"all {o['muscles']} muscles: r {o['r']:.2f} (median over people); {among}",
            f"KINESIS published r {KINESIS_OVERALL:.2f} at {KINESIS_SPEED:g} km/h; the policy is most like people "
            f"{moved} (mean r {o['r_at_best_shift']:.2f})",
            *self.notes,
        ]


def human_agreement(
    envelopes: np.ndarray, subjects: Sequence[str], muscles: Sequence[str], *, scaled: bool = True
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """How people correlate with each other.

    Args:
        envelopes: (N, P, K).
        subjects: names of the N people.
        muscles: names of the K muscles.
        scaled: whether each person's peak is made 1 before others are averaged. Without it, as in the published
            figures, the person with the largest amplitude decides what the others' mean looks like.

    Returns:
        r of each pair, and r of each person with the mean of the others; a column per muscle. Missing where an envelope
        does not vary, or nobody else is there.
    """
    pairs = list(itertools.combinations(range(len(subjects)), 2))
    pairwise = [[pearson(envelopes[i, :, k], envelopes[j, :, k]) for k in range(len(muscles))] for i, j in pairs]
    peaks = np.abs(envelopes).max(axis=1, keepdims=True)
    averaged = envelopes / np.where(peaks > 0.0, peaks, 1.0) if scaled else envelopes
    left_out: list[list[float | None]] = [[None] * len(muscles) for _ in subjects]
    for i in range(len(subjects) if len(subjects) > 1 else 0):
        other = np.delete(averaged, i, axis=0).mean(axis=0)
        left_out[i] = [pearson(envelopes[i, :, k], other[:, k]) for k in range(len(muscles))]
    names = pd.Index([f"{subjects[i]} and {subjects[j]}" for i, j in pairs], name="pair")
    columns = pd.Index(muscles, name="muscle")
    return (
        pd.DataFrame(pairwise, names, columns, dtype=float),
        pd.DataFrame(left_out, pd.Index(subjects, name="subject"), columns, dtype=float),
    )


def compare_emg(activations: Averages, human: HumanEmg, speed: float, side: str = "_l") -> EmgComparison:
    """Compare activations over the gait cycle with people's EMG at the nearest speed that was measured.

    The table has for each muscle: ``actuator``; ``r``, the median over people, and ``r_mean`` by Fisher's z;
    ``human_pairwise`` and ``human_leave_one_out``, medians; ``p`` of Wilcoxon's test of the policy's r against the
    leave-one-out r of the same people, and ``p_bonferroni``; ``best_shift_percent``, by how much of the cycle the
    policy's curve is moved later for the best mean r over people, and that ``r_at_best_shift``; ``kinesis``, the
    published r; ``note``. A muscle that is missing or silent has a note in place of figures.

    Args:
        activations: of the policy, averages over its cycles; names are the body's muscles.
        human: the EMG.
        speed: of the policy's walk, km/h.
        side: suffix of the muscles' names.

    Raises:
        UserError: where none of the muscles can be compared.
    """
    measured, everyone = human.nearest(speed)
    points = everyone.shape[1]
    ours, why = _comparable(activations, human, side, points)
    if not ours:
        raise UserError(f"no muscle can be compared with people's EMG: {'; '.join(why.values())}")
    pairwise, left_out = human_agreement(everyone, human.subjects, human.muscles)
    muscles = [m for m in human.muscles if m in ours]
    columns = [human.muscles.index(m) for m in muscles]
    people, policy = everyone[:, :, columns], np.stack([ours[m] for m in muscles], axis=1)
    r = pd.DataFrame(
        [[pearson(policy[:, k], person[:, k]) for k in range(len(muscles))] for person in people],
        left_out.index,
        pd.Index(muscles, name="muscle"),
        dtype=float,
    )
    shifts = _shifted(policy, people, muscles)
    tests = len(muscles)
    rows = [
        _row(m, human.actuators[human.muscles.index(m)] + side, r, left_out, pairwise, shifts, tests, why.get(m, ""))
        for m in human.muscles
    ]
    notes = [f"left out: {muscle} ({reason})" for muscle, reason in why.items()]
    notes += _electrodes(everyone, human.subjects, human.muscles)
    mean_r, mean_left_out = r.mean(axis=1), left_out[muscles].mean(axis=1)
    best = int(np.argmax(shifts["all"].to_numpy()))
    overall = {
        "muscles": tests,
        "speed_kmh": measured,
        "r": float(mean_r.median()),
        "r_mean": _fisher_mean(r.to_numpy()),
        "human_pairwise": _median(pairwise[muscles].mean(axis=1)),
        "human_leave_one_out": _median(mean_left_out),
        "p": _paired_p(mean_r.to_numpy(), mean_left_out.to_numpy()),
        "best_shift_percent": float(shifts.index[best]),
        "r_at_best_shift": float(shifts["all"].iloc[best]),
        "kinesis": KINESIS_OVERALL,
    }
    return EmgComparison(
        measured,
        r,
        pairwise,
        left_out,
        pd.DataFrame(rows).set_index("muscle"),
        overall,
        shifts,
        tuple(notes),
        (policy, people),
        tuple(muscles),
    )


def _comparable(
    activations: Averages, human: HumanEmg, side: str, points: int
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Curves (P,) of the muscles that can be compared, and why the others cannot, by people's name of the muscle."""
    grid = np.linspace(0.0, 100.0, points)
    least = SILENT * max(float(np.abs(activations.mean).max()), np.finfo(float).tiny)
    ours: dict[str, np.ndarray] = {}
    why: dict[str, str] = {}
    for muscle, actuator in zip(human.muscles, human.actuators, strict=True):
        name = actuator + side
        if name not in activations.names:
            why[muscle] = f"the body has no muscle {name}"
            continue
        curve = np.interp(grid, activations.percent, activations.of(name))
        if np.ptp(curve) <= least:
            why[muscle] = f"{name} is silent: its activation stays at {curve[0]:.3f}"
        else:
            ours[muscle] = curve
    return ours, why


def _row(
    muscle: str,
    actuator: str,
    r: pd.DataFrame,
    left_out: pd.DataFrame,
    pairwise: pd.DataFrame,
    shifts: pd.DataFrame,
    tests: int,
    note: str,
) -> dict[str, Any]:
    """The figures of one muscle."""
    row: dict[str, Any] = {"muscle": muscle, "actuator": actuator, "r": None, "r_mean": None}
    row |= {"human_pairwise": _median(pairwise[muscle]), "human_leave_one_out": _median(left_out[muscle])}
    row |= {"p": None, "p_bonferroni": None, "best_shift_percent": None, "r_at_best_shift": None}
    if not note:
        best = int(np.argmax(shifts[muscle].to_numpy()))
        p = _paired_p(r[muscle].to_numpy(), left_out[muscle].to_numpy())
        row |= {
            "r": float(r[muscle].median()),
            "r_mean": _fisher_mean(r[muscle].to_numpy()),
            "p": p,
            "p_bonferroni": None if p is None else min(1.0, p * tests),
            "best_shift_percent": float(shifts.index[best]),
            "r_at_best_shift": float(shifts[muscle].iloc[best]),
        }
    return {**row, "kinesis": KINESIS.get(muscle), "note": note}


def _shifted(policy: np.ndarray, people: np.ndarray, muscles: Sequence[str]) -> pd.DataFrame:
    """Mean r over people, of the policy's curves (P, K) moved later by each whole sample of the cycle."""
    points = len(policy)

    def unit(curves: np.ndarray) -> np.ndarray:
        centred = curves - curves.mean(axis=-2, keepdims=True)
        size = np.linalg.norm(centred, axis=-2, keepdims=True)
        return np.asarray(centred / np.where(size > 0.0, size, np.inf))

    ours, target = unit(policy), unit(people)
    varies = (np.abs(target).sum(axis=1) > 0.0).sum(axis=0)  # people whose envelope of a muscle varies
    moved = np.stack([np.roll(ours, s, axis=0) for s in range(points)])
    r = np.einsum("spk,npk->sk", moved, target) / np.maximum(varies, 1)
    samples = np.arange(points)
    later = 100.0 * np.where(samples < points / 2, samples, samples - points) / points
    made = pd.DataFrame(r, pd.Index(later, name="later by % of the cycle"), list(muscles))
    return made.assign(all=r.mean(axis=1)).sort_index()


def _electrodes(everyone: np.ndarray, subjects: Sequence[str], muscles: Sequence[str]) -> list[str]:
    """What is said of people's envelopes (N, P, K) that do not vary, or hardly do."""
    peaks = np.abs(everyone).max(axis=1)
    notes = []
    for k, muscle in enumerate(muscles):
        for i, subject in enumerate(subjects):
            others = np.delete(peaks[:, k], i)
            if pearson(everyone[i, :, k], everyone[i, :, k]) is None:
                notes.append(f"left out: {muscle} of person {subject}, whose envelope does not vary")
            elif len(others) and peaks[i, k] < FAINT * np.median(others):
                share = 100.0 * peaks[i, k] / np.median(others)
                notes.append(f"faint: {muscle} of person {subject} peaks at {share:.2g} % of what others' does; kept")
    return notes


def _median(r: pd.Series) -> float | None:
    """The median of what is known; None where nothing is."""
    known = r.dropna()
    return float(known.median()) if len(known) else None


def _fisher(r: np.ndarray) -> np.ndarray:
    """Fisher's z."""
    return np.asarray(np.arctanh(np.clip(r, -1.0 + 1e-9, 1.0 - 1e-9)))


def _fisher_mean(r: np.ndarray) -> float:
    """The mean of correlations by Fisher's z, without those that are not known."""
    return float(np.tanh(_fisher(r[np.isfinite(r)]).mean()))


def _paired_p(ours: np.ndarray, theirs: np.ndarray) -> float | None:
    """Wilcoxon's p for pairs of correlations, by Fisher's z; None with fewer than two pairs or without a difference."""
    known = np.isfinite(ours) & np.isfinite(theirs)
    difference = _fisher(ours[known]) - _fisher(theirs[known])
    return float(wilcoxon(difference).pvalue) if np.count_nonzero(difference) > 1 else None


def draw_emg(path: Path, comparison: EmgComparison) -> Path:
    """A panel per muscle: people's mean and standard deviation, each person's peak being 1, and the policy's curve.

    Args:
        path: the PNG file.
        comparison: what was compared.
    """
    columns = 3
    rows = -(-len(comparison.muscles) // columns)
    figure = Figure(figsize=(3.1 * columns, 2.3 * rows + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(rows, columns, squeeze=False, sharex=True).flat)
    policy, people = comparison.curves
    percent = np.linspace(0.0, 100.0, len(policy))
    for k, muscle in enumerate(comparison.muscles):
        axis, row = axes[k], comparison.table.loc[muscle]
        scaled = people[:, :, k] / np.maximum(people[:, :, k].max(axis=1, keepdims=True), 1e-12)
        mean = scaled.mean(axis=0)
        sd = scaled.std(axis=0, ddof=1) if len(scaled) > 1 else np.zeros_like(mean)
        axis.fill_between(percent, mean - sd, mean + sd, color=GREY, alpha=0.25, linewidth=0, label="people, ± 1 SD")
        axis.plot(percent, mean, color=GREY, linewidth=1.2, label="people, mean")
        axis.plot(percent, policy[:, k] / policy[:, k].max(), color=STUDENT, linewidth=1.8, label="policy")
        axis.set_title(muscle, loc="left", fontsize=TITLE_SIZE, pad=16)
        figures = {"r": row["r"], "people": row["human_leave_one_out"], "KINESIS": KINESIS.get(muscle)}
        said = ", ".join(f"{name} {value:.2f}" for name, value in figures.items() if pd.notna(value))
        axis.text(0.0, 1.03, said, transform=axis.transAxes, fontsize=TEXT_SIZE, color=GREY)
        axis.set_ylim(bottom=min(0.0, float((mean - sd).min())))
        axis.set_xlim(0.0, 100.0)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=TEXT_SIZE)
    for axis in axes[len(comparison.muscles) :]:
        axis.set_visible(False)
    figure.supxlabel(f"% of the gait cycle, from heel strike; people at {comparison.speed:g} km/h", fontsize=TEXT_SIZE)
    figure.supylabel("share of the peak", fontsize=TEXT_SIZE)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, fontsize=TEXT_SIZE, frameon=False)
    with reported_writes(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=DPI)
    return path


def write_emg(folder: Path, comparison: EmgComparison) -> tuple[Path, ...]:
    """Write emg.csv (a row per muscle), emg_correlations.csv (every r), emg_shifts.csv and emg.png.

    Returns:
        the four paths.
    """
    every = {"policy": comparison.policy, "leave one out": comparison.leave_one_out, "pair": comparison.pairwise}
    long = pd.concat([frame.rename_axis(index="people").assign(kind=kind) for kind, frame in every.items()])
    tables = {"emg.csv": comparison.table, "emg_correlations.csv": long, "emg_shifts.csv": comparison.shifts}
    with reported_writes(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in tables.items():
            write_text(folder / name, table.to_csv(float_format="%.5g"))
    return (*(folder / name for name in tables), draw_emg(folder / "emg.png", comparison))
