"""The recipes that ship, by name.

`arnold train NAME` runs an expert's, `arnold distill NAME` a distillation's.
"""

from __future__ import annotations

import dataclasses

from arnold.errors import UserError, did_you_mean
from arnold.learning.config import LearnerConfig
from arnold.recipe import DistillRecipe, ExpertRecipe

# A fingertip is brought to its target in a few control steps and held there. What separates good from very good is
# those few steps, so the later stages discount more: a step saved at the beginning then weighs more.
_SECOND = LearnerConfig(minibatches=8, discount=0.95, log_std=(-1.5, -2.5))
_FROM_INDEX = LearnerConfig(minibatches=8, discount=0.9, log_std=(-1.2, -3.0))

EXPERTS: dict[str, ExpertRecipe] = {
    "elbow_pose": ExpertRecipe("elbow_pose", steps=600_000),
    "finger_pose": ExpertRecipe("finger_pose", steps=600_000),
    "finger_reach": ExpertRecipe("finger_reach", steps=600_000),
    "hand_pose": ExpertRecipe("hand_pose", steps=1_280_000),
    "hand_index_reach_first": ExpertRecipe("hand_index_reach", steps=1_280_000),
    "hand_index_reach": ExpertRecipe(
        "hand_index_reach", steps=640_000, learner=_SECOND, start_from="runs/hand_index_reach_first"
    ),
    "hand_thumb_reach": ExpertRecipe(
        "hand_thumb_reach",
        steps=512_000,
        learner=dataclasses.replace(_SECOND, log_std=(-0.9, -2.5)),
        start_from="hand_index_reach",
    ),
    "hand_middle_reach": ExpertRecipe(
        "hand_middle_reach",
        steps=512_000,
        learner=dataclasses.replace(_SECOND, log_std=(-1.2, -2.5)),
        start_from="hand_index_reach",
    ),
    "hand_ring_reach": ExpertRecipe(
        "hand_ring_reach", steps=512_000, learner=_FROM_INDEX, start_from="hand_index_reach"
    ),
    "hand_little_reach": ExpertRecipe(
        "hand_little_reach", steps=512_000, learner=_FROM_INDEX, start_from="hand_index_reach"
    ),
}
"""By recipe; the recipe of a task's shipped expert has the task's name, an earlier stage of it ends in ``_first``."""

DISTILLATIONS: dict[str, DistillRecipe] = {
    "quickstart": DistillRecipe(
        mixture=(("elbow_pose", 16), ("finger_reach", 16), ("hand_index_reach", 64)),
        steps=144_000,
    ),
    "nine": DistillRecipe(
        mixture=(
            ("elbow_pose", 16),
            ("finger_pose", 16),
            ("finger_reach", 16),
            ("hand_pose", 32),
            ("hand_thumb_reach", 32),
            ("hand_index_reach", 32),
            ("hand_middle_reach", 32),
            ("hand_ring_reach", 32),
            ("hand_little_reach", 32),
        ),
        steps=1_600_000,
    ),
}

BARS: dict[str, dict[str, float]] = {
    "quickstart": {"elbow_pose": 0.95, "finger_reach": 0.95, "hand_index_reach": 0.85},
    "nine": {task: 0.97 for task, _ in DISTILLATIONS["nine"].mixture},
}
"""By recipe and task: the share of the expert's solved-step fraction that the student is to reach."""


def bars_of(recipe: str) -> dict[str, float]:
    """The bars of a distillation by task; none for a recipe that has none."""
    return BARS.get(recipe, {})


def expert_recipe(name: str) -> ExpertRecipe:
    """The recipe of the expert of a task.

    Raises:
        UserError: where none ships under that name, with the nearest match.
    """
    if name not in EXPERTS:
        raise UserError(
            f"no recipe for an expert of {name!r}; {did_you_mean(name, EXPERTS)} A task of your own: --task FILE"
        )
    return EXPERTS[name]


def distill_recipe(name: str) -> DistillRecipe:
    """The distillation recipe called ``name``.

    Raises:
        UserError: where none ships under that name, with the nearest match.
    """
    if name not in DISTILLATIONS:
        raise UserError(f"unknown distillation recipe {name!r}; {did_you_mean(name, DISTILLATIONS)}")
    return DISTILLATIONS[name]
