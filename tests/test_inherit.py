"""An expert of a larger body begins as that of a smaller one, by words."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arnold import saved_policy
from arnold.checkpoints import save_checkpoint
from arnold.embodiments import Body
from arnold.errors import UserError
from arnold.learning.config import LearnerConfig
from arnold.policy import normaliser
from arnold.policy.inherit import inherit
from arnold.policy.mlp import MlpActorCritic, MlpConfig
from arnold.recipe import ExpertRecipe
from arnold.tasks import Environment, register_task, task
from arnold.tasks.pose import Pose
from arnold.tasks.task import Channel
from arnold.training import prepare
from arnold.vocab import Token, TokenTable

CONFIG = MlpConfig(hidden=(8, 6), lags=2, init_mean_scale=1.0, unread=("force",))
KNEE = tuple(Token((side, "knee", "joint"), ("position",)) for side in ("left", "right"))
SOON, LATER = (Token(("root",), ("position", "error", word)) for word in ("ahead_33ms", "ahead_100ms"))
SAME, AFTER = (Token(("root",), ("position", "error", word)) for word in ("ahead_30ms", "ahead_90ms"))
ELBOW = Token(("left", "elbow", "joint"), ("position",))
FORCE = Token(("left", "knee", "muscle"), ("force",))
TO_KNEES = tuple(Token(token.entity, ("target",)) for token in KNEE)
TO_ELBOW = Token(ELBOW.entity, ("target",))
BATCH = 5


def legs(config: MlpConfig = CONFIG) -> MlpActorCritic:
    return MlpActorCritic(TokenTable((*KNEE, SOON, FORCE, LATER)), TokenTable(TO_KNEES), config)


def whole(config: MlpConfig = CONFIG, observed: tuple[Token, ...] = (AFTER, ELBOW, *KNEE[::-1], SAME)):
    return MlpActorCritic(TokenTable(observed), TokenTable((TO_ELBOW, *TO_KNEES[::-1])), config)


def learned(policy: MlpActorCritic):
    """Parameters, and statistics of something that was seen."""
    seen = 3.0 + 2.0 * jax.random.normal(jax.random.key(2), (1, 50, len(policy.signatures), 2))
    ids = jnp.arange(len(policy.signatures))[None]
    return policy.init(jax.random.key(1)), normaliser.update(policy.init_statistics(), ids, seen)


def said(policy: MlpActorCritic, params, statistics, values: jax.Array):
    ids = policy.bind([(policy.observation_table, policy.action_table)])
    return policy.apply(params, statistics, ids, values[None])


def test_the_larger_network_does_what_the_smaller_did_whatever_else_it_sees() -> None:
    old, new = legs(), whole()
    params, statistics = learned(old)
    begun, known = inherit(old, params, statistics, new, jax.random.key(3))
    values = jax.random.normal(jax.random.key(4), (BATCH, 5, 2))  # after, elbow, right knee, left knee, same
    there = values[:, jnp.array([3, 2, 4, 1, 0])]  # left knee, right knee, soon, force (not read), later
    mine, theirs = said(new, begun, known, values), said(old, params, statistics, there)
    np.testing.assert_allclose(mine.mean[..., [2, 1]], theirs.mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(mine.value, theirs.value, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(mine.log_std[..., [2, 1]], theirs.log_std)
    assert float(jnp.abs(mine.mean[..., 0]).max()) > 0.0  # what was never commanded begins as in a fresh network


def test_what_is_new_is_read_as_soon_as_it_is_trained() -> None:
    old, new = legs(), whole()
    begun, known = inherit(old, *learned(old), new, jax.random.key(3))
    values = jax.random.normal(jax.random.key(4), (BATCH, 5, 2))
    slope = jax.grad(lambda p: said(new, p, known, values).mean.sum())(begun)["policy"]["layer_0"]["kernel"]
    assert bool((jnp.abs(slope[2:4]) > 0.0).any())  # the elbow's two lags


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (whole(dataclasses.replace(CONFIG, hidden=(8,))), r"hidden \(8, 6\), the new one \(8,\)"),
        (whole(dataclasses.replace(CONFIG, lags=1)), "lags 2, the new one 1"),
        (whole(observed=(*KNEE, ELBOW, SAME)), "does read 'ahead_100ms error position root' and 0 more"),
        (MlpActorCritic(TokenTable((*KNEE, SAME, AFTER)), TokenTable(TO_KNEES[:1]), CONFIG), "does command"),
    ],
)
def test_a_network_that_cannot_do_what_the_other_does_is_refused(new: MlpActorCritic, message: str) -> None:
    old = legs()
    with pytest.raises(UserError, match=message):
        inherit(old, *learned(old), new, jax.random.key(0))


@dataclasses.dataclass(frozen=True)
class Backwards(Pose):
    """A task that says the same in another order."""

    def channels(self, body: Body) -> tuple[Channel, ...]:
        return super().channels(body)[::-1]


@pytest.mark.native
def test_the_same_tokens_in_another_order_are_read_by_their_words(tmp_path: Path) -> None:
    told = task("elbow_pose")
    backwards = register_task(
        Backwards(**{f.name: getattr(told, f.name) for f in dataclasses.fields(told)} | {"name": "elbow_backwards"})
    )
    config = MlpConfig(hidden=(8,), init_mean_scale=1.0)
    environments = [Environment(each, threads=1) for each in (told, backwards)]
    old = MlpActorCritic(environments[0].observation_table, environments[0].action_table, config)
    params, statistics = learned(old)
    statistics = jax.tree.map(lambda x: x[:, :1] if x.ndim == 2 else x, statistics)
    content = {"params": params, "statistics": statistics}
    folder = save_checkpoint(tmp_path / "old", policy=content, config=saved_policy.describe(old, (told,), recipe={}))
    recipe = ExpertRecipe(
        backwards.name,
        steps=100,
        environments=2,
        learner=LearnerConfig(rollout_steps=5, minibatches=1),
        network=config,
        start_from=str(folder),
    )
    prepared = prepare(recipe, threads=1)
    state, new = prepared.initial(), prepared.learner.policy
    values = jax.random.normal(jax.random.key(4), (BATCH, len(old.signatures), 1))
    place_of = {signature: place for place, signature in enumerate(old.signatures)}
    there = values[:, np.array([place_of[signature] for signature in new.signatures])]
    known = normaliser.remap(statistics, old.signatures, new.signatures)  # without what was seen at the start
    mine, theirs = said(new, state.params, known, there), said(old, params, statistics, values)
    assert new.signatures != old.signatures
    np.testing.assert_allclose(mine.mean, theirs.mean, rtol=1e-5, atol=1e-6)
