"""A page that shows an episode and needs nothing but a browser: no server, no other file, no network.

Bones are drawn as capsules (of a mesh, along its longest side), tendons as lines. All that moves is a point; a file
holds the places of all points in each frame as 16-bit numbers, seen from where the camera looks.
"""

from __future__ import annotations

import base64
import dataclasses
import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from arnold.checkpoints.durable import reported_writes
from arnold.embodiments import Body
from arnold.looking import (
    ACTIVE,
    BONE,
    MARKER_SHARE,
    SILENT,
    TARGET,
    Seen,
    Stage,
    camera_path,
    chosen_muscles,
    floor_height,
    shown_geoms,
)

SLENDER = 0.55  # of a mesh's shortest side: bones are thinner than the boxes that hold them
DATA, TITLE = "/*DATA*/null", "<!--TITLE-->"
_BOX = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)


@dataclasses.dataclass(frozen=True)
class Shape:
    """A thing to draw: points in the frame of a geom, and how they are joined.

    Attributes:
        kind: ``capsule`` (2 points), ``sphere`` (1) or ``box`` (8).
        geom: its id.
        points: (P, 3) m, in the geom's frame.
        radius: m.
        colour: RGB.
    """

    kind: str
    geom: int
    points: np.ndarray
    radius: float
    colour: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Replay:
    """A page in memory; as the value of a notebook's cell it is shown and played there.

    Attributes:
        page: HTML that refers to nothing else.
        height: of its frame in a notebook, pixels.
    """

    page: str = dataclasses.field(repr=False)
    height: int = 480

    def _repr_html_(self) -> str:
        """What IPython shows."""
        style = f"width:100%;height:{self.height}px;border:0"
        return f'<iframe srcdoc="{html.escape(self.page)}" style="{style}"></iframe>'


def replay(body: Body, seen: Seen, muscles: Sequence[str] = (), title: str = "") -> Replay:
    """The page of `write_replay`, to be shown in a notebook; arguments and errors as there.

    Example:
        >>> replay(environment.body, watch(environment, act, params))
    """
    shown = chosen_muscles(body.muscles, muscles, seen.activation)
    data = json.dumps(_content(body, seen, shown, title or seen.task), separators=(",", ":"))
    page = Path(__file__).with_suffix(".html").read_text(encoding="utf-8")
    escaped = title.replace("&", "&amp;").replace("<", "&lt;")
    return Replay(page.replace(TITLE, escaped).replace(DATA, data.replace("</", "<\\/")))


def write_replay(path: str | Path, body: Body, seen: Seen, muscles: Sequence[str] = (), title: str = "") -> Path:
    """Write a page that plays what was seen.

    Args:
        path: the HTML file.
        body: what was seen.
        seen: its frames.
        muscles: names of those that the page plots at first; those that vary most where not given.
        title: a line of text.

    Raises:
        UserError: for an unknown muscle, or where the file cannot be written.
    """
    made = replay(body, seen, muscles, title)
    path = Path(path)
    with reported_writes(path, "nothing of it is kept"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(made.page, encoding="utf-8")
    return path


def _content(body: Body, seen: Seen, shown: list[int], title: str) -> dict[str, Any]:
    stage = Stage(body)
    stage.show(seen.qpos[0], seen.activation[0], seen.changes[0])
    shapes = _shapes(stage.model, stage.extent()[1])
    solid, paths, middles, sizes = [], [], [], []
    for _ in stage.play(seen):
        solid.append(_placed(shapes, stage.data))
        paths.append([stage.path(tendon) for tendon, _ in stage.muscle_of_tendon])
        middle, size = stage.extent()
        middles.append(middle)
        sizes.append(size)
    focus = camera_path(np.array(middles), seen.seconds).astype(np.float32)
    longest = [max(len(frame[k]) for frame in paths) for k in range(len(stage.muscle_of_tendon))]
    padded = [np.concatenate([np.zeros((0, 3)), *map(_lengthened, frame, longest)]) for frame in paths]
    points = np.concatenate([np.array(solid), np.array(padded), seen.targets], axis=1) - focus[:, None]
    unit = max(float(np.abs(points).max(initial=0.0)), 1e-6) / 32767.0
    size = float(np.max(sizes))
    return {
        "title": title,
        "seconds": seen.seconds,
        "frames": len(seen.qpos),
        "points": points.shape[1],
        "unit": unit,
        "size": size,
        "marker": MARKER_SHARE * size,
        "floor": floor_height(stage.model),
        "shapes": [
            {"kind": s.kind, "points": len(s.points), "radius": round(s.radius, 5), "colour": _bytes_of(s.colour)}
            for s in shapes
        ],
        "tendons": [[m, count] for (_, m), count in zip(stage.muscle_of_tendon, longest, strict=True)],
        "targets": seen.targets.shape[1],
        "muscles": list(body.muscles),
        "shown": shown,
        "silent": _bytes_of(SILENT),
        "active": _bytes_of(ACTIVE),
        "target": _bytes_of(TARGET),
        "place": _packed(np.rint(points / unit), "<i2"),
        "focus": _packed(focus, "<f4"),
        "activation": _packed(np.rint(255.0 * np.clip(seen.activation, 0.0, 1.0)), "u1"),
    }


def _shapes(model: mujoco.MjModel, size: float) -> list[Shape]:
    """What is drawn of the geoms that are shown."""
    shapes = []
    for geom in shown_geoms(model, size):
        rgba = model.geom_rgba[geom]
        kind, half = mujoco.mjtGeom(int(model.geom_type[geom])).name[7:], model.geom_size[geom]
        colour = tuple(float(part) for part in rgba[:3])
        upright = np.array([0.0, 0.0, half[1]])
        if kind == "SPHERE":
            shapes.append(Shape("sphere", geom, np.zeros((1, 3)), float(half[0]), colour))
        elif kind in ("CAPSULE", "CYLINDER"):
            shapes.append(Shape("capsule", geom, np.array([-upright, upright]), float(half[0]), colour))
        elif kind == "BOX":
            shapes.append(Shape("box", geom, _BOX * half, 0.0, colour))
        elif kind == "ELLIPSOID":
            shapes.append(_along_its_longest_side(geom, np.zeros(3), half, 1.0, colour))
        elif kind == "MESH":
            box = model.geom_aabb[geom]
            shapes.append(_along_its_longest_side(geom, box[:3], box[3:], SLENDER, BONE))
    return shapes


def _along_its_longest_side(
    geom: int, middle: np.ndarray, half: np.ndarray, slender: float, colour: tuple[float, ...]
) -> Shape:
    axis = int(half.argmax())
    radius = slender * float(half.min())
    reach = np.zeros(3)
    reach[axis] = max(0.0, half[axis] - radius)
    return Shape("capsule", geom, np.array([middle - reach, middle + reach]), radius, colour)


def _placed(shapes: Sequence[Shape], data: mujoco.MjData) -> np.ndarray:
    """All points (N, 3) m of the shapes, world frame."""
    placed = [s.points @ data.geom_xmat[s.geom].reshape(3, 3).T + data.geom_xpos[s.geom] for s in shapes]
    return np.concatenate([np.zeros((0, 3)), *placed])


def _lengthened(path: np.ndarray, count: int) -> np.ndarray:
    """A tendon's path with its last point repeated, so that it has ``count`` points in every frame."""
    last = path[-1:] if len(path) else np.zeros((1, 3))
    return np.concatenate([path, np.repeat(last, count - len(path), axis=0)])


def _bytes_of(colour: Any) -> list[int]:
    return [round(255.0 * float(part)) for part in colour]


def _packed(values: np.ndarray, dtype: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype).tobytes()).decode("ascii")
