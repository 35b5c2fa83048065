"""`arnold view`: a policy in a browser, as it acts."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import tyro

from arnold.cli.options import Names, PhysicsOptions
from arnold.cli.output import Done, note, say


@dataclasses.dataclass(frozen=True)
class View:
    """Look at a policy in a browser: play, pause, speed, muscles' colours and activations, a direction pad on foot."""

    policy: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="POLICY")]
    """A name of the zoo, a checkpoint's folder, or a run."""

    task: str = ""
    """The task, or a file that registers one; the policy's own where it has only one."""

    clips: Names = ()
    """Clips, files of clips or folders of them, for an imitation task in place of its own."""

    muscles: Names = ()
    """Muscles that are plotted at first."""

    sampled: bool = False
    """Sample actions, in place of taking their mean."""

    seed: int = 0
    """Of starts and goals, and of sampled actions."""

    port: int = 8080
    """Of the page; 0 for a free one."""

    host: str = "127.0.0.1"
    """Which addresses the page is served to: this machine's own, or 0.0.0.0 for every machine that can reach it."""

    physics: PhysicsOptions = dataclasses.field(default_factory=PhysicsOptions)

    def run(self) -> Done:
        """Serve until Ctrl-C."""
        from arnold.cli.looked_at import looked_at
        from arnold.live_view import LiveView

        shown = looked_at(self.policy, self.task, self.clips, self.sampled, self.physics)
        note(f"{shown.environment.task.name}: compiling")
        live = LiveView(
            shown.environment,
            shown.act,
            (shown.saved.params, shown.saved.statistics),
            seed=self.seed,
            muscles=self.muscles,
            host=self.host,
            port=self.port,
        )
        live.advance()  # compiles, so that the page moves as soon as it is open
        say(f"open {live.address} in a browser; Ctrl-C ends")
        try:
            live.run()
        except KeyboardInterrupt:
            live.close()
        return Done()
