"""Follow a point on foot, as an imitation policy's body sees itself: the high-level tasks on the KINESIS legs.

A goal that stands still, a commanded direction and speed, and a path are three values of one task: they differ in how
the point moves. KINESIS (arXiv 2503.14637) has the first, and the second as a demonstration.
"""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

from arnold.embodiments import Body, Signals
from arnold.errors import UserError
from arnold.tasks.environment import EnvState
from arnold.tasks.gaits import Gaits, Guide, gaits
from arnold.tasks.imitate import Imitate
from arnold.tasks.reference import Pose
from arnold.tasks.rotations import heading, rotation
from arnold.tasks.task import Channel, Ended, Goal, Outcome, Start, as_float
from arnold.tasks.things import uniform
from arnold.tasks.walk import FORWARD, ROOT, WalkGoal, WalkToPoint, distance, root_tilt

FASTEST = 3.0  # m/s that can be commanded: KINESIS' longest lure, in m
NEAR_SHARPNESS, PACE_SHARPNESS = 2.0, 2.0  # 1/m^2, s^2/m^2
# How the guide goes: as a walker does who is not in a hurry.
CATCH_UP, BRAKE = 0.5, 0.6  # s in which it would be at a point near by; m/s^2 with which it stops at one far away
TURN_IN, TURN_AT_MOST = 0.4, 1.2  # s in which it would face where it goes; rad/s
TURNING_PACE = 0.35  # of its pace that it keeps where it faces away: it turns by walking, as clips do
TURN_ABOVE = (0.2, 0.5)  # m/s: it does not turn for what is slower, and as it should for what is faster
QUICKEN = 1.2  # m/s^2 at most
LEASH, LEASH_ANGLE = 0.25, 0.5  # m, rad: as far as it goes ahead of the body


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class MovingPoint(WalkGoal):
    """The point where it is now, and how it goes on. `now` and `before` are of the point as the step before saw it."""

    away: jax.Array  # () m, horizontal: how far the root is from the point
    velocity: jax.Array  # (2,) m/s, world frame: of the point
    knots: jax.Array  # (N, 2) m/s: its velocity every so many seconds
    elapsed: jax.Array  # () int32 control steps since the episode's start
    guide: Guide  # what is walked towards it


@dataclasses.dataclass(frozen=True)
class FollowPoint(WalkToPoint):
    """Be where a point on the floor is, or go as it goes, led by a gait that is laid along the way.

    The point begins in the rectangle from `low` to `high`, seen from the root by its heading at the start. Each `every`
    seconds its velocity has another speed and direction. With `lure` it stays ahead of the root by as far as it would
    get in that time, so that what is followed is a command; without, it moves by itself, its velocity changing evenly
    from what the root's is at first.

    What is observed is what the imitation task `like` shows, of a motion that is made on the way: cycles of standing
    and walking (`gaits`), mixed by speed, turned and placed by a guide that goes towards the point and never gets
    farther than 0.25 m ahead. So a policy that imitates goes where it is led at once, and learns here to turn, to start
    and to stop.

    Beside the terms of `WalkToPoint`, whose ``progress`` is towards the point as the policy saw it, and those of `like`
    for the guide's pose, there are ``near = exp(-2 D^2)`` and ``pace = exp(-2 |v|^2)``, with D the distance of the
    point, and v its velocity minus the root's, both horizontal, in m and m/s. A step is solved where D, ``|v|`` and the
    tilt are below their limits.

    Attributes:
        like: the imitation task whose policies are to go on with this one, of the same body.
        gaits: (clip, period in s), see `arnold.tasks.gaits.gaits`.
        standing: share of the episodes that begin standing; the others begin in the gait, at any speed of it.
        speeds: the lowest and the highest of the point, m/s.
        every: s between changes of its velocity; 0 for none.
        directions: evenly spread ones, and stopping, that a change draws from, counted from the heading at the start;
            with 0 a change turns the point by at most `turn`.
        turn: rad.
        lure: s; 0 for a point that moves by itself.
        teaches: show the point as `WalkToPoint` does, beside the guide, which begins with the foot that the point is
            on the side of: what it does can be told from the point and the body, and a network that sees no guide can
            learn from one that does.
        pace: m/s, of ``|v|``.
        tilted: rad, of the angle between the root's vertical and the world's.
    """

    like: Imitate = dataclasses.field(kw_only=True)
    gaits: tuple[tuple[str, float], ...] = dataclasses.field(kw_only=True)
    standing: float = 0.5
    speeds: tuple[float, float] = (0.0, 0.0)
    every: float = 0.0
    directions: int = 0
    turn: float = 0.0
    lure: float = 0.0
    teaches: bool = False
    pace: float = math.inf
    tilted: float = math.inf

    @property
    def frames(self) -> tuple[str, ...]:
        """Those of the imitation task."""
        return self.like.frames

    @property
    def touches(self) -> tuple[str, ...]:
        """Those of the imitation task."""
        return self.like.touches

    def draw(self, body: Body, key: jax.Array, ended: Ended | None) -> tuple[Start, MovingPoint]:
        """A point, and a body that stands at rest or walks as its guide does."""
        which, start_key, goal_key = jax.random.split(key, 3)
        goal, standing = self.goal(body, goal_key), self.start(body, start_key)
        standing = dataclasses.replace(standing, moving={ROOT: jnp.zeros(6, jnp.float32)})
        pose = self._gaits(body).at(goal.guide)
        walking = Start(
            joint_position=pose.qpos[body.joint_qpos],
            joint_velocity=pose.qvel[body.joint_qvel],
            activation=pose.activation,
            placed={ROOT: pose.qpos[:7]},
            moving={ROOT: pose.qvel[:6]},
        )
        stands = jax.random.uniform(which) < self.standing
        return jax.tree.map(lambda a, b: jnp.where(stands, a, b), standing, walking), goal

    def goal(self, body: Body, key: jax.Array) -> MovingPoint:
        """A point and how it moves, seen from a root at the origin that faces x; and a guide at any speed and phase."""
        point_key, way_key, guide_key = jax.random.split(key, 3)
        drawn = super().goal(body, point_key)
        nothing = jnp.float32(0.0)
        knots = self._knots(body, way_key)
        fastest = self._gaits(body).speeds[-1]
        speed, phase = jax.random.uniform(guide_key, (2,))
        if self.teaches:
            phase = jnp.where(drawn.point[1] > 0.0, 0.0, 0.5)
        guide = Guide(jnp.zeros(2), nothing, fastest * speed, nothing, phase)
        return MovingPoint(drawn.point, nothing, nothing, nothing, knots[0], knots, jnp.int32(0), guide)

    def begin(self, body: Body, signals: Signals, goal: Goal) -> MovingPoint:
        """Take the goal from the root's frame to the world's, and the guide to the root."""
        root = signals.frame(ROOT)
        facing = heading(rotation(root.quaternion), jnp.array(FORWARD, jnp.float32))
        turn = facing.as_matrix()[:2, :2]
        knots = goal.knots @ turn.T
        if self.every and not self.lure:
            knots = knots.at[0].set(root.linear_velocity[:2])
        point = facing.apply(goal.point) + root.position * jnp.array([1.0, 1.0, 0.0])
        ahead = jnp.dot(root.linear_velocity[:2], turn[:, 0])
        guide = dataclasses.replace(
            goal.guide,
            place=root.position[:2],
            heading=jnp.arctan2(turn[1, 0], turn[0, 0]),
            speed=jnp.clip(ahead, 0.0, self._gaits(body).speeds[-1]),
        )
        goal = dataclasses.replace(goal, point=point, knots=knots, velocity=knots[0], guide=guide)
        goal = self._moved(signals, goal, 0.0)
        return dataclasses.replace(goal, now=goal.away, before=goal.away)

    def advance(self, body: Body, signals: Signals, goal: Goal) -> MovingPoint:
        """Measure how far the root is from the point that was seen, then move the point, and lead there."""
        elapsed = goal.elapsed + 1
        measured = dataclasses.replace(
            goal,
            now=distance(signals, goal),
            before=goal.away,
            elapsed=elapsed,
            velocity=self._velocity(body, goal.knots, elapsed),
        )
        moved = self._moved(signals, measured, body.control_dt)
        return dataclasses.replace(moved, guide=self._led(body, signals, moved))

    def channels(self, body: Body) -> tuple[Channel, ...]:
        """What the imitation task shows, of the motion that leads to the point."""
        led = self.like.channels_of(body, lambda goal, ahead: self._pose(body, goal, ahead))
        return (*led, self.point_channel()) if self.teaches else led

    def judge(self, body: Body, signals: Signals, goal: Goal) -> Outcome:
        """See the class for the terms."""
        outcome = super().judge(body, signals, goal)
        lag = jnp.linalg.norm(_lag(signals, goal))
        solved = (goal.away < self.near) & (lag < self.pace) & (jnp.linalg.norm(root_tilt(signals)) < self.tilted)
        terms = {
            **self.like.terms(body, signals, self._pose(body, goal, 0)),
            **outcome.terms,
            "near": jnp.exp(-NEAR_SHARPNESS * jnp.square(goal.away)),
            "pace": jnp.exp(-PACE_SHARPNESS * jnp.square(lag)),
            "solved": as_float(solved),
        }
        return dataclasses.replace(outcome, terms=terms, solved=solved)

    def _gaits(self, body: Body) -> Gaits:
        return gaits(self.gaits, body)

    def _pose(self, body: Body, goal: MovingPoint, ahead: int) -> Pose:
        """Where the guide is to be ``ahead`` control steps from now."""
        return self._gaits(body).at(goal.guide, ahead * body.control_dt)

    def _led(self, body: Body, signals: Signals, goal: MovingPoint) -> Guide:
        """The guide after one control step: it heads for the point, and walks slower the less it faces it."""
        dt, guide, cycles = body.control_dt, goal.guide, self._gaits(body)
        away = goal.point[:2] - guide.place
        left = jnp.linalg.norm(away)
        wanted = goal.velocity
        if not self.lure:
            reach = jnp.minimum(left / CATCH_UP, jnp.sqrt(2.0 * BRAKE * left))
            wanted += away * (reach / jnp.maximum(left, 1e-6))
        pace = jnp.linalg.norm(wanted)
        off = _wrapped(jnp.arctan2(wanted[1], wanted[0]) - guide.heading)
        slow, full = TURN_ABOVE  # who is all but there does not turn to what is left of the way
        share = jnp.clip((pace - slow) / (full - slow), 0.0, 1.0)
        turning = jnp.clip(off / TURN_IN, -TURN_AT_MOST, TURN_AT_MOST) * share
        speed = jnp.minimum(pace, cycles.speeds[-1]) * jnp.maximum(jnp.cos(off), TURNING_PACE)
        speed = jnp.clip(speed, guide.speed - QUICKEN * dt, guide.speed + QUICKEN * dt)
        moved = dataclasses.replace(guide, speed=speed, turning=turning).ahead(dt, cycles.rate(speed))
        root = signals.frame(ROOT)
        lead = moved.place - root.position[:2]
        faced = heading(rotation(root.quaternion), jnp.array(FORWARD, jnp.float32)).as_matrix()[:2, 0]
        yaw = jnp.arctan2(faced[1], faced[0])
        return dataclasses.replace(
            moved,
            place=root.position[:2] + lead * jnp.minimum(1.0, LEASH / jnp.maximum(jnp.linalg.norm(lead), 1e-6)),
            heading=yaw + jnp.clip(_wrapped(moved.heading - yaw), -LEASH_ANGLE, LEASH_ANGLE),
        )

    def _knots(self, body: Body, key: jax.Array) -> jax.Array:
        """Velocities (N, 2) m/s of the point, enough of them for an episode."""
        count = 2 + math.ceil(self.horizon * body.control_dt / self.every) if self.every else 1
        speed_key, way_key = jax.random.split(key)
        speed = uniform(speed_key, (self.speeds[0],) * count, (self.speeds[1],) * count)
        if self.directions:
            way = jax.random.randint(way_key, (count,), 0, self.directions + 1)
            speed = jnp.where(way == self.directions, 0.0, speed)
            angle = way.astype(jnp.float32) * (2.0 * math.pi / self.directions)
        else:
            angle = jnp.cumsum(uniform(way_key, (-self.turn,) * count, (self.turn,) * count))
        return speed[:, None] * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=1)

    def _velocity(self, body: Body, knots: jax.Array, elapsed: jax.Array) -> jax.Array:
        """The velocity (2,) m/s of the point."""
        if not self.every:
            return knots[0]
        place = elapsed.astype(jnp.float32) * jnp.float32(body.control_dt / self.every)
        earlier = jnp.clip(jnp.floor(place + 1e-4).astype(jnp.int32), 0, len(knots) - 2)
        if self.lure:
            return knots[earlier]
        share = jnp.clip(place - earlier.astype(jnp.float32), 0.0, 1.0)
        return (1.0 - share) * knots[earlier] + share * knots[earlier + 1]

    def _moved(self, signals: Signals, goal: MovingPoint, seconds: float) -> MovingPoint:
        """The goal with its point moved on."""
        flat = goal.point[:2] + goal.velocity * seconds
        if self.lure:
            flat = signals.frame(ROOT).position[:2] + goal.velocity * self.lure
        goal = dataclasses.replace(goal, point=goal.point.at[:2].set(flat))
        return dataclasses.replace(goal, away=distance(signals, goal))


def commanded(state: EnvState, direction: jax.Array | float, speed: jax.Array | float) -> EnvState:
    """The state with another command, which holds from the next control step to the episode's end.

    Args:
        state: of `directional_control`, of one environment or of a batch.
        direction: rad from the world's x, positive to the left, () or one per environment.
        speed: m/s, 0 to 3, () or one per environment; 0 is stopping.

    Raises:
        UserError: for a speed out of range, a direction that is not finite, or a state of another task.

    Example:
        >>> state = commanded(state, direction=math.radians(45.0), speed=1.2)  # a direction pad: ahead and to the left
        >>> state = step(state, act(state.observation))
    """
    if not isinstance(state.goal, MovingPoint):
        raise UserError(
            f"a command was given to a state whose goal is {type(state.goal).__name__!r}; only states of "
            "directional_control, or of a FollowPoint of your own, take commands"
        )
    _require("direction", direction, -math.inf, math.inf, "a finite angle in rad")
    _require("speed", speed, 0.0, FASTEST, f"0 to {FASTEST:g} m/s")
    angle, pace = jnp.asarray(direction, jnp.float32), jnp.asarray(speed, jnp.float32)
    velocity = pace[..., None] * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=-1)
    knots = jnp.broadcast_to(velocity[..., None, :], state.goal.knots.shape)
    return dataclasses.replace(state, goal=dataclasses.replace(state.goal, knots=knots))


def _lag(signals: Signals, goal: MovingPoint) -> jax.Array:
    """The velocity (2,) m/s of the point minus the root's, world frame."""
    return goal.velocity - signals.frame(ROOT).linear_velocity[:2]


def _wrapped(angle: jax.Array) -> jax.Array:
    """An angle () rad between -pi and pi."""
    return jnp.mod(angle + math.pi, 2.0 * math.pi) - math.pi


def _require(what: str, value: jax.Array | float, low: float, high: float, accepted: str) -> None:
    """Raise a `UserError` for a number of a command that is out of range; what is traced is not known yet."""
    if isinstance(value, jax.core.Tracer):
        return
    given = np.asarray(value)
    bad = given[~(np.isfinite(given) & (given >= low) & (given <= high))]
    if bad.size:
        raise UserError(f"a command has {what} {bad.flat[0]:g}; {accepted} is accepted")
