"""Gait cycles laid along a way that is not known beforehand: what a body that imitates is shown so that it goes there.

A clip goes where it went. Here cycles of walking at several speeds, and standing, are mixed by speed and phase,
placed and turned step by step, so that an imitation policy can be led anywhere without a clip of that way.
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from arnold.embodiments import Body
from arnold.errors import UserError
from arnold.motion.library import clips_of
from arnold.tasks.reference import Pose, poses
from arnold.tasks.rotations import about_vertical, quaternion, rotation

PHASES = 64  # of a cycle that are kept; what lies between is interpolated
SETTLED = 2  # cycles of a clip that pass before the one that is kept


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Guide:
    """Where on its way a motion is."""

    place: jax.Array  # (2,) m, world frame: of the point on the floor that the root sways about
    heading: jax.Array  # () rad from the world's x
    speed: jax.Array  # () m/s
    turning: jax.Array  # () rad/s, positive to the left
    phase: jax.Array  # () cycles, 0 at the clips' beginning

    def ahead(self, seconds: float, rate: jax.Array) -> Guide:
        """The guide that goes on as it goes now.

        Args:
            seconds: for how long.
            rate: () cycles per second.
        """
        middle = self.heading + 0.5 * seconds * self.turning
        way = seconds * self.speed * jnp.stack([jnp.cos(middle), jnp.sin(middle)])
        return dataclasses.replace(
            self,
            place=self.place + way,
            heading=self.heading + seconds * self.turning,
            phase=self.phase + seconds * rate,
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Gaits:
    """C cycles of one body that begin at the same phase, by speed; the slowest may be standing.

    Attributes:
        speeds: (C,) m/s, ascending.
        rates: (C,) cycles per second; a standing one has that of the slowest that goes.
        rows: (C, PHASES, ...) seen from the point on the floor that goes evenly with the cycle, x ahead.
    """

    speeds: np.ndarray
    rates: np.ndarray
    rows: Pose

    def rate(self, speed: jax.Array) -> jax.Array:
        """Cycles per second () at a speed () m/s."""
        return jnp.interp(speed, self.speeds, self.rates)

    @functools.partial(jax.jit, static_argnums=(0, 2))  # a task asks a hundred times: traced once
    def at(self, guide: Guide, seconds: float = 0.0) -> Pose:
        """The pose of now, or of ``seconds`` later if the guide goes on as it goes now."""
        ahead = guide.ahead(seconds, self.rate(guide.speed))
        return _laid(self._mixed(ahead.speed, ahead.phase), ahead)

    def _mixed(self, speed: jax.Array, phase: jax.Array) -> Pose:
        """The pose at a speed and a phase, straight ahead from the origin: between the four nearest rows."""
        place = jnp.interp(speed, self.speeds, np.arange(len(self.speeds), dtype=np.float32))
        slower = jnp.clip(jnp.floor(place).astype(jnp.int32), 0, max(len(self.speeds) - 2, 0))
        frame = jnp.mod(phase, 1.0) * PHASES
        before = jnp.floor(frame).astype(jnp.int32)
        cycles, frames = place - slower.astype(jnp.float32), frame - before.astype(jnp.float32)
        faster = jnp.minimum(slower + 1, len(self.speeds) - 1)
        corners = [
            (slower, before, (1.0 - cycles) * (1.0 - frames)),
            (slower, before + 1, (1.0 - cycles) * frames),
            (faster, before, cycles * (1.0 - frames)),
            (faster, before + 1, cycles * frames),
        ]

        def mix(rows: np.ndarray) -> jax.Array:
            every = jnp.asarray(rows)
            return jnp.sum(jnp.stack([share * every[c, f % PHASES] for c, f, share in corners]), axis=0)

        mixed = jax.tree.map(mix, self.rows)
        root = mixed.qpos[3:7] / jnp.linalg.norm(mixed.qpos[3:7])
        turns = mixed.quaternion / jnp.linalg.norm(mixed.quaternion, axis=-1, keepdims=True)
        return dataclasses.replace(mixed, qpos=mixed.qpos.at[3:7].set(root), quaternion=turns)


def gaits(clips: tuple[tuple[str, float], ...], body: Body) -> Gaits:
    """Cycles for a body; computed once.

    Args:
        clips: each a name of the library's, or a file's path, of someone who goes evenly and straight ahead or stands;
            and its period, s (0 for one who stands). All begin at the same phase of the cycle.
        body: compiled with the tracked MJCF bodies as its `frames`.

    Raises:
        UserError: for a clip that is too short, or two of one speed.
    """
    with jax.ensure_compile_time_eval():  # asked for inside a traced step, too
        return _gaits(clips, body)


@functools.lru_cache(maxsize=8)
def _gaits(clips: tuple[tuple[str, float], ...], body: Body) -> Gaits:
    slowest = max((period for _, period in clips), default=0.0)
    if slowest <= 0.0:
        raise UserError("gaits need at least one clip with a period above 0 s; give (clip, period) pairs")
    cycles = sorted((_cycle(name, period or slowest, body) for name, period in clips), key=lambda cycle: cycle[0])
    speeds = np.array([speed for speed, _, _ in cycles], np.float32)
    if len(speeds) > 1 and np.diff(speeds).min() < 0.05:
        raise UserError(f"gaits: clips {[name for name, _ in clips]} go at {speeds.round(2)} m/s; give one per speed")
    rows = jax.tree.map(lambda *each: np.stack(each), *(rows for _, _, rows in cycles))
    rows.qpos[..., 3:7] = _same_side(rows.qpos[..., 3:7])
    rows = dataclasses.replace(rows, quaternion=_same_side(rows.quaternion))
    return Gaits(speeds, np.array([rate for _, rate, _ in cycles], np.float32), rows)


def _same_side(turns: np.ndarray) -> np.ndarray:
    """Quaternions (C, T, ..., 4) that can be added: each of the two of one rotation that is nearer to the first one."""
    return turns * np.where(np.sum(turns * turns[:1, :1], axis=-1, keepdims=True) < 0.0, -1.0, 1.0).astype(np.float32)


def _cycle(name: str, period: float, body: Body) -> tuple[float, float, Pose]:
    """The speed, the rate and the rows of a clip's first settled cycle, seen from the point that goes with it."""
    (clip,) = clips_of((name,), body.embodiment)
    clip.fits(body.model, f"body {body.embodiment.name!r}")
    if clip.duration < (SETTLED + 1) * period:
        raise UserError(
            f"clip {name!r} lasts {clip.duration:.2f} s; {SETTLED + 1} periods of {period:.2f} s are needed, so that "
            "one is settled"
        )
    clip = clip.resampled(body.model, PHASES / period)
    rows = poses(clip, body)
    first, last = SETTLED * PHASES, (SETTLED + 1) * PHASES
    way = rows.qpos[last, :2] - rows.qpos[first, :2]
    speed = float(np.linalg.norm(way)) / period
    heading = float(np.arctan2(way[1], way[0])) if speed > 0.05 else 0.0
    rows = jax.tree.map(lambda values: values[first:last], rows)
    middle = rows.qpos[:, :2] - np.arange(PHASES)[:, None] / PHASES * way
    start = Guide(*(jnp.asarray(x, jnp.float32) for x in (middle.mean(axis=0), heading, speed, 0.0, 0.0)))
    back = _seen_from(rows, start, np.arange(PHASES, dtype=np.float32) / PHASES * period)
    return (speed if speed > 0.05 else 0.0), 1.0 / period, jax.tree.map(np.asarray, back)


@jax.jit
@functools.partial(jax.vmap, in_axes=(0, None, 0))
def _seen_from(pose: Pose, start: Guide, seconds: jax.Array) -> Pose:
    """Poses of the world seen from where a guide is after ``seconds`` (T,)."""
    place = start.place + seconds * start.speed * jnp.stack([jnp.cos(start.heading), jnp.sin(start.heading)])
    away = pose.position - jnp.pad(place, (0, 1))[None]
    root = pose.qpos.at[:2].add(-place)
    moved = dataclasses.replace(pose, position=away, qpos=root)
    nowhere = dataclasses.replace(start, place=jnp.zeros(2), heading=-start.heading, turning=jnp.float32(0.0))
    return _laid(moved, nowhere)


def _laid(pose: Pose, guide: Guide) -> Pose:
    """A pose at the origin that faces x, placed and turned as a guide is, and turning with it."""
    turn = about_vertical(guide.heading)
    around, place = turn.as_matrix().T, jnp.pad(guide.place, (0, 1))
    spin = jnp.stack([jnp.float32(0.0), jnp.float32(0.0), guide.turning])
    position, sway = pose.position @ around, pose.qpos[:3] @ around

    def turned(quat: jax.Array) -> jax.Array:
        return quaternion(turn * rotation(quat))

    root = turned(pose.qpos[3:7])
    linear = pose.qvel[:3] @ around + jnp.cross(spin, sway)
    angular = pose.qvel[3:6] + rotation(root).inv().apply(spin)  # a free joint's is of its own frame
    return dataclasses.replace(
        pose,
        qpos=jnp.concatenate([sway + place, root, pose.qpos[7:]]),
        qvel=jnp.concatenate([linear, angular, pose.qvel[6:]]),
        position=position + place[None],
        quaternion=jax.vmap(turned)(pose.quaternion),
        linear_velocity=pose.linear_velocity @ around + jnp.cross(spin[None], position),
        angular_velocity=pose.angular_velocity @ around + spin[None],
    )
