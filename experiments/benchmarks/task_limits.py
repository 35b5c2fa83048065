"""What the hand reaches allow at best: which targets the joints can reach, how soon muscles can bring the tip there.

Two estimates that need no policy. *Reachable*: inverse kinematics (damped least squares from random postures within
the joint limits) on targets as the task draws them. *Earliest*: a cross-entropy search (Rubinstein 1999) over open-loop
actions from the task's own reset, for the targets that it solves; passing through the target counts. A search finds a
good answer, not the best one.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from arnold.errors import UserError
from arnold.tasks import Environment, EnvState, Reach, task

TASKS = tuple(f"hand_{digit}_reach" for digit in ("thumb", "index", "middle", "ring", "little"))
POSTURES, ITERATIONS = 12, 120  # of the inverse kinematics, per target
STEPS, CANDIDATES, ELITE, ROUNDS = 10, 256, 24, 14  # of the search


@dataclasses.dataclass(frozen=True)
class LimitRow:
    """What one task allows."""

    task: str
    reachable: float
    """Share of the targets that some posture within the joint limits reaches."""

    searched: int
    """Targets that the search was run on."""

    solved_by_search: int
    """Of these, how many it solved within its ten control steps."""

    earliest: float
    """Control steps before the first solved one, mean over the targets solved by the search."""

    at_most: float
    """reachable * (1 - earliest / horizon): about the solved steps / horizon that can be had."""


def measure_task_limits(targets: int = 8, threads: int | None = None) -> list[LimitRow]:
    """Estimate the limits of the five hand reaches.

    Args:
        targets: how many targets to search per task; two hundred are tried by inverse kinematics.
        threads: threads of the native back end.

    Raises:
        UserError: fewer than one target.
    """
    if targets < 1:
        raise UserError(f"targets is {targets}; at least 1 is accepted")
    return [_limits(Environment(task(name), threads=threads), targets) for name in TASKS]


def _limits(environment: Environment, targets: int) -> LimitRow:
    goal = environment.task
    assert isinstance(goal, Reach)
    reachable = _reachable(environment.body.model, goal)
    found = _searched(environment, targets)
    earliest = float(np.mean(found)) if found else float("nan")
    return LimitRow(goal.name, reachable, targets, len(found), earliest, reachable * (1.0 - earliest / goal.horizon))


def _reachable(model: mujoco.MjModel, goal: Reach, targets: int = 200) -> float:
    data, rng = mujoco.MjData(model), np.random.default_rng(0)
    site = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_SITE, goal.tip)
    joints = _joints_to(model, int(model.site_bodyid[site]))
    low, high = model.jnt_range[joints].T
    jacobian = np.zeros((3, model.nv))

    def nearest(target: np.ndarray) -> float:
        best = np.inf
        for _ in range(POSTURES):
            angles = rng.uniform(low, high)
            for _ in range(ITERATIONS):
                data.qpos[model.jnt_qposadr[joints]] = angles
                mujoco.mj_kinematics(model, data)
                mujoco.mj_comPos(model, data)
                error = target - data.site_xpos[site]
                best = min(best, float(np.linalg.norm(error)))
                if best < goal.near:
                    return best
                mujoco.mj_jacSite(model, data, jacobian, None, site)
                own = jacobian[:, model.jnt_dofadr[joints]]
                angles = np.clip(angles + own.T @ np.linalg.solve(own @ own.T + 1e-5 * np.eye(3), error), low, high)
        return best

    drawn = rng.uniform(goal.low, goal.high, (targets, 3))
    return float(np.mean([nearest(target) < goal.near for target in drawn]))


def _joints_to(model: mujoco.MjModel, body: int) -> list[int]:
    """The hinges between the world and a body."""
    joints: list[int] = []
    while body:
        first = int(model.body_jntadr[body])
        joints += range(first, first + int(model.body_jntnum[body]))
        body = int(model.body_parentid[body])
    return joints


def _searched(environment: Environment, targets: int) -> list[int]:
    """For each target solved by the search, the control steps before the first solved one."""
    step, reset = jax.jit(jax.vmap(environment.step)), jax.jit(jax.vmap(environment.reset))
    rng, muscles, found = np.random.default_rng(0), len(environment.action_table), []
    for target in range(targets):
        begin = reset(jnp.repeat(jax.random.key(target)[None], CANDIDATES, axis=0))
        mean, spread = np.zeros((STEPS, muscles), np.float32), np.ones((STEPS, muscles), np.float32)
        earliest = STEPS
        for _ in range(ROUNDS):
            noise = rng.standard_normal((CANDIDATES, STEPS, muscles)).astype(np.float32)
            actions = np.clip(mean + spread * noise, -1.0, 1.0)
            solved, reward = _tried(step, begin, actions)
            best = actions[np.argsort(-(reward + 5.0 * solved.sum(axis=1)))[:ELITE]]
            mean = 0.2 * mean + 0.8 * best.mean(axis=0)
            spread = 0.2 * spread + 0.8 * best.std(axis=0) + 0.02
            first = np.where(solved.any(axis=1), solved.argmax(axis=1), STEPS)
            earliest = min(earliest, int(first.min()))
        if earliest < STEPS:
            found.append(earliest)
    return found


def _tried(step: jax.stages.Wrapped, begin: EnvState, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Solved steps (B, T) and summed rewards (B,) of open-loop actions (B, T, M)."""
    state, solved, reward = begin, [], np.zeros(len(actions))
    for t in range(actions.shape[1]):
        state = step(state, jnp.asarray(actions[:, t]))
        solved.append(np.asarray(state.solved))
        reward = reward + np.asarray(state.reward)
    return np.stack(solved, axis=1), reward
