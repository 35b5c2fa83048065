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
    site_positions: jax.Array  # (P, 3) m, world frame
    sites: tuple[str, ...]

    def site(self, name: str) -> jax.Array:
        """Position (3,) in m, world frame, of a site that the task declared.

        Raises:
            UserError: for a site that was not declared, with the nearest match.
        """
        if name not in self.sites:
            raise UserError(f"site {name!r} is not among the task's observed sites; {did_you_mean(name, self.sites)}")
        return self.site_positions[self.sites.index(name)]


jax.tree_util.register_dataclass(
    Signals,
    data_fields=[f.name for f in dataclasses.fields(Signals) if f.name != "sites"],
    meta_fields=["sites"],
)


@dataclasses.dataclass(frozen=True)
class Readout:
    """Addresses of the signals in the physics state. Sensors lie as `Embodiment.compile` declares them: length,
    velocity and force of each muscle in turn, then three numbers per site."""

    joint_qpos: np.ndarray
    joint_qvel: np.ndarray
    muscle_act: np.ndarray
    muscles: int
    sites: tuple[str, ...]

    def __call__(self, physics: PhysicsState) -> Signals:
        """Signals of one environment from its physics state."""
        muscle = physics.sensordata[: 3 * self.muscles].reshape(self.muscles, 3)
        places = physics.sensordata[3 * self.muscles : 3 * self.muscles + 3 * len(self.sites)]
        return Signals(
            time=physics.time,
            joint_position=physics.qpos[self.joint_qpos],
            joint_velocity=physics.qvel[self.joint_qvel],
            muscle_length=muscle[:, 0],
            muscle_velocity=muscle[:, 1],
            muscle_force=muscle[:, 2],
            activation=physics.act[self.muscle_act],
            site_positions=jnp.reshape(places, (len(self.sites), 3)),
            sites=self.sites,
        )
