"""Carry an object from the table into a bin: Arnold's (and MyoChallenge's) relocation."""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp

from arnold.embodiments import Body, Change, Signals
from arnold.tasks.rotations import from_euler, quaternion, rotation, rotation_vector, to_euler
from arnold.tasks.task import (
    Channel,
    Goal,
    Outcome,
    Start,
    Task,
    activation_effort,
    as_float,
    joint_channels,
    muscle_channels,
)
from arnold.tasks.things import axis_channel, uniform
from arnold.vocab import quantities

ARNOLD_RELOCATE_WEIGHTS = (("goal_near", 10.0), ("solved", 20.0), ("palm_near", 1.0), ("tip_near", 0.1))
PALM, TIPS = "S_grasp_r", ("THtip_r", "IFtip_r", "MFtip_r", "RFtip_r", "LFtip_r")
GEOMS = ("object0", "object1", "object2")
GEOM_FIELDS = ("geom_type", "geom_size", "geom_pos", "geom_quat", "geom_friction")
SHAPES = (2, 3, 4, 5, 6)  # MuJoCo's sphere, capsule, ellipsoid, cylinder, box
BIN_HALF = (0.101, 0.101, 0.2)  # m, half extents of base and walls; their middle is BIN_MIDDLE above the bin's frame
BIN_MIDDLE = 0.005
CANDIDATES = 8

Span = tuple[tuple[float, float, float], tuple[float, float, float]]


@dataclasses.dataclass(frozen=True)
class Relocate(Task):
    """Carry an object of random shape, weight and friction into a bin at a random place.

    With d the distance of the object from the bin, the terms are Arnold's: ``goal_near`` = exp(-5 d), ``palm_near`` =
    exp(-5 ||palm - object||), ``tip_near`` = exp(-sum of ||tip - object||), ``solved`` = 1[d < near, not dropped]; and
    those of MyoSuite's `RelocateEnv`: ``pos_dist`` = -d, ``rot_dist`` = -norm of the difference of the Euler angles,
    ``act_reg`` = -||act||/M, ``drop`` = -1[||palm - object|| > far]. Reaching the horizon truncates (in the reference
    it terminates), and noise of the first posture is drawn anew each episode (there it is a constant).

    Attributes:
        bin_place: corners of the box that the bin's place is drawn from, m, world frame.
        bin_tilt: its Euler angles are uniform up to this, rad.
        object_place: corners of the box that the object's frame is drawn from, m; None leaves object and keyframe as
            the model has them (MyoChallenge's first phase).
        geom_size: (low, high) m of the three sizes of each geom of the object.
        mass: (low, high) kg.
        friction: (low, high) of sliding, torsional and rolling friction.
        noise: the arm's joints begin within this of the keyframe, rad.
        near: the step is solved when d is below this, m.
        far: the object is dropped when the palm is farther than this, m.
    """

    bin_place: Span = ((0.0, -0.45, 0.9), (0.3, -0.1, 1.05))
    bin_tilt: float = 0.2
    object_place: Span | None = ((-0.1, -0.35, 1.0), (0.1, -0.15, 1.0))
    geom_size: tuple[float, float] = (0.015, 0.025)
    mass: tuple[float, float] = (0.05, 0.2)
    friction: Span = ((0.8, 0.004, 8e-5), (1.2, 0.006, 1.2e-4))
    noise: float = 0.01
    near: float = 0.1
    far: float = 0.5
    horizon: int = 150
    weights: tuple[tuple[str, float], ...] = ARNOLD_RELOCATE_WEIGHTS

    @property
    def sites(self) -> tuple[str, ...]:
        """Palm and tips."""
        return (PALM, *TIPS)

    @property
    def frames(self) -> tuple[str, ...]:
        """The object and the bin."""
        return ("Object", "target")

    @property
    def changes(self) -> tuple[Change, ...]:
        """The bin's place; the object's place, mass, shapes and friction."""
        bin_pose = (Change("body_pos", "target"), Change("body_quat", "target"))
        if self.object_place is None:
            return bin_pose
        geoms = tuple(Change(field, geom) for geom in GEOMS for field in GEOM_FIELDS)
        return (*bin_pose, Change("body_pos", "Object"), Change("body_mass", "Object"), *geoms)

    def start(self, body: Body, key: jax.Array) -> Start:
        """The keyframe with noise, and the first of eight draws of bin and object in which the two do not touch."""
        noise_key, scene_key = jax.random.split(key)
        frame = jnp.asarray(body.model.key_qpos[0 if self.object_place is None else 1], jnp.float32)
        posture = frame[body.joint_qpos]
        noise = jax.random.uniform(noise_key, posture.shape, minval=-self.noise, maxval=self.noise)
        slides = {name: frame[body.model.joint(name).qposadr[0]][None] for name in ("OBJTx", "OBJTy", "OBJTz")}
        draws = jax.vmap(lambda k: self._scene(body, k))(jax.random.split(scene_key, CANDIDATES))
        offset = jnp.concatenate(list(slides.values()))
        clear = jax.vmap(lambda values: _clearance(dict(zip(body.changes, values, strict=True)), offset))(draws) > 0.0
        chosen = jax.tree.map(lambda x: x[jnp.argmax(clear)], draws)
        rest = Task.start(self, body, key)
        return dataclasses.replace(rest, joint_position=posture + noise, placed=slides, changes=chosen)

    def _scene(self, body: Body, key: jax.Array) -> tuple[jax.Array, ...]:
        """One draw of what changes."""
        values = []
        sizes: dict[str, jax.Array] = {}
        for number, change in enumerate(body.changes):
            k = jax.random.fold_in(key, number)
            if change == Change("body_pos", "target"):
                value = uniform(k, *self.bin_place)
            elif change.field == "body_quat":
                value = quaternion(from_euler(uniform(k, [-self.bin_tilt] * 3, [self.bin_tilt] * 3)))
            elif change.field == "body_pos":
                assert self.object_place is not None
                value = uniform(k, *self.object_place)
            elif change.field == "body_mass":
                value = uniform(k, self.mass[:1], self.mass[1:])
            elif change.field == "geom_type":
                value = jax.random.choice(k, jnp.array(SHAPES, jnp.float32), (1,))
            elif change.field == "geom_size":
                value = sizes[change.of] = uniform(k, self.geom_size[:1] * 3, self.geom_size[1:] * 3)
            elif change.field == "geom_pos":
                value = uniform(k, -sizes[change.of], sizes[change.of])
            elif change.field == "geom_quat":
                value = quaternion(from_euler(uniform(k, [-math.pi / 2] * 3, [math.pi / 2] * 3)))
            else:
                value = uniform(k, *self.friction)
            values.append(value)
        return tuple(values)

    def goal(self, body: Body, key: jax.Array) -> Goal:
        """Nothing: the bin, which is seen, is the goal."""
        return ()

    def channels(self, body: Body) -> tuple[Channel, ...]:
        """Joints, object, bin, error (bin minus object), muscles."""
        entity, target = ("object", "id_1"), ("target", "object", "id_1")
        return (
            *joint_channels(body),
            axis_channel(entity, quantities.site_position, lambda s, g: s.frame("Object").position),
            axis_channel(
                entity, quantities.orientation, lambda s, g: rotation_vector(rotation(s.frame("Object").quaternion))
            ),
            axis_channel(target, quantities.site_position, lambda s, g: s.frame("target").position),
            axis_channel(
                target, quantities.site_error, lambda s, g: s.frame("target").position - s.frame("Object").position
            ),
            *muscle_channels(body),
        )

    def judge(self, body: Body, signals: Signals, goal: Goal) -> Outcome:
        """See the class for the terms."""
        thing, wanted = signals.frame("Object"), signals.frame("target")
        distance = jnp.linalg.norm(wanted.position - thing.position)
        turn = to_euler(rotation(wanted.quaternion)) - to_euler(rotation(thing.quaternion))
        reach = jnp.linalg.norm(signals.site(PALM) - thing.position)
        tips = jnp.stack([signals.site(tip) for tip in TIPS]) - thing.position[None]
        dropped = reach > self.far
        solved = (distance < self.near) & ~dropped
        terms = {
            "goal_near": jnp.exp(-5.0 * distance),
            "palm_near": jnp.exp(-5.0 * reach),
            "tip_near": jnp.exp(-jnp.sum(jnp.linalg.norm(tips, axis=1))),
            "solved": as_float(solved),
            "pos_dist": -distance,
            "rot_dist": -jnp.linalg.norm(turn),
            "act_reg": -activation_effort(signals),
            "drop": -as_float(dropped),
        }
        return Outcome(terms, solved, jnp.asarray(False))


def _clearance(scene: dict[Change, jax.Array], offset: jax.Array) -> jax.Array:
    """Distance () m between the bin's walls and a ball around the object; below zero they may touch.

    Args:
        scene: a draw of what changes.
        offset: of the object's slides, m.
    """
    if Change("body_pos", "Object") not in scene:
        return jnp.float32(1.0)
    reaches = [jnp.linalg.norm(scene[Change("geom_pos", geom)]) for geom in GEOMS]
    # The farthest point of any of the shapes: a box's corner, or a capsule's end.
    around = [_farthest(scene[Change("geom_size", geom)]) for geom in GEOMS]
    radius = jnp.max(jnp.stack(reaches) + jnp.stack(around))
    place = scene[Change("body_pos", "Object")] + offset - scene[Change("body_pos", "target")]
    inside = rotation(scene[Change("body_quat", "target")]).inv().apply(place)
    middle = jnp.array([0.0, 0.0, BIN_MIDDLE])
    outside = jnp.maximum(jnp.abs(inside - middle) - jnp.array(BIN_HALF), 0.0)
    return jnp.linalg.norm(outside) - radius


def _farthest(size: jax.Array) -> jax.Array:
    return jnp.maximum(jnp.linalg.norm(size), size[0] + size[1])
