"""`arnold retarget`: folders are finished and gone on with, one file goes to two bodies, mistakes are one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from arnold.cli import main
from arnold.motion import Clip, folder
from arnold.motion.cycles import WALKING, gait
from arnold.motion.folder import motion_files, names_of

pytestmark = pytest.mark.native

LEGS = "kinesis_legs"
RATE = 30.0


def opensim_file(path: Path, angles: dict[str, np.ndarray]) -> Path:
    """A motion as OpenSim writes it."""
    names, columns = list(angles), np.stack(list(angles.values()), axis=-1)
    path.parent.mkdir(parents=True, exist_ok=True)
    head = f"Coordinates\nversion=1\nnRows={len(columns)}\nnColumns={len(names) + 1}\ninDegrees=no\nendheader\n"
    rows = [f"{k / RATE:.6f}\t" + "\t".join(f"{v:.8f}" for v in row) for k, row in enumerate(columns)]
    path.write_text(head + "time\t" + "\t".join(names) + "\n" + "\n".join(rows) + "\n")
    return path


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """A folder with two good files of one name and a bad one."""
    angles = dict(gait(WALKING, seconds=1.2, rate=RATE).angles)
    opensim_file(tmp_path / "in" / "monday" / "walk.mot", angles)
    opensim_file(tmp_path / "in" / "tuesday" / "walk.mot", angles)
    (tmp_path / "in" / "bad.bvh").write_text("HIERARCHY\nROOT Hips\n{\n")
    return tmp_path / "in"


def test_files_of_one_name_get_clips_of_two(recordings: Path) -> None:
    files = motion_files(recordings)
    assert sorted(names_of(files, recordings)) == ["bad", "monday_walk_mot", "tuesday_walk_mot"]


def test_a_folder_goes_on_past_a_bad_file_and_resumes(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["retarget", str(recordings), "--body", LEGS, "--out", str(tmp_path / "clips"), "--workers", "1"]
    assert main(words) == 1
    said = capsys.readouterr().out
    assert "1 of 3 could not be retargeted" in said
    assert "bad.bvh" in said
    made = tmp_path / "clips" / LEGS / "monday_walk_mot.npz"
    assert Clip.load(made).quality["checks"]["coupling violation (rad)"]["passes"]
    assert json.loads(made.with_suffix(".json").read_text())["frames"] == Clip.load(made).frames
    before = made.stat().st_mtime_ns
    # One source changes, and only its clip is made anew.
    changed = recordings / "tuesday" / "walk.mot"
    changed.write_text(changed.read_text() + "\n")
    assert main(words) == 1
    assert "1 of 3 clips were there already" in capsys.readouterr().out
    assert made.stat().st_mtime_ns == before
    # Retargeting itself changes, and every clip is made anew.
    monkeypatch.setattr(folder, "VERSION", folder.VERSION + 1)
    assert main(words) == 1
    assert "there already" not in capsys.readouterr().out
    assert made.stat().st_mtime_ns > before


def test_one_file_to_two_bodies_by_one_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = opensim_file(tmp_path / "walk.mot", dict(gait(WALKING, seconds=1.2, rate=RATE).angles))
    words = ["retarget", str(file), "--body", LEGS, "--body", "musclemimic_bimanual", "--out", str(tmp_path / "clips")]
    assert main([*words, "--workers", "1", "--no-picture", "--stop", "0.8"]) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    assert [Path(line).parent.name for line in lines[-2:]] == [LEGS, "musclemimic_bimanual"]
    assert Clip.load(lines[-2]).duration == pytest.approx(0.8, abs=1 / RATE)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere.bvh"], "no motion file or folder at 'nowhere.bvh'"),
        ([".", "--body", "kinesis_leg"], "did you mean 'kinesis_legs'"),
        (["."], "holds no motion files"),
        ([".", "--rate", "-5"], "--rate is -5.0"),
        ([".", "--start", "3", "--stop", "2"], "0 <= start < stop"),
        ([".", "--workers", "0"], "at least 1"),
    ],
)
def test_mistakes_on_the_command_line_are_one_line(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["retarget", *words]) == 2
    assert said in capsys.readouterr().err.strip().splitlines()[-1]
