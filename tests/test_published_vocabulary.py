"""Arnold's published vocabulary against ours: words, sizes, and which scalars of its 14 tasks share.

The observation tables of all 14 tasks are built here from the names in the installed bodies. The published counts (214
words, 861 observation and 143 action signatures, and how many each task adds) then hold for our words, of which the
published ones are obtained by leaving out the side that Arnold implies.
"""

from __future__ import annotations

import functools

import pytest
from installed_bodies import names_of

from arnold.vocab import Token, TokenTable, Vocabulary, action_token, category, joint_token, muscle_token, published
from arnold.vocab import quantities as q

AXES = q.AXES
LEG_WORDS = {*published.GROUPS["leg muscles"], *published.GROUPS["leg joints"]}


def joint_rows(names: tuple[str, ...]) -> list[Token]:
    """Position and velocity of every joint."""
    return [joint_token(name, *quantity) for quantity in (q.JOINT_POSITION, q.JOINT_VELOCITY) for name in names]


def muscle_rows(names: tuple[str, ...]) -> list[Token]:
    """Length, velocity, force and activation of every muscle."""
    what = (q.MUSCLE_LENGTH, q.MUSCLE_VELOCITY, q.MUSCLE_FORCE, q.MUSCLE_ACTIVATION)
    return [muscle_token(name, *quantity) for quantity in what for name in names]


def body_rows(body: str) -> list[Token]:
    """All that every task of a body observes of it; the root is observed otherwise."""
    names = names_of(body)
    return joint_rows(tuple(name for name in names.joints if name != "root")) + muscle_rows(names.muscles)


def axis_rows(entity: str, *makers: object) -> list[Token]:
    """One row for every quantity along every axis."""
    return [Token(tuple(entity.split()), maker(axis)) for maker in makers for axis in AXES]  # type: ignore[operator]


def reach_table(tip: str) -> TokenTable:
    rows = axis_rows(f"{tip} right tip", q.site_position, q.site_target, q.site_error)
    return TokenTable((*body_rows("hand"), *rows))


def elbow_table() -> TokenTable:
    goal = [joint_token("r_elbow_flex", *quantity) for quantity in (q.JOINT_ERROR, q.JOINT_TARGET)]
    return TokenTable((*body_rows("elbow"), *goal))


def baoding_table() -> TokenTable:
    rows = []
    for ball in ("ball id_1", "ball id_2"):
        seen = (q.site_position, q.site_velocity, q.orientation, q.angular_velocity)
        rows += axis_rows(f"object {ball}", *seen) + axis_rows(f"target {ball}", q.site_position, q.site_error)
    return TokenTable((*body_rows("hand"), *rows))


def turn_table(thing: str) -> TokenTable:
    seen = (q.site_position, q.site_velocity, q.orientation, q.angular_velocity)
    wanted = (q.site_position, q.orientation, q.site_error, q.orientation_error)
    rows = axis_rows(f"object {thing} id_1", *seen) + axis_rows(f"target {thing} id_1", *wanted)
    return TokenTable((*body_rows("hand"), *rows))


def relocate_table() -> TokenTable:
    rows = axis_rows("object id_1", q.site_position, q.orientation)
    rows += axis_rows("target object id_1", q.site_position, q.site_error)
    return TokenTable((*body_rows("arm"), *rows))


def walk_table() -> TokenTable:
    feet = [Token((side, part), q.CONTACT_FORCE) for side in ("right", "left") for part in ("foot", "toes")]
    tilt = [Token(("root",), q.orientation(axis)) for axis in "xy"]
    return TokenTable((*body_rows("legs"), *feet, *tilt, *axis_rows("root", q.site_velocity, q.site_error)))


@functools.cache
def tables() -> dict[str, TokenTable]:
    """The observation tables of the 14 tasks (cw and ccw, hard and harder have equal ones), in reading order."""
    reaches = {f"reach {tip}": reach_table(tip) for tip in published.GROUPS["tips"]}
    return {
        **reaches,
        "elbow": elbow_table(),
        "baoding": baoding_table(),
        "pen": turn_table("pen"),
        "die": turn_table("die"),
        "relocate": relocate_table(),
        "walk": walk_table(),
    }


def as_published(token: Token) -> tuple[str, ...]:
    """The published signature of one of our tokens: only the legs and feet say their side."""
    words = ["r_elbow_flex" if word == "elbow_flex" else word for word in token.words]
    says_side = bool(LEG_WORDS & set(words)) or "contact" in words
    return tuple(sorted(word for word in words if says_side or word != "right"))


@pytest.mark.unit
def test_there_are_214_published_words_in_their_order() -> None:
    assert len(published.WORDS) == len(set(published.WORDS)) == 214
    places = [published.WORDS.index(words[0]) for words in published.GROUPS.values()]
    assert places == [0, 2, 7, 11, 17, 18, 57, 80, 85, 87, 127, 128, 146, 156, 157, 175, 190, 196, 210]
    assert published.WORDS[213] == "contact"


@pytest.mark.unit
def test_published_words_are_of_the_category_of_their_group() -> None:
    for group, words in published.GROUPS.items():
        for kind in ("muscle", "joint", "tip", "number"):
            if group.split()[-1].rstrip("s") == kind and group != "elbow joint":
                assert {category(word) for word in words} == {kind}


@pytest.mark.native
def test_each_task_has_its_published_number_of_tokens() -> None:
    sizes = {name: len(table) for name, table in tables().items()}
    reaches = dict.fromkeys((f"reach {tip}" for tip in published.GROUPS["tips"]), 211)
    others = {"elbow": 28, "baoding": 238, "pen": 226, "die": 226, "relocate": 340, "walk": 388}
    assert sizes == {**reaches, **others}


@pytest.mark.native
@pytest.mark.parametrize("signature", [lambda token: token.signature, as_published], ids=["ours", "published"])
def test_each_task_adds_its_published_number_of_signatures(signature: object) -> None:
    known: set[tuple[str, ...]] = set()
    added = []
    for table in tables().values():
        new = {signature(token) for token in table} - known  # type: ignore[operator]
        added.append(len(new))
        known |= new
    assert added == [211, 9, 9, 9, 9, 28, 36, 24, 24, 114, 388]
    assert len(known) == 861


@pytest.mark.native
def test_actions_share_as_published() -> None:
    bodies = ("elbow", "hand", "arm", "legs")
    elbow, hand, arm, legs = ({action_token(name).signature for name in names_of(body).muscles} for body in bodies)
    assert (len(elbow), len(hand), len(arm), len(legs)) == (6, 39, 63, 80)
    assert elbow | hand < arm
    assert len(arm | legs) == 143


@pytest.mark.native
def test_every_driven_muscle_is_also_observed() -> None:
    for task, body in (("elbow", "elbow"), ("reach IFtip", "hand"), ("relocate", "arm"), ("walk", "legs")):
        observed = set(tables()[task].signatures)
        assert {action_token(name).signature for name in names_of(body).muscles} < observed


@pytest.mark.native
def test_the_tasks_use_187_published_words_and_ours_differ_by_the_side_alone() -> None:
    used = {word for table in tables().values() for token in table for word in as_published(token)}
    assert used <= set(published.WORDS)
    assert len(used) == 187
    groups = ("reserved", "finger muscles", "finger joints", "pelvis", "object joints")
    unused = {word for group in groups for word in published.GROUPS[group]}
    assert set(published.WORDS) - used == unused | {"acceleration"} | {f"id_{k}" for k in range(3, 11)}
    ours = set(Vocabulary.of(tables().values()).words)
    assert ours - set(published.WORDS) == {"elbow_flex"}


@pytest.mark.native
def test_no_two_published_signatures_come_from_one_of_ours_and_none_from_two() -> None:
    pairs = {(token.signature, as_published(token)) for table in tables().values() for token in table}
    assert len(pairs) == len({ours for ours, _ in pairs}) == len({theirs for _, theirs in pairs}) == 861
