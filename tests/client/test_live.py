"""The live view on a terminal: how it is drawn, what keys do, and how it is left."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TextIO

import pytest
import structlog
import trio
from hypothesis import given, strategies as st
from rich.cells import cell_len
from rich.console import Console

from scalab.client import live
from scalab.client.canvas import Canvas, Line
from scalab.client.live import Pace, can_draw, show
from scalab.client.loglines import MAX_LINES, LogLines
from scalab.client.terminal import Terminal, open_terminal

from .watching import FakeRun

# --- how it gets onto a terminal ---------------------------------------------------------------

_CONTROL = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|(\r)|(\n)|([^\x1b\r\n])")


class Screen:
    """A small terminal: as much of one as the view makes use of."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self.lines = [""] * rows
        self.gone: list[str] = []
        self.x = self.y = 0
        self.cursor = self.wrap = True

    def feed(self, text: str) -> None:
        end = 0
        for match in _CONTROL.finditer(text):
            assert match.start() == end, f"not understood: {text[end : end + 20]!r}"
            end = match.end()
            number, letter, cr, lf, char = match.groups()
            if cr:
                self.x = 0
            elif lf:
                self._down()
            elif char:
                self._put(char)
            else:
                self._control(number, letter)
        assert end == len(text)

    def _down(self) -> None:
        if self.y < self.rows - 1:
            self.y += 1
        else:
            self.gone.append(self.lines.pop(0))
            self.lines.append("")

    def _put(self, char: str) -> None:
        if self.x == self.columns:
            if not self.wrap:
                self.x -= 1
            else:
                self.x = 0
                self._down()
        line = self.lines[self.y].ljust(self.x)
        self.lines[self.y] = line[: self.x] + char + line[self.x + 1 :]
        self.x += 1

    def _control(self, number: str, letter: str) -> None:
        match number, letter:
            case ("?25", "h" | "l"):
                self.cursor = letter == "h"
            case ("?7", "h" | "l"):
                self.wrap = letter == "h"
            case (_, "A"):
                self.y = max(self.y - int(number), 0)
            case ("", "K"):
                self.lines[self.y] = self.lines[self.y][: self.x]
            case ("", "J"):
                self.lines[self.y] = self.lines[self.y][: self.x]
                self.lines[self.y + 1 :] = [""] * (self.rows - 1 - self.y)
            case (_, "m"):
                pass
            case other:
                raise AssertionError(f"not understood: {other}")

    @property
    def text(self) -> list[str]:
        return [line.rstrip() for line in [*self.gone, *self.lines]]


def lines_of(*texts: str) -> list[Line]:
    return [Line(text, cell_len(text)) for text in texts]


frames = st.lists(st.text("abc", max_size=18), min_size=1, max_size=8)
logs = st.lists(st.text("xyz", min_size=1, max_size=50), max_size=3)


@given(st.lists(st.tuples(frames, logs), max_size=8), st.integers(0, 9))
def test_the_picture_is_redrawn_in_place(
    drawn: list[tuple[list[str], list[str]]], start: int
) -> None:
    screen, canvas = Screen(20, 10), Canvas()
    screen.feed("$ \r\n" * start)
    expected = ["$"] * start
    for texts_, above in drawn:
        screen.feed(canvas.draw(lines_of(*texts_), 20, above))
        expected += [line[i : i + 20] for line in above for i in range(0, len(line), 20)]

        shown = [line.rstrip() for line in screen.text]
        assert shown[: len(expected)] == expected
        assert shown[len(expected) :][: len(texts_)] == texts_
        assert not any(shown[len(expected) + len(texts_) :])
        assert not screen.cursor
        assert screen.wrap

    screen.feed(canvas.erase(20))
    assert [line for line in screen.text if line] == [line for line in expected if line]
    assert screen.cursor or not drawn


def test_what_has_not_changed_is_not_written() -> None:
    canvas = Canvas()
    canvas.draw(lines_of("unchanged", "before", "end"), 20)

    text = canvas.draw(lines_of("unchanged", "after", "end"), 20)

    assert "after" in text
    assert "unchanged" not in text
    assert canvas.draw(lines_of("unchanged", "after", "end"), 20) == ""


def test_a_terminal_that_became_narrower_has_wrapped_the_picture() -> None:
    canvas = Canvas()
    canvas.draw(lines_of("x" * 19, "y" * 5, "z" * 11), 20)

    text = canvas.draw(lines_of("new"), 10)

    # Two rows of x, one of y, two of z: four up from where the cursor rests.
    assert "\r\x1b[4A\x1b[J" in text


def test_after_others_wrote_it_goes_below() -> None:
    canvas = Canvas()
    canvas.draw(lines_of("a", "b"), 20)
    canvas.forget()

    assert "A" not in canvas.draw(lines_of("a", "b"), 20)
    canvas.forget()
    assert canvas.erase(20) == ""


# --- its cost ----------------------------------------------------------------------------------


def test_what_takes_long_is_done_less_often() -> None:
    now = [100.0]
    pace = Pace(1.0, lambda: now[0])
    assert pace.due

    def spend(seconds: float) -> float:
        with pace.spending():
            now[0] += seconds
        return pace.wait_s

    assert spend(0.01) == 1.0
    assert not pace.due
    now[0] += 1.0
    assert pace.due
    assert spend(0.1) == pytest.approx(0.1 / live.SHARE)
    now[0] += 4.0
    assert not pace.due
    now[0] += 1.0
    assert pace.due
    assert spend(60.0) == live.RAREST_S


def test_lines_of_the_log_are_bounded_and_whole() -> None:
    lines = LogLines()

    print("one", file=lines, flush=True)
    lines.write("tw")
    assert lines.take() == ["one"]
    lines.write("o\nthree\n")
    assert lines.take() == ["two", "three"]
    for i in range(MAX_LINES + 5):
        lines.write(f"{i}\n")
    first, second, *rest = lines.take()
    assert first == "(5 lines of the log are missing here)"
    assert second == "5"
    assert len(rest) == MAX_LINES - 1
    assert lines.take() == []


# --- a real terminal ---------------------------------------------------------------------------


class Pty:
    """A terminal and what somebody before it sees and types."""

    def __init__(self, columns: int, rows: int) -> None:
        self.far, self.near = pty.openpty()
        os.set_blocking(self.far, False)
        self.resize(columns, rows)
        self.stream: TextIO = os.fdopen(self.near, "w", closefd=False)
        self.screen = Screen(columns, rows)
        self.before = termios.tcgetattr(self.near)

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.near, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def console(self) -> Console:
        return Console(file=self.stream, force_terminal=True, color_system="standard")

    @property
    def mode(self) -> list[Any]:
        return termios.tcgetattr(self.near)

    @property
    def unseen(self) -> bool:
        """Whether what is typed is not echoed."""
        return not self.mode[3] & termios.ECHO

    def read(self) -> None:
        """Take what there is to see."""
        while True:
            try:
                data = os.read(self.far, 65536)
            except BlockingIOError:
                return
            self.screen.feed(data.decode())

    async def until(self, condition: Callable[[], bool]) -> None:
        """Look until something is to be seen."""
        with trio.fail_after(20):
            while True:
                self.read()
                if condition():
                    return
                await trio.sleep(0.01)

    async def until_shown(self, text: str) -> None:
        try:
            await self.until(lambda: text in "\n".join(self.screen.text))
        except trio.TooSlowError:
            raise AssertionError(f"{text!r} is not in {self.screen.text}") from None

    def type(self, data: bytes) -> None:
        os.write(self.far, data)


@contextmanager
def terminal(columns: int = 80, rows: int = 24) -> Iterator[Pty]:
    opened = Pty(columns, rows)
    handlers = [signal.getsignal(n) for n in (signal.SIGTSTP, signal.SIGCONT, signal.SIGTTIN)]
    try:
        yield opened
        after = [signal.getsignal(n) for n in (signal.SIGTSTP, signal.SIGCONT, signal.SIGTTIN)]
        assert after == handlers
    finally:
        opened.stream.close()
        os.close(opened.near)
        if opened.far >= 0:
            os.close(opened.far)


@pytest.fixture(autouse=True)
def outside_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(live, "FRAME_S", 0.02)


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (60, 15), (200, 50)])
async def test_it_is_drawn_and_taken_off_again(columns: int, rows: int) -> None:
    with terminal(columns, rows) as shown:
        shown.screen.feed("$ scalab client\r\n")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_show, FakeRun(), shown)
            await shown.until_shown("connected")
            await shown.until_shown("50.1/s, 50 in parallel")
            assert not shown.screen.cursor
            assert shown.unseen
            nursery.cancel_scope.cancel()

        shown.read()
        assert [line for line in shown.screen.text if line] == ["$ scalab client"]
        assert shown.screen.cursor
        assert shown.screen.wrap
        assert shown.mode == shown.before


async def _show(run: FakeRun, shown: Pty) -> None:
    await show(run, shown.console(), keys=shown.stream)


async def test_keys_drive_the_run() -> None:
    run = FakeRun()
    with terminal() as shown:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_show, run, shown)
            await shown.until(lambda: shown.unseen)
            shown.type(b"+\x1b[Axp")
            await shown.until_shown("paused: p resumes")
            await shown.until_shown("PAUSED")
            shown.type(b"pr?\x1b[")
            await shown.until(lambda: "reset" in run.actions)
            shown.type(b"Bq")
            await shown.until(lambda: "stop" in run.actions)
            await shown.until_shown("stopping")
            nursery.cancel_scope.cancel()

    assert run.actions == ["level 51", "level 61", "pause", "resume", "reset", "level 51", "stop"]


async def test_what_a_key_has_done_is_shown_for_a_while() -> None:
    now = [0.0]
    with terminal() as shown:
        async with trio.open_nursery() as nursery:
            console = shown.console()
            nursery.start_soon(
                partial(show, FakeRun(), console, keys=shown.stream, clock=lambda: now[0])
            )
            await shown.until_shown("q stop")
            shown.type(b"+")
            await shown.until_shown("asked for 51")
            assert "q stop" not in "\n".join(shown.screen.text)
            now[0] += live.MESSAGE_S
            await shown.until_shown("q stop")
            nursery.cancel_scope.cancel()


async def test_a_size_is_followed() -> None:
    with terminal(80, 24) as shown:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_show, FakeRun(), shown)
            await shown.until_shown("run 7f3a91c2")
            shown.screen = Screen(60, 24)
            shown.resize(60, 24)
            await shown.until_shown("media, sleep · measure · 1:03")
            nursery.cancel_scope.cancel()


async def test_the_mode_is_put_back_after_a_crash() -> None:
    with terminal() as shown:
        with pytest.RaisesGroup(RuntimeError, flatten_subgroups=True):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_show, FakeRun(), shown)
                await shown.until(lambda: shown.unseen)
                raise RuntimeError("something else has failed")

        shown.read()
        assert shown.mode == shown.before
        assert shown.screen.cursor


async def test_a_fault_of_the_view_does_not_end_the_run(error_logs: list[str]) -> None:
    class Faulty(FakeRun):
        @property
        def connected(self) -> bool:
            raise ZeroDivisionError("a fault")

        @connected.setter
        def connected(self, value: bool) -> None: ...

    with terminal() as shown:
        with trio.fail_after(10):
            await _show(Faulty(), shown)
        assert shown.mode == shown.before

    assert "the live view has failed" in error_logs.pop()
    assert not error_logs


async def test_a_terminal_that_takes_nothing_holds_up_nobody() -> None:
    run = FakeRun()
    with terminal() as shown:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_show, run, shown)
            await shown.until(lambda: shown.unseen)
            # Nobody reads what is drawn, as after ^S; a pty takes some 64 KiB at most.
            termios.tcflow(shown.near, termios.TCOOFF)
            for i in range(100):
                run.title = f"frame {i}"
                await trio.sleep(0.001)
            shown.type(b"r")
            await shown.until(lambda: "reset" in run.actions)
            assert "frame 99" not in "\n".join(shown.screen.text)
            nursery.cancel_scope.cancel()
        assert shown.mode == shown.before


async def test_the_run_goes_on_without_its_terminal() -> None:
    with terminal() as shown:
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_show, FakeRun(), shown)
                await shown.until(lambda: shown.unseen)
                os.close(shown.far)
                shown.far = -1
                # The nursery ends because the view does.


async def test_without_a_terminal_for_keys_there_are_none() -> None:
    with terminal() as shown, open(os.devnull) as nothing:  # noqa: ASYNC230, PTH123
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_no_keys, shown, nothing)
            await shown.until_shown("^C stops")
            assert not shown.unseen
            nursery.cancel_scope.cancel()


async def _no_keys(shown: Pty, keys: TextIO) -> None:
    await show(FakeRun(), shown.console(), keys=keys)


async def test_the_log_comes_above_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(80, 24) as shown:
        monkeypatch.setattr(sys, "stderr", shown.stream)
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(shown.stream))
        log = structlog.get_logger()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_show, FakeRun(), shown)
            await shown.until_shown("q stop")
            log.info("something has happened", text="x" * 100)
            await shown.until_shown("something has happened")
            text = "\n".join(shown.screen.text)
            assert text.index("something has happened") < text.index("media, sleep")
            assert text.count("media, sleep") == 1
            log.info("the last one")
            nursery.cancel_scope.cancel()
        log.info("afterwards")

        shown.read()
        text = "\n".join(shown.screen.text)
        assert text.index("the last one") < text.index("afterwards")
        assert "media, sleep" not in text


async def test_a_log_that_goes_elsewhere_stays_there(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal(80, 24) as shown:
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_show, FakeRun(), shown)
            await shown.until_shown("q stop")
            structlog.get_logger().info("something has happened")
            nursery.cancel_scope.cancel()

    assert "something has happened" in capsys.readouterr().err


_SHELL = """
import os, signal, sys
job = os.posix_spawn(sys.executable, [sys.executable, "-c", sys.argv[1]], os.environ, setpgroup=0)
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
print(f"job {job}", flush=True)
os.tcsetpgrp(0, job)
while os.WIFSTOPPED(status := os.waitpid(job, os.WUNTRACED)[1]):
    os.tcsetpgrp(0, os.getpgrp())
    print("stopped by", signal.Signals(os.WSTOPSIG(status)).name, flush=True)
    if sys.stdin.readline().strip() == "bg":
        os.kill(job, signal.SIGCONT)
        while sys.stdin.readline().strip() != "fg":
            print("what?", flush=True)
    os.tcsetpgrp(0, job)
    os.kill(job, signal.SIGCONT)
os.tcsetpgrp(0, os.getpgrp())
print("ended with", os.waitstatus_to_exitcode(status), flush=True)
sys.stdin.read()
"""
"""A shell that, unlike some, leaves the terminal's mode as its jobs do."""

_JOB = """
import os, time
import structlog, trio
from rich.console import Console
from scalab.client.live import show
from scalab.runtime import log
from tests.client.watching import FakeRun

class Run(FakeRun):
    def stop(self):
        scope.cancel()

async def main():
    with scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(show, Run(), Console(stderr=True))
            while True:
                await trio.sleep(0.1)
                structlog.get_logger().info("tick")

while os.tcgetpgrp(0) != os.getpgrp():
    time.sleep(0.01)
log.configure()
scope = trio.CancelScope()
trio.run(main)
"""


def test_a_stopped_job_leaves_the_terminal_and_comes_back() -> None:
    pid, far = pty.fork()
    if not pid:
        os.execv(sys.executable, [sys.executable, "-c", _SHELL, _JOB])  # noqa: S606
    try:
        _drive_job(far)
    finally:
        os.close(far)  # all of them get SIGHUP
        os.waitpid(pid, 0)


def _drive_job(far: int) -> None:
    before = termios.tcgetattr(far)
    fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))

    def until(text: str) -> str:
        seen = b""
        while text.encode() not in seen:
            ready, _, _ = select.select([far], [], [], 30)
            assert ready, f"no {text!r} in {seen!r}"
            seen += os.read(far, 65536)
        return seen.decode(errors="replace")

    def type_(text: str) -> None:
        os.write(far, text.encode())

    found = re.search(r"job (\d+)", until("q stop"))
    assert found is not None
    job = int(found[1])
    assert not termios.tcgetattr(far)[3] & termios.ECHO

    type_("\x1a")
    text = until("stopped by SIGTSTP")
    assert text.rindex("\x1b[?25h") > text.rfind("\x1b[?25l")
    assert termios.tcgetattr(far) == before

    type_("fg\n")
    until("q stop")
    type_("+")
    until("asked for 51")

    type_("\x1a")
    until("stopped by SIGTSTP")
    type_("bg\n")
    until("tick")
    type_("p\n")  # for the shell
    text = until("what?") + until("tick") + until("tick") + until("tick")
    assert "media" not in text
    assert termios.tcgetattr(far) == before

    type_("fg\n")
    assert "PAUSED" not in until("51 in parallel")
    type_("+")
    until("asked for 52")

    os.kill(job, signal.SIGSTOP)  # without a word
    until("stopped by SIGSTOP")
    termios.tcsetattr(far, termios.TCSANOW, before)  # as shells do
    type_("fg\n")
    text = until("media, sleep")
    assert not re.search(r"\x1b\[\d+A", text[: text.index("media, sleep")])  # below the shell's
    type_("+")
    until("asked for 53")
    assert not termios.tcgetattr(far)[3] & termios.ECHO

    type_("q")
    until("ended with 0")
    assert termios.tcgetattr(far) == before


# --- without a terminal ------------------------------------------------------------------------


@pytest.mark.parametrize("why", ["no terminal", "not wanted", "CI", "TERM"])
async def test_lines_are_told_where_nothing_is_drawn(
    why: str, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    if why in {"CI", "TERM"}:
        monkeypatch.setenv(why, "true" if why == "CI" else "dumb")
    with terminal() as shown, structlog.testing.capture_logs() as logged:
        console = shown.console() if why != "no terminal" else Console(force_terminal=True)
        with trio.move_on_after(11):
            await show(FakeRun(), console, live=why != "not wanted")
        shown.read()
        assert not any(shown.screen.text)
        assert shown.mode == shown.before

    assert len(logged) == 1


def test_a_terminal_can_be_drawn_on() -> None:
    with terminal() as shown:
        assert can_draw(shown.console())


async def test_a_terminal_without_a_size_is_taken_for_a_usual_one() -> None:
    with terminal(0, 0) as shown, open_terminal(shown.near, None) as opened:
        assert isinstance(opened, Terminal)
        assert opened.size == (80, 24)
