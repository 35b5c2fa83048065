"""Still pictures of a body in motion, drawn without OpenGL: several moments side by side, for a page or a notebook.

Meshes are thinned to what a picture of this size can show, shaded by how they face the camera, and painted from back
to front together with the tendons, which have the colours of their muscles' activation.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import mujoco
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PolyCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure

from arnold.checkpoints.durable import reported_writes
from arnold.drawing import DPI, GREY, TEXT_SIZE, TITLE_SIZE
from arnold.embodiments import Body
from arnold.errors import UserError
from arnold.looking import ACTIVE, BONE, MARKER_SHARE, SILENT, TARGET, Seen, Stage, floor_height, shown_geoms
from arnold.video import AZIMUTH, ELEVATION

INCHES = (11.0, 3.0)  # width of all panels, and height of one, at most
DETAIL = 160  # cells that a body's size is divided into; a mesh has at most one vertex in each
ROUND = 16  # sides of a round thing
TENDON_PIECES = 8  # of each straight part of a tendon, so that it can pass behind one bone and before the next
TENDON_SHARE = 0.0075  # half the width of a tendon, as a share of the body's size
AMBIENT = 0.45  # of a surface that is seen edge on
FLOOR = (0.93, 0.93, 0.92)
EDGE, LONGEST = 1.06, 2.2  # room around what moves; the longer side of a panel over the shorter at most
AWAY = 1.5  # times its own size: a body that moves over more than that is followed
FAINTEST = 0.05  # activation that is drawn red where all are weaker still


def draw_stills(
    path: str | Path,
    body: Body,
    seen: Seen,
    moments: int | Sequence[float] = 5,
    *,
    title: str = "",
    azimuth: float = AZIMUTH,
    elevation: float = ELEVATION,
) -> Path:
    """A picture of several moments, from left to right; tendons go from blue to red with activation.

    Red is the strongest activation in the picture, as the scale beside it says.

    Args:
        path: the PNG file.
        body: what was seen.
        seen: its frames, from `arnold.looking.watch`.
        moments: how many, evenly spread from the first frame to the last; or which, s.
        title: a line above.
        azimuth: degrees; where the camera looks, as MuJoCo counts it.
        elevation: degrees, below 0 from above.

    Raises:
        UserError: for fewer than one moment, or one that was not seen; or where the file cannot be written.

    Example:
        >>> draw_stills("reach.png", environment.body, watch(environment, act, params))
    """
    frames = _frames(seen, moments)
    strongest = max(FAINTEST, float(seen.activation[frames].max(initial=0.0)))
    camera, stage = _axes(azimuth, elevation), Stage(body)
    stage.show(seen.qpos[0], seen.activation[0], seen.changes[0])
    surfaces = _surfaces(stage.model, stage.extent()[1])
    painted = []
    for frame in frames:
        stage.show(seen.qpos[frame], seen.activation[frame] / strongest, seen.changes[frame])
        painted.append(_painted(stage, surfaces, seen.targets[frame], camera))
    middles, half = _views(painted)
    width = min(INCHES[0] / len(frames), INCHES[1] * half[0] / half[1])
    figure = Figure(figsize=(width * len(frames) + 0.8, width * half[1] / half[0] + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(frames), squeeze=False)[0]
    for axis, frame, each, middle in zip(axes, frames, painted, middles, strict=True):
        _show(axis, each, middle, half)
        axis.set_title(f"{frame * seen.seconds:.2f} s", fontsize=TEXT_SIZE, color=GREY)
    scale = ScalarMappable(Normalize(0.0, strongest), LinearSegmentedColormap.from_list("activation", [SILENT, ACTIVE]))
    bar = figure.colorbar(scale, ax=axes, shrink=0.8, pad=0.01, aspect=18)
    bar.set_label("activation", fontsize=TEXT_SIZE)
    bar.ax.tick_params(labelsize=TEXT_SIZE)
    if title:
        figure.suptitle(title, fontsize=TITLE_SIZE, x=0.01, ha="left")
    path = Path(path)
    with reported_writes(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=DPI)
    return path


def _frames(seen: Seen, moments: int | Sequence[float]) -> list[int]:
    last = len(seen.qpos) - 1
    if isinstance(moments, int):
        if moments < 1:
            raise UserError(f"the number of moments to draw is {moments}; at least 1 is accepted")
        return np.linspace(0, last, moments).round().astype(int).tolist()
    for moment in moments:
        if not 0.0 <= moment <= (last + 0.5) * seen.seconds:
            raise UserError(
                f"the moment {moment:g} s was not seen; 0 to {last * seen.seconds:.2f} s are accepted: watch longer"
            )
    return [min(last, round(moment / seen.seconds)) for moment in moments]


def _axes(azimuth: float, elevation: float) -> np.ndarray:
    """Rows (3, 3): right, up, and towards a camera that looks from far away."""
    a, e = np.radians([azimuth, elevation])
    ahead = np.array([np.cos(a) * np.cos(e), np.sin(a) * np.cos(e), np.sin(e)])
    right = np.array([np.sin(a), -np.cos(a), 0.0])
    return np.stack([right, np.cross(right, ahead), -ahead])


@dataclasses.dataclass(frozen=True, eq=False)
class _Surface:
    """Triangles (F, 3, 3) m of a geom, in its frame, turning left as seen from outside."""

    geom: int
    triangles: np.ndarray
    colour: np.ndarray
    moves: bool


@dataclasses.dataclass(frozen=True, eq=False)
class _Flat:
    """Polygons of N corners as they are painted: (F, N, 2) m, RGB (F, 3), and depths (F,) towards the camera."""

    polygons: np.ndarray
    colours: np.ndarray
    depths: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class _Painted:
    """A moment: its parts, the floor (4, 2) or nothing, and the least and largest place (2,) m of what moves."""

    parts: tuple[_Flat, ...]
    floor: np.ndarray | None
    low: np.ndarray
    high: np.ndarray


def _painted(stage: Stage, surfaces: Sequence[_Surface], targets: np.ndarray, camera: np.ndarray) -> _Painted:
    """The stage as it stands."""
    middle, size = stage.extent()
    still: list[_Flat] = []
    moving: list[_Flat] = []
    for surface in surfaces:
        turn, place = stage.data.geom_xmat[surface.geom].reshape(3, 3), stage.data.geom_xpos[surface.geom]
        seen = _lit((surface.triangles @ turn.T + place) @ camera.T, surface.colour)
        (moving if surface.moves else still).append(seen)
    for tendon, _ in stage.muscle_of_tendon:
        path, colour = stage.path(tendon) @ camera.T, stage.model.tendon_rgba[tendon, :3]
        moving.append(_ribbon(path, TENDON_SHARE * size, colour))
    ball = 1.4 * MARKER_SHARE * size * _revolved(*_arc(1.0))
    moving += [_lit((ball + target) @ camera.T, TARGET) for target in targets]
    corners = np.concatenate([part.polygons.reshape(-1, 2) for part in moving])
    height, floor = floor_height(stage.model), None
    if height is not None:
        square = size * np.array([[-2, -2, 0], [2, -2, 0], [2, 2, 0], [-2, 2, 0]]) + [*middle[:2], height]
        floor = (square @ camera.T)[:, :2]
    return _Painted((*still, *moving), floor, corners.min(axis=0), corners.max(axis=0))


def _views(painted: Sequence[_Painted]) -> tuple[np.ndarray, np.ndarray]:
    """The middle (N, 2) m of each panel, and half their size (2,) m: one place for all, unless the body goes away."""
    low, high = np.array([p.low for p in painted]), np.array([p.high for p in painted])
    half, together = (high - low).max(axis=0) / 2.0, (high.max(axis=0) - low.min(axis=0)) / 2.0
    middles = (low + high) / 2.0
    if (together <= AWAY * half).all():
        middles, half = np.broadcast_to((low.min(axis=0) + high.max(axis=0)) / 2.0, middles.shape), together
    half = EDGE * np.maximum(half, half[::-1] / LONGEST)
    return middles, half


def _show(axis: Axes, painted: _Painted, middle: np.ndarray, half: np.ndarray) -> None:
    """Paint from back to front."""
    if painted.floor is not None:
        axis.add_collection(PolyCollection([painted.floor], facecolors=[FLOOR]))
    polygons = [polygon for part in painted.parts for polygon in part.polygons]
    order = np.argsort(np.concatenate([part.depths for part in painted.parts]), kind="stable")
    colours = np.concatenate([part.colours for part in painted.parts])[order]
    axis.add_collection(
        PolyCollection([polygons[i] for i in order], facecolors=colours, edgecolors=colours, linewidths=0.25)
    )
    (x, y), (width, height) = middle, half
    axis.set_xlim(x - width, x + width)
    axis.set_ylim(y - height, y + height)
    axis.set_aspect("equal")
    axis.axis("off")


def _lit(triangles: np.ndarray, colour: np.ndarray) -> _Flat:
    """Those of the triangles (F, 3, 3) that face the camera."""
    normal = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    length = np.linalg.norm(normal, axis=1)
    facing = normal[:, 2] / np.where(length > 0.0, length, 1.0)
    ahead = facing > 0.0
    shade = AMBIENT + (1.0 - AMBIENT) * facing[ahead, None]
    return _Flat(triangles[ahead, :, :2], shade * colour, triangles[ahead, :, 2].mean(axis=1))


def _ribbon(path: np.ndarray, half: float, colour: np.ndarray) -> _Flat:
    """A line (P, 3) of one width."""
    fine = np.linspace(0.0, len(path) - 1, TENDON_PIECES * (len(path) - 1) + 1)
    points = np.stack([np.interp(fine, np.arange(len(path)), path[:, k]) for k in range(3)], axis=1)
    begin, end = points[:-1], points[1:]
    along = (end - begin)[:, :2]
    length = np.linalg.norm(along, axis=1, keepdims=True)
    aside = half * np.stack([-along[:, 1], along[:, 0]], axis=1) / np.where(length > 0.0, length, 1.0)
    corners = [begin[:, :2] + aside, begin[:, :2] - aside, end[:, :2] - aside, end[:, :2] + aside]
    # A tendon lies on the bone that it passes, not in it.
    depth = 0.5 * (begin + end)[:, 2] + half
    return _Flat(np.stack(corners, axis=1), np.tile(colour, (len(begin), 1)), depth)


def _surfaces(model: mujoco.MjModel, size: float) -> list[_Surface]:
    made = []
    for geom in shown_geoms(model, size):
        triangles = _triangles(model, geom, size / DETAIL)
        mesh = int(model.geom_type[geom]) == int(mujoco.mjtGeom.mjGEOM_MESH)
        colour = np.asarray(BONE if mesh else model.geom_rgba[geom, :3], float)
        made.append(_Surface(geom, triangles, colour, moves=bool(model.body_weldid[model.geom_bodyid[geom]])))
    return made


def _triangles(model: mujoco.MjModel, geom: int, cell: float) -> np.ndarray:
    """Of a geom, (F, 3, 3) m in its frame; nothing of a kind that is not drawn."""
    kind, half = mujoco.mjtGeom(int(model.geom_type[geom])).name[7:], model.geom_size[geom]
    if kind == "MESH":
        return _mesh(model, int(model.geom_dataid[geom]), cell)
    if kind == "SPHERE":
        return half[0] * _revolved(*_arc(1.0))
    if kind == "ELLIPSOID":
        return half * _revolved(*_arc(1.0))
    if kind == "CAPSULE":
        radius, height = _arc(half[0])
        return _revolved(radius, height + np.sign(height) * half[1])
    if kind == "CYLINDER":
        return _revolved(half[0] * np.array([0.0, 1.0, 1.0, 0.0]), half[1] * np.array([-1.0, -1.0, 1.0, 1.0]))
    return half * _cube() if kind == "BOX" else np.zeros((0, 3, 3))


def _mesh(model: mujoco.MjModel, mesh: int, cell: float) -> np.ndarray:
    """Triangles (F, 3, 3) m of a mesh whose vertices within a cell, m, are one."""
    first, count = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
    vertices = model.mesh_vert[first : first + count].astype(float)
    faces = model.mesh_face[model.mesh_faceadr[mesh] :][: model.mesh_facenum[mesh]]
    _, kept, place = np.unique(np.round(vertices / cell).astype(int), axis=0, return_index=True, return_inverse=True)
    thinned = place.reshape(-1)[faces]
    a, b, c = thinned.T
    thinned = thinned[(a != b) & (b != c) & (a != c)]
    return np.asarray(vertices[kept][np.unique(thinned, axis=0)])


def _arc(radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Distances from the axis and heights of half a circle from pole to pole; its equator is there twice."""
    angle = np.concatenate([np.linspace(-90.0, -1e-6, ROUND // 4 + 1), np.linspace(1e-6, 90.0, ROUND // 4 + 1)])
    return radius * np.cos(np.radians(angle)), radius * np.sin(np.radians(angle))


def _revolved(radius: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Triangles (F, 3, 3) of a profile, from below to above, turned around the z axis."""
    turn = np.linspace(0.0, 2.0 * np.pi, ROUND + 1)
    ring = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    points = np.concatenate(
        [radius[:, None, None] * ring[None], np.tile(height[:, None, None], (1, ROUND + 1, 1))], axis=2
    )
    low, high = points[:-1], points[1:]
    one = np.stack([low[:, :-1], low[:, 1:], high[:, 1:]], axis=2)
    other = np.stack([low[:, :-1], high[:, 1:], high[:, :-1]], axis=2)
    return np.concatenate([one.reshape(-1, 3, 3), other.reshape(-1, 3, 3)])


def _cube() -> np.ndarray:
    """Triangles (12, 3, 3) of the box from -1 to 1."""
    square = np.array([[-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]], float)
    above = np.stack([square[[0, 1, 2]], square[[0, 2, 3]]])
    below = above[:, ::-1] * [1, 1, -1]
    return np.concatenate([np.roll(side, turn, axis=2) for side in (above, below) for turn in range(3)])
