"""The metrics of a run in two files of the same rows: ``metrics.jsonl``, the record, and ``metrics.csv``, made from it.

A column may appear later than the first row (a task that joins, a figure that needs a full episode); the CSV is then
rewritten with the wider header. A figure that is not finite is ``null`` in the one and empty in the other.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arnold.checkpoints.durable import reported_writes, write_text

JSONL_FILE = "metrics.jsonl"
CSV_FILE = "metrics.csv"

Figure = float | int | str | bool | None


class MetricLog:
    """Rows appended to the two metric files of one run folder; one process writes at a time."""

    def __init__(self, folder: Path) -> None:
        """Continue the files in ``folder``, or start them; a row that a kill cut short is dropped."""
        self.jsonl = folder / JSONL_FILE
        self.csv = folder / CSV_FILE
        rows = read_rows(self.jsonl)
        self._columns = _columns(rows)
        self.last = rows[-1] if rows else None
        if self.jsonl.exists():
            self._rewrite(rows)

    def append(self, row: Mapping[str, Figure]) -> None:
        """Add one row to both files.

        Raises:
            UserError: the disk is full or read-only.
        """
        new = [name for name in row if name not in self._columns]
        with reported_writes(self.jsonl, intact="the rows before this one are intact"):
            with self.jsonl.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(row, allow_nan=False) + "\n")
            if new:
                self._columns += new
                self._write_csv(read_rows(self.jsonl))
            else:
                with self.csv.open("a", encoding="utf-8", newline="") as stream:
                    stream.write(_csv_text(self._columns, [row], header=False))
        self.last = dict(row)

    def truncate(self, step: int) -> None:
        """Drop the rows after ``step``, which a resume from ``step`` writes again.

        Raises:
            UserError: the disk is full or read-only.
        """
        rows = [row for row in read_rows(self.jsonl) if row.get("step", 0) <= step]
        self._columns = _columns(rows)
        self.last = rows[-1] if rows else None
        self._rewrite(rows)

    def _rewrite(self, rows: list[dict[str, Any]]) -> None:
        with reported_writes(self.jsonl):
            write_text(self.jsonl, "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows))
            self._write_csv(rows)

    def _write_csv(self, rows: list[dict[str, Any]]) -> None:
        write_text(self.csv, _csv_text(self._columns, rows, header=bool(self._columns)))


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a ``metrics.jsonl``; lines that are no JSON object (a kill while writing) are left out."""
    if not path.exists():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def flat_figures(metrics: Mapping[str, Any], prefix: str = "") -> dict[str, Figure]:
    """Metrics as plain numbers and text under flat names.

    Args:
        metrics: numbers, text, arrays of one element, or mappings of these: ``{"reward": {"reach": x}}`` becomes
            ``reward/reach``.
        prefix: put before each name.

    Raises:
        TypeError: a value is none of these, such as an array of several elements; it is named.
    """
    flat: dict[str, Figure] = {}
    for key, value in metrics.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat |= flat_figures(value, f"{name}/")
        else:
            flat[name] = _figure(name, value)
    return flat


def _figure(name: str, value: Any) -> Figure:
    if getattr(value, "size", None) == 1 and hasattr(value, "item"):
        value = value.item()  # the scalar that a numpy or JAX array of one element holds
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    raise TypeError(
        f"the metric {name!r} is a {type(value).__name__} of shape {getattr(value, 'shape', '?')}; log one number"
    )


def _columns(rows: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _csv_text(columns: list[str], rows: list[Any], header: bool) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()
