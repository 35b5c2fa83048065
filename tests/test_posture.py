"""Policies that command postures, and networks that treat left and right alike."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from test_imitation import elbow_task, legs_task, steps

from arnold import saved_policy
from arnold.checkpoints import save_checkpoint
from arnold.cli.describe_policy import lines
from arnold.embodiments import embodiment
from arnold.embodiments.moments import independent_dofs
from arnold.errors import UserError
from arnold.learning.config import LearnerConfig
from arnold.policy.actor_critic import PolicyOutput
from arnold.policy.mlp import MlpActorCritic, MlpConfig
from arnold.policy.posture import UNIT_RAD, PostureActorCritic
from arnold.recipe import ExpertRecipe, FinetuneRecipe
from arnold.reflex import GAIN, posture_policy, reflex, reflexes
from arnold.tasks import Environment, EnvState, Imitate, register_task
from arnold.training import prepare
from arnold.vocab import Token, TokenTable, quantities
from arnold.vocab.mirror import mirror

pytestmark = pytest.mark.native
SMALL = MlpConfig(hidden=(8,), init_mean_scale=1.0, mirrored=True, unread=("muscle force", "muscle position"))


@pytest.fixture(scope="module")
def walking(tmp_path_factory: pytest.TempPathFactory) -> Imitate:
    return legs_task(steps(), tmp_path_factory.mktemp("clips") / "steps")


@pytest.fixture(scope="module")
def environment(walking: Imitate) -> Environment:
    return Environment(walking, threads=1, lags=2)


@pytest.fixture(scope="module")
def state(environment: Environment) -> EnvState:
    return jax.jit(jax.vmap(environment.reset))(jax.random.split(jax.random.key(0), 3))


def begun(policy: PostureActorCritic, environment: Environment) -> dict:
    return {**policy.init(jax.random.key(1)), "posture": reflexes(environment, policy)}


def said(
    policy: PostureActorCritic, params: dict, environment: Environment, observation: jax.Array, statistics: Any = None
) -> PolicyOutput:
    ids = policy.bind([(environment.observation_table, environment.action_table)])
    return jax.jit(functools.partial(policy.apply, ids=ids))(
        params, statistics or policy.init_statistics(), values=observation[None]
    )


def test_joints_that_follow_another_are_not_commanded(environment: Environment) -> None:
    policy = posture_policy(environment, SMALL)
    names = [token.entity[:2] for token in policy.network.action_table]
    one = ["hip_flexion", "hip_adduction", "hip_rotation", "knee_angle", "ankle_angle", "subtalar_angle", "mtp_angle"]
    assert names == [(joint, side) for side in ("right", "left") for joint in one]
    assert len(independent_dofs(environment.body.model)) == 6 + len(names)  # and the root


def test_a_command_of_nothing_is_the_reflex_controller(environment: Environment, state: EnvState) -> None:
    policy = posture_policy(environment, SMALL)
    output = said(policy, begun(policy, environment), environment, state.observation)
    sent = output.executed(jnp.zeros_like(output.mean))[0]
    np.testing.assert_allclose(sent, reflex(environment).controller(state.observation), atol=1e-6)


def test_a_commanded_joint_asks_its_muscles_for_the_lengths_they_have_there(environment: Environment) -> None:
    """The moment arms are the derivative of muscle lengths, which MuJoCo's kinematics know."""
    policy = posture_policy(environment, dataclasses.replace(SMALL, mirrored=False))
    arms, per_metre = (np.asarray(reflexes(environment, policy)[name]) for name in ("arms", "per_metre"))
    model = environment.body.model
    clip = np.asarray(environment.task.reference(environment.body).rows.qpos, float)  # type: ignore[attr-defined]

    def lengths(pose: np.ndarray, turned: float) -> np.ndarray:
        data = mujoco.MjData(model)
        data.qpos = pose
        data.qpos[model.joint("ankle_angle_r").qposadr[0]] += turned
        mujoco.mj_fwdPosition(model, data)
        return data.actuator_length[environment.body.muscle_controls].copy()

    change = np.mean([lengths(pose, 1e-4) - lengths(pose, -1e-4) for pose in clip], axis=0) / 2e-4
    names = [token.entity[:2] for token in policy.network.action_table]
    column = arms[:, names.index(("ankle_angle", "right"))]
    np.testing.assert_allclose(column / per_metre / UNIT_RAD, change, atol=1e-4)
    assert np.all(per_metre > GAIN)  # optimal fibres are shorter than a metre


def mirrored_values(environment: Environment, observation: jax.Array) -> jax.Array:
    order, sign = mirror(environment.observation_table)
    return observation[:, order] * sign[None, :, None]


def test_a_mirrored_policy_does_on_the_left_what_it_does_on_the_right(
    environment: Environment, state: EnvState
) -> None:
    policy = posture_policy(environment, SMALL)
    params = begun(policy, environment)
    here = said(policy, params, environment, state.observation)
    there = said(policy, params, environment, mirrored_values(environment, state.observation))
    joints, muscles = mirror(policy.network.action_table)[0], mirror(environment.action_table)[0]
    assert float(jnp.abs(here.mean - here.mean[..., joints]).max()) > 1e-2  # the situation is not symmetric
    np.testing.assert_allclose(there.mean[..., joints], here.mean, atol=1e-5)
    np.testing.assert_allclose(there.value, here.value, atol=1e-5)
    np.testing.assert_allclose(there.executed(there.mean)[..., muscles], here.executed(here.mean), atol=1e-5)


@functools.cache
def exchanged(model: mujoco.MjModel) -> np.ndarray:
    names = [model.joint(j).name for j in range(1, model.njnt)]
    other = {"r": "l", "l": "r"}
    return np.array([model.joint(f"{name[:-1]}{other[name[-1]]}").qposadr[0] for name in names])


def test_what_the_words_say_of_a_mirror_is_what_the_body_shows_in_one(walking: Imitate) -> None:
    """The body mirrored through its middle, and clip with it, is seen as the mirrored observation."""
    model = embodiment("kinesis_legs").compile().model
    seen = []
    for flipped in (False, True):
        clip = steps()
        if flipped:
            qpos = clip.qpos.copy()
            qpos[:, 1] *= -1.0
            qpos[:, [4, 6]] *= -1.0  # quaternion of a mirrored turn
            qpos[:, 7:] = clip.qpos[:, exchanged(model)]
            qvel = clip.qvel.copy()
            qvel[:, 1] *= -1.0
            qvel[:, [3, 5]] *= -1.0
            qvel[:, 6:] = clip.qvel[:, exchanged(model) - 1]
            clip = dataclasses.replace(clip, qpos=qpos, qvel=qvel)
        task = legs_task(clip, Path(walking.clips[0]).with_name(f"flipped{flipped}"))
        env = Environment(task, threads=1)
        start, goal = task.at(env.body, jnp.int32(0), jnp.int32(20), jnp.ones(1))
        behind = dataclasses.replace(goal, frame=jnp.int32(24))
        seen.append(jax.jit(env.reset_to)(jax.random.key(0), start, behind).observation[None])
    expected = mirrored_values(env, seen[0])
    close = np.isclose(seen[1], expected, atol=2e-3, rtol=2e-2).all(axis=(0, 2))
    off = [str(token) for token, good in zip(env.observation_table, close, strict=True) if not good]
    assert off == []


def test_tokens_without_a_counterpart_or_a_sign_are_refused() -> None:
    one_side = TokenTable((Token(("FDS2", "right", "muscle"), quantities.MUSCLE_FORCE),))
    with pytest.raises(UserError, match="'FDS2 right muscle force' has no counterpart on the other side"):
        mirror(one_side)
    trunk = TokenTable(tuple(Token((name, "joint"), ("position",)) for name in ("flex_extension", "L4_L5_LB")))
    np.testing.assert_array_equal(mirror(trunk)[1], [1.0, -1.0])
    midline = TokenTable((Token(("jaw", "joint"), quantities.JOINT_POSITION),))
    with pytest.raises(UserError, match="joint on the midline"):
        mirror(midline)


def test_tokens_that_are_not_read_do_not_matter(environment: Environment, state: EnvState) -> None:
    config = MlpConfig(hidden=(8,), init_mean_scale=1.0, unread=("muscle force", "=position linear z root"))
    policy = MlpActorCritic(environment.observation_table, environment.action_table, config)
    params, statistics = policy.init(jax.random.key(0)), policy.init_statistics()
    ids = policy.bind([(environment.observation_table, environment.action_table)])
    height = {"position", "linear", "z", "root"}  # but not its error, which has one word more
    said = [set(token.words) for token in environment.observation_table]
    unread = np.array([{"muscle", "force"} <= words or words == height for words in said])
    assert unread.sum() == 81
    assert any(height < words for words in said)
    before = policy.apply(params, statistics, ids, state.observation[None]).mean
    for some, matter in ((unread, False), (~unread, True)):
        changed = state.observation + jnp.asarray(some, jnp.float32)[None, :, None]
        after = policy.apply(params, statistics, ids, changed[None]).mean
        assert bool(jnp.any(after != before)) is matter


@pytest.mark.slow
@pytest.mark.train
def test_a_policy_of_postures_learns_is_saved_and_drives_muscles(tmp_path: Path) -> None:
    register_task(elbow_task(tmp_path))
    recipe = ExpertRecipe(
        "swing",
        steps=16,
        environments=4,
        learner=LearnerConfig(rollout_steps=4, epochs=1, minibatches=1, log_std=(-1.0, -2.0)),
        network=MlpConfig(hidden=(8,), init_mean_scale=1.0),
        command="posture",
    )
    prepared = prepare(recipe, threads=1)
    begin = prepared.initial()
    state, metrics = prepared.learner.train_iteration(begin)
    assert abs(float(metrics["kl"])) < 1e-4  # the densities of the update are those of the postures that were drawn
    for name, before in begin.params["posture"].items():
        np.testing.assert_array_equal(before, state.params["posture"][name])  # reflexes are not trained
    policy, params = prepared.learner.policy, prepared.learner.policy_params(state)
    content = {"params": params, "statistics": state.statistics}
    folder = save_checkpoint(
        tmp_path / "saved", policy=content, config=saved_policy.describe(policy, prepared.tasks, recipe={})
    )
    assert "commands: the equilibrium of 1 joints; the stretch reflexes of 6 muscles follow" in lines(str(folder))
    again = saved_policy.load(folder)
    assert isinstance(again.policy, PostureActorCritic)
    environment = prepared.learner.lanes[0].environment
    observation = state.lanes["swing"].env.observation
    expert = again.expert(environment)
    _, action = expert.act(expert.params, (), observation, jnp.ones(4, bool))
    assert action.shape == (4, 6)
    output = said(policy, params, environment, observation, state.statistics)
    assert output.mean.shape == (1, 4, 1)
    np.testing.assert_allclose(action, output.executed(output.mean)[0], atol=1e-6)
    goes_on = FinetuneRecipe(str(folder), "swing", steps=3200)
    assert isinstance(prepare(goes_on, threads=1).learner.policy, PostureActorCritic)  # by reward
    for changes in ({"expert": str(folder)}, {"subspace": "bases.npz", "rank": 1}):
        with pytest.raises(UserError, match="commands postures, and"):
            prepare(dataclasses.replace(goes_on, **changes), threads=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"command": "postures"}, "ExpertRecipe.command is 'postures'; did you mean 'posture'"),
        ({"command": "posture", "teacher": "reflex"}, "teacher is 'reflex', which is about single muscles"),
        ({"command": "posture", "task": "elbow_pose", "clips": ()}, "does not show the error of each muscle"),
    ],
)
def test_what_cannot_command_postures_is_refused(walking: Imitate, changes: dict, message: str) -> None:
    recipe = ExpertRecipe("imitate_walking", steps=2000, environments=2, clips=walking.clips)
    with pytest.raises(UserError, match=message):
        prepare(dataclasses.replace(recipe, **changes), threads=1)
