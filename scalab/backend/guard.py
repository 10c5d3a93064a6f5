"""Keeps workloads from outliving a backend that is killed outright.

A process that gets SIGKILL can do nothing any more, and a workload's death signal (PDEATHSIG)
would cover neither its children nor a parent with threads. So a second process, the guard, is told
of each process group, and kills them when it sees that the backend is gone.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path

import structlog
import trio

MARK = b"SCALAB_GUARD"
"""The environment variable by which a guard also knows workloads that it wasn't told of."""

_PROGRAM = Path(__file__).with_name("guard_process.py")
_ATTEMPTS = 3
_REAP_S = 1.0
_POLL_S = 0.001

log = structlog.get_logger()


class Guard:
    """The process groups that run, and the process that is told of them.

    It is a help that must never be a hindrance: where the guard can't be started, or is lost,
    workloads run without it.
    """

    def __init__(self) -> None:
        self._token = secrets.token_hex(16)
        self._groups: set[int] = set()
        self._attempts = 0
        self._pipe: int | None = None
        self._processes: list[subprocess.Popen[bytes]] = []
        """The guard is the last; those before it were lost."""

    @property
    def pid(self) -> int | None:
        """The guard's process id; None while there is no guard."""
        return None if self._pipe is None else self._processes[-1].pid

    def marked(self, env: dict[bytes, bytes]) -> dict[bytes, bytes]:
        """Return an environment for workloads.

        Marks are added up: within a workload of another backend, its guard goes for ours, too.
        """
        marks = [*filter(None, [env.get(MARK)]), self._token.encode()]
        return {**env, MARK: b":".join(marks)}

    def ensure(self) -> None:
        """Start the guard unless it runs. To be called before something needs to be guarded."""
        if self._pipe is None and self._attempts < _ATTEMPTS:
            self._attempts += 1
            try:
                self._start()
            except OSError as exc:
                log.warning("no guard for the workloads", why=exc.strerror)

    def add(self, pgid: int, /) -> None:
        """Guard a group."""
        self._groups.add(pgid)
        self._tell(b"+%d\n" % pgid)

    def discard(self, pgid: int, /) -> None:
        """Guard a group no longer."""
        self._groups.discard(pgid)
        self._tell(b"-%d\n" % pgid)

    async def aclose(self) -> None:
        """End the guard, for good; by now there is nothing to guard."""
        self._attempts = _ATTEMPTS
        self._lose()
        with trio.move_on_after(_REAP_S, shield=True):
            while any([process.poll() is None for process in self._processes]):  # noqa: C419
                await trio.sleep(_POLL_S)

    def _start(self) -> None:
        theirs, ours = os.pipe()
        try:
            os.set_blocking(ours, False)
            self._processes.append(
                subprocess.Popen(
                    [sys.executable, "-I", "-S", _PROGRAM, self._token],
                    stdin=theirs,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    cwd="/",
                    start_new_session=True,  # so that ^C doesn't reach it
                )
            )
        except OSError:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        self._pipe = ours
        for pgid in self._groups:
            self._tell(b"+%d\n" % pgid)

    def _tell(self, line: bytes) -> None:
        if self._pipe is None:
            return
        try:
            os.write(self._pipe, line)
        except OSError as exc:  # it is dead, or has been stopped for so long that the pipe is full
            log.warning("the guard of the workloads is lost", why=exc.strerror)
            self._lose()

    def _lose(self) -> None:
        """Get rid of the guard, before it sees the pipe's end and acts on what it knows."""
        if self._pipe is not None:
            self._processes[-1].kill()
            os.close(self._pipe)
            self._pipe = None
