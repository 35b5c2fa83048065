"""What the command line sets before JAX is imported."""

from __future__ import annotations

import os

import pytest

from arnold.cli.startup import MJX_FLAG, TRAINING_FLAGS, prepare_jax

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLA_FLAGS", "")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "somewhere")


@pytest.mark.parametrize(
    ("backend", "training", "flags"),
    [
        ("native", False, ()),
        ("native", True, TRAINING_FLAGS),
        ("mjx", False, (MJX_FLAG,)),
        ("mjx", True, (MJX_FLAG, *TRAINING_FLAGS)),
    ],
)
def test_a_command_gets_the_flags_that_it_wants(backend: str, training: bool, flags: tuple[str, ...]) -> None:
    prepare_jax(backend, training)
    assert tuple(os.environ["XLA_FLAGS"].split()) == flags


def test_flags_that_the_user_set_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    given = "--xla_dump_to=dump --xla_backend_optimization_level=3"
    monkeypatch.setenv("XLA_FLAGS", given)
    prepare_jax("native", training=True)
    prepare_jax("native", training=True)
    assert os.environ["XLA_FLAGS"] == f"{given} --xla_cpu_use_fusion_emitters=false"
