"""The strictness that every test runs under.

JAX reads its flags once, when it is first imported, so everything about JAX is set here before any test module loads:

* two virtual CPU devices, so that code which only works on one device fails here and not on a user's machine;
* strict dtype promotion and rank promotion that raises, so that no ``int + float`` or ``(K,) - (B, K)`` slips through;
* warnings are errors (``[tool.pytest.ini_options]`` in ``pyproject.toml``, which lists the exceptions).
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator

import pytest

from arnold.cli.startup import MJX_FLAG, add_xla_flags

XLA_FLAGS = (
    # Sharded code must see more than one device.
    "--xla_force_host_platform_device_count=2",
    # Most of the time of these tests is compilation, and the programs are small: 40 % less of it.
    "--xla_backend_optimization_level=0",
    # Of what remains, 45 % less: loops are written by LLVM directly rather than through MLIR, into fewer modules.
    "--xla_cpu_use_fusion_emitters=false",
    "--xla_cpu_parallel_codegen_split_count=4",
    # MJX may run in any of them.
    MJX_FLAG,
)
add_xla_flags(*XLA_FLAGS)
# Environment variables rather than jax.config: processes that a test starts inherit them.
os.environ["JAX_NUMPY_DTYPE_PROMOTION"] = "strict"
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"
# Pictures are drawn to files; no test may open a window.
os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture(scope="module", autouse=True)
def programs_go_with_their_module() -> Iterator[None]:
    """What JAX has compiled for a test module is given back after it: a worker would come to 10 GB."""
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()
        gc.collect()


def _has_gpu() -> bool:
    """Whether JAX sees an accelerator of kind ``gpu``."""
    import jax

    try:
        return bool(jax.devices("gpu"))
    except RuntimeError:
        return False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests marked ``gpu`` where there is none; JAX is asked only if such a test was collected."""
    gpu_items = [item for item in items if item.get_closest_marker("gpu")]
    if gpu_items and not _has_gpu():
        for item in gpu_items:
            item.add_marker(pytest.mark.skip(reason="needs a GPU that JAX can use; none was found"))
