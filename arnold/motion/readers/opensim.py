"""Joint angles of OpenSim: .mot and .sto tables, and MATLAB files of the same tables.

Angles keep OpenSim's names and signs, but flexion of the knee is positive whatever the model: the sign is turned where
the file's larger excursion is negative. `pelvis_tx`, `pelvis_ty`, `pelvis_tz`, `pelvis_tilt`, `pelvis_list` and
`pelvis_rotation` stay as OpenSim has them (x forward, y up, z right; turned about z, then x, then y). What they mean in
the world (x forward, y left, z up) is also given, as the keypoint and the orientation `pelvis`: place and turn of the
model's pelvis frame, whose origin lies midway between the anterior spines. These motions are never aligned.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import scipy.io
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation

from arnold.errors import UserError
from arnold.motion.motion import Motion
from arnold.motion.readers.frames import Z_UP
from arnold.motion.readers.options import ReadOptions, check_finite, one_line, row_of_numbers, text_of
from arnold.motion.readers.skeleton import quaternions

# Coordinates of the models that OpenSim ships or that are common (gait2392, Rajagopal 2015, Hamner 2010, arm26, the
# shoulder models of Seth and Saul). Whatever else a table has (markers, forces, muscles) is left out.
_COORDINATE = re.compile(
    r"pelvis_(tilt|list|rotation|tx|ty|tz)"
    r"|(hip_(flexion|adduction|rotation)|knee_(angle|adduction|rotation)|ankle_angle|subtalar_angle|mtp_angle)_[rl]"
    r"|lumbar_(extension|bending|rotation|latbending)|(L\d_[LS]\d|T12_L1)_(FE|LB|AR)|neck_(extension|bending|rotation)"
    r"|(arm_(flex|add|rot)|elbow_(flex|flexion)|pro_sup|wrist_(flex|dev)|elv_angle|shoulder_(elv|rot|elev)|plane_(of_)?elev|axial_rot"
    r"|clav_(prot|elev)|scapula_(abduction|elevation|upward_rot|winging)|flexion|deviation)(_[rl])?"
    r"|[rl]_(shoulder_elev|elbow_flex)|ground_thorax_(rot_[xyz]|t[xyz])"
)
_TRANSLATION = re.compile(r".*_t[xyz]")
_KNEES = ("knee_angle_r", "knee_angle_l")


def read(path: Path, options: ReadOptions) -> Motion:
    """The motion of an OpenSim .mot or .sto table of coordinates.

    Raises:
        UserError: where the file is damaged or holds no joint angles.
    """
    lines = text_of(path).splitlines()
    end = next((i for i, line in enumerate(lines) if line.strip().lower() == "endheader"), None)
    if end is None:
        raise UserError(
            f"{str(path)!r} has no line 'endheader'; an OpenSim table has a header that ends so: it is cut short or of "
            "another format"
        )
    said = {k.strip().lower(): v.strip().lower() for k, _, v in (line.partition("=") for line in lines[:end])}
    body = [line for line in lines[end + 1 :] if line.strip()]
    if not body:
        raise UserError(f"{str(path)!r} has no table after its header; it is cut short")
    columns = body[0].split()
    if "nrows" in said and said["nrows"].isdigit() and len(body) - 1 < int(said["nrows"]):
        raise UserError(f"{str(path)!r} says {said['nrows']} rows and holds {len(body) - 1}: it is cut short")
    _check_length(path, columns, body[1:], options)
    rows = [row_of_numbers(path, line.split(), len(columns), i) for i, line in enumerate(body[1:])]
    degrees = {"yes": True, "no": False}.get(said.get("indegrees", ""))
    return motion_of_table(
        path, options, columns, np.array(rows).reshape(-1, len(columns)), degrees, f"OpenSim table {path.name}"
    )


def read_matlab(path: Path, options: ReadOptions) -> Motion:
    """The motion of a MATLAB file that holds a table as a struct with `data` and `colheaders` (Falisse et al.'s
    `Qsall`), in degrees.

    Raises:
        UserError: where the file cannot be read or no struct in it is such a table of joint angles.
    """
    try:
        content = scipy.io.loadmat(path, simplify_cells=True)
    except Exception as error:  # scipy raises errors of many kinds for a damaged file
        raise UserError(
            f"{str(path)!r} cannot be read as a MATLAB file ({one_line(error)}); save it as version 7 or "
            "check that it is whole"
        ) from error
    tables = {k: v for k, v in content.items() if isinstance(v, dict) and {"data", "colheaders"} <= set(v)}
    if not tables:
        raise UserError(
            f"{str(path)!r} has no struct with fields data and colheaders; it holds "
            f"{', '.join(k for k in content if k[:2] != '__') or 'nothing'}"
        )
    name = "Qsall" if "Qsall" in tables else next(iter(tables))
    columns = [str(column) for column in np.atleast_1d(tables[name]["colheaders"])]
    rows = np.atleast_2d(np.asarray(tables[name]["data"], float))
    if rows.shape[1] != len(columns):
        raise UserError(
            f"{str(path)!r} has a table {name} of {rows.shape[1]} columns and {len(columns)} names of columns; it is "
            "damaged"
        )
    return motion_of_table(path, options, columns, rows, None, f"MATLAB table {name} of {path.name}")


def motion_of_table(
    path: Path, options: ReadOptions, columns: list[str], rows: np.ndarray, degrees: bool | None, source: str
) -> Motion:
    """The motion of a table of coordinates.

    Args:
        path: the file.
        options: of the user.
        columns: names; `time` is among them.
        rows: (T, columns).
        degrees: whether rotations are in degrees; where None, they are if one of them exceeds a full turn in radians.
        source: of the motion.

    Raises:
        UserError: where the table has no time or no joint angles, or time does not go on.
    """
    angles = _coordinates(path, columns, rows)
    if "time" not in columns:
        raise UserError(f"{str(path)!r} has no column 'time'; its columns are {', '.join(columns[:8])}")
    times = rows[:, columns.index("time")]
    check_finite(path, "time", times)
    for name, values in angles.items():
        check_finite(path, name, values)
    rate, grid = _even(path, times, options)
    rotations = [name for name in angles if not _TRANSLATION.fullmatch(name)]
    if degrees is None:
        degrees = max((np.abs(angles[name]).max() for name in rotations), default=0.0) > 2 * np.pi
    if degrees:
        angles |= {name: np.radians(angles[name]) for name in rotations}
    if grid is not None:
        angles = {name: CubicSpline(times, values)(grid) for name, values in angles.items()}
    window = options.window(path, len(next(iter(angles.values()))), rate)
    angles = {name: values[window] for name, values in angles.items()}
    return motion_of_angles(path, rate, angles, source)


def motion_of_angles(path: Path, rate: float, angles: dict[str, np.ndarray], source: str) -> Motion:
    """The motion of coordinates (T,) in radians and metres: the knee's sign made positive in flexion, the pelvis given
    in the world."""
    angles = {**angles, **knees_flexing_positive(angles)}
    points, turns = {}, {}
    if {"pelvis_tx", "pelvis_ty", "pelvis_tz"} <= set(angles):
        points["pelvis"] = np.stack([angles[f"pelvis_t{axis}"] for axis in "xyz"], axis=1) @ Z_UP.T
    if {"pelvis_tilt", "pelvis_list", "pelvis_rotation"} <= set(angles):
        own = np.stack([angles[f"pelvis_{name}"] for name in ("tilt", "list", "rotation")], axis=1)
        turns["pelvis"] = quaternions(Z_UP @ Rotation.from_euler("ZXY", own).as_matrix() @ Z_UP.T)
    return Motion(name=path.stem, rate=rate, keypoints=points, orientations=turns, angles=angles, source=source)


def pelvis_coordinates(places: np.ndarray, turns: np.ndarray) -> dict[str, np.ndarray]:
    """OpenSim's six coordinates (T,) of a pelvis at ``places`` (T, 3) m, turned by ``turns`` (T, 3, 3) in the world."""
    own = np.unwrap(Rotation.from_matrix(Z_UP.T @ turns @ Z_UP).as_euler("ZXY"), axis=0)
    angles = {f"pelvis_{name}": own[:, i] for i, name in enumerate(("tilt", "list", "rotation"))}
    return {f"pelvis_t{axis}": (places @ Z_UP)[:, i] for i, axis in enumerate("xyz")} | angles


def knees_flexing_positive(angles: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The knees' angles (T,) rad, positive in flexion: turned where the larger excursion of both is negative.

    A knee overextends by a few degrees at most, so an excursion under 10 degrees decides nothing.
    """
    knees = {name: angles[name] for name in _KNEES if name in angles}
    if not knees:
        return {}
    low, high = min(k.min() for k in knees.values()), max(k.max() for k in knees.values())
    return {name: -values for name, values in knees.items()} if -low > max(high, np.radians(10)) else knees


def _coordinates(path: Path, columns: list[str], rows: np.ndarray) -> dict[str, np.ndarray]:
    """The columns (T,) that are joint coordinates, by name; state tables name them by path
    (`/jointset/hip_r/hip_flexion_r/value`)."""
    short = [
        column.split("/")[-2] if column.startswith("/") and column.endswith("/value") else column for column in columns
    ]
    angles = {name: rows[:, i] for i, name in enumerate(short) if _COORDINATE.fullmatch(name)}
    # Markers of the same file (name_tx), coupled coordinates (knee_angle_r_beta) and speeds are no sign of another
    # table.
    others = [
        name
        for name in short
        if name != "time" and not re.search(r"(_t[xyz]|_beta|/speed)$", name) and name not in angles
    ]
    if not angles or len(others) > len(angles):
        raise UserError(
            f"{str(path)!r} is no table of joint angles: of its {len(columns)} columns {len(angles)} are coordinates "
            f"known to this reader (hip_flexion_r, knee_angle_r, ...); the others are "
            f"{', '.join(others[:6]) or 'none'}: give the result of inverse kinematics"
        )
    return angles


def _check_length(path: Path, columns: list[str], lines: list[str], options: ReadOptions) -> None:
    """Raise for a table that is too long to read, before its numbers are read."""
    if "time" not in columns or len(lines) < 2:
        return
    ends = [
        row_of_numbers(path, lines[i].split(), len(columns), i % len(lines))[columns.index("time")] for i in (0, -1)
    ]
    if ends[1] > ends[0]:
        options.window(path, len(lines), (len(lines) - 1) / (ends[1] - ends[0]))


def _even(path: Path, times: np.ndarray, options: ReadOptions) -> tuple[float, np.ndarray | None]:
    """Frames per second, and the even times to interpolate at where those of the file (T,) are uneven."""
    if len(times) < 2:
        raise UserError(f"{str(path)!r} has {len(times)} frames; at least 2 are needed")
    steps = np.diff(times)
    back = np.flatnonzero(steps <= 0)
    if len(back):
        raise UserError(
            f"{str(path)!r} has a time that does not go on at frame {back[0] + 1} ({times[back[0]]:g} s, then "
            f"{times[back[0] + 1]:g} s); a time per frame, rising, is accepted"
        )
    exact = (len(times) - 1) / (times[-1] - times[0])
    # Some write times with three digits: a tenth of a step is rounding.
    if np.abs((times - times[0]) * exact - np.arange(len(times))).max() < 0.1:
        whole = round(exact)
        return options.frame_rate(path, whole if abs(exact - whole) < 1e-3 * exact else exact), None
    rate = options.frame_rate(path, float(1 / np.median(steps)))
    return rate, np.arange(times[0], times[-1] + 1e-9, 1 / rate)
