"""Rollouts in a file: what is in it, that it is streamed, that a killed writer leaves it readable, and bad files."""

from __future__ import annotations

import dataclasses
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from probes import TWO_MUSCLES, Moment, Probe, Ruling, network

from arnold.checkpoints import save_checkpoint
from arnold.cli import main
from arnold.embodiments import Embodiment
from arnold.embodiments.action_maps import LENGTH_PD, LINEAR
from arnold.episodes import Episodes, policy_agent, zero_agent
from arnold.errors import UserError
from arnold.policy.generalist import TransformerActorCritic
from arnold.policy.transformer import TransformerConfig
from arnold.recording import policy_latents, record
from arnold.recording_file import CutShortWarning, RecordingWriter, load_recording
from arnold.saved_policy import describe
from arnold.tasks import Environment, register_task
from arnold.tasks.perturbation import Perturbation

xarray = pytest.importorskip("xarray", reason="needs the extra analysis")
pytestmark = pytest.mark.native

HORIZON, EPISODES = 7, 20


def fails_at_the_third_step_where_the_cue_is_positive(moment: Moment) -> Ruling:
    """Every second step is solved."""
    even = jnp.mod(moment.steps, 2.0) == 0.0
    return Ruling(1.0 + moment.activation, failed=(moment.cue > 0.0) & (moment.steps >= 3.0), solved=even)


PROBE = Probe(
    name="recorded",
    body=TWO_MUSCLES,
    horizon=HORIZON,
    rule=fails_at_the_third_step_where_the_cue_is_positive,
    shows_muscles=True,
)


def driven(environment: Environment):
    """The first muscle follows the cue, the second does the opposite."""
    return lambda params, observation, key: observation[:, 0, -1:] * jnp.array([[1.0, -1.0]])


@pytest.fixture(scope="module")
def environment() -> Environment:
    return Environment(PROBE, threads=1)


@pytest.fixture(scope="module")
def file(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recordings") / "probe.h5"
    return record(path, environment, driven(environment), (), EPISODES, seed=3, about={"policy": "driven"})


@pytest.fixture(scope="module")
def run(file: Path):
    return load_recording(file)


# ---- what is in it --------------------------------------------------------------------------------------------------


def test_its_episodes_are_those_of_an_evaluation_with_the_same_seed(environment, run):
    seen = Episodes(environment, driven(environment))((), EPISODES, seed=3)
    np.testing.assert_array_equal(run.running, seen.running)
    np.testing.assert_array_equal(run.solved, seen.solved)
    np.testing.assert_array_equal(run.reward.fillna(0.0), seen.reward)
    assert not seen.running.all(), "no episode ends early; the test shows less than it says"


def test_nothing_is_said_of_what_comes_after_an_episodes_end(run):
    for name, values in run.items():
        if values.dtype != bool:
            missing = np.isnan(values.values).reshape(EPISODES, HORIZON, -1)
            np.testing.assert_array_equal(missing.any(axis=2), ~run.running.values, err_msg=str(name))
    last = run.running.sum("time").values - 1
    failed = run.terminated.values[np.arange(EPISODES), last]
    np.testing.assert_array_equal(failed, last == 2)
    np.testing.assert_array_equal(run.truncated.values[np.arange(EPISODES), last], last == HORIZON - 1)


def test_the_excitation_is_the_actions_and_the_activation_follows_it(run):
    np.testing.assert_allclose(run.excitation, (run.action.clip(-1.0, 1.0) + 1.0) / 2.0, atol=1e-6)
    assert (run.activation.isel(time=0) == 0.0).all(), "a sample is the state at the start of its control step"
    np.testing.assert_allclose(run.activation.isel(time=2), run.excitation.isel(time=1), atol=0.01)


def test_under_a_perturbation_the_excitation_is_what_the_muscles_were_sent_and_the_file_says_so(run, tmp_path):
    late = Environment(PROBE, threads=1, perturbation=Perturbation(delay=0.1, noise=0.1, muscles=("puller",)))
    seen = load_recording(record(tmp_path / "late.h5", late, driven(late), (), 3))
    assert (seen.attrs["perturbation"], run.attrs["perturbation"]) == (str(late.perturbation), "intact")
    asked, sent = (seen.action.values.clip(-1.0, 1.0) + 1.0) / 2.0, seen.excitation.values[:, :2]
    np.testing.assert_array_equal(sent[:, 0, 0], 0.0, err_msg="a control step late")
    off = np.abs(sent[:, 1, 0] / asked[:, 0, 0] - 1.0)
    assert 0.001 < off.max() < 0.5, "a tenth of it is noise"
    np.testing.assert_allclose(sent[..., 1], asked[:, :2, 1], atol=1e-6)
    np.testing.assert_allclose(seen.activation.values[:, 1:3], sent, atol=0.01)


def test_only_the_excitation_of_a_last_step_is_missing_where_muscles_are_told_a_length(tmp_path):
    body = dataclasses.replace(TWO_MUSCLES, name="told", action_map=LENGTH_PD)
    told = Environment(dataclasses.replace(PROBE, name="told", body=body), threads=1)
    seen = load_recording(record(tmp_path / "told.h5", told, driven(told), (), 4))
    last = seen.running & (seen.terminated | seen.truncated)
    np.testing.assert_array_equal(seen.excitation.isnull().all("muscle"), last | ~seen.running)
    assert not seen.action.where(last, 0.0).isnull().any()
    assert "NaN at an episode's last" in seen.excitation.attrs["long_name"]


def test_joint_moments_are_moment_arms_times_forces(run):
    """The muscles pull straight at the hinge, one each way (gear 1 and -1)."""
    force = run.muscle_force
    expected = force.sel(muscle="puller") - force.sel(muscle="pusher")
    np.testing.assert_allclose(run.joint_moment.sel(joint="hinge"), expected, rtol=1e-6)
    assert float(abs(expected).max()) > 0.01


def test_contact_forces_carry_the_weight_of_what_lies_on_the_floor(tmp_path):
    def scene() -> mujoco.MjSpec:
        spec = TWO_MUSCLES.build()
        spec.option.gravity = [0.0, 0.0, -9.81]
        spec.worldbody.add_geom(name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[1, 1, 0.1])
        ball = spec.worldbody.add_body(name="ball", pos=[0.5, 0.0, 0.1])
        ball.add_freejoint(name="free")
        ball.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[0.1, 0, 0], mass=2.0)
        return spec

    body = Embodiment(name="lying", build=scene, frame_skip=20, side=None, action_map=LINEAR, things=("ball",))
    made = Environment(Probe(name="lies", body=body, horizon=15), threads=1)
    lying = load_recording(record(tmp_path / "ball.h5", made, zero_agent(made), (), 1), ["contact_force", "qpos"])
    settled = lying.contact_force.sel(contact_body="ball").isel(time=slice(8, None)).mean("time").squeeze()
    np.testing.assert_allclose(settled, [0.0, 0.0, 2.0 * 9.81], atol=0.2)
    assert "touch" not in lying


def test_axes_have_names_and_units(run):
    assert list(run.muscle.values) == ["puller", "pusher"]
    assert run.time.attrs["units"] == "s"
    assert float(run.time[1]) == pytest.approx(0.1)
    assert run.muscle_force.attrs["units"] == "N"
    assert "activation muscle pusher" in {" ".join(sorted(token.split())) for token in run.token.values}
    assert run.attrs["complete"] == 1
    assert (run.attrs["task"], run.attrs["policy"], run.attrs["seed"]) == ("recorded", "driven", 3)


def test_it_reads_without_this_library(file):
    with h5py.File(file, "r") as plain:
        force = plain["muscle_force"]
        assert [dim[0].name for dim in force.dims] == ["/episode", "/time", "/muscle"]
        assert (force.compression, force.attrs["units"]) == ("gzip", "N")
        assert plain["muscle"].asstr()[...].tolist() == ["puller", "pusher"]


def test_a_transformers_latents_are_recorded_on_request(environment, tmp_path):
    tables = (environment.observation_table, environment.action_table)
    policy = TransformerActorCritic.for_tasks(
        TransformerConfig(width=8, heads=2, feedforward=8, layers=1, latents=3), [tables]
    )
    params = (policy.init(jax.random.key(0)), policy.init_statistics())
    act, latents = policy_agent(policy, environment), policy_latents(policy, environment)
    seen = load_recording(record(tmp_path / "l.h5", environment, act, params, 2, latents=latents))
    assert dict(seen.latents.sizes) == {"episode": 2, "time": HORIZON, "latent": 3, "feature": 8}
    assert float(seen.latents.std("time").max()) > 0.0
    with pytest.raises(UserError, match="latents are of transformers"):
        policy_latents(network(PROBE), environment)


# ---- streaming, kills -----------------------------------------------------------------------------------------------


def test_memory_does_not_grow_with_the_number_of_episodes(environment, tmp_path, monkeypatch):
    shapes = []
    write = RecordingWriter.write

    def measured(self, values):
        shapes.append({name: value.shape for name, value in values.items()})
        write(self, values)

    monkeypatch.setattr(RecordingWriter, "write", measured)
    record(tmp_path / "64.h5", environment, driven(environment), (), 64)
    assert [shape["activation"] for shape in shapes] == [(16, HORIZON, 2)] * 4


KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from arnold.recording_file import Field, Layout, RecordingWriter
fields = {"activation": Field(("muscle",), "1", "a"), "running": Field((), "", "r", flag=True)}
layout = Layout(fields, {"muscle": ("left", "right")}, {}, 5, 6, (2, 4), 0.1, {"task": "killed"})
writer = RecordingWriter(Path(sys.argv[1]), layout)
for block in range(int(sys.argv[2])):
    writer.write({"activation": np.full((2, 4, 2), block), "running": np.ones((2, 4), np.int8)})
writer._file["activation"][2:4, 4:6] = 99.0  # half of the next block
writer._file.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(("blocks", "whole", "more"), [(3, 2, 4), (2, 2, 0), (0, 0, 0)])
def test_a_recording_cut_short_is_read_up_to_its_last_whole_block_and_says_so(tmp_path, blocks, whole, more):
    path = tmp_path / "killed.h5"
    done = subprocess.run([sys.executable, "-c", KILLED, str(path), str(blocks)], check=False)
    assert done.returncode == -signal.SIGKILL
    said = f"cut short: it holds {whole} of 5 episodes" + (
        f", and the first {more} of 6 steps of 2 more" if more else ""
    )
    with pytest.warns(CutShortWarning, match=said):
        seen = load_recording(path)
    assert seen.attrs["complete"] == 0
    assert seen.whole.values.tolist() == [True] * whole + [False] * (2 if more else 0)
    if more:
        assert (seen.activation[:2, :4] == 0.0).all()
        assert (seen.activation[:2, 4:] == 1.0).all()
        assert (seen.activation[2:, :4] == 2.0).all()
        assert seen.activation[2:, 4:].isnull().all()
        assert not seen.running[2:, 4:].any()


# ---- bad input ------------------------------------------------------------------------------------------------------


def test_a_file_that_is_there_is_kept(file, environment):
    with pytest.raises(UserError, match="is there already and is kept"):
        record(file, environment, driven(environment), (), 2)
    with pytest.raises(UserError, match="number of episodes is 0"):
        record(file, environment, driven(environment), (), 0)


def test_bad_files_are_one_clear_line(file, tmp_path):
    with pytest.raises(UserError, match=r"no recording .*arnold record"):
        load_recording(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="not an HDF5 file"):
        load_recording(tmp_path / "text.h5")
    for share in (0.1, 0.6, 0.99):
        (tmp_path / "cut.h5").write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
        with pytest.raises(UserError, match="is damaged"):
            load_recording(tmp_path / "cut.h5")
    with h5py.File(shutil.copy(file, tmp_path / "next.h5"), "a") as later:
        later.attrs["version"] = 2
    with pytest.raises(UserError, match="no recording of version 1: its format is 'arnold recording', version 2"):
        load_recording(tmp_path / "next.h5")
    with pytest.raises(UserError, match="no variable 'activaton'; did you mean 'activation'"):
        load_recording(file, ["activaton"])


def test_flipped_bytes_in_the_numbers_are_noticed(file, tmp_path):
    damaged = Path(shutil.copy(file, tmp_path / "flipped.h5"))
    with h5py.File(damaged, "r") as plain:
        chunk = plain["muscle_force"].id.get_chunk_info(0)
    content = bytearray(damaged.read_bytes())
    content[chunk.byte_offset + chunk.size // 2] ^= 0xFF
    damaged.write_bytes(content)
    with pytest.raises(UserError, match="is damaged"):
        load_recording(damaged)


def test_a_missing_extra_is_named(file, monkeypatch):
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(UserError, match=r"package xarray is missing .*install the extra `analysis`"):
        load_recording(file)


# ---- the command ----------------------------------------------------------------------------------------------------


def test_the_command_records_a_saved_policy(tmp_path, capsys):
    register_task(PROBE)
    policy = network(PROBE)
    weights = {"params": policy.init(jax.random.key(0)), "statistics": policy.init_statistics()}
    save_checkpoint(tmp_path / "probe", policy=weights, config=describe(policy, (PROBE,)))
    out = tmp_path / "made" / "probe.h5"
    given = ["record", str(tmp_path / "probe"), "--task", "recorded", "--episodes", "3", "--out", str(out)]
    assert main(given) == 0
    assert str(out) in capsys.readouterr().out
    assert load_recording(out).attrs["deterministic"] == 1
    assert main(given) == 2
    assert "is there already" in capsys.readouterr().err
