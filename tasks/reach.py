"""Bring a fingertip to a point: Arnold's five single-digit hand reaches, and MyoSuite's finger reach."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from arnold.embodiments import Body, Signals
from arnold.errors import UserError
from arnold.tasks.task import (
    Channel,
    Outcome,
    Task,
    activation_effort,
    as_float,
    joint_channels,
    muscle_channels,
)
from arnold.vocab import Token, lexicon, quantities

ARNOLD_REACH_WEIGHTS = (("reach", 1.0), ("act_reg", 1.0), ("solved", 1.0))  # arXiv 2508.18066, dense training reward
MYOSUITE_REACH_WEIGHTS = (("reach", 1.0), ("bonus", 4.0), ("penalty", 50.0))  # myosuite ReachEnvV0 defaults
AXES = ("x", "y", "z")
WORKSPACE_SAMPLES = 100_000


@dataclasses.dataclass(frozen=True)
class Reach(Task):
    """Bring a site to a target point, drawn anew each episode.

    The goal is the target (3,) in m, world frame. Terms: ``reach`` = -d, ``act_reg`` = -||act||/M,
    ``solved`` = 1[d < near], ``bonus`` = 1[d < 2 near] + 1[d < near], ``penalty`` = -1[failed], with d the distance
    from tip to target.

    Attributes:
        tip: the site to bring there.
        low, high: corners of the box that targets are drawn from, m, world frame.
        near: the step is solved when the tip is nearer than this, m.
        far: the episode fails when the tip is farther than this, m, from the second control step on.
        reachable: draw only targets that some posture within the joint limits reaches (MyoSuite's ``workspace``
            sampling); otherwise the target is uniform in the box.
    """

    tip: str = ""
    low: tuple[float, float, float] = (0.0, 0.0, 0.0)
    high: tuple[float, float, float] = (0.0, 0.0, 0.0)
    near: float = 0.0125
    far: float = 0.35
    reachable: bool = False
    weights: tuple[tuple[str, float], ...] = ARNOLD_REACH_WEIGHTS

    @property
    def sites(self) -> tuple[str, ...]:
        """The tip."""
        return (self.tip,)

    def goal(self, body: Body, key: jax.Array) -> jax.Array:
        """The target (3,) m, world frame."""
        if self.reachable:
            table = jnp.asarray(reachable_points(body, self.tip, self.low, self.high))
            return table[jax.random.randint(key, (), 0, len(table))]
        return jax.random.uniform(key, (3,), minval=jnp.array(self.low), maxval=jnp.array(self.high))

    def channels(self, body: Body) -> tuple[Channel, ...]:
        """Joints, tip, target, error (target minus tip), muscles."""
        words = lexicon.site_words(self.tip, side=body.embodiment.side)

        def tokens(quantity: Callable[[str], tuple[str, ...]]) -> tuple[Token, ...]:
            return tuple(Token(words, quantity(axis)) for axis in AXES)

        return (
            *joint_channels(body),
            Channel(tokens(quantities.site_position), lambda s, g: s.site(self.tip)),
            Channel(tokens(quantities.site_target), lambda s, g: g),
            Channel(tokens(quantities.site_error), lambda s, g: g - s.site(self.tip)),
            *muscle_channels(body),
        )

    def judge(self, body: Body, signals: Signals, goal: jax.Array) -> Outcome:
        """MyoSuite's `multi_site_reach_reward` for one site; see the class for the terms."""
        distance = jnp.linalg.norm(goal - signals.site(self.tip))
        solved = distance < self.near
        # MyoSuite's rule is time > 2 dt; its sum of physics steps comes to just over that at the second control step.
        failed = (distance > self.far) & (signals.time > 1.5 * body.control_dt)
        terms = {
            "reach": -distance,
            "act_reg": -activation_effort(signals),
            "solved": as_float(solved),
            "bonus": as_float(distance < 2.0 * self.near) + as_float(solved),
            "penalty": -as_float(failed),
        }
        return Outcome(terms, solved, failed)


@functools.lru_cache(maxsize=32)
def reachable_points(body: Body, site: str, low: tuple[float, ...], high: tuple[float, ...]) -> np.ndarray:
    """Places (N, 3) m in the box [low, high] where postures within the joint limits bring ``site``.

    Joint positions are drawn uniformly within their limits, joints without limits rest; the same rule as MyoSuite's
    ``reachable_target_points``. Deterministic for a body.

    Raises:
        UserError: where no posture of the sample reaches the box.
    """
    model = body.model
    rng = np.random.default_rng(0)
    limited = np.isfinite(body.joint_range).all(axis=1)
    postures = np.tile(model.qpos0, (WORKSPACE_SAMPLES, 1))
    low_limit, high_limit = body.joint_range[limited].T
    postures[:, body.joint_qpos[limited]] = rng.uniform(low_limit, high_limit, (WORKSPACE_SAMPLES, limited.sum()))
    data = mujoco.MjData(model)
    places = np.empty((WORKSPACE_SAMPLES, 3), np.float32)
    site_id = model.site(site).id
    for row, posture in enumerate(postures):
        data.qpos[:] = posture
        mujoco.mj_kinematics(model, data)
        places[row] = data.site_xpos[site_id]
    inside = np.all((places >= np.array(low)) & (places <= np.array(high)), axis=1)
    if not inside.any():
        raise UserError(
            f"no posture of body {body.embodiment.name!r} brings {site!r} into the box {low} to {high} m; "
            f"it reaches from {places.min(0).round(3).tolist()} to {places.max(0).round(3).tolist()}: move the box"
        )
    return places[inside]
