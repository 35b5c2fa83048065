"""A policy in a browser, as it acts: the body, its muscles' colours, target markers, a plot, and a direction pad.

The page is mjviser's, which draws MuJoCo's meshes and tendons through viser; with viser alone, geoms and tendons would
have to be turned into its meshes here.
"""

from __future__ import annotations

import collections
import math
import socket
import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from arnold.embodiments import Body
from arnold.episodes import Act
from arnold.errors import UserError
from arnold.extras import extra_module
from arnold.looking import FRAMES_PER_SECOND, MARKER_SHARE, TARGET, Stage, begin, chosen_muscles, look, proceed
from arnold.tasks import Environment
from arnold.tasks.environment import EnvState
from arnold.tasks.follow import FASTEST, MovingPoint, commanded
from arnold.tasks.rotations import heading, rotation
from arnold.tasks.walk import FORWARD, ROOT

PAD = (("↖", "↑", "↗"), ("←", "stop", "→"), ("↙", "↓", "↘"))
DIRECTIONS = {"↑": 0, "↖": 45, "←": 90, "↙": 135, "↓": 180, "↘": -135, "→": -90, "↗": -45}  # degrees from ahead
PLOTTED = 5.0  # s
PLOTS_PER_SECOND = 5
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
SLOWEST, QUICKEST = 0.1, 2.0


class LiveView:
    """A server of one page. Call `run`, or `advance` for one control step after the other.

    Args:
        environment: the task.
        act: the agent.
        params: handed to it.
        seed: of starts, goals and the agent's own chance.
        muscles: names of those that are plotted at first; the first few where not given.
        host: which addresses may open the page; by default this machine's own.
        port: where; 0 for a free one.

    Attributes:
        address: of the page.
        playing: whether time goes on.
        speed: of time.
        state: of the environment.

    Raises:
        UserError: mjviser is not installed, a muscle is unknown, or nothing can be served there.
    """

    def __init__(
        self,
        environment: Environment,
        act: Act,
        params: Any,
        *,
        seed: int = 0,
        muscles: Sequence[str] = (),
        host: str = "127.0.0.1",
        port: int = 8080,
    ):
        self._mjviser = extra_module("mjviser", "viz", "the live view")
        viser = extra_module("viser", "viz", "the live view")
        self.environment, self.playing, self.speed = environment, True, 1.0
        self._shown = chosen_muscles(environment.body.muscles, muscles)
        self._key, reset_key = jax.random.split(jax.random.key(seed))
        self._act, self._params = act, params
        self._begin = jax.jit(lambda key: begin(environment, key))
        self._proceed = jax.jit(self._next)
        self._look = jax.jit(lambda state: look(environment, state))
        self.state: EnvState = self._begin(reset_key)
        self._restart, self._pressed = False, ""
        self._command: tuple[float, float] | None = None  # rad from the world's x, m/s
        self._past: collections.deque[np.ndarray] = collections.deque(
            maxlen=max(2, round(PLOTTED / environment.body.control_dt))
        )
        self._stage = Stage(environment.body)
        self.server = viser.ViserServer(host=host, port=_open_port(host, port), verbose=False)
        self.address = f"http://{host}:{self.server.get_port()}"
        self._build()

    def run(self) -> None:
        """Serve until interrupted; time goes at `speed` as far as this machine can."""
        due, drawn, plotted = time.monotonic(), 0.0, 0.0
        while True:
            now = time.monotonic()
            if self._restart or self.playing:
                self.advance()
                due = max(due + self.environment.body.control_dt / self.speed, now - 0.1)
            else:
                due = now + 0.05
            if now - drawn > 1.0 / FRAMES_PER_SECOND:
                self.draw()
                drawn = now
            if now - plotted > 1.0 / PLOTS_PER_SECOND:
                self.plot()
                plotted = now
            time.sleep(max(0.0, due - time.monotonic()))

    def advance(self) -> None:
        """One control step, or the next episode where that was asked for."""
        self._key, key = jax.random.split(self._key)
        if self._restart:
            self._restart = False
            self.state = self._begin(key)
        if isinstance(self.state.goal, MovingPoint):
            self._follow_the_pad()
        self.state = self._proceed(self._params, self.state, key)
        self._past.append(np.asarray(self.state.physics.act)[self.environment.body.muscle_act])

    def press(self, direction: str) -> None:
        """Press a button of the direction pad: where to walk, seen from where the body faces.

        Args:
            direction: one of `PAD`.

        Raises:
            UserError: there is no such button, or the task takes no commands.
        """
        buttons = [button for row in PAD for button in row]
        if direction not in buttons:
            raise UserError(f"no button {direction!r} on the direction pad; {' '.join(buttons)} are accepted")
        if not isinstance(self.state.goal, MovingPoint):
            raise UserError(
                f"task {self.environment.task.name!r} takes no commands; give one that does, such as "
                "directional_control"
            )
        self._pressed = direction

    def draw(self) -> None:
        """Show the present state."""
        frame = jax.tree.map(np.asarray, self._look(self.state))
        self._stage.show(frame["qpos"], frame["activation"], frame["changes"])
        self._scene.update_from_mjdata(self._stage.data)
        for marker, place in zip(self._markers, frame["targets"], strict=True):
            marker.position = place
        solved = "solved" if bool(self.state.solved) else "not solved"
        self._said.content = f"{float(self.state.physics.time):.2f} s of the episode, {solved}"

    def plot(self) -> None:
        """Show the activations of the last few seconds."""
        if not self._past:
            return
        past = np.array(self._past)
        seconds = (np.arange(len(past)) - len(past) + 1) * self.environment.body.control_dt
        self._plot.data = (seconds, *(past[:, m].astype(float) for m in self._shown))

    def close(self) -> None:
        """Stop serving."""
        self.server.stop()

    def _next(self, params: Any, state: EnvState, key: jax.Array) -> EnvState:
        return proceed(self.environment, state, self._act(params, state.observation[None], key)[0])

    def _follow_the_pad(self) -> None:
        """Command what was pressed, and again in each new episode."""
        pressed, self._pressed = self._pressed, ""
        if pressed:
            ahead = facing(self.environment.body, self.state)
            turn = math.radians(DIRECTIONS.get(pressed, 0))
            speed = 0.0 if pressed == "stop" else float(self._pace.value)
            self._command = (ahead + turn, speed)
        if self._command is not None and (pressed or int(self.state.elapsed) == 0):
            self.state = commanded(self.state, *self._command)

    def _build(self) -> None:
        gui, body, server = self.server.gui, self.environment.body, self.server
        frame = jax.tree.map(np.asarray, self._look(self.state))
        self._stage.show(frame["qpos"], frame["activation"], frame["changes"])
        middle, size = self._stage.extent()
        gui.configure_theme(show_share_button=False, show_logo=False)
        gui.main_panel.dock_right()
        self._scene = self._mjviser.ViserMujocoScene(server, self._stage.model, 1)
        self._scene.show_tendons = True
        self._scene.update_from_mjdata(self._stage.data)
        offset = np.array(self._scene.fixed_bodies_frame.position)  # the scene moves so that the body stays
        server.initial_camera.look_at = middle + offset
        server.initial_camera.position = middle + offset + size * np.array([1.3, -1.8, 0.6])
        self._markers = [
            server.scene.add_icosphere(  # below what stands still, so that places are the world's
                f"/fixed_bodies/target_{k}",
                radius=MARKER_SHARE * size,
                color=tuple(int(255 * part) for part in TARGET),
                position=place,
            )
            for k, place in enumerate(frame["targets"])
        ]
        gui.add_markdown(f"**{self.environment.task.name}**")
        self._said = gui.add_markdown("")
        self._build_player(gui)
        if isinstance(self.state.goal, MovingPoint):
            self._build_pad(gui)
        self._build_plot(gui, body)

    def _build_player(self, gui: Any) -> None:
        play = gui.add_button("pause")

        @play.on_click
        def _(_: Any) -> None:
            self.playing = not self.playing
            play.label = "pause" if self.playing else "play"

        again = gui.add_button("next episode")

        @again.on_click
        def _(_: Any) -> None:
            self._restart = True

        speed = gui.add_slider("speed", min=SLOWEST, max=QUICKEST, step=0.1, initial_value=1.0)

        @speed.on_update
        def _(_: Any) -> None:
            self.speed = float(speed.value)

    def _build_pad(self, gui: Any) -> None:
        self._pace = gui.add_slider("walk at (m/s)", min=0.1, max=FASTEST, step=0.1, initial_value=1.2)
        for row in PAD:
            buttons = gui.add_button_group("", row)
            buttons.on_click(lambda event: self.press(event.target.value))

    def _build_plot(self, gui: Any, body: Body) -> None:
        names = list(body.muscles)
        data = tuple(np.zeros(2) for _ in range(1 + len(self._shown)))
        scales = {"x": {"time": False}, "y": {"range": (0.0, 1.0)}}
        self._plot = gui.add_uplot(
            data, self._series(), scales=scales, title="activation, last seconds", legend={"show": True}, aspect=1.2
        )
        muscle = gui.add_dropdown("muscle", names)
        change = gui.add_button("plot it, or hide it")

        @change.on_click
        def _(_: Any) -> None:
            chosen = names.index(muscle.value)
            left = [m for m in self._shown if m != chosen]
            self._shown = left if len(left) < len(self._shown) and left else [*left, chosen]
            self._plot.series = self._series()
            self.plot()

    def _series(self) -> tuple[dict[str, Any], ...]:
        names = self.environment.body.muscles
        lines = [
            {"label": names[m], "stroke": COLOURS[k % len(COLOURS)], "width": 1.5} for k, m in enumerate(self._shown)
        ]
        return ({}, *lines)


def facing(body: Body, state: EnvState) -> float:
    """Where a body on foot faces, rad from the world's x, positive to the left."""
    root = body.signals(state.physics).frame(ROOT)
    ahead = heading(rotation(root.quaternion), jnp.array(FORWARD, jnp.float32)).apply(jnp.array([1.0, 0.0, 0.0]))
    return math.atan2(float(ahead[1]), float(ahead[0]))


def _open_port(host: str, port: int) -> int:
    """The port, or a free one for 0; viser itself would wait for ever where it cannot serve."""
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host, port))
        except (OSError, OverflowError) as error:
            raise UserError(
                f"nothing can be served at {host}:{port}: {error}; choose a free port of this machine, or 0 for any"
            ) from error
        return int(tried.getsockname()[1])
