"""From what a person types (a zoo name, a checkpoint, a run) to the checkpoint folder that is meant."""

from __future__ import annotations

from pathlib import Path

from arnold.checkpoints.durable import settled
from arnold.checkpoints.manifest import MANIFEST_FILE
from arnold.checkpoints.series import POINTER_FILE, latest_checkpoint, numbered
from arnold.checkpoints.zoo import ZOO_FOLDER, zoo_names
from arnold.errors import UserError, did_you_mean

RUN_CHECKPOINTS = "checkpoints"


def resolve(name_or_path: str | Path, zoo: Path = ZOO_FOLDER) -> Path:
    """The checkpoint folder that ``name_or_path`` means.

    Args:
        name_or_path: the name of a shipped policy, a checkpoint folder, a run (its newest good checkpoint is taken), a
            run's checkpoints folder, or a folder of runs such as ``runs/<recipe>`` (the newest is taken). A bare name
            is looked up in the zoo first; write ``./name`` for a folder.
        zoo: where the shipped policies are.

    Returns:
        the checkpoint's folder.

    Raises:
        UserError: it means nothing, or a run without a good checkpoint.
    """
    text = str(name_or_path)
    names = zoo_names(zoo)
    if isinstance(name_or_path, str) and text in names:
        return zoo / text
    path = Path(text).expanduser()
    if (path / RUN_CHECKPOINTS).is_dir():
        return _newest(path / RUN_CHECKPOINTS, path)
    if (settled(path) / MANIFEST_FILE).is_file():
        return path
    if (path / POINTER_FILE).is_file() or numbered(path):
        return _newest(path, path)
    runs = _runs(path)
    if runs:
        return _newest(runs[-1] / RUN_CHECKPOINTS, runs[-1])
    raise UserError(_nothing_there(text, path, names))


def _newest(folder: Path, run: Path) -> Path:
    found = latest_checkpoint(folder)
    if found is None:
        raise UserError(
            f"the run {run} has no checkpoint yet; give another run, a checkpoint or a shipped policy's name"
        )
    return found


def _nothing_there(text: str, path: Path, names: tuple[str, ...]) -> str:
    if path.is_file():
        return (
            f"{path} is a file; a checkpoint is a folder with a {MANIFEST_FILE}; give that folder, a run or a zoo name"
        )
    if path.is_dir():
        return f"{path} is neither a checkpoint nor a run; give one of these, or a zoo name"
    return f"no policy {text!r}: no such folder, and no shipped policy of that name; {did_you_mean(path.name, names)}"


def _runs(path: Path) -> list[Path]:
    """The runs in a folder of runs, the oldest first (their names begin with their time)."""
    if not path.is_dir():
        return []
    return sorted(inner for inner in path.iterdir() if (inner / RUN_CHECKPOINTS).is_dir())
