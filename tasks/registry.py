"""Tasks by name: those that ship, those of installed packages, and those in a user's own file.

A user's task is registered by the decorator `register_task` in any Python file (given to the command line as
``path/to/file.py`` or ``path/to/file.py:name``), or by an entry point of the group ``arnold.tasks`` in an installed
package.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

from arnold.errors import UserError, did_you_mean
from arnold.tasks.catalog import SHIPPED_TASKS
from arnold.tasks.task import Task

ENTRY_POINTS = "arnold.tasks"
_REGISTRY: dict[str, Task] = {task.name: task for task in SHIPPED_TASKS}
_SHIPPED = frozenset(_REGISTRY)


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
        raise UserError(f"register_task was given {type(task).__name__!r}; it takes an arnold.tasks.Task or a function that returns one")
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
        raise UserError(
            f"unknown task {name!r}; {did_you_mean(name, _REGISTRY)} A task of your own: give its file, see docs/add-a-task.md"
        )
    return _REGISTRY[name]


def list_tasks() -> tuple[Task, ...]:
    """Every task known: those that ship, then those of installed packages and loaded files."""
    _load_entry_points()
    return tuple(_REGISTRY.values())


def load_task_file(path: Path) -> tuple[Task, ...]:
    """Run a user's file and return the tasks that it registered.

    Raises:
        UserError: where the file is missing, raises, or registers nothing.
    """
    if not path.is_file():
        raise UserError(f"no task file at {str(path)!r}; give the path of a Python file that registers a task")
    before = dict(_REGISTRY)
    spec = importlib.util.spec_from_file_location(f"arnold_user_task_{path.stem}", path)
    assert spec is not None and spec.loader is not None  # a .py file always has a loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except UserError:
        raise
    except Exception as error:
        line = _line_of(error, path)
        raise UserError(f"task file {str(path)!r} failed{line}: {type(error).__name__}: {error}") from error
    made = tuple(t for name, t in _REGISTRY.items() if before.get(name) is not t)
    if not made:
        raise UserError(f"task file {str(path)!r} registers no task; decorate one with @arnold.tasks.register_task")
    return made


def _task_of_file(path: Path, wanted: str) -> Task:
    made = {t.name: t for t in load_task_file(path)}
    if not wanted and len(made) == 1:
        return next(iter(made.values()))
    if wanted not in made:
        asked = f"no task {wanted!r}" if wanted else f"{len(made)} tasks"
        raise UserError(f"task file {str(path)!r} has {asked}; {did_you_mean(wanted, made)} Name one as {path.name}:NAME")
    return made[wanted]


def _load_entry_points() -> None:
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        if entry.name in _REGISTRY:
            continue
        try:
            loaded = entry.load()
        except Exception as error:
            raise UserError(
                f"entry point {entry.name!r} of group {ENTRY_POINTS!r} ({entry.value}) failed: {type(error).__name__}: {error}; "
                "fix or uninstall the package that declares it"
            ) from error
        register_task(loaded)


def _line_of(error: Exception, path: Path) -> str:
    """Where in the user's file an error was raised."""
    if isinstance(error, SyntaxError):
        return f" at line {error.lineno}"
    trace, line = error.__traceback__, ""
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = f" at line {trace.tb_lineno}"
        trace = trace.tb_next
    return line
