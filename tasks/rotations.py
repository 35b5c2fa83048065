"""Rotations as tasks need them, on MuJoCo's quaternions (w, x, y, z)."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax.scipy.spatial.transform import Rotation


def rotation(quaternion: jax.Array) -> Rotation:
    """The rotation of a quaternion (4,) w, x, y, z; that of the whole null quaternion, which no state has, is none."""
    known = jnp.linalg.norm(quaternion) > 0.0
    return Rotation.from_quat(jnp.where(known, jnp.roll(quaternion, -1), jnp.array([0.0, 0.0, 0.0, 1.0])))


def quaternion(turn: Rotation) -> jax.Array:
    """The quaternion (4,) w, x, y, z of a rotation."""
    return jnp.roll(turn.as_quat(), 1)


def from_euler(angles: jax.Array) -> Rotation:
    """The rotation about x, then the new y, then the new z by ``angles`` (3,) rad: MyoSuite's `euler2quat`."""
    x, y, z = (_about(axis, angles[axis]) for axis in range(3))
    return x * y * z


def to_euler(turn: Rotation) -> jax.Array:
    """The three angles (3,) rad that `from_euler` makes ``turn`` of; MyoSuite's `mat2euler`."""
    matrix = turn.as_matrix()
    cosine = jnp.hypot(matrix[1, 2], matrix[2, 2])
    x, z = jnp.arctan2(-matrix[1, 2], matrix[2, 2]), jnp.arctan2(-matrix[0, 1], matrix[0, 0])
    return jnp.stack([x, jnp.arctan2(matrix[0, 2], cosine), z])


def rotation_vector(turn: Rotation) -> jax.Array:
    """Axis times angle (3,) rad, the angle at most pi."""
    w, vector = turn.as_quat()[3], turn.as_quat()[:3]
    vector = jnp.where(w < 0.0, -vector, vector)
    sine = jnp.linalg.norm(vector)
    angle = 2.0 * jnp.arctan2(sine, jnp.abs(w))
    return vector * jnp.where(sine > 1e-6, angle / jnp.maximum(sine, 1e-6), 2.0)


def shortest_turn(start: jax.Array, end: jax.Array) -> jax.Array:
    """The rotation vector (3,) rad that turns the unit vector ``start`` (3,) into ``end`` (3,) by the shortest way."""
    across = jnp.cross(start, end)
    sine, cosine = jnp.linalg.norm(across), jnp.dot(start, end)
    angle = jnp.arctan2(sine, cosine)
    return across * jnp.where(sine > 1e-6, angle / jnp.maximum(sine, 1e-6), 1.0)


def heading(turn: Rotation, forward: jax.Array) -> Rotation:
    """The rotation about the vertical that turns the world's x into where ``forward`` (3,), turned, points."""
    ahead = turn.apply(forward)
    return about_vertical(jnp.arctan2(ahead[1], ahead[0]))


def tilt(quaternion: jax.Array, up: tuple[float, ...] = (0.0, 0.0, 1.0)) -> jax.Array:
    """The rotation vector (3,) rad from the world's vertical to that of a body turned by ``quaternion`` (4,).

    Args:
        quaternion: of the body.
        up: what points up in the body's own frame while it stands.
    """
    return shortest_turn(jnp.array([0.0, 0.0, 1.0]), rotation(quaternion).apply(jnp.array(up, jnp.float32)))


@functools.partial(jax.jit, static_argnames="forward")  # an imitation task says it a hundred times: traced once
def by_heading(quaternion: jax.Array, forward: tuple[float, ...], vector: jax.Array) -> jax.Array:
    """A vector (3,) of the world in the frame that has z up, and x where a body turned by ``quaternion`` (4,) faces.

    Args:
        quaternion: of the body.
        forward: where it faces, in its own frame.
        vector: of the world.
    """
    return heading(rotation(quaternion), jnp.array(forward, jnp.float32)).inv().apply(vector)


def about_vertical(angle: jax.Array) -> Rotation:
    """The rotation by ``angle`` () rad to the left."""
    return _about(2, angle)


def _about(axis: int, angle: jax.Array) -> Rotation:
    half = 0.5 * angle
    return Rotation.from_quat(jnp.zeros(4).at[axis].set(jnp.sin(half)).at[3].set(jnp.cos(half)))
