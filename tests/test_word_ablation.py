"""Words that are taken away, exchanged or met on another body: beside plain evaluations of the same parameters."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import two_arms
from probes import network
from two_arms import ELSEWHERE, EPISODES, NAMES, TASK, with_words

from arnold.errors import UserError
from arnold.evaluation import Evaluator
from arnold.policy.generalist import TransformerActorCritic
from arnold.policy.subspace import Subspace, confined
from arnold.saved_policy import SavedPolicy, describe

pytest.importorskip("pandas", reason="needs the extra analysis")
pytest.importorskip("sklearn", reason="needs the extra analysis")
pytest.importorskip("xarray", reason="needs the extra analysis")

from arnold.analysis.word_ablation import WordAblation, exchanged_words
from arnold.analysis.word_transfer import zero_shot

pytestmark = pytest.mark.native

environment, elsewhere, made = two_arms.environment, two_arms.elsewhere, two_arms.made  # fixtures


@pytest.fixture(scope="module")
def ablation(environment, made) -> WordAblation:
    return WordAblation(made[0], environment, rows=4 * EPISODES)


@pytest.fixture(scope="module")
def evaluate(environment, made) -> Evaluator:
    return Evaluator(made[0], TASK, environment=environment)


def test_ablating_a_word_is_evaluating_without_it_and_one_that_is_not_used_changes_nothing(made, ablation, evaluate):
    policy, params = made
    table = ablation.ablate(params, ["flexa", "puller", "right"], episodes=EPISODES, seed=2).set_index("word")
    assert table.index.tolist() == ["(intact)", "flexa", "puller", "right"]
    same = ["solved", "change", "reward", "steps", "success"]
    assert (table.loc["puller", same] == table.loc["(intact)", same]).all(), "to the last bit"
    assert (table.loc["puller", "tokens"], table.loc["puller", "muscles"]) == (0, 0)
    assert (table.loc["flexa", "tokens"], table.loc["flexa", "muscles"]) == (2, 2)
    assert table.loc["right", "muscles"] == 6
    for word in ("(intact)", "flexa", "right"):
        changed = {} if word == "(intact)" else {word: np.zeros(8)}
        lacking = with_words(params[0], policy.vocabulary, changed)
        expected = evaluate(lacking, params[1], EPISODES, seed=2)
        assert table.loc[word, "solved"] == pytest.approx(expected.solved_step_fraction)
        assert table.loc[word, "reward"] == pytest.approx(np.mean(expected.reward), rel=1e-5)
    assert table.loc["flexa", "reward"] != table.loc["(intact)", "reward"]


def test_a_policy_within_a_subspace_is_ablated_as_it_acts(environment, made):
    policy, (params, statistics) = made
    components = np.linalg.qr(np.random.default_rng(6).normal(size=(12, 2)))[0].T
    subspace = Subspace(environment.action_table.signatures, np.linspace(-0.5, 0.5, 12), components)
    within, confined_params = confined(policy, params, subspace)
    ablation = WordAblation(within, environment)
    table = ablation.ablate((confined_params, statistics), ["flexa"], episodes=EPISODES).set_index("word")
    evaluate = Evaluator(within, TASK, environment=environment)
    for word, changed in (("(intact)", {}), ("flexa", {"flexa": np.zeros(8)})):
        lacking = with_words(confined_params, policy.vocabulary, changed)
        expected = evaluate(lacking, statistics, EPISODES, 0)
        assert table.loc[word, "reward"] == pytest.approx(np.mean(expected.reward), rel=1e-5)
    free = Evaluator(policy, TASK, environment=environment)(params, statistics, EPISODES, 0)
    assert abs(table.loc["(intact)", "reward"] - np.mean(free.reward)) > 0.01, "the projection takes something away"
    assert (table.loc["flexa", "tokens"], table.loc["flexa", "muscles"]) == (2, 2)


def test_all_words_of_a_task_are_ablated_some_at_a_time(made, ablation, evaluate):
    policy, params = made
    assert set(ablation.words) == {*NAMES, "left", "right", "muscle", "activation", "hinge", "joint"}
    lines: list[str] = []
    table = ablation.ablate(params, episodes=EPISODES, note=lines.append)
    assert lines == [f"{n} of 13 vocabularies, {EPISODES} episodes each" for n in (4, 8, 12, 13)]
    assert table["word"].tolist() == ["(intact)", *ablation.words]
    last = with_words(params[0], policy.vocabulary, {ablation.words[-1]: np.zeros(8)})
    expected = evaluate(last, params[1], EPISODES, 0)
    assert table["reward"].iloc[-1] == pytest.approx(np.mean(expected.reward), rel=1e-5)
    np.testing.assert_allclose(table["change"], table["solved"] - table["solved"][0], atol=1e-12)


def test_a_word_is_replaced_by_the_mean_of_all_or_of_its_kind(made, ablation, evaluate):
    policy, params = made
    table = np.asarray(params[0]["embeddings"]["table"])
    sides = np.mean([table[policy.vocabulary.id(side)] for side in ("left", "right")], axis=0)
    for by, vector in (("category", sides), ("mean", table[2:].mean(axis=0))):
        expected = evaluate(with_words(params[0], policy.vocabulary, {"right": vector}), params[1], EPISODES, 0)
        measured = ablation.ablate(params, ["right", "flexa", "flexb"], by=by, episodes=EPISODES)["reward"].iloc[1]
        assert measured == pytest.approx(np.mean(expected.reward), rel=1e-5)


def test_exchanged_words_change_places(made, ablation, evaluate):
    policy, params = made
    table = np.asarray(params[0]["embeddings"]["table"])
    vectors = {a: table[policy.vocabulary.id(b)] for a, b in (("left", "right"), ("right", "left"))}
    swapped = with_words(params[0], policy.vocabulary, vectors)
    rows = ablation.exchange(params, {"left": "right"}, episodes=EPISODES)
    assert rows["word"].tolist() == ["(intact)", "left=right"], "of two words there is no other exchange"
    expected = evaluate(swapped, params[1], EPISODES, 0)
    assert rows["reward"].iloc[1] == pytest.approx(np.mean(expected.reward), rel=1e-5)
    alike = with_words(params[0], policy.vocabulary, {"flexa": np.ones(8), "exta": np.ones(8)})
    rows = ablation.exchange((alike, params[1]), {"flexa": "exta"}, controls=2, episodes=EPISODES)
    assert rows["word"].tolist() == ["(intact)", "flexa=exta", "random 1", "random 2"]
    assert rows["reward"].iloc[0] == rows["reward"].iloc[1], "to the last bit"


def test_fingers_stand_for_the_words_that_both_have():
    from arnold.vocab import Vocabulary

    words = ("FDS2", "FDS3", "EIP", "IFtip", "MFtip", "mcp2_flexion", "mcp3_flexion", "RI2", "right")
    found = exchanged_words(Vocabulary().grow(words), {"index": "middle"})
    assert found == {"FDS2": "FDS3", "IFtip": "MFtip", "mcp2_flexion": "mcp3_flexion"}
    with pytest.raises(UserError, match="no words of both index and ring finger"):
        exchanged_words(Vocabulary().grow(words), {"index": "ring"})
    with pytest.raises(UserError, match="'FDS2' is in more than one"):
        exchanged_words(Vocabulary().grow(words), {"FDS2": "FDS3", "EIP": "FDS2"})


def test_bad_words_are_one_clear_line(made, ablation):
    _, params = made
    with pytest.raises(UserError, match=r"unknown word 'flexd'.*did you mean 'flex"):
        ablation.ablate(params, ["flexd"], episodes=2)
    with pytest.raises(UserError, match="'value' is reserved"):
        ablation.ablate(params, ["value"], episodes=2)
    with pytest.raises(UserError, match="cannot be replaced by 'zeros'; did you mean 'zero'"):
        ablation.ablate(params, ["right"], by="zeros", episodes=2)
    with pytest.raises(UserError, match="number of episodes is 1"):
        ablation.ablate(params, ["right"], episodes=1)


def test_zero_shot_is_an_evaluation_of_the_policy_as_it_is(made, elsewhere):
    policy, (params, statistics) = made
    evaluated = Evaluator(policy, ELSEWHERE, environment=elsewhere)(params, statistics, EPISODES, 0)
    seen = policy.signatures[:-2]  # two tokens of the other body were never met
    less = TransformerActorCritic(policy.config, policy.vocabulary, seen, policy.quantities)
    saved = SavedPolicy(less, params, less.init_statistics(), describe(less, (TASK,)))
    row = zero_shot(saved, [elsewhere], episodes=EPISODES, untrained=1).iloc[0]
    assert (row["task"], row["trained_on"], row["words_known"]) == ("elsewhere", False, 1.0)
    assert row["tokens_known"] == pytest.approx(1.0 - 2 / len(elsewhere.observation_table))
    assert row["solved"] == pytest.approx(evaluated.solved_step_fraction)
    assert row["reward"] == pytest.approx(np.mean(evaluated.reward), rel=1e-5)
    assert row["untrained_reward"] == row["untrained_reward_best"]
    with pytest.raises(UserError, match="only transformers"):
        zero_shot(dataclasses.replace(saved, policy=network(ELSEWHERE)), [elsewhere])
