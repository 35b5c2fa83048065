"""Tokens: one scalar of an observation, or one muscle to drive, named by words.

A :class:`Token` is an *entity* (a joint, a muscle, a site, an object, the root) and a *quantity* (what is said of it).
Its meaning to the policy is the sum of its words' embeddings, so order does not matter: two tokens with the same words
have the same *signature*, whichever body or task they come from, and share embeddings and statistics.
A :class:`TokenTable` is the static list of the K tokens of one task (or of the M muscles of one body).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from arnold.errors import UserError
from arnold.vocab import quantities
from arnold.vocab.lexicon import Side, joint_words, muscle_words, site_words

if TYPE_CHECKING:
    from arnold.vocab.vocabulary import Vocabulary


def _checked_words(words: object, field: str) -> tuple[str, ...]:
    """``words`` as a tuple of non-empty words without spaces, or a :class:`UserError` that names ``field``."""
    if isinstance(words, str) or not isinstance(words, tuple | list):
        raise UserError(f"token {field} must be a tuple of words, got {words!r}: write ({str(words)!r},)")
    for word in words:
        if not isinstance(word, str) or not word or word.split() != [word]:
            raise UserError(f"token {field} {tuple(words)!r} holds {word!r}: a word is a string without spaces")
    return tuple(words)


@dataclass(frozen=True)
class Token:
    """One scalar of an observation, or one muscle to drive.

    Attributes:
        entity: words that name the thing, such as ``("FDS2", "right", "muscle")``. At least one.
        quantity: words that say what of it, such as ``("activation",)``.

    Raises:
        UserError: a field is no tuple of words, or the entity is empty.
    """

    entity: tuple[str, ...]
    quantity: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "entity", _checked_words(self.entity, "entity"))
        object.__setattr__(self, "quantity", _checked_words(self.quantity, "quantity"))
        if not self.entity:
            raise UserError(f"a token with quantity {self.quantity!r} has no entity: name the thing it speaks of")

    @property
    def words(self) -> tuple[str, ...]:
        """The words of the entity, then those of the quantity."""
        return self.entity + self.quantity

    @property
    def signature(self) -> tuple[str, ...]:
        """The words in sorted order, repeats kept: what decides which tokens share."""
        return tuple(sorted(self.words))

    def __str__(self) -> str:
        return " ".join(self.words)


@dataclass(frozen=True)
class EntityGroup:
    """The E entities of a table that have the same C quantities, for a static gather from scalars to entities.

    Attributes:
        entities: E entities, each as its words, in order of first appearance.
        quantities: C quantities, each as its sorted words, themselves in sorted order.
        index: int32 (E, C), row of the table for each entity and quantity.
    """

    entities: tuple[tuple[str, ...], ...]
    quantities: tuple[tuple[str, ...], ...]
    index: np.ndarray

    def __post_init__(self) -> None:
        # A frozen value is shared between callers; its array must not change under them.
        self.index.setflags(write=False)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, EntityGroup):
            return NotImplemented
        same_words = (self.entities, self.quantities) == (other.entities, other.quantities)
        return same_words and np.array_equal(self.index, other.index)

    def __hash__(self) -> int:
        return hash((self.entities, self.quantities, self.index.tobytes()))


@dataclass(frozen=True)
class TokenTable:
    """The tokens of one observation (K rows) or the muscles of one body (M rows); static, hashable.

    Raises:
        UserError: two rows have the same words, so that nothing could tell them apart.

    Example:
        >>> table = TokenTable((muscle_token("FDS2", *quantities.MUSCLE_LENGTH),))
        >>> table.words
        ('FDS2', 'right', 'muscle', 'position')
    """

    tokens: tuple[Token, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "tokens", tuple(self.tokens))
        first: dict[tuple[str, ...], int] = {}
        for row, token in enumerate(self.tokens):
            if not isinstance(token, Token):
                raise UserError(f"row {row} of a token table is {token!r}: every row is an arnold.vocab.Token")
            seen = first.setdefault(token.signature, row)
            if seen != row:
                raise UserError(
                    f"rows {seen} and {row} of a token table have the same words ({token}): "
                    "give one of them another name, or a word that sets it apart"
                )

    def __len__(self) -> int:
        return len(self.tokens)

    def __iter__(self) -> Iterator[Token]:
        return iter(self.tokens)

    def __getitem__(self, row: int) -> Token:
        return self.tokens[row]

    def __add__(self, other: TokenTable) -> TokenTable:
        return TokenTable(self.tokens + other.tokens)

    @cached_property
    def signatures(self) -> tuple[tuple[str, ...], ...]:
        """The signature of every row."""
        return tuple(token.signature for token in self.tokens)

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Every word of the table once, in order of first appearance."""
        return tuple(dict.fromkeys(word for token in self.tokens for word in token.words))

    def word_ids(self, vocabulary: Vocabulary) -> np.ndarray:
        """Ids of the words of every row.

        Returns:
            int32 (K, W), W the longest row; shorter rows are filled with 0, the padding id.

        Raises:
            UserError: the vocabulary lacks a word.
        """
        rows = [vocabulary.ids(token.words) for token in self.tokens]
        ids = np.zeros((len(rows), max((len(row) for row in rows), default=0)), np.int32)
        for row, word_ids in enumerate(rows):
            ids[row, : len(word_ids)] = word_ids
        return ids

    def entity_groups(self) -> tuple[EntityGroup, ...]:
        """The entities, grouped by the set of quantities that they have.

        Entities are told apart by their sorted words. Groups, and entities within a group, are in order of first
        appearance; the columns of a group are its sorted quantities, so that equal groups of two tasks line up.
        No entity has a quantity twice: such rows have the same words, which no table accepts.
        """
        named: dict[tuple[str, ...], tuple[str, ...]] = {}
        rows: dict[tuple[str, ...], dict[tuple[str, ...], int]] = {}
        for row, token in enumerate(self.tokens):
            entity, quantity = tuple(sorted(token.entity)), tuple(sorted(token.quantity))
            named.setdefault(entity, token.entity)
            rows.setdefault(entity, {})[quantity] = row
        members: dict[tuple[tuple[str, ...], ...], list[tuple[str, ...]]] = {}
        for entity, columns in rows.items():
            members.setdefault(tuple(sorted(columns)), []).append(entity)
        return tuple(
            EntityGroup(
                entities=tuple(named[entity] for entity in entities),
                quantities=columns,
                index=np.array([[rows[entity][column] for column in columns] for entity in entities], np.int32),
            )
            for columns, entities in members.items()
        )


def joint_token(name: str, *quantity: str, side: Side = "right") -> Token:
    """The token of a joint by its MuJoCo name, as in ``joint_token("flexion_r", *quantities.JOINT_POSITION)``."""
    return Token(joint_words(name, side), quantity)


def muscle_token(name: str, *quantity: str, side: Side = "right") -> Token:
    """The token of a muscle by its MuJoCo name, as in ``muscle_token("FDS2_r", *quantities.MUSCLE_LENGTH)``."""
    return Token(muscle_words(name, side), quantity)


def site_token(name: str, *quantity: str, side: Side = "right") -> Token:
    """The token of a site by its MuJoCo name, as in ``site_token("IFtip_r", *quantities.site_position("x"))``."""
    return Token(site_words(name, side), quantity)


def action_token(name: str, side: Side = "right") -> Token:
    """The token of a muscle to drive: the same words as its observed activation."""
    return muscle_token(name, *quantities.MUSCLE_ACTIVATION, side=side)
