"""MyoSuite's own environments as the oracle for tasks with things and for the legs: models, terms, endings, physics.

States come from episodes under random actions, some with goals moved to where they are nearly reached. MyoSuite's
environment is put into the same state, with the same goal and the same changes of its model; its terms must be ours.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from arnold.embodiments.changes import _geom_utilities
from arnold.tasks import Environment, EnvState, task

pytest.importorskip("myosuite")

pytestmark = pytest.mark.native

PEERS = {
    "pen_reorient": "myoHandPenTwirlRandom-v0",
    "die_reorient": "myoChallengeDieReorientDemo-v0",
    "die_reorient_p1": "myoChallengeDieReorientP1-v0",
    "die_reorient_p2": "myoChallengeDieReorientP2-v0",
    "baoding_cw": "myoChallengeBaodingP1-v1",
    "baoding_hard": "myoChallengeBaodingP2-v1",
    "object_relocate": "myoChallengeRelocateP2-v0",
    "object_relocate_p1": "myoChallengeRelocateP1-v0",
}
VARIANTS = ("die_reorient_p1", "die_reorient_p2", "object_relocate_p1")  # other numbers, the same code
CASES = [pytest.param(name, marks=[pytest.mark.slow] if name in VARIANTS else []) for name in PEERS]
LEGS = "myoLegWalk-v0"
EPISODES, STEPS = 8, 24


@functools.cache
def environment(name: str) -> Environment:
    return Environment(task(name), threads=2)


@functools.cache
def peer_of(name: str) -> Any:
    from myosuite.utils import gym

    return gym.make(PEERS.get(name, LEGS)).unwrapped


@functools.cache
def episode_states(name: str) -> EnvState:
    """States (STEPS, EPISODES, ...) under random actions that are held for four steps."""
    env = environment(name)

    def advance(state: EnvState, action: jax.Array) -> tuple[EnvState, EnvState]:
        state = jax.vmap(env.step)(state, action)
        return state, dataclasses.replace(state, key=jax.random.key_data(state.key))

    def run(key: jax.Array) -> EnvState:
        state = jax.vmap(env.reset)(jax.random.split(key, EPISODES))
        actions = jax.random.uniform(key, (STEPS // 4, EPISODES, len(env.action_table)), minval=-1.0, maxval=1.0)
        return jax.lax.scan(advance, state, jnp.repeat(actions, 4, axis=0))[1]

    return jax.tree.map(np.asarray, jax.jit(run)(jax.random.key(4)))


def put(name: str, peer: Any, physics: Any, goal: Any) -> None:
    """Bring MyoSuite's environment into one of our states, with our goal and our changes of the model."""
    peer.reset(seed=0)
    model, data = peer.model, peer.data
    first, edited = 0, set()
    for change in task(name).changes:
        value = physics.changes[first : first + change.width]
        first += change.width
        if change.of == "target":  # the bin, a mocap body of MyoSuite's
            pose = data.mocap_pos if change.field == "body_pos" else data.mocap_quat
            pose[peer.goal_mocap_id] = value
            continue
        number = int(change.of[-1]) if change.of[-1].isdigit() else 0
        if change.kind == "geom" and name.startswith(("die", "object")):  # unnamed in MyoSuite's files
            number = int(change.of.removeprefix("die").removeprefix("object"))
            row = model.body_geomadr[model.body("Object").id] + number
        else:
            row = change.row(model)
        getattr(model, change.field)[row] = value if change.width > 1 else value[0]
        edited.add(int(row if change.kind == "MJCF body" else model.geom_bodyid[row]))
    if edited:
        _geom_utilities().refresh_geom_derived_fields(model, peer._mj_spec, edited)
    data.time = physics.time
    data.qpos[:], data.qvel[:], data.act[:] = physics.qpos, physics.qvel, physics.act
    if name == "pen_reorient":
        model.body_quat[peer.target_obj_bid] = goal.orientation
    elif name.startswith("die"):
        model.body_quat[peer.goal_bid] = goal.orientation
        model.body_pos[peer.goal_bid] = goal.place + peer.goal_obj_offset
    elif name.startswith("baoding"):
        put_orbit(peer, physics, goal)
    mujoco.mj_forward(model, data)


def put_orbit(peer: Any, physics: Any, goal: Any) -> None:
    from myosuite.envs.myo.tasks.challenge.baoding import Task

    peer.which_task = {0: Task.HOLD, -1: Task.BAODING_CW, 1: Task.BAODING_CCW}[int(np.sign(goal.speed))]
    peer.ball_1_starting_angle, peer.ball_2_starting_angle = float(goal.angle), float(goal.angle) - math.pi
    peer.x_radius, peer.y_radius = map(float, goal.radii)
    period = 2.0 * math.pi / abs(float(goal.speed)) if goal.speed else 5.0
    peer.goal = peer.create_goal_trajectory(time_step=peer.dt, time_period=period)
    peer.counter = max(round(float(physics.time) / peer.dt) - 1, 0)
    peer._update_target_sites()


def nearly_reached(name: str, env: Environment, physics: Any, goal: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    """The state and goal with the goal moved to where it is nearly reached, or the thing to where it is dropped."""
    near, dropped = rng.uniform(size=2) < (0.5, 0.15)
    qpos, changes = physics.qpos.copy(), physics.changes.copy()
    slides = [env.body.model.joint(j).qposadr[0] for j in ("OBJTx", "OBJTz") if not name.startswith("baoding")]
    if dropped and slides:
        qpos[slides] -= 0.6
    elif dropped:
        qpos[env.body.model.joint(env.body.model.body("ball1").jntadr[0]).qposadr[0] + 2] -= 0.3
    elif near and name.startswith("baoding"):
        for k, ball in enumerate(("ball1", "ball2")):
            first = env.body.model.jnt_qposadr[env.body.model.body(ball).jntadr[0]]
            qpos[first : first + 3] = goal.targets[k] + rng.normal(size=3) * 0.006
    elif near and name.startswith("object"):
        place = env.body.signals(physics).frame("Object").position
        changes[:3] = np.asarray(place) + rng.normal(size=3) * 0.05  # the bin's place is the first change
    elif near:
        turned = env.body.signals(physics).frame("Object")
        orientation = np.asarray(turned.quaternion) + rng.normal(size=4) * 0.08
        place = np.asarray(turned.position) if name.startswith("die") else goal.place
        goal = dataclasses.replace(goal, orientation=orientation / np.linalg.norm(orientation), place=place)
    return dataclasses.replace(physics, qpos=qpos, changes=changes), goal


@pytest.mark.parametrize("name", CASES)
def test_terms_and_endings_are_myosuites_at_the_same_states(name: str) -> None:
    env, peer = environment(name), peer_of(name)
    rng = np.random.default_rng(1)
    states = episode_states(name)
    forward = jax.jit(lambda physics: env.physics.forward(physics, jnp.asarray(True)))

    def judged(physics: Any, goal: Any) -> Any:
        signals = env.body.signals(physics)
        goal = env.task.advance(env.body, signals, goal)
        return env.task.judge(env.body, signals, goal)

    judge = jax.jit(judged)
    seen = []
    for step in range(0, STEPS, 2):
        for row in range(0, EPISODES, 2):
            physics, goal = jax.tree.map(lambda x, s=step, r=row: x[s, r], (states.physics, states.goal))
            physics, goal = nearly_reached(name, env, physics, goal, rng)
            outcome = judge(forward(physics), goal)
            put(name, peer, physics, goal)
            theirs = peer.get_reward_dict(peer.get_obs_dict(peer._accessor))
            shared = sorted(set(outcome.terms) & set(theirs))
            assert len(shared) >= 4
            for term in shared:
                np.testing.assert_allclose(outcome.terms[term], theirs[term], rtol=2e-4, atol=2e-5, err_msg=term)
            assert bool(outcome.solved) == bool(theirs["solved"])
            ended = -outcome.terms["drop"] if name.startswith("object") else outcome.failed
            assert bool(ended) == bool(theirs["done"])
            seen.append((bool(outcome.solved), bool(ended)))
    solved, ended = np.array(seen).T
    assert 0 < solved.sum() < len(solved)
    assert 0 < ended.sum() < len(ended)


@pytest.mark.parametrize("name", CASES)
def test_an_episode_under_the_same_actions_is_myosuites(name: str) -> None:
    env, peer = environment(name), peer_of(name)
    begin = jax.jit(env.reset)(jax.random.key(2))
    physics, goal = jax.tree.map(np.asarray, (begin.physics, begin.goal))
    put(name, peer, physics, goal)
    step, rng = jax.jit(env.step), np.random.default_rng(0)
    state = begin
    for number in range(12):
        if number % 4 == 0:
            action = rng.uniform(-1.2, 1.2, len(env.action_table)).astype(np.float32)
        state = step(state, action)
        peer.step(action)
        # Ours is float32 between control steps and starts each solve cold, and contacts magnify that.
        np.testing.assert_allclose(state.physics.qpos, peer.data.qpos, rtol=0, atol=3e-4)
        np.testing.assert_allclose(state.physics.act, peer.data.act, rtol=0, atol=1e-5)
    assert np.abs(peer.data.qpos - physics.qpos).max() > 0.05, "nothing moved, so nothing was compared"
    assert peer.data.ncon or name.startswith("object"), "nothing was touched"


@pytest.mark.parametrize("name", [*PEERS, "walk_to_point"])
def test_body_masses_muscles_joints_and_what_collides_are_myosuites(name: str) -> None:
    ours, theirs = environment(name).body.model, peer_of(name).model
    names = [ours.body(b).name for b in range(ours.nbody)]
    changed = [] if not task(name).changes else [*env_things(name)]  # by MyoSuite's last reset
    for body in set(names[1:]) - set(changed):
        np.testing.assert_allclose(ours.body(body).mass, theirs.body(body).mass, rtol=1e-9, err_msg=body)
        np.testing.assert_allclose(ours.body(body).inertia, theirs.body(body).inertia, rtol=1e-6, err_msg=body)
    joints = [ours.joint(j).name for j in range(ours.njnt)]
    assert joints == [theirs.joint(j).name for j in range(theirs.njnt)]
    np.testing.assert_array_equal(ours.jnt_range, theirs.jnt_range)
    assert [ours.actuator(a).name for a in range(ours.nu)] == [theirs.actuator(a).name for a in range(theirs.nu)]
    for field in ("gainprm", "biasprm", "lengthrange", "acc0"):
        np.testing.assert_allclose(getattr(ours, f"actuator_{field}"), getattr(theirs, f"actuator_{field}"), rtol=1e-6)
    np.testing.assert_allclose(colliding(ours, changed), colliding(theirs, changed), atol=1e-9)


def env_things(name: str) -> tuple[str, ...]:
    return environment(name).body.embodiment.things


def colliding(model: mujoco.MjModel, changed: list[str]) -> np.ndarray:
    """Type, size, place and friction of what collides, but for markers of goals, hidden terrain and what changed."""
    rows = []
    for g in range(model.ngeom):
        left_out = model.geom(g).name == "terrain" or model.body(model.geom_bodyid[g]).name in ("target", *changed)
        if (model.geom_contype[g] or model.geom_conaffinity[g]) and not left_out:
            rows.append([model.geom_type[g], *model.geom_size[g], *model.geom_pos[g], *model.geom_friction[g]])
    return np.array(rows)


def test_legs_move_as_myosuites_under_the_same_excitations() -> None:
    env, peer = environment("walk_to_point"), peer_of("walk_to_point")
    peer.reset(seed=0)
    model = peer.model.__copy__()
    model.opt.timestep = env.body.timestep
    data = mujoco.MjData(model)
    begin = jax.jit(env.reset)(jax.random.key(2))
    data.qpos[:] = begin.physics.qpos
    step, rng = jax.jit(env.step), np.random.default_rng(0)
    state, touched = begin, 0.0
    for number in range(12):
        if number % 4 == 0:
            action = rng.uniform(-1.0, 0.5, len(env.action_table)).astype(np.float32)
        state = step(state, action)
        data.ctrl[:] = state.physics.excitation
        mujoco.mj_step(model, data, env.body.embodiment.frame_skip)
        np.testing.assert_allclose(state.physics.qpos, data.qpos, rtol=0, atol=3e-4)
        mujoco.mj_forward(model, data)
        signals = env.body.signals(state.physics)
        np.testing.assert_allclose(signals.touch, data.sensordata[[0, 1, 2, 3]], rtol=1e-2, atol=2.0)
        touched += float(jnp.sum(signals.touch))
    assert touched > 100.0
    assert not state.done


def test_goals_and_changes_are_distributed_like_myosuites() -> None:
    count = 300
    for name in ("pen_reorient", "die_reorient_p2", "object_relocate"):
        env, peer = environment(name), peer_of(name)
        start, goal = jax.jit(
            jax.vmap(lambda k, e=env: (e.task.start(e.body, k), e.task.goal(e.body, jax.random.fold_in(k, 1))))
        )(jax.random.split(jax.random.key(0), count))
        theirs = []
        for seed in range(count):
            peer.reset(seed=seed)
            theirs.append(drawn_by(name, peer))
        ours = drawn_by_us(name, env, start, goal)
        assert ours.shape == np.array(theirs).shape
        for mine, other in zip(ours.T, np.array(theirs).T, strict=True):
            assert ks_distance(mine, other) < 1.95 * math.sqrt(2.0 / count) + 1e-3


def drawn_by(name: str, peer: Any) -> np.ndarray:
    model = peer.model
    if name == "pen_reorient":
        return model.body_quat[peer.target_obj_bid].copy()
    thing = model.body("Object").id
    first = model.body_geomadr[thing]
    mass, friction = model.body_mass[[thing]], model.geom_friction[first]
    if name == "die_reorient_p2":
        place = model.body_pos[peer.goal_bid] - peer.goal_obj_offset
        return np.concatenate([mass, friction, model.geom_size[first + 14], place, model.body_quat[peer.goal_bid]])
    shape = [model.geom_type[[first]], model.geom_size[first], model.geom_pos[first], model.geom_quat[first]]
    return np.concatenate([mass, friction, *shape, model.body_pos[thing], peer.data.mocap_pos[0], peer.data.qpos[:5]])


def drawn_by_us(name: str, env: Environment, start: Any, goal: Any) -> np.ndarray:
    if name == "pen_reorient":
        return np.asarray(goal.orientation)
    values = {(c.field, c.of): np.asarray(v) for c, v in zip(env.body.changes, start.changes, strict=True)}
    mass = values[("body_mass", "Object")]
    if name == "die_reorient_p2":
        parts = [mass, values[("geom_friction", "die0")], values[("geom_size", "die14")], goal.place, goal.orientation]
        return np.concatenate(parts, axis=1)
    shape = [values[(f"geom_{field}", "object0")] for field in ("friction", "type", "size", "pos", "quat")]
    places = [values[("body_pos", "Object")], values[("body_pos", "target")], start.joint_position[:, :5]]
    return np.concatenate([mass, *shape, *places], axis=1)


def ks_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Kolmogorov-Smirnov distance between two samples."""
    grid = np.sort(np.concatenate([a, b]))
    cdfs = [np.searchsorted(np.sort(x), grid, side="right") / len(x) for x in (a, b)]
    return float(np.abs(cdfs[0] - cdfs[1]).max())
