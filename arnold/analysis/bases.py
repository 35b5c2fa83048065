"""Principal components of a policy's actions, and the file that they are kept in.

`arnold analyze subspace` finds them; inactivation projects on the first of them, and fine-tuning may stay within them.
"""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from arnold.analysis.muscle_signals import MuscleSignals
from arnold.analysis.synergies import extract
from arnold.checkpoints.durable import reported_writes
from arnold.embodiments import Body
from arnold.errors import UserError, did_you_mean
from arnold.policy.subspace import Subspace


@dataclasses.dataclass(frozen=True, eq=False)
class Basis:
    """Principal components of actions.

    Attributes:
        name: ``"own"``, or ``"pooled"``.
        muscles: M names.
        mean: (M,), the mean action.
        components: (n, M), orthonormal rows, the first with the most variance; n is M unless some muscles are never
            moved: their action stays at its mean.
        explained: (n,), the share of the variance that the first 1, 2, ... components explain.
    """

    name: str
    muscles: tuple[str, ...]
    mean: np.ndarray
    components: np.ndarray
    explained: np.ndarray

    @classmethod
    def of(cls, name: str, actions: MuscleSignals) -> Basis:
        """The components of some actions.

        Raises:
            UserError: fewer samples than muscles that move, or no muscle that moves.
        """
        moved = int(actions.active.sum())
        if len(actions.values) <= moved:
            raise UserError(
                f"{actions.name!r}: {len(actions.values)} samples of {moved} muscles do not give all {moved} "
                f"components; at least {moved + 1} samples are needed: run more episodes"
            )
        found = extract(actions, max(moved, 1), "pca")
        variance = np.square(found.coefficients).sum(axis=0)
        explained = np.cumsum(variance) / variance.sum()
        return cls(name, actions.muscles, found.mean, found.weights.T, explained)

    def subspace(self, rank: int, body: Body, source: str) -> Subspace:
        """The first components as what a policy of a body acts within.

        Args:
            rank: how many, from 1 to all of them.
            body: whose muscles they are of.
            source: where they are from, in words.

        Raises:
            UserError: of other muscles, or as many components as there are not.
        """
        differ = sorted(set(self.muscles) ^ set(body.muscles))
        if differ:
            raise UserError(
                f"the basis {self.name!r} is not of the muscles of body {body.embodiment.name!r}: "
                f"{', '.join(differ[:6])}{', ...' if len(differ) > 6 else ''} differ; give one of this body"
            )
        if not 1 <= rank <= len(self.components):
            raise UserError(
                f"{rank} components of basis {self.name!r} were asked for; 1 to {len(self.components)} are accepted"
            )
        signature_of = dict(zip(body.muscles, body.action_table.signatures, strict=True))
        explained = float(self.explained[rank - 1])
        return Subspace(
            tuple(signature_of[muscle] for muscle in self.muscles),
            self.mean.astype(np.float32),
            self.components[:rank].astype(np.float32),
            {"source": source, "components": len(self.components), "explained": explained},
        )

    def projection(self, rank: int) -> np.ndarray:
        """(M, M): what is left of an action's departure from the mean."""
        kept = self.components[:rank]
        return np.asarray(kept.T @ kept, np.float32)


def save_bases(path: Path, bases: Mapping[str, Mapping[str, Basis]]) -> Path:
    """Write bases to an npz file: for each task and basis its mean, components, explained variance and muscles."""
    arrays: dict[str, Any] = {}
    for task, named in bases.items():
        for basis in named.values():
            for field in ("mean", "components", "explained", "muscles"):
                arrays[f"{task}/{basis.name}/{field}"] = np.asarray(getattr(basis, field))
    with reported_writes(path), path.open("wb") as file:
        np.savez_compressed(file, **arrays)
    return path


def load_basis(path: str | Path, task: str, name: str = "own") -> Basis:
    """One basis of a file that `save_bases` wrote.

    Raises:
        UserError: the file is missing or damaged, or has no such basis.
    """
    try:
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as stored:
            known = list(dict.fromkeys(key.rpartition("/")[0] for key in stored.files))
            if f"{task}/{name}" not in known:
                raise UserError(
                    f"{str(path)!r} has no basis {f'{task}/{name}'!r}; {did_you_mean(f'{task}/{name}', known)}"
                )
            values = {
                field: stored[f"{task}/{name}/{field}"] for field in ("muscles", "mean", "components", "explained")
            }
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(
            f"cannot read bases from {str(path)!r} ({' '.join(str(error).split())}); give the bases.npz that `arnold "
            "analyze subspace` wrote"
        ) from error
    return Basis(name, tuple(values.pop("muscles").tolist()), **values)
