"""The vocabulary: an ordered list of words with ids, which can grow but never reorders.

A policy holds one embedding per word. Id 0 is ``<pad>`` (no word), id 1 is ``value`` (the query of the value decoder).
Growing appends, so that the ids of a trained policy stay true; :meth:`Vocabulary.remap` carries embeddings and
statistics from one vocabulary to another by word, whatever the order of either.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from arnold.errors import UserError, did_you_mean
from arnold.vocab.categories import group_words
from arnold.vocab.tokens import TokenTable

PAD = "<pad>"
VALUE = "value"
RESERVED = (PAD, VALUE)

FILE_FORMAT = "arnold-vocabulary"
FILE_VERSION = 1

# A vocabulary file is read whole; a body of 416 muscles has fewer than a thousand words of some ten letters.
MAX_FILE_BYTES = 16 * 1024 * 1024
MAX_WORD_LENGTH = 200


def _word_fault(word: object) -> str | None:
    """Why ``word`` cannot be a word, or None where it can."""
    if not isinstance(word, str):
        return f"{word!r} is of type {type(word).__name__}, not a string"
    if not word or word.split() != [word] or not word.isprintable():
        return f"{word!r} is empty, or has spaces or characters that cannot be printed"
    if len(word) > MAX_WORD_LENGTH:
        return f"{word[:20]!r}... has {len(word)} characters; at most {MAX_WORD_LENGTH} are accepted"
    return None


@dataclass(frozen=True)
class Vocabulary:
    """Ordered words; a word's place is its id. Hashable.

    Attributes:
        words: the words, ``<pad>`` first and ``value`` second.

    Raises:
        UserError: a word is no word, is there twice, or the first two are not ``<pad>`` and ``value``.

    Example:
        >>> vocabulary = Vocabulary.of([environment.observation_table, environment.action_table])
        >>> vocabulary.id("FDS2")
    """

    words: tuple[str, ...] = RESERVED

    def __post_init__(self) -> None:
        words = tuple(self.words)
        if words[:2] != RESERVED:
            raise UserError(
                f"a vocabulary begins with {RESERVED!r}, got {words[:2]!r}: build it with Vocabulary().grow(words)"
            )
        first: dict[str, int] = {}
        for place, word in enumerate(words):
            fault = _word_fault(word)
            if fault:
                raise UserError(f"word {place} of a vocabulary is no word: {fault}")
            if first.setdefault(word, place) != place:
                raise UserError(f"word {word!r} is in a vocabulary twice, at {first[word]} and {place}: remove one")
        object.__setattr__(self, "words", words)

    @classmethod
    def of(cls, tables: Iterable[TokenTable]) -> Vocabulary:
        """The vocabulary of some token tables: reserved words first, then every word in order of first appearance."""
        return cls().grow(word for table in tables for word in table.words)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {word: place for place, word in enumerate(self.words)}

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self._ids

    def id(self, word: str) -> int:
        """The id of ``word``.

        Raises:
            UserError: the word is unknown; the nearest known words are named.
        """
        try:
            return self._ids[word]
        except (KeyError, TypeError):
            near = did_you_mean(str(word), self.words[2:])
            raise UserError(f"unknown word {word!r} in a vocabulary of {len(self)} words: {near}") from None

    def ids(self, words: Iterable[str]) -> tuple[int, ...]:
        """The ids of ``words``, in their order.

        Raises:
            UserError: a word is unknown.
        """
        return tuple(self.id(word) for word in words)

    def grow(self, words: Iterable[str]) -> Vocabulary:
        """This vocabulary with the unknown ones of ``words`` appended in order; every old word keeps its id."""
        return Vocabulary(tuple(dict.fromkeys((*self.words, *words))))

    def remap(self, new: Vocabulary) -> np.ndarray:
        """Where every word of this vocabulary is in ``new``.

        Returns:
            int32 (len(self),): the id in ``new`` of own id i, or -1 where ``new`` lacks the word.
        """
        return np.array([new._ids.get(word, -1) for word in self.words], np.int32)

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hex digits of SHA-256 over the ordered words: equal if and only if the vocabularies are."""
        return hashlib.sha256("\n".join(self.words).encode()).hexdigest()[:16]

    def groups(self) -> dict[str, tuple[str, ...]]:
        """The words by :func:`arnold.vocab.categories.category`; categories and words in order of appearance."""
        return group_words(self.words)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the vocabulary as JSON; a kill at any moment leaves the old file or the new one, never half of it.

        Raises:
            UserError: the file cannot be written.
        """
        path = Path(path)
        content = {
            "format": FILE_FORMAT,
            "version": FILE_VERSION,
            "fingerprint": self.fingerprint,
            "words": list(self.words),
        }
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_atomically(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        except OSError as error:
            raise UserError(f"cannot write the vocabulary to {path}: {error.strerror or error}") from error

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Vocabulary:
        """Read a vocabulary that :meth:`save` wrote.

        Raises:
            UserError: the file is missing, truncated, of another kind or version, or its words are not valid.
        """
        path = Path(path)
        try:
            words = _words_of_file(path)
            return cls(words)
        except UserError as error:
            raise UserError(f"vocabulary file {path}: {error}") from error


def _write_atomically(path: Path, text: str) -> None:
    """Write ``text`` to a neighbour of ``path``, force it to disk, and rename it over ``path``."""
    handle, neighbour = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(neighbour, path)
    except BaseException:
        Path(neighbour).unlink(missing_ok=True)
        raise


def _read_json(path: Path) -> object:
    """The JSON value in a file of sane size, or a :class:`UserError` that says what is wrong with it."""
    try:
        if not path.is_file():
            raise UserError("no such file: give the path of a file that Vocabulary.save wrote")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise UserError(f"{path.stat().st_size} bytes is too large; at most {MAX_FILE_BYTES} are read")
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"is not UTF-8 text (byte {error.start}): it is damaged or no vocabulary") from error
    except json.JSONDecodeError as error:
        raise UserError(f"is not JSON at line {error.lineno} ({error.msg}): it is truncated or damaged") from error
    except ValueError as error:  # a number of thousands of digits
        raise UserError(f"is not JSON that can be read ({error}): it is damaged or no vocabulary") from error
    except RecursionError as error:
        raise UserError("is nested too deeply to be a vocabulary") from error


def _words_of_file(path: Path) -> tuple[str, ...]:
    """The words in a vocabulary file after checks of its format, version and fingerprint."""
    content = _read_json(path)
    if not isinstance(content, dict) or content.get("format") != FILE_FORMAT:
        found = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise UserError(f"is no vocabulary: expected an object with format {FILE_FORMAT!r}, found {found!r}")
    version, words = content.get("version"), content.get("words")
    if type(version) is not int or version != FILE_VERSION:
        raise UserError(f"has version {version!r}; this release reads version {FILE_VERSION}: save it anew")
    if not isinstance(words, list):
        raise UserError(f"'words' must be a list of strings, found {type(words).__name__}")
    expected = Vocabulary(_strings(words)).fingerprint
    found = content.get("fingerprint")
    if found != expected:
        raise UserError(f"has fingerprint {found!r} but its words give {expected!r}: it was edited or damaged")
    return tuple(words)


def _strings(words: Sequence[object]) -> tuple[str, ...]:
    """``words`` if all are valid words; the check comes before any of them is hashed."""
    for place, word in enumerate(words):
        fault = _word_fault(word)
        if fault:
            raise UserError(f"word {place} is no word: {fault}")
    return tuple(str(word) for word in words)
