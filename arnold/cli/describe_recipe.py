"""A recipe in lines: the command that runs it, and every setting."""

from __future__ import annotations

import dataclasses
from typing import Any

from arnold.cli.output import plain_table
from arnold.experiments.recipes import DISTILLATIONS, EXPERTS, FINETUNINGS, STAGED

_COMMANDS = {
    **dict.fromkeys(EXPERTS, "train"),
    **dict.fromkeys({**DISTILLATIONS, **STAGED}, "distill"),
    **dict.fromkeys(FINETUNINGS, "finetune"),
}
"""What runs it, by recipe; no two have a name in common."""


def names() -> list[str]:
    """The recipes."""
    return list(_COMMANDS)


def lines(name: str) -> list[str]:
    """The recipe called ``name``."""
    recipe = {**EXPERTS, **DISTILLATIONS, **STAGED, **FINETUNINGS}[name]
    rows = [[key, str(value)] for key, value in _flat(dataclasses.asdict(recipe))]
    return [f"recipe {name}: arnold {_COMMANDS[name]} {name}", "", plain_table(["setting", "value"], rows)]


def _flat(settings: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """One row a setting, ``learner.discount``; pairs, such as a mixture's, have a row each."""
    rows: list[tuple[str, Any]] = []
    for key, value in settings.items():
        if _pairs(value):
            value = dict(value)
        rows += _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else [(f"{prefix}{key}", value)]
    return rows


def _pairs(value: Any) -> bool:
    return (
        isinstance(value, tuple)
        and bool(value)
        and all(isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str) for pair in value)
    )
