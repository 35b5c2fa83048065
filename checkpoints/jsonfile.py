"""JSON objects in files: read with one-line errors, written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arnold.checkpoints.durable import write_text
from arnold.errors import UserError


def read_json(path: Path, what: str) -> dict[str, Any]:
    """Read the JSON object in ``path``.

    Args:
        path: the file.
        what: what the file is to the user, such as ``"the checkpoint's config"``; named in errors.

    Raises:
        UserError: the file is missing, unreadable, not UTF-8, not JSON, or holds something other than an object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{what} is missing: no file {path}") from None
    except OSError as error:
        raise UserError(f"cannot read {what}, {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        size = path.stat().st_size
        raise UserError(
            f"{what}, {path} ({size} bytes), is not JSON: {error}; it was cut short or overwritten"
        ) from error
    if not isinstance(content, dict):
        raise UserError(f"{what}, {path}, holds a JSON {type(content).__name__}; an object is needed")
    return content


def json_text(content: Mapping[str, Any]) -> str:
    """``content`` as indented JSON text.

    Raises:
        TypeError: ``content`` holds something JSON cannot say exactly: an array, a NaN, a key that is not a string.
    """
    _require_json(content, "")
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: Path, content: Mapping[str, Any]) -> Path:
    """Write ``content`` to ``path``, whole or not at all.

    Raises:
        TypeError: as for :func:`json_text`.
        OSError: the disk is full or read-only; ``path`` is as it was.
    """
    return write_text(path, json_text(content))


def _require_json(value: Any, where: str) -> None:
    """Refuse what ``json`` would change on the way, naming the place in ``value``."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise TypeError(f"JSON keys are strings; {where or 'the top level'} has the key {key!r}")
            _require_json(inner, f"{where}/{key}")
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            _require_json(inner, f"{where}/{index}")
    elif isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise TypeError(f"JSON has no {value!r}; it is at {where}")
    elif not (value is None or isinstance(value, (str, bool, int))):
        raise TypeError(f"JSON has no {type(value).__name__}; it is at {where or 'the top level'}")
