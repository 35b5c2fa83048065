"""Readers of motion files: whatever tells how a person moved becomes a `Motion`.

``read_motion("walk.bvh")`` chooses the reader by the file's name and by what is in it:

- ``.bvh`` BVH; ``.amc`` with its ``.asf`` (CMU);
- ``.c3d`` and ``.trc`` markers;
- ``.mot``, ``.sto`` and ``.mat`` joint angles of OpenSim;
- ``.npz`` AMASS and SMPL-H or SMPL-X poses, loco-mujoco's joint angles, MuscleMimic's caches;
- ``.npy`` results of MDM, motions of poselib (IsaacGymEnvs).
"""

from __future__ import annotations

import dataclasses
import io
import os
from pathlib import Path
from typing import Any

import numpy as np

from arnold.errors import UserError, did_you_mean
from arnold.motion.motion import Motion
from arnold.motion.readers import asf, bvh, c3d, joint_arrays, mdm, opensim, pickled, poselib, smpl, trc
from arnold.motion.readers.options import FAR_M, ReadOptions, one_line

__all__ = ["SUFFIXES", "ReadOptions", "read_motion"]

_TABLES = {
    ".bvh": bvh.read,
    ".amc": asf.read,
    ".c3d": c3d.read,
    ".trc": trc.read,
    ".mot": opensim.read,
    ".sto": opensim.read,
    ".mat": opensim.read_matlab,
}
SUFFIXES = (*_TABLES, ".npz", ".npy")
"""Ends of the names of files that are read."""

_BEGINNINGS = (
    (b"PK\x03\x04", (".npz",), "a zip or npz archive"),
    (b"\x93NUMPY", (".npy",), "a numpy array"),
    (b"HIERARCHY", (".bvh",), "a BVH motion"),
    (b"PathFileType", (".trc",), "a TRC table"),
    (b"MATLAB 5.0", (".mat",), "a MATLAB file"),
)


def read_motion(path: str | os.PathLike[str], **options: Any) -> Motion:
    """Read a motion file.

    Args:
        path: the file.
        options: fields of `ReadOptions`, by name: what the file does not say, or which part is wanted.

    Returns:
        The motion, in metres with z up; keypoint files face x at the first frame (unless ``align=False``).

    Raises:
        UserError: in one line, where the file is missing, empty, damaged, of a format or a skeleton that is not known,
            holds numbers that are not finite (of which the frame is said) or is longer than `options.LONGEST_S`.

    Example:
        >>> motion = read_motion("walk.bvh", stop=5.0)
        >>> motion.rate, motion.keypoints["left_knee"].shape
        (120.0, (601, 3))
    """
    file = Path(path).expanduser()
    fields = [field.name for field in dataclasses.fields(ReadOptions)]
    for name in options:
        if name not in fields:
            raise UserError(f"read_motion has no option {name!r}; {did_you_mean(name, fields)}")
    wanted = ReadOptions(**options)
    motion = _read(file, wanted)
    for name, points in motion.keypoints.items():
        far = np.flatnonzero(~(np.abs(np.nan_to_num(points, nan=0.0, posinf=np.inf)) < FAR_M).all(axis=1))
        if len(far):
            raise UserError(
                f"{str(file)!r} has {name} more than {FAR_M:.0f} m away at frame {far[0]}; check its unit, "
                "or that it is whole"
            )
    name = motion.name if wanted.name is None else wanted.name
    return dataclasses.replace(motion, name=name, subject=motion.subject if wanted.subject is None else wanted.subject)


def _read(path: Path, options: ReadOptions) -> Motion:
    """The motion of a file, by the reader that its suffix and its content call for."""
    suffix = path.suffix.lower()
    _check_file(path, suffix)
    if suffix in _TABLES:
        return _TABLES[suffix](path, options)
    if suffix == ".npy":
        pickle = pickled.load_dictionary(path)
        if "skeleton_tree" in pickle:
            return poselib.read(path, pickle, options)
        if "motion" in pickle:
            return mdm.read(path, pickle, options)
        raise UserError(
            f"{str(path)!r} holds {', '.join(map(str, list(pickle)[:8])) or 'nothing'}; an MDM result (motion, text, "
            "lengths) or a poselib motion (skeleton_tree, rotation) is accepted"
        )
    arrays = _Arrays(path)
    if "poses" in arrays:
        return smpl.read(path, arrays, options)
    if "qpos" in arrays:
        return joint_arrays.read_musclemimic(path, arrays, options)
    if any(name.startswith("q_") and f"d{name}" in arrays for name in arrays):
        return joint_arrays.read_loco_mujoco(path, arrays, options)
    raise UserError(
        f"{str(path)!r} holds {', '.join(list(arrays)[:8]) or 'nothing'}; SMPL poses (poses, trans), loco-mujoco "
        "angles (q_..., dq_...) or a MuscleMimic cache (qpos, joint_names) are accepted"
    )


def _check_file(path: Path, suffix: str) -> None:
    """Raise where there is no such file, or its name and its content belong to no or to different formats."""
    if not path.is_file():
        near = (
            did_you_mean(path.name, (f.name for f in path.parent.iterdir()))
            if path.parent.is_dir()
            else "its folder is not there either"
        )
        raise UserError(f"no motion file at {str(path)!r}{' (it is a folder)' if path.is_dir() else ''}; {near}")
    with path.open("rb") as stream:
        beginning = stream.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")
    if not beginning:
        raise UserError(f"{str(path)!r} is empty; a motion file is needed")
    for magic, suffixes, what in _BEGINNINGS:
        if beginning.startswith(magic) and suffix not in suffixes:
            raise UserError(f"{str(path)!r} holds {what} and is not named so; rename it to end with {suffixes[0]}")
    if suffix == ".asf":
        raise UserError(f"{str(path)!r} is a skeleton without a motion; give the .amc file that belongs to it")
    if suffix not in SUFFIXES:
        raise UserError(f"{str(path)!r} is of no format that is read; {did_you_mean(suffix, SUFFIXES)}")
    for magic, suffixes, what in _BEGINNINGS:
        if suffix in suffixes and not beginning.startswith(magic):
            raise UserError(
                f"{str(path)!r} is named {suffix} and is not {what} (it begins with {beginning[:12]!r}); it is damaged "
                "or of another format"
            )


class _Arrays(dict[str, Any]):
    """Arrays of an npz by name, each loaded without pickles when it is asked for."""

    def __init__(self, path: Path) -> None:
        try:
            self._stored = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
        except Exception as error:  # of a damaged archive any kind may come
            raise UserError(
                f"{str(path)!r} cannot be read as npz ({one_line(error)}); it is cut short or damaged"
            ) from error
        self._path = path
        super().__init__(dict.fromkeys(self._stored.files))

    def __getitem__(self, name: str) -> Any:
        try:
            return self._stored[name]
        except Exception as error:  # of a damaged array any kind may come
            raise UserError(
                f"{str(self._path)!r} has an array {name!r} that cannot be read ({one_line(error)}); it "
                "is damaged, or holds code, which is never run"
            ) from error
