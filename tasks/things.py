"""What tasks with a thing in the hand share: its tokens, its place and orientation, and the posture they begin in."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from arnold.embodiments import Body, Signals
from arnold.tasks.task import Channel, Goal, Start, Task, joint_channels, muscle_channels
from arnold.vocab import Token, quantities

Read = Callable[[Signals, Goal], jax.Array]


def axis_channel(entity: tuple[str, ...], maker: Callable[[str], tuple[str, ...]], read: Read) -> Channel:
    """A vector (3,) as three tokens: ``maker(axis)`` of ``entity`` along x, y and z."""
    return Channel(tuple(Token(entity, maker(axis)) for axis in quantities.AXES), read)


def with_posture(body: Body, start: Start, posture: Sequence[tuple[str, float]]) -> Start:
    """``start`` with some joints elsewhere.

    Args:
        body: the body.
        start: the rest of it.
        posture: (joint, rad or m).

    Raises:
        UserError: for an unknown joint, with the nearest match.
    """
    position = start.joint_position
    for joint, value in posture:
        position = position.at[body.joint_index(joint)].set(value)
    return dataclasses.replace(start, joint_position=position)


@dataclasses.dataclass(frozen=True)
class InHand(Task):
    """Base of the tasks that begin with something in the open hand.

    Attributes:
        posture: (joint, rad) of the joints that do not begin at rest: the palm is turned up.
    """

    posture: tuple[tuple[str, float], ...] = ()

    def start(self, body: Body, key: jax.Array) -> Start:
        """The body at rest but for `posture`, things where the model has them."""
        return with_posture(body, Task.start(self, body, key), self.posture)


def turned_channels(
    body: Body, thing: str, orientation: Read, wanted: Read, place: Read, error: Read, turn: Read
) -> tuple[Channel, ...]:
    """The observation of a hand that turns a thing: joints, the thing, what is wanted of it, muscles.

    Args:
        body: the body; the thing is its MJCF body ``Object``.
        thing: the word for it.
        orientation: its orientation as a rotation vector (3,) rad.
        wanted: the orientation that is wanted.
        place: the place that is wanted (3,) m, world frame.
        error: that place minus the thing's (3,) m.
        turn: the rotation vector from its orientation to the one wanted (3,) rad, world frame.
    """
    entity, target = ("object", thing, "id_1"), ("target", thing, "id_1")
    return (
        *joint_channels(body),
        axis_channel(entity, quantities.site_position, lambda s, g: s.frame("Object").position),
        axis_channel(entity, quantities.site_velocity, lambda s, g: s.frame("Object").linear_velocity),
        axis_channel(entity, quantities.orientation, orientation),
        axis_channel(entity, quantities.angular_velocity, lambda s, g: s.frame("Object").angular_velocity),
        axis_channel(target, quantities.site_position, place),
        axis_channel(target, quantities.orientation, wanted),
        axis_channel(target, quantities.site_error, error),
        axis_channel(target, quantities.orientation_error, turn),
        *muscle_channels(body),
    )


def uniform(key: jax.Array, low: Sequence[float] | jax.Array, high: Sequence[float] | jax.Array) -> jax.Array:
    """Numbers drawn uniformly between ``low`` and ``high``, float32."""
    low, high = jnp.asarray(low, jnp.float32), jnp.asarray(high, jnp.float32)
    return jax.random.uniform(key, low.shape, minval=low, maxval=high)
