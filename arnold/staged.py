"""Arnold's whole loop as one training of several stages that can be stopped and resumed anywhere.

::

    <folder>/
      recipe.json                  the loop's recipe
      generalist/<run>             experts distilled into one transformer
      super_<task>/<run>           that transformer fine-tuned by reward on one task
      experts.json                 by task: what expert and super-expert solve, and which of them teaches
      self_distillation/<run>      the generalist, taught by the better of the two

What is done is read off these folders, so there is nothing else to lose: a stage with a checkpoint is resumed, a
finished one is passed over.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from arnold import saved_policy
from arnold.checkpoints.durable import reported_writes
from arnold.checkpoints.jsonfile import read_json, write_json
from arnold.errors import UserError
from arnold.evaluation import Evaluator
from arnold.recipe import DistillRecipe, FinetuneRecipe, LoopRecipe, Recipe, from_json, to_json
from arnold.runs import Run
from arnold.tasks import Environment, task
from arnold.training import Trained, resume_run, run_recipe, steps_per_iteration

RECIPE_FILE, EXPERTS_FILE = "recipe.json", "experts.json"


@dataclasses.dataclass(frozen=True)
class Loop:
    """A loop in its folder.

    Attributes:
        recipe: what it does.
        folder: where.
        backend, threads: of the physics.
        note: given a line as each stage begins.
    """

    recipe: LoopRecipe
    folder: Path
    backend: str = "native"
    threads: int | None = None
    note: Callable[[str], None] = lambda line: None

    @classmethod
    def begin(cls, recipe: LoopRecipe, folder: Path, **options: Any) -> Loop:
        """A new loop.

        Raises:
            UserError: where the folder holds one already, or cannot be written.
        """
        if (folder / RECIPE_FILE).exists():
            raise UserError(
                f"{str(folder)!r} holds a loop already; go on with --resume {folder}, or name another folder"
            )
        with reported_writes(folder):
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / RECIPE_FILE, loop_to_json(recipe))
        return cls(recipe, folder, **options)

    @classmethod
    def reopen(cls, folder: Path, **options: Any) -> Loop:
        """A loop that was begun before.

        Raises:
            UserError: where the folder holds none.
        """
        if not (folder / RECIPE_FILE).is_file():
            raise UserError(f"{str(folder)!r} holds no loop to resume: it has no {RECIPE_FILE}")
        return cls(loop_from_json(read_json(folder / RECIPE_FILE, "the loop's recipe")), folder, **options)

    def run(self) -> Trained:
        """Every stage that is not done yet; stops early where one was asked to stop."""
        first = self.recipe.distillation
        generalist = self._stage("generalist", first)
        if isinstance(generalist, Trained):
            return generalist
        tuned = {}
        for name in self.recipe.super_experts:
            tuning = dataclasses.replace(self.recipe.finetuning, checkpoint=str(generalist), task=name)
            made = self._stage(f"super_{task(name).name}", tuning)
            if isinstance(made, Trained):
                return made
            tuned[name] = str(made)
        last = dataclasses.replace(
            self.recipe.self_distillation,
            mixture=self.recipe.self_distillation.mixture or first.mixture,
            experts=tuple({**dict(first.experts), **self._better(tuned)}.items()),
            start_from=str(generalist),
        )
        return self._train("self_distillation", last)

    def _stage(self, name: str, recipe: Recipe) -> Path | Trained:
        """The run of a stage that is done; or, where it was asked to stop, what it had come to."""
        for path in self._runs(name):
            made = saved_policy.load(path).config["environment_steps"]
            if made >= recipe.steps // steps_per_iteration(recipe) * steps_per_iteration(recipe):
                self.note(f"stage {name}: done")
                return path
        trained = self._train(name, recipe)
        return trained.run.path if trained.ended.finished else trained

    def _train(self, name: str, recipe: Recipe) -> Trained:
        """Begin a stage, or go on with it."""
        options: dict[str, Any] = {"backend": self.backend, "threads": self.threads}
        begun = self._runs(name)
        self.note(f"stage {name}: {'going on' if begun else 'beginning'}")
        if begun:
            return resume_run(begun[-1], **options)
        return run_recipe(recipe, name, root=self.folder, **options)

    def _runs(self, name: str) -> list[Path]:
        """The runs of a stage that have a checkpoint; one that was killed before its first is begun again."""
        return [path for path in sorted((self.folder / name).glob("*")) if _has_checkpoint(path)]

    def _better(self, tuned: dict[str, str]) -> dict[str, str]:
        """By task, the super-experts that solve more steps than the experts; measured once, and kept."""
        path = self.folder / EXPERTS_FILE
        known: dict[str, Any] = read_json(path, "the comparison of experts") if path.is_file() else {}
        experts = dict(self.recipe.distillation.experts)
        for name, run in tuned.items():
            if known.get(name, {}).get("super_expert") == run:
                continue
            self.note(f"comparing expert and super-expert of {name} over {self.recipe.episodes} episodes each")
            expert = experts.get(name, name)
            solved = [self._solved(name, policy) for policy in (expert, run)]
            known[name] = {
                "expert": expert,
                "super_expert": run,
                "solved": solved,
                "teaches": int(solved[1] > solved[0]),
            }
            with reported_writes(path):
                write_json(path, known)
        return {name: run for name, run in tuned.items() if known[name]["teaches"]}

    def _solved(self, name: str, policy: str) -> float:
        environment = Environment(task(name), self.backend, self.threads)
        saved = saved_policy.load(policy)
        evaluator = Evaluator(saved.policy, environment.task, environment=environment)
        return evaluator(saved.params, saved.statistics, episodes=self.recipe.episodes).solved_step_fraction


def _has_checkpoint(path: Path) -> bool:
    try:
        return Run.open(path).latest() is not None
    except UserError:
        return False


def loop_to_json(recipe: LoopRecipe) -> dict[str, Any]:
    """A loop's recipe as JSON values."""
    stages = ("distillation", "finetuning", "self_distillation")
    return {
        **{stage: to_json(getattr(recipe, stage)) for stage in stages},
        "super_experts": list(recipe.super_experts),
        "episodes": recipe.episodes,
    }


def loop_from_json(data: dict[str, Any]) -> LoopRecipe:
    """The recipe that `loop_to_json` wrote.

    Raises:
        UserError: a stage is missing or of another kind.
    """
    try:
        first, tuning, last = (from_json(data[s]) for s in ("distillation", "finetuning", "self_distillation"))
        tasks, episodes = tuple(data["super_experts"]), int(data["episodes"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"this is not the recipe of a loop: {type(error).__name__}: {error}") from error
    if not (
        isinstance(first, DistillRecipe) and isinstance(tuning, FinetuneRecipe) and isinstance(last, DistillRecipe)
    ):
        raise UserError("this is not the recipe of a loop: its stages are of other kinds")
    return LoopRecipe(first, tasks, tuning, last, episodes)
