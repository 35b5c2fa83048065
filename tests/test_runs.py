"""A run's folder says what was done, on what, and how it went; a resume continues it without a seam."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from arnold import provenance
from arnold.checkpoints import durable as durable_module
from arnold.checkpoints import load_learner, load_policy, read_manifest
from arnold.errors import UserError
from arnold.progress import Progress, duration
from arnold.publishing import portable
from arnold.runs import Run

pytestmark = pytest.mark.unit

CONFIG = {"recipe": "elbow_pose", "learning_rate": 3e-4, "sizes": [64, 64]}
POLICY = {"w": np.ones(3, np.float32)}
LEARNER = {"iteration": np.int32(4)}


def make_run(tmp_path: Path, **options: Any) -> Run:
    return Run.create(tmp_path / "runs", "elbow_pose", CONFIG, **options)


def rows_of(run: Run) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]


def csv_rows_of(run: Run) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((run.path / "metrics.csv").read_text())))


# The folder


def test_a_new_run_says_what_it_is_and_where_it_came_from(tmp_path: Path) -> None:
    run = make_run(tmp_path, fingerprints={"elbow": "abc", "vocabulary": "def"})
    assert run.path.parent == tmp_path / "runs" / "elbow_pose"
    manifest = json.loads((run.path / "manifest.json").read_text())
    assert run.path.name.endswith(manifest["config_sha256"][:8])
    assert json.loads((run.path / "config.json").read_text()) == CONFIG
    assert manifest["fingerprints"] == {"elbow": "abc", "vocabulary": "def"}
    assert manifest["packages"]["numpy"] == np.__version__
    assert len(manifest["devices"]) == 2
    assert {path.name for path in run.path.iterdir() if path.is_dir()} == {"checkpoints", "eval", "videos"}


def test_two_runs_started_together_do_not_share_a_folder(tmp_path: Path) -> None:
    assert len({make_run(tmp_path).path for _ in range(3)}) == 3


def test_the_config_hash_ignores_the_order_of_keys_and_nothing_else() -> None:
    assert provenance.config_hash({"a": 1, "b": 2}) == provenance.config_hash({"b": 2, "a": 1})
    assert provenance.config_hash({"a": 1, "b": 2}) != provenance.config_hash({"a": 1, "b": 3})


@pytest.mark.parametrize("name", ["", "../elsewhere", "a/b", ".hidden"])
def test_a_recipe_name_cannot_lead_elsewhere(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="names a folder"):
        Run.create(tmp_path, name, CONFIG)


def test_a_run_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file in the way")
    with pytest.raises(UserError, match="cannot write"):
        make_run(tmp_path)


def test_what_a_command_wrote_is_listed_once_and_exists(tmp_path: Path) -> None:
    run = make_run(tmp_path, keep=1)
    for step in (10, 20):
        run.log(step, {"reward": 0.5})
        run.save(step, POLICY, {}, LEARNER)
    picture = run.wrote(run.path / "eval" / "table.md")
    names = [path.relative_to(run.path).as_posix() for path in run.written]
    expected = ["config.json", "manifest.json", "metrics.jsonl", "metrics.csv", "checkpoints/step_000000000020"]
    assert names == [*expected, "eval/table.md"]
    assert all(path.exists() for path in run.written if path != picture)


# Metrics


def test_every_kind_of_number_is_logged_as_itself(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    metrics = {"a": jnp.float32(0.5), "b": np.int64(3), "c": np.array([2.0]), "d": True, "e": "text", "f": {"g": 1}}
    run.log(7, metrics)
    (row,) = rows_of(run)
    assert row.pop("wall_s") >= 0
    assert row == {"step": 7, "a": 0.5, "b": 3, "c": 2.0, "d": True, "e": "text", "f/g": 1}


def test_a_metric_that_is_not_finite_is_valid_json_and_an_empty_cell(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    run.log(1, {"loss": float("nan"), "ratio": np.float32(np.inf)})
    assert "NaN" not in (run.path / "metrics.jsonl").read_text()
    assert rows_of(run)[0]["loss"] is None
    assert csv_rows_of(run)[0]["ratio"] == ""


def test_a_metric_that_is_no_single_number_is_named(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    with pytest.raises(TypeError, match=r"reward/reach.*\(3,\)"):
        run.log(1, {"reward": {"reach": np.ones(3)}})


def test_a_column_that_appears_later_widens_the_csv(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    run.log(1, {"reward": 0.1})
    run.log(2, {"reward": 0.2, "solved": 0.9})
    run.log(3, {"solved": 1.0})
    assert [(row["step"], row["reward"], row["solved"]) for row in csv_rows_of(run)] == [
        ("1", "0.1", ""),
        ("2", "0.2", "0.9"),
        ("3", "", "1.0"),
    ]


def test_a_full_disk_while_logging_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path)
    run.log(1, {"reward": 0.1})

    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(durable_module.os, "replace", refuse)
    with pytest.raises(UserError, match=r"No space left on device; the rows before this one are intact"):
        run.log(2, {"new column": 0.1})


# Resuming


def test_a_resume_continues_the_same_files_without_repeating_a_row(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    for step in (100, 200, 300):
        run.log(step, {"reward": step})
        if step == 200:
            run.save(step, POLICY, {"kind": "mlp"}, LEARNER)
    # Killed here, in the middle of a row.
    with (run.path / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 400, "rew')

    resumed = Run.open(run.path)
    assert resumed.config == CONFIG
    latest = resumed.latest()
    assert latest is not None
    assert load_policy(latest)[1] == {"kind": "mlp"}
    assert load_learner(latest, like=LEARNER)["iteration"] == 4
    resumed.log(300, {"reward": -1, "solved": 1})
    assert [(row["step"], row["reward"]) for row in rows_of(resumed)] == [(100, 100), (200, 200), (300, -1)]
    assert [(row["step"], row["solved"]) for row in csv_rows_of(resumed)] == [("100", ""), ("200", ""), ("300", "1")]
    assert resumed.path == run.path


def test_the_clock_of_a_run_goes_on_where_the_kept_rows_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("arnold.runs.time.monotonic", lambda: now[0])
    run = make_run(tmp_path)
    for step in (1, 2):
        now[0] += 10.0
        run.log(step, {})
    run.save(1, POLICY, {})
    now[0] += 500.0
    resumed = Run.open(run.path)
    now[0] += 3.0
    resumed.log(2, {})
    assert [row["wall_s"] for row in rows_of(resumed)] == [10.0, 13.0]


def test_a_run_killed_before_its_first_checkpoint_starts_its_log_again(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    run.log(0, {"reward": 0.0})
    resumed = Run.open(run.path)
    assert resumed.latest() is None
    resumed.log(0, {"reward": 1.0})
    assert [row["reward"] for row in rows_of(resumed)] == [1.0]
    assert [row["reward"] for row in csv_rows_of(resumed)] == ["1.0"]


def test_a_resume_from_an_earlier_step_drops_the_rows_after_it(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    for step in (1, 2, 3):
        run.log(step, {})
        run.save(step, POLICY, {})
    resumed = Run.open(run.path, step=1)
    resumed.save(2, POLICY, {})
    assert [row["step"] for row in rows_of(resumed)] == [1]


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_a_run_opened_to_be_read_is_left_as_it_is(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    run.save(1, POLICY, {})
    run.log(2, {"reward": 0.5})
    (run.checkpoints / ".step_000000000002.writing-0123abcd").mkdir()  # as a training that is still going would have
    before = contents(run.path)
    reader = Run.open(run.path)
    assert reader.latest() == run.latest()
    assert contents(run.path) == before
    assert len(list(run.checkpoints.glob(".*"))) == 1


def test_going_on_with_a_run_clears_what_a_kill_left_half_written(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    path = run.save(1, POLICY, {})
    (run.checkpoints / f".{path.name}.writing-0123abcd" / "policy").mkdir(parents=True)
    (run.path / ".metrics.csv.writing-0123abcd").write_text("half")
    Run.open(run.path).log(2, {})
    assert sorted(entry.name for entry in run.checkpoints.iterdir()) == ["LATEST", path.name]
    assert not list(run.path.glob(".*"))


def test_a_checkpoint_carries_the_manifest_of_its_run(tmp_path: Path) -> None:
    run = make_run(tmp_path, fingerprints={"vocabulary": "def"})
    extra = read_manifest(run.save(7, POLICY, {})).extra
    assert extra == {"run": run.manifest, "step": 7}


def test_what_is_no_run_cannot_be_opened_and_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a run: it has no manifest"):
        Run.open(tmp_path)
    run = make_run(tmp_path)
    checkpoint = run.save(1, POLICY, {})
    with pytest.raises(UserError, match="format 'arnold-checkpoint'"):
        Run.open(checkpoint)
    for content, message in [("{", "is not JSON"), ('{"format": "arnold-run", "version": 9}', "version 9")]:
        (run.path / "manifest.json").write_text(content)
        with pytest.raises(UserError, match=message):
            Run.open(run.path)


# Where results come from


def test_a_revision_is_that_of_tracked_files_only(tmp_path: Path) -> None:
    source, stranger = tmp_path / "source", tmp_path / "site-packages"
    for folder in (source, stranger):
        folder.mkdir()
        (folder / "a.py").write_text("1\n")
    assert provenance.git_revision(source) is None
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e@example.org"]
    for arguments in (["init", "-q"], ["add", "source"], ["commit", "-q", "-m", "m", "--no-gpg-sign"]):
        subprocess.run([*git, *arguments], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert provenance.git_revision(source) == head
    assert provenance.git_revision(stranger) is None
    (source / "a.py").write_text("2\n")
    assert provenance.git_revision(source) == f"{head}+changes"


# Other programs


def test_metrics_also_go_to_tensorboard_and_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    writer = SimpleNamespace(add_scalar=lambda *a: seen.append(a), close=lambda: seen.append("board closed"))
    online = SimpleNamespace(log=lambda d, step: seen.append((d, step)), finish=lambda: seen.append("wandb finished"))
    monkeypatch.setitem(sys.modules, "tensorboardX", SimpleNamespace(SummaryWriter=lambda logdir: writer))
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=lambda **options: online))
    with make_run(tmp_path, sinks=("tensorboard", "wandb")) as run:
        run.log(5, {"reward": 0.5, "note": "text", "loss": float("nan")})
    assert seen == [("reward", 0.5, 5), ({"reward": 0.5}, 5), "wandb finished", "board closed"]


def test_a_missing_extra_is_named_before_a_run_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(UserError, match=r"pip install 'arnold\[log\]'"):
        make_run(tmp_path, sinks=["tensorboard"])
    with pytest.raises(UserError, match="did you mean 'wandb'"):
        make_run(tmp_path, sinks=["wandbb"])
    assert not (tmp_path / "runs").exists()


# Progress


class Clock:
    """Seconds that pass when told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_without_a_terminal_a_plain_line_comes_every_ten_seconds_and_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    stream, clock = io.StringIO(), Clock()
    with Progress(1000, label="elbow", stream=stream, clock=clock) as progress:
        progress.note("compiling ... 12.3 s")
        for done in range(0, 1000, 25):
            clock.now = done / 25
            progress.update(done, reward=0.5)
        clock.now = 39.5
        progress.update(990, reward=0.5)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "elbow: compiling ... 12.3 s"
    assert [line.split(" / ")[0] for line in lines[1:]] == [f"elbow: {done}" for done in (0, 250, 500, 750, 990)]
    assert lines[2] == "elbow: 250 / 1,000 steps (25 %)  25 steps/s  30 s left  reward 0.5"


def test_the_rate_forgets_a_slow_start() -> None:
    clock = Clock()
    progress = Progress(10_000, stream=io.StringIO(), clock=clock)
    assert progress.rate() is None
    clock.now = 100.0
    progress.update(10)
    for second in range(1, 61):
        clock.now = 100.0 + second
        progress.update(10 + 50 * second)
    assert progress.rate() == pytest.approx(50)


def test_a_resumed_run_does_not_count_the_steps_of_the_earlier_one_in_its_rate() -> None:
    clock = Clock()
    progress = Progress(1000, stream=io.StringIO(), clock=clock)
    progress.restart_rate(900)
    clock.now = 10.0
    progress.update(950)
    assert progress.rate() == pytest.approx(5)
    progress.restart_rate(950)
    clock.now = 11.0
    progress.update(960)
    assert progress.rate() == pytest.approx(10)


def test_in_a_terminal_one_line_is_redrawn_and_notes_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream, clock = Terminal(), Clock()
    with Progress(100, label="elbow", stream=stream, clock=clock) as progress:
        for done in (10, 60, 100):
            clock.now += 1.0
            progress.update(done)
        progress.note("saved [checkpoint]")
    text = stream.getvalue()
    assert "\x1b[" in text
    assert "elbow: 60 / 100 steps (60 %)" in text
    assert "saved [checkpoint]" in text


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "0 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"), (7500, "2 h 05 min"), (-3, "0 s")]
)
def test_durations_read_as_people_say_them(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_what_is_published_names_no_path_of_the_machine(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    run.save(3, policy=POLICY, learner=LEARNER, config=CONFIG)
    config = {
        "recipe": {
            "start_from": str(run.path),
            "experts": [["a", str(run.path.parent)], ["b", str(tmp_path / "gone")]],
            "clips": ["clips/kinesis_legs", "walk", str(tmp_path / "clips" / "mine")],
        },
        "environment_steps": 3,
    }
    assert portable(config) == {
        "recipe": {
            "start_from": "runs/elbow_pose",
            "experts": [["a", "runs/elbow_pose"], ["b", "gone"]],
            "clips": ["clips/kinesis_legs", "walk", "mine"],
        },
        "environment_steps": 3,
    }
