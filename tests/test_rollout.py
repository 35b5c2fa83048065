"""Rollouts of probe environments: staggered starts, endings, final observations, and who drives."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import probes
import pytest
from probes import Moment, Probe, Ruling

from arnold.errors import UserError
from arnold.experts import ScriptedExpert
from arnold.learning.config import regime
from arnold.learning.mixture import Mixture, make_buckets, make_lanes
from arnold.learning.rollout import LaneState, roll_out
from arnold.policy.actor_critic import PolicyOutput
from arnold.tasks import register_task, registry

pytestmark = pytest.mark.native

HORIZON = 5


@pytest.fixture(autouse=True)
def _own_tasks(monkeypatch):
    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))


def fails_early_in_some_episodes(moment: Moment) -> Ruling:
    """Episodes with a cue above a half fail after two steps; the rest run out of time."""
    return Ruling(moment.activation, failed=(moment.cue > 0.5) & (moment.steps >= 2.0))


def rolling(regime_name: str, steps: int, batch: int, expert: ScriptedExpert, correlation: float = 0.0):
    """A function (states, key) -> (states, transitions) of one probe, with the arguments of its first call."""
    register_task(Probe(name="early", horizon=HORIZON, rule=fails_early_in_some_episodes))
    lanes = make_lanes(Mixture.of({"early": batch}), threads=1)
    buckets, environment = make_buckets(lanes), lanes[0].environment

    def act(index: int, observations: jax.Array) -> PolicyOutput:
        tasks, rows = observations.shape[:2]
        mean = jnp.full((tasks, rows, 1), -0.5)
        return PolicyOutput(mean, jnp.full((tasks, 1), -3.0), jnp.zeros((tasks, rows)))

    def go(states, key):
        experts, params = {"early": expert}, {"early": ()}
        return roll_out(buckets, act, experts, params, regime(regime_name), 1, states, key, steps, correlation)

    env = jax.jit(jax.vmap(environment.reset))(jax.random.split(jax.random.key(0), batch))
    env = dataclasses.replace(env, elapsed=jax.random.randint(jax.random.key(1), (batch,), 0, HORIZON))
    return go, {"early": LaneState(env, (), jnp.ones(batch, bool), env.observation[:, :, -1:])}, jax.random.key(0)


def moved(regime_name: str, steps: int, rollouts: int, batch: int = 64):
    """The lane's state and the transitions after each of several rollouts in a row."""
    expert = ScriptedExpert(lambda observation: jnp.full((batch, 1), 0.9))
    go, states, _ = rolling(regime_name, steps, batch, expert)
    made, jitted = [], jax.jit(go)
    for number in range(rollouts):
        states, transitions = jitted(states, jax.random.key(number))
        made.append((states["early"], transitions["early"]))
    return made


@pytest.fixture(scope="module")
def rollouts():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))
        return moved("obc", steps=HORIZON, rollouts=4)


@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_noise_is_correlated_over_time_as_asked_and_of_the_policys_own_width_at_each_step(correlation):
    expert = ScriptedExpert(lambda observation: jnp.zeros((256, 1)))
    go, states, key = rolling("obc", 20, 256, expert, correlation)
    _, transitions = jax.jit(go)(states, key)
    noise = (np.asarray(transitions["early"].action)[:, :, 0] + 0.5) / np.exp(-3.0)
    np.testing.assert_allclose(noise.std(axis=1), 1.0, atol=0.25)
    np.testing.assert_allclose(noise.std(), 1.0, atol=0.05)
    assert np.corrcoef(noise[:-1].ravel(), noise[1:].ravel())[0, 1] == pytest.approx(correlation, abs=0.05)
    assert np.corrcoef(noise[:-3].ravel(), noise[3:].ravel())[0, 1] == pytest.approx(correlation**3, abs=0.08)


def test_staggered_starts_spread_the_first_truncations(rollouts):
    _, first = rollouts[0]
    per_step = np.asarray(first.truncated).sum(axis=1)
    assert np.all(per_step > 0)
    assert np.asarray(first.truncated & first.terminated).sum() == 0


def test_no_environment_runs_out_of_time_twice_in_a_rollout_as_long_as_the_horizon(rollouts):
    for _, step in rollouts:
        assert np.asarray(step.truncated).sum(axis=0).max() == 1
        assert np.asarray(step.terminated).sum() > 0  # although episodes fail in between


def test_the_final_observation_of_a_truncated_episode_is_kept_for_its_bootstrap(rollouts):
    checked = 0
    for state, step in rollouts:
        truncated = np.asarray(step.truncated)
        for b in np.flatnonzero(truncated.any(axis=0)):
            t = int(np.flatnonzero(truncated[:, b])[0])
            before, final = np.asarray(step.observation)[t, b, :, 0], np.asarray(state.last_seen)[b, :, 0]
            assert final[0] == before[0]  # the cue of the episode that ended, not of the next
            assert final[1] == pytest.approx(before[1] + 1.0 / HORIZON)  # one step later than what was acted on
            checked += 1
    assert checked > 100


def test_an_ended_episode_is_followed_by_a_fresh_one(rollouts):
    for _, step in rollouts:
        done = np.asarray(step.terminated | step.truncated)[:-1]
        clock = np.asarray(step.observation)[1:, :, 1, 0]
        np.testing.assert_array_equal(clock == 0.0, done)


def test_the_student_s_samples_drive_in_obc_and_the_expert_s_labels_in_bc(rollouts):
    _, student = rollouts[0]
    (_, expert), *_ = moved("bc", steps=2, rollouts=1)
    np.testing.assert_allclose(student.reward[0], 0.5 * (np.asarray(student.action)[0, :, 0] + 1.0), atol=0.01)
    np.testing.assert_allclose(expert.reward[0], 0.5 * (0.9 + 1.0), atol=0.01)  # an activation, under the linear map
    np.testing.assert_array_equal(student.label, np.float32(0.9))


def test_nobody_is_asked_for_labels_where_reward_alone_is_read():
    def refuse(observation):
        raise AssertionError("the expert was asked")

    with pytest.raises(AssertionError, match="was asked"):
        jax.eval_shape(*rolling("obc", 1, 4, ScriptedExpert(refuse)))
    go, states, key = rolling("ppo", 1, 4, ScriptedExpert(refuse))
    _, transitions = jax.eval_shape(go, states, key)
    assert transitions["early"].label.shape == (1, 4, 1)


def test_samples_have_the_stated_spread_and_log_probability(rollouts):
    _, step = rollouts[0]
    deviation = (np.asarray(step.action)[..., 0] + 0.5) / np.exp(-3.0)
    assert abs(deviation.mean()) < 0.2
    assert deviation.std() == pytest.approx(1.0, abs=0.15)
    density = -0.5 * deviation**2 + 3.0 - 0.5 * np.log(2.0 * np.pi)
    np.testing.assert_allclose(step.log_prob, density, atol=1e-3)


def test_tasks_of_equal_shape_share_a_bucket_and_others_do_not():
    for name, changes in {
        "one": {},
        "two": {},
        "seen": {"shows_muscles": True},
        "pair": {"body": probes.TWO_MUSCLES},
        "more": {},
    }.items():
        register_task(Probe(name=name, **changes))
    lanes = make_lanes(Mixture.of({"one": 4, "seen": 4, "two": 4, "pair": 4, "more": 8}), threads=1)
    names = [[lane.name for lane in bucket.lanes] for bucket in make_buckets(lanes)]
    assert names == [["one", "two"], ["seen"], ["pair"], ["more"]]


@pytest.mark.parametrize(
    ("shares", "said"),
    [({}, "empty"), ({"elbow_pos": 4}, "elbow_pose"), ({"elbow_pose": 0}, "at least 1"), ({"elbow_pose": 2.5}, "2.5")],
)
def test_a_mixture_that_cannot_be_is_refused(shares, said):
    with pytest.raises(UserError, match=said):
        Mixture.of(shares)


def test_a_task_cannot_be_in_a_mixture_under_two_names(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "import dataclasses\nfrom arnold.tasks import register_task, task\n"
        "register_task(dataclasses.replace(task('elbow_pose'), name='mine'))\n"
    )
    with pytest.raises(UserError, match="same task twice"):
        Mixture.of({f"{path}": 2, f"{path}:mine": 2})
