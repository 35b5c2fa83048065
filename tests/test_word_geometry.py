"""What a vocabulary knows of anatomy: planted geometry of words is found, and that of random networks is not."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import two_arms
from probes import TWO_MUSCLES, network
from two_arms import ELSEWHERE, FLEXORS, NAMES, SMALL, drawn, with_words

from arnold.errors import UserError

pytest.importorskip("pandas", reason="needs the extra analysis")
pytest.importorskip("sklearn", reason="needs the extra analysis")
pytest.importorskip("xarray", reason="needs the extra analysis")

from arnold.analysis.muscle_anatomy import MuscleAnatomy
from arnold.analysis.vocabulary import Geometry, MuscleWords, word_map, word_similarity

pytestmark = pytest.mark.native

environment, elsewhere, made = two_arms.environment, two_arms.elsewhere, two_arms.made  # fixtures


def test_anatomy_is_that_of_the_model(environment):
    anatomy = MuscleAnatomy.of(environment.body)
    assert anatomy.muscles[:2] == ("flexa_r", "flexb_r")
    assert anatomy.sides.tolist() == ["right"] * 6 + ["left"] * 6
    assert anatomy.bases.tolist() == list(NAMES) * 2
    cosine = anatomy.moment_cosine
    np.testing.assert_allclose(np.unique(np.round(cosine[:6, :6], 6)), [-1.0, 1.0])
    np.testing.assert_allclose(cosine[:6, 6:], 0.0, atol=1e-9)
    np.testing.assert_array_equal(anatomy.turns, [[True, False]] * 6 + [[False, True]] * 6)
    np.testing.assert_allclose(anatomy.origin[1], [0.035, -0.19, 0.3])
    np.testing.assert_allclose(anatomy.centre[1], [0.035, -0.19, 0.1])
    joints_only = MuscleAnatomy.of(TWO_MUSCLES.compile())
    assert np.isnan(joints_only.origin).all()
    assert joints_only.moment_cosine[0, 1] == pytest.approx(-1.0)


@pytest.fixture(scope="module")
def geometry(environment, elsewhere, made) -> Geometry:
    return Geometry(made[0], [environment, elsewhere], untrained=19)


@pytest.fixture(scope="module")
def planted(made):
    """Names of flexors lie one way, those of extensors the other."""
    policy, (params, _) = made
    generator = np.random.default_rng(3)
    way = 8.0 * np.eye(8)[0]
    vectors = {name: (way if name in FLEXORS else -way) + generator.normal(size=8) for name in NAMES}
    return with_words(params, policy.vocabulary, vectors)


def rows_of(table, *columns: str):
    return table[table["body"] == "two_arms"].set_index(["side", "space", "test"])[list(columns)]


def test_planted_synergists_are_found_and_those_of_a_random_network_are_not(geometry, made, planted):
    told = rows_of(geometry(planted, 199), "p", "p_untrained", "effect", "untrained", "superiority")
    for side in ("right", "left"):
        row = told.loc[(side, "token", "synergists")]
        assert row["p"] < 0.2, "a tenth of the orders of six names keep these three together"
        assert row["p_untrained"] == 1 / 20
        assert row["effect"] > 1.0 > 0.5 > abs(row["untrained"])
        assert row["superiority"] == 1.0
        assert told.loc[(side, "token", "moment arms"), "effect"] > 0.7
    plain = rows_of(geometry(made[1][0], 199), "p_untrained")
    assert plain.loc[("right", "token", "synergists")].item() > 0.1


def test_shared_words_alone_make_sides_alike_and_the_untrained_networks_say_so(geometry, made):
    policy, (params, _) = made
    row = rows_of(geometry(params, 199), "effect", "p", "p_untrained").loc[("both", "token", "mirrored")]
    assert row["effect"] > 0.3
    assert row["p"] == 1 / 200
    assert row["p_untrained"] > 0.1
    small = {side: np.full(8, 1e-3) for side in ("left", "right")}
    nearer = rows_of(geometry(with_words(params, policy.vocabulary, small), 9), "p_untrained")
    assert nearer.loc[("both", "token", "mirrored")].item() <= 0.1


def test_sides_planted_near_are_found_where_no_word_is_shared(environment):
    policy, (params, _) = drawn(dataclasses.replace(SMALL, vocabulary="atomic"), environment)
    atomic = Geometry(policy, [environment], untrained=9)
    plain = rows_of(atomic(params, 199), "p")
    assert plain.loc[("both", "token", "mirrored")].item() > 0.05
    words = ["+".join(sorted(token.words)) for token in environment.action_table]
    vectors = np.random.default_rng(5).normal(size=(6, 8))
    near = {word: vectors[i % 6] + 0.1 * (i // 6) for i, word in enumerate(words)}
    row = rows_of(atomic(with_words(params, policy.vocabulary, near), 199), "p", "p_untrained", "superiority", "q")
    row = row.loc[("both", "token", "mirrored")]
    assert (row["p"], row["p_untrained"], row["superiority"]) == (1 / 200, 1 / 10, 1.0)
    assert row["q"] >= 1 / 10


def test_what_cannot_be_tested_is_said(geometry, made, environment, elsewhere):
    policy, (params, _) = made
    by_body = dict(list(geometry(params, 9).groupby("body")))
    assert set(by_body["two_arms"]["test"]) == {"mirrored", "synergists", "moment arms", "origin", "path"}
    assert by_body["probe_pair"]["effect"].isna().all()
    said = {"fewer than 3 pairs on one side of the comparison", "fewer than 3 muscles"}
    assert set(by_body["probe_pair"]["note"]) == said
    with pytest.raises(UserError, match="number of untrained networks is 0"):
        Geometry(policy, [environment], untrained=0)
    with pytest.raises(UserError, match="number of exchanges of names is 0"):
        geometry(params, 0)
    with pytest.raises(UserError, match="word embeddings are of transformers"):
        MuscleWords(network(ELSEWHERE), elsewhere)


def test_words_have_a_map_and_a_matrix_with_names(geometry, made, planted):
    policy, _ = made
    matrix = word_similarity(policy, planted)
    assert matrix.loc["flexa", "flexb"] > 0.5 > -0.5 > matrix.loc["flexa", "exta"]
    assert "value" not in matrix.index
    words = word_map(policy, planted).set_index("word")
    assert np.sign(words.loc[list(FLEXORS), "x"]).nunique() == 1
    assert np.sign(words.loc["flexa", "x"]) != np.sign(words.loc["exta", "x"])
    muscles = geometry.muscles["two_arms"]
    assert muscles.similarity(planted).loc["flexa_r", "flexb_r"] > 0.5
    with pytest.raises(UserError, match="no space 'reedout'; did you mean 'read-out'"):
        muscles.similarity(planted, "reedout")
