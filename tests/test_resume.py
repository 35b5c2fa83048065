"""Stopping, killing and resuming a run of a real task: nothing is lost but the work since the last checkpoint."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

from arnold.checkpoints import load_learner
from arnold.errors import UserError
from arnold.learning.config import LearnerConfig
from arnold.learning.learner import TrainState
from arnold.learning.loop import resume
from arnold.metric_log import read_rows
from arnold.policy.mlp import MlpConfig
from arnold.recipe import DistillRecipe, ExpertRecipe, FinetuneRecipe, from_json, to_json
from arnold.runs import Run
from arnold.training import Trained, resume_run, run_recipe

pytestmark = pytest.mark.train

# As this process was started with: a shell's background job, for one, ignores SIGINT.
HANDLERS = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
ITERATIONS, PER_ITERATION = 4, 4 * 5
RECIPE = ExpertRecipe(
    task="elbow_pose",
    steps=ITERATIONS * PER_ITERATION,
    environments=4,
    learner=LearnerConfig(rollout_steps=5, epochs=2, minibatches=2, log_std=(-0.5, -1.0)),
    network=MlpConfig(hidden=(8,)),
    seed=7,
)

CHILD = """
import json, os, sys
from pathlib import Path
from arnold.recipe import from_json
from arnold.training import run_recipe

recipe, root, number, iteration, save_every_s = sys.argv[1:]

def signal_myself(state, metrics):
    if int(state.iteration) == int(iteration):
        os.kill(os.getpid(), int(number))

trained = run_recipe(
    from_json(json.loads(recipe)), "child", root=Path(root), threads=1,
    on_iteration=signal_myself, save_every_s=float(save_every_s),
)
print("finished" if trained.ended.finished else "stopped", int(trained.ended.state.iteration))
"""


def start_child(root: Path, number: signal.Signals, iteration: int, save_every_s: float) -> subprocess.Popen[str]:
    """A process that trains the recipe and sends itself a signal after an iteration, before that is saved."""
    words = [json.dumps(to_json(RECIPE)), str(root), str(int(number)), str(iteration), str(save_every_s)]
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


class Ran(NamedTuple):
    """A run in this process: what it came to, and the state after each iteration."""

    trained: Trained
    states: dict[int, TrainState]


class Child(NamedTuple):
    """How a child process ended, and its run's folder."""

    code: int
    said: str
    run: Path


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """The recipe run without interruption, terminated after two iterations, and killed after three."""
    root = tmp_path_factory.mktemp("runs")
    started = {
        "terminated": start_child(root / "terminated", signal.SIGTERM, iteration=2, save_every_s=1e6),
        "killed": start_child(root / "killed", signal.SIGKILL, iteration=3, save_every_s=0.0),
    }
    try:
        states: dict[int, TrainState] = {}
        whole = run_recipe(
            RECIPE, "whole", root=root, threads=1, on_iteration=lambda s, m: states.update({int(s.iteration): s})
        )
        ended: dict[str, Any] = {"whole": Ran(whole, states)}
        for name, process in started.items():
            out, err = process.communicate(timeout=300)
            ended[name] = Child(process.returncode, out + err, next((root / name / "child").iterdir()))
        return ended
    finally:
        for process in started.values():
            process.kill()


@pytest.fixture(scope="module")
def resumed(played):
    """The killed run, gone on with in this process from its second iteration; its metrics at the kill come first."""
    before = read_rows(played["killed"].run / "metrics.jsonl")
    return before, resume_run(played["killed"].run, threads=1)


def raw(leaf: Any) -> np.ndarray:
    """The bits of an array or of a typed key."""
    return np.asarray(jax.random.key_data(leaf) if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf)


def assert_same_bits(ours: TrainState, theirs: TrainState) -> None:
    """Every leaf of both states is equal bit for bit, by path."""
    pairs = zip(jax.tree.leaves_with_path(ours), jax.tree.leaves(theirs), strict=True)
    differing = [jax.tree_util.keystr(path) for (path, a), b in pairs if raw(a).tobytes() != raw(b).tobytes()]
    assert not differing


def test_a_terminated_run_saves_what_it_has_done_and_ends_cleanly(played):
    child = played["terminated"]
    assert child.code == 0, child.said
    assert "stopped 2" in child.said
    (saved,) = (child.run / "checkpoints").glob("step_*")
    assert saved.name == f"step_{2 * PER_ITERATION:012d}"
    assert_same_bits(load_learner(saved, played["whole"].states[4]), played["whole"].states[2])
    assert [row["step"] for row in read_rows(child.run / "metrics.jsonl")] == [PER_ITERATION, 2 * PER_ITERATION]


def test_a_kill_loses_only_what_came_after_the_last_checkpoint(played, resumed):
    child, before = played["killed"], resumed[0]
    assert child.code == -signal.SIGKILL, child.said
    assert [row["step"] for row in before] == [PER_ITERATION * number for number in (1, 2, 3)]  # two of them saved
    names = sorted(path.name for path in (child.run / "checkpoints").glob("step_*"))
    assert names[-1] == f"step_{4 * PER_ITERATION:012d}"
    assert f"step_{3 * PER_ITERATION:012d}" not in names
    assert f"step_{2 * PER_ITERATION:012d}" in names


def test_two_and_two_iterations_are_four_bit_for_bit(played, resumed):
    whole, (_, again) = played["whole"], resumed
    assert again.ended.finished
    assert int(again.ended.state.iteration) == ITERATIONS
    assert_same_bits(again.ended.state, whole.trained.ended.state)
    early, late = whole.states[2].params["policy"], whole.states[4].params["policy"]
    assert all(raw(a).tobytes() != raw(b).tobytes() for a, b in zip(*map(jax.tree.leaves, (early, late)), strict=True))


def without_clock(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "wall_s"} for row in rows]


def test_a_resumed_run_continues_its_own_metrics_without_duplicates(played, resumed):
    before, again = resumed
    rows = read_rows(again.run.path / "metrics.jsonl")
    assert [row["step"] for row in rows] == [PER_ITERATION * number for number in range(1, ITERATIONS + 1)]
    assert rows[:2] == before[:2]  # the third, which had to be done again, is not logged twice
    assert without_clock(rows) == without_clock(read_rows(played["whole"].trained.run.path / "metrics.jsonl"))
    assert all(a["wall_s"] <= b["wall_s"] for a, b in itertools.pairwise(rows))
    table = list(csv.DictReader((again.run.path / "metrics.csv").read_text().splitlines()))
    assert [int(row["step"]) for row in table] == [row["step"] for row in rows]


def test_signals_are_given_back_after_training(played):
    assert {number: signal.getsignal(number) for number in HANDLERS} == HANDLERS


def test_a_run_without_a_checkpoint_cannot_be_resumed(tmp_path):
    run = Run.create(tmp_path, "fresh", to_json(RECIPE))
    with pytest.raises(UserError, match="no checkpoint to resume from"):
        resume(run, None)
    with pytest.raises(UserError, match="is not a run"):
        resume_run(tmp_path)


@pytest.mark.parametrize(
    "recipe",
    [
        RECIPE,
        DistillRecipe(mixture=(("elbow_pose", 4), ("finger_reach", 8)), steps=100, experts=(("elbow_pose", "runs/x"),)),
        FinetuneRecipe(checkpoint="runs/y", task="mine.py", learner=LearnerConfig(regime="obc", log_std=(-1.0, -2.0))),
    ],
)
def test_a_recipe_survives_its_run_s_config_file(recipe):
    assert from_json(json.loads(json.dumps(to_json(recipe)))) == recipe


def test_a_config_file_of_another_version_is_refused_by_name():
    data = {**to_json(RECIPE), "environment": 4}
    with pytest.raises(UserError, match=r"no field 'environment'.*environments"):
        from_json(data)
    with pytest.raises(UserError, match=r"'experts'.*expert"):
        from_json({**to_json(RECIPE), "kind": "experts"})


def test_fewer_steps_than_one_iteration_are_refused():
    with pytest.raises(UserError, match="one iteration is 20 environment steps"):
        run_recipe(dataclasses.replace(RECIPE, steps=19), "short", threads=1)


def test_a_mixture_that_names_a_task_twice_is_refused():
    with pytest.raises(UserError, match=r"DistillRecipe.mixture names elbow_pose more than once"):
        DistillRecipe(mixture=(("elbow_pose", 4), ("elbow_pose", 8)), steps=100)
