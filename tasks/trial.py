"""Running a task for a moment, at rest and with random actions, to see what its numbers do."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from arnold.tasks.environment import Environment, EnvState

EPISODES = 16
LONGEST = 120  # control steps


@dataclasses.dataclass(frozen=True)
class Trial:
    """What was seen: what must be put right, and what is worth a look."""

    problems: tuple[str, ...]
    notes: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class _Record:
    """Some episodes of one agent; the leading axes of ``steps`` are control steps and episodes."""

    agent: str
    first: EnvState
    steps: EnvState


def try_out(env: Environment) -> Trial:
    """Run ``env`` with muscles silent and with random actions, and judge the numbers.

    Returns:
        Problems: numbers that are not finite, physics that diverges, episodes that end at once. Notes: goals that are
        solved from the start, or never by chance.
    """
    run = jax.jit(lambda silent, key: _episodes(env, silent, key))
    key = jax.random.key(0)
    agents = {"rest": True, "random actions": False}
    records = [_Record(agent, *run(jnp.asarray(silent), key)) for agent, silent in agents.items()]
    problems: list[str] = []
    for record in records:
        problems += [line for line in _not_finite(env, record) if line not in problems]
        problems += [line for line in _ends_at_once(record) if line not in problems]
    return Trial(tuple(problems), tuple(_solved(records)))


def _episodes(env: Environment, silent: jax.Array, key: jax.Array) -> tuple[EnvState, EnvState]:
    """First states, and the states after each step, of episodes with silent muscles or random actions."""

    def advance(state: EnvState, key: jax.Array) -> tuple[EnvState, EnvState]:
        action = jax.random.uniform(key, (EPISODES, len(env.action_table)), minval=-1.0, maxval=1.0)
        state = jax.vmap(env.step)(state, jnp.where(silent, -1.0, action))
        return state, dataclasses.replace(state, key=jax.random.key_data(state.key))

    begin, go = jax.random.split(key)
    first = jax.vmap(env.reset)(jax.random.split(begin, EPISODES))
    return first, jax.lax.scan(advance, first, jax.random.split(go, min(env.task.horizon, LONGEST)))[1]


def _not_finite(env: Environment, record: _Record) -> list[str]:
    lines = []
    first = np.asarray(record.first.observation)[None]
    seen = np.concatenate([first, np.asarray(record.steps.final_observation)])[..., -1]  # (T + 1, B, K)
    bad = ~np.isfinite(seen).all(axis=(0, 1))
    for place in np.flatnonzero(bad)[:4]:
        words = "+".join(env.observation_table.tokens[place].words)
        lines.append(f"the value of token {words!r} is not finite with {record.agent}")
    for term, values in record.steps.terms.items():
        bad_rows = ~np.isfinite(np.asarray(values))
        if bad_rows.any():
            when = int(np.flatnonzero(bad_rows.any(axis=1))[0]) + 1
            value = np.asarray(values)[bad_rows][0]
            lines.append(f"the term {term!r} is {value} at control step {when} with {record.agent}")
    if not lines and not np.isfinite(np.asarray(record.steps.reward)).all():
        lines.append(f"the reward is not finite with {record.agent}")
    diverged = np.asarray(record.steps.diverged).any(axis=0)
    if diverged.any():
        lines.append(f"the physics diverges in {diverged.sum()} of {EPISODES} episodes with {record.agent}")
    return lines


def _ends_at_once(record: _Record) -> list[str]:
    first = np.asarray(record.steps.terminated)[:2].any(axis=0)
    if len(record.steps.terminated) > 2 and first.all():
        return [f"every episode fails within its first two control steps with {record.agent}: see judge's `failed`"]
    return []


def _solved(records: list[_Record]) -> list[str]:
    solved = [np.asarray(record.steps.solved) for record in records]
    if all(s[0].all() for s in solved):
        return ["every goal is solved at the first control step: there may be nothing to learn"]
    if not any(s.any() for s in solved):
        return ["no step was solved at rest or with random actions: the goals may be hard, or out of reach"]
    return []
