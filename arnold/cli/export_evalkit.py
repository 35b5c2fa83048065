"""`arnold export mm-evalkit`: rollouts in the file format of MuscleMimic's evaluation kit."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Annotated

import tyro

from arnold.cli.options import Names, PhysicsOptions
from arnold.cli.output import Done
from arnold.errors import UserError


@dataclasses.dataclass(frozen=True)
class ExportEvalkit:
    """Follow every clip of an imitation task and write the rollouts in the file format that mm-evalkit reads."""

    policy: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="POLICY")]
    """A name of the zoo, a checkpoint's folder, or a run."""

    out: Path
    """Folder of the files."""

    task: str = ""
    """The imitation task; the policy's own where not given."""

    clips: Names = ()
    """Clips, files of clips or folders of them, in place of the task's."""

    motion_group: str = ""
    """mm-evalkit's name of the list of clips, such as GAIT120_TESTING; the clips are in its order then."""

    seed: int = 0
    """Of what the environment draws."""

    physics: PhysicsOptions = dataclasses.field(default_factory=PhysicsOptions)

    def run(self) -> Done:
        """Follow and write."""
        from arnold.cli.task_names import own_tasks
        from arnold.cli.tracking import with_clips
        from arnold.episodes import policy_agent
        from arnold.mm_evalkit import check_body, write_rollouts
        from arnold.saved_policy import load
        from arnold.tasks import task
        from arnold.tasks.imitate import Imitate
        from arnold.tracking import follow

        saved = load(self.policy)
        names = (self.task,) if self.task else own_tasks(saved)
        followed = [made for made in map(task, with_clips(names, self.clips)) if isinstance(made, Imitate)]
        if len(followed) != 1:
            raise UserError(
                f"one imitation task is exported, and {', '.join(names) or 'none'} was given; name one with --task"
            )
        check_body(followed[0].compile())
        rollouts = follow(
            followed[0],
            functools.partial(policy_agent, saved.policy),
            (saved.params, saved.statistics),
            backend=self.physics.backend,
            threads=self.physics.threads,
            seed=self.seed,
        )
        folder = self.out.absolute()
        return Done((*write_rollouts(folder, rollouts, Path(self.policy).name, self.motion_group), folder))
