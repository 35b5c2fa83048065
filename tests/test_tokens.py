"""Tokens, token tables and quantities: what shares, what is refused, how rows become entities."""

from __future__ import annotations

import numpy as np
import pytest

from arnold.errors import UserError
from arnold.vocab import (
    Token,
    TokenTable,
    Vocabulary,
    action_token,
    joint_token,
    muscle_token,
    quantities,
    site_token,
)

pytestmark = pytest.mark.unit


def elbow_table() -> TokenTable:
    """Two muscles with three quantities each in different orders, one joint with two."""
    return TokenTable(
        (
            joint_token("r_elbow_flex", *quantities.JOINT_VELOCITY),
            muscle_token("TRIlong", *quantities.MUSCLE_LENGTH),
            muscle_token("BRA", *quantities.MUSCLE_FORCE),
            muscle_token("BRA", *quantities.MUSCLE_LENGTH),
            joint_token("r_elbow_flex", *quantities.JOINT_POSITION),
            muscle_token("TRIlong", *quantities.MUSCLE_ACTIVATION),
            muscle_token("TRIlong", *quantities.MUSCLE_FORCE),
            muscle_token("BRA", *quantities.MUSCLE_ACTIVATION),
        )
    )


def test_the_order_of_words_does_not_change_a_signature() -> None:
    one = Token(("FDS2", "right", "muscle"), ("position",))
    other = Token(("muscle", "FDS2"), ("position", "right"))
    assert one.words == ("FDS2", "right", "muscle", "position")
    assert one.signature == other.signature == ("FDS2", "muscle", "position", "right")


def test_a_repeated_word_is_another_signature() -> None:
    assert Token(("a", "a"), ("b",)).signature != Token(("a",), ("b",)).signature


def test_the_action_token_of_a_muscle_is_its_observed_activation() -> None:
    observed = muscle_token("FDS2_r", *quantities.MUSCLE_ACTIVATION)
    assert action_token("FDS2_left") == Token(("FDS2", "left", "muscle"), ("activation",))
    assert action_token("FDS2").signature == observed.signature


def test_published_words_say_the_quantities() -> None:
    assert (quantities.JOINT_POSITION, quantities.JOINT_VELOCITY) == (("position", "angular"), ("velocity", "angular"))
    assert quantities.JOINT_ERROR == ("position", "angular", "error")
    assert quantities.JOINT_TARGET == ("position", "angular", "target")
    assert (quantities.MUSCLE_LENGTH, quantities.MUSCLE_VELOCITY) == (("position",), ("velocity",))
    assert (quantities.MUSCLE_FORCE, quantities.MUSCLE_ACTIVATION) == (("force",), ("activation",))
    assert quantities.site_position("x") == ("position", "linear", "x")
    assert quantities.site_target("y") == ("position", "target", "linear", "y")
    assert quantities.site_error("z") == ("position", "error", "linear", "z")


def test_an_unknown_axis_is_refused_with_the_accepted_ones() -> None:
    with pytest.raises(UserError, match=r"unknown axis 'w'.*x, y, z"):
        quantities.site_error("w")


def test_two_rows_with_the_same_words_are_refused_and_named() -> None:
    row = muscle_token("FDS2_r", *quantities.MUSCLE_FORCE)
    other = joint_token("flexion_r", *quantities.JOINT_POSITION)
    with pytest.raises(UserError, match=r"rows 0 and 2 .*FDS2 right muscle force"):
        TokenTable((row, other, muscle_token("FDS2", *quantities.MUSCLE_FORCE)))
    with pytest.raises(UserError, match="rows 0 and 1"):
        TokenTable((row,)) + TokenTable((row,))
    with pytest.raises(UserError, match="rows 0 and 1"):  # the same words, cut elsewhere
        TokenTable((Token(("a", "b"), ("c",)), Token(("a",), ("c", "b"))))


@pytest.mark.parametrize(
    ("entity", "quantity", "said"),
    [
        ("FDS2", ("force",), "must be a tuple of words"),
        (("FDS2", 2), ("force",), "holds 2"),
        (("FDS2 right",), ("force",), "holds 'FDS2 right'"),
        (("",), ("force",), "holds ''"),
        ((), ("force",), "no entity"),
        (("FDS2",), None, "must be a tuple of words"),
    ],
)
def test_what_is_no_token_is_refused(entity: object, quantity: object, said: str) -> None:
    with pytest.raises(UserError, match=said):
        Token(entity, quantity)  # type: ignore[arg-type]


def test_a_row_that_is_no_token_is_refused_and_named() -> None:
    with pytest.raises(UserError, match=r"row 1 .*'FDS2'"):
        TokenTable((Token(("a",), ()), "FDS2"))  # type: ignore[arg-type]


def test_tables_with_equal_rows_are_equal_and_hash_alike() -> None:
    table = elbow_table()
    parts = TokenTable(table.tokens[:3]) + TokenTable(table.tokens[3:])
    assert parts == table
    assert hash(parts) == hash(table)
    assert TokenTable(tuple(reversed(table.tokens))) != table
    assert len(table) == 8
    assert list(table)[3] == table[3]


def test_the_words_of_a_table_come_once_and_in_order_of_appearance() -> None:
    words = elbow_table().words
    assert words[:6] == ("elbow_flex", "right", "joint", "velocity", "angular", "TRIlong")
    assert len(set(words)) == len(words) == 11
    assert set(words) == {word for token in elbow_table() for word in token.words}


def test_word_ids_spell_the_rows_and_padding_is_zero() -> None:
    table = elbow_table()
    vocabulary = Vocabulary.of([table])
    ids = table.word_ids(vocabulary)
    assert ids.dtype == np.int32
    assert ids.shape == (8, 5)
    for row, token in zip(ids, table, strict=True):
        assert tuple(vocabulary.words[i] for i in row if i) == token.words
    assert (ids[1] == 0).tolist() == [False, False, False, False, True]


def test_word_ids_of_an_empty_table_are_empty() -> None:
    assert TokenTable(()).word_ids(Vocabulary()).shape == (0, 0)
    assert TokenTable(()).entity_groups() == ()


def test_word_ids_name_a_word_that_the_vocabulary_lacks() -> None:
    with pytest.raises(UserError, match=r"unknown word 'BRA'"):
        elbow_table().word_ids(Vocabulary.of([TokenTable(elbow_table().tokens[:2])]))


def test_entities_with_the_same_quantities_form_one_group_whatever_the_order_of_rows() -> None:
    joints, muscles = elbow_table().entity_groups()
    assert joints.entities == (("elbow_flex", "right", "joint"),)
    assert muscles.entities == (("TRIlong", "right", "muscle"), ("BRA", "right", "muscle"))
    assert muscles.quantities == (("activation",), ("force",), ("position",))
    assert muscles.index.dtype == np.int32
    assert muscles.index.tolist() == [[5, 6, 1], [7, 2, 3]]


def test_groups_hold_every_row_once_at_its_entity_and_quantity() -> None:
    table = elbow_table() + TokenTable(tuple(site_token("IFtip", *quantities.site_error(axis)) for axis in "xyz"))
    seen = []
    for group in table.entity_groups():
        for entity, rows in zip(group.entities, group.index, strict=True):
            for quantity, row in zip(group.quantities, rows, strict=True):
                assert table.signatures[row] == tuple(sorted(entity + quantity))
                seen.append(int(row))
    assert sorted(seen) == list(range(len(table)))


def test_an_entity_with_more_quantities_is_in_another_group() -> None:
    table = elbow_table() + TokenTable((muscle_token("BRA", *quantities.MUSCLE_VELOCITY),))
    groups = table.entity_groups()
    assert [len(group.entities) for group in groups] == [1, 1, 1]
    assert ("velocity",) in groups[2].quantities


def test_groups_compare_by_value_and_cannot_be_changed() -> None:
    group, other = elbow_table().entity_groups()[1], elbow_table().entity_groups()[1]
    assert group == other
    assert hash(group) == hash(other)
    with pytest.raises(ValueError, match="read-only"):
        group.index[0, 0] = 3
