"""Clips: their file, other rates, velocities; the movements that the library makes itself; static optimisation."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import mujoco
import numpy as np
import pytest

from arnold.embodiments import embodiment
from arnold.errors import UserError
from arnold.motion import Clip, library, velocities
from arnold.motion.activations import static_activations
from arnold.motion.cycles import RUNNING, WALKING, gait
from arnold.motion.library import MADE, clips_of
from arnold.motion.reaches import minimum_jerk, reaches

pytestmark = pytest.mark.native


def elbow_clip(seconds: float = 2.0, rate: float = 100.0, name: str = "wave", subject: str = "") -> Clip:
    """The elbow swings between 0.5 and 1.5 rad once a second."""
    model = embodiment("elbow").compile().model
    time = np.arange(int(seconds * rate) + 1) / rate
    qpos = (1.0 - 0.5 * np.cos(2.0 * np.pi * time))[:, None]
    return Clip(
        name=name,
        body="elbow",
        rate=rate,
        joints=(model.joint(0).name,),
        qpos=qpos.astype(np.float32),
        qvel=velocities(model, qpos, rate),
        subject=subject,
    )


def walking_model() -> mujoco.MjModel:
    return embodiment("kinesis_legs").compile().model


# ---- the file -------------------------------------------------------------------------------------------------------


def test_a_clip_is_read_as_it_was_written(tmp_path: Path) -> None:
    clip = dataclasses.replace(
        elbow_clip(),
        sites=("left_wrist",),
        targets=np.full((201, 1, 3), np.nan, np.float32),
        contacts=("foot",),
        contact=np.arange(201)[:, None] % 2 == 0,
        activation=np.full((201, 6), 0.25, np.float32),
        quality={"site_error_m": {"median": 0.01}},
        source="a test",
    )
    read = Clip.load(clip.save(tmp_path / "wave"))
    for field in dataclasses.fields(Clip):
        one, other = getattr(clip, field.name), getattr(read, field.name)
        if isinstance(one, np.ndarray):
            np.testing.assert_array_equal(other, one, err_msg=field.name)
        else:
            assert other == one, field.name


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "no_about", "format", "nan", "rate", "short"])
def test_a_damaged_file_gives_one_line_that_names_it(tmp_path: Path, damage: str) -> None:
    clip, path = elbow_clip(), tmp_path / "wave.npz"
    qpos = clip.qpos.copy()
    qpos[7] = np.nan
    planted = {
        "nan": dataclasses.replace(clip, qpos=qpos),
        "rate": dataclasses.replace(clip, rate=0.0),
        "short": dataclasses.replace(clip, qpos=clip.qpos[:1], qvel=clip.qvel[:1]),
    }
    planted.get(damage, clip).save(path)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:200])
    if damage in ("empty", "text"):
        path.write_bytes(b"" if damage == "empty" else b"time,angle\n0,1\n")
    if damage in ("no_about", "format"):
        with np.load(path) as stored:
            arrays = dict(stored)
        about = json.loads(str(arrays.pop("about")))
        if damage == "format":
            arrays["about"] = np.array(json.dumps({**about, "version": 99}))
        np.savez_compressed(path, **arrays)
    with pytest.raises(UserError) as error:
        Clip.load(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    if damage == "nan":
        assert "frame 7" in str(error.value)


def test_a_clip_of_another_skeleton_is_refused_by_joint() -> None:
    with pytest.raises(UserError, match="hip_flexion_r"):
        elbow_clip().fits(walking_model(), "body 'kinesis_legs'")


# ---- other rates ----------------------------------------------------------------------------------------------------


def test_resampling_interpolates_rather_than_repeats() -> None:
    model = embodiment("elbow").compile().model
    clip = elbow_clip(rate=30.0).resampled(model, 100.0)
    time = np.arange(clip.frames) / 100.0
    assert clip.duration == pytest.approx(2.0)
    # in the middle: a spline is least exact at its ends
    np.testing.assert_allclose(clip.qpos[10:-10, 0], (1.0 - 0.5 * np.cos(2.0 * np.pi * time))[10:-10], atol=1e-3)
    np.testing.assert_allclose(clip.qvel[10:-10, 0], (np.pi * np.sin(2.0 * np.pi * time))[10:-10], atol=2e-2)


def test_a_turning_root_is_resampled_on_the_sphere() -> None:
    model = walking_model()
    angle = np.linspace(0.0, 3.0, 31)
    qpos = np.tile(model.qpos0, (31, 1))
    qpos[:, 3:7] = np.stack([np.cos(angle / 2), 0 * angle, 0 * angle, np.sin(angle / 2)], axis=1)
    joints = tuple(model.joint(j).name for j in range(model.njnt))
    clip = Clip("turn", "kinesis_legs", 30.0, joints, qpos.astype(np.float32), velocities(model, qpos, 30.0))
    fine = clip.resampled(model, 90.0)
    np.testing.assert_allclose(np.linalg.norm(fine.qpos[:, 3:7], axis=1), 1.0, atol=1e-6)
    np.testing.assert_allclose(2.0 * np.arctan2(fine.qpos[:, 6], fine.qpos[:, 3]), np.linspace(0.0, 3.0, 91), atol=1e-4)
    np.testing.assert_allclose(fine.qvel[:, 5], 3.0, atol=1e-2)  # rad/s about the vertical


# ---- movements made by code -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("cycle", [WALKING, RUNNING])
def test_a_gait_cycle_is_periodic_symmetric_and_as_fast_as_it_says(cycle: object) -> None:
    motion = gait(cycle, seconds=4 * cycle.period, rate=50.0 / cycle.period)
    angles = motion.angles
    np.testing.assert_allclose(angles["knee_angle_r"][50:100], angles["knee_angle_r"][:50], atol=1e-9)
    np.testing.assert_allclose(angles["knee_angle_l"][:50], angles["knee_angle_r"][25:75], atol=1e-9)
    assert angles["pelvis_tx"][-1] / motion.duration == pytest.approx(cycle.speed, rel=1e-6)


def test_the_average_walker_bends_the_knee_as_published() -> None:
    knee = np.rad2deg(gait(WALKING, seconds=1.04).angles["knee_angle_r"])
    assert knee.max() == pytest.approx(66.0, abs=1.0)  # in swing
    assert 0.65 < knee.argmax() / len(knee) < 0.80
    assert knee.min() > 8.0


def test_a_turning_walker_comes_round() -> None:
    motion = gait(WALKING, turn=np.pi / 4, seconds=8.0)
    angles = motion.angles
    assert np.hypot(angles["pelvis_tx"][-1], angles["pelvis_tz"][-1]) < 0.05
    assert angles["pelvis_rotation"][-1] - angles["pelvis_rotation"][0] == pytest.approx(2 * np.pi, abs=0.1)


@pytest.mark.parametrize("wrong", [{"speed": -1.0}, {"seconds": 0.0}, {"rate": float("nan")}])
def test_a_gait_that_is_none_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match=next(iter(wrong))):
        gait(WALKING, **wrong)


def test_reaches_are_straight_and_of_minimum_jerk() -> None:
    motion = reaches(3)
    for side in ("left", "right"):
        shoulder, elbow, wrist = (motion.keypoints[f"{side}_{joint}"] for joint in ("shoulder", "elbow", "wrist"))
        upper, fore = np.linalg.norm(elbow - shoulder, axis=1), np.linalg.norm(wrist - elbow, axis=1)
        np.testing.assert_allclose(upper, upper[0], atol=1e-6)
        np.testing.assert_allclose(fore, fore[0], atol=1e-6)
        speed = np.linalg.norm(np.diff(wrist, axis=0), axis=1) * motion.rate
        moving = speed > 1e-6
        begins = np.flatnonzero(moving[1:] & ~moving[:-1]) + 1
        ends = np.flatnonzero(~moving[1:] & moving[:-1]) + 1
        first, last = begins[0], ends[ends > begins[0]][0]
        path = wrist[first : last + 1]
        np.testing.assert_allclose(speed[first:last].max() / speed[first:last].mean(), 1.875, rtol=0.05)
        across = np.cross(path - path[0], (path[-1] - path[0]) / np.linalg.norm(path[-1] - path[0]))
        assert np.abs(across).max() < 1e-6
    assert minimum_jerk(np.array([0.0, 0.5, 1.0])).tolist() == [0.0, 0.5, 1.0]


def test_an_unknown_clip_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="walk_fast"):
        clips_of(["walk_fats"], embodiment("kinesis_legs"))
    with pytest.raises(UserError, match="no clips"):
        clips_of([str(tmp_path)], embodiment("kinesis_legs"))
    assert "walk" in MADE


# ---- static optimisation --------------------------------------------------------------------------------------------


def test_the_activations_of_a_clip_give_its_acceleration() -> None:
    model = embodiment("elbow").compile().model
    clip = elbow_clip()
    activation, missing = static_activations(model, clip)
    assert activation.shape == (clip.frames, 6)
    assert activation.min() >= 0.0
    assert activation.max() <= 1.0
    data, inner = mujoco.MjData(model), range(20, clip.frames - 20, 20)
    for frame in inner:
        data.qpos, data.qvel, data.act = clip.qpos[frame], clip.qvel[frame], activation[frame]
        mujoco.mj_forward(model, data)
        wanted = 2.0 * np.pi**2 * np.cos(2.0 * np.pi * frame / clip.rate)
        assert data.qacc[0] == pytest.approx(wanted, abs=2.0), frame  # the filter of accelerations takes some
        assert missing[frame] < 0.05


def test_standing_legs_are_carried_by_the_ground_and_their_muscles() -> None:
    model = walking_model()
    clip = clips_of(["walk"], embodiment("kinesis_legs"))[0]
    activation, _ = static_activations(model, clip, ("calcn_r", "toes_r", "calcn_l", "toes_l"))
    phase = (np.arange(clip.frames) / clip.rate / WALKING.period) % 1.0
    stance, swing = (phase > 0.15) & (phase < 0.5), (phase > 0.65) & (phase < 0.95)
    soleus = activation[:, model.actuator("soleus_r").id]
    assert soleus[stance].mean() > 4.0 * soleus[swing].mean()


def test_activations_need_muscles_alone() -> None:
    model = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><body><joint name='j'/><geom size='.1'/></body></worldbody>"
        "<actuator><motor joint='j'/></actuator></mujoco>"
    )
    with pytest.raises(UserError, match="muscles alone"):
        static_activations(model, elbow_clip())


# ---- clips that are kept --------------------------------------------------------------------------------------------


def test_a_clip_made_by_code_is_kept_and_a_damaged_one_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    body = dataclasses.replace(embodiment("kinesis_legs"), summary="of this test")  # not the process's own copy
    library._made.cache_clear()
    made = library._made("walk_slow", body)
    (kept,) = library.cache_folder().glob("kinesis_legs-walk_slow-*.npz")
    monkeypatch.setattr("arnold.motion.retargeting.retarget", None)
    library._made.cache_clear()
    np.testing.assert_array_equal(library._made("walk_slow", body).qpos, made.qpos)
    kept.write_bytes(kept.read_bytes()[:100])
    library._made.cache_clear()
    with pytest.raises(TypeError):  # it is made anew, by what this test has taken away
        library._made("walk_slow", body)
    library._made.cache_clear()
