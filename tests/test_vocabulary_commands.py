"""`arnold record --attention-heads`, `arnold analyze vocabulary` and `ablation`: their files, of a saved policy."""

from __future__ import annotations

import h5py
import jax
import numpy as np
import pytest
import two_arms
from probes import network
from two_arms import ELSEWHERE, HORIZON, TASK

from arnold import recording
from arnold.checkpoints import save_checkpoint
from arnold.cli import main
from arnold.errors import UserError
from arnold.recording_file import load_recording
from arnold.saved_policy import describe
from arnold.tasks import register_task

pandas = pytest.importorskip("pandas", reason="needs the extra analysis")
pytest.importorskip("sklearn", reason="needs the extra analysis")
pytest.importorskip("xarray", reason="needs the extra analysis")

pytestmark = pytest.mark.native

environment, elsewhere, made = two_arms.environment, two_arms.elsewhere, two_arms.made  # fixtures
inside, attend = two_arms.inside, two_arms.attend


@pytest.fixture(scope="module")
def checkpoint(made, tmp_path_factory) -> str:
    register_task(TASK)
    policy, (params, statistics) = made
    folder = tmp_path_factory.mktemp("saved") / "policy"
    weights = {"params": params, "statistics": statistics}
    save_checkpoint(folder, policy=weights, config=describe(policy, (TASK,)))
    return str(folder)


def test_attention_is_recorded_on_request_in_small_blocks(environment, made, attend, checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "BLOCK_BYTES", 4 * 2 * 2 * 12 * 16 * 3)  # three control steps of two episodes
    path = tmp_path / "heads.h5"
    options = ["--attention-heads", "--episodes", "2", "--threads", "1", "--out", str(path)]
    assert main(["record", checkpoint, *options]) == 0
    seen = load_recording(path)
    axes = ("episode", "time", "decoder_layer", "head", "muscle", "observed")
    assert (seen.attention.dims, seen.attention.shape) == (axes, (2, HORIZON, 1, 2, 12, 14))
    np.testing.assert_allclose(seen.attention.sum("observed"), 1.0, atol=1e-5)
    with h5py.File(path) as file:
        assert file["attention"].chunks == (2, 3, 1, 2, 12, 14)
        assert file.attrs["steps_per_block"] == 3
    observation = seen.token_value.isel(time=2).values[..., None]
    expected = np.asarray(attend(made[1], observation).observed())[0]
    np.testing.assert_allclose(seen.attention.isel(time=2, decoder_layer=0), expected, atol=1e-5)
    assert seen.attention.sel(observed="hinge right joint", muscle="exta_l").shape == (2, HORIZON, 1, 2)
    mean = recording.policy_attention(made[0], environment)
    assert jax.eval_shape(mean.of, made[1], observation).shape == (2, 1, 12, 14)
    assert mean.field.axes == ("decoder_layer", "muscle", "observed")
    with pytest.raises(UserError, match="attention maps are of transformers"):
        recording.policy_attention(network(ELSEWHERE), environment)


@pytest.mark.slow
def test_the_commands_write_tables_and_pictures(checkpoint, tmp_path, capsys):
    out = tmp_path / "out"
    options = ["--episodes", "2", "--untrained", "2", "--threads", "1", "--out", str(out)]
    assert main(["analyze", "vocabulary", checkpoint, *options]) == 0
    assert "synergists" in capsys.readouterr().out
    for name in ("geometry", "words", "muscles-two_arms", "attention-two_arms_follow"):
        assert (out / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
    tables = ("geometry", "words", "word_similarity", "attention_groups", "attention_relations", "attention_summary")
    for name in (*tables, "muscles-two_arms-read-out", "attention-two_arms_follow", "influence-two_arms_follow"):
        assert len(pandas.read_csv(out / f"{name}.csv")), name
    options = ["--episodes", "2", "--threads", "1", "--out", str(out)]
    assert main(["analyze", "ablation", checkpoint, "--task", TASK.name, "--words", "right", *options]) == 0
    said = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [TASK.name, "right", "7", "6"] in [line[:4] for line in said], "tokens and muscles that it names"
    assert pandas.read_csv(out / "ablation.csv")["word"].tolist() == ["(intact)", "right"]
    assert (out / "ablation.png").read_bytes()[:4] == b"\x89PNG"
    assert main(["analyze", "ablation", checkpoint, "--words", "right", "--exchange", "left=right"]) == 2
    assert "give one of them" in capsys.readouterr().err
