"""`arnold finetune`: go on training a policy on a task, known to it or new."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from arnold.cli.options import Count, TrainingOptions
from arnold.cli.output import Done, note
from arnold.errors import UserError

if TYPE_CHECKING:  # importing it imports JAX, which help and errors do not wait for
    from arnold.recipe import FinetuneRecipe

# What an imitating regime wants in place of PPO's settings; those of the distillations that ship.
_IMITATION: dict[str, Any] = {"rollout_steps": 10, "epochs": 1, "learning_rate": 1e-3, "log_std": (-2.0, -3.0)}


@dataclasses.dataclass(frozen=True)
class Finetune(TrainingOptions):
    """Train a policy further on one task; its vocabulary grows by the words that it lacks."""

    checkpoint: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="POLICY_OR_RECIPE")] = ""
    """A name of the zoo, a checkpoint's folder, or a run; or a recipe of `arnold list recipes` with its task."""

    task: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TASK")] = ""
    """The task, or a file that registers one."""

    regime: str = "ppo"
    """ppo (reward alone), obc (an expert labels), bc (the expert also drives), obc_ppo (both)."""

    expert: Annotated[str, tyro.conf.arg(metavar="POLICY")] = ""
    """Who labels, where the regime imitates; the zoo's expert of the task where not given."""

    environments: Count = None
    """Environments stepped together."""

    subspace: Annotated[str, tyro.conf.arg(metavar="NPZ")] = ""
    """Learn and act within components of the action: the bases.npz that `arnold analyze subspace` wrote."""

    rank: Count = None
    """How many of its components."""

    basis: Annotated[str | None, tyro.conf.arg(metavar="own|pooled|TASK/own")] = None
    """Which of its bases; the task's own where not given."""

    def run(self) -> Done:
        """Train, and say how it went."""
        from arnold.cli import training_run
        from arnold.tasks import task

        if self.resume:
            of_new = ("checkpoint", "task", "regime", "expert", "steps", "environments", "seed", "set")
            belongs_to_new = (*of_new, "subspace", "rank", "basis")
            return training_run.resumed(self, belongs_to_new).done()
        named = bool(self.checkpoint and not self.task)
        recipe = self._named() if named else self._recipe()
        name = task(recipe.task).name
        start, how = recipe.checkpoint, recipe.learner.regime
        within = f" within {recipe.rank} components of its action" if recipe.subspace else ""
        note(f"fine-tuning {start} on {name} by {how}{within}, {recipe.steps:,} environment steps")
        return training_run.started(recipe, f"finetune_{self.checkpoint if named else name}", self).done()

    def _named(self) -> FinetuneRecipe:
        """The recipe of that name, with what was given in place of its own."""
        from arnold.checkpoints import resolve
        from arnold.checkpoints.zoo import zoo_names
        from arnold.cli.overrides import with_given, with_settings
        from arnold.experiments.recipes import finetune_recipe

        recipe = finetune_recipe(self.checkpoint)
        if self.regime != "ppo" or self.expert:
            raise UserError(
                f"recipe {self.checkpoint!r} says how it learns, so --regime and --expert cannot be given with it; "
                f"write arnold finetune {recipe.checkpoint} {recipe.task} --regime {self.regime}"
            )
        recipe = with_settings(with_given(recipe, **self._given()), self.set)
        if recipe.checkpoint in zoo_names():
            return recipe
        return dataclasses.replace(recipe, checkpoint=str(resolve(recipe.checkpoint).absolute()))

    def _recipe(self) -> FinetuneRecipe:
        from arnold.checkpoints import resolve
        from arnold.checkpoints.zoo import zoo_names
        from arnold.cli.overrides import with_given, with_settings
        from arnold.cli.task_names import task_reference
        from arnold.learning.config import regime
        from arnold.recipe import FinetuneRecipe

        if not (self.checkpoint and self.task):
            raise UserError("fine-tune what on what? give a policy and a task: arnold finetune POLICY TASK")
        imitates = regime(self.regime).needs_expert
        if self.expert and not imitates:
            raise UserError(
                f"--expert is given, but regime {self.regime!r} asks no expert; add --regime obc, or leave it out"
            )
        source = self.checkpoint if self.checkpoint in zoo_names() else str(resolve(self.checkpoint).absolute())
        recipe = FinetuneRecipe(source, task_reference(self.task), expert=self.expert)
        learner = dataclasses.replace(recipe.learner, regime=self.regime, **(_IMITATION if imitates else {}))
        if imitates:
            from arnold.tasks import task

            expert = self.expert or task(recipe.task).name
            if self.expert and self.expert not in zoo_names():
                expert = str(resolve(self.expert).absolute())
            recipe = dataclasses.replace(recipe, expert=expert, critic_warmup=0)
        recipe = dataclasses.replace(recipe, learner=learner)
        return with_settings(with_given(recipe, **self._given()), self.set)

    def _given(self) -> dict[str, Any]:
        """What replaces a field of the recipe where it was given."""
        return {
            "steps": self.steps,
            "environments": self.environments,
            "seed": self.seed,
            "subspace": str(Path(self.subspace).absolute()) if self.subspace else None,
            "rank": self.rank,
            "basis": self.basis,
        }
