"""A report of synergies: what was planted is found in each task and in all, in words, tables and pictures."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from planted_synergies import MUSCLES, PLANTED, STEPS, TRIALS, cosines, planted, weights

from arnold.analysis.subspaces import principal_angles
from arnold.analysis.synergies import extract, over_cycle
from arnold.analysis.synergy_number import curve
from arnold.analysis.synergy_pictures import draw_number, draw_synergies
from arnold.analysis.synergy_report import POOLED, synergy_report, write_synergies
from arnold.errors import UserError

pandas = pytest.importorskip("pandas", reason="needs the extra analysis")
pytest.importorskip("sklearn", reason="needs the extra analysis")
pytest.importorskip("xarray", reason="needs the extra analysis")

pytestmark = pytest.mark.unit


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
