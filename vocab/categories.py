"""Which kind of word a word is: muscle, joint, tip, side, axis, ...; for listings and for keeping meanings apart."""

from __future__ import annotations

from collections.abc import Iterable

from arnold.vocab import anatomy, published

OTHER = "other"

_CLOSED = {
    "reserved": published.RESERVED,
    "kind": published.KINDS,
    "side": published.SIDES,
    "quantity": published.QUANTITY_WORDS,
    "axis": published.AXES,
    "tip": published.TIPS,
    "object": published.OBJECTS,
    "part": published.PARTS,
    "number": published.NUMBERS,
}

STRUCTURE = frozenset().union(*(_CLOSED[name] for name in ("reserved", "kind", "side", "quantity", "axis", "number")))
"""Words that say how a token is built. No joint, muscle or site may be called so; its word is then qualified."""


def category(word: str) -> str:
    """The category of a word.

    Returns:
        ``"muscle"``, ``"joint"``, ``"tip"``, ``"object"``, ``"part"``, ``"kind"``, ``"side"``, ``"quantity"``,
        ``"axis"``, ``"number"``, ``"reserved"``; ``"other"`` for words that no installed body uses.
    """
    for name, words in _CLOSED.items():
        if word in words:
            return name
    if anatomy.is_muscle(word):
        return "muscle"
    return "joint" if anatomy.is_joint(word) else OTHER


def group_words(words: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """``words`` by category; categories in order of first appearance, words in their given order."""
    groups: dict[str, list[str]] = {}
    for word in words:
        groups.setdefault(category(word), []).append(word)
    return {name: tuple(members) for name, members in groups.items()}
