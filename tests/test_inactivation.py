"""Control subspace inactivation: a policy whose subspace is known, side by side with plain evaluation; bad input."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import TWO_MUSCLES, Moment, Probe, Ruling, network

from arnold.analysis.bases import Basis, load_basis, save_bases
from arnold.analysis.inactivation import Inactivation, Outcomes, draw_inactivation, rank_needed
from arnold.analysis.muscle_signals import MuscleSignals
from arnold.checkpoints import save_checkpoint
from arnold.cli import main
from arnold.errors import UserError
from arnold.evaluation import Evaluator
from arnold.saved_policy import describe
from arnold.tasks import Environment, register_task

pandas = pytest.importorskip("pandas", reason="needs the extra analysis")
pytest.importorskip("sklearn", reason="needs the extra analysis")

pytestmark = pytest.mark.native

EPISODES, HORIZON = 40, 5


def follows_the_cue(moment: Moment) -> Ruling:
    """Solved where the first muscle's activation is the cue's, (cue + 1) / 2; an episode of a high cue
    fails at its third step."""
    near = jnp.abs(moment.activation - (moment.cue + 1.0) / 2.0) < 0.1
    return Ruling(1.0, failed=(moment.cue > 0.8) & (moment.steps >= 3.0), solved=near)


TASK = Probe(name="follows", body=TWO_MUSCLES, horizon=HORIZON, rule=follows_the_cue)
OTHER = dataclasses.replace(TASK, name="follows_too")


def acting(
    first: tuple[float, float], clock: tuple[float, float] = (0.0, 0.0), still: tuple[float, float] = (0.0, 0.0)
):
    """A linear policy: each muscle's action is so much of the cue, so much of the clock, and a constant."""
    policy = network(TASK)
    params = policy.init(jax.random.key(0))
    head = {"kernel": jnp.array([first, clock]), "bias": jnp.array(still)}
    params["policy"]["head"] = {name: jnp.asarray(value, jnp.float32) for name, value in head.items()}
    return policy, (params, policy.init_statistics())


@pytest.fixture(scope="module")
def environment() -> Environment:
    return Environment(TASK, threads=1)


@pytest.fixture(scope="module")
def runs(environment):
    """The first muscle follows the cue; the second, which does not matter, moves the more with the clock."""
    policy, params = acting((1.0, 0.0), (0.0, 3.0))
    made = Inactivation(policy, environment)
    actions, outcomes = made.actions(params, EPISODES, seed=0)
    return made, params, actions, outcomes


@pytest.fixture(scope="module")
def table(runs):
    made, params, actions, _ = runs
    return made.curve(params, [Basis.of("own", actions)], EPISODES, seed=1)


def test_the_whole_action_does_what_evaluation_says(runs, environment, table):
    _, params, _, outcomes = runs
    policy, _ = acting((1.0, 0.0), (0.0, 3.0))
    evaluated = Evaluator(policy, TASK, environment=environment)(*params, episodes=EPISODES, seed=0)
    assert outcomes.solved[0] == pytest.approx(evaluated.solved_step_fraction)
    assert tuple(outcomes.steps[0]) == evaluated.steps
    assert set(evaluated.steps) == {3, HORIZON}
    assert outcomes.error[0] * 1.96 == pytest.approx(evaluated.confidence, rel=1e-3)


def test_all_components_are_the_whole_action_on_the_same_episodes(table):
    whole = table[table["basis"] == "none"].iloc[0]
    last = table[(table["basis"] == "own") & (table["rank"] == 2)].iloc[0]
    for column in ("solved", "reward", "steps", "success"):
        assert whole[column] == pytest.approx(last[column])
    assert whole["solved"] > 0.9
    assert last["explained"] == pytest.approx(1.0)
    assert (last["relative"], last["relative_error"]) == (pytest.approx(1.0), pytest.approx(0.0, abs=1e-9))


def test_performance_is_relative_to_the_same_episodes():
    """Half of what the whole action solves, in each episode: exactly a half, though episodes differ."""
    solved = np.array([[0, 2, 4, 10], [0, 1, 2, 5], [2, 2, 2, 2]])
    made = Outcomes(solved, np.full((3, 4), 10), np.zeros((3, 4)), 10)
    np.testing.assert_allclose(made.relative, [1.0, 0.5, 0.5])
    np.testing.assert_allclose(made.relative_error[:2], 0.0)
    assert made.relative_error[2] == pytest.approx(np.array([2.0, 1.0, 0.0, -3.0]).std(ddof=1) / 2.0 / 4.0)


def test_variance_explained_is_not_performance(table):
    """The first component is the muscle that does not matter: most of the variance, and what a still action solves."""
    own = table[table["basis"] == "own"].set_index("rank")
    assert own.index.tolist() == [0, 1, 2]
    assert own.loc[1, "explained"] > 0.6
    assert own.loc[1, "solved"] == pytest.approx(own.loc[0, "solved"], abs=0.05)
    assert own.loc[0, "solved"] == pytest.approx(0.2, abs=0.15), "|cue| < 0.2 is a fifth of the cues"
    needed = rank_needed(table).iloc[0]
    assert (needed["rank"], needed["note"]) == (2, "")
    assert needed["explained"] == pytest.approx(1.0)


def test_a_component_that_matters_is_enough(environment):
    policy, params = acting((1.0, -1.0))
    made = Inactivation(policy, environment)
    actions, _ = made.actions(params, EPISODES)
    basis = Basis.of("own", actions)
    np.testing.assert_allclose(np.abs(basis.components[0]), [0.5**0.5] * 2, atol=1e-6)
    own = made.curve(params, [basis], EPISODES, ranks=(1,)).set_index(["basis", "rank"])
    assert own.loc[("own", 1), "solved"] == pytest.approx(own.loc[("none", 2), "solved"])
    assert own.loc[("own", 1), "explained"] == pytest.approx(1.0)
    assert ("own", 0) not in own.index


def test_a_muscle_that_never_moves_is_held_at_its_mean(environment):
    policy, params = acting((1.0, 0.0), still=(0.0, 0.4))
    made = Inactivation(policy, environment)
    actions, _ = made.actions(params, EPISODES)
    basis = Basis.of("own", actions)
    assert actions.silent == ("pusher",)
    assert basis.components.shape == (1, 2)
    assert basis.mean[1] == pytest.approx(0.4)
    solved = made.curve(params, [basis], EPISODES)["solved"]
    assert solved.iloc[-1] == pytest.approx(solved.iloc[0]), "its one component is the whole action"


def test_sampled_actions_are_projected_and_components_are_of_the_means(environment):
    policy, params = acting((1.0, 0.0), (0.0, 3.0))
    sampled, means = Inactivation(policy, environment, deterministic=False), Inactivation(policy, environment)
    ours, theirs = sampled.actions(params, EPISODES)[0], means.actions(params, EPISODES)[0]
    np.testing.assert_allclose(ours.values, theirs.values, atol=1e-6)  # of the cue and the clock alone
    solved = sampled.curve(params, [Basis.of("own", ours)], EPISODES)["solved"].iloc[0]
    assert 0.1 < solved < 0.8, "noise of exp(-0.7) or so does not leave the action what it was"


# ---- several tasks, bad input ---------------------------------------------------------------------------------------


def test_tasks_of_one_body_are_pooled_and_written(tmp_path, capsys):
    register_task(TASK)
    register_task(OTHER)
    policy, (params, statistics) = acting((1.0, 0.0), (0.0, 3.0))
    weights = {"params": params, "statistics": statistics}
    save_checkpoint(tmp_path / "probe", policy=weights, config=describe(policy, (TASK, OTHER)))
    given = ["analyze", "subspace", str(tmp_path / "probe"), "--episodes", "20", "--out", str(tmp_path / "out")]
    assert main(given) == 0
    said = capsys.readouterr().out
    assert "follows_too" in said
    assert ["follows_too", "pooled"] in [line.split()[:2] for line in said.splitlines()]
    shown = next(line.split() for line in said.splitlines() if line.startswith("follows "))
    assert shown[4] == "2", "own rank that is needed"
    written = pandas.read_csv(tmp_path / "out" / "subspace.csv", keep_default_na=False)
    assert written.groupby(["task", "basis"]).size().to_dict() == {
        (task, basis): count
        for task in ("follows", "follows_too")
        for basis, count in (("none", 1), ("own", 3), ("pooled", 3))
    }
    assert (tmp_path / "out" / "subspace.png").read_bytes()[:4] == b"\x89PNG"
    basis = load_basis(tmp_path / "out" / "bases.npz", "follows", "pooled")
    np.testing.assert_allclose(basis.components @ basis.components.T, np.eye(2), atol=1e-9)
    with pytest.raises(UserError, match="no basis 'follow/own'; did you mean 'follows/own'"):
        load_basis(tmp_path / "out" / "bases.npz", "follow")


def test_a_policy_that_solves_nothing_gets_no_rank(runs, tmp_path):
    nothing = pandas.DataFrame(
        [("t", "none", 2, 1.0, 0.0, 0.0), ("t", "own", 1, 0.9, 0.0, 0.0), ("t", "own", 2, 1.0, 0.0, 0.0)],
        columns=["task", "basis", "rank", "explained", "solved", "solved_error"],
    ).assign(relative=np.nan, relative_error=np.nan)
    needed = rank_needed(nothing).iloc[0]
    assert needed["note"] == "the whole action solves nothing"
    assert needed[["rank", "explained", "solved_95", "rank_correlation"]].isna().all()
    assert draw_inactivation(tmp_path / "nothing.png", nothing).is_file()


def test_bad_input_is_one_clear_line(runs, tmp_path):
    made, params, actions, _ = runs
    with pytest.raises(UserError, match="2 samples of 2 muscles do not give all 2 components; at least 3"):
        Basis.of("own", dataclasses.replace(actions, values=actions.values[[0, 9]], trial=np.zeros(2, int)))
    still = MuscleSignals("still", ("a", "b"), np.zeros((9, 2)), np.zeros(9, int), signal="action")
    with pytest.raises(UserError, match="all 2 muscles are silent"):
        Basis.of("own", still)
    basis = Basis.of("own", dataclasses.replace(actions, muscles=("a", "b")))
    with pytest.raises(UserError, match=r"basis 'own' and task 'follows' differ in muscles \(a, b, puller, pusher\)"):
        made.curve(params, [basis], EPISODES)
    with pytest.raises(UserError, match="number of episodes is 1; at least 2"):
        made.actions(params, 1)
    with pytest.raises(UserError, match="-1 components cannot be kept"):
        made.curve(params, [Basis.of("own", actions)], EPISODES, ranks=(-1,))
    (tmp_path / "bases.npz").write_bytes(b"PK\x03\x04")
    for path in (tmp_path / "bases.npz", tmp_path / "none.npz"):
        with pytest.raises(UserError, match=f"cannot read bases from '{path}'"):
            load_basis(path, "follows")


def test_bases_survive_the_file(runs, tmp_path):
    basis = Basis.of("own", runs[2])
    again = load_basis(save_bases(tmp_path / "b.npz", {"follows": {"own": basis}}), "follows")
    assert again.muscles == basis.muscles
    np.testing.assert_array_equal(again.projection(1), basis.projection(1))
