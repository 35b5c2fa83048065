"""Muscle synergies: planted ones are found again, a published package's too, and what cannot be had is said."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest
from planted_synergies import PLANTED, STEPS, TRIALS, bursts, cosines, planted, weights
from scipy.optimize import linear_sum_assignment
from shared_data import SHARED, needs

from arnold.analysis.muscle_signals import MuscleSignals, muscle_signals
from arnold.analysis.subspaces import principal_angles
from arnold.analysis.synergies import bootstrap, extract, over_cycle
from arnold.analysis.synergy_clusters import cluster
from arnold.analysis.synergy_number import curve, line_begins, number_for
from arnold.errors import UserError

pytest.importorskip("pandas", reason="needs the extra analysis")
pytest.importorskip("sklearn", reason="needs the extra analysis")
xarray = pytest.importorskip("xarray", reason="needs the extra analysis")

pytestmark = pytest.mark.unit

SANTUZ = "derived/santuz_emg_synergies.npz"


# ---- what was planted -----------------------------------------------------------------------------------------------


def test_nmf_finds_the_planted_synergies_again():
    found = extract(planted(), PLANTED)
    assert cosines(weights(), found.weights).min() > 0.98
    assert found.converged
    np.testing.assert_allclose(np.linalg.norm(found.weights, axis=0), 1.0)
    carried = np.square(found.coefficients).sum(axis=0)
    assert (np.diff(carried) <= 0.0).all(), "synergies come in the order of what they carry"


def test_pca_spans_the_planted_synergies():
    found = extract(planted(noise=0.0), PLANTED, "pca")
    assert principal_angles(found.weights, weights()).max() < 2.0
    assert found.vaf == pytest.approx(1.0)
    assert found.vaf == pytest.approx(found.r2)


def test_variance_accounted_for_is_of_the_definition():
    """By hand, from the reconstruction: uncentred for nmf, around the mean for R²."""
    found = extract(planted(), 2)
    values, error = found.signals.values, found.signals.values - found.coefficients @ found.weights.T
    table = found.vaf_table()
    assert table.loc["all", "vaf"] == pytest.approx(1 - (error**2).sum() / (values**2).sum())
    assert table.loc["m4", "vaf"] == pytest.approx(1 - (error[:, 4] ** 2).sum() / (values[:, 4] ** 2).sum())
    around = values - values.mean(axis=0)
    assert table.loc["all", "r2"] == pytest.approx(1 - (error**2).sum() / (around**2).sum())
    assert table.loc["m4", "r2"] == pytest.approx(1 - (error[:, 4] ** 2).sum() / (around[:, 4] ** 2).sum())


def test_coefficients_over_the_cycle_peak_where_they_were_planted():
    found = extract(planted(), PLANTED)
    cycle = over_cycle(found, 101)
    assert dict(cycle.sizes) == {"cycle": TRIALS, "phase": 101, "synergy": PLANTED}
    order = linear_sum_assignment(-(weights().T @ found.weights))[1]
    peaks = cycle.mean("cycle").values.argmax(axis=0)[order]
    np.testing.assert_allclose(peaks, [15, 50, 80], atol=5)
    halves = over_cycle(found, 11, cycles=[(0, 30), (30, 60)])
    np.testing.assert_allclose(halves[1, 0].values, found.coefficients[30])


def test_a_trial_of_one_sample_has_no_course():
    trial = planted().trial
    trial[-1] = TRIALS
    found = extract(dataclasses.replace(planted(), trial=trial), PLANTED)
    assert over_cycle(found).sizes["cycle"] == TRIALS
    assert over_cycle(found).attrs["left_out"] == 1
    with pytest.raises(UserError, match="cycle 0 is from sample 3 to 4 of 240; at least 2 samples"):
        over_cycle(found, cycles=[(3, 4)])


def test_signals_of_a_recording_are_those_while_episodes_run():
    running = np.array([[True, True, True], [True, False, False], [True, True, False]])
    force = np.where(running[..., None], -np.arange(18.0).reshape(3, 3, 2), np.nan)
    axes = ("episode", "time", "muscle")
    coordinates = {"episode": [0, 1, 2], "muscle": ["a", "b"], "segment": ("muscle", ["hip", "thigh"])}
    recording = xarray.Dataset(
        {"muscle_force": (axes, force), "running": (axes[:2], running)}, coordinates, {"task": "t"}
    )
    signals = muscle_signals(recording, "muscle_force")
    np.testing.assert_array_equal(signals.values[:, 0], [0.0, 2.0, 4.0, 6.0, 12.0, 14.0])
    assert signals.trial.tolist() == [0, 0, 0, 1, 2, 2]
    assert (signals.name, signals.groups) == ("t", ("hip", "thigh"))
    with pytest.raises(UserError, match="no signal 'force' of muscles; did you mean 'muscle_force'"):
        muscle_signals(recording, "force")


# ---- bad input ------------------------------------------------------------------------------------------------------


def test_a_silent_muscle_is_left_out_and_named():
    signals = planted()
    signals.values[:, 5] = 0.02
    assert signals.silent == ("m5",)
    for method in ("nmf", "pca"):
        found = extract(signals, PLANTED, method)
        assert (found.weights[5] == 0.0).all()
        table = found.vaf_table()
        assert "m5" not in table.index
        assert table.attrs["silent_muscles"] == ["m5"]
        assert np.isfinite(table.to_numpy()).all()
    assert found.reconstruction[:, 5] == pytest.approx(0.02), "pca: it stays at its mean"
    assert curve(signals, "pca").notna().all(axis=None)
    with pytest.raises(UserError, match=r"240 samples of 11 active muscles, 1 more are silent; 1 to 11 are accepted"):
        extract(signals, 12)
    signals.values[:] = 0.0
    with pytest.raises(UserError, match="all 12 muscles are silent"):
        extract(signals, 1)


def test_a_muscle_that_stands_still_above_zero_does_not_lower_the_fit():
    values = np.column_stack([bursts()[:, :2] @ weights()[:5, :2].T, np.ones(TRIALS * STEPS)])
    held = MuscleSignals("held", tuple("abcdef"), values, planted().trial)
    assert held.silent == ("f",)
    for method in ("nmf", "pca"):
        found, without = extract(held, 2, method), extract(held.of(tuple("abcde")), 2, method)
        assert (found.vaf, found.r2) == (pytest.approx(without.vaf), pytest.approx(without.r2))
        assert min(found.vaf, found.r2) > 0.99
    assert number_for(held) <= 2


def test_fewer_samples_than_synergies_are_refused():
    few = dataclasses.replace(planted(), values=planted().values[20:24], trial=np.zeros(4, int))
    with pytest.raises(UserError, match="5 synergies were asked for of 'planted', which has 4 samples"):
        extract(few, 5)
    with pytest.raises(UserError, match="has 1 samples; at least 2"):
        few.of_trials([0]).thinned(1)
    with pytest.raises(UserError, match="has 1 trial; a bootstrap draws among at least 2"):
        bootstrap(extract(few, 2), 2)


def test_what_is_no_number_or_negative_is_named():
    signals = planted()
    broken = signals.values.copy()
    broken[7, 3] = np.nan
    with pytest.raises(UserError, match=r"activation of 1 muscles is not a number in places \(m3\)"):
        dataclasses.replace(signals, values=broken)
    signals.values[3, 2] = -0.5
    with pytest.raises(UserError, match=r"activation of 'm2' is -0.5 in 'planted'; nmf accepts nothing below 0"):
        extract(signals, 2)
    with pytest.raises(UserError, match="unknown method 'nfm' of synergies; did you mean 'nmf'"):
        extract(signals, 2, "nfm")
    with pytest.raises(UserError, match="principal components have no sign"):
        cluster([extract(signals, 2, "pca")])


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.decomposition", None)
    with pytest.raises(UserError, match=r"muscle synergies: the package sklearn is missing .*extra `analysis`"):
        extract(planted(), 2)


# ---- a published package --------------------------------------------------------------------------------------------


@needs(SANTUZ)
def test_a_published_packages_synergies_of_human_walking_are_found_again():
    """musclesyneRgies (Santuz 2022): 13 leg muscles of 15 people, filtered and averaged over cycles; its own nmf, and
    its own choice of their number, among at most 10 (13 muscles less a quarter)."""
    with np.load(SHARED / SANTUZ) as data:
        trials = [(str(t), *(data[f"{k}_{t}"].astype(float) for k in "VM")) for t in data["syn_trials"]]
    alike, numbers = [], []
    for name, emg, published in trials:
        names = tuple(f"m{m}" for m in range(len(emg)))
        signals = MuscleSignals(name, names, emg.T.copy(), np.zeros(emg.shape[1], int), signal="EMG")
        found = extract(signals, published.shape[1], restarts=2)
        alike += cosines(published / np.linalg.norm(published, axis=0), found.weights).tolist()
        tried = curve(signals, counts=range(1, 11), folds=0, restarts=0)
        numbers.append(line_begins(tried["r2"].to_numpy()) == published.shape[1])
    assert len(alike) == 75
    assert min(alike) > 0.95
    assert np.median(alike) > 0.99
    assert sum(numbers) >= 14, "of 15; one lies at the criterion's edge"
