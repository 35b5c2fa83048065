"""What is wrong with a task, in plain lines: for a person who writes one.

Nothing that a user's method does ends in a traceback here. Each method is first traced, as the environment will trace
it, which shows wrong shapes, types and names; a task that passes is then run at rest and with random actions.
"""

from __future__ import annotations

import dataclasses
import functools
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from arnold.embodiments import Body, Signals
from arnold.embodiments.changes import width_of
from arnold.embodiments.physics import PhysicsState
from arnold.errors import UserError, did_you_mean
from arnold.tasks.environment import Environment
from arnold.tasks.task import Channel, Outcome, Start, Task
from arnold.tasks.trial import try_out

OWN_FOLDERS = tuple(str(Path(str(module.__file__)).resolve().parent) for module in (jax, np))  # not the user's files


@dataclasses.dataclass(frozen=True)
class TaskReport:
    """What `check_task` found.

    Attributes:
        task: the task's name.
        problems: what must be put right; empty for a task that can be trained.
        notes: what may be meant, and is worth a look.
    """

    task: str
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing must be put right."""
        return not self.problems

    def __str__(self) -> str:
        verdict = f"task {self.task!r}: " + ("ready to train" if self.ok else f"{len(self.problems)} to put right")
        return "\n".join((verdict, *(f"  wrong: {p}" for p in self.problems), *(f"  note:  {n}" for n in self.notes)))


def check_task(task: Task) -> TaskReport:
    """Trace and run a task, and say what is wrong with it.

    Args:
        task: the task, registered or not.

    Raises:
        UserError: where it is no task at all.

    Example:
        >>> print(check_task(task("docs/examples/point_index_still_wrist.py")))
    """
    if not isinstance(task, Task):
        raise UserError(f"check_task was given {type(task).__name__!r}; it takes an arnold.tasks.Task")
    check = _Check(task)
    check.fields()
    body = check.attempt("its body", lambda: task.compile())
    if body is not None:
        check.methods(body)
    if not check.problems:
        tried = check.attempt("the environment", lambda: try_out(Environment(task, threads=1)))
        if tried is not None:
            check.problems += tried.problems
            check.notes += tried.notes
    return TaskReport(task.name, tuple(check.problems), tuple(check.notes))


class _Check:
    """The findings so far, and the steps that add to them."""

    def __init__(self, task: Task):
        self.task = task
        self.problems: list[str] = []
        self.notes: list[str] = []

    def attempt(self, what: str, call: Callable[[], Any]) -> Any:
        """The call's result; an exception becomes a line that names the method and the line of the user's file."""
        try:
            return call()
        except UserError as error:
            self.problems.append(str(error))
        except Exception as error:  # whatever a user's method raises is a finding
            said = " ".join(str(error).split("\n\n")[0].split()) or "no message"
            self.problems.append(f"{what} fails{_place(error)}: {type(error).__name__}: {said}")
        return None

    def fields(self) -> None:
        """The horizon and the weights."""
        task = self.task
        if not isinstance(task.horizon, int) or task.horizon < 1:
            self.problems.append(f"horizon is {task.horizon!r}; it is a whole number of control steps, 1 or more")
        if not task.weights:
            self.problems.append("weights are empty, so there is no reward; give (term, weight) pairs")
        for pair in task.weights:
            if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str) and _is_finite(pair[1])):
                self.problems.append(f"weights hold {pair!r}; each is a pair of a term's name and a finite number")

    def methods(self, body: Body) -> None:
        """Every method of the task, traced as the environment does."""
        task = self.task
        key = jax.random.key(0)
        signals = jax.eval_shape(lambda: signals_at_rest(body))
        self._start(body, self.attempt("start(body, key)", lambda: jax.eval_shape(lambda k: task.start(body, k), key)))
        goal = self.attempt("goal(body, key)", lambda: (jax.eval_shape(lambda k: task.goal(body, k), key),))
        channels = self.attempt("channels(body)", lambda: tuple(task.channels(body)))
        if goal is None:
            return
        (goal,) = goal
        moved = self.attempt(
            "advance(body, signals, goal)",
            lambda: (jax.eval_shape(lambda s, g: task.advance(body, s, g), signals, goal),),
        )
        if moved is not None:
            self._advance(goal, moved[0])
        if channels is not None:
            self._channels(channels, signals, goal)
        outcome = self.attempt(
            "judge(body, signals, goal)", lambda: jax.eval_shape(lambda s, g: task.judge(body, s, g), signals, goal)
        )
        if outcome is not None:
            self._judge(outcome)

    def _start(self, body: Body, start: Any) -> None:
        if start is None:
            return
        if not isinstance(start, Start):
            self.problems.append(f"start(body, key) returns {type(start).__name__!r}; it returns an arnold.tasks.Start")
            return
        given, widths = [value.size for value in start.changes], [change.width for change in body.changes]
        if given != widths:
            self.problems.append(
                f"start(body, key).changes has sizes {given}; the task's `changes` are of sizes {widths}"
            )
        sizes = {
            "joint_position": len(body.joints),
            "joint_velocity": len(body.joints),
            "activation": len(body.muscles),
        }
        for field, size in sizes.items():
            self._array(f"start(body, key).{field}", getattr(start, field), (size,), jnp.float32)

    def _advance(self, goal: Any, moved: Any) -> None:
        before, after = jax.tree.structure(goal), jax.tree.structure(moved)
        if str(before) != str(after):
            self.problems.append(
                f"advance changes the goal's structure from {before} to {after}; it must stay as drawn"
            )
            return
        for (path, old), new in zip(jax.tree_util.tree_leaves_with_path(goal), jax.tree.leaves(moved), strict=True):
            name = f"goal{jax.tree_util.keystr(path)}"
            if (old.shape, old.dtype) != (new.shape, new.dtype):
                self.problems.append(f"advance changes {name} from {_said(old)} to {_said(new)}; it must stay as drawn")

    def _channels(self, channels: tuple[Any, ...], signals: Any, goal: Any) -> None:
        owner: dict[tuple[str, ...], str] = {}
        for place, channel in enumerate(channels):
            name = f"channel {place}"
            if not isinstance(channel, Channel):
                self.problems.append(
                    f"{name} is {type(channel).__name__!r}; channels(body) returns arnold.tasks.Channel"
                )
                continue
            if channel.tokens:
                name += f" (tokens from {'+'.join(channel.tokens[0].words)!r})"
            for token in channel.tokens:
                if token.signature in owner:
                    repeated = f"{name} repeats the words {'+'.join(token.words)!r} of {owner[token.signature]}"
                    self.problems.append(f"{repeated}; each scalar needs its own words")
                owner[token.signature] = name
            read = functools.partial(jax.eval_shape, channel.read, signals, goal)
            values = self.attempt(f"{name}: read(signals, goal)", lambda: (read(),))  # noqa: B023 - called at once
            if values is not None:
                self._array(f"{name}: read(signals, goal)", values[0], (len(channel.tokens),), jnp.float32)
        if not owner:
            self.problems.append("channels(body) gives no tokens: the policy would observe nothing")

    def _judge(self, outcome: Any) -> None:
        if not isinstance(outcome, Outcome) or not isinstance(outcome.terms, dict):
            kind = type(outcome).__name__
            self.problems.append(
                f"judge returns {kind!r}; it returns Outcome(terms, solved, failed), terms a dict by name"
            )
            return
        for term, value in outcome.terms.items():
            self._array(f"judge: term {term!r}", value, (), jnp.float32)
        for field in ("solved", "failed"):
            self._array(f"judge: {field}", getattr(outcome, field), (), jnp.bool_)
        weighted = [pair[0] for pair in self.task.weights if isinstance(pair, tuple) and pair]
        for term in weighted:
            if term not in outcome.terms:
                hint = did_you_mean(str(term), outcome.terms)
                self.problems.append(f"weights name the term {term!r}, which judge does not return; {hint}")
        for term in outcome.terms:
            if term not in weighted:
                self.notes.append(f"the term {term!r} has no weight: it is logged, and not rewarded")

    def _array(self, what: str, value: Any, shape: tuple[int, ...], dtype: Any) -> None:
        """A line unless ``value`` is an array of this shape and type."""
        wanted = f"{jnp.dtype(dtype).name} {shape}"
        if not hasattr(value, "shape") or not hasattr(value, "dtype"):
            self.problems.append(f"{what} is {type(value).__name__!r}; it must be {wanted}")
        elif value.shape != shape or value.dtype != dtype:
            self.problems.append(f"{what} is {_said(value)}; it must be {wanted}")


def signals_at_rest(body: Body) -> Signals:
    """Signals of the right shapes and types, all zero."""
    model = body.model
    sizes = {"qpos": model.nq, "qvel": model.nv, "act": model.na, "sensordata": model.nsensordata}
    zeros = {field: jnp.zeros(size, jnp.float32) for field, size in sizes.items()}
    silent, changes = jnp.zeros(len(body.muscles), jnp.float32), jnp.zeros(width_of(body.changes), jnp.float32)
    return body.signals(PhysicsState(time=jnp.float32(0.0), excitation=silent, changes=changes, **zeros))


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and bool(np.isfinite(value))


def _said(value: Any) -> str:
    return f"{value.dtype} {tuple(value.shape)}"


def _place(error: Exception) -> str:
    """Where in the user's file an error was raised: the innermost line that is neither JAX's nor NumPy's."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(OWN_FOLDERS)]
    mine = [f for f in frames if f.filename != __file__]
    return f" at {Path(mine[-1].filename).name}:{mine[-1].lineno}" if mine else ""
