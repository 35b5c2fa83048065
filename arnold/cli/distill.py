"""`arnold distill`: experts into one transformer, then an evaluation beside them and a report."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from arnold.cli.options import Pairs, TrainingOptions
from arnold.cli.output import Done, note
from arnold.errors import UserError

if TYPE_CHECKING:  # importing it imports JAX, which help and errors do not wait for
    from arnold.cli.training_run import TrainingRun
    from arnold.recipe import DistillRecipe


@dataclasses.dataclass(frozen=True)
class Distill(TrainingOptions):
    """Distil experts into one transformer, evaluate it beside them, and write a report."""

    recipe: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RECIPE")] = ""
    """A recipe of `arnold list recipes`: a distillation, such as quickstart, or a loop, such as arnold_full."""

    experts: Pairs = ()
    """Experts in place of the zoo's, TASK=POLICY."""

    mixture: Pairs = ()
    """Other tasks than the recipe's, TASK=ENVIRONMENTS."""

    preset: Annotated[str | None, tyro.conf.arg(metavar="tiny|small|paper")] = None
    """Size of the transformer."""

    episodes: int = 200
    """Episodes of the evaluation, per task; 0 ends after the training."""

    def run(self) -> Done:
        """Train, evaluate, report."""
        from arnold.cli import training_run

        if self.episodes < 0:
            raise UserError(f"--episodes is {self.episodes}; 0 or more is accepted")
        if self._is_staged():
            return self._run_staged()
        if self.resume:
            ended = training_run.resumed(self, ("recipe", "experts", "mixture", "steps", "preset", "seed", "set"))
        else:
            recipe = self._recipe()
            shares = ", ".join(f"{name} ({environments} environments)" for name, environments in recipe.mixture)
            note(f"distilling {shares} into one {recipe.preset} transformer, {recipe.steps:,} environment steps")
            ended = training_run.started(recipe, self.recipe, self)
        if not ended.finished or not self.episodes:
            return ended.done()
        return ended.done(*self._evaluate_and_report(ended))

    def _is_staged(self) -> bool:
        from arnold.experiments.recipes import STAGED
        from arnold.staged import RECIPE_FILE

        return self.recipe in STAGED or bool(self.resume and (Path(self.resume) / RECIPE_FILE).is_file())

    def _run_staged(self) -> Done:
        """Every stage; then the evaluation and report of a loop's last, or the picture of what transferred."""
        from datetime import UTC, datetime

        from arnold import staged
        from arnold.cli.options import name_value_pairs
        from arnold.cli.overrides import with_settings
        from arnold.cli.training_run import TrainingRun
        from arnold.experiments.recipes import STAGED

        self.physics.check()
        options = {"backend": self.physics.backend, "threads": self.physics.threads, "note": note, "sinks": self.log}
        if self.resume:
            of_new = ("recipe", "experts", "mixture", "steps", "preset", "seed", "set")
            given = [flag for flag in of_new if getattr(self, flag) not in (None, "", ())]
            if given:
                raise UserError(
                    f"--resume goes on with the stages as they were begun, so {', '.join(given)} cannot be given"
                )
            stages_here = staged.reopen(Path(self.resume), **options)
        else:
            recipe = STAGED[self.recipe]
            of_one = [flag for flag in ("mixture", "steps", "preset", "seed") if getattr(self, flag) not in (None, ())]
            if of_one:
                stages = [
                    f.name for f in dataclasses.fields(recipe) if dataclasses.is_dataclass(getattr(recipe, f.name))
                ]
                raise UserError(
                    f"this recipe has several stages, so {', '.join(of_one)} cannot be given for all of them; "
                    f"write --set STAGE.field=value, with a stage of {', '.join(stages)}"
                )
            experts = tuple(name_value_pairs("--experts", self.experts).items())
            recipe = with_settings(recipe.with_experts(experts) if experts else recipe, self.set)
            folder = self.runs / self.recipe / datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
            stages_here = staged.begin(recipe, folder, **options)
        note(f"the stages are in {stages_here.folder}; if stopped: arnold distill --resume {stages_here.folder}")
        made = stages_here.run()
        if isinstance(made, Path):
            return Done((made, stages_here.folder))
        ended = TrainingRun(made)
        stopped = made.ended.asked_to_stop or not ended.finished
        if stopped or not self.episodes or isinstance(stages_here, staged.Transfer):
            return ended.done()
        return ended.done(*self._evaluate_and_report(ended, stages_here.folder.parent.name))

    def _recipe(self) -> DistillRecipe:
        from arnold.cli.options import name_value_pairs
        from arnold.cli.overrides import with_given, with_settings
        from arnold.cli.task_names import task_reference
        from arnold.experiments.recipes import distill_recipe

        recipe = with_given(distill_recipe(self.recipe), steps=self.steps, preset=self.preset, seed=self.seed)
        shares = name_value_pairs("--mixture", self.mixture)
        if shares:
            mixture = tuple((task_reference(name), _whole(name, count)) for name, count in shares.items())
            recipe = dataclasses.replace(recipe, mixture=mixture)
        experts = tuple(name_value_pairs("--experts", self.experts).items())
        return with_settings(dataclasses.replace(recipe, experts=experts or recipe.experts), self.set)

    def _evaluate_and_report(self, ended: TrainingRun, recipe: str = "") -> tuple[Path, ...]:
        from arnold.cli.comparing import show_comparisons
        from arnold.cli.experts import distilled_experts
        from arnold.cli.task_names import own_tasks
        from arnold.evaluation import write_evaluation
        from arnold.experiments.recipes import bars_of
        from arnold.publishing import evaluate_saved
        from arnold.report import write_report

        run, saved = ended.trained.run, ended.trained.saved
        note(f"evaluating the student and its experts, {self.episodes} episodes each, mean actions")
        comparisons = evaluate_saved(
            saved,
            own_tasks(saved),
            distilled_experts(saved),
            episodes=self.episodes,
            backend=self.physics.backend,
            threads=self.physics.threads,
            note=note,
        )
        heading = {"policy": str(saved.source), "recipe": run.manifest["recipe"]}
        written = write_evaluation(run.path / "eval" / "distillation", comparisons, heading)
        note("drawing the report")
        bars = bars_of(recipe or run.manifest["recipe"])
        report = write_report(run.path, comparisons, saved.config, bars)
        show_comparisons(comparisons, bars)
        return (*written, *report)


def _whole(name: str, count: str) -> int:
    if not count.isdigit():
        raise UserError(f"--mixture gives {name!r} {count!r} environments; a whole number of at least 1 is accepted")
    return int(count)
