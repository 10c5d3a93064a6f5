"""Parts of scalab as processes of their own, and what they use."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import attrs

from scalab.runtime.net import Address

READY_S = 30.0
"""Time that a part has to be at work."""
LEAVE_S = 5.0
"""Time that a part has to end after SIGTERM, before it is killed."""
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
READY = {"frontend": "frontend is ready", "backend": "backend starts", "client": "client is ready"}
"""What the log of each part says once it is at work."""
LOCAL = tuple(f"--{name}-addr=127.0.0.1:0" for name in ("client", "worker", "metrics"))
"""Lets a frontend listen on free ports."""


@attrs.define(eq=False)
class Part:
    """A running ``scalab …``, and the end of its log."""

    command: str
    ready: str
    """What its log says once it is at work."""
    process: subprocess.Popen[str]
    line: str = ""
    """The line of its log that says so."""
    log: deque[str] = attrs.field(factory=lambda: deque(maxlen=20))
    _begun: threading.Event = attrs.field(factory=threading.Event)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def address(self, name: str) -> Address:
        """Find one of its addresses in that line."""
        return address(self.line, name)

    def wait(self) -> None:
        """Wait until it is at work; if it isn't in time, end the benchmark and say why."""
        if self._begun.wait(READY_S) and self.line:
            return
        try:
            code = self.process.wait(LEAVE_S if self._begun.is_set() else 0)
        except subprocess.TimeoutExpired:
            raise SystemExit(f"{self.command} isn't ready within {READY_S:g} s") from None
        last = self.log[-1].strip() if self.log else "it said nothing"
        raise SystemExit(f"{self.command} ended with {code}: {last}")

    def read_log(self) -> None:
        """Read the log to its end, so that it can't fill the pipe."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
            if self.ready in line and not self.line:
                self.line = line
                self._begun.set()
        self._begun.set()


@contextmanager
def starting(*args: str) -> Iterator[Part]:
    """Run a part of scalab until left; ``Part.wait`` tells when it is at work.

    Args:
        args: What comes after ``scalab``.
    """
    command = [sys.executable, "-m", "scalab", *args]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        running = Part(" ".join(command), READY[args[0]], process)
        reader = threading.Thread(target=running.read_log, daemon=True)
        reader.start()
        try:
            yield running
        finally:
            end(process)
            reader.join()


@contextmanager
def part(*args: str) -> Iterator[Part]:
    """The same, once it is at work."""
    with starting(*args) as running:
        running.wait()
        yield running


def end(process: subprocess.Popen[str]) -> None:
    """End a process: politely, and by force if that doesn't help."""
    process.terminate()
    try:
        process.wait(LEAVE_S)
    except subprocess.TimeoutExpired:
        process.kill()


@contextmanager
def process(*args: str) -> Iterator[tuple[int, str]]:
    """Run a part of scalab until left; yields its pid and the line that tells its addresses."""
    with part(*args) as running:
        yield running.pid, running.line


def address(line: str, name: str) -> Address:
    """Find an address or a URL in a line of the log."""
    text = line.partition(f"{name}=")[2].partition(" ")[0].strip()
    return Address.parse(text.removeprefix("http://").partition("/")[0])


def get(http: Address, path: str) -> bytes:
    """Ask the HTTP port of a part."""
    connection = HTTPConnection(http.host, http.port, timeout=READY_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    finally:
        connection.close()


def until_connected(frontend: Part, slots: int) -> None:
    """Wait until the backends of a frontend have so many slots."""
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        queues = json.loads(get(frontend.address("metrics"), "/api/queues"))["queues"]
        if sum(sum(queue["slots"].values()) for queue in queues.values()) >= slots:
            return
        time.sleep(0.02)
    raise SystemExit(f"no {slots} slots within {READY_S:g} s")


def cpu_s(pid: int) -> float:
    """CPU time of a process so far, of all its threads, without that of its children."""
    # The CPU clock of another process, as clock_getcpuclockid(3) names it: to the nanosecond,
    # where /proc/PID/stat has hundredths of a second.
    return time.clock_gettime((~pid << 3) | 2)


def children_cpu_s(pid: int) -> float:
    """CPU time of a process's children that have ended, to the hundredth of a second."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) * TICK_S


def rss_bytes(pid: int) -> int:
    """Memory of a process that is in RAM now."""
    pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


def allow_descriptors(wanted: int) -> int:
    """Raise the limit of open files, for this process and for those it starts.

    Returns:
        How many there may be now: ``wanted``, or as many as the system allows.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
        except (ValueError, PermissionError):
            wanted = hard
        else:
            return wanted
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(soft, wanted)
