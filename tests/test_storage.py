"""A checkpoint comes back bit for bit, into the structure it came from or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from stored_trees import CONFIG, small_learner, small_policy

from arnold.checkpoints import (
    load_config,
    load_learner,
    load_policy,
    restore_into,
    save_checkpoint,
    verify_checkpoint,
)
from arnold.errors import UserError

pytestmark = pytest.mark.unit


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


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_checkpoint(tmp_path / "one", policy=small_policy(), config=CONFIG, learner=small_learner())


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
