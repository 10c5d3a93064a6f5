"""Keeps workloads from outliving a backend that is killed outright.

A process that gets SIGKILL can do nothing any more, and a workload's death signal (PDEATHSIG)
would cover neither its children nor a parent with threads. So a second process, the guard, waits
for the end of this one, and then kills the process groups that it finds in a table.

The table is a file in memory: to note a group there neither wakes the guard nor can it ever block,
and it is never out of date.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
from array import array
from pathlib import Path

import structlog
import trio

from .polling import poll_until

MARK = b"SCALAB_GUARD"
"""The environment variable by which the guard also knows workloads that it wasn't told of."""

_PROGRAM = Path(__file__).with_name("guard_process.py")
_ATTEMPTS = 3
_REAP_S = 1.0
_POLL_S = 0.001
_ENTRY = array("i").itemsize

log = structlog.get_logger()


class Guard:
    """The process groups that run, and the process that kills them after our death.

    It is a help that must never be a hindrance: where the guard can't be started, or is lost too
    often, workloads run without it.
    """

    def __init__(self) -> None:
        self._token = secrets.token_hex(16)
        self._places: dict[int, int] = {}
        self._free: list[int] = []
        self._attempts = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: int | None = None
        self._table: int | None = None

    @property
    def groups(self) -> list[int]:
        """The groups that run now, whether or not there is a guard."""
        return list(self._places)

    @property
    def pid(self) -> int | None:
        """The guard's process id; None while there is no guard."""
        return None if self._process is None else self._process.pid

    def marked(self, env: dict[bytes, bytes]) -> dict[bytes, bytes]:
        """Return an environment for workloads.

        Marks are added up: if we are a workload ourselves, the guard of the backend above us goes
        for ours, too.
        """
        marks = [*filter(None, [env.get(MARK)]), self._token.encode()]
        return {**env, MARK: b":".join(marks)}

    def ensure(self) -> None:
        """Start the guard unless it runs. To be called before something needs to be guarded."""
        if self._process is not None and self._process.poll() is not None:
            log.warning("the guard of the workloads is lost", returncode=self._process.returncode)
            self._release()
        if self._process is None and self._attempts < _ATTEMPTS:
            self._attempts += 1
            try:
                self._start()
            except (AttributeError, OSError) as exc:  # no memfd_create, or no descriptors left
                self._release()
                log.warning("no guard for the workloads", why=str(exc))

    def add(self, pgid: int, /) -> None:
        """Guard a group."""
        place = self._free.pop() if self._free else len(self._places)
        self._places[pgid] = place
        self._note(place, pgid)

    def discard(self, pgid: int, /) -> None:
        """Guard a group no longer."""
        place = self._places.pop(pgid)
        self._free.append(place)
        self._note(place, 0)

    async def aclose(self) -> None:
        """End the guard for good.

        It has nothing to do any more and is killed before it sees the pipe's end. If there are
        groups, something is badly wrong with us, and they are left to it.
        """
        self._attempts = _ATTEMPTS
        process = self._process
        if process is not None and not self._places:
            process.kill()
        self._release()
        if process is not None:
            with trio.move_on_after(_REAP_S, shield=True):
                await poll_until(lambda: process.poll() is not None, _POLL_S)

    def _start(self) -> None:
        theirs, self._pipe = os.pipe()
        try:
            self._table = os.memfd_create("scalab-guard")
            for pgid, place in self._places.items():
                self._note(place, pgid)
            self._process = subprocess.Popen(  # noqa: S603 - a program of our own
                [sys.executable, "-I", "-S", _PROGRAM, self._token, str(self._table)],
                stdin=theirs,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[self._table],
                cwd="/",
                start_new_session=True,  # so that ^C doesn't reach it
            )
        finally:
            os.close(theirs)

    def _release(self) -> None:
        for fd in filter(None, (self._pipe, self._table)):
            os.close(fd)
        self._process = self._pipe = self._table = None

    def _note(self, place: int, pgid: int) -> None:
        if self._table is not None:
            with contextlib.suppress(OSError):  # no memory left for it
                os.pwrite(self._table, array("i", [pgid]), place * _ENTRY)
