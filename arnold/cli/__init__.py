"""The command line: one command, ``arnold``, with verbs. The top floor: it may import every other.

A user's mistake is one line on standard error and exit code 2; `--debug` shows where it was raised. What a command
reports goes to standard output and ends with the paths it wrote; progress goes to standard error.
"""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
import operator
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from arnold.errors import UserError, did_you_mean

DESCRIPTION = """One transformer policy that drives every muscle body.

Begin with: arnold list tasks; arnold play elbow_pose --agent random; arnold distill quickstart.
Add --debug to any command to see where an error was raised."""

USER_ERROR, INTERRUPTED, BROKEN_PIPE = 2, 130, 141  # the last two are what a shell reports of SIGINT and SIGPIPE


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: what follows ``arnold``; the process's own arguments by default.

    Returns:
        the exit code: 0, 2 after a user's mistake, 130 after an interruption.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    try:
        return _run([word for word in words if word != "--debug"])
    except UserError as error:
        return _failed(str(error), debug)
    except BrokenPipeError:
        _silence_output()
        return BROKEN_PIPE
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _failed(f"{where}{error.strerror or error}; check the path and the space and rights there", debug)
    except KeyboardInterrupt:
        print("arnold: interrupted", file=sys.stderr)
        return INTERRUPTED
    except SystemExit as ended:  # help, or arguments that do not parse
        return ended.code if isinstance(ended.code, int) else 0


def _run(words: list[str]) -> int:
    from arnold.cli.options import TrainingOptions
    from arnold.cli.output import show_paths
    from arnold.cli.startup import prepare_jax

    command = _parse(words)
    physics = getattr(command, "physics", None)
    if physics is not None:
        physics.check()
        prepare_jax(physics.backend, training=isinstance(command, TrainingOptions))
    done = command.run()
    show_paths(done.written)
    return done.code


def _parse(words: list[str]) -> Any:
    import tyro

    from arnold.cli.options import lists_of
    from arnold.cli.verbs import VERBS

    if " ".join(words[:2]) in VERBS:  # a verb of two words
        words = [" ".join(words[:2]), *words[2:]]
    if words and not words[0].startswith("-") and words[0] not in VERBS:
        raise UserError(f"no command {words[0]!r}; {did_you_mean(words[0], VERBS)} See `arnold --help`")
    if words and words[0] in VERBS:
        words = _with_lists_joined(words, lists_of(VERBS[words[0]]))
    choices = tuple(Annotated[verb, tyro.conf.subcommand(name)] for name, verb in VERBS.items())
    one_of: Any = functools.reduce(operator.or_, choices)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(one_of, prog="arnold", description=DESCRIPTION, args=words)
    except SystemExit as ended:
        if ended.code:
            raise UserError(_one_line(said.getvalue())) from None
        raise


def _with_lists_joined(words: list[str], lists: Mapping[str, str]) -> list[str]:
    """The words, with the values of an option of several that is given twice joined; tyro keeps the last ones only."""
    others: list[str] = []
    of_option: dict[str, list[str]] = {}
    current = others
    for word in words:
        spelled, equals, value = word.partition("=")
        if own := lists.get(spelled):
            current = of_option.setdefault(own, [own])
            if equals:  # one value; what follows is none
                current.append(value)
                current = others
        else:
            if word.startswith("-"):
                current = others
            current.append(word)
    return [*others, *itertools.chain(*of_option.values())]


def _one_line(box: str) -> str:
    """What tyro says in a box of several lines."""
    frame = "\u2502\u256d\u2570\u2500\u256e\u256f "  # the characters that a box is drawn of
    said = "; ".join(text for line in box.splitlines() if (text := line.strip(frame)) and "\u256d" not in line)
    return said.replace(":;", ":") or "arguments not understood; see `arnold --help`"


def _failed(message: str, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print(f"arnold: {message}", file=sys.stderr)
    return USER_ERROR


def _silence_output() -> None:
    """Whoever read our output is gone; let the interpreter's last flush go nowhere."""
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, sys.stdout.fileno())
    os.close(sink)
