"""Policies that act within a subspace: projected wherever they are loaded, explored and trained within it, resumed."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import ONE_MUSCLE, TWO_MUSCLES, Moment, Probe, Ruling, network
from scipy.stats import multivariate_normal

from arnold import training
from arnold.analysis.bases import Basis, save_bases
from arnold.checkpoints import save_checkpoint
from arnold.checkpoints.series import numbered
from arnold.cli import main
from arnold.episodes import policy_agent
from arnold.errors import UserError
from arnold.evaluation import Evaluator
from arnold.experiments.recipes import FINETUNINGS
from arnold.learning.config import LearnerConfig
from arnold.learning.learner import Learner
from arnold.learning.losses import log_probability
from arnold.policy.generalist import TransformerActorCritic
from arnold.policy.introspection import Introspection
from arnold.policy.presets import preset
from arnold.policy.subspace import KEY, Subspace, confined, unconfined
from arnold.recipe import ExpertRecipe, FinetuneRecipe, from_json, to_json
from arnold.saved_policy import describe, load
from arnold.tasks import Environment, register_task

pytestmark = pytest.mark.train


def follows_the_cue(moment: Moment) -> Ruling:
    """The nearer the first muscle's activation to (cue + 1) / 2, the better."""
    off = jnp.abs(moment.activation - (moment.cue + 1.0) / 2.0)
    return Ruling(-off, solved=off < 0.1)


TASK = Probe(name="in_subspace", body=TWO_MUSCLES, rule=follows_the_cue)
ALIKE = dataclasses.replace(TASK, name="in_subspace_too")
OTHER_BODY = Probe(name="outside_subspace", body=ONE_MUSCLE, rule=follows_the_cue)
TOGETHER = np.array([[0.5, 0.5]]) ** 0.5
ITERATIONS = 16
MEAN = np.array([0.2, -0.1])
LEARNER = LearnerConfig(
    rollout_steps=6, minibatches=2, log_std=(-0.7, -1.5), learning_rate=2e-2, final_learning_rate=1e-2, discount=0.0
)


BASIS = Basis("own", ("puller", "pusher"), MEAN, np.array([[1.0, 1.0], [-1.0, 1.0]]) / 2**0.5, np.array([0.9, 1.0]))


def subspace() -> Subspace:
    """Both muscles together; the other direction is left out."""
    return BASIS.subspace(1, TASK.compile(), "a test")


def checkpoint(folder: Path) -> Path:
    """An untrained network of the task."""
    made = network(TASK, hidden=(8,))
    policy = {"params": made.init(jax.random.key(3)), "statistics": made.init_statistics()}
    return save_checkpoint(folder, policy=policy, config=describe(made, (TASK,), environment_steps=0))


class Trained(NamedTuple):
    """A run within one component, the file that this is from, and muscles' activations (rows, 2) in its rollouts."""

    ended: training.Trained
    bases: Path
    activations: np.ndarray

    @property
    def folder(self) -> Path:
        return self.ended.run.path

    @property
    def recipe(self) -> FinetuneRecipe:
        return from_json(self.ended.run.config)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    register_task(TASK)
    register_task(ALIKE)
    bases = save_bases(root / "bases.npz", {name: {"own": BASIS} for name in (TASK.name, ALIKE.name)})
    recipe = FinetuneRecipe(
        str(checkpoint(root / "start")),
        TASK.name,
        steps=ITERATIONS * 6 * 64,
        environments=64,
        learner=LEARNER,
        critic_warmup=2,
        subspace=str(bases),
        rank=1,
    )
    activations = []

    def look(state, metrics):
        activations.append(np.asarray(state.lanes[TASK.name].env.physics.act))

    run = training.run_recipe(recipe, "probe", root=root, threads=1, on_iteration=look, save_every_s=0.0)
    return Trained(run, bases, np.concatenate(activations))


# ---- the projection -------------------------------------------------------------------------------------------------


def test_the_mean_action_is_the_networks_projected_whatever_order_the_muscles_have():
    net, environment = network(TASK, hidden=(8,)), Environment(TASK, threads=1)
    params, statistics = net.init(jax.random.key(0)), net.init_statistics()
    params["policy"]["head"]["kernel"] *= 100.0  # an untrained network hardly acts
    policy, within = confined(net, params, subspace())
    values = jax.random.normal(jax.random.key(1), (1, 30, 2, 1))
    tables = environment.observation_table, environment.action_table
    whole = np.asarray(jax.jit(net.apply)(params, statistics, net.bind([tables]), values).mean[0])
    expected = MEAN + (whole - MEAN) @ TOGETHER.T @ TOGETHER
    apply = jax.jit(policy.apply)
    mean = apply(within, statistics, policy.bind([tables]), values).mean[0]
    np.testing.assert_allclose(mean, expected, atol=1e-6)
    assert np.abs(whole - expected).max() > 0.1, "the projection takes something away"
    turned = tables[0], type(tables[1])(tables[1].tokens[::-1])
    mean = apply(within, statistics, policy.bind([turned]), values).mean[0]
    np.testing.assert_allclose(mean, expected[:, ::-1], atol=1e-6)


def test_a_generalist_acts_with_other_bodies_as_it_did():
    tables = [
        (e.observation_table, e.action_table) for e in (Environment(t, threads=1) for t in (TASK, ALIKE, OTHER_BODY))
    ]
    net = TransformerActorCritic.for_tasks(preset("tiny"), tables)
    params, statistics = net.init(jax.random.key(0)), net.init_statistics()
    policy, within = confined(net, params, subspace())
    values = jax.random.normal(jax.random.key(1), (1, 5, 2, net.lags))

    @jax.jit
    def outputs(params, within):
        pairs = ((net, params), (policy, within))
        means = [p.apply(q, statistics, p.bind(tables[2:]), values).mean for p, q in pairs]
        memories = [Introspection(p, tables[0]).memory((q, statistics), values[0]) for p, q in pairs]
        of_both = policy.apply(within, statistics, policy.bind(tables[:2]), jnp.tile(values, (2, 1, 1, 1))).mean
        return means, memories, of_both

    means, memories, of_both = outputs(params, within)
    np.testing.assert_array_equal(*means)
    np.testing.assert_array_equal(*memories, err_msg="what records latents opens it, too")
    away = np.asarray(of_both) - MEAN
    np.testing.assert_allclose(away[..., 0], away[..., 1], atol=1e-6)


def test_what_is_drawn_is_executed_within_the_subspace():
    environment = Environment(TASK, threads=1)
    policy, params = confined(network(TASK), network(TASK).init(jax.random.key(0)), subspace())
    act = policy_agent(policy, environment, deterministic=False)
    actions = act((params, policy.init_statistics()), jnp.zeros((200, 2, 1)), jax.random.key(1))
    away = np.asarray(actions) - MEAN
    np.testing.assert_allclose(away[:, 0], away[:, 1], atol=1e-6)
    spread = float(np.exp(params["log_std"][0]))
    assert (away @ TOGETHER[0]).std() == pytest.approx(spread, rel=0.15), "noise of one coordinate, not less"


def test_ratios_of_ppo_are_those_of_the_gaussian_of_the_coordinates():
    random = np.random.default_rng(0)
    components = np.linalg.qr(random.normal(size=(5, 2)))[0].T
    mean, other = (random.normal(size=(1, 2)) @ components for _ in range(2))
    drawn = mean + 0.3 * random.normal(size=(7, 5))
    given = [jnp.asarray(x[None], jnp.float32) for x in (mean.repeat(7, 0), other.repeat(7, 0), drawn)]
    log_std = jnp.full((1, 5), np.log(0.3), jnp.float32)
    ours = [log_probability(m, log_std, given[2])[0] for m in given[:2]]
    theirs = [multivariate_normal((m @ components.T)[0], 0.09).logpdf(drawn @ components.T) for m in (mean, other)]
    np.testing.assert_allclose(ours[1] - ours[0], theirs[1] - theirs[0], atol=1e-4)


def test_exploration_while_training_is_within_the_subspace(trained):
    """Excitation is (action + 1) / 2, and muscles follow within a control step: they stay apart as their means are."""
    free = ((trained.activations > 0.02) & (trained.activations < 0.98)).all(axis=1)  # of the ends of their range
    apart = np.diff(trained.activations[free], axis=1)
    assert len(apart) > 300
    np.testing.assert_allclose(apart, np.diff(MEAN)[0] / 2.0, atol=0.01)
    assert trained.activations[free, 0].std() > 0.1


# ---- training, checkpoints ------------------------------------------------------------------------------------------


def test_it_learns_within_the_subspace_and_the_checkpoint_has_it(trained):
    again, environment = load(trained.folder), Environment(TASK, threads=1)
    assert (again.subspace.rank, again.subspace.about["source"]) == (1, f"{TASK.name}/own of bases.npz")
    np.testing.assert_array_equal(again.subspace.components, np.float32(TOGETHER))
    np.testing.assert_array_equal(again.subspace.mean, np.float32(MEAN))
    evaluated = Evaluator(again.policy, TASK, environment=environment)(again.params, again.statistics, episodes=100)
    assert evaluated.solved_step_fraction > 0.4, "a still action solves a fifth at most"
    act = policy_agent(again.policy, environment)
    away = np.asarray(act((again.params, again.statistics), jnp.full((1, 2, 1), 0.5), jax.random.key(0))) - MEAN
    np.testing.assert_allclose(away[:, 0], away[:, 1], atol=1e-6)


def test_a_resumed_run_goes_on_bit_for_bit_without_the_file(trained, tmp_path):
    """A copy that was stopped an iteration earlier."""
    run = tmp_path / "runs" / trained.folder.name
    shutil.copytree(trained.folder, run)
    newest, before, *_ = numbered(run / "checkpoints")
    shutil.rmtree(newest)
    (run / "checkpoints" / "LATEST").write_text(before.name + "\n")
    moved = trained.bases.rename(tmp_path / "elsewhere.npz")
    try:
        resumed = training.resume_run(run, threads=1).ended
    finally:
        moved.rename(trained.bases)
    assert int(resumed.state.iteration) == ITERATIONS
    for one, other in zip(*(jax.tree.leaves(r.state.params) for r in (trained.ended.ended, resumed)), strict=True):
        np.testing.assert_array_equal(one, other)
    assert load(run).config == load(trained.folder).config


def test_fine_tuning_again_stays_within_and_another_basis_takes_the_place(trained, monkeypatch):
    monkeypatch.setattr(Learner, "initial_state", lambda self, key, params, statistics: params)
    goes_on = FinetuneRecipe(str(trained.folder), TASK.name, steps=6 * 8, environments=8, learner=LEARNER)
    made = training.prepare(goes_on, threads=1)
    _, _, within = unconfined(made.learner.policy, made.initial())
    np.testing.assert_array_equal(within.components, np.float32(TOGETHER))
    wider = dataclasses.replace(goes_on, subspace=str(trained.bases), rank=2, basis=f"{ALIKE.name}/own")
    assert training.prepare(wider, threads=1).initial()[KEY]["components"].shape == (2, 2)
    assert from_json(to_json(wider)) == wider


def test_nothing_but_fine_tuning_goes_on_from_it(trained):
    expert = ExpertRecipe(TASK.name, steps=6 * 8, environments=8, learner=LEARNER, start_from=str(trained.folder))
    with pytest.raises(UserError, match=r"acts within 1 components of its action; only `arnold finetune` goes on"):
        training.prepare(expert, threads=1)


def test_commands_say_it(trained, capsys, monkeypatch):
    assert main(["info", str(trained.folder)]) == 0
    said = capsys.readouterr().out
    assert (
        "acts within: the first 1 of 2 components of the actions of 2 muscles, 90.0 % of their variance "
        f"({TASK.name}/own of bases.npz)" in said
    )
    assert "hidden layers [8]), 77 parameters" in said, "2 x (2 x 8 + 8), heads 18 and 9, 2 of the noise: none of it"
    asked = []

    def ask(recipe, *_, **__):
        asked.append(recipe)
        raise UserError("asked")

    monkeypatch.setattr(training, "run_recipe", ask)
    given = ["finetune", str(trained.folder), TASK.name]
    main([*given, "--subspace", str(trained.bases), "--rank", "2", "--basis", "pooled"])
    assert (asked[0].subspace, asked[0].rank, asked[0].basis) == (str(trained.bases), 2, "pooled")
    for words, error in (
        (["--subspace", str(trained.bases)], "how many components of the subspace are to be kept?"),
        (["--rank", "2"], "a rank or a basis and no subspace"),
    ):
        capsys.readouterr()
        assert main([*given, *words]) == 2
        assert error in capsys.readouterr().err
    assert len(asked) == 1


def test_a_recipe_that_ships_says_where_its_components_come_from():
    with pytest.raises(UserError, match=r"cannot read bases from .*hand_index_reach.*`arnold analyze subspace` wrote"):
        training.prepare(FINETUNINGS["hand_index_reach_subspace"], threads=1)


def test_bad_input_is_one_clear_line(trained, tmp_path):
    for change, said in (
        ({"rank": 3}, "3 components of basis 'own' were asked for; 1 to 2 are accepted"),
        ({"basis": "pooled"}, f"has no basis '{TASK.name}/pooled'; did you mean '{TASK.name}/own'"),
        ({"subspace": str(tmp_path / "none.npz")}, "cannot read bases from"),
    ):
        with pytest.raises(UserError, match=said):
            training.prepare(dataclasses.replace(trained.recipe, **change), threads=1)
    with pytest.raises(UserError, match=r"not of the muscles of body 'probe': pusher differ"):
        BASIS.subspace(1, OTHER_BODY.compile(), "")
    with pytest.raises(UserError, match="components of a subspace are not orthonormal"):
        dataclasses.replace(subspace(), components=np.ones((1, 2)))
    with pytest.raises(UserError, match=r"a mean \(2,\) and components \(3, 2\)"):
        dataclasses.replace(subspace(), components=np.ones((3, 2)))
