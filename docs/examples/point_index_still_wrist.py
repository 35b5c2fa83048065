"""Point the index finger at a place while holding the wrist still: a task of one's own, on a body that ships.

It is Arnold's index reach with a stricter rule and one more term: the wrist's three joints are to stay as they began.
"""

import dataclasses

import jax.numpy as jnp

from arnold.tasks import Outcome, Reach, register_task

WRIST = ("pro_sup_r", "deviation_r", "flexion_r")
STILL = 0.15  # rad; a step counts as solved only while the wrist has turned less than this


@dataclasses.dataclass(frozen=True)
class ReachWithStillWrist(Reach):
    """A reach whose wrist stays still. One more term: ``still`` = -(the angle that the wrist has turned, rad)."""

    weights: tuple[tuple[str, float], ...] = (("reach", 1.0), ("act_reg", 1.0), ("solved", 1.0), ("still", 0.5))

    def judge(self, body, signals, goal):
        """The terms of `Reach`, and what the wrist does."""
        outcome = super().judge(body, signals, goal)
        wrist = jnp.array([body.joint_index(joint) for joint in WRIST])
        turned = jnp.linalg.norm(signals.joint_position[wrist])  # the hand begins with its wrist at zero
        solved = outcome.solved & (turned < STILL)
        terms = outcome.terms | {"still": -turned, "solved": jnp.where(solved, 1.0, 0.0)}
        return Outcome(terms, solved, outcome.failed)


@register_task
def point_index_still_wrist():
    """The task, under the name that recipes and the command line call it."""
    return ReachWithStillWrist(
        name="point_index_still_wrist",
        body="hand",
        tip="IFtip_r",
        low=(-0.191, -0.567, 1.445),  # m, world frame: the box of Arnold's index reach
        high=(-0.111, -0.527, 1.465),
        summary="point the index finger, the wrist still",
    )
