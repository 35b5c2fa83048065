"""Distilling two bodies into one transformer, and fine-tuning it on tasks that it knows and tasks that it does not."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
from probes import TWO_MUSCLES, Probe

from arnold import saved_policy
from arnold.checkpoints import save_checkpoint
from arnold.cli.overrides import with_settings
from arnold.errors import UserError
from arnold.learning.config import LearnerConfig
from arnold.learning.learner import TrainState
from arnold.metric_log import read_rows
from arnold.policy.generalist import TransformerActorCritic
from arnold.policy.mlp import MlpActorCritic, MlpConfig
from arnold.policy.presets import preset
from arnold.recipe import DistillRecipe, ExpertRecipe, FinetuneRecipe, from_json, to_json
from arnold.tasks import Environment, Task, register_task, registry, task
from arnold.training import prepare, resume_run, run_recipe

pytestmark = pytest.mark.train

ITERATIONS = 30
PAIR = Probe(name="pair", body=TWO_MUSCLES, horizon=10, shows_muscles=True)

# A user's own file: the elbow's pose task, which also hears a metronome.
METRONOME = """
import dataclasses
import jax.numpy as jnp
from arnold.tasks import Pose, register_task, task
from arnold.tasks.task import Channel
from arnold.vocab import Token


@dataclasses.dataclass(frozen=True)
class WithMetronome(Pose):
    def channels(self, body):
        beat = Channel((Token(("metronome",), ("beat",)),), lambda signals, goal: jnp.sin(signals.time)[None])
        return (*super().channels(body), beat)


elbow = task("elbow_pose")
fields = {f.name: getattr(elbow, f.name) for f in dataclasses.fields(elbow)}
register_task(WithMetronome(**{**fields, "name": "elbow_with_metronome"}))
"""


@pytest.fixture(autouse=True, scope="module")
def _own_tasks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))
        register_task(PAIR)
        yield


def tables(made: Task) -> tuple[Any, Any]:
    environment = Environment(made, threads=1)
    return environment.observation_table, environment.action_table


def save_expert(made: Task, folder: Path) -> str:
    """A checkpoint of an untrained expert whose actions are of every size; its path."""
    policy = MlpActorCritic(*tables(made), MlpConfig(hidden=(8,), init_mean_scale=0.5))
    content = {"params": policy.init(jax.random.key(1)), "statistics": policy.init_statistics()}
    return str(save_checkpoint(folder, policy=content, config=saved_policy.describe(policy, (made,))))


class Distilled(NamedTuple):
    """A generalist of the elbow and the probe with two muscles."""

    trained: Any
    experts: dict[str, str]
    rows: list[dict[str, Any]]


@pytest.fixture(scope="module")
def distilled(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    experts = {made.name: save_expert(made, root / f"{made.name}_expert") for made in (task("elbow_pose"), PAIR)}
    recipe = DistillRecipe(
        mixture=(("elbow_pose", 8), ("pair", 16)),
        steps=ITERATIONS * 5 * 24,
        experts=tuple(experts.items()),
        preset="tiny",
        learner=LearnerConfig(
            regime="obc", rollout_steps=5, epochs=2, minibatches=2, learning_rate=5e-3, log_std=(-2.0, -3.0)
        ),
    )
    trained = run_recipe(recipe, "distil", root=root, threads=1)
    return Distilled(trained, experts, read_rows(trained.run.path / "metrics.jsonl"))


def test_one_transformer_comes_to_act_as_the_experts_of_two_bodies(distilled):
    losses = [row["imitation"] for row in distilled.rows]
    assert len(losses) == ITERATIONS
    assert np.mean(losses[-3:]) < 0.2 * losses[0]
    assert {name.split("/")[0] for name in distilled.rows[0] if "/" in name} == {"elbow_pose", "pair"}


def test_a_distilled_policy_opens_again_with_what_it_was_trained_on(distilled):
    loaded = saved_policy.load(distilled.trained.run.path)
    assert loaded.tasks == ("elbow_pose", "pair")
    assert loaded.config["environment_steps"] == ITERATIONS * 5 * 24
    ours, theirs = jax.tree.leaves(distilled.trained.saved.params), jax.tree.leaves(loaded.params)
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_a_mixture_without_an_expert_says_how_to_give_one():
    with pytest.raises(UserError, match=r"no expert ships for task 'pair'.*--experts pair=RUN"):
        prepare(DistillRecipe(mixture=(("pair", 4),), steps=1000, preset="tiny"), threads=1)


def test_an_ablation_changes_one_choice_of_the_preset_s_network():
    recipe = DistillRecipe(mixture=(("elbow_pose", 4),), steps=1000, preset="tiny")
    ablated = with_settings(recipe, ("network.lags=3", "network.vocabulary=per_task", "learner.normalise_reward=false"))
    assert ablated.configuration == dataclasses.replace(preset("tiny"), lags=3, vocabulary="per_task")
    assert recipe.configuration == preset("tiny")
    assert from_json(json.loads(json.dumps(to_json(ablated)))) == ablated
    words = prepare(ablated, threads=1).learner.policy.vocabulary.words
    assert all("@" in word for word in words[2:])
    with pytest.raises(UserError, match=r"has no field 'lag'.*lags"):
        with_settings(recipe, ("network.lag=3",))


def test_an_expert_of_another_body_is_refused_by_name(distilled):
    recipe = DistillRecipe(
        mixture=(("elbow_pose", 4),), steps=1000, preset="tiny", experts=(("elbow_pose", distilled.experts["pair"]),)
    )
    with pytest.raises(UserError, match=r"pair_expert' cannot be the expert of task 'elbow_pose': .*tokens are not"):
        prepare(recipe, threads=1)


def test_fine_tuning_on_a_known_task_by_reward_adds_no_word(distilled):
    recipe = FinetuneRecipe(
        checkpoint=str(distilled.trained.run.path),
        task="elbow_pose",
        steps=80,
        environments=8,
        critic_warmup=2,
        learner=LearnerConfig(rollout_steps=5, minibatches=2),
    )
    prepared = prepare(recipe, threads=1)
    assert prepared.learner.policy.vocabulary.words == distilled.trained.saved.policy.vocabulary.words
    assert (prepared.learner.regime.name, prepared.learner.critic_warmup, prepared.learner.iterations) == ("ppo", 2, 2)
    assert [made.name for made in prepared.tasks] == ["elbow_pose", "pair"]


class Tuned(NamedTuple):
    """The generalist, and what two iterations of OBC-PPO on a task with two new words made of it."""

    start: saved_policy.SavedPolicy
    policy: TransformerActorCritic
    warm: TrainState  # after the first iteration, in which the critic alone learned
    after: TrainState
    rows: list[dict[str, Any]]


@pytest.fixture(scope="module")
def tuned(distilled, tmp_path_factory):
    folder = tmp_path_factory.mktemp("new_task")
    path = folder / "metronome.py"
    path.write_text(METRONOME)
    recipe = FinetuneRecipe(
        checkpoint=str(distilled.trained.run.path),
        task=str(path),
        steps=80,
        environments=8,
        critic_warmup=1,
        expert=save_expert(task(str(path)), folder / "expert"),
        learner=LearnerConfig(regime="obc_ppo", rollout_steps=5, epochs=1, minibatches=2),
    )
    states: list[TrainState] = []
    trained = run_recipe(recipe, "tune", root=folder, threads=1, on_iteration=lambda state, _: states.append(state))
    rows = read_rows(trained.run.path / "metrics.jsonl")
    return Tuned(saved_policy.load(distilled.trained.run.path), trained.saved.policy, *states, rows)


def test_a_new_task_s_words_are_added_and_everything_old_is_where_fine_tuning_starts(tuned):
    known = tuned.start.policy.vocabulary
    assert tuned.policy.vocabulary.words == (*known.words, "metronome", "beat")
    table = tuned.warm.params["embeddings"]["table"]
    np.testing.assert_array_equal(table[: len(known)], tuned.start.params["embeddings"]["table"])
    start, warm = tuned.start.params, tuned.warm.params
    value = {"value_decoder", "value_head"}
    policy = {"action_decoder", "action_norm", "action_head", "encoder", "reader"}
    moved = {
        name
        for name in policy | value
        if not all(map(np.array_equal, jax.tree.leaves(start[name]), jax.tree.leaves(warm[name])))
    }
    assert moved == value


def test_old_statistics_go_on_and_new_ones_begin(tuned):
    count, signatures = tuned.after.statistics.count, tuned.policy.signatures
    seen = 3 * 8 * 5  # one rollout before training, and two iterations
    assert float(count[signatures.index(("beat", "metronome"))]) == pytest.approx(seen, rel=1e-3)
    shared = tuned.start.policy.signatures.index(signatures[0])
    assert float(count[0] - tuned.start.statistics.count[shared]) == pytest.approx(seen, rel=1e-3)


def test_old_and_new_words_learn_on_the_new_task(tuned):
    before, after = (np.asarray(state.params["embeddings"]["table"]) for state in (tuned.warm, tuned.after))
    changed = {word for word, a, b in zip(tuned.policy.vocabulary.words, before, after, strict=True) if np.any(a != b)}
    assert {"metronome", "elbow_flex", "muscle"} <= changed  # a quantity such as "beat" has a map, no vector
    assert "<pad>" not in changed
    assert "pusher" not in changed  # a word of the other body
    assert {"imitation", "policy_gradient", "value"} <= set(tuned.rows[-1])


def test_a_run_whose_recipe_names_no_such_checkpoint_is_refused(tmp_path):
    with pytest.raises(UserError, match="nowhere"):
        run_recipe(FinetuneRecipe(checkpoint=str(tmp_path / "nowhere"), task="elbow_pose"), "tune", root=tmp_path)
    assert not (tmp_path / "tune").exists()
    with pytest.raises(UserError, match="is not a run"):
        resume_run(tmp_path / "tune")


def test_an_expert_does_not_start_from_one_whose_words_its_body_lacks():
    recipe = ExpertRecipe("elbow_pose", steps=3200, start_from="finger_pose")
    with pytest.raises(
        UserError, match=r"'elbow_pose' cannot start from 'finger_pose': its network does read '.*' and"
    ):
        prepare(recipe, threads=1)


def test_an_expert_trains_on_shorter_episodes_than_the_task_s_and_is_saved_for_the_task_s_own():
    recipe = ExpertRecipe("elbow_pose", steps=3200, environments=64, horizon=10)
    short = dataclasses.replace(recipe.learner, rollout_steps=10)
    prepared = prepare(dataclasses.replace(recipe, learner=short), threads=1)
    assert [lane.environment.task.horizon for lane in prepared.learner.lanes] == [10]
    assert [t.horizon for t in prepared.tasks] == [task("elbow_pose").horizon] == [100]
    with pytest.raises(UserError, match=r"horizon is -1; control steps are accepted, or 0"):
        prepare(dataclasses.replace(recipe, horizon=-1), threads=1)
