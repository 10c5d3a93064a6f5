"""A real frontend on free ports, peers that speak raw bytes to it, and real processes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any, Self
from urllib.parse import urlsplit

import attrs
import trio
from prometheus_client.parser import text_string_to_metric_families
from trio.testing import wait_all_tasks_blocked

from scalab.backend.command import Workload
from scalab.backend.runner import RunnerSettings
from scalab.backend.service import Result as BackendResult, run_backend
from scalab.backend.settings import BackendSettings
from scalab.client.service import Result as ClientResult, run_client
from scalab.client.settings import ClientSettings
from scalab.frontend.hub import Hub
from scalab.frontend.service import Bound, serve
from scalab.frontend.settings import FrontendSettings
from scalab.load.options import LoadOptions, make_scenario
from scalab.load.scenario import Scenario
from scalab.runtime.net import Address
from scalab.runtime.service import Stop

PATIENCE_S = 30.0
"""For what must happen soon: a test that fails takes so long at most."""

PROMPT_S = 3.0
"""A promise, not a speed: what may take one second by the documentation takes less than this."""

ANYWHERE = Address("127.0.0.1", 0)

Json = dict[str, Any]


def indented(message: Mapping[str, object]) -> bytes:
    """A message as the archived tool writes it: tabs, line breaks, no terminator."""
    return json.dumps(message, indent="\t", ensure_ascii=False).encode()


def ended(queue: Json) -> int:
    """How many items of a queue, as /api/queues shows it, have ended."""
    return sum(queue["completed"].values())


# --- raw peers ---------------------------------------------------------------------------------


class Wire:
    """A connection, in bytes and in JSON."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._unread = b""

    async def send(self, *segments: bytes) -> Self:
        """Send segments that arrive one by one."""
        for segment in segments:
            await self.stream.send_all(segment)
            if len(segments) > 1:
                await wait_all_tasks_blocked()
        return self

    async def say(self, message: Mapping[str, object]) -> Self:
        """Send a classic message."""
        return await self.send(indented(message))

    async def frame(self, kind: str, /, **fields: object) -> Self:
        """Send a frame of a session."""
        line = json.dumps({"Kind": kind, **fields}, ensure_ascii=False)
        return await self.send(f"{line}\n".encode())

    async def rest(self) -> bytes:
        """Everything until the other side closes."""
        data, self._unread = self._unread, b""
        while piece := bytes(await self.stream.receive_some(65536)):
            data += piece
        return data

    async def answer(self) -> Json:
        """The one classic message until the other side closes."""
        data = await self.rest()
        assert 0 < len(data) <= 1024
        message = json.loads(data)
        assert isinstance(message, dict)
        return message

    async def message(self) -> Json:
        """A classic message, after which the connection stays open."""
        data = bytes(await self.stream.receive_some(1024))
        message = json.loads(data)
        assert isinstance(message, dict)
        return message

    async def next(self, kind: str | None = None) -> Json:
        """The next frame that is no ping."""
        while True:
            while b"\n" not in self._unread:
                piece = bytes(await self.stream.receive_some(65536))
                assert piece, f"closed instead of {kind}, after {self._unread!r}"
                self._unread += piece
            line, self._unread = self._unread.split(b"\n", 1)
            frame: Json = json.loads(line)
            if frame["Kind"] != "ping" or kind == "ping":
                assert kind in (None, frame["Kind"]), f"{frame} instead of {kind}"
                return frame

    async def in_line(self) -> None:
        """Wait until the frontend has acted on everything that was sent in this session."""
        await self.frame("ping")
        await self.next("pong")

    async def gone(self) -> None:
        """Wait until the other side has closed, and see that it said nothing more."""
        assert await self.rest() == b""

    async def aclose(self) -> None:
        """Close."""
        await self.stream.aclose()


# --- a frontend in this process ----------------------------------------------------------------


class Http:
    """What an HTTP port of a service says."""

    def __init__(self, address: Address) -> None:
        self.address = address

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        """The status and the body."""
        lines = [f"GET {path} HTTP/1.1", "Host: x", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        async with await self.open() as stream:
            await stream.send_all("\r\n".join([*lines, "", ""]).encode())
            head, _, body = (await Wire(stream).rest()).partition(b"\r\n\r\n")
        return int(head.split()[1]), body.decode()

    async def open(self) -> trio.SocketStream:
        """Connect to it."""
        return await trio.open_tcp_stream(self.address.host, self.address.port)

    async def metrics(self) -> dict[str, float]:
        """All samples, by name and labels as they are written: ``a{b="c"}``."""
        status, text = await self.get("/metrics")
        assert status == 200
        return {
            _sample_name(sample.name, sample.labels): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    async def queue(self, name: str = "q") -> Json:
        """A queue, as /api/queues shows it; nothing may be missing from its account."""
        status, text = await self.get("/api/queues")
        assert status == 200
        queue: Json = json.loads(text)["queues"][name]
        assert queue["accepted"] == queue["waiting"] + queue["running"] + ended(queue)
        return queue


def _sample_name(name: str, labels: Mapping[str, str]) -> str:
    inside = ",".join(f'{label}="{value}"' for label, value in sorted(labels.items()))
    return f"{name}{{{inside}}}" if inside else name


class Frontend(Http):
    """A frontend that runs, and ways to connect to it."""

    def __init__(self, bound: Bound, stop: Stop) -> None:
        super().__init__(bound.metrics)
        self.bound = bound
        self.stop = stop
        self._open: list[Wire] = []

    async def to_clients(self) -> Wire:
        """Connect to the port for clients."""
        return await self._connect(self.bound.clients)

    async def to_backends(self) -> Wire:
        """Connect to the port for backends."""
        return await self._connect(self.bound.workers)

    async def client(self) -> Wire:
        """A client's session."""
        wire = await self.to_clients()
        await wire.frame("hello", Version=1, Role="client")
        await wire.next("welcome")
        return wire

    async def backend(self, queue: str = "q", **hello: object) -> Wire:
        """A backend's session."""
        wire = await self.to_backends()
        await wire.frame("hello", Version=1, Role="backend", Queue=queue, **hello)
        await wire.next("welcome")
        return wire

    async def classic_client(self, queue: str = "q", **request: object) -> Wire:
        """A classic client that has sent its request, and the frontend has read it."""
        wire = await (await self.to_clients()).say({"Queue": queue, **request})
        await wait_all_tasks_blocked()
        return wire

    async def classic_backend(self, queue: str = "q") -> tuple[Wire, Json]:
        """A classic backend, and what it was handed."""
        wire = await (await self.to_backends()).say({"Queue": queue})
        return wire, await wire.message()

    async def _connect(self, address: Address) -> Wire:
        wire = Wire(await trio.open_tcp_stream(address.host, address.port))
        self._open.append(wire)
        return wire

    async def leave(self) -> None:
        """Close all connections that were made here."""
        for wire in self._open:
            await wire.aclose()


def frontend_settings(*queues: str, **options: Any) -> FrontendSettings:
    """Settings for free ports."""
    addresses = dict.fromkeys(("client_addr", "worker_addr", "metrics_addr"), ANYWHERE)
    return FrontendSettings(**{"queues": queues or ("q",), **addresses, **options})


@asynccontextmanager
async def serving(
    *queues: str, patience_s: float = PATIENCE_S, **options: Any
) -> AsyncIterator[Frontend]:
    """Serve queues, by default the one queue ``q``; and check that the accounts are right.

    Args:
        queues: Their names.
        patience_s: How long all of it may take.
        options: More settings of the frontend.
    """
    with trio.fail_after(patience_s):
        async with trio.open_nursery() as nursery:
            settings, stop = frontend_settings(*queues, **options), Stop()
            bound = await nursery.start(serve, settings, stop)
            frontend = Frontend(bound, stop)
            try:
                yield frontend
                if not stop.requested.is_set():
                    await wait_all_tasks_blocked()
                    for name in settings.queues:
                        await frontend.queue(name)
                    nursery.cancel_scope.cancel(reason="the test is over")
            finally:
                with trio.CancelScope(shield=True):
                    await frontend.leave()


def conserved(hub: Hub) -> bool:
    """Whether every accepted item waits, runs or has ended."""
    return all(
        queue.counters.accepted
        == len(queue.waiting) + queue.running + sum(queue.counters.completed.values())
        for queue in hub.dispatcher.queues.values()
    )


# --- clients and backends in this process ------------------------------------------------------


LOAD_OPTIONS = {field.name for field in attrs.fields(LoadOptions)}
SCENARIO_OPTIONS = {
    *("args", "limit_s", "warm_up_s", "duration_s", "requests", "thresholds", "seed", "queues"),
}


def scenario(**options: Any) -> Scenario:
    """A scenario for one queue, whose load is said by the names of ``LoadOptions``."""
    load = {name: options.pop(name) for name in list(options) if name in LOAD_OPTIONS}
    queues = options.pop("queues", (options.pop("queue", "q"),))
    return make_scenario(queues=queues, load=LoadOptions(**load), **options)


def client_settings(frontend: Address, **options: Any) -> ClientSettings:
    """Settings for a client without a control port; those of its scenario by their names."""
    names = {*LOAD_OPTIONS, *SCENARIO_OPTIONS, "queue"}
    wanted = {name: options.pop(name) for name in list(options) if name in names}
    return ClientSettings(
        **{
            "frontend": frontend,
            "scenario": scenario(**wanted),
            "control_addr": None,
            **options,
        },
    )


async def client_run(frontend: Address, stop: Stop | None = None, **options: Any) -> ClientResult:
    """Run a client to its end."""
    result = ClientResult()
    await run_client(client_settings(frontend, **options), stop or Stop(), result)
    return result


def backend_settings(frontend: Address, *command: str, **options: Any) -> BackendSettings:
    """Settings for a backend; those of its runner are told apart by their names."""
    of_runner = {field.name for field in attrs.fields(RunnerSettings)} - {"workload"}
    runner = {name: options.pop(name) for name in list(options) if name in of_runner}
    runner = {"node": "node", "pod": "pod", "output": "discard", **runner}
    workload = Workload.parse(command or ("sleep",))
    return BackendSettings(
        runner=RunnerSettings(workload=workload, **runner),
        **{"frontend": frontend, "queue": "q", "when_empty": "wait", **options},
    )


async def backend_run(
    frontend: Address, *command: str, stop: Stop | None = None, **options: Any
) -> BackendResult:
    """Run a backend to its end."""
    result = BackendResult()
    await run_backend(backend_settings(frontend, *command, **options), stop or Stop(), result)
    return result


@asynccontextmanager
async def working(frontend: Address, *command: str, **options: Any) -> AsyncIterator[Stop]:
    """Keep a backend at work."""
    stop = Stop()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(backend_run, frontend, *command, stop=stop, **options))
        yield stop
        stop.requested.set()


# --- a workload that does as it is told --------------------------------------------------------


class Run:
    """A run of the puppet: it goes on until it is told to end, or is killed."""

    def __init__(self, stream: trio.SocketStream, words: list[str]) -> None:
        self.pid = int(words[0])
        self.args = words[1:]
        self._stream = stream

    async def end(self, exit_code: int = 0) -> None:
        """Let it exit."""
        await self._stream.send_all(f"{exit_code}\n".encode())

    async def killed(self) -> None:
        """Wait until it is gone."""
        try:
            while await self._stream.receive_some(100):
                pass
        except trio.BrokenResourceError:
            pass


class Puppet:
    """A workload whose runs report to the test when they start, and end when it says so."""

    def __init__(self, listener: trio.SocketListener) -> None:
        self._listener = listener
        self._streams: list[trio.SocketStream] = []
        port = listener.socket.getsockname()[1]
        script = (
            f'exec 3<>/dev/tcp/127.0.0.1/{port}; echo "$$ $*" >&3; read -r -u 3 code; exit $code'
        )
        self.command = ("bash", "-c", script, "puppet")
        self.deaf_command = ("bash", "-c", f"trap '' TERM; {script}", "puppet")
        """One that ignores SIGTERM."""

    async def run(self) -> Run:
        """The next run that starts."""
        stream = await self._listener.accept()
        self._streams.append(stream)
        line = b""
        while not line.endswith(b"\n"):
            piece = await stream.receive_some(1000)
            assert piece
            line += piece
        return Run(stream, line.decode().split())


@asynccontextmanager
async def puppet() -> AsyncIterator[Puppet]:
    """A workload under the test's control; runs that are left over end."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        workload = Puppet(listener)
        try:
            yield workload
        finally:
            with trio.CancelScope(shield=True):
                for stream in workload._streams:
                    await stream.aclose()


# --- processes ---------------------------------------------------------------------------------


@attrs.define(eq=False)
class Process:
    """A ``scalab`` process; what it logs can be waited for."""

    process: trio.Process
    log: list[str] = attrs.Factory(list)
    out: bytes = b""
    _seen: int = 0
    _more: trio.Event = attrs.Factory(trio.Event)
    _ended: bool = False

    async def line(self, text: str) -> str:
        """Wait for the next line of the log that contains ``text``."""
        while True:
            while self._seen < len(self.log):
                line = self.log[self._seen]
                self._seen += 1
                if text in line:
                    return line
            assert not self._ended, f"ended without {text!r}: {self.log}"
            self._more = trio.Event()
            await self._more.wait()

    def signal(self, signum: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(signum)

    async def ended(self) -> int:
        """Wait for its end, and return its exit code."""
        code = await self.process.wait()
        while not self._ended:
            self._more = trio.Event()
            await self._more.wait()
        return code

    async def read_log(self) -> None:
        """Collect the lines of its log."""
        assert self.process.stderr is not None
        partial_line = ""
        async for data in self.process.stderr:
            *lines, partial_line = (partial_line + data.decode()).split("\n")
            self.log += lines
            self._more.set()
        self.log += [partial_line] if partial_line else []
        self._ended = True
        self._more.set()

    async def read_out(self) -> None:
        """Collect its output."""
        assert self.process.stdout is not None
        async for data in self.process.stdout:
            self.out += data


class Processes:
    """Starts processes; ends them all at the end of the test, by their ids."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self.all: list[Process] = []
        self.frontends: list[FrontendProcess] = []
        self.before: tuple[str, ...] = ()
        """What stands before the commands, such as ``prlimit`` and its options."""

    async def start(self, *args: str, **env: str) -> Process:
        """Start ``scalab`` with arguments."""
        process = Process(
            await trio.lowlevel.open_process(
                [*self.before, sys.executable, "-m", "scalab", *args],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, "COLUMNS": "200", **env},
            )
        )
        self.all.append(process)
        self._nursery.start_soon(process.read_log)
        self._nursery.start_soon(process.read_out)
        return process

    async def frontend(self, *options: str, bound: Bound | None = None) -> FrontendProcess:
        """Start a frontend for the queue ``q``, and wait until it is ready.

        Args:
            options: More of its options.
            bound: Where it listens; the default is free ports.
        """
        at = bound or Bound(ANYWHERE, ANYWHERE, ANYWHERE)
        process = await self.start(
            "frontend", "q", *options, "--client-addr", str(at.clients),
            "--worker-addr", str(at.workers), "--metrics-addr", str(at.metrics),
        )  # fmt: skip
        line = await process.line("frontend is ready")
        found = dict(re.findall(r'(\w+)"?(?:=|: )"?(?:http://)?([\w.]+:\d+)', line))
        addresses = (Address.parse(found[name]) for name in ("clients", "backends", "metrics"))
        self.frontends.append(FrontendProcess(process, Bound(*addresses)))
        return self.frontends[-1]

    async def backend(self, frontend: FrontendProcess, *command: str, **options: str) -> Process:
        """Start a backend that waits for items."""
        given = {"when_empty": "wait", "queue": "q", "frontend": str(frontend.bound.workers)}
        process = await self.start(
            "backend", *flags({**given, **options}), "--", *(command or ("sleep",))
        )
        await process.line("backend starts")
        return process

    async def client(self, frontend: FrontendProcess, *args: str, **options: str) -> Process:
        """Start a client."""
        given = {"control_addr": "none", "queue": "q", "frontend": str(frontend.bound.clients)}
        return await self.start("client", *flags({**given, **options}), "--", *args)


def flags(options: Mapping[str, str]) -> Iterator[str]:
    """``when_empty="wait"`` as ``--when-empty wait``; an empty value for an option without one."""
    for name, value in options.items():
        yield f"--{name.replace('_', '-')}"
        if value:
            yield value


class FrontendProcess(Frontend):
    """A frontend in a process of its own."""

    def __init__(self, process: Process, bound: Bound) -> None:
        super().__init__(bound, Stop())
        self.process = process

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop the process for a while."""
        self.process.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.signal(signal.SIGCONT)

    async def until(self, **levels: int) -> Json:
        """Ask until the queue shows these numbers, ``ended=3`` or ``running=1``."""
        while True:
            queue = await self.queue()
            seen = {"ended": ended(queue), **queue}
            if all(seen[name] == level for name, level in levels.items()):
                return queue
            await trio.sleep(0.02)  # nothing tells the outside when it changes


@asynccontextmanager
async def processes(patience_s: float = PATIENCE_S) -> AsyncIterator[Processes]:
    """A place for processes; none outlives it, and all of it takes no longer than that."""
    with trio.fail_after(patience_s):
        async with trio.open_nursery() as nursery:
            started = Processes(nursery)
            try:
                yield started
            finally:
                with trio.CancelScope(shield=True):
                    for frontend in started.frontends:
                        await frontend.leave()
                    for process in started.all:
                        if process.process.returncode is None:
                            process.process.kill()
                        await process.process.wait()


@contextmanager
def promptly() -> Iterator[None]:
    """Assert that something takes no longer than was promised."""
    started = time.monotonic()
    yield
    assert time.monotonic() - started < PROMPT_S


def address_of(line: str, name: str) -> Address:
    """An address or URL in a line of the log."""
    found = re.search(rf"\b{name}=(\S+)", line)
    assert found
    value = found[1]
    return Address.parse(urlsplit(value).netloc if "//" in value else value)


def alive(pid: int) -> bool:
    """Whether there is a process of this id that has not ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:  # noqa: PTH123
            return stat.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
