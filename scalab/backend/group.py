"""A workload's processes, as a group of which nothing stays.

The theory, in the order in which it matters:

1. The leader gets a session of its own, and with it a process group; both carry its process id.
   Children of ``timeout`` and of a shell with job control leave the group, but not the session.
   Having no terminal, a workload that reads from one can't be stopped for it either.
2. An exited leader stays a zombie until it is reaped, and until then nobody else can get its
   process id. So its exit is noticed without reaping it (by a pidfd), and the last SIGKILL goes
   to the group before it is reaped: it can't hit a stranger.
3. The end of a pipe says nothing about the end of a process, as whoever left the session may hold
   the other end. Only processes are waited for; what is in the pipes then is all there is.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Literal, Protocol

import attrs
import structlog
import trio

from .outcome import CannotRunError
from .output import OutputPipe, Relay
from .polling import poll_until
from .procfs import session_members

OutputMode = Literal["inherit", "discard", "tail"]
StdinMode = Literal["inherit", "null"]

END_S = 5.0
"""How long a killed process may take to die: longer than any but one stuck in a device driver."""

STARTS = 16
"""Programs that are being started at once; each takes a thread."""

_VANISH_S = 0.25
"""How long the rest of a killed group may take to be gone, once its leader was reaped."""

_POLL_S = 0.001
_SCAN_S = 0.01
_NOT_FOUND = (errno.ENOENT, errno.ENOTDIR)
_NOT_EXECUTABLE = (errno.EACCES, errno.EPERM, errno.ENOEXEC, errno.ELIBBAD, errno.ETXTBSY)

log = structlog.get_logger()


class Groups(Protocol):
    """Whoever wants to know which process groups there are; a ``set[int]`` will do."""

    def add(self, pgid: int, /) -> object:
        """Take note of a group that was started."""

    def discard(self, pgid: int, /) -> object:
        """Forget a group that was killed: its id may soon be another's."""


@attrs.frozen
class Launch:
    """How programs are started; the same for all runs of a backend."""

    output: OutputMode = "discard"
    """``inherit`` passes everything on to our own, ``discard`` drops it, ``tail`` keeps the last
    of both streams. The last of standard error is kept in every mode."""
    stdin: StdinMode = "null"
    """Our own standard input, or none."""
    workdir: str | None = None
    """Where it runs; None = here."""
    env: Mapping[bytes, bytes] | None = None
    """Its environment; None = ours."""
    relay: Relay = attrs.Factory(Relay)
    """With ``inherit``, where standard error goes."""
    starting: trio.CapacityLimiter = attrs.Factory(lambda: trio.CapacityLimiter(STARTS))
    """Has room for so many that are being started."""


class Group:
    """A program, and all that it starts. Made by ``start``."""

    def __init__(self, started: _Started, groups: Groups) -> None:
        self.started_at = trio.current_time() - (time.perf_counter() - started.began)
        """When it was about to be started."""
        self.exited_at: float | None = None
        """When the leader was seen to have exited."""
        self._leader, self._stderr, self._stdout = started.leader, started.stderr, started.stdout
        self.pgid = self._leader.pid
        self._groups = groups
        self._groups.add(self.pgid)
        self._pidfd = _open_pidfd(self.pgid)

    @classmethod
    async def start(cls, argv: Sequence[str], launch: Launch, groups: Groups) -> Group:
        """Start a program, while others have their turn.

        Args:
            argv: Absolute path of the program, and its arguments.
            launch: How to start it.
            groups: Is told of the group while there is one.

        Raises:
            CannotRunError: It could not be started; nothing is left of the attempt.

        Cancellation: has no effect once it is being started.
        """
        # In a thread, as the one that starts a program sleeps until the program is in place: for
        # milliseconds on a busy machine, and for as long as a slow file system may take.
        try:
            started = await trio.to_thread.run_sync(_start, argv, launch, limiter=launch.starting)
        except OSError as exc:
            raise _start_error(exc, argv[0], launch.workdir) from None
        except RuntimeError as exc:  # that is what it is if there can be no more threads
            raise CannotRunError(f"could not start {_name(argv[0])}: {exc}") from None
        return cls(started, groups)

    @property
    def returncode(self) -> int:
        """The leader's exit code, or -N for signal N; 0 before ``end``."""
        return self._leader.returncode or 0

    @property
    def tails(self) -> tuple[bytes, bytes]:
        """The last bytes of standard output (if kept) and of standard error."""
        return bytes(self._stdout.tail) if self._stdout else b"", bytes(self._stderr.tail)

    async def attend(self, until: Callable[[], Awaitable[None]]) -> None:
        """Wait until something, and keep the pipes from filling up meanwhile."""
        async with trio.open_nursery() as nursery:
            for pipe in self._pipes():
                nursery.start_soon(pipe.drain)
            await until()
            nursery.cancel_scope.cancel()

    async def leader_exited(self) -> None:
        """Wait for the leader to exit; it stays a zombie."""
        if self.exited_at is not None:
            return
        if self._pidfd is not None:
            await trio.lowlevel.wait_readable(self._pidfd)
        else:
            await poll_until(lambda: _is_zombie(self.pgid), _POLL_S)
        self.exited_at = trio.current_time()

    async def all_left(self) -> None:
        """Wait until the leader has exited and nobody else is left in its session."""
        await self.leader_exited()
        await poll_until(lambda: not session_members(self.pgid), _SCAN_S)

    async def stop(self, grace_s: float, on_kill: Callable[[signal.Signals], object]) -> None:
        """Ask all to leave, and kill those who are still there after the grace.

        Args:
            grace_s: Seconds from SIGTERM to SIGKILL.
            on_kill: Is told of each of the two signals that it takes.
        """
        on_kill(signal.SIGTERM)
        signal_session(self.pgid, signal.SIGTERM)
        with trio.move_on_after(grace_s):
            await self.attend(self.all_left)
            return
        on_kill(signal.SIGKILL)
        signal_session(self.pgid, signal.SIGKILL)

    async def end(self) -> None:
        """Kill what is left of the group, reap the leader, and give back what it all held."""
        _signal_group(self.pgid, signal.SIGKILL)
        try:
            if self.exited_at is None:
                with trio.move_on_after(END_S):
                    await self.leader_exited()
        finally:
            self._groups.discard(self.pgid)
            reaped = self._leader.poll() is not None
        try:
            if not reaped:
                log.warning("a workload's process can't be killed", pid=self.pgid)
            elif _exists(self.pgid):
                with trio.move_on_after(_VANISH_S):
                    await poll_until(lambda: not _lives(self.pgid), _POLL_S)
                _reap_orphans(self.pgid)
            for pipe in self._pipes():
                await pipe.finish()
        finally:
            self._close()

    def _pipes(self) -> Iterable[OutputPipe]:
        return (self._stderr, self._stdout) if self._stdout else (self._stderr,)

    def _close(self) -> None:
        for pipe in self._pipes():
            pipe.close()
        if self._pidfd is not None:
            os.close(self._pidfd)


def _is_zombie(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


def signal_session(session: int, signum: signal.Signals) -> None:
    """Send a signal to a leader's group, and to those in its session that left the group.

    To be called only while the leader isn't reaped.
    """
    _signal_group(session, signum)
    for pid, group in session_members(session).items():
        if group != session:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signum)


def _signal_group(pgid: int, signum: signal.Signals) -> None:
    # A group that runs under another user, by sudo, is beyond us.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pgid, signum)
        if signum == signal.SIGTERM:
            os.killpg(pgid, signal.SIGCONT)  # a stopped process heeds it only when it goes on


def _exists(pgid: int) -> bool:
    """Whether anything is left of a group, if only zombies."""
    try:
        os.killpg(pgid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _lives(pgid: int) -> bool:
    """Whether anything of a group lives."""
    return _exists(pgid) and pgid in session_members(pgid).values()


def _reap_orphans(pgid: int) -> None:
    """Reap what is left of a group, if it has become ours: in a container, we may be PID 1."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-pgid, os.WNOHANG)[0]:
            pass


@attrs.frozen
class _Started:
    """A program that was started just now."""

    began: float
    """The performance counter before that, in seconds."""
    leader: subprocess.Popen[bytes]
    stderr: OutputPipe
    stdout: OutputPipe | None
    """None if it isn't kept."""


def _start(argv: Sequence[str], launch: Launch) -> _Started:
    with contextlib.ExitStack() as on_error, contextlib.ExitStack() as afterwards:

        def pipe(relay: Relay | None = None) -> OutputPipe:
            pipe = OutputPipe(relay)
            on_error.callback(pipe.close)
            afterwards.callback(os.close, pipe.child_end)
            return pipe

        stderr = pipe(launch.relay if launch.output == "inherit" else None)
        stdout = pipe() if launch.output == "tail" else None
        passed_on = None if launch.output == "inherit" else subprocess.DEVNULL
        began = time.perf_counter()
        leader = subprocess.Popen(  # noqa: S603 - the workload: to run it is what we are for
            argv,
            stdin=None if launch.stdin == "inherit" else subprocess.DEVNULL,
            stdout=stdout.child_end if stdout else passed_on,
            stderr=stderr.child_end,
            cwd=launch.workdir,
            env=launch.env,
            start_new_session=True,
        )
        on_error.pop_all()
    return _Started(began, leader, stderr, stdout)


def _start_error(exc: OSError, program: str, workdir: str | None) -> CannotRunError:
    what = "work directory" if workdir and exc.filename == workdir else _name(program)
    retcode = 127 if exc.errno in _NOT_FOUND else 126 if exc.errno in _NOT_EXECUTABLE else 1
    return CannotRunError(f"could not start {what}: {exc.strerror}", retcode)


def _name(program: str) -> str:
    return program.rpartition("/")[2]


def _open_pidfd(pid: int) -> int | None:
    """Return None where there are no pidfds, or no descriptors left: then it is polled."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None
