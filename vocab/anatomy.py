"""What is known of the names in the installed bodies: which are muscles or joints, of which digit, in which segment.

Beyond Arnold's published words (:mod:`arnold.vocab.published`) these are the trunk of MyoTorso and of the 416-muscle
full body, and the lumped muscles of the reduced legs. The *segment* of a muscle is the compartment that holds its
belly, that of a joint the region it moves; digits count from the thumb.
"""

from __future__ import annotations

import re

from arnold.vocab import published

_VERTEBRA = r"[CTLS]\d+"

# Fascicles of the trunk (Christophy et al. 2012, doi:10.1007/s10237-011-0290-6): psoas, iliocostalis, longissimus,
# quadratus lumborum, multifidus, obliques, rectus abdominis; and the lumped trunk of gait models.
TRUNK_MUSCLE = re.compile(
    r"Ps_L\d_(VB|TP|L\d_IVD)|IL_[LR]\d+|LTp[TL]_[TRL]\d+|QL_(post|mid|ant)_(I\.\d|L\d)-(L\d|T12|12\.\d)"
    r"|MF_m\d(s|t\.\d|\.laminar)|[EI]O\d|rect_abd|ercspn|intobl|extobl"
)
TRUNK_JOINT = re.compile(rf"{_VERTEBRA}_{_VERTEBRA}_(FE|LB|AR)|flex_extension|lat_bending|axial_rotation|Abs_[tr]\d")

REDUCED_LEG_MUSCLES = frozenset(
    ("abd", "add", "hamstrings", "bifemsh", "glutmax", "iliopsoas", "rectfem", "vasti", "gastroc")
)
# Named by older elbow models and by the reduced legs.
OTHER_JOINTS = frozenset(("shoulder_elev", "knee_translation1", "knee_translation2"))

# Motion-capture markers whose first letter is the side: RASI is the right anterior superior iliac spine.
SIDED_MARKER = re.compile(r"(?P<side>[RL])(?P<base>ASI|PSI|HJC|KJC|AJC|TH\d|TB\d|LFC|MFC|LMAL|MMAL|CAL|TOE|MT\d)")

MIDLINE = re.compile(rf"({TRUNK_JOINT.pattern}|root|pelvis|pelvis_\w+|{'|'.join(sorted(published.OBJECT_JOINTS))})")
"""Bases that are on no side, so that the declared side of a body is not theirs."""

DIGITS = ("thumb", "index", "middle", "ring", "little")
_WORDS_OF_DIGIT = {
    "thumb": "thumb pollex pollicis EPL EPB FPL APL OP cmc_flexion cmc_abduction mp_flexion ip_flexion THtip",
    "index": "index indicis EIP IFtip IFadb IFmcp IFpip IFdip extn adabR adabL mflx dflx",
    "middle": "middle MFtip",
    "ring": "ring RFtip",
    "little": "little pinky minimi EDM LFtip",
}
_DIGIT_OF_WORD = {word: digit for digit, words in _WORDS_OF_DIGIT.items() for word in words.split()}
_NUMBERED_DIGIT = re.compile(r"(?:FDS|FDP|EDC|RI|LU_RB|UI_UB)([2-5])|(?:mcp|pm|md)([2-5])_(?:flexion|abduction)")

# A segment's words: muscles of the installed bodies, then joints, then plain words of users' own names.
_WORDS_OF_SEGMENT = {
    "trunk": "trunk torso spine lumbar abdomen back neck head pelvis",
    "shoulder": (
        "DELT1 DELT2 DELT3 SUPSP INFSP SUBSC TMIN TMAJ PECM1 PECM2 PECM3 LAT1 LAT2 LAT3 "
        "sternoclavicular_r2 sternoclavicular_r3 unrotscap_r3 unrotscap_r2 acromioclavicular_r2 acromioclavicular_r3 "
        "acromioclavicular_r1 unrothum_r1 unrothum_r3 unrothum_r2 elv_angle shoulder_elv shoulder1_r2 shoulder_rot "
        "shoulder_elev shoulder scapula clavicle"
    ),
    "upper arm": "TRIlong TRIlat TRImed BIClong BICshort BRA CORB biceps triceps brachialis humerus",
    "elbow": "elbow_flex elbow_flexion elbow",
    "forearm": (
        "ANC SUP BRD ECRL ECRB ECU FCR FCU PL PT PQ FDS5 FDS4 FDS3 FDS2 FDP5 FDP4 FDP3 FDP2 EDC5 EDC4 EDC3 EDC2 "
        "EDM EIP EPL EPB FPL APL pro_sup forearm radius ulna brachioradialis supinator"
    ),
    "wrist": "deviation flexion wrist carpi",
    "hand": (
        "OP RI2 LU_RB2 UI_UB2 RI3 LU_RB3 UI_UB3 RI4 LU_RB4 UI_UB4 RI5 LU_RB5 UI_UB5 extn adabR adabL mflx dflx "
        "IFadb IFmcp IFpip IFdip cmc_abduction cmc_flexion mp_flexion ip_flexion THtip IFtip MFtip RFtip LFtip "
        "mcp2_flexion mcp2_abduction pm2_flexion md2_flexion mcp3_flexion mcp3_abduction pm3_flexion md3_flexion "
        "mcp4_flexion mcp4_abduction pm4_flexion md4_flexion mcp5_flexion mcp5_abduction pm5_flexion md5_flexion "
        "hand palm finger thumb index middle ring little pinky"
    ),
    "hip": (
        "glmax1 glmax2 glmax3 glmed1 glmed2 glmed3 glmin1 glmin2 glmin3 piri tfl iliacus psoas iliopsoas glutmax abd "
        "hip_flexion hip_adduction hip_rotation hip gluteus"
    ),
    "thigh": (
        "addbrev addlong addmagDist addmagIsch addmagMid addmagProx grac sart recfem vasint vaslat vasmed bflh bfsh "
        "semimem semiten add hamstrings bifemsh rectfem vasti thigh femur vastus"
    ),
    "knee": (
        "knee_angle_translation2 knee_angle_translation1 knee_angle knee_angle_rotation2 knee_angle_rotation3 "
        "knee_angle_beta_translation2 knee_angle_beta_translation1 knee_angle_beta_rotation1 knee_translation1 "
        "knee_translation2 knee patella"
    ),
    "shank": (
        "edl ehl fdl fhl gaslat gasmed perbrev perlong soleus tibant tibpost gastroc "
        "shank tibia calf gastrocnemius tibialis"
    ),
    "ankle": "ankle_angle subtalar_angle ankle",
    "foot": "mtp_angle foot toes toe heel calcaneus",
}
SEGMENTS = tuple(_WORDS_OF_SEGMENT)
_SEGMENT_OF_WORD = {word: segment for segment, words in _WORDS_OF_SEGMENT.items() for word in words.split()}


def is_muscle(base: str) -> bool:
    """Whether ``base`` (a name without its side) is a muscle of an installed body."""
    return base in published.MUSCLES or base in REDUCED_LEG_MUSCLES or bool(TRUNK_MUSCLE.fullmatch(base))


def is_joint(base: str) -> bool:
    """Whether ``base`` (a name without its side) is a joint of an installed body."""
    return base in published.JOINTS or base in OTHER_JOINTS or bool(TRUNK_JOINT.fullmatch(base))


def digit_of(words: tuple[str, ...]) -> str | None:
    """The digit that the first telling one of ``words`` belongs to, or None (``("FDS2",)`` is of the index)."""
    for word in words:
        numbered = _NUMBERED_DIGIT.fullmatch(word)
        if numbered:
            return DIGITS[int(numbered[1] or numbered[2]) - 1]
        if word in _DIGIT_OF_WORD:
            return _DIGIT_OF_WORD[word]
    return None


def segment_of(words: tuple[str, ...]) -> str | None:
    """The segment that the first telling one of ``words`` lies in, or None (``("FDS2",)`` lies in the forearm)."""
    for word in words:
        if word in _SEGMENT_OF_WORD:
            return _SEGMENT_OF_WORD[word]
        if TRUNK_MUSCLE.fullmatch(word) or TRUNK_JOINT.fullmatch(word):
            return "trunk"
    return None
