"""The recipes of experts that ship, by name: `arnold train NAME` runs one."""

from __future__ import annotations

import dataclasses

from arnold.learning.config import LearnerConfig
from arnold.policy.mlp import MlpConfig
from arnold.recipe import ExpertRecipe

# A fingertip is brought to its target in a few control steps and held there. What separates good from very good is
# those few steps, so the later stages discount more (a step saved at the beginning then weighs more), end with less
# noise, and are trained in turn on short episodes, which are mostly beginnings, and on whole ones, which keep the
# holding. The recipe of a task's shipped expert has the task's name; its earlier stages end in _first, _second, ...


def _learner(
    discount: float, noise: tuple[float, float], learning_rate: float = 3e-4, rollout_steps: int = 50
) -> LearnerConfig:
    return LearnerConfig(
        minibatches=8, rollout_steps=rollout_steps, discount=discount, log_std=noise, learning_rate=learning_rate
    )


def _stage(task: str, steps: int, start: str, learner: LearnerConfig) -> ExpertRecipe:
    """One of several trainings of a task, begun where the recipe ``start`` ended."""
    return ExpertRecipe(task, steps=steps, learner=learner, start_from=f"runs/{start}" if start else "")


def _beginnings(task: str, steps: int, start: str, learner: LearnerConfig, environments: int = 160) -> ExpertRecipe:
    """A stage on episodes as short as a rollout; what comes after them may get lost, and is for the next stage."""
    stage = _stage(task, steps, start, learner)
    return dataclasses.replace(stage, horizon=learner.rollout_steps, environments=environments)


def _correlated(
    task: str,
    steps: int,
    noise: tuple[float, float],
    *,
    discount: float = 0.98,
    learning_rate: tuple[float, float] = (3e-4, 1e-5),
    minibatches: int = 4,
    start: str = "",
    target_kl: float = 0.0,
) -> ExpertRecipe:
    """A stage at 30 to 100 control steps a second: noise is correlated, or muscles would not follow it."""
    learner = dataclasses.replace(
        _learner(discount, noise, learning_rate[0]),
        minibatches=minibatches,
        final_learning_rate=learning_rate[1],
        noise_correlation=0.8,
        target_kl=target_kl,
    )
    return dataclasses.replace(_stage(task, steps, start, learner), environments=128)


def _turning(task: str, steps: int) -> ExpertRecipe:
    """A first training of pen, die or balls."""
    return _correlated(task, steps, (-0.7, -2.3), discount=0.97, minibatches=8)


def _turning_on(
    task: str,
    steps: int,
    noise: tuple[float, float],
    learning_rate: tuple[float, float],
    start: str,
    target_kl: float = 0.0,
) -> ExpertRecipe:
    """A later training of pen or die, with less noise than the one before."""
    return _correlated(task, steps, noise, discount=0.97, learning_rate=learning_rate, start=start, target_kl=target_kl)


def _lesson(
    task: str, steps: int, noise: tuple[float, float], learning_rate: tuple[float, float], start: str = ""
) -> ExpertRecipe:
    """Balls and relocation: what a fault costs shows later than for pen and die, so they discount less."""
    return _correlated(task, steps, noise, learning_rate=learning_rate, start=start)


def _postures(
    task: str,
    steps: int,
    noise: tuple[float, float],
    learning_rate: tuple[float, float],
    start: str = "",
    *,
    network: MlpConfig,
) -> ExpertRecipe:
    """A training of an imitation task whose network commands postures."""
    stage = _stage(task, steps, start, posture_learner(noise, learning_rate))
    return dataclasses.replace(stage, environments=128, command="posture", network=network)


def posture_learner(noise: tuple[float, float], learning_rate: tuple[float, float]) -> LearnerConfig:
    """What trains a network that commands postures."""
    return LearnerConfig(
        rollout_steps=32,
        epochs=3,
        minibatches=8,
        learning_rate=learning_rate[0],
        final_learning_rate=learning_rate[1],
        gradient_clip=0.5,
        discount=0.97,
        gae_lambda=0.95,
        log_std=noise,
        noise_correlation=0.5,
        target_kl=0.02,
    )


# What joints tell, muscles tell again, but for their activation; and some joints of the knee follow its angle.
_MUSCLES = tuple(f"muscle {quantity}" for quantity in ("position", "velocity", "force", "target"))
_LEGS = MlpConfig(
    mirrored=True,
    unread=(
        *_MUSCLES,
        *(f"knee_angle_{part}{n}" for part in ("translation", "beta_translation") for n in (1, 2)),
        *(f"knee_angle_{part}" for part in ("rotation2", "rotation3", "beta_rotation1")),
    ),
)

# So do a shoulder's girdle and the segments of a spine.
_SHOULDERS = (
    *(f"{part}_{turn}" for part in ("sternoclavicular", "unrotscap") for turn in ("r2", "r3")),
    *(f"{part}_r{n}" for part in ("acromioclavicular", "unrothum") for n in (1, 2, 3)),
    "shoulder1_r2",
)
_ARMS = MlpConfig(mirrored=True, unread=(*_MUSCLES, *_SHOULDERS))
_WHOLE = dataclasses.replace(
    _LEGS,
    unread=(
        *_LEGS.unread,
        *("Abs_t1", "Abs_t2", "Abs_r3"),
        *(f"L{n}_L{n + 1}_{way}" for n in range(1, 5) for way in ("FE", "LB", "AR")),
        *_SHOULDERS,
    ),
)

_FINE_STEPS = dataclasses.replace(
    posture_learner((-1.8, -2.0), (3e-5, 1e-5)),
    rollout_steps=64,
    discount=0.99,
    gae_lambda=0.98,
    noise_correlation=0.8,
)

# Labels cost more than updates, so that each is used often.
_LABELLED = LearnerConfig(
    regime="obc",
    rollout_steps=16,
    epochs=10,
    minibatches=8,
    learning_rate=1e-3,
    final_learning_rate=2e-5,
    log_std=(-2.3, -3.0),
    value=0.0,
)

_LED = dataclasses.replace(_LABELLED, rollout_steps=32, epochs=4, log_std=(-1.8, -2.6))
_UNLED = dataclasses.replace(
    _LEGS,
    unread=(
        *_LEGS.unread,
        *(f"ahead_{ms}ms" for ms in (33, 100, 267)),
        "site",
        "velocity angular root",
        "=position linear z root",
    ),
)
"""What `walk_to_point` shows of `walk_led`."""
_ALONE = dataclasses.replace(posture_learner((-2.4, -3.0), (5e-5, 1e-5)), discount=0.99, muscle_correlation=0.3)

# Balls are round, and alike.
_BALLS = MlpConfig(
    interchangeable=("id_1", "id_2"),
    unread=("muscle position", "muscle velocity", "muscle force", "object ball position angular"),
)


def _balls(
    task: str, steps: int, noise: tuple[float, float], start: str, muscles: float = 0.3, critic_warmup: int = 0
) -> ExpertRecipe:
    """A training of balls that are led rather than held; the critic warms up where rewards or physics are others."""
    learner = LearnerConfig(
        rollout_steps=50,
        minibatches=4,
        learning_rate=2e-4,
        final_learning_rate=2e-4,
        target_kl=0.03,
        discount=0.98,
        gae_lambda=0.95,
        log_std=noise,
        noise_correlation=0.8,
        muscle_correlation=muscles,
    )
    stage = _stage(task, steps, start, learner)
    return dataclasses.replace(stage, environments=128, network=_BALLS, critic_warmup=critic_warmup)


# Labels of what holds the balls and hardly moves them, for a network to which they are alike.
_HELD = LearnerConfig(
    regime="obc",
    rollout_steps=25,
    minibatches=8,
    learning_rate=1e-3,
    final_learning_rate=1e-4,
    discount=0.98,
    gae_lambda=0.95,
    log_std=(-1.6, -1.6),
    noise_correlation=0.8,
)

EXPERTS: dict[str, ExpertRecipe] = {
    "elbow_pose": ExpertRecipe("elbow_pose", steps=600_000),
    "finger_pose": _stage("finger_pose", 2_000_000, "", _learner(0.95, (-0.5, -3.0))),
    "finger_reach_first": _stage("finger_reach", 2_000_000, "", _learner(0.95, (-0.5, -3.0))),
    "finger_reach": _stage("finger_reach", 3_000_000, "finger_reach_first", _learner(0.95, (-1.0, -3.2))),
    "hand_pose": _stage("hand_pose", 1_280_000, "", _learner(0.95, (-0.7, -3.0))),
    "hand_index_reach_first": ExpertRecipe("hand_index_reach", steps=1_280_000),
    "hand_index_reach_second": _stage(
        "hand_index_reach", 640_000, "hand_index_reach_first", _learner(0.95, (-1.5, -2.5))
    ),
    "hand_index_reach_third": _stage(
        "hand_index_reach", 640_000, "hand_index_reach_second", _learner(0.9, (-1.5, -3.2), 2e-4)
    ),
    "hand_index_reach_fourth": _beginnings(
        "hand_index_reach", 480_000, "hand_index_reach_third", _learner(0.9, (-2.0, -3.2), 2e-4, 16), 200
    ),
    "hand_index_reach_fifth": _stage(
        "hand_index_reach", 480_000, "hand_index_reach_fourth", _learner(0.9, (-2.5, -3.3), 2e-4)
    ),
    "hand_index_reach_sixth": _beginnings(
        "hand_index_reach", 800_000, "hand_index_reach_fifth", _learner(0.9, (-2.2, -3.2), 2e-4, 20)
    ),
    "hand_index_reach": _stage(
        "hand_index_reach", 480_000, "hand_index_reach_sixth", _learner(0.9, (-2.8, -3.5), 1e-4)
    ),
    "hand_thumb_reach_first": _stage(
        "hand_thumb_reach", 512_000, "hand_index_reach_second", _learner(0.95, (-0.9, -2.5))
    ),
    "hand_thumb_reach_second": _stage(
        "hand_thumb_reach", 1_280_000, "hand_thumb_reach_first", _learner(0.95, (-0.7, -3.0))
    ),
    "hand_thumb_reach_third": _stage(
        "hand_thumb_reach", 1_280_000, "hand_thumb_reach_second", _learner(0.95, (-0.7, -3.0))
    ),
    "hand_thumb_reach_fourth": _beginnings(
        "hand_thumb_reach", 1_200_000, "hand_thumb_reach_third", _learner(0.95, (-1.3, -3.0), 3e-4, 50), 64
    ),
    "hand_thumb_reach_fifth": _beginnings(
        "hand_thumb_reach", 700_000, "hand_thumb_reach_fourth", _learner(0.92, (-1.6, -3.0), 2.5e-4, 25), 128
    ),
    "hand_thumb_reach_sixth": _stage(
        "hand_thumb_reach", 320_000, "hand_thumb_reach_fifth", _learner(0.92, (-2.3, -3.3), 1.5e-4)
    ),
    "hand_thumb_reach": _beginnings(
        "hand_thumb_reach", 3_000_000, "hand_thumb_reach_sixth", _learner(0.95, (-1.3, -3.0)), 128
    ),
    "hand_middle_reach_first": _stage(
        "hand_middle_reach", 512_000, "hand_index_reach_second", _learner(0.95, (-1.2, -2.5))
    ),
    "hand_middle_reach_second": _stage(
        "hand_middle_reach", 512_000, "hand_middle_reach_first", _learner(0.9, (-1.5, -3.3))
    ),
    "hand_middle_reach_third": _beginnings(
        "hand_middle_reach", 800_000, "hand_middle_reach_second", _learner(0.9, (-2.0, -3.2), 2e-4, 20)
    ),
    "hand_middle_reach": _stage(
        "hand_middle_reach", 480_000, "hand_middle_reach_third", _learner(0.9, (-2.8, -3.5), 1e-4)
    ),
    "hand_ring_reach_first": _stage("hand_ring_reach", 512_000, "hand_index_reach_second", _learner(0.9, (-1.2, -3.0))),
    "hand_ring_reach_second": _stage("hand_ring_reach", 640_000, "hand_ring_reach_first", _learner(0.9, (-1.2, -3.3))),
    "hand_ring_reach_third": _beginnings(
        "hand_ring_reach", 720_000, "hand_ring_reach_second", _learner(0.9, (-2.0, -3.2), 2e-4, 20)
    ),
    "hand_ring_reach": _stage("hand_ring_reach", 480_000, "hand_ring_reach_third", _learner(0.9, (-2.8, -3.5), 1e-4)),
    "hand_little_reach_first": _stage(
        "hand_little_reach", 512_000, "hand_index_reach_second", _learner(0.9, (-1.2, -3.0))
    ),
    "hand_little_reach": _stage("hand_little_reach", 640_000, "hand_little_reach_first", _learner(0.9, (-1.2, -3.3))),
    "pen_reorient_first": _turning("pen_reorient", 2_000_000),
    # Less noise asks for smaller steps: with those of the first training the policy jumped (KL 0.9 per iteration).
    "pen_reorient_second": _turning_on("pen_reorient", 1_000_000, (-1.2, -2.6), (1e-4, 1e-5), "pen_reorient_first"),
    # More noise again, and steps that fit it, as the die's.
    "pen_reorient_third": _turning_on(
        "pen_reorient", 4_000_000, (-1.2, -1.7), (2e-4, 1.4e-4), "pen_reorient_second", target_kl=0.03
    ),
    "pen_reorient": _turning_on(
        "pen_reorient", 1_800_000, (-1.7, -3.2), (2e-4, 1e-5), "pen_reorient_third", target_kl=0.03
    ),
    "die_reorient_first": _turning("die_reorient", 1_600_000),
    "die_reorient_second": _turning_on("die_reorient", 2_000_000, (-1.1, -2.6), (2e-4, 2e-5), "die_reorient_first"),
    "die_reorient_third": _turning_on("die_reorient", 2_000_000, (-1.3, -2.8), (2e-4, 2e-5), "die_reorient_second"),
    "die_reorient_fourth": _turning_on("die_reorient", 500_000, (-2.0, -3.2), (1.5e-4, 1e-5), "die_reorient_third"),
    # More noise again, and steps that fit it: solved steps rise from 51 to 61 %, and to 64 % as the noise shrinks.
    "die_reorient_fifth": _turning_on(
        "die_reorient", 2_370_000, (-1.4, -1.87), (2e-4, 1.45e-4), "die_reorient_fourth", target_kl=0.03
    ),
    "die_reorient": _turning_on(
        "die_reorient", 2_200_000, (-1.85, -3.2), (2e-4, 1e-5), "die_reorient_fifth", target_kl=0.03
    ),
    "die_reorient_p1": _turning("die_reorient_p1", 2_000_000),
    "die_reorient_p2": _turning("die_reorient_p2", 2_000_000),
    # At full speed from the start: it holds the balls, and hardly moves them.
    "baoding_held_first": _turning("baoding_cw", 2_000_000),
    "baoding_held_second": _lesson("baoding_hold", 500_000, (-1.3, -2.2), (2e-4, 8e-5), "baoding_held_first"),
    "baoding_held_third": _lesson("baoding_hard", 500_000, (-1.5, -2.6), (1.5e-4, 2e-5), "baoding_held_second"),
    "baoding_held": _lesson("baoding_harder", 250_000, (-1.6, -2.8), (1.5e-4, 1e-5), "baoding_held_third"),
    "baoding_to_angle_first": dataclasses.replace(
        _stage("baoding_to_angle", 200_000, "", _HELD), environments=128, network=_BALLS, teacher="baoding_held"
    ),
    "baoding_to_angle": _balls("baoding_to_angle", 300_000, (-1.2, -1.2), "baoding_to_angle_first", muscles=0.0),
    "baoding_slow": _balls("baoding_slow", 2_930_000, (-1.3, -1.36), "baoding_to_angle"),
    "baoding_slow_ccw": _balls("baoding_slow_ccw", 3_000_000, (-1.4, -2.0), "baoding_slow"),
    "baoding_coarse_ccw": _balls("baoding_coarse_ccw", 2_500_000, (-1.8, -2.5), "baoding_slow_ccw"),
    "baoding_ccw": _balls("baoding_ccw", 1_000_000, (-2.2, -3.0), "baoding_coarse_ccw", critic_warmup=3),
    "baoding_follow": _balls("baoding_follow", 781_000, (-1.4, -1.4), "baoding_slow"),
    "baoding_follow_hard": _balls("baoding_follow_hard", 1_517_000, (-1.4, -1.49), "baoding_follow"),
    "baoding_hard": _balls("baoding_hard", 800_000, (-1.7, -2.8), "baoding_follow_hard", critic_warmup=3),
    "baoding_harder": _balls("baoding_harder", 900_000, (-1.5, -2.6), "baoding_hard", critic_warmup=3),
    "baoding_follow_cw": _balls("baoding_follow_cw", 794_000, (-1.5, -1.9), "baoding_hard", critic_warmup=3),
    "baoding_cw": _balls("baoding_cw", 600_000, (-1.9, -3.0), "baoding_follow_cw", critic_warmup=3),
    "object_relocate": _lesson("object_relocate", 800_000, (-0.7, -2.0), (3e-4, 5e-5)),
    "object_relocate_p1": _lesson("object_relocate_p1", 800_000, (-0.7, -2.0), (3e-4, 5e-5)),
    # What ships followed recordings besides (README.md), in five parts, noise and step raised again for each.
    "imitate_reaching": ExpertRecipe(
        "imitate_reaching", steps=2_080_000, environments=256, learner=_LABELLED, network=_ARMS, teacher="cmc"
    ),
    "imitate_walking_first": _postures("imitate_walking", 1_200_000, (-0.95, -1.0), (3e-4, 1.5e-4), network=_LEGS),
    "imitate_walking": _postures(
        "imitate_walking", 6_500_000, (-1.0, -2.0), (1.5e-4, 3e-5), "imitate_walking_first", network=_LEGS
    ),
    # Begins as the legs' walker, by words, in steps of time like its own; the last stage is in those of the body, three
    # times as many a second, so that less is discounted. What ships had the first 0.25 M steps of the practice.
    "imitate_fullbody_practice": dataclasses.replace(
        _postures("imitate_fullbody_practice", 2_000_000, (-1.4, -2.0), (1.5e-4, 3e-5), network=_WHOLE),
        start_from="imitate_walking",
    ),
    "imitate_fullbody": dataclasses.replace(
        _stage("imitate_fullbody", 100_000, "imitate_fullbody_practice", _FINE_STEPS),
        environments=96,
        command="posture",
        network=_WHOLE,
    ),
    "walk_led": ExpertRecipe(
        "walk_led", steps=800_000, environments=128, learner=_LED, network=_UNLED, teacher="target_reaching"
    ),
    "walk_to_point": dataclasses.replace(
        _stage("walk_to_point", 1_000_000, "walk_led", _ALONE), environments=128, network=_LEGS, critic_warmup=12
    ),
}
"""By recipe. A stage starts from the newest run of the one before it, under ``runs/``."""
