"""`arnold analyze emg`: a walking policy's muscle activations beside people's EMG."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from arnold.cli.options import Names, Pairs, PhysicsOptions, name_value_pairs
from arnold.cli.output import Done, note, say, show_table
from arnold.errors import UserError

if TYPE_CHECKING:  # importing it imports JAX, which help and errors do not wait for
    from arnold.analysis.emg import EmgComparison
    from arnold.analysis.human_data import HumanGait
    from arnold.tasks.imitate import Imitate


@dataclasses.dataclass(frozen=True)
class AnalyzeEmg:
    """Let a policy walk, and correlate its activations over the gait cycle with people's EMG, muscle by muscle."""

    policy: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="POLICY")]
    """A name of the zoo, a checkpoint's folder, or a run."""

    task: str = ""
    """The walking task; the policy's own where not given."""

    clips: Names = ()
    """Clips, files of clips or folders of them, in place of the task's."""

    speed: float = 4.5
    """Of walking, km/h: of the cycles that are taken, and of the people."""

    within: float = 0.5
    """How far from that speed a cycle may be, km/h."""

    foot: str = "left"
    """The leg: left (as in KINESIS) or right."""

    emg: Path | None = None
    """People's EMG: the npz or the folder of npy files; below ARNOLD_SHARED where not given."""

    gait: Path | None = None
    """A person's joint angles, an npz; below ARNOLD_SHARED where not given, and left out where there is none."""

    perturb: Pairs = ()
    """What is wrong with the muscles, as in `arnold evaluate`."""

    seed: int = 0
    """Of what the environment draws."""

    out: Path | None = None
    """Folder of the results; runs/analyses/emg/POLICY where not given."""

    physics: PhysicsOptions = dataclasses.field(default_factory=PhysicsOptions)

    def run(self) -> Done:
        """Walk, compare, print the table, write tables and picture."""
        _require_packages()
        from arnold.analysis.emg import compare_emg, write_emg
        from arnold.analysis.human_data import load_human_emg, load_human_gait
        from arnold.analysis.walking import FEET, cycles_at, over_the_cycle, walks
        from arnold.episodes import policy_agent
        from arnold.saved_policy import load
        from arnold.tasks.perturbation import Perturbation

        if self.foot not in FEET:
            raise UserError(f"--foot is {self.foot!r}; {' or '.join(FEET)} is accepted")
        human = load_human_emg(self.emg)
        gait = load_human_gait(self.gait) if self.gait else None
        perturbation = Perturbation.of(name_value_pairs("--perturb", self.perturb))
        saved = load(self.policy)
        walked = walks(
            self._task(saved),
            functools.partial(policy_agent, saved.policy),
            (saved.params, saved.statistics),
            perturbation=perturbation,
            backend=self.physics.backend,
            threads=self.physics.threads,
            seed=self.seed,
        )
        for walk in walked:
            note(f"{walk.name}: {walk.duration:.1f} s, {100 * walk.held:.0f} % of the clip")
        cycles = cycles_at(walked, self.foot, self.speed, self.within)
        averages = over_the_cycle(walked, cycles)
        compared = compare_emg(averages["activation"], human, self.speed, FEET[self.foot])
        folder = (self.out or Path("runs") / "analyses" / "emg" / Path(self.policy).name).absolute()
        written = write_emg(folder, compared)
        kmh = sum(3.6 * (cycle.speed or 0.0) for cycle in cycles) / len(cycles)
        seconds = sum(cycle.duration for cycle in cycles) / len(cycles)
        walking = f"{len(cycles)} cycles of the {self.foot} foot, {kmh:.1f} km/h, {seconds:.2f} s each"
        _show(compared, f"{walking}; muscles: {perturbation}")
        written += _kinematics(folder, averages, FEET[self.foot], gait)
        return Done((*written, folder))

    def _task(self, saved: Any) -> Imitate:
        from arnold.cli.task_names import own_tasks
        from arnold.cli.tracking import with_clips
        from arnold.tasks import task
        from arnold.tasks.imitate import Imitate

        names = (self.task,) if self.task else own_tasks(saved)
        found = [made for made in map(task, with_clips(names, self.clips)) if isinstance(made, Imitate)]
        if len(found) != 1:
            raise UserError(
                f"the policy is to walk in one imitation task, and {', '.join(names) or 'none'} was given; "
                "name one with --task, such as --task imitate_walking"
            )
        return found[0]


def _require_packages() -> None:
    from arnold.extras import extra_module

    extra_module("pandas", "analysis", "EMG comparison")


def _show(compared: EmgComparison, title: str) -> None:
    rows = []
    for muscle, row in compared.table.iterrows():
        figures = ("r", "human_pairwise", "human_leave_one_out", "p_bonferroni", "best_shift_percent", "kinesis")
        rows.append([str(muscle), *(_shown(name, row[name]) for name in figures), str(row["note"])])
    columns: Sequence[str] = ("muscle", "r", "people: pairs", "leave one out", "p", "best shift", "KINESIS r", "")
    show_table(columns, rows, title)
    for line in compared.lines():
        say(line)


def _shown(name: str, value: float | None) -> str:
    if value is None or value != value:  # pandas writes what is missing as NaN
        return ""
    return {"p_bonferroni": f"{value:.3f}", "best_shift_percent": f"{value:+.0f} %"}.get(name, f"{value:.2f}")


def _kinematics(folder: Path, averages: Any, side: str, gait: HumanGait | None) -> tuple[Path, ...]:
    """Joint angles beside a person's, where the person's are at hand; every average over the cycle is written."""
    import pandas as pd

    from arnold.analysis.gait import compare, sided
    from arnold.analysis.human_data import load_human_gait
    from arnold.analysis.walking import FEET
    from arnold.checkpoints.durable import write_text

    whole = pd.concat({kind: each.table() for kind, each in averages.items()}, axis=1)
    written = [write_text(folder / "gait_cycle.csv", whole.to_csv(float_format="%.5g"))]
    try:
        human = gait or load_human_gait()
    except UserError as error:
        note(f"joint angles are not compared: {error}")
        return tuple(written)
    tables = [
        compare(averages[kind], theirs, sided(averages[kind].names, side, theirs.names)).assign(kind=kind)
        for kind, theirs in (("angle", human.angles), ("moment", human.moments))
    ]
    foot = next(foot for foot, suffix in FEET.items() if suffix == side)
    tables.append(compare(averages["force"], human.forces, {foot: "Vertical"}).assign(kind="force"))
    note("of ground forces the vertical one is compared: feet here feel what presses on them, not shear")
    written.append(write_text(folder / "kinematics.csv", pd.concat(tables).to_csv(float_format="%.5g")))
    rows = [
        [str(joint), _shown("r", row["r"]), f"{row['rmse']:.1f}", f"{row['range']:.0f}", f"{row['their_range']:.0f}"]
        for joint, row in tables[0].iterrows()
    ]
    columns = ["joint", "r", "RMSE °", "range °", "a person's range °"]
    show_table(columns, rows, "joint angles, beside a person's (Falisse et al. 2019)")
    return tuple(written)
