"""Roll two Baoding balls around each other in the palm: Arnold's four tasks."""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp

from arnold.embodiments import Body, Change, Signals
from arnold.tasks.rotations import rotation, rotation_vector
from arnold.tasks.task import (
    Channel,
    Outcome,
    Start,
    activation_effort,
    as_float,
    joint_channels,
    muscle_channels,
)
from arnold.tasks.things import InHand, axis_channel, uniform
from arnold.vocab import quantities

ARNOLD_BAODING_WEIGHTS = (("pos_dist_1", 1.0), ("pos_dist_2", 1.0), ("alive", 1.0), ("solved", 5.0))
BALLS = ("ball1", "ball2")
PALM = "trapezium"  # the MJCF body that the targets move with
CENTRE = (-0.0125, -0.07)  # m, of the targets' ellipse, in the palm's frame
FIRST_ANGLE = math.pi / 4.0  # rad, of the first ball's target in MyoSuite


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Orbit:
    """How the targets of an episode move in the palm, and where they are."""

    angle: jax.Array  # () rad, of the first ball's target at the start; the second's is opposite
    speed: jax.Array  # () rad/s, positive is counter-clockwise
    turn: jax.Array  # () s since the start, when the speed changes its sign
    radii: jax.Array  # (2,) m, along the palm's x and y
    targets: jax.Array  # (2, 3) m, world frame


@dataclasses.dataclass(frozen=True)
class Baoding(InHand):
    """Roll two balls so that each follows its target on an ellipse in the palm.

    With d_k the distance of ball k from its target, the terms are those of MyoSuite's `BaodingEnv` and Arnold's:
    ``pos_dist_k`` = -d_k, ``act_reg`` = -||act||/M, ``alive`` = 1, ``solved`` = 1[d_1 < near, d_2 < near, none fallen].
    After control step n (from 1) the targets are where they belong at time (n - 1) dt, as in both references; the
    first observation shows the first targets.

    Attributes:
        period: (low, high) s per round, uniform.
        radius_x, radius_y: (low, high) m, radii of the ellipse, uniform.
        directions: what an episode's direction is drawn from: 1 counter-clockwise, -1 clockwise, 0 hold.
        phase: rad, added to the first ball's first angle (pi/4).
        phase_spread: that angle is uniform within this of it, rad.
        mass: (low, high) kg of both balls; empty for the model's.
        size: (low, high) m, radius of both; empty for the model's.
        friction_change: how far sliding, torsional and rolling friction of both may differ; empty for the model's.
        near: a ball is on its target when nearer than this, m.
        floor: a ball lower than this, m, has fallen, and the episode fails.
        lost: so it does when a ball is further than this from its target, m. A lesson that ends there has its steps
            where something is left to learn.
        turns: (low, high) s, uniform: then the targets turn round; empty for never. So balls come to the angles before
            their first as well, and leave them again.
    """

    period: tuple[float, float] = (5.0, 5.0)
    radius_x: tuple[float, float] = (0.025, 0.025)
    radius_y: tuple[float, float] = (0.028, 0.028)
    directions: tuple[int, ...] = (1,)
    phase: float = math.pi / 2.0
    phase_spread: float = 0.0
    mass: tuple[float, ...] = ()
    size: tuple[float, ...] = ()
    friction_change: tuple[float, ...] = ()
    near: float = 0.015
    floor: float = 1.25
    lost: float = math.inf
    turns: tuple[float, ...] = ()
    weights: tuple[tuple[str, float], ...] = ARNOLD_BAODING_WEIGHTS

    @property
    def frames(self) -> tuple[str, ...]:
        """The balls and the palm."""
        return (*BALLS, PALM)

    @property
    def changes(self) -> tuple[Change, ...]:
        """Mass, friction and size of the balls."""
        given = (("body_mass", self.mass), ("geom_friction", self.friction_change), ("geom_size", self.size))
        return tuple(Change(field, ball) for field, values in given if values for ball in BALLS)

    def start(self, body: Body, key: jax.Array) -> Start:
        """Palm up, the balls in it; both have the same mass, size and friction, as drawn."""
        keys = dict(zip(("body_mass", "geom_size", "geom_friction"), jax.random.split(key, 3), strict=True))
        values = []
        for change in body.changes:  # the same key for both balls
            nominal = jnp.asarray(change.current(body.model))
            if change.field == "body_mass":
                values.append(uniform(keys[change.field], self.mass[:1], self.mass[1:]))
            elif change.field == "geom_size":
                radius = uniform(keys[change.field], self.size[:1], self.size[1:])
                values.append(jnp.broadcast_to(radius, (3,)))
            else:
                spread = jnp.array(self.friction_change, jnp.float32)
                values.append(uniform(keys[change.field], nominal - spread, nominal + spread))
        return dataclasses.replace(InHand.start(self, body, key), changes=tuple(values))

    def goal(self, body: Body, key: jax.Array) -> Orbit:
        """Direction, speed, radii and first angle."""
        keys = jax.random.split(key, 5)
        period = uniform(keys[0], self.period[:1], self.period[1:])[0]
        direction = jax.random.choice(keys[1], jnp.array(self.directions, jnp.float32))
        radii = jnp.stack([uniform(k, r[:1], r[1:])[0] for k, r in zip(keys[2:4], self._radii(), strict=True)])
        spread = jax.random.uniform(keys[4], (), minval=-self.phase_spread, maxval=self.phase_spread)
        angle = jnp.float32(FIRST_ANGLE + self.phase) + spread
        turn = (
            uniform(jax.random.fold_in(key, 5), self.turns[:1], self.turns[1:])[0]
            if self.turns
            else jnp.float32(jnp.inf)
        )
        return Orbit(angle, direction * 2.0 * math.pi / period, turn, radii, jnp.zeros((2, 3)))

    def begin(self, body: Body, signals: Signals, goal: Orbit) -> Orbit:
        """Put the targets where they belong in the first state."""
        return self.advance(body, signals, goal)

    def advance(self, body: Body, signals: Signals, goal: Orbit) -> Orbit:
        """Move the targets along the ellipse, and with the palm."""
        elapsed = jnp.maximum(signals.time - body.control_dt, 0.0)
        flat = _opposite(goal.angle + goal.speed * jnp.minimum(elapsed, 2.0 * goal.turn - elapsed), goal.radii)
        depth = jnp.array([[body.model.site(f"target{k}_site").pos[2]] for k in (1, 2)], jnp.float32)
        palm = signals.frame(PALM)
        turn = rotation(palm.quaternion).as_matrix()
        targets = jnp.concatenate([flat, depth], axis=1) @ turn.T + palm.position[None]
        return dataclasses.replace(goal, targets=targets)

    def channels(self, body: Body) -> tuple[Channel, ...]:
        """Joints, balls, targets, errors (target minus ball), muscles."""
        seen: list[Channel] = []
        for k, ball in enumerate(BALLS):
            seen += _ball_channels(k, ball)
        return (*joint_channels(body), *seen, *muscle_channels(body))

    def judge(self, body: Body, signals: Signals, goal: Orbit) -> Outcome:
        """See the class for the terms."""
        places = jnp.stack([signals.frame(ball).position for ball in BALLS])
        distances = jnp.linalg.norm(goal.targets - places, axis=1)
        fallen = (places[:, 2] < self.floor).any()
        solved = (distances < self.near).all() & ~fallen
        terms = {
            "pos_dist_1": -distances[0],
            "pos_dist_2": -distances[1],
            "act_reg": -activation_effort(signals),
            "alive": jnp.float32(1.0),
            "solved": as_float(solved),
        }
        return Outcome(terms, solved, fallen | (distances > self.lost).any())

    def _radii(self) -> tuple[tuple[float, float], tuple[float, float]]:
        return self.radius_x, self.radius_y


def _opposite(angle: jax.Array, radii: jax.Array) -> jax.Array:
    """Two opposite points (2, 2) m of an ellipse around `CENTRE` in the palm's plane, the first at ``angle`` rad."""
    angles = angle - jnp.array([0.0, math.pi], jnp.float32)
    return jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=1) * radii[None] + jnp.array(CENTRE)[None]


def _ball_channels(k: int, ball: str) -> list[Channel]:
    entity, target = ("object", "ball", f"id_{k + 1}"), ("target", "ball", f"id_{k + 1}")
    return [
        axis_channel(entity, quantities.site_position, lambda s, g: s.frame(ball).position),
        axis_channel(entity, quantities.site_velocity, lambda s, g: s.frame(ball).linear_velocity),
        axis_channel(entity, quantities.orientation, lambda s, g: rotation_vector(rotation(s.frame(ball).quaternion))),
        axis_channel(entity, quantities.angular_velocity, lambda s, g: s.frame(ball).angular_velocity),
        axis_channel(target, quantities.site_position, lambda s, g: g.targets[k]),
        axis_channel(target, quantities.site_error, lambda s, g: g.targets[k] - s.frame(ball).position),
    ]
