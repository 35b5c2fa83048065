"""The tasks that ship, as values.

Numbers of Arnold's fourteen: arXiv 2508.18066 and its public configuration (the reference Arnold). Numbers of the
finger tasks and of the hand pose: MyoSuite 3's `myoFingerReachRandom-v0`, `myoFingerPoseRandom-v0` and
`myoHandPoseRandom-v0`; of the harder dice and the easier relocation: its `myoChallengeDieReorientP1-v0`, `-P2-v0` and
`myoChallengeRelocateP1-v0`.
"""

from __future__ import annotations

import dataclasses
import math

from arnold.embodiments.musclemimic import FULLBODY_SITES
from arnold.motion.cycles import STANDING, WALKING
from arnold.tasks.baoding import Baoding
from arnold.tasks.follow import FASTEST, FollowPoint
from arnold.tasks.imitate import Imitate
from arnold.tasks.pose import MYOSUITE_POSE_WEIGHTS, Pose
from arnold.tasks.reach import MYOSUITE_REACH_WEIGHTS, Reach
from arnold.tasks.relocate import Relocate
from arnold.tasks.turn import TurnDie, TurnPen
from arnold.tasks.walk import ARNOLD_WALK_WEIGHTS, FEET, ROOT, WalkToPoint

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

PEN_REORIENT = TurnPen(
    name="pen_reorient",
    body="hand_pen",
    posture=(("pro_sup", -1.5),),
    summary="turn a pen in the palm to a direction",
)
DIE_REORIENT = TurnDie(
    name="die_reorient",
    body="hand_die",
    horizon=150,
    posture=(("pro_sup", -1.5),),
    summary="turn a die in the palm to an orientation",
)
DIE_REORIENT_P1 = dataclasses.replace(
    DIE_REORIENT,
    name="die_reorient_p1",
    shift=0.01,
    turn=1.57,
    near=0.025,
    summary="turn a die further, and to a place (MyoChallenge, phase 1)",
)
DIE_REORIENT_P2 = dataclasses.replace(
    DIE_REORIENT,
    name="die_reorient_p2",
    shift=0.02,
    turn=3.14,
    near=0.025,
    mass=(0.05, 0.25),
    size_change=0.007,
    friction_change=(0.2, 0.001, 2e-5),
    summary="turn dice of many sizes anywhere (MyoChallenge, phase 2)",
)
BAODING_CCW = Baoding(
    name="baoding_ccw",
    body="hand_baoding",
    horizon=200,
    posture=(("pro_sup", -1.57),),
    directions=(1,),
    summary="roll two balls in the palm, counter-clockwise",
)
BAODING_CW = dataclasses.replace(
    BAODING_CCW, name="baoding_cw", directions=(-1,), summary="roll two balls in the palm, clockwise"
)
BAODING_HARD = dataclasses.replace(
    BAODING_CCW,
    name="baoding_hard",
    period=(4.0, 6.0),
    radius_x=(0.020, 0.030),
    radius_y=(0.022, 0.032),
    directions=(0, -1, 1),
    mass=(0.03, 0.30),
    size=(0.018, 0.024),
    friction_change=(0.2, 0.001, 2e-5),
    summary="hold or roll balls of many kinds, either way",
)
BAODING_HARDER = dataclasses.replace(
    BAODING_HARD,
    name="baoding_harder",
    phase=0.0,
    phase_spread=math.pi,
    summary="the same, from any first angle",
)
BAODING_HOLD = dataclasses.replace(
    BAODING_HARD,
    name="baoding_hold",
    directions=(0,),
    summary="hold balls of many kinds where they are (a first lesson)",
)
# Half as many steps of a physics that is like the tasks' own, not the same: what is learned here has to go on there.
BAODING_SLOW = dataclasses.replace(
    BAODING_CCW,
    name="baoding_slow",
    body="hand_baoding_coarse",
    period=(5.0, 25.0),
    directions=(-1, 1),
    phase_spread=math.pi / 4.0,
    weights=(("pos_dist_1", 20.0), ("pos_dist_2", 20.0), ("alive", 2.0), ("solved", 5.0)),
    summary="roll two balls either way, slowly or not (a first lesson)",
)
BAODING_SLOW_CCW = dataclasses.replace(
    BAODING_SLOW,
    name="baoding_slow_ccw",
    period=(5.0, 15.0),
    directions=(1,),
    phase_spread=0.4,
    summary="roll two balls counter-clockwise, slowly or not (a second lesson)",
)
BAODING_COARSE_CCW = dataclasses.replace(
    BAODING_SLOW_CCW,
    name="baoding_coarse_ccw",
    period=(5.0, 6.0),
    phase_spread=0.15,
    summary="roll two balls counter-clockwise, all but as fast as the task asks (a third lesson)",
)
BAODING_FOLLOW = dataclasses.replace(
    BAODING_SLOW,
    name="baoding_follow",
    period=(5.0, 15.0),
    phase_spread=0.4,
    lost=0.03,
    turns=(0.5, 2.5),
    summary="roll two balls one way and then the other, until one is left behind (a second lesson)",
)
BAODING_FOLLOW_HARD = dataclasses.replace(
    BAODING_HARD,
    name="baoding_follow_hard",
    body=BAODING_SLOW.body,
    lost=BAODING_FOLLOW.lost,
    weights=BAODING_SLOW.weights,
    summary="hold or roll balls of many kinds, either way, until one is left behind (a third lesson)",
)
BAODING_FOLLOW_CW = dataclasses.replace(
    BAODING_CW,
    name="baoding_follow_cw",
    period=(5.0, 5.5),
    phase_spread=0.1,
    lost=BAODING_FOLLOW.lost,
    weights=BAODING_SLOW.weights,
    summary="roll two balls clockwise until one is left behind (a fourth lesson)",
)
BAODING_TO_ANGLE = dataclasses.replace(
    BAODING_SLOW,
    name="baoding_to_angle",
    period=(5.0, 15.0),
    directions=(-1, 0, 1),
    phase=0.0,
    phase_spread=math.pi,
    summary="bring two balls to any angle and hold or roll them there (a first lesson)",
)
BAODING_LESSONS = (
    BAODING_HOLD,
    BAODING_SLOW,
    BAODING_SLOW_CCW,
    BAODING_COARSE_CCW,
    BAODING_FOLLOW,
    BAODING_FOLLOW_HARD,
    BAODING_FOLLOW_CW,
    BAODING_TO_ANGLE,
)
OBJECT_RELOCATE = Relocate(name="object_relocate", body="arm_object", summary="carry an object of any shape into a bin")
OBJECT_RELOCATE_P1 = dataclasses.replace(
    OBJECT_RELOCATE,
    name="object_relocate_p1",
    bin_place=((0.0, -0.35, 0.9), (0.2, -0.1, 0.9)),
    bin_tilt=0.0,
    object_place=None,
    noise=0.0,
    summary="carry a box into a bin (MyoChallenge, phase 1)",
)

# joint: rad (m for translations), the reference's first posture; right leg, then left
_STANDING = {
    "hip_flexion": (0.05718979, 0.07734922),
    "hip_adduction": (-0.08046306, -0.03445803),
    "hip_rotation": (-0.36137755, -0.33847641),
    "knee_angle_translation2": (0.00613998, -0.00639306),
    "knee_angle_translation1": (0.00156276, 0.00154999),
    "knee_angle": (0.34577042, 0.35934485),
    "knee_angle_rotation2": (0.03181017, 0.0327628),
    "knee_angle_rotation3": (0.15059691, -0.16855011),
    "ankle_angle": (0.23338945, 0.20909414),
    "subtalar_angle": (0.22419988, 0.2539858),
    "mtp_angle": (0.03759186, 0.03759526),
    "knee_angle_beta_translation2": (-0.01772005, -0.01772008),
    "knee_angle_beta_translation1": (0.01923135, 0.01923106),
    "knee_angle_beta_rotation1": (-0.11780726, -0.11780739),
}
WALK_TO_POINT = WalkToPoint(
    name="walk_to_point",
    body="legs",
    horizon=150,
    posture=tuple((f"{joint}_{side}", pair[k]) for k, side in enumerate("rl") for joint, pair in _STANDING.items()),
    place=(0.70731837, 0.6811051, 0.94),
    yaw=3.083,
    summary="walk to a point on the floor and stay there",
)
KINESIS_TRACKED = ("root", "tibia_l", "tibia_r", "talus_l", "talus_r", "toes_l", "toes_r")
# (term, weight, sharpness). The references' own (`KINESIS_WEIGHTS`, `MUSCLEMIMIC_WEIGHTS`) say little of a trunk that
# begins to fall, and nothing of one that turns away; these do.
_WALKING_TERMS = (
    ("position", 0.3, 100.0),
    ("velocity", 0.1, 3.0),
    ("root_orientation", 0.2, 4.0),
    ("root_velocity", 0.1, 1.0),
    ("root_position", 0.15, 10.0),
    ("joint_position", 0.1, 20.0),
    ("energy", 0.05, 0.05),
)
IMITATE_WALKING = Imitate(
    name="imitate_walking",
    body="kinesis_legs",
    clips=("walk", "walk_slow", "walk_fast", "walk_left", "walk_right", "walk_brisk", "walk_wide_left"),
    held_out=("walk_brisk", "walk_wide_left"),
    tracked=KINESIS_TRACKED,
    root=ROOT,
    feet=FEET,
    lookahead=(1, 3, 8),
    weights=tuple((term, weight) for term, weight, _ in _WALKING_TERMS),
    sharpness=tuple((term, sharpness) for term, _, sharpness in _WALKING_TERMS),
    horizon=150,
    each_within=0.4,
    summary="follow walking clips with 80 muscles (KINESIS)",
)
ARMS_TRACKED = ("thorax", "humerus_l", "ulna_l", "lunate_l", "humerus_r", "ulna_r", "lunate_r")
IMITATE_REACHING = Imitate(
    name="imitate_reaching",
    body="musclemimic_bimanual_nofingers",
    clips=tuple(f"reaches_{seed}" for seed in range(8)),
    held_out=("reaches_6", "reaches_7"),
    tracked=ARMS_TRACKED,
    lookahead=(3, 6, 12, 24),
    weights=(("relative_position", 1.0), ("joint_position", 0.3), ("velocity", 0.2), ("energy", 0.1)),
    sharpness=(("relative_position", 600.0), ("joint_position", 5.0), ("velocity", 2.0), ("energy", 0.05)),
    horizon=200,
    each_within=0.6,
    solved_within=0.05,
    summary="follow reaches of both hands with 64 muscles (MuscleMimic)",
)
IMITATE_FULLBODY = Imitate(
    name="imitate_fullbody",
    body="musclemimic_fullbody_nofingers",
    clips=("walk", "walk_slow"),
    tracked=tuple(FULLBODY_SITES.values()),
    root="root",
    up=(0.0, 1.0, 0.0),  # OpenSim's pelvis: x forward, y up
    feet=(
        ("r_foot_touch", "right", "foot"),
        ("r_toes_touch", "right", "toes"),
        ("l_foot_touch", "left", "foot"),
        ("l_toes_touch", "left", "toes"),
    ),
    lookahead=(3, 9, 27),
    weights=tuple((term, weight) for term, weight, _ in _WALKING_TERMS),
    sharpness=tuple((term, sharpness) for term, _, sharpness in _WALKING_TERMS),
    horizon=500,
    relative_within=0.3,
    root_within=0.5,
    summary="follow walking clips with the whole body's 354 muscles (MuscleMimic)",
)
# The same words in fewer steps of time: what is learned here goes on there as it is.
IMITATE_FULLBODY_PRACTICE = dataclasses.replace(
    IMITATE_FULLBODY,
    name="imitate_fullbody_practice",
    body="musclemimic_fullbody_nofingers_coarse",
    lookahead=(1, 3, 9),
    horizon=150,
    summary="the same at 33 Hz (a first lesson)",
)
# joint: rad (m for translations) of both legs: knees bent a little, soles flat, weight 3 cm ahead of the ankles; what
# follows the knee is where the model's couplings put it (the reference's first posture is up to 16 degrees off them)
_AT_EASE = {
    **{joint: STANDING[joint] for joint in ("hip_flexion", "hip_adduction", "knee_angle", "ankle_angle")},
    "knee_angle_translation2": 0.00113,
    "knee_angle_translation1": 0.00054,
    "knee_angle_rotation2": 0.01432,
    "knee_angle_rotation3": 0.06732,
    "knee_angle_beta_translation2": -0.02011,
    "knee_angle_beta_translation1": 0.04816,
    "knee_angle_beta_rotation1": -0.03169,
}
# Beside what a goal asks: to walk as the guide does.
_AS_LED = tuple((term, weight) for term, weight in IMITATE_WALKING.weights if term != "energy")
# KINESIS' point goals. Its bonus of 100 for each step within reach drowns the rest; with Arnold's 1, a step there pays
# what a step towards it pays at 1.9 m/s, so that arriving pays and hurrying past does not.
TARGET_REACHING = FollowPoint(
    name="target_reaching",
    body="kinesis_legs",
    horizon=150,
    posture=tuple((f"{joint}_{side}", value) for side in "rl" for joint, value in _AT_EASE.items()),
    place=(0.0, 0.0, 0.9414),
    like=IMITATE_WALKING,
    gaits=(
        ("stand", 0.0),
        ("walk_slow", WALKING.period_at(0.9)),
        ("walk", WALKING.period),
        ("walk_fast", WALKING.period_at(1.7)),
    ),
    weights=(*ARNOLD_WALK_WEIGHTS, *_AS_LED),
    standing=1.0,
    summary="walk to a point around the body and stay there (KINESIS)",
)
# A walking pelvis is up to 0.25 m/s off its mean velocity within a stride.
DIRECTIONAL_CONTROL = dataclasses.replace(
    TARGET_REACHING,
    name="directional_control",
    horizon=300,
    standing=0.5,
    low=(0.0, 0.0),
    high=(0.0, 0.0),
    speeds=(0.0, FASTEST),
    every=3.0,
    directions=8,
    lure=1.0,
    near=math.inf,
    pace=0.3,
    tilted=0.35,
    weights=(("pace", 1.0), ("energy", 0.1), ("upright", 0.1), ("solved", 1.0), *_AS_LED),
    summary="go as commanded: eight directions or stop, at up to 3 m/s (KINESIS)",
)
PATH_FOLLOWING = dataclasses.replace(
    TARGET_REACHING,
    name="path_following",
    horizon=300,
    standing=0.5,
    low=(0.0, 0.0),
    high=(0.0, 0.0),
    speeds=(0.8, 1.5),
    every=1.5,
    turn=0.7,
    near=0.3,
    weights=(("near", 1.0), ("pace", 0.5), ("energy", 0.1), ("upright", 0.1), ("solved", 1.0), *_AS_LED),
    summary="keep up with a point that goes a winding way at walking speed",
)
FOLLOWING = (TARGET_REACHING, DIRECTIONAL_CONTROL, PATH_FOLLOWING)
# Starts and points as there, seen from where its body begins, which faces the world's -x nearly.
WALK_LED = dataclasses.replace(
    TARGET_REACHING,
    name="walk_led",
    body="legs",
    like=dataclasses.replace(IMITATE_WALKING, name="imitate_walking_on_legs", body="legs"),
    posture=WALK_TO_POINT.posture,
    place=(0.0, 0.0, WALK_TO_POINT.place[2]),
    low=(-1.3, -1.3),
    high=(2.7, 2.7),
    teaches=True,
    summary="walk to a point behind a guide, for those who will do it without (a first lesson)",
)

SHIPPED_TASKS = (
    ELBOW_POSE,
    FINGER_POSE,
    FINGER_REACH,
    HAND_POSE,
    *HAND_REACHES,
    PEN_REORIENT,
    DIE_REORIENT,
    DIE_REORIENT_P1,
    DIE_REORIENT_P2,
    BAODING_CW,
    BAODING_CCW,
    BAODING_HARD,
    BAODING_HARDER,
    *BAODING_LESSONS,
    OBJECT_RELOCATE,
    OBJECT_RELOCATE_P1,
    WALK_TO_POINT,
    IMITATE_WALKING,
    IMITATE_REACHING,
    IMITATE_FULLBODY,
    IMITATE_FULLBODY_PRACTICE,
    *FOLLOWING,
    WALK_LED,
)
_NOT_ARNOLDS = (
    *(FINGER_POSE, FINGER_REACH, HAND_POSE),
    *(DIE_REORIENT_P1, DIE_REORIENT_P2, *BAODING_LESSONS, OBJECT_RELOCATE_P1),
    *(IMITATE_WALKING, IMITATE_REACHING, IMITATE_FULLBODY, IMITATE_FULLBODY_PRACTICE, *FOLLOWING, WALK_LED),
)

GROUPS: dict[str, tuple[str, ...]] = {
    "nine": tuple(t.name for t in (ELBOW_POSE, FINGER_POSE, FINGER_REACH, HAND_POSE, *HAND_REACHES)),
    "fourteen": tuple(t.name for t in SHIPPED_TASKS if t not in _NOT_ARNOLDS),
}
"""Names for several tasks at once: Arnold's fourteen, and the nine that need no thing but the body."""
