"""`arnold train`: an expert on one task."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import tyro

from arnold.cli.options import Count, TrainingOptions
from arnold.cli.output import Done
from arnold.errors import UserError

if TYPE_CHECKING:  # importing it imports JAX, which help and errors do not wait for
    from arnold.recipe import ExpertRecipe


@dataclasses.dataclass(frozen=True)
class Train(TrainingOptions):
    """Train an expert: PPO on one task, from a recipe or on a task of your own."""

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TASK_OR_RECIPE")] = ""
    """A recipe (`arnold list recipes`), a task, or a file that registers a task."""

    environments: Count = None
    """Environments stepped together."""

    start_from: Annotated[str | None, tyro.conf.arg(metavar="POLICY")] = None
    """An expert of the same body to start from."""

    def run(self) -> Done:
        """Train, and say how it went."""
        from arnold.cli import training_run

        if self.resume:
            return training_run.resumed(self, ("name", "steps", "environments", "seed", "start_from", "set")).done()
        recipe, label = self._recipe()
        return training_run.started(recipe, label, self).done()

    def _recipe(self) -> tuple[ExpertRecipe, str]:
        from arnold.cli.overrides import with_given, with_settings
        from arnold.cli.task_names import task_reference
        from arnold.experiments.recipes import EXPERTS
        from arnold.recipe import ExpertRecipe
        from arnold.tasks import task

        if not self.name:
            raise UserError(
                "train what? give a recipe, a task or a task file; see `arnold list recipes`, `arnold list tasks`"
            )
        recipe = EXPERTS.get(self.name) or ExpertRecipe(task_reference(self.name), steps=600_000)
        given = {f: getattr(self, f) for f in ("steps", "environments", "seed", "start_from")}
        label = self.name if self.name in EXPERTS else task(recipe.task).name
        return with_settings(with_given(recipe, **given), self.set), label
