"""Muscle synergies: planted ones are found again, a published package's too, and what cannot be had is said."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from shared_data import SHARED, needs

from arnold.analysis.muscle_signals import MuscleSignals, muscle_signals, pooled
from arnold.analysis.subspaces import captured_variance, principal_angles, similarity
from arnold.analysis.synergies import Synergies, bootstrap, cross_validated, extract, matched, over_cycle
from arnold.analysis.synergy_clusters import cluster
from arnold.analysis.synergy_number import curve, line_begins, number_for, number_of_synergies
from arnold.analysis.synergy_pictures import draw_number, draw_synergies
from arnold.analysis.synergy_report import POOLED, synergy_report, write_synergies
from arnold.errors import UserError

pandas = pytest.importorskip("pandas", reason="needs the extra analysis")
pytest.importorskip("sklearn", reason="needs the extra analysis")
xarray = pytest.importorskip("xarray", reason="needs the extra analysis")

pytestmark = pytest.mark.unit

MUSCLES, PLANTED, TRIALS, STEPS = 12, 3, 4, 60
SANTUZ = "derived/santuz_emg_synergies.npz"


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


# ---- between tasks --------------------------------------------------------------------------------------------------


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


@pytest.fixture(scope="module")
def report():
    """Walking and running share all synergies; reaching has others, and a muscle that is silent."""
    reach = planted("reach", of=np.roll(np.eye(MUSCLES)[:, :PLANTED], 1, axis=0), noise=0.0)
    return synergy_report([planted("walk", 1), planted("run", 2), reach], share=0.95, samples=TRIALS * STEPS // 2)


def test_a_report_finds_what_was_planted_in_each_task_and_in_all(report):
    assert {name: found.count for name, found in report.extracted["nmf"].items()} == {
        "walk": PLANTED,
        "run": PLANTED,
        "reach": PLANTED,
        POOLED: 2 * PLANTED,
    }
    for name in ("walk", "run"):
        assert cosines(weights(), report.extracted["nmf"][name].weights).min() > 0.97
        assert principal_angles(report.extracted["pca"][name].weights, weights()).max() < 25.0
    by_criterion = report.numbers.xs("nmf", level="method").xs("walk", level="set")["number"]
    assert (by_criterion == PLANTED).sum() >= 3, by_criterion
    pairs = report.similarity.loc["nmf"].set_index(["of", "by"])["relative"]
    assert pairs["walk", "run"] > 0.95
    assert pairs["walk", "reach"] < 0.6
    assert sorted(report.clusters.shared["sets"]) == [1, 1, 1, 2, 2, 2]
    assert report.tasks == ("walk", "run", "reach")


def test_a_report_says_what_it_found_and_what_it_left_out(report):
    said = report.lines()
    assert any(line.startswith("9 synergies fall into 6 clusters: 0 in all 3 tasks, 3 in one alone") for line in said)
    silent = ", ".join(f"m{m}" for m in range(MUSCLES) if not 1 <= m <= PLANTED)
    assert f"reach: {silent} never move, and are left out" in said
    alone = synergy_report([planted().of(["m0", "m1", "m2"])], share=1.0 - 1e-12)
    assert (alone.similarity, alone.clusters) == (None, None)
    assert list(alone.extracted["nmf"]) == ["planted"]
    assert alone.extracted["nmf"]["planted"].count == 3
    assert "planted, nmf: 100.0 % is more than 3 account for" in alone.lines()


def test_a_report_is_written_as_tables_that_any_program_reads(report, tmp_path):
    written = {path.name for path in write_synergies(tmp_path / "out", report)}
    assert written == {path.name for path in (tmp_path / "out").iterdir()}
    assert {"similarity.png", "clusters.png", "number-nmf.png", "synergies-pooled.png"} <= written
    table = pandas.read_csv(tmp_path / "out" / "weights.csv")
    walk = table[(table["method"] == "nmf") & (table["set"] == "walk")]
    again = walk.pivot(index="muscle", columns="synergy", values="weight").loc[[f"m{m}" for m in range(MUSCLES)]]
    np.testing.assert_allclose(again.to_numpy(), report.extracted["nmf"]["walk"].weights, atol=1e-5)
    assert set(walk["group"]) == {"hip", "thigh", "shank"}
    fit = pandas.read_csv(tmp_path / "out" / "fit.csv").set_index(["method", "set", "count"])
    assert fit.loc[("nmf", "walk", PLANTED), "vaf"] == pytest.approx(report.extracted["nmf"]["walk"].vaf, abs=1e-3)
    assert set(pandas.read_csv(tmp_path / "out" / "clusters.csv")["set"]) == {"walk", "run", "reach"}


def test_a_report_thinned_to_a_sample_of_each_trial_is_written_with_whole_courses(tmp_path):
    trial = planted().trial
    trial[-1] = TRIALS
    walk = dataclasses.replace(planted("walk", 1), trial=trial)
    thin = synergy_report([walk, planted("run", 2)], count=2, samples=TRIALS)
    assert {name: dict(course.sizes) for name, course in thin.courses.items()} == {
        name: {"cycle": cycles, "phase": 101, "synergy": 2}
        for name, cycles in (("walk", TRIALS), ("run", TRIALS), (POOLED, 2 * TRIALS))
    }
    assert "walk: trials of a single sample have no course, and are not drawn; 1 of them" in thin.lines()
    assert tmp_path / "synergies-pooled.png" in write_synergies(tmp_path, thin)


def test_a_report_of_nothing_or_of_two_alike_names_is_refused():
    with pytest.raises(UserError, match="no signals to find synergies of"):
        synergy_report([])
    with pytest.raises(UserError, match="signals are called planted more than once"):
        synergy_report([planted(), planted()])
    with pytest.raises(UserError, match="account for 90 of the variance"):
        synergy_report([planted()], share=90)


def test_pooling_takes_as_many_samples_of_each_task():
    short = planted("short").of_trials([0])
    both = pooled([planted("long"), short])
    assert len(both.values) == 2 * STEPS
    assert len(both.trials) == TRIALS + 1
    with pytest.raises(UserError, match=r"differ in muscles \(m0\).*pool tasks of one body"):
        pooled([short, short.of([f"m{m}" for m in range(1, MUSCLES)])])


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


# ---- recordings, pictures -------------------------------------------------------------------------------------------


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


def test_pictures_are_drawn(tmp_path):
    signals = planted()
    signals.values[:, 5] = 0.0
    found = extract(signals, PLANTED)
    pictures = [
        draw_synergies(tmp_path / "synergies.png", found, over_cycle(found)),
        draw_number(tmp_path / "number.png", {"a": curve(signals, counts=(1, 2), restarts=0)}),
    ]
    single = dataclasses.replace(signals, trial=np.arange(TRIALS * STEPS))
    empty = over_cycle(extract(single, PLANTED))
    pictures.append(draw_synergies(tmp_path / "no_course.png", found, empty))
    for picture in pictures:
        assert picture.read_bytes()[:4] == b"\x89PNG"


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
