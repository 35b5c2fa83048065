"""Retargeting of files, one or a thousand: in parallel, past bad ones, and on from where it was stopped."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from arnold.checkpoints.durable import reported_writes, write_bytes
from arnold.errors import UserError
from arnold.motion.clip import Clip

SUFFIXES = (".bvh", ".amc", ".c3d", ".trc", ".mot", ".sto", ".mat", ".npz", ".npy")
VERSION = 2  # of retargeting: clips made by another one are made anew


@dataclasses.dataclass(frozen=True)
class Work:
    """One file for one body.

    Attributes:
        path: the motion file.
        body: the embodiment's name.
        out: folder of the clips; the clip is ``out/BODY/NAME.npz``, beside its picture and its report.
        name: of the clip, unique in its folder.
        rate: frames per second of the clip; 0 as `retargeting.retarget` chooses.
        options: for the reader (start, stop, ...).
        picture: whether to draw one.
    """

    path: Path
    body: str
    out: Path
    name: str
    rate: float = 0.0
    options: tuple[tuple[str, Any], ...] = ()
    picture: bool = True

    @property
    def clip(self) -> Path:
        """Where the clip goes."""
        return self.out / self.body / f"{self.name}.npz"

    def fingerprint(self) -> str:
        """Of the file's bytes and of what was asked for."""
        asked = json.dumps([VERSION, self.body, self.rate, sorted(self.options)])
        return hashlib.sha256(self.path.read_bytes() + asked.encode()).hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a piece of work.

    Attributes:
        work: the piece.
        quality: the report; empty where there is none.
        error: one line; empty where it went well.
        kept: whether the clip was there already, of the same source.
    """

    work: Work
    quality: dict[str, Any] = dataclasses.field(default_factory=dict)
    error: str = ""
    kept: bool = False


def motion_files(source: Path) -> list[Path]:
    """The file itself, or all motion files below a folder, sorted.

    Raises:
        UserError: where there is none.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise UserError(
            f"no motion file or folder at {str(source)!r}; give a file ({', '.join(SUFFIXES)}) or a folder of them"
        )
    found = sorted(p for p in source.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not found:
        raise UserError(f"folder {str(source)!r} holds no motion files ({', '.join(SUFFIXES)})")
    return found


def names_of(files: Sequence[Path], source: Path) -> list[str]:
    """A name for each file's clip: the stem, with the folder's name before it where two are alike."""
    stems = [f.stem for f in files]
    base = source if source.is_dir() else source.parent
    return [
        stem if stems.count(stem) == 1 else "_".join([*f.relative_to(base).parent.parts, stem, f.suffix[1:]])
        for f, stem in zip(files, stems, strict=True)
    ]


def run(work: Work) -> Outcome:
    """Retarget one file; what goes wrong is in the outcome."""
    from arnold.embodiments import embodiment
    from arnold.motion.quality import draw
    from arnold.motion.readers import read_motion
    from arnold.motion.retargeting import retarget

    try:
        mark = work.fingerprint()
        kept = _kept(work, mark)
        if kept is not None:
            return Outcome(work, kept, kept=True)
        body = embodiment(work.body)
        motion = read_motion(work.path, **dict(work.options))
        clip = retarget(dataclasses.replace(motion, name=work.name), body, work.rate)
        if work.picture:
            draw(clip, body, work.clip.with_suffix(".png"))
        with reported_writes(work.clip):
            work.clip.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(work.clip.with_suffix(".json"), json.dumps(clip.quality, indent=1).encode())
        # Last, for its being there says that all is done.
        dataclasses.replace(clip, quality={**clip.quality, "made_from": mark}).save(work.clip)
        return Outcome(work, clip.quality)
    except UserError as error:
        return Outcome(work, error=str(error))
    except OSError as error:
        return Outcome(work, error=f"{error.filename or work.path}: {error.strerror or error}")
    except Exception as error:  # a thousand files: one that breaks a reader or a solver is reported, not the end of all
        return Outcome(work, error=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")


def run_all(works: Sequence[Work], workers: int) -> Iterator[Outcome]:
    """Outcomes in the order in which they are done.

    Args:
        works: pieces of work.
        workers: processes; with 1 all is done in this one.
    """
    if workers <= 1 or len(works) <= 1:
        yield from map(run, works)
        return
    # Spawned, not forked: a process that has JAX running cannot be forked safely.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(works)), mp_context=context) as pool:
        waiting = {pool.submit(run, work): work for work in works}
        try:
            for done in as_completed(waiting):
                try:
                    yield done.result()
                except BrokenProcessPool:
                    yield Outcome(
                        waiting[done], error="the process that worked on it was killed (memory?); run it again alone"
                    )
        finally:
            for one in waiting:
                one.cancel()


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _kept(work: Work, mark: str) -> dict[str, Any] | None:
    """The quality of the clip that is there already, of the same source and asked for alike; else None."""
    with contextlib.suppress(UserError):
        if work.clip.is_file():
            quality = Clip.load(work.clip).quality
            if quality.get("made_from") == mark and (work.clip.with_suffix(".png").is_file() or not work.picture):
                return quality
    return None
