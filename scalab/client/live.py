"""The live view of a run in a terminal: a picture of it, and keys that change it.

The view must not disturb what it shows. So it never waits for the terminal on the run's behalf,
draws a few times a second at most, and less often when that takes long.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import structlog
import trio
from rich.console import Console

from scalab.measure.fairness import outliers

from .canvas import Canvas, render
from .frame import Scene, draw
from .keys import Controls, Decoder
from .loglines import LogLines, collect_log
from .plain import EVERY_S, tell
from .terminal import (
    Terminal,
    descriptor,
    in_foreground,
    open_terminal,
    stop_job,
)
from .watched import Watched

__all__ = ["Watched", "can_draw", "show"]

log = structlog.get_logger()

FRAME_S: Final = 0.25
STATISTICS_S: Final = 1.0
SHARE: Final = 0.02
"""Share of the time that drawing may take, and looking at places likewise."""
RAREST_S: Final = 10.0
"""However long they take."""
MESSAGE_S: Final = 4.0
"""How long it is shown what a key has done."""
LAST_WORDS_S: Final = 0.5
"""How long a terminal that takes nothing can hold up the end."""

Clock = Callable[[], float]


async def show(
    watched: Watched,
    console: Console,
    *,
    keys: Any = None,
    live: bool = True,
    every_s: float = EVERY_S,
    clock: Clock = time.perf_counter,
) -> None:
    """Show a run until cancelled; the terminal is left as it was found.

    Where there is no terminal to draw on, lines go to the log instead. When the terminal goes
    away, this returns, and the run goes on; also if there is a fault in the view, which is logged.

    Args:
        watched: The run.
        console: Where to draw, and in which colours.
        keys: A stream to read keys from if that is a terminal; default: standard input.
        live: Draw, if possible.
        every_s: Seconds between lines of the log.
        clock: Tells how long drawing takes, in seconds.
    """
    out = descriptor(console.file)
    if not live or out is None or not can_draw(console):
        await tell(watched, every_s)
        return
    source = descriptor(sys.stdin if keys is None else keys)
    if source is not None and not os.isatty(source):
        source = None
    try:
        with open_terminal(out, source) as terminal, collect_log(out) as lines:
            await _View(watched, console, terminal, lines, clock).run()
    except Exception as exc:
        log.exception("the live view has failed; the run goes on", error=str(exc))


def can_draw(console: Console) -> bool:
    """Whether a live view makes sense: on a terminal that we have, and that somebody looks at."""
    out = descriptor(console.file)
    return (
        out is not None
        and os.isatty(out)
        and console.is_terminal
        and not console.is_dumb_terminal
        and not os.environ.get("CI")
        and in_foreground(out)
    )


class Pace:
    """Does something every so many seconds, and less often the longer it takes.

    Args:
        every_s: Seconds from one time to the next.
        clock: Tells how long it takes.
    """

    def __init__(self, every_s: float, clock: Clock) -> None:
        self.wait_s = every_s
        self._every_s = every_s
        self._clock = clock
        self._due = float("-inf")

    @property
    def due(self) -> bool:
        """Whether it is time."""
        return self._clock() >= self._due

    @contextmanager
    def spending(self) -> Iterator[None]:
        """Do it, and see how long that takes."""
        start = self._clock()
        yield
        cost_s = self._clock() - start
        self.wait_s = min(max(self._every_s, cost_s / SHARE), RAREST_S)
        self._due = start + self.wait_s


class _View:
    """A picture of a run on a terminal."""

    def __init__(
        self, watched: Watched, console: Console, terminal: Terminal, lines: LogLines, clock: Clock
    ) -> None:
        self._watched = watched
        self._console = console
        self._terminal = terminal
        self._lines = lines
        self._clock = clock
        self._controls = Controls(watched)
        self._canvas = Canvas()
        self._message, self._message_until = "", 0.0
        self._frames = Pace(FRAME_S, clock)
        self._looks, self._looks_at_places = Pace(STATISTICS_S, clock), Pace(STATISTICS_S, clock)
        self._look()

    async def run(self) -> None:
        """Show the run until cancelled, or until the terminal is gone."""
        try:
            with trio.open_signal_receiver(signal.SIGTSTP, signal.SIGCONT) as signals:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._watch_job, signals)
                    if self._terminal.has_keys:
                        nursery.start_soon(self._read_keys)
                    nursery.start_soon(self._draw, nursery.cancel_scope)
        finally:
            with trio.CancelScope(shield=True, relative_deadline=LAST_WORDS_S), suppress(OSError):
                await self._leave()

    # --- drawing ---------------------------------------------------------------------------

    async def _draw(self, scope: trio.CancelScope) -> None:
        try:
            while True:
                self._draw_frame()
                await self._terminal.drain()
                await trio.sleep(self._frames.wait_s)
        except OSError as exc:
            scope.cancel(reason=f"the terminal is gone: {exc}")

    def _draw_frame(self) -> None:
        if not self._terminal.hold():
            # It belongs to others now; the log goes among what they write, as it always does.
            self._canvas.forget()
            self._terminal.put("".join(f"{line}\r\n" for line in self._lines.take()))
            return
        columns, rows = self._terminal.size
        with self._frames.spending():
            self._look()
            # The last column stays free: at it, terminals differ in where the cursor is.
            lines = render(draw(self._scene(), columns - 1, rows), self._console)
        self._terminal.put(self._canvas.draw(lines, columns, self._lines.take()))

    def _look(self) -> None:
        """Look at what is measured, if it is time."""
        if self._looks_at_places.due:
            with self._looks_at_places.spending(), self._looks.spending():
                self._statistics = s = self._watched.statistics(places=True)
                kinds = (("device", s.devices), ("pod", s.pods), ("node", s.nodes))
                self._kind, self._places = next((k for k in kinds if k[1]), kinds[0])
                self._outliers = outliers(self._places)
        elif self._looks.due:
            with self._looks.spending():
                self._statistics = self._watched.statistics(places=False)
        else:
            return
        self._throughput = self._watched.throughput()
        self._judged, self._checks = self._watched.judged(), self._watched.checks()

    def _scene(self) -> Scene:
        return Scene(
            watched=self._watched,
            statistics=self._statistics,
            throughput=self._throughput,
            judged=self._judged,
            checks=self._checks,
            places=self._places,
            kind=self._kind,
            outliers=self._outliers,
            message=self._message if self._clock() < self._message_until else "",
            keys=self._terminal.has_keys,
            help=self._controls.help,
        )

    def _erase(self) -> None:
        """Take the picture off the terminal, for whatever is written to it afterwards."""
        if self._terminal.in_foreground:
            self._terminal.put(self._canvas.erase(self._terminal.size[0]))

    async def _leave(self) -> None:
        self._erase()
        self._terminal.put("".join(f"{line}\r\n" for line in self._lines.take()))
        await self._terminal.drain()

    # --- keys and jobs ---------------------------------------------------------------------

    async def _read_keys(self) -> None:
        decoder = Decoder()
        try:
            while True:
                for key in decoder.feed(await self._terminal.read_keys()):
                    if message := self._controls.press(key):
                        self._message = message
                        self._message_until = self._clock() + MESSAGE_S
        except OSError:
            pass  # it is gone, which drawing finds out, too; or there is another one to draw on

    async def _watch_job(self, signals: AsyncIterator[int]) -> None:
        """Let ^Z leave a terminal to work with, and come back after it."""
        async for signum in signals:
            if signum == signal.SIGTSTP:
                with suppress(OSError):  # if it is gone, there is nothing to be erased
                    self._erase()
                self._terminal.release()
                stop_job()
            # Others may have set its mode, and written to it.
            self._terminal.release()
            self._canvas.forget()
