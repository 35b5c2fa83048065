"""From what a person types to a checkpoint: numbered checkpoints of a run, shipped policies, paths."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from stored_trees import CONFIG, small_policy

from arnold.checkpoints import (
    latest_checkpoint,
    list_zoo,
    load_policy,
    read_manifest,
    resolve,
    save_checkpoint,
    save_step,
    verify_checkpoint,
    write_card,
    zoo_path,
)
from arnold.errors import UserError

pytestmark = pytest.mark.unit


def save_three(folder: Path, keep: int | None = 2) -> list[Path]:
    return [
        save_step(folder, step, policy={"w": np.full(3, step)}, config={"step": step}, keep=keep)
        for step in (1, 20, 300)
    ]


def test_the_oldest_checkpoints_go_and_latest_points_to_the_newest(tmp_path: Path) -> None:
    paths = save_three(tmp_path)
    assert [path.exists() for path in paths] == [False, True, True]
    assert (tmp_path / "LATEST").read_text().strip() == paths[2].name
    assert latest_checkpoint(tmp_path) == paths[2]


def test_going_back_to_an_earlier_step_makes_that_the_latest(tmp_path: Path) -> None:
    save_three(tmp_path)
    back = save_step(tmp_path, 30, policy={"w": np.ones(3)}, config={"step": 30}, keep=2)
    assert latest_checkpoint(tmp_path) == back


def test_a_damaged_latest_checkpoint_gives_way_to_the_one_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = save_three(tmp_path)
    (paths[2] / "config.json").write_text("{}")
    assert latest_checkpoint(tmp_path) == paths[1]
    assert "config.json: 2 of" in caplog.text


def test_only_damaged_checkpoints_are_an_error_and_not_a_fresh_start(tmp_path: Path) -> None:
    for path in save_three(tmp_path)[1:]:
        (path / "config.json").unlink()
    with pytest.raises(UserError, match=r"no good checkpoint.*config.json: missing.*config.json: missing"):
        latest_checkpoint(tmp_path)
    assert latest_checkpoint(tmp_path / "nothing") is None


@pytest.mark.parametrize("pointer", ["", "../../elsewhere", "step_9", "\0"])
def test_a_senseless_pointer_does_not_hide_the_newest(tmp_path: Path, pointer: str) -> None:
    paths = save_three(tmp_path)
    (tmp_path / "LATEST").write_text(pointer)
    assert latest_checkpoint(tmp_path) == paths[2]


def test_keeping_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot keep 0"):
        save_step(tmp_path, 1, policy=small_policy(), config={}, keep=0)


# The zoo and names

CARD = {
    "recipe": "elbow_pose",
    "seed": 0,
    "steps": 1_000_000,
    "wall_time_s": 312.5,
    "machine": "Linux x86_64, 2 CPU cores",
    "evaluation": {"elbow_pose": {"solved": 0.912, "episodes": 200}, "finger_reach": {"return": -3.0}},
    "about": "An expert for the elbow.",
}


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    for name in ("elbow_pose", "hand_index_reach"):
        write_card(save_checkpoint(tmp_path / "zoo" / name, policy=small_policy(), config=CONFIG), CARD)
    return tmp_path / "zoo"


def test_the_zoo_lists_its_policies_with_their_cards(zoo: Path) -> None:
    entries = list_zoo(zoo)
    assert [entry.name for entry in entries] == ["elbow_pose", "hand_index_reach"]
    assert entries[0].card == CARD
    assert load_policy(entries[0].path)[1] == CONFIG


def test_a_name_like_a_shipped_policy_is_suggested(zoo: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'hand_index_reach'"):
        zoo_path("hand_indx_reach", zoo)
    with pytest.raises(UserError, match="did you mean 'elbow_pose'"):
        resolve("elbow_poze", zoo)


def test_the_page_of_a_policy_shows_how_it_was_made_and_how_well_it_does(zoo: Path) -> None:
    page = (zoo / "elbow_pose" / "README.md").read_text()
    assert "| steps | 1,000,000 |" in page
    assert "| wall time (s) | 312.5 |" in page
    assert "| task | solved | episodes | return |" in page
    assert "| elbow_pose | 0.912 | 200 |  |" in page
    assert "| finger_reach |  |  | -3 |" in page


def test_a_card_without_its_figures_is_refused(zoo: Path) -> None:
    with pytest.raises(UserError, match=r"lacks seed .* evaluation"):
        write_card(zoo / "elbow_pose", {key: CARD[key] for key in CARD if key not in ("seed", "evaluation")})
    with pytest.raises(UserError, match="accepted: task"):
        write_card(zoo / "elbow_pose", CARD | {"evaluation": 0.9})
    with pytest.raises(UserError, match="is not a checkpoint"):
        write_card(zoo, CARD)


def test_a_damaged_card_is_named(zoo: Path) -> None:
    (zoo / "elbow_pose" / "card.json").write_text("{")
    with pytest.raises(UserError, match="the card of elbow_pose"):
        list_zoo(zoo)


def test_every_way_to_name_a_policy_finds_its_checkpoint(zoo: Path, tmp_path: Path) -> None:
    paths = save_three(tmp_path / "run" / "checkpoints")
    (tmp_path / "aborted" / "checkpoints").mkdir(parents=True)
    assert resolve(tmp_path, zoo) == paths[2], "of a folder of runs, the newest"
    assert resolve("elbow_pose", zoo) == zoo / "elbow_pose"
    assert resolve(zoo / "elbow_pose", zoo) == zoo / "elbow_pose"
    assert resolve(str(tmp_path / "run"), zoo) == paths[2]
    assert resolve(tmp_path / "run" / "checkpoints", zoo) == paths[2]
    assert resolve(paths[1], zoo) == paths[1]


def test_what_names_no_policy_says_what_it_is_instead(zoo: Path, tmp_path: Path) -> None:
    (tmp_path / "elbow" / "early" / "checkpoints").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    for path, message in [
        (tmp_path / "elbow" / "early", "has no checkpoint yet"),
        (tmp_path / "elbow", "has no checkpoint yet"),
        (tmp_path / "empty", "neither a checkpoint nor a run"),
        (zoo / "elbow_pose" / "card.json", "is a file"),
    ]:
        with pytest.raises(UserError, match=message):
            resolve(path, zoo)


def test_every_shipped_policy_is_whole_and_small() -> None:
    for entry in list_zoo():
        verify_checkpoint(entry.path)
        assert "learner" not in read_manifest(entry.path).items
        size = sum(path.stat().st_size for path in entry.path.rglob("*") if path.is_file())
        assert size < 12e6, entry.name


def test_listing_the_zoo_needs_neither_jax_nor_orbax() -> None:
    script = "import sys, arnold.checkpoints as c; c.list_zoo(); print('jax' in sys.modules, 'orbax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["False", "False"], done.stderr
