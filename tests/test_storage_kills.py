"""A kill at any moment, or a disk that takes no more, leaves the last checkpoint whole."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stored_trees import CONFIG, small_learner, small_policy

from arnold.checkpoints import durable as durable_module
from arnold.checkpoints import (
    load_learner,
    load_policy,
    read_manifest,
    save_checkpoint,
)
from arnold.errors import UserError

pytestmark = pytest.mark.unit


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_checkpoint(tmp_path / "one", policy=small_policy(), config=CONFIG, learner=small_learner())


KILLED = """
import os, signal, sys
import numpy as np
from pathlib import Path
from arnold.checkpoints import durable, save_checkpoint
path, moment = Path(sys.argv[1]), sys.argv[2]

def save(value):
    values = np.full(1000, value)
    save_checkpoint(path, policy={"w": values}, config={"value": value}, learner={"v": values})

def killing(function, when):
    def wrapper(*arguments, **options):
        if when(*arguments):
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return wrapper

save(0)
print("saved", flush=True)
if moment == "while writing":
    durable.sync_tree = killing(durable.sync_tree, lambda folder: True)
if moment == "between the renames":
    durable.os.replace = killing(os.replace, lambda source, target: Path(target) == path)
if moment == "after the renames":
    durable.shutil.rmtree = killing(durable.shutil.rmtree, lambda folder: Path(folder).exists())
for value in range(1, 10_000):
    save(value)
"""
MOMENTS = ("while writing", "between the renames", "after the renames", "any moment")


def test_kill_9_at_any_moment_of_a_save_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    children = {}
    for moment in MOMENTS:
        arguments = [sys.executable, "-c", KILLED, str(tmp_path / moment / "one"), moment]
        children[moment] = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    for moment, child in children.items():
        assert child.stdout is not None
        assert child.stdout.readline() == "saved\n"
        if moment == "any moment":
            child.kill()
        assert child.wait(timeout=60) == -signal.SIGKILL
        child.stdout.close()
        policy, config = load_policy(tmp_path / moment / "one")
        learner = load_learner(tmp_path / moment / "one", like={"v": np.zeros(1000, int)})
        assert np.all(policy["w"] == config["value"])
        assert np.all(learner["v"] == config["value"])
        assert config["value"] == {"while writing": 0, "between the renames": 0}.get(moment, config["value"])

    half_written = tmp_path / "while writing"
    assert len(list(half_written.iterdir())) == 2
    durable_module.clear_leftovers(half_written)
    assert [path.name for path in half_written.iterdir()] == ["one"]
    durable_module.clear_leftovers(tmp_path / "between the renames")
    assert (tmp_path / "between the renames" / "one" / "manifest.json").is_file()


def test_a_disk_that_takes_no_more_bytes_leaves_the_last_checkpoint(saved: Path) -> None:
    # A limit on file sizes makes the system itself refuse the writes, for any user.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    big = {"w": np.random.default_rng(0).normal(size=300_000)}
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        with pytest.raises(UserError, match=r"cannot write .*is intact"):
            save_checkpoint(saved, policy=big, config={})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert load_policy(saved)[1] == CONFIG
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


@pytest.mark.parametrize("function", ["fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_full_or_read_only_disk_is_named_and_nothing_is_lost(
    saved: Path, monkeypatch: pytest.MonkeyPatch, function: str, code: int
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(durable_module.os, function, refuse)
        with pytest.raises(UserError, match=os.strerror(code)):
            save_checkpoint(saved, policy=small_policy(2.0), config={})
    assert load_policy(saved)[1] == CONFIG
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_a_file_where_the_folder_should_be_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("x")
    with pytest.raises(UserError, match="cannot write"):
        save_checkpoint(tmp_path / "taken" / "one", policy=small_policy(), config={})
    with pytest.raises(UserError, match="is not a checkpoint, so it is not overwritten"):
        save_checkpoint(tmp_path / "taken", policy=small_policy(), config={})


def test_a_save_replaces_the_checkpoint_of_the_same_name(saved: Path) -> None:
    save_checkpoint(saved, policy={"w": np.ones(2)}, config={"second": True})
    policy, config = load_policy(saved)
    assert config == {"second": True}
    assert list(policy) == ["w"]
    assert "learner" not in read_manifest(saved).items
