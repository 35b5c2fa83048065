"""How fast the physics is: our step and whole environment step, against `mujoco.rollout` and MyoSuite's environment.

All contenders take turns in one run, in short slices, and are compared by the median of the ratios within a round: a
machine that is busy with other work slows a whole round and leaves the ratios as they are.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import jax
import mujoco
import mujoco.rollout
import numpy as np

from arnold.tasks import Environment, EnvState, task

TASK = "hand_index_reach"
MYOSUITE = "myoHandReachRandom-v0"
SLICE = 5  # control steps of the batch in one slice
WARM_UP = 30  # control steps of random actions before anything is measured: the hand is in motion and in contact
BAR_RAW = 0.75  # of raw mujoco.rollout
BAR_MYOSUITE = 2.5  # times MyoSuite's environment

Contender = Callable[[], int]  # runs one slice, returns how many control steps of one environment that was


@dataclasses.dataclass(frozen=True)
class SpeedRow:
    """One contender.

    Attributes:
        name: what ran.
        steps_per_second: control steps of one environment per second, median over the rounds.
        of_raw: speed as a share of the fastest raw `mujoco.rollout`, median of the ratios within rounds.
        of_myosuite: speed as a multiple of MyoSuite's environment, likewise.
    """

    name: str
    steps_per_second: float
    of_raw: float
    of_myosuite: float


def measure_physics_speed(batch: int = 64, threads: int = 2, seconds: float = 30.0) -> tuple[SpeedRow, ...]:
    """Measure every contender in turns for about ``seconds``.

    Args:
        batch: environments at once; MyoSuite's loop has one, as its own examples do.
        threads: threads of `mujoco.rollout`, ours and the raw one.
        seconds: time to measure for, after compilation; at least three rounds are run.

    Returns:
        One row per contender: three ways to call `mujoco.rollout`, our `physics.step`, our whole environment step, and
        MyoSuite's. The raw one that counts is the fastest. The first two step the model that we step, with our sensors;
        the third the whole model, with none.
    """
    contenders = _contenders(batch, threads)
    for run in contenders.values():  # compile and warm up
        run()
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    begin, rounds = time.perf_counter(), 0
    while rounds < 3 or time.perf_counter() - begin < seconds:
        for name, run in contenders.items():
            start = time.perf_counter()
            steps = run()
            taken[name].append(steps / (time.perf_counter() - start))
        rounds += 1
    speeds = {name: np.array(values) for name, values in taken.items()}
    raw = [values for name, values in speeds.items() if name.startswith("mujoco.rollout")]
    return tuple(
        SpeedRow(
            name=name,
            steps_per_second=statistics.median(values),
            of_raw=min(statistics.median(values / r) for r in raw),
            of_myosuite=statistics.median(values / speeds[f"MyoSuite {MYOSUITE}"]),
        )
        for name, values in speeds.items()
    )


def _contenders(batch: int, threads: int) -> dict[str, Contender]:
    env = Environment(task(TASK), threads=threads)
    environment, physics, states = _ours(env, batch)
    plain = env.task.embodiment.build().compile()
    return {
        "mujoco.rollout, a call per control step": _raw(env, env.body.stripped_model, states, threads, SLICE),
        "mujoco.rollout, long calls": _raw(env, env.body.stripped_model, states, threads, 1),
        "mujoco.rollout, long calls, no sensors": _raw(env, plain, states, threads, 1),
        "physics.step": physics,
        "whole environment step": environment,
        f"MyoSuite {MYOSUITE}": _myosuite(),
    }


def _ours(env: Environment, batch: int) -> tuple[Contender, Contender, np.ndarray]:
    """The whole environment step and `physics.step` as contenders, and states (batch, nstate) of hands in motion."""
    muscles = len(env.action_table)

    def actions(key: jax.Array) -> jax.Array:
        return jax.random.uniform(key, (batch, muscles), minval=-1.0, maxval=1.0)

    def whole(state: EnvState, key: jax.Array) -> tuple[EnvState, jax.Array]:
        state = jax.vmap(env.step)(state, actions(key))
        return state, state.reward

    def bare(state: Any, key: jax.Array) -> tuple[Any, None]:
        return jax.vmap(env.physics.step)(state, env.body.embodiment.action_map(actions(key))), None

    first = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(0), batch))
    run = _Scanned(whole, first)
    for _ in range(WARM_UP // SLICE):
        run()
    moving = run.carry.physics
    states = np.concatenate([moving.time[:, None], moving.qpos, moving.qvel, moving.act], axis=1)
    environment, physics = lambda: batch * run(), _Scanned(bare, moving)
    return environment, lambda: batch * physics(), states.astype(np.float64)


class _Scanned:
    """A step function inside `jit` and `lax.scan`; each call goes on where the last one stopped."""

    def __init__(self, step: Callable, carry: Any):
        self._run = jax.jit(lambda carry, key: jax.lax.scan(step, carry, jax.random.split(key, SLICE)))
        self.carry = carry
        self._key = jax.random.key(1)

    def __call__(self) -> int:
        self._key, key = jax.random.split(self._key)
        self.carry, _ = jax.block_until_ready(self._run(self.carry, key))
        return SLICE


def _raw(env: Environment, model: mujoco.MjModel, states: np.ndarray, threads: int, calls: int) -> Contender:
    """Raw `mujoco.rollout` with a persistent pool: ``calls`` calls a slice, each fed the state last reached."""
    batch, skip = len(states), env.body.embodiment.frame_skip
    data = [mujoco.MjData(model) for _ in range(threads)]
    pool = mujoco.rollout.Rollout(nthread=threads)
    rng = np.random.default_rng(0)
    state = states.copy()

    def run() -> int:
        for _ in range(calls):
            action = rng.uniform(-1.0, 1.0, (batch, SLICE // calls, model.nu))
            control = np.repeat(1.0 / (1.0 + np.exp(-5.0 * (action - 0.5))), skip, axis=1)
            reached, _ = pool.rollout([model] * batch, data, state, control)
            state[:] = reached[:, -1]
        return batch * SLICE

    return run


def _myosuite() -> Contender:
    """MyoSuite's own environment in a Python loop, one process, reset as its rules say."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MuJoCo about MyoSuite's composed hand, gymnasium about itself
        from myosuite.utils import gym

        env = gym.make(MYOSUITE)
        env.reset(seed=0)
    rng = np.random.default_rng(0)

    def run() -> int:
        for _ in range(5 * SLICE):
            action = rng.uniform(-1.0, 1.0, env.action_space.shape).astype(np.float32)
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        return 5 * SLICE

    return run


def bars_met(rows: tuple[SpeedRow, ...]) -> bool:
    """Whether the whole environment step reaches both bars."""
    (whole,) = (row for row in rows if row.name == "whole environment step")
    return whole.of_raw >= BAR_RAW and whole.of_myosuite >= BAR_MYOSUITE
