"""What the text-to-motion model MDM generates: `results.npy`, joint places of 22 SMPL joints at 20 frames per second.

The format is that of github.com/GuyTevet/motion-diffusion-model: a dictionary with `motion` (N, 22, 3, T) in metres
with y up, `text`, and `lengths` of the N motions in frames. HumanML3D, on which it is trained, has 20 frames per
second.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from arnold.errors import UserError
from arnold.motion.motion import KEYPOINTS, Motion
from arnold.motion.readers.frames import heading, upright
from arnold.motion.readers.options import ReadOptions, check_finite
from arnold.motion.readers.smpl import BODY_JOINTS, JOINTS

RATE = 20.0
"""Frames per second of HumanML3D and what is trained on it."""


def read(path: Path, content: dict[str, Any], options: ReadOptions) -> Motion:
    """One of the motions of an MDM result: number `ReadOptions.clip`, named after it.

    Raises:
        UserError: where the arrays have another shape, or there is no such motion.
    """
    motions = np.asarray(content["motion"])
    if motions.ndim != 4 or motions.shape[1:3] != (BODY_JOINTS, 3) or motions.dtype.kind != "f":
        raise UserError(
            f"{str(path)!r} has a motion of shape {motions.shape}; (motions, {BODY_JOINTS}, 3, frames), joint places "
            "as MDM writes them, is accepted"
        )
    if not 0 <= options.clip < len(motions):
        raise UserError(
            f"{str(path)!r} has {len(motions)} motions; clip={options.clip} is not among 0 to {len(motions) - 1}"
        )
    lengths = np.asarray(content.get("lengths", [motions.shape[3]] * len(motions))).reshape(-1)
    frames = min(int(lengths[options.clip]), motions.shape[3]) if len(lengths) == len(motions) else motions.shape[3]
    rate = options.frame_rate(path, None, RATE)
    window = options.window(path, frames, rate)
    places = motions[options.clip].transpose(2, 0, 1)[window].astype(float)
    check_finite(path, "joint place", places, window.start)
    points = {name: places[:, JOINTS[name]] for name in KEYPOINTS}
    to_world = upright(path, points, options.up or "y", "y")
    scale = 1.0 if options.scale is None else options.scale
    points = {name: scale * point @ to_world.T for name, point in points.items()}
    turn = heading(points) if options.align else np.eye(3)
    texts = content.get("text", [])
    said = f": {texts[options.clip]}" if isinstance(texts, list) and len(texts) == len(motions) else ""
    return Motion(
        name=f"{path.stem}_{options.clip}" if len(motions) > 1 else path.stem,
        rate=rate,
        keypoints={name: point @ turn.T for name, point in points.items()},
        source=f"MDM result {path.name}{said}",
    )
