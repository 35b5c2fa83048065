"""From what is typed after ``--tasks`` to tasks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from arnold.saved_policy import SavedPolicy
from arnold.tasks import list_tasks, task
from arnold.tasks.catalog import GROUPS
from arnold.tasks.task import Task


def task_reference(name: str) -> str:
    """The name of a known task, or the absolute path of a task file, so that a run can be resumed from anywhere.

    Raises:
        UserError: an unknown task, or a file that gives none.
    """
    task(name)
    path, suffix, wanted = name.partition(".py")
    return f"{Path(path + suffix).expanduser().absolute()}{wanted}" if suffix else name


def expand(names: Sequence[str]) -> tuple[str, ...]:
    """Task names with the groups among them written out; each once, in order.

    Raises:
        UserError: an unknown task.
    """
    expanded = [member for name in names for member in GROUPS.get(name, (name,))]
    for name in expanded:
        task(name)
    return tuple(dict.fromkeys(expanded))


def own_tasks(saved: SavedPolicy) -> tuple[str, ...]:
    """References to the tasks that a policy was trained on: names, or the file where a task came from one."""
    known = {t.name for t in list_tasks()}
    recipe = saved.config.get("recipe", {})
    sources = [str(recipe.get("task", "")), *(str(name) for name, _ in recipe.get("mixture", ()))]
    files = {task(source).name: source for source in sources if ".py" in source and _there(source)}
    return tuple(files.get(name, name) for name in saved.tasks if name in files or name in known)


def own_goal(reference: str) -> Task:
    """The task of a reference."""
    return task(reference)


def _there(source: str) -> bool:
    return Path(source.partition(".py")[0] + ".py").is_file()
