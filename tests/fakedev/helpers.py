"""Instruments for the tests of simulated devices."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import trio

from scalab.fakedev import workload
from scalab.fakedev.exporter import Bound, ExporterSettings, run_exporter
from scalab.fakedev.model import Demand, Node, Phase, Run
from scalab.fakedev.settings import DeviceSettings, NodeSettings, Sharing
from scalab.runtime.net import Address
from scalab.runtime.service import Stop

PATIENCE_S = 30.0
FULL = (Phase(100.0, 0.0, 1.0),)


def demand(
    work_s: float = 1.0,
    device: str = "d0",
    phases: tuple[Phase, ...] = FULL,
    memory_mib: float = 0.0,
) -> Demand:
    """What most tests ask for."""
    return Demand(device, work_s, phases, memory_mib)


def settings(n: int = 1, sharing: Sharing | None = None, **device: Any) -> NodeSettings:
    """A node of devices that are alike, called d0, d1 …"""
    devices = tuple(DeviceSettings(name=f"d{i}", **device) for i in range(n))
    return NodeSettings(devices=devices, sharing=sharing or Sharing())


@attrs.define
class Bench:
    """A node whose workloads leave the moment they end."""

    node: Node
    now: float = 0.0
    ended: dict[Run, float] = attrs.Factory(dict)
    on_leave: Callable[[Run], object] = lambda _run: None
    _just_ended: list[Run] = attrs.Factory(list)

    @classmethod
    def of(cls, node: NodeSettings) -> Bench:
        """Put a node on the bench, at time 0."""
        return cls(Node(node, 0.0))

    def start(self, wanted: Demand | None = None) -> Run:
        """Start a workload now."""
        run = self.node.start(wanted or demand(), self._just_ended.append, self.now)
        self._leave()
        return run

    def run_until(self, at: float) -> None:
        """Let time pass."""
        while (due := self.node.next_at()) <= at:
            self.now = due
            self.node.advance(due)
            self._leave()
        self.now = at
        self.node.advance(at)

    def finish(self) -> float:
        """Let time pass until nothing happens by itself; return when that is."""
        while (due := self.node.next_at()) < float("inf"):
            self.run_until(due)
        return self.now

    def _leave(self) -> None:
        while self._just_ended:
            run = self._just_ended.pop()
            self.ended[run] = self.now
            self.node.leave(run, self.now)
            self.on_leave(run)


def throughput(node: NodeSettings, devices: list[str], rounds: int = 5) -> float:
    """Work done in a second by closed loops, one for each of ``devices``."""
    bench = Bench.of(node)
    left = dict.fromkeys(range(len(devices)), rounds - 1)
    loops: dict[Run, int] = {}

    def again(run: Run) -> None:
        loop = loops[run]
        if left[loop]:
            left[loop] -= 1
            loops[bench.start(run.demand)] = loop

    bench.on_leave = again
    for loop, device in enumerate(devices):
        loops[bench.start(demand(device=device))] = loop
    return len(devices) * rounds / bench.finish()


def fit_usl(points: dict[int, float]) -> tuple[float, float]:
    """Return sigma and kappa of throughputs by concurrency, by linear least squares.

    N / X = (1 + sigma (N-1) + kappa N (N-1)) / gamma is linear in 1/gamma, sigma/gamma and
    kappa/gamma.
    """
    rows = [(1.0, n - 1.0, n * (n - 1.0), n / x) for n, x in points.items()]
    system = [[sum(row[i] * row[j] for row in rows) for j in range(4)] for i in range(3)]
    for i in range(3):
        pivot = max(range(i, 3), key=lambda r: abs(system[r][i]))
        system[i], system[pivot] = system[pivot], system[i]
        for r in range(3):
            if r != i:
                factor = system[r][i] / system[i][i]
                system[r] = [a - factor * b for a, b in zip(system[r], system[i], strict=True)]
    per_gamma, sigma, kappa = (system[i][3] / system[i][i] for i in range(3))
    return sigma / per_gamma, kappa / per_gamma


# --- the exporter ------------------------------------------------------------------------------


@asynccontextmanager
async def exporter(tmp_path: Path, node: NodeSettings, **options: Any) -> AsyncIterator[Bound]:
    """Run an exporter, on a socket below ``tmp_path``."""
    given: dict[str, Any] = {
        "node": node,
        "socket": str(tmp_path / "socket"),
        "metrics_addr": Address("127.0.0.1", 0),
        **options,
    }
    stop = Stop()
    async with trio.open_nursery() as nursery:
        bound = await nursery.start(run_exporter, ExporterSettings(**given), stop)
        yield bound
        stop.requested.set()


class Wire:
    """A workload's side of a connection, by hand."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._unread = b""

    async def say(self, **fields: Any) -> None:
        """Send a line."""
        await self.stream.send_all(json.dumps(fields).encode() + b"\n")

    async def ask(self, device: str = "d0", work_s: float = 1.0, **fields: Any) -> None:
        """Ask for a device."""
        asked = {"Device": device, "Work": work_s, "Profile": [[100, 0, 1]], **fields}
        await self.say(Kind="run", **asked)

    async def next(self) -> dict[str, Any] | None:
        """The next line; None at the end."""
        while b"\n" not in self._unread:
            data = bytes(await self.stream.receive_some(65536))
            if not data:
                assert not self._unread
                return None
            self._unread += data
        line, self._unread = self._unread.split(b"\n", 1)
        fields: dict[str, Any] = json.loads(line)
        return fields


@asynccontextmanager
async def connected(bound: Bound) -> AsyncIterator[Wire]:
    """Connect to an exporter."""
    async with await trio.open_unix_socket(bound.socket) as stream:
        yield Wire(stream)


END = {"Kind": "end", "Retcode": 0}


async def timed(bound: Bound, work_s: float = 1.0, device: str = "d0") -> float:
    """Run a workload by hand, and return how long that took."""
    began = trio.current_time()
    async with connected(bound) as wire:
        await wire.ask(device, work_s)
        assert await wire.next() == END
    return trio.current_time() - began


COMMAND = (sys.executable, "-I", "-S", workload.__file__)


def flags(options: dict[str, object]) -> Iterator[str]:
    """``work=1`` as ``--work=1``."""
    for name, value in options.items():
        yield f"--{name}={value}"


@asynccontextmanager
async def process(bound: Bound | str, **options: object) -> AsyncIterator[trio.Process]:
    """A real workload, killed at the end."""
    socket = bound if isinstance(bound, str) else bound.socket
    workload_process = await trio.lowlevel.open_process(
        [*COMMAND, *flags({"socket": socket, "device": "d0", "work": 1000, **options})],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        yield workload_process
    finally:
        with trio.CancelScope(shield=True):
            if workload_process.returncode is None:
                workload_process.kill()
            await workload_process.wait()
            assert workload_process.stderr is not None
            await workload_process.stderr.aclose()


async def ended(process: trio.Process) -> tuple[int, str]:
    """Wait for a process; return its exit code and what it said."""
    assert process.stderr is not None
    said = b""
    with trio.fail_after(PATIENCE_S):
        async for data in process.stderr:
            said += data
        return await process.wait(), said.decode()


def names_in(folder: Path) -> list[str]:
    """The names of the files in a folder."""
    return sorted(path.name for path in folder.iterdir())


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that a process will bring about, which nobody tells us."""
    with trio.fail_after(PATIENCE_S):
        while not condition():  # noqa: ASYNC110
            await trio.sleep(0.005)
