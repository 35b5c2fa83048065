"""The policies that ship with the library: weights, how each was made, and how well it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arnold.checkpoints.durable import reported_writes, write_text
from arnold.checkpoints.jsonfile import read_json, write_json
from arnold.checkpoints.manifest import MANIFEST_FILE
from arnold.errors import UserError, did_you_mean

ZOO_FOLDER = Path(__file__).with_name("zoo")
CARD_FILE = "card.json"

# What a card must say for anyone to judge the policy and to make it again.
CARD_FIELDS = {
    "recipe": "the name of the recipe that made it",
    "seed": "the seed it was run with",
    "steps": "environment steps of training",
    "wall_time_s": "seconds of training",
    "machine": "what it was trained on",
    "evaluation": "task -> {figure: value}",
}


@dataclass(frozen=True)
class ZooEntry:
    """One shipped policy: its name, its checkpoint folder and its card (the fields of ``CARD_FIELDS`` and any more)."""

    name: str
    path: Path
    card: dict[str, Any]


def list_zoo(folder: Path = ZOO_FOLDER) -> tuple[ZooEntry, ...]:
    """The shipped policies, sorted by name.

    Raises:
        UserError: an entry's card is missing or damaged.
    """
    return tuple(ZooEntry(path.name, path, read_card(path)) for path in _entries(folder))


def zoo_names(folder: Path = ZOO_FOLDER) -> tuple[str, ...]:
    """The names of the shipped policies, sorted; no card is read."""
    return tuple(path.name for path in _entries(folder))


def zoo_path(name: str, folder: Path = ZOO_FOLDER) -> Path:
    """The checkpoint folder of the shipped policy called ``name``.

    Raises:
        UserError: there is none of that name; the nearest are named.
    """
    names = zoo_names(folder)
    if name not in names:
        raise UserError(f"no shipped policy is called {name!r}; {did_you_mean(name, names)}")
    return folder / name


def read_card(path: Path) -> dict[str, Any]:
    """The card of the zoo entry at ``path``.

    Raises:
        UserError: it is missing, damaged or lacks a field.
    """
    card = read_json(path / CARD_FILE, f"the card of {path.name}")
    _check_card(card, path.name)
    return card


def write_card(path: str | Path, card: Mapping[str, Any]) -> tuple[Path, Path]:
    """Write ``card.json`` and the README.md made from it beside the checkpoint at ``path``.

    Args:
        path: a checkpoint folder, whose name is the policy's.
        card: the fields of ``CARD_FIELDS``, ``about`` (a sentence) if wanted, and any other JSON values.

    Returns:
        the two files written.

    Raises:
        UserError: a field is missing, ``path`` is no checkpoint, or the disk is full or read-only.
        TypeError: the card holds something JSON cannot say.
    """
    path = Path(path)
    _check_card(card, path.name)
    if not (path / MANIFEST_FILE).is_file():
        raise UserError(f"{path} is not a checkpoint, so it gets no card; save the checkpoint first")
    with reported_writes(path):
        return write_json(path / CARD_FILE, card), write_text(path / "README.md", card_page(path.name, card))


def card_page(name: str, card: Mapping[str, Any]) -> str:
    """The card as a Markdown page: what it is, how it was made, a table of its evaluation, how to use it."""
    made = {key: value for key, value in card.items() if key not in ("about", "evaluation")}
    lines = [f"# {name}", ""]
    lines += [str(card["about"]), ""] if card.get("about") else []
    lines += ["| made with | |", "|---|---|", *(f"| {_label(k)} | {_shown(v)} |" for k, v in made.items()), ""]
    lines += [*_evaluation_table(card["evaluation"]), ""]
    lines += ["```", f"arnold info {name}", f"arnold evaluate {name}", "```", ""]
    return "\n".join([*lines, f"This page is generated from `{CARD_FILE}`.", ""])


def _entries(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob(f"*/{MANIFEST_FILE}") if not path.parent.name.startswith("."))


def _check_card(card: Mapping[str, Any], name: str) -> None:
    missing = [f"{field} ({meaning})" for field, meaning in CARD_FIELDS.items() if field not in card]
    if missing:
        raise UserError(f"the card of {name} lacks {', '.join(missing)}; it has: {', '.join(card) or 'nothing'}")
    evaluation = card["evaluation"]
    if not isinstance(evaluation, Mapping) or not all(isinstance(figures, Mapping) for figures in evaluation.values()):
        raise UserError(f"the card of {name} has the evaluation {evaluation!r}; accepted: task -> {{figure: value}}")


def _evaluation_table(evaluation: Mapping[str, Mapping[str, Any]]) -> list[str]:
    figures = list(dict.fromkeys(figure for row in evaluation.values() for figure in row))
    header = ["| task | " + " | ".join(map(_label, figures)) + " |", "|---" * (len(figures) + 1) + "|"]
    rows = [
        f"| {task} | " + " | ".join(_shown(row[figure]) if figure in row else "" for figure in figures) + " |"
        for task, row in evaluation.items()
    ]
    return header + rows


def _label(name: str) -> str:
    """``wall_time_s`` as ``wall time (s)``."""
    return (name[:-2] + " (s)" if name.endswith("_s") else name).replace("_", " ")


def _shown(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float, list, tuple, Mapping)):
        return str(value).replace("|", "\\|")
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, Mapping):
        return ", ".join(f"{_label(str(key))} {_shown(inner)}" for key, inner in value.items())
    return ", ".join(map(_shown, value))
