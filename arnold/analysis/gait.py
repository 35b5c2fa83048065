"""Gait: heel strikes from ground contact, gait cycles, and signals over the cycle, of people and of rollouts alike.

Heel strikes are found as in the analysis of amathislab/arnold (src/analysis/gait.py): the vertical force under a foot,
low-passed at 5 Hz without delay, rises above 300 N. A cycle goes from one strike of a foot to its next, with exactly
one strike of the other foot between them, in the middle half of the cycle; of all cycles, the central 80 % by
duration are kept.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.signal import butter, sosfiltfilt

from arnold.errors import UserError, did_you_mean

THRESHOLD = 300.0  # N
CUTOFF, ORDER = 5.0, 5  # Hz, and order of the Butterworth filter that is run forwards and backwards
KEPT = 0.8  # share of the cycles, by duration
ROUNDING = 1e-9  # of a signal's size: what moves less does not vary
MIDDLE = (0.25, 0.75)  # of the cycle: where the other foot may strike
SLOWEST = 0.2  # m/s: slower is no walking
POINTS = 101  # 0, 1, ..., 100 %


@dataclasses.dataclass(frozen=True)
class Cycle:
    """One gait cycle; times are seconds since the first sample of its recording.

    Attributes:
        recording: which of the recordings it is in.
        begin: heel strike of the foot.
        opposite: heel strike of the other foot.
        end: next heel strike of the foot.
        speed: mean horizontal speed, m/s; None where the recording does not say where the body is.
    """

    recording: int
    begin: float
    opposite: float
    end: float
    speed: float | None = None

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.end - self.begin


@dataclasses.dataclass(frozen=True, eq=False)
class Averages:
    """Signals over the gait cycle, averaged over cycles.

    Attributes:
        names: of the S signals.
        percent: (P,) of the cycle, 0 and 100 being heel strikes.
        mean: (P, S).
        sd: (P, S) standard deviation over the cycles; None of a single cycle.
        cycles: how many.
        unit: of the signals.
    """

    names: tuple[str, ...]
    percent: np.ndarray
    mean: np.ndarray
    sd: np.ndarray | None
    cycles: int
    unit: str = ""

    def of(self, name: str) -> np.ndarray:
        """The mean (P,) of one signal.

        Raises:
            UserError: for an unknown name, with the nearest match.
        """
        if name not in self.names:
            raise UserError(f"no signal {name!r} in these averages; {did_you_mean(name, self.names)}")
        column: np.ndarray = self.mean[:, self.names.index(name)]
        return column

    def table(self) -> pd.DataFrame:
        """A row per percent; columns (signal, "mean" or "sd")."""
        parts = {"mean": self.mean, **({} if self.sd is None else {"sd": self.sd})}
        columns = {(name, what): values[:, s] for s, name in enumerate(self.names) for what, values in parts.items()}
        return pd.DataFrame(columns, index=pd.Index(self.percent, name="percent of the gait cycle"))


def low_passed(signal: np.ndarray, rate: float, cutoff: float = CUTOFF) -> np.ndarray:
    """A signal (T,) without what is faster than ``cutoff`` Hz, and without delay (Butterworth, both ways).

    Raises:
        UserError: where the rate is too low for the cutoff, or a sample is not finite.
    """
    signal = np.asarray(signal, float)
    if not rate > 2.0 * cutoff:
        raise UserError(
            f"a signal of {rate:g} samples per second cannot be filtered at {cutoff:g} Hz; more than "
            f"{2.0 * cutoff:g} per second are needed"
        )
    bad = np.flatnonzero(~np.isfinite(signal))
    if len(bad):
        raise UserError(f"sample {bad[0]} of {len(signal)} is {signal[bad[0]]}; fill or cut such samples first")
    sections = butter(ORDER, cutoff, fs=rate, output="sos")
    return np.asarray(sosfiltfilt(sections, signal, padlen=min(len(signal) - 1, 3 * (2 * len(sections) + 1))))


def heel_strikes(force: np.ndarray, rate: float, threshold: float = THRESHOLD, cutoff: float = CUTOFF) -> np.ndarray:
    """When the force under a foot, low-passed, rises above a threshold; between samples by linear interpolation.

    Args:
        force: (T,) vertical force, N.
        rate: samples per second.
        threshold: N.
        cutoff: of the low-pass, Hz.

    Returns:
        times, s.

    Raises:
        UserError: as `low_passed`.
    """
    if len(force) < 2:
        return np.zeros(0)
    smooth = low_passed(force, rate, cutoff)
    before = np.flatnonzero((smooth[:-1] <= threshold) & (smooth[1:] > threshold))
    times: np.ndarray = (before + (threshold - smooth[before]) / (smooth[before + 1] - smooth[before])) / rate
    return times


def gait_cycles(
    forces: Sequence[Mapping[str, np.ndarray]],
    rate: float,
    foot: str,
    *,
    places: Sequence[np.ndarray] | None = None,
    threshold: float = THRESHOLD,
    kept: float = KEPT,
    slowest: float = SLOWEST,
) -> tuple[Cycle, ...]:
    """The gait cycles of a foot in some recordings.

    Args:
        forces: of each recording, the vertical force (T,) N under each of the two feet, by the feet's names.
        rate: samples per second.
        foot: whose heel strikes begin and end a cycle.
        places: of each recording, where the body is, (T, 2) or (T, 3) m; cycles slower than ``slowest`` are left out.
        threshold: of heel strikes, N.
        kept: share of the cycles to keep; the shortest and the longest go.
        slowest: m/s.

    Raises:
        UserError: where there is no such foot or no cycle; the message says what was seen.
    """
    found: list[Cycle] = []
    struck: dict[str, int] = {}
    for number, force in enumerate(forces):
        if foot not in force or len(force) != 2:
            raise UserError(
                f"recording {number} has forces of {', '.join(force) or 'nothing'}; two feet are needed, "
                f"one of them {foot!r}"
            )
        (other,) = (name for name in force if name != foot)
        strikes = {name: heel_strikes(values, rate, threshold) for name, values in force.items()}
        struck = {name: struck.get(name, 0) + len(times) for name, times in strikes.items()}
        for begin, end in zip(strikes[foot][:-1], strikes[foot][1:], strict=True):
            between = strikes[other][(strikes[other] > begin) & (strikes[other] < end)]
            if len(between) == 1 and MIDDLE[0] <= (between[0] - begin) / (end - begin) <= MIDDLE[1]:
                speed = _speed(places[number], rate, begin, end) if places is not None else None
                found.append(Cycle(number, float(begin), float(between[0]), float(end), speed))
    walked = [cycle for cycle in found if cycle.speed is None or cycle.speed >= slowest]
    if not walked:
        seconds = sum(len(next(iter(force.values()))) for force in forces) / rate
        strongest = max(
            (float(np.max(values)) for force in forces for values in force.values() if len(values)), default=0.0
        )
        seen = ", ".join(f"{count} of {name!r}" for name, count in struck.items()) or "none"
        slow = f", {len(found)} cycles slower than {slowest:g} m/s" if found else ""
        raise UserError(
            f"no gait cycle of foot {foot!r} in {len(forces)} recordings of {seconds:.1f} s in all: heel strikes above "
            f"{threshold:g} N: {seen}{slow} (largest force {strongest:.0f} N); record a walk of several strides"
        )
    return central(walked, kept)


def central(cycles: Sequence[Cycle], kept: float = KEPT) -> tuple[Cycle, ...]:
    """The cycles without the shortest and the longest, of which as many go as leave the share ``kept``."""
    dropped = int((1.0 - kept) / 2.0 * len(cycles) + 1e-9)
    by_duration = sorted(cycles, key=lambda cycle: cycle.duration)[dropped : len(cycles) - dropped]
    return tuple(cycle for cycle in cycles if cycle in by_duration)


def normalised(signals: Sequence[np.ndarray], rate: float, cycles: Sequence[Cycle], points: int = POINTS) -> np.ndarray:
    """Signals over the cycle, (N, P, S), at P points from 0 to 100 %, by linear interpolation.

    Args:
        signals: of each recording, (T, S).
        rate: samples per second.
        cycles: the N cycles.
        points: P.

    Raises:
        UserError: where a recording ends before a cycle of it does.
    """
    made = []
    for cycle in cycles:
        values = np.asarray(signals[cycle.recording], float)
        if cycle.end > (len(values) - 1) / rate + 1e-9:
            raise UserError(
                f"a cycle ends at {cycle.end:.2f} s in recording {cycle.recording}, whose signals end at "
                f"{(len(values) - 1) / rate:.2f} s; take cycles and signals of the same recordings"
            )
        times = np.linspace(cycle.begin, cycle.end, points) * rate
        rows = np.minimum(times.astype(int), len(values) - 2)
        share = (times - rows)[:, None]
        made.append((1.0 - share) * values[rows] + share * values[rows + 1])
    return np.stack(made)


def averaged(
    signals: Sequence[np.ndarray],
    names: Sequence[str],
    rate: float,
    cycles: Sequence[Cycle],
    *,
    unit: str = "",
    points: int = POINTS,
) -> Averages:
    """Mean and standard deviation of signals over the cycle; arguments and errors as `normalised`."""
    values = normalised(signals, rate, cycles, points)
    sd = values.std(axis=0, ddof=1) if len(values) > 1 else None
    return Averages(tuple(names), np.linspace(0.0, 100.0, points), values.mean(axis=0), sd, len(values), unit)


def compare(ours: Averages, theirs: Averages, pairs: Mapping[str, str]) -> pd.DataFrame:
    """How alike average signals are over the cycle.

    Args:
        ours: such as a policy's.
        theirs: such as a person's, in the same unit.
        pairs: their name by ours.

    Returns:
        A row per signal: their ``name``, Pearson ``r`` over the cycle, ``rmse``, ``difference`` of the means (ours
        minus theirs), ``range`` and ``their_range``; ``note`` says why a row has no r (a signal that does not vary).

    Raises:
        UserError: for an unknown name, or different units.
    """
    if ours.unit != theirs.unit:
        raise UserError(
            f"signals in {ours.unit or 'no unit'} and in {theirs.unit or 'no unit'} cannot be compared; convert one"
        )
    rows = []
    for mine, name in pairs.items():
        a, b = ours.of(mine), np.interp(ours.percent, theirs.percent, theirs.of(name))
        r = pearson(a, b)
        rows.append(
            {
                "signal": mine,
                "name": name,
                "r": r,
                "rmse": float(np.sqrt(np.mean(np.square(a - b)))),
                "difference": float(a.mean() - b.mean()),
                "range": float(np.ptp(a)),
                "their_range": float(np.ptp(b)),
                "note": "" if r is not None else "does not vary: no r",
            }
        )
    return pd.DataFrame(rows).set_index("signal")


def pearson(a: np.ndarray, b: np.ndarray) -> float | None:
    """Pearson's correlation of two signals (P,); None where one of them does not vary."""
    centred = [np.asarray(values, float) - np.mean(values) for values in (a, b)]
    sizes = [float(np.linalg.norm(values)) for values in centred]
    if any(size <= ROUNDING * float(np.linalg.norm(values)) for size, values in zip(sizes, (a, b), strict=True)):
        return None
    return float(np.clip(centred[0] @ centred[1] / (sizes[0] * sizes[1]), -1.0, 1.0))


def sided(names: Sequence[str], suffix: str, known: Sequence[str]) -> dict[str, str]:
    """Pairs for `compare`: the names that end in ``suffix`` ("_l"), without which they are among ``known``."""
    return {
        name: name.removesuffix(suffix)
        for name in names
        if name.endswith(suffix) and name.removesuffix(suffix) in known
    }


def _speed(place: np.ndarray, rate: float, begin: float, end: float) -> float:
    """Mean horizontal speed between two times, m/s."""
    times = np.arange(len(place)) / rate
    way = [np.interp(end, times, place[:, axis]) - np.interp(begin, times, place[:, axis]) for axis in (0, 1)]
    return float(np.hypot(*way) / (end - begin))
