"""Real programs to run, and how they tell the test what happens to them."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import trio

_REPORT = """
import os, signal, sys, time
def report(word):
    fd = os.open(sys.argv[1], os.O_WRONLY)
    os.write(fd, f"{word} {os.getpid()}\\n".encode())
    os.close(fd)
"""

STUBBORN = """
signal.signal(signal.SIGTERM, lambda *_: report("SIGTERM"))
os.fork()
report("ready")
while True:
    time.sleep(60)
"""
"""Two processes, parent and child, that only note a SIGTERM."""


def python(code: str, *args: object) -> list[str]:
    """Return a command that runs ``code``; ``report`` writes to the path that is argument 1."""
    return [sys.executable, "-I", "-S", "-c", _REPORT + code, *map(str, args)]


class Reports:
    """Lines that workloads write, in the order in which they come."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        # Open for writing, too, so that it never ends.
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self._lines: list[str] = []
        self._rest = ""

    def close(self) -> None:
        os.close(self._fd)

    async def next(self, word: str) -> int:
        """Return the process id of whoever says ``word`` next; nobody may say anything else."""
        while not self._lines:
            await trio.lowlevel.wait_readable(self._fd)
            self._read()
        said, pid = self._lines.pop(0).split()
        assert said == word
        return int(pid)

    def rest(self) -> list[str]:
        """Return the words that were said since."""
        self._read()
        words = [line.split()[0] for line in self._lines]
        self._lines.clear()
        return words

    def _read(self) -> None:
        try:
            text = self._rest + os.read(self._fd, 65536).decode()
        except BlockingIOError:
            return
        *lines, self._rest = text.split("\n")
        self._lines += lines


def alive(pid: int) -> bool:
    """Whether there is such a process, and it isn't a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return stat[stat.rindex(b")") + 2 :][:1] not in b"ZX"


async def until_gone(pid: int) -> None:
    """Wait for the end of a process that need not be a child."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        await trio.lowlevel.wait_readable(pidfd)
    finally:
        os.close(pidfd)


def kill(pid: int) -> None:
    """Kill a process that a test started and that was to survive what was tested."""
    os.kill(pid, signal.SIGKILL)


def open_fds() -> set[str]:
    """Return our open descriptors and what they are."""
    fds = set()
    for fd in Path("/proc/self/fd").iterdir():
        try:
            fds.add(f"{fd.name} {fd.readlink()}")
        except FileNotFoundError:  # the one that lists them
            continue
    return fds
