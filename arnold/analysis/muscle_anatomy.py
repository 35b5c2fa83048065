"""What anatomy says of the muscles of a body: side, segment, digit, what they turn, where they lie.

Names say side, segment and digit (:mod:`arnold.vocab.lexicon`); the model says the rest, at rest: moment arms, and the
points that a muscle's path passes.
"""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np

from arnold.embodiments import Body
from arnold.embodiments.moments import independent_velocities, moment_arms
from arnold.vocab import lexicon

SYNERGIST = 0.5
"""Two muscles whose moment arms have at least this cosine are called synergists, at most its negative antagonists."""


@dataclasses.dataclass(frozen=True, eq=False)
class MuscleAnatomy:
    """M muscles of one body.

    Attributes:
        body: its name.
        muscles: M names.
        bases: (M,) names without side, so that a muscle and its mirror image have the same.
        sides: (M,) ``"left"``, ``"right"``, or ``""``.
        segments: (M,) of :data:`arnold.vocab.anatomy.SEGMENTS`, or ``""`` where not known.
        digits: (M,) ``"thumb"`` to ``"little"``, or ``""``.
        moment_cosine: (M, M), of the muscles' moment arms over independent coordinates; 0 for a muscle without any.
        turns: bool (M, J), whether a muscle has at least a tenth of its largest moment arm about a joint.
        origin: (M, 3) m, the first point of the path; NaN for a muscle without a path in space.
        centre: (M, 3) m, the mean of the path's points; likewise.
    """

    body: str
    muscles: tuple[str, ...]
    bases: np.ndarray
    sides: np.ndarray
    segments: np.ndarray
    digits: np.ndarray
    moment_cosine: np.ndarray
    turns: np.ndarray
    origin: np.ndarray
    centre: np.ndarray

    @classmethod
    def of(cls, body: Body) -> MuscleAnatomy:
        """The muscles of a body at rest."""
        parts = [lexicon.describe(name, "muscle", body.embodiment.side) for name in body.muscles]
        model, data = body.model, mujoco.MjData(body.model)
        data.qpos = body.rest_position
        mujoco.mj_fwdPosition(model, data)
        arms = moment_arms(model, data)[body.muscle_controls]
        free = arms @ independent_velocities(model, data.qpos)
        unit = free / np.maximum(np.linalg.norm(free, axis=1, keepdims=True), np.finfo(float).tiny)
        about = np.abs(arms[:, body.joint_qvel])
        paths = [_path(model, data, int(actuator)) for actuator in body.muscle_controls]
        return cls(
            body=body.embodiment.name,
            muscles=body.muscles,
            bases=np.array([part.base for part in parts]),
            sides=np.array([part.side or "" for part in parts]),
            segments=np.array([part.segment or "" for part in parts]),
            digits=np.array([part.digit or "" for part in parts]),
            moment_cosine=unit @ unit.T,
            turns=(about > 0.0) & (about >= 0.1 * about.max(axis=1, keepdims=True)),
            origin=np.array([path[0] for path in paths]),
            centre=np.array([path.mean(axis=0) for path in paths]),
        )

    @property
    def groups(self) -> tuple[str, ...]:
        """(M,): the digit, or else the segment, with the side where the body has two."""
        sided = len(set(self.sides)) > 1
        named = [digit or segment or "other" for digit, segment in zip(self.digits, self.segments, strict=True)]
        return tuple(f"{side} {name}" if sided and side else name for side, name in zip(self.sides, named, strict=True))

    @property
    def order(self) -> np.ndarray:
        """int (M,): an order in which sides, then segments, then digits lie together; as they are within each."""
        return np.lexsort((np.arange(len(self.muscles)), self.digits, self.segments, self.sides))


def _path(model: mujoco.MjModel, data: mujoco.MjData, actuator: int) -> np.ndarray:
    """(points, 3) m: the sites that a muscle's tendon passes."""
    if int(model.actuator_trntype[actuator]) != int(mujoco.mjtTrn.mjTRN_TENDON):
        return np.full((1, 3), np.nan)
    tendon = int(model.actuator_trnid[actuator, 0])
    wraps = range(int(model.tendon_adr[tendon]), int(model.tendon_adr[tendon] + model.tendon_num[tendon]))
    sites = [int(model.wrap_objid[w]) for w in wraps if int(model.wrap_type[w]) == int(mujoco.mjtWrap.mjWRAP_SITE)]
    return np.asarray(data.site_xpos[sites]) if sites else np.full((1, 3), np.nan)
