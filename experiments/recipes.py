"""The recipes that ship, by name.

`arnold train NAME` runs an expert's (`arnold.experiments.expert_recipes`), `arnold distill NAME` a distillation's or
one of several stages, `arnold finetune NAME` a fine-tuning's.
"""

from __future__ import annotations

import dataclasses

from arnold.errors import UserError, did_you_mean
from arnold.experiments.expert_recipes import EXPERTS, posture_learner
from arnold.recipe import (
    DISTILLATION_LEARNER,
    FINETUNING_LEARNER,
    DistillRecipe,
    ExpertRecipe,
    FinetuneRecipe,
    LoopRecipe,
    TransferRecipe,
)

_SEVENTEEN = {
    "elbow_pose": 8,
    "finger_pose": 12,
    "finger_reach": 16,
    "hand_pose": 8,
    **{f"hand_{digit}_reach": 12 for digit in ("thumb", "index", "middle", "ring", "little")},
    "pen_reorient": 48,
    "die_reorient": 48,
    "baoding_cw": 24,
    "baoding_ccw": 24,
    "baoding_hard": 48,
    "baoding_harder": 40,
    "object_relocate": 16,
    "walk_to_point": 24,
}
"""Environments of every task that has an expert."""
_LAGGING = {
    "elbow_pose": 4,
    "finger_pose": 16,
    "hand_pose": 4,
    "hand_ring_reach": 20,
    "hand_little_reach": 16,
    "die_reorient": 80,
    "baoding_harder": 56,
    "object_relocate": 12,
}
_WALKING = {
    "elbow_pose": 4,
    "finger_pose": 12,
    "finger_reach": 16,
    "hand_pose": 4,
    **{f"hand_{digit}_reach": 20 for digit in ("thumb", "index", "middle", "ring", "little")},
    "pen_reorient": 48,
    "die_reorient": 64,
    **{f"baoding_{kind}": 24 for kind in ("cw", "ccw", "hard", "harder")},
    "object_relocate": 6,
    "walk_to_point": 320,
}

_ROLLING = {
    "elbow_pose": 4,
    "finger_pose": 8,
    "finger_reach": 12,
    "hand_pose": 4,
    **{f"hand_{digit}_reach": 12 for digit in ("thumb", "index", "middle", "ring", "little")},
    "pen_reorient": 32,
    "die_reorient": 48,
    "baoding_cw": 40,
    "baoding_ccw": 40,
    "baoding_hard": 64,
    "baoding_harder": 64,
    "object_relocate": 4,
    "walk_to_point": 200,
}

_GOING_ON = dataclasses.replace(DISTILLATION_LEARNER, learning_rate=1e-3, epochs=2, minibatches=12)

DISTILLATIONS: dict[str, DistillRecipe] = {
    "quickstart": DistillRecipe(
        mixture=(("elbow_pose", 16), ("finger_reach", 80), ("hand_index_reach", 48)),
        steps=260_000,
    ),
    "nine": DistillRecipe(
        mixture=(
            ("elbow_pose", 16),
            ("finger_pose", 24),
            ("finger_reach", 32),
            ("hand_pose", 32),
            ("hand_thumb_reach", 32),
            ("hand_index_reach", 32),
            ("hand_middle_reach", 32),
            ("hand_ring_reach", 32),
            ("hand_little_reach", 32),
        ),
        steps=1_600_000,
    ),
    # arXiv:2508.18066 has 54 environments: 2 per easy task, 4 and 6 for the balls, 6 for the object, 12 for walking.
    "fourteen": DistillRecipe(
        mixture=(
            ("elbow_pose", 10),
            ("hand_thumb_reach", 10),
            ("hand_index_reach", 10),
            ("hand_middle_reach", 10),
            ("hand_ring_reach", 10),
            ("hand_little_reach", 10),
            ("pen_reorient", 10),
            ("die_reorient", 10),
            ("baoding_cw", 20),
            ("baoding_ccw", 20),
            ("baoding_hard", 30),
            ("baoding_harder", 30),
            ("object_relocate", 30),
            ("walk_to_point", 60),
        ),
        steps=5_400_000,
    ),
    # From the generalist over nine to every task with an expert; most of it is what that one does not know.
    "seventeen_first": DistillRecipe(
        mixture=tuple(_SEVENTEEN.items()),
        steps=2_000_000,
        start_from="arnold-nine",
        learner=dataclasses.replace(DISTILLATION_LEARNER, learning_rate=1e-3, epochs=2),
    ),
    # On from there, with more of what it lagged in.
    "seventeen_second": DistillRecipe(
        mixture=tuple((_SEVENTEEN | _LAGGING).items()),
        steps=500_000,
        start_from="runs/seventeen_first",
        learner=dataclasses.replace(DISTILLATION_LEARNER, learning_rate=7e-4, epochs=2),
    ),
    # And from there for legs that walk by now, and a pen that is held longer. (What ships had 120 walkers, and more of
    # the rest, in the first 0.36 million of these steps.)
    "seventeen_third": DistillRecipe(
        mixture=tuple(_WALKING.items()),
        steps=1_700_000,
        start_from="runs/seventeen_second",
        learner=_GOING_ON,
    ),
    # And on for balls that roll by now.
    "seventeen": DistillRecipe(
        mixture=tuple(_ROLLING.items()),
        steps=2_600_000,
        start_from="runs/seventeen_third",
        learner=_GOING_ON,
    ),
}

IMITATOR = "imitate_walking"
"""The policy that follows walking clips, which what goes on foot begins from."""


def _on_foot(task: str, steps: int, start: str, noise: tuple[float, float]) -> FinetuneRecipe:
    """A high-level task on the KINESIS legs, from a policy that walks."""
    learner = posture_learner(noise, (1.5e-4, 3e-5))
    return FinetuneRecipe(start, task, steps=steps, environments=128, learner=learner)


FINETUNINGS: dict[str, FinetuneRecipe] = {
    # Each goes on from the one before: to turn and to start, then to stop, then both at once; and once more.
    "path_following": _on_foot("path_following", 1_000_000, IMITATOR, (-1.3, -2.0)),
    "target_reaching_first": _on_foot("target_reaching", 500_000, "runs/finetune_path_following", (-1.5, -2.2)),
    "directional_control_first": _on_foot(
        "directional_control", 700_000, "runs/finetune_target_reaching_first", (-1.5, -2.2)
    ),
    "target_reaching": _on_foot("target_reaching", 700_000, "runs/finetune_directional_control_first", (-1.5, -2.2)),
    "directional_control": _on_foot("directional_control", 600_000, "runs/finetune_target_reaching", (-1.8, -2.4)),
    # How much of what inactivation takes away can be learned again within three components? They are those that
    # `arnold analyze subspace hand_index_reach` writes.
    "hand_index_reach_subspace": FinetuneRecipe(
        "hand_index_reach",
        "hand_index_reach",
        steps=160_000,
        learner=dataclasses.replace(FINETUNING_LEARNER, log_std=(-1.5, -3.0)),
        subspace="runs/analyses/hand_index_reach/subspace/bases.npz",
        rank=3,
    ),
}
"""By recipe. One that begins where another ended starts from that one's newest run, under ``runs/``."""

# One policy for three bodies that move in three ways: a hand that reaches, two arms and two legs that follow people.
DISTILLATIONS["bodies"] = DistillRecipe(
    mixture=(
        *((f"hand_{digit}_reach", 16) for digit in ("thumb", "index", "middle", "ring", "little")),
        ("imitate_reaching", 48),
        ("imitate_walking", 48),
    ),
    steps=600_000,
)

_HELD_OUT = ("pen_reorient", "die_reorient", "hand_middle_reach", "hand_little_reach")

STAGED: dict[str, LoopRecipe | TransferRecipe] = {
    # The reference fine-tunes on these five; the other nine keep their experts. It distils again with a smaller step.
    "arnold_full": LoopRecipe(
        distillation=DISTILLATIONS["fourteen"],
        super_experts=("elbow_pose", "die_reorient", "baoding_hard", "baoding_harder", "walk_to_point"),
        finetuning=FinetuneRecipe(checkpoint="", task="", steps=2_000_000),
        self_distillation=DistillRecipe(
            mixture=(),
            steps=1_080_000,
            learner=dataclasses.replace(DISTILLATION_LEARNER, learning_rate=3e-4, final_learning_rate=1e-5),
        ),
    ),
    # The reference's: ten tasks, then 32 environments of each held-out task. Its loss of the second part has PPO's
    # too, and 128 times as much imitation; with equal weights PPO undid what imitation had learned.
    "transfer": TransferRecipe(
        pretraining=DistillRecipe(
            mixture=tuple(share for share in DISTILLATIONS["fourteen"].mixture if share[0] not in _HELD_OUT),
            steps=4_600_000,
        ),
        tasks=_HELD_OUT,
        learning=DistillRecipe(
            mixture=(),
            steps=400_000,
            learner=dataclasses.replace(DISTILLATION_LEARNER, learning_rate=1e-3),
        ),
    ),
}
"""Trainings of several stages, run by `arnold distill NAME` as the distillations are."""

BARS: dict[str, dict[str, float]] = {
    "quickstart": {"elbow_pose": 0.95, "finger_reach": 0.95, "hand_index_reach": 0.85},
    "nine": {task: 0.97 for task, _ in DISTILLATIONS["nine"].mixture},
    "fourteen": {task: 0.85 for task, _ in DISTILLATIONS["fourteen"].mixture},
    "seventeen": {task: 0.85 for task, _ in DISTILLATIONS["seventeen"].mixture},
    "arnold_full": {task: 0.85 for task, _ in DISTILLATIONS["fourteen"].mixture},
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


def finetune_recipe(name: str) -> FinetuneRecipe:
    """The fine-tuning recipe called ``name``.

    Raises:
        UserError: where none ships under that name, with the nearest match.
    """
    if name not in FINETUNINGS:
        raise UserError(
            f"fine-tune what on what? {name!r} is no recipe; {did_you_mean(name, FINETUNINGS)} Or give a policy and a "
            "task: arnold finetune POLICY TASK"
        )
    return FINETUNINGS[name]


def distill_recipe(name: str) -> DistillRecipe:
    """The distillation recipe called ``name``.

    Raises:
        UserError: where none ships under that name, with the nearest match.
    """
    if name not in DISTILLATIONS:
        raise UserError(f"unknown distillation recipe {name!r}; {did_you_mean(name, [*DISTILLATIONS, *STAGED])}")
    return DISTILLATIONS[name]
