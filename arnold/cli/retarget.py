"""`arnold retarget`: motion capture files made into clips that a body can imitate."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from arnold.cli.options import Count
from arnold.cli.output import Done, say, show_table
from arnold.errors import UserError

if TYPE_CHECKING:
    from arnold.motion.folder import Outcome

_BAD_FILES = 1  # exit code where some files could not be retargeted
_SHOWN = 40  # rows of the table; a thousand clips have a report each


@dataclasses.dataclass(frozen=True)
class Retarget:
    """Make clips for a body from motion files (BVH, AMC, C3D, TRC, OpenSim .mot, AMASS npz), each with a report.

    A folder is done in parallel and past bad files, which are listed at the end; run again, it goes on where it was
    stopped.
    """

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE|FOLDER")]
    """A motion file, or a folder of them."""

    body: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """The body to retarget to; repeat for several. kinesis_legs where not given."""

    out: Path = Path("clips")
    """Where clips go: OUT/BODY/NAME.npz, with its picture (.png) and report (.json) beside it."""

    rate: Annotated[float, tyro.conf.arg(metavar="HZ")] = 0.0
    """Frames per second of the clips; the file's own, divided down to 100 or less, where not given."""

    start: Annotated[float, tyro.conf.arg(metavar="S")] = 0.0
    """First second to take."""

    stop: Annotated[float | None, tyro.conf.arg(metavar="S")] = None
    """Last second to take; the end where not given."""

    workers: Count = None
    """Processes; all cores where not given."""

    picture: bool = True
    """Draw a picture of each clip."""

    def run(self) -> Done:
        """Retarget all and print the table."""
        from arnold.embodiments import embodiment
        from arnold.motion.folder import Work, cores, motion_files, names_of, run_all
        from arnold.progress import Progress

        self._check()
        bodies = self.body or ("kinesis_legs",)
        for name in bodies:
            embodiment(name)
        files = motion_files(self.source.expanduser())
        options = [("start", self.start)] * (self.start != 0.0) + [("stop", self.stop)] * (self.stop is not None)
        works = [
            Work(path, body, self.out, name, self.rate, tuple(options), self.picture)
            for path, name in zip(files, names_of(files, self.source.expanduser()), strict=True)
            for body in bodies
        ]
        done: list[Outcome] = []
        with Progress(len(works), unit="clips", label="retarget") as progress:
            for outcome in run_all(works, self.workers or cores()):
                done.append(outcome)
                progress.update(len(done), bad=str(sum(bool(o.error) for o in done)))
        if len(works) == 1 and done[0].error:
            raise UserError(done[0].error)
        order = {work: place for place, work in enumerate(works)}
        return self._told(sorted(done, key=lambda o: order[o.work]))

    def _check(self) -> None:
        if not (math.isfinite(self.rate) and self.rate >= 0):
            raise UserError(f"--rate is {self.rate!r}; frames per second above 0 are accepted")
        if self.start < 0 or (self.stop is not None and self.stop <= self.start):
            raise UserError(
                f"--start is {self.start:g} and --stop {self.stop}; 0 <= start < stop is accepted, in seconds"
            )
        if self.workers is not None and self.workers < 1:
            raise UserError(f"--workers is {self.workers}; at least 1 is accepted")

    def _told(self, outcomes: list[Outcome]) -> Done:
        good = [o for o in outcomes if not o.error]
        bad = [o for o in outcomes if o.error]
        kept = sum(o.kept for o in good)
        if good:
            columns = ["clip", "body", "frames", "Hz", "site error cm (median, max)", "limits rad", "couplings rad"]
            columns += ["below ground %", "sliding m/s", "tendon jump", "fails"]
            show_table(columns, [_row(o) for o in good[:_SHOWN]])
            if len(good) > _SHOWN:
                say(f"... and {len(good) - _SHOWN} more; each clip's report lies beside it")
        if kept:
            say(f"{kept} of {len(outcomes)} clips were there already, of the same source: kept as they are")
        if bad:
            say(f"{len(bad)} of {len(outcomes)} could not be retargeted:")
            for outcome in bad:
                say(f"  {outcome.work.path} to {outcome.work.body}: {outcome.error}")
        many = len(good) > 3
        written = dict.fromkeys(o.work.out / o.work.body if many else o.work.clip for o in good)
        pictures = [o.work.clip.with_suffix(".png") for o in good if o.work.picture] if not many else []
        return Done((*pictures, *written), _BAD_FILES if bad else 0)


def _row(outcome: Outcome) -> list[str]:
    from arnold.motion.quality import failures

    q = outcome.quality
    site, ground, sliding = q["site_error_m"], q["ground"], q["foot_sliding_m_s"]
    return [
        outcome.work.name,
        outcome.work.body,
        f"{q['frames']}",
        f"{q['rate_hz']:g}",
        f"{100 * site['median']:.1f}, {100 * site['max']:.1f}" if "median" in site else "-",
        f"{q['joint_limit_violation']['max_rad']:.0e}",
        f"{q['coupling_violation']['max_rad']:.0e}",
        f"{100 * ground['share_below_5_mm']:.1f}" if ground else "-",
        f"{sliding['mean']:.2f}" if sliding else "-",
        f"{q['tendon_jump']['max']:.3f}",
        "; ".join(failures(q)) or "none",
    ]
