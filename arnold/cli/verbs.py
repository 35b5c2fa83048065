"""The verbs of the command line; importing them imports neither JAX nor MuJoCo."""

from __future__ import annotations

from typing import Protocol

from arnold.cli.export import Export
from arnold.cli.info import Info
from arnold.cli.listing import List
from arnold.cli.output import Done
from arnold.cli.train import Train


class Command(Protocol):
    """A parsed command."""

    def run(self) -> Done:
        """Do it."""
        ...


VERBS: dict[str, type] = {
    "list": List,
    "info": Info,
    "train": Train,
    "export": Export,
}
