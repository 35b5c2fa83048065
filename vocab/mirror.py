"""Left and right exchanged, or two things that are alike: which token becomes which, and with what sign, by the words.

A body that is its own mirror image moves under mirrored commands as the mirror image of how it moves. The words say
what that exchanges: "left" and "right", and the direction of what points across the body. Vectors are of a frame with
x forward, y to the left and z up: a position, a velocity or a force changes the sign of y, a rotation (a pseudovector)
those of x and z. Joints of the two sides are taken to count in the same anatomical sense (flexion, adduction, inward
rotation), so that their angles change places and keep their signs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from arnold.errors import UserError
from arnold.vocab.quantities import AXES

if TYPE_CHECKING:
    from arnold.vocab.tokens import Token, TokenTable

_OTHER = {"left": "right", "right": "left"}
_ACROSS = {True: "xz", False: "y"}  # of rotations, of other vectors
_MIDLINE = {"flex_extension": 1.0, "FE": 1.0, "lat_bending": -1.0, "LB": -1.0, "axial_rotation": -1.0, "AR": -1.0}
"""The sign of joints of the trunk, by their name or what it ends in after an underscore (MuscleMimic's spine)."""


def mirror(table: TokenTable) -> tuple[np.ndarray, np.ndarray]:
    """How the values of a table change where left and right do: new = sign * old[order].

    Args:
        table: K tokens.

    Returns:
        order, int32 (K,), and sign, float32 (K,), 1 or -1.

    Raises:
        UserError: a token has no counterpart on the other side, or is a joint on the midline, whose sign words do not
            say.

    Example:
        >>> order, sign = mirror(environment.observation_table)
    """
    order = _counterparts(
        table,
        _OTHER,
        "on the other side; a mirrored network is for bodies with two sides and tasks that see both: train one that is "
        "not mirrored",
    )
    return order, np.array([_sign(token) for token in table], np.float32)


def exchange(table: TokenTable, first: str, second: str) -> tuple[np.ndarray, np.ndarray]:
    """How the values of a table change where two things that are alike do, each called by one of the words.

    Returns:
        as `mirror` does; every sign is 1.

    Raises:
        UserError: a token of one of them has no counterpart among the other's.

    Example:
        >>> order, sign = exchange(environment.observation_table, "id_1", "id_2")
    """
    where = f"where {first!r} and {second!r} change places; name two words of things that are seen alike"
    order = _counterparts(table, {first: second, second: first}, where)
    return order, np.ones(len(order), np.float32)


def _counterparts(table: TokenTable, other: dict[str, str], where: str) -> np.ndarray:
    """The place of what each token becomes, int32 (K,), as ``other`` exchanges its words."""
    place_of = {token.signature: place for place, token in enumerate(table)}
    order = []
    for token in table:
        counterpart = tuple(sorted(other.get(word, word) for word in token.words))
        if counterpart not in place_of:
            raise UserError(f"token {str(token)!r} has no counterpart {where}")
        order.append(place_of[counterpart])
    return np.array(order, np.int32)


def _sign(token: Token) -> float:
    axes = [word for word in token.quantity if word in AXES]
    if axes:
        return -1.0 if axes[0] in _ACROSS["angular" in token.quantity] else 1.0
    if "joint" in token.entity and not set(_OTHER) & set(token.entity):
        signs = [_MIDLINE[end] for word in token.entity for end in (word, word.split("_")[-1]) if end in _MIDLINE]
        if not signs:
            raise UserError(
                f"token {str(token)!r} is of a joint on the midline, whose sign in a mirror its words do not say; "
                "leave it unread, or train a network that is not mirrored"
            )
        return signs[0]
    return 1.0
