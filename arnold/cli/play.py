"""`arnold play`: watch an agent's episodes in a task, number by number."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import tyro

from arnold.cli.options import PhysicsOptions
from arnold.cli.output import Done, note, say, show_table

if TYPE_CHECKING:  # importing it imports JAX, which help and errors do not wait for
    from arnold.episodes import Recording
    from arnold.tasks import Environment


@dataclasses.dataclass(frozen=True)
class Play:
    """Run some episodes of a task and print what each came to; the quickest check of a task of your own."""

    task: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TASK")]
    """The task, or a file that registers one."""

    agent: Annotated[str, tyro.conf.arg(metavar="zero|random|POLICY")] = "random"
    """zero (action 0 on every muscle), random (uniform actions), or a policy."""

    episodes: int = 5
    """How many."""

    seed: int = 0
    """Of starts, goals and random actions."""

    physics: PhysicsOptions = dataclasses.field(default_factory=PhysicsOptions)

    def run(self) -> Done:
        """Run the episodes and print the table."""
        from arnold.episodes import Episodes
        from arnold.tasks import Environment, task

        environment = Environment(task(self.task), self.physics.backend, self.physics.threads)
        act, params = self._agent(environment)
        goal = environment.task
        note(f"{goal.name}: compiling, then {self.episodes} episodes of {goal.horizon} control steps")
        recording = Episodes(environment, act)(params, self.episodes, self.seed)
        _show(environment, recording)
        return Done()

    def _agent(self, environment: Environment):  # type: ignore[no-untyped-def]
        from arnold.checkpoints.zoo import zoo_names
        from arnold.episodes import policy_agent, random_agent, zero_agent
        from arnold.errors import UserError, did_you_mean
        from arnold.saved_policy import load

        scripted = {"zero": zero_agent, "random": random_agent}
        if self.agent in scripted:
            return scripted[self.agent](environment), ()
        try:
            saved = load(self.agent)
        except UserError as error:
            if "no policy" in str(error):
                near = did_you_mean(self.agent, [*scripted, *zoo_names()])
                raise UserError(
                    f"no agent {self.agent!r}: neither zero, random, a shipped policy nor a path; {near}"
                ) from error
            raise
        return policy_agent(saved.policy, environment), (saved.params, saved.statistics)


def _show(environment: Environment, recording: Recording) -> None:
    weights = dict(environment.task.weights)
    columns = ["episode", "steps", "steps solved", "reward", *(f"mean {name}" for name in recording.terms)]
    rows = []
    for e, running in enumerate(recording.running):
        means = [f"{values[e][running].mean():.4g}" for values in recording.terms.values()]
        solved = recording.solved[e].sum()
        rows.append([str(e + 1), str(running.sum()), str(solved), f"{recording.reward[e].sum():.3f}", *means])
    show_table(columns, rows)
    rewarded = " + ".join(f"{weight:g} {name}" for name, weight in weights.items())
    say(f"reward = {rewarded}; {100 * recording.solved.mean():.1f} % of steps solved")
