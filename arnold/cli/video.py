"""`arnold video`: an episode as mp4, or as a page that opens without a server."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from arnold.cli.options import Names, PhysicsOptions
from arnold.cli.output import Done, note, say
from arnold.errors import UserError

FORMATS = (".mp4", ".html")


@dataclasses.dataclass(frozen=True)
class Video:
    """Film a policy: mp4 with tendons coloured by activation, or a page (--out FILE.html) to turn and plot in."""

    policy: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="POLICY")]
    """A name of the zoo, a checkpoint's folder, or a run."""

    task: str = ""
    """The task, or a file that registers one; the policy's own where it has only one."""

    clips: Names = ()
    """Clips, files of clips or folders of them, for an imitation task in place of its own."""

    seconds: Annotated[float | None, tyro.conf.arg(metavar="S")] = None
    """How long, episode after episode; one episode where not given."""

    out: Path | None = None
    """FILE.mp4, or FILE.html for a page that needs neither OpenGL nor a server; runs/videos/POLICY-TASK.mp4 where not
    given. A file that is there already is kept."""

    muscles: Names = ()
    """Muscles that the page plots at first; those that vary most where not given."""

    sampled: bool = False
    """Sample actions, in place of taking their mean."""

    seed: int = 0
    """Of starts and goals, and of sampled actions."""

    physics: PhysicsOptions = dataclasses.field(default_factory=PhysicsOptions)

    def run(self) -> Done:
        """Run the policy, and write what it looked like."""
        if self.out is not None and self.out.suffix not in FORMATS:
            raise UserError(
                f"--out {str(self.out)!r} ends with {self.out.suffix!r}; {' or '.join(FORMATS)} is accepted"
            )
        page = self.out is not None and self.out.suffix == ".html"
        if self.muscles and not page:
            raise UserError(f"--muscles {' '.join(self.muscles)} is for pages; give --out FILE.html too")
        from arnold.cli.looked_at import looked_at
        from arnold.looking import chosen_muscles, watch
        from arnold.recording_file import require_new
        from arnold.replay_page import write_replay
        from arnold.video import opengl, write_video

        if not page:
            opengl()  # before the policy runs
        shown = looked_at(self.policy, self.task, self.clips, self.sampled, self.physics)
        environment, saved = shown.environment, shown.saved
        body, name = environment.body, environment.task.name
        out = (self.out or Path("runs") / "videos" / f"{Path(self.policy).name}-{name}.mp4").absolute()
        require_new(out)
        chosen_muscles(body.muscles, self.muscles)
        note(f"{name}: compiling and running it")
        seen = watch(environment, shown.act, (saved.params, saved.statistics), self.seed, self.seconds)
        if page:
            write_replay(out, body, seen, self.muscles, f"{Path(self.policy).name} in {name}")
        else:
            note(f"drawing {len(seen.qpos)} frames")
            write_video(out, body, seen)
        length = len(seen.qpos) * seen.seconds
        say(f"{length:.2f} s of {name}, {len(seen.qpos)} frames, {out.stat().st_size / 1e6:.1f} MB")
        return Done((out,))
