"""The one error a user sees: one line that says what was wrong, the value seen, what is accepted and what to do next.

Everything a person can get wrong (a name, a file, a setting) raises :class:`UserError`; the command line prints its
message without a traceback and exits with code 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in what the user gave us, said in one line: what, the value seen, what is accepted, what to do next."""


def did_you_mean(word: str, choices: Iterable[str], limit: int = 3) -> str:
    """A phrase that names the nearest of ``choices`` to ``word``, for the end of an error message.

    Args:
        word: what the user wrote.
        choices: what would have been accepted.
        limit: how many near matches to name.

    Returns:
        ``"did you mean 'a' or 'b'?"``, or the accepted values where nothing is near (the first eight of them).
    """
    names = sorted(set(choices))
    folded = {name.lower(): name for name in names}
    near = [folded[n] for n in difflib.get_close_matches(word.lower(), list(folded), n=limit, cutoff=0.5)]
    if near:
        return "did you mean " + " or ".join(repr(n) for n in near) + "?"
    shown = ", ".join(names[:8]) + (f", ... ({len(names)} in all)" if len(names) > 8 else "")
    return f"accepted: {shown or 'nothing yet'}"
