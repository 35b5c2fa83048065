"""The report of a distillation: what the pages say and that the pictures are in them."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from arnold import drawing
from arnold.episodes import Recording
from arnold.evaluation import Comparison, Evaluation, bar_lines, markdown_table, write_evaluation
from arnold.report import write_report

pytestmark = pytest.mark.unit

MUSCLES = ("TRIlong", "BIClong", "BRA")
STEPS = 20


def evaluation(solved: tuple[int, ...], task: str = "elbow_pose") -> Evaluation:
    return Evaluation(task, STEPS, solved, (STEPS,) * len(solved), tuple(float(s) for s in solved), 0, True)


def recording(level: float, running: int = STEPS) -> Recording:
    """One episode with every muscle at ``level``, ended after ``running`` steps."""
    steps = np.arange(STEPS)[None, :]
    return Recording(
        task="elbow_pose",
        muscles=MUSCLES,
        control_dt=0.02,
        running=steps < running,
        solved=(steps > 10) & (steps < running),
        reward=np.ones((1, STEPS), np.float32),
        terms={"pose": -np.exp(-steps / 5.0).astype(np.float32)},
        activation=np.full((1, STEPS, len(MUSCLES)), level, np.float32),
    )


def comparison(student: tuple[int, ...] = (18, 20, 19), expert: tuple[int, ...] = (20, 20, 19)) -> Comparison:
    return Comparison(evaluation(student), evaluation(expert), recording(0.2), recording(0.4))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run's folder with a few rows of metrics, one of them before any figure was known."""
    rows = [{"step": 100 * i, "wall_s": float(i), "elbow_pose/solved": i / 10, "imitation": 0.5**i} for i in range(10)]
    rows[0]["elbow_pose/solved"] = None  # type: ignore[assignment]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def test_the_page_holds_its_pictures_and_refers_to_no_other_file(run: Path) -> None:
    written = write_report(run, [comparison()], {"recipe": {"seed": 3}}, {"elbow_pose": 0.95})
    assert [path.name for path in written] == [
        "comparison.png",
        "learning.png",
        "episode_elbow_pose.png",
        "report.md",
        "index.html",
    ]
    page = written[-1].read_text()
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert [base64.b64decode(data) for data in pictures] == [path.read_bytes() for path in written[:3]]
    assert page.count("<img") == len(pictures)
    assert "Every bar was reached (1 of 1)." in page


def test_the_markdown_has_the_table_and_every_picture_it_names_lies_beside_it(run: Path) -> None:
    *_, text, _ = write_report(run, [comparison()], {})
    said = text.read_text()
    assert "| elbow_pose | 3 | 95.0 ± 5.7 % | 98.3 ± 3.3 % | 96.6 % | 100.0 % | 19.00 |" in said
    names = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", said)
    assert len(names) == 3
    assert all((text.parent / name).is_file() for name in names)


def test_what_a_task_is_called_cannot_break_the_page(run: Path) -> None:
    odd = dataclasses.replace(comparison(), student=evaluation((1, 2), task="<b>&/../task"), expert=None)
    *_, page = write_report(run, [odd], {})
    assert "<b>" not in page.read_text()
    assert page.parent == run / "report"
    assert all(path.parent == run / "report" for path in write_report(run, [odd], {}))


def test_a_missed_bar_is_said_with_what_was_asked() -> None:
    (line,) = bar_lines([comparison(student=(10, 10, 10))], {"elbow_pose": 0.95})
    assert "elbow_pose reached 50.8 % of its expert, 95 % was asked" in line
    assert bar_lines([comparison()], {}) == []


def test_an_episode_that_ends_early_counts_its_missing_steps_as_unsolved() -> None:
    early = Evaluation("elbow_pose", STEPS, (5,), (5,), (1.0,), 0, True)
    assert early.solved_step_fraction == 5 / STEPS


def test_an_expert_that_solves_nothing_leaves_the_relative_figure_empty(tmp_path: Path) -> None:
    nothing = comparison(expert=(0, 0, 0))
    assert "nan" not in markdown_table([nothing])
    json_file, *others = write_evaluation(tmp_path, [nothing, comparison((1,), (1,))], {})
    assert all("nan" not in path.read_text() for path in others)
    assert json.loads(json_file.read_text(), parse_constant=pytest.fail)["tasks"][1]["student"]["confidence_95"] is None
    assert bar_lines([nothing], {"elbow_pose": 0.9}) == []


def test_the_episode_is_drawn_on_one_colour_scale_and_stops_where_the_episode_ended(tmp_path: Path) -> None:
    even = imread(drawing.draw_episode(tmp_path / "even.png", recording(0.4), recording(0.4)))
    uneven = imread(drawing.draw_episode(tmp_path / "uneven.png", recording(0.1), recording(0.4)))
    ended = imread(drawing.draw_episode(tmp_path / "ended.png", recording(0.4, running=5), recording(0.4)))
    place = (even.shape[0] // 6, even.shape[1] // 3)  # in the right half of the student's map
    strongest, weak, over = even[place], uneven[place], ended[place]
    assert strongest[2] < 0.4 < strongest[0], "the strongest activation is yellow"
    assert weak[0] < strongest[0], "a quarter of the expert's activation is darker than all of it"
    np.testing.assert_array_equal(over[:3], np.ones(3))


def test_a_picture_that_cannot_be_written_is_a_users_error(tmp_path: Path) -> None:
    from arnold.errors import UserError

    with pytest.raises(UserError, match="cannot write"):
        drawing.draw_comparison(tmp_path / "missing" / "comparison.png", [comparison()], {})
