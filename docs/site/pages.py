"""The pages of the site that are made from the code: the reference, the command line, the policies that ship."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import io
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import arnold
from arnold.checkpoints import ZooEntry, list_zoo
from arnold.cli import main
from arnold.cli.verbs import VERBS

ROOT = Path(__file__).resolve().parents[2]
# The command line has a page of its own, and the benchmarks are run through it.
NOT_IN_REFERENCE = ("arnold.cli", "arnold.experiments.benchmarks")
HELP_COLUMNS = "88"

PUBLIC_NAMES = """\
What most programs need is offered by ``arnold`` itself, as in ``arnold.task("elbow_pose")``; a name is imported from
its home when it is first used. Whatever else the modules define without a leading underscore may be imported from them.
"""
POLICIES = """\
# Policies that ship

From the cards in `checkpoints/zoo`, which say more; `arnold info NAME` describes a policy, `arnold evaluate NAME`
measures again.
*Solved* is solved steps / horizon with its 95 % interval over the episodes, *success* the share of episodes with a
solved step. Steps and time of training count a policy's earlier stages, of other tasks too.
[The specialists](specialists.md) says which of them are only begun, and why.
"""


def write_pages(folder: Path) -> None:
    """Write the generated pages into the folder that Sphinx reads."""
    (folder / "reference").mkdir()
    for package in packages():
        (folder / "reference" / f"{package}.rst").write_text(package_page(package))
    (folder / "reference" / "index.rst").write_text(public_names_page())
    (folder / "command-line.md").write_text(command_line_page())
    (folder / "zoo.md").write_text(zoo_page(list_zoo()))


def packages() -> list[str]:
    """The packages of the reference, in the order of pyproject.toml."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return [name for name in settings["tool"]["setuptools"]["packages"] if name not in NOT_IN_REFERENCE]


def modules(package: str) -> list[str]:
    """The modules of a package, without the package itself."""
    found = importlib.util.find_spec(package)
    assert found is not None
    assert found.origin is not None
    files = sorted(Path(found.origin).parent.glob("*.py"))
    return [f"{package}.{file.stem}" for file in files if file.stem != "__init__"]


def package_page(package: str) -> str:
    """What a package offers, its modules at a glance, then each module in full."""
    lines = [*_title(package, "="), f".. automodule:: {package}", ""]
    offered = getattr(importlib.import_module(package), "__all__", ())
    if package == "arnold":
        lines += ["They are listed among the :doc:`public names <index>`.", ""]
    elif offered:
        lines += [f"From ``{package}`` import: {', '.join(f':py:obj:`~{package}.{name}`' for name in offered)}.", ""]
    inside = {name: importlib.import_module(name) for name in modules(package)}
    lines += _table(("module", "what it is"), [(f":py:mod:`{name}`", summary(each)) for name, each in inside.items()])
    for name in inside:
        lines += [*_title(name, "-"), f".. automodule:: {name}", ""]
    return "\n".join(lines)


def public_names_page() -> str:
    """Every name of the table in ``arnold/__init__.py``, by the package it comes from, then the packages' pages."""
    public = {name: getattr(arnold, name) for name in arnold.__all__}
    lines = [*_title("Public names", "="), PUBLIC_NAMES]
    for package in packages():
        rows = [
            (f":py:obj:`arnold.{name} <{thing.__module__}.{thing.__qualname__}>`", summary(thing))
            for name, thing in public.items()
            if package in (thing.__module__, thing.__module__.rpartition(".")[0])
        ]
        lines += [*_title(f"From {package}", "-"), *_table(("name", "what it is"), rows)] if rows else []
    return "\n".join([*lines, ".. toctree::", "   :hidden:", "", *(f"   {package}" for package in packages()), ""])


def command_line_page() -> str:
    """What ``arnold --help`` and the help of each command print."""
    lines = ["# Command line", "", "What `arnold --help` and the `--help` of each command print."]
    for words in ([], *(verb.split() for verb in VERBS)):
        lines += ["", f"## {' '.join(['arnold', *words])}", "", "```text", help_text(words), "```"]
    return "\n".join([*lines, ""])


def help_text(words: Sequence[str]) -> str:
    """What a command prints when it is asked for help."""
    said = io.StringIO()
    with mock.patch.dict(os.environ, {"COLUMNS": HELP_COLUMNS}), contextlib.redirect_stdout(said):
        code = main([*words, "--help"])
    assert code == 0, words
    return said.getvalue().strip()


def zoo_page(zoo: Sequence[ZooEntry]) -> str:
    """The policies that ship: a table of specialists, and one for each transformer."""
    lines = [POLICIES]
    for entry in zoo:
        kind = entry.card["settings"]["kind"]
        if kind != "expert":
            steps, minutes = _training(entry.card)
            lines += [f"## {entry.name}", "", f"A transformer: `arnold {kind} {entry.card['recipe']}`, {steps} steps"]
            lines += [f"in {minutes}; *of expert* is what it keeps of its specialist's solved steps.", ""]
            rows = [(f"`{task}`", *_solved(row), _kept(row)) for task, row in entry.card["evaluation"].items()]
            lines += [*_markdown_table(("task", "solved", "success", "of expert"), rows), ""]
    rows = [
        (f"`{entry.name}`", *_solved(row), *_training(entry.card))
        for entry in zoo
        for row in entry.card["evaluation"].values()
        if entry.card["settings"]["kind"] == "expert"
    ]
    lines += ["## Specialists", "", "Each is of the task of its name: `arnold train NAME` is its last stage.", ""]
    return "\n".join([*lines, *_markdown_table(("policy", "solved", "success", "steps", "time"), rows), ""])


def _solved(figures: Mapping[str, Any]) -> tuple[str, str]:
    fraction, interval = 100 * figures["solved_step_fraction"], 100 * figures["confidence_95"]
    return f"{fraction:.1f} ± {interval:.1f} %", f"{100 * figures['success']:.0f} %"


def _kept(figures: Mapping[str, Any]) -> str:
    kept = figures.get("relative_to_expert")
    return "" if kept is None else f"{100 * kept:.1f} %"


def _training(card: Mapping[str, Any]) -> tuple[str, str]:
    stages = [*card.get("trained_before", ()), card]
    steps, seconds = (sum(stage[field] for stage in stages) for field in ("steps", "wall_time_s"))
    return f"{steps / 1e6:.2f} M", f"{seconds / 60:.0f} min"


def _markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def summary(thing: Any) -> str:
    """The first sentence of a docstring, on one line."""
    paragraph = " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split()).rstrip(".:")
    return paragraph.split(". ")[0] + "."


def _title(text: str, line: str) -> tuple[str, str, str]:
    return text, line * len(text), ""


def _table(head: tuple[str, str], rows: Sequence[tuple[str, str]]) -> list[str]:
    lines = [".. list-table::", "   :header-rows: 1", "   :widths: 2 5", ""]
    for first, second in (head, *rows):
        lines += [f"   * - {first}", f"     - {second}"]
    return [*lines, ""]
