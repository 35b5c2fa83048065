"""`arnold export`: from a run to an entry of the zoo."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from arnold.cli.options import Pairs
from arnold.cli.output import Done, note, say


@dataclasses.dataclass(frozen=True)
class Export:
    """Publish a run's policy: evaluate it, and write weights and card into the zoo, or into a folder of your own."""

    run_folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """The run."""

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
    """Name of the entry; one of that name is replaced."""

    episodes: int = 200
    """Episodes of the evaluation, per task."""

    experts: Pairs = ()
    """Experts to compare with, TASK=POLICY; for a distilled policy the zoo's own where not given."""

    folder: Path | None = None
    """Where the entry goes; the zoo that ships with the library where not given."""

    def run(self) -> Done:
        """Evaluate and publish."""
        from arnold.checkpoints.zoo import ZOO_FOLDER
        from arnold.cli.experts import experts_beside
        from arnold.publishing import publish
        from arnold.saved_policy import load

        saved = load(self.run_folder)
        experts = experts_beside(saved, saved.tasks, self.experts)
        entry = publish(self.run_folder, self.name, experts, self.episodes, self.folder or ZOO_FOLDER, note)
        say((entry / "README.md").read_text(encoding="utf-8").rstrip())
        return Done((entry / "card.json", entry / "README.md", entry))
