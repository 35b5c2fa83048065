"""Arnold: one transformer policy that drives every muscle body.

The names below are the public ones; each is imported from its module when it is first asked for, so that
``import arnold`` costs nothing and ``import arnold.vocab`` pulls in neither JAX nor MuJoCo::

    import arnold
    words = arnold.Vocabulary(["muscle", "activation"])
"""

from __future__ import annotations

import importlib
from typing import Any

# The only place to edit: public name -> the module that owns it.
_HOME = {
    "ActionMap": "arnold.embodiments",
    "Body": "arnold.embodiments",
    "Channel": "arnold.tasks",
    "Clip": "arnold.motion",
    "DistillRecipe": "arnold.recipe",
    "Embodiment": "arnold.embodiments",
    "EntityGroup": "arnold.vocab",
    "EnvState": "arnold.tasks",
    "Environment": "arnold.tasks",
    "Evaluator": "arnold.evaluation",
    "ExpertRecipe": "arnold.recipe",
    "FinetuneRecipe": "arnold.recipe",
    "Imitate": "arnold.tasks",
    "LearnerConfig": "arnold.learning.config",
    "Motion": "arnold.motion",
    "Outcome": "arnold.tasks",
    "Pose": "arnold.tasks",
    "Reach": "arnold.tasks",
    "Signals": "arnold.embodiments",
    "Start": "arnold.tasks",
    "Task": "arnold.tasks",
    "Token": "arnold.vocab",
    "TokenTable": "arnold.vocab",
    "UserError": "arnold.errors",
    "Vocabulary": "arnold.vocab",
    "action_map": "arnold.embodiments",
    "check_task": "arnold.tasks",
    "embodiment": "arnold.embodiments",
    "evaluate_saved": "arnold.publishing",
    "follow": "arnold.tracking",
    "list_embodiments": "arnold.embodiments",
    "list_tasks": "arnold.tasks",
    "list_zoo": "arnold.checkpoints",
    "load": "arnold.saved_policy",
    "load_recording": "arnold.recording_file",
    "load_task_file": "arnold.tasks",
    "policy_agent": "arnold.episodes",
    "read_motion": "arnold.motion.readers",
    "record": "arnold.recording",
    "register_embodiment": "arnold.embodiments",
    "register_task": "arnold.tasks",
    "retarget": "arnold.motion.retargeting",
    "run_recipe": "arnold.training",
    "task": "arnold.tasks",
    "watch": "arnold.looking",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    """Import a public name from its home on first use and keep it (PEP 562).

    Raises:
        AttributeError: ``name`` is not public.
    """
    if name not in _HOME:
        raise AttributeError(f"module 'arnold' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, whether or not they have been imported yet."""
    return sorted({*globals(), *_HOME})
