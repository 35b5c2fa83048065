"""An embodiment: a body that can be compiled, stepped and named.

`Embodiment` is the description (where the model comes from, how it is driven); `Embodiment.compile` gives a `Body`:
the MuJoCo model with the sensors that observations need, tables of its muscles and joints by name, and the words of
its tokens.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from arnold.embodiments import sources
from arnold.embodiments.action_maps import SIGMOID, ActionMap
from arnold.embodiments.changes import Change, apply_changes, current_values
from arnold.embodiments.fingerprint import model_fingerprint
from arnold.embodiments.physics.state import PhysicsState
from arnold.embodiments.signals import Readout, Signals
from arnold.embodiments.stripping import stripped
from arnold.errors import UserError, did_you_mean
from arnold.vocab import Token, TokenTable, lexicon, quantities
from arnold.vocab.lexicon import Side

FRAME_SENSORS = (
    mujoco.mjtSensor.mjSENS_FRAMEPOS,
    mujoco.mjtSensor.mjSENS_FRAMEQUAT,
    mujoco.mjtSensor.mjSENS_FRAMELINVEL,
    mujoco.mjtSensor.mjSENS_FRAMEANGVEL,
)
SCALAR_JOINTS = (int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE))
MUSCLE_SENSORS = (
    mujoco.mjtSensor.mjSENS_ACTUATORPOS,
    mujoco.mjtSensor.mjSENS_ACTUATORVEL,
    mujoco.mjtSensor.mjSENS_ACTUATORFRC,
)


@dataclasses.dataclass(frozen=True)
class Embodiment:
    """A body, described: where its model comes from and how it is driven.

    Attributes:
        name: what tasks and the command line call it.
        build: returns a fresh, editable `mujoco.MjSpec`.
        frame_skip: physics steps per control step; with the model's timestep it sets the control rate.
        side: the side of muscles and joints whose names carry none ("right", "left"), or None for a body with no side.
        action_map: from action in [-1, 1] to the muscles' commands in [0, 1]: excitations, or wanted lengths.
        things: MJCF bodies of the scene that are no part of the body (a pen, a ball); their joints are not its joints.
        summary: one line for `arnold list`.
        source: the file that the model comes from, for messages; empty for the bodies that ship.
    """

    name: str
    build: Callable[[], mujoco.MjSpec]
    frame_skip: int = 10
    side: Side = "right"
    action_map: ActionMap = SIGMOID
    things: tuple[str, ...] = ()
    summary: str = ""
    source: str = ""

    @classmethod
    def from_mjcf(
        cls,
        path: str | os.PathLike[str],
        *,
        name: str | None = None,
        frame_skip: int = 10,
        side: Side = None,
        action_map: ActionMap = SIGMOID,
    ) -> Embodiment:
        """A body from a user's own MJCF file with muscles; its tokens follow from the names in the file.

        Args:
            path: MJCF file. Its muscle actuators become the muscles to drive.
            name: the body's name; the file's stem by default.
            frame_skip: physics steps per control step.
            side: the side of names that carry none, or None.
            action_map: action to the muscles' commands.

        Raises:
            UserError: where the file is missing, does not compile, or has no muscles.

        Example:
            >>> body = Embodiment.from_mjcf("my_arm.xml", side="right").compile()
            >>> body.muscles, body.joint_tokens(quantities.JOINT_POSITION)
        """
        path = Path(path).expanduser().resolve()
        embodiment = cls(
            name=name or path.stem,
            build=functools.partial(sources.spec_from_file, path),
            frame_skip=frame_skip,
            side=side,
            action_map=action_map,
            summary=f"from {path.name}",
            source=str(path),
        )
        embodiment.compile()
        return embodiment

    def compile(
        self,
        sites: Sequence[str] = (),
        frames: Sequence[str] = (),
        touches: Sequence[str] = (),
        changes: Sequence[Change] = (),
    ) -> Body:
        """Compile the model with a sensor for every muscle signal and for all that a task reads.

        Args:
            sites: sites whose positions are read.
            frames: MJCF bodies whose pose and velocity are read.
            touches: sites whose touch (the contact forces within the site's volume) is read.
            changes: fields of the model that are set anew for each episode.

        Raises:
            UserError: where MuJoCo refuses the model, a name is unknown, or the body has no muscles.
        """
        return _compile(self, tuple(sites), tuple(frames), tuple(touches), tuple(changes))


@functools.lru_cache(maxsize=64)
def _compile(
    embodiment: Embodiment,
    sites: tuple[str, ...],
    frames: tuple[str, ...] = (),
    touches: tuple[str, ...] = (),
    changes: tuple[Change, ...] = (),
) -> Body:
    spec = embodiment.build()
    what = f"body {embodiment.name!r}" + (f" ({embodiment.source})" if embodiment.source else "")
    muscles = _named_muscles(spec, embodiment.things, what)
    _check_names(what, "site", (*sites, *touches), [s.name for s in spec.sites])
    _check_names(what, "MJCF body", (*frames, *embodiment.things), [b.name for b in spec.bodies])
    for kind, elements in (("MJCF body", spec.bodies), ("geom", spec.geoms)):
        named = [change.of for change in changes if change.kind == kind]
        _check_names(what, kind, named, [element.name for element in elements])
    for sensor in list(spec.sensors):  # observations read only what is declared here
        spec.delete(sensor)
    for muscle in muscles:
        for kind in MUSCLE_SENSORS:
            _add_sensor(spec, kind, mujoco.mjtObj.mjOBJ_ACTUATOR, muscle)
    for site in sites:
        _add_sensor(spec, mujoco.mjtSensor.mjSENS_FRAMEPOS, mujoco.mjtObj.mjOBJ_SITE, site)
    for frame in frames:
        for kind in FRAME_SENSORS:
            _add_sensor(spec, kind, mujoco.mjtObj.mjOBJ_XBODY, frame)
    for site in touches:
        _add_sensor(spec, mujoco.mjtSensor.mjSENS_TOUCH, mujoco.mjtObj.mjOBJ_SITE, site)
    body = Body(embodiment, spec, sources.compile_spec(spec, what), sites, frames, touches, changes)
    if changes:  # refused now, not in the middle of a training
        apply_changes(body.stripped_model.__copy__(), body.stripped_spec, changes, current_values(body.model, changes))
    return body


def _check_names(what: str, kind: str, asked: Sequence[str], known: Sequence[str]) -> None:
    for name in asked:
        if name not in known:
            raise UserError(f"{what} has no {kind} {name!r}; {did_you_mean(name, [k for k in known if k])}")


def _named_muscles(spec: mujoco.MjSpec, things: tuple[str, ...], what: str) -> list[str]:
    """Names of the muscles; tokens are made of names, so muscles and the joints they move must have them."""
    muscles = [a.name for a in spec.actuators if a.dyntype == mujoco.mjtDyn.mjDYN_MUSCLE]
    if not muscles:
        raise UserError(
            f"{what} has no muscles (actuators with muscle dynamics); it has {len(spec.actuators)} other actuators; "
            "add <muscle> actuators to its MJCF"
        )
    joints = [j.name for j in spec.joints if int(j.type) in SCALAR_JOINTS and j.parent.name not in things]
    for kind, names in (("muscle", muscles), ("joint", joints)):
        if "" in names:
            place = names.index("") + 1
            raise UserError(
                f"{what}: {kind} {place} of {len(names)} has no name; tokens are made of names: give it one"
            )
    return muscles


def _owner(model: mujoco.MjModel, geom: str) -> str:
    """The MJCF body that a geom belongs to."""
    return str(model.body(model.geom(geom).bodyid[0]).name)


def _add_sensor(spec: mujoco.MjSpec, kind: mujoco.mjtSensor, objtype: mujoco.mjtObj, name: str) -> None:
    spec.add_sensor(name=f"{kind.name}:{name}", type=kind, objtype=objtype, objname=name)


class Body:
    """A compiled embodiment: the model, its tables by name, and how to read and name its signals.

    Attributes:
        embodiment: the description it was compiled from.
        model: the `mujoco.MjModel`; do not edit it.
        muscles: names of the M muscles, in control order.
        joints: names of the J hinge and slide joints, in model order; those of things are not among them.
        sites: names of the P sites whose positions are observed.
        frames: names of the F MJCF bodies whose pose and velocity are observed.
        touches: names of the sites whose touch is observed.
        changes: fields of the model that are set anew for each episode.
        joint_range: (J, 2) rad or m; (-inf, inf) for a joint without limits.
        timestep: physics step, s.
        control_dt: control step, s.
    """

    def __init__(
        self,
        embodiment: Embodiment,
        spec: mujoco.MjSpec,
        model: mujoco.MjModel,
        sites: tuple[str, ...] = (),
        frames: tuple[str, ...] = (),
        touches: tuple[str, ...] = (),
        changes: tuple[Change, ...] = (),
    ):
        self.embodiment = embodiment
        self._spec = spec  # what the model was compiled from
        self.model = model
        self.sites, self.frames, self.touches, self.changes = sites, frames, touches, changes
        things = [model.body(thing).id for thing in embodiment.things]
        scalar = [
            j
            for j in range(model.njnt)
            if int(model.jnt_type[j]) in SCALAR_JOINTS and model.jnt_bodyid[j] not in things
        ]
        muscle = [a for a in range(model.nu) if int(model.actuator_dyntype[a]) == int(mujoco.mjtDyn.mjDYN_MUSCLE)]
        self.joints = tuple(model.joint(j).name for j in scalar)
        self.muscles = tuple(model.actuator(a).name for a in muscle)
        self.muscle_controls = np.array(muscle, np.int32)
        limited = model.jnt_limited[scalar].astype(bool)[:, None]
        self.joint_range = np.where(limited, model.jnt_range[scalar], [[-np.inf, np.inf]]).astype(np.float32)
        self.timestep = float(model.opt.timestep)
        self.control_dt = self.timestep * embodiment.frame_skip
        self.rest_position = model.qpos0.astype(np.float32)
        self.joint_qpos = model.jnt_qposadr[scalar].astype(np.int32)
        self.joint_qvel = model.jnt_dofadr[scalar].astype(np.int32)
        self.muscle_act = model.actuator_actadr[muscle].astype(np.int32)
        self._readout = Readout(
            joint_qpos=self.joint_qpos,
            joint_qvel=self.joint_qvel,
            muscle_act=self.muscle_act,
            muscles=len(muscle),
            sites=sites,
            frames=frames,
            touches=touches,
        )

    def __repr__(self) -> str:
        sizes = f"muscles={len(self.muscles)}, joints={len(self.joints)}"
        return f"Body({self.embodiment.name!r}, {sizes}, sites={self.sites})"

    def weakened(self, weakness: np.ndarray) -> Body:
        """The same body with weaker muscles: their active forces are smaller, their passive forces stay.

        Args:
            weakness: (M,) share of the force that each has lost, 0 to 1.
        """

        def build() -> mujoco.MjSpec:
            spec = self.embodiment.build()
            for muscle, lost in zip(self.muscles, weakness, strict=True):
                known, weak = self.model.actuator(muscle), spec.actuator(muscle)
                peak = float(known.gainprm[2])
                if peak < 0.0:  # MuJoCo's own, from the inertia that the muscle moves
                    peak = float(known.gainprm[3]) / float(self.model.actuator_acc0[known.id])
                weak.gainprm[2], weak.lengthrange = (1.0 - lost) * peak, known.lengthrange
            return spec

        weak = dataclasses.replace(self.embodiment, build=build)
        body = weak.compile(self.sites, self.frames, self.touches, self.changes)
        body.embodiment = self.embodiment  # clips and the like are of the body, weak or not
        return body

    @functools.cached_property
    def stripped_model(self) -> mujoco.MjModel:
        """The model without what is only looked at: the same motion and sensors to the last bit, in less time."""
        return self._stripped[0]

    @property
    def stripped_spec(self) -> mujoco.MjSpec:
        """What `stripped_model` was compiled from."""
        return self._stripped[1]

    @functools.cached_property
    def _stripped(self) -> tuple[mujoco.MjModel, mujoco.MjSpec]:
        return stripped(self._spec, self.model, keep=frozenset(self._changed_bodies()))

    def _changed_bodies(self) -> list[str]:
        """MJCF bodies whose mass or geoms change from episode to episode."""
        model, changes = self.model, self.changes
        owners = [change.of if change.kind == "MJCF body" else _owner(model, change.of) for change in changes]
        return list(dict.fromkeys(owners))

    @functools.cached_property
    def fingerprint(self) -> str:
        """Twelve hex digits that change with the model's mechanics, its names or the way it is driven."""
        action_map = self.embodiment.action_map
        gains = f" {action_map.feedback}" if action_map.feedback else ""
        return model_fingerprint(self.model, f"{self.embodiment.frame_skip} {action_map.name}{gains}")

    def signals(self, physics: PhysicsState) -> Signals:
        """What a task may read of one environment's physics, by name and unit."""
        return self._readout(physics)

    def joint_index(self, name: str) -> int:
        """The place of a joint in `joints`.

        Raises:
            UserError: for an unknown joint, with the nearest match.
        """
        if name not in self.joints:
            raise UserError(f"body {self.embodiment.name!r} has no joint {name!r}; {did_you_mean(name, self.joints)}")
        return self.joints.index(name)

    def qpos_with(self, joint_position: jax.Array, placed: Mapping[str, jax.Array] | None = None) -> jax.Array:
        """The rest qpos (nq,) with the hinge and slide joints at ``joint_position`` (J,).

        Args:
            joint_position: of the body's own joints, rad or m.
            placed: by name, the position of joints that are not the body's own: a free joint's (7,), place in m and
                quaternion (w, x, y, z); a thing's hinge or slide (1,). A joint without a name has that of the MJCF
                body that it moves.

        Raises:
            UserError: for an unknown joint in ``placed``, with the nearest match.
        """
        qpos = jnp.asarray(self.rest_position).at[self.joint_qpos].set(joint_position)
        for name, position in (placed or {}).items():
            joint = self._joint_of(name)
            first = int(joint.qposadr[0])
            qpos = qpos.at[first : first + len(joint.qpos0)].set(position)
        return qpos

    def qvel_with(self, joint_velocity: jax.Array, moving: Mapping[str, jax.Array] | None = None) -> jax.Array:
        """The qvel (nv,) of a body whose hinge and slide joints move with ``joint_velocity`` (J,), rad/s or m/s.

        Args:
            joint_velocity: of the body's own joints.
            moving: by name, the velocity of joints that are not the body's own, as `qpos_with` names them: a free
                joint's (6,), m/s along the world's axes and rad/s about its own. All others are at rest.

        Raises:
            UserError: for an unknown joint in ``moving``, with the nearest match.
        """
        qvel = jnp.zeros(self.model.nv, jnp.float32).at[self.joint_qvel].set(joint_velocity)
        for name, velocity in (moving or {}).items():
            joint = self._joint_of(name)
            first = int(joint.dofadr[0])
            qvel = qvel.at[first : first + len(joint.damping)].set(velocity)
        return qvel

    def _joint_of(self, name: str) -> Any:
        """MuJoCo's view of a joint by its name, or that of the MJCF body that it moves where it has none."""
        joints = [self.model.joint(j) for j in range(self.model.njnt)]
        known = [joint.name or self.model.body(joint.bodyid[0]).name for joint in joints]
        _check_names(f"body {self.embodiment.name!r}", "joint", [name], known)
        return joints[known.index(name)]

    def joint_tokens(self, quantity: tuple[str, ...], joints: Sequence[str] | None = None) -> tuple[Token, ...]:
        """One token per joint that says ``quantity`` of it, in the order of ``joints`` (all by default)."""
        side, named = self.embodiment.side, self.joints if joints is None else joints
        return tuple(Token(lexicon.joint_words(joint, side=side), quantity) for joint in named)

    def muscle_tokens(self, quantity: tuple[str, ...]) -> tuple[Token, ...]:
        """One token per muscle that says ``quantity`` of it, in control order."""
        return tuple(Token(lexicon.muscle_words(m, side=self.embodiment.side), quantity) for m in self.muscles)

    @functools.cached_property
    def action_table(self) -> TokenTable:
        """The M muscles to drive; a muscle to drive has the same words as its observed activation."""
        return TokenTable(self.muscle_tokens(quantities.MUSCLE_ACTIVATION))
