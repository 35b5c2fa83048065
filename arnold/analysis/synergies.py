"""Muscle synergies: a few groups of muscles whose sums, over time, are what all muscles do.

Two factorisations of the samples X (S, M) of one task, or of several pooled, into coefficients C (S, n) and weights W
(M, n), X ≈ mean + C W^T:

- ``nmf``: nothing negative, no mean (Lee & Seung 1999; for muscles d'Avella et al. 2003). Weights are of norm 1.
- ``pca``: principal components; orthonormal weights around the mean.

Synergies are ordered by how much of the signal they carry. *VAF* is the variance accounted for,
``1 - |X - X'|² / |X|²``, of squares around zero for nmf (Torres-Oviedo et al. 2006) and around the mean for pca; *R²*
is of squares around each muscle's mean for both, so that the two methods compare. Both are of the muscles that are not
silent: one that stands still has no variance to account for.
"""

from __future__ import annotations

import dataclasses
import itertools
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from arnold.analysis.muscle_signals import SILENT, MuscleSignals
from arnold.errors import UserError, did_you_mean
from arnold.extras import extra_module

if TYPE_CHECKING:
    import pandas
    import xarray

METHODS = ("nmf", "pca")
PURPOSE = "muscle synergies"
NMF_ITERATIONS, NMF_TOLERANCE = 2000, 1e-5


@dataclasses.dataclass(frozen=True, eq=False)
class Synergies:
    """n synergies of one set of signals.

    Attributes:
        method: ``nmf`` or ``pca``.
        signals: what they were extracted from.
        weights: (M, n), columns of norm 1; rows of silent muscles are 0.
        coefficients: (S, n).
        mean: (M,), 0 for nmf.
        converged: whether the factorisation ended before its limit of iterations.
    """

    method: str
    signals: MuscleSignals
    weights: np.ndarray
    coefficients: np.ndarray
    mean: np.ndarray
    converged: bool = True

    @property
    def count(self) -> int:
        """n."""
        return self.weights.shape[1]

    @property
    def names(self) -> tuple[str, ...]:
        """``"S1"`` to ``"Sn"``."""
        return tuple(f"S{i + 1}" for i in range(self.count))

    @property
    def reconstruction(self) -> np.ndarray:
        """(S, M): what the synergies say the signals are."""
        return np.asarray(self.mean + self.coefficients @ self.weights.T)

    @property
    def vaf(self) -> float:
        """Variance accounted for, overall."""
        return self._fit(self._around)

    @property
    def r2(self) -> float:
        """R² overall, around each muscle's mean."""
        return self._fit(self.signals.values.mean(axis=0))

    def weights_table(self) -> pandas.DataFrame:
        """Weights, muscles by synergies, with the muscles' groups; silent muscles are 0 and named in ``attrs``."""
        pd = extra_module("pandas", "analysis", PURPOSE)
        table = pd.DataFrame(self.weights, index=pd.Index(self.signals.muscles, name="muscle"), columns=self.names)
        table.insert(0, "group", self.signals.groups)
        table.attrs["silent_muscles"] = list(self.signals.silent)
        return table

    def vaf_table(self) -> pandas.DataFrame:
        """VAF and R² overall (row ``"all"``) and per muscle. Silent muscles, which have no variance, are not in it but
        named in ``attrs["silent_muscles"]``."""
        pd = extra_module("pandas", "analysis", PURPOSE)
        per_muscle = self.vaf_per_muscle()
        own_mean = self.signals.values.mean(axis=0)
        rows = {"all": (self.vaf, self.r2)}
        for muscle, vaf in per_muscle.items():
            m = self.signals.muscles.index(muscle)
            column = np.s_[:, [m]]
            r2 = fit(self.signals.values[column], self.reconstruction[column], own_mean[[m]])
            rows[muscle] = (vaf, r2)
        table = pd.DataFrame.from_dict(rows, orient="index", columns=["vaf", "r2"])
        table.index.name = "muscle"
        table.attrs["silent_muscles"] = list(self.signals.silent)
        return table

    def vaf_per_muscle(self) -> dict[str, float]:
        """VAF of each muscle that is not silent."""
        told, around = self.reconstruction, np.broadcast_to(self._around, self.mean.shape)
        return {
            muscle: fit(self.signals.values[:, [m]], told[:, [m]], around[[m]])
            for m, muscle in enumerate(self.signals.muscles)
            if self.signals.active[m]
        }

    @property
    def _around(self) -> np.ndarray:
        return self.mean  # zero for nmf

    def _fit(self, around: np.ndarray) -> float:
        active = self.signals.active
        return fit(self.signals.values[:, active], self.reconstruction[:, active], around[active])


def extract(signals: MuscleSignals, count: int, method: str = "nmf", *, restarts: int = 5, seed: int = 0) -> Synergies:
    """The ``count`` synergies of some signals.

    Args:
        signals: of one task, or pooled. Silent muscles are left out: their weights are 0.
        count: n, from 1 to the number of muscles that are not silent.
        method: ``nmf`` or ``pca``.
        restarts: random beginnings of nmf beside the one by singular vectors; the best fit is kept.
        seed: of the random beginnings.

    Raises:
        UserError: an unknown method; more synergies than active muscles or samples; negative signals for nmf.

    Example:
        >>> synergies = extract(muscle_signals(load_recording("hand.h5")), 5)
        >>> synergies.vaf, synergies.weights_table()
    """
    if method not in METHODS:
        raise UserError(f"unknown method {method!r} of synergies; {did_you_mean(method, METHODS)}")
    active = signals.active
    values = signals.values[:, active]
    require_count(signals, count)
    if method == "pca":
        weights, coefficients, mean, converged = *_principal(values, count), True
    else:
        weights, coefficients, converged = _nonnegative(signals, values, count, restarts, seed)
        mean = np.zeros(values.shape[1])
    all_weights = np.zeros((len(active), count))
    all_weights[active] = weights
    all_mean = np.where(active, 0.0, signals.values.mean(axis=0)) if method == "pca" else np.zeros(len(active))
    all_mean[active] = mean
    return Synergies(method, signals, all_weights, coefficients, all_mean, converged)


def require_count(signals: MuscleSignals, count: int) -> None:
    """Raise a `UserError` where so many synergies cannot be extracted from some signals."""
    active = int(signals.active.sum())
    if active == 0:
        raise UserError(f"{signals.name!r}: all {len(signals.muscles)} muscles are silent; there is nothing to extract")
    most = most_synergies(signals)
    if not 1 <= count <= most:
        silent = f", {len(signals.silent)} more are silent" if signals.silent else ""
        raise UserError(
            f"{count} synergies were asked for of {signals.name!r}, which has {len(signals.values)} samples of "
            f"{active} active muscles{silent}; 1 to {most} are accepted"
        )


def most_synergies(signals: MuscleSignals) -> int:
    """How many synergies some signals can have: active muscles, or samples where those are fewer."""
    return min(int(signals.active.sum()), len(signals.values))


def fit(values: np.ndarray, told: np.ndarray, around: np.ndarray) -> float:
    """``1 - |values - told|² / |values - around|²`` of (S, M) values; the muscles must not all be silent."""
    return 1.0 - float(np.square(values - told).sum() / np.square(values - around).sum())


def coefficients_of(weights: np.ndarray, mean: np.ndarray, values: np.ndarray, method: str) -> np.ndarray:
    """Coefficients (S, n) with which weights (M, n) say new values (S, M) best; none are negative for nmf."""
    if method == "pca":
        return np.asarray((values - mean) @ weights)
    sk: Any = extra_module("sklearn.decomposition", "analysis", PURPOSE)
    basis = np.ascontiguousarray(weights.T)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a limit of iterations reached; the coefficients are near enough
        found, _, _ = sk.non_negative_factorization(
            np.maximum(values, 0.0),
            H=basis,
            n_components=len(basis),
            update_H=False,
            tol=NMF_TOLERANCE,
            max_iter=NMF_ITERATIONS,
        )
    return np.asarray(found)


def matched(one: Synergies, other: Synergies) -> pandas.DataFrame:
    """Pairs of synergies that are most alike (the assignment with the largest sum of cosines).

    Returns:
        columns ``one``, ``other`` (names) and ``cosine``; as many rows as the smaller set has synergies. The sign of a
        principal component means nothing, so theirs are absolute.

    Raises:
        UserError: they are of different muscles.
    """
    pd = extra_module("pandas", "analysis", PURPOSE)
    if one.signals.muscles != other.signals.muscles:
        raise UserError(
            f"synergies of {one.signals.name!r} and {other.signals.name!r} are of different muscles and do not "
            "compare; choose the muscles that they share (MuscleSignals.of)"
        )
    cosines = one.weights.T @ other.weights
    if "pca" in (one.method, other.method):
        cosines = np.abs(cosines)
    rows, columns = linear_sum_assignment(-cosines)
    pairs = [(one.names[i], other.names[j], float(cosines[i, j])) for i, j in zip(rows, columns, strict=True)]
    return pd.DataFrame(pairs, columns=["one", "other", "cosine"])


def bootstrap(
    synergies: Synergies, draws: int = 50, *, confidence: float = 0.95, seed: int = 0
) -> tuple[pandas.DataFrame, xarray.Dataset]:
    """How sure the synergies are: extracted anew from trials drawn with replacement, each matched to the original.

    A draw that misses the only trials in which some muscles move may have fewer active muscles than there are
    synergies; it is left out.

    Args:
        synergies: of signals with at least two trials.
        draws: how many.
        confidence: of the intervals.
        seed: of the draws.

    Returns:
        per synergy, the mean and the lower end of the cosine to the original, ``attrs["notes"]`` naming how many draws
        were left out; and ``low`` and ``high`` of each weight, over (muscle, synergy).

    Raises:
        UserError: fewer than two trials, or no draw with enough active muscles.
    """
    pd, xr = extra_module("pandas", "analysis", PURPOSE), extra_module("xarray", "analysis", PURPOSE)
    signals = synergies.signals
    if len(signals.trials) < 2:
        raise UserError(
            f"{signals.name!r} has {len(signals.trials)} trial; a bootstrap draws among at least 2: record "
            "more episodes"
        )
    random = np.random.default_rng(seed)
    cosines, weights = [], []
    for _ in range(draws):
        drawn = signals.of_trials([int(t) for t in random.choice(signals.trials, len(signals.trials))])
        if most_synergies(drawn) < synergies.count:
            continue
        again = _like(synergies, drawn)
        cosine = synergies.weights.T @ again.weights
        rows, columns = linear_sum_assignment(-np.abs(cosine))
        sign = np.sign(cosine[rows, columns]) if synergies.method == "pca" else 1.0
        cosines.append(np.abs(cosine[rows, columns]))
        weights.append(again.weights[:, columns] * sign)
    missed = f"{draws - len(cosines)} of {draws} draws have fewer than {synergies.count} active muscles or samples"
    if not cosines:
        raise UserError(f"{signals.name!r}: {missed}; extract fewer synergies, or record more episodes")
    tail = (1.0 - confidence) / 2.0
    table = pd.DataFrame(
        {"cosine": np.mean(cosines, axis=0), "cosine_low": np.quantile(cosines, tail, axis=0)},
        index=pd.Index(synergies.names, name="synergy"),
    )
    table.attrs["notes"] = [f"{missed}, and are left out"] if len(cosines) < draws else []
    axes = ("muscle", "synergy")
    ends = {name: (axes, np.quantile(weights, end, axis=0)) for name, end in (("low", tail), ("high", 1.0 - tail))}
    return table, xr.Dataset(ends, {"muscle": list(signals.muscles), "synergy": list(synergies.names)})


def cross_validated(
    signals: MuscleSignals, counts: Sequence[int], method: str = "nmf", *, folds: int = 4, seed: int = 0
) -> pandas.DataFrame:
    """R² of trials that the synergies were not extracted from (Cheung et al. 2005).

    Whole trials are held out, in ``folds`` groups; a single trial is cut into as many pieces in a row. Weights (and the
    mean, for pca) are of the rest; coefficients are fitted to the held-out samples. A fold is left out where no muscle
    moves in it, which leaves nothing to account for, or in the rest.

    Args:
        signals: of one task, or pooled.
        counts: numbers of synergies.
        method: ``nmf`` or ``pca``.
        folds: groups of trials, at least 2.
        seed: of nmf's beginnings.

    Returns:
        by ``count``: ``r2`` and ``r2_sd``, mean and standard deviation over folds of R², around the held-out means;
        NaN for more synergies than the rest of some fold has active muscles or samples. ``attrs["notes"]`` says what
        is missing, and why.

    Raises:
        UserError: fewer than two folds.
    """
    pd = extra_module("pandas", "analysis", PURPOSE)
    if folds < 2:
        raise UserError(f"cross-validation in {folds} folds; at least 2 are accepted")
    trials = len(signals.trials)
    number = np.unique(signals.trial, return_inverse=True)[1] if trials > 1 else np.arange(len(signals.values))
    held = (number * min(folds, number.max() + 1)) // (number.max() + 1)
    total = int(held.max()) + 1
    parts = [part for fold in range(total) if (part := _apart(signals, held == fold))]
    most = min((most_synergies(rest) for rest, _ in parts), default=0)
    scores = [
        (count, _held_out_r2(rest, values, signals.active, count, method, seed))
        for rest, values in parts
        for count in counts
        if count <= most
    ]
    by_count = pd.DataFrame(scores, columns=["count", "r2"]).astype({"r2": float}).groupby("count")["r2"]
    table = pd.DataFrame({"r2": by_count.mean(), "r2_sd": by_count.std()})
    table = table.reindex(pd.Index(sorted(set(counts)), name="count"))
    table.attrs["notes"] = _missing(len(parts), total, most, max(counts, default=0))
    return table


def _apart(signals: MuscleSignals, out: np.ndarray) -> tuple[MuscleSignals, np.ndarray] | None:
    """The signals outside a fold, and the values within it; None where no muscle moves in one of them."""
    rest, values = signals.values[~out], signals.values[out]
    least = SILENT * np.abs(signals.values).max()
    if min(np.ptp(part, axis=0).max() for part in (rest, values)) <= least:
        return None
    return dataclasses.replace(signals, values=rest, trial=signals.trial[~out]), values


def _held_out_r2(
    rest: MuscleSignals, values: np.ndarray, active: np.ndarray, count: int, method: str, seed: int
) -> float:
    """R² of held-out values (S, M), of the active muscles, by synergies of the rest."""
    found = extract(rest, count, method, restarts=0, seed=seed)
    told = found.mean + coefficients_of(found.weights, found.mean, values, method) @ found.weights.T
    return fit(values[:, active], told[:, active], values[:, active].mean(axis=0))


def _missing(used: int, folds: int, most: int, asked: int) -> list[str]:
    """What a cross-validation lacks, a sentence each."""
    notes = []
    if used < folds:
        notes.append(f"{folds - used} of {folds} folds are left out: no muscle moves in them, or in the rest")
    if used == 1:
        notes.append("held-out R² is of one fold, and has no deviation")
    if used and asked > most:
        notes.append(f"no held-out R² of more than {most} synergies: the rest of a fold has not the muscles or samples")
    return notes


def over_cycle(synergies: Synergies, points: int = 101, cycles: Sequence[tuple[int, int]] = ()) -> xarray.DataArray:
    """Coefficients over the cycle, 0 to 100 %.

    Args:
        synergies: whose coefficients.
        points: of the cycle.
        cycles: first sample and the one after the last of each cycle; where not given, the trials of at least two
            samples.

    Returns:
        (cycle, phase, synergy), linearly interpolated; ``attrs["left_out"]`` counts trials of a single sample.

    Raises:
        UserError: a given cycle of fewer than two samples, or outside the samples.
    """
    xr = extra_module("xarray", "analysis", PURPOSE)
    trial, total = synergies.signals.trial, len(synergies.coefficients)
    left_out = 0
    if not len(cycles):
        ends = [0, *(np.flatnonzero(np.diff(trial)) + 1).tolist(), total]
        trials = list(itertools.pairwise(ends))
        cycles = [(first, end) for first, end in trials if end - first > 1]
        left_out = len(trials) - len(cycles)
    phase = np.linspace(0.0, 100.0, points)
    resampled = np.zeros((len(cycles), points, synergies.count))
    for number, (first, end) in enumerate(cycles):
        if first < 0 or end > total or end - first < 2:
            raise UserError(
                f"cycle {number} is from sample {first} to {end} of {total}; at least 2 samples within are accepted"
            )
        now = np.linspace(0.0, 100.0, end - first)
        for s in range(synergies.count):
            resampled[number, :, s] = np.interp(phase, now, synergies.coefficients[first:end, s])
    coordinates = {"phase": ("phase", phase, {"units": "%"}), "synergy": list(synergies.names)}
    axes = ("cycle", "phase", "synergy")
    return xr.DataArray(resampled, coordinates, axes, "coefficient", attrs={"left_out": left_out})


def _like(synergies: Synergies, signals: MuscleSignals) -> Synergies:
    return extract(signals, synergies.count, synergies.method, restarts=0)


def _principal(values: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights (M, n), coefficients (S, n) and mean (M,); the largest weight of each is positive."""
    pca = extra_module("sklearn.decomposition", "analysis", PURPOSE).PCA(count, svd_solver="full")
    coefficients = pca.fit_transform(values)
    weights = pca.components_.T
    sign = np.sign(weights[np.abs(weights).argmax(axis=0), np.arange(count)])
    return weights * sign, coefficients * sign, pca.mean_


def _nonnegative(
    signals: MuscleSignals, values: np.ndarray, count: int, restarts: int, seed: int
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Weights (M, n) of norm 1, coefficients (S, n), and whether the best of the factorisations converged."""
    lowest = values.min()
    if lowest < 0.0:
        muscle = signals.muscles[int(signals.values.min(axis=0).argmin())]
        raise UserError(
            f"{signals.signal} of {muscle!r} is {lowest:.3g} in {signals.name!r}; nmf accepts nothing below 0: rectify "
            "it, or use pca"
        )
    sk: Any = extra_module("sklearn.decomposition", "analysis", PURPOSE)
    best: tuple[float, Any, np.ndarray] | None = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a limit of iterations reached: said in `converged`
        for attempt in range(restarts + 1):
            nmf = sk.NMF(
                count,
                init="random" if attempt else "nndsvda",
                random_state=seed + attempt,
                max_iter=NMF_ITERATIONS,
                tol=NMF_TOLERANCE,
            )
            coefficients = nmf.fit_transform(values)
            if best is None or nmf.reconstruction_err_ < best[0]:
                best = (nmf.reconstruction_err_, nmf, coefficients)
    assert best is not None
    _, nmf, coefficients = best
    weights = nmf.components_.T
    size = np.linalg.norm(weights, axis=0)
    size = np.where(size > 0.0, size, 1.0)
    weights, coefficients = weights / size, coefficients * size
    order = np.argsort(-np.square(coefficients).sum(axis=0), kind="stable")
    return weights[:, order], coefficients[:, order], bool(nmf.n_iter_ < NMF_ITERATIONS)
