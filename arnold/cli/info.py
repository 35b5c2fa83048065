"""`arnold info`: everything that goes by one name; a body, a task, a policy, a recipe, a word."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from arnold.cli.output import Done, say
from arnold.errors import UserError, did_you_mean
from arnold.vocab import category
from arnold.vocab.categories import OTHER


@dataclasses.dataclass(frozen=True)
class Info:
    """Describe a body, a task, a policy (of the zoo, a checkpoint or a run), a recipe or a word."""

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME_OR_PATH")]
    """Its name; or the path of a checkpoint, a run, a task file, or an MJCF file of your own."""

    def run(self) -> Done:
        """Print what is known of it."""
        say("\n\n".join("\n".join(lines) for lines in _sections(self.name)))
        return Done()


def _sections(name: str) -> list[list[str]]:
    """One section of lines for each kind of thing that is called ``name``: a task and its expert share theirs."""
    from arnold.cli import describe_body, describe_policy, describe_recipe, describe_task, describe_word

    kinds = (
        (describe_body.names, describe_body.lines),
        (describe_task.names, describe_task.lines),
        (describe_policy.names, describe_policy.lines),
        (describe_recipe.names, describe_recipe.lines),
    )
    found = [lines(name) for names, lines in kinds if name in names()]
    # To know all words, every task's body is compiled, for seconds: not for one found that no lexicon has.
    if (not found or category(name) != OTHER) and name in describe_word.names():
        found.append(describe_word.lines(name))
    if found:
        return found
    if name.endswith(".xml"):
        return [describe_body.lines(name)]
    if ".py" in name:
        return [describe_task.lines(name)]
    if Path(name).exists() or "/" in name:
        return [describe_policy.lines(name)]
    known = [known for names in (*(names for names, _ in kinds), describe_word.names) for known in names()]
    raise UserError(f"nothing is called {name!r}, and there is no such path; {did_you_mean(name, known)}")
