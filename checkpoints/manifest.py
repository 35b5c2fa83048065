"""What a checkpoint says about itself: its format, the leaves of each item, and every file with size and SHA-256."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from arnold.checkpoints.durable import settled
from arnold.checkpoints.jsonfile import read_json
from arnold.errors import UserError

FORMAT = "arnold-checkpoint"
FORMAT_VERSION = 1
MANIFEST_FILE = "manifest.json"

LEAF_KINDS = ("array", "key", "bool", "int", "float")

_T = TypeVar("_T")


@dataclass(frozen=True)
class LeafRecord:
    """One leaf of a stored tree.

    ``kind`` is ``array``, ``key`` (a typed PRNG key, whose ``dtype`` is the name of its generator), or the type of the
    Python number that the leaf was.
    """

    path: tuple[str | int, ...]
    kind: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def name(self) -> str:
        """The path as text, such as ``encoder/0/kernel``."""
        return "/".join(map(str, self.path))


@dataclass(frozen=True)
class FileRecord:
    """One file of a checkpoint: its path inside it, its size and the SHA-256 of its bytes."""

    path: str
    size: int  # bytes
    sha256: str  # 64 hexadecimal digits


@dataclass(frozen=True)
class Manifest:
    """The content of ``manifest.json``.

    ``items`` are the stored trees by name (``policy``, ``learner``); ``extra`` is what the caller of
    ``save_checkpoint`` added.
    """

    items: dict[str, tuple[LeafRecord, ...]]
    files: tuple[FileRecord, ...]
    extra: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The JSON object that :func:`read_manifest` reads back."""
        return {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "items": {
                name: [
                    {"path": list(r.path), "kind": r.kind, "shape": list(r.shape), "dtype": r.dtype} for r in records
                ]
                for name, records in self.items.items()
            },
            "files": {r.path: {"bytes": r.size, "sha256": r.sha256} for r in self.files},
            "extra": self.extra,
        }

    def count(self, item: str) -> int:
        """How many numbers the arrays of ``item`` hold: for ``policy``, parameters and statistics together."""
        total = 0
        for record in self.items[item]:
            size = 1
            for length in record.shape:
                size *= length
            total += size
        return total


def read_manifest(path: str | Path) -> Manifest:
    """Read and check the manifest of the checkpoint at ``path``; the listed files are not read.

    Raises:
        UserError: there is no checkpoint, it is of another format or version, or its manifest is damaged.
    """
    folder = settled(Path(path))
    if not folder.is_dir():
        seen = "a file" if folder.exists() else "nothing"
        raise UserError(f"no checkpoint at {path}: found {seen}; a checkpoint is a folder with a {MANIFEST_FILE}")
    if not (folder / MANIFEST_FILE).is_file():
        raise UserError(
            f"{path} is not a checkpoint: it has no {MANIFEST_FILE}; give a checkpoint, a run or a zoo name"
        )
    content = read_json(folder / MANIFEST_FILE, "the checkpoint's manifest")
    _check_version(content, folder)
    try:
        return _parse(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"the manifest of {path} is damaged: {type(error).__name__}: {error}; "
            "take an earlier checkpoint or a fresh copy"
        ) from error


def record_files(folder: Path) -> tuple[FileRecord, ...]:
    """The size and SHA-256 of every file under ``folder``, by path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return tuple(FileRecord(path.relative_to(folder).as_posix(), path.stat().st_size, _sha256(path)) for path in files)


def verify_files(folder: Path, records: Iterable[FileRecord]) -> None:
    """Check that the files of ``records`` are under ``folder``, complete and unchanged.

    Raises:
        UserError: naming every file that is missing, cut short or changed.
    """
    faults = [fault for record in records if (fault := _fault(folder, record))]
    if faults:
        raise UserError(
            f"the checkpoint {folder} is damaged: {'; '.join(faults)}; take an earlier checkpoint or a fresh copy"
        )


def _fault(folder: Path, record: FileRecord) -> str | None:
    path = folder / record.path
    try:
        if not path.is_file():
            return f"{record.path}: missing"
        size = path.stat().st_size
        if size != record.size:
            return f"{record.path}: {size} of {record.size} bytes"
        return None if _sha256(path) == record.sha256 else f"{record.path}: its bytes have changed (SHA-256)"
    except OSError as error:
        return f"{record.path}: {error.strerror or error}"


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _check_version(content: Mapping[str, Any], folder: Path) -> None:
    kind, version = content.get("format"), content.get("version")
    if kind != FORMAT:
        raise UserError(f"{folder} is not a checkpoint: its manifest has the format {kind!r}; accepted: {FORMAT!r}")
    if type(version) is not int or version != FORMAT_VERSION:
        raise UserError(
            f"the checkpoint {folder} has format version {version!r}; this arnold reads version {FORMAT_VERSION}; "
            "use the release of arnold that wrote it, or train it again"
        )


def _parse(content: Mapping[str, Any]) -> Manifest:
    """Build the manifest; ValueError, TypeError or KeyError for anything not as :meth:`Manifest.to_json` writes it."""
    items = {
        name: tuple(_parse_leaf(leaf) for leaf in _typed(leaves, list, f"items/{name}"))
        for name, leaves in _typed(content["items"], dict, "items").items()
    }
    for name, records in items.items():
        if len({record.name for record in records}) != len(records):
            raise ValueError(f"items/{name} names a leaf twice")
    files = tuple(_parse_file(path, record) for path, record in _typed(content["files"], dict, "files").items())
    return Manifest(items, files, _typed(content["extra"], dict, "extra"))


def _parse_leaf(leaf: Any) -> LeafRecord:
    leaf = _typed(leaf, dict, "leaf")
    path = tuple(_typed(leaf["path"], list, "path"))
    shape = tuple(_typed(leaf["shape"], list, "shape"))
    if not all(type(part) in (str, int) for part in path):
        raise ValueError(f"leaf path {path!r}")
    if not all(type(length) is int and length >= 0 for length in shape):
        raise ValueError(f"leaf shape {shape!r}")
    if leaf["kind"] not in LEAF_KINDS:
        raise ValueError(f"leaf kind {leaf['kind']!r}")
    return LeafRecord(path, leaf["kind"], shape, _typed(leaf["dtype"], str, "dtype"))


def _parse_file(path: str, record: Any) -> FileRecord:
    pure = PurePosixPath(path)
    # A hostile manifest must not make us read outside its own folder.
    if pure.is_absolute() or ".." in pure.parts or "\\" in path or "\0" in path or not pure.parts:
        raise ValueError(f"file path {path!r} leaves the checkpoint")
    record = _typed(record, dict, path)
    return FileRecord(path, _typed(record["bytes"], int, path), _typed(record["sha256"], str, path))


def _typed(value: Any, kind: type[_T], where: str) -> _T:
    if type(value) is not kind:
        raise TypeError(f"{where} holds {type(value).__name__}, expected {kind.__name__}")
    return value
