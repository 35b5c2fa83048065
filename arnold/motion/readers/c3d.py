"""C3D, the binary format of marker systems, read by ezc3d."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np

from arnold.errors import UserError
from arnold.motion.motion import Motion
from arnold.motion.readers.markers import motion_of_markers
from arnold.motion.readers.options import ReadOptions, one_line

METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001}
"""Metres per unit, by the names that marker files give to units."""

_BIG_ENDIAN = 86  # the processor's number, in the first block of parameters
_MOST_FRAMES = 65535  # that the header can say; it says so for longer files too
_PATIENCE_S = 300.0


def read(path: Path, options: ReadOptions) -> Motion:
    """The motion of a C3D file's markers. Its axes are z up, unless it (POINT:Y_SCREEN) or the pose says otherwise.

    Raises:
        UserError: where the file cannot be read, or its unit or its markers are not known.
    """
    content = _content(path)
    rate = options.frame_rate(path, float(content["rate"]))
    unit = _first(content["units"], "mm").lower()
    if options.scale is None and unit not in METRES:
        raise UserError(
            f"{str(path)!r} is in units of {unit!r}; {', '.join(METRES)} are known: give scale=METRES_PER_UNIT"
        )
    metres = options.scale if options.scale is not None else METRES[unit]
    places = content["points"].transpose(2, 1, 0)
    said = _frames_said(path)
    if len(places) < said < _MOST_FRAMES:
        raise UserError(f"{str(path)!r} says {said} frames and holds {len(places)}: it is cut short")
    places = places[options.window(path, len(places), rate)]
    places = np.where((places == 0).all(axis=2, keepdims=True), np.nan, places) * metres
    labels = _labels(content)
    subjects = content["subjects"]
    return motion_of_markers(
        path,
        options,
        labels,
        places[:, : len(labels)],
        rate=rate,
        up=_first(content["up"], "+Z").lstrip("+").lower(),
        source=f"C3D file {path.name}",
        subject=str(subjects[0]) if len(subjects) == 1 else "",
    )


def _content(path: Path) -> dict[str, np.ndarray]:
    """What the file holds, by `c3d_process`: ezc3d ends the process that reads some damaged files."""
    reader = Path(__file__).with_name("c3d_process.py")
    try:
        done = subprocess.run(
            [sys.executable, "-P", str(reader), str(path.resolve())],
            capture_output=True,
            timeout=_PATIENCE_S,
            check=False,
        )
        if done.returncode:
            why = done.stderr.decode(errors="replace").strip().splitlines()
            raise ValueError(why[-1] if why else f"the reader ended with {done.returncode}")
        with np.load(io.BytesIO(done.stdout), allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, subprocess.TimeoutExpired) as error:
        raise UserError(
            f"{str(path)!r} cannot be read as C3D ({one_line(error)}); it is cut short or damaged"
        ) from error


def _frames_said(path: Path) -> int:
    """Number of frames by the file's header: ezc3d gives those that are there."""
    with path.open("rb") as stream:
        beginning = stream.read(10)
        stream.seek(512 * (beginning[0] - 1) + 3)
        big = stream.read(1) == bytes([_BIG_ENDIAN])
    first, last = struct.unpack(">HH" if big else "<HH", beginning[6:10])
    return int(last - first + 1)


def _first(values: np.ndarray, default: str) -> str:
    """The first text of a parameter."""
    return str(values[0]) if len(values) and values[0] else default


def _labels(content: dict[str, np.ndarray]) -> list[str]:
    """Labels of the markers; where several share one (it holds four letters in old files), their descriptions."""
    labels, said = ([str(text) for text in content[name]] for name in ("labels", "descriptions"))
    return [
        said[i] if labels.count(label) > 1 and i < len(said) and said[i] else label for i, label in enumerate(labels)
    ]
