"""The 214 published words of Arnold (arXiv:2508.18066), by group and in their published order.

They are kept so that our words can be held against them: which scalars share, how many signatures a task adds. Ours
differ in one way only: a side is always said (``FDS2 right``), where the published words say one for the legs alone and
imply the right for finger, elbow, hand and arm. So ``r_elbow_flex`` became ``elbow_flex right``.
"""

from __future__ import annotations

from types import MappingProxyType

_LEG_MUSCLES = (
    "addbrev addlong addmagDist addmagIsch addmagMid addmagProx bflh bfsh edl ehl fdl fhl gaslat gasmed "
    "glmax1 glmax2 glmax3 glmed1 glmed2 glmed3 glmin1 glmin2 glmin3 grac iliacus perbrev perlong piri psoas recfem "
    "sart semimem semiten soleus tfl tibant tibpost vasint vaslat vasmed"
)
_HAND_MUSCLES = (
    "ECRL ECRB ECU FCR FCU PL PT PQ FDS5 FDS4 FDS3 FDS2 FDP5 FDP4 FDP3 FDP2 EDC5 EDC4 EDC3 EDC2 EDM EIP EPL EPB FPL "
    "APL OP RI2 LU_RB2 UI_UB2 RI3 LU_RB3 UI_UB3 RI4 LU_RB4 UI_UB4 RI5 LU_RB5 UI_UB5"
)
_HAND_JOINTS = (
    "pro_sup deviation flexion cmc_abduction cmc_flexion mp_flexion ip_flexion "
    "mcp2_flexion mcp2_abduction pm2_flexion md2_flexion mcp3_flexion mcp3_abduction pm3_flexion md3_flexion "
    "mcp4_flexion mcp4_abduction pm4_flexion md4_flexion mcp5_flexion mcp5_abduction pm5_flexion md5_flexion"
)
_SHOULDER_MUSCLES = "DELT1 DELT2 DELT3 SUPSP INFSP SUBSC TMIN TMAJ PECM1 PECM2 PECM3 LAT1 LAT2 LAT3 CORB ANC SUP BRD"
_SHOULDER_JOINTS = (
    "sternoclavicular_r2 sternoclavicular_r3 unrotscap_r3 unrotscap_r2 acromioclavicular_r2 acromioclavicular_r3 "
    "acromioclavicular_r1 unrothum_r1 unrothum_r3 unrothum_r2 elv_angle shoulder_elv shoulder1_r2 shoulder_rot "
    "elbow_flexion"
)
_LEG_JOINTS = (
    "hip_flexion hip_adduction hip_rotation knee_angle_translation2 knee_angle_translation1 knee_angle "
    "knee_angle_rotation2 knee_angle_rotation3 ankle_angle subtalar_angle mtp_angle "
    "knee_angle_beta_translation2 knee_angle_beta_translation1 knee_angle_beta_rotation1"
)
_KEYWORDS = (
    "joint muscle tip target error position velocity acceleration force activation linear angular x y z "
    "left right object"
)

_GROUPS = {
    "reserved": "<pad> value",
    "finger muscles": "extn adabR adabL mflx dflx",
    "finger joints": "IFadb IFmcp IFpip IFdip",
    "elbow muscles": "TRIlong TRIlat TRImed BIClong BICshort BRA",
    "elbow joint": "r_elbow_flex",
    "hand muscles": _HAND_MUSCLES,
    "hand joints": _HAND_JOINTS,
    "tips": "THtip IFtip MFtip RFtip LFtip",
    "objects": "ball die",
    "leg muscles": _LEG_MUSCLES,
    "pelvis": "pelvis",
    "keywords": _KEYWORDS,
    "numbers": " ".join(f"id_{k}" for k in range(1, 11)),
    "pen": "pen",
    "shoulder muscles": _SHOULDER_MUSCLES,
    "shoulder joints": _SHOULDER_JOINTS,
    "object joints": "OBJTx OBJTy OBJTz OBJRx OBJRy OBJRz",
    "leg joints": _LEG_JOINTS,
    "parts": "foot toes root contact",
}

GROUPS: MappingProxyType[str, tuple[str, ...]] = MappingProxyType(
    {group: tuple(words.split()) for group, words in _GROUPS.items()}
)
"""The published words by group; an id is the place in the groups laid end to end."""

WORDS: tuple[str, ...] = tuple(word for words in GROUPS.values() for word in words)
"""The published words; a word's place is its published id."""


def _of(*groups: str) -> frozenset[str]:
    return frozenset(word for group in groups for word in GROUPS[group])


MUSCLES = _of("finger muscles", "elbow muscles", "hand muscles", "leg muscles", "shoulder muscles")
OBJECT_JOINTS = _of("object joints")
# The published word of the elbow joint holds its side; here the side is a word of its own.
JOINTS = _of("finger joints", "hand joints", "shoulder joints", "leg joints") | OBJECT_JOINTS | {"elbow_flex"}
TIPS = _of("tips")
OBJECTS = _of("objects", "pen") | {"object"}
PARTS = _of("pelvis", "parts") - {"contact"}
NUMBERS = _of("numbers")
SIDES = frozenset({"left", "right"})
AXES = frozenset({"x", "y", "z"})
KINDS = frozenset({"joint", "muscle", "tip", "site"})
QUANTITY_WORDS = (_of("keywords") | {"contact"}) - SIDES - AXES - KINDS - OBJECTS
RESERVED = _of("reserved")
