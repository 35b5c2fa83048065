"""`arnold list`: what there is, by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any

import tyro

from arnold.cli.output import Done, say, show_table
from arnold.errors import UserError, did_you_mean


@dataclasses.dataclass(frozen=True)
class List:
    """List tasks, bodies, words, recipes, policies or action maps."""

    what: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="tasks|bodies|words|recipes|policies|maps")]
    """What to list."""

    def run(self) -> Done:
        """Print the list."""
        if self.what not in LISTS:
            raise UserError(f"nothing to list called {self.what!r}; {did_you_mean(self.what, LISTS)}")
        LISTS[self.what]()
        return Done()


def _tasks() -> None:
    from arnold.checkpoints import list_zoo
    from arnold.tasks import list_tasks
    from arnold.tasks.catalog import GROUPS

    experts = {entry.name: entry.card["evaluation"] for entry in list_zoo()}
    rows = []
    for t in list_tasks():
        body = t.compile()
        sizes = [str(len(body.muscles)), str(len(t.observation_table(body))), str(t.horizon)]
        figures = experts.get(t.name, {}).get(t.name, {})
        mark = "yes" if t.name in GROUPS["fourteen"] else ""
        rows.append([t.name, mark, t.embodiment.name, *sizes, _fraction(figures), t.summary])
    show_table(["task", "of the 14", "body", "muscles", "tokens", "horizon", "expert solves", "goal"], rows)


def _bodies() -> None:
    from arnold.embodiments import list_embodiments

    rows = [[e.name, e.action_map.name, e.summary] for e in list_embodiments()]
    show_table(["body", "action map", "what it is"], rows)


def _words() -> None:
    from arnold.tasks import list_tasks
    from arnold.vocab import Vocabulary

    tables = []
    for t in list_tasks():
        body = t.compile()
        tables += [t.observation_table(body), body.action_table]
    vocabulary = Vocabulary.of(tables)
    signatures = {signature for table in tables for signature in table.signatures}
    for category, words in vocabulary.groups().items():
        say(f"{category} ({len(words)}): {' '.join(words)}")
    counts = f"{len(vocabulary)} words in the tasks that are known, {len(signatures)} signatures"
    say(f"{counts}; fingerprint {vocabulary.fingerprint}")


def _recipes() -> None:
    from arnold.experiments.recipes import DISTILLATIONS, EXPERTS, FINETUNINGS, STAGED
    from arnold.recipe import LoopRecipe

    rows = [[name, "train", f"{r.steps:,}", f"{r.task}, {r.environments} environments"] for name, r in EXPERTS.items()]
    for name, recipe in DISTILLATIONS.items():
        environments = sum(share for _, share in recipe.mixture)
        what = f"{len(recipe.mixture)} tasks in {environments} environments, {recipe.preset} transformer"
        rows.append([name, "distill", f"{recipe.steps:,}", what])
    for name, staged in STAGED.items():
        if isinstance(staged, LoopRecipe):
            tuned = len(staged.super_experts)
            steps = staged.distillation.steps + tuned * staged.finetuning.steps + staged.self_distillation.steps
            what = f"{len(staged.distillation.mixture)} tasks distilled, {tuned} tuned by reward, distilled again"
        else:
            held_out = len(staged.tasks)
            steps = staged.pretraining.steps + 2 * held_out * staged.learning.steps
            what = f"{len(staged.pretraining.mixture)} tasks distilled, {held_out} others learned with and without them"
        rows.append([name, "distill", f"{steps:,}", what])
    for name, tuning in FINETUNINGS.items():
        within = f", within {tuning.rank} components" if tuning.rank else ""
        what = f"{tuning.task}, {tuning.environments} environments, from {tuning.checkpoint}{within}"
        rows.append([name, "finetune", f"{tuning.steps:,}", what])
    show_table(["recipe", "command", "steps", "what"], rows)


def _policies() -> None:
    from arnold.checkpoints import list_zoo

    rows = []
    for entry in list_zoo():
        figures = [_fraction(figures) for figures in entry.card["evaluation"].values()]
        shown = figures[0] if len(figures) == 1 else f"{len(figures)} tasks"
        rows.append([entry.name, str(entry.card["recipe"]), f"{entry.card['steps']:,}", shown])
    if not rows:
        say("no policies ship with this copy; train one with `arnold train`, publish it with `arnold export`")
        return
    show_table(["policy", "recipe", "steps", "steps solved"], rows)


def _fraction(figures: dict[str, Any]) -> str:
    return f"{100 * figures['solved_step_fraction']:.1f} %" if "solved_step_fraction" in figures else ""


def _maps() -> None:
    from arnold.embodiments.action_maps import ACTION_MAPS

    show_table(["action map", "formula"], [[m.name, m.formula] for m in ACTION_MAPS.values()])


LISTS: dict[str, Callable[[], None]] = {
    "tasks": _tasks,
    "bodies": _bodies,
    "words": _words,
    "recipes": _recipes,
    "policies": _policies,
    "maps": _maps,
}
