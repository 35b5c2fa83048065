"""Computed muscle control: muscles that are sent what a clip asks for follow it, untrained."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from test_imitation import elbow_task, legs_task, steps

from arnold.computed_muscle_control import STIFFNESS, _Control, computed_muscle_control
from arnold.embodiments import embodiment
from arnold.embodiments.moments import independent_velocities
from arnold.errors import UserError
from arnold.learning.config import LearnerConfig
from arnold.policy.mlp import MlpConfig
from arnold.recipe import ExpertRecipe
from arnold.tasks import Environment, register_task, task
from arnold.training import prepare

pytestmark = pytest.mark.native
MOMENTS = np.array([0.03, 0.06, 0.12])


def test_an_untrained_elbow_follows_a_clip(tmp_path: Path) -> None:
    environment = Environment(elbow_task(tmp_path, anywhere=False), threads=1)
    controller = computed_muscle_control(environment).controller

    @jax.jit
    def step(state):
        return jax.vmap(environment.step)(state, jnp.clip(controller(state.observation), -1.0, 1.0))

    state, off = jax.jit(jax.vmap(environment.reset))(jax.random.split(jax.random.key(0), 2)), []
    for _ in range(60):
        state = step(state)
        wanted = environment.task._pose(environment.body, jax.tree.map(lambda x: x[0], state.goal), 0).qpos
        off.append(float(jnp.abs(wanted - state.physics.qpos[0]).max()))
    assert max(off) < 0.08  # rad, of a swing of 1 rad at up to 3 rad/s
    assert np.mean(off) < 0.03


def test_it_accelerates_the_joints_as_asked() -> None:
    """MuJoCo's own forward dynamics under the activations that are found, however far muscles can go in a step."""
    body = embodiment("musclemimic_bimanual_nofingers").compile()
    model, control = body.model, _Control(body, MOMENTS)
    control.dt = 10.0  # s, to reach any activation
    qpos, off = model.qpos0.copy(), np.zeros(model.nv)
    for side in "rl":
        for joint, angle in (("shoulder_elv", 0.9), ("elv_angle", 0.5), ("elbow_flex", 1.2)):
            qpos[model.joint(f"{joint}_{side}").qposadr[0]] = angle
    off[model.joint("elbow_flex_r").dofadr[0]] = 0.05  # rad, that the clip is off here, and stays
    at = independent_velocities(model, qpos)
    seen = np.concatenate(
        [qpos[body.joint_qpos], np.zeros(len(body.joints) + len(body.muscles)), *[off[body.joint_qvel]] * len(MOMENTS)]
    )
    data = mujoco.MjData(model)
    data.qpos, data.act = qpos, control.excitation(seen)
    mujoco.mj_forward(model, data)
    inertia = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, data, inertia)
    about = at.T @ inertia @ at
    force = at.T @ (data.qfrc_actuator + data.qfrc_passive - data.qfrc_bias)
    reached, wanted = np.linalg.solve(about, force), STIFFNESS**2 * off[control.free]
    data.act = 0.0
    mujoco.mj_forward(model, data)
    falling = np.linalg.solve(about, at.T @ (data.qfrc_actuator + data.qfrc_passive - data.qfrc_bias))
    assert np.abs(falling).max() > 20.0  # rad/s^2: without muscles the arms fall
    np.testing.assert_allclose(reached, wanted, atol=1.0)
    assert wanted.max() > 10.0


def test_activations_are_those_that_a_step_reaches() -> None:
    """What is sent brings MuJoCo's muscles where the optimisation wanted them, in one control step."""
    body = embodiment("elbow").compile()
    control, model = _Control(body, MOMENTS), body.model
    begun = np.linspace(0.05, 0.8, model.nu)
    seen = np.concatenate([[1.0, 0.0], begun, [0.3] * len(MOMENTS)])
    sent = control.excitation(seen)
    assert ((sent >= -1e-9) & (sent <= 1.0 + 1e-9)).all()
    data = mujoco.MjData(model)
    data.qpos, data.act, data.ctrl = 1.0, begun, sent
    for _ in range(round(control.dt / model.opt.timestep)):
        mujoco.mj_step(model, data)
    rise, fall = control._shares(begun)
    wanted = begun + np.where(sent > begun, rise, fall) * (sent - begun)
    np.testing.assert_allclose(data.act, wanted, atol=0.06)
    assert np.ptp(wanted - begun) > 0.3  # some rise, some fall, by much more than the tolerance


@pytest.mark.slow
def test_a_network_learns_to_be_it(tmp_path: Path) -> None:
    swing = register_task(dataclasses.replace(elbow_task(tmp_path), name="swing_after_cmc"))
    learner = LearnerConfig(regime="obc", rollout_steps=10, minibatches=2, learning_rate=3e-3, value=0.0)
    recipe = ExpertRecipe(
        swing.name, steps=3200, environments=16, teacher="cmc", learner=learner, network=MlpConfig(hidden=(32,))
    )
    prepared = prepare(recipe, threads=1)
    state, loss = prepared.initial(), []
    for _ in range(20):
        state, figures = prepared.learner.train_iteration(state)
        loss.append(float(figures["imitation"]))
    assert loss[-1] < 0.5 * loss[0]


def test_what_it_cannot_control_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'kinesis_legs' has 6 other degrees of freedom: use teacher='reflex'"):
        computed_muscle_control(Environment(legs_task(steps(), tmp_path / "steps"), threads=1))
    with pytest.raises(UserError, match="at 0 moments within 150 ms"):
        computed_muscle_control(Environment(task("elbow_pose"), threads=1))
