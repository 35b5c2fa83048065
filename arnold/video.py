"""Videos of an episode, drawn without a screen: the body's meshes, tendons coloured by activation, target markers."""

from __future__ import annotations

import contextlib
import functools
import importlib
import itertools
import os
import subprocess
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from arnold.checkpoints.durable import reported_writes
from arnold.embodiments import Body
from arnold.errors import UserError
from arnold.extras import extra_module
from arnold.looking import MARKER_SHARE, TARGET, Seen, Stage, camera_path

AZIMUTH, ELEVATION = 128.0, -14.0  # degrees, of where the camera looks
ROOM = 1.15  # of the picture, for each unit of the body's size
PAPER = 245  # grey level behind a body whose scene has no sky
LIBRARIES = ("egl", "osmesa")  # in the order that they are tried: with a graphics card, without
PACKAGES = "apt-get install libosmesa6 (no graphics card needed) or libegl1 (with a card and its driver)"
_PROBE = """
import mujoco
context = mujoco.GLContext(8, 8)
context.make_current()
mujoco.MjrContext(mujoco.MjModel.from_xml_string("<mujoco/>"), mujoco.mjtFontScale.mjFONTSCALE_100)
print("works", flush=True)
"""


def write_video(path: str | Path, body: Body, seen: Seen, size: tuple[int, int] = (640, 480)) -> Path:
    """Write what was seen as mp4 (H.264), at the speed at which it happened.

    Args:
        path: the file.
        body: what was seen.
        seen: its frames.
        size: width and height, pixels; even numbers.

    Raises:
        UserError: no OpenGL library works, imageio-ffmpeg is not installed, or the file cannot be written.
    """
    ffmpeg = extra_module("imageio_ffmpeg", "viz", "videos").get_ffmpeg_exe()
    path = Path(path)
    with reported_writes(path, "nothing of it is kept"), contextlib.closing(pictures(body, seen, size)) as frames:
        path.parent.mkdir(parents=True, exist_ok=True)
        first = next(frames)  # whatever is missing is said before there is a file
        given = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size[0]}x{size[1]}", "-r", f"{1.0 / seen.seconds:.6f}"]
        made = ["-c:v", "libx264", "-crf", "20", "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
        # Not imageio-ffmpeg's own writer, which forks; a process in which JAX runs must not.
        writer = subprocess.Popen(
            [ffmpeg, "-loglevel", "error", "-y", *given, "-i", "-", *made, str(path)],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        with contextlib.suppress(BrokenPipeError):  # it says itself why it stopped reading
            assert writer.stdin is not None
            for frame in itertools.chain([first], frames):
                writer.stdin.write(frame.tobytes())
        said = writer.communicate()[1].decode(errors="replace")
    if writer.returncode:
        path.unlink(missing_ok=True)
        raise UserError(f"video {str(path)!r} was not written; ffmpeg says: {' '.join(said.split())[-300:]}")
    return path


def pictures(body: Body, seen: Seen, size: tuple[int, int] = (640, 480)) -> Generator[np.ndarray, None, None]:
    """Each frame as a picture, uint8 (height, width, 3); the camera follows the body.

    Raises:
        UserError: no OpenGL library works.
    """
    stage = Stage(body)
    extents = [stage.extent() for _ in stage.play(seen)]
    focus = camera_path(np.array([middle for middle, _ in extents]), seen.seconds)
    reach = max(size for _, size in extents)
    light = stage.model.vis.headlight  # some scenes have no light of their own
    light.ambient, light.diffuse = np.maximum(light.ambient, 0.3), np.maximum(light.diffuse, 0.5)
    camera = mujoco.MjvCamera()
    camera.azimuth, camera.elevation = AZIMUTH, ELEVATION
    camera.distance = ROOM * reach / float(np.sin(np.radians(stage.model.vis.global_.fovy / 2.0)))
    with _drawing(stage.model, size) as draw:
        for frame in stage.play(seen):
            camera.lookat[:] = focus[frame]
            yield draw(stage.data, camera, seen.targets[frame], MARKER_SHARE * reach)


def opengl() -> str:
    """The OpenGL library to draw with: that of MUJOCO_GL where it is set, otherwise the first that works.

    Raises:
        UserError: none works.
    """
    asked = os.environ.get("MUJOCO_GL", "").lower()
    tried = (asked,) if asked in LIBRARIES else LIBRARIES
    for name in tried:
        if _works(name):
            return name
    raise UserError(
        f"videos need OpenGL, and {' and '.join(tried)} do{'es' if len(tried) == 1 else ''} not work here: {PACKAGES}; "
        "or give --out FILE.html: a page needs none"
    )


@functools.cache
def _works(name: str) -> bool:
    """Whether a library draws; tried in a process of its own, which it may end."""
    variables = {key: value for key, value in os.environ.items() if key != "PYOPENGL_PLATFORM"}
    tried = subprocess.run(
        [sys.executable, "-c", _PROBE],
        env=variables | {"MUJOCO_GL": name},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return "works" in tried.stdout


@contextlib.contextmanager
def _drawing(model: mujoco.MjModel, size: tuple[int, int]) -> Iterator[Any]:
    """A function (data, camera, targets (N, 3), their radius) -> picture.

    Not `mujoco.Renderer`, which takes the library that MUJOCO_GL named when mujoco was first imported.
    """
    width, height = size
    model.vis.global_.offwidth, model.vis.global_.offheight = size
    context = importlib.import_module(f"mujoco.{opengl()}").GLContext(width, height)
    context.make_current()
    with contextlib.closing(_Closing(context)):
        renderer = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, renderer)
        scene = mujoco.MjvScene(model, maxgeom=10_000)
        for effect in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
            scene.flags[effect] = 0  # two thirds of the time where there is no graphics card
        sky = bool((model.tex_type == int(mujoco.mjtTexture.mjTEXTURE_SKYBOX)).any())
        options, window = mujoco.MjvOption(), mujoco.MjrRect(0, 0, width, height)
        everything = int(mujoco.mjtCatBit.mjCAT_ALL)

        def draw(data: mujoco.MjData, camera: mujoco.MjvCamera, targets: np.ndarray, radius: float) -> np.ndarray:
            mujoco.mjv_updateScene(model, data, options, None, camera, everything, scene)
            for place in targets:
                sphere, scene.ngeom = scene.geoms[scene.ngeom], scene.ngeom + 1
                mujoco.mjv_initGeom(
                    sphere,
                    mujoco.mjtGeom.mjGEOM_SPHERE,
                    np.full(3, radius),
                    place.astype(float),
                    np.eye(3).ravel(),
                    np.array([*TARGET, 1.0], np.float32),
                )
            mujoco.mjr_render(window, scene, renderer)
            picture, depth = np.empty((height, width, 3), np.uint8), np.empty((height, width), np.float32)
            mujoco.mjr_readPixels(picture, depth, window, renderer)
            if not sky:
                picture[(depth == 1.0) & ~picture.any(axis=-1)] = PAPER
            return np.ascontiguousarray(picture[::-1])

        yield draw
        renderer.free()


class _Closing:
    """An OpenGL context that `contextlib.closing` frees."""

    def __init__(self, context: Any):
        self.close = context.free
