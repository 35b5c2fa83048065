"""Bring the joints to a posture: Arnold's elbow pose, MyoSuite's finger and hand poses."""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp

from arnold.embodiments import Body, Signals
from arnold.errors import UserError
from arnold.tasks.task import (
    Channel,
    Outcome,
    Start,
    Task,
    activation_effort,
    as_float,
    joint_channels,
    muscle_channels,
)
from arnold.vocab import quantities

ARNOLD_POSE_WEIGHTS = (("pose", 1.0), ("act_reg", 1.0), ("solved", 1.0))  # arXiv 2508.18066, dense training reward
MYOSUITE_POSE_WEIGHTS = (("pose", 1.0), ("bonus", 4.0), ("act_reg", 1.0), ("penalty", 50.0))  # PoseEnvV0's defaults
FAR = 2.0 * math.pi  # rad; MyoSuite's `far_thd`


@dataclasses.dataclass(frozen=True)
class Pose(Task):
    """Bring the joints to a target posture, drawn anew each episode.

    The goal is the target (J,) in rad. Terms: ``pose`` = -e, ``act_reg`` = -||act||/M, ``solved`` = 1[e < near],
    ``bonus`` = 1[e < near] + 1[e < 1.5 near], ``penalty`` = -1[e > 2 pi], with e = ||target - position||.

    Attributes:
        targets: (joint, low, high) in rad for every joint of the body, in any order.
        near: the step is solved when e is below this, rad.
        random_start: start from a posture uniform within the joint limits instead of the rest pose.
    """

    targets: tuple[tuple[str, float, float], ...] = ()
    near: float = 0.35
    random_start: bool = False
    weights: tuple[tuple[str, float], ...] = ARNOLD_POSE_WEIGHTS

    def start(self, body: Body, key: jax.Array) -> Start:
        """The rest pose, or a posture uniform within the joint limits."""
        rest = Task.start(self, body, key)
        if not self.random_start:
            return rest
        low, high = jnp.asarray(body.joint_range[:, 0]), jnp.asarray(body.joint_range[:, 1])
        return dataclasses.replace(rest, joint_position=jax.random.uniform(key, low.shape, minval=low, maxval=high))

    def goal(self, body: Body, key: jax.Array) -> jax.Array:
        """The target posture (J,) rad, uniform within each joint's range."""
        ranges = {joint: (low, high) for joint, low, high in self.targets}
        for joint in ranges:
            body.joint_index(joint)
        missing = [joint for joint in body.joints if joint not in ranges]
        if missing:
            raise UserError(
                f"task {self.name!r} gives no target range for joints {missing}; "
                "targets must name every joint of the body"
            )
        low = jnp.array([ranges[joint][0] for joint in body.joints], jnp.float32)
        high = jnp.array([ranges[joint][1] for joint in body.joints], jnp.float32)
        return jax.random.uniform(key, low.shape, minval=low, maxval=high)

    def channels(self, body: Body) -> tuple[Channel, ...]:
        """Joints, error (target minus position), target, muscles."""
        return (
            *joint_channels(body),
            Channel(body.joint_tokens(quantities.JOINT_ERROR), lambda s, g: g - s.joint_position),
            Channel(body.joint_tokens(quantities.JOINT_TARGET), lambda s, g: g),
            *muscle_channels(body),
        )

    def judge(self, body: Body, signals: Signals, goal: jax.Array) -> Outcome:
        """MyoSuite's `pose_reward`; see the class for the terms."""
        error = jnp.linalg.norm(goal - signals.joint_position)
        solved = error < self.near
        failed = error > FAR
        terms = {
            "pose": -error,
            "act_reg": -activation_effort(signals),
            "solved": as_float(solved),
            "bonus": as_float(solved) + as_float(error < 1.5 * self.near),
            "penalty": -as_float(failed),
        }
        return Outcome(terms, solved, failed)
