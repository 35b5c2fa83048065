"""How many synergies: criteria find the planted number, on trials held out or drawn again too, or say why not."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from planted_synergies import MUSCLES, PLANTED, STEPS, TRIALS, planted

from arnold.analysis.muscle_signals import MuscleSignals
from arnold.analysis.synergies import bootstrap, cross_validated, extract, matched
from arnold.analysis.synergy_number import curve, line_begins, number_for, number_of_synergies
from arnold.analysis.synergy_report import synergy_report
from arnold.errors import UserError

pytest.importorskip("pandas", reason="needs the extra analysis")
pytest.importorskip("sklearn", reason="needs the extra analysis")
pytest.importorskip("xarray", reason="needs the extra analysis")

pytestmark = pytest.mark.unit


def test_every_criterion_finds_the_planted_number():
    signals = planted()
    found = curve(signals, counts=range(1, 7), restarts=0)
    numbers = number_of_synergies(signals, found)
    assert numbers["number"].tolist() == [PLANTED] * 4, numbers
    assert found["held_out_r2"].iloc[PLANTED - 1] > 0.95
    numbers = number_of_synergies(signals, curve(signals, "pca"))["number"]
    for criterion in ("VAF 0.90", "mean of VAF 0.85 and 0.95", "broken stick", "parallel analysis"):
        assert numbers[criterion] == PLANTED, numbers


def test_a_criterion_that_nothing_meets_says_so_and_is_no_number():
    random = np.random.default_rng(0)
    noise = dataclasses.replace(planted(), values=random.uniform(size=(TRIALS * STEPS, MUSCLES)))
    numbers = number_of_synergies(noise, curve(noise, counts=(1, 2), folds=0, restarts=0))
    assert numbers["number"].isna().all()
    assert (numbers["note"] != "").all()
    assert numbers["note"]["line through held-out R²"] == "the curve was not cross-validated (folds=0)"


def test_as_many_synergies_as_a_share_needs_or_none():
    signals = planted()
    vaf = curve(signals, counts=range(1, 5), folds=0, restarts=0)["vaf"]
    assert [number_for(signals, share) for share in (0.01, 0.9, vaf[1] + 1e-6)] == [1, PLANTED, 2]
    assert number_for(signals, vaf[2] + 1e-6, most=2) is None


def test_a_line_begins_where_a_curve_bends():
    bent = np.concatenate([[0.3, 0.6], 0.8 + 0.02 * np.arange(5)])
    assert line_begins(bent) == 3
    assert line_begins(np.array([0.0, 0.5, 0.6])) is None, "two points always lie on a line"


def test_held_out_trials_are_said_worse_by_too_few_synergies():
    scores = cross_validated(planted(), (1, PLANTED))
    assert scores.loc[PLANTED, "r2"] > scores.loc[1, "r2"] + 0.3
    one = dataclasses.replace(planted(), trial=np.zeros(TRIALS * STEPS, int))
    assert cross_validated(one, (PLANTED,)).loc[PLANTED, "r2"] > 0.9, "one trial is cut into pieces"


def test_what_a_fold_cannot_have_is_missing_and_said():
    """14 samples in a row leave 10 outside the largest fold; a muscle that moves in one trial alone, 11 muscles."""
    few = dataclasses.replace(planted(), values=planted().values[20:34], trial=np.zeros(14, int))
    once = planted()
    once.values[STEPS:, 5] = 0.0
    for signals, most in ((few, 10), (once, 11)):
        found = curve(signals, "pca")
        assert found.index[-1] == 12
        assert found.index[found["held_out_r2"].isna()].tolist() == list(range(most + 1, 13))
        said = f"no held-out R² of more than {most} synergies: the rest of a fold has not the muscles or samples"
        assert found.attrs["notes"] == [said]
    line = number_of_synergies(once, found).loc["line through held-out R²"]
    assert (line["number"], line["note"]) == (PLANTED, "of up to 11: there is no held-out R² of more")
    said = "planted, pca: no held-out R² of more than 10 synergies: the rest of a fold has not the muscles or samples"
    assert said in synergy_report([few], count=1).lines()


@pytest.mark.parametrize("method", ["nmf", "pca"])
def test_a_fold_in_which_nothing_moves_is_left_out_and_said(method):
    signals = planted()
    scores = cross_validated(signals.of_trials([1, 2, 3]), (1, PLANTED), method, folds=3)
    assert scores.attrs["notes"] == []
    signals.values[:STEPS] = 0.5
    still = cross_validated(signals, (1, PLANTED), method)
    assert np.isfinite(still.to_numpy()).all()
    assert still.attrs["notes"] == ["1 of 4 folds are left out: no muscle moves in them, or in the rest"]
    signals.values[STEPS:] = 0.5
    signals.values[7, 3] = 0.6
    assert cross_validated(signals, (1,), method).isna().all(axis=None), "what moves in one fold alone"
    found = curve(signals, method, (1,))
    note = number_of_synergies(signals, found, draws=2).loc["line through held-out R²", "note"]
    assert note == "no fold could be held out: muscles move in one alone"


def test_a_bootstrap_leaves_out_draws_that_miss_a_muscle_and_says_how_many():
    signals = planted()
    signals.values[STEPS:, 5] = 0.0
    sure, _ = bootstrap(extract(signals, MUSCLES, "pca"), draws=10)
    (said,) = sure.attrs["notes"]
    missed = int(said.split()[0])
    assert said == f"{missed} of 10 draws have fewer than 12 active muscles or samples, and are left out"
    assert 0 < missed < 10
    assert np.isfinite(sure.to_numpy()).all()
    values = np.zeros((TRIALS * STEPS, TRIALS))
    values[np.arange(TRIALS) * STEPS, np.arange(TRIALS)] = 1.0
    alone = MuscleSignals("alone", ("a", "b", "c", "d"), values, signals.trial)
    with pytest.raises(UserError, match=r"'alone': 2 of 2 draws have fewer than 4.*extract fewer synergies"):
        bootstrap(extract(alone, TRIALS, "pca"), draws=2)


def test_synergies_of_other_trials_are_the_same_and_the_bootstrap_knows():
    one, other = extract(planted(seed=1), PLANTED), extract(planted(seed=2), PLANTED)
    assert matched(one, other)["cosine"].min() > 0.97
    sure, ends = bootstrap(one, draws=10)
    assert sure["cosine_low"].min() > 0.97
    inside = (ends.low.values <= one.weights + 1e-3) & (one.weights - 1e-3 <= ends.high.values)
    assert inside.mean() > 0.9
