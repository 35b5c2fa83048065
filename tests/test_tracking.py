"""How well clips are followed: figures of planted errors, whole rollouts, files, and how mm-evalkit reads them."""

from __future__ import annotations

import csv
import dataclasses
import importlib.util
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from arnold import tracking
from arnold.checkpoints import save_checkpoint
from arnold.cli import main
from arnold.embodiments import embodiment
from arnold.embodiments.embodiment import Embodiment
from arnold.embodiments.musclemimic import BIMANUAL, BIMANUAL_NOFINGERS, FULLBODY, FULLBODY_NOFINGERS
from arnold.episodes import zero_agent
from arnold.errors import UserError
from arnold.mm_evalkit import check_body, write_rollouts
from arnold.motion import Clip, velocities
from arnold.policy.mlp import MlpActorCritic, MlpConfig
from arnold.saved_policy import describe
from arnold.tasks.imitate import Imitate
from arnold.tasks.reference import Pose, tracked
from arnold.tracking import FIGURES, Followed, follow, held_frames, measure
from arnold.tracking_report import Tracking, markdown, write_tracking
from arnold.tracking_report import tracking as evaluate

pytestmark = pytest.mark.native

FRAMES, BONES = 41, ("proximal", "middle", "distal")
needs_evalkit = pytest.mark.skipif(
    importlib.util.find_spec("mm_evalkit") is None, reason="mm-evalkit is not installed (pip install mm-evalkit)"
)


def wave(name: str, frames: int = FRAMES, subject: str = "", rate: float = 50.0) -> Clip:
    """A slow bending and stretching of the finger."""
    model = embodiment("finger").compile().model
    bend = 0.5 + 0.4 * np.sin(np.pi * np.arange(frames) / rate)
    qpos = np.outer(bend, [0.0, 1.0, 1.0, 1.0]).astype(np.float32)
    joints = tuple(model.joint(j).name for j in range(model.njnt))
    return Clip(name, "finger", rate, joints, qpos, velocities(model, qpos, rate), subject=subject)


def imitate(*clips: Path) -> Imitate:
    """A task of these clips."""
    return Imitate(
        name="finger_wave",
        body="finger",
        weights=(("position", 1.0),),
        horizon=30,
        clips=tuple(str(clip) for clip in clips),
        tracked=BONES,
        lookahead=(1, 3),
        each_within=0.01,
    )


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """Three clips of two subjects, the longest first."""
    folder = tmp_path_factory.mktemp("clips")
    made = (wave("long", 61, "ann"), wave("short", 21, "bob"), wave("middle", FRAMES, "bob"))
    return tuple(clip.save(folder / clip.name) for clip in made)


# ---- figures --------------------------------------------------------------------------------------------------------


def planted(clips: tuple[Path, ...], *, frames: int = FRAMES, known: int | None = None, **task) -> Followed:
    """A body that is where the clip is, in a world with three tracked bodies."""
    made = dataclasses.replace(imitate(*clips), tracked=("a", "b", "c"), root="a", **task)
    rng = np.random.default_rng(0)
    turns = Rotation.random(frames * 3, random_state=1).as_quat(scalar_first=True).reshape(frames, 3, 4)
    pose = Pose(
        qpos=rng.normal(size=(frames, 1)),
        qvel=rng.normal(size=(frames, 1)),
        activation=np.zeros((frames, 6)),
        muscle_length=np.zeros((frames, 6)),
        position=rng.normal(size=(frames, 3, 3)),
        quaternion=turns,
        linear_velocity=rng.normal(size=(frames, 3, 3)),
        angular_velocity=rng.normal(size=(frames, 3, 3)),
    )
    done = jax.tree.map(lambda rows: np.array(rows[:known]), pose)
    return Followed(0, "planted", "", made, embodiment("elbow").compile(), pose, done)


def moved(followed: Followed, **rows: np.ndarray) -> Followed:
    """The same with other rows of the body."""
    return dataclasses.replace(followed, done=dataclasses.replace(followed.done, **rows))


def test_a_body_that_is_where_the_clip_is_has_no_error(clips: tuple[Path, ...]) -> None:
    figures = measure(planted(clips)).figures
    assert set(figures) == set(FIGURES)
    wholes = {"success_each", "coverage_each", "success_mean", "coverage_mean", "coverage_relative"}
    for name, value in figures.items():
        assert value == pytest.approx(1.0 if name in wholes else 0.0, abs=1e-6), name


def test_each_rule_ends_a_clip_at_its_own_first_violation_and_never_before_or_again(clips: tuple[Path, ...]) -> None:
    """At frame 11 one body is 0.2 m off, from 21 all are 0.6 m off, at 31 everything is right again."""
    followed = planted(clips)
    position = followed.done.position.copy()
    position[11, 2, 0] += 0.2
    position[21:31, :, 1] += 0.6
    figures = measure(moved(followed, position=position)).figures
    assert held_frames(moved(followed, position=position)) == {"each": 10, "mean": 20, "relative": 20}
    assert (figures["coverage_each"], figures["coverage_mean"], figures["coverage_relative"]) == (0.25, 0.5, 0.5)
    assert (figures["success_each"], figures["success_mean"], figures["early_termination"]) == (0.0, 0.0, 1.0)
    # Of the 20 frames before the end by rule "mean", one of three bodies is 200 mm off in one.
    assert figures["mpjpe_mm"] == pytest.approx(200.0 / 60.0)
    assert figures["mpjpe_relative_mm"] == pytest.approx(200.0 / 40.0)


def test_a_shift_of_the_whole_body_is_seen_in_the_world_and_not_from_the_main_body(clips: tuple[Path, ...]) -> None:
    followed = planted(clips)
    made = measure(moved(followed, position=followed.done.position + np.array([0.03, 0.0, 0.04])))
    assert made.figures["mpjpe_mm"] == pytest.approx(50.0)
    assert made.figures["mpjpe_relative_mm"] == pytest.approx(0.0, abs=1e-9)
    assert made.figures["err_site_abs"] == pytest.approx(0.05)
    assert made.figures["err_root_xyz"] == pytest.approx(0.05 / np.sqrt(3.0))
    assert made.bodies == {name: pytest.approx(0.05) for name in "abc"}
    assert made.figures["success_each"] == 1.0


def test_errors_of_joints_are_root_mean_squares_and_means_of_absolute_values(clips: tuple[Path, ...]) -> None:
    followed = planted(clips)
    wrong = np.where(np.arange(FRAMES)[:, None] % 2 == 0, 0.1, -0.3)  # of 40 frames, 20 each; the start is no frame
    made = measure(moved(followed, qpos=followed.done.qpos + wrong, qvel=followed.done.qvel + 2.0))
    assert made.figures["joint_position_rms_rad"] == pytest.approx(np.sqrt(0.05))
    assert made.figures["joint_position_abs_rad"] == pytest.approx(0.2)
    assert made.figures["euclidean_joint_position"] == pytest.approx(0.2)
    assert made.figures["err_joint_pos"] == pytest.approx(0.2)  # the mean of each frame's root mean square
    assert made.figures["joint_velocity_rms_rad_s"] == pytest.approx(2.0)
    assert made.joints == {"r_elbow_flex": pytest.approx(np.sqrt(0.05))}


def test_turning_the_whole_world_leaves_relative_orientation_and_velocity_alone(clips: tuple[Path, ...]) -> None:
    """About the vertical by 0.4 rad: that is the heading error. One body turned by 0.2 rad is 0.1 on average."""
    followed = planted(clips)
    turn = Rotation.from_euler("z", 0.4)

    def turned(vectors: np.ndarray) -> np.ndarray:
        return turn.apply(vectors.reshape(-1, 3)).reshape(vectors.shape)

    done = followed.done
    quaternions = Rotation.from_quat(done.quaternion.reshape(-1, 4), scalar_first=True)
    figures = measure(
        moved(followed, quaternion=(turn * quaternions).as_quat(scalar_first=True).reshape(done.quaternion.shape))
    ).figures
    assert figures["err_root_yaw"] == pytest.approx(0.4)
    assert figures["euclidean_relative_orientation"] == pytest.approx(0.0, abs=1e-9)
    still = dataclasses.replace(done, quaternion=np.tile([1.0, 0.0, 0.0, 0.0], (FRAMES, 3, 1)))
    one = still.quaternion.copy()
    one[:, 1] = Rotation.from_rotvec([0.0, 0.2, 0.0]).as_quat(scalar_first=True)
    velocity = still.linear_velocity.copy()
    velocity[:, 2] += [0.3, 0.0, 0.4]
    spun = dataclasses.replace(followed, clip=still, done=dataclasses.replace(still, quaternion=one))
    assert measure(spun).figures["euclidean_relative_orientation"] == pytest.approx(0.1)
    faster = dataclasses.replace(followed, clip=still, done=dataclasses.replace(still, linear_velocity=velocity))
    assert measure(faster).figures["euclidean_relative_velocity"] == pytest.approx(0.25)


def test_a_clip_whose_physics_diverged_is_covered_up_to_there(clips: tuple[Path, ...]) -> None:
    figures = measure(planted(clips, known=11)).figures
    assert figures["coverage_each"] == figures["coverage_mean"] == figures["coverage_relative"] == 0.25
    assert (figures["success_mean"], figures["early_termination"]) == (0.0, 1.0)
    assert measure(planted(clips, known=1)).figures["mpjpe_mm"] is None


def test_means_over_clips_are_unweighted_and_held_out_clips_have_a_row(clips: tuple[Path, ...], tmp_path: Path) -> None:
    """A running mean, as the reference has it, would give the first clip more than its share."""
    offsets, lengths = (0.01, 0.02, 0.06), (11, 101, FRAMES)
    made = []
    for offset, frames, subject in zip(offsets, lengths, ("ann", "bob", "bob"), strict=True):
        followed = planted(clips, frames=frames)
        shifted = moved(followed, position=followed.done.position + np.array([offset, 0.0, 0.0]))
        made.append(dataclasses.replace(measure(shifted), name=f"clip {frames}", subject=subject))
    result = Tracking("wave", tuple(made), (False, False, True))
    by_name = {group.name: group.figures["mpjpe_mm"] for group in result.groups}
    assert by_name == {
        "training clips": pytest.approx(15.0),
        "held-out clips": pytest.approx(60.0),
        "all clips": pytest.approx(30.0),
        "subject ann": pytest.approx(10.0),
        "subject bob": pytest.approx(40.0),
    }
    assert result.everything.bodies["b"] == pytest.approx(0.03)
    paths = write_tracking(tmp_path / "results", [result], {"policy": "none"})
    assert [path.name for path in paths] == ["tracking.json", "tracking.csv", "tracking.md"]
    detail = json.loads(paths[0].read_text())["tasks"][0]
    assert [clip["held_out"] for clip in detail["clips"]] == [False, False, True]
    rows = list(csv.DictReader(paths[1].read_text().splitlines()))
    assert len(rows) == 5 + 3
    assert float(rows[2]["mpjpe_mm"]) == pytest.approx(30.0)
    assert paths[2].read_text() == markdown([result])
    assert "| clip 41 (held out) |" in paths[2].read_text()


# ---- rollouts -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def silent(clips: tuple[Path, ...]) -> list[Followed]:
    """All clips followed with the same action all the time, by the task's order."""
    return sorted(follow(imitate(*clips), zero_agent, threads=1), key=lambda followed: followed.place)


def test_every_clip_is_followed_once_from_its_first_frame_to_its_last(silent: list[Followed]) -> None:
    """Failing does not end the rollout, and what follows the last frame is not in it."""
    assert [(f.name, f.subject, f.frames, len(f.done.qpos)) for f in silent] == [
        ("long", "ann", 61, 61),
        ("short", "bob", 21, 21),
        ("middle", "bob", FRAMES, FRAMES),
    ]
    for followed in silent:
        for part in ("qpos", "position", "quaternion", "linear_velocity", "angular_velocity"):
            first = [getattr(pose, part)[0] for pose in (followed.done, followed.clip)]
            np.testing.assert_allclose(*first, atol=2e-3, err_msg=part)
        far = np.linalg.norm(followed.done.position - followed.clip.position, axis=2)
        assert far.max() > followed.task.each_within, "by the task's own limit it has failed"
    long, short = silent[0].done.qpos, silent[1].done.qpos
    np.testing.assert_array_equal(long[:21], short)  # the same clip, cut, and the same agent: no end came between


def test_bodies_are_where_the_joints_put_them(silent: list[Followed]) -> None:
    followed = silent[0]
    again = tracked(followed.body.model, followed.done.qpos, followed.done.qvel, BONES)
    done = followed.done
    for seen, expected in zip((done.position, done.linear_velocity), (again[0], again[2]), strict=True):
        np.testing.assert_allclose(seen, expected, atol=1e-4)


def test_clips_followed_in_parts_come_to_the_same(
    clips: tuple[Path, ...], silent: list[Followed], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "TOGETHER", 2)
    made = evaluate(dataclasses.replace(imitate(*clips), held_out=("bob",)), zero_agent, threads=1)
    assert made.held_out == (False, True, True)
    assert made.clips == tuple(measure(followed) for followed in silent)


# ---- mm-evalkit -----------------------------------------------------------------------------------------------------


def standing(body: Embodiment, names: tuple[str, ...], falls: bool, place: int = 0, frames: int = 30) -> Followed:
    """A body that sways on the spot, or is half a metre too low from frame 11 on."""
    compiled = body.compile()
    model = compiled.model
    rng = np.random.default_rng(3)
    sway = 0.02 * np.sin(np.linspace(0.0, 3.0, frames))
    qpos = np.tile(model.qpos0, (frames, 1))
    qpos[:, compiled.joint_qpos] += np.outer(sway, rng.normal(size=len(compiled.joints)))
    moved_to = qpos.copy()
    if falls:
        moved_to[11:, 2] -= 0.55
    poses = []
    for rows in (qpos, moved_to):
        qvel = velocities(model, rows, 100.0)
        activation = rng.uniform(0.0, 0.1, (frames, len(compiled.muscles)))
        lengths = np.zeros_like(activation)
        poses.append(Pose(rows, qvel, activation, lengths, *tracked(model, rows, qvel, names)))
    task = Imitate(name="sway", body=body, weights=(), tracked=names, root="root" if falls else "")
    return Followed(place, f"sway {place}", "", task, compiled, *poses)


@needs_evalkit
def test_mm_evalkit_reads_the_rollouts_of_the_whole_body(tmp_path: Path) -> None:
    """Its own validation, of joints, muscles, feet and moments, and its own reading of gait."""
    from mm_evalkit.policies import load_policy_specs, validate_policy_files
    from mm_evalkit.workflows.gait.channels import joint_names_myo, muscle_names_myo
    from mm_evalkit.workflows.gait.loading import build_channels
    from mm_evalkit.workflows.gait.policy_data import load_policy_run
    from mm_evalkit.workflows.gait.rollout_validation import validate_policy_rollouts

    followed = [standing(FULLBODY_NOFINGERS, ("pelvis", "head"), falls=True, place=place) for place in (1, 0)]
    followed[0] = dataclasses.replace(followed[0], done=followed[0].clip)
    paths = write_rollouts(tmp_path / "out", followed, "My Policy 2")
    assert [path.name for path in paths] == ["episodes.npz", "policies.yaml"]
    policies = load_policy_specs(paths[1])
    validate_policy_files(policies)
    assert (policies[0].id, policies[0].label) == ("my-policy-2", "My Policy 2")
    validate_policy_rollouts(
        policies,
        subject_based=False,
        motion_count=None,
        expected_joint_names=tuple(joint_names_myo),
        expected_joint_width=len(joint_names_myo) + 6,
        expected_activation_width=len(muscle_names_myo),
        expected_motion_group=None,
    )
    run = load_policy_run(build_channels("Wang"), policies[0], subject_based=False)
    ends = [(r["reason"], r["episode_length"], r["reference_length"]) for r in run.episode_gait_records]
    assert ends == [("early_termination", 11, 30), ("no_valid_gait_cycles", 30, 30)]
    with np.load(paths[0]) as archive:
        assert str(archive["kinetics_sample_phase"]) == "post_step"
        assert archive["model_mass_kg"] == pytest.approx(sum(followed[0].body.model.body_mass))
        assert np.abs(archive["episode_1_generalized_actuator_forces"]).max() > 1.0


@needs_evalkit
@pytest.mark.parametrize(("body", "absent"), [(BIMANUAL, 0), (BIMANUAL_NOFINGERS, 62)])
def test_mm_evalkit_reads_the_rollouts_of_two_arms(tmp_path: Path, body: Embodiment, absent: int) -> None:
    from mm_evalkit.workflows.bimanual.muscles import load_muscle_names
    from mm_evalkit.workflows.bimanual.rollout import open_rollout, resolve_trial_stems

    followed = standing(body, ("thorax", "lunate_r"), falls=False)
    rollouts, _ = write_rollouts(tmp_path, [followed], "arms", motion_group="REACHES")
    muscles = load_muscle_names()
    with open_rollout(rollouts, expected_activation_count=len(muscles), expected_motion_group="REACHES") as (
        data,
        about,
    ):
        assert resolve_trial_stems(data, about, ["P01/P01_ElbowFlexion_Slow"]) == {0: "P01_ElbowFlexion_Slow"}
        assert data["muscle_names"].tolist() == muscles
        column = about.joint_names.index("elbow_flex_r")
        here = followed.body.joint_qpos[followed.body.joint_index("elbow_flex_r")]
        np.testing.assert_array_equal(data["episode_0_joint_positions"][:, column], followed.done.qpos[:, here])
        assert len(data["absent_muscles"]) == absent
        column, here = muscles.index("BIClong"), followed.body.muscles.index("BIClong")
        activation = data["episode_0_muscle_activations"]
        np.testing.assert_allclose(activation[:, column], followed.done.activation[:, here], atol=1e-6)
        assert not activation[:, np.isin(muscles, data["absent_muscles"])].any()


def test_fingers_are_left_out_and_other_bodies_are_refused() -> None:
    assert check_body(FULLBODY.compile()).embodiment == FULLBODY_NOFINGERS
    with pytest.raises(UserError, match="controlled every 20 ms and mm-evalkit reads rollouts of 10 ms only"):
        check_body(embodiment("finger").compile())
    slow = dataclasses.replace(embodiment("finger"), frame_skip=5)
    with pytest.raises(UserError, match="does not know body 'finger' \\(4 joints, 5 muscles\\)"):
        check_body(slow.compile())


# ---- the command line -----------------------------------------------------------------------------------------------


@pytest.fixture
def policy(clips: tuple[Path, ...], tmp_path: Path) -> Path:
    """A checkpoint of a policy that has learned nothing, beside wave.py, the file of its task."""
    asked = imitate(*clips)
    told = {field.name: getattr(asked, field.name) for field in dataclasses.fields(asked)}
    words = ", ".join(f"{name}={value!r}" for name, value in told.items() if value != float("inf"))
    lines = ("from arnold.tasks import register_task", "from arnold.tasks.imitate import Imitate")
    (tmp_path / "wave.py").write_text("\n".join((*lines, f"register_task(Imitate({words}))", "")))
    body = asked.compile()
    network = MlpActorCritic(asked.observation_table(body), body.action_table, MlpConfig(hidden=(8,)))
    made = {"params": network.init(jax.random.key(0)), "statistics": network.init_statistics()}
    return save_checkpoint(tmp_path / "policy", policy=made, config=describe(network, (asked,)))


@pytest.mark.slow
def test_a_policy_is_evaluated_on_clips_of_ones_own(
    policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, frames, subject in (("mine", 11, "me"), ("yours", 6, "you")):
        wave(name, frames, subject).save(tmp_path / "own" / name)
    given = ["evaluate", str(policy), "--tasks", "wave.py", "--episodes", "2", "--out", "results", "--clips", "own"]
    assert main(given) == 0
    said = capsys.readouterr().out
    assert "steps solved / horizon" in said
    assert "finger_wave_with_clips: each clip once" in said
    for row in ("all clips", "subject you", "mine", "yours"):
        assert f"\n{row} " in said
    assert [line for line in said.splitlines() if line.startswith("results/")][-3:] == [
        *(f"results/tracking.{suffix}" for suffix in ("json", "csv", "md")),
    ]
    made = json.loads((tmp_path / "results/tracking.json").read_text())["tasks"][0]
    assert [(clip["name"], clip["frames"], clip["held_out"]) for clip in made["clips"]] == [
        *(("mine", 11, False), ("yours", 6, False)),
    ]


def test_only_imitation_takes_clips_and_mm_evalkit_only_its_own_bodies(
    policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for words, complaint in (
        (
            ["evaluate", str(policy), "--tasks", "elbow_pose", "--clips", "own"],
            "imitation tasks only, not in elbow_pose",
        ),
        (
            ["export", "mm-evalkit", str(policy), "--task", "elbow_pose", "--out", "kit"],
            "one imitation task is exported",
        ),
        (["export", "mm-evalkit", str(policy), "--task", "wave.py", "--out", "kit"], "rollouts of 10 ms only"),
        (["export", "mm-evalkti", str(policy)], "no policy 'mm-evalkti'"),
    ):
        assert main(words) == 2
        assert complaint in capsys.readouterr().err
    assert not (tmp_path / "kit").exists()
