"""BVH: a tree of joints with offsets, then one line of channels per frame.

The format is Biovision's: rotations in degrees, applied in the order of the channels. The unit of length and the
vertical axis are not said; they are found from the legs and the pose.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from arnold.errors import UserError
from arnold.motion.motion import Motion
from arnold.motion.readers.options import ReadOptions, check_finite, cmu_subject, one_line, row_of_numbers, text_of
from arnold.motion.readers.skeleton import Tree, check_rest, motion_of_tree

_CHANNELS = {f"{axis}{kind}" for axis in "xyz" for kind in ("position", "rotation")}


def read(path: Path, options: ReadOptions) -> Motion:
    """The motion of a BVH file.

    Raises:
        UserError: where the file is damaged, or its skeleton or unit is not known.
    """
    lines = text_of(path).splitlines()
    start = next((i for i, line in enumerate(lines) if line.strip().upper() == "MOTION"), None)
    if start is None:
        raise UserError(
            f"{str(path)!r} has no line MOTION: a BVH file has a HIERARCHY and then a MOTION; it is cut short"
        )
    tree, channels = _hierarchy(path, " ".join(lines[:start]).split())
    check_rest(path, tree)
    frames, rate = _header(path, lines[start + 1 : start + 3], options)
    window = options.window(path, frames, rate)
    body = [line for line in lines[start + 3 :] if line.strip()]
    if len(body) < frames:
        raise UserError(
            f"{str(path)!r} says {frames} frames and holds {len(body)}: it is cut short after frame {len(body) - 1}"
        )
    columns = sum(len(names) for names in channels)
    rows = [row_of_numbers(path, body[i].split(), columns, i, "channels") for i in range(window.start, window.stop)]
    values = np.array(rows)
    check_finite(path, "channel", values, window.start)
    places, turns = _posed(tree, channels, values)
    return motion_of_tree(
        path, options, tree, places, turns, rate=rate, source=f"BVH file {path.name}", subject=cmu_subject(path)
    )


def _hierarchy(path: Path, words: list[str]) -> tuple[Tree, list[list[str]]]:
    """The tree, and the channels of each joint; end sites are left out."""
    names: list[str] = []
    parents: list[int] = []
    offsets: list[list[float]] = []
    channels: list[list[str]] = []
    stack: list[int] = []  # joints whose braces are open; -1 is an end site
    coming, i = -1, 0
    try:
        while i < len(words):
            word = words[i].upper()
            if word in ("ROOT", "JOINT"):
                parents.append(stack[-1] if stack else -1)
                names.append(words[i + 1])
                offsets.append([0.0, 0.0, 0.0])
                channels.append([])
                coming, i = len(names) - 1, i + 1
            elif word == "END":
                coming, i = -1, i + 1
            elif word == "{":
                stack.append(coming)
            elif word == "}":
                stack.pop()
            elif word == "OFFSET":
                if stack[-1] >= 0:
                    offsets[stack[-1]] = [float(value) for value in words[i + 1 : i + 4]]
                i += 3
            elif word == "CHANNELS":
                count = int(words[i + 1])
                channels[stack[-1]] = [name.lower() for name in words[i + 2 : i + 2 + count]]
                i += 1 + count
            i += 1
    except (IndexError, ValueError) as error:
        raise UserError(
            f"{str(path)!r} has a HIERARCHY that cannot be read near {' '.join(words[max(i - 2, 0) : i + 3])!r} "
            f"({one_line(error)})"
        ) from error
    if not names or stack:
        raise UserError(
            f"{str(path)!r} has a HIERARCHY {'without a ROOT' if not names else 'whose braces do not close'}; it is "
            "damaged"
        )
    _check_channels(path, names, channels)
    return Tree(tuple(names), tuple(parents), np.array(offsets)), channels


def _check_channels(path: Path, names: list[str], channels: list[list[str]]) -> None:
    """Raise for a channel that there is not, or twice."""
    for name, own in zip(names, channels, strict=True):
        if len(set(own)) != len(own) or not set(own) <= _CHANNELS:
            raise UserError(
                f"{str(path)!r} has the channels {' '.join(own)} at joint {name!r}; each of "
                f"{' '.join(sorted(_CHANNELS))} is accepted once"
            )


def _header(path: Path, lines: list[str], options: ReadOptions) -> tuple[int, float]:
    """Number of frames and frames per second, of the two lines after MOTION."""
    said = {line.partition(":")[0].strip().lower(): line.partition(":")[2].strip() for line in lines}
    try:
        frames, step = int(said["frames"]), float(said["frame time"])
    except (KeyError, ValueError) as error:
        raise UserError(
            f"{str(path)!r} does not say 'Frames: N' and 'Frame Time: SECONDS' after MOTION; it is damaged"
        ) from error
    if not (np.isfinite(step) and step > 0):
        raise UserError(f"{str(path)!r} has a frame time of {step!r} s; a number above 0 is accepted")
    # Files round the time to a few digits: 0.016667 is 60 per second, and 0.033367 is 29.97.
    digits = len(said["frame time"].partition(".")[2])
    whole = max(round(1 / step), 1)
    return frames, options.frame_rate(path, whole if abs(1 / whole - step) <= 0.501 * 10.0**-digits else 1 / step)


def _posed(tree: Tree, channels: list[list[str]], values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places and global rotations of the joints from the channels (T, columns)."""
    frames = len(values)
    turns = np.tile(np.eye(3), (frames, len(tree.names), 1, 1))
    moves = np.tile(tree.offsets, (frames, 1, 1))
    column = 0
    for joint, names in enumerate(channels):
        own = values[:, column : column + len(names)]
        column += len(names)
        places = [i for i, name in enumerate(names) if name.endswith("position")]
        angles = [i for i, name in enumerate(names) if name.endswith("rotation")]
        if places:
            at = np.zeros((frames, 3))
            for i in places:
                at[:, "xyz".index(names[i][0])] = own[:, i]
            moves[:, joint] = at + (0 if _repeats_offset(tree, joint, at) else tree.offsets[joint])
        if angles:
            order = "".join(names[i][0].upper() for i in angles)
            turns[:, joint] = Rotation.from_euler(order, own[:, angles], degrees=True).as_matrix()
    root = tree.parents.index(-1)
    return tree.pose(turns, moves[:, root], moves)


def _repeats_offset(tree: Tree, joint: int, at: np.ndarray) -> bool:
    """Whether position channels ``at`` (T, 3) stand instead of the joint's offset.

    At the root they add to it, unless they stay near it; at other joints exporters repeat the offset in them.
    """
    offset = tree.offsets[joint]
    return tree.parents[joint] >= 0 or bool(np.linalg.norm(at.mean(axis=0) - offset) < 0.5 * np.linalg.norm(offset))
