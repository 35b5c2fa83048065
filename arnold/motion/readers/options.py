"""What a user may say about a motion file, and the checks that every format shares."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

import numpy as np

from arnold.errors import UserError

LONGEST_S = 1800.0
"""Longest motion that is read in one piece, in seconds; `start` and `stop` cut a longer one."""


FAR_M = 10_000.0
"""Nothing is farther from the origin than this, in metres: a file that says so is damaged, or of another unit."""


@dataclasses.dataclass(frozen=True)
class ReadOptions:
    """What the file does not say, or which part of it is wanted.

    Attributes:
        name: of the motion; the file's stem where None.
        subject: who moved; what the file or its name says where None.
        rate: frames per second, for formats that do not say it (AMC, joint-angle npz). A file that says its own keeps
            it.
        start: first second that is wanted, from the file's first frame.
        stop: last second that is wanted; the end where None.
        scale: metres per unit of the file; found from the length of the legs where None and the file does not say it.
        up: the file's axis that points up ("x", "y", "z", "-x", ...); found from the pose where None.
        skeleton: the ASF file of an AMC file; the one beside it where None.
        models: folder of the SMPL-H or SMPL-X body models; the environment variable ARNOLD_SMPL_MODELS where None.
        clip: which of several motions in one file (MDM, MuscleMimic caches), from 0.
        align: whether to turn the motion about the vertical so that the person faces x at the first frame.
    """

    name: str | None = None
    subject: str | None = None
    rate: float | None = None
    start: float = 0.0
    stop: float | None = None
    scale: float | None = None
    up: str | None = None
    skeleton: str | os.PathLike[str] | None = None
    models: str | os.PathLike[str] | None = None
    clip: int = 0
    align: bool = True

    def frame_rate(self, path: Path, said: object, usual: float | None = None) -> float:
        """Frames per second of a file.

        Args:
            path: the file, for the message.
            said: what the file says; None where its format has no place for it.
            usual: rate of the format's files where neither file nor user says it.

        Raises:
            UserError: where the rate is no positive number, is not known, or the user contradicts the file.
        """
        chosen = said if said is not None else self.rate if self.rate is not None else usual
        if chosen is None:
            raise UserError(f"{str(path)!r} does not say its frame rate; give it as rate=FRAMES_PER_SECOND")
        try:
            rate = float(chosen)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            rate = float("nan")
        if not (np.isfinite(rate) and rate > 0):
            raise UserError(f"{str(path)!r} has a frame rate of {chosen!r} per second; a number above 0 is accepted")
        if said is not None and self.rate is not None and abs(self.rate - rate) > 0.01 * rate:
            raise UserError(
                f"{str(path)!r} says {rate:g} frames per second and rate={self.rate:g} was given; leave rate out, "
                "or correct the file"
            )
        return rate

    def window(self, path: Path, frames: int, rate: float) -> slice:
        """Which of ``frames`` frames are wanted, from `start` and `stop`.

        Raises:
            UserError: where fewer than 2 frames are left, or more than `LONGEST_S` seconds.
        """
        first = int(np.ceil(self.start * rate - 1e-6))
        last = frames if self.stop is None else min(frames, int(np.floor(self.stop * rate + 1e-6)) + 1)
        if first < 0 or last - first < 2:
            whole = f"{frames} frames ({max(frames - 1, 0) / rate:.2f} s)"
            cut = (
                ""
                if self.start == 0 and self.stop is None
                else f", of which start={self.start:g}, stop={self.stop} keep {max(last - first, 0)}"
            )
            raise UserError(f"{str(path)!r} has {whole}{cut}; at least 2 frames are needed")
        if (last - first - 1) / rate > LONGEST_S:
            raise UserError(
                f"{str(path)!r} lasts {(last - first - 1) / rate:.0f} s ({last - first} frames); at most "
                f"{LONGEST_S:.0f} s "
                "are read at once: choose a part with start=SECONDS, stop=SECONDS"
            )
        return slice(first, last)


def text_of(path: Path) -> str:
    """The text of a file.

    Raises:
        UserError: where it is empty or holds no text.
    """
    data = path.read_bytes()
    if not data.strip():
        raise UserError(f"{str(path)!r} is empty; a motion file is needed")
    if b"\0" in data[:4096]:
        raise UserError(f"{str(path)!r} holds binary data where a text file was expected; check that it is not damaged")
    return data.decode("utf-8", errors="replace")


def one_line(error: BaseException) -> str:
    """What an error of another library says, in one line."""
    return " ".join(str(error).split())


def check_finite(path: Path, what: str, values: np.ndarray, first: int = 0) -> None:
    """Raise where a value of (T, ...) is not finite.

    Raises:
        UserError: names the file, ``what`` and the frame, counted from 0 at the file's first.
    """
    bad = np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(axis=1))
    if len(bad):
        raise UserError(
            f"{str(path)!r} has a {what} that is not finite at frame {bad[0] + first} ({len(bad)} such frames); "
            "repair the file or cut the frames off with start, stop"
        )


def row_of_numbers(path: Path, fields: list[str], columns: int, frame: int, what: str = "numbers") -> list[float]:
    """The numbers of one frame's line.

    Raises:
        UserError: where there are more or fewer than ``columns``, or one is no number.
    """
    if len(fields) != columns:
        raise UserError(
            f"{str(path)!r} has {len(fields)} {what} at frame {frame}; {columns} are expected: the file is cut short "
            "or damaged"
        )
    try:
        return [float(field) for field in fields]
    except ValueError as error:
        raise UserError(f"{str(path)!r} holds no number at frame {frame}: {error}") from error


def cmu_subject(path: Path) -> str:
    """The subject of a file named as the CMU database names them (``02_01``, ``131_01``); empty for other names."""
    match = re.fullmatch(r"(\d{2,3})_\d{2}", path.stem)
    return f"CMU {int(match[1]):03d}" if match else ""
