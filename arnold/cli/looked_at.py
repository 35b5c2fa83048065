"""The policy and the task that `arnold video` and `arnold view` show."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from arnold.cli.options import PhysicsOptions
from arnold.errors import UserError

if TYPE_CHECKING:  # importing them imports JAX, which help and errors do not wait for
    from arnold.episodes import Act
    from arnold.saved_policy import SavedPolicy
    from arnold.tasks import Environment


@dataclasses.dataclass(frozen=True, eq=False)
class LookedAt:
    """A policy where it acts."""

    saved: SavedPolicy
    environment: Environment
    act: Act


def looked_at(policy: str, task: str, clips: Sequence[str], sampled: bool, physics: PhysicsOptions) -> LookedAt:
    """Load a policy and the task to show it in.

    Args:
        policy: a name of the zoo, a checkpoint's folder, or a run.
        task: empty for the policy's own, where it has only one.
        clips: for an imitation task, in place of its own.
        sampled: sample actions, in place of taking their mean.
        physics: where the body is stepped.

    Raises:
        UserError: for an unknown policy or task, where one has to be chosen, or the policy cannot act in it.
    """
    from arnold.cli.tracking import with_clips
    from arnold.episodes import policy_agent
    from arnold.saved_policy import load
    from arnold.tasks import Environment
    from arnold.tasks import task as find

    saved = load(policy)
    if not task and len(saved.tasks) != 1:
        raise UserError(f"{policy!r} has {len(saved.tasks)} tasks; choose with --task: {', '.join(saved.tasks)}")
    name = with_clips((task or saved.tasks[0],), clips)[0]
    environment = Environment(find(name), physics.backend, physics.threads)
    return LookedAt(saved, environment, policy_agent(saved.policy, environment, deterministic=not sampled))
