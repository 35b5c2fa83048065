"""Exploration noise that muscles share, and a step that adapts to how far the policy moved."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from arnold.embodiments import embodiment
from arnold.embodiments.moments import independent_velocities, moment_arms, pulling_directions
from arnold.errors import UserError
from arnold.learning.config import LearnerConfig
from arnold.learning.learner import Learner
from arnold.learning.losses import log_probability
from arnold.learning.mixture import Mixture
from arnold.policy.mlp import MlpActorCritic, MlpConfig

pytestmark = pytest.mark.native


def learner(critic_warmup: int = 0, **settings: object) -> Learner:
    config = LearnerConfig(rollout_steps=4, epochs=1, minibatches=1, **settings)
    mixture = Mixture.of({"elbow_pose": 4})
    from arnold.tasks import Environment, task

    env = Environment(task("elbow_pose"), threads=1)
    policy = MlpActorCritic(env.observation_table, env.action_table, MlpConfig(hidden=(8,)))
    return Learner(policy, mixture, config, 10, threads=1, critic_warmup=critic_warmup)


def test_the_density_of_correlated_actions_is_that_of_a_multivariate_normal() -> None:
    rng = np.random.default_rng(0)
    correlation = np.corrcoef(rng.normal(size=(4, 12)))
    log_std, mean, action = rng.normal(size=4), rng.normal(size=(6, 4)), rng.normal(size=(6, 4))
    spread = np.diag(np.exp(log_std))
    covariance = spread @ correlation @ spread
    expected = [multivariate_normal(m, covariance).logpdf(a) for m, a in zip(mean, action, strict=True)]
    arrays = (jnp.asarray(x[None], jnp.float32) for x in (mean, log_std, action, np.linalg.cholesky(correlation)))
    np.testing.assert_allclose(log_probability(*arrays)[0], expected, rtol=2e-3)


def test_muscles_that_pull_the_same_way_share_their_noise() -> None:
    body = embodiment("kinesis_legs").compile()
    along = pulling_directions(body.model, body.rest_position.astype(float))
    likeness = along @ along.T
    at = {name: body.muscles.index(name) for name in ("soleus_r", "gasmed_r", "tibant_r", "soleus_l", "vaslat_r")}
    assert likeness[at["soleus_r"], at["gasmed_r"]] > 0.9
    assert likeness[at["soleus_r"], at["tibant_r"]] < 0.0
    assert abs(likeness[at["soleus_r"], at["soleus_l"]]) < 1e-6
    assert likeness[at["vaslat_r"], at["soleus_r"]] < 0.2  # joined by the knee's coupling, not by accident


def test_noise_keeps_its_variance_and_has_the_correlation_asked_for() -> None:
    made = learner(muscle_correlation=0.6)
    factor = np.asarray(made._mixings[0][0])
    covariance = factor @ factor.T
    np.testing.assert_allclose(np.diag(covariance), 1.0, atol=1e-5)
    signs = np.sign(pulling_directions(made.lanes[0].environment.body.model, np.zeros(1))[:, 0])
    off = ~np.eye(len(signs), dtype=bool)
    np.testing.assert_allclose(covariance[off], (0.6 * np.outer(signs, signs))[off], atol=1e-5)  # one joint
    assert learner()._mixings == [None]


@pytest.mark.train
def test_an_iteration_with_shared_noise_learns_from_its_own_densities() -> None:
    made = learner(muscle_correlation=0.6, target_kl=0.01, critic_warmup=1)
    state = made.initial_state(jax.random.key(0))
    state, metrics = made.train_iteration(state)
    assert np.isfinite(float(metrics["loss"]))
    # the first update sees the policy that acted: its densities are those that were stored
    assert abs(float(metrics["kl"])) < 1e-4
    assert float(state.step_scale) == 1.0, "the policy stands still by rule, so the step need not grow"


@pytest.mark.parametrize(("kl", "factor"), [(0.05, 0.8), (0.001, 1.25), (0.012, 1.0)])
def test_the_step_follows_how_far_the_policy_moved(kl: float, factor: float) -> None:
    made = learner(target_kl=0.01)
    assert float(made._adapted(jnp.float32(0.5), jnp.float32(kl))) == pytest.approx(0.5 * factor)
    scale = jnp.float32(1.0)
    for _ in range(100):
        scale = made._adapted(scale, jnp.float32(kl))
    assert 1 / 30 - 1e-6 <= float(scale) <= 3.0


@pytest.mark.parametrize("correlation", [-0.1, 1.0])
def test_a_correlation_that_is_none_is_refused(correlation: float) -> None:
    with pytest.raises(UserError, match="muscle_correlation"):
        LearnerConfig(muscle_correlation=correlation)


def test_moment_arms_are_how_muscles_lengthen_with_joints() -> None:
    model = embodiment("kinesis_legs").compile().model
    data = mujoco.MjData(model)
    mujoco.mj_fwdPosition(model, data)
    arms, before = moment_arms(model, data), data.actuator_length.copy()
    hip = model.joint("hip_flexion_r")
    data.qpos[hip.qposadr[0]] += 1e-4
    mujoco.mj_fwdPosition(model, data)
    np.testing.assert_allclose((data.actuator_length - before) / 1e-4, arms[:, hip.dofadr[0]], atol=1e-4)


def test_independent_velocities_obey_the_knees_couplings() -> None:
    model = embodiment("kinesis_legs").compile().model
    free = independent_velocities(model, model.qpos0)
    assert free.shape == (34, 20)
    for equality in range(model.neq):
        one, other = model.eq_obj1id[equality], model.eq_obj2id[equality]
        slope = model.eq_data[equality, 1]
        np.testing.assert_allclose(free[model.jnt_dofadr[one]], slope * free[model.jnt_dofadr[other]], atol=1e-12)


def test_independent_velocities_of_many_poses_are_those_of_each() -> None:
    model = embodiment("kinesis_legs").compile().model
    poses = model.qpos0 + np.random.default_rng(0).uniform(-0.3, 0.3, (3, model.nq))
    together = independent_velocities(model, poses)
    np.testing.assert_array_equal(together, [independent_velocities(model, pose) for pose in poses])
    assert np.ptp(together, axis=0).any()  # the knees' couplings are curved
