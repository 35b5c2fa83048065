"""Writing and reading one checkpoint: trees of arrays through Orbax, a config, and a manifest that vouches for both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from arnold.checkpoints.durable import new_folder, reported_writes, settled
from arnold.checkpoints.jsonfile import json_text, read_json, write_json
from arnold.checkpoints.leaves import decode, encode, nested
from arnold.checkpoints.manifest import MANIFEST_FILE, LeafRecord, Manifest, read_manifest, record_files, verify_files
from arnold.checkpoints.restore import fill
from arnold.errors import UserError

CONFIG_FILE = "config.json"
ORBAX_MARKER = "commit_success.txt"


def save_checkpoint(
    path: str | Path,
    *,
    policy: Any,
    config: Mapping[str, Any],
    learner: Any = None,
    manifest: Mapping[str, Any] | None = None,
) -> Path:
    """Write a checkpoint to the folder ``path``, which holds the old one or the new one at every moment.

    Args:
        path: the folder to make; an older checkpoint there is replaced.
        policy: a tree of arrays: parameters and normaliser statistics.
        config: what is needed to rebuild the policy, as JSON values.
        learner: a tree of arrays with everything else that a resume needs, or None.
        manifest: JSON values to keep in the manifest, such as versions and fingerprints.

    Returns:
        the folder, as an absolute path.

    Raises:
        UserError: the disk is full or read-only, or ``path`` is something other than a checkpoint; what was there is
            intact.
        TypeError: a leaf is no array of numbers or typed key, or ``config`` is not JSON.
        ValueError: ``policy`` has no arrays.
    """
    path = Path(path).absolute()
    trees = {"policy": encode(policy)} | ({} if learner is None else {"learner": encode(learner)})
    if not trees["policy"][1]:
        raise ValueError("the policy to save holds no arrays")
    for content in (config, manifest or {}):
        json_text(content)  # refused before anything is written
    if path.exists() and not (path / MANIFEST_FILE).is_file():
        raise UserError(f"{path} exists and is not a checkpoint, so it is not overwritten; choose another name")
    with reported_writes(path), new_folder(path) as folder:
        write_json(folder / CONFIG_FILE, config)
        for item, (_, arrays) in trees.items():
            if arrays:
                _write_arrays(folder / item, arrays)
        items = {item: records for item, (records, _) in trees.items()}
        write_json(folder / MANIFEST_FILE, Manifest(items, record_files(folder), dict(manifest or {})).to_json())
    return path


def load_policy(path: str | Path) -> tuple[dict[Any, Any], dict[str, Any]]:
    """Read what inference needs: the policy's tree and the config; the learner's files are not opened.

    Args:
        path: a checkpoint folder (:func:`arnold.checkpoints.resolve` finds one from a name or a run).

    Returns:
        nested dicts of numpy arrays (lists and named tuples come back as dicts by index or field; containers without
        leaves do not come back), and the config.

    Raises:
        UserError: there is no checkpoint, it is damaged, or it is of another version.
    """
    folder = settled(Path(path))
    manifest = read_manifest(path)
    config = _read_config(folder, manifest)
    records, leaves = _read_item(folder, manifest, "policy")
    try:
        return nested(records, leaves), config
    except ValueError as error:
        raise _damaged(folder, error) from error


def load_config(path: str | Path) -> dict[str, Any]:
    """Read the config of the checkpoint at ``path`` only.

    Raises:
        UserError: there is no checkpoint, its config is damaged, or it is of another version.
    """
    return _read_config(settled(Path(path)), read_manifest(path))


def load_learner(path: str | Path, like: Any) -> Any:
    """Read the learner's tree into the structure of ``like``, bit for bit; strict.

    Args:
        path: a checkpoint folder.
        like: a tree of the same structure, shapes and dtypes, such as a freshly made training state.

    Returns:
        a tree like ``like`` with the saved values; JAX arrays where ``like`` has them, on its devices if committed.

    Raises:
        UserError: there is no learner in the checkpoint, it is damaged or of another version, or its tree differs from
            ``like`` (each path is listed).
    """
    folder = settled(Path(path))
    manifest = read_manifest(path)
    if "learner" not in manifest.items:
        raise UserError(
            f"the checkpoint {folder} holds a policy and no learner, so training cannot resume from it; "
            "start a new run from its policy: load_policy(path), or `arnold finetune`"
        )
    _, leaves = _read_item(folder, manifest, "learner")
    advice = (
        "a resume takes everything or nothing: use the recipe and settings of the run, or start a new run from its "
        f"policy with policy, config = load_policy({str(path)!r}); restore_into(params, policy, partial=True)"
    )
    return fill(like, leaves, f"the learner of {folder}", advice)


def verify_checkpoint(path: str | Path) -> Manifest:
    """Check every file of the checkpoint at ``path`` against its manifest, without reading the arrays.

    Raises:
        UserError: there is no checkpoint, it is damaged (each file named), or it is of another version.
    """
    manifest = read_manifest(path)
    verify_files(settled(Path(path)), manifest.files)
    return manifest


def _read_config(folder: Path, manifest: Manifest) -> dict[str, Any]:
    verify_files(folder, [record for record in manifest.files if record.path == CONFIG_FILE])
    return read_json(folder / CONFIG_FILE, "the checkpoint's config")


def _read_item(folder: Path, manifest: Manifest, item: str) -> tuple[tuple[LeafRecord, ...], dict[str, Any]]:
    """The records and the leaves by name of one verified item."""
    if not manifest.items.get(item):
        raise UserError(f"the checkpoint {folder} holds no {item}; it has: {', '.join(manifest.items) or 'nothing'}")
    records = manifest.items[item]
    verify_files(folder, [record for record in manifest.files if record.path.startswith(f"{item}/")])
    names = [record.name for record in records if 0 not in record.shape]
    try:
        arrays = _read_arrays(folder / item, names) if names else {}
        return records, {record.name: decode(record, arrays.get(record.name)) for record in records}
    except Exception as error:  # Orbax and TensorStore raise many kinds; verified files that fail to parse are damage
        raise _damaged(folder, error) from error


def _damaged(folder: Path, error: Exception) -> UserError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
    return UserError(f"the checkpoint {folder} is damaged: {reason}; take an earlier checkpoint or a fresh copy")


def _write_arrays(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write ``arrays`` with Orbax, whose failed writes come in many classes; here each is an OSError."""
    import orbax.checkpoint as ocp

    try:
        with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
            checkpointer.save(folder, args=ocp.args.PyTreeSave(arrays))
    except OSError:
        raise
    except Exception as error:
        raise OSError((str(error).strip() or type(error).__name__).splitlines()[0][:300]) from error
    # Orbax's mark of success names the folder that was written to, which is nobody's business once it is shared.
    marker = folder / ORBAX_MARKER
    if marker.exists():
        marker.write_text("complete\n", encoding="utf-8")


def _read_arrays(folder: Path, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Read the arrays ``names`` with Orbax onto the host, whatever devices they were saved from."""
    import orbax.checkpoint as ocp

    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
        restore_args = {name: ocp.RestoreArgs(restore_type=np.ndarray) for name in names}
        restored = checkpointer.restore(folder.absolute(), args=ocp.args.PyTreeRestore(restore_args=restore_args))
    return dict(restored)
