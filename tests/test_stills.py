"""Still pictures without OpenGL, and the page as the value of a notebook's cell."""

from __future__ import annotations

import html
import re
from pathlib import Path

import mujoco
import numpy as np
import pytest
from matplotlib.image import imread

from arnold.embodiments import Body, Embodiment
from arnold.errors import UserError
from arnold.looking import ACTIVE, SILENT, TARGET, Seen
from arnold.replay_page import replay, write_replay
from arnold.stills import draw_stills

pytestmark = pytest.mark.native

BONE_COLOUR = np.array([0.9, 0.8, 0.1])
MJCF = """
<mujoco>
  <asset><mesh name="block" vertex="0 0 0  1 0 0  0 1 0  0 0 1" scale="0.02 0.02 0.02"/></asset>
  <worldbody>
    <site name="left" pos="-0.1 0.15 0"/> <site name="right" pos="-0.1 -0.15 0"/>
    <body name="root">
      <joint name="hinge" axis="0 0 1"/>
      <geom type="capsule" fromto="0 0 0 0.3 0 0" size="0.03" rgba="0.9 0.8 0.1 1"/>
      <geom type="box" size="0.01 0.01 0.01" rgba="0.9 0.8 0.1 1"/> <geom type="sphere" size="0.01"/>
      <geom type="ellipsoid" size="0.01 0.02 0.01"/> <geom type="cylinder" size="0.01 0.01"/>
      <geom type="mesh" mesh="block" mass="0.01"/>
      <site name="tip_left" pos="0.3 0.06 0"/> <site name="tip_right" pos="0.3 -0.06 0"/>
    </body>
  </worldbody>
  <tendon>
    <spatial name="left" width="0.01"><site site="left"/><site site="tip_left"/></spatial>
    <spatial name="right" width="0.01"><site site="right"/><site site="tip_right"/></spatial>
  </tendon>
  <actuator>
    <muscle name="puller" tendon="left" lengthrange="0.2 0.8" force="50"/>
    <muscle name="pusher" tendon="right" lengthrange="0.2 0.8" force="50"/>
  </actuator>
</mujoco>
"""
ABOVE = {"azimuth": 90.0, "elevation": -90.0}  # x to the right, y up


@pytest.fixture(scope="module")
def body() -> Body:
    return Embodiment(name="bar", build=lambda: mujoco.MjSpec.from_string(MJCF), side=None).compile()


@pytest.fixture(scope="module")
def seen() -> Seen:
    """Three frames, 0.1 s apart: the bar lies along x with its left muscle active; then along y; then along x again."""
    return Seen(
        task="bar",
        seconds=0.1,
        qpos=np.array([[0.0], [np.pi / 2], [0.0]], np.float32),
        activation=np.array([[0.4, 0.0]] * 3, np.float32),
        changes=np.zeros((3, 0), np.float32),
        targets=np.array([[[0.15, 0.11, 0.1]]] * 3, np.float32),
    )


def pixels(picture: np.ndarray, colour: np.ndarray, within: float = 0.12) -> np.ndarray:
    """Rows and columns (N, 2) of the pixels that have about this colour."""
    return np.argwhere((np.abs(picture[..., :3] - colour) < within).all(axis=-1))


def test_a_still_shows_the_bar_from_above_with_its_muscles_in_their_colours(
    body: Body, seen: Seen, tmp_path: Path
) -> None:
    picture = imread(draw_stills(tmp_path / "bar.png", body, seen, [0.0], **ABOVE))
    picture = picture[:, : int(0.8 * picture.shape[1])]  # the scale of colours is beside it
    bar, red, blue, green = (pixels(picture, c) for c in (BONE_COLOUR, ACTIVE, SILENT, TARGET))
    assert min(map(len, (bar, red, blue, green))) > 20
    assert np.ptp(bar[:, 1]) > 3 * np.ptp(bar[:, 0]), "the bar does not lie along x"
    assert red[:, 0].max() < bar[:, 0].mean() < blue[:, 0].min(), "left is not above, right not below"


def test_red_is_the_strongest_activation_of_the_picture(body: Body, seen: Seen, tmp_path: Path) -> None:
    weak = Seen(**{**vars(seen), "activation": seen.activation / 2})
    shown = [
        imread(draw_stills(tmp_path / f"{k}.png", body, each, [0.0], **ABOVE)) for k, each in enumerate((seen, weak))
    ]
    count = [len(pixels(picture[:, : int(0.8 * picture.shape[1])], ACTIVE)) for picture in shown]
    assert count[0] == pytest.approx(count[1], rel=0.1)


def test_a_panel_is_of_the_frame_nearest_to_its_moment(body: Body, seen: Seen, tmp_path: Path) -> None:
    one, two = (imread(draw_stills(tmp_path / f"{moment}.png", body, seen, [moment], **ABOVE)) for moment in (0.1, 0.2))
    upright, flat = pixels(one, BONE_COLOUR), pixels(two, BONE_COLOUR)
    assert np.ptp(upright[:, 0]) > 2 * np.ptp(upright[:, 1])
    assert np.ptp(flat[:, 1]) > 2 * np.ptp(flat[:, 0])


@pytest.mark.parametrize(
    ("moments", "said"), [(0, "moments to draw is 0; at least 1"), ([0.5], r"0\.5 s was not seen; 0 to 0\.20 s")]
)
def test_moments_that_were_not_seen_are_refused(body: Body, seen: Seen, tmp_path: Path, moments, said: str) -> None:
    with pytest.raises(UserError, match=said):
        draw_stills(tmp_path / "none.png", body, seen, moments)


def test_a_replay_is_shown_by_a_notebook_as_the_page_that_is_written(body: Body, seen: Seen, tmp_path: Path) -> None:
    made = replay(body, seen, title="<bar>")
    framed = re.search(r'srcdoc="([^"]*)"', made._repr_html_())
    assert framed is not None
    assert html.unescape(framed[1]) == made.page
    assert made.page == write_replay(tmp_path / "bar.html", body, seen, title="<bar>").read_text(encoding="utf-8")
    assert len(repr(made)) < 100, "a terminal shows the whole page"
