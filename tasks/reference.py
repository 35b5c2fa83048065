"""Clips laid end to end as arrays that an environment step can look things up in."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from arnold.embodiments import Body
from arnold.errors import UserError, did_you_mean
from arnold.motion import Clip
from arnold.motion.library import clips_of

SILENT = 0.05  # activation of every muscle at a start of which the clip knows none


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Pose:
    """What a clip says of one moment: of joints, and of the F tracked MJCF bodies in the world's frame."""

    qpos: jax.Array  # (nq,)
    qvel: jax.Array  # (nv,)
    activation: jax.Array  # (M,)
    muscle_length: jax.Array  # (M,) m
    position: jax.Array  # (F, 3) m
    quaternion: jax.Array  # (F, 4) w, x, y, z
    linear_velocity: jax.Array  # (F, 3) m/s
    angular_velocity: jax.Array  # (F, 3) rad/s


@dataclasses.dataclass(frozen=True, eq=False)
class Reference:
    """C clips at the body's control rate, N frames in all.

    Attributes:
        names: of the clips.
        subjects: who moved, clip by clip.
        first: (C,) int32, the row of each clip's first frame.
        frames: (C,) int32, how many frames each clip has.
        rows: the frames, N rows in each array.
    """

    names: tuple[str, ...]
    subjects: tuple[str, ...]
    first: np.ndarray
    frames: np.ndarray
    rows: Pose

    def drawn(self, held_out: Sequence[str]) -> np.ndarray:
        """(C,) float32: 0 for the clips that are held out by their name or their subject's, 1 for the others.

        Raises:
            UserError: for a name that no clip and no subject has, and where no clip is left.
        """
        for name in held_out:
            if name not in (*self.names, *self.subjects):
                raise UserError(
                    f"held_out names {name!r}, which is no clip and no subject here; "
                    f"{did_you_mean(name, [*self.names, *self.subjects])}"
                )
        pairs = zip(self.names, self.subjects, strict=True)
        kept = np.array([name not in held_out and subject not in held_out for name, subject in pairs], np.float32)
        if not kept.any():
            raise UserError(f"all {len(kept)} clips are held out; leave at least one to be drawn")
        return kept

    def at(self, clip: jax.Array, frame: jax.Array) -> Pose:
        """The pose at a frame () of a clip (); before its first and after its last frame, that frame."""
        last = jnp.asarray(self.frames)[clip] - 1
        row = jnp.asarray(self.first)[clip] + jnp.clip(frame, 0, last)
        return jax.tree.map(lambda values: jnp.asarray(values)[row], self.rows)


def reference(clips: tuple[str, ...], body: Body) -> Reference:
    """The clips of a task, at the control rate of its body; computed once.

    Args:
        clips: names of the library's clips, or paths of clip files and of folders of them.
        body: compiled with the tracked MJCF bodies as its `frames`.

    Raises:
        UserError: for an unknown clip, or one that does not fit the body.
    """
    return _reference(clips, body)


@functools.lru_cache(maxsize=16)
def _reference(names: tuple[str, ...], body: Body) -> Reference:
    clips = clips_of(names, body.embodiment)
    rate = 1.0 / body.control_dt
    for clip in clips:
        clip.fits(body.model, f"body {body.embodiment.name!r}")
    resampled = [clip.resampled(body.model, rate) for clip in clips]
    rows = [poses(clip, body) for clip in resampled]
    frames = np.array([clip.frames for clip in resampled], np.int32)
    return Reference(
        names=tuple(clip.name for clip in clips),
        subjects=tuple(clip.subject for clip in clips),
        first=np.concatenate([[0], np.cumsum(frames)[:-1]]).astype(np.int32),
        frames=frames,
        rows=jax.tree.map(lambda *parts: np.concatenate(parts), *rows),
    )


def poses(clip: Clip, body: Body) -> Pose:
    """Every frame of a clip, T rows in each array."""
    model = body.model
    position, quaternion, linear, angular = tracked(model, clip.qpos, clip.qvel, body.frames)
    activation = clip.activation if clip.activation.size else np.full((clip.frames, len(body.muscles)), SILENT)
    length = muscle_lengths(model, clip.qpos)[:, body.muscle_controls]
    values: tuple[Any, ...] = (clip.qpos, clip.qvel, activation, length, position, quaternion, linear, angular)
    return Pose(*(np.asarray(x, np.float32) for x in values))  # type: ignore[arg-type]  # arrays of the host, for now


def muscle_lengths(model: mujoco.MjModel, qpos: np.ndarray) -> np.ndarray:
    """Actuator lengths (T, nu) m along a motion qpos (T, nq)."""
    data, lengths = mujoco.MjData(model), np.zeros((len(qpos), model.nu))
    for t in range(len(qpos)):
        data.qpos = qpos[t]
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_tendon(model, data)
        mujoco.mj_transmission(model, data)
        lengths[t] = data.actuator_length
    return lengths


def tracked(
    model: mujoco.MjModel, qpos: np.ndarray, qvel: np.ndarray, frames: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Where MJCF bodies are and how they move along a motion, in the world's frame.

    Args:
        model: of the body.
        qpos: (T, nq).
        qvel: (T, nv).
        frames: names of F MJCF bodies.

    Returns:
        Positions (T, F, 3) m, quaternions (T, F, 4) w, x, y, z, linear (T, F, 3) m/s and angular (T, F, 3) rad/s
        velocities of the bodies' own frames.
    """
    data = mujoco.MjData(model)
    ids = [model.body(name).id for name in frames]
    count = (len(qpos), len(ids))
    position, quaternion = np.zeros((*count, 3)), np.zeros((*count, 4))
    linear, angular, twist = np.zeros((*count, 3)), np.zeros((*count, 3)), np.zeros(6)
    for t in range(len(qpos)):
        data.qpos, data.qvel = qpos[t], qvel[t]
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_comVel(model, data)
        position[t], quaternion[t] = data.xpos[ids], data.xquat[ids]
        for f, body in enumerate(ids):
            mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_XBODY, body, twist, 0)
            angular[t, f], linear[t, f] = twist[:3], twist[3:]
    return position, quaternion, linear, angular
