"""Trainings of several stages that can be stopped and resumed anywhere: Arnold's loop, and what transfers.

The loop::

    <folder>/
      recipe.json                  the recipe of the stages
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
from arnold.checkpoints.lookup import RUN_CHECKPOINTS
from arnold.checkpoints.series import numbered
from arnold.drawing import draw_transfer
from arnold.errors import UserError
from arnold.evaluation import Evaluator
from arnold.metric_log import read_rows
from arnold.metric_sinks import require_sinks
from arnold.recipe import LoopRecipe, Recipe, TransferRecipe, from_json, to_json
from arnold.tasks import Environment, task
from arnold.training import Trained, resume_run, run_recipe, steps_per_iteration

RECIPE_FILE, EXPERTS_FILE = "recipe.json", "experts.json"


@dataclasses.dataclass(frozen=True)
class Stages:
    """Base of trainings of several stages, each a run in a folder of its own below one folder.

    Attributes:
        recipe: what it does.
        folder: where.
        backend, threads: of the physics.
        note: given a line as each stage begins.
        sinks: where metrics go besides the runs' own files: ``tensorboard``, ``wandb``.
    """

    recipe: Any
    folder: Path
    backend: str = "native"
    threads: int | None = None
    note: Callable[[str], None] = lambda line: None
    sinks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require_sinks(self.sinks)

    def _stage(self, name: str, recipe: Recipe) -> Path | Trained:
        """The run of a stage that is done; or, where it was asked to stop, what it had come to."""
        for path in self._runs(name):
            made = saved_policy.load(path).config["environment_steps"]
            if made >= recipe.steps // steps_per_iteration(recipe) * steps_per_iteration(recipe):
                self.note(f"stage {name}: done")
                return path
        trained = self._train(name, recipe)
        ended = trained.ended
        return trained.run.path if ended.finished and not ended.asked_to_stop else trained

    def _train(self, name: str, recipe: Recipe) -> Trained:
        """Begin a stage, or go on with it."""
        options: dict[str, Any] = {"backend": self.backend, "threads": self.threads, "sinks": self.sinks}
        begun = self._runs(name)
        self.note(f"stage {name}: {'going on' if begun else 'beginning'}")
        if begun:
            return resume_run(begun[-1], **options)
        return run_recipe(recipe, name, root=self.folder, **options)

    def _runs(self, name: str) -> list[Path]:
        """The runs of a stage that have a checkpoint; one that was killed before its first is begun again.

        A checkpoint that is damaged is an error when it is opened: hours of work are not done again without a word.
        """
        return [path for path in sorted((self.folder / name).glob("*")) if numbered(path / RUN_CHECKPOINTS)]


@dataclasses.dataclass(frozen=True)
class Loop(Stages):
    """Arnold's loop in its folder."""

    recipe: LoopRecipe

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
            preset=first.preset,
            network=first.network,
            experts=tuple({**dict(first.experts), **self._better(tuned)}.items()),
            start_from=str(generalist),
        )
        return self._train("self_distillation", last)

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


@dataclasses.dataclass(frozen=True)
class Transfer(Stages):
    """What pretraining is worth on tasks that were held out: each is learned from the generalist and from nothing.

    The stages are ``pretrained``, and ``<task>_transferred`` and ``<task>_scratch`` of each task; ``transfer.png`` has
    their learning curves.
    """

    recipe: TransferRecipe

    def run(self) -> Trained | Path:
        """Every stage that is not done yet, then the picture; what a stage came to where it was asked to stop."""
        pretrained = self._stage("pretrained", self.recipe.pretraining)
        if isinstance(pretrained, Trained):
            return pretrained
        curves: dict[str, dict[str, list[dict[str, Any]]]] = {}
        for name in self.recipe.tasks:
            for how, start in (("transferred", str(pretrained)), ("scratch", "")):
                tuning = self.recipe.learning_of(name, start)
                made = self._stage(f"{name}_{how}", tuning)
                if isinstance(made, Trained):
                    return made
                curves.setdefault(name, {})[how] = read_rows(made / "metrics.jsonl")
        return draw_transfer(self.folder / "transfer.png", curves)


def begin(recipe: LoopRecipe | TransferRecipe, folder: Path, **options: Any) -> Loop | Transfer:
    """A new training of several stages in ``folder``.

    Args:
        recipe: of the stages.
        folder: made if missing.
        options: ``backend``, ``threads``, ``note``, ``sinks``.

    Raises:
        UserError: where the folder holds one already, or cannot be written.
    """
    for stage in recipe.stages:
        if stage.steps < steps_per_iteration(stage):
            raise UserError(
                f"a stage has {stage.steps} steps, fewer than the {steps_per_iteration(stage)} of its one iteration; "
                "give it more, or fewer environments"
            )
    if (folder / RECIPE_FILE).exists():
        raise UserError(f"{str(folder)!r} holds stages already; go on with --resume {folder}, or name another folder")
    stages = _opened(recipe, folder.absolute(), options)
    with reported_writes(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / RECIPE_FILE, staged_to_json(recipe))
    return stages


def reopen(folder: Path, **options: Any) -> Loop | Transfer:
    """The stages that were begun in ``folder``; ``options`` as for :func:`begin`.

    Raises:
        UserError: where the folder holds none.
    """
    if not (folder / RECIPE_FILE).is_file():
        raise UserError(f"{str(folder)!r} holds no stages to resume: it has no {RECIPE_FILE}")
    recipe = staged_from_json(read_json(folder / RECIPE_FILE, "the recipe of the stages"))
    return _opened(recipe, folder.absolute(), options)


def _opened(recipe: LoopRecipe | TransferRecipe, folder: Path, options: dict[str, Any]) -> Loop | Transfer:
    if isinstance(recipe, LoopRecipe):
        return Loop(recipe=recipe, folder=folder, **options)
    return Transfer(recipe=recipe, folder=folder, **options)


def staged_to_json(recipe: LoopRecipe | TransferRecipe) -> dict[str, Any]:
    """A recipe of stages as JSON values."""
    fields: dict[str, Any] = {field.name: getattr(recipe, field.name) for field in dataclasses.fields(recipe)}
    return {name: v if isinstance(v, int | tuple) else to_json(v) for name, v in fields.items()}


def staged_from_json(data: dict[str, Any]) -> LoopRecipe | TransferRecipe:
    """The recipe that `staged_to_json` wrote.

    Raises:
        UserError: fields are missing or of another kind.
    """
    cls: type[LoopRecipe | TransferRecipe] = TransferRecipe if "pretraining" in data else LoopRecipe
    try:
        fields: dict[str, Any] = {name: from_json(v) if isinstance(v, dict) else v for name, v in data.items()}
        arguments: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()}
        recipe = cls(**arguments)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"this is not a recipe of stages: {type(error).__name__}: {error}") from error
    return recipe
