"""Synergies of several tasks: subspaces and their angles by chance, clusters of what tasks share, samples pooled."""

from __future__ import annotations

import numpy as np
import pytest
from planted_synergies import MUSCLES, PLANTED, STEPS, TRIALS, cosines, planted, weights

from arnold.analysis.muscle_signals import pooled
from arnold.analysis.subspaces import captured_variance, similarity
from arnold.analysis.synergies import Synergies, extract
from arnold.analysis.synergy_clusters import cluster
from arnold.errors import UserError

pytest.importorskip("pandas", reason="needs the extra analysis")
pytest.importorskip("sklearn", reason="needs the extra analysis")
pytest.importorskip("xarray", reason="needs the extra analysis")

pytestmark = pytest.mark.unit


def test_subspaces_of_one_body_compare():
    other = np.eye(MUSCLES)[:, :PLANTED]
    sets = [extract(planted("walk"), PLANTED), extract(planted("run", 1), PLANTED)]
    sets.append(extract(planted("reach", of=other), PLANTED))
    table = similarity(sets, draws=20).set_index(["of", "by"])
    assert table.loc[("walk", "run"), "relative"] > 0.95
    assert table.loc[("walk", "run"), "mean_angle"] < 10.0
    assert table.loc[("walk", "reach"), "relative"] < 0.6
    assert table["chance_angle"].between(40.0, 80.0).all()


@pytest.mark.parametrize("method", ["nmf", "pca"])
def test_the_angle_by_chance_is_that_of_unrelated_synergies(method):
    """Whose weights share a direction where none is negative; the last muscles are silent in both."""
    random = np.random.default_rng(0)
    signals = planted()
    signals.values[:, 8:] = 0.0

    def unrelated() -> Synergies:
        drawn = random.uniform(size=(MUSCLES, PLANTED)) if method == "nmf" else random.normal(size=(MUSCLES, PLANTED))
        drawn[8:] = 0.0
        return Synergies(method, signals, drawn, np.zeros((TRIALS * STEPS, PLANTED)), np.zeros(MUSCLES))

    table = similarity([unrelated() for _ in range(8)], draws=10)
    assert table["chance_angle"].mean() == pytest.approx(table["mean_angle"].mean(), abs=2.5)


def test_captured_variance_is_that_of_the_projection():
    values = np.array([[3.0, 0.0], [-3.0, 0.0], [0.0, 4.0], [0.0, -4.0]])
    assert captured_variance(values, np.array([[2.0], [0.0]])) == pytest.approx(18 / 50)
    assert captured_variance(values, np.array([[2.0, 4.0], [0.0, 0.0]])) == pytest.approx(18 / 50)


@pytest.mark.parametrize("method", ["hierarchical", "kmeans"])
def test_clusters_find_what_tasks_share(method):
    """Two tasks share all synergies; a third has others."""
    other = np.roll(np.eye(MUSCLES)[:, :PLANTED], 1, axis=0)
    sets = [extract(planted("a", 1), PLANTED), extract(planted("b", 2), PLANTED)]
    sets.append(extract(planted("c", of=other), PLANTED))
    found = cluster(sets, method)
    assert found.scores["silhouette"].idxmax() == 2 * PLANTED
    assert sorted(found.shared["sets"]) == [1, 1, 1, 2, 2, 2]
    both = found.members[found.members["set"].isin(["a", "b"])]
    assert both.groupby("cluster")["set"].nunique().eq(2).all()
    assert found.members["cosine"].min() > 0.95
    assert cosines(weights(), found.centroids.to_numpy()).min() > 0.97


def test_pooling_takes_as_many_samples_of_each_task():
    short = planted("short").of_trials([0])
    both = pooled([planted("long"), short])
    assert len(both.values) == 2 * STEPS
    assert len(both.trials) == TRIALS + 1
    with pytest.raises(UserError, match=r"differ in muscles \(m0\).*pool tasks of one body"):
        pooled([short, short.of([f"m{m}" for m in range(1, MUSCLES)])])
