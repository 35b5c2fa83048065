"""The vocabulary: ids that stay, growth, carrying embeddings over, and files that are whole or refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from arnold.errors import UserError
from arnold.vocab import PAD, VALUE, TokenTable, Vocabulary, category, muscle_token, published, quantities

pytestmark = pytest.mark.unit

WORDS = ("FDS2", "right", "muscle", "force", "knee_angle", "Ps_L1_VB", "tail_wag")


def test_padding_is_zero_and_value_is_one() -> None:
    assert Vocabulary().words == (PAD, VALUE)
    vocabulary = Vocabulary().grow(WORDS)
    assert (vocabulary.id(PAD), vocabulary.id(VALUE), vocabulary.id("FDS2")) == (0, 1, 2)
    assert vocabulary.ids(("force", "FDS2")) == (5, 2)


def test_a_vocabulary_of_tables_has_their_words_in_order_of_appearance() -> None:
    hand = TokenTable((muscle_token("FDS2_r", *quantities.MUSCLE_FORCE),))
    left = TokenTable((muscle_token("FDS2_left", *quantities.MUSCLE_FORCE),))
    assert Vocabulary.of([hand, left]).words == (PAD, VALUE, "FDS2", "right", "muscle", "force", "left")


def test_an_unknown_word_is_refused_with_the_nearest_one() -> None:
    vocabulary = Vocabulary().grow(WORDS)
    with pytest.raises(UserError, match=r"unknown word 'FDS3' .*did you mean 'FDS2'"):
        vocabulary.id("FDS3")
    with pytest.raises(UserError, match=r"unknown word \['FDS2'\]"):
        vocabulary.id(["FDS2"])  # type: ignore[arg-type]
    assert "FDS3" not in vocabulary
    assert "FDS2" in vocabulary


def test_growing_appends_and_keeps_every_id() -> None:
    small = Vocabulary().grow(WORDS[:3])
    grown = small.grow(("z", "FDS2", "a", "z"))
    assert grown.words == (*small.words, "z", "a")
    assert [grown.id(word) for word in small.words] == list(range(len(small)))
    assert small.grow(WORDS[:3]) == small


def test_a_remap_carries_every_embedding_to_its_word() -> None:
    old = Vocabulary().grow(WORDS)
    new = Vocabulary().grow(("late", *reversed(WORDS[1:])))
    table = np.arange(len(old), dtype=np.float32)
    places = old.remap(new)
    assert places.dtype == np.int32
    assert places[old.id("FDS2")] == -1
    carried = np.full(len(new), -1, np.float32)
    carried[places[places >= 0]] = table[places >= 0]
    for word in new.words:
        assert carried[new.id(word)] == (table[old.id(word)] if word in old else -1)


def test_a_remap_there_and_back_changes_nothing() -> None:
    old = Vocabulary().grow(WORDS)
    new = Vocabulary().grow((*reversed(WORDS), "more"))
    assert (new.remap(old)[old.remap(new)] == np.arange(len(old))).all()


def test_the_fingerprint_knows_words_and_order() -> None:
    vocabulary = Vocabulary().grow(WORDS)
    prints = {vocabulary.fingerprint, vocabulary.grow(("new",)).fingerprint, Vocabulary().grow(WORDS[::-1]).fingerprint}
    assert len(prints) == 3
    assert Vocabulary(vocabulary.words).fingerprint == vocabulary.fingerprint
    assert len(vocabulary.fingerprint) == 16


def test_words_are_grouped_by_category() -> None:
    groups = Vocabulary().grow(WORDS).groups()
    assert groups == {
        "reserved": (PAD, VALUE),
        "muscle": ("FDS2", "Ps_L1_VB"),
        "side": ("right",),
        "kind": ("muscle",),
        "quantity": ("force",),
        "joint": ("knee_angle",),
        "other": ("tail_wag",),
    }


def test_every_published_word_has_a_category() -> None:
    # The word of the elbow joint is the one that we write otherwise: its side became a word.
    assert {word for word in published.WORDS if category(word) == "other"} == {"r_elbow_flex"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("value", "<pad>"), "begins with"),
        ((), "begins with"),
        ((PAD, VALUE, "a", "b", "a"), r"'a' is in a vocabulary twice, at 2 and 4"),
        ((PAD, VALUE, "a b"), "word 2 .*spaces"),
        ((PAD, VALUE, ""), "word 2 .*empty"),
        ((PAD, VALUE, "a\x07"), "cannot be printed"),
        ((PAD, VALUE, 3), "of type int"),
        ((PAD, VALUE, "a" * 300), "300 characters"),
    ],
)
def test_what_is_no_vocabulary_is_refused(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Vocabulary(words)


def test_a_saved_vocabulary_comes_back_equal(tmp_path: Path) -> None:
    vocabulary = Vocabulary().grow((*WORDS, "épaule", "肩"))
    vocabulary.save(tmp_path / "deeper" / "vocabulary.json")
    loaded = Vocabulary.load(tmp_path / "deeper" / "vocabulary.json")
    assert loaded == vocabulary
    assert loaded.fingerprint == vocabulary.fingerprint
    assert os.listdir(tmp_path / "deeper") == ["vocabulary.json"]


def test_a_write_that_fails_leaves_the_old_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "vocabulary.json"
    Vocabulary().grow(WORDS).save(path)

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(UserError, match=r"vocabulary\.json: No space left on device"):
        Vocabulary().save(path)
    assert Vocabulary.load(path) == Vocabulary().grow(WORDS)
    assert os.listdir(tmp_path) == ["vocabulary.json"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"cannot write the vocabulary to .*file"):
        Vocabulary().save(tmp_path / "file" / "vocabulary.json")


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.json"
    Vocabulary().grow(WORDS).save(path)
    whole = path.read_bytes().rstrip()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"vocabulary\.json: is not JSON"):
            Vocabulary.load(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(UserError, match="no such file"):
            Vocabulary.load(path)


def _altered(**fields: object) -> str:
    """The text of a valid file with some fields replaced."""
    words = [PAD, VALUE, "a"]
    valid = {"format": "arnold-vocabulary", "version": 1, "words": words}
    return json.dumps({**valid, "fingerprint": Vocabulary(tuple(words)).fingerprint, **fields})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"\xff\xfe\x00garbage", "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b"9" * 10_000, "not JSON that can be read"),
        (b"null", "no vocabulary.*NoneType"),
        (b'["<pad>", "value"]', "no vocabulary.*list"),
        (_altered(format="other").encode(), "no vocabulary.*'other'"),
        (_altered(version=2).encode(), "version 2; this release reads version 1"),
        (_altered(version=True).encode(), "version True"),
        (_altered(words="abc").encode(), "must be a list of strings, found str"),
        (_altered(words=[PAD, VALUE, {}]).encode(), "word 2 is no word.*dict"),
        (_altered(words=[PAD, VALUE, None]).encode(), "word 2 is no word.*NoneType"),
        (_altered(words=[PAD, VALUE, "\ud800"]).encode(), "cannot be printed"),
        (_altered(words=[PAD, VALUE, "a", "a"]).encode(), "'a' is in a vocabulary twice"),
        (_altered(words=["a", PAD, VALUE]).encode(), "begins with"),
        (_altered(words=[PAD, VALUE, "b"]).encode(), "edited or damaged"),
        (_altered(fingerprint=None).encode(), "edited or damaged"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_a_hostile_file_is_refused_and_named(tmp_path: Path, text: bytes, said: str) -> None:
    path = tmp_path / "vocabulary.json"
    path.write_bytes(text)
    with pytest.raises(UserError, match=said) as raised:
        Vocabulary.load(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.json"
    with path.open("wb") as file:
        file.truncate(64 * 1024 * 1024)
    with pytest.raises(UserError, match="67108864 bytes is too large"):
        Vocabulary.load(path)


def test_the_vocabulary_needs_neither_jax_nor_mujoco() -> None:
    program = "import sys, arnold.vocab; print(sorted({'jax', 'mujoco', 'flax', 'torch'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
