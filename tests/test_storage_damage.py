"""A damaged, hostile or foreign checkpoint is one clear error that names what is wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from stored_trees import CONFIG, small_learner, small_policy

from arnold.checkpoints import (
    load_config,
    load_learner,
    load_policy,
    save_checkpoint,
    verify_checkpoint,
)
from arnold.checkpoints.manifest import record_files
from arnold.errors import UserError

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("original") / "one"
    return save_checkpoint(path, policy=small_policy(), config=CONFIG, learner=small_learner())


@pytest.fixture
def saved(original: Path, tmp_path: Path) -> Path:
    """A checkpoint with a learner, for this test to damage."""
    return Path(shutil.copytree(original, tmp_path / "one"))


def reseal(folder: Path) -> None:
    """Make the manifest vouch for whatever the files are now, as a hostile author would."""
    content = json.loads((folder / "manifest.json").read_text())
    records = [record for record in record_files(folder) if record.path != "manifest.json"]
    content["files"] = {record.path: {"bytes": record.size, "sha256": record.sha256} for record in records}
    (folder / "manifest.json").write_text(json.dumps(content))


def test_each_truncated_file_is_named_with_its_sizes(saved: Path) -> None:
    files = [path for path in saved.rglob("*") if path.is_file() and path.name != "manifest.json"]
    assert len(files) > 10
    for path in files:
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        name = path.relative_to(saved).as_posix()
        expected = rf"{name}: {len(content) // 2} of {len(content)} bytes"
        with pytest.raises(UserError, match=expected):
            verify_checkpoint(saved)
        with pytest.raises(UserError, match=expected):
            load_learner(saved, small_learner()) if name.startswith("learner/") else load_policy(saved)
        path.write_bytes(content)
    verify_checkpoint(saved)


def test_a_flipped_byte_is_found_and_named(saved: Path) -> None:
    path = max((saved / "policy").rglob("*"), key=lambda p: p.stat().st_size if p.is_file() else 0)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"{path.name}: its bytes have changed"):
        load_policy(saved)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00\xff\xfe", b"{", b"[]", b"3", b"null", b"{}", b"[" * 100_000, b'{"format": "arnold-checkpoint"}'],
    ids=["empty", "binary", "cut", "list", "number", "null", "no fields", "deep", "no version"],
)
def test_a_manifest_that_is_no_manifest_is_one_clear_error(saved: Path, content: bytes) -> None:
    (saved / "manifest.json").write_bytes(content)
    for load in (load_policy, load_config, verify_checkpoint):
        with pytest.raises(UserError, match=r"manifest|checkpoint"):
            load(saved)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("items", []),
        ("items", {"policy": [{"path": ["w"], "kind": "array", "shape": [-1], "dtype": "float32"}]}),
        ("items", {"policy": [{"path": ["w"], "kind": "pickle", "shape": [1], "dtype": "float32"}]}),
        ("items", {"policy": [{"path": [None], "kind": "array", "shape": [1], "dtype": "float32"}]}),
        ("items", {"policy": [{"path": ["w"], "kind": "array", "shape": [0], "dtype": "O"}]}),
        ("items", {"policy": [{"path": ["w"], "kind": "array", "shape": [0], "dtype": "no such"}]}),
        ("items", {"policy": [{"path": ["w"], "kind": "key", "shape": [0], "dtype": "no such"}]}),
        ("items", {"policy": [{"path": ["w"], "kind": "array", "shape": [5], "dtype": "float32"}]}),
        ("items", {"policy": [{"path": [], "kind": "array", "shape": [0], "dtype": "float32"}]}),
        (
            "items",
            {"policy": [{"path": p, "kind": "array", "shape": [0], "dtype": "int8"} for p in (["a"], ["a", "b"])]},
        ),
        ("items", {"policy": [{"path": p, "kind": "array", "shape": [0], "dtype": "int8"} for p in (["a"], [1])]}),
        ("items", {"policy": [{"path": ["a"], "kind": "array", "shape": [0], "dtype": "int8"}] * 2}),
        ("items", {"policy": [7]}),
        ("items", {"policy": []}),
        ("items", {}),
        ("files", ["config.json"]),
        ("files", {"../../outside": {"bytes": 1, "sha256": "0"}}),
        ("files", {"/etc/hostname": {"bytes": 1, "sha256": "0"}}),
        ("files", {"config.json": {"bytes": "many", "sha256": "0"}}),
        ("files", {"config.json": {}}),
        ("extra", None),
    ],
)
def test_a_manifest_with_a_hostile_field_is_one_clear_error(saved: Path, field: str, value: Any) -> None:
    content = json.loads((saved / "manifest.json").read_text())
    (saved / "manifest.json").write_text(json.dumps(content | {field: value}))
    with pytest.raises(UserError):
        load_policy(saved)


@pytest.mark.parametrize("version", [0, 2, "1", None, True, 1.0])
def test_another_format_version_says_what_was_seen_and_what_is_read(saved: Path, version: Any) -> None:
    content = json.loads((saved / "manifest.json").read_text())
    (saved / "manifest.json").write_text(json.dumps(content | {"version": version}))
    with pytest.raises(UserError, match=rf"version {version!r}; this arnold reads version 1; use the release"):
        load_policy(saved)


# When one array cannot be read, Orbax closes its event loop under the others, which is said on standard error.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("garbage", [b"", b"\x00" * 64, b"{}", b"\x80\x04."], ids=["empty", "zeros", "json", "pickle"])
def test_array_files_that_are_vouched_for_but_senseless_are_one_clear_error(saved: Path, garbage: bytes) -> None:
    for name in ("manifest.ocdbt", "_METADATA"):
        original = (saved / "policy" / name).read_bytes()
        (saved / "policy" / name).write_bytes(garbage)
        reseal(saved)
        with pytest.raises(UserError, match="is damaged"):
            load_policy(saved)
        (saved / "policy" / name).write_bytes(original)


@pytest.mark.parametrize("content", [b"", b"[1]", b"\xff", b'{"a": '])
def test_a_config_that_is_vouched_for_but_senseless_is_one_clear_error(saved: Path, content: bytes) -> None:
    (saved / "config.json").write_bytes(content)
    reseal(saved)
    with pytest.raises(UserError, match="config"):
        load_policy(saved)


def test_what_is_no_checkpoint_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    for name, message in [("nothing", "found nothing"), ("file", "found a file"), ("folder", "has no manifest.json")]:
        with pytest.raises(UserError, match=message):
            load_policy(tmp_path / name)
