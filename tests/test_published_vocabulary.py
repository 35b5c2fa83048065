"""Arnold's published vocabulary against ours: words, sizes, and which scalars of its 14 tasks share.

The published counts (214 words, 861 observation and 143 action signatures, and how many each task adds) hold for the
words of our 14 tasks, of which the published ones are obtained by leaving out the side that Arnold implies.
"""

from __future__ import annotations

import functools

import pytest
from installed_bodies import names_of

from arnold.tasks import task
from arnold.tasks.catalog import GROUPS
from arnold.vocab import Token, TokenTable, Vocabulary, action_token, category, published

LEG_WORDS = {*published.GROUPS["leg muscles"], *published.GROUPS["leg joints"]}


READ_IN_ORDER = (
    *(f"hand_{digit}_reach" for digit in ("thumb", "index", "middle", "ring", "little")),
    "elbow_pose",
    "baoding_cw",
    "pen_reorient",
    "die_reorient",
    "object_relocate",
    "walk_to_point",
)
"""One task of each observation (clockwise and counter-clockwise, hard and harder have equal ones)."""


@functools.cache
def tables() -> dict[str, TokenTable]:
    """The observation tables of the 14 tasks."""
    return {name: task(name).observation_table(task(name).compile()) for name in READ_IN_ORDER}


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
    sizes = [len(table) for table in tables().values()]
    assert sizes == [211, 211, 211, 211, 211, 28, 238, 226, 226, 340, 388]
    assert {len(task(name).observation_table(task(name).compile())) for name in GROUPS["fourteen"]} == set(sizes)


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
    for name, table in tables().items():
        assert set(task(name).compile().action_table.signatures) < set(table.signatures)


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
