"""The lexicon: hand-written answers for tricky names, users' own names, and every name of every installed body."""

from __future__ import annotations

import importlib.util
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from installed_bodies import BODIES, names_of

from arnold.errors import UserError
from arnold.vocab import Token, body_words, category, describe, joint_words, muscle_words, published, site_words
from arnold.vocab.anatomy import SEGMENTS

WORDS_OF = {"joints": joint_words, "muscles": muscle_words, "sites": site_words}


@pytest.mark.unit
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("FDS2_r", "FDS2 right muscle"),
        ("FDS2", "FDS2 right muscle"),
        ("FDS2_l", "FDS2 left muscle"),
        ("FDS2_left", "FDS2 left muscle"),
        ("LU_RB2", "LU_RB2 right muscle"),  # RB: radial band of a lumbrical, no side
        ("LU_RB2_left", "LU_RB2 left muscle"),
        ("RI5_l", "RI5 left muscle"),  # R: radial
        ("adabR", "adabR right muscle"),  # one finger with a radial and an ulnar abductor
        ("adabL", "adabL right muscle"),
        ("LAT1_left", "LAT1 left muscle"),
        ("rect_abd_l", "rect_abd left muscle"),
        ("abd_r", "abd right muscle"),  # hip abductors; not the abd of rect_abd
        ("Ps_L1_L2_IVD_l", "Ps_L1_L2_IVD left muscle"),
        ("IL_R5_l", "IL_R5 left muscle"),  # R5: the fifth rib
        ("LTpL_L4_r", "LTpL_L4 right muscle"),
        ("QL_mid_L3-12.3_r", "QL_mid_L3-12.3 right muscle"),
        ("QL_post_I.1-L3_l", "QL_post_I.1-L3 left muscle"),
        ("MF_m1.laminar_r", "MF_m1.laminar right muscle"),
        ("addmagDist_l", "addmagDist left muscle"),
    ],
)
def test_muscles_of_installed_bodies_get_their_words(name: str, words: str) -> None:
    assert muscle_words(name) == tuple(words.split())


@pytest.mark.unit
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("r_elbow_flex", "elbow_flex right joint"),
        ("elbow_flex_l", "elbow_flex left joint"),
        ("elbow_flexion", "elbow_flexion right joint"),  # published apart from r_elbow_flex
        ("sternoclavicular_r2_l", "sternoclavicular_r2 left joint"),  # r2: second rotation
        ("sternoclavicular_r3", "sternoclavicular_r3 right joint"),
        ("acromioclavicular_r1_r", "acromioclavicular_r1 right joint"),
        ("knee_angle_r_beta_translation2", "knee_angle_beta_translation2 right joint"),
        ("knee_angle_beta_translation2_l", "knee_angle_beta_translation2 left joint"),
        ("knee_angle_l_rotation3", "knee_angle_rotation3 left joint"),
        ("flexion_r", "flexion right joint"),
        ("flex_extension", "flex_extension joint"),
        ("L4_L5_FE", "L4_L5_FE joint"),
        ("Abs_r3", "Abs_r3 joint"),
        ("OBJTx", "OBJTx joint"),
        ("root", "root_joint joint"),  # root alone is the published word of the pelvis body
        ("hamstrings_r_semimem_r-P2_x", "hamstrings_semimem-P2_x right joint"),
    ],
)
def test_joints_of_installed_bodies_get_their_words(name: str, words: str) -> None:
    assert joint_words(name) == tuple(words.split())


@pytest.mark.unit
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("IFtip_r", "IFtip right tip"),
        ("RFtip", "RFtip right tip"),  # R: ring
        ("LFtip_left", "LFtip left tip"),
        ("IFtip_target", "IFtip right tip target"),
        ("IFtip_target_left", "IFtip left tip target"),
        ("wrist_target", "wrist right site target"),
        ("S_grasp_left", "S_grasp left site"),
        ("R.Clavicle_marker", "clavicle marker right site"),
        ("R.Clavicle_marker_left", "clavicle marker left site"),  # a mirrored right arm kept the prefix
        ("Clavicle_marker_r", "clavicle marker right site"),
        ("RASI", "ASI right site"),
        ("LTH1", "TH1 left site"),
        ("LeftShoulder", "shoulder left site"),
        ("r_foot_touch", "foot touch right site"),
        ("pelvis", "pelvis site"),
        ("Ps_L1_VB_r_Ps_L1_VB_r-P2", "Ps_L1_VB_Ps_L1_VB-P2 right site"),
    ],
)
def test_sites_of_installed_bodies_get_their_words(name: str, words: str) -> None:
    assert site_words(name) == tuple(words.split())


@pytest.mark.unit
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("left_biceps_long_head", "biceps long head left muscle"),
        ("BicepsLongHead_L", "biceps long head left muscle"),
        ("biceps long head left", "biceps long head left muscle"),
        ("BIClong_L", "BIClong left muscle"),
        ("leftBiceps", "biceps left muscle"),
        ("thumb_flexor_1", "thumb flexor_1 muscle"),
        ("flexor12", "flexor12 muscle"),
        ("m_1_2", "m_1_2 muscle"),
        ("vas_x", "vas_x muscle"),  # abbreviations stay whole: vas would mean another thing elsewhere
        ("L", "L muscle"),
    ],
)
def test_a_name_that_nobody_knows_becomes_words(name: str, words: str) -> None:
    assert muscle_words(name, side=None) == tuple(words.split())


@pytest.mark.unit
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (muscle_words("force", None), "force_muscle muscle"),
        (muscle_words("left", None), "left_muscle muscle"),
        (muscle_words("value", None), "value_muscle muscle"),
        (muscle_words("id_3", None), "id_3_muscle muscle"),
        (muscle_words("flexion", None), "flexion_muscle muscle"),  # the published wrist joint
        (joint_words("psoas", None), "psoas_joint joint"),
        (joint_words("ball", None), "ball_joint joint"),
        (site_words("FDS2", None), "FDS2_site site"),
        (joint_words("elbow_joint_flexion", None), "elbow_joint_flexion joint"),
        (muscle_words("target_reacher", None), "target_reacher muscle"),
        (site_words("foot_marker", None), "foot marker site"),  # the same foot
    ],
)
def test_no_name_takes_a_word_that_means_something_else(words: tuple[str, ...], expected: str) -> None:
    assert words == tuple(expected.split())


@pytest.mark.unit
def test_the_declared_side_is_for_names_that_say_none() -> None:
    assert muscle_words("FDS2", side="left") == ("FDS2", "left", "muscle")
    assert muscle_words("FDS2_r", side="left") == ("FDS2", "right", "muscle")
    assert muscle_words("FDS2", side=None) == ("FDS2", "muscle")
    assert joint_words("L1_L2_AR", side="left") == ("L1_L2_AR", "joint")


@pytest.mark.unit
def test_names_of_one_body_that_would_be_alike_are_told_apart() -> None:
    alike = ["long_flexor", "flexor_long", "Biceps_L", "biceps_left", "soleus_r"]
    words = body_words(alike, "muscle", side=None)
    assert words == (
        ("long_flexor", "muscle"),
        ("flexor_long", "muscle"),
        ("Biceps", "left", "muscle"),
        ("biceps", "left", "muscle"),
        ("soleus", "right", "muscle"),
    )
    assert body_words(["ham_L", "ham_left"], "muscle") == (("ham_L", "left", "muscle"), ("ham_left", "left", "muscle"))


@pytest.mark.unit
def test_bad_arguments_are_refused_in_one_line() -> None:
    with pytest.raises(UserError, match="a muscle has no name"):
        muscle_words(" ")
    with pytest.raises(UserError, match=r"unknown side 'lefty' of a joint: did you mean 'left'"):
        joint_words("knee_angle", side="lefty")  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"unknown kind of name 'muscles': did you mean 'muscle'"):
        describe("FDS2", "muscles")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="muscle name 'a' is there more than once"):
        body_words(["a", "b", "a"], "muscle")


@pytest.mark.unit
def test_a_description_knows_side_digit_and_segment() -> None:
    parts = describe("FDS2_left", "muscle")
    assert (parts.base, parts.side, parts.digit, parts.segment) == ("FDS2", "left", "index", "forearm")
    assert describe("EIP", "muscle").digit == describe("mcp2_flexion_r", "joint").digit == "index"
    assert [describe(f"{tip}tip", "site").digit for tip in ("TH", "IF", "MF", "RF", "LF")] == [
        "thumb", "index", "middle", "ring", "little",
    ]  # fmt: skip
    assert describe("cmc_flexion", "joint").digit == "thumb"
    assert describe("soleus_l", "muscle").digit is None
    assert describe("left_index_flexor", "muscle").digit == "index"
    assert describe("shoulder_flexor_R", "muscle", None).segment == "shoulder"
    assert describe("L4_L5_FE", "joint").segment == describe("IL_R5_l", "muscle").segment == "trunk"


@pytest.mark.native
@pytest.mark.parametrize("body", BODIES)
def test_no_two_names_of_a_body_share_a_signature(body: str) -> None:
    for kind, names in names_of(body)._asdict().items():
        named: dict[tuple[str, ...], str] = {}
        for name in names:
            words = WORDS_OF[kind](name)
            assert named.setdefault(Token(words, ()).signature, name) == name, f"{name} has another's words"
        assert body_words(names, kind[:-1]) == tuple(map(WORDS_OF[kind], names))  # type: ignore[arg-type]


@pytest.mark.native
def test_no_word_means_two_things_on_any_installed_body() -> None:
    meanings: dict[str, set[str]] = {}
    for body in BODIES:
        for kind, names in names_of(body)._asdict().items():
            for name in names:
                base = describe(name, kind[:-1]).words  # type: ignore[arg-type]
                for word in base:
                    meanings.setdefault(word, set()).add(kind)
    muscles_and_joints = {word: kinds for word, kinds in meanings.items() if kinds & {"muscles", "joints"}}
    assert {word: kinds for word, kinds in muscles_and_joints.items() if len(kinds) > 1} == {}
    keywords = {*published.GROUPS["keywords"], *published.GROUPS["numbers"], "<pad>", "value", "contact", "site"}
    assert not keywords & set(meanings)
    assert len(muscles_and_joints) > 250


@pytest.mark.native
def test_every_muscle_and_joint_of_an_installed_body_is_a_known_word_with_a_segment() -> None:
    for body in BODIES:
        names = names_of(body)
        for name in names.muscles:
            parts = describe(name, "muscle")
            assert len(parts.words) == 1
            assert category(parts.words[0]) == "muscle", name
            assert parts.segment in SEGMENTS, name
            assert parts.side is not None, name
        for name in names.joints if body != "reduced_legs" else ():
            parts = describe(name, "joint")
            assert category(parts.words[0]) == "joint" or name == "root", name
            assert parts.segment in SEGMENTS or name == "root", name


def muscle_by_hand(name: str) -> tuple[str, str]:
    """A muscle's plain name and side by the suffixes of the installed bodies, written apart from the lexicon."""
    plain = re.sub(r"_(r|l|left)$", "", name)
    return plain, "left" if name.endswith(("_l", "_left")) else "right"


@pytest.mark.native
def test_the_same_muscle_has_the_same_words_on_every_body() -> None:
    words: dict[tuple[str, str], tuple[str, ...]] = {}
    for body in BODIES:
        for name in names_of(body).muscles:
            plain, side = muscle_by_hand(name)
            assert words.setdefault((plain, side), muscle_words(name)) == muscle_words(name)
            assert muscle_words(name) == (plain, side, "muscle")
    assert len(set(words.values())) == len(words)


def words_of_muscles(body: str) -> set[tuple[str, ...]]:
    """The entity words of a body's muscles."""
    return {muscle_words(name) for name in names_of(body).muscles}


@pytest.mark.native
def test_small_bodies_are_parts_of_large_ones() -> None:
    sizes = {"elbow": 6, "finger": 5, "hand": 39, "arm": 63, "legs": 80, "bimanual": 126, "fullbody": 416}
    assert {body: len(words_of_muscles(body)) for body in sizes} == sizes
    for small, large in [
        ("elbow", "arm"), ("hand", "arm"), ("arm", "bimanual"), ("left_hand", "bimanual"),
        ("bimanual", "fullbody"), ("legs", "fullbody"),
    ]:  # fmt: skip
        assert words_of_muscles(small) < words_of_muscles(large)
    assert not words_of_muscles("hand") & words_of_muscles("left_hand")
    assert not words_of_muscles("finger") & words_of_muscles("fullbody")


@pytest.mark.native
def test_the_same_joint_has_the_same_words_on_every_body() -> None:
    def joints(body: str) -> set[tuple[str, ...]]:
        return {joint_words(name) for name in names_of(body).joints}

    assert len(joints("hand")) == 23
    assert joints("hand") < joints("arm")
    # MyoArm calls its elbow elbow_flexion, as Arnold published it; all else of it is the bimanual body's right arm.
    assert joints("arm") - joints("bimanual") == {("elbow_flexion", "right", "joint")}
    assert joints("elbow") < joints("bimanual") < joints("fullbody")
    assert joints("legs") < joints("fullbody")
    tips = {site_words(name) for name in names_of("hand").sites if "tip" in name}
    assert tips == {(tip, "right", "tip") for tip in published.TIPS}
    assert tips < {site_words(name) for name in names_of("fullbody").sites}
    assert ("IFtip", "right", "tip") in {site_words(name) for name in names_of("finger").sites}


@pytest.mark.native
def test_older_files_without_sides_have_the_words_of_the_right_hand_and_arm() -> None:
    found = importlib.util.find_spec("myosuite")
    assert found is not None
    assert found.origin is not None
    assets = Path(found.origin).parent / "envs" / "myo" / "assets"

    def named(file: str, path: str) -> list[str]:
        return [element.attrib["name"] for element in ET.parse(assets / file).getroot().iterfind(path)]

    muscles = [muscle_words(name) for name in named("hand/assets/myohand_assets.xml", ".//actuator/*")]
    assert sorted(muscles) == sorted(words_of_muscles("hand"))
    hand = [joint_words(name) for name in named("hand/assets/myohand_body.xml", ".//joint")]
    assert sorted(hand) == sorted(joint_words(name) for name in names_of("hand").joints)
    arm = [joint_words(name) for name in named("arm/assets/myoarm_body.xml", ".//joint")]
    assert sorted(arm) == sorted(joint_words(name) for name in names_of("arm").joints)
