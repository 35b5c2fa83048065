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
        """Look at the files in ``folder``; nothing is written before the first :meth:`append` or :meth:`truncate`."""
        self.jsonl = folder / JSONL_FILE
        self.csv = folder / CSV_FILE
        self._columns = _columns(read_rows(self.jsonl))

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

    def rows(self, last_step: int) -> list[dict[str, Any]]:
        """The rows up to and including ``last_step``."""
        return [row for row in read_rows(self.jsonl) if row["step"] <= last_step]

    def truncate(self, last_step: int) -> None:
        """Keep only the rows up to ``last_step``: a resume from there writes the later ones again.

        Raises:
            UserError: the disk is full or read-only.
        """
        rows = self.rows(last_step)
        self._columns = _columns(rows)
        with reported_writes(self.jsonl):
            write_text(self.jsonl, "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows))
            self._write_csv(rows)

    def _write_csv(self, rows: list[dict[str, Any]]) -> None:
        write_text(self.csv, _csv_text(self._columns, rows, header=bool(self._columns)))


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a ``metrics.jsonl``; what is no row (the line that a kill cut short) is left out."""
    if not path.exists():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict) and type(row.get("step")) is int:
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
