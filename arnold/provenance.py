"""Where a result came from: code revision, package versions, devices; kept with every run and checkpoint."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PACKAGES = (
    "arnold",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "numpy",
    "mujoco",
    "mujoco-mjx",
    "myosuite",
    "myo-sim",
    "musclemimic-models",
)


def config_hash(config: Mapping[str, Any]) -> str:
    """The SHA-256 of a JSON configuration, the same for any order of its keys."""
    return hashlib.sha256(json.dumps(config, sort_keys=True, allow_nan=False).encode()).hexdigest()


def package_versions() -> dict[str, str | None]:
    """The installed version of each package that a result depends on; None where it is not installed."""
    return {name: _version(name) for name in PACKAGES}


def git_revision(folder: Path = Path(__file__).parent) -> str | None:
    """The commit of the source in ``folder``, with ``+changes`` if files differ from it; None outside a repository."""
    # A virtual environment may lie inside somebody else's repository: only a tracked folder has a revision.
    if not _git(folder, "ls-files", "."):
        return None
    revision = _git(folder, "rev-parse", "HEAD")
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return f"{revision}+changes" if revision and changed else revision


def devices() -> list[str]:
    """The kinds of JAX's devices, such as ``["cpu", "cpu"]``."""
    import jax

    return [device.device_kind for device in jax.devices()]


def machine() -> str:
    """The kind of machine in words: system, architecture and number of CPU cores; nothing that identifies it."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPU cores"


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git(folder: Path, *arguments: str) -> str | None:
    """The output of a git command in ``folder``; None if it failed or git is not installed."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
