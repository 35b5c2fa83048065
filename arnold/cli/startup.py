"""What must be set before JAX is first imported."""

from __future__ import annotations

import os
from pathlib import Path

# jaxlib 0.10 can hang on two-core CPUs in the large graphs of MJX while its concurrency scheduler is on. Other backends
# ignore the flag, so nobody has to know yet which one JAX will choose.
MJX_FLAG = "--xla_cpu_enable_concurrency_optimized_scheduler=false"

# A training compiles one large program, in minutes for many tasks, and most of its time goes to physics and products
# that are not compiled: a quarter less to wait for, and as many steps a second.
TRAINING_FLAGS = ("--xla_backend_optimization_level=1", "--xla_cpu_use_fusion_emitters=false")


def prepare_jax(backend: str, training: bool) -> None:
    """Set the environment variables of JAX that a command wants; what the user set stays.

    The compilation cache serves MJX alone: JAX never caches a program that calls back into Python, as the native back
    end does, and the rest compiles in a moment.

    Args:
        backend: of the physics, "native" or "mjx".
        training: whether the command trains.
    """
    add_xla_flags(*([MJX_FLAG] if backend == "mjx" else []), *(TRAINING_FLAGS if training else []))
    if backend == "mjx":
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache_folder()))


def add_xla_flags(*wanted: str) -> None:
    """Append to ``XLA_FLAGS`` the ``--name=value`` flags of ``wanted`` whose name the user has not set already."""
    given = os.environ.get("XLA_FLAGS", "").split()
    names = {flag.partition("=")[0] for flag in given}
    missing = [flag for flag in wanted if flag.partition("=")[0] not in names]
    if missing:
        os.environ["XLA_FLAGS"] = " ".join([*given, *missing])


def cache_folder() -> Path:
    """Where compiled programs are kept, unless ``JAX_COMPILATION_CACHE_DIR`` says otherwise."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "arnold" / "jax"
