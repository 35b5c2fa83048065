"""Walk to a point on the floor: Arnold's task for MyoLegs."""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp

from arnold.embodiments import Body, Signals
from arnold.tasks import rotations
from arnold.tasks.task import Channel, Outcome, Start, Task, as_float, joint_channels, muscle_channels
from arnold.tasks.things import axis_channel, with_posture
from arnold.vocab import Token, quantities

ARNOLD_WALK_WEIGHTS = (("progress", 16.0), ("energy", 0.1), ("upright", 0.1), ("solved", 1.0))
ROOT = "root"  # the MJCF body that the free joint of the same name moves
FORWARD = (1.0, 0.0, 0.0)  # where the body faces, in the root's frame
FEET = (  # (site, side, part)
    ("foot_touch_r", "right", "foot"),
    ("toes_touch_r", "right", "toes"),
    ("foot_touch_l", "left", "foot"),
    ("toes_touch_l", "left", "toes"),
)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class WalkGoal:
    """The point, and how far the root was from it: now, and one control step before."""

    point: jax.Array  # (3,) m, world frame
    now: jax.Array  # () m, horizontal
    before: jax.Array  # () m


@dataclasses.dataclass(frozen=True)
class WalkToPoint(Task):
    """Bring the root above a point on the floor, on foot.

    With D the horizontal distance of the root from the point, u the excitations and t the angle between the root's
    vertical and the world's, the terms are ``progress`` = D before - D, ``energy`` = exp(-0.05 (||u||_1 + ||u||_2)),
    ``upright`` = exp(-3 t^2), ``solved`` = 1[D < near]. The reference's tilt is made of Euler angles of a quaternion
    read in the wrong order, and its goal is seen in the world's frame by a body that does not see its own heading; here
    the tilt is the angle itself, and velocity and goal are seen in the frame of the heading.

    Attributes:
        posture: (joint, rad or m) of the joints at the start.
        place: of the root at the start, m, world frame.
        yaw: heading at the start, rad from the world's x.
        low, high: corners of the rectangle that points are drawn from, m, world frame.
        height: of the point that the root is to reach, m; only seen, not judged.
        near: the step is solved when D is below this, m.
        fallen: the episode fails when the root is lower than this, m.
    """

    posture: tuple[tuple[str, float], ...] = ()
    place: tuple[float, float, float] = (0.0, 0.0, 0.94)
    yaw: float = 0.0
    low: tuple[float, float] = (-2.0, -2.0)
    high: tuple[float, float] = (2.0, 2.0)
    height: float = 0.94
    near: float = 0.1
    fallen: float = 0.7
    weights: tuple[tuple[str, float], ...] = ARNOLD_WALK_WEIGHTS

    @property
    def frames(self) -> tuple[str, ...]:
        """The root."""
        return (ROOT,)

    @property
    def touches(self) -> tuple[str, ...]:
        """Feet and toes."""
        return tuple(site for site, _, _ in FEET)

    def start(self, body: Body, key: jax.Array) -> Start:
        """Standing, at rest."""
        half = self.yaw / 2.0
        root = jnp.array([*self.place, math.cos(half), 0.0, 0.0, math.sin(half)], jnp.float32)
        standing = with_posture(body, Task.start(self, body, key), self.posture)
        return dataclasses.replace(standing, placed={ROOT: root})

    def goal(self, body: Body, key: jax.Array) -> WalkGoal:
        """A point."""
        flat = jax.random.uniform(key, (2,), minval=jnp.array(self.low), maxval=jnp.array(self.high))
        return WalkGoal(jnp.concatenate([flat, jnp.array([self.height])]), jnp.float32(0.0), jnp.float32(0.0))

    def begin(self, body: Body, signals: Signals, goal: WalkGoal) -> WalkGoal:
        """Measure the first state."""
        now = distance(signals, goal)
        return dataclasses.replace(goal, now=now, before=now)

    def advance(self, body: Body, signals: Signals, goal: WalkGoal) -> WalkGoal:
        """Measure, and keep the distance of the step before."""
        return dataclasses.replace(goal, now=distance(signals, goal), before=goal.now)

    def channels(self, body: Body) -> tuple[Channel, ...]:
        """Joints, feet, tilt, muscles, velocity of the root, error (point minus root); the last three by heading."""
        feet = tuple(Token((side, part), quantities.CONTACT_FORCE) for _, side, part in FEET)
        tilt = tuple(Token(("root",), quantities.orientation(axis)) for axis in "xy")
        return (
            *joint_channels(body),
            Channel(feet, lambda s, g: s.touch),
            Channel(tilt, lambda s, g: by_heading(s, root_tilt(s))[:2]),
            *muscle_channels(body),
            axis_channel(
                ("root",), quantities.site_velocity, lambda s, g: by_heading(s, s.frame(ROOT).linear_velocity)
            ),
            self.point_channel(),
        )

    def point_channel(self) -> Channel:
        """The point minus the root, by heading."""
        return axis_channel(
            ("root",), quantities.site_error, lambda s, g: by_heading(s, g.point - s.frame(ROOT).position)
        )

    def judge(self, body: Body, signals: Signals, goal: WalkGoal) -> Outcome:
        """See the class for the terms."""
        effort = jnp.sum(signals.excitation) + jnp.linalg.norm(signals.excitation)
        solved = goal.now < self.near
        terms = {
            "progress": goal.before - goal.now,
            "energy": jnp.exp(-0.05 * effort),
            "upright": jnp.exp(-3.0 * jnp.sum(jnp.square(root_tilt(signals)))),
            "solved": as_float(solved),
        }
        return Outcome(terms, solved, signals.frame(ROOT).position[2] < self.fallen)


def distance(signals: Signals, goal: WalkGoal) -> jax.Array:
    """Horizontal distance () m of the root from the point."""
    return jnp.linalg.norm(goal.point[:2] - signals.frame(ROOT).position[:2])


def root_tilt(signals: Signals) -> jax.Array:
    """The rotation vector (3,) rad from the world's vertical to the root's, world frame."""
    return rotations.tilt(signals.frame(ROOT).quaternion)


def by_heading(signals: Signals, vector: jax.Array) -> jax.Array:
    """A vector (3,) of the world in the frame that has x where the body faces, and z up."""
    return rotations.by_heading(signals.frame(ROOT).quaternion, FORWARD, vector)
