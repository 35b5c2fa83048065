"""`arnold bench`: how fast it is on this machine, beside outside yardsticks."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from arnold.cli.output import Done, note, say, show_table
from arnold.errors import UserError, did_you_mean

# benchmark: (module, function, what it measures); each function returns rows that are dataclasses of plain figures
BENCHMARKS = {
    "physics": ("physics_speed", "measure_physics_speed", "environment steps beside raw MuJoCo and MyoSuite"),
    "policy": ("policy_speed", "measure_policy_speed", "the paper's transformer beside PyTorch"),
    "learning": ("learning_speed", "measure_learning_speed", "whole training iterations"),
    "mixture": ("mixture_cost", "measure_mixture_cost", "the fourteen tasks in one iteration beside each alone"),
    "encoders": ("encoder_choice", "measure_encoder_choice", "quality against speed of granularity and encoder"),
    "limits": ("task_limits", "measure_task_limits", "what the hand reaches allow at best"),
}
SLOW = ("mixture", "encoders", "limits")  # many minutes each: `all` leaves them out


@dataclasses.dataclass(frozen=True)
class Bench:
    """Measure the speed of the physics, the policy or the learning on this machine."""

    what: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar=f"{'|'.join(BENCHMARKS)}|all")] = "all"
    """What to measure; all is the first three."""

    write: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """A Markdown file whose table between <!-- bench NAME --> and <!-- /bench NAME --> is replaced."""

    def run(self) -> Done:
        """Measure, print, and write the table if asked."""
        if self.what != "all" and self.what not in BENCHMARKS:
            raise UserError(f"no benchmark {self.what!r}; {did_you_mean(self.what, [*BENCHMARKS, 'all'])}")
        if self.write:
            _parts(self.write, self.what)  # refused before minutes of measuring
        names = [name for name in BENCHMARKS if name not in SLOW] if self.what == "all" else [self.what]
        measured = {}
        for name in names:
            note(f"measuring {name}: {BENCHMARKS[name][2]} ...")
            measured[name] = _measure(name)
            show_table(*_cells(measured[name]), title=name)
            say()
        return Done((_write(self.write, self.what, measured),) if self.write else ())


def _measure(name: str) -> Sequence[Any]:
    module, function, _ = BENCHMARKS[name]
    rows: Sequence[Any] = getattr(importlib.import_module(f"arnold.experiments.benchmarks.{module}"), function)()
    return rows


def _cells(rows: Sequence[Any]) -> tuple[list[str], list[list[str]]]:
    """Column names and cells of rows that are dataclasses of one class."""
    names = [field.name for field in dataclasses.fields(rows[0])]
    return [name.replace("_", " ") for name in names], [[_cell(getattr(row, name)) for name in names] for row in rows]


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "" if value is None else str(value)


def _write(path: Path, what: str, measured: dict[str, Sequence[Any]]) -> Path:
    """Put the tables between the markers that a Markdown file has for ``what``."""
    from arnold import provenance
    from arnold.checkpoints.durable import reported_writes, write_text

    before, after = _parts(path, what)
    versions = provenance.package_versions()
    named = ", ".join(f"{name} {versions[name]}" for name in ("jax", "mujoco", "myosuite") if versions.get(name))
    written = path.name if path.is_absolute() else path
    lines = [f"Measured by `arnold bench {what} --write {written}` on {provenance.machine()} ({named}).", ""]
    for name, rows in measured.items():
        columns, cells = _cells(rows)
        lines += [f"**{name}**: {BENCHMARKS[name][2]}", ""]
        lines += [_line(columns), "|---" * len(columns) + "|", *map(_line, cells), ""]
    with reported_writes(path):
        return write_text(path, before + "\n" + "\n".join(lines) + after).absolute()


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _parts(path: Path, what: str) -> tuple[str, str]:
    """What stands up to the first marker of ``what``, and from its second.

    Raises:
        UserError: the file is missing or lacks a marker.
    """
    begin, end = f"<!-- bench {what} -->", f"<!-- /bench {what} -->"
    if not path.is_file():
        raise UserError(
            f"no file {str(path)!r} to write the table into; it must exist and have the lines {begin} and {end}"
        )
    before, begun, rest = path.read_text(encoding="utf-8").partition(begin)
    _, ended, after = rest.partition(end)
    if not (begun and ended):
        raise UserError(f"{path} has no lines {begin} and {end}; add them where the table is to stand")
    return before + begun, ended + after
