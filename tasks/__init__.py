"""What a body is asked to do: goals, tokens, reward terms, endings; and the environment step."""

from arnold.tasks.check import TaskReport, check_task
from arnold.tasks.environment import LAGS, Environment, EnvState, Tally
from arnold.tasks.imitate import Imitate
from arnold.tasks.pose import Pose
from arnold.tasks.reach import Reach
from arnold.tasks.registry import list_tasks, load_task_file, register_task, task
from arnold.tasks.task import (
    Channel,
    Outcome,
    Start,
    Task,
    activation_effort,
    as_float,
    joint_channels,
    muscle_channels,
)

__all__ = [
    "LAGS",
    "Channel",
    "EnvState",
    "Environment",
    "Imitate",
    "Outcome",
    "Pose",
    "Reach",
    "Start",
    "Tally",
    "Task",
    "TaskReport",
    "activation_effort",
    "as_float",
    "check_task",
    "joint_channels",
    "list_tasks",
    "load_task_file",
    "muscle_channels",
    "register_task",
    "task",
]
