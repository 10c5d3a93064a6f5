"""A process that we start: watched while it runs, and ended with us whatever happens.

It leads a session of its own, so that ^C doesn't reach it before we decide what is to end first,
and signals go to its whole process group. It is waited for by a pidfd, not by the end of its
pipes, which whatever it left behind may hold open.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence

import structlog
import trio

from scalab.protocol.text import printable

from .errors import ScalerError

STOP_S = 5.0
"""Seconds from SIGTERM to SIGKILL."""

_KILLED_S = 5.0
"""How long a killed process may take to die: longer than any but one stuck in a driver."""

_POLL_S = 0.05
_TAIL = 4096
_LINE = 4096
_CHUNK = 65536
_LAST_CHUNKS = 16
_WORDS = 300

log = structlog.get_logger()


class _Pipe:
    """What a child writes: the end of it is kept, and its lines are told.

    Args:
        on_line: Is told of each line, without its end; of a long one only the first bytes.
    """

    def __init__(self, on_line: Callable[[str], object] | None = None) -> None:
        self._fd, self.child_end = os.pipe()
        os.set_blocking(self._fd, False)
        self.tail = bytearray()
        self._on_line = on_line
        self._line = bytearray()

    async def drain(self) -> None:
        """Read until the end of the stream; may be cancelled and called again."""
        while (more := self._read()) is not False:
            if more:
                await trio.lowlevel.checkpoint()
            else:
                await trio.lowlevel.wait_readable(self._fd)

    def close(self) -> None:
        """Take what is in the pipe now, and close it."""
        for _ in range(_LAST_CHUNKS):
            if not self._read():
                break
        if self._line:
            self._tell(bytes(self._line))
        os.close(self._fd)

    def _read(self) -> bool | None:
        """Read what is there: None if nothing is, False at the end of the stream."""
        try:
            data = os.read(self._fd, _CHUNK)
        except BlockingIOError:
            return None
        self.tail += data
        del self.tail[:-_TAIL]
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._tell(bytes(self._line + line))
            self._line.clear()
        self._line = (self._line + rest)[:_LINE]
        return bool(data)

    def _tell(self, line: bytes) -> None:
        if self._on_line is not None:
            self._on_line(line[:_LINE].decode(errors="replace"))


class Child:
    """A process, and all of its group.

    It starts at once; whoever made it then awaits ``attend`` without a checkpoint between them.

    Args:
        argv: The program, and its arguments.
        env: Its environment; None = ours.
        on_line: Is told of each line that it writes to standard error.
        keep_stdout: Keep the end of standard output, too, which is thrown away otherwise.

    Raises:
        ScalerError: It can't be started.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        on_line: Callable[[str], object] | None = None,
        keep_stdout: bool = False,
    ) -> None:
        with contextlib.ExitStack() as on_error, contextlib.ExitStack() as afterwards:
            self._stderr = _Pipe(on_line)
            self._stdout = _Pipe()
            for pipe in (self._stderr, self._stdout):
                on_error.callback(pipe.close)
                afterwards.callback(os.close, pipe.child_end)
            try:
                # Not in a thread, whose end would count as the parent's death for the tether.
                self._popen = subprocess.Popen(  # noqa: S603 - what the options name
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=self._stdout.child_end if keep_stdout else subprocess.DEVNULL,
                    stderr=self._stderr.child_end,
                    env=env,
                    start_new_session=True,
                )
            except (OSError, ValueError) as exc:  # not to be found; a NUL in an argument
                text = (exc.strerror if isinstance(exc, OSError) else None) or str(exc)
                raise ScalerError(f"can't start {printable(argv[0], 200)}: {text}") from None
            on_error.pop_all()
        self.pid = self._popen.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, or -N for signal N; None while it runs."""
        return self._popen.returncode

    @property
    def stdout(self) -> str:
        """The end of its standard output, if that is kept."""
        return self._stdout.tail.decode(errors="replace")

    @property
    def stderr(self) -> str:
        """The end of its standard error."""
        return self._stderr.tail.decode(errors="replace")

    async def attend(self) -> None:
        """Wait until it has ended by itself; what it left running goes on.

        Cancellation: its group gets SIGTERM, and SIGKILL when it has ended or after ``STOP_S``.
        """
        try:
            await self._ended()
        finally:
            with trio.move_on_after(STOP_S + _KILLED_S, shield=True):
                await self._stop()
            if self._popen.poll() is None:
                log.warning("a process can't be killed", pid=self.pid)
            self._stderr.close()
            self._stdout.close()

    def terminate(self) -> None:
        """Ask it to end; without effect once it has."""
        self._signal(signal.SIGTERM)

    async def _stop(self) -> None:
        if _has_exited(self.pid):
            return
        self._signal(signal.SIGTERM)
        with trio.move_on_after(STOP_S):
            await self._ended()
        self._signal(signal.SIGKILL)
        await self._ended()

    async def _ended(self) -> None:
        """Wait until it has exited, and keep the pipes from filling up meanwhile."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._stderr.drain)
            nursery.start_soon(self._stdout.drain)
            await _exit_of(self.pid)
            nursery.cancel_scope.cancel(reason="the process has ended")

    def _signal(self, signum: signal.Signals) -> None:
        # Until it is reaped, at the end of attend(), nobody else has its id.
        if self._popen.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signum)


async def _exit_of(pid: int) -> None:
    """Wait until a child has exited, and leave it a zombie."""
    try:
        pidfd = os.pidfd_open(pid)
    except (AttributeError, OSError):  # another system, or no descriptors left
        pidfd = None
    try:
        while not _has_exited(pid):
            if pidfd is None:
                await trio.sleep(_POLL_S)
            else:
                await trio.lowlevel.wait_readable(pidfd)
    finally:
        if pidfd is not None:
            os.close(pidfd)


def _has_exited(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


def how_it_ended(returncode: int) -> str:
    """Return ``exit code 2`` or ``killed by SIGKILL``."""
    if returncode >= 0:
        return f"exit code {returncode}"
    try:
        return f"killed by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"killed by signal {-returncode}"


def last_line(text: str) -> str:
    """Return the last line with something on it, printable and bounded; "" if there is none."""
    for line in reversed(text.splitlines()):
        if stripped := line.strip():
            return printable(stripped, _WORDS)
    return ""
