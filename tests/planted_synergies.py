"""Signals of muscles in which synergies are planted, for the tests of what finds them."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from arnold.analysis.muscle_signals import MuscleSignals

MUSCLES, PLANTED, TRIALS, STEPS = 12, 3, 4, 60


def weights(seed: int = 0) -> np.ndarray:
    """Planted synergies (M, n): each has muscles of its own and some that it shares."""
    random = np.random.default_rng(seed)
    planted = random.uniform(0.0, 0.4, (MUSCLES, PLANTED))
    for s in range(PLANTED):
        planted[s::PLANTED, s] += 1.0
    return planted / np.linalg.norm(planted, axis=0)


def bursts(seed: int = 0) -> np.ndarray:
    """Coefficients (S, n): a burst per cycle and synergy, each cycle a little different."""
    random = np.random.default_rng(seed)
    phase = np.linspace(0.0, 1.0, STEPS, endpoint=False)
    cycles = [
        [
            random.uniform(0.8, 1.2) * np.exp(5.0 * np.cos(2.0 * np.pi * (phase - at - random.normal(0, 0.02))) - 5.0)
            for at in (0.15, 0.5, 0.8)
        ]
        for _ in range(TRIALS)
    ]
    return np.concatenate(np.swapaxes(cycles, 1, 2))


def planted(name: str = "planted", seed: int = 0, of: np.ndarray | None = None, noise: float = 0.02) -> MuscleSignals:
    """Signals of planted synergies, with noise, rectified."""
    made = bursts(seed) @ (weights() if of is None else of).T
    made += noise * np.random.default_rng(seed).normal(size=made.shape)
    names = tuple(f"m{m}" for m in range(MUSCLES))
    trial = np.repeat(np.arange(TRIALS), STEPS)
    return MuscleSignals(name, names, np.maximum(made, 0.0), trial, ("hip", "thigh", "shank") * (MUSCLES // 3))


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Of the best pairs of columns of norm 1."""
    each = one.T @ other
    return each[linear_sum_assignment(-each)]
