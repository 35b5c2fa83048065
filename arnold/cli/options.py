"""Flags that several commands share."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from arnold.errors import UserError, did_you_mean

Count = Annotated[int | None, tyro.conf.arg(metavar="N")]
"""A number that the recipe gives where the user does not."""

Names = Annotated[tuple[str, ...], tyro.conf.arg(metavar="[NAME ...]")]
Pairs = Annotated[tuple[str, ...], tyro.conf.arg(metavar="[NAME=VALUE ...]")]


def lists_of(command: type) -> dict[str, str]:
    """How a command's options of several values are written: every spelling, with the option's own name."""
    found = {}
    for name, kind in typing.get_type_hints(command, include_extras=True).items():
        of, *said = typing.get_args(kind) if typing.get_origin(kind) is Annotated else (kind,)
        several = typing.get_origin(of) is tuple and Ellipsis in typing.get_args(of)
        if several and not any(one in (tyro.conf.Positional, tyro.conf.UseAppendAction) for one in said):
            own = f"--{name.replace('_', '-')}"
            aliases = [alias for one in said for alias in getattr(one, "aliases", None) or ()]
            found.update(dict.fromkeys((own, *aliases), own))
    return found


BACKENDS = ("native", "mjx")


@tyro.conf.configure(tyro.conf.OmitArgPrefixes)
@dataclasses.dataclass(frozen=True)
class PhysicsOptions:
    """Where the bodies are stepped."""

    backend: str = "native"
    """Physics back end: native (the C engine) or mjx (MuJoCo XLA)."""

    threads: Count = None
    """Threads of the native back end; all cores where not given."""

    def check(self) -> None:
        """Raise a `UserError` for a back end or a number of threads that there is not."""
        if self.backend not in BACKENDS:
            raise UserError(f"unknown physics back end {self.backend!r}; {did_you_mean(self.backend, BACKENDS)}")
        if self.threads is not None and self.threads < 1:
            raise UserError(f"--threads is {self.threads}; at least 1 is accepted")


@dataclasses.dataclass(frozen=True)
class TrainingOptions:
    """What every command that trains takes."""

    steps: Count = None
    """Environment steps in all."""

    seed: Count = None
    """Of goals, starts, noise and fresh parameters."""

    set: Pairs = ()
    """Any other field of the recipe, such as learner.learning_rate=1e-4."""

    resume: Annotated[str, tyro.conf.arg(metavar="RUN")] = ""
    """Go on with this run instead, exactly where its newest checkpoint stands."""

    runs: Path = Path("runs")
    """Where the run's folder goes."""

    log: Names = ()
    """Where metrics go besides the run's own files: tensorboard, wandb (the extra `log`)."""

    physics: PhysicsOptions = dataclasses.field(default_factory=PhysicsOptions)


def name_value_pairs(flag: str, given: Sequence[str]) -> dict[str, str]:
    """``["a=1", "b=x"]`` as a dict.

    Args:
        flag: the flag's name, for the error.
        given: what was typed after it.

    Raises:
        UserError: an entry without ``=``, or a name given twice.
    """
    pairs: dict[str, str] = {}
    for entry in given:
        name, equals, value = entry.partition("=")
        if not (name and equals and value):
            raise UserError(
                f"{flag} was given {entry!r}; write NAME=VALUE, such as {flag} {entry.strip('=') or 'NAME'}=VALUE"
            )
        if name in pairs:
            raise UserError(f"{flag} names {name!r} twice, as {pairs[name]!r} and {value!r}; give it once")
        pairs[name] = value
    return pairs
