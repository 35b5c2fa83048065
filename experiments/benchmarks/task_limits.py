"""What the hand reaches allow at best: which targets the joints can reach, how soon muscles can bring the tip there.

*Reachable*: inverse kinematics (damped least squares from random postures within the joint limits) on targets as the
task draws them. *Searched*: a cross-entropy search (Rubinstein 1999) over open-loop actions of an episode's first
control steps, from the task's own reset and from what the shipped expert does there, for as many solved steps as can be
had. A search finds a good answer, not the best one; where it finds none better, the expert is close to what the muscles
can do.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from arnold import saved_policy
from arnold.errors import UserError
from arnold.tasks import Environment, EnvState, Reach, task

TASKS = tuple(f"hand_{digit}_reach" for digit in ("thumb", "index", "middle", "ring", "little"))
POSTURES, ITERATIONS = 12, 120  # of the inverse kinematics, per target
STEPS, CANDIDATES, ELITE, ROUNDS = 9, 256, 16, 25  # of the search
NEAR_WEIGHT, NEAR_FROM, FAR_M = 8.0, 3, 0.05  # solved steps per metre of distance from the fourth step on, 5 cm at most


@dataclasses.dataclass(frozen=True)
class LimitRow:
    """What one task allows."""

    task: str
    reachable: float
    """Share of the targets that some posture within the joint limits reaches."""

    searched: int
    """Targets that the search was run on."""

    solved: int
    """Of these, how many the expert or the search solved within the first nine control steps."""

    expert: float
    """Unsolved control steps of those nine under the shipped expert, mean over the targets solved."""

    search: float
    """The same after the search."""

    at_most: float
    """reachable * (1 - search / horizon): about the solved steps / horizon that can be had."""


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
    expert, search = (float(np.mean(steps)) for steps in zip(*found, strict=True)) if found else (np.nan, np.nan)
    at_most = reachable * (1.0 - search / goal.horizon)
    return LimitRow(goal.name, reachable, targets, len(found), expert, search, at_most)


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


def _searched(environment: Environment, targets: int) -> list[tuple[int, int]]:
    """For each target solved: unsolved steps of the first nine, of the expert and after the search."""
    step, reset = jax.jit(jax.vmap(environment.step)), jax.jit(jax.vmap(environment.reset))
    expert = saved_policy.load(environment.task.name)
    ids = expert.policy.bind([(environment.observation_table, environment.action_table)])
    act = jax.jit(lambda seen: expert.policy.apply(expert.params, expert.statistics, ids, seen[None]).mean[0])
    rng, found = np.random.default_rng(0), []
    for target in range(targets):
        begin = reset(jnp.repeat(jax.random.key(target)[None], CANDIDATES, axis=0))
        mean, expert_solved = _of_expert(step, act, begin)
        spread, most = np.full_like(mean, 0.4), expert_solved
        for _ in range(ROUNDS):
            noise = rng.standard_normal((CANDIDATES, *mean.shape)).astype(np.float32)
            actions = np.clip(mean + spread * noise, -1.0, 1.0)
            solved, distance = _tried(step, begin, actions)
            best = actions[np.argsort(NEAR_WEIGHT * distance - solved)[:ELITE]]
            mean = 0.2 * mean + 0.8 * best.mean(axis=0)
            spread = 0.3 * spread + 0.7 * best.std(axis=0) + 0.015
            most = max(most, int(solved.max()))
        if most:
            found.append((STEPS - expert_solved, STEPS - most))
    return found


def _of_expert(step: jax.stages.Wrapped, act: jax.stages.Wrapped, begin: EnvState) -> tuple[np.ndarray, int]:
    """The expert's first actions (T, M) in the first of some equal environments, and how many steps they solve."""
    state, actions, solved = begin, [], 0
    for _ in range(STEPS):
        action = act(state.observation)
        state = step(state, action)
        actions.append(np.clip(np.asarray(action[0]), -1.0, 1.0))
        solved += int(state.solved[0])
    return np.stack(actions), solved


def _tried(step: jax.stages.Wrapped, begin: EnvState, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Solved steps (B,) and summed late distances (B,) m of open-loop actions (B, T, M)."""
    state, solved, distance = begin, np.zeros(len(actions)), np.zeros(len(actions))
    going = np.ones(len(actions), bool)  # an episode that failed begins again, with another target
    for t in range(actions.shape[1]):
        state = step(state, jnp.asarray(actions[:, t]))
        going &= ~np.asarray(state.terminated)
        solved = solved + np.asarray(state.solved) * going
        if t >= NEAR_FROM:
            distance = distance + np.minimum(-np.asarray(state.terms["reach"]), FAR_M)
    return solved, distance
