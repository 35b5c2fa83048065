"""`arnold info RECIPE`: every recipe that is listed is described, with every setting."""

from __future__ import annotations

import dataclasses

import pytest

from arnold.cli import describe_recipe, main
from arnold.experiments.recipes import DISTILLATIONS, EXPERTS, STAGED

pytestmark = pytest.mark.unit


def rows_of(name: str) -> dict[str, str]:
    table = describe_recipe.lines(name)[2].splitlines()[2:]
    return {key: value for key, _, value in (row.partition(" ") for row in table)}


def test_every_recipe_that_is_listed_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "recipes"]) == 0
    listed = [line.split()[:2] for line in capsys.readouterr().out.splitlines()[2:]]
    assert {command for _, command in listed} == {"train", "distill", "finetune"}
    assert len({name for name, _ in listed}) == len(listed)
    for name, command in listed:
        assert f"recipe {name}: arnold {command} {name}" in describe_recipe.lines(name)


def test_each_field_of_an_experts_recipe_has_a_row() -> None:
    rows = rows_of("die_reorient_fifth")
    recipe = EXPERTS["die_reorient_fifth"]
    plain = {f.name for f in dataclasses.fields(recipe)} - {"learner", "network"}
    nested = {f"learner.{f.name}" for f in dataclasses.fields(recipe.learner)}
    nested |= {f"network.{f.name}" for f in dataclasses.fields(recipe.network)}
    assert set(rows) == plain | nested
    assert rows["steps"].strip() == str(recipe.steps)
    assert rows["learner.log_std"].strip() == str(recipe.learner.log_std)


def test_each_share_of_a_mixture_has_a_row() -> None:
    for name in DISTILLATIONS:
        rows = rows_of(name)
        shares = {key.removeprefix("mixture."): int(rows[key]) for key in rows if key.startswith("mixture.")}
        assert shares == dict(DISTILLATIONS[name].mixture)
    assert int(rows_of("arnold_full")["distillation.mixture.walk_to_point"]) == 60
    assert "arnold_full" in STAGED


def test_info_finds_a_recipe_that_is_no_task(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "die_reorient_fifth"]) == 0
    assert "runs/die_reorient_fourth" in capsys.readouterr().out
