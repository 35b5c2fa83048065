"""A network to which two things are alike: they may change places, and left and right may besides."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arnold.errors import UserError
from arnold.policy.mlp import MlpActorCritic, MlpConfig
from arnold.tasks import Environment, task
from arnold.vocab import Token, TokenTable
from arnold.vocab.mirror import exchange, mirror

ALIKE = ("id_1", "id_2")
BATCH = 4
SIDES, BALLS = ("left", "right"), ALIKE
SEEN = TokenTable(
    tuple(Token((side, "ball", ball), ("position", "linear", "y")) for side in SIDES for ball in BALLS)
    + tuple(Token((side, "elbow", "joint"), ("position",)) for side in SIDES)
)
MOVED = TokenTable(tuple(Token((side, "biceps", "muscle"), ("excitation",)) for side in SIDES))


def said(policy: MlpActorCritic, params, values: jax.Array):
    ids = policy.bind([(policy.observation_table, policy.action_table)])
    return policy.apply(params, policy.init_statistics(), ids, values[None])


def network(config: MlpConfig, observed: TokenTable = SEEN, moved: TokenTable = MOVED):
    policy = MlpActorCritic(observed, moved, config)
    params = policy.init(jax.random.key(1))
    spread = jnp.linspace(-1.0, -0.5, len(moved))
    return policy, {**params, "log_std": spread}


def values_of(observed: TokenTable) -> jax.Array:
    return jax.random.normal(jax.random.key(2), (BATCH, len(observed), 1))


@pytest.mark.parametrize("mirrored", [False, True])
def test_things_that_are_alike_may_change_places(mirrored: bool) -> None:
    values, order = values_of(SEEN), exchange(SEEN, *ALIKE)[0]
    exchanged = values[:, order]
    alike = network(MlpConfig(hidden=(8,), init_mean_scale=1.0, mirrored=mirrored, interchangeable=ALIKE))
    here, there = said(*alike, values), said(*alike, exchanged)
    np.testing.assert_allclose(there.mean, here.mean, atol=1e-6)
    np.testing.assert_allclose(there.value, here.value, atol=1e-6)
    plain = network(MlpConfig(hidden=(8,), init_mean_scale=1.0, mirrored=mirrored))
    assert float(jnp.abs(said(*plain, values).mean - said(*plain, exchanged).mean).max()) > 1e-2


def test_left_and_right_may_change_places_besides() -> None:
    values, (order, sign), across = values_of(SEEN), mirror(SEEN), mirror(MOVED)[0]
    policy = network(MlpConfig(hidden=(8,), init_mean_scale=1.0, mirrored=True, interchangeable=ALIKE))
    here, there = said(*policy, values), said(*policy, values[:, order] * sign[None, :, None])
    np.testing.assert_allclose(there.mean[..., across], here.mean, atol=1e-6)
    np.testing.assert_allclose(there.value, here.value, atol=1e-6)
    np.testing.assert_allclose(here.log_std, np.full((1, 2), -0.75), atol=1e-6)


def test_balls_change_places_by_their_words() -> None:
    table = Environment(task("baoding_cw")).observation_table
    order, sign = exchange(table, *ALIKE)
    assert np.all(sign == 1.0)
    moved = [
        (str(token), str(table[place])) for token, place in zip(table, order, strict=True) if token != table[place]
    ]
    assert len(moved) == 36  # place, velocity, orientation, spin, target and error of each of two balls
    assert all(one.replace("id_1", "id_2") == other.replace("id_1", "id_2") for one, other in moved)


def test_what_has_no_counterpart_is_named() -> None:
    with pytest.raises(UserError, match=r"'left elbow joint position'.*'left' and 'wrist' change places"):
        exchange(TokenTable((Token(("left", "elbow", "joint"), ("position",)),)), "left", "wrist")
    with pytest.raises(UserError, match=r"MlpConfig.interchangeable is \('id_1',\); two words"):
        MlpConfig(interchangeable=("id_1",))
