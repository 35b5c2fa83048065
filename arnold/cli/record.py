"""`arnold record`: rollouts in a file that any program reads."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from arnold.cli.options import PhysicsOptions
from arnold.cli.output import Done, note, say
from arnold.errors import UserError


@dataclasses.dataclass(frozen=True)
class Record:
    """Record rollouts: muscles, joints, moments, contacts, tokens, rewards, in one compressed HDF5 file."""

    policy: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="POLICY")]
    """A name of the zoo, a checkpoint's folder, or a run."""

    task: str = ""
    """The task, or a file that registers one; the policy's own where it has only one."""

    episodes: int = 100
    """How many."""

    out: Path | None = None
    """The file; runs/recordings/POLICY-TASK.h5 where not given. One that is there already is kept."""

    sampled: bool = False
    """Sample actions, in place of taking their mean."""

    seed: int = 0
    """Of starts and goals, and of sampled actions."""

    latents: bool = False
    """Record what the transformer's encoder makes of each observation, too."""

    attention: bool = False
    """Record how much of each observed token every muscle reads, too, averaged over heads; it makes large files."""

    attention_heads: bool = False
    """The same with the decoder's heads apart."""

    physics: PhysicsOptions = dataclasses.field(default_factory=PhysicsOptions)

    def run(self) -> Done:
        """Record, and say how large the file is."""
        from arnold.episodes import policy_agent
        from arnold.recording import policy_attention, policy_latents, record
        from arnold.recording_file import require_new
        from arnold.saved_policy import load
        from arnold.tasks import Environment, task

        saved = load(self.policy)
        environment = Environment(task(self._task(saved.tasks)), self.physics.backend, self.physics.threads)
        name = environment.task.name
        out = (self.out or Path("runs") / "recordings" / f"{Path(self.policy).name}-{name}.h5").absolute()
        require_new(out)
        act = policy_agent(saved.policy, environment, deterministic=not self.sampled)
        latents = policy_latents(saved.policy, environment) if self.latents else None
        attention = None
        if self.attention or self.attention_heads:
            attention = policy_attention(saved.policy, environment, self.attention_heads)
        note(f"{name}: compiling, then {self.episodes} episodes of {environment.task.horizon} control steps")
        record(
            out,
            environment,
            act,
            (saved.params, saved.statistics),
            self.episodes,
            self.seed,
            latents=latents,
            attention=attention,
            about={"policy": self.policy, "deterministic": int(not self.sampled)},
            note=note,
        )
        say(f"{self.episodes} episodes of {name}, {out.stat().st_size / 1e6:.1f} MB; arnold.load_recording reads it")
        return Done((out,))

    def _task(self, own: tuple[str, ...]) -> str:
        if self.task:
            return self.task
        if len(own) == 1:
            return own[0]
        raise UserError(f"{self.policy!r} has {len(own)} tasks; say with --task which to record: {', '.join(own)}")
