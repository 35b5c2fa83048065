"""Rollouts of an agent to a file, block by block, so that memory stays flat however many episodes there are.

What is recorded of each control step is its start: the state of the body, what the agent saw of it, the action it
took, and what that came to. Joint moments and contact forces are of the same state, computed by MuJoCo from what was
recorded.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from arnold.embodiments import Body
from arnold.embodiments.changes import apply_changes
from arnold.embodiments.moments import moment_arms
from arnold.episodes import Act
from arnold.errors import UserError
from arnold.policy.actor_critic import ActorCritic
from arnold.policy.introspection import Introspection
from arnold.recording_file import Field, Layout, RecordingWriter, require_new
from arnold.tasks import Environment
from arnold.vocab import lexicon

EPISODES_PER_BLOCK, STEPS_PER_BLOCK = 16, 50
BLOCK_BYTES = 2**26
"""Blocks have fewer steps where attention would make them larger than this; memory stays flat on any body."""

_OF_MUSCLES = {
    "action": ("1", "what the policy asks for, before it is clipped to [-1, 1]"),
    "excitation": (
        "1",
        "sent to the muscle during this control step, after any perturbation; of muscles that are told a length "
        "(length_pd) the mean over the step, and NaN at an episode's last",
    ),
    "activation": ("1", "of the muscle"),
    "muscle_force": ("N", "of the muscle; negative pulls"),
    "muscle_length": ("m", "of muscle and tendon"),
    "muscle_velocity": ("m/s", "of muscle and tendon; positive while lengthening"),
}
FIELDS = {
    **{name: Field(("muscle",), units, meaning) for name, (units, meaning) in _OF_MUSCLES.items()},
    "joint_position": Field(("joint",), "rad", "of hinges; of slides in m"),
    "joint_velocity": Field(("joint",), "rad/s", "of hinges; of slides in m/s"),
    "joint_moment": Field(("joint",), "N m", "of all muscles: moment arms times forces; on slides in N"),
    "qpos": Field(("qpos_index",), "1", "MuJoCo's generalised positions, with free joints and things; m, rad, 1"),
    "qvel": Field(("qvel_index",), "1", "MuJoCo's generalised velocities; m/s, rad/s"),
    "token_value": Field(("token",), "1", "what the policy sees now, raw; units are of the token's quantity"),
    "touch": Field(("touch_site",), "N", "of the sites whose touch the task reads"),
    "contact_force": Field(("contact_body", "axis"), "N", "of all contacts on the MJCF body, along the world's axes"),
    "reward": Field((), "1", "dense reward of this control step"),
    "reward_term": Field(("term",), "1", "of the reward, without weights"),
    "running": Field((), "", "the episode has not ended before this control step", flag=True),
    "solved": Field((), "", "the state that this control step leads to counts as solved", flag=True),
    "terminated": Field((), "", "the episode fails with this control step", flag=True),
    "truncated": Field(
        (), "", "the episode is over with this control step, by its horizon or because it is done", True
    ),
}
LATENT = Field(("latent", "feature"), "1", "memory of the transformer's encoder, which muscles read")
ATTENTION = Field(
    ("decoder_layer", "muscle", "observed"),
    "1",
    "share of each observed token in what the muscle reads, through the encoder (attention rollout); mean over heads",
)

Latents = Callable[[Any, jax.Array], jax.Array]
"""(parameters, observations (E, K, H)) -> latents (E, L, D)."""


@dataclasses.dataclass(frozen=True)
class Attention:
    """Attention from muscles to observed tokens, as it is recorded.

    Attributes:
        of: (parameters, observations (E, K, H)) -> (E, layers, M, observed), or (E, layers, heads, M, observed).
        observed: the tokens that the network sees, as their words.
        heads: whether the decoder's heads are kept apart.
    """

    of: Callable[[Any, jax.Array], jax.Array]
    observed: tuple[str, ...]
    heads: bool

    @property
    def field(self) -> Field:
        """Its axes and meaning."""
        if not self.heads:
            return ATTENTION
        axes = ("decoder_layer", "head", *ATTENTION.axes[1:])
        return dataclasses.replace(ATTENTION, axes=axes, meaning=ATTENTION.meaning.replace("mean over", "by the"))


def record(
    path: str | Path,
    environment: Environment,
    act: Act,
    params: Any,
    episodes: int,
    seed: int = 0,
    *,
    latents: Latents | None = None,
    attention: Attention | None = None,
    about: Mapping[str, str | int | float] | None = None,
    note: Callable[[str], None] = lambda line: None,
) -> Path:
    """Run episodes and stream them to a file; see :mod:`arnold.recording_file` for its layout.

    Starts and goals are those that an evaluation of as many episodes with this seed meets.

    Args:
        path: the file to make.
        environment: the task.
        act: the agent.
        params: handed to it.
        episodes: N.
        seed: of starts, goals and the agent's own chance.
        latents: what else to record of the agent, see `policy_latents`.
        attention: likewise, see `policy_attention`; by far the largest field.
        about: more attributes of the file, such as the policy's name.
        note: given a line of progress after each block of episodes.

    Returns:
        the file.

    Raises:
        UserError: for fewer than one episode, or a file that is there already or cannot be written.
    """
    if episodes < 1:
        raise UserError(f"the number of episodes is {episodes}; at least 1 is accepted")
    path = Path(path)
    require_new(path)
    inside = {
        **({"latents": latents} if latents else {}),
        **({"attention": attention.of} if attention else {}),
    }
    rollout = _Rollout(environment, act, inside)
    reset_key, action_key = jax.random.split(jax.random.key(seed))
    reset_keys = jax.random.split(reset_key, episodes)
    size = math.ceil(episodes / math.ceil(episodes / EPISODES_PER_BLOCK))
    state = rollout.begin(_rows(reset_keys, 0, size))
    shapes = rollout.shapes(params, state)
    layout = _layout(environment, shapes, attention, episodes, size, {"seed": seed, **(about or {})})
    mechanics = _Mechanics(environment.body)
    with RecordingWriter(path, layout) as writer:
        for first in range(0, episodes, size):
            if first:
                state = rollout.begin(_rows(reset_keys, first, size))
            running = jnp.ones(size, bool)
            for block in range(layout.blocks_per_episode):
                key = jax.random.fold_in(jax.random.fold_in(action_key, first), block)
                (state, running), seen = rollout.steps(params, state, running, key, layout.block[1])
                values = jax.tree.map(lambda x: np.swapaxes(np.asarray(x), 0, 1).copy(), seen)
                writer.write(_masked(values | mechanics(values), layout.fields))
            note(f"{min(first + size, episodes)} of {episodes} episodes recorded")
    return path


def policy_latents(policy: ActorCritic, environment: Environment) -> Latents:
    """What a transformer's encoder makes of an observation: the memory (E, L, D) that its muscles read.

    Raises:
        UserError: the policy is not a transformer.
    """
    return Introspection(policy, (environment.observation_table, environment.action_table), "latents").memory


def policy_attention(policy: ActorCritic, environment: Environment, heads: bool = False) -> Attention:
    """What each muscle reads of the observed tokens; see :mod:`arnold.policy.introspection`.

    Args:
        policy: the network.
        environment: the task.
        heads: keep the heads of the decoder apart, in place of averaging them.

    Raises:
        UserError: the policy is not a transformer.
    """
    inside = Introspection(policy, (environment.observation_table, environment.action_table), "attention maps")

    def attention(params: Any, observation: jax.Array) -> jax.Array:
        by_head = jnp.swapaxes(inside.attention(params, observation).observed(), 0, 1)  # (E, layers, h, M, observed)
        return by_head if heads else by_head.mean(axis=2)

    return Attention(attention, inside.observed_names, heads)


class _Rollout:
    """Episodes in pieces, each compiled once."""

    def __init__(self, environment: Environment, act: Act, inside: Mapping[str, Callable[[Any, jax.Array], jax.Array]]):
        self.environment, self.act, self.inside = environment, act, inside
        self.begin = jax.jit(jax.vmap(environment.reset))
        self.steps = jax.jit(self._steps, static_argnames="steps")

    def shapes(self, params: Any, state: Any) -> dict[str, tuple[int, ...]]:
        """Of what is recorded of the agent, per episode and step."""
        return {name: jax.eval_shape(of, params, state.observation).shape[1:] for name, of in self.inside.items()}

    def _steps(self, params: Any, state: Any, running: jax.Array, key: jax.Array, steps: int) -> Any:
        body = self.environment.body
        action_map = body.embodiment.action_map

        def step(carried: Any, step_key: jax.Array) -> Any:
            state, running = carried
            signals = jax.vmap(body.signals)(state.physics)
            action = self.act(params, state.observation, step_key)
            _, sent = jax.vmap(self.environment.send)(state, action)
            after = jax.vmap(self.environment.step)(state, action)
            # Where the excitation follows from feedback, that of a last step is gone: the state is the next episode's.
            fed_back = jnp.where(after.done[:, None], jnp.nan, after.physics.excitation)
            seen = {
                "action": action,
                "excitation": fed_back if action_map.feedback else sent,
                "activation": signals.activation,
                "muscle_force": signals.muscle_force,
                "muscle_length": signals.muscle_length,
                "muscle_velocity": signals.muscle_velocity,
                "joint_position": signals.joint_position,
                "joint_velocity": signals.joint_velocity,
                "qpos": state.physics.qpos,
                "qvel": state.physics.qvel,
                "token_value": state.observation[..., -1],
                "touch": signals.touch,
                "reward": after.reward,
                "reward_term": jnp.stack([after.terms[name] for name in sorted(after.terms)], axis=-1),
                "running": running,
                "solved": after.solved,
                "terminated": after.terminated,
                "truncated": after.truncated,
                # not recorded, but what moments and contacts follow from
                "act": state.physics.act,
                "changes": state.physics.changes,
            }
            seen |= {name: of(params, state.observation) for name, of in self.inside.items()}
            return (after, running & ~after.done), seen

        return jax.lax.scan(step, (state, running), jax.random.split(key, steps))


class _Mechanics:
    """Joint moments and contact forces of recorded states."""

    def __init__(self, body: Body):
        self.body = body
        self._model = body.stripped_model.__copy__() if body.changes else body.stripped_model
        self._data = mujoco.MjData(self._model)
        self._row = {int(b): row for row, b in enumerate(contact_bodies(self._model))}

    def __call__(self, seen: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """``joint_moment`` (E, C, J) and ``contact_force`` (E, C, bodies, 3) where episodes run; 0 elsewhere."""
        body, model, data = self.body, self._model, self._data
        running = seen["running"]
        moment = np.zeros((*running.shape, len(body.joints)), np.float32)
        contact = np.zeros((*running.shape, len(self._row), 3), np.float32)
        for e in range(len(running)):
            if body.changes and running[e].any():
                apply_changes(model, body.stripped_spec, body.changes, seen["changes"][e, 0])
            for t in np.flatnonzero(running[e]):
                data.qpos, data.qvel, data.act = seen["qpos"][e, t], seen["qvel"][e, t], seen["act"][e, t]
                mujoco.mj_forward(model, data)
                arms = moment_arms(model, data)[body.muscle_controls]
                moment[e, t] = (seen["muscle_force"][e, t] @ arms)[body.joint_qvel]
                self._add_contacts(contact[e, t])
        return {"joint_moment": moment, "contact_force": contact}

    def _add_contacts(self, force: np.ndarray) -> None:
        local = np.zeros(6)
        for number in range(self._data.ncon):
            contact = self._data.contact[number]
            mujoco.mj_contactForce(self._model, self._data, number, local)
            # The frame's rows are its axes, the first from geom 1 to geom 2; the force is the one on geom 2.
            world = contact.frame.reshape(3, 3).T @ local[:3]
            for geom, sign in ((contact.geom[1], 1.0), (contact.geom[0], -1.0)):
                row = self._row.get(int(self._model.geom_bodyid[geom]))
                if row is not None:
                    force[row] += sign * world


def contact_bodies(model: mujoco.MjModel) -> tuple[int, ...]:
    """Ids of the MJCF bodies, the world aside, that have a geom which may touch another."""
    touching = (model.geom_contype != 0) | (model.geom_conaffinity != 0)
    touching[[*model.pair_geom1, *model.pair_geom2]] = True
    return tuple(sorted({int(b) for b in model.geom_bodyid[touching] if b}))


def _layout(
    environment: Environment,
    inside: Mapping[str, tuple[int, ...]],
    attention: Attention | None,
    episodes: int,
    size: int,
    about: Mapping[str, Any],
) -> Layout:
    body, task = environment.body, environment.task
    model = body.stripped_model
    segments = [lexicon.describe(name, "muscle", body.embodiment.side).segment or "other" for name in body.muscles]
    fields: dict[str, Field] = dict(FIELDS)
    names: dict[str, Sequence[Any]] = {}
    if "latents" in inside:
        fields["latents"] = LATENT
        names |= dict(zip(LATENT.axes, map(range, inside["latents"]), strict=True))
    if attention is not None:
        fields["attention"] = attention.field
        names |= dict(zip(attention.field.axes, map(range, inside["attention"]), strict=True))
        names["observed"] = attention.observed
    largest = 4 * size * max([math.prod(shape) for shape in inside.values()], default=1)
    return Layout(
        fields=fields,
        names={
            **names,
            "muscle": body.muscles,
            "joint": body.joints,
            "qpos_index": range(model.nq),
            "qvel_index": range(model.nv),
            "token": [" ".join(token.words) for token in environment.observation_table],
            "touch_site": body.touches,
            "contact_body": [model.body(b).name for b in contact_bodies(model)],
            "axis": ("x", "y", "z"),
            "term": sorted(jax.eval_shape(environment.reset, jax.random.key(0)).terms),
        },
        beside={"muscle": {"segment": segments}},
        episodes=episodes,
        steps=task.horizon,
        block=(size, min(STEPS_PER_BLOCK, task.horizon, max(1, BLOCK_BYTES // largest))),
        control_dt=body.control_dt,
        about={
            "task": task.name,
            "body": body.embodiment.name,
            "body_fingerprint": body.fingerprint,
            "action_map": body.embodiment.action_map.name,
            "perturbation": str(environment.perturbation),
            **about,
        },
    )


def _masked(values: Mapping[str, np.ndarray], fields: Mapping[str, Field]) -> dict[str, np.ndarray]:
    """Nothing is said of what comes after an episode's end: NaN, or 0 for a flag."""
    over = ~values["running"]
    masked = {}
    for name, field in fields.items():
        masked[name] = values[name].astype(np.int8 if field.flag else np.float32)
        masked[name][over] = 0 if field.flag else np.nan
    return masked


def _rows(keys: jax.Array, first: int, size: int) -> jax.Array:
    """``size`` keys from ``first`` on; the last one again where there are not as many, so that shapes stay."""
    return keys[np.minimum(np.arange(first, first + size), len(keys) - 1)]
