"""`arnold analyze robustness`: what weak, tired, late or noisy muscles do to a policy and to its synergies."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

from arnold.cli.options import Pairs, PhysicsOptions, name_value_pairs
from arnold.cli.output import Done, note, say, show_table
from arnold.errors import UserError


@dataclasses.dataclass(frozen=True)
class AnalyzeRobustness:
    """Perturb a policy's muscles at several levels: its performance and its synergies beside the intact body's."""

    policy: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="POLICY")]
    """A name of the zoo, a checkpoint's folder, or a run."""

    task: str = ""
    """The task; the policy's own where it has only one."""

    perturb: Pairs = ()
    """Levels to try, such as weakness=0.25,0.5 delay=0.05,0.1; muscles=tibant_*,soleus_l for some only. Four kinds at
    three levels each where not given."""

    episodes: int = 50
    """Episodes per level."""

    vaf: float = 0.9
    """Share of the activations' variance that the synergies are to account for."""

    sampled: bool = False
    """Sample actions, in place of taking their mean."""

    seed: int = 0
    """Of starts and goals, the same at every level, and of noise."""

    out: Path | None = None
    """Folder of the results; runs/analyses/POLICY/robustness-TASK where not given."""

    physics: PhysicsOptions = dataclasses.field(default_factory=PhysicsOptions)

    def run(self) -> Done:
        """Measure, print the table, write it and the picture."""
        levels, muscles = self._levels()
        from arnold.analysis.robustness import draw_robustness, robustness
        from arnold.checkpoints.durable import reported_writes, write_text
        from arnold.cli.task_names import own_tasks
        from arnold.saved_policy import load
        from arnold.tasks import task

        saved = load(self.policy)
        own = own_tasks(saved)
        if not self.task and len(own) != 1:
            raise UserError(f"{self.policy!r} has {len(own)} tasks; choose with --task: {', '.join(own)}")
        goal = task(self.task or own[0])
        table = robustness(
            saved.policy,
            (saved.params, saved.statistics),
            goal,
            levels or None,
            muscles=muscles,
            episodes=self.episodes,
            seed=self.seed,
            share=self.vaf,
            backend=self.physics.backend,
            threads=self.physics.threads,
            deterministic=not self.sampled,
            note=note,
        )
        of = f"synergies for {100 * self.vaf:.0f} %"
        columns = ["muscles", "solved", "of the intact", "success", of, "in the intact's", "angle", "by chance", "note"]
        rows = [_row(row) for row in table.to_dict("records")]
        about = f"{Path(self.policy).name} in {goal.name}, {self.episodes} episodes each"
        show_table(columns, rows, about)
        say("in the intact's: activations' variance within the intact policy's synergies, over that within their own")
        folder = self.out or Path("runs") / "analyses" / Path(self.policy).name / f"robustness-{goal.name}"
        folder = folder.absolute()
        with reported_writes(folder):
            folder.mkdir(parents=True, exist_ok=True)
            written = write_text(folder / "robustness.csv", table.to_csv(index=False))
        return Done((written, draw_robustness(folder / "robustness.png", table, about), folder))

    def _levels(self) -> tuple[dict[str, tuple[float, ...]], tuple[str, ...]]:
        """Levels by perturbation, and the muscles."""
        given = name_value_pairs("--perturb", self.perturb)
        muscles = given.pop("muscles", "")
        levels = {}
        for name, text in given.items():
            try:
                levels[name] = tuple(float(level) for level in text.split(",") if level)
            except ValueError:
                raise UserError(f"--perturb {name}={text}: numbers with commas between them are accepted") from None
        return levels, tuple(part for part in muscles.split(",") if part)


def _row(row: dict[str, Any]) -> list[str]:
    name = row["perturbation"] if row["perturbation"] == "intact" else f"{row['perturbation']} {row['level']:g}"
    angles = [f"{row[c]:.0f}°" if isinstance(row[c], float) else "" for c in ("mean_angle", "chance_angle")]
    number = "" if row["note"] and not isinstance(row["synergies"], int) else str(row["synergies"])
    solved = f"{100 * row['solved']:.1f} ± {100 * 1.96 * row['solved_error']:.1f} %"
    return [
        name,
        solved,
        _percent(row["relative"]),
        _percent(row["success"]),
        number,
        _percent(row["captured"]),
        *angles,
        row["note"],
    ]


def _percent(share: Any) -> str:
    return f"{100 * share:.1f} %" if isinstance(share, float) else ""  # pandas' NA is no float
