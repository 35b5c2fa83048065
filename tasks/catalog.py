"""The tasks that ship, as values.

Numbers of the elbow and of the hand reaches: arXiv 2508.18066 and its public configuration (the reference Arnold).
Numbers of the finger tasks and of the hand pose: MyoSuite 3's `myoFingerReachRandom-v0`, `myoFingerPoseRandom-v0`,
`myoHandPoseRandom-v0`.
"""

from __future__ import annotations

from arnold.tasks.pose import MYOSUITE_POSE_WEIGHTS, Pose
from arnold.tasks.reach import MYOSUITE_REACH_WEIGHTS, Reach

# digit: (tip site, low corner, high corner), m, world frame
_HAND_REACHES = {
    "thumb": ("THtip_r", (-0.185, -0.577, 1.455), (-0.125, -0.517, 1.535)),
    "index": ("IFtip_r", (-0.191, -0.567, 1.445), (-0.111, -0.527, 1.465)),
    "middle": ("MFtip_r", (-0.186, -0.567, 1.437), (-0.106, -0.527, 1.457)),
    "ring": ("RFtip_r", (-0.188, -0.563, 1.435), (-0.108, -0.523, 1.455)),
    "little": ("LFtip_r", (-0.188, -0.548, 1.424), (-0.108, -0.508, 1.444)),
}

# joint: (low, high), rad: the span of MyoSuite's ten sign-language digits
_HAND_POSE_TARGETS = (
    ("pro_sup_r", 0.0, 0.0),
    ("deviation_r", 0.0, 0.0),
    ("flexion_r", 0.0, 0.0),
    ("cmc_flexion_r", -0.147495, 0.28272),
    ("cmc_abduction_r", 0.0248, 0.6392),
    ("mp_flexion_r", -0.7854, 0.01569),
    ("ip_flexion_r", -1.309, -0.0262045),
    ("mcp2_flexion_r", 0.366605, 1.30045),
    ("mcp2_abduction_r", -0.006982, 0.010473),
    ("pm2_flexion_r", 0.128305, 1.45492),
    ("md2_flexion_r", 0.111722, 0.998897),
    ("mcp3_flexion_r", 0.39275, 1.48459),
    ("mcp3_abduction_r", 0.0, 0.0),
    ("pm3_flexion_r", 0.18852, 1.45318),
    ("md3_flexion_r", 0.117825, 1.44532),
    ("mcp4_flexion_r", 0.306345, 1.571),
    ("mcp4_abduction_r", -0.204204, -0.010472),
    ("pm4_flexion_r", 0.0, 1.52387),
    ("md4_flexion_r", 0.06284, 1.45318),
    ("mcp5_flexion_r", 0.21994, 1.48459),
    ("mcp5_abduction_r", -0.2618, -0.068068),
    ("pm5_flexion_r", 0.18852, 1.571),
    ("md5_flexion_r", 0.01571, 1.571),
)

ELBOW_POSE = Pose(
    name="elbow_pose",
    body="elbow",
    targets=(("r_elbow_flex", 0.0, 2.27),),
    near=0.175,
    random_start=True,
    summary="flex the elbow to an angle",
)
FINGER_POSE = Pose(
    name="finger_pose",
    body="finger",
    targets=(("IFadb", -0.2, 0.2), ("IFmcp", -0.4, 1.0), ("IFpip", 0.1, 1.0), ("IFdip", 0.1, 1.0)),
    near=0.35,
    weights=MYOSUITE_POSE_WEIGHTS,
    summary="bring the four finger joints to a posture",
)
FINGER_REACH = Reach(
    name="finger_reach",
    body="finger",
    tip="IFtip",
    low=(0.1, -0.1, 0.1),
    high=(0.27, 0.1, 0.3),
    reachable=True,
    weights=MYOSUITE_REACH_WEIGHTS,
    summary="bring the fingertip to a point",
)
HAND_POSE = Pose(
    name="hand_pose",
    body="hand",
    targets=_HAND_POSE_TARGETS,
    near=0.7,
    random_start=True,
    weights=MYOSUITE_POSE_WEIGHTS,
    summary="bring the 23 hand joints to a sign-language posture",
)
HAND_REACHES = tuple(
    Reach(
        name=f"hand_{digit}_reach",
        body="hand",
        tip=tip,
        low=low,
        high=high,
        summary=f"bring the tip of the {digit if digit == 'thumb' else f'{digit} finger'} to a point",
    )
    for digit, (tip, low, high) in _HAND_REACHES.items()
)

SHIPPED_TASKS = (ELBOW_POSE, FINGER_POSE, FINGER_REACH, HAND_POSE, *HAND_REACHES)
