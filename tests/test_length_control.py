"""Muscles that are told a length: against a plain loop with MuJoCo's own muscle functions, on both back ends."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from arnold.embodiments import LENGTH_PD, Body, Change, Embodiment, embodiment
from arnold.embodiments.kinesis_checkout import kinesis_checkout
from arnold.embodiments.physics import PhysicsState, make_physics
from arnold.embodiments.physics.length_control import LengthControl
from arnold.errors import UserError
from arnold.tasks import Environment, task

pytestmark = pytest.mark.native

ROWS = 4


CHECKOUT = """
<mujoco model="MyoLegs">
  <compiler angle="radian"/>
  <option timestep="0.001"/>
  <worldbody>
    <site name="origin" pos="0.02 0 0.25"/>
    <body name="root" pos="0 0 0.3">
      <geom type="capsule" fromto="0 0 0 0 0 -0.3" size="0.02" contype="0"/>
      <body name="tibia_r" pos="0 0 -0.3">
        <joint name="knee_angle_r" type="hinge" axis="0 1 0" range="-2 0.5" limited="true" damping="0.5"/>
        <geom type="capsule" fromto="0 0 0 0 0 -0.25" size="0.02" contype="0"/>
        <site name="insertion" pos="0.02 0 -0.06"/>
        <site name="back" pos="-0.02 0 -0.02"/>
      </body>
    </body>
  </worldbody>
  <tendon>
    <spatial name="front_t"><site site="origin"/><site site="insertion"/></spatial>
    <spatial name="back_t"><site site="origin"/><site site="back"/></spatial>
  </tendon>
  <actuator>
    <muscle name="recfem_r" tendon="front_t" force="300" lengthrange="0.2 0.45"/>
    <muscle name="bflh_r" tendon="back_t" force="200" scale="300" lengthrange="0.2 0.42"/>
  </actuator>
  <sensor><framelinvel objtype="body" objname="tibia_r"/></sensor>
</mujoco>
"""


def checkout(folder: Path, model: str = CHECKOUT) -> Path:
    (folder / "data/xml").mkdir(parents=True)
    (folder / "data/xml/myolegs.xml").write_text(model)
    return folder


@functools.cache
def body_told_lengths(name: str) -> Body:
    return dataclasses.replace(embodiment(name), action_map=LENGTH_PD).compile()


def muscle_functions(body: Body, data: mujoco.MjData, i: int) -> tuple[float, float, float]:
    """MuJoCo's active and passive force and the peak force of muscle ``i`` in its present state, N."""
    model, a = body.model, body.muscle_controls[i]
    length, velocity = data.actuator_length[a], data.actuator_velocity[a]
    given = model.actuator_lengthrange[a], model.actuator_acc0[a]
    gain = mujoco.mju_muscleGain(length, velocity, *given, model.actuator_gainprm[a, :9])
    bias = mujoco.mju_muscleBias(length, *given, model.actuator_biasprm[a, :9])
    force, scale = model.actuator_biasprm[a, 2:4]
    return gain, bias, force if force >= 0 else scale / model.actuator_acc0[a]


def plain_excitation(body: Body, data: mujoco.MjData, action: np.ndarray) -> np.ndarray:
    """KINESIS' law as its description gives it, muscle by muscle, in newtons."""
    excitation = np.zeros(len(body.muscles))
    for i, a in enumerate(body.muscle_controls):
        gain, bias, peak = muscle_functions(body, data, i)
        stiffness, damping = 5 * peak, 0.1 * 5 * peak
        wanted = (action[i] + 1) / 2 * body.model.actuator_lengthrange[a, 1]
        force = stiffness * (wanted - data.actuator_length[a]) - damping * data.actuator_velocity[a]
        force = min(max(force, -peak), 0.0)
        excitation[i] = min(max((force - bias) / min(-1.0, gain), 0.0), 1.0)
    return excitation


def plain_step(body: Body, state: PhysicsState, row: int, action: np.ndarray) -> tuple[mujoco.MjData, np.ndarray]:
    """One control step with `mj_step`, each physics step with a cold solver; and the mean excitation."""
    data = mujoco.MjData(body.model)
    data.time, data.qpos[:], data.qvel[:] = state.time[row], state.qpos[row], state.qvel[row]
    data.act[:] = state.act[row]
    sent = []
    for _ in range(body.embodiment.frame_skip):
        mujoco.mj_forward(body.model, data)
        sent.append(plain_excitation(body, data, action))
        data.ctrl[body.muscle_controls] = sent[-1]
        data.qacc_warmstart[:] = 0.0
        mujoco.mj_step(body.model, data)
    return data, np.mean(sent, axis=0)


def standing(body: Body, rows: int = ROWS, seed: int = 0) -> PhysicsState:
    """States (rows, ...) near the rest pose, in motion, with muscles in any activation."""
    rng, model = np.random.default_rng(seed), body.model
    numbers = {
        "time": np.zeros(rows),
        "qpos": np.tile(body.rest_position, (rows, 1)),
        "qvel": rng.normal(size=(rows, model.nv)),
        "act": rng.uniform(size=(rows, model.na)),
        "sensordata": np.zeros((rows, model.nsensordata)),
        "excitation": np.zeros((rows, len(body.muscles))),
        "changes": np.zeros((rows, 0)),
    }
    return PhysicsState(**{name: jnp.asarray(value, jnp.float32) for name, value in numbers.items()})


def actions(body: Body, seed: int, rows: int = ROWS) -> np.ndarray:
    drawn = np.random.default_rng(seed).uniform(-1.1, 1.1, (rows, len(body.muscles)))
    return np.asarray(drawn, np.float32)


@pytest.mark.parametrize("name", ["kinesis_legs", "musclemimic_bimanual_nofingers"])
def test_the_curves_of_force_are_mujocos_far_beyond_where_muscles_go(name: str) -> None:
    body = body_told_lengths(name)
    control, model, at = LengthControl(body, LENGTH_PD.feedback), body.model, body.muscle_controls
    longest = model.actuator_lengthrange[at, 1]
    for share in np.linspace(0.0, 2.0, 41):
        for velocity in (-5.0, -0.3, -1e-3, 0.0, 1e-3, 0.3, 5.0):
            length, speed = share * longest, np.full(len(at), velocity)
            active = control._active_force(np, length, speed)
            passive = control._passive_force(np, length)
            for i, a in enumerate(at):
                given = model.actuator_lengthrange[a], model.actuator_acc0[a]
                for curve, prm, of in (
                    (active, model.actuator_gainprm[a], lambda *g: mujoco.mju_muscleGain(length[i], velocity, *g)),  # noqa: B023
                    (passive, model.actuator_biasprm[a], lambda *g: mujoco.mju_muscleBias(length[i], *g)),  # noqa: B023
                ):
                    peak = prm[2] if prm[2] >= 0 else prm[3] / model.actuator_acc0[a]
                    assert curve[i] * peak == pytest.approx(of(*given, prm[:9]), rel=1e-9, abs=1e-9 * peak)


@pytest.mark.parametrize("name", ["kinesis_legs", "musclemimic_bimanual_nofingers"])
def test_a_step_is_a_plain_loop_over_muscles(name: str) -> None:
    body = body_told_lengths(name)
    physics = make_physics(body, threads=2)
    step = jax.jit(jax.vmap(physics.step))
    state = standing(body)
    for number in range(3):
        action = actions(body, number)
        reached = step(state, LENGTH_PD(jnp.asarray(action)))
        for row in range(ROWS):
            data, sent = plain_step(body, state, row, np.clip(action[row], -1.0, 1.0))
            np.testing.assert_allclose(reached.excitation[row], sent, atol=1e-6)
            np.testing.assert_allclose(reached.act[row], data.act, atol=1e-6)
            np.testing.assert_allclose(reached.qpos[row], data.qpos, atol=1e-6)
            np.testing.assert_allclose(reached.qvel[row], data.qvel, atol=1e-4)
        assert 0.1 < float(reached.excitation.mean()) < 0.9
        state = reached


def test_the_published_excitations_of_a_resting_body_come_out() -> None:
    """spec: at rest an action of -1, 0, 0.5, 0.8 gives a mean excitation of 0.89, 0.56, 0.19, 0.04 on KINESIS' legs."""
    body = body_told_lengths("kinesis_legs")
    control, data = LengthControl(body, LENGTH_PD.feedback), mujoco.MjData(body.model)
    mujoco.mj_forward(body.model, data)
    length, still = data.actuator_length[body.muscle_controls], np.zeros(len(body.muscles))
    means = [control.excitation(np, 0.5 * (a + 1.0) + still, length, still).mean() for a in (-1.0, 0.0, 0.5, 0.8)]
    np.testing.assert_allclose(means, [0.89, 0.56, 0.19, 0.04], atol=0.03)


def test_a_wanted_length_beyond_the_present_one_leaves_the_muscle_slack() -> None:
    body = body_told_lengths("elbow")
    control = LengthControl(body, LENGTH_PD.feedback)
    longest = body.model.actuator_lengthrange[body.muscle_controls, 1]
    length, still = 0.8 * longest, np.zeros(len(body.muscles))
    assert (control.excitation(np, 0.95 + still, length, still) == 0.0).all()
    assert (control.excitation(np, 0.5 + still, length, still) > 0.1).all()


def test_one_bad_row_is_handed_back_as_not_a_number_and_disturbs_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its warnings to a file in the working directory
    body = body_told_lengths("elbow")
    step = jax.jit(jax.vmap(make_physics(body, threads=2).step))
    calm, command = standing(body, rows=6), LENGTH_PD(jnp.asarray(actions(body, 0, rows=6)))
    speeds = jnp.array([0.0, jnp.nan, jnp.inf, 1e9, 1e30, 0.0])[:, None]
    after = step(dataclasses.replace(calm, qvel=calm.qvel + speeds), command)
    undisturbed = step(calm, command)
    np.testing.assert_array_equal(jnp.isnan(after.qpos).any(axis=1), [False, True, True, True, True, False])
    for row in (0, 5):
        for one, other in zip(jax.tree.leaves(after), jax.tree.leaves(undisturbed), strict=True):
            np.testing.assert_array_equal(one[row], other[row])


def test_a_task_runs_on_a_body_that_is_told_lengths() -> None:
    base = task("elbow_pose")
    told = dataclasses.replace(base, body=dataclasses.replace(base.embodiment, action_map=LENGTH_PD))
    env = Environment(told, threads=2)
    state = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), 3))
    action = jnp.asarray(actions(env.body, 4, rows=3))
    stepped = jax.jit(jax.vmap(env.step))(state, action)
    assert jnp.isfinite(stepped.observation).all()
    assert not stepped.diverged.any()
    for row in range(3):
        _, sent = plain_step(env.body, state.physics, row, np.clip(np.asarray(action[row]), -1, 1))
        np.testing.assert_allclose(stepped.physics.excitation[row], sent, atol=1e-6)


def test_changes_of_the_model_hold_in_every_physics_step(tmp_path: Path) -> None:
    embodiment = kinesis_checkout(checkout(tmp_path))
    plain, changing = embodiment.compile(), embodiment.compile(changes=(Change("body_mass", "tibia_r"),))
    mass = float(plain.model.body("tibia_r").mass[0])
    state, command = standing(plain, rows=2), LENGTH_PD(jnp.asarray(actions(plain, 0, rows=2)))
    state = jax.tree.map(lambda x: jnp.stack([x[0], x[0]]), state)
    command = jnp.stack([command[0], command[0]])
    expected = jax.vmap(make_physics(plain, threads=1).step)(state, command)
    weighed = dataclasses.replace(state, changes=jnp.array([[mass], [3.0 * mass]]))
    reached = jax.vmap(make_physics(changing, threads=1).step)(weighed, command)
    np.testing.assert_allclose(reached.qvel[0], expected.qvel[0], rtol=1e-5)
    assert abs(float(reached.qvel[1, 0] - reached.qvel[0, 0])) > 0.1
    assert abs(float(reached.excitation[1, 0] - reached.excitation[0, 0])) > 1e-4, "it followed another motion"


@pytest.mark.slow
@pytest.mark.mjx
def test_mjx_pulls_as_the_native_back_end_does(tmp_path: Path) -> None:
    unlimited = CHECKOUT.replace('limited="true"', 'limited="false"')  # without a solver to compile
    body = kinesis_checkout(checkout(tmp_path, unlimited)).compile()
    here, there = make_physics(body, threads=2), make_physics(body, "mjx")
    state = standing(body, rows=2)
    step, reference = jax.jit(jax.vmap(there.step)), jax.jit(jax.vmap(here.step))
    mine = theirs = dataclasses.replace(state, qvel=jnp.zeros_like(state.qvel))
    for number in range(4):
        command = LENGTH_PD(jnp.asarray(actions(body, number, rows=2)))
        mine, theirs = reference(mine, command), step(theirs, command)
        np.testing.assert_allclose(theirs.excitation, mine.excitation, atol=1e-4)
        np.testing.assert_allclose(theirs.qpos, mine.qpos, atol=1e-5)
    assert jnp.abs(mine.qpos - state.qpos).max() > 0.05
    assert 0.05 < float(mine.excitation.mean()) < 0.95


def test_a_checkout_of_kinesis_is_driven_as_published(tmp_path: Path) -> None:
    body = kinesis_checkout(checkout(tmp_path)).compile()
    assert body.muscles == ("recfem_r", "bflh_r")
    assert body.timestep == pytest.approx(1 / 150)
    assert body.control_dt == pytest.approx(1 / 30)
    assert body.embodiment.action_map is LENGTH_PD
    assert not body.model.actuator_actlimited.any(), "as published"
    step, state = make_physics(body, threads=1).step, standing(body, rows=1)
    reached = jax.jit(jax.vmap(step))(dataclasses.replace(state, act=jnp.zeros((1, 2))), jnp.zeros((1, 2)))
    assert float(reached.excitation[0, 0]) == pytest.approx(1.0)
    assert float(reached.act[0, 0]) > 1.02, "activation overshoots, as published"


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (None, r"no KINESIS checkout at .*it has no data/xml/myolegs\.xml; give the folder"),
        ("<mujoco", r"cannot read .*myolegs\.xml"),
        ("<mujoco><worldbody/></mujoco>", r"kinesis_checkout.*has no muscles"),
    ],
    ids=["absent", "truncated", "bare"],
)
def test_a_folder_that_is_no_checkout_is_named(tmp_path: Path, model: str | None, said: str) -> None:
    folder = tmp_path / "Kinesis"
    if model is not None:
        checkout(folder, model)
    with pytest.raises(UserError, match=said) as caught:
        kinesis_checkout(folder)
    assert "\n" not in str(caught.value)


def test_a_muscle_without_mujocos_curves_cannot_be_told_a_length(tmp_path: Path) -> None:
    linear = CHECKOUT.replace(
        '<muscle name="recfem_r" tendon="front_t" force="300" lengthrange="0.2 0.45"/>',
        '<general name="recfem_r" tendon="front_t" dyntype="muscle" dynprm="0.01 0.04" gainprm="-100"/>',
    )
    path = tmp_path / "linear.xml"
    path.write_text(linear)
    body = Embodiment.from_mjcf(path, action_map=LENGTH_PD).compile()
    with pytest.raises(UserError, match="muscle 'recfem_r' has not MuJoCo's muscle curves"):
        make_physics(body)
