"""Progress of long work: one live line in a terminal, a plain line now and then anywhere else.

Both say how much is done, how fast it goes and how long it will still take.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

PLAIN_INTERVAL_S = 10.0
LIVE_INTERVAL_S = 0.2
# The rate is that of the last half minute, so a compilation at the start does not spoil it for long.
RATE_WINDOW_S = 30.0


class Progress:
    """A progress line, used as a context manager.

    Example::

        with Progress(total=1_000_000, unit="steps", label="elbow_pose") as progress:
            progress.note("compiling ... 12.3 s")
            progress.update(20_480, reward=0.31, solved=0.2)
    """

    def __init__(
        self,
        total: int,
        unit: str = "steps",
        label: str = "",
        *,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare the line; nothing is printed yet.

        Args:
            total: how much there is to do, in ``unit``.
            unit: what is counted.
            label: what is being done.
            stream: where to write; standard error if None.
            clock: seconds that only grow.
        """
        self._total, self._unit, self._label = total, unit, label
        self._clock = clock
        self._stream = sys.stderr if stream is None else stream
        # The stream decides and not FORCE_COLOR, which rich would take for a terminal in a log file.
        self._console = Console(file=self._stream, highlight=False, force_terminal=self._stream.isatty())
        self._live: Live | None = None
        self._samples: deque[tuple[float, int]] = deque([(clock(), 0)])
        self._shown_at: float | None = None
        self._shown_line = self._line = ""

    def __enter__(self) -> Progress:
        """Start the live line if there is a terminal."""
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Show the last state, even if it came too soon after the one before, and end the line."""
        self._show(self._line)
        if self._live is not None:
            self._live.stop()
            self._live = None

    def update(self, done: int, **figures: float | str) -> None:
        """Say how much is done; shown at most every 10 s without a terminal.

        Args:
            done: how much is done, in the unit, counted from the very beginning.
            figures: numbers or text to show beside it.
        """
        now = self._clock()
        self._samples.append((now, done))
        while len(self._samples) > 2 and self._samples[1][0] <= now - RATE_WINDOW_S:
            self._samples.popleft()
        self._line = self._describe(done, figures)
        interval = PLAIN_INTERVAL_S if self._live is None else LIVE_INTERVAL_S
        if self._shown_at is None or done >= self._total or now - self._shown_at >= interval:
            self._shown_at = now
            self._show(self._line)

    def note(self, text: str) -> None:
        """Print a line that stays, such as ``compiling ... 12.3 s``."""
        line = f"{self._label}: {text}" if self._label else text
        if self._live is not None:
            self._live.console.print(Text(line))
        else:
            print(line, file=self._stream, flush=True)

    def restart_rate(self, done: int) -> None:
        """Forget the rate so far, for instance after a compilation: it is measured from now on, when ``done`` are done.

        Args:
            done: how much was done before, by a run that is being resumed too.
        """
        self._samples = deque([(self._clock(), done)])

    def rate(self) -> float | None:
        """Units per second over the last half minute; None before two updates."""
        (t0, d0), (t1, d1) = self._samples[0], self._samples[-1]
        return (d1 - d0) / (t1 - t0) if t1 > t0 and d1 > d0 else None

    def _describe(self, done: int, figures: dict[str, float | str]) -> str:
        rate = self.rate()
        share = f" ({100 * done / self._total:.0f} %)" if self._total > 0 else ""
        parts = [f"{done:,} / {self._total:,} {self._unit}{share}"]
        if rate is not None:
            parts.append(f"{rate:,.0f} {self._unit}/s" if rate >= 10 else f"{rate:.2g} {self._unit}/s")
            if done < self._total:
                parts.append(f"{duration((self._total - done) / rate)} left")
        parts += [f"{name} {_figure(value)}" for name, value in figures.items()]
        return (f"{self._label}: " if self._label else "") + "  ".join(parts)

    def _show(self, line: str) -> None:
        if not line or line == self._shown_line:
            return
        self._shown_line = line
        if self._live is not None:
            self._live.update(Text(line, no_wrap=True, overflow="ellipsis"), refresh=True)
        else:
            print(line, file=self._stream, flush=True)


def duration(seconds: float) -> str:
    """Seconds in words of a fitting size: ``45 s``, ``3 min 20 s``, ``2 h 05 min``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _figure(value: float | str) -> str:
    return value if isinstance(value, str) else f"{float(value):.4g}"
