"""The learning rules as pure functions, against loops, closed forms and torch."""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arnold.errors import UserError
from arnold.learning.advantages import generalised_advantages, values_after
from arnold.learning.config import PAPER_FAITHFUL, REGIMES, LearnerConfig, LossWeights, regime
from arnold.learning.losses import (
    Rows,
    clipped_surrogate,
    entropy,
    imitation_loss,
    log_probability,
    mixed_loss,
    total_loss,
)
from arnold.learning.minibatches import minibatches
from arnold.learning.reward_scale import RewardScale, update_reward_scale
from arnold.policy.actor_critic import PolicyOutput

pytestmark = pytest.mark.unit

DISCOUNT, LAMBDA = 0.93, 0.85


def random_rollout(seed: int, steps: int = 12, batch: int = 5):
    """(rewards, values, next values, terminated, truncated), each (T, B)."""
    rng = np.random.default_rng(seed)
    rewards, values, following = rng.normal(size=(3, steps, batch)).astype(np.float32)
    ending = rng.integers(0, 5, (steps, batch))
    return rewards, values, following, ending == 0, ending == 1


def advantages_by_sum(rewards, values, following, terminated, truncated):
    """Schulman et al. 2016, eq. 16 as it is written: for each step, a sum over the rest of its own episode."""
    steps, batch = rewards.shape
    advantages = np.zeros((steps, batch))
    for b in range(batch):
        for start in range(steps):
            weight = 1.0
            for t in range(start, steps):
                bootstrap = 0.0 if terminated[t, b] else following[t, b]
                advantages[start, b] += weight * (rewards[t, b] + DISCOUNT * bootstrap - values[t, b])
                if terminated[t, b] or truncated[t, b]:
                    break
                weight *= DISCOUNT * LAMBDA
    return advantages


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_advantages_are_the_sum_of_discounted_errors_within_each_episode(seed):
    rollout = random_rollout(seed)
    advantages, targets = generalised_advantages(*map(jnp.asarray, rollout), DISCOUNT, LAMBDA)
    expected = advantages_by_sum(*rollout)
    np.testing.assert_allclose(advantages, expected, atol=1e-5)
    np.testing.assert_allclose(targets, expected + rollout[1], atol=1e-5)


def constant_reward(steps: int, ending: str | None, value: float):
    """One environment with reward 1 and the same value everywhere, whose last step ends as said."""
    ones = jnp.ones((steps, 1))
    last = jnp.zeros((steps, 1), bool).at[-1].set(True)
    never = jnp.zeros((steps, 1), bool)
    terminated, truncated = (last if ending == kind else never for kind in ("terminated", "truncated"))
    return ones, value * ones, value * ones, terminated, truncated


def test_a_true_value_of_an_endless_episode_has_no_advantage_when_the_clock_cuts_it():
    endless = 1.0 / (1.0 - DISCOUNT)
    for ending in ("truncated", None):
        advantages, _ = generalised_advantages(*constant_reward(7, ending, endless), DISCOUNT, LAMBDA)
        np.testing.assert_allclose(advantages, 0.0, atol=1e-4)


def test_a_termination_is_worth_nothing_afterwards():
    steps = 7
    _, targets = generalised_advantages(*constant_reward(steps, "terminated", 0.0), DISCOUNT, 1.0)
    left = np.arange(steps, 0, -1)
    np.testing.assert_allclose(targets[:, 0], (1.0 - DISCOUNT**left) / (1.0 - DISCOUNT), rtol=1e-5)


def test_values_after_a_step_are_the_next_observation_s_or_the_final_one_s():
    values = jnp.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    truncated = jnp.array([[False, False], [True, False], [False, True]])
    following = values_after(values, jnp.array([4.0, 40.0]), jnp.array([-1.0, -2.0]), truncated)
    np.testing.assert_array_equal(following, [[2.0, 20.0], [-1.0, 30.0], [4.0, -2.0]])


def random_rows(seed: int, tasks: int = 2, rows: int = 6, muscles: int = 3) -> tuple[Rows, PolicyOutput]:
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> jax.Array:
        return jnp.asarray(rng.normal(size=shape), jnp.float32)

    output = PolicyOutput(normal(tasks, rows, muscles), normal(tasks, muscles), normal(tasks, rows))
    made = Rows(
        observation=normal(tasks, rows, 4, 1),
        action=normal(tasks, rows, muscles),
        log_prob=log_probability(output.mean, output.log_std, normal(tasks, rows, muscles)),
        advantage=normal(tasks, rows),
        target=normal(tasks, rows),
        label=normal(tasks, rows, muscles),
    )
    return made, output


def test_log_probability_and_entropy_are_torch_s_summed_over_the_muscles():
    torch = pytest.importorskip("torch")
    rows, output = random_rows(0)
    mean, log_std, action = (torch.tensor(np.array(x)) for x in (output.mean, output.log_std, rows.action))
    normal = torch.distributions.Normal(mean, log_std.exp()[:, None, :].expand_as(mean))
    ours = log_probability(output.mean, output.log_std, rows.action)
    np.testing.assert_allclose(ours, normal.log_prob(action).sum(-1), rtol=2e-5, atol=1e-5)
    np.testing.assert_allclose(entropy(output.log_std), normal.entropy().sum(-1)[:, 0], rtol=1e-5)


def test_the_surrogate_and_its_gradient_are_those_of_torch():
    torch = pytest.importorskip("torch")
    rows, _ = random_rows(1)
    shift = 0.4 * jnp.asarray(np.random.default_rng(2).normal(size=rows.log_prob.shape), jnp.float32)
    loss, gradient = jax.value_and_grad(clipped_surrogate)(rows.log_prob + shift, rows, 0.2)
    new = torch.tensor(np.array(rows.log_prob + shift), requires_grad=True)
    ratio = (new - torch.tensor(np.array(rows.log_prob))).exp()
    advantage = torch.tensor(np.array(rows.advantage))
    theirs = -torch.min(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).mean()
    theirs.backward()
    np.testing.assert_allclose(loss, theirs.item(), rtol=1e-5)
    np.testing.assert_allclose(gradient, new.grad, atol=1e-6)


def test_the_surrogate_stops_pushing_where_the_clip_has_been_reached():
    rows, _ = random_rows(3)
    further = jnp.where(rows.advantage > 0.0, 0.3, -0.3)  # past exp(0.182), in the direction the advantage asks for
    gradient = jax.grad(clipped_surrogate)(rows.log_prob + further, rows, 0.2)
    np.testing.assert_array_equal(gradient, 0.0)
    back = jax.grad(clipped_surrogate)(rows.log_prob - further, rows, 0.2)
    assert np.all(np.abs(back) > 0.0)  # but it may always come back


def test_imitation_is_the_mean_square_over_rows_and_muscles():
    rows, output = random_rows(4)
    expected = np.mean((np.asarray(output.mean) - np.asarray(rows.label)) ** 2)
    np.testing.assert_allclose(imitation_loss(output.mean, rows.label), expected, rtol=1e-6)


def test_the_loss_is_the_weighted_sum_of_its_parts():
    rows, output = random_rows(5)
    weights = LossWeights(imitation=0.7, policy_gradient=1.3, value=0.4, entropy=0.01)
    loss, parts = total_loss(output, rows, weights, 0.2)
    value = np.mean((np.asarray(output.value) - np.asarray(rows.target)) ** 2)
    np.testing.assert_allclose(parts["value"], value, rtol=1e-6)
    expected = 0.7 * parts["imitation"] + 1.3 * parts["policy_gradient"] + 0.4 * value - 0.01 * parts["entropy"]
    np.testing.assert_allclose(loss, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("bc", {"imitation", "value"}),
        ("obc", {"imitation", "value"}),
        ("ppo", {"policy_gradient", "kl", "value", "entropy"}),
        ("obc_ppo", {"imitation", "policy_gradient", "kl", "value", "entropy"}),
    ],
)
def test_a_regime_computes_only_the_parts_it_weighs(name, parts):
    rows, output = random_rows(6)
    _, computed = total_loss(output, rows, regime(name).weights, 0.2)
    assert set(computed) == parts


def test_imitation_alone_gives_the_noise_and_the_sampled_action_no_gradient():
    rows, output = random_rows(7)

    def loss(log_std, action):
        changed = dataclasses.replace(rows, action=action)
        return total_loss(output._replace(log_std=log_std), changed, regime("obc").weights, 0.2)[0]

    for gradient in jax.grad(loss, argnums=(0, 1))(output.log_std, rows.action):
        np.testing.assert_array_equal(gradient, 0.0)


def scored(params, rows: Rows) -> PolicyOutput:
    """A stand-in for a policy: every body is read and driven with the same three numbers."""
    gain, offset, log_std = params
    muscles = rows.action.shape[-1]
    mean = gain * rows.observation[:, :, :1, -1] + offset * jnp.ones(muscles).reshape(1, 1, -1)
    return PolicyOutput(jnp.tanh(mean), jnp.full((len(mean), muscles), log_std), gain * offset + mean[..., 0])


def mixed_gradient(*batch: Rows):
    """(loss, gradient) of a mixture's buckets with every part weighed."""
    weights = LossWeights(imitation=1.0, policy_gradient=0.5, value=0.5, entropy=0.01)

    def loss(params):
        return mixed_loss([scored(params, rows) for rows in batch], batch, weights, 0.2)[0]

    return jax.value_and_grad(loss)(jnp.array([0.3, -0.2, -0.5]))


def test_a_mixed_gradient_is_the_sum_of_each_task_s_own_whatever_else_is_learned():
    small, large = random_rows(8, tasks=1, rows=6, muscles=2)[0], random_rows(9, tasks=1, rows=10, muscles=5)[0]
    both, first, second = mixed_gradient(small, large), mixed_gradient(small), mixed_gradient(large)
    for ours, a, b in zip(both, first, second, strict=True):
        np.testing.assert_allclose(16 * ours, 6 * a + 10 * b, rtol=1e-4)


def test_tasks_in_one_bucket_learn_as_in_two():
    first, second = (random_rows(seed, tasks=1)[0] for seed in (10, 11))
    together = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), first, second)
    for ours, apart in zip(mixed_gradient(together), mixed_gradient(first, second), strict=True):
        np.testing.assert_allclose(ours, apart, rtol=1e-4)


def numbered_rows(tasks: int, count: int) -> Rows:
    """Rows whose every field says which row it is."""
    number = jnp.tile(jnp.arange(count, dtype=jnp.float32)[None], (tasks, 1))
    wide = number[..., None]
    return Rows(number[..., None, None], wide, number, number, number, wide)


def test_an_even_epoch_uses_every_row_once_and_keeps_its_fields_together():
    cut = minibatches(numbered_rows(2, 24), jax.random.key(0), 4)
    assert cut.target.shape == (4, 2, 6)
    assert cut.observation.shape == (4, 2, 6, 1, 1)
    for task in range(2):
        assert sorted(np.asarray(cut.target[:, task]).ravel()) == list(range(24))
    for field in dataclasses.fields(Rows):
        np.testing.assert_array_equal(np.ravel(getattr(cut, field.name)), np.ravel(cut.target))


def test_an_uneven_epoch_leaves_out_fewer_rows_than_minibatches_and_others_each_time():
    rows = numbered_rows(1, 23)
    left_out = []
    for seed in range(8):
        used = np.asarray(minibatches(rows, jax.random.key(seed), 5).target).ravel()
        assert len(used) == len(set(used)) == 20
        left_out.append(frozenset(range(23)) - frozenset(used))
    assert len(set(left_out)) > 1


def returns_by_loop(rewards: np.ndarray, done: np.ndarray, discount: float) -> np.ndarray:
    """Every discounted return so far of every environment, as VecNormalize accumulates them."""
    running, seen = np.zeros(rewards.shape[1]), []
    for reward, ended in zip(rewards.astype(np.float64), done, strict=True):
        running = discount * running + reward
        seen.append(running.copy())
        running[ended] = 0.0
    return np.array(seen)


def test_rewards_are_divided_by_the_spread_of_all_returns_so_far():
    rng = np.random.default_rng(0)
    rewards = (3.0 + 5.0 * rng.normal(size=(40, 6))).astype(np.float32)
    done = rng.random((40, 6)) < 0.1
    scale = RewardScale.initial(6)
    for part in range(0, 40, 10):  # four rollouts; returns go on from one to the next
        now = slice(part, part + 10)
        scale, factor = update_reward_scale(scale, jnp.asarray(rewards[now]), jnp.asarray(done[now]), DISCOUNT)
        seen = returns_by_loop(rewards, done, DISCOUNT)[: part + 10]
        np.testing.assert_allclose(1.0 / factor, seen.std(), rtol=1e-4)


def test_a_count_that_float32_cannot_add_to_lets_old_returns_fade_instead():
    reward = jnp.asarray(np.random.default_rng(1).normal(size=(64, 64)), jnp.float32)
    full = RewardScale(jnp.zeros(64), jnp.float32(2.0**30), jnp.float32(0.0), jnp.float32(2.0**30 * 4.0))
    for _ in range(3):
        full, factor = update_reward_scale(full, reward, jnp.ones((64, 64), bool), DISCOUNT)
    assert float(full.count) == pytest.approx(2.0**22)
    assert 1.0 / float(factor) == pytest.approx(2.0, rel=0.01)  # variance 4, of which 12,288 new samples take little


def test_a_reward_beyond_ten_deviations_counts_as_ten():
    rewards = jnp.asarray(np.random.default_rng(2).normal(size=(20, 40)), jnp.float32)
    never = jnp.zeros((20, 40), bool)
    usual, before = update_reward_scale(RewardScale.initial(40), rewards, never, DISCOUNT)
    thrown = rewards.at[3, 1].set(-1e6)
    limited, after = update_reward_scale(usual, thrown, never, DISCOUNT)
    clipped, same = update_reward_scale(usual, rewards.at[3, 1].set(-10.0 / before), never, DISCOUNT)
    assert float(after) == pytest.approx(float(same), rel=1e-5)
    assert 0.5 < float(after) / float(before) < 1.0
    assert float(limited.m2) == pytest.approx(float(clipped.m2), rel=1e-4)


@pytest.mark.parametrize("often", [0.001, 0.02])
def test_rare_rewards_after_a_silent_beginning_set_the_scale_at_once(often):
    never = jnp.zeros((50, 128), bool)
    silent, _ = update_reward_scale(RewardScale.initial(128), jnp.zeros((50, 128)), never, DISCOUNT)
    rare = jnp.asarray(np.random.default_rng(3).random((50, 128)) < often, jnp.float32)
    factor = update_reward_scale(silent, rare, never, DISCOUNT)[1]
    expected = update_reward_scale(RewardScale.initial(128), rare, never, DISCOUNT)[1]
    assert float(factor) == pytest.approx(2.0**0.5 * float(expected), rel=0.1)  # half of what was seen was silence


def test_one_reward_that_is_not_finite_does_not_spoil_the_scale():
    rewards = jnp.asarray(np.random.default_rng(2).normal(size=(20, 4)), jnp.float32)
    never = jnp.zeros((20, 4), bool)
    good, _ = update_reward_scale(RewardScale.initial(4), rewards, never, DISCOUNT)
    bad, factor = update_reward_scale(good, rewards.at[3, 1].set(jnp.nan), never, DISCOUNT)
    assert (float(bad.mean), float(bad.m2), float(bad.count)) == (float(good.mean), float(good.m2), float(good.count))
    assert np.all(np.isfinite(bad.returns))
    assert np.isfinite(factor)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"regime": "obcc"}, "obc"),
        ({"log_std": (-1.0,)}, "start, end"),
        ({"epochs": 0}, "at least 1"),
        ({"minibatches": -2}, "-2"),
        ({"learning_rate": 0.0}, "above 0"),
        ({"final_learning_rate": math.nan}, "nan"),
        ({"discount": 1.5}, "from 0 to 1"),
        ({"noise_correlation": 1.0}, "to below 1"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_in_one_line(settings, said):
    with pytest.raises(UserError, match=said) as refusal:
        LearnerConfig(**settings)
    assert "\n" not in str(refusal.value)


def test_regimes_differ_only_in_weights_and_in_who_drives():
    assert {name: made.driver for name, made in REGIMES.items()} == {
        "bc": "expert",
        "obc": "student",
        "obc_ppo": "student",
        "ppo": "student",
    }
    assert [made.name for made in REGIMES.values() if made.needs_expert] == ["bc", "obc", "obc_ppo"]


def test_a_configuration_overrides_the_value_and_entropy_weights_of_its_regime():
    weights = LearnerConfig(regime="obc_ppo", value=0.8, entropy=0.0).weights
    assert (weights.imitation, weights.policy_gradient, weights.value, weights.entropy) == (1.0, 1.0, 0.8, 0.0)
    assert LearnerConfig(regime="obc_ppo").weights == regime("obc_ppo").weights


def test_the_paper_s_code_is_one_named_configuration():
    assert (PAPER_FAITHFUL.gae_lambda, PAPER_FAITHFUL.clip, PAPER_FAITHFUL.gradient_clip) == (0.9, 0.3, 0.7)
