"""A word of the vocabulary in lines: what kind of word it is and which tokens it is part of."""

from __future__ import annotations

import functools

from arnold.tasks import list_tasks
from arnold.vocab import Token, Vocabulary, category


def names() -> list[str]:
    """The words of every known task, without the two reserved ones."""
    return list(Vocabulary().grow(word for _, token in _tokens() for word in token.words).words[2:])


def lines(word: str) -> list[str]:
    """The word ``word``."""
    found = [(task, token) for task, token in _tokens() if word in token.words]
    signatures = list(dict.fromkeys(" ".join(token.words) for _, token in found))
    tasks = list(dict.fromkeys(task for task, _ in found))
    shown = [f"  {signature}" for signature in signatures[:12]]
    more = [f"  ... {len(signatures) - 12} more"] if len(signatures) > 12 else []
    return [
        f"word {word} ({category(word)})",
        f"tasks: {', '.join(tasks)}",
        f"{len(signatures)} signatures have it:",
        *shown,
        *more,
    ]


@functools.cache
def _tokens() -> tuple[tuple[str, Token], ...]:
    """(task, token) of everything that the known tasks observe and drive."""
    found = []
    for goal in list_tasks():
        body = goal.compile()
        found += [(goal.name, token) for token in (*goal.observation_table(body).tokens, *body.action_table.tokens)]
    return tuple(found)
