"""How well a policy follows clips: every clip of an imitation task once, from its first frame to its last.

One rollout serves every rule of when an episode has failed: the body goes on after a violation, and what comes after
the first one does not count under that rule.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial.transform import Rotation

from arnold.embodiments import Body, Signals
from arnold.episodes import Act
from arnold.tasks import Environment
from arnold.tasks.imitate import Following, Imitate
from arnold.tasks.perturbation import INTACT, Perturbation
from arnold.tasks.reference import Pose
from arnold.tasks.task import Outcome

RULES = {
    "each": "a tracked body is more than 0.15 m off",
    "mean": "the tracked bodies are more than 0.5 m off on average",
    "relative": "seen from the main body, the others are more than 0.3 m off on average, or it is more than 0.5 m off",
}
"""When an episode has failed: KINESIS' rule of training, its rule of evaluation, and MuscleMimic's of evaluation."""
EACH, MEAN, RELATIVE, MAIN = 0.15, 0.5, 0.3, 0.5  # m, the limits of RULES
Rows = Any  # a Pose of numpy arrays
TOGETHER = 64  # clips that are stepped at once
BLOCK = 32  # control steps between two looks at what happened


@dataclasses.dataclass(frozen=True, eq=False)
class Followed:
    """One clip of T frames, and what the body did along it; frame 0 is the start, where the body was put.

    Attributes:
        place: of the clip among the task's.
        name: of the clip.
        subject: who moved.
        task: what was asked.
        body: of the task.
        clip: T rows, in the place where the body followed it.
        done: rows of the body; fewer than T where the physics diverged.
        frames: T.
    """

    place: int
    name: str
    subject: str
    task: Imitate
    body: Body
    clip: Pose
    done: Pose

    @property
    def frames(self) -> int:
        """T."""
        return len(self.clip.qpos)


def follow(
    task: Imitate,
    agent: Callable[[Environment], Act],
    params: Any = None,
    *,
    backend: str = "native",
    threads: int | None = None,
    seed: int = 0,
    perturbation: Perturbation = INTACT,
) -> Iterator[Followed]:
    """Follow every clip of a task once, from its first frame to its last; in order of length.

    Args:
        task: whose clips; its limits do not end these episodes.
        agent: makes the agent for an environment, such as `functools.partial(policy_agent, policy)`.
        params: handed to the agent.
        backend: physics back end.
        threads: threads of the native back end.
        seed: of the agent's own chance.
        perturbation: of the muscles.

    Raises:
        UserError: where the agent cannot act in the task, or a clip does not fit its body.
    """
    environment = Environment(_endless(task), backend, threads, perturbation=perturbation)
    runner = _Runner(environment, agent(environment))
    order = np.argsort(runner.reference.frames, kind="stable")
    size = min(TOGETHER, len(order))
    for first in range(0, len(order), size):
        places = order[first : first + size]
        padded = np.resize(places, size)  # one size, one compilation
        yield from runner(task, params, padded, len(places), jax.random.key(seed + first))


class _Runner:
    """Follows some clips at once, in an environment whose episodes do not end."""

    def __init__(self, environment: Environment, act: Act):
        assert isinstance(environment.task, Imitate)
        self.environment, self.act, self.task = environment, act, environment.task
        self.reference = environment.task.reference(environment.body)
        self._begin, self._go_on = jax.jit(self._first), jax.jit(self._block)

    def __call__(self, task: Imitate, params: Any, places: np.ndarray, wanted: int, key: jax.Array) -> list[Followed]:
        """The first ``wanted`` of the clips at ``places``."""
        longest = int(self.reference.frames[places].max())
        state, seen = self._begin(jnp.asarray(places, jnp.int32), key)
        shift, parts = np.asarray(state.goal.shift), [jax.tree.map(lambda x: np.asarray(x)[None], seen)]
        for block in range(math.ceil((longest - 1) / BLOCK)):
            state, seen = self._go_on(params, state, jax.random.fold_in(key, block))
            parts.append(jax.tree.map(np.asarray, seen))
        done, diverged = jax.tree.map(lambda *rows: np.concatenate(rows), *parts)
        made = []
        for column, place in enumerate(places[:wanted]):
            first, frames = int(self.reference.first[place]), int(self.reference.frames[place])
            clip = jax.tree.map(lambda rows, f=first, n=frames: rows[f : f + n], self.reference.rows)
            bad = np.flatnonzero(diverged[:frames, column])
            kept = int(bad[0]) if len(bad) else frames
            made.append(
                Followed(
                    place=int(place),
                    name=self.reference.names[place],
                    subject=self.reference.subjects[place],
                    task=task,
                    body=self.environment.body,
                    clip=_moved(clip, shift[column], task.root),
                    done=jax.tree.map(lambda rows, c=column, n=kept: rows[:n, c], done),
                )
            )
        return made

    def _first(self, places: jax.Array, key: jax.Array) -> Any:
        trouble = jnp.ones(len(self.reference.names), jnp.float32)
        body, task = self.environment.body, self.task
        starts, goals = jax.vmap(lambda place: task.at(body, place, jnp.int32(0), trouble))(places)
        state = jax.vmap(self.environment.reset_to)(jax.random.split(key, len(places)), starts, goals)
        return state, self._seen(state)

    def _block(self, params: Any, state: Any, key: jax.Array) -> Any:
        def step(state: Any, step_key: jax.Array) -> Any:
            state = jax.vmap(self.environment.step)(state, self.act(params, state.observation, step_key))
            return state, self._seen(state)

        return jax.lax.scan(step, state, jax.random.split(key, BLOCK))

    def _seen(self, state: Any) -> tuple[Pose, jax.Array]:
        """Where the bodies are, and whether their physics has diverged."""
        body = self.environment.body

        def pose(physics: Any) -> Pose:
            frames = body.signals(physics).frame_values
            signals = body.signals(physics)
            parts = (frames[:, :3], frames[:, 3:7], frames[:, 7:10], frames[:, 10:])
            return Pose(physics.qpos, physics.qvel, signals.activation, signals.muscle_length, *parts)

        return jax.vmap(pose)(state.physics), state.diverged


def _endless(task: Imitate) -> Imitate:
    """The same task, whose episodes end only where the physics diverges."""

    def judge(self: Imitate, body: Body, signals: Signals, goal: Following) -> Outcome:
        outcome = type(task).judge(self, body, signals, goal)
        return dataclasses.replace(outcome, failed=jnp.asarray(False), finished=False)

    kind = dataclasses.make_dataclass(
        type(task).__name__, (), bases=(type(task),), namespace={"judge": judge}, frozen=True
    )
    fields = {field.name: getattr(task, field.name) for field in dataclasses.fields(task)}
    made: Imitate = kind(**{**fields, "horizon": np.iinfo(np.int32).max})
    return made


def _moved(clip: Pose, shift: np.ndarray, root: str) -> Pose:
    """A clip where its follower was: ``shift`` (3,) m further; the free joint of a body that has one comes first."""
    qpos: Any = np.array(clip.qpos)
    if root:
        qpos[:, :3] += shift
    return dataclasses.replace(clip, qpos=qpos, position=clip.position + shift)


@dataclasses.dataclass(frozen=True)
class ClipFigures:
    """What one clip came to.

    Attributes:
        name: of the clip.
        subject: who moved.
        frames: how many.
        figures: by the names of `FIGURES`; None where there was no frame to measure.
        bodies: mean distance of each tracked MJCF body from the clip, m, over the frames of rule "mean".
        joints: root mean square error of each joint, rad (m for slides), over the same frames.
    """

    name: str
    subject: str
    frames: int
    figures: dict[str, float | None]
    bodies: dict[str, float | None]
    joints: dict[str, float | None]


FIGURES = {
    "success_each": "no tracked body is ever more than 0.15 m off (share of clips)",
    "coverage_each": "frames before the first violation of that rule (share)",
    "success_mean": "the tracked bodies are never more than 0.5 m off on average (share of clips)",
    "coverage_mean": "frames before the first violation of that rule (share)",
    "mpjpe_mm": "distance of the tracked bodies from the clip, world frame, mean over frames and bodies",
    "mpjpe_relative_mm": "the same seen from the main body, mean over the others",
    "joint_position_rms_rad": "joint position error, root mean square over frames and joints",
    "joint_position_abs_rad": "joint position error, mean of absolute values",
    "joint_velocity_rms_rad_s": "joint velocity error, root mean square over frames and joints",
    "joint_velocity_abs_rad_s": "joint velocity error, mean of absolute values",
    "early_termination": "MuscleMimic: 0.3 m mean relative or 0.5 m of the main body was passed (share of clips)",
    "coverage_relative": "MuscleMimic: frames before that (share)",
    "err_joint_pos": "MuscleMimic: root mean square over joints, mean over frames, rad",
    "err_joint_vel": "MuscleMimic: root mean square over joints, mean over frames, rad/s",
    "err_root_xyz": "MuscleMimic: root mean square over x, y, z of the main body, mean over frames, m",
    "err_root_yaw": "MuscleMimic: heading error of the main body, mean over frames, rad",
    "err_rpos": "MuscleMimic: root mean square of relative positions, mean over frames, m",
    "err_site_abs": "MuscleMimic: distance, mean over bodies and frames, m",
    "euclidean_joint_position": "MuscleMimic's validation: mean over joints and frames, rad",
    "euclidean_joint_velocity": "MuscleMimic's validation: mean over joints and frames, rad/s",
    "euclidean_relative_position": "MuscleMimic's validation: mean over bodies and frames, m",
    "euclidean_relative_velocity": "MuscleMimic's validation: angular and linear in one vector of six, as there",
    "euclidean_relative_orientation": "MuscleMimic's validation: distance of rotation vectors, rad",
}
"""What the figures of a clip are. Frame 0, the start, is in none of them. Errors up to `joint_velocity_abs_rad_s` are
over the frames before the first violation of rule "mean", those after it over the frames before that of "relative"."""


def held_frames(followed: Followed) -> dict[str, int]:
    """How many frames after the start there are before the first violation of each rule, or the physics' end."""
    known = len(followed.done.qpos)
    far, relative = _distances(*(_rows(pose, 1, known) for pose in (followed.clip, followed.done)))
    others = relative.mean(axis=1) if relative.shape[1] else np.zeros(len(far))
    broken = {
        "each": far.max(axis=1) > EACH,
        "mean": far.mean(axis=1) > MEAN,
        "relative": (others > RELATIVE) | (far[:, 0] > MAIN),
    }
    return {rule: int(np.argmax(breaks)) if breaks.any() else len(breaks) for rule, breaks in broken.items()}


def _distances(clip: Rows, done: Rows) -> tuple[np.ndarray, np.ndarray]:
    """How far the F tracked bodies are off (T, F) m, and the others seen from the first (T, F - 1) m."""
    error = clip.position - done.position
    return np.linalg.norm(error, axis=2), np.linalg.norm(error[:, 1:] - error[:, :1], axis=2)


def measure(followed: Followed) -> ClipFigures:
    """The figures of a clip that was followed."""
    clip, done = (_rows(pose, 1, len(followed.done.qpos)) for pose in (followed.clip, followed.done))
    wanted, held = followed.frames - 1, held_frames(followed)
    far, relative = _distances(clip, done)
    body = followed.body
    position, velocity = _joint_errors(body, clip, done)
    kept = slice(held["mean"])
    figures = {
        "success_each": float(held["each"] == wanted),
        "coverage_each": held["each"] / wanted,
        "success_mean": float(held["mean"] == wanted),
        "coverage_mean": held["mean"] / wanted,
        "mpjpe_mm": _scaled(_mean(far[kept]), 1000.0),
        "mpjpe_relative_mm": _scaled(_mean(relative[kept]), 1000.0),
        "joint_position_rms_rad": _rms(position[kept]),
        "joint_position_abs_rad": _mean(np.abs(position[kept])),
        "joint_velocity_rms_rad_s": _rms(velocity[kept]),
        "joint_velocity_abs_rad_s": _mean(np.abs(velocity[kept])),
        "early_termination": float(held["relative"] < wanted),
        "coverage_relative": held["relative"] / wanted,
        **_as_musclemimic(followed, held["relative"]),
    }
    return ClipFigures(
        name=followed.name,
        subject=followed.subject,
        frames=followed.frames,
        figures=figures,
        bodies={name: _mean(far[kept, k]) for k, name in enumerate(followed.task.tracked)},
        joints={name: _rms(position[kept, j]) for j, name in enumerate(body.joints)},
    )


def _as_musclemimic(followed: Followed, frames: int) -> dict[str, float | None]:
    """The figures that MuscleMimic reports and validates by, over some frames after the start."""
    task, body = followed.task, followed.body
    clip, done = (_rows(pose, 1, 1 + frames) for pose in (followed.clip, followed.done))
    position, velocity = _joint_errors(body, clip, done)
    error = clip.position - done.position
    relative = error[:, 1:] - error[:, :1]
    turns, motions = zip(*(_relative(pose) for pose in (clip, done)), strict=True)
    return {
        "err_joint_pos": _mean(_rms_rows(position)),
        "err_joint_vel": _mean(_rms_rows(velocity)),
        "err_root_xyz": _mean(_rms_rows(error[:, 0])) if task.root else None,
        "err_root_yaw": _mean(np.abs(_yaw_error(task, clip, done))) if task.root else None,
        "err_rpos": _mean(_rms_rows(relative.reshape(frames, 3 * relative.shape[1]))),
        "err_site_abs": _mean(np.linalg.norm(error, axis=2)),
        "euclidean_joint_position": _mean(np.abs(position)),
        "euclidean_joint_velocity": _mean(np.abs(velocity)),
        "euclidean_relative_position": _mean(np.linalg.norm(relative, axis=2)),
        "euclidean_relative_velocity": _mean(np.linalg.norm(motions[0] - motions[1], axis=2)),
        "euclidean_relative_orientation": _mean(np.linalg.norm(turns[0] - turns[1], axis=2)),
    }


def _joint_errors(body: Body, clip: Rows, done: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Errors of joint positions (T, J) rad and velocities (T, J) rad/s, clip minus body."""
    position = clip.qpos[:, body.joint_qpos] - done.qpos[:, body.joint_qpos]
    return position, clip.qvel[:, body.joint_qvel] - done.qvel[:, body.joint_qvel]


def _relative(pose: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Rotation vectors (T, F - 1, 3) rad and velocities (T, F - 1, 6) of all bodies but the first, relative to it.

    The angular velocity is turned by the transposed relative rotation and the linear one by the first body's own
    rotation, with the sign turned round: MuscleMimic measures them so.
    """
    frames, bodies = pose.position.shape[:2]
    matrices = Rotation.from_quat(pose.quaternion.reshape(-1, 4), scalar_first=True).as_matrix()
    matrices = matrices.reshape(frames, bodies, 3, 3)
    main, others = matrices[:, :1], matrices[:, 1:]
    turned = np.swapaxes(main, -1, -2) @ others
    vectors = Rotation.from_matrix(turned.reshape(-1, 3, 3)).as_rotvec().reshape(frames, bodies - 1, 3)
    spin = np.einsum("tfji,tfj->tfi", turned, pose.angular_velocity[:, 1:]) - pose.angular_velocity[:, :1]
    linear = np.einsum("tij,tfj->tfi", main[:, 0], pose.linear_velocity[:, :1] - pose.linear_velocity[:, 1:])
    return vectors, np.concatenate([spin, linear], axis=2)


def _yaw_error(task: Imitate, clip: Rows, done: Rows) -> np.ndarray:
    """How far the main body's heading is from the clip's, frame by frame (T,) rad."""
    if not len(clip.qpos):
        return np.zeros(0)
    ahead = [Rotation.from_quat(p.quaternion[:, 0], scalar_first=True).apply(task.forward) for p in (clip, done)]
    wanted, seen = (np.arctan2(v[:, 1], v[:, 0]) for v in ahead)
    return np.asarray((wanted - seen + np.pi) % (2.0 * np.pi) - np.pi)


def _rows(pose: Pose, first: int, last: int) -> Rows:
    """Some frames of a pose, in double precision."""
    return jax.tree.map(lambda rows: np.asarray(rows[first:last], np.float64), pose)


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if values.size else None


def _rms(values: np.ndarray) -> float | None:
    return math.sqrt(float(np.square(values).mean())) if values.size else None


def _rms_rows(values: np.ndarray) -> np.ndarray:
    """Root mean squares (T,) of rows (T, N); none of rows without numbers."""
    return np.sqrt(np.square(values).mean(axis=1)) if values.size else np.zeros(0)


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else factor * value
