"""A checkpoint comes back bit for bit, or it says what is wrong with it; nothing in between."""

from __future__ import annotations

import errno
import functools
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from arnold.checkpoints import durable as durable_module
from arnold.checkpoints import (
    latest_checkpoint,
    list_zoo,
    load_config,
    load_learner,
    load_policy,
    read_manifest,
    resolve,
    restore_into,
    save_checkpoint,
    save_step,
    verify_checkpoint,
    write_card,
    zoo_path,
)
from arnold.checkpoints.manifest import record_files
from arnold.errors import UserError

pytestmark = pytest.mark.unit

CONFIG = {"kind": "mlp", "words": ["<pad>", "value", "müscle"], "sizes": [64, 64], "rate_hz": 50.0, "recipe": None}


def small_policy(value: float = 1.0) -> dict[str, Any]:
    layers = [{"kernel": jnp.full((3, 4), value), "bias": jnp.zeros((4,))}, {"kernel": jnp.full((4, 2), value)}]
    return {"params": {"layers": layers, "log_std": jnp.full((2,), -0.5)}, "normaliser": {"count": jnp.int32(7)}}


@functools.cache
def small_learner(seed: int = 0) -> dict[str, Any]:
    """Everything that a training state is made of: optimiser state, typed keys, counters, numpy arrays."""
    params = small_policy()["params"]
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3))
    state = optimiser.init(params)
    gradients = jax.tree.map(lambda x: jnp.full_like(x, 0.1 + seed), params)
    with jax.numpy_dtype_promotion("standard"):  # Adam's bias correction raises a float to an integer power
        state = optimiser.update(gradients, state, params)[1]
    return {
        "optimiser": state,
        "key": jax.random.key(seed),
        "keys": jax.random.split(jax.random.key(seed + 1, impl="rbg"), 3),
        "iteration": 5 + seed,
        "host": np.arange(4.0),
        "no_rows": jnp.zeros((0, 3)),
    }


def bits(leaf: Any) -> tuple[str, tuple[int, ...], bytes]:
    if jax.dtypes.issubdtype(getattr(leaf, "dtype", np.float32), jax.dtypes.prng_key):
        return (str(leaf.dtype), tuple(leaf.shape), np.asarray(jax.random.key_data(leaf)).tobytes())
    array = np.asarray(leaf)
    return (str(array.dtype), array.shape, array.tobytes())


def assert_same_bits(found: Any, expected: Any) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for mine, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert bits(mine) == bits(theirs)
        assert isinstance(mine, jax.Array) == isinstance(theirs, jax.Array)


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


# Round trips


def test_a_policy_comes_back_bit_for_bit_in_every_dtype(tmp_path: Path) -> None:
    odd_nan = np.array([0x7FC00005, 0xFF800001], np.uint32).view(np.float32)
    policy = {
        "negative_zero": np.full((3,), -0.0, np.float32),
        "nan_payload": odd_nan,
        "bfloat16": np.array([1.5, -2.0], ml_dtypes.bfloat16),
        "float16": np.array([6e-8], np.float16),
        "float64": np.array(np.pi),
        "int64": np.array([2**62]),
        "bool": np.array([True, False]),
        "empty": np.zeros((0, 5), np.int8),
        "odd names": {"a.b": np.ones(1), "ü": np.ones(2), "list": {3: np.ones(3)}},
    }
    loaded, config = load_policy(save_checkpoint(tmp_path / "one", policy=policy, config=CONFIG))
    assert_same_bits(loaded, policy)
    assert config == CONFIG


def test_a_learner_with_adam_state_and_typed_keys_comes_back_bit_for_bit(saved: Path) -> None:
    restored = load_learner(saved, like=small_learner(seed=3))
    assert_same_bits(restored, small_learner())
    assert type(restored["iteration"]) is int
    before, after = jax.random.normal(small_learner()["key"]), jax.random.normal(restored["key"])
    assert before == after


def test_a_policy_with_lists_fits_its_own_structure_again(saved: Path) -> None:
    loaded, _ = load_policy(saved)
    assert loaded["params"]["layers"][1]["kernel"].shape == (4, 2)
    abstract = jax.eval_shape(small_policy)
    assert_same_bits(restore_into(abstract, loaded), small_policy())


def test_inference_does_not_need_the_learner_files(saved: Path) -> None:
    for path in (saved / "learner").rglob("*"):
        if path.is_file():
            path.unlink()
    assert load_policy(saved)[1] == CONFIG
    assert load_config(saved) == CONFIG
    with pytest.raises(UserError, match=r"learner/.*: missing"):
        load_learner(saved, like=small_learner())


def test_a_policy_without_learner_cannot_be_resumed_and_says_what_to_do(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "one", policy=small_policy(), config={})
    with pytest.raises(UserError, match=r"no learner.*load_policy"):
        load_learner(path, like=small_learner())


def test_a_checkpoint_of_two_devices_opens_where_there_is_one(tmp_path: Path) -> None:
    mesh = Mesh(np.array(jax.devices()[:2]), ("batch",))
    assert mesh.size == 2
    sharded = jax.device_put(jnp.arange(8.0), NamedSharding(mesh, PartitionSpec("batch")))
    path = save_checkpoint(tmp_path / "one", policy={"w": sharded}, config={}, learner={"w": sharded})
    # Placed as the structure asks for: on both devices here, on the only one there.
    assert load_learner(path, like={"w": sharded})["w"].sharding == sharded.sharding
    script = (
        "import sys, jax, jax.numpy as jnp; from arnold.checkpoints import load_learner, load_policy\n"
        "w = load_learner(sys.argv[1], like={'w': jnp.zeros(8)})['w']\n"
        "assert (load_policy(sys.argv[1])[0]['w'] == w).all()\n"
        "print(jax.device_count(), w.sum())"
    )
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=1"}
    done = subprocess.run([sys.executable, "-c", script, path], env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["1", "28.0"], done.stderr


def test_an_expert_fits_in_few_small_files(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    sizes = [(420, 256), (256, 256), (256, 39)]
    policy = {f"layer{i}": {"kernel": random.normal(size=s).astype(np.float32)} for i, s in enumerate(sizes)}
    path = save_checkpoint(tmp_path / "one", policy=policy, config=CONFIG)
    files = [file for file in path.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < sum(4 * a * b for a, b in sizes) + 20_000
    assert len(files) <= 20


def test_the_manifest_keeps_what_the_caller_adds_and_counts_parameters(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "one", policy={"w": np.ones((3, 4))}, config={}, manifest={"git": "abc"})
    manifest = verify_checkpoint(path)
    assert manifest.extra == {"git": "abc"}
    assert manifest.count("policy") == 12


# What cannot be stored


@pytest.mark.parametrize(
    ("policy", "config", "error", "message"),
    [
        ({"a": {"b": object()}}, {}, TypeError, "a/b"),
        ({"a": "text"}, {}, TypeError, "'a'"),
        ({}, {}, ValueError, "no arrays"),
        ({"a/b": np.ones(1), "a": {"b": np.ones(1)}}, {}, ValueError, "both called 'a/b'"),
        ({"a": np.ones(1)}, {"rate": float("nan")}, TypeError, "/rate"),
        ({"a": np.ones(1)}, {"sizes": [np.int64(3)]}, TypeError, "/sizes/0"),
        ({"a": np.ones(1)}, {"map": {1: 2}}, TypeError, "/map"),
    ],
)
def test_what_cannot_come_back_exactly_is_refused_before_anything_is_written(
    tmp_path: Path, policy: Any, config: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        save_checkpoint(tmp_path / "one", policy=policy, config=config)
    assert list(tmp_path.iterdir()) == []


# Structures that differ


def test_a_strict_restore_lists_every_path_and_the_partial_call() -> None:
    like = {"a": jnp.zeros((2, 3)), "b": {"new": jnp.zeros(4)}, "c": jnp.zeros(1), "same": jnp.zeros(2)}
    loaded = {"a": np.zeros((2, 5), np.float32), "c": np.zeros(1, np.int32), "old": np.ones(1), "same": np.ones(2, "f")}
    with pytest.raises(UserError) as caught:
        restore_into(like, loaded)
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("4 paths differ")
    assert [line.strip() for line in lines[1:5]] == [
        "a: expected float32 (2, 3), found float32 (2, 5)",
        "b/new: expected float32 (4,), found nothing",
        "c: expected float32 (1,), found int32 (1,)",
        "old: expected nothing, found float64 (1,)",
    ]
    assert "restore_into(like, loaded, partial=True)" in lines[5]


def test_a_partial_restore_takes_what_fits_and_reports_the_rest() -> None:
    like = {"fits": jnp.zeros(2), "other": jnp.full((3,), 5.0)}
    merged, differing = restore_into(like, {"fits": np.ones(2, np.float32), "other": np.ones(4, "f")}, partial=True)
    assert merged["fits"].tolist() == [1.0, 1.0]
    assert merged["other"].tolist() == [5.0, 5.0, 5.0]
    assert [mismatch.path for mismatch in differing] == ["other"]


def test_a_partial_restore_that_takes_nothing_is_not_an_untrained_policy() -> None:
    with pytest.raises(UserError, match="nothing of the loaded tree fits"):
        restore_into({"a": jnp.zeros(2)}, {"b": np.ones(2, np.float32)}, partial=True)


def test_a_partial_restore_cannot_keep_a_leaf_that_has_no_values() -> None:
    like = {"a": jax.ShapeDtypeStruct((1,), jnp.float32), "b": jax.ShapeDtypeStruct((1,), jnp.float32)}
    with pytest.raises(ValueError, match="b"):
        restore_into(like, {"a": np.ones(1, np.float32)}, partial=True)


def test_a_learner_of_another_recipe_lists_each_path(saved: Path) -> None:
    other = small_learner() | {"extra": jnp.zeros(3), "key": jax.random.key(0, impl="rbg")}
    with pytest.raises(UserError) as caught:
        load_learner(saved, like=other)
    message = str(caught.value)
    assert "extra: expected float32 (3,), found nothing" in message
    assert "key: expected key<rbg> (), found key<fry> ()" in message


def test_changing_a_numpy_array_after_a_restore_does_not_change_the_policy() -> None:
    memory = np.zeros(4096 + 64, np.uint8)
    start = -memory.ctypes.data % 64  # XLA shares the memory of a numpy array only where it is aligned so
    source = memory[start : start + 4096].view(np.float32)
    source[:] = 1
    restored = restore_into({"w": jnp.zeros(1024)}, {"w": source})
    source[:] = 7
    assert restored["w"].sum() == 1024


# Damage


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


# Kills and full disks

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


# Numbered checkpoints


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
        (tmp_path / "elbow", r"it holds 1 runs; give one, such as .*early"),
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
