"""Looking at a policy: what is seen, the page without a server, the video, and the live page, in a real browser."""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import re
import shutil
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from matplotlib.image import imread

from arnold import video
from arnold.embodiments import Body, Embodiment, Signals
from arnold.embodiments.action_maps import LINEAR
from arnold.errors import UserError
from arnold.looking import ACTIVE, SILENT, Seen, Stage, chosen_muscles, targets, watch
from arnold.replay_page import write_replay
from arnold.tasks import Environment, Task
from arnold.tasks.follow import MovingPoint
from arnold.tasks.gaits import Guide
from arnold.tasks.task import Channel, Outcome
from arnold.vocab import quantities

pytestmark = pytest.mark.native

MJCF = """
<mujoco>
  <option timestep="0.01" gravity="0 0 0"/>
  <worldbody>
    <geom name="floor" type="plane" size="1 1 0.1" pos="0 0 -0.2"/>
    <site name="left" pos="0 0.1 0"/> <site name="right" pos="0 -0.1 0"/>
    <body name="root">
      <joint name="hinge" axis="0 0 1" range="-1 1" limited="true" damping="1"/>
      <geom name="bone" type="capsule" fromto="0 0 0 0.3 0 0" size="0.01"/>
      <site name="tip_left" pos="0.3 0 0.05"/> <site name="tip_right" pos="0.3 0 0.05"/>
    </body>
  </worldbody>
  <tendon>
    <spatial name="left" width="0.01"><site site="left"/><site site="tip_left"/></spatial>
    <spatial name="right" width="0.01"><site site="right"/><site site="tip_right"/></spatial>
  </tendon>
  <actuator>
    <muscle name="puller" tendon="left" lengthrange="0.2 0.8" force="50" timeconst="0.03 0.03"/>
    <muscle name="pusher" tendon="right" lengthrange="0.2 0.8" force="50" timeconst="0.03 0.03"/>
  </actuator>
</mujoco>
"""
WAGGER = Embodiment(
    name="wagger", build=lambda: mujoco.MjSpec.from_string(MJCF), frame_skip=2, side=None, action_map=LINEAR
)
HORIZON, POINT = 10, (0.2, 0.05, 0.1)


@dataclasses.dataclass(frozen=True)
class Led(Task):
    """Nothing is asked, but there is a point, and it takes commands."""

    @property
    def frames(self) -> tuple[str, ...]:
        return ("root",)

    def goal(self, body: Body, key: jax.Array) -> MovingPoint:
        nothing, still = jnp.float32(0.0), jnp.zeros(2)
        guide = Guide(still, nothing, nothing, nothing, nothing)
        return MovingPoint(jnp.array(POINT), nothing, nothing, nothing, still, jnp.zeros((3, 2)), jnp.int32(0), guide)

    def channels(self, body: Body) -> tuple[Channel, ...]:
        return (Channel(body.joint_tokens(quantities.JOINT_POSITION), lambda s, g: s.joint_position),)

    def judge(self, body: Body, signals: Signals, goal: MovingPoint) -> Outcome:
        return Outcome({"nothing": jnp.float32(0.0)}, jnp.asarray(False), jnp.asarray(False))


@targets.register
def _(task: Led, body: Body, signals: Signals, goal: MovingPoint) -> jax.Array:
    return goal.point[None]


def pulls(params: Any, observation: jax.Array, key: jax.Array) -> jax.Array:
    """The first muscle with all its force, the second not at all."""
    return jnp.array([[1.0, -1.0]])


@pytest.fixture(scope="module")
def environment() -> Environment:
    return Environment(Led("led", WAGGER, (("nothing", 1.0),), HORIZON), threads=1)


@pytest.fixture(scope="module")
def seen(environment: Environment) -> Seen:
    return watch(environment, pulls, (), seconds=0.5)


# ---- what is seen ---------------------------------------------------------------------------------------------------


def test_frames_come_about_thirty_times_a_second_and_episodes_follow_one_another(environment, seen):
    assert seen.seconds == pytest.approx(2 * environment.body.control_dt)
    assert len(seen.qpos) == 13, "25 control steps of 20 ms, every second of them"
    silent = np.flatnonzero(seen.activation[:, 0] == 0.0)
    np.testing.assert_array_equal(silent, [0, HORIZON // 2, HORIZON])
    assert seen.activation[HORIZON // 2 - 1, 0] > 0.8
    np.testing.assert_allclose(seen.targets, np.broadcast_to(np.array(POINT, np.float32), (13, 1, 3)))


def test_a_time_that_cannot_be_looked_for_is_refused(environment):
    with pytest.raises(UserError, match=r"0\.001 s; from 0\.02 s"):
        watch(environment, pulls, (), seconds=0.001)


def test_tendons_are_where_mujoco_has_them_and_have_the_muscles_colours(environment, seen):
    stage = Stage(environment.body)
    frame = list(zip(range(HORIZON // 2), stage.play(seen), strict=False))[-1][1]
    stage.show(seen.qpos[frame], np.array([1.0, 0.0]), seen.changes[frame])
    np.testing.assert_allclose(stage.model.tendon_rgba, [[*ACTIVE, 1.0], [*SILENT, 1.0]], atol=1e-6)
    angle = float(seen.qpos[frame, 0])
    assert angle > 0.02, "the first muscle does not pull"
    tip = [0.3 * math.cos(angle), 0.3 * math.sin(angle), 0.05]
    np.testing.assert_allclose(stage.path(0), [[0.0, 0.1, 0.0], tip], atol=1e-6)
    assert environment.body.model.tendon_rgba[0, 2] != stage.model.tendon_rgba[0, 2], "the body itself was coloured"


def test_muscles_to_plot_are_those_asked_for_or_those_that_vary_most():
    still_and_moving = np.array([[0.5, 0.1], [0.5, 0.9]])
    names = [f"m{k}" for k in range(9)]
    wide = np.concatenate([np.zeros((2, 7)), still_and_moving], axis=1)
    assert 8 in chosen_muscles(names, (), wide)
    assert chosen_muscles(names, ("m3", "m1")) == [3, 1]
    with pytest.raises(UserError, match="no muscle 'm99'"):
        chosen_muscles(names, ("m99",))


# ---- the page that needs no server ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def page(environment, seen, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("pages") / "replay.html"
    return write_replay(path, environment.body, seen, title="<led> & co </script>")


def test_the_page_holds_the_motion_and_refers_to_nothing_outside(page, seen, environment):
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"https?:|src=|href=|@import|fetch\(", text)
    data = json.loads(re.search(r"^const D = (.*);$", text, re.MULTILINE).group(1))
    place = np.frombuffer(base64.b64decode(data["place"]), "<i2").reshape(data["frames"], data["points"], 3)
    focus = np.frombuffer(base64.b64decode(data["focus"]), "<f4").reshape(-1, 1, 3)
    world = place * data["unit"] + focus
    tip = 0.3 * np.stack([np.cos(seen.qpos[:, 0]), np.sin(seen.qpos[:, 0])], axis=1)
    bone, first_tendon = world[:, 0], world[:, 2:4]  # the bone's two ends, each tendon's two, the target
    np.testing.assert_allclose(bone[:, :2], tip, atol=1e-4)
    np.testing.assert_allclose(first_tendon[:, 1, :2], tip, atol=1e-4)
    np.testing.assert_allclose(world[:, -1], np.broadcast_to(POINT, (len(world), 3)), atol=1e-4)
    activation = np.frombuffer(base64.b64decode(data["activation"]), np.uint8).reshape(len(world), 2)
    np.testing.assert_allclose(activation / 255.0, seen.activation, atol=0.003)
    assert data["floor"] == pytest.approx(-0.2)


class Browser:
    """A headless Chromium, driven over its debugging protocol."""

    def __init__(self, socket: Any):
        self._socket, self._calls = socket, 0

    def call(self, method: str, **params: Any) -> Any:
        self._calls += 1
        self._socket.send(json.dumps({"id": self._calls, "method": method, "params": params}))
        while (answer := json.loads(self._socket.recv(timeout=30))).get("id") != self._calls:
            pass
        return answer["result"]

    def value(self, expression: str) -> Any:
        """Of a JavaScript expression."""
        return self.call("Runtime.evaluate", expression=expression)["result"].get("value")

    def wait_for(self, expression: str) -> None:
        deadline = time.monotonic() + 30.0
        while not self.value(expression):
            assert time.monotonic() < deadline, f"never true in the browser: {expression}"
            time.sleep(0.1)


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    client = pytest.importorskip("websockets.sync.client", reason="needs the extra viz")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    folder = tmp_path_factory.mktemp("browser")
    drawing = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--window-size=900,600")
    command = [
        chromium,
        "--headless",
        "--no-sandbox",
        *drawing,
        "--remote-debugging-port=0",
        f"--user-data-dir={folder}",
    ]
    process = subprocess.Popen([*command, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        told, deadline = folder / "DevToolsActivePort", time.monotonic() + 30.0
        while not (told.exists() and told.read_text().count("\n")):
            assert time.monotonic() < deadline, "Chromium does not start"
            time.sleep(0.1)
        with urllib.request.urlopen(f"http://127.0.0.1:{told.read_text().splitlines()[0]}/json") as answer:
            pages = [each for each in json.load(answer) if each["type"] == "page"]
        with client.connect(pages[0]["webSocketDebuggerUrl"], max_size=None) as socket:
            yield Browser(socket)
    finally:
        process.terminate()
        process.wait(timeout=30)


def near(picture: np.ndarray, colour: np.ndarray, within: float = 0.12) -> int:
    """How many pixels of a picture (H, W, 3) in [0, 1] have about this colour."""
    return int((np.abs(picture[..., :3] - colour) < within).all(axis=-1).sum())


def test_the_page_draws_in_a_browser_from_a_file(browser, page, tmp_path):
    browser.call("Page.navigate", url=f"{page.as_uri()}#frame=4")
    browser.wait_for("document.body && document.body.dataset.drawn === 'yes'")
    assert browser.value("document.getElementById('title').textContent") == "<led> & co </script>"
    assert browser.value("document.getElementById('time').textContent").startswith("0.16 /")
    shot = tmp_path / "shot.png"
    shot.write_bytes(base64.b64decode(browser.call("Page.captureScreenshot")["data"]))
    drawn = imread(shot)[40:, :550]  # left of the plot, below the scale of colours
    assert near(drawn, ACTIVE) > 20, "the muscle that pulls is not red"
    assert near(drawn, SILENT) > 20, "the silent muscle is not blue"
    browser.value("document.getElementById('play').click()")
    browser.wait_for("document.getElementById('scrub').value !== '4'")


# ---- videos ---------------------------------------------------------------------------------------------------------


def test_without_opengl_the_message_says_what_to_install(monkeypatch, environment, seen, tmp_path):
    monkeypatch.setattr(video, "_works", lambda name: False)
    with pytest.raises(UserError, match=r"apt-get install libosmesa6.*--out FILE\.html"):
        next(video.pictures(environment.body, seen))


def test_a_video_shows_active_and_silent_muscles_and_the_target(environment, seen, tmp_path):
    ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="needs the extra viz")
    try:
        video.opengl()
    except UserError as missing:
        pytest.skip(str(missing))
    few = dataclasses.replace(
        seen, **{name: getattr(seen, name)[:5] for name in ("qpos", "activation", "changes", "targets")}
    )
    shown = list(video.pictures(environment.body, few, (160, 120)))
    assert len(shown) == 5
    hues = shown[4].astype(float)
    red, green, blue = hues[..., 0], hues[..., 1], hues[..., 2]
    assert ((red > 2.0 * blue) & (red > 2.0 * green)).sum() > 20
    assert ((blue > 1.5 * red) & (blue > 1.3 * green)).sum() > 20
    assert ((green > 1.5 * red) & (green > 1.2 * blue)).sum() > 5
    made = video.write_video(tmp_path / "led.mp4", environment.body, few, (160, 120))
    frames, seconds = ffmpeg.count_frames_and_secs(str(made))
    assert (frames, seconds) == (5, pytest.approx(5 * seen.seconds, abs=0.02))


# ---- the live page --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def live(environment):
    pytest.importorskip("mjviser", reason="needs the extra viz")
    from arnold.live_view import LiveView

    made = LiveView(environment, pulls, (), muscles=("pusher",), port=0)
    yield made
    made.close()


def test_a_port_that_is_taken_and_a_button_that_is_not_there_are_said(live):
    from arnold.live_view import LiveView

    taken = live.server.get_port()
    with pytest.raises(UserError, match=rf"served at 127\.0\.0\.1:{taken}: .*free port"):
        LiveView(live.environment, pulls, (), port=taken)
    with pytest.raises(UserError, match="no button 'up'"):
        live.press("up")


def test_the_direction_pad_is_seen_from_where_the_body_faces_and_holds_in_the_next_episode(live):
    from arnold.live_view import facing

    for _ in range(5):
        live.advance()
    ahead = facing(live.environment.body, live.state)
    assert ahead == pytest.approx(float(live.state.physics.qpos[0]), abs=1e-5)
    live.press("←")
    live.advance()
    left = 1.2 * np.array([math.cos(ahead + math.pi / 2), math.sin(ahead + math.pi / 2)])
    np.testing.assert_allclose(live.state.goal.knots[0], left, atol=1e-5)
    for _ in range(HORIZON):
        live.advance()
    assert int(live.state.elapsed) < HORIZON - 1
    np.testing.assert_allclose(live.state.goal.knots[0], left, atol=1e-5)
    live.press("stop")
    live.advance()
    np.testing.assert_array_equal(live.state.goal.knots, np.zeros((3, 2)))


def test_the_live_page_opens_in_a_browser_and_its_buttons_work(live, browser):
    browser.call("Page.navigate", url=live.address)
    button = "[...document.querySelectorAll('button')].find(b => b.textContent === '{}')"
    browser.wait_for("!!" + button.format("pause"))
    browser.wait_for("!!" + button.format("stop"))
    over, pace = threading.Event(), live.environment.body.control_dt

    def run() -> None:
        while not over.wait(pace):
            live.advance()
            live.draw()

    running = threading.Thread(target=run)
    running.start()
    try:
        browser.value(f"{button.format('↑')}.click()")
        deadline = time.monotonic() + 30.0
        while (speed := float(np.linalg.norm(live.state.goal.knots[0]))) == 0.0 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert speed == pytest.approx(1.2, abs=1e-5), "the click did not arrive"
        browser.wait_for("document.body.textContent.includes('of the episode')")
        browser.value(f"{button.format('pause')}.click()")
        browser.wait_for("!!" + button.format("play"))
        assert not live.playing
    finally:
        over.set()
        running.join()
