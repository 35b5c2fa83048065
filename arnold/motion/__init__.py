"""Motion: recorded movements from files, retargeted to a body as clips that tasks imitate.

A reader turns a file into a `Motion` (keypoints, orientations, joint angles of a person); retargeting turns that into a
`Clip` of one embodiment.
"""

from arnold.motion.clip import Clip, velocities
from arnold.motion.motion import KEYPOINTS, Motion

__all__ = ["KEYPOINTS", "Clip", "Motion", "velocities"]
