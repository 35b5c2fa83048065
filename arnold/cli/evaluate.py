"""`arnold evaluate`: whole episodes of a policy in its tasks or in others, beside the experts."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from arnold.cli.options import Names, Pairs, PhysicsOptions
from arnold.cli.output import Done, note
from arnold.errors import UserError

if TYPE_CHECKING:  # importing it imports JAX, which help and errors do not wait for
    from arnold.evaluation import Comparison
    from arnold.saved_policy import SavedPolicy


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Evaluate a policy: solved steps, success and reward with 95 % intervals, beside its experts."""

    policy: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="POLICY")]
    """A name of the zoo, a checkpoint's folder, or a run."""

    tasks: Names = ()
    """Tasks, task files, or a group ("fourteen", "nine"); the policy's own where not given."""

    clips: Names = ()
    """Clips, files of clips or folders of them, for imitation tasks in place of their own."""

    beside: Names = ()
    """Other policies or runs, evaluated on the same tasks and shown in one table and one radar picture."""

    episodes: int = 200
    """Episodes per task."""

    sampled: bool = False
    """Sample actions, in place of taking their mean."""

    seed: int = 0
    """Of starts and goals, the same for policy and expert, and of sampled actions."""

    perturb: Pairs = ()
    """What is wrong with the muscles, beside the intact body: weakness=0.5 (share of force lost), fatigue=0.3 (share of
    motor units tired at first), delay=0.05 (s), noise=0.1 (share of the excitation), muscles=tibant_*,soleus_l."""

    experts: Pairs = ()
    """Experts to compare with, TASK=POLICY; for a generalist the zoo's own where not given."""

    out: Path | None = None
    """Folder of the results; the run's own `eval`, or runs/evaluations, where not given."""

    physics: PhysicsOptions = dataclasses.field(default_factory=PhysicsOptions)

    def run(self) -> Done:
        """Evaluate, print the table, write it."""
        from arnold.cli.comparing import show_comparisons, write_effect, write_side_by_side
        from arnold.cli.experts import experts_beside
        from arnold.cli.options import name_value_pairs
        from arnold.cli.task_names import expand, own_tasks
        from arnold.cli.tracking import show_tracking, track_saved, with_clips
        from arnold.evaluation import write_evaluation
        from arnold.publishing import evaluate_saved
        from arnold.saved_policy import load
        from arnold.tasks.perturbation import INTACT, Perturbation
        from arnold.tracking_report import write_tracking

        perturbation = Perturbation.of(name_value_pairs("--perturb", self.perturb))
        saved = load(self.policy)
        tasks = expand(self.tasks) or own_tasks(saved)
        if not tasks:
            raise UserError(
                f"the tasks of {self.policy!r} ({', '.join(saved.tasks)}) are not known here; name some with --tasks"
            )
        tasks = with_clips(tasks, self.clips)
        others = {name: load(name) for name in self.beside}
        if len(others) < len(self.beside) or self.policy in others:
            raise UserError(f"a policy is given twice: {', '.join((self.policy, *self.beside))}; give each once")
        experts = experts_beside(saved, tasks, self.experts)
        _require_able({self.policy: saved, **others}, tasks)

        how: dict[str, Any] = {
            "seed": self.seed,
            "deterministic": not self.sampled,
            "note": note,
            "backend": self.physics.backend,
            "threads": self.physics.threads,
        }

        def evaluated(
            policy: SavedPolicy, experts: dict[str, SavedPolicy], perturbation: Perturbation = perturbation
        ) -> list[Comparison]:
            return evaluate_saved(policy, tasks, experts, episodes=self.episodes, perturbation=perturbation, **how)

        comparisons = evaluated(saved, experts)
        show_comparisons(comparisons)
        folder = (self.out or self._folder(saved)).absolute()
        heading = {"policy": str(saved.source), "seed": self.seed, "deterministic": not self.sampled}
        heading |= {"perturbation": str(perturbation)}
        written = write_evaluation(folder, comparisons, heading)
        followed = track_saved(saved, tasks, perturbation=perturbation, **how)
        if followed:
            show_tracking(followed)
            written += write_tracking(folder, followed, heading)
        if perturbation != INTACT:
            intact = evaluated(saved, {}, INTACT)
            written += (write_effect(folder, intact, comparisons, str(perturbation)),)
        if others:
            known = [c.expert for c in comparisons]  # seeds are the same, so experts need not run again
            rows = {name: evaluated(policy, {}) for name, policy in others.items()}
            beside = {
                name: [dataclasses.replace(c, expert=expert) for c, expert in zip(row, known, strict=True)]
                for name, row in rows.items()
            }
            written += write_side_by_side(folder, {self.policy: comparisons, **beside})
        return Done((*written, folder))

    def _folder(self, saved: SavedPolicy) -> Path:
        from arnold.checkpoints.lookup import RUN_CHECKPOINTS

        how = f"{'sampled' if self.sampled else 'mean'}-seed{self.seed}"
        how += "".join(f"-{pair.replace('*', '')}" for pair in sorted(self.perturb))
        source = saved.source
        if source is not None and source.parent.name == RUN_CHECKPOINTS:
            return source.parent.parent / "eval" / how
        return Path("runs") / "evaluations" / Path(self.policy).name / how


def _require_able(policies: dict[str, SavedPolicy], tasks: tuple[str, ...]) -> None:
    """Raise a `UserError` that names the policy and the task, before any episode, where one cannot act."""
    from arnold.tasks import task

    if len(policies) < 2:
        return  # the evaluation itself says it as soon
    for reference in tasks:
        goal = task(reference)
        body = goal.compile()
        for name, saved in policies.items():
            try:
                saved.policy.bind([(goal.observation_table(body), body.action_table)])
            except UserError as error:
                raise UserError(f"{name!r} cannot act in task {goal.name!r}: {error}") from error
