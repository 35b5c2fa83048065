"""What a person did, whatever file told it: the common ground between the readers of files and retargeting."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

KEYPOINTS: tuple[str, ...] = (
    "pelvis",
    "spine",
    "head",
    *(f"{side}_{joint}" for side in ("left", "right") for joint in ("shoulder", "elbow", "wrist")),
    *(f"{side}_{joint}" for side in ("left", "right") for joint in ("hip", "knee", "ankle", "toe")),
)
"""Names that every reader gives to what it knows of them: centres of joints, `toe` that of the ball of the foot,
`spine` between the pelvis and the lowest ribs, `head` the joint at the skull's base. The order and the choice are those
of MuscleMimic's mimic sites (arXiv 2603.25544)."""


@dataclasses.dataclass(frozen=True)
class Motion:
    """A recorded motion of T frames in the world's frame: x forward at the start, y left, z up; metres, radians.

    A file says where joints were, how segments were turned, or which angles joints had; what it does not say is left
    out. At least one of `keypoints` and `angles` is given.

    Attributes:
        name: of the clip, the file's stem by default.
        rate: frames per second, as the file says it.
        keypoints: by a name of `KEYPOINTS`, (T, 3) m; NaN where a frame does not know it.
        orientations: by a name of `KEYPOINTS`, the turn (T, 4) w, x, y, z of the segment that begins at that joint (the
            thigh for a hip, the foot for an ankle), away from how it is when a person who faces x stands upright with
            the arms hanging and the palms turned to the thighs.
        angles: by OpenSim's name of a coordinate (``pelvis_tilt``, ``hip_flexion_r``, ``knee_angle_r``, ...), (T,) rad,
            or m for translations; OpenSim's signs, but flexion of the knee is positive.
        source: where it comes from: the file, and whatever licence or citation the user should know.
        subject: who moved, for held-out subjects; empty where it is not known.
    """

    name: str
    rate: float
    keypoints: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    orientations: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    angles: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    source: str = ""
    subject: str = ""

    @property
    def frames(self) -> int:
        """T."""
        return len(next(iter((*self.keypoints.values(), *self.angles.values()))))

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the last."""
        return (self.frames - 1) / self.rate
