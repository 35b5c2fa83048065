"""Signals of muscles as one matrix of samples by muscles, whatever recording, policy or person they come from."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from arnold.errors import UserError, did_you_mean

if TYPE_CHECKING:
    import xarray

    from arnold.episodes import Recording

SILENT = 1e-6
"""A muscle whose signal moves by less than this share of the strongest muscle's is silent: it has no variance to
account for."""


@dataclasses.dataclass(frozen=True, eq=False)
class MuscleSignals:
    """S samples of M muscles.

    Attributes:
        name: of the task or trial.
        muscles: M names.
        values: float64 (S, M).
        trial: int (S,): which episode, trial or gait cycle each sample is of; samples of one lie together, in order.
        groups: (M,) the muscle group of each, such as its segment; ``"other"`` where not known.
        signal: what was measured, such as ``"activation"``.
    """

    name: str
    muscles: tuple[str, ...]
    values: np.ndarray
    trial: np.ndarray
    groups: tuple[str, ...] = ()
    signal: str = "activation"

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.shape[1] != len(self.muscles):
            raise UserError(
                f"{self.name!r}: signals of {len(self.muscles)} muscles have shape {self.values.shape}; (samples, "
                f"{len(self.muscles)}) is accepted"
            )
        if len(self.values) != len(self.trial):
            raise UserError(f"{self.name!r}: {len(self.values)} samples, but the trials of {len(self.trial)}")
        if len(self.values) < 2:
            raise UserError(
                f"{self.name!r} has {len(self.values)} samples; at least 2 are needed: record more episodes"
            )
        broken = [m for m, column in zip(self.muscles, self.values.T, strict=True) if not np.isfinite(column).all()]
        if broken:
            raise UserError(
                f"{self.name!r}: {self.signal} of {len(broken)} muscles is not a number in places ({_some(broken)}); "
                "leave those samples or muscles out (MuscleSignals.of)"
            )
        if not self.groups:
            object.__setattr__(self, "groups", ("other",) * len(self.muscles))

    @property
    def active(self) -> np.ndarray:
        """bool (M,): which muscles are not silent."""
        moved = np.ptp(self.values, axis=0)
        return np.asarray(moved > SILENT * max(float(np.abs(self.values).max()), np.finfo(float).tiny))

    @property
    def silent(self) -> tuple[str, ...]:
        """Names of the muscles whose signal does not move; synergies leave them out and say so."""
        return tuple(m for m, active in zip(self.muscles, self.active, strict=True) if not active)

    @property
    def trials(self) -> tuple[int, ...]:
        """The trials, in order."""
        return tuple(int(t) for t in dict.fromkeys(self.trial.tolist()))

    def of(self, muscles: Sequence[str]) -> MuscleSignals:
        """The same of some muscles only.

        Raises:
            UserError: for an unknown one, with the nearest match.
        """
        for muscle in muscles:
            if muscle not in self.muscles:
                raise UserError(f"{self.name!r} has no muscle {muscle!r}; {did_you_mean(muscle, self.muscles)}")
        places = [self.muscles.index(muscle) for muscle in muscles]
        groups = tuple(self.groups[place] for place in places)
        return dataclasses.replace(self, muscles=tuple(muscles), values=self.values[:, places], groups=groups)

    def of_trials(self, trials: Sequence[int]) -> MuscleSignals:
        """The same of some trials only, in the order given; one given twice is there twice, as two trials."""
        rows = [np.flatnonzero(self.trial == trial) for trial in trials]
        numbers = np.concatenate([np.full(len(row), number) for number, row in enumerate(rows)])
        return dataclasses.replace(self, values=self.values[np.concatenate(rows)], trial=numbers)

    def thinned(self, at_most: int) -> MuscleSignals:
        """At most so many samples, evenly spread; synergies of slow signals need no more, and cost accordingly."""
        if len(self.values) <= at_most:
            return self
        rows = np.linspace(0, len(self.values) - 1, at_most).round().astype(int)
        return dataclasses.replace(self, values=self.values[rows], trial=self.trial[rows])

    def scaled(self, by: str = "maximum") -> MuscleSignals:
        """Every muscle on a scale of its own, as EMG is: over its ``maximum``, or its standard ``deviation``.

        Silent muscles stay as they are.
        """
        scales = {"maximum": np.abs(self.values).max(axis=0), "deviation": self.values.std(axis=0)}
        if by not in scales:
            raise UserError(f"signals cannot be scaled by {by!r}; {did_you_mean(by, scales)}")
        scale = np.where(self.active, scales[by], 1.0)
        return dataclasses.replace(self, values=self.values / scale)


def muscle_signals(recording: xarray.Dataset, signal: str = "activation") -> MuscleSignals:
    """A signal of all muscles in a recording, while episodes run.

    Args:
        recording: from `arnold.load_recording`.
        signal: ``activation``, ``excitation``, ``action`` or ``muscle_force`` (whose sign is turned: pulls count up).

    Raises:
        UserError: the recording has no such signal.

    Example:
        >>> signals = muscle_signals(load_recording("elbow.h5"))
        >>> extract(signals, 2).weights_table()
    """
    of_muscles = [str(name) for name, values in recording.items() if values.dims == ("episode", "time", "muscle")]
    if signal not in of_muscles:
        raise UserError(f"the recording has no signal {signal!r} of muscles; {did_you_mean(signal, of_muscles)}")
    values = recording[signal].transpose("episode", "time", "muscle").values.astype(np.float64)
    running = recording["running"].values & np.isfinite(values).all(axis=2)
    return MuscleSignals(
        name=str(recording.attrs.get("task", "recording")),
        muscles=tuple(str(m) for m in recording["muscle"].values),
        values=-values[running] if signal == "muscle_force" else values[running],
        trial=np.repeat(recording["episode"].values, running.sum(axis=1)),
        groups=tuple(str(s) for s in recording["segment"].values) if "segment" in recording.coords else (),
        signal=signal,
    )


def episode_signals(episodes: Recording) -> MuscleSignals:
    """The activations of episodes that an agent just ran, of those whose activations were kept.

    Args:
        episodes: from `arnold.episodes`.
    """
    kept = len(episodes.activation)
    running = episodes.running[:kept]
    values = episodes.activation[running].astype(np.float64)
    return MuscleSignals(episodes.task, episodes.muscles, values, np.repeat(np.arange(kept), running.sum(axis=1)))


def pooled(signals: Sequence[MuscleSignals], name: str = "pooled") -> MuscleSignals:
    """Several tasks as one, with as many samples of each: those of the longer ones are thinned.

    Raises:
        UserError: none given, or they are of different muscles (which are named).
    """
    if not signals:
        raise UserError("nothing to pool; give the signals of at least one task")
    first = signals[0]
    for other in signals[1:]:
        if other.muscles != first.muscles:
            differ = sorted(set(first.muscles) ^ set(other.muscles)) or ["their order"]
            raise UserError(
                f"{first.name!r} and {other.name!r} differ in muscles ({_some(differ)}); pool tasks of one body, or "
                "choose the muscles that they share (MuscleSignals.of)"
            )
    least = min(len(s.values) for s in signals)
    parts, trials, counted = [], [], 0
    for one in signals:
        part = one.thinned(least)
        _, numbers = np.unique(part.trial, return_inverse=True)
        parts.append(part.values)
        trials.append(numbers + counted)
        counted += int(numbers.max()) + 1
    return dataclasses.replace(first, name=name, values=np.concatenate(parts), trial=np.concatenate(trials))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
