"""How many synergies there are, by the criteria that the field publishes, side by side: they do not agree.

A criterion that no number of synergies meets says so in words; it never becomes a number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from arnold.analysis.muscle_signals import MuscleSignals
from arnold.analysis.synergies import PURPOSE, cross_validated, extract, most_synergies, require_count
from arnold.errors import UserError
from arnold.extras import extra_module

if TYPE_CHECKING:
    import pandas

VAF_OVERALL, VAF_OF_EACH = 0.90, 0.75
LINE_ERROR = 1e-4
MOST = 12
"""Synergies that nmf is tried with at most, unless said: its cost grows with them."""


def curve(
    signals: MuscleSignals,
    method: str = "nmf",
    counts: Sequence[int] = (),
    *,
    folds: int = 4,
    restarts: int = 2,
    seed: int = 0,
) -> pandas.DataFrame:
    """How well 1, 2, ... synergies say the signals.

    Args:
        signals: of one task, or pooled.
        method: ``nmf`` or ``pca``.
        counts: numbers of synergies; 1 to all active muscles where not given, of nmf at most `MOST`.
        folds: of the cross-validation; 0 for none.
        restarts: of nmf.
        seed: of nmf's beginnings.

    Returns:
        by ``count``: ``vaf``, ``r2``, ``worst_vaf`` and ``worst_muscle``, and ``held_out_r2`` and ``held_out_r2_sd``
        where cross-validated; ``attrs["notes"]`` says what of these is missing, and why.
    """
    pd = extra_module("pandas", "analysis", PURPOSE)
    counts = tuple(counts) or tuple(range(1, _most(signals, method) + 1))
    rows = []
    for count in counts:
        found = extract(signals, count, method, restarts=restarts, seed=seed)
        each = found.vaf_per_muscle()
        worst = min(each, key=lambda muscle: each[muscle])
        rows.append((count, found.vaf, found.r2, each[worst], worst))
    table = pd.DataFrame(rows, columns=["count", "vaf", "r2", "worst_vaf", "worst_muscle"]).set_index("count")
    notes: list[str] = []
    if folds:
        held_out = cross_validated(signals, counts, method, folds=folds, seed=seed)
        table["held_out_r2"], table["held_out_r2_sd"] = held_out["r2"], held_out["r2_sd"]
        notes = held_out.attrs["notes"]
    table.attrs.update(method=method, name=signals.name, silent_muscles=list(signals.silent), notes=notes)
    return table


def number_of_synergies(
    signals: MuscleSignals, found: pandas.DataFrame, *, draws: int = 20, seed: int = 0
) -> pandas.DataFrame:
    """The number of synergies by each criterion that fits the method.

    Args:
        signals: what the curve is of.
        found: from `curve`, of 1, 2, 3, ... synergies.
        draws: of shuffled signals, for the criteria that compare with chance.
        seed: of the shuffling.

    Returns:
        by ``criterion``: ``number`` (an integer, or pandas' NA where no number tried meets it), ``note`` (why NA, or
        what the number is of) and ``source``.
    """
    pd = extra_module("pandas", "analysis", PURPOSE)
    counts = found.index.to_numpy()
    if not np.array_equal(counts, np.arange(1, len(counts) + 1)):
        raise UserError(
            f"criteria compare 1, 2, 3, ... synergies, but the curve is of {counts.tolist()}; leave none out"
        )
    criteria = _OF_PCA if found.attrs["method"] == "pca" else _OF_NMF
    rows = []
    for name, source, judge in criteria:
        number, note = judge(signals, found, draws, seed)
        rows.append((name, pd.NA if number is None else number, note, source))
    table = pd.DataFrame(rows, columns=["criterion", "number", "note", "source"]).set_index("criterion")
    return table.astype({"number": "Int64"})


def number_for(signals: MuscleSignals, share: float = VAF_OVERALL, *, most: int = MOST, seed: int = 0) -> int | None:
    """The smallest number of nmf synergies that accounts for a share of the signals; None where ``most`` do not.

    Args:
        signals: of one task, or pooled.
        share: of the variance, overall.
        most: synergies that are tried.
        seed: of nmf's beginnings.
    """
    least = _most(signals, "nmf")
    counts = range(1, min(most, least) + 1)
    return next((n for n in counts if extract(signals, n, "nmf", restarts=0, seed=seed).vaf >= share), None)


def line_begins(r2: np.ndarray, error: float = LINE_ERROR) -> int | None:
    """The smallest number of synergies from which on R² grows along a line: more of them say only noise.

    A line is fitted to the curve from each number to the last; the first with a mean squared error below ``error`` is
    it. None where that is so only of two points, through which there always is a line.

    Args:
        r2: of 1, 2, 3, ... synergies.
        error: Cheung et al. 2005 (J Neurosci 25:6419) take 1e-4.
    """
    for first in range(len(r2) - 2):
        rest = r2[first:]
        place = np.arange(len(rest))
        line = np.polynomial.Polynomial.fit(place, rest, 1)
        if np.square(rest - line(place)).mean() < error:
            return first + 1
    return None


_Judged = tuple[int | None, str]
_Judge = Callable[[MuscleSignals, "pandas.DataFrame", int, int], _Judged]


def _most(signals: MuscleSignals, method: str) -> int:
    require_count(signals, 1)
    most = most_synergies(signals)
    return most if method == "pca" else min(most, MOST)


def _first(meets: np.ndarray, what: str) -> _Judged:
    places = np.flatnonzero(meets)
    return (int(places[0]) + 1, "") if len(places) else (None, f"{what} is not met by up to {len(meets)}")


def _explained(share: float) -> _Judge:
    return lambda signals, found, draws, seed: _first(found["vaf"].to_numpy() >= share, f"VAF {share}")


def _vaf(signals: MuscleSignals, found: pandas.DataFrame, draws: int, seed: int) -> _Judged:
    meets = (found["vaf"] >= VAF_OVERALL) & (found["worst_vaf"] >= VAF_OF_EACH)
    return _first(meets.to_numpy(), f"VAF {VAF_OVERALL} overall and {VAF_OF_EACH} of each muscle")


def _line(column: str) -> _Judge:
    def judge(signals: MuscleSignals, found: pandas.DataFrame, draws: int, seed: int) -> _Judged:
        if column not in found:
            return None, "the curve was not cross-validated (folds=0)"
        r2 = found[column].dropna()
        if not len(r2):
            return None, "no fold could be held out: muscles move in one alone"
        number = line_begins(r2.to_numpy())
        if number is None:
            return None, f"no line fits the last 3 or more of {len(r2)}"
        return number, "" if len(r2) == len(found) else f"of up to {len(r2)}: there is no held-out R² of more"

    return judge


def _slope(signals: MuscleSignals, found: pandas.DataFrame, draws: int, seed: int) -> _Judged:
    """Where R² grows by less than 75 % of what it grows by, there, when each muscle is shuffled in time."""
    random = np.random.default_rng(seed)
    grown = np.zeros(len(found))
    draws = min(draws, 3)  # each is a curve of its own
    for _ in range(draws):
        shuffled = _shuffled(signals, random)
        r2 = [extract(shuffled, count, "nmf", restarts=0, seed=seed).r2 for count in found.index]
        grown += np.diff([0.0, *r2]) / draws
    gain = np.diff([0.0, *found["r2"]])
    number, _ = _first(gain[1:] < 0.75 * grown[1:], "")
    return (number, "") if number else (None, f"R² grows faster than chance up to {len(found)}")


def _broken_stick(signals: MuscleSignals, found: pandas.DataFrame, draws: int, seed: int) -> _Judged:
    """Components that hold more variance than the pieces of a stick broken at random."""
    shares = _shares(signals)
    stick = np.cumsum((1.0 / np.arange(1, len(shares) + 1))[::-1])[::-1] / len(shares)
    return _leading(shares > stick)


def _parallel(signals: MuscleSignals, found: pandas.DataFrame, draws: int, seed: int) -> _Judged:
    """Components that hold more variance than those of signals shuffled in time, muscle by muscle, in 95 % of draws."""
    random = np.random.default_rng(seed)
    chance = np.array([_shares(_shuffled(signals, random)) for _ in range(draws)])
    return _leading(_shares(signals) > np.quantile(chance, 0.95, axis=0))


def _dimensionality(signals: MuscleSignals, found: pandas.DataFrame, draws: int, seed: int) -> _Judged:
    """Half-way between the components for 85 % and for 95 %, rounded up."""
    low, high = (_first(found["vaf"].to_numpy() >= share, "VAF 0.95") for share in (0.85, 0.95))
    if low[0] is None or high[0] is None:
        return None, high[1]
    return -(-(low[0] + high[0]) // 2), f"{(low[0] + high[0]) / 2:g} before rounding"


def _leading(better: np.ndarray) -> _Judged:
    number = int(np.argmin(better)) if not better.all() else len(better)
    return (number, "") if number else (None, "not even the first component is beyond chance")


def _shares(signals: MuscleSignals) -> np.ndarray:
    """Shares of the variance that the principal components of the muscles' correlations hold, all of them."""
    values = signals.values[:, signals.active]
    standard = (values - values.mean(axis=0)) / values.std(axis=0)
    variances = np.linalg.svd(standard, compute_uv=False) ** 2
    return np.asarray(variances / variances.sum())


def _shuffled(signals: MuscleSignals, random: np.random.Generator) -> MuscleSignals:
    values = random.permuted(signals.values, axis=0)
    return MuscleSignals(signals.name, signals.muscles, values, signals.trial, signals.groups, signals.signal)


_OF_NMF: tuple[tuple[str, str, _Judge], ...] = (
    ("VAF overall and of each muscle", "Torres-Oviedo et al. 2006, Clark et al. 2010: 0.90 and 0.75", _vaf),
    ("line through R²", "Cheung et al. 2005, d'Avella et al. 2006: mean squared error 1e-4", _line("r2")),
    ("line through held-out R²", "Cheung et al. 2005: of cross-validated R²", _line("held_out_r2")),
    ("slope against shuffled", "Cheung et al. 2009: 75 % of the slope of shuffled signals", _slope),
)
_OF_PCA: tuple[tuple[str, str, _Judge], ...] = (
    ("VAF 0.90", "", _explained(0.90)),
    ("VAF overall and of each muscle", "Torres-Oviedo et al. 2006: 0.90 and 0.75", _vaf),
    ("mean of VAF 0.85 and 0.95", "Todorov & Ghahramani 2004", _dimensionality),
    ("line through held-out R²", "Cheung et al. 2005: of cross-validated R²", _line("held_out_r2")),
    ("broken stick", "Jackson 1993", _broken_stick),
    ("parallel analysis", "Horn 1965; by permutation, Buja & Eyuboglu 1992", _parallel),
)
