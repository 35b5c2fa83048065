"""The lexicon: any MuJoCo name of a joint, muscle or site becomes the words of an entity.

The words are the name without its side, then the side, then the kind: ``FDS2_r`` is ``FDS2 right muscle``. Bodies write
sides in many ways (``FDS2_r``, ``FDS2_left``, ``r_elbow_flex``, ``knee_angle_r_beta_translation2``, or nothing where
only the right exists); here a side is said, never implied, so that one muscle has the same words on every body.

A name that an installed body uses stays one word, as Arnold published it: ``LU_RB2`` is not a right anything. Any other
name is split into the words it is made of (``left_biceps_long_head`` is ``biceps long head left muscle``), but stays
whole where a piece is an abbreviation or already means something else: such a piece would make one word mean two
things. Where Arnold published two words for one thing we keep two: the elbow of MyoElbow (``r_elbow_flex``) and that of
MyoArm (``elbow_flexion``).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from arnold.errors import UserError, did_you_mean
from arnold.vocab import anatomy
from arnold.vocab.categories import OTHER, STRUCTURE, category

Side = Literal["left", "right"] | None
Kind = Literal["joint", "muscle", "site"]

_SIDE_OF: dict[str, Side] = {"r": "right", "l": "left", "right": "right", "left": "left"}
_KINDS = ("joint", "muscle", "site")
_NAMED = ("joint", "muscle", "tip")  # categories whose words are whole names
_MOVED = ("joint", "muscle")  # kinds of name that no part of a body and no object may be mistaken for
_TARGET = re.compile(r"(?<=.)[_\-]?target$", re.IGNORECASE)

# Separators: underscore, hyphen, space, a dot before a word (not in "I.1"), and the seam of camel case before a word of
# three letters or more (not in "LTpT" or "BIClong"). The group keeps the separators: a name can be put together again.
_SEPARATOR = re.compile(r"([_\-\s/:]+|\.(?=[A-Za-z]{2})|(?<=[a-z0-9])(?=[A-Z][a-z]{2}))")
_LETTERS = re.compile(r"[A-Za-z]")
_CAPITALISED = re.compile(r"[A-Z][a-z]{2,}[a-z0-9_.]*")
_MIN_LETTERS = 3  # shorter pieces are abbreviations, which mean other things in other names


@dataclass(frozen=True)
class NameParts:
    """What a name says.

    Attributes:
        base: the name without its side; for a known name, its published word.
        side: ``"left"``, ``"right"``, or None on the midline.
        kind: ``"joint"``, ``"muscle"``, ``"site"`` or ``"tip"`` (the end of a digit).
        words: the words that the base becomes; one for a known name.
        digit: ``"thumb"`` to ``"little"``, or None.
        segment: one of :data:`arnold.vocab.anatomy.SEGMENTS`, or None.
        target: whether the name is that of a goal's marker (``IFtip_target``).
    """

    base: str
    side: Side
    kind: str
    words: tuple[str, ...]
    digit: str | None
    segment: str | None
    target: bool = False

    @property
    def entity(self) -> tuple[str, ...]:
        """The words of the entity: base, side, kind."""
        said = (self.side,) if self.side else ()
        return (*self.words, *said, self.kind, *(("target",) if self.target else ()))


def joint_words(name: str, side: Side = "right") -> tuple[str, ...]:
    """The words of a joint.

    Args:
        name: its name in the MJCF.
        side: the side of the body it belongs to, for names that carry none; None says no side. Joints of the spine and
            of objects have no side whatever this says.

    Raises:
        UserError: the name is empty, or ``side`` is no side.

    Example:
        >>> joint_words("knee_angle_r_beta_translation2")
        ('knee_angle_beta_translation2', 'right', 'joint')
    """
    return describe(name, "joint", side).entity


def muscle_words(name: str, side: Side = "right") -> tuple[str, ...]:
    """The words of a muscle (MuJoCo's actuator); arguments and errors as :func:`joint_words`.

    Example:
        >>> muscle_words("FDS2_r"), muscle_words("FDS2_left")
        (('FDS2', 'right', 'muscle'), ('FDS2', 'left', 'muscle'))
    """
    return describe(name, "muscle", side).entity


def site_words(name: str, side: Side = "right") -> tuple[str, ...]:
    """The words of a site; arguments and errors as :func:`joint_words`. Fingertips are of kind ``tip``.

    Example:
        >>> site_words("IFtip_r"), site_words("IFtip_target")
        (('IFtip', 'right', 'tip'), ('IFtip', 'right', 'tip', 'target'))
    """
    return describe(name, "site", side).entity


def body_words(names: Sequence[str], kind: Kind, side: Side = "right") -> tuple[tuple[str, ...], ...]:
    """The words of all joints, muscles or sites of one body, no two alike.

    As :func:`joint_words` and its siblings, name by name. Only where two names would come to the same words
    (``long_flexor`` and ``flexor_long``; ``Biceps_L`` and ``biceps_left``) are those two told apart, by staying whole
    or, if that is not enough, by keeping the name as it is written.

    Raises:
        UserError: a name is empty or there twice, or ``side`` is no side.
    """
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UserError(f"{kind} name {twice[0]!r} is there more than once: give every {kind} its own name")
    parts = [describe(name, kind, side) for name in names]
    for wholes in ([part.base for part in parts], list(names)):
        count = Counter(tuple(sorted(part.entity)) for part in parts)
        parts = [
            replace(part, words=(_qualified(whole, part.kind),)) if count[tuple(sorted(part.entity))] > 1 else part
            for part, whole in zip(parts, wholes, strict=True)
        ]
    return tuple(part.entity for part in parts)


def describe(name: str, kind: Kind, side: Side = "right") -> NameParts:
    """Take a name apart: side, digit, segment, and the words of the rest.

    Args:
        name: a name in the MJCF.
        kind: ``"joint"``, ``"muscle"`` or ``"site"``.
        side: the declared side of the body, for names that carry none.

    Raises:
        UserError: the name is empty, or ``kind`` or ``side`` is not accepted.

    Example:
        >>> describe("FDS2_r", "muscle").digit, describe("FDS2_r", "muscle").segment
        ('index', 'forearm')
    """
    _check(name, kind, side)
    base, said = split_side(name)
    target = kind == "site" and bool(_TARGET.search(base))
    if target:
        base = _TARGET.sub("", base)
    said = said or (None if anatomy.MIDLINE.fullmatch(base) else side)
    shown = "tip" if kind == "site" and base.lower().endswith("tip") else kind
    words = _base_words(base, shown)
    told = (base, *words, *(piece.lower() for piece in _pieces(base)))
    return NameParts(base, said, shown, words, anatomy.digit_of(told), anatomy.segment_of(told), target)


def split_side(name: str) -> tuple[str, Side]:
    """A name without its side, and the side, wherever in the name it is said; None where it says none.

    Where a name says both sides its end decides: ``R.Clavicle_marker_left`` is the mirror image of a marker of the
    right arm, and loses the prefix too.

    Example:
        >>> split_side("r_elbow_flex"), split_side("LU_RB2")
        (('elbow_flex', 'right'), ('LU_RB2', None))
    """
    marker = anatomy.SIDED_MARKER.fullmatch(name)
    if marker:
        return marker["base"], _SIDE_OF[marker["side"].lower()]
    tokens = _SEPARATOR.split(name)
    said = [place for place in range(0, len(tokens), 2) if tokens[place].lower() in _SIDE_OF]
    if not said:
        return name, None
    side = _SIDE_OF[tokens[said[-1]].lower()]
    agreed = [place for place in said if _SIDE_OF[tokens[place].lower()] == side]
    is_prefix = said[0] == 0 and tokens[1:2] == ["."]
    base = _without(tokens, agreed if len(agreed) == len(said) else [*([0] if is_prefix else []), said[-1]])
    return (base, side) if base else (name, None)


def _without(tokens: list[str], places: list[int]) -> str:
    """``tokens`` (pieces and separators in turn) put together without the pieces at ``places`` and a separator each."""
    kept = [place for place in range(0, len(tokens), 2) if place not in places]
    return "".join(tokens[place] if place == kept[0] else tokens[place - 1] + tokens[place] for place in kept)


def _base_words(base: str, kind: str) -> tuple[str, ...]:
    """The words of a name without its side: itself where known, else its pieces where all of them can be words."""
    if category(base) in _NAMED:
        return (_qualified(base, kind),)
    pieces = tuple(_folded(piece) for piece in _pieces(base))
    if len(pieces) == 1:
        return (_qualified(pieces[0], kind),)
    if len(set(pieces)) == len(pieces) and all(_can_be_word(piece, kind) for piece in pieces):
        return pieces
    return (_qualified(base, kind),)


def _pieces(base: str) -> list[str]:
    """``base`` cut at its separators; numbers and single letters stay with what is before them."""
    tokens = _SEPARATOR.split(base)
    pieces = [tokens[0]]
    for separator, token in zip(tokens[1::2], tokens[2::2], strict=True):
        if min(len(_LETTERS.findall(token)), len(_LETTERS.findall(pieces[-1]))) < 2:
            pieces[-1] += separator + token
        else:
            pieces.append(token)
    return pieces


def _folded(piece: str) -> str:
    """A capitalised word in lower case, so that ``BicepsLongHead`` has the words of ``biceps_long_head``."""
    return piece.lower() if _CAPITALISED.fullmatch(piece) else piece


def _can_be_word(piece: str, kind: str) -> bool:
    """Whether a piece of an unknown name is a word of its own, which means nothing else already."""
    free = (OTHER, "part", "object") if kind == "site" else (OTHER,)
    return len(_LETTERS.findall(piece)) >= _MIN_LETTERS and category(piece) in free


def _qualified(base: str, kind: str) -> str:
    """``base`` as one word that means this alone: ``force`` becomes ``force_muscle`` where a muscle has that name."""
    word = "".join(letter if letter.isprintable() and not letter.isspace() else "_" for letter in base)
    meant = category(word)
    taken = word in STRUCTURE or (meant in _NAMED and meant != kind) or (meant in ("part", "object") and kind in _MOVED)
    return f"{word}_{kind}" if taken else word


def _check(name: str, kind: str, side: Side) -> None:
    """Raise a :class:`UserError` where an argument of :func:`describe` is not accepted."""
    if kind not in _KINDS:
        raise UserError(f"unknown kind of name {kind!r}: {did_you_mean(str(kind), _KINDS)}")
    if side not in ("left", "right", None):
        raise UserError(f"unknown side {side!r} of a {kind}: {did_you_mean(str(side), ('left', 'right', 'None'))}")
    if not isinstance(name, str) or not name.strip():
        raise UserError(f"a {kind} has no name ({name!r}): name every {kind} in the MJCF")
