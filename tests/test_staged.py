"""Arnold's loop at toy size: its stages in order, stopped and resumed, with the better teacher chosen."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from arnold import saved_policy, staged
from arnold.checkpoints import save_checkpoint
from arnold.cli.overrides import with_settings
from arnold.errors import UserError
from arnold.experiments.recipes import STAGED, expert_recipe
from arnold.learning.config import LearnerConfig
from arnold.policy.mlp import MlpActorCritic, MlpConfig
from arnold.recipe import DistillRecipe, FinetuneRecipe, LoopRecipe, TransferRecipe
from arnold.staged import Loop, Transfer, staged_from_json, staged_to_json
from arnold.tasks import Environment, task

pytestmark = pytest.mark.train

OBC = LearnerConfig(regime="obc", rollout_steps=5, epochs=1, minibatches=2, log_std=(-2.0, -3.0))
PPO = LearnerConfig(rollout_steps=5, epochs=1, minibatches=2)
TASKS = ("elbow_pose", "finger_pose")


@pytest.fixture(scope="module")
def loop(tmp_path_factory):
    """A loop over two bodies that runs to its end, interrupted after the first stage."""
    import jax

    root = tmp_path_factory.mktemp("loop")
    experts = []
    for name in TASKS:
        environment = Environment(task(name), threads=1)
        policy = MlpActorCritic(environment.observation_table, environment.action_table, MlpConfig(hidden=(8,)))
        content = {"params": policy.init(jax.random.key(1)), "statistics": policy.init_statistics()}
        config = saved_policy.describe(policy, (environment.task,))
        experts.append((name, str(save_checkpoint(root / f"{name}_expert", policy=content, config=config))))
    distillation = DistillRecipe(
        mixture=tuple((name, 8) for name in TASKS), steps=160, experts=tuple(experts), preset="tiny", learner=OBC
    )
    recipe = LoopRecipe(
        distillation,
        TASKS[:1],
        FinetuneRecipe("", "", steps=80, environments=8, learner=PPO, critic_warmup=1),
        dataclasses.replace(distillation, mixture=(), experts=()),
        episodes=4,
    )
    folder, said, finished = root / "whole", [], staged.run_recipe
    begun = staged.begin(recipe, folder, threads=1, note=said.append)

    def interrupted(stage_recipe, name, **options):
        if name == "self_distillation":
            raise KeyboardInterrupt
        return finished(stage_recipe, name, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(staged, "run_recipe", interrupted)
        patch.setattr(Loop, "_solved", lambda self, name, policy: 0.5 if "super_elbow" in policy else 0.25)
        with pytest.raises(KeyboardInterrupt):
            begun.run()
        patch.setattr(staged, "run_recipe", finished)
        trained = staged.reopen(folder, threads=1, note=said.append).run()
    return recipe, folder, said, trained


def test_stages_follow_one_another_and_a_resumed_loop_repeats_none(loop):
    _, folder, said, trained = loop
    begun = [line.removeprefix("stage ") for line in said if line.startswith("stage")]
    assert begun == [
        "generalist: beginning",
        "super_elbow_pose: beginning",
        "self_distillation: beginning",
        "generalist: done",
        "super_elbow_pose: done",
        "self_distillation: beginning",
    ]
    assert trained.ended.finished
    for stage in ("generalist", "super_elbow_pose", "self_distillation"):
        assert len(list((folder / stage).iterdir())) == 1
    assert sum(line.startswith("comparing") for line in said) == 1


def test_the_better_of_expert_and_super_expert_teaches_in_the_end(loop, tmp_path, monkeypatch):
    recipe, folder, _, trained = loop
    chosen = json.loads((folder / "experts.json").read_text())
    assert chosen["elbow_pose"]["teaches"] == 1
    experts = dict(trained.saved.config["recipe"]["experts"])
    assert experts["elbow_pose"] == chosen["elbow_pose"]["super_expert"]
    assert experts["finger_pose"] == dict(recipe.distillation.experts)["finger_pose"]
    monkeypatch.setattr(Loop, "_solved", lambda self, name, policy: 0.25 if policy == "worse" else 0.5)
    asked: list[str] = []
    compared = Loop(recipe=recipe, folder=tmp_path, note=asked.append)
    assert compared._better({"elbow_pose": "worse", "finger_pose": "better"}) == {}  # a draw changes nothing
    assert compared._better({"elbow_pose": "worse", "finger_pose": "better"}) == {}
    assert len(asked) == 2, "a comparison that was made is kept"


def test_self_distillation_goes_on_from_the_generalist(loop):
    _, folder, _, trained = loop
    (run,) = (folder / "generalist").iterdir()
    assert trained.saved.config["recipe"]["start_from"] == str(run)
    assert trained.saved.config["earlier"] == [
        {
            "task": "elbow_pose, finger_pose",
            "steps": 160,
            "wall_time_s": trained.saved.config["earlier"][0]["wall_time_s"],
        }
    ]
    before, after = saved_policy.load(run), trained.saved
    assert before.policy.vocabulary.words == after.policy.vocabulary.words
    (old, new) = (np.asarray(saved.params["embeddings"]["table"]) for saved in (before, after))
    assert 0.0 < np.abs(new - old).max() < 0.1


def test_a_loop_s_recipe_is_read_back_as_it_was_written():
    for recipe in STAGED.values():
        assert staged_from_json(json.loads(json.dumps(staged_to_json(recipe)))) == recipe


def test_a_stage_whose_checkpoints_are_all_damaged_is_not_begun_again(loop, tmp_path):
    _, folder, _, _ = loop
    shutil.copytree(folder, tmp_path / "copy")
    (run,) = (tmp_path / "copy/generalist").iterdir()
    for manifest in run.glob("checkpoints/step_*/manifest.json"):
        manifest.write_text("{")
    with pytest.raises(UserError, match="no good checkpoint"):
        staged.reopen(tmp_path / "copy").run()


def test_a_loop_resumed_by_a_relative_path_compares_nothing_again(loop, monkeypatch):
    _, folder, _, _ = loop
    monkeypatch.chdir(folder.parent)
    said: list[str] = []
    reopened = staged.reopen(Path(folder.name), note=said.append)
    (tuned,) = reopened._runs("super_elbow_pose")
    assert reopened._better({"elbow_pose": str(tuned)}) == {"elbow_pose": str(tuned)}
    assert said == []


def test_experts_of_stages_go_to_the_stages_that_ask_them():
    given = (("pen_reorient", "a"), ("elbow_pose", "b"))
    assert STAGED["arnold_full"].with_experts(given).distillation.experts == given
    transfer = STAGED["transfer"].with_experts(given)
    assert transfer.pretraining.experts == given[1:]
    assert transfer.learning_of("pen_reorient", "").experts == given[:1]
    assert transfer.learning_of("die_reorient", "").experts == ()
    with pytest.raises(UserError, match=r"for task 'pen_reorien'.*pen_reorient"):
        STAGED["transfer"].with_experts((("pen_reorien", "a"),))


def test_folders_and_recipes_that_do_not_fit_are_refused(loop, tmp_path):
    recipe, folder, _, _ = loop
    with pytest.raises(UserError, match="holds stages already; go on with --resume"):
        staged.begin(recipe, folder)
    with pytest.raises(UserError, match=r"holds no stages to resume: it has no recipe.json"):
        staged.reopen(tmp_path)
    with pytest.raises(UserError, match=r"super_experts names 'elbow_pos'.*elbow_pose"):
        dataclasses.replace(recipe, super_experts=("elbow_pos",))
    for settings, said in (("episodes=0", "episodes is 0"), ("finetuning.steps=5", "a stage has 5 steps")):
        with pytest.raises(UserError, match=said):
            staged.begin(with_settings(STAGED["arnold_full"], (settings,)), tmp_path / "none")
    changed = with_settings(STAGED["arnold_full"], ("distillation.network.lags=6", "distillation.preset=paper"))
    assert changed.distillation.configuration.lags == 6
    assert changed.distillation.configuration.width == 128
    (tmp_path / "recipe.json").write_text('{"super_experts": []}')
    with pytest.raises(UserError, match="not a recipe of stages"):
        staged.reopen(tmp_path)


def test_every_task_of_the_loop_has_a_recipe_for_its_expert():
    for name, _ in STAGED["arnold_full"].distillation.mixture:
        assert expert_recipe(name).task == name


def test_what_transfers_is_learned_twice_and_drawn(tmp_path, monkeypatch):
    """Stages are stood in for by runs of written metrics: which recipes they are given is what is looked at."""
    distillation = DistillRecipe(mixture=(("elbow_pose", 4),), steps=400, preset="tiny")
    recipe = TransferRecipe(
        distillation, ("finger_pose", "finger_reach"), dataclasses.replace(distillation, mixture=())
    )
    given = {}

    def stage(self, name, stage_recipe):
        given[name] = stage_recipe
        folder = self.folder / name
        folder.mkdir()
        learned = name.rpartition("_")[0]
        rows = [{"step": 10 * i, f"{learned}/solved": 0.1 * i} for i in range(5)]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return folder

    monkeypatch.setattr(Transfer, "_stage", stage)
    picture = staged.begin(recipe, tmp_path / "transfer").run()
    assert picture == tmp_path / "transfer/transfer.png"
    assert picture.stat().st_size > 5000
    assert list(given) == [
        "pretrained",
        *(f"{name}_{how}" for name in recipe.tasks for how in ("transferred", "scratch")),
    ]
    for name in recipe.tasks:
        transferred, scratch = given[f"{name}_transferred"], given[f"{name}_scratch"]
        assert transferred.start_from == str(tmp_path / "transfer/pretrained")
        assert transferred.mixture == ((name, 32),)
        assert scratch == dataclasses.replace(transferred, start_from="")
    with pytest.raises(UserError, match="tasks names elbow_pose, which the pretraining has"):
        dataclasses.replace(recipe, tasks=("elbow_pose",))
