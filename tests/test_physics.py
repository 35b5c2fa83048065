"""The stepping primitive: the native back end against a plain `mj_step` loop, mjx against native; what both promise."""

from __future__ import annotations

import dataclasses
import functools
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from arnold.embodiments import Body, embodiment
from arnold.embodiments.physics import PhysicsState, make_physics
from arnold.embodiments.physics.conversion import convert_for_mjx
from arnold.errors import UserError
from arnold.tasks import Environment, task

SITES = {"elbow": ("wrist",), "finger": ("IFtip",), "hand": ("IFtip_r",)}
BATCH = 6


@functools.cache
def native(name: str):
    return make_physics(embodiment(name).compile(SITES[name]), threads=2)


def random_batch(body: Body, seed: int = 0, rows: int = BATCH) -> tuple[PhysicsState, jax.Array]:
    """States (rows, ...) inside the joints' ranges, in motion, and excitations (rows, M)."""
    rng = np.random.default_rng(seed)
    low, high = body.joint_range.T
    numbers = {
        "time": np.zeros(rows),
        "qpos": rng.uniform(low, high, (rows, body.model.nq)),
        "qvel": rng.normal(size=(rows, body.model.nv)),
        "act": rng.uniform(size=(rows, body.model.na)),
        "sensordata": np.zeros((rows, body.model.nsensordata)),
        "excitation": np.zeros((rows, len(body.muscles))),
        "changes": np.zeros((rows, 0)),
    }
    state = PhysicsState(**{name: jnp.asarray(value, jnp.float32) for name, value in numbers.items()})
    return state, jnp.asarray(rng.uniform(size=(rows, len(body.muscles))), jnp.float32)


def assert_same(a, b) -> None:
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.native
@pytest.mark.parametrize("name", ["elbow", "finger", "hand"])
def test_a_native_step_is_a_plain_loop_of_mj_step(name: str) -> None:
    physics = native(name)
    body, model = physics.body, physics.body.model
    state, excitation = random_batch(body)
    reached = jax.jit(jax.vmap(physics.step))(state, excitation)
    for row in range(BATCH):
        data = mujoco.MjData(model)
        data.qpos[:], data.qvel[:], data.act[:] = state.qpos[row], state.qvel[row], state.act[row]
        data.ctrl[body.muscle_controls] = excitation[row]
        mujoco.mj_step(model, data, body.embodiment.frame_skip)
        np.testing.assert_allclose(reached.qpos[row], data.qpos, rtol=2e-7, atol=1e-8)
        np.testing.assert_allclose(reached.qvel[row], data.qvel, rtol=2e-7, atol=1e-8)
        np.testing.assert_allclose(reached.act[row], data.act, rtol=2e-7, atol=1e-8)
        np.testing.assert_allclose(reached.time[row], data.time, rtol=1e-6)
        np.testing.assert_array_equal(reached.excitation[row], excitation[row])
        # Sensors are of the state reached, contacts and limits included; not of the physics step before it.
        data.qpos[:], data.qvel[:], data.act[:] = reached.qpos[row], reached.qvel[row], reached.act[row]
        mujoco.mj_forward(model, data)
        np.testing.assert_allclose(reached.sensordata[row], data.sensordata, rtol=1e-6, atol=1e-6)


@pytest.mark.native
def test_equal_states_have_bit_identical_futures_whatever_was_computed_between() -> None:
    physics = native("hand")
    state, excitation = random_batch(physics.body)
    step = jax.jit(jax.vmap(physics.step))
    first = step(state, excitation)
    step(*random_batch(physics.body, seed=1))
    assert_same(step(state, excitation), first)
    turned = jax.tree.map(lambda x: x[::-1], (state, excitation))
    assert_same(jax.tree.map(lambda x: x[::-1], step(*turned)), first)
    one = make_physics(physics.body, threads=1)
    assert_same(jax.jit(jax.vmap(one.step))(state, excitation), first)


@pytest.mark.native
def test_single_vmapped_nested_and_scanned_steps_agree() -> None:
    physics = native("finger")
    state, excitation = random_batch(physics.body)
    batched = jax.vmap(physics.step)(state, excitation)
    single = [jax.jit(physics.step)(*jax.tree.map(lambda x, i=i: x[i], (state, excitation))) for i in range(BATCH)]
    assert_same(jax.tree.map(lambda *x: jnp.stack(x), *single), batched)
    folded = jax.tree.map(lambda x: x.reshape(2, BATCH // 2, *x.shape[1:]), (state, excitation))
    nested = jax.jit(jax.vmap(jax.vmap(physics.step)))(*folded)
    assert_same(jax.tree.map(lambda x: x.reshape(BATCH, *x.shape[2:]), nested), batched)

    def advance(carry: PhysicsState, _):
        return jax.vmap(physics.step)(carry, excitation), None

    scanned = jax.jit(lambda s: jax.lax.scan(advance, s, None, length=3)[0])(state)
    looped = functools.reduce(lambda s, _: jax.vmap(physics.step)(s, excitation), range(3), state)
    assert_same(scanned, looped)
    np.testing.assert_allclose(scanned.time, 0.06, rtol=1e-5)


@pytest.mark.native
def test_forward_evaluates_only_the_rows_that_need_it() -> None:
    physics = native("finger")
    state, _ = random_batch(physics.body)
    marked = dataclasses.replace(state, sensordata=jnp.full_like(state.sensordata, 7.0))
    forward = jax.jit(jax.vmap(physics.forward))
    everything = forward(marked, jnp.ones(BATCH, bool))
    some = jnp.arange(BATCH) % 2 == 0
    evaluated = forward(marked, some)
    np.testing.assert_array_equal(evaluated.sensordata[::2], everything.sensordata[::2])
    assert (evaluated.sensordata[1::2] == 7.0).all()
    assert (everything.sensordata != 7.0).any(axis=1).all()
    assert_same(forward(marked, jnp.zeros(BATCH, bool)), marked)
    # One flag for all rows, and rows in two axes, take other paths through the batching rule.
    shared = jax.vmap(physics.forward, in_axes=(0, None))(marked, jnp.asarray(True))
    assert_same(shared, everything)
    folded = jax.tree.map(lambda x: x.reshape(2, BATCH // 2, *x.shape[1:]), (marked, some))
    nested = jax.jit(jax.vmap(jax.vmap(physics.forward)))(*folded)
    np.testing.assert_array_equal(nested.sensordata.reshape(BATCH, -1), evaluated.sensordata)


@pytest.mark.native
def test_physics_that_diverges_ends_that_episode_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its warnings to a file in the working directory
    env = Environment(task("elbow_pose"), threads=2)
    calm = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), 6))
    # The engine gives up on a huge velocity without a NaN: it repeats its last output.
    speeds = jnp.array([0.0, jnp.nan, jnp.inf, 1e9, 1e30, 0.0])[:, None]
    physics = dataclasses.replace(calm.physics, qvel=calm.physics.qvel + speeds)
    action = jnp.zeros((6, 6))
    step = jax.jit(jax.vmap(env.step))
    after, undisturbed = step(dataclasses.replace(calm, physics=physics), action), step(calm, action)
    np.testing.assert_array_equal(after.diverged, [False, True, True, True, True, False])
    np.testing.assert_array_equal(after.terminated, after.diverged)
    assert not after.truncated.any()
    others = jnp.array([0, 5])
    plain = [dataclasses.replace(s, key=jax.random.key_data(s.key)) for s in (after, undisturbed)]
    assert_same(*(jax.tree.map(lambda x: x[others], s) for s in plain))
    assert jnp.isfinite(after.observation).all()
    assert jnp.isfinite(after.physics.qvel).all()
    np.testing.assert_array_equal(after.elapsed, [1, 0, 0, 0, 0, 1])
    assert not step(after, action).diverged.any(), "new episodes go on"


@pytest.mark.unit
def test_an_unknown_back_end_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"unknown physics back end 'mjxx'; did you mean 'mjx'"):
        make_physics(None, "mjxx")  # type: ignore[arg-type]


# MJX computes in float32 and the engine in float64; the hand's limits and contacts make small differences large.
# Measured beforehand over 100 physics steps: activation 2e-7, positions 4e-7 rad (elbow) and 3.5e-3 rad (hand).
def assert_parity(theirs: PhysicsState, mine: PhysicsState, body: Body, position: float) -> None:
    np.testing.assert_allclose(theirs.act, mine.act, rtol=0, atol=3e-7)
    np.testing.assert_allclose(theirs.qpos, mine.qpos, rtol=0, atol=position)
    np.testing.assert_allclose(theirs.time, mine.time, rtol=1e-5)
    np.testing.assert_array_equal(theirs.excitation, mine.excitation)
    # At one state all sensors are the same; a wrapping tendon may sit on the edge of its cylinder.
    evaluated = jax.vmap(make_physics(body, threads=1).forward)(theirs, jnp.ones(len(theirs.time), bool)).sensordata
    np.testing.assert_allclose(theirs.sensordata, evaluated, rtol=1e-3, atol=1e-2)


@pytest.mark.mjx
def test_mjx_follows_the_native_back_end_on_the_elbow() -> None:
    body = embodiment("elbow").compile(SITES["elbow"])
    there = make_physics(body, "mjx")
    assert there.report.changes == ()
    state, _ = random_batch(body, rows=2)
    start = dataclasses.replace(state, qvel=jnp.zeros_like(state.qvel))
    step, reference = jax.jit(jax.vmap(there.step)), jax.vmap(native("elbow").step)
    mine = theirs = start
    for seed in range(5):
        excitation = random_batch(body, seed, rows=2)[1]
        mine, theirs = reference(mine, excitation), step(theirs, excitation)
        assert_parity(theirs, mine, body, position=2e-6)
    assert jnp.abs(mine.qpos - start.qpos).max() > 0.05


@pytest.mark.slow
@pytest.mark.mjx
def test_one_environment_runs_on_mjx_as_it_does_natively() -> None:
    there, here = Environment(task("hand_index_reach"), backend="mjx"), Environment(task("hand_index_reach"), threads=2)
    assert there.physics.report.changes == ()
    reset = jax.vmap(here.reset)(jax.random.split(jax.random.key(2), 2))
    reset = dataclasses.replace(reset, elapsed=jnp.array([0, 95], jnp.int32))  # the second runs out of time on the way
    step, reference = jax.jit(jax.vmap(there.step)), jax.jit(jax.vmap(here.step))
    action = jax.random.uniform(jax.random.key(3), (2, 39), minval=-1.0, maxval=1.0)
    mine = theirs = reset
    for _ in range(6):
        mine, theirs = reference(mine, action), step(theirs, action)
        assert_parity(theirs.physics, mine.physics, here.body, position=3.5e-3)
        np.testing.assert_allclose(theirs.reward, mine.reward, rtol=0, atol=1e-3)
        np.testing.assert_array_equal(theirs.truncated, mine.truncated)
        np.testing.assert_array_equal(theirs.goal, mine.goal)
        np.testing.assert_array_equal(theirs.elapsed, mine.elapsed)
    assert jnp.abs(mine.physics.qpos[0] - reset.physics.qpos[0]).max() > 0.1
    np.testing.assert_array_equal(mine.elapsed, [6, 1])


@pytest.mark.mjx
def test_what_mjx_refuses_is_switched_off_and_reported() -> None:
    model = mujoco.MjModel.from_xml_string(
        """<mujoco><asset><mesh name="m" vertex="0 0 0  .1 0 0  0 .1 0  0 0 .1"/></asset><worldbody>
        <geom name="hill" type="ellipsoid" size="1 1 .2"/>
        <body pos="0 0 1"><freejoint/><geom name="bone" type="mesh" mesh="m"/><geom name="ball" size=".1"/></body>
        </worldbody></mujoco>"""
    )
    before = model.geom_contype.copy()
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        converted, report = convert_for_mjx(model, "heap")
    assert report.changes == ("contacts of 1 mesh geoms switched off: bone",)
    assert "MESH" in report.reasons[0]
    assert report.to_dict() == {"body": "heap", "changes": report.changes, "reasons": report.reasons}
    np.testing.assert_array_equal(model.geom_contype, before)
    assert np.asarray(converted.geom_contype).tolist() == [1, 0, 1]


@pytest.mark.mjx
def test_what_is_like_a_capsule_collides_as_one_on_mjx() -> None:
    model = mujoco.MjModel.from_xml_string(
        """<mujoco><worldbody><geom name="table" type="cylinder" size="1 .1"/>
        <body pos="0 0 1"><freejoint/><geom name="die" type="box" size=".1 .1 .1"/></body>
        <body pos="1 0 1"><freejoint/><geom name="egg" type="ellipsoid" size=".3 .1 .12" euler="0 0 90"/></body>
        </worldbody></mujoco>"""
    )
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        converted, report = convert_for_mjx(model, "table")
    assert report.changes == (
        "1 cylinder geoms collide as capsules: table",
        "1 ellipsoid geoms collide as capsules: egg",
    )
    capsule = int(mujoco.mjtGeom.mjGEOM_CAPSULE)
    assert converted.geom_type.tolist() == [capsule, int(mujoco.mjtGeom.mjGEOM_BOX), capsule]
    np.testing.assert_allclose(converted.geom_size[0, :2], [1.0, 0.1])
    radius = np.sqrt(0.1 * 0.12)
    np.testing.assert_allclose(converted.geom_size[2, :2], [radius, 0.3 - radius], rtol=1e-6)
    # The egg's long axis, x, points along the world's y after the quarter turn; a capsule's is its z.
    along, turned = np.zeros(3), converted.geom_quat[2]
    mujoco.mju_rotVecQuat(along, np.array([0.0, 0.0, 1.0]), turned)
    np.testing.assert_allclose(along, [0.0, 1.0, 0.0], atol=1e-6)
    assert "BOX" in report.reasons[0]


@pytest.mark.mjx
def test_a_model_that_mjx_cannot_take_is_named_with_mjxs_reason() -> None:
    model = mujoco.MjModel.from_xml_string("<mujoco><option solver='PGS'/><worldbody/></mujoco>")
    with pytest.raises(UserError, match=r"MJX cannot take body 'heap': .*PGS.*use the native back end"):
        convert_for_mjx(model, "heap")


ONE_CORE = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import jax, jax.numpy as jnp, numpy as np
from arnold.tasks import Environment, task
environment = Environment(task("hand_index_reach"), threads=1)
step = jax.jit(jax.vmap(environment.step))
actions = jax.jit(lambda observation: jnp.tanh(observation[:, :39, -1] @ jnp.ones((39, 39))))
states = jax.jit(jax.vmap(environment.reset))(jax.random.split(jax.random.key(0), 256))
for number in range(8):
    action = actions(states.observation)
    states = step(states, action)  # in XLA's only thread, while the host asks for something else of it
    np.asarray(action[0])
print("moved", bool(jnp.isfinite(states.reward).all()))
"""


@pytest.mark.native
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot bind a process to one core")
def test_a_large_batch_on_one_core_does_not_wait_for_itself() -> None:
    quickly = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
    environment = os.environ | {"XLA_FLAGS": quickly}  # of the tests' flags: one device, one thread
    done = subprocess.run(
        [sys.executable, "-c", ONE_CORE], capture_output=True, text=True, timeout=120, env=environment
    )
    assert done.stdout.strip() == "moved True", done.stderr
