"""What must be set before JAX is first imported."""

from __future__ import annotations

import os
from pathlib import Path

# jaxlib 0.10 can hang on two-core CPUs in the large graphs of MJX while its concurrency scheduler is on. Other backends
# ignore the flag, so nobody has to know yet which one JAX will choose.
MJX_FLAG = "--xla_cpu_enable_concurrency_optimized_scheduler=false"


def prepare_jax(backend: str) -> None:
    """Set the environment variables of JAX that a back end of the physics wants; what the user set stays.

    The compilation cache serves MJX alone: JAX never caches a program that calls back into Python, as the native back
    end does, and the rest compiles in a moment.

    Args:
        backend: "native" or "mjx".
    """
    if backend != "mjx":
        return
    flags = os.environ.get("XLA_FLAGS", "")
    if MJX_FLAG.partition("=")[0] not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {MJX_FLAG}".strip()
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache_folder()))


def cache_folder() -> Path:
    """Where compiled programs are kept, unless ``JAX_COMPILATION_CACHE_DIR`` says otherwise."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "arnold" / "jax"
