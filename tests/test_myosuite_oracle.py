"""The shipped tasks against MyoSuite's own environments, at the same states and under the same actions.

MyoSuite 3 runs `mj_forward` after the last physics step of a control step (`MyoGymnasiumEnv._step_physics`), so its
observations and rewards are of the state reached, sites included, as ours are; older releases read sites one physics
step late.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from arnold.embodiments.physics import PhysicsState
from arnold.tasks import Environment, Reach, task
from arnold.tasks.reach import WORKSPACE_SAMPLES, reachable_points

pytest.importorskip("myosuite")

pytestmark = [
    pytest.mark.native,
    # MuJoCo about MyoSuite's hand, which is composed by attaching one spec to another.
    pytest.mark.filterwarnings("ignore:Attaching a spec with an empty prefix:UserWarning"),
]

STATES = 30
STEPS = 30
POSES = {
    "elbow_pose": "myoElbowPose1D6MRandom-v0",
    "finger_pose": "myoFingerPoseRandom-v0",
    "hand_pose": "myoHandPoseRandom-v0",
}
TASKS = (*POSES, "finger_reach", "hand_thumb_reach", "hand_index_reach")


@functools.cache
def environment(name: str) -> Environment:
    return Environment(task(name), threads=1)


@functools.cache
def myosuite_environment(name: str):
    """MyoSuite's environment of our task, with our weights; a hand reach is its five-finger reach with one finger."""
    ours = task(name)
    registered = POSES.get(name) or ("myoFingerReachRandom-v0" if name == "finger_reach" else "myoHandReachRandom-v0")
    from myosuite.utils import gym  # registers MyoSuite's environments

    given = dict(gym.spec(registered).kwargs) | {"weighted_reward_keys": dict(ours.weights)}
    if name.startswith("hand") and isinstance(ours, Reach):
        given |= {"target_reach_range": {ours.tip: (ours.low, ours.high)}, "far_th": ours.far}
    return gym.make(registered, **given).unwrapped


def random_states(name: str, rng: np.random.Generator) -> tuple[PhysicsState, np.ndarray]:
    """States (STATES, ...) over the joints' ranges and beyond, and goals near and far, so that all endings occur."""
    env = environment(name)
    low, high = env.body.joint_range.T
    beyond = rng.choice([1.0, 1.0, 6.0], (STATES, 1))
    position = low + (high - low) * beyond * rng.uniform(size=(STATES, len(low)))
    physics = PhysicsState(
        # Times as MyoSuite comes to them: sums of physics steps, a little over a multiple of the control step.
        time=np.tile(np.cumsum(np.full(50, env.body.timestep))[9::10], STATES // 5).astype(np.float32),
        qpos=position.astype(np.float32),
        qvel=rng.normal(0.0, 3.0, (STATES, env.body.model.nv)).astype(np.float32),
        act=rng.uniform(size=(STATES, env.body.model.na)).astype(np.float32),
        sensordata=np.zeros((STATES, env.body.model.nsensordata), np.float32),
        excitation=np.zeros((STATES, len(env.body.muscles)), np.float32),
        changes=np.zeros((STATES, 0), np.float32),
    )
    physics = jax.jit(jax.vmap(env.physics.forward))(physics, np.ones(STATES, bool))
    if isinstance(env.task, Reach):
        place, spread = jax.vmap(lambda p: env.body.signals(p).site(env.task.tip))(physics), env.task.near
    else:
        place, spread = physics.qpos[:, env.body.joint_qpos], env.task.near / np.sqrt(len(env.body.joints))
    scale = rng.choice([0.5, 1.0, 1.5, 10.0, 60.0], (STATES, 1)) * spread
    return physics, (np.asarray(place) + scale * rng.normal(size=place.shape)).astype(np.float32)


def put(env, physics: PhysicsState, row: int, goal: np.ndarray) -> None:
    """Bring MyoSuite's environment into one of our states, with our goal."""
    env.reset(seed=0)
    env.data.time = physics.time[row] * (1 + 1e-7)  # float32 may have rounded it below the multiple
    env.data.qpos[:], env.data.qvel[:], env.data.act[:] = physics.qpos[row], physics.qvel[row], physics.act[row]
    if hasattr(env, "target_jnt_value"):
        env.target_jnt_value = goal.astype(np.float64)
    else:
        env.model.site_pos[env.target_sids[0]] = goal
    mujoco.mj_forward(env.model, env.data)


def channel_values(env: Environment, physics: PhysicsState, goal: jax.Array) -> list[jax.Array]:
    signals = env.body.signals(physics)
    return [channel.read(signals, goal) for channel in env.task.channels(env.body)]


def expected_values(peer, name: str) -> list[np.ndarray]:
    """Our channels, in our order and units, from MyoSuite's observation and MuJoCo's fields."""
    seen = peer.get_obs_dict(peer._accessor)
    data = peer.data
    muscles = [data.actuator_length, data.actuator_velocity, data.actuator_force, seen["act"]]
    joints = [seen["qpos"], seen["qvel"] / peer.dt]  # MyoSuite gives rad per control step
    if name in POSES:
        return [*joints, seen["pose_err"], peer.target_jnt_value, *muscles]
    return [*joints, seen["tip_pos"], seen["tip_pos"] + seen["reach_err"], seen["reach_err"], *muscles]


@pytest.mark.parametrize("name", TASKS)
def test_terms_endings_and_observation_are_myosuites_at_the_same_states(name: str) -> None:
    env, peer = environment(name), myosuite_environment(name)
    physics, goals = random_states(name, np.random.default_rng(7))
    signals = jax.vmap(env.body.signals)(physics)
    outcome = jax.vmap(lambda s, g: env.task.judge(env.body, s, g))(signals, jnp.asarray(goals))
    reward = jax.vmap(env.task.reward)(outcome)
    values = jax.vmap(lambda p, g: channel_values(env, p, g))(physics, jnp.asarray(goals))
    for row in range(STATES):
        put(peer, physics, row, goals[row])
        theirs = peer.get_reward_dict(peer.get_obs_dict(peer._accessor))
        for term in set(outcome.terms) & set(theirs):
            np.testing.assert_allclose(outcome.terms[term][row], theirs[term], rtol=2e-5, atol=2e-6, err_msg=term)
        np.testing.assert_allclose(reward[row], theirs["dense"], rtol=2e-5, atol=2e-6)
        assert bool(outcome.solved[row]) == bool(theirs["solved"])
        assert bool(outcome.failed[row]) == bool(theirs["done"])
        for place, (mine, expected) in enumerate(zip(values, expected_values(peer, name), strict=True)):
            # Forces beyond the joints' ranges reach thousands of newtons: relative, with a floor.
            np.testing.assert_allclose(mine[row], expected, rtol=2e-5, atol=1e-5, err_msg=f"channel {place}")
    assert outcome.solved.any()
    assert not outcome.solved.all()
    assert outcome.failed.any()
    assert not outcome.failed.all()


@pytest.mark.parametrize("name", TASKS)
def test_an_episode_under_the_same_actions_is_myosuites(name: str) -> None:
    env, peer = environment(name), myosuite_environment(name)
    rng = np.random.default_rng(3)
    begin = jax.jit(env.reset)(jax.random.key(5))
    one = jax.tree.map(lambda x: np.asarray(x)[None], begin.physics)
    put(peer, one, 0, np.asarray(begin.goal))
    step = jax.jit(env.step)
    # Beyond [-1, 1] too: both clip. Held for five steps, so that the body moves.
    actions = np.repeat(rng.uniform(-1.2, 1.2, (STEPS // 5, len(env.body.muscles))), 5, axis=0).astype(np.float32)
    state = begin
    for action in actions:
        state = step(state, action)
        _, reward, terminated, _, _ = peer.step(action)
        assert not state.done
        assert not terminated
        # Ours is float32 between control steps and starts each solve cold; MyoSuite's is float64 throughout.
        np.testing.assert_allclose(state.physics.qpos, peer.data.qpos, rtol=0, atol=1e-5)
        np.testing.assert_allclose(state.physics.qvel, peer.data.qvel, rtol=0, atol=1e-3)
        np.testing.assert_allclose(state.physics.act, peer.data.act, rtol=0, atol=1e-6)
        np.testing.assert_allclose(state.reward, reward, rtol=0, atol=1e-5)
        seen = np.concatenate([np.ravel(v) for v in expected_values(peer, name)])
        np.testing.assert_allclose(state.observation[:, -1], seen, rtol=1e-3, atol=1e-3)
    assert np.abs(peer.data.qpos - begin.physics.qpos).max() > 0.1, "the body did not move: nothing was compared"


def test_goal_ranges_are_myosuites() -> None:
    from myosuite.utils import gym

    reaches = gym.spec("myoHandReachRandom-v0").kwargs["target_reach_range"]
    for digit in ("thumb", "index", "middle", "ring", "little"):
        ours = task(f"hand_{digit}_reach")
        np.testing.assert_allclose((ours.low, ours.high), reaches[ours.tip], atol=1e-12)
    for name, registered in POSES.items():
        given = gym.spec(registered).kwargs
        assert task(name).near == given.get("pose_thd", 0.35)
        expected = {joint.removesuffix("_r"): span for joint, span in given["target_jnt_range"].items()}
        assert {joint.removesuffix("_r"): (low, high) for joint, low, high in task(name).targets} == expected


def test_reachable_targets_are_distributed_like_myosuites(monkeypatch: pytest.MonkeyPatch) -> None:
    from myosuite.utils import reach_workspace

    # With MuJoCo 3.17 `np.int32(3) in (mjJNT_HINGE,)` is False, so MyoSuite 3.0 moves no joint at all; as it means to:
    monkeypatch.setattr(reach_workspace, "_JOINT_TYPES", tuple(int(kind) for kind in reach_workspace._JOINT_TYPES))
    ours, samples = task("finger_reach"), 20_000
    peer = myosuite_environment("finger_reach")
    spans = np.array([[ours.low], [ours.high]])
    theirs = reach_workspace.reachable_target_points(peer.model, peer.tip_sids, *spans, n_samples=samples, seed=1)[:, 0]
    table = reachable_points(environment("finger_reach").body, ours.tip, ours.low, ours.high)
    np.testing.assert_allclose(len(table) / WORKSPACE_SAMPLES, len(theirs) / samples, rtol=0.03)
    error = theirs.std(0) / np.sqrt(len(theirs))
    np.testing.assert_array_less(np.abs(table.mean(0) - theirs.mean(0)), 5 * error)
    at = (0.05, 0.25, 0.5, 0.75, 0.95)
    np.testing.assert_allclose(np.quantile(table, at, axis=0), np.quantile(theirs, at, axis=0), atol=4e-3)
