"""Performance and synergies under perturbed muscles: beside plain evaluations, and where the change is known."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import TWO_MUSCLES, Moment, Probe, Ruling, network

from arnold.analysis.robustness import AXES, LEVELS, draw_robustness, probes, robustness
from arnold.checkpoints import save_checkpoint
from arnold.cli import main
from arnold.errors import UserError
from arnold.evaluation import Evaluator
from arnold.saved_policy import describe
from arnold.tasks import Environment, register_task
from arnold.tasks.perturbation import Perturbation

pandas = pytest.importorskip("pandas", reason="needs the extra analysis")
pytest.importorskip("sklearn", reason="needs the extra analysis")

pytestmark = pytest.mark.native

EPISODES = 12


def follows_the_cue(moment: Moment) -> Ruling:
    """Solved where the first muscle's activation is the cue's; an episode of a high cue fails at its third step."""
    near = jnp.abs(moment.activation - (moment.cue + 1.0) / 2.0) < 0.1
    return Ruling(1.0, failed=(moment.cue > 0.3) & (moment.steps >= 3.0), solved=near)


TASK = Probe(name="perturbed", body=TWO_MUSCLES, horizon=5, rule=follows_the_cue)
LEVELS_TRIED = {"fatigue": (0.3, 0.9), "delay": (0.1,), "noise": (0.5,), "weakness": (0.5,)}


def acting(of_the_cue: tuple[float, float], still: tuple[float, float] = (0.0, 0.0)):
    """A linear policy: each muscle's action is so much of the cue, and a constant."""
    policy = network(TASK)
    params = policy.init(jax.random.key(0))
    head = {"kernel": jnp.array([of_the_cue, (0.0, 0.0)]), "bias": jnp.array(still)}
    params["policy"]["head"] = {name: jnp.asarray(value, jnp.float32) for name, value in head.items()}
    return policy, (params, policy.init_statistics())


@pytest.fixture(scope="module")
def table():
    """Both muscles follow the cue."""
    policy, params = acting((1.0, 1.0))
    return robustness(policy, params, TASK, LEVELS_TRIED, episodes=EPISODES, seed=1, threads=1)


def row_of(table, name: str, level: float = 0.0):
    return table[(table["perturbation"] == name) & (table["level"] == level)].iloc[0]


@pytest.mark.parametrize(("name", "level"), [("intact", 0.0), ("fatigue", 0.9), ("delay", 0.1)])
def test_each_level_is_what_an_evaluation_of_it_says(table, name, level):
    """Though all levels run in one rollout."""
    policy, params = acting((1.0, 1.0))
    perturbation = Perturbation() if name == "intact" else Perturbation(**{name: level})
    environment = Environment(TASK, threads=1, perturbation=perturbation)
    evaluated = Evaluator(policy, TASK, environment=environment)(*params, episodes=EPISODES, seed=1)
    found = row_of(table, name, level)
    assert found["solved"] == pytest.approx(evaluated.solved_step_fraction)
    assert 1.96 * found["solved_error"] == pytest.approx(evaluated.confidence, rel=1e-3)
    assert (found["steps"], found["reward"]) == (np.mean(evaluated.steps), pytest.approx(np.mean(evaluated.reward)))
    assert set(evaluated.steps) == {3, 5}
    assert found["success"] == evaluated.success


def test_levels_stand_beside_the_intact_body(table):
    assert table["perturbation"].tolist() == ["intact", "fatigue", "fatigue", "delay", "noise", "weakness"]
    intact = row_of(table, "intact")
    assert intact["solved"] == pytest.approx((9 * 5 + 3 * 3) / (12 * 5)), "three episodes fail at their third step"
    assert (intact["captured"], intact["cosine"]) == (pytest.approx(1.0), pytest.approx(1.0))
    np.testing.assert_allclose(table["relative"], table["solved"] / intact["solved"])
    for name in ("fatigue", "delay", "noise"):
        assert table.loc[table["perturbation"] == name, "relative"].min() < 0.85
    assert row_of(table, "weakness", 0.5)["solved"] == intact["solved"], "the rule is of activation, not of force"
    assert row_of(table, "fatigue", 0.9)["solved"] < row_of(table, "fatigue", 0.3)["solved"]


def test_a_muscle_that_cannot_be_driven_changes_the_synergy_by_a_known_angle():
    """Both muscles together, (1, 1), become the first alone, (1, 0): 45 degrees, in which half of the variance is."""
    policy, params = acting((1.0, 1.0))
    found = robustness(
        policy, params, TASK, {"fatigue": (1.0,)}, muscles=("pusher",), episodes=EPISODES, share=0.95, threads=1
    )
    intact, tired = (row for _, row in found.iterrows())
    assert (intact["synergies"], tired["synergies"]) == (1, 1)
    assert tired["mean_angle"] == pytest.approx(45.0, abs=1.0)
    assert tired["captured"] == pytest.approx(0.5, abs=0.02)
    assert tired["cosine"] == pytest.approx(0.5**0.5, abs=0.02)
    assert intact["mean_angle"] == pytest.approx(0.0, abs=0.1)
    assert tired["solved"] == intact["solved"], "the first muscle does as it did"


def test_silent_muscles_have_no_synergies_and_it_says_so(tmp_path):
    policy, params = acting((0.0, 0.0), still=(-1.0, -1.0))
    found = robustness(policy, params, TASK, {"noise": (0.5,)}, episodes=2, threads=1)
    assert (found["note"] == "no muscle's activation moves").all()
    assert found[["synergies", "captured", "mean_angle", "cosine"]].isna().all(axis=None)
    assert draw_robustness(tmp_path / "silent.png", found).is_file()


def test_the_command_writes_table_and_picture(tmp_path, capsys):
    register_task(TASK)
    policy, (params, statistics) = acting((1.0, 1.0))
    weights = {"params": params, "statistics": statistics}
    folder = save_checkpoint(tmp_path / "policy", policy=weights, config=describe(policy, (TASK,)))
    words = ["analyze", "robustness", str(folder), "--episodes", "4", "--threads", "1", "--out", str(tmp_path / "out")]
    assert main([*words, "--perturb", "delay=0.1,0.05", "muscles=pu*"]) == 0
    said = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["delay", "0.05"] in [line[:2] for line in said]
    written = pandas.read_csv(tmp_path / "out" / "robustness.csv")
    assert written["level"].tolist() == [0.0, 0.05, 0.1]
    assert (tmp_path / "out" / "robustness.png").read_bytes()[:4] == b"\x89PNG"
    assert main([*words, "--perturb", "weakness=,"]) == 2
    assert "perturbation 'weakness' has no levels" in capsys.readouterr().err
    assert main([*words, "--perturb", "delay=late"]) == 2
    assert "delay=late: numbers with commas between them" in capsys.readouterr().err


def test_bad_input_is_one_clear_line():
    policy, params = acting((1.0, 1.0))
    with pytest.raises(UserError, match="unknown perturbation 'dealy'; did you mean 'delay'"):
        probes({"dealy": (0.1,)})
    with pytest.raises(UserError, match="no perturbation was given; accepted: weakness"):
        probes({})
    with pytest.raises(UserError, match=r"perturbation 'weakness' has no levels; give at least one, such as 0\.25"):
        probes({"delay": (0.1,), "weakness": ()})
    with pytest.raises(UserError, match=r"weakness is 2\.0; a share from 0 to 1"):
        probes({"weakness": (2.0,)})
    with pytest.raises(UserError, match="number of episodes is 1; at least 2"):
        robustness(policy, params, TASK, {"delay": (0.1,)}, episodes=1, threads=1)
    with pytest.raises(UserError, match=r"account for 90 of the variance; a share between 0 and 1"):
        robustness(policy, params, TASK, share=90, threads=1)
    with pytest.raises(UserError, match="has no muscle 'soleus'"):
        robustness(policy, params, TASK, {"delay": (0.1,)}, muscles=("soleus",), threads=1)


def test_every_perturbation_of_a_number_is_among_the_defaults():
    numbers = {field.name for field in dataclasses.fields(Perturbation)} - {"muscles"}
    assert set(AXES) == set(LEVELS) == numbers
