"""TRC, the tab-separated tables of markers of Motion Analysis and OpenSim."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from arnold.errors import UserError
from arnold.motion.motion import Motion
from arnold.motion.readers.c3d import METRES
from arnold.motion.readers.markers import motion_of_markers
from arnold.motion.readers.options import ReadOptions, one_line, text_of


def read(path: Path, options: ReadOptions) -> Motion:
    """The motion of a TRC file's markers. An empty cell is a marker out of sight.

    Raises:
        UserError: where the file is damaged, or its unit or its markers are not known.
    """
    lines = text_of(path).splitlines()
    if len(lines) < 6:
        raise UserError(
            f"{str(path)!r} has {len(lines)} lines; a TRC file has 5 of header and then one per frame: it is cut short"
        )
    said = dict(zip(lines[1].split(), lines[2].split(), strict=False))
    missing = [name for name in ("DataRate", "NumMarkers", "Units") if name not in said]
    if missing:
        raise UserError(f"{str(path)!r} does not say {', '.join(missing)} in its second and third line; it is damaged")
    rate = options.frame_rate(path, said["DataRate"])
    unit = said["Units"].lower()
    if options.scale is None and unit not in METRES:
        raise UserError(
            f"{str(path)!r} is in units of {unit!r}; {', '.join(METRES)} are known: give scale=METRES_PER_UNIT"
        )
    labels = lines[3].split("\t")[2:]
    labels = [label.strip() for label in labels[::3] if label.strip()]
    body = [line for line in lines[5:] if line.strip()]
    window = options.window(path, len(body), rate)
    # Virtual markers may be named beyond those that the table holds.
    columns = min(len(labels), int(said["NumMarkers"]) if said["NumMarkers"].isdigit() else len(labels))
    places = np.array([_row(path, body[i], columns, i) for i in range(window.start, window.stop)]).reshape(
        -1, columns, 3
    )
    places = np.where((places == 0).all(axis=2, keepdims=True), np.nan, places)
    metres = options.scale if options.scale is not None else METRES[unit]
    return motion_of_markers(
        path, options, labels[:columns], places * metres, rate=rate, up="y", source=f"TRC file {path.name}"
    )


def _row(path: Path, line: str, markers: int, frame: int) -> list[float]:
    """Coordinates of one frame; NaN for an empty cell."""
    cells = line.split("\t")[2 : 2 + 3 * markers]
    if len(cells) < 3 * markers:
        raise UserError(
            f"{str(path)!r} has {len(cells)} cells at frame {frame}; {3 * markers} are expected: it is cut short or "
            "damaged"
        )
    try:
        return [float(cell) if cell.strip() else float("nan") for cell in cells]
    except ValueError as error:
        raise UserError(f"{str(path)!r} holds no number at frame {frame}: {one_line(error)}") from error
