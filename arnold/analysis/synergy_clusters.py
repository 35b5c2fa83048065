"""Which synergies of different tasks, bodies or people are the same: clusters on the cosine of their weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from arnold.analysis.synergies import PURPOSE, Synergies
from arnold.errors import UserError, did_you_mean
from arnold.extras import extra_module

if TYPE_CHECKING:
    import pandas

CLUSTERINGS = ("hierarchical", "kmeans")
MOST = 12


@dataclasses.dataclass(frozen=True, eq=False)
class Clusters:
    """Clusters of synergies.

    Attributes:
        members: a row per synergy: ``set``, ``synergy``, ``cluster`` (from 1, the largest first) and ``cosine`` to the
            cluster's centroid.
        centroids: muscles by clusters, of norm 1.
        scores: mean silhouette (cosine) by the number of clusters that was tried; one row where it was given. One
            cluster, and as many as there are synergies, have the worst there is, -1.
    """

    members: pandas.DataFrame
    centroids: pandas.DataFrame
    scores: pandas.DataFrame

    @property
    def shared(self) -> pandas.DataFrame:
        """Per cluster, in how many sets it has a synergy, and the share of all sets."""
        sets = self.members.groupby("cluster")["set"].nunique()
        return sets.to_frame("sets").assign(share=sets / self.members["set"].nunique())


def cluster(
    sets: Sequence[Synergies], method: str = "hierarchical", count: int | None = None, seed: int = 0
) -> Clusters:
    """Group the synergies of several sets.

    Args:
        sets: nmf synergies of the same muscles, such as one set per task.
        method: ``hierarchical`` (average linkage on 1 - cosine) or ``kmeans`` (on weights of norm 1).
        count: of clusters; the one with the largest mean silhouette, among 2 to `MOST`, where not given.
        seed: of k-means' beginnings.

    Raises:
        UserError: an unknown method, different muscles, principal components (which have no sign), or more clusters
            than synergies.
    """
    pd = extra_module("pandas", "analysis", PURPOSE)
    weights = _stacked(sets, method)
    total = len(weights)
    if count is not None and not 1 <= count <= total:
        raise UserError(f"{count} clusters of {total} synergies; 1 to {total} are accepted")
    if count is None and total < 3:
        raise UserError(f"{total} synergies are too few to choose a number of clusters; say it, or give more sets")
    tried = [count] if count is not None else list(range(2, min(MOST, total - 1) + 1))
    labels = {n: _labels(weights, method, n, seed) for n in tried}
    scores = {n: _silhouette(weights, labels[n]) for n in tried}
    best = max(tried, key=lambda n: scores[n])
    order = np.argsort(-np.bincount(labels[best]), kind="stable")
    place = np.argsort(order)[labels[best]]
    centroids = np.stack([weights[place == c].mean(axis=0) for c in range(len(order))])
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
    names = [(one.signals.name, name) for one in sets for name in one.names]
    members = pd.DataFrame(names, columns=["set", "synergy"])
    members["cluster"] = place + 1
    members["cosine"] = np.einsum("sm,sm->s", weights, centroids[place])
    muscles = pd.Index(sets[0].signals.muscles, name="muscle")
    table = pd.DataFrame(centroids.T, index=muscles, columns=[f"C{c + 1}" for c in range(len(order))])
    shown = pd.DataFrame({"silhouette": [scores[n] for n in tried]}, index=pd.Index(tried, name="clusters"))
    return Clusters(members, table, shown)


def _stacked(sets: Sequence[Synergies], method: str) -> np.ndarray:
    if method not in CLUSTERINGS:
        raise UserError(f"unknown method {method!r} of clustering; {did_you_mean(method, CLUSTERINGS)}")
    if not sets:
        raise UserError("no synergies to cluster; give at least one set")
    for one in sets:
        if one.method != "nmf":
            raise UserError(f"{one.signals.name!r}: principal components have no sign to cluster by; extract with nmf")
        if one.signals.muscles != sets[0].signals.muscles:
            raise UserError(
                f"{sets[0].signals.name!r} and {one.signals.name!r} are of different muscles; choose the muscles that "
                "they share (MuscleSignals.of)"
            )
    return np.concatenate([one.weights.T for one in sets])


def _labels(weights: np.ndarray, method: str, count: int, seed: int) -> np.ndarray:
    sk: Any = extra_module("sklearn.cluster", "analysis", PURPOSE)
    if method == "kmeans":
        return np.asarray(sk.KMeans(count, n_init=20, random_state=seed).fit_predict(weights))
    if count == len(weights):
        return np.arange(count)
    return np.asarray(sk.AgglomerativeClustering(count, metric="cosine", linkage="average").fit_predict(weights))


def _silhouette(weights: np.ndarray, labels: np.ndarray) -> float:
    """Mean silhouette; -1, the worst there is, where it means nothing: one cluster, or one per synergy."""
    if not 2 <= labels.max() + 1 < len(weights):
        return -1.0
    metrics: Any = extra_module("sklearn.metrics", "analysis", PURPOSE)
    return float(metrics.silhouette_score(weights, labels, metric="cosine"))
