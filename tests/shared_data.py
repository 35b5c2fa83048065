"""Real recordings that lie beside the repository and are not part of it: tests that need them skip where they are
absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("ARNOLD_SHARED", ROOT.parent / "shared")) / "data"
"""Folder of the recordings; the environment variable ARNOLD_SHARED names the folder above it."""


def needs(path: str) -> pytest.MarkDecorator:
    """A mark that skips a test where ``path``, relative to `SHARED`, is absent."""
    return pytest.mark.skipif(not (SHARED / path).exists(), reason=f"no {path} in the shared data ({SHARED.name})")
