"""Configurations that survive a round trip through JSON, and refuse what they do not know.

A checkpoint stores the configuration of its policy as JSON. A field that this version of the library does not have
would change the network silently if it were dropped, so reading is strict.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any, Self

from arnold.errors import UserError, did_you_mean


@dataclasses.dataclass(frozen=True)
class JsonConfig:
    """Base of the frozen configurations: flat fields of numbers, switches, names and tuples of numbers."""

    def to_json(self) -> dict[str, Any]:
        """The fields as values that :mod:`json` can write (tuples become lists)."""
        return {field.name: _to_json_value(getattr(self, field.name)) for field in dataclasses.fields(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The configuration that :meth:`to_json` wrote; fields that are not named keep their defaults.

        Raises:
            UserError: a field that this class does not have, or a value of another type than the field's default.
        """
        if not isinstance(data, Mapping):
            raise UserError(f"a {cls.__name__} is read from an object of named fields, not from {type(data).__name__}")
        defaults = {field.name: field.default for field in dataclasses.fields(cls)}
        values = {}
        for name, value in data.items():
            if name not in defaults:
                raise UserError(f"{cls.__name__} has no field {name!r}: {did_you_mean(str(name), defaults)}")
            values[name] = _from_json_value(f"{cls.__name__}.{name}", value, defaults[name])
        return cls(**values)


def _to_json_value(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _from_json_value(where: str, value: Any, default: Any) -> Any:
    """``value`` in the type of the field's ``default``, or a clear error."""
    if isinstance(default, tuple) and isinstance(value, list | tuple):
        example = default[0] if default else ""
        return tuple(_from_json_value(where, item, example) for item in value)
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not type(default):
        raise UserError(f"{where} is {value!r} ({type(value).__name__}); a {type(default).__name__} is accepted")
    return value


def require_at_least(where: str, value: float, least: float) -> None:
    """Raise a :class:`UserError` where ``value`` is below ``least``."""
    if not value >= least:
        raise UserError(f"{where} is {value!r}; at least {least} is accepted")


def require_one_of(where: str, value: str, choices: Collection[str]) -> None:
    """Raise a :class:`UserError` where ``value`` is none of ``choices``."""
    if value not in choices:
        raise UserError(f"{where} is {value!r}: {did_you_mean(str(value), choices)}")
