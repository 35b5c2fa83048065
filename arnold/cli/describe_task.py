"""A task in lines: goal, reward, endings, tokens, horizon."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

from arnold.cli.output import plain_table
from arnold.experiments.recipes import EXPERTS
from arnold.tasks import list_tasks, task
from arnold.vocab import TokenTable

_SHOWN_APART = ("name", "body", "weights", "horizon", "summary")


def names() -> list[str]:
    """The tasks."""
    return [t.name for t in list_tasks()]


def lines(reference: str) -> list[str]:
    """The task called ``reference``, or the one of a task file."""
    goal = task(reference)
    body = goal.compile()
    table = goal.observation_table(body)
    settings = [[f.name, _short(getattr(goal, f.name))] for f in dataclasses.fields(goal) if f.name not in _SHOWN_APART]
    kind = inspect.cleandoc(type(goal).__doc__ or "").split("\n\nAttributes:")[0]
    return [
        f"task {goal.name}: {goal.summary or type(goal).__name__}",
        f"body: {goal.embodiment.name} ({len(body.joints)} joints, {len(body.muscles)} muscles)",
        f"horizon: {goal.horizon} control steps of {body.control_dt:.4g} s = {goal.horizon * body.control_dt:.4g} s",
        f"reward: {' + '.join(f'{weight:g} {term}' for term, weight in goal.weights)}",
        f"observation: {len(table)} tokens ({_count(table)}), {len(table.words)} words",
        f"expert's recipe: {'arnold train ' + goal.name if goal.name in EXPERTS else 'none ships'}",
        "",
        *(f"{type(goal).__name__}: {kind}".splitlines()),
        "",
        plain_table(["setting", "value"], settings),
    ]


def _count(table: TokenTable) -> str:
    """How many tokens say each quantity: ``23 position angular, ...``."""
    counts: dict[str, int] = {}
    for token in table.tokens:
        named = " ".join(word for word in token.quantity if word not in ("x", "y", "z"))
        counts[named] = counts.get(named, 0) + 1
    return ", ".join(f"{count} {named}" for named, count in counts.items())


def _short(value: Any, limit: int = 110) -> str:
    text = str(value)
    return text if len(text) <= limit else f"{text[:limit]} ..."
