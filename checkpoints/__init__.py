"""Storage: pytrees of arrays and what is said about them, written so that a kill never costs the last good checkpoint.

Nothing here knows what a policy is; it knows trees of arrays, JSON and files::

    <checkpoint>/
      manifest.json   format and version; the leaves of each item; every file with its size and SHA-256
      config.json     what the caller needs to rebuild the policy: kind, sizes, words, tasks, recipe
      policy/         Orbax: parameters and normaliser statistics; all that inference reads
      learner/        Orbax: optimiser, counters, keys, environment states; only a resume reads it

    <run>/checkpoints/
      LATEST          the name of the newest complete checkpoint
      step_000000000200/ ...

    checkpoints/zoo/<name>/
      a checkpoint without learner, card.json (how it was made, how well it does) and README.md (the same for people)

A checkpoint is written beside its place and renamed into it, so at any moment its name holds a complete one. Arrays are
read back on the default device of whatever machine opens them, and only if they are complete and fit exactly;
everything else is a :class:`arnold.errors.UserError`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from arnold.checkpoints.lookup import resolve
    from arnold.checkpoints.manifest import Manifest, read_manifest
    from arnold.checkpoints.restore import Mismatch, restore_into
    from arnold.checkpoints.series import latest_checkpoint, save_step
    from arnold.checkpoints.storage import load_config, load_learner, load_policy, save_checkpoint, verify_checkpoint
    from arnold.checkpoints.zoo import ZooEntry, list_zoo, write_card, zoo_path

__all__ = [
    "Manifest",
    "Mismatch",
    "ZooEntry",
    "latest_checkpoint",
    "list_zoo",
    "load_config",
    "load_learner",
    "load_policy",
    "read_manifest",
    "resolve",
    "restore_into",
    "save_checkpoint",
    "save_step",
    "verify_checkpoint",
    "write_card",
    "zoo_path",
]

# Looked up on first use, so that listing the zoo does not import JAX.
_HOME = {
    "Manifest": "manifest",
    "Mismatch": "restore",
    "ZooEntry": "zoo",
    "latest_checkpoint": "series",
    "list_zoo": "zoo",
    "load_config": "storage",
    "load_learner": "storage",
    "load_policy": "storage",
    "read_manifest": "manifest",
    "resolve": "lookup",
    "restore_into": "restore",
    "save_checkpoint": "storage",
    "save_step": "series",
    "verify_checkpoint": "storage",
    "write_card": "zoo",
    "zoo_path": "zoo",
}


def __getattr__(name: str) -> Any:
    """Import the module that defines ``name`` when it is first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
