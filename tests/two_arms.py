"""A body of two arms, its task and a policy of random parameters, for the tests of what a vocabulary learned."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from probes import TWO_MUSCLES, Moment, Probe, Ruling

from arnold.embodiments import Body, Embodiment
from arnold.embodiments.action_maps import LINEAR
from arnold.policy.generalist import TransformerActorCritic
from arnold.policy.introspection import Introspection
from arnold.policy.transformer import TransformerConfig
from arnold.tasks import Environment
from arnold.tasks.task import Channel

FLEXORS, EXTENSORS = ("flexa", "flexb", "flexc"), ("exta", "extb", "extc")
NAMES = FLEXORS + EXTENSORS
HORIZON, EPISODES = 4, 6


def two_arms() -> mujoco.MjSpec:
    """A hinge on each side; three flexors pass in front of it (moment arms of one sign) and three extensors behind."""
    spec = mujoco.MjSpec()
    spec.option.gravity = [0.0, 0.0, 0.0]
    spec.option.timestep = 0.005
    for side, y in (("r", -0.2), ("l", 0.2)):
        link = spec.worldbody.add_body(name=f"link_{side}", pos=[0.0, y, 0.0])
        link.add_joint(name=f"hinge_{side}", axis=[0, 1, 0], range=[-1, 1], limited=True, damping=[0.1, 0, 0])
        link.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[0.05, 0, 0], contype=0, conaffinity=0)
        for number, name in enumerate(NAMES):
            depth = (1.0 if name in FLEXORS else -1.0) * (0.03 + 0.005 * (number % 3))
            tendon = spec.add_tendon(name=f"{name}_{side}")
            for where, height in ((spec.worldbody, 0.3), (link, -0.1)):
                site = f"{name}_{side}_{height}"
                shift = y if where is spec.worldbody else 0.0
                where.add_site(name=site, pos=[depth, shift + 0.01 * number, height])
                tendon.wrap_site(site)
            muscle = spec.add_actuator(name=f"{name}_{side}", target=f"{name}_{side}")
            muscle.trntype = mujoco.mjtTrn.mjTRN_TENDON
            muscle.set_to_muscle(
                timeconst=[0.01, 0.01],
                tausmooth=0.0,
                force=1.0,
                scale=200.0,
                lmin=0.5,
                lmax=1.6,
                vmax=1.5,
                fpmax=1.3,
                fvmax=1.2,
                range=[0.75, 1.05],
            )
            muscle.lengthrange = [0.3, 0.5]
    return spec


TWO_ARMS = Embodiment(name="two_arms", build=two_arms, frame_skip=4, side=None, action_map=LINEAR)


def follows_the_cue(moment: Moment) -> Ruling:
    return Ruling(moment.cue * moment.activation, solved=moment.activation > 0.45 + 0.1 * moment.cue)


class TwoCues(Probe):
    """Both joints are shown the cue and the clock."""

    def channels(self, body: Body) -> tuple[Channel, ...]:
        return tuple(
            dataclasses.replace(c, read=lambda signals, goal, read=c.read: jnp.tile(read(signals, goal), 2))
            if len(c.tokens) == 2
            else c
            for c in super().channels(body)
        )


TASK = TwoCues(name="two_arms_follow", body=TWO_ARMS, horizon=HORIZON, rule=follows_the_cue, shows_muscles=True)
ELSEWHERE = Probe(name="elsewhere", body=TWO_MUSCLES, horizon=2, shows_muscles=True)
SMALL = TransformerConfig(width=8, heads=2, feedforward=8, layers=1, latents=3)


@pytest.fixture(scope="module")
def environment() -> Environment:
    return Environment(TASK, threads=1)


@pytest.fixture(scope="module")
def elsewhere() -> Environment:
    return Environment(ELSEWHERE, threads=1)


def tables_of(environment: Environment):
    return environment.observation_table, environment.action_table


def drawn(config: TransformerConfig, *environments: Environment) -> tuple[TransformerActorCritic, Any]:
    """A policy of some tasks, every parameter of it random."""
    policy = TransformerActorCritic.for_tasks(config, map(tables_of, environments))
    generator = np.random.default_rng(0)
    shapes = jax.eval_shape(policy.init, jax.random.key(0))
    params = jax.tree.map(lambda leaf: generator.normal(0.0, 0.4, leaf.shape).astype(np.float32), shapes)
    params["embeddings"]["table"][0] = 0.0
    for part in ("read_out", "action_head"):  # actions inside their range, where everything that changes them shows
        if part in params:
            params[part]["kernel"] *= 0.1
    return policy, (params, policy.init_statistics())


@pytest.fixture(scope="module")
def made(environment, elsewhere):
    """A policy of two bodies; the words of the second are not used on the first."""
    return drawn(SMALL, environment, elsewhere)


def with_words(params: Any, vocabulary, vectors: dict[str, np.ndarray]) -> Any:
    """Parameters with some embeddings replaced."""
    table = np.array(params["embeddings"]["table"])
    for word, vector in vectors.items():
        table[vocabulary.id(word)] = vector
    return {**params, "embeddings": {"table": table}}


@pytest.fixture(scope="module")
def inside(environment, made) -> Introspection:
    return Introspection(made[0], tables_of(environment))


@pytest.fixture(scope="module")
def attend(inside):
    return jax.jit(inside.attention)
