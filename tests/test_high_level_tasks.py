"""Points to reach, commands and paths on the KINESIS legs: what is asked, how it is judged, where it begins."""

from __future__ import annotations

import dataclasses
import functools
import math
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scipy.stats import kstest

from arnold import saved_policy
from arnold.checkpoints import save_checkpoint
from arnold.cli import main
from arnold.embodiments import Body, Signals
from arnold.episodes import Recording
from arnold.errors import UserError
from arnold.experiments.recipes import EXPERTS, FINETUNINGS, IMITATOR
from arnold.motion import Clip, velocities
from arnold.motion.cycles import WALKING, gait
from arnold.motion.library import MADE
from arnold.motion.readers.smpl import JOINTS
from arnold.motion.retargeting import retarget
from arnold.motion.skeleton import skeleton_of
from arnold.policy.generalist import TransformerActorCritic
from arnold.policy.mlp import MlpActorCritic, MlpConfig
from arnold.policy.presets import preset
from arnold.tasks import Environment, registry, task
from arnold.tasks.catalog import (
    DIRECTIONAL_CONTROL,
    FOLLOWING,
    IMITATE_WALKING,
    PATH_FOLLOWING,
    TARGET_REACHING,
    WALK_LED,
    WALK_TO_POINT,
)
from arnold.tasks.check import signals_at_rest
from arnold.tasks.follow import FollowPoint, MovingPoint, commanded

pytestmark = pytest.mark.native

YAW, PLACE = 0.8, np.array([3.0, -1.0])  # where the planted bodies begin
TURN = Rotation.from_euler("z", YAW)


# shows less than the walker sees, and compiles sooner
SMALL = dataclasses.replace(IMITATE_WALKING, tracked=("root", "talus_l", "talus_r"), lookahead=(1,))


@functools.cache
def body_of() -> Body:
    return dataclasses.replace(TARGET_REACHING, like=SMALL).compile()


@functools.cache
def folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()  # goes when the tests end


def slides(name: str, speed: float) -> tuple[str, float]:
    """A clip of legs that slide ahead to the world's y, swinging a hip once a second; of legs that stand facing x."""
    body = body_of()
    start = dataclasses.replace(TARGET_REACHING, standing=1.0).start(body, jax.random.key(0))
    time = np.arange(91) / 30.0
    qpos = np.tile(np.asarray(body.qpos_with(start.joint_position, start.placed)), (len(time), 1))
    qpos[:, 1] += speed * time
    qpos[:, 3:7] = Rotation.from_euler("z", math.pi / 2 if speed else 0.0).as_quat(scalar_first=True)
    qpos[:, body.model.joint("hip_flexion_r").qposadr[0]] += 0.3 * speed * np.sin(2 * np.pi * time)
    joints = tuple(body.model.joint(j).name for j in range(body.model.njnt))
    clip = Clip(name, "kinesis_legs", 30.0, joints, qpos, velocities(body.model, qpos, 30.0))
    return str(clip.save(Path(folder().name) / name)), 1.0 if speed else 0.0


@functools.cache
def led(made: FollowPoint, **changes) -> FollowPoint:
    """A task whose guide stands and slides, so that nothing needs to be retargeted."""
    gaits = (slides("still", 0.0), slides("slide", 1.2))
    return dataclasses.replace(made, like=SMALL, gaits=gaits, **changes)


def planted(place=PLACE, *, yaw=YAW, height=0.93, velocity=(0.0, 0.0), lean=0.0, effort=0.0) -> Signals:
    """Signals of a body that leans backward by ``lean`` rad."""
    signals = signals_at_rest(body_of())
    turn = Rotation.from_euler("z", yaw) * Rotation.from_euler("y", -lean)
    values = np.zeros(13)
    values[:2], values[2], values[7:9] = place, height, velocity
    values[3:7] = turn.as_quat(scalar_first=True)
    frames = signals.frame_values.at[0].set(jnp.asarray(values, jnp.float32))
    return dataclasses.replace(signals, frame_values=frames, excitation=jnp.full_like(signals.excitation, effort))


def begun(made: FollowPoint, seed: int = 0, **signals) -> MovingPoint:
    body = body_of()
    return made.begin(body, planted(**signals), made.goal(body, jax.random.key(seed)))


@functools.cache
def _many(made: FollowPoint, count: int = 4000) -> MovingPoint:
    body, signals = body_of(), planted()
    draw = jax.vmap(lambda key: made.begin(body, signals, made.goal(body, key)))
    return jax.tree.map(np.asarray, jax.jit(draw)(jax.random.split(jax.random.key(1), count)))


# ---- what is asked --------------------------------------------------------------------------------------------------


def test_whoever_sees_no_guide_can_tell_from_the_point_what_it_does() -> None:
    many = _many(led(TARGET_REACHING, teaches=True), 200)
    left = TURN.inv().apply(many.point - np.array([*PLACE, 0.0]))[:, 1] > 0.0
    np.testing.assert_array_equal(many.guide.phase, np.where(left, 0.0, 0.5))
    assert 20 < left.sum() < 180


def test_a_pupil_reads_behind_the_guide_just_what_the_task_without_one_shows() -> None:
    read = []
    for made, recipe in ((WALK_LED, "walk_led"), (WALK_TO_POINT, "walk_to_point")):
        body = made.compile()
        table = made.observation_table(body)
        read.append(set(MlpActorCritic(table, body.action_table, EXPERTS[recipe].network).tokens_read.signatures))
    assert read[0] == read[1]
    error = {("error", "linear", "position", "root", axis) for axis in "xyz"}
    assert error < read[0]


def test_a_teacher_is_shown_what_its_own_task_shows() -> None:
    plain, more = (Environment(led(TARGET_REACHING, teaches=teaches), threads=1, lags=1) for teaches in (False, True))
    policy = MlpActorCritic(plain.observation_table, plain.action_table, MlpConfig(hidden=(8,), init_mean_scale=1.0))
    saved = saved_policy.SavedPolicy(policy, policy.init(jax.random.key(0)), policy.init_statistics(), {})
    seen = jax.random.normal(jax.random.key(1), (2, len(more.observation_table), 1))
    known = set(plain.observation_table.signatures)
    own = seen[:, np.array([signature in known for signature in more.observation_table.signatures])]
    assert seen.shape[1] == own.shape[1] + 3  # and the point
    said = []
    for environment, observation in ((plain, own), (more, seen)):
        expert = saved.expert(environment)
        said.append(expert.act(expert.params, (), observation, jnp.ones(2, bool))[1])
    np.testing.assert_array_equal(said[0], said[1])
    assert float(jnp.ptp(said[0])) > 0.1


def test_points_lie_all_around_the_body_wherever_it_is_and_faces() -> None:
    away = TURN.inv().apply(_many(led(TARGET_REACHING)).point - np.array([*PLACE, 0.0]))
    np.testing.assert_allclose(away[:, 2], 0.94, atol=1e-6)
    for axis in range(2):
        assert kstest(away[:, axis], "uniform", (-2.0, 4.0)).pvalue > 1e-3
    assert np.all(_many(led(TARGET_REACHING)).velocity == 0.0)


def test_commands_are_eight_directions_and_stopping_at_up_to_three_metres_per_second() -> None:
    knots = _many(led(DIRECTIONAL_CONTROL)).knots
    assert knots.shape[1] * DIRECTIONAL_CONTROL.every > 10.0 + DIRECTIONAL_CONTROL.every
    command = TURN.inv().as_matrix()[:2, :2] @ knots[:, 1].T
    speed, angle = np.hypot(*command), np.arctan2(command[1], command[0])
    goes = speed > 1e-6
    assert goes.mean() == pytest.approx(8 / 9, abs=0.02)
    eighths = angle[goes] / (math.pi / 4)
    np.testing.assert_allclose(eighths, np.rint(eighths), atol=1e-3)
    assert np.bincount(np.rint(eighths).astype(int) % 8) / goes.sum() == pytest.approx(np.full(8, 1 / 8), abs=0.025)
    assert kstest(speed[goes], "uniform", (0.0, 3.0)).pvalue > 1e-3


def test_a_lure_stays_ahead_of_the_root_as_far_as_it_would_get_in_a_second() -> None:
    body, made = body_of(), led(DIRECTIONAL_CONTROL)
    goal = begun(made, seed=3)
    for step in (1, 89, 90, 91, 181):
        place = PLACE + 0.01 * step
        moved = made.advance(body, planted(place), dataclasses.replace(goal, elapsed=jnp.int32(step - 1)))
        np.testing.assert_allclose(moved.point[:2] - place, moved.velocity, atol=1e-5)
        np.testing.assert_array_equal(moved.velocity, goal.knots[step // 90])
    assert len(np.unique(np.asarray(goal.knots), axis=0)) > 2


def test_a_path_begins_as_the_body_moves_and_bends_without_a_jump() -> None:
    body, made = body_of(), led(PATH_FOLLOWING)
    goal = begun(made, seed=2, velocity=(0.5, 0.6))
    speed = np.linalg.norm(np.asarray(goal.knots)[1:], axis=1)
    assert (speed > made.speeds[0] - 1e-5).all()
    assert (speed < made.speeds[1] + 1e-5).all()
    angle = np.unwrap(np.arctan2(*np.asarray(goal.knots)[1:].T[::-1]))
    assert np.abs(np.diff(angle)).max() < made.turn
    assert abs(angle[0] - YAW) < 2 * made.turn
    np.testing.assert_allclose(goal.point[:2], PLACE, atol=1e-6)
    np.testing.assert_allclose(goal.velocity, (0.5, 0.6), atol=1e-6)
    advance, signals = jax.jit(lambda s, g: made.advance(body, s, g)), planted()
    points, paces = [np.asarray(goal.point[:2])], [np.asarray(goal.velocity)]
    for _ in range(made.horizon):
        goal = advance(signals, goal)
        points.append(np.asarray(goal.point[:2]))
        paces.append(np.asarray(goal.velocity))
    dt, paces = body.control_dt, np.array(paces)
    np.testing.assert_allclose(np.diff(points, axis=0) / dt, paces[1:], atol=2e-4)
    assert np.linalg.norm(np.diff(paces, axis=0), axis=1).max() < 2 * 1.5 * dt / made.every + 1e-4
    np.testing.assert_allclose(
        paces[:: round(made.every / dt)], goal.knots[: len(paces[:: round(made.every / dt)])], atol=1e-4
    )


def test_the_guide_turns_to_the_point_keeps_near_and_stops_there() -> None:
    body, made = body_of(), led(TARGET_REACHING)
    lead = jax.jit(lambda signals, goal: made.advance(body, signals, goal))
    there = PLACE + TURN.as_matrix()[:2, 1] * 1.5  # 1.5 m to the left
    goal = dataclasses.replace(begun(made), point=jnp.array([*there, 0.94], jnp.float32))
    goal = dataclasses.replace(goal, guide=dataclasses.replace(goal.guide, speed=jnp.float32(0.0)))
    place, yaw, turns, speeds = PLACE.copy(), YAW, [], []
    for _ in range(180):  # a body that is where the guide was a step ago
        goal = lead(planted(place, yaw=yaw), goal)
        place, yaw = np.asarray(goal.guide.place), float(goal.guide.heading)
        turns.append(float(goal.guide.turning))
        speeds.append(float(goal.guide.speed))
    assert 0.5 < max(turns) <= 1.2 + 1e-5
    assert speeds[15] < 0.6, "it turns before it hurries"
    assert 0.4 < max(speeds) <= 1.2 + 1e-3
    np.testing.assert_allclose(place, there, atol=0.05)
    assert speeds[-1] < 0.05
    for _ in range(60):  # a body that stays behind
        goal = lead(planted(there + np.array([3.0, 0.0]), yaw=yaw), goal)
    ahead = np.linalg.norm(np.asarray(goal.guide.place) - there - np.array([3.0, 0.0]))
    assert ahead == pytest.approx(0.25, abs=1e-4)
    assert abs(math.remainder(float(goal.guide.heading) - yaw, 2 * math.pi)) <= 0.5 + 1e-5


# ---- how it is judged -----------------------------------------------------------------------------------------------


def test_a_step_towards_a_still_point_is_worth_its_metres_and_arriving_one_each_step() -> None:
    body, made = body_of(), led(TARGET_REACHING)
    goal = begun(made)
    ahead = np.asarray(goal.point[:2]) - PLACE
    way = np.linalg.norm(ahead)
    nearer = PLACE + 0.1 * ahead / way
    moved = made.advance(body, planted(nearer), goal)
    outcome = made.judge(body, planted(nearer, effort=0.01, lean=0.2), moved)
    assert float(outcome.terms["progress"]) == pytest.approx(0.1, abs=1e-5)
    assert float(outcome.terms["energy"]) == pytest.approx(math.exp(-0.05 * (0.8 + 0.01 * math.sqrt(80))), abs=1e-5)
    assert float(outcome.terms["upright"]) == pytest.approx(math.exp(-3 * 0.04), abs=1e-5)
    assert not outcome.solved
    for off, solved in ((0.09, True), (0.11, False)):
        there = np.asarray(goal.point[:2]) + np.array([0.0, off])
        here = made.judge(body, planted(there), made.advance(body, planted(there), moved))
        assert bool(here.solved) is solved
        walks = sum(weight * float(here.terms[term]) for term, weight in IMITATE_WALKING.weights if term != "energy")
        asked = 16 * float(here.terms["progress"]) + 0.2 + solved
        assert float(made.reward(here)) == pytest.approx(asked + walks, abs=1e-4)
    assert made.judge(body, planted(height=0.69), moved).failed
    assert not made.judge(body, planted(height=0.71), moved).failed
    assert made.horizon == 150


@pytest.mark.parametrize(
    ("off", "lean", "solved"), [(0.0, 0.0, True), (0.25, 0.3, True), (0.35, 0.0, False), (0.0, 0.4, False)]
)
def test_a_command_is_obeyed_by_who_is_upright_and_as_fast_as_asked(off: float, lean: float, solved: bool) -> None:
    body, made = body_of(), led(DIRECTIONAL_CONTROL)
    velocity = np.array([0.6, -0.8])
    for command in (velocity, np.zeros(2)):
        goal = dataclasses.replace(begun(made), knots=jnp.tile(jnp.asarray(command, jnp.float32), (6, 1)))
        signals = planted(velocity=command + np.array([0.0, off]), lean=lean)
        outcome = made.judge(body, signals, made.advance(body, signals, goal))
        assert bool(outcome.solved) is solved
        assert float(outcome.terms["pace"]) == pytest.approx(math.exp(-2 * off**2), abs=1e-5)


def test_on_a_path_the_point_of_now_is_to_be_near() -> None:
    body, made = body_of(), led(PATH_FOLLOWING)
    goal = begun(made, velocity=(1.0, 0.0))
    for back, solved in ((0.29, True), (0.31, False)):
        moved = made.advance(body, planted(), goal)
        there = planted(np.asarray(moved.point[:2]) - np.array([back, 0.0]), velocity=moved.velocity)
        outcome = made.judge(body, there, made.advance(body, there, goal))
        assert bool(outcome.solved) is solved
        assert float(outcome.terms["near"]) == pytest.approx(math.exp(-2 * back**2), abs=1e-4)
        assert float(outcome.terms["pace"]) == pytest.approx(1.0, abs=1e-4)


def test_the_share_solved_in_the_last_step_is_kinesis_success() -> None:
    solved = np.array([[True, True], [True, False], [False, True], [True, True]])
    running = np.array([[True, True], [True, True], [True, True], [True, False]])
    nothing = np.zeros((4, 2), np.float32)
    assert Recording("", (), 0.1, running, solved, nothing, {}, nothing[:1, :, None]).solved_at_the_end == 0.5


# ---- the body, and whole steps --------------------------------------------------------------------------------------


def test_what_is_seen_is_what_imitation_shows_in_its_words() -> None:
    body = body_of()
    shown = SMALL.observation_table(body).signatures
    for made in FOLLOWING:
        assert led(made).observation_table(body).signatures == shown


def test_who_stands_stands_on_the_floor_with_knees_as_they_are_coupled() -> None:
    body = body_of()
    start = dataclasses.replace(TARGET_REACHING, standing=1.0).start(body, jax.random.key(0))
    qpos = np.asarray(body.qpos_with(start.joint_position, start.placed), float)
    skeleton = skeleton_of(TARGET_REACHING.embodiment)
    assert np.abs(skeleton.led(qpos[None])[0] - qpos)[7:].max() < 1e-5
    assert np.abs(skeleton.heights(skeleton.poses(qpos[None])).min()) < 1e-3


@pytest.fixture(scope="module")
def walking() -> FollowPoint:
    """Commands to legs that begin standing, or sliding forward at up to 1.2 m/s."""
    return led(DIRECTIONAL_CONTROL, horizon=20)


@pytest.fixture(scope="module")
def stepped(walking: FollowPoint):
    environment = Environment(walking, threads=1)
    return environment, jax.jit(jax.vmap(environment.step)), jax.jit(jax.vmap(environment.reset))


def test_episodes_begin_standing_or_as_the_guide_moves(stepped) -> None:
    _, _, reset = stepped
    state = reset(jax.random.split(jax.random.key(0), 64))
    velocity = np.asarray(state.physics.qvel)[:, :3]
    activation = np.asarray(state.physics.act)
    slides = (activation > 0.01).all(axis=1)
    assert 16 < slides.sum() < 48
    assert kstest(velocity[slides, 0], "uniform", (0.0, 1.2)).pvalue > 1e-3
    np.testing.assert_allclose(velocity[slides, 1:], 0.0, atol=1e-4)
    np.testing.assert_allclose(velocity[~slides], 0.0)
    assert (activation[~slides] == 0.0).all()
    np.testing.assert_allclose(np.asarray(state.physics.qpos)[:, :2], 0.0, atol=1e-5)
    np.testing.assert_allclose(state.goal.guide.speed, velocity[:, 0], atol=1e-4)
    np.testing.assert_allclose(state.goal.guide.place, 0.0, atol=1e-5)
    for ways in (slides, ~slides):  # commands are counted from the heading
        knots = np.asarray(state.goal.knots)[ways]
        eighths = np.arctan2(knots[..., 1], knots[..., 0]) / (math.pi / 4)
        np.testing.assert_allclose(eighths, np.rint(eighths), atol=1e-3)


@pytest.mark.slow
def test_a_command_from_outside_holds_from_the_next_step_on(stepped) -> None:
    environment, step, reset = stepped
    silent = jnp.full((2, len(environment.action_table)), -1.0)
    state = commanded(reset(jax.random.split(jax.random.key(0), 2)), jnp.array([0.5, -1.0]), jnp.array([1.2, 0.0]))
    for _ in range(3):
        state = step(state, silent)
    asked = 1.2 * np.array([[math.cos(0.5), math.sin(0.5)], [0.0, 0.0]])
    np.testing.assert_allclose(state.goal.velocity, asked, atol=1e-6)
    guide = state.goal.guide
    assert float(guide.turning[0]) > 0.1, "it turns to where it is to go"
    assert float(guide.turning[1]) == 0.0, "who stops does not turn"
    pressed = jax.jit(commanded)(state, 0.0, 3.0)
    np.testing.assert_allclose(pressed.goal.knots[:, :, 0], 3.0)
    for direction, speed, said in ((0.0, 3.1, "speed 3.1; 0 to 3 m/s"), (math.nan, 1.0, "direction nan")):
        with pytest.raises(UserError, match=said):
            commanded(state, direction, speed)
    with pytest.raises(UserError, match="only states of directional_control"):
        commanded(dataclasses.replace(state, goal=jnp.zeros(3)), 0.0, 1.0)


# ---- recipes --------------------------------------------------------------------------------------------------------


def test_recipes_begin_at_the_imitator_and_name_tasks_and_clips_that_ship() -> None:
    for name in (made.name for made in FOLLOWING):
        recipe = FINETUNINGS[name]
        assert isinstance(task(recipe.task), FollowPoint)
        assert recipe.task == name
        stages = [recipe.checkpoint]
        while stages[-1].startswith("runs/finetune_"):
            stages.append(FINETUNINGS[stages[-1].removeprefix("runs/finetune_")].checkpoint)
        assert stages[-1] == IMITATOR
        assert {clip for clip, _ in task(name).gaits} <= set(MADE)
        assert task(name).like == IMITATE_WALKING


@pytest.mark.slow
@pytest.mark.train
def test_a_recipe_goes_on_from_a_policy_that_imitates(walking, tmp_path, capsys, monkeypatch) -> None:
    short = led(TARGET_REACHING)
    monkeypatch.setattr(registry, "_REGISTRY", {**registry._REGISTRY, short.name: short})
    body = body_of()
    policy = TransformerActorCritic.for_tasks(preset("tiny"), [(SMALL.observation_table(body), body.action_table)])
    content = {"params": policy.init(jax.random.key(1)), "statistics": policy.init_statistics()}
    imitator = save_checkpoint(tmp_path / "imitator", policy=content, config=saved_policy.describe(policy, (SMALL,)))
    toy = ["--set", f"checkpoint={imitator}", "learner.rollout_steps=4", "learner.epochs=1", "learner.minibatches=2"]
    given = ["--steps", "32", "--environments", "4", "--runs", str(tmp_path / "runs"), "--threads", "1"]
    assert main(["finetune", "target_reaching", *given, *toy]) == 0
    said = capsys.readouterr()
    assert f"fine-tuning {imitator} on target_reaching" in said.err
    (run,) = (tmp_path / "runs/finetune_target_reaching").iterdir()
    trained = saved_policy.load(run)
    assert trained.tasks[0] == "target_reaching"
    assert "target_reaching/solved" in (run / "metrics.csv").read_text().splitlines()[0]
    old = np.asarray(content["params"]["embeddings"]["table"])
    new = np.asarray(trained.params["embeddings"]["table"])
    assert len(new) == len(old), "every word was known"
    assert trained.policy.signatures == policy.signatures
    assert main(["finetune", "target_reaching", "--regime", "obc"]) == 2
    assert "says how it learns" in capsys.readouterr().err


# ---- text to motion -------------------------------------------------------------------------------------------------


def test_a_walk_written_as_mdm_writes_it_comes_back_as_a_clip_of_that_walk(tmp_path, capsys) -> None:
    skeleton = skeleton_of(TARGET_REACHING.embodiment)
    walk = retarget(gait(WALKING, seconds=2.0, rate=20.0), TARGET_REACHING.embodiment)
    places = dict(zip(skeleton.keypoints, skeleton.places(walk.qpos.astype(float)).swapaxes(0, 1), strict=True))
    joints = places["pelvis"][:, None] + np.array([0.0, 0.0, 0.4]) * np.ones((22, 1))  # trunk and arms
    for name, place in places.items():
        joints[:, JOINTS[name]] = place
    motion = joints[..., [1, 2, 0]].transpose(1, 2, 0)[None].astype(np.float32)  # y up, z ahead
    content = {"motion": motion, "text": ["a person walks"], "lengths": np.array([walk.frames])}
    np.save(tmp_path / "results.npy", np.array(content, object), allow_pickle=True)
    given = [
        "retarget",
        str(tmp_path / "results.npy"),
        "--body",
        "kinesis_legs",
        "--out",
        str(tmp_path),
        "--no-picture",
    ]
    assert main(given) == 0
    assert "results" in capsys.readouterr().out
    made = Clip.load(tmp_path / "kinesis_legs/results.npz")
    assert made.quality["site_error_m"]["median"] < 0.01
    knee, hip = (body_of().model.joint(joint).qposadr[0] for joint in ("knee_angle_l", "hip_flexion_r"))
    np.testing.assert_allclose(made.qpos[:, knee], walk.qpos[:, knee], atol=0.08)
    # of the trunk only the hips and the point between them are known to the legs, so its tilt is not quite
    assert np.corrcoef(made.qpos[:, hip], walk.qpos[:, hip])[0, 1] > 0.99
    assert np.ptp(made.qpos[:, 0]) == pytest.approx(np.ptp(walk.qpos[:, 0]), abs=0.02)
