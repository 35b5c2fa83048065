"""What a recipe is: a frozen, typed value that says what to train on what, how long, with which weights.

The recipes that ship are named values in `arnold.experiments.recipes`; every field can be overridden on the command
line, and a run's folder keeps the recipe as it was run. `from_json(to_json(recipe))` is the recipe again, which is how
a run resumes.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from arnold.errors import UserError, did_you_mean
from arnold.learning.config import LearnerConfig
from arnold.policy.mlp import MlpConfig
from arnold.policy.presets import preset
from arnold.policy.transformer import TransformerConfig

EXPERT_LEARNER = LearnerConfig(minibatches=8, log_std=(-0.7, -2.3))
EXPERT_NETWORK = MlpConfig()
DISTILLATION_LEARNER = LearnerConfig(
    regime="obc",
    rollout_steps=10,
    epochs=1,
    minibatches=8,
    learning_rate=2e-3,
    final_learning_rate=2e-5,
    log_std=(-2.0, -3.0),
    value=0.0,  # its gradient would share the norm's clip with the imitation, and nothing reads it yet
)
FINETUNING_LEARNER = LearnerConfig(
    minibatches=8,
    learning_rate=2e-4,
    final_learning_rate=2e-5,
    discount=0.95,
    # wide enough that a policy finds what it never did; narrower, learning took several times longer
    log_std=(-1.0, -3.0),
)


@dataclasses.dataclass(frozen=True)
class ExpertRecipe:
    """Train a specialist of one task: PPO on an MLP over the task's tokens."""

    task: str
    """The task, by name, or a task file."""

    steps: int
    """Environment steps in all."""

    environments: int = 64
    """Environments stepped together."""

    horizon: int = 0
    """Control steps per episode while training, where it is not 0: shorter episodes than the task's are truncated and
    bootstrapped, so the same steps hold more of what comes first. Evaluation has the task's own horizon."""

    learner: LearnerConfig = EXPERT_LEARNER
    """The update and its settings."""

    network: MlpConfig = EXPERT_NETWORK
    """The expert's network."""

    command: str = "muscles"
    """What the network commands: "muscles", or for imitation tasks "posture", the equilibrium of each joint, which the
    muscles' stretch reflexes follow (`arnold.policy.posture`)."""

    seed: int = 1
    """Of parameters, goals, starts and noise."""

    clips: tuple[str, ...] = ()
    """For imitation tasks: clips to follow in place of the task's own, names, files or folders."""

    held_out: tuple[str, ...] = ()
    """Of those clips, names or subjects that no episode is drawn from."""

    critic_warmup: int = 0
    """Iterations at the start in which only the value learns; where it starts from a policy that learned without
    reward."""

    teacher: str = ""
    """Who labels, in the regimes "obc", "bc" and "obc_ppo": a policy, by name or folder, which may see more of the task
    than the network reads; or in imitation tasks a controller, "reflex" (`arnold.reflex`), or "cmc"
    (`arnold.computed_muscle_control`) for a body fixed to the world."""

    start_from: str = ""
    """A checkpoint to start from (parameters, and statistics by signature): an earlier stage, an expert of a task like
    it, or one of a smaller body (`arnold.policy.inherit`). Fresh where empty."""


@dataclasses.dataclass(frozen=True)
class DistillRecipe:
    """Distil specialists into one transformer."""

    mixture: tuple[tuple[str, int], ...]
    """(task, environments) pairs."""

    steps: int
    """Environment steps in all, over all tasks."""

    experts: tuple[tuple[str, str], ...] = ()
    """(task, checkpoint) pairs; the zoo's expert of the same name where a task is not named."""

    preset: str = "small"
    """Size of the transformer: tiny, small or paper."""

    network: TransformerConfig | None = None
    """The network, where it is not the preset's: ``--set network.lags=6`` changes one choice of it (an ablation)."""

    start_from: str = ""
    """A generalist to go on from, in place of a fresh one of the preset; it grows by the words that it lacks."""

    learner: LearnerConfig = DISTILLATION_LEARNER
    """The update and its settings."""

    seed: int = 1
    """Of parameters, goals, starts and noise."""

    @property
    def configuration(self) -> TransformerConfig:
        """The network's configuration."""
        return self.network or preset(self.preset)

    def __post_init__(self) -> None:
        for what, pairs in (("mixture", self.mixture), ("experts", self.experts)):
            names = [name for name, _ in pairs]
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise UserError(f"DistillRecipe.{what} names {', '.join(twice)} more than once; name each task once")


@dataclasses.dataclass(frozen=True)
class FinetuneRecipe:
    """Go on training a checkpoint on one task, known to it or new; its vocabulary grows as needed."""

    checkpoint: str
    """A name of the zoo, a checkpoint's folder, or a run."""

    task: str
    """The task, by name, or a task file."""

    steps: int = 400_000
    """Environment steps in all."""

    environments: int = 64
    """Environments stepped together."""

    expert: str = ""
    """A checkpoint to label with, for the regimes "obc", "bc" and "obc_ppo"."""

    learner: LearnerConfig = FINETUNING_LEARNER
    """The update and its settings. The noise starts smaller than an expert's does: the policy acts already."""

    critic_warmup: int = 3
    """Iterations in which only the value learns, before the policy moves; a generalist distilled without reward knows
    no value."""

    subspace: str = ""
    """A bases.npz of `arnold analyze subspace`: the policy learns, and acts from then on, within the first ``rank``
    components of one of its bases. Where empty, within the subspace that the checkpoint has, if it has one."""

    basis: str = "own"
    """Which of them: "own" or "pooled" of the task, or another task's, such as "hand_thumb_reach/own"."""

    rank: int = 0
    """How many components."""

    seed: int = 1
    """Of goals, starts and noise, and of the embeddings of new words."""

    def __post_init__(self) -> None:
        if self.subspace and self.rank < 1:
            raise UserError(
                f"FinetuneRecipe.rank is {self.rank}; how many components of the subspace are to be kept? at least 1 "
                "is accepted (--rank)"
            )
        if not self.subspace and (self.rank or self.basis != "own"):
            raise UserError(
                "FinetuneRecipe has a rank or a basis and no subspace; give the bases.npz of `arnold analyze subspace`"
            )


@dataclasses.dataclass(frozen=True)
class LoopRecipe:
    """Arnold's loop: experts into a generalist, the generalist by reward into super-experts, and those back into it."""

    distillation: DistillRecipe
    """The first stage."""

    super_experts: tuple[str, ...]
    """Tasks of the mixture on which the generalist is fine-tuned, each on its own. Where that solves more steps than
    the task's expert, it takes the expert's place."""

    finetuning: FinetuneRecipe
    """How; its checkpoint and task are filled in."""

    self_distillation: DistillRecipe
    """The last stage; its experts and what it starts from are filled in."""

    episodes: int = 200
    """Of the evaluations that compare expert and super-expert."""

    def __post_init__(self) -> None:
        names = [name for name, _ in self.distillation.mixture]
        for name in self.super_experts:
            if name not in names:
                raise UserError(
                    f"LoopRecipe.super_experts names {name!r}, which is not distilled; {did_you_mean(name, names)}"
                )
        if self.episodes < 1:
            raise UserError(f"LoopRecipe.episodes is {self.episodes}; at least 1 is accepted")

    @property
    def stages(self) -> tuple[DistillRecipe | FinetuneRecipe, ...]:
        """The kinds of stages, as far as they are known beforehand."""
        mixture = self.self_distillation.mixture or self.distillation.mixture
        return self.distillation, self.finetuning, dataclasses.replace(self.self_distillation, mixture=mixture)

    def with_experts(self, experts: tuple[tuple[str, str], ...]) -> LoopRecipe:
        """The recipe with (task, checkpoint) experts in place of the zoo's."""
        return dataclasses.replace(self, distillation=dataclasses.replace(self.distillation, experts=experts))


@dataclasses.dataclass(frozen=True)
class TransferRecipe:
    """What is learned faster by who knows other tasks: tasks held out of a distillation, with it and from nothing."""

    pretraining: DistillRecipe
    """The distillation of the other tasks."""

    tasks: tuple[str, ...]
    """The tasks held out."""

    learning: DistillRecipe
    """How each is learned, twice; its mixture and what it starts from are filled in."""

    environments: int = 32
    """Environments of each."""

    def __post_init__(self) -> None:
        known = [name for name, _ in self.pretraining.mixture if name in self.tasks]
        if known:
            raise UserError(f"TransferRecipe.tasks names {', '.join(known)}, which the pretraining has; hold it out")
        if self.environments < 1 or not self.tasks:
            raise UserError(
                f"TransferRecipe has {len(self.tasks)} tasks with {self.environments} environments each; "
                "at least 1 of both is accepted"
            )

    @property
    def stages(self) -> tuple[DistillRecipe, ...]:
        """The kinds of stages, as far as they are known beforehand."""
        return self.pretraining, *(self.learning_of(name, "") for name in self.tasks)

    def learning_of(self, task: str, start: str) -> DistillRecipe:
        """How one of the tasks is learned, by a network like the pretraining's."""
        return dataclasses.replace(
            self.learning,
            mixture=((task, self.environments),),
            experts=tuple(pair for pair in self.learning.experts if pair[0] == task),
            start_from=start,
            preset=self.pretraining.preset,
            network=self.pretraining.network,
        )

    def with_experts(self, experts: tuple[tuple[str, str], ...]) -> TransferRecipe:
        """The recipe with (task, checkpoint) experts in place of the zoo's."""
        pretrained = [name for name, _ in self.pretraining.mixture]
        unknown = [name for name, _ in experts if name not in (*pretrained, *self.tasks)]
        if unknown:
            raise UserError(
                f"an expert was given for task {unknown[0]!r}; {did_you_mean(unknown[0], [*pretrained, *self.tasks])}"
            )
        before = tuple(pair for pair in experts if pair[0] in pretrained)
        after = tuple(pair for pair in experts if pair[0] in self.tasks)
        return dataclasses.replace(
            self,
            pretraining=dataclasses.replace(self.pretraining, experts=before),
            learning=dataclasses.replace(self.learning, experts=after),
        )


Recipe = ExpertRecipe | DistillRecipe | FinetuneRecipe
RECIPE_KINDS: dict[str, type] = {"expert": ExpertRecipe, "distill": DistillRecipe, "finetune": FinetuneRecipe}


def to_json(recipe: Recipe) -> dict[str, Any]:
    """A recipe as JSON values, with its kind."""
    kind = next(name for name, cls in RECIPE_KINDS.items() if isinstance(recipe, cls))
    return {"kind": kind, **dataclasses.asdict(recipe)}


def from_json(data: dict[str, Any]) -> Recipe:
    """The recipe that `to_json` wrote.

    Raises:
        UserError: an unknown kind or field.
    """
    fields = dict(data)
    kind = fields.pop("kind", None)
    if kind not in RECIPE_KINDS:
        raise UserError(f"a recipe of kind {kind!r}; {did_you_mean(str(kind), RECIPE_KINDS)}")
    cls = RECIPE_KINDS[kind]
    known = {field.name for field in dataclasses.fields(cls)}
    for name in fields:
        if name not in known:
            raise UserError(f"{cls.__name__} has no field {name!r}; {did_you_mean(name, known)}")
    network = MlpConfig if kind == "expert" else TransformerConfig
    parts: dict[str, Any] = {"learner": LearnerConfig, "network": network}
    for name, nested in parts.items():
        if isinstance(fields.get(name), dict):
            fields[name] = nested(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields[name].items()})
    recipe: Recipe = cls(**{name: _tuples(value) for name, value in fields.items()})
    return recipe


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
