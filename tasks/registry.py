"""Tasks by name: those that ship, those of installed packages, and those in a user's own file.

A user's task is registered by the decorator `register_task` in any Python file (given to the command line as
``path/to/file.py`` or ``path/to/file.py:name``), or by an entry point of the group ``arnold.tasks`` in an installed
package.
"""

from __future__ import annotations

import importlib.metadata
import sys
import types
from collections.abc import Callable
from pathlib import Path

from arnold.errors import UserError, did_you_mean
from arnold.tasks.catalog import SHIPPED_TASKS
from arnold.tasks.task import Task

ENTRY_POINTS = "arnold.tasks"
_REGISTRY: dict[str, Task] = {task.name: task for task in SHIPPED_TASKS}
_SHIPPED = frozenset(_REGISTRY)
# What each file gave, with its time and size: a file is run again only when it has changed, so its tasks stay equal.
_FILES: dict[Path, tuple[tuple[int, int], tuple[Task, ...]]] = {}


def register_task(made: Task | Callable[[], Task]) -> Task:
    """Register a task, or what a function without arguments makes; use it as a decorator or call it.

    Raises:
        UserError: where it is not a task, or its name is one of those that ship.

    Example:
        >>> @register_task
        ... def point_with_a_still_wrist():
        ...     return Reach(name="point_still", body="hand", tip="IFtip_r", low=..., high=...)
    """
    task = made if isinstance(made, Task) else made() if callable(made) else made
    if not isinstance(task, Task):
        kind = type(task).__name__
        raise UserError(
            f"register_task was given {kind!r}; it takes an arnold.tasks.Task or a function that returns one"
        )
    if task.name in _SHIPPED and task != _REGISTRY[task.name]:
        raise UserError(f"the name {task.name!r} is taken by a task that ships with arnold; choose another name")
    _REGISTRY[task.name] = task
    return task


def task(name: str) -> Task:
    """The task called ``name``, or the task of a file: ``file.py`` (its only one) or ``file.py:name``.

    Raises:
        UserError: for an unknown name, with the nearest matches, or a file that gives no task.
    """
    path, _, wanted = name.partition(".py")
    if _ or Path(name).suffix == ".py":
        return _task_of_file(Path(path + ".py"), wanted.removeprefix(":"))
    if name not in _REGISTRY:
        _load_entry_points()
    if name not in _REGISTRY:
        near = did_you_mean(name, _REGISTRY)
        raise UserError(f"unknown task {name!r}; {near} A task of your own: give its file, see docs/add-a-task.md")
    return _REGISTRY[name]


def list_tasks() -> tuple[Task, ...]:
    """Every task known: those that ship, then those of installed packages and loaded files."""
    _load_entry_points()
    return tuple(_REGISTRY.values())


def load_task_file(path: Path) -> tuple[Task, ...]:
    """Run a user's file and return the tasks that it registered; a file that has not changed is not run again.

    Raises:
        UserError: where the file is missing, raises, or registers nothing.
    """
    path = path.expanduser().resolve()
    if not path.is_file():
        raise UserError(f"no task file at {str(path)!r}; give the path of a Python file that registers a task")
    stamp = (path.stat().st_mtime_ns, path.stat().st_size)
    if path in _FILES and _FILES[path][0] == stamp:
        made = _FILES[path][1]
        _REGISTRY.update({t.name: t for t in made})
        return made
    before = dict(_REGISTRY)
    try:
        _run_file(path)
        made = tuple(t for name, t in _REGISTRY.items() if before.get(name) is not t)
        if not made:
            raise UserError(f"task file {str(path)!r} registers no task; decorate one with @arnold.tasks.register_task")
    except UserError:
        _REGISTRY.clear()  # nothing of a file that failed stays
        _REGISTRY.update(before)
        raise
    _FILES[path] = (stamp, made)
    return made


def _run_file(path: Path) -> None:
    name = f"arnold_user_task_{path.stem}"
    module = types.ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module  # dataclasses look their module up
    try:
        exec(compile(path.read_bytes(), str(path), "exec"), vars(module))
    except UserError as error:
        raise UserError(f"task file {str(path)!r}{_line_of(error, path)}: {error}") from error
    except (Exception, SystemExit) as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"task file {str(path)!r} failed{_line_of(error, path)}: {said}") from error


def _task_of_file(path: Path, wanted: str) -> Task:
    made = {t.name: t for t in load_task_file(path)}
    if not wanted and len(made) == 1:
        return next(iter(made.values()))
    if wanted not in made:
        asked = f"no task {wanted!r}" if wanted else f"{len(made)} tasks"
        near = did_you_mean(wanted, made)
        raise UserError(f"task file {str(path)!r} has {asked}; {near} Name one as {path.name}:NAME")
    return made[wanted]


def _load_entry_points() -> None:
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        if entry.name in _REGISTRY:
            continue
        try:
            loaded = entry.load()
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            raise UserError(
                f"entry point {entry.name!r} of group {ENTRY_POINTS!r} ({entry.value}) failed: {said}; "
                "fix or uninstall the package that declares it"
            ) from error
        register_task(loaded)


def _line_of(error: BaseException, path: Path) -> str:
    """Where in the user's file an error was raised."""
    if isinstance(error, SyntaxError):
        return f" at line {error.lineno}"
    trace, line = error.__traceback__, ""
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = f" at line {trace.tb_lineno}"
        trace = trace.tb_next
    return line
