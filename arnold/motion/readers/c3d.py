"""C3D, the binary format of marker systems, read by ezc3d."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ezc3d
import numpy as np

from arnold.errors import UserError
from arnold.motion.motion import Motion
from arnold.motion.readers.markers import motion_of_markers
from arnold.motion.readers.options import ReadOptions

METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001}


def read(path: Path, options: ReadOptions) -> Motion:
    """The motion of a C3D file's markers. Its axes are z up, unless it says otherwise (POINT:Y_SCREEN) or the pose
    does.

    Raises:
        UserError: where the file cannot be read, or its unit or its markers are not known.
    """
    try:
        content = ezc3d.c3d(str(path))
    except Exception as error:  # ezc3d raises errors of several unrelated kinds for a damaged file
        raise UserError(
            f"{str(path)!r} cannot be read as C3D ({' '.join(str(error).split())}); it is cut short or damaged"
        ) from error
    point = content["parameters"]["POINT"]
    rate = options.frame_rate(path, float(_first(point, "RATE", content["header"]["points"]["frame_rate"])))
    unit = str(_first(point, "UNITS", "mm")).strip().lower()
    if options.scale is None and unit not in METRES:
        raise UserError(
            f"{str(path)!r} is in units of {unit!r}; {', '.join(METRES)} are known: give scale=METRES_PER_UNIT"
        )
    metres = options.scale if options.scale is not None else METRES[unit]
    places = np.asarray(content["data"]["points"], float)[:3].transpose(2, 1, 0)
    places = np.where((places == 0).all(axis=2, keepdims=True), np.nan, places) * metres
    places = places[options.window(path, len(places), rate)]
    labels = _labels(point)
    subjects = content["parameters"].get("SUBJECTS", {}).get("NAMES", {}).get("value", [])
    return motion_of_markers(
        path,
        options,
        labels,
        places[:, : len(labels)],
        rate=rate,
        up=str(_first(point, "Y_SCREEN", "+Z")).strip().lstrip("+").lower() or "z",
        source=f"C3D file {path.name}",
        subject=options.subject or (subjects[0].strip() if len(subjects) == 1 else ""),
    )


def _first(group: dict[str, dict[str, list[Any]]], name: str, default: Any) -> Any:
    """The first value of a parameter."""
    values = group.get(name, {}).get("value", [])
    return values[0] if len(values) else default


def _labels(point: dict[str, dict[str, list[str]]]) -> list[str]:
    """Labels of the markers; where several share one (it holds four letters in old files), their descriptions."""
    labels = [
        label.strip() for name in ("LABELS", "LABELS2", "LABELS3") for label in point.get(name, {}).get("value", [])
    ]
    said = [text.strip() for name in ("DESCRIPTIONS", "DESCRIPTIONS2") for text in point.get(name, {}).get("value", [])]
    return [
        said[i] if labels.count(label) > 1 and i < len(said) and said[i] else label for i, label in enumerate(labels)
    ]
