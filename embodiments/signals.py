"""What a task may read of the physics: small, named, in SI units, the same on every back end."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from arnold.embodiments.physics.state import PhysicsState
from arnold.errors import UserError, did_you_mean


@dataclasses.dataclass(frozen=True)
class Signals:
    """The state after the control step, of one environment.

    Lengths are MuJoCo actuator lengths; forces are actuator forces, negative while a muscle pulls.
    """

    time: jax.Array  # () s since the episode's start
    joint_position: jax.Array  # (J,) rad, or m for slides
    joint_velocity: jax.Array  # (J,) rad/s, or m/s
    muscle_length: jax.Array  # (M,) m
    muscle_velocity: jax.Array  # (M,) m/s, positive while lengthening
    muscle_force: jax.Array  # (M,) N, negative pulls
    activation: jax.Array  # (M,) in [0, 1]
    excitation: jax.Array  # (M,) in [0, 1], the one that led here
    site_positions: jax.Array  # (P, 3) m, world frame
    frame_values: jax.Array  # (F, 13), see `frame`
    touch: jax.Array  # () per touched site, N
    sites: tuple[str, ...]
    frames: tuple[str, ...]

    def site(self, name: str) -> jax.Array:
        """Position (3,) in m, world frame, of a site that the task declared.

        Raises:
            UserError: for a site that was not declared, with the nearest match.
        """
        if name not in self.sites:
            raise UserError(f"site {name!r} is not among the task's observed sites; {did_you_mean(name, self.sites)}")
        return self.site_positions[self.sites.index(name)]

    def frame(self, name: str) -> Frame:
        """Pose and velocity of an MJCF body that the task declared.

        Raises:
            UserError: for one that was not declared, with the nearest match.
        """
        if name not in self.frames:
            raise UserError(
                f"frame {name!r} is not among the task's observed frames; {did_you_mean(name, self.frames)}"
            )
        values = self.frame_values[self.frames.index(name)]
        return Frame(values[:3], values[3:7], values[7:10], values[10:])


@dataclasses.dataclass(frozen=True)
class Frame:
    """Pose and velocity of an MJCF body: of its own frame (not the inertial one), along the axes of the world."""

    position: jax.Array  # (3,) m
    quaternion: jax.Array  # (4,) w, x, y, z
    linear_velocity: jax.Array  # (3,) m/s
    angular_velocity: jax.Array  # (3,) rad/s


_NAMES = ("sites", "frames")
jax.tree_util.register_dataclass(
    Signals,
    data_fields=[f.name for f in dataclasses.fields(Signals) if f.name not in _NAMES],
    meta_fields=list(_NAMES),
)
jax.tree_util.register_dataclass(Frame, [f.name for f in dataclasses.fields(Frame)], [])


@dataclasses.dataclass(frozen=True)
class Readout:
    """Addresses of the signals in the physics state. Sensors lie as `Embodiment.compile` declares them: length,
    velocity and force of each muscle in turn, three numbers per site, thirteen per frame, one per touched site."""

    joint_qpos: np.ndarray
    joint_qvel: np.ndarray
    muscle_act: np.ndarray
    muscles: int
    sites: tuple[str, ...]
    frames: tuple[str, ...]
    touches: tuple[str, ...]

    def __call__(self, physics: PhysicsState) -> Signals:
        """Signals of one environment from its physics state."""
        sizes = (3 * self.muscles, 3 * len(self.sites), 13 * len(self.frames), len(self.touches))
        lengths, places, frames, touch = jnp.split(physics.sensordata, np.cumsum(sizes)[:-1])
        muscle = lengths.reshape(self.muscles, 3)
        return Signals(
            time=physics.time,
            joint_position=physics.qpos[self.joint_qpos],
            joint_velocity=physics.qvel[self.joint_qvel],
            muscle_length=muscle[:, 0],
            muscle_velocity=muscle[:, 1],
            muscle_force=muscle[:, 2],
            activation=physics.act[self.muscle_act],
            excitation=physics.excitation,
            site_positions=jnp.reshape(places, (len(self.sites), 3)),
            frame_values=jnp.reshape(frames, (len(self.frames), 13)),
            touch=touch,
            sites=self.sites,
            frames=self.frames,
        )
