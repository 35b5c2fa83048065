"""How alike the subspaces of two sets of synergies are: principal angles, and variance that one captures of another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import subspace_angles

from arnold.analysis.synergies import PURPOSE, Synergies
from arnold.errors import UserError
from arnold.extras import extra_module

if TYPE_CHECKING:
    import pandas


def principal_angles(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Principal angles in degrees, smallest first, between the spans of two sets of columns (M, n) and (M, m).

    Raises:
        UserError: they are of different numbers of muscles.
    """
    if len(one) != len(other):
        raise UserError(f"subspaces of {len(one)} and of {len(other)} muscles; choose the muscles that they share")
    return np.degrees(np.sort(subspace_angles(one, other)))


def captured_variance(values: np.ndarray, basis: np.ndarray, mean: np.ndarray | None = None) -> float:
    """The share of the variance of values (S, M) that lies in the span of the columns of a basis (M, n).

    Args:
        values: of muscles that are not all silent.
        basis: any columns; they need not be orthogonal.
        mean: around which; that of the values by default.
    """
    centred = values - (values.mean(axis=0) if mean is None else mean)
    left, size, _ = np.linalg.svd(basis, full_matrices=False)
    inside = centred @ left[:, size > size.max() * 1e-10]
    return float(np.square(inside).sum() / np.square(centred).sum())


def similarity(sets: Sequence[Synergies], *, draws: int = 100, seed: int = 0) -> pandas.DataFrame:
    """Every pair of sets of synergies: how alike their subspaces are.

    Args:
        sets: of one body, such as one per task.
        draws: for the level of chance.
        seed: of those.

    Returns:
        rows ``of``, ``by`` (names), ``captured`` (variance of ``of``'s signals in ``by``'s subspace),
        ``captured_by_own``, ``relative`` (their ratio), ``mean_angle`` (mean principal angle, degrees) and
        ``chance_angle``: that by chance among the muscles that are active in either. Of nmf synergies, which all lie
        in the positive orthant, the muscles are shuffled within each weight vector; of others subspaces are random.

    Raises:
        UserError: fewer than two sets, or different muscles.
    """
    pd = extra_module("pandas", "analysis", PURPOSE)
    if len(sets) < 2:
        raise UserError(f"{len(sets)} sets of synergies to compare; give at least 2")
    different = [s.signals.name for s in sets if s.signals.muscles != sets[0].signals.muscles]
    if different:
        raise UserError(
            f"{sets[0].signals.name!r} and {different[0]!r} are of different muscles; choose the muscles that they "
            "share (MuscleSignals.of)"
        )
    random = np.random.default_rng(seed)
    rows = []
    for of in sets:
        own = captured_variance(of.signals.values, of.weights)
        for by in sets:
            if by is of:
                continue
            captured = captured_variance(of.signals.values, by.weights)
            angle = principal_angles(of.weights, by.weights).mean()
            chance = _chance(of, by, draws, random)
            rows.append((of.signals.name, by.signals.name, captured, own, captured / own, angle, chance))
    columns = ["of", "by", "captured", "captured_by_own", "relative", "mean_angle", "chance_angle"]
    return pd.DataFrame(rows, columns=columns)


def _chance(one: Synergies, other: Synergies, draws: int, random: np.random.Generator) -> float:
    """Mean principal angle by chance, degrees."""
    active = one.signals.active | other.signals.active
    pair = [each.weights[active] for each in (one, other)]
    if one.method == other.method == "nmf":
        drawn = ([random.permuted(weights, axis=0) for weights in pair] for _ in range(draws))
    else:
        drawn = ([random.normal(size=weights.shape) for weights in pair] for _ in range(draws))
    return float(np.mean([principal_angles(*weights).mean() for weights in drawn]))
