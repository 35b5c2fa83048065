"""Clips by name: those that the library makes itself, files, and folders of files."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from arnold.embodiments import Embodiment
from arnold.errors import UserError, did_you_mean
from arnold.motion.clip import Clip
from arnold.motion.cycles import RUNNING, WALKING, gait, standing
from arnold.motion.motion import Motion
from arnold.motion.reaches import reaches

MADE: dict[str, Callable[[], Motion]] = {
    "walk": functools.partial(gait, WALKING),
    "walk_slow": functools.partial(gait, WALKING, speed=0.9),
    "walk_fast": functools.partial(gait, WALKING, speed=1.7),
    "walk_left": functools.partial(gait, WALKING, speed=1.1, turn=math.radians(25.0)),
    "walk_right": functools.partial(gait, WALKING, speed=1.1, turn=-math.radians(25.0)),
    "walk_brisk": functools.partial(gait, WALKING, speed=1.5),
    "walk_wide_left": functools.partial(gait, WALKING, speed=1.2, turn=math.radians(15.0)),
    "stand": standing,
    "run": functools.partial(gait, RUNNING),
    **{f"reaches_{seed}": functools.partial(reaches, seed) for seed in range(8)},
}
"""Motions that are made by code, by the name of their clip."""


def clips_of(names: Sequence[str], body: Embodiment) -> tuple[Clip, ...]:
    """Clips for a body.

    Args:
        names: of `MADE`, or paths of clip files, or of folders of them.
        body: the embodiment that they are for.

    Raises:
        UserError: for a name that is neither, or a folder without clips.
    """
    found: list[Clip] = []
    for name in names:
        path = Path(name).expanduser()
        if name in MADE:
            found.append(_made(name, body))
        elif path.is_dir():
            files = sorted(path.glob("*.npz"))
            if not files:
                raise UserError(
                    f"folder {name!r} holds no clips (*.npz); fill it with `arnold retarget FILE --out {name}`"
                )
            found += [Clip.load(file) for file in files]
        elif path.suffix == ".npz":
            found.append(Clip.load(path))
        else:
            raise UserError(
                f"unknown clip {name!r}; {did_you_mean(name, MADE)} Or give the path of a clip file, or a folder"
            )
    return tuple(found)


@functools.lru_cache(maxsize=64)
def _made(name: str, body: Embodiment) -> Clip:
    """A clip made by code; kept in the user's cache, for retargeting takes seconds."""
    kept = cache_folder() / f"{body.name}-{name}-{_edition(body)}.npz"
    if kept.is_file():
        with contextlib.suppress(UserError):  # a damaged one is made anew
            return Clip.load(kept)
    from arnold.motion.retargeting import retarget

    clip = dataclasses.replace(retarget(MADE[name](), body), name=name)
    with contextlib.suppress(UserError, OSError):  # where nothing can be kept, it is made each time
        clip.save(kept)
    return clip


def cache_folder() -> Path:
    """Where clips made by code are kept: XDG's cache folder, ``~/.cache`` by default."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "arnold" / "clips"


@functools.lru_cache(maxsize=16)
def _edition(body: Embodiment) -> str:
    """Twelve hex digits that change with the body and with the code that makes clips."""
    said = hashlib.sha256(body.compile().fingerprint.encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        said.update(source.read_bytes())
    return said.hexdigest()[:12]
