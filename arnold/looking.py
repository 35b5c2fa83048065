"""What a body looks like while a policy moves it: states to draw, the colours of its muscles, markers of its targets.

Videos (:mod:`arnold.video`), pages that open without a server (:mod:`arnold.replay_page`) and the live view
(:mod:`arnold.live_view`) draw from these.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from scipy.ndimage import uniform_filter1d

from arnold.embodiments import Body, Signals
from arnold.episodes import Act
from arnold.errors import UserError, did_you_mean
from arnold.tasks import Environment
from arnold.tasks.baoding import Baoding
from arnold.tasks.environment import EnvState
from arnold.tasks.imitate import Imitate
from arnold.tasks.reach import Reach
from arnold.tasks.task import Goal, Task
from arnold.tasks.turn import Turn
from arnold.tasks.walk import WalkToPoint

SILENT, ACTIVE = np.array([0.12, 0.32, 0.90]), np.array([0.90, 0.08, 0.08])  # RGB of a muscle with activation 0, and 1
TARGET = np.array([0.10, 0.65, 0.25])  # RGB of a target's marker
BONE = (0.86, 0.82, 0.74)  # RGB of geoms that are meshes
VISIBLE_GROUPS = 3  # geoms of MuJoCo's groups 0 to 2 are shown, as its own viewer does
MARKER_SHARE = 0.025  # radius of a marker, as a share of the body's size
_WRAPPED = (int(mujoco.mjtWrap.mjWRAP_SPHERE), int(mujoco.mjtWrap.mjWRAP_CYLINDER))
FRAMES_PER_SECOND = 30
SHOWN = 6  # muscles that are plotted where none are chosen
FOLLOWED_OVER = 0.5  # s that the camera's path is averaged over


@dataclasses.dataclass(frozen=True, eq=False)
class Seen:
    """F frames of one environment, evenly spaced.

    Attributes:
        task: its name.
        seconds: of a frame, s.
        qpos: float32 (F, nq).
        activation: float32 (F, M) in [0, 1].
        changes: float32 (F, P), what the episode changes of the model.
        targets: float32 (F, N, 3) m, world frame.
    """

    task: str
    seconds: float
    qpos: np.ndarray
    activation: np.ndarray
    changes: np.ndarray
    targets: np.ndarray


@functools.singledispatch
def targets(task: Task, body: Body, signals: Signals, goal: Goal) -> jax.Array:
    """Where a task wants something to be, (N, 3) m, world frame; nowhere unless its kind is registered.

    Example:
        >>> @targets.register
        ... def _(task: MyTask, body, signals, goal):
        ...     return goal.place[None]
    """
    return jnp.zeros((0, 3), jnp.float32)


@targets.register
def _(task: Reach, body: Body, signals: Signals, goal: Goal) -> jax.Array:
    return jnp.reshape(goal, (1, 3))


@targets.register
def _(task: Turn, body: Body, signals: Signals, goal: Goal) -> jax.Array:
    return jnp.reshape(goal.place, (1, 3))


@targets.register
def _(task: Baoding, body: Body, signals: Signals, goal: Goal) -> jax.Array:
    return jnp.reshape(goal.targets, (2, 3))


@targets.register
def _(task: WalkToPoint, body: Body, signals: Signals, goal: Goal) -> jax.Array:
    return jnp.reshape(goal.point, (1, 3))


@targets.register
def _(task: Imitate, body: Body, signals: Signals, goal: Goal) -> jax.Array:
    pose = task.reference(body).at(goal.clip, goal.frame)
    return pose.position + goal.shift[None]


def look(environment: Environment, state: EnvState) -> dict[str, jax.Array]:
    """What is drawn of a state: the arrays of one frame of `Seen`."""
    body, physics = environment.body, state.physics
    return {
        "qpos": physics.qpos,
        "activation": physics.act[body.muscle_act],
        "changes": physics.changes,
        "targets": targets(environment.task, body, body.signals(physics), state.goal),
    }


def watch(environment: Environment, act: Act, params: Any, seed: int = 0, seconds: float | None = None) -> Seen:
    """See one environment for a while, at about 30 frames per second.

    Args:
        environment: the task.
        act: the agent.
        params: handed to it.
        seed: of starts, goals and the agent's own chance.
        seconds: how long; episodes follow one another. One episode where not given.

    Raises:
        UserError: for a time that is shorter than a control step.
    """
    body = environment.body
    steps = environment.task.horizon
    if seconds is not None:
        if not body.control_dt <= seconds < math.inf:
            raise UserError(
                f"the time to look for is {seconds:g} s; from {body.control_dt:g} s (a control step) on is accepted"
            )
        steps = round(seconds / body.control_dt)

    def step(state: EnvState, key: jax.Array) -> tuple[EnvState, Any]:
        action = act(params, state.observation[None], key)[0]
        after = proceed(environment, state, action)
        return after, (look(environment, state), after.done)

    def episode(key: jax.Array) -> Any:
        reset_key, action_key = jax.random.split(key)
        return jax.lax.scan(step, begin(environment, reset_key), jax.random.split(action_key, steps))[1]

    frames, done = jax.tree.map(np.asarray, jax.jit(episode)(jax.random.key(seed)))
    last = steps if seconds is not None or not done.any() else int(done.argmax()) + 1
    stride = max(1, round(1.0 / FRAMES_PER_SECOND / body.control_dt))
    kept = {name: values[:last:stride] for name, values in frames.items()}
    return Seen(environment.task.name, stride * body.control_dt, **kept)


def begin(environment: Environment, key: jax.Array) -> EnvState:
    """The first state of one environment; the back ends step batches."""
    return jax.tree.map(lambda x: x[0], jax.vmap(environment.reset)(key[None]))


def proceed(environment: Environment, state: EnvState, action: jax.Array) -> EnvState:
    """The next state of one environment under an action (M,)."""
    batch = jax.tree.map(lambda x: x[None], (state, action))
    return jax.tree.map(lambda x: x[0], jax.vmap(environment.step)(*batch))


class Stage:
    """A body to be looked at, posed and coloured frame by frame.

    Attributes:
        model: a copy of the body's whole model, meshes included, whose tendons have the muscles' colours; without the
            spheres and cylinders that tendons wind around.
        data: its state.
        muscle_of_tendon: (tendon, muscle) numbers of the tendons that muscles pull.
    """

    def __init__(self, body: Body):
        self.body = body
        self.model = body.model.__copy__()
        self.data = mujoco.MjData(self.model)
        controls = body.muscle_controls
        on_tendons = self.model.actuator_trntype[controls] == int(mujoco.mjtTrn.mjTRN_TENDON)
        tendons = self.model.actuator_trnid[controls, 0]
        self.muscle_of_tendon = tuple((int(tendons[m]), int(m)) for m in np.flatnonzero(on_tendons))
        for tendon, _ in self.muscle_of_tendon:
            self.model.tendon_matid[tendon] = -1
        wound = self.model.wrap_objid[np.isin(self.model.wrap_type, _WRAPPED)]
        self.model.geom_matid[wound], self.model.geom_rgba[wound, 3] = -1, 0.0

    def show(self, qpos: np.ndarray, activation: np.ndarray, changes: np.ndarray) -> None:
        """Pose the model and colour its tendons; the arguments are of one frame of `Seen`."""
        first, model, data = 0, self.model, self.data
        for change in self.body.changes:
            value = changes[first : first + change.width]
            getattr(model, change.field)[change.row(model)] = value if change.width > 1 else value[0]
            first += change.width
        colours = muscle_colours(activation)
        for tendon, muscle in self.muscle_of_tendon:
            model.tendon_rgba[tendon] = [*colours[muscle], 1.0]
        data.qpos[:] = qpos
        for placed in (mujoco.mj_kinematics, mujoco.mj_comPos, mujoco.mj_camlight, mujoco.mj_tendon):
            placed(model, data)

    def play(self, seen: Seen) -> Iterator[int]:
        """Show each frame, and say its number."""
        for frame, (qpos, activation, changes) in enumerate(zip(seen.qpos, seen.activation, seen.changes, strict=True)):
            self.show(qpos, activation, changes)
            yield frame

    def path(self, tendon: int) -> np.ndarray:
        """The points (N, 3) m that a tendon passes now; where it winds around a bone, where it begins and ends to."""
        first, count = self.data.ten_wrapadr[tendon], self.data.ten_wrapnum[tendon]
        points: np.ndarray = self.data.wrap_xpos.reshape(-1, 3)[first : first + count].copy()
        return points

    @functools.cached_property
    def _limbs(self) -> np.ndarray:
        """Ids of the MJCF bodies that move with the body's own joints, or all that move where those have no place."""
        model = self.model
        owned = {int(b) for name in self.body.joints for b in [model.joint(name).bodyid[0]]}
        return np.array([b for b in range(1, model.nbody) if b in owned or int(model.body_parentid[b]) in owned])

    def extent(self) -> tuple[np.ndarray, float]:
        """Now, the middle (3,) m of limbs and muscles, and how far the farthest is from it, m; at least 5 cm."""
        places = np.concatenate([self.data.xpos[self._limbs], *(self.path(t) for t, _ in self.muscle_of_tendon)])
        middle = (places.min(axis=0) + places.max(axis=0)) / 2.0
        return middle, max(0.05, float(np.linalg.norm(places - middle, axis=1).max()))


def shown_geoms(model: mujoco.MjModel, size: float) -> list[int]:
    """Ids of the geoms that a viewer shows, but for planes, and scenery larger than ``size``, m."""
    plane = int(mujoco.mjtGeom.mjGEOM_PLANE)
    return [
        geom
        for geom in range(model.ngeom)
        if model.geom_group[geom] < VISIBLE_GROUPS
        and model.geom_rgba[geom, 3] > 0.0
        and model.geom_type[geom] != plane
        and not (model.geom_bodyid[geom] == 0 and model.geom_aabb[geom, 3:].max() > size)
    ]


def floor_height(model: mujoco.MjModel) -> float | None:
    """Height of the floor, m, where there is one that a viewer shows."""
    planes = [
        g
        for g in np.flatnonzero(model.geom_type == int(mujoco.mjtGeom.mjGEOM_PLANE))
        if model.geom_group[g] < VISIBLE_GROUPS and model.geom_bodyid[g] == 0
    ]
    return float(model.geom_pos[planes[0], 2]) if planes else None


def camera_path(middles: np.ndarray, seconds: float) -> np.ndarray:
    """Where to look, (F, 3) m: the body's middle (F, 3) without its shaking.

    Args:
        middles: of each frame.
        seconds: of a frame, s.
    """
    width = max(1, round(FOLLOWED_OVER / seconds))
    smooth: np.ndarray = uniform_filter1d(middles, width, axis=0, mode="nearest")
    return smooth


def muscle_colours(activation: np.ndarray) -> np.ndarray:
    """RGB (..., 3) in [0, 1] of activations (...): blue where silent, red where active."""
    share = np.clip(activation, 0.0, 1.0)[..., None]
    colours: np.ndarray = (1.0 - share) * SILENT + share * ACTIVE
    return colours


def chosen_muscles(muscles: Sequence[str], asked: Sequence[str], activation: np.ndarray | None = None) -> list[int]:
    """Numbers of the muscles to plot.

    Args:
        muscles: the body's.
        asked: names; empty for those whose activation varies most.
        activation: (F, M); without it the first few, where none are asked for.

    Raises:
        UserError: for an unknown muscle, with the nearest match.
    """
    for name in asked:
        if name not in muscles:
            raise UserError(f"no muscle {name!r} to plot; {did_you_mean(name, muscles)}")
    if asked:
        return [list(muscles).index(name) for name in dict.fromkeys(asked)]
    spread = np.zeros(len(muscles)) if activation is None else activation.std(axis=0)
    return sorted(np.argsort(-spread, kind="stable")[:SHOWN].tolist())
