"""From a recipe to a trained policy in a run's folder: experts, distillation, fine-tuning; each can be resumed."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax

from arnold import saved_policy
from arnold.analysis.bases import load_basis
from arnold.checkpoints.zoo import zoo_names
from arnold.computed_muscle_control import computed_muscle_control
from arnold.errors import UserError, did_you_mean
from arnold.experts import Expert, PolicyExpert
from arnold.learning.learner import Learner, TrainState
from arnold.learning.loop import Ended, resume, train
from arnold.learning.mixture import Mixture
from arnold.metric_sinks import require_sinks
from arnold.policy import normaliser
from arnold.policy.generalist import TransformerActorCritic
from arnold.policy.inherit import inherit
from arnold.policy.mlp import MlpActorCritic
from arnold.policy.posture import PostureActorCritic
from arnold.policy.subspace import Subspace, confined, unconfined
from arnold.recipe import DistillRecipe, ExpertRecipe, FinetuneRecipe, Recipe, from_json, to_json
from arnold.reflex import posture_policy, reflex, reflexes
from arnold.runs import Run, training_time_s
from arnold.saved_policy import SavedPolicy
from arnold.tasks import Environment, Task, task

TEACHERS: dict[str, Callable[[Environment], Expert]] = {"reflex": reflex, "cmc": computed_muscle_control}
"""Controllers that a specialist can begin as, by name."""

COMMANDS = ("muscles", "posture")
"""What an expert's network can command."""

OnIteration = Callable[[TrainState, dict[str, float]], None]


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A recipe made ready to run."""

    learner: Learner
    tasks: tuple[Task, ...]
    initial: Callable[[], TrainState]  # the state before the first iteration
    about: dict[str, Any]  # what the checkpoint says of its making


@dataclasses.dataclass(frozen=True)
class Trained:
    """What a training came to."""

    run: Run
    ended: Ended
    saved: SavedPolicy


def run_recipe(
    recipe: Recipe,
    name: str,
    *,
    root: Path = Path("runs"),
    backend: str = "native",
    threads: int | None = None,
    on_iteration: OnIteration | None = None,
    save_every_s: float = 120.0,
    sinks: Sequence[str] = (),
) -> Trained:
    """Start a new run of a recipe.

    Args:
        recipe: what to train.
        name: names the run's folder.
        root: where runs live.
        backend: physics back end.
        threads: threads of the native back end.
        on_iteration: called after each iteration.
        save_every_s: seconds between checkpoints.
        sinks: where metrics go besides the run's own files: ``tensorboard``, ``wandb``.

    Raises:
        UserError: for anything in the recipe that does not fit.
    """
    require_sinks(sinks)  # before anything is compiled
    prepared = prepare(recipe, backend, threads)
    fingerprints = {lane.name: lane.environment.body.fingerprint for lane in prepared.learner.lanes}
    physics = {lane.name: lane.environment.physics for lane in prepared.learner.lanes}
    reports = {task_name: p.report.to_dict() for task_name, p in physics.items() if hasattr(p, "report")}
    extra = {"bodies": fingerprints, "vocabulary": prepared.learner.policy.vocabulary.fingerprint, "backend": backend}
    if reports:
        extra["conversion"] = reports
    run = Run.create(root, name, to_json(recipe), fingerprints=extra, sinks=sinks)
    return _go(run, prepared, prepared.initial, name, on_iteration, save_every_s)


def resume_run(
    path: Path,
    *,
    backend: str = "native",
    threads: int | None = None,
    on_iteration: OnIteration | None = None,
    save_every_s: float = 120.0,
    sinks: Sequence[str] = (),
) -> Trained:
    """Go on with a run where its newest good checkpoint stands, in the same files.

    Raises:
        UserError: where ``path`` is no run, or has nothing to resume.
    """
    run = Run.open(path, sinks=sinks)
    latest = run.latest()
    # The subspace is the checkpoint's, whatever has become of the file that it was read from.
    subspace = saved_policy.load(latest).subspace if latest else None
    prepared = prepare(from_json(run.config), backend, threads, subspace)
    state = resume(run, prepared.learner)
    return _go(run, prepared, lambda: state, run.path.parent.name, on_iteration, save_every_s)


def _go(
    run: Run,
    prepared: Prepared,
    begin: Callable[[], TrainState],
    label: str,
    on_iteration: OnIteration | None,
    save_every_s: float,
) -> Trained:
    learner = prepared.learner
    config = saved_policy.describe(learner.policy, prepared.tasks, **prepared.about)
    with run:  # what its sinks still hold is handed over
        ended = train(run, learner, begin, config, label=label, on_iteration=on_iteration, save_every_s=save_every_s)
    saved = SavedPolicy(
        learner.policy, learner.policy_params(ended.state), ended.state.statistics, config, run.latest()
    )
    return Trained(run, ended, saved)


def prepare(
    recipe: Recipe, backend: str = "native", threads: int | None = None, subspace: Subspace | None = None
) -> Prepared:
    """Build the learner of a recipe; the first half of every run, and all that `arnold bench` needs.

    Args:
        recipe: what to train.
        backend: physics back end.
        threads: threads of the native back end.
        subspace: of a fine-tuning that was begun within it, in place of the recipe's file.

    Raises:
        UserError: an unknown task, expert or preset, or settings that do not fit together.
    """
    if isinstance(recipe, ExpertRecipe):
        return _prepare_expert(recipe, backend, threads)
    if isinstance(recipe, DistillRecipe):
        return _prepare_distillation(recipe, backend, threads)
    return _prepare_finetuning(recipe, backend, threads, subspace)


def steps_per_iteration(recipe: Recipe) -> int:
    """Environment steps of one iteration of a recipe."""
    shares = recipe.mixture if isinstance(recipe, DistillRecipe) else (("", recipe.environments),)
    return recipe.learner.rollout_steps * sum(environments for _, environments in shares)


def _iterations(steps: int, rollout_steps: int, environments: int) -> int:
    per_iteration = rollout_steps * environments
    if steps < per_iteration:
        raise UserError(
            f"steps is {steps}; one iteration is {per_iteration} environment steps ({environments} environments x "
            f"{rollout_steps}): give at least that many, or fewer environments"
        )
    return steps // per_iteration


def _about(recipe: Recipe) -> dict[str, Any]:
    return {"recipe": to_json(recipe), "made": time.strftime("%Y-%m-%d")}


def _prepare_expert(recipe: ExpertRecipe, backend: str, threads: int | None) -> Prepared:
    mixture = Mixture.of({recipe.task: recipe.environments}, recipe.horizon, recipe.clips, recipe.held_out)
    goal = task(recipe.task)
    environment = Environment(mixture.tasks[0], backend, threads)
    iterations = _iterations(recipe.steps, recipe.learner.rollout_steps, recipe.environments)
    policy = _expert_policy(recipe, environment)
    experts: dict[str, Expert] = {goal.name: _teacher(recipe.teacher, environment)} if recipe.teacher else {}
    learner = Learner(
        policy, mixture, recipe.learner, iterations, experts, backend, threads, critic_warmup=recipe.critic_warmup
    )
    key = jax.random.key(recipe.seed)
    begin: dict[str, Any] = {}
    about = _about(recipe)
    if recipe.start_from:
        begin, about["earlier"] = _begun_from(recipe, policy, environment)
    elif isinstance(policy, PostureActorCritic):
        begin = {"params": {**policy.init(key), policy.key: reflexes(environment, policy)}}
    return Prepared(learner, (goal,), lambda: learner.initial_state(key, **begin), about)


def _teacher(name: str, environment: Environment) -> Expert:
    """A controller or a policy by name."""
    return TEACHERS[name](environment) if name in TEACHERS else _expert(environment, name)


def _expert_policy(recipe: ExpertRecipe, environment: Environment) -> MlpActorCritic | PostureActorCritic:
    """The network of an expert, and what it commands."""
    if recipe.command == "muscles":
        return MlpActorCritic(environment.observation_table, environment.action_table, recipe.network)
    if recipe.command not in COMMANDS:
        raise UserError(f"ExpertRecipe.command is {recipe.command!r}; {did_you_mean(recipe.command, COMMANDS)}")
    for name, given in (("teacher", recipe.teacher), ("muscle_correlation", recipe.learner.muscle_correlation)):
        if given:
            raise UserError(
                f"{name} is {given!r}, which is about single muscles; a policy that commands postures is trained "
                "without: leave it out"
            )
    return posture_policy(environment, recipe.network)


def _begun_from(
    recipe: ExpertRecipe, policy: MlpActorCritic | PostureActorCritic, environment: Environment
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The parameters and statistics of the policy that an expert's training begins from, and the trainings before."""
    start = saved_policy.load(recipe.start_from)
    _require_free(start, recipe.start_from)
    refused = f"an expert for {recipe.task!r} cannot start from {recipe.start_from!r}: "
    if type(start.policy) is not type(policy):
        raise UserError(f"{refused}it is another kind of policy; start from an expert with the same --set command")
    theirs, ours = (p.network if isinstance(p, PostureActorCritic) else p for p in (start.policy, policy))
    template = jax.tree.map(lambda x: (x.shape, x.dtype), policy.init(jax.random.key(0)))
    fits = template == jax.tree.map(lambda x: (x.shape, x.dtype), start.params)
    # another goal in the same place is taken for the one before; the same tokens in other places are no such thing
    read, before = ours.tokens_read.signatures, theirs.tokens_read.signatures
    shuffled = read != before and set(read) == set(before)
    if fits and not shuffled and start.policy.action_table.signatures == policy.action_table.signatures:
        # the same signatures keep their statistics, or the weights would read other numbers than they were trained on
        statistics = normaliser.remap(start.statistics, start.policy.signatures, policy.signatures)
        return {"params": start.params, "statistics": statistics}, stages(start)
    try:
        params, statistics = inherit(theirs, start.params, start.statistics, ours, jax.random.key(recipe.seed))
    except UserError as error:
        raise UserError(f"{refused}{error}") from None
    if isinstance(policy, PostureActorCritic):
        params = {**params, policy.key: reflexes(environment, policy)}
    return {"params": params, "statistics": statistics}, stages(start)


def stages(saved: SavedPolicy) -> list[dict[str, Any]]:
    """The trainings that a policy went through, oldest first: task, steps, and seconds where they are known."""
    last = {
        "task": saved.config.get("recipe", {}).get("task", ", ".join(saved.tasks)),
        "steps": saved.config.get("environment_steps", 0),
        "wall_time_s": training_time_s(saved.source) if saved.source else None,
    }
    return [*saved.config.get("earlier", ()), last]


def _prepare_distillation(recipe: DistillRecipe, backend: str, threads: int | None) -> Prepared:
    mixture = Mixture.of(dict(recipe.mixture))
    environments = {t.name: Environment(t, backend, threads) for t in mixture.tasks}
    tables = [(e.observation_table, e.action_table) for e in environments.values()]
    named = dict(recipe.experts)
    for name in named:
        if name not in environments:
            near = did_you_mean(name, environments)
            raise UserError(f"an expert was given for task {name!r}, which is not in the mixture; {near}")
    experts: dict[str, Expert] = {name: _expert(env, named.get(name, name)) for name, env in environments.items()}
    iterations = _iterations(recipe.steps, recipe.learner.rollout_steps, sum(n for _, n in mixture.shares))
    key, about = jax.random.key(recipe.seed), _about(recipe)
    policy, begin = TransformerActorCritic.for_tasks(recipe.configuration, tables), {}
    if recipe.start_from:
        start = saved_policy.load(recipe.start_from)
        _require_free(start, recipe.start_from)
        if not isinstance(start.policy, TransformerActorCritic):
            raise UserError(
                f"a distillation cannot go on from {recipe.start_from!r}, which is an expert of one task; give a "
                "generalist"
            )
        if start.policy.config != recipe.configuration:
            raise UserError(
                f"a distillation goes on from {recipe.start_from!r} with that policy's network, not with the recipe's "
                f"({recipe.preset}{', changed' if recipe.network else ''}); give --preset the size that it has"
            )
        policy, params, statistics = start.policy.grow(start.params, start.statistics, tables, key)
        begin, about = {"params": params, "statistics": statistics}, {**about, "earlier": stages(start)}
    learner = Learner(policy, mixture, recipe.learner, iterations, experts, backend, threads)
    return Prepared(learner, mixture.tasks, lambda: learner.initial_state(key, **begin), about)


def _expert(environment: Environment, checkpoint: str) -> PolicyExpert:
    """The expert of a task; by default the zoo's of the same name."""
    if checkpoint == environment.task.name and checkpoint not in zoo_names():
        raise UserError(
            f"no expert ships for task {checkpoint!r}; train one with `arnold train`, and give it with "
            f"--experts {checkpoint}=RUN (experts that ship: {', '.join(zoo_names()) or 'none'})"
        )
    try:
        return saved_policy.load(checkpoint).expert(environment)
    except UserError as error:
        raise UserError(f"{checkpoint!r} cannot be the expert of task {environment.task.name!r}: {error}") from error


def _prepare_finetuning(
    recipe: FinetuneRecipe, backend: str, threads: int | None, subspace: Subspace | None
) -> Prepared:
    goal = task(recipe.task)
    environment = Environment(goal, backend, threads)
    start = saved_policy.load(recipe.checkpoint)
    policy, params, own_subspace = unconfined(start.policy, start.params)
    statistics = start.statistics
    if isinstance(policy, TransformerActorCritic):
        tables = [(environment.observation_table, environment.action_table)]
        policy, params, statistics = policy.grow(params, statistics, tables, jax.random.key(recipe.seed))
    if isinstance(policy, PostureActorCritic) and (recipe.expert or recipe.subspace):
        other = "an expert labels" if recipe.expert else "a subspace is of"
        raise UserError(
            f"{recipe.checkpoint!r} commands postures, and {other} "
            "muscles; fine-tune it by reward and without a subspace, or start from a policy of muscles"
        )
    subspace = subspace or _given_subspace(recipe, environment) or own_subspace
    if subspace is not None:
        policy, params = confined(policy, params, subspace)
    experts: dict[str, Expert] = {goal.name: _expert(environment, recipe.expert)} if recipe.expert else {}
    mixture = Mixture.of({recipe.task: recipe.environments})
    iterations = _iterations(recipe.steps, recipe.learner.rollout_steps, recipe.environments)
    learner = Learner(
        policy, mixture, recipe.learner, iterations, experts, backend, threads, critic_warmup=recipe.critic_warmup
    )
    key = jax.random.key(recipe.seed)
    tasks = (goal, *(task(t) for t in start.tasks if t != goal.name and _known(t)))
    about = {**_about(recipe), "grown_from": str(start.config.get("recipe", {}).get("kind", "")) or recipe.checkpoint}
    return Prepared(learner, tasks, lambda: learner.initial_state(key, params=params, statistics=statistics), about)


def _given_subspace(recipe: FinetuneRecipe, environment: Environment) -> Subspace | None:
    """The first components of the basis that a recipe names, if it names one."""
    if not recipe.subspace:
        return None
    of, _, name = recipe.basis.rpartition("/")
    of = of or environment.task.name
    basis = load_basis(recipe.subspace, of, name)
    return basis.subspace(recipe.rank, environment.body, f"{of}/{name} of {Path(recipe.subspace).name}")


def _require_free(start: SavedPolicy, name: str) -> None:
    """Raise a `UserError` where a policy acts within a subspace, which only fine-tuning goes on with."""
    if start.subspace is not None:
        raise UserError(
            f"{name!r} acts within {start.subspace.rank} components of its action; only `arnold finetune` goes on from "
            "it: start from a policy that acts freely"
        )


def _known(name: str) -> bool:
    try:
        task(name)
    except UserError:
        return False
    return True
