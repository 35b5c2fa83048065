"""Writes that a kill or a full disk cannot leave half done: write beside the place, flush to disk, rename into it.

A rename within one folder is atomic on POSIX file systems: a reader sees the old content or the new, never a part.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from arnold.errors import UserError

_WRITING = ".writing-"
_PREVIOUS = ".previous"


@contextlib.contextmanager
def reported_writes(place: Path, intact: str = "what was there before is intact") -> Iterator[None]:
    """Turn an operating-system error inside the block into one line about ``place``.

    Args:
        place: the file or folder the user asked for; named in the message.
        intact: what the user still has.

    Raises:
        UserError: the disk is full, read-only, or ``place`` cannot be made.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        raise UserError(
            f"cannot write {place}: {reason}; {intact}; free some space or choose a folder you may write to"
        ) from error


def sync(path: Path) -> None:
    """Ask the operating system to put one file or folder on the disk."""
    if path.is_dir() and os.name != "posix":
        return  # only POSIX opens a folder for syncing
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Put every file and folder under ``folder`` on the disk, the innermost first."""
    for root, _, files in os.walk(folder, topdown=False):
        for name in files:
            sync(Path(root, name))
        sync(Path(root))


def write_text(path: Path, text: str) -> Path:
    """Write ``text`` as UTF-8 to ``path``, whole or not at all.

    Raises:
        OSError: the disk is full or read-only; ``path`` is as it was.
    """
    return write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> Path:
    """Write ``content`` to ``path``, whole or not at all.

    Raises:
        OSError: the disk is full or read-only; ``path`` is as it was.
    """
    temporary = _beside(path)
    try:
        temporary.write_bytes(content)
        sync(temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)
    return path


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, which becomes ``path`` when the block ends well and vanishes when it does not.

    Yields:
        an empty folder beside ``path``.

    Raises:
        OSError: the disk is full or read-only; ``path`` is as it was.
    """
    temporary = _beside(path)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        sync_tree(temporary)
        _put_in_place(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def settled(path: Path) -> Path:
    """Where the content of folder ``path`` is: there, or under its previous name if a replacement was cut short."""
    previous = _previous(path)
    return previous if not path.exists() and previous.is_dir() else path


def clear_leftovers(folder: Path) -> None:
    """Finish what a kill left in ``folder``: drop half-written entries, bring back replaced ones without a successor.

    Only for the one process that writes to ``folder``.
    """
    for entry in list(folder.iterdir()):
        if not entry.name.startswith("."):
            continue
        if _WRITING in entry.name:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink(missing_ok=True)
        elif entry.name.endswith(_PREVIOUS):
            place = folder / entry.name[1 : -len(_PREVIOUS)]
            shutil.rmtree(entry) if place.exists() else os.replace(entry, place)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}{_WRITING}{secrets.token_hex(4)}")


def _previous(path: Path) -> Path:
    return path.with_name(f".{path.name}{_PREVIOUS}")


def _put_in_place(temporary: Path, path: Path) -> None:
    """Rename ``temporary`` to ``path``; a folder already there stays readable through :func:`settled` throughout."""
    previous = _previous(path)
    if path.exists():
        shutil.rmtree(previous, ignore_errors=True)
        os.replace(path, previous)
    try:
        os.replace(temporary, path)
    except OSError:
        if previous.exists() and not path.exists():
            os.replace(previous, path)
        raise
    sync(path.parent)
    shutil.rmtree(previous, ignore_errors=True)
