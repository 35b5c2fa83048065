"""Which tasks are trained together, with how many environments each, and how they fall into buckets of equal shape.

No padding: tasks whose token tables have the same shapes share a *bucket* and one batched call; a mixed update is the
sum over buckets.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from arnold.errors import UserError
from arnold.tasks import Environment, Task, task
from arnold.tasks.imitate import Imitate
from arnold.vocab import TokenTable


@dataclasses.dataclass(frozen=True)
class Mixture:
    """Environments per task, in order.

    Example:
        >>> Mixture.of({"hand_index_reach": 64, "elbow_pose": 16})
    """

    shares: tuple[tuple[str, int], ...]
    horizon: int = 0  # control steps per episode in place of the tasks' own, where it is not 0
    clips: tuple[str, ...] = ()  # to imitate in place of the tasks' own, where there are any
    held_out: tuple[str, ...] = ()  # of those, not to be drawn

    @classmethod
    def of(
        cls,
        shares: Mapping[str, int],
        horizon: int = 0,
        clips: tuple[str, ...] = (),
        held_out: tuple[str, ...] = (),
    ) -> Mixture:
        """A mixture from task names (or task files) and their numbers of environments.

        Args:
            shares: environments by task.
            horizon: control steps per episode in place of the tasks' own, where it is not 0; reaching it truncates, as
                theirs does.
            clips: for imitation tasks, clips in place of their own, where there are any.
            held_out: names of those clips, or of subjects, that no episode is drawn from.

        Raises:
            UserError: for an empty mixture, an unknown task, a task named twice, a number of environments below 1, a
                horizon below 0, or clips for a task that imitates none.
        """
        if horizon < 0:
            raise UserError(f"horizon is {horizon!r}; control steps are accepted, or 0 for the task's own horizon")
        if not shares:
            raise UserError("the mixture is empty; name at least one task with its number of environments")
        names: dict[str, str] = {}
        for name, environments in shares.items():
            other = names.setdefault(task(name).name, name)
            if other != name:
                raise UserError(
                    f"the mixture gives the same task twice, as {other!r} and as {name!r}; "
                    "name it once, with all its environments"
                )
            if not isinstance(environments, int) or environments < 1:
                raise UserError(
                    f"the mixture gives task {name!r} {environments!r} environments; at least 1 is accepted"
                )
            if clips and not isinstance(task(name), Imitate):
                raise UserError(f"clips were given for task {name!r}, which imitates none; leave them out")
        return cls(tuple(shares.items()), horizon, clips, held_out)

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks, in order."""
        tasks = tuple(task(name) for name, _ in self.shares)
        changed: dict[str, Any] = {"horizon": self.horizon} if self.horizon else {}
        if self.clips:
            changed |= {"clips": self.clips, "held_out": self.held_out}
        return tuple(dataclasses.replace(t, **changed) for t in tasks)


@dataclasses.dataclass(frozen=True)
class Lane:
    """One task of a mixture at run time."""

    name: str
    environment: Environment
    batch: int  # B, environments of this task


@dataclasses.dataclass(frozen=True)
class Bucket:
    """Lanes whose observation tokens, muscles, entity groups and number of environments agree in shape."""

    lanes: tuple[Lane, ...]

    @property
    def batch(self) -> int:
        """B, environments of each lane."""
        return self.lanes[0].batch

    @property
    def tables(self) -> list[tuple[TokenTable, TokenTable]]:
        """(observation table, action table) of each of the N lanes."""
        return [(lane.environment.observation_table, lane.environment.action_table) for lane in self.lanes]


def make_lanes(mixture: Mixture, backend: str = "native", threads: int | None = None) -> tuple[Lane, ...]:
    """An environment for each task of the mixture."""
    return tuple(
        Lane(t.name, Environment(t, backend, threads), count)
        for t, (_, count) in zip(mixture.tasks, mixture.shares, strict=True)
    )


def make_buckets(lanes: tuple[Lane, ...]) -> tuple[Bucket, ...]:
    """Lanes grouped by shape, in order of first appearance."""
    grouped: dict[tuple, list[Lane]] = {}
    for lane in lanes:
        observation, action = lane.environment.observation_table, lane.environment.action_table
        entities = tuple((g.index.shape, g.quantities) for g in observation.entity_groups())
        words = tuple(len(t.words) for t in observation.tokens), tuple(len(t.words) for t in action.tokens)
        key = (len(observation), len(action), entities, words, lane.batch)
        grouped.setdefault(key, []).append(lane)
    return tuple(Bucket(tuple(group)) for group in grouped.values())
