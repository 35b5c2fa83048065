"""Changing fields of a recipe from the command line: ``--set learner.epochs=2 network.hidden=64,64``."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any, TypeVar

from arnold.cli.options import name_value_pairs
from arnold.errors import UserError, did_you_mean

_Recipe = TypeVar("_Recipe")


def with_settings(recipe: _Recipe, given: tuple[str, ...]) -> _Recipe:
    """The recipe with some fields changed.

    Args:
        recipe: a frozen dataclass, whose fields may be such too.
        given: ``path.to.field=value`` each; a tuple's entries are separated by commas.

    Raises:
        UserError: an unknown field, or a value of another type than the field's.
    """
    # a preset first: a change of its network is a change of that preset's
    for path, text in sorted(name_value_pairs("--set", given).items(), key=lambda pair: "preset" not in pair[0]):
        recipe = _changed(recipe, path.split("."), text, path)
    return recipe


def with_given(recipe: _Recipe, **fields: Any) -> _Recipe:
    """The recipe with the ``fields`` that are not None."""
    return dataclasses.replace(recipe, **{name: value for name, value in fields.items() if value is not None})  # type: ignore[type-var]


def _changed(value: Any, path: list[str], text: str, whole: str) -> Any:
    names = [field.name for field in dataclasses.fields(value)]
    if path[0] not in names:
        raise UserError(
            f"--set {whole}: {type(value).__name__} has no field {path[0]!r}; {did_you_mean(path[0], names)}"
        )
    current = getattr(value, path[0])
    if current is None and path[0] == "network":
        current = value.configuration
    if len(path) > 1:
        if not dataclasses.is_dataclass(current):
            raise UserError(f"--set {whole}: {path[0]} is {current!r}, which has no fields of its own")
        return dataclasses.replace(value, **{path[0]: _changed(current, path[1:], text, whole)})
    kind = typing.get_type_hints(type(value))[path[0]]
    return dataclasses.replace(value, **{path[0]: _parsed(text, kind, whole)})


def _parsed(text: str, kind: Any, whole: str) -> Any:
    """``text`` as a value of the annotated type ``kind``."""
    if typing.get_origin(kind) is tuple:
        (entry, *_) = typing.get_args(kind)
        if entry in (int, float, str):
            return tuple(_parsed(part, entry, whole) for part in text.split(",") if part)
    if kind is bool and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if kind in (int, float, str):
        try:
            return kind(text.replace("_", "") if kind is int else text)
        except ValueError:
            pass
    named = getattr(kind, "__name__", str(kind))
    raise UserError(f"--set {whole}={text}: {text!r} is not a value for it; accepted: {_accepted(kind, named)}")


def _accepted(kind: Any, named: str) -> str:
    if kind is bool:
        return "true or false"
    if typing.get_origin(kind) is tuple and typing.get_args(kind)[0] in (int, float, str):
        return f"{typing.get_args(kind)[0].__name__} values with commas between them"
    if kind in (int, float, str):
        return named
    return "it has a flag of its own, or is changed in a recipe of your own"
