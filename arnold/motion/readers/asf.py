"""Acclaim skeleton and motion (ASF and AMC), as the CMU motion capture database has them.

A bone turns about axes that its `axis` tilts against the skeleton's; the angles of a frame are applied about x, then y,
then z (in the order of `dof`). The motion does not say its frame rate: the database's is 120 per second.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from arnold.errors import UserError
from arnold.motion.motion import Motion
from arnold.motion.readers.frames import UNITS
from arnold.motion.readers.options import ReadOptions, check_finite, cmu_subject, one_line, row_of_numbers, text_of
from arnold.motion.readers.skeleton import Tree, check_rest, motion_of_tree

_AXES = {"rx", "ry", "rz", "tx", "ty", "tz"}

CMU_RATE = 120.0
"""Frames per second of the CMU database (http://mocap.cs.cmu.edu)."""


@dataclasses.dataclass(frozen=True)
class _Bone:
    """A bone: the joint at its beginning turns it."""

    reach: np.ndarray  # (3,) from its beginning to its end
    tilt: np.ndarray  # (3, 3) of its axes
    freedom: tuple[str, ...]  # rx, ry, rz, and tx, ty, tz of the root


def read(path: Path, options: ReadOptions) -> Motion:
    """The motion of an AMC file, with the skeleton that `ReadOptions.skeleton` names or that lies beside it.

    Raises:
        UserError: where a file is missing or damaged, or the motion has bones that the skeleton lacks.
    """
    skeleton = _skeleton_path(path, options)
    bones, children, metres, degrees = _skeleton(skeleton)
    rate = options.frame_rate(path, None, CMU_RATE)
    order = [name for name in bones if name == "root" or bones[name].freedom]
    frames = _frames(path, skeleton, {name: len(bones[name].freedom) for name in order})
    window = options.window(path, len(next(iter(frames.values()))), rate)
    angles = {name: np.array(rows[window]) for name, rows in frames.items()}
    for name, values in angles.items():
        check_finite(path, name, values, window.start)
    tree, tilts = _tree(bones, children)
    check_rest(skeleton, tree)
    turns = np.stack(
        [_turns(bones[name], angles.get(name), degrees, window.stop - window.start) for name in tree.names], axis=1
    )
    turns = tilts @ turns @ tilts.transpose(0, 2, 1)
    moves = [bones["root"].freedom.index(axis) for axis in ("tx", "ty", "tz")]
    places, globals_ = tree.pose(turns, angles["root"][:, moves])
    return motion_of_tree(
        path,
        options,
        tree,
        places,
        globals_,
        rate=rate,
        metres=metres,
        up="y",
        source=f"AMC file {path.name} with the skeleton {skeleton.name}",
        subject=cmu_subject(path) or skeleton.stem,
    )


def _skeleton_path(path: Path, options: ReadOptions) -> Path:
    """The ASF file: the one named, or the one beside the motion whose stem the motion's begins with (the longest)."""
    if options.skeleton is not None:
        given = Path(options.skeleton).expanduser()
        if not given.is_file():
            raise UserError(f"no skeleton at {str(given)!r}; give the ASF file of {path.name} as skeleton=FILE")
        return given
    beside = sorted(file for file in path.parent.iterdir() if file.suffix.lower() == ".asf")
    fitting = [file for file in beside if path.stem.lower().startswith(file.stem.lower())]
    if not fitting:
        there = f" (there are {', '.join(file.name for file in beside[:5])})" if beside else ""
        raise UserError(f"{str(path)!r} has no ASF file of its name beside it{there}; give it as skeleton=FILE")
    return max(fitting, key=lambda file: len(file.stem))


def _skeleton(path: Path) -> tuple[dict[str, _Bone], dict[str, list[str]], float | None, bool]:
    """Bones by name, root first; children by name; metres per unit where the unit is CMU's; whether angles are
    degrees."""
    sections = _sections(text_of(path))
    missing = [name for name in ("root", "bonedata", "hierarchy") if name not in sections]
    if missing:
        raise UserError(
            f"{str(path)!r} has no section :{', :'.join(missing)}; an ASF file has them: it is damaged or of another "
            "format"
        )
    units = {line.split()[0]: line.split()[-1] for line in sections.get("units", []) if line.split()}
    degrees = units.get("angle", "deg").lower().startswith("deg")
    root = {line.split()[0].lower(): line.split()[1:] for line in sections["root"] if line.split()}
    try:
        length = float(units.get("length", "1"))
        bones = {
            "root": _bone(
                np.zeros(3),
                root.get("orientation", ["0"] * 3),
                "".join(root.get("axis", ["XYZ"])),
                degrees,
                root["order"],
            )
        }
        for block in _blocks(sections["bonedata"]):
            said = {line.split()[0].lower(): line.split()[1:] for line in block}
            reach = np.array([float(value) for value in said["direction"][:3]]) * float(said["length"][0])
            bones[said["name"][0]] = _bone(reach, said["axis"][:3], said["axis"][3], degrees, said.get("dof", []))
    except (KeyError, IndexError, ValueError) as error:
        raise UserError(
            f"{str(path)!r} has a root or bone that cannot be read ({one_line(error)}); it is damaged"
        ) from error
    odd = [n for n, bone in bones.items() if set(bone.freedom) - _AXES or len(set(bone.freedom)) < len(bone.freedom)]
    odd += [] if {"tx", "ty", "tz"} <= set(bones["root"].freedom) else ["root"]
    if odd:
        raise UserError(
            f"{str(path)!r} has {odd[0]} move by {' '.join(bones[odd[0]].freedom)}; rx, ry, rz, and for the root TX TY "
            "TZ too, are accepted once each"
        )
    children = {
        words[0]: words[1:]
        for line in sections["hierarchy"]
        if (words := line.split()) and words[0] not in ("begin", "end")
    }
    unknown = sorted({name for names in children.values() for name in names} - set(bones))
    below = [name for names in children.values() for name in names]
    if len(set(below)) != len(below) or "root" in below:
        raise UserError(f"{str(path)!r} has a bone twice in its hierarchy; it is damaged")
    if unknown:
        raise UserError(f"{str(path)!r} has {', '.join(unknown)} in its hierarchy and no such bone; it is damaged")
    return bones, children, UNITS["CMU"] * 0.45 / length if abs(length - 0.45) < 1e-6 else None, degrees


def _bone(reach: np.ndarray, tilt: list[str], order: str, degrees: bool, freedom: list[str]) -> _Bone:
    """A bone of a file's words."""
    angles = [float(value) for value in tilt]
    return _Bone(
        reach,
        Rotation.from_euler(order.lower(), angles, degrees=degrees).as_matrix(),
        tuple(word.lower() for word in freedom),
    )


def _sections(text: str) -> dict[str, list[str]]:
    """Lines by the section (``:name``) they stand in, without comments."""
    sections: dict[str, list[str]] = {}
    current: list[str] = []
    for line in text.splitlines():
        line = line.partition("#")[0].strip()
        if line.startswith(":"):
            current = sections.setdefault(line[1:].split()[0].lower() if line[1:].split() else "", [])
        elif line:
            current.append(line)
    return sections


def _blocks(lines: list[str]) -> list[list[str]]:
    """Lines between each ``begin`` and ``end``."""
    blocks: list[list[str]] = []
    for line in lines:
        if line == "begin":
            blocks.append([])
        elif line != "end" and blocks:
            blocks[-1].append(line)
    return blocks


def _frames(path: Path, skeleton: Path, sizes: dict[str, int]) -> dict[str, list[list[float]]]:
    """Numbers of each frame by bone. Frames are headed by their number."""
    rows: dict[str, list[list[float]]] = {}
    frame = -1
    degrees = True
    for line in text_of(path).splitlines():
        words = line.split()
        if not words or words[0].startswith(("#", ":")):
            degrees = degrees and words[:1] != [":RADIANS"]
        elif len(words) == 1 and words[0].isdigit():
            _check_complete(path, rows, frame)
            frame += 1
        elif frame >= 0:
            if words[0] not in sizes:
                raise UserError(
                    f"{str(path)!r} moves a bone {words[0]!r} at frame {frame}, which the skeleton {skeleton.name} "
                    "does not have or hold still; give the right one as skeleton=FILE"
                )
            rows.setdefault(words[0], []).append(
                row_of_numbers(path, words[1:], sizes[words[0]], frame, f"numbers of {words[0]}")
            )
    if "root" not in rows:
        raise UserError(
            f"{str(path)!r} holds no frame; an AMC file has a line with its number and then a line per bone for each"
        )
    _check_complete(path, rows, frame)
    if not degrees:
        raise UserError(f"{str(path)!r} is in radians; AMC files in degrees are accepted")
    return rows


def _check_complete(path: Path, rows: dict[str, list[list[float]]], frame: int) -> None:
    """Raise where a bone is missing at ``frame``."""
    missing = [name for name, values in rows.items() if len(values) != frame + 1]
    if missing:
        raise UserError(f"{str(path)!r} lacks {', '.join(missing[:4])} at frame {frame}: it is cut short or damaged")


def _tree(bones: dict[str, _Bone], children: dict[str, list[str]]) -> tuple[Tree, np.ndarray]:
    """A joint at the beginning of each bone, and the tilts (J, 3, 3) of their axes."""
    names, parents, offsets = ["root"], [-1], [np.zeros(3)]
    for name in names:
        for child in children.get(name, []):
            names.append(child)
            parents.append(names.index(name))
            offsets.append(bones[name].reach)
    return Tree(tuple(names), tuple(parents), np.array(offsets)), np.stack([bones[name].tilt for name in names])


def _turns(bone: _Bone, angles: np.ndarray | None, degrees: bool, frames: int) -> np.ndarray:
    """Rotations (T, 3, 3) of a bone about its own axes."""
    columns = [i for i, axis in enumerate(bone.freedom) if axis in ("rx", "ry", "rz")]
    if angles is None or not columns:
        return np.tile(np.eye(3), (frames, 1, 1))
    order = "".join(bone.freedom[i][1] for i in columns)
    return Rotation.from_euler(order, angles[:, columns], degrees=degrees).as_matrix()
