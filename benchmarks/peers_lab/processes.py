"""The processes of one round: starting, counting what they use, and ending every one of them.

Each is started in a session of its own, in the sense of setsid(2), so that what it forks is counted
and ended with it.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import attrs

READY_S = 30.0
"""Time that a process has to be ready."""
LEAVE_S = 5.0
"""Time that all have to end by themselves, and then to be gone when they are killed."""
POLL_S = 0.02
INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


class PartError(Exception):
    """A process did not do what it is for; the text tells which, and its last words."""


@attrs.frozen
class Usage:
    """What processes use."""

    cpu_s: Mapping[str, float]
    """CPU time since they were started, by role; of children that have ended, too."""
    rss_bytes: int
    """Memory in RAM, of all together; what several share counts for each."""
    pss_bytes: int
    """Likewise, but what several share counts once."""
    machine_s: float
    """CPU time that all programs of this machine have taken, or that was stolen from it."""


@attrs.frozen(eq=False)
class Part:
    """A process that was started, with all that it forks."""

    role: str
    name: str
    process: subprocess.Popen[bytes]
    log: Path
    """What it writes, its stdout apart if that is a pipe."""

    def text(self) -> str:
        """Return what it has written so far."""
        return self.log.read_text(errors="replace")

    def code(self) -> int | None:
        """Return with which code, or by which signal, it has ended; None if it runs."""
        # It stays a zombie until the stage ends, so that its number can't become another's.
        wait = os.WEXITED | os.WNOHANG | os.WNOWAIT
        ended = os.waitid(os.P_PID, self.process.pid, wait)
        return None if ended is None else ended.si_status

    def check(self) -> None:
        """Raise PartError if it has ended."""
        if (code := self.code()) is not None:
            raise PartError(f"{self.name} ended with {code}: {last_words(self.text())}")

    def succeeded(self) -> None:
        """Wait for its end; raise PartError if it doesn't come, or isn't a good one."""
        deadline = time.monotonic() + LEAVE_S
        while (code := self.code()) is None:
            if time.monotonic() > deadline:
                raise PartError(f"{self.name} does not end")
            time.sleep(POLL_S)
        if code:
            self.check()


class Stage:
    """What runs in one round, until left; then nothing of it is there any more.

    Args:
        folder: For logs and for what the servers write.
        environment: Environment variables, for all.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self._environment = environment
        self._parts: list[Part] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with held_signals():  # a second ^C must not leave anything running
            self._end()

    def start(
        self,
        role: str,
        *command: str | Path,
        pipe: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> Part:
        """Start a process.

        Args:
            role: What its CPU time is counted for.
            command: The program and its arguments.
            pipe: Whether its stdout is a pipe; else it goes to the log.
            environment: Further variables.

        Raises:
            PartError: There is no such program.
        """
        name = " ".join([Path(command[0]).name, *map(str, command[1:])])
        path = self.folder / f"{len(self._parts)}-{role}.log"
        with path.open("wb") as log, held_signals():  # no ^C before it is in our list
            try:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE if pipe else log,
                    stderr=log,
                    cwd=self.folder,
                    env={**self._environment, **(environment or {})},
                    start_new_session=True,
                )
            except OSError as exc:
                raise PartError(f"{name} can't be started: {exc}") from None
            part = Part(role, name, process, path)
            self._parts.append(part)
        return part

    def ready(self, part: Part, text: str, times: int = 1) -> None:
        """Wait until a process has written ``text`` so many times.

        Raises:
            PartError: It has ended, or takes too long.
        """
        deadline = time.monotonic() + READY_S
        while part.text().count(text) < times:
            part.check()
            if time.monotonic() > deadline:
                raise PartError(
                    f"{part.name} is not ready in {READY_S:g} s: {last_words(part.text())}"
                )
            time.sleep(POLL_S)

    def check(self) -> None:
        """Raise PartError if a process other than the client has ended."""
        for part in self._parts:
            if part.role != "client":
                part.check()

    def usage(self) -> Usage:
        """Count what all use now."""
        roles = {part.process.pid: part.role for part in self._parts}
        cpu_s: Counter[str] = Counter()
        rss = pss = 0
        for pid, fields in _processes(roles):
            # user and system time of its own, and of children that it has waited for
            cpu_s[roles[int(fields[3])]] += sum(map(int, fields[11:15]))
            rss += int(fields[21]) * PAGE
            pss += _pss(pid)
        return Usage(
            {role: ticks * TICK_S for role, ticks in cpu_s.items()}, rss, pss, _machine_s()
        )

    def _end(self) -> None:
        """End all: politely, and by force what stays."""
        for part in self._parts:
            part.process.terminate()
        sessions = {part.process.pid: part.role for part in self._parts}
        began = time.monotonic()
        while alive := [pid for pid, fields in _processes(sessions) if fields[0] != "Z"]:
            passed_s = time.monotonic() - began
            if passed_s > 2 * LEAVE_S:
                raise PartError(f"processes that can't be ended: {alive}")
            for pid in alive if passed_s > LEAVE_S else ():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(POLL_S)
        for part in self._parts:
            part.process.wait()
            if part.process.stdout is not None:
                part.process.stdout.close()


@contextmanager
def held_signals() -> Iterator[None]:
    """Hold back what interrupts this program until left; then it is interrupted.

    Raises:
        KeyboardInterrupt: A signal came meanwhile.
    """
    came: list[int] = []
    before = {one: signal.signal(one, lambda number, _: came.append(number)) for one in INTERRUPTS}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    if came:
        raise KeyboardInterrupt


def _processes(sessions: Mapping[int, str]) -> Iterator[tuple[int, list[str]]]:
    """Find the processes of sessions; yields their pids and the fields of ``stat`` from the third.

    Those that have ended and nobody has waited for are among them, with the state Z.
    """
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                stat = Path(entry.path, "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has just ended
            fields = stat.rpartition(")")[2].split()
            if int(fields[3]) in sessions:
                yield int(entry.name), fields


def _pss(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0  # it has just ended
    return int(text.partition("\nPss:")[2].split(maxsplit=1)[0]) * 1024 if text else 0


def _machine_s() -> float:
    """Return CPU time of the whole machine: of users, nice ones, the system, and stolen time.

    Time of interrupts is left out: it can't be told whose it is.
    """
    fields = Path("/proc/stat").read_text().partition("\n")[0].split()
    return TICK_S * sum(int(fields[index]) for index in (1, 2, 3, 8))


def last_words(text: str, most: int = 300) -> str:
    """Return the last line that isn't empty, shortened."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][-most:] if lines else "it said nothing"


def free_port() -> int:
    """Return a port of loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
