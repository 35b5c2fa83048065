"""What a command says on standard output: tables, and the paths it wrote."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Done:
    """How a command ended.

    Attributes:
        written: the paths it wrote, the most useful last; the command line prints them.
        code: the exit code.
    """

    written: tuple[Path, ...] = ()
    code: int = 0


def say(line: str = "") -> None:
    """Print a line, at once, so that it keeps its place among the progress lines of standard error."""
    print(line, flush=True)


def note(line: str) -> None:
    """Print a line of progress to standard error."""
    print(line, file=sys.stderr, flush=True)


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
    """Print a table: drawn on a terminal, in plain columns anywhere else."""
    if not sys.stdout.isatty():
        if title:
            say(title)
        say(plain_table(columns, rows))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, title=title or None, title_justify="left", box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console(highlight=False).print(table)


def plain_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns padded to the width of their widest cell."""
    widths = [max(len(row[i]) for row in (columns, *rows)) for i in range(len(columns))]
    lines = [columns, ["-" * width for width in widths], *rows]
    padded = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    return "\n".join(line.rstrip() for line in padded)


def show_paths(paths: Sequence[Path]) -> None:
    """Print paths, one per line, seen from the working folder where they are inside it."""
    here = Path.cwd()
    for path in paths:
        say(str(path.relative_to(here) if path.is_relative_to(here) else path))
