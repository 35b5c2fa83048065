"""`arnold analyze synergies`: of a policy, of its recordings, and of what it cannot be of."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from probes import ONE_MUSCLE, TWO_MUSCLES, Probe, network

from arnold.checkpoints import save_checkpoint
from arnold.cli import main
from arnold.saved_policy import describe
from arnold.tasks import register_task

pandas = pytest.importorskip("pandas", reason="needs the extra analysis")
pytest.importorskip("sklearn", reason="needs the extra analysis")

pytestmark = pytest.mark.native

TASK = Probe(name="synergic", body=TWO_MUSCLES, horizon=5)
OTHER = dataclasses.replace(TASK, name="synergic_too")
OTHER_BODY = Probe(name="synergic_alone", body=ONE_MUSCLE, horizon=5)


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    """Both muscles follow the cue, the second half as much."""
    for one in (TASK, OTHER, OTHER_BODY):
        register_task(one)
    made = network(TASK)
    params = made.init(jax.random.key(0))
    params["policy"]["head"] = {"kernel": jnp.array([[1.0, 0.5], [0.0, 0.0]]), "bias": jnp.array([0.0, -0.5])}
    weights = {"params": params, "statistics": made.init_statistics()}
    return save_checkpoint(
        tmp_path_factory.mktemp("zoo") / "policy", policy=weights, config=describe(made, (TASK, OTHER))
    )


@pytest.mark.slow
def test_a_policy_and_its_recordings_have_the_same_synergies(policy, tmp_path, capsys):
    shared = ["--episodes", "6", "--threads", "1"]
    assert main(["analyze", "synergies", str(policy), *shared, "--out", str(tmp_path / "policy")]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[:4] for line in said if line.startswith(("synergic", "pooled"))] == [
        ["synergic", "30", "2", "1"],
        ["synergic_too", "30", "2", "1"],
        ["pooled", "60", "2", "1"],
    ]
    files = [str(tmp_path / f"{one.name}.h5") for one in (TASK, OTHER)]
    for file, one in zip(files, (TASK, OTHER), strict=True):
        assert main(["record", str(policy), "--task", one.name, *shared, "--out", file]) == 0
    assert main(["analyze", "synergies", *files, "--out", str(tmp_path / "files")]) == 0
    both = [pandas.read_csv(tmp_path / which / "weights.csv") for which in ("policy", "files")]
    pandas.testing.assert_frame_equal(*both)
    nmf = both[0][(both[0]["method"] == "nmf") & (both[0]["set"] == "synergic")].set_index("muscle")["weight"]
    assert nmf["pusher"] / nmf["puller"] == pytest.approx(0.5, abs=0.02), "excitations (cue + 1) / 2 and half of it"


def test_what_has_no_synergies_to_compare_is_refused_in_one_line(policy, tmp_path, capsys):
    for words, said in (
        ([str(policy), "elbow_pose"], "give recordings alone, or one policy"),
        ([str(tmp_path / "none.h5")], "no recording"),
        ([str(policy), "--scale", "max"], "none, maximum, deviation are accepted"),
        ([str(policy), "--tasks", TASK.name, OTHER_BODY.name], "these tasks are of probe_pair, probe; choose with"),
    ):
        assert main(["analyze", "synergies", *words]) == 2
        assert said in capsys.readouterr().err
