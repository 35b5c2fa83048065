"""Evaluation on a probe whose every episode is known beforehand, and the files that it writes."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import statistics as textbook

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import Moment, Probe, Ruling, network

from arnold.errors import UserError
from arnold.evaluation import Comparison, Evaluation, Evaluator, bar_lines, markdown_table, write_evaluation
from arnold.policy import normaliser

HORIZON, EPISODES = 6, 32


def fails_at_the_third_step_where_the_cue_is_positive(moment: Moment) -> Ruling:
    """Every second step is solved; a reward of 1 per step, and the activation on top."""
    even = jnp.mod(moment.steps, 2.0) == 0.0
    return Ruling(1.0 + moment.activation, failed=(moment.cue > 0.0) & (moment.steps >= 3.0), solved=even)


@dataclasses.dataclass(frozen=True)
class Bench:
    """An evaluator, and one that samples, with the parameters and statistics of their network."""

    evaluator: Evaluator
    sampler: Evaluator
    params: dict
    statistics: normaliser.ObservationStatistics

    def __call__(self, seed: int) -> Evaluation:
        return self.evaluator(self.params, self.statistics, EPISODES, seed)


@pytest.fixture(scope="module")
def bench():
    task = Probe(name="known", horizon=HORIZON, rule=fails_at_the_third_step_where_the_cue_is_positive)
    policy = network(task)
    params = policy.init(jax.random.key(0))
    params["policy"]["head"] = {"kernel": jnp.array([[1.0], [0.0]]), "bias": jnp.array([0.0])}  # the action is the cue
    made = Evaluator(policy, task, threads=1)
    sampler = Evaluator(policy, task, environment=made.environment, deterministic=False)
    return Bench(made, sampler, params, policy.init_statistics())


@pytest.fixture(scope="module")
def result(bench):
    return bench(seed=5)


@pytest.mark.native
def test_only_the_first_episode_of_each_environment_counts(result):
    assert set(result.steps) == {3, HORIZON}
    for steps, solved in zip(result.steps, result.solved_steps, strict=True):
        assert solved == steps // 2
    short = np.array(result.steps) == 3
    assert 0.2 < short.mean() < 0.8  # half of the cues are positive


@pytest.mark.native
def test_an_episode_that_ends_early_counts_its_missing_steps_as_unsolved(result):
    expected = np.mean([1 / HORIZON if steps == 3 else 3 / HORIZON for steps in result.steps])
    assert result.solved_step_fraction == pytest.approx(expected)
    assert result.success == 1.0
    assert result.summary()["mean_steps"] == np.mean(result.steps)


@pytest.mark.native
def test_the_mean_action_drives_and_its_reward_is_summed_over_the_episode(result):
    """The action is the cue c in standard deviations of the initial statistics (1), and c + 1 over 2 its activation."""
    for steps, reward in zip(result.steps, result.reward, strict=True):
        cue = 2.0 * (reward / steps - 1.0) - 1.0
        assert (cue > 0.0) == (steps == 3) or abs(cue) < 0.05
        assert -1.05 < cue < 1.05
    assert np.std(result.reward) > 0.1


@pytest.mark.native
def test_a_seed_gives_its_episodes_again_and_another_seed_gives_others(bench, result):
    assert bench(seed=5) == result
    assert bench(seed=6).reward != result.reward


@pytest.mark.native
def test_statistics_are_read_and_never_changed(bench, result):
    before = jax.tree.map(np.array, (bench.params, bench.statistics))
    narrow = dataclasses.replace(bench.statistics, m2=0.25 * bench.statistics.m2)  # half the spread doubles the action
    doubled = bench.evaluator(bench.params, narrow, EPISODES, seed=5)
    assert doubled.steps == result.steps
    assert doubled.reward != result.reward
    assert all(map(np.array_equal, jax.tree.leaves(before), jax.tree.leaves((bench.params, bench.statistics))))


@pytest.mark.native
def test_sampled_actions_are_taken_only_where_asked_for(bench, result):
    sampled = bench.sampler(bench.params, bench.statistics, EPISODES, seed=5)
    assert sampled.steps == result.steps  # the same cues
    assert sampled.reward != result.reward
    assert (sampled.deterministic, result.deterministic) == (False, True)


@pytest.mark.native
def test_fewer_than_one_episode_is_refused(bench):
    with pytest.raises(UserError, match="episodes is 0"):
        bench.evaluator(bench.params, bench.statistics, episodes=0)


def made(*solved: int, task: str = "known", horizon: int = 10) -> Evaluation:
    """An evaluation with these solved steps."""
    count = len(solved)
    return Evaluation(task, horizon, solved, (horizon,) * count, tuple(map(float, solved)), seed=0, deterministic=True)


@pytest.mark.unit
def test_the_interval_is_the_textbook_s():
    solved = (3, 9, 4, 10, 0, 7)
    z = textbook.NormalDist().inv_cdf(0.975)
    expected = z * textbook.stdev(x / 10 for x in solved) / math.sqrt(len(solved))
    assert made(*solved).confidence == pytest.approx(expected, rel=1e-6)
    assert math.isnan(made(3).confidence)


@pytest.mark.unit
def test_success_is_the_share_of_episodes_that_solved_a_step():
    assert made(0, 0, 1, 9).success == 0.5


@pytest.mark.unit
def test_a_student_is_compared_with_its_expert_by_solved_steps():
    assert Comparison(made(4, 6), made(8, 8)).relative == pytest.approx(5 / 8)
    assert math.isnan(Comparison(made(4, 6)).relative)
    assert math.isnan(Comparison(made(4, 6), made(0, 0)).relative)


@pytest.mark.unit
def test_a_missed_bar_is_named_with_what_was_reached():
    comparisons = [Comparison(made(4, 6), made(8, 8)), Comparison(made(9, 9, task="other"), made(9, 9))]
    (line,) = bar_lines(comparisons, {"known": 0.85, "other": 0.95})
    assert "known reached 62.5 %" in line
    assert "85 % was asked" in line
    assert bar_lines(comparisons, {"known": 0.6}) == ["Every bar was reached (1 of 1)."]
    assert bar_lines(comparisons, {}) == []


@pytest.mark.unit
def test_the_table_shows_percentages_with_their_intervals():
    table = markdown_table([Comparison(made(4, 6), made(8, 8)), Comparison(made(1, 1, task="alone"))])
    _, _, first, second = table.splitlines()
    assert "| known | 2 | 50.0 ± 19.6 % | 80.0 ± 0.0 % | 62.5 % |" in first
    assert second.startswith("| alone | 2 | 10.0 ± 0.0 % |  |  |")


@pytest.mark.unit
def test_an_evaluation_is_written_as_strict_json_csv_and_markdown(tmp_path):
    comparisons = [Comparison(made(4, 6), made(8, 8)), Comparison(made(1, 3, task="alone"))]
    paths = write_evaluation(tmp_path / "deep" / "folder", comparisons, {"policy": "mine"})

    def refuse(constant: str):
        raise AssertionError(f"{constant} is no JSON")

    detail = json.loads(paths[0].read_text(), parse_constant=refuse)
    assert detail["policy"] == "mine"
    assert detail["tasks"][0]["student"]["per_episode"]["solved_steps"] == [4, 6]
    assert detail["tasks"][1]["expert"] is None
    rows = list(csv.DictReader(paths[1].read_text().splitlines()))
    assert [row["task"] for row in rows] == ["known", "alone"]
    assert float(rows[0]["relative_to_expert"]) == pytest.approx(0.625)
    assert rows[1]["expert_solved_step_fraction"] == ""
    assert paths[2].read_text() == markdown_table(comparisons)


@pytest.mark.unit
def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file"):
        write_evaluation(tmp_path / "file", [Comparison(made(1, 2))], {})
