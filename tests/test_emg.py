"""Activations beside people's EMG: planted curves, muscles that are missing or silent, the published figures, the
command."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

pytest.importorskip("pandas", reason="pandas is of the extra `analysis`")

import pandas as pd
from shared_data import SHARED, needs
from test_gait import PERIOD, walk

from arnold.analysis import walking
from arnold.analysis.emg import KINESIS, KINESIS_OVERALL, compare_emg, human_agreement, write_emg
from arnold.analysis.gait import Averages, Cycle, central
from arnold.analysis.human_data import MUSCLES, HumanEmg, load_human_emg
from arnold.analysis.walking import FEET, Walk, cycles_at, over_the_cycle, walk_of_states
from arnold.checkpoints import save_checkpoint
from arnold.cli import main
from arnold.embodiments.physics import make_physics
from arnold.errors import UserError
from arnold.policy.mlp import MlpActorCritic, MlpConfig
from arnold.saved_policy import describe
from arnold.tasks import Environment, task

pytestmark = pytest.mark.native

WANG = "derived/wang2022_human_emg.npz"
PEAKS = {"soleus": 40, "gasmed": 41, "gaslat": 42, "tibant": 97, "semimem": 90, "bflh": 88, "vaslat": 5}
PEAKS |= {"recfem": 8, "vasmed": 6}  # % of the cycle
PERCENT = np.linspace(0.0, 100.0, 100)


def bump(peak: float, percent: np.ndarray = PERCENT, width: float = 9.0) -> np.ndarray:
    """A burst over the cycle, which is a circle."""
    away = (percent - peak + 50.0) % 100.0 - 50.0
    return np.exp(-0.5 * np.square(away / width))


def people(spread: float = 0.05) -> HumanEmg:
    """Five people at two speeds, whose bursts differ a little; at 2 km/h all is half a cycle later."""
    rng = np.random.default_rng(0)
    mean = np.zeros((5, 2, 100, len(MUSCLES)))
    for k, actuator in enumerate(MUSCLES.values()):
        for subject in range(5):
            for v, later in enumerate((50.0, 0.0)):
                noise = spread * np.convolve(rng.normal(size=100), np.ones(15) / 15, "same")
                mean[subject, v, :, k] = rng.uniform(0.1, 0.5) * (0.1 + bump(PEAKS[actuator] + later) + noise)
    return HumanEmg(tuple("abcde"), np.array([2.0, 4.5]), tuple(MUSCLES), tuple(MUSCLES.values()), mean)


def activations(shift: float = 0.0, points: int = 101, **own: np.ndarray) -> Averages:
    """A policy whose bursts are people's, ``shift`` % later, but for what is given."""
    percent = np.linspace(0.0, 100.0, points)
    curves = {f"{name}_l": 0.02 + 0.3 * bump(peak + shift, percent) for name, peak in PEAKS.items()} | own
    return Averages(tuple(curves), percent, np.stack(list(curves.values()), axis=1), None, 1)


def test_a_policy_with_peoples_bursts_is_as_like_them_as_they_are_to_each_other() -> None:
    made = compare_emg(activations(), people(), 4.2)
    assert made.speed == 4.5
    assert (made.table["r"] > 0.95).all()
    assert made.overall["human_leave_one_out"] > made.overall["human_pairwise"] > 0.9
    assert made.overall["best_shift_percent"] == pytest.approx(0.0, abs=1.0)
    assert made.notes == ()
    assert list(made.table["kinesis"]) == list(KINESIS.values())
    assert made.policy.shape == (5, 9)
    assert made.pairwise.shape == (10, 9)


def test_the_nearest_speed_is_taken_and_a_late_policy_is_found_to_be_late() -> None:
    assert compare_emg(activations(), people(), 2.5).overall["r"] < 0.2  # at 2 km/h people are half a cycle off
    late = compare_emg(activations(shift=12.0), people(), 4.5)
    assert late.overall["best_shift_percent"] == pytest.approx(-12.0, abs=1.0)
    assert late.overall["r_at_best_shift"] > 0.95 > late.overall["r"]
    np.testing.assert_allclose(late.table["best_shift_percent"].to_numpy(float), -12.0, atol=2.0)


def test_an_opposite_policy_differs_by_wilcoxons_test_times_nine() -> None:
    """Of five people the smallest possible p is 2 / 2^5."""
    made = compare_emg(activations(shift=50.0), people(), 4.5)
    assert (made.table["r"] < 0.0).all()
    np.testing.assert_allclose(made.table["p"].to_numpy(float), 0.0625)
    np.testing.assert_allclose(made.table["p_bonferroni"].to_numpy(float), 9 * 0.0625)


def test_missing_and_silent_muscles_are_named_and_left_out_never_a_silent_nan() -> None:
    known = activations(soleus_l=np.zeros(101))
    missing = dataclasses.replace(known, names=tuple(n.replace("tibant_l", "other") for n in known.names))
    human = people()
    human.mean[2, :, :, 4] = 0.3  # a dead electrode
    made = compare_emg(missing, human, 4.5)
    assert made.overall["muscles"] == 7
    assert made.notes == (
        "left out: Soleus (soleus_l is silent: its activation stays at 0.000)",
        "left out: Tibialis Anterior (the body has no muscle tibant_l)",
        "left out: Semimembranosus of person c, whose envelope does not vary",
    )
    assert made.table.loc["Soleus", "note"]
    figures = made.table.loc[list(made.muscles), ["r", "r_mean", "human_pairwise", "human_leave_one_out", "p"]]
    assert np.isfinite(figures.to_numpy(float)).all()
    assert all(np.isfinite(value) for value in made.overall.values())
    with pytest.raises(UserError, match="no muscle can be compared"):
        compare_emg(activations(), people(), 4.5, side="_q")


def test_tables_and_picture_are_written(tmp_path: Path) -> None:
    made = compare_emg(activations(shift=5.0), people(), 4.5)
    paths = write_emg(tmp_path / "new", made)
    assert [path.name for path in paths] == ["emg.csv", "emg_correlations.csv", "emg_shifts.csv", "emg.png"]
    read = pd.read_csv(paths[0], index_col="muscle")
    np.testing.assert_allclose(read["r"], made.table["r"].astype(float), rtol=1e-4)
    assert len(pd.read_csv(paths[1])) == 5 + 5 + 10
    assert paths[3].read_bytes()[:4] == b"\x89PNG"


# ---- people's data --------------------------------------------------------------------------------------------------


@needs(WANG)
def test_people_agree_with_each_other_as_published() -> None:
    """KINESIS' figure 7 and notebook: medians of pairs, 0.73 over all; 0.82 leave-one-out (spec 5.3)."""
    human = load_human_emg(SHARED / WANG)
    speed, everyone = human.nearest(4.5)
    assert speed == 4.5
    assert everyone.shape == (9, 100, 9)
    pairwise, left_out = human_agreement(everyone, human.subjects, human.muscles, scaled=False)
    published = [0.87, 0.85, 0.93, 0.82, 0.85, 0.94, 0.14, 0.87, 0.94]
    np.testing.assert_allclose(pairwise.median(), published, atol=0.006)
    averages = pairwise.mean(axis=1)
    assert averages.median() == pytest.approx(0.73, abs=0.005)
    assert (averages.min(), averages.max()) == pytest.approx((0.52, 0.94), abs=0.005)
    assert left_out.to_numpy().mean() == pytest.approx(0.82, abs=0.005)
    assert "faint: Vastus Lateral of person 11" in " ".join(compare_emg(activations(), human, 4.5).notes)


def test_how_large_someones_emg_is_does_not_matter() -> None:
    human, louder = people(0.4), people(0.4)
    louder.mean[2] *= 50.0
    ours, theirs = (compare_emg(activations(), each, 4.5).leave_one_out for each in (human, louder))
    np.testing.assert_allclose(ours, theirs, atol=1e-12)
    _, raw = human_agreement(louder.nearest(4.5)[1], louder.subjects, louder.muscles, scaled=False)
    assert np.abs(raw - ours).to_numpy().max() > 1e-3


def test_peoples_figures_are_of_the_muscles_that_are_compared() -> None:
    known = activations()
    kept = [name for name in known.names if not name.startswith(("soleus", "gasmed", "gaslat"))]
    few = dataclasses.replace(known, names=tuple(kept), mean=np.stack([known.of(name) for name in kept], axis=1))
    made = compare_emg(few, people(0.4), 4.5)
    left_out = made.leave_one_out[list(made.muscles)].mean(axis=1).median()
    assert made.overall["human_leave_one_out"] == pytest.approx(left_out)
    assert made.overall["human_pairwise"] == pytest.approx(made.pairwise[list(made.muscles)].mean(axis=1).median())


def test_one_person_alone_has_no_others_and_that_is_said() -> None:
    human = people()
    alone = dataclasses.replace(human, subjects=("a",), mean=human.mean[:1])
    made = compare_emg(activations(), alone, 4.5)
    assert (made.table["r"] > 0.9).all()
    assert made.table["human_leave_one_out"].isna().all()
    assert "one person alone cannot be compared with others" in made.lines()[0]
    assert made.notes == ()


def test_rounding_noise_is_no_activity() -> None:
    noise = 0.01 + 1e-9 * np.random.default_rng(0).normal(size=101)
    made = compare_emg(activations(soleus_l=noise), people(), 4.5)
    assert made.notes == ("left out: Soleus (soleus_l is silent: its activation stays at 0.010)",)


def test_the_shortest_and_longest_tenth_of_the_cycles_at_the_speed_are_left_out() -> None:
    cycles = [Cycle(0, 0.0, 0.5, 1.0 + 0.01 * i, 1.25) for i in range(20)]
    assert central(cycles) == tuple(cycles[2:-2])
    assert central(cycles[:3]) == tuple(cycles[:3])


def test_the_folder_that_kinesis_hands_round_is_read_and_a_gap_in_it_named(tmp_path: Path) -> None:
    human = people()
    for s in range(2):
        for v, speed in enumerate(human.speeds):
            rows = np.concatenate([PERCENT[:, None], human.mean[s, v]], axis=1)
            np.save(tmp_path / f"EMG_subject_{s + 4:02d}_walk_{round(10 * speed)}_avg.npy", rows)
    read = load_human_emg(tmp_path)
    assert (read.subjects, list(read.speeds), read.muscles) == (("4", "5"), [2.0, 4.5], tuple(MUSCLES))
    np.testing.assert_allclose(read.mean, human.mean[:2])
    file = tmp_path / "EMG_subject_05_walk_45_avg.npy"
    rows[3, 2] = np.nan
    np.save(file, rows)
    with pytest.raises(UserError, match=r"EMG_subject_05_walk_45_avg\.npy' has 1 values that are not finite"):
        load_human_emg(tmp_path)
    file.write_bytes(b"no numbers")
    with pytest.raises(UserError, match=r"EMG_subject_05_walk_45_avg\.npy' cannot be read as npy"):
        load_human_emg(tmp_path)
    file.unlink()
    with pytest.raises(UserError, match=r"lacks EMG_subject_05_walk_45_avg\.npy"):
        load_human_emg(tmp_path)


def test_absent_and_damaged_data_are_said_in_one_line_with_their_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARNOLD_SHARED", str(tmp_path))
    cut = tmp_path / "cut.npz"
    cut.write_bytes(b"PK\x03\x04 and no more")
    for path in (None, tmp_path / "none.npz", cut):
        with pytest.raises(UserError, match=r"Zenodo record 7422031, CC-BY-4\.0") as raised:
            load_human_emg(path)
        assert "\n" not in str(raised.value)
    np.savez(cut, mean=np.zeros(3))
    with pytest.raises(UserError, match="lacks the arrays subjects, speed_kmh"):
        load_human_emg(cut)


# ---- walks, and the command -----------------------------------------------------------------------------------------


def planted_walk(speed: float = 1.25) -> Walk:
    """Ten seconds on the KINESIS legs, whose muscles are active when people's are."""
    rate = 30.0
    body, forces = task("imitate_walking").compile(), walk(rate, 9)
    time = np.arange(len(forces["left"])) / rate
    activation = np.full((len(time), len(body.muscles)), 0.01)
    for side, first in (("l", 0.4), ("r", 0.4 + PERIOD / 2)):
        percent = 100.0 * ((time - first) / PERIOD % 1.0)
        for name, peak in PEAKS.items():
            activation[:, body.muscles.index(f"{name}_{side}")] += 0.4 * bump(peak, percent)
    joints = np.zeros((len(time), len(body.joints)))
    place = np.stack([speed * time, 0 * time, 0 * time + 1.0], axis=1)
    return Walk("planted", rate, body, activation, joints, joints, forces, place)


@pytest.mark.parametrize("foot", ["left", "right"])
def test_either_leg_of_a_walk_at_the_asked_speed_is_compared(foot: str) -> None:
    made = planted_walk()
    cycles = cycles_at([made], foot, 4.5, 0.5)
    averages = over_the_cycle([made], cycles)
    assert averages["force"].of(foot).max() == pytest.approx(100.0, rel=0.02)
    compared = compare_emg(averages["activation"], people(), 4.5, FEET[foot])
    assert (compared.table["r"] > 0.9).all()
    with pytest.raises(UserError, match=r"is within 0\.5 km/h of 6 km/h; their speeds are 4\.5 to 4\.5"):
        cycles_at([made], foot, 6.0, 0.5)


def test_the_command_states_r_beside_the_published_one_and_writes_its_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rollout is planted; everything after it is the command's own."""
    policy = saved_policy(tmp_path / "policy")
    monkeypatch.setattr(walking, "walks", lambda *given, **how: [planted_walk()])
    human = people()
    data = tmp_path / "emg.npz"
    names = {"muscles": np.array(human.muscles), "myoleg_actuator": np.array([f"{a}_l" for a in human.actuators])}
    np.savez(data, mean=human.mean, subjects=np.array(human.subjects), speed_kmh=human.speeds, **names)
    out, gait = tmp_path / "out", tmp_path / "gait.npz"
    np.savez(gait, **planted_gait(degrees=10.0))
    words = ["analyze", "emg", str(policy), "--task", "imitate_walking", "--emg", str(data), "--out", str(out)]
    assert main([*words, "--gait", str(gait)]) == 0
    said = capsys.readouterr().out
    row = next(line for line in said.splitlines() if line.startswith("Tibialis Anterior")).split()
    assert float(row[2]) > 0.9
    assert float(row[-1]) == KINESIS["Tibialis Anterior"]
    assert f"KINESIS published r {KINESIS_OVERALL}" in said
    assert {"emg.csv", "emg.png", "gait_cycle.csv"} <= {path.name for path in out.iterdir()}
    kinematics = pd.read_csv(out / "kinematics.csv", index_col=0)
    assert kinematics.query("kind == 'force'")["name"].to_list() == ["Vertical"]
    angles = kinematics.query("kind == 'angle'")
    assert angles.loc["hip_flexion_l", "rmse"] == pytest.approx(10.0), "the planted walk keeps its joints at zero"


def planted_gait(degrees: float) -> dict[str, np.ndarray]:
    """Someone whose hip stays at an angle, in the file's layout."""
    made: dict[str, np.ndarray] = {}
    for short, name, value in (
        ("q", "hip_flexion", degrees),
        ("moment", "hip_flexion", 0.0),
        ("grf", "Vertical", 50.0),
    ):
        made |= {f"{short}_mean": np.full((101, 1), value), f"{short}_std": np.zeros((101, 1))}
        made |= {f"{short}_all": np.full((101, 1, 3), value), f"{short}_names": np.array([name])}
    return made


def saved_policy(folder: Path) -> Path:
    """An untrained policy of the elbow."""
    elbow = task("elbow_pose")
    environment = Environment(elbow, threads=1)
    network = MlpActorCritic(environment.observation_table, environment.action_table, MlpConfig(hidden=(4,)))
    policy = {"params": network.init(jax.random.key(0)), "statistics": network.init_statistics()}
    return save_checkpoint(folder, policy=policy, config=describe(network, (elbow,)))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--foot", "third"], "--foot is 'third'; left or right"),
        (["--perturb", "sleep=1"], "unknown perturbation 'sleep'"),
        (["--gait", "nowhere.npz"], "no human gait reference at 'nowhere.npz'"),
        (["--task", "elbow_pose"], "--task imitate_walking"),
        (["--task", "imitate_reaching"], "has no two feet that feel"),
    ],
)
def test_the_command_refuses_what_it_cannot_do_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arnold.analysis.human_data.load_human_emg", lambda path: people())
    assert main(["analyze", "emg", str(saved_policy(tmp_path / "policy")), *words]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert said in error[0]


def test_every_published_figure_is_of_a_muscle_of_the_data() -> None:
    assert set(KINESIS) == set(MUSCLES)
    assert np.mean(list(KINESIS.values())) == pytest.approx(KINESIS_OVERALL, abs=0.03)


def test_forces_and_moments_of_a_walk_are_those_of_its_states() -> None:
    """Legs that are dropped and pull: what was felt then is found again, and hips turn as MuJoCo says."""
    made = task("imitate_walking")
    body = made.compile()
    physics = make_physics(body, "native", 1)
    excitation = jnp.asarray(np.random.default_rng(0).uniform(0.0, 0.5, len(body.muscles)), jnp.float32)
    start = physics.initial(
        jnp.asarray(body.rest_position), jnp.zeros(body.model.nv), jnp.full(body.model.na, 0.1, jnp.float32)
    )
    _, states = jax.lax.scan(lambda s, _: (physics.step(s, excitation),) * 2, start, None, length=12)
    felt = np.asarray(jax.vmap(body.signals)(states).touch)
    qpos, qvel, act = (np.asarray(x) for x in (states.qpos, states.qvel, states.act))
    found = walk_of_states(made, "drop", body, qpos, qvel, act[:, body.muscle_act], threads=1)
    np.testing.assert_allclose(found.force["right"], felt[:, :2].sum(axis=1), rtol=1e-5)
    np.testing.assert_allclose(found.force["left"], felt[:, 2:].sum(axis=1), rtol=1e-5)
    assert found.force["left"].max() > 50.0
    data, hip = mujoco.MjData(body.model), body.joints.index("hip_flexion_l")
    data.qpos, data.qvel, data.act = qpos[5], qvel[5], act[5]
    mujoco.mj_forward(body.model, data)
    assert found.moment[5, hip] == pytest.approx(data.joint("hip_flexion_l").qfrc_actuator[0], rel=1e-3)
    assert found.moment[5, body.joints.index("knee_angle_translation1_l")] == 0.0
    assert found.angle[5, hip] == pytest.approx(np.rad2deg(data.joint("hip_flexion_l").qpos[0]), rel=1e-5)
