"""Walks to analyse: what a body did along clips, with the forces under its feet and about its joints.

A rollout keeps the body's states; contact and muscle forces follow from a state alone, so they are computed afterwards.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from arnold.analysis.gait import Averages, Cycle, averaged, central, gait_cycles
from arnold.embodiments import Body
from arnold.embodiments.moments import independent_velocities, moment_arms
from arnold.embodiments.physics import PhysicsState, make_physics
from arnold.episodes import Act
from arnold.errors import UserError
from arnold.motion import Clip
from arnold.tasks import Environment
from arnold.tasks.imitate import Imitate
from arnold.tasks.perturbation import INTACT, Perturbation
from arnold.tracking import follow, held_frames

FEET = {"left": "_l", "right": "_r"}
"""Feet, and the suffix of the muscles and joints of the leg."""
KMH = 3.6  # km/h per m/s


@dataclasses.dataclass(frozen=True, eq=False)
class Walk:
    """T samples of a walking body.

    Attributes:
        name: of the clip.
        rate: samples per second.
        body: that walked.
        activation: (T, M) of its muscles.
        angle: (T, J) of its joints, degrees (m for slides).
        moment: (T, J) of its muscles about its joints, N m (N for slides); 0 for joints that follow another one.
        force: of each foot, (T,) N.
        place: (T, 3) of the body, m.
        held: share of the clip that the body held on for.
    """

    name: str
    rate: float
    body: Body
    activation: np.ndarray
    angle: np.ndarray
    moment: np.ndarray
    force: Mapping[str, np.ndarray]
    place: np.ndarray
    held: float = 1.0

    @property
    def duration(self) -> float:
        """Seconds."""
        return (len(self.place) - 1) / self.rate


def walks(
    task: Imitate,
    agent: Callable[[Environment], Act],
    params: Any = None,
    *,
    perturbation: Perturbation = INTACT,
    backend: str = "native",
    threads: int | None = None,
    seed: int = 0,
) -> list[Walk]:
    """Follow every clip of a task once, and keep what was done until the tracked bodies were 0.5 m off on average.

    Args:
        task: an imitation task whose feet feel.
        agent: makes the agent for an environment, such as `functools.partial(policy_agent, policy)`.
        params: handed to the agent.
        perturbation: of the muscles.
        backend: physics back end.
        threads: threads of the native back end.
        seed: of the agent's own chance.

    Raises:
        UserError: where the task has no feet, or the agent cannot act in it.
    """
    _feet(task)
    made = []
    for done in follow(task, agent, params, perturbation=perturbation, backend=backend, threads=threads, seed=seed):
        kept = 1 + held_frames(done)["mean"]
        rows = jax.tree.map(lambda values, kept=kept: values[:kept], done.done)
        states = (rows.qpos, rows.qvel, rows.activation)
        held = (kept - 1) / (done.frames - 1)
        made.append(
            dataclasses.replace(walk_of_states(task, done.name, done.body, *states, threads=threads), held=held)
        )
    return made


def walk_of_clip(task: Imitate, clip: Clip) -> Walk:
    """A clip as if a policy had done it: its own activations, and its own contacts in place of forces.

    Feet that are in contact bear the body's whole weight, so that heel strikes are where contacts begin; moments are
    what the clip's activations give.

    Raises:
        UserError: where the clip knows no activations or contacts, or does not fit the task's body.
    """
    body = task.compile()
    clip.fits(body.model, f"body {body.embodiment.name!r}")
    if not clip.activation.size or not clip.contact.size:
        raise UserError(
            f"clip {clip.name!r} knows no activations or no contacts; retarget it anew with `arnold retarget`"
        )
    made = walk_of_states(task, clip.name, body, clip.qpos, clip.qvel, clip.activation)
    weight = float(body.model.body_mass.sum()) * abs(float(body.model.opt.gravity[2]))
    touching = {
        foot: clip.contact[:, [clip.contacts.index(site) for site in sites]].any(axis=1)
        for foot, sites in _feet(task).items()
    }
    force = {foot: weight * contact.astype(float) for foot, contact in touching.items()}
    return dataclasses.replace(made, rate=clip.rate, force=force)


def cycles_at(walks: Sequence[Walk], foot: str, speed: float, within: float) -> tuple[Cycle, ...]:
    """The gait cycles of some walks whose speed is near one, without the shortest and the longest tenth of them.

    Args:
        walks: at one rate.
        foot: "left" or "right".
        speed: km/h.
        within: km/h.

    Raises:
        UserError: where there is no cycle, or none at that speed; the message says which speeds there are.
    """
    cycles = gait_cycles(
        [walk.force for walk in walks], walks[0].rate, foot, places=[walk.place for walk in walks], kept=1.0
    )
    speeds = [KMH * (cycle.speed or 0.0) for cycle in cycles]
    near = [cycle for cycle, kmh in zip(cycles, speeds, strict=True) if abs(kmh - speed) <= within]
    if not near:
        raise UserError(
            f"none of {len(cycles)} gait cycles is within {within:g} km/h of {speed:g} km/h; their speeds are "
            f"{min(speeds):.1f} to {max(speeds):.1f} km/h: give another speed, or clips of this one"
        )
    return central(near)


def over_the_cycle(walks: Sequence[Walk], cycles: Sequence[Cycle]) -> dict[str, Averages]:
    """Average ``activation``, ``angle`` (degrees), ``moment`` (N m) and ``force`` (% of body weight) over the cycle."""
    body, rate = walks[0].body, walks[0].rate
    weight = float(body.model.body_mass.sum()) * abs(float(body.model.opt.gravity[2]))
    feet = tuple(walks[0].force)
    forces = [100.0 / weight * np.stack([walk.force[foot] for foot in feet], axis=1) for walk in walks]
    return {
        "activation": averaged([walk.activation for walk in walks], body.muscles, rate, cycles),
        "angle": averaged([walk.angle for walk in walks], body.joints, rate, cycles, unit="degrees"),
        "moment": averaged([walk.moment for walk in walks], body.joints, rate, cycles, unit="N m"),
        "force": averaged(forces, feet, rate, cycles, unit="% body weight"),
    }


def _feet(task: Imitate) -> dict[str, list[str]]:
    """Touch sites by foot."""
    sites: dict[str, list[str]] = {}
    for site, side, _ in task.feet:
        sites.setdefault(side, []).append(site)
    if set(sites) != set(FEET):
        raise UserError(
            f"task {task.name!r} has no two feet that feel ({', '.join(sites) or 'none'}); gait is found by their "
            "touch: take a walking task, such as imitate_walking"
        )
    return sites


def walk_of_states(
    task: Imitate,
    name: str,
    body: Body,
    qpos: np.ndarray,
    qvel: np.ndarray,
    activation: np.ndarray,
    threads: int | None = None,
) -> Walk:
    """What follows from the states of a body, one per control step: forces under its feet, and moments of its muscles.

    Args:
        task: whose feet are felt.
        name: of the walk.
        body: of the task.
        qpos: (T, nq).
        qvel: (T, nv).
        activation: (T, M).
        threads: of the native back end.

    Raises:
        UserError: where the task has no two feet.
    """
    physics = make_physics(body, "native", threads)
    act = np.zeros((len(qpos), body.model.na), np.float32)
    act[:, body.muscle_act] = activation

    def evaluated(qpos: jax.Array, qvel: jax.Array, act: jax.Array) -> PhysicsState:
        return physics.forward(physics.initial(qpos, qvel, act), jnp.asarray(True))

    states = jax.jit(jax.vmap(evaluated))(*(jnp.asarray(x, jnp.float32) for x in (qpos, qvel, act)))
    signals = jax.tree.map(np.asarray, jax.vmap(body.signals)(states))
    touch = {
        foot: signals.touch[:, [body.touches.index(site) for site in sites]].sum(axis=1)
        for foot, sites in _feet(task).items()
    }
    turning = body.model.jnt_type[[body.model.joint(joint).id for joint in body.joints]] == int(
        mujoco.mjtJoint.mjJNT_HINGE
    )
    return Walk(
        name=name,
        rate=1.0 / body.control_dt,
        body=body,
        activation=np.asarray(activation, float),
        angle=signals.joint_position * np.where(turning, np.rad2deg(1.0), 1.0),
        moment=_moments(body, qpos, signals.muscle_force),
        force=touch,
        place=np.asarray(qpos[:, :3], float),
    )


def _moments(body: Body, qpos: Iterable[np.ndarray], force: np.ndarray) -> np.ndarray:
    """Moments (T, J) of muscles about joints, from their forces (T, M), N, negative while they pull.

    A joint that follows another one adds its part to that one's moment, and has none of its own.
    """
    model, data = body.model, mujoco.MjData(body.model)
    coupled = model.eq_obj1id[model.eq_type == int(mujoco.mjtEq.mjEQ_JOINT)]
    independent = np.delete(np.arange(model.nv), model.jnt_dofadr[coupled])
    made = np.zeros((len(force), model.nv))
    for moment, where, pull in zip(made, qpos, force, strict=True):
        data.qpos = where
        mujoco.mj_fwdPosition(model, data)
        arms = moment_arms(model, data)[body.muscle_controls]
        moment[independent] = pull @ arms @ independent_velocities(model, data.qpos)
    return made[:, body.joint_qvel]
