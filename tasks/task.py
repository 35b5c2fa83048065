"""What a body is asked to do: the description that an environment runs.

A task is a frozen, hashable value on the host. Its methods are of one environment, in JAX, and are traced inside the
environment step: they read :class:`~arnold.embodiments.Signals` and a *goal*, a pytree that the task draws at each
reset and may move from step to step. `Reach` and `Pose` are two kinds of task; `elbow_pose` and `hand_pose` are two
values.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from arnold.embodiments import Body, Change, Embodiment, Signals, embodiment
from arnold.vocab import Token, TokenTable, quantities

Goal = Any  # a pytree of arrays, the task's own


@dataclasses.dataclass(frozen=True)
class Start:
    """Where an episode begins. Activation is zero unless said: a reset resets everything."""

    joint_position: jax.Array  # (J,) rad, hinge and slide joints in the body's order
    joint_velocity: jax.Array  # (J,) rad/s
    activation: jax.Array  # (M,) in [0, 1]
    placed: dict[str, jax.Array] = dataclasses.field(default_factory=dict)  # joints that are not the body's, by name
    moving: dict[str, jax.Array] = dataclasses.field(
        default_factory=dict
    )  # their velocities, as in qvel; 0 if not said
    changes: tuple[jax.Array, ...] = ()  # one array per entry of the task's `changes`


@dataclasses.dataclass(frozen=True)
class Channel:
    """Some scalars of the observation: their tokens, and where their values come from.

    Attributes:
        tokens: one per scalar.
        read: (signals, goal) -> float32 (len(tokens),), in the units of docs/concepts.md.
    """

    tokens: tuple[Token, ...]
    read: Callable[[Signals, Goal], jax.Array]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a step is judged. The reward is the weighted sum of the terms."""

    terms: dict[str, jax.Array]  # each () float32
    solved: jax.Array  # () bool
    failed: jax.Array  # () bool: the episode ends here, without a bootstrap
    finished: jax.Array | bool = False  # () bool: the episode ends here, with one: what was asked is over


@dataclasses.dataclass(frozen=True)
class Ended:
    """The episode before, as the next one may learn from it."""

    goal: Goal
    failed: jax.Array  # () bool


jax.tree_util.register_dataclass(Start, [field.name for field in dataclasses.fields(Start)], [])
jax.tree_util.register_dataclass(Outcome, ["terms", "solved", "failed", "finished"], [])


@dataclasses.dataclass(frozen=True)
class Task:
    """Base of every task. Subclasses give `goal`, `channels` and `judge`, and override the rest where they differ.

    Attributes:
        name: what recipes and the command line call it.
        body: an embodiment, or the name of one.
        weights: (term, weight) pairs of the dense reward; a term without a weight is computed and logged, not rewarded.
        horizon: control steps per episode; reaching it truncates.
        summary: one line for `arnold list tasks`.
    """

    name: str
    body: Embodiment | str
    weights: tuple[tuple[str, float], ...]
    horizon: int = 100
    summary: str = ""

    @property
    def embodiment(self) -> Embodiment:
        """The body, looked up where the task names it."""
        return embodiment(self.body) if isinstance(self.body, str) else self.body

    @property
    def sites(self) -> tuple[str, ...]:
        """Sites whose positions the task reads."""
        return ()

    @property
    def frames(self) -> tuple[str, ...]:
        """MJCF bodies whose pose and velocity the task reads."""
        return ()

    @property
    def touches(self) -> tuple[str, ...]:
        """Sites whose touch the task reads."""
        return ()

    @property
    def changes(self) -> tuple[Change, ...]:
        """Fields of the model that each episode sets anew; `start` gives their values."""
        return ()

    def compile(self) -> Body:
        """The body with all that the task reads and changes."""
        return self.embodiment.compile(self.sites, self.frames, self.touches, self.changes)

    def start(self, body: Body, key: jax.Array) -> Start:
        """The first state of an episode: the body's rest pose, motionless, muscles silent."""
        return Start(
            joint_position=jnp.asarray(body.rest_position[body.joint_qpos]),
            joint_velocity=jnp.zeros(len(body.joints), jnp.float32),
            activation=jnp.zeros(len(body.muscles), jnp.float32),
            changes=tuple(jnp.asarray(change.current(body.model)) for change in body.changes),
        )

    def goal(self, body: Body, key: jax.Array) -> Goal:
        """Draw the goal of an episode."""
        raise TypeError(
            f"task {self.name!r} ({type(self).__name__}) does not say how to draw a goal: define goal(body, key)"
        )

    def draw(self, body: Body, key: jax.Array, ended: Ended | None) -> tuple[Start, Goal]:
        """An episode: its start and its goal, drawn apart by default.

        Args:
            body: the body.
            key: of this episode.
            ended: the episode before in the same environment; None for the first.
        """
        start_key, goal_key = jax.random.split(key)
        return self.start(body, start_key), self.goal(body, goal_key)

    def pool(self, goals: Goal) -> Goal:
        """What environments of one task learn from each other after each iteration of training; nothing by default.

        Args:
            goals: with a leading axis of environments.
        """
        return goals

    def begin(self, body: Body, signals: Signals, goal: Goal) -> Goal:
        """Take into the goal what it needs of an episode's first state, before that is observed; nothing by default."""
        return goal

    def advance(self, body: Body, signals: Signals, goal: Goal) -> Goal:
        """Move the goal after a control step, before the step is judged; a goal that stands still by default."""
        return goal

    def channels(self, body: Body) -> tuple[Channel, ...]:
        """The observation, in order."""
        raise TypeError(
            f"task {self.name!r} ({type(self).__name__}) does not say what is observed: define channels(body)"
        )

    def judge(self, body: Body, signals: Signals, goal: Goal) -> Outcome:
        """The reward terms, whether the step counts as solved, and whether the episode has failed."""
        raise TypeError(
            f"task {self.name!r} ({type(self).__name__}) does not say what it rewards: "
            "define judge(body, signals, goal)"
        )

    def reward(self, outcome: Outcome) -> jax.Array:
        """The dense reward () of an outcome: the weighted sum of its terms."""
        return jnp.sum(jnp.stack([jnp.float32(weight) * outcome.terms[term] for term, weight in self.weights]))

    def observation_table(self, body: Body) -> TokenTable:
        """The K observation tokens, in order."""
        return TokenTable(tuple(token for channel in self.channels(body) for token in channel.tokens))


def joint_channels(body: Body) -> tuple[Channel, ...]:
    """Joint positions (rad) and velocities (rad/s)."""
    return (
        Channel(body.joint_tokens(quantities.JOINT_POSITION), lambda s, g: s.joint_position),
        Channel(body.joint_tokens(quantities.JOINT_VELOCITY), lambda s, g: s.joint_velocity),
    )


def muscle_channels(body: Body) -> tuple[Channel, ...]:
    """Muscle lengths (m), velocities (m/s), forces (N, negative pulls) and activations."""
    return (
        Channel(body.muscle_tokens(quantities.MUSCLE_LENGTH), lambda s, g: s.muscle_length),
        Channel(body.muscle_tokens(quantities.MUSCLE_VELOCITY), lambda s, g: s.muscle_velocity),
        Channel(body.muscle_tokens(quantities.MUSCLE_FORCE), lambda s, g: s.muscle_force),
        Channel(body.muscle_tokens(quantities.MUSCLE_ACTIVATION), lambda s, g: s.activation),
    )


def activation_effort(signals: Signals) -> jax.Array:
    """||act||_2 / M, the effort that Arnold and MyoSuite penalise (spec: `act_mag`)."""
    return jnp.linalg.norm(signals.activation) / signals.activation.shape[-1]


def as_float(condition: jax.Array) -> jax.Array:
    """1.0 where a condition holds, else 0.0."""
    return jnp.where(condition, jnp.float32(1.0), jnp.float32(0.0))
