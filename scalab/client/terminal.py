"""The terminal that a view draws on: who has it, its mode, and writing without waiting for it."""

from __future__ import annotations

import os
import signal
import termios
import tty
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Final

import trio

BACKGROUND_POLL_S: Final = 0.25
"""Nothing tells a job that it has come to the foreground, so it looks."""
_READ_SIZE = 1024


class Terminal:
    """A terminal, from ``open_terminal``."""

    def __init__(self, out: int, keys: int | None) -> None:
        self._out = out
        self._keys = keys
        self._unwritten = bytearray()
        self._mode: list[Any] | None = None
        self._held = False

    @property
    def has_keys(self) -> bool:
        """Whether keys can be read."""
        return self._keys is not None

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows, now."""
        columns, rows = os.get_terminal_size(self._out)
        return columns or 80, rows or 24  # a serial line doesn't know

    # --- who has it ------------------------------------------------------------------------

    @property
    def in_foreground(self) -> bool:
        """Whether it is ours to draw on."""
        return in_foreground(self._out)

    def hold(self) -> bool:
        """Make keys come one by one and unseen, if this process is in the foreground.

        Returns:
            Whether it is: whether to draw.

        Raises:
            OSError: The terminal is gone.
        """
        if not self.in_foreground:
            self._held = False
        elif not self._held:
            if self._keys is not None:
                self._set_mode(self._keys)
            self._held = True
        return self._held

    def release(self) -> None:
        """Put the terminal's mode back, unless it is in somebody else's hands."""
        if self._ours() and self._keys is not None and self._mode is not None:
            with suppress(termios.error):
                termios.tcsetattr(self._keys, termios.TCSANOW, self._mode)
        self._held = False

    def _in_foreground(self) -> bool:
        try:
            return os.tcgetpgrp(self._out) == os.getpgrp()
        except OSError:
            return True  # not the terminal that controls us, so there are no jobs on it

    def _set_mode(self, fd: int) -> None:
        try:
            if self._mode is None:
                self._mode = termios.tcgetattr(fd)
            # Now, and not when all was written: that would wait for a terminal that is held up.
            tty.setcbreak(fd, termios.TCSANOW)
        except termios.error as exc:
            raise OSError(*exc.args) from exc

    # --- reading ---------------------------------------------------------------------------

    async def read_keys(self) -> bytes:
        """Return what was typed, at least a byte.

        Raises:
            OSError: The terminal is gone.
        """
        assert self._keys is not None  # noqa: S101 - has_keys was asked
        while True:
            # In the background somebody else reads, and readable says nothing about us.
            if not self._ours():
                await trio.sleep(BACKGROUND_POLL_S)
                continue
            await trio.lowlevel.wait_readable(self._keys)
            if self._ours():
                with suppress(BlockingIOError):
                    data = os.read(self._keys, _READ_SIZE)
                    if not data:
                        raise OSError("the terminal has hung up")
                    return data

    def _ours(self) -> bool:
        return self._held and self.in_foreground

    # --- writing ---------------------------------------------------------------------------

    def put(self, text: str) -> None:
        """Write what the terminal takes without waiting, and keep the rest.

        Raises:
            OSError: The terminal is gone.
        """
        self._unwritten += text.encode(errors="replace")
        with suppress(BlockingIOError):
            while self._unwritten:
                del self._unwritten[: os.write(self._out, self._unwritten)]

    async def drain(self) -> None:
        """Wait until the terminal has taken everything; when cancelled, the rest is kept.

        Raises:
            OSError: The terminal is gone.
        """
        self.put("")
        while self._unwritten:
            await trio.lowlevel.wait_writable(self._out)
            self.put("")


@contextmanager
def open_terminal(out: int, keys: int | None) -> Iterator[Terminal]:
    """Use a terminal for drawing; at the end it is in the mode in which it was.

    Args:
        out: A file descriptor to write to.
        keys: One to read keys from; None = don't.

    Raises:
        OSError: It can't be used.
    """
    with ExitStack() as stack:
        # They stop a process that uses its terminal from the background. We look whether we are
        # there first, but that may change between looking and using.
        stack.enter_context(_handled(signal.SIG_IGN, signal.SIGTTIN, signal.SIGTTOU))
        terminal = Terminal(
            stack.enter_context(_own(out, os.O_WRONLY)),
            None if keys is None else stack.enter_context(_own(keys, os.O_RDONLY)),
        )
        stack.callback(terminal.release)
        yield terminal


@contextmanager
def _own(fd: int, access: int) -> Iterator[int]:
    """Open the terminal behind ``fd`` once more, so that not waiting for it is our own affair.

    A duplicate would share the flag with whoever started us, and shells can't live with it.
    """
    try:
        own = os.open(os.ttyname(fd), access | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # it has no name here, as in some containers, or is somebody else's
        own = os.dup(fd)
    try:
        yield own
    finally:
        trio.lowlevel.notify_closing(own)
        os.close(own)


@contextmanager
def _handled(handler: signal.Handlers, *signals: signal.Signals) -> Iterator[None]:
    before = [(signum, signal.signal(signum, handler)) for signum in signals]
    try:
        yield
    finally:
        for signum, former in before:
            signal.signal(signum, former)


def in_foreground(fd: int) -> bool:
    """Whether this process belongs to the job that has the terminal."""
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:
        return True  # not the terminal that controls us, so there are no jobs on it


def stop_job() -> None:
    """Be stopped, as by ^Z without a handler; returns when continued.

    If nobody could continue us, since there is no shell with jobs, the system doesn't stop us.
    """
    with _handled(signal.SIG_DFL, signal.SIGTSTP, signal.SIGCONT):
        signal.raise_signal(signal.SIGTSTP)


def same_terminal(*fds: int) -> bool:
    """Whether all are the same terminal."""
    return all(map(os.isatty, fds)) and len({os.fstat(fd).st_rdev for fd in fds}) == 1


def descriptor(stream: Any) -> int | None:
    """Return the file descriptor of a stream; None if it has none."""
    try:
        return int(stream.fileno())
    except (AttributeError, OSError, ValueError):  # absent, no file, or closed
        return None
