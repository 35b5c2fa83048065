"""Muscle synergies: a few groups of muscles whose sums, over time, are what all muscles do.

Two factorisations of the samples X (S, M) of one task, or of several pooled, into coefficients C (S, n) and weights W
(M, n), X ≈ mean + C W^T:

- ``nmf``: nothing negative, no mean (Lee & Seung 1999; for muscles d'Avella et al. 2003). Weights are of norm 1.
- ``pca``: principal components; orthonormal weights around the mean.

Synergies are ordered by how much of the signal they carry. *VAF* is the variance accounted for,
``1 - |X - X'|² / |X|²``, of squares around zero for nmf (Torres-Oviedo et al. 2006) and around the mean for pca; *R²*
is of squares around each muscle's mean for both, so that the two methods compare.
"""

from __future__ import annotations

import dataclasses
import itertools
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from arnold.analysis.muscle_signals import MuscleSignals
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
        return fit(self.signals.values, self.reconstruction, self._around)

    @property
    def r2(self) -> float:
        """R² overall, around each muscle's mean."""
        return fit(self.signals.values, self.reconstruction, self.signals.values.mean(axis=0))

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
    least = min(active, len(signals.values))
    if not 1 <= count <= least:
        silent = f", {len(signals.silent)} more are silent" if signals.silent else ""
        raise UserError(
            f"{count} synergies were asked for of {signals.name!r}, which has {len(signals.values)} samples of "
            f"{active} active muscles{silent}; 1 to {least} are accepted"
        )


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

    Args:
        synergies: of signals with at least two trials.
        draws: how many.
        confidence: of the intervals.
        seed: of the draws.

    Returns:
        per synergy, the mean and the lower end of the cosine to the original; and ``low`` and ``high`` of each weight,
        over (muscle, synergy).

    Raises:
        UserError: fewer than two trials.
    """
    pd, xr = extra_module("pandas", "analysis", PURPOSE), extra_module("xarray", "analysis", PURPOSE)
    signals = synergies.signals
    if len(signals.trials) < 2:
        raise UserError(
            f"{signals.name!r} has {len(signals.trials)} trial; a bootstrap draws among at least 2: record "
            "more episodes"
        )
    random = np.random.default_rng(seed)
    cosines, weights = np.zeros((draws, synergies.count)), np.zeros((draws, *synergies.weights.shape))
    for draw in range(draws):
        chosen = random.choice(signals.trials, len(signals.trials))
        again = _like(synergies, signals.of_trials([int(t) for t in chosen]))
        cosine = synergies.weights.T @ again.weights
        rows, columns = linear_sum_assignment(-np.abs(cosine))
        sign = np.sign(cosine[rows, columns]) if synergies.method == "pca" else 1.0
        cosines[draw] = np.abs(cosine[rows, columns])
        weights[draw] = again.weights[:, columns] * sign
    tail = (1.0 - confidence) / 2.0
    table = pd.DataFrame(
        {"cosine": cosines.mean(axis=0), "cosine_low": np.quantile(cosines, tail, axis=0)},
        index=pd.Index(synergies.names, name="synergy"),
    )
    axes = ("muscle", "synergy")
    ends = {name: (axes, np.quantile(weights, end, axis=0)) for name, end in (("low", tail), ("high", 1.0 - tail))}
    return table, xr.Dataset(ends, {"muscle": list(signals.muscles), "synergy": list(synergies.names)})


def cross_validated(
    signals: MuscleSignals, counts: Sequence[int], method: str = "nmf", *, folds: int = 4, seed: int = 0
) -> pandas.DataFrame:
    """R² of trials that the synergies were not extracted from (Cheung et al. 2005).

    Whole trials are held out, in ``folds`` groups; a single trial is cut into as many pieces in a row. Weights (and the
    mean, for pca) are of the rest; coefficients are fitted to the held-out samples.

    Args:
        signals: of one task, or pooled.
        counts: numbers of synergies.
        method: ``nmf`` or ``pca``.
        folds: groups of trials, at least 2.
        seed: of nmf's beginnings.

    Returns:
        by ``count``: mean and standard deviation over folds of R², around the held-out means.

    Raises:
        UserError: fewer than two folds, or fewer samples outside a fold than synergies.
    """
    pd = extra_module("pandas", "analysis", PURPOSE)
    if folds < 2:
        raise UserError(f"cross-validation in {folds} folds; at least 2 are accepted")
    trials = len(signals.trials)
    number = np.unique(signals.trial, return_inverse=True)[1] if trials > 1 else np.arange(len(signals.values))
    held = (number * min(folds, number.max() + 1)) // (number.max() + 1)
    active = signals.active
    scores = []
    for fold in range(held.max() + 1):
        out = held == fold
        rest = dataclasses.replace(signals, values=signals.values[~out], trial=signals.trial[~out])
        values = signals.values[out]
        for count in counts:
            found = extract(rest, count, method, restarts=0, seed=seed)
            told = found.mean + coefficients_of(found.weights, found.mean, values, method) @ found.weights.T
            shown = np.s_[:, active]
            scores.append((count, fit(values[shown], told[shown], values[shown].mean(axis=0))))
    by_count = pd.DataFrame(scores, columns=["count", "r2"]).groupby("count")["r2"]
    return pd.DataFrame({"r2": by_count.mean(), "r2_sd": by_count.std()})


def over_cycle(synergies: Synergies, points: int = 101, cycles: Sequence[tuple[int, int]] = ()) -> xarray.DataArray:
    """Coefficients over the cycle, 0 to 100 %.

    Args:
        synergies: whose coefficients.
        points: of the cycle.
        cycles: first sample and the one after the last of each cycle; the trials themselves where not given.

    Returns:
        (cycle, phase, synergy), linearly interpolated.

    Raises:
        UserError: a cycle of fewer than two samples, or outside the samples.
    """
    xr = extra_module("xarray", "analysis", PURPOSE)
    trial, total = synergies.signals.trial, len(synergies.coefficients)
    if not len(cycles):
        ends = [0, *(np.flatnonzero(np.diff(trial)) + 1).tolist(), total]
        cycles = list(itertools.pairwise(ends))
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
    return xr.DataArray(resampled, coordinates, ("cycle", "phase", "synergy"), "coefficient")


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
