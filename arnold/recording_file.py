"""The file that rollouts are recorded in: HDF5, laid out as netCDF-4, appended block by block.

HDF5 because MATLAB, R, Julia and every Python notebook read it from a single file, and because its single-writer mode
(SWMR) orders its own writes so that a process killed at any moment leaves a readable file; zarr would be a folder of
many thousand files, which few other programs open. Filters are HDF5's own (shuffle, deflate, Fletcher's checksum).

Layout, version 1. N episodes, T control steps (the horizon), M muscles, J joints, ...::

    /                       attributes: format, version, task, body, perturbation, control_dt (s), seed, ...,
                            episodes_per_block, steps_per_block
    /muscle, /joint, ...    names, one per entry of the axis; /time in s since the episode's start; /episode from 0 on
    /activation, ...        float32 (N, T, M), one chunk per block, attributes ``units`` and ``long_name``
    /running, /solved, ...  int8 (N, T), 0 or 1
    /written                int64 (): blocks that are whole, in order: the steps of the first episodes, then the next

Sample k of an episode is the state at time k control_dt, the action taken there, and the reward and flags that this
action led to. Numbers after an episode's end, and those never recorded, are NaN; ``running`` is 1 where there is a
sample. One number is missing of a sample: the excitation at an episode's last step, where muscles are told a length
(``length_pd``) and it follows from feedback.
"""

from __future__ import annotations

import dataclasses
import math
import struct
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from arnold.checkpoints.durable import reported_writes
from arnold.errors import UserError, did_you_mean
from arnold.extras import extra_module

if TYPE_CHECKING:
    import xarray

FORMAT, VERSION = "arnold recording", 1
WRITTEN = "written"
_COMPRESSION: dict[str, Any] = {"compression": "gzip", "compression_opts": 4, "shuffle": True, "fletcher32": True}
_LIBVER = ("v110", "v110")  # the oldest layout that the single-writer mode takes, for the oldest readers

_SUPERBLOCK = struct.Struct("<8x B 2x B 16x Q")
"""The start of an HDF5 file of superblock version 3: version, flags (0 where it was closed), where the file ends."""


class CutShortWarning(UserWarning):
    """A recording ends before the episodes that it was begun for."""


@dataclasses.dataclass(frozen=True)
class Field:
    """One recorded quantity.

    Attributes:
        axes: names of its axes after (episode, time).
        units: as SI writes them; "1" for shares, "" for flags.
        meaning: one line.
        flag: whether it is 0 or 1.
    """

    axes: tuple[str, ...]
    units: str
    meaning: str
    flag: bool = False


@dataclasses.dataclass(frozen=True)
class Layout:
    """What a recording holds.

    Attributes:
        fields: by name.
        names: of the entries of each axis; every axis of a field is there. A field with an axis of no entries is left
            out.
        beside: more columns of an axis: axis -> column -> values.
        episodes: N.
        steps: T.
        block: episodes and steps per block.
        control_dt: s.
        about: more attributes of the file (task, seed, ...).
    """

    fields: Mapping[str, Field]
    names: Mapping[str, Sequence[Any]]
    beside: Mapping[str, Mapping[str, Sequence[str]]]
    episodes: int
    steps: int
    block: tuple[int, int]
    control_dt: float
    about: Mapping[str, str | int | float]

    @property
    def blocks(self) -> int:
        """How many blocks there are in all."""
        return math.ceil(self.episodes / self.block[0]) * self.blocks_per_episode

    @property
    def blocks_per_episode(self) -> int:
        """How many blocks span the horizon."""
        return math.ceil(self.steps / self.block[1])

    def place(self, block: int) -> tuple[slice, slice]:
        """Which episodes and steps a block holds."""
        row, column = divmod(block, self.blocks_per_episode)
        first, start = row * self.block[0], column * self.block[1]
        return (
            slice(first, min(first + self.block[0], self.episodes)),
            slice(start, min(start + self.block[1], self.steps)),
        )


class RecordingWriter:
    """Appends blocks to a new file; use it in a ``with`` block.

    Args:
        path: the file; must not be there yet.
        layout: what it holds.

    Raises:
        UserError: the file is there already, or cannot be written.
    """

    def __init__(self, path: Path, layout: Layout):
        self.path, self.layout = path, layout
        self.written = 0
        require_new(path)
        with reported_writes(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = h5py.File(path, "x", libver=_LIBVER)
            self._create()
            self._file.swmr_mode = True

    def __enter__(self) -> RecordingWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, values: Mapping[str, np.ndarray]) -> None:
        """Append the next block and put it on the disk.

        Args:
            values: by field, (episodes, steps, ...) of at least the block's size; what exceeds it is dropped.

        Raises:
            UserError: the disk is full.
        """
        episodes, steps = self.layout.place(self.written)
        size = np.s_[: episodes.stop - episodes.start, : steps.stop - steps.start]
        with reported_writes(self.path, "the blocks written before are readable"):
            for name in self._recorded:
                self._file[name][episodes, steps] = values[name][size]
            self._file.flush()  # the block is there before the count says so
            self.written += 1
            self._file[WRITTEN][()] = self.written
            self._file.flush()

    def _create(self) -> None:
        layout, file = self.layout, self._file
        file.attrs.update(
            {
                "format": FORMAT,
                "version": VERSION,
                "control_dt": layout.control_dt,
                "episodes_per_block": layout.block[0],
                "steps_per_block": layout.block[1],
                **layout.about,
            }
        )
        file[WRITTEN] = np.int64(0)
        file["episode"] = np.arange(layout.episodes, dtype=np.int32)
        file["time"] = layout.control_dt * np.arange(layout.steps)
        file["time"].attrs["units"] = "s"
        for axis, names in layout.names.items():
            if len(names):
                file[axis] = np.asarray(names, h5py.string_dtype()) if isinstance(names[0], str) else np.asarray(names)
                for column, values in layout.beside.get(axis, {}).items():
                    file[column] = np.asarray(values, h5py.string_dtype())
                    file[column].attrs["axis"] = axis
        for axis in ("episode", "time", *layout.names):
            if axis in file:
                file[axis].make_scale(axis)
        sizes = {axis: len(names) for axis, names in layout.names.items()}
        self._recorded = [name for name, field in layout.fields.items() if all(sizes[axis] for axis in field.axes)]
        for name in self._recorded:
            field = layout.fields[name]
            shape = (layout.episodes, layout.steps, *(sizes[axis] for axis in field.axes))
            block = tuple(min(block, size) for block, size in zip(layout.block, shape, strict=False))
            made = file.create_dataset(
                name,
                shape,
                np.int8 if field.flag else np.float32,
                chunks=(*block, *shape[2:]),
                fillvalue=0 if field.flag else np.nan,
                **_COMPRESSION,
            )
            made.attrs.update({"long_name": field.meaning} | ({"dtype": "bool"} if field.flag else {}))
            if field.units:
                made.attrs["units"] = field.units
            for place, axis in enumerate(("episode", "time", *field.axes)):
                made.dims[place].attach_scale(file[axis])


def require_new(path: Path) -> None:
    """Raise a `UserError` where there is something at ``path`` already."""
    if path.exists():
        raise UserError(f"{str(path)!r} is there already and is kept; choose another name or remove it first")


def load_recording(path: str | Path, variables: Iterable[str] | None = None) -> xarray.Dataset:
    """A recording with named muscles and joints, time in s, and units.

    Args:
        path: the file, also one that is being written or whose writer was killed.
        variables: what to read; everything where not given. ``running`` is always read.

    Returns:
        A dataset over (episode, time, ...). Its attribute ``complete`` is 1 or 0; where 0, ``omitted`` says what is
        missing, and episodes of which nothing was recorded are not there. The coordinate ``whole`` tells which episodes
        were recorded to their end.

    Raises:
        UserError: xarray is not installed; or the file is missing, damaged, no recording, or of another version; or
            there is no such variable.

    Example:
        >>> run = load_recording("elbow.h5")
        >>> run.activation.sel(muscle="BIClong").where(run.solved).mean("time")
    """
    xr: Any = extra_module("xarray", "analysis", "recordings as labelled arrays")
    path = Path(path)
    with _opened(path) as file:
        try:
            dataset = _read(xr, file, path, variables)
        except (OSError, KeyError, RuntimeError, ValueError) as error:
            raise _damaged(path, error) from error
    if not dataset.attrs["complete"]:
        warnings.warn(f"{path}: {dataset.attrs['omitted']}", CutShortWarning, stacklevel=2)
    return dataset


def _opened(path: Path) -> h5py.File:
    if not path.is_file():
        raise UserError(f"no recording {str(path)!r}; `arnold record POLICY --task T --out {path.name}` makes one")
    if not h5py.is_hdf5(path):
        raise UserError(f"{str(path)!r} is no recording: not an HDF5 file; give one that `arnold record` wrote")
    try:
        file = h5py.File(path, "r", libver=_LIBVER, swmr=_unfinished(path))
    except OSError as error:
        raise _damaged(path, error) from error
    found = file.attrs.get("format"), file.attrs.get("version")
    if found != (FORMAT, VERSION):
        file.close()
        raise UserError(
            f"{str(path)!r} is no recording of version {VERSION}: its format is {found[0]!r}, version {found[1]}; give "
            "one that `arnold record` of this version wrote"
        )
    return file


def _unfinished(path: Path) -> bool:
    """Whether a file is being written, or its writer was killed: it is then read in the single-writer mode.

    Raises:
        OSError: bytes at the end are missing. In the single-writer mode HDF5 would wait for them for hours.
    """
    with path.open("rb") as file:
        start = file.read(_SUPERBLOCK.size)
    if len(start) < _SUPERBLOCK.size:
        raise OSError(f"{len(start)} bytes are too few")
    version, flags, end = _SUPERBLOCK.unpack(start)
    if version != 3:
        return False
    if end > path.stat().st_size:
        raise OSError(f"it ends before byte {end}, where it should")
    return bool(flags)


def _damaged(path: Path, error: Exception) -> UserError:
    said = " ".join(str(error).split())
    return UserError(
        f"recording {str(path)!r} is damaged ({path.stat().st_size} bytes; {said}); copy it again from its source, or "
        "record it anew"
    )


def _read(xr: Any, file: h5py.File, path: Path, variables: Iterable[str] | None) -> xarray.Dataset:
    recorded = [name for name in file if "DIMENSION_LIST" in file[name].attrs]
    wanted = recorded if variables is None else ["running", *variables]
    for name in wanted:
        if name not in recorded:
            raise UserError(f"recording {str(path)!r} has no variable {name!r}; {did_you_mean(name, recorded)}")
    episodes, steps = file["running"].shape
    per_block = int(file.attrs["episodes_per_block"]), int(file.attrs["steps_per_block"])
    layout = Layout({}, {}, {}, episodes, steps, per_block, float(file.attrs["control_dt"]), {})
    written = int(file[WRITTEN][()])
    whole = layout.place(written)[0].start if written < layout.blocks else episodes
    begun, reached = layout.place(written - 1) if written else (slice(0, 0), slice(0, 0))
    kept = max(begun.stop, whole)
    data = {}
    for name in dict.fromkeys(wanted):
        stored = file[name]
        axes = tuple(scale[0].name.lstrip("/") for scale in stored.dims)
        attributes = {key: value for key, value in stored.attrs.items() if key in ("units", "long_name")}
        values = stored[:kept]
        data[name] = (axes, values.astype(bool) if "dtype" in stored.attrs else values, attributes)
        if kept > whole:  # a kill may have left some of the fields of the block after the last whole one
            data[name][1][whole:, reached.stop :] = False if "dtype" in stored.attrs else np.nan
    used = dict.fromkeys(axis for axes, *_ in data.values() for axis in axes)
    coordinates = {axis: (axis, _names(file[axis]), dict(_units(file[axis]))) for axis in used}
    coordinates["episode"] = ("episode", coordinates["episode"][1][:kept], {})
    coordinates["whole"] = ("episode", np.arange(kept) < whole, {"long_name": "recorded to its end"})
    for name in file:
        if file[name].attrs.get("axis") in used:
            coordinates[name] = (file[name].attrs["axis"], _names(file[name]), {})
    return xr.Dataset(
        data,
        coordinates,
        {**{name: _plain(value) for name, value in file.attrs.items()}, **_completeness(layout, whole, kept, reached)},
    )


def _completeness(layout: Layout, whole: int, kept: int, reached: slice) -> dict[str, Any]:
    if whole == layout.episodes:
        return {"complete": 1}
    more = f", and the first {reached.stop} of {layout.steps} steps of {kept - whole} more" if kept > whole else ""
    return {
        "complete": 0,
        "omitted": f"the recording was cut short: it holds {whole} of {layout.episodes} episodes{more}",
    }


def _names(dataset: h5py.Dataset) -> np.ndarray:
    return np.asarray(dataset.asstr()[...].astype(str) if h5py.check_string_dtype(dataset.dtype) else dataset[...])


def _units(dataset: h5py.Dataset) -> Iterable[tuple[str, str]]:
    return [("units", dataset.attrs["units"])] if "units" in dataset.attrs else []


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
