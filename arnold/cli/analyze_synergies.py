"""`arnold analyze synergies`: muscle synergies of recordings, or of a policy's tasks."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from arnold.cli.options import Count, Names, PhysicsOptions
from arnold.cli.output import Done, note, say, show_table
from arnold.errors import UserError

if TYPE_CHECKING:  # importing it imports JAX, which help and errors do not wait for
    from arnold.analysis.muscle_signals import MuscleSignals
    from arnold.analysis.synergy_report import SynergyReport

SCALES = ("none", "maximum", "deviation")


@dataclasses.dataclass(frozen=True)
class AnalyzeSynergies:
    """Extract muscle synergies (NMF and PCA) per task and pooled: their number, fit, similarity and clusters."""

    sources: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RECORDING_OR_POLICY ...")]
    """Recordings of one body (`arnold record`), or a policy: a name of the zoo, a checkpoint's folder, or a run."""

    tasks: Annotated[Names, tyro.conf.arg(aliases=["--task"])] = ()
    """Of a policy: tasks of one body, or a group; its own where not given."""

    episodes: int = 20
    """Of a policy: episodes per task."""

    signal: str = "activation"
    """What is factorised: activation, excitation, action or muscle_force."""

    scale: str = "none"
    """Every muscle on a scale of its own: over its maximum, or its standard deviation; none as they are."""

    count: Count = None
    """Synergies per task; where not given, of each the smallest number that accounts for `--vaf`."""

    vaf: float = 0.9
    """Share of the variance, overall, that the synergies are to account for."""

    samples: int = 1000
    """Of each task at most so many, evenly spread."""

    sampled: bool = False
    """Of a policy: sample actions, in place of taking their mean."""

    seed: int = 0
    """Of starts and goals, and of the factorisations' beginnings."""

    out: Path | None = None
    """Folder of the results; runs/analyses/NAME/synergies where not given."""

    physics: PhysicsOptions = dataclasses.field(default_factory=PhysicsOptions)

    def run(self) -> Done:
        """Factorise, print what was found, write tables and pictures."""
        if self.scale not in SCALES:
            raise UserError(f"--scale is {self.scale!r}; {', '.join(SCALES)} are accepted")
        if not self.sources:
            raise UserError("synergies of what? give recordings of `arnold record`, or a policy")
        from arnold.extras import extra_module

        for module in ("pandas", "sklearn", "xarray"):  # said before minutes of episodes
            extra_module(module, "analysis", "muscle synergies")
        from arnold.analysis.synergy_report import synergy_report, write_synergies

        recorded = [Path(source).is_file() or source.endswith(".h5") for source in self.sources]
        if len(self.sources) > 1 and not all(recorded):
            raise UserError(f"{', '.join(self.sources)}: give recordings alone, or one policy")
        signals = self._recorded([Path(s) for s in self.sources]) if all(recorded) else self._of_policy()
        if self.scale != "none":
            signals = [one.scaled(self.scale) for one in signals]
        report = synergy_report(
            signals, count=self.count, share=self.vaf, samples=self.samples, seed=self.seed, note=note
        )
        _show(report)
        name = Path(self.sources[0]).stem if all(recorded) else Path(self.sources[0]).name
        folder = (self.out or Path("runs") / "analyses" / name / "synergies").absolute()
        return Done((*write_synergies(folder, report), folder))

    def _recorded(self, paths: Sequence[Path]) -> list[MuscleSignals]:
        """One set of signals per recording, named by its task; by its file where two are of one task."""
        from arnold.analysis.muscle_signals import muscle_signals
        from arnold.recording_file import load_recording

        found = [muscle_signals(load_recording(path, [self.signal]), self.signal) for path in paths]
        names = [one.name for one in found]
        return [
            dataclasses.replace(one, name=path.stem) if names.count(one.name) > 1 else one
            for one, path in zip(found, paths, strict=True)
        ]

    def _of_policy(self) -> list[MuscleSignals]:
        from arnold.cli.task_names import expand, own_tasks
        from arnold.episodes import policy_agent
        from arnold.recording import record
        from arnold.saved_policy import load
        from arnold.tasks import Environment, task

        saved = load(self.sources[0])
        tasks = expand(self.tasks) or own_tasks(saved)
        if not tasks:
            raise UserError(f"the tasks of {self.sources[0]!r} are not known here; name some with --tasks")
        bodies = {name: task(name).embodiment.name for name in tasks}
        if len(set(bodies.values())) > 1:
            several = ", ".join(dict.fromkeys(bodies.values()))
            raise UserError(
                f"synergies are of one body, and these tasks are of {several}; choose with --tasks: {', '.join(bodies)}"
            )
        with tempfile.TemporaryDirectory() as folder:
            paths = []
            for name in tasks:
                environment = Environment(task(name), self.physics.backend, self.physics.threads)
                act = policy_agent(saved.policy, environment, deterministic=not self.sampled)
                note(f"{environment.task.name}: compiling, then {self.episodes} episodes")
                path = Path(folder) / f"{environment.task.name}.h5"
                paths.append(record(path, environment, act, (saved.params, saved.statistics), self.episodes, self.seed))
            return self._recorded(paths)


def _show(report: SynergyReport) -> None:
    numbers = report.numbers.reset_index()
    rows = []
    for name, found in report.extracted["nmf"].items():
        of_set = numbers[numbers["set"] == name]
        by_method = {
            method: of_set.loc[of_set["method"] == method, "number"].dropna().tolist() for method in ("nmf", "pca")
        }
        silent = str(len(found.signals.silent)) if found.signals.silent else ""
        shown = [_range(by_method["nmf"]), _range(by_method["pca"])]
        size = [str(len(found.signals.values)), str(len(found.signals.muscles)), silent]
        fit = [f"{100 * found.vaf:.1f} %", f"{100 * found.r2:.1f} %"]
        rows.append([name, *size, str(found.count), *fit, *shown])
    columns = ["", "samples", "muscles", "silent", "synergies", "VAF", "R²", "by criteria, NMF", "by criteria, PCA"]
    show_table(columns, rows)
    for line in report.lines():
        say(line)


def _range(numbers: Sequence[int]) -> str:
    if not numbers:
        return "none met"
    return str(numbers[0]) if min(numbers) == max(numbers) else f"{min(numbers)} to {max(numbers)}"
