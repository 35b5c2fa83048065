"""Turn a thing that lies in the hand: Arnold's pen and die."""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp

from arnold.embodiments import Body, Change, Signals
from arnold.tasks.rotations import from_euler, quaternion, rotation, rotation_vector, shortest_turn, to_euler
from arnold.tasks.task import Channel, Outcome, Start, activation_effort, as_float
from arnold.tasks.things import InHand, turned_channels, uniform

ARNOLD_PEN_WEIGHTS = (("alive", 1.0), ("solved", 1.0), ("pos_align_diff", 100.0), ("rot_align_diff", 100.0))
ARNOLD_DIE_WEIGHTS = (
    ("pos_dist", 2.0),
    ("rot_dist", 0.2),
    ("pos_dist_diff", 100.0),
    ("rot_dist_diff", 10.0),
    ("alive", 1.0),
    ("solved", 2.0),
)
PEN_GOAL_PLACE = (-0.230, -0.530, 1.445)  # m, world; the site `eps_ball` of MyoSuite's pen scene


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TurnGoal:
    """What is wanted of the thing, and how far it was from that: now, and one control step before."""

    place: jax.Array  # (3,) m, world frame
    orientation: jax.Array  # (4,) quaternion w, x, y, z; of a pen only its axis counts
    now: jax.Array  # (2,) place, orientation: the measures of the task
    before: jax.Array  # (2,)


@dataclasses.dataclass(frozen=True)
class Turn(InHand):
    """Base of both: what is measured of the thing now, and what was one control step before, are part of the goal."""

    @property
    def frames(self) -> tuple[str, ...]:
        """The thing."""
        return ("Object",)

    def measure(self, signals: Signals, goal: TurnGoal) -> jax.Array:
        """The two measures (2,) of how far the thing is from what is wanted."""
        raise TypeError(f"task {self.name!r} ({type(self).__name__}) does not say how it measures: define measure")

    def begin(self, body: Body, signals: Signals, goal: TurnGoal) -> TurnGoal:
        """Measure the first state."""
        now = self.measure(signals, goal)
        return dataclasses.replace(goal, now=now, before=now)

    def advance(self, body: Body, signals: Signals, goal: TurnGoal) -> TurnGoal:
        """Measure, and keep the measures of the step before."""
        return dataclasses.replace(goal, now=self.measure(signals, goal), before=goal.now)


@dataclasses.dataclass(frozen=True)
class TurnPen(Turn):
    """Turn a pen to a direction and keep it in the hand.

    With p the pen's distance from its place and c the cosine between its axis and the one wanted, the terms are those
    of MyoSuite's `PenTwirlRandomEnvV0` and Arnold's: ``pos_align`` = -p, ``rot_align`` = c, ``act_reg`` = -||act||/M,
    ``drop`` = -1[p > far], ``bonus`` = 1[c > 0.9 and p < far] + 5 1[c > 0.95 and p < far], ``alive`` = 1[p <= far],
    ``solved`` = 1[c > aligned and p <= far], ``pos_align_diff`` = p before - p (each at most 2 far), ``rot_align_diff``
    = c - c before.

    Attributes:
        tilt: the direction wanted is that of a pen turned about x, then y, each by a uniform angle up to this, rad.
        aligned: the step is solved when c is above this.
        far: the pen is dropped, and the episode fails, when p is above this, m.
    """

    tilt: float = 1.0
    aligned: float = 0.95
    far: float = 0.075
    weights: tuple[tuple[str, float], ...] = ARNOLD_PEN_WEIGHTS

    def goal(self, body: Body, key: jax.Array) -> TurnGoal:
        """A direction; the place is where the pen begins."""
        angles = jax.random.uniform(key, (2,), minval=-self.tilt, maxval=self.tilt)
        wanted = from_euler(jnp.concatenate([angles, jnp.zeros(1)]))
        return TurnGoal(jnp.array(PEN_GOAL_PLACE, jnp.float32), quaternion(wanted), jnp.zeros(2), jnp.zeros(2))

    def measure(self, signals: Signals, goal: TurnGoal) -> jax.Array:
        """p and c, (2,)."""
        return _pen_measures(signals, goal)

    def channels(self, body: Body) -> tuple[Channel, ...]:
        """Joints, pen, what is wanted of it, muscles; orientations are of the pen's axis, without roll."""
        up = jnp.array([0.0, 0.0, 1.0])
        return turned_channels(
            body,
            "pen",
            orientation=lambda s, g: shortest_turn(up, _axis(s.frame("Object").quaternion)),
            wanted=lambda s, g: shortest_turn(up, _axis(g.orientation)),
            place=lambda s, g: g.place,
            error=lambda s, g: g.place - s.frame("Object").position,
            turn=lambda s, g: shortest_turn(_axis(s.frame("Object").quaternion), _axis(g.orientation)),
        )

    def judge(self, body: Body, signals: Signals, goal: TurnGoal) -> Outcome:
        """See the class for the terms."""
        (p, c), (p_before, c_before) = goal.now, goal.before
        dropped = p > self.far
        kept, solved = p < self.far, (c > self.aligned) & ~dropped
        terms = {
            "pos_align": -p,
            "rot_align": c,
            "act_reg": -activation_effort(signals),
            "drop": -as_float(dropped),
            "bonus": as_float((c > 0.9) & kept) + 5.0 * as_float((c > 0.95) & kept),
            "alive": as_float(~dropped),
            "solved": as_float(solved),
            "pos_align_diff": _bounded(p_before, self.far) - _bounded(p, self.far),
            "rot_align_diff": c - c_before,
        }
        return Outcome(terms, solved, dropped)


@dataclasses.dataclass(frozen=True)
class TurnDie(Turn):
    """Turn a die to an orientation and keep it near its place.

    With p the die's distance from its place and r the norm of the difference of the Euler angles of the orientation
    wanted and the die's (MyoSuite's measure, not wrapped; observations have rotation vectors), the terms are those of
    MyoSuite's `ReorientEnv` and Arnold's: ``pos_dist`` = -p, ``rot_dist`` = -r, ``bonus`` = 1[p < 2 near] +
    1[p < near], ``act_reg`` = -||act||/M, ``penalty`` = -1[p > far], ``alive`` = 1[p <= far], ``solved`` =
    1[r < turned and p < near and p <= far], ``pos_dist_diff`` = p before - p (each at most
    2 far), ``rot_dist_diff`` = r before - r.

    Attributes:
        shift: the place wanted is uniform within this of where the die begins, along each axis, m.
        turn: the Euler angles wanted are uniform up to this, rad.
        near: how near its place a solved die is, m; Arnold asks for none.
        turned: how small r is when solved, rad.
        far: the die is dropped, and the episode fails, when p is above this, m.
        mass: (low, high) kg, uniform; empty for the model's.
        size_change: the die's edges are longer by a uniform length up to this, m, or shorter; 0 for the model's.
        friction_change: how far sliding, torsional and rolling friction of each of its geoms may differ; empty for the
            model's.
    """

    shift: float = 0.0
    turn: float = 0.785
    near: float = math.inf
    turned: float = 0.262
    far: float = 0.2
    mass: tuple[float, ...] = ()
    size_change: float = 0.0
    friction_change: tuple[float, ...] = ()
    weights: tuple[tuple[str, float], ...] = ARNOLD_DIE_WEIGHTS

    @property
    def changes(self) -> tuple[Change, ...]:
        """Mass, friction, and the sizes and places of the 12 edges and 3 boxes that make the die."""
        geoms = [f"die{number}" for number in range(15)]
        changed = [Change("body_mass", "Object")] if self.mass else []
        changed += [Change("geom_friction", geom) for geom in geoms if self.friction_change]
        changed += [Change(field, geom) for geom in geoms for field in ("geom_size", "geom_pos") if self.size_change]
        return tuple(changed)

    def start(self, body: Body, key: jax.Array) -> Start:
        """Palm up, the die in it; mass, size and friction as drawn."""
        mass_key, size_key, friction_key = jax.random.split(key, 3)
        longer = jax.random.uniform(size_key, (), minval=-self.size_change, maxval=self.size_change)
        values = []
        for number, change in enumerate(body.changes):
            nominal = jnp.asarray(change.current(body.model))
            if change.field == "body_mass":
                values.append(uniform(mass_key, self.mass[:1], self.mass[1:]))
            elif change.field == "geom_friction":
                spread = jnp.array(self.friction_change, jnp.float32)
                values.append(uniform(jax.random.fold_in(friction_key, number), nominal - spread, nominal + spread))
            elif change.field == "geom_pos":
                values.append(jnp.where(nominal == 0.0, 0.0, nominal + jnp.sign(nominal) * longer))
            else:  # an edge is a capsule, whose half length is its second size; a box grows along all three
                grows = jnp.array([0.0, 1.0, 0.0]) if int(change.of[3:]) < 12 else jnp.ones(3)
                values.append(nominal + grows * longer)
        return dataclasses.replace(InHand.start(self, body, key), changes=tuple(values))

    def goal(self, body: Body, key: jax.Array) -> TurnGoal:
        """A place near the die's own, and an orientation."""
        place_key, turn_key = jax.random.split(key)
        shift = jax.random.uniform(place_key, (3,), minval=-self.shift, maxval=self.shift)
        place = jnp.asarray(body.model.body("Object").pos, jnp.float32) + shift
        wanted = from_euler(jax.random.uniform(turn_key, (3,), minval=-self.turn, maxval=self.turn))
        return TurnGoal(place, quaternion(wanted), jnp.zeros(2), jnp.zeros(2))

    def measure(self, signals: Signals, goal: TurnGoal) -> jax.Array:
        """p and r, (2,)."""
        return _die_measures(signals, goal)

    def channels(self, body: Body) -> tuple[Channel, ...]:
        """Joints, die, what is wanted of it, muscles."""
        return turned_channels(
            body,
            "die",
            orientation=lambda s, g: rotation_vector(rotation(s.frame("Object").quaternion)),
            wanted=lambda s, g: rotation_vector(rotation(g.orientation)),
            place=lambda s, g: g.place,
            error=lambda s, g: g.place - s.frame("Object").position,
            turn=lambda s, g: rotation_vector(rotation(g.orientation) * rotation(s.frame("Object").quaternion).inv()),
        )

    def judge(self, body: Body, signals: Signals, goal: TurnGoal) -> Outcome:
        """See the class for the terms."""
        (p, r), (p_before, r_before) = goal.now, goal.before
        dropped = p > self.far
        solved = (r < self.turned) & (p < self.near) & ~dropped
        terms = {
            "pos_dist": -p,
            "rot_dist": -r,
            "bonus": as_float(p < 2.0 * self.near) + as_float(p < self.near),
            "act_reg": -activation_effort(signals),
            "penalty": -as_float(dropped),
            "alive": as_float(~dropped),
            "solved": as_float(solved),
            "pos_dist_diff": _bounded(p_before, self.far) - _bounded(p, self.far),
            "rot_dist_diff": r_before - r,
        }
        return Outcome(terms, solved, dropped)


def _bounded(p: jax.Array, far: float) -> jax.Array:
    """A distance, but never more than twice what ends an episode: a thing may be thrown any distance in one step."""
    return jnp.minimum(p, 2.0 * far)


def _axis(quaternion: jax.Array) -> jax.Array:
    """The long axis (3,) of a pen with this orientation."""
    return rotation(quaternion).apply(jnp.array([0.0, 0.0, 1.0]))


def _pen_measures(signals: Signals, goal: TurnGoal) -> jax.Array:
    """Distance from the place, m, and cosine between the axes."""
    pen = signals.frame("Object")
    cosine = jnp.dot(_axis(pen.quaternion), _axis(goal.orientation))
    return jnp.stack([jnp.linalg.norm(goal.place - pen.position), cosine])


def _die_measures(signals: Signals, goal: TurnGoal) -> jax.Array:
    """Distance from the place, m, and norm of the difference of the Euler angles, rad."""
    die = signals.frame("Object")
    turn = to_euler(rotation(goal.orientation)) - to_euler(rotation(die.quaternion))
    return jnp.stack([jnp.linalg.norm(goal.place - die.position), jnp.linalg.norm(turn)])
