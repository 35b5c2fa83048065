"""Retargeting: known motions come back, couplings and limits hold, planted faults are found."""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from shared_data import SHARED, needs

from arnold.embodiments import Embodiment, embodiment
from arnold.errors import UserError
from arnold.motion import Clip, Motion, velocities
from arnold.motion.bodies import BodyMap, register_map
from arnold.motion.cycles import WALKING, gait
from arnold.motion.ground import lifted_clear
from arnold.motion.quality import draw, failures, measure
from arnold.motion.retargeting import retarget, solve
from arnold.motion.scaling import targets
from arnold.motion.skeleton import Skeleton, skeleton_of

pytestmark = pytest.mark.native

LEGS = "kinesis_legs"
RATE = 30.0
# By joint: mean and amplitude, rad; the left leg is half a cycle behind.
SWING = {"hip_flexion": (0.3, 0.4), "hip_adduction": (0.0, 0.1), "knee_angle": (0.6, 0.5), "ankle_angle": (0.0, 0.15)}
ARMS = {"shoulder_elv": (0.6, 0.3), "elv_angle": (0.8, 0.3), "elbow_flex": (0.9, 0.5)}


def address(skeleton: Skeleton, joint: str) -> int:
    """Where a joint's number is in qpos."""
    return int(skeleton.full.joint(joint).qposadr[0])


def swinging(skeleton: Skeleton, frames: int = 45) -> np.ndarray:
    """A motion of the body itself: it stands for ten frames, then swings its limbs, travels and turns."""
    time = np.maximum(np.arange(frames) - 10, 0) / RATE
    qpos = np.repeat(skeleton.obey(skeleton.full.qpos0)[None], frames, axis=0)
    begun = np.clip(np.arange(frames) / 10 - 1, 0.0, 1.0)
    for joint, (mean, size) in (SWING | ARMS).items():
        for side, phase in (("r", 0.0), ("l", np.pi)):
            if f"{joint}_{side}" in skeleton.free_joints:
                swung = mean + size * np.sin(2 * np.pi * time + phase)
                qpos[:, address(skeleton, f"{joint}_{side}")] = begun * swung
    if skeleton.root >= 0:
        root = skeleton.root
        rest = Rotation.from_quat(skeleton.full.qpos0[root + 3 : root + 7], scalar_first=True)
        turn = Rotation.from_euler("z", 0.4 * time[:, None]) * skeleton.rest_heading.inv() * rest
        qpos[:, root] += 1.2 * time
        qpos[:, root + 3 : root + 7] = turn.as_quat(scalar_first=True)
    return skeleton.obey(qpos)


def as_motion(skeleton: Skeleton, qpos: np.ndarray, size: float = 1.0) -> Motion:
    """What a camera sees of it, of a person ``size`` times as large."""
    places = size * skeleton.places(qpos)
    return Motion("seen", RATE, {name: places[:, k] for k, name in enumerate(skeleton.keypoints)})


@functools.lru_cache
def walk(body: str) -> Clip:
    """The average walking cycle, four seconds."""
    return retarget(gait(WALKING, seconds=2.5), body, rate=RATE)


# ---- known motions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1.0, 0.8])
def test_joint_angles_come_back_from_the_places_of_joints(size: float) -> None:
    skeleton = skeleton_of(embodiment(LEGS))
    truth = swinging(skeleton)
    found = solve(skeleton, targets(as_motion(skeleton, truth, size), skeleton))
    for joint in ("hip_flexion", "hip_adduction", "knee_angle"):
        for side in "rl":
            at = address(skeleton, f"{joint}_{side}")
            assert np.abs(found[:, at] - truth[:, at]).max() < 0.12, f"{joint}_{side}"
            assert np.sqrt(np.mean((found[:, at] - truth[:, at]) ** 2)) < 0.05, f"{joint}_{side}"


def test_arms_come_back_in_front_of_a_trunk_that_does_not_move() -> None:
    skeleton = skeleton_of(embodiment("musclemimic_bimanual"))
    assert skeleton.root < 0
    truth = swinging(skeleton)
    seen = as_motion(skeleton, truth, 1.2)
    found = solve(skeleton, targets(seen, skeleton))
    off = np.linalg.norm(skeleton.places(found) - skeleton.places(truth), axis=-1)
    wrists = [skeleton.keypoints.index(f"{side}_wrist") for side in ("left", "right")]
    assert np.median(off[:, wrists]) < 0.02
    # A person who turns round and walks away does the same with the arms, seen from the trunk.
    away = Rotation.from_euler("z", 2.0)
    moved = {name: away.apply(p) + np.array([3.0, 1.0, 0.2]) for name, p in seen.keypoints.items()}
    again = solve(skeleton, targets(dataclasses.replace(seen, keypoints=moved), skeleton))
    assert np.abs(skeleton.places(again) - skeleton.places(found)).max() < 0.01


def test_angles_are_followed_and_the_pelvis_turns_as_opensim_says() -> None:
    frames = 40
    ones = np.ones(frames)
    angles = {
        "hip_flexion_r": 0.8 * ones,
        "knee_angle_r": 1.2 * ones,
        "pelvis_rotation": np.pi / 2 * ones,
        "pelvis_ty": ones,
    }
    clip = retarget(Motion("still", RATE, angles=angles), LEGS)
    skeleton = skeleton_of(embodiment(LEGS))
    assert clip.qpos[20, address(skeleton, "knee_angle_r")] == pytest.approx(1.2, abs=0.02)
    assert clip.qpos[20, address(skeleton, "hip_flexion_r")] == pytest.approx(0.8, abs=0.02)
    at = dict(zip(clip.sites, skeleton.places(clip.qpos[20:21].astype(float))[0], strict=True))
    # OpenSim's rotation turns x ahead towards -z, which is the left: the left hip is now behind.
    assert (at["left_hip"] - at["right_hip"])[0] < -0.1
    # A flexed thigh goes ahead, which is the left now (y).
    assert (at["right_knee"] - at["right_hip"])[1] > 0.1


def test_a_clip_of_the_average_walk_passes_every_check() -> None:
    clip = walk(LEGS)
    assert failures(clip.quality) == []
    assert clip.quality["site_error_m"]["median"] < 0.01
    assert clip.quality["speed_m_s"] == pytest.approx(WALKING.speed, rel=0.1)
    # Each part of each foot is on the ground for a part of the time.
    assert (clip.contact.mean(axis=0) > 0.2).all()
    assert (clip.contact.mean(axis=0) < 0.9).all()


def test_velocities_are_those_of_the_positions() -> None:
    clip, skeleton = walk(LEGS), skeleton_of(embodiment(LEGS))
    np.testing.assert_allclose(clip.qvel, velocities(skeleton.full, clip.qpos, clip.rate), atol=1e-3)


def test_one_who_walks_on_a_treadmill_is_taken_off_it() -> None:
    travelling = gait(WALKING, seconds=3.0)
    ty = {name: values for name, values in travelling.angles.items() if name not in ("pelvis_tx", "pelvis_tz")}
    clip = retarget(dataclasses.replace(travelling, angles=ty), LEGS, rate=RATE)
    assert clip.quality["treadmill_m_s"] == pytest.approx(WALKING.speed, rel=0.25)
    assert clip.quality["speed_m_s"] == pytest.approx(WALKING.speed, rel=0.25)


# ---- couplings, limits, the ground ----------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [LEGS, "musclemimic_fullbody"])
def test_couplings_and_limits_hold_in_any_pose(body: str) -> None:
    skeleton = skeleton_of(embodiment(body))
    model = skeleton.full
    wild = np.random.default_rng(0).normal(scale=3.0, size=(50, model.nq))
    qpos = skeleton.obey(wild)
    data = mujoco.MjData(model)
    for q in qpos[:10]:  # MuJoCo's own residual of its equalities is the oracle
        data.qpos[:] = q
        mujoco.mj_forward(model, data)
        equalities = data.efc_type == mujoco.mjtConstraint.mjCNSTR_EQUALITY
        assert equalities.sum() == model.neq
        assert np.abs(data.efc_pos[equalities]).max() < 1e-9
    for j in range(model.njnt):
        if model.jnt_limited[j]:
            at = qpos[:, model.jnt_qposadr[j]]
            assert at.min() > model.jnt_range[j, 0] - 1e-3, model.joint(j).name
            assert at.max() < model.jnt_range[j, 1] + 1e-3, model.joint(j).name


def test_heights_over_the_ground_agree_with_mujoco() -> None:
    skeleton = skeleton_of(embodiment(LEGS))
    model, data = skeleton.full, mujoco.MjData(skeleton.full)
    floor = next(g for g in range(model.ngeom) if model.geom_type[g] == mujoco.mjtGeom.mjGEOM_PLANE)
    qpos = swinging(skeleton)[20:23]
    heights = skeleton.heights(skeleton.poses(qpos))
    solid = [
        g
        for g in range(model.ngeom)
        if model.geom_bodyid[g] > 0 and model.geom_contype[g] & model.geom_conaffinity[floor]
    ]
    assert len(solid) == heights.shape[1]
    for q, found in zip(qpos, heights, strict=True):
        data.qpos[:] = q
        mujoco.mj_forward(model, data)
        apart = [mujoco.mj_geomDistance(model, data, floor, g, 5.0, None) for g in solid]
        np.testing.assert_allclose(found, apart, atol=1e-4)


def test_a_sunken_motion_is_lifted_clear_of_the_ground_without_jumps() -> None:
    skeleton = skeleton_of(embodiment(LEGS))
    qpos = swinging(skeleton)
    qpos[:, skeleton.root + 2] -= 0.1 + 0.05 * (np.arange(len(qpos)) == 30)
    lifted, lift = lifted_clear(skeleton, qpos, RATE)
    assert skeleton.heights(skeleton.poses(lifted)).min() > -1e-9
    assert np.abs(np.diff(lift)).max() < 0.025


# ---- quality --------------------------------------------------------------------------------------------------------


def with_fault(clip: Clip, joint: str, by: float, frames: slice = slice(None)) -> Clip:
    """The clip with something added to one number of qpos."""
    skeleton = skeleton_of(embodiment(clip.body))
    qpos = clip.qpos.copy()
    at = skeleton.root + 2 if joint == "height" else address(skeleton, joint)
    qpos[frames, at] += by
    return dataclasses.replace(clip, qpos=qpos)


@pytest.mark.parametrize(
    ("joint", "by", "frames", "said"),
    [
        ("hip_flexion_r", 2.5, slice(5, 8), "joint limit violation"),
        ("knee_angle_rotation3_l", 0.05, slice(5, 6), "coupling violation"),
        ("height", -0.02, slice(0, 10), "below the ground"),
        ("height", 0.05, slice(None), "floating"),
        ("height", 0.2, slice(None), "median site error"),
        ("hip_flexion_r", 1.0, slice(30, 31), "tendon jump"),
    ],
)
def test_a_planted_fault_fails_its_check(joint: str, by: float, frames: slice, said: str) -> None:
    report = measure(with_fault(walk(LEGS), joint, by, frames), embodiment(LEGS))
    assert said in "; ".join(failures(report))


def test_a_motion_beyond_the_body_says_which_joints_are_at_their_limits() -> None:
    frames = 60
    bend = 2.8 * np.sin(np.linspace(0, np.pi, frames)) ** 0.3
    clip = retarget(Motion("contortion", RATE, angles={"knee_angle_r": bend, "pelvis_ty": np.ones(frames)}), LEGS)
    assert clip.quality["joint_limit_violation"]["max_rad"] < 1e-3
    assert "knee_angle_r" in clip.quality["joints_at_limit"]
    assert clip.quality["site_error_m"]["by_site"]["right_ankle"]["median"] > 0.05


def test_the_report_is_json_and_the_picture_is_drawn(tmp_path: Path) -> None:
    clip = walk(LEGS)
    assert json.loads(json.dumps(clip.quality)) == clip.quality
    assert draw(clip, embodiment(LEGS), tmp_path / "walk.png").stat().st_size > 20_000


# ---- bad input ------------------------------------------------------------------------------------------------------


def broken(kind: str) -> Motion:
    skeleton = skeleton_of(embodiment(LEGS))
    motion = as_motion(skeleton, swinging(skeleton))
    points = {name: p.copy() for name, p in motion.keypoints.items()}
    if kind == "gap":
        points["left_knee"][7:30] = np.nan
    if kind == "missing":
        del points["right_ankle"]
    if kind == "rate":
        return dataclasses.replace(motion, rate=0.0)
    if kind == "angle":
        return Motion("seen", RATE, angles={"knee_angle_r": np.where(np.arange(45) == 12, np.nan, 0.3)})
    if kind == "other":
        return Motion("seen", RATE, angles={"wing_beat": np.zeros(45)})
    return dataclasses.replace(motion, keypoints=points)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("gap", "left_knee from frame 7 on for 23 frames"),
        ("missing", "no keypoints right_ankle"),
        ("rate", "rate of 0.0"),
        ("angle", "not finite at frame 12"),
        ("other", "no angle of a joint of body 'kinesis_legs'; it has wing_beat"),
    ],
)
def test_a_motion_that_cannot_be_used_says_why(kind: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        retarget(broken(kind), LEGS)


def test_hours_of_motion_are_refused_before_they_are_solved() -> None:
    angles = {"knee_angle_r": np.zeros(10 * 3600 * 30)}
    with pytest.raises(UserError, match=r"frames \(600 minutes\)"):
        retarget(Motion("long", RATE, angles=angles), LEGS)


def test_a_short_gap_is_filled_and_an_initial_rest_pose_left_out() -> None:
    skeleton = skeleton_of(embodiment(LEGS))
    whole = as_motion(skeleton, swinging(skeleton))
    points = {name: p.copy() for name, p in whole.keypoints.items()}
    points["left_knee"][20:23] = np.nan
    for p in points.values():
        p[0] += [2.0, 0.0, 0.0]
    clip = retarget(dataclasses.replace(whole, keypoints=points), LEGS)
    assert clip.frames == whole.frames - 1
    assert clip.quality["site_error_m"]["max"] < 0.05


def test_frames_that_only_repeat_the_one_before_are_drawn_from_their_neighbours() -> None:
    skeleton = skeleton_of(embodiment(LEGS))
    whole = as_motion(skeleton, swinging(skeleton, 46)[10:])
    held = {name: p[np.arange(36) // 2 * 2] for name, p in whole.keypoints.items()}
    clip = retarget(dataclasses.replace(whole, keypoints=held), LEGS, cutoff=0.0)
    steps = np.diff(clip.qpos[:-1, skeleton.root].astype(float))
    assert np.ptp(steps) < 0.5 * np.mean(steps)


def test_a_body_with_arms_follows_a_motion_that_knows_only_legs() -> None:
    skeleton = skeleton_of(embodiment(LEGS))
    clip = retarget(as_motion(skeleton, swinging(skeleton, 20)), "musclemimic_fullbody")
    wrists = [clip.sites.index(f"{side}_wrist") for side in ("left", "right")]
    assert np.isnan(clip.targets[:, wrists]).all()
    assert clip.quality["site_error_m"]["median"] < 0.02


def test_a_body_that_is_no_person_is_refused_and_one_with_a_map_is_not(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither two legs nor two arms"):
        retarget(gait(WALKING), "finger")
    # The same legs under other names: only the map knows them.
    spec = embodiment(LEGS).build()
    names = {f"{part}_{side}": f"my_{part}_{side}" for part in ("femur", "tibia", "talus", "toes") for side in "rl"}
    for old, new in names.items():
        spec.body(old).name = new
    for exclusion in spec.excludes:
        exclusion.bodyname1 = names.get(exclusion.bodyname1, exclusion.bodyname1)
        exclusion.bodyname2 = names.get(exclusion.bodyname2, exclusion.bodyname2)
    mine = Embodiment("my_own_legs", spec.copy, side=None)
    register_map(
        "my_own_legs",
        dataclasses.replace(
            skeleton_of(embodiment(LEGS)).map,
            keypoints={
                point: names.get(part, part) for point, part in skeleton_of(embodiment(LEGS)).map.keypoints.items()
            },
        ),
    )
    clip = retarget(gait(WALKING, seconds=1.5), mine, rate=RATE)
    assert clip.body == "my_own_legs"
    assert failures(clip.quality) == []
    with pytest.raises(UserError, match="did you mean 'left_knee'"):
        BodyMap({"left_kne": "tibia_l"})


# ---- real recordings ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(name, marks=needs(name))
        for name in (
            "cmu_bvh/007_01.bvh",
            "cmu_amc/02_01.amc",
            "camargo_turning/levelground_ccw_fast_01_01_ik.mot",
            "falisse_3dpredictsim/IK_gait_14_mtp.mot",
            "loco_mujoco_mini/02-constspeed_full_humanoid.npz",
            "bmclab_bmc/ik_output_run.mot",
            "opencap_processing/squats1_videoAndMocap.mot",
        )
    ],
)
def test_a_recording_is_retargeted_within_what_was_asked(file: str) -> None:
    from arnold.motion.readers import read_motion

    clip = retarget(read_motion(SHARED / file, stop=2.0), LEGS, rate=RATE)
    quality = clip.quality
    assert quality["site_error_m"]["median"] < 0.03
    assert quality["joint_limit_violation"]["max_rad"] <= 1e-3
    assert quality["coupling_violation"]["max_rad"] <= 1e-3
    assert quality["ground"]["share_below_5_mm"] < 0.01
