"""The numbered checkpoints of one run: save the next, drop the oldest, find the newest good one."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arnold.checkpoints.durable import reported_writes, settled, write_text
from arnold.checkpoints.storage import save_checkpoint, verify_checkpoint
from arnold.errors import UserError

POINTER_FILE = "LATEST"
_STEP_NAME = re.compile(r"step_(\d{12,})")
_log = logging.getLogger(__name__)


def step_name(step: int) -> str:
    """The folder name of the checkpoint at ``step``; names sort as steps do."""
    if step < 0:
        raise ValueError(f"a step is not negative: {step}")
    return f"step_{step:012d}"


def step_of(path: Path) -> int | None:
    """The step in the name of a checkpoint folder, or None if it is not numbered."""
    match = _STEP_NAME.fullmatch(path.name)
    return int(match[1]) if match else None


def save_step(
    folder: str | Path,
    step: int,
    *,
    policy: Any,
    config: Mapping[str, Any],
    learner: Any = None,
    manifest: Mapping[str, Any] | None = None,
    keep: int | None = 3,
) -> Path:
    """Write the checkpoint of ``step`` into ``folder``, point LATEST at it, then delete the oldest beyond ``keep``.

    Checkpoints of later steps, left by a run that was taken back to an earlier one, are not counted and not deleted.

    Args:
        folder: the checkpoints folder of a run; made if missing.
        step: environment steps so far.
        policy, config, learner, manifest: as for :func:`arnold.checkpoints.save_checkpoint`.
        keep: how many to keep, this one included; None keeps all.

    Returns:
        the new checkpoint's folder.

    Raises:
        UserError: the disk is full or read-only (every older checkpoint is intact), or ``keep`` is below 1.
    """
    if keep is not None and keep < 1:
        raise UserError(f"cannot keep {keep} checkpoints; accepted: 1 or more, or None for all")
    folder = Path(folder).absolute()
    path = save_checkpoint(folder / step_name(step), policy=policy, config=config, learner=learner, manifest=manifest)
    with reported_writes(folder / POINTER_FILE, intact=f"the new checkpoint {path.name} is complete"):
        write_text(folder / POINTER_FILE, path.name + "\n")
    older = [other for other in numbered(folder) if (step_of(other) or 0) <= step]
    for other in older[keep:] if keep is not None else []:
        shutil.rmtree(other, ignore_errors=True)
    return path


def numbered(folder: Path) -> list[Path]:
    """The checkpoint folders in ``folder``, newest step first; whether they are good is not checked."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if path.is_dir() and step_of(path) is not None]
    return sorted(found, key=lambda path: step_of(path) or 0, reverse=True)


def latest_checkpoint(folder: str | Path) -> Path | None:
    """The newest good checkpoint in ``folder``: the one LATEST names, or if that is damaged the newest that is not.

    Returns:
        its folder, or None where there are no checkpoints at all.

    Raises:
        UserError: there are checkpoints and every one is damaged; each is named.
    """
    folder = Path(folder)
    candidates = numbered(folder)
    pointed = _pointed(folder)
    if pointed is not None:
        candidates = [pointed, *(path for path in candidates if path != pointed)]
    faults = []
    for path in candidates:
        try:
            verify_checkpoint(path)
        except UserError as error:
            faults.append(str(error))
            continue
        for fault in faults:
            _log.warning("passed over: %s", fault)
        return path
    if faults:
        raise UserError(f"no good checkpoint in {folder}: " + "; ".join(faults))
    return None


def _pointed(folder: Path) -> Path | None:
    """The checkpoint that LATEST names, if it names one that is there."""
    try:
        name = (folder / POINTER_FILE).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return None
    path = folder / name
    return path if _STEP_NAME.fullmatch(name) and settled(path).is_dir() else None
