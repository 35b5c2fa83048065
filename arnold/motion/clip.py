"""A clip: a motion of one embodiment, ready to be imitated, and its file.

The file is a compressed npz of `FORMAT`, version `VERSION`; `docs/clips.md` says what each array is. It holds numbers
and names only, no code, so it opens without this library.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation, Slerp

from arnold.checkpoints.durable import reported_writes, write_bytes
from arnold.errors import UserError

FORMAT, VERSION = "arnold-clip", 1
_NUMBERS = ("qpos", "qvel", "targets", "activation")
_FREE, _BALL = int(mujoco.mjtJoint.mjJNT_FREE), int(mujoco.mjtJoint.mjJNT_BALL)


@dataclasses.dataclass(frozen=True)
class Clip:
    """A motion of T frames of one embodiment.

    Attributes:
        name: what tasks and tables call it.
        body: the embodiment's name.
        rate: frames per second.
        joints: names of the model's joints in order; each has its numbers in `qpos` and `qvel`.
        qpos: (T, nq) m, rad, quaternions w, x, y, z.
        qvel: (T, nv) m/s, rad/s, as MuJoCo has them: of a free joint the angular part is of the body's own frame.
        sites: names of what was tracked (keypoints of `arnold.motion.KEYPOINTS`).
        targets: (T, S, 3) m, world frame: where the tracked points should be; NaN where it is not known.
        contacts: names of the touch sites.
        contact: (T, C) bool: whether each of them is on the ground.
        activation: (T, M) in [0, 1] of the body's muscles, to begin with; without frames where it is not known.
        source: where it comes from.
        subject: who moved, for held-out subjects.
        quality: figures of the retargeting report.
    """

    name: str
    body: str
    rate: float
    joints: tuple[str, ...]
    qpos: np.ndarray
    qvel: np.ndarray
    sites: tuple[str, ...] = ()
    targets: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 0, 3), np.float32))
    contacts: tuple[str, ...] = ()
    contact: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 0), bool))
    activation: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 0), np.float32))
    source: str = ""
    subject: str = ""
    quality: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def frames(self) -> int:
        """T."""
        return len(self.qpos)

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the last."""
        return (self.frames - 1) / self.rate

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the clip's file, whole or not at all; the suffix is .npz."""
        about = {
            "format": FORMAT,
            "version": VERSION,
            **{k: getattr(self, k) for k in ("name", "body", "rate", "joints", "sites", "contacts")},
            **{k: getattr(self, k) for k in ("source", "subject", "quality")},
        }
        arrays: dict[str, Any] = {k: np.asarray(getattr(self, k), np.float32) for k in _NUMBERS}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, about=np.array(json.dumps(about)), contact=np.asarray(self.contact, bool), **arrays)
        path = Path(path).with_suffix(".npz")
        with reported_writes(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, buffer.getvalue())
        return path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Clip:
        """Read a clip's file.

        Raises:
            UserError: where the file is missing, cut short, of another format or version, or holds numbers that are
                not finite; the message names the file and, of a bad number, the frame.
        """
        path = Path(path).expanduser()
        if not path.is_file():
            raise UserError(f"no clip at {str(path)!r}; make one with `arnold retarget FILE --body BODY`")
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise UserError(
                f"clip {str(path)!r} cannot be read ({error}); make it anew with `arnold retarget`"
            ) from error
        about = _about(path, arrays)
        fields: dict[str, Any] = {
            **{k: about[k] for k in ("name", "body", "rate", "source", "subject", "quality")},
            **{k: tuple(about[k]) for k in ("joints", "sites", "contacts")},
            **{k: arrays[k] for k in (*_NUMBERS, "contact")},
        }
        clip = cls(**fields)
        clip.check(f"clip {str(path)!r}")
        return clip

    def check(self, what: str) -> None:
        """Raise where a number is not finite, the rate is no rate, or arrays differ in length.

        Raises:
            UserError: names ``what``, and the frame of the first bad number.
        """
        if not (np.isfinite(self.rate) and self.rate > 0):
            raise UserError(f"{what} has a rate of {self.rate!r} frames per second; a number above 0 is accepted")
        if self.frames < 2:
            raise UserError(f"{what} has {self.frames} frames; at least 2 are accepted")
        for name in ("qpos", "qvel"):
            values = getattr(self, name)
            if values.ndim != 2 or len(values) != self.frames:
                raise UserError(f"{what} has {name} of shape {values.shape}; ({self.frames}, numbers) is accepted")
            bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
            if len(bad):
                raise UserError(f"{what} has a {name} that is not finite at frame {bad[0]} (of {self.frames})")

    def fits(self, model: mujoco.MjModel, what: str) -> None:
        """Raise where the clip is of another skeleton than ``model``.

        Raises:
            UserError: names the joints that only one of the two has.
        """
        joints = tuple(model.joint(j).name for j in range(model.njnt))
        if joints != self.joints or model.nq != self.qpos.shape[1]:
            only = [
                *(f"{j} (clip)" for j in self.joints if j not in joints),
                *(f"{j} (body)" for j in joints if j not in self.joints),
            ]
            raise UserError(
                f"clip {self.name!r} was made for body {self.body!r} and does not fit {what}: "
                f"{', '.join(only[:6]) or 'the same joints in another order'}; retarget its motion to this body"
            )

    def resampled(self, model: mujoco.MjModel, rate: float) -> Clip:
        """The clip at another rate: cubic splines for joints and places, spherical-linear for quaternions.

        Args:
            model: of the body, which says which numbers of qpos are quaternions.
            rate: frames per second.
        """
        if rate == self.rate:
            return self
        old = np.arange(self.frames) / self.rate
        new = np.arange(int(np.floor(old[-1] * rate + 1e-6)) + 1) / rate
        qpos = _at(old, self.qpos, new)
        for first in _quaternions(model):
            turns = Rotation.from_quat(self.qpos[:, first : first + 4], scalar_first=True)
            qpos[:, first : first + 4] = Slerp(old, turns)(np.minimum(new, old[-1])).as_quat(scalar_first=True)
        nearest = np.clip(np.rint(new * self.rate).astype(int), 0, self.frames - 1)
        return dataclasses.replace(
            self,
            rate=float(rate),
            qpos=qpos.astype(np.float32),
            qvel=velocities(model, qpos, rate),
            targets=_between(old, self.targets, new),
            activation=_between(old, self.activation, new),
            contact=self.contact[nearest] if self.contact.size else np.zeros((len(new), len(self.contacts)), bool),
        )


def velocities(model: mujoco.MjModel, qpos: np.ndarray, rate: float) -> np.ndarray:
    """Velocities (T, nv) float32 of a motion qpos (T, nq): central differences, one-sided at the ends.

    Args:
        model: of the body.
        qpos: positions.
        rate: frames per second.
    """
    last = len(qpos) - 1
    qvel = np.zeros((len(qpos), model.nv))
    for frame in range(len(qpos)):
        before, after = max(frame - 1, 0), min(frame + 1, last)
        mujoco.mj_differentiatePos(
            model, qvel[frame], (after - before) / rate, qpos[before].astype(np.float64), qpos[after].astype(np.float64)
        )
    return qvel.astype(np.float32)


def _about(path: Path, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """The JSON part of a clip's file, checked."""
    missing = [name for name in ("about", *_NUMBERS, "contact") if name not in arrays]
    if missing:
        raise UserError(
            f"{str(path)!r} is not a clip: it has no array {', '.join(missing)}; make one with `arnold retarget`"
        )
    try:
        about: dict[str, Any] = json.loads(str(arrays["about"]))
    except json.JSONDecodeError as error:
        raise UserError(
            f"clip {str(path)!r} does not say what it is ({error}); make it anew with `arnold retarget`"
        ) from error
    if about.get("format") != FORMAT or about.get("version") != VERSION:
        raise UserError(
            f"{str(path)!r} is of format {about.get('format')!r}, version {about.get('version')!r}; this arnold reads "
            f"{FORMAT!r}, version {VERSION}: make it anew with `arnold retarget`"
        )
    return about


def _quaternions(model: mujoco.MjModel) -> list[int]:
    """Where in qpos a quaternion begins."""
    free = [int(a) + 3 for a, kind in zip(model.jnt_qposadr, model.jnt_type, strict=True) if kind == _FREE]
    return free + [int(a) for a, kind in zip(model.jnt_qposadr, model.jnt_type, strict=True) if kind == _BALL]


def _at(old: np.ndarray, values: np.ndarray, new: np.ndarray) -> np.ndarray:
    """``values`` (T, ...) given at times ``old``, at times ``new``: cubic splines."""
    return np.asarray(CubicSpline(old, values, axis=0)(np.minimum(new, old[-1])))


def _between(old: np.ndarray, values: np.ndarray, new: np.ndarray) -> np.ndarray:
    """``values`` (T, ...) given at times ``old``, at times ``new``: straight lines; NaN beside NaN; none of none."""
    if not values.size:
        return values
    before = np.clip(np.searchsorted(old, new, side="right") - 1, 0, len(old) - 2)
    weight = (np.minimum(new, old[-1]) - old[before]) / (old[before + 1] - old[before])
    weight = weight.reshape(-1, *([1] * (values.ndim - 1)))
    return ((1.0 - weight) * values[before] + weight * values[before + 1]).astype(np.float32)
