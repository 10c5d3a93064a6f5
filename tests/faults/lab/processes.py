"""The processes of a test, each on its host: started again and again, and none left behind."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM, Signals

import attrs
import trio

from tests.support import Process

from .network import Host

MARK = "SCALAB_TEST_LAB"
"""In the environment of everything that a lab starts, so that what is left over is found."""
SCALAB = (sys.executable, "-m", "scalab")


def now() -> float:
    """Seconds of the clock that /proc/uptime shows, too: a shell can read it without a process."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@attrs.define(eq=False)
class Part:
    """A program that can be killed and started again; each life of it is another process."""

    lab: Lab
    name: str
    args: Callable[[int], Sequence[str]]
    """The command of a life, which are counted from 1."""
    host: Host | None = None
    ready: str = ""
    """What it logs when it is ready; "" = nothing to wait for."""
    limits: Sequence[str] = ()
    """Options of ``prlimit`` such as ``--nofile=100``."""
    env: dict[str, str] = attrs.Factory(dict)
    lives: int = 0
    expected: set[int] = attrs.Factory(lambda: {0})
    """Exit codes with which a life that wasn't killed outright may end."""
    _process: Process | None = None
    _frozen: bool = False

    @property
    def process(self) -> Process:
        """Its present life."""
        assert self._process is not None, f"{self.name} was not started"
        return self._process

    @property
    def pid(self) -> int:
        """Of its present life."""
        return self.process.process.pid

    @property
    def life(self) -> str:
        """The name of its present life."""
        return f"{self.name}.{self.lives}"

    @property
    def runs(self) -> bool:
        """Whether there is a process."""
        return self._process is not None and self._process.process.returncode is None

    async def start(self) -> None:
        """Begin a life, and wait until it is ready."""
        assert not self.runs, f"{self.name} runs"
        self.lives += 1
        self._process = await self.lab.open(
            *self.args(self.lives), host=self.host, limits=self.limits, env=self.env
        )
        if self.ready:
            await self._process.line(self.ready)

    def signal(self, signum: Signals) -> None:
        """Send a signal."""
        self._frozen = {SIGSTOP: True, SIGCONT: False}.get(signum, self._frozen)
        self.process.signal(signum)

    async def kill(self) -> None:
        """End it outright."""
        self.signal(SIGKILL)
        await self.process.ended()

    async def stop(self, signum: Signals = SIGTERM) -> int:
        """Let it end in good order."""
        if self._frozen:
            self.signal(SIGCONT)
        self.signal(signum)
        code = await self.process.ended()
        assert code in self.expected, f"{self.life} ended with {code}: {self.process.log[-5:]}"
        return code


class Lab:
    """Starts processes, and sees to it that none outlives it."""

    def __init__(self, nursery: trio.Nursery, directory: Path) -> None:
        self.directory = directory
        self._temporary = directory / "tmp"
        self._temporary.mkdir(exist_ok=True)
        self.mark = secrets.token_hex(8)
        self.parts: dict[str, Part] = {}
        self._nursery = nursery
        self._opened: list[Process] = []

    def part(
        self,
        name: str,
        args: Sequence[str] | Callable[[int], Sequence[str]],
        *,
        host: Host | None = None,
        ready: str = "",
        limits: Sequence[str] = (),
        env: dict[str, str] | None = None,
    ) -> Part:
        """Add a program to be started; ``args`` without ``SCALAB`` run something else."""
        command = args if callable(args) else lambda _life: args
        part = Part(self, name, command, host, ready, limits, env or {})
        self.parts[name] = part
        return part

    async def open(
        self,
        *command: str,
        host: Host | None = None,
        limits: Sequence[str] = (),
        env: dict[str, str] | None = None,
    ) -> Process:
        """Start one process, whose log and output are collected."""
        before = [*(host.command if host else ()), *(["prlimit", *limits] if limits else ())]
        process = Process(
            await trio.lowlevel.open_process(
                [*before, *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=self.directory,
                env={
                    **os.environ,
                    "COLUMNS": "200",
                    MARK: self.mark,
                    "TMPDIR": str(self._temporary),
                    **(env or {}),
                },
            )
        )
        self._opened.append(process)
        self._nursery.start_soon(process.read_log)
        self._nursery.start_soon(process.read_out)
        return process

    def left_over(self) -> dict[int, str]:
        """Return what runs of all that was started here, by anybody, with its command."""
        mark, found = f"{MARK}={self.mark}".encode(), {}
        for directory in Path("/proc").iterdir():
            try:
                if directory.name.isdecimal() and mark in (directory / "environ").read_bytes():
                    command = (directory / "cmdline").read_bytes().replace(b"\0", b" ")
                    found[int(directory.name)] = command.decode(errors="replace")
            except OSError:
                continue  # it ended meanwhile
        return found

    def temporary_files(self) -> list[str]:
        """Return what was left where temporary files go."""
        return sorted(path.name for path in self._temporary.iterdir())

    def tracebacks(self) -> list[str]:
        """Return the lines of all logs that tell of a defect."""
        return [
            line
            for process in self._opened
            for line in process.log
            if "Traceback" in line or re.search(r"\bdefect\b", line)
        ]

    def tell(self) -> None:
        """Print what the parts logged last, for whoever has to find out what went wrong."""
        for part in self.parts.values():
            if part.lives:
                code = part.process.process.returncode
                how = "runs" if code is None else f"ended with {code}"
                print(f"--- {part.life} {how}", *part.process.log[-8:], sep="\n    ")  # noqa: T201

    async def end(self) -> None:
        """Kill what still runs."""
        for process in self._opened:
            if process.process.returncode is None:
                process.process.kill()
            await process.process.wait()
        for pid in self.left_over():
            try:
                os.kill(pid, SIGKILL)
            except ProcessLookupError:
                continue


@asynccontextmanager
async def laboratory(directory: Path) -> AsyncIterator[Lab]:
    """A place for processes; none outlives it."""
    async with trio.open_nursery() as nursery:
        lab = Lab(nursery, directory)
        try:
            yield lab
        except BaseException:
            lab.tell()
            raise
        finally:
            with trio.CancelScope(shield=True):
                await lab.end()


async def until(condition: Callable[[], bool], what: str, *, within_s: float = 30.0) -> None:
    """Wait for a condition that nothing tells of."""
    with trio.move_on_after(within_s):
        while not condition():  # noqa: ASYNC110
            await trio.sleep(0.02)
        return
    raise AssertionError(f"not within {within_s:g} s: {what}")
