"""The fixed scenarios of which the operations are counted: each part alone with scripted peers.

A round of sessions is a batch each way, as under load: all workers reply, the replies reach the
client, and its next requests reach the frontend.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from functools import partial

import orjson
import trio

from scalab.backend.command import Workload
from scalab.backend.runner import RunnerSettings
from scalab.backend.service import Result as BackendResult, run_backend
from scalab.backend.settings import BackendSettings
from scalab.client.service import Result as ClientResult, run_client
from scalab.client.settings import ClientSettings
from scalab.frontend.service import Bound, serve
from scalab.frontend.settings import FrontendSettings
from scalab.load.options import LoadOptions, make_scenario
from scalab.runtime.net import Address
from scalab.runtime.service import Stop

from .metered import LOOK_S, Meter, Script

ANYWHERE = Address("127.0.0.1", 0)
WORKERS, SLOTS, IN_FLIGHT = 2, 16, 256
WARM_UP, MEASURED = 512, 2048
"""Items of sessions; a tenth of them where each takes a turn of its own."""
IDLE = 200
"""Backends that have nothing to do."""
LOOKS = 500
"""Before one gives up."""

Lines = Generator[None, None, list[bytes]]


class Wire:
    """The script's end of a connection."""

    def __init__(self, meter: Meter, connected: socket.socket) -> None:
        self.socket = connected
        self.lines: deque[bytes] = deque()
        self.ended = False
        self._meter = meter
        self._rest = b""
        connected.settimeout(0)

    @classmethod
    def to(cls, meter: Meter, address: Address) -> Wire:
        """Connect."""
        return cls(meter, socket.create_connection((address.host, address.port)))

    def say(self, *lines: bytes) -> None:
        """Send lines in one write."""
        data = b"".join(lines)
        if self.socket.send(data) != len(data):
            raise RuntimeError("the socket's buffer is full")

    def frame(self, kind: str, **fields: object) -> None:
        """Send one frame."""
        self.say(orjson.dumps({"Kind": kind, **fields}) + b"\n")

    def look(self) -> None:
        """Take what has arrived."""
        try:
            while data := self.socket.recv(1 << 20):
                self._meter.received += len(data)
                *lines, self._rest = (self._rest + data).split(b"\n")
                self.lines.extend(lines)
            self.ended = True
        except BlockingIOError:
            pass

    @property
    def started(self) -> bool:
        """Whether anything has come, be it half a line."""
        return bool(self.lines or self._rest)

    def close(self) -> None:
        """Hang up."""
        self.socket.close()


def until(done: Callable[[], bool], wires: Iterable[Wire]) -> Script:
    """Let the service run until something is so."""
    for _ in range(LOOKS):
        for wire in wires:
            wire.look()
        if done():
            return
        yield
    raise RuntimeError(f"not so after {LOOKS * LOOK_S:g} s")


def take(wires: Sequence[Wire], count: int) -> Generator[None, None, list[list[bytes]]]:
    """Return the lines that have come by each wire, so many together."""
    yield from until(lambda: sum(len(wire.lines) for wire in wires) >= count, wires)
    found = [list(wire.lines) for wire in wires]
    for wire in wires:
        wire.lines.clear()
    if sum(map(len, found)) != count:
        raise RuntimeError(f"expected {count} lines, not {found}")
    return found


def id_of(line: bytes) -> str:
    """Return the id in a frame."""
    return str(orjson.loads(line)["Id"])


# --- the frontend ------------------------------------------------------------------------------


async def _frontend(script: Callable[[Meter, Bound], Script], meter: Meter) -> None:
    settings = FrontendSettings(
        queues=("q",), client_addr=ANYWHERE, worker_addr=ANYWHERE, metrics_addr=ANYWHERE
    )
    async with trio.open_nursery() as nursery:
        bound = await nursery.start(serve, settings, Stop())
        meter.play(script(meter, bound))


def _sessions(in_flight: int, meter: Meter, bound: Bound) -> Script:
    """Keep some requests of one client in flight, and let two backends run them."""
    client = Wire.to(meter, bound.clients)
    workers = [Wire.to(meter, bound.workers) for _ in range(WORKERS)]
    client.frame("hello", Version=1, Role="client", Pod="client-1", Node="node-1")
    for number, worker in enumerate(workers):
        worker.frame(
            "hello", Version=1, Role="backend", Queue="q", Slots=SLOTS, Wait=True,
            Node=f"node-{number}", Pod=f"pod-{number}",
        )  # fmt: skip
    yield from take([client, *workers], 1 + WORKERS)  # welcome
    at_once = min(in_flight, WORKERS * SLOTS)
    ids = iter(range(1 << 30))

    def requests(count: int) -> list[bytes]:
        return [
            b'{"Kind":"request","Queue":"q","Args":["0"],"Id":"c0ffee-%d"}\n' % next(ids)
            for _ in range(count)
        ]

    def rounds(items: int) -> Script:
        for _ in range(items // at_once):
            for worker, lines in zip(workers, (yield from take(workers, at_once)), strict=True):
                if lines:
                    worker.say(*(_ran(line) for line in lines))
            yield
            yield from take([client], at_once)
            client.say(*requests(at_once))
            yield

    client.say(*requests(in_flight))
    share = 10 if in_flight == 1 else 1
    yield from rounds(WARM_UP // share)
    with meter.counting(MEASURED // share // at_once * at_once):
        yield from rounds(MEASURED // share)
    for wire in (client, *workers):
        wire.close()


def _ran(item: bytes) -> bytes:
    """Return a backend's reply to an item."""
    return b'{"Kind":"reply","Id":"%s","Runtime":0.0123}\n' % id_of(item).encode()


def _classic(meter: Meter, bound: Bound) -> Script:
    """Bring requests and run them, with a connection for each, many at once."""
    request, reply = b'{"Queue": "q"}', b'{"Node": "n", "Pod": "p", "Runtime": 0.0123}'

    def rounds(count: int) -> Script:
        for _ in range(count):
            clients = [Wire.to(meter, bound.clients) for _ in range(SLOTS)]
            for wire in clients:
                wire.say(request)
            yield
            workers = [Wire.to(meter, bound.workers) for _ in range(SLOTS)]
            for wire in workers:
                wire.say(request)
            yield from until(lambda: all(wire.started for wire in workers), workers)  # noqa: B023
            for wire in workers:
                wire.say(reply)
            yield
            everybody = [*clients, *workers]
            yield from until(lambda: all(wire.ended for wire in everybody), everybody)  # noqa: B023
            for wire in everybody:
                wire.close()
            yield

    yield from rounds(WARM_UP // 10 // SLOTS + 1)
    measured = MEASURED // 10 // SLOTS + 1
    with meter.counting(measured * SLOTS):
        yield from rounds(measured)


def _waiting(meter: Meter, bound: Bound) -> Script:
    """Bring requests that nobody runs."""
    client = Wire.to(meter, bound.clients)
    client.frame("hello", Version=1, Role="client")
    yield from take([client], 1)
    count = MEASURED
    lines = [
        b'{"Kind":"request","Queue":"q","Args":["0"],"Id":"c0ffee-%d"}\n' % n for n in range(count)
    ]
    with meter.weighing(count):
        client.say(*lines)
        client.frame("ping")
        yield from take([client], 1)
    client.close()


def _idle(meter: Meter, bound: Bound) -> Script:
    """Connect backends for which there is nothing to do."""
    workers = [Wire.to(meter, bound.workers) for _ in range(IDLE)]
    with meter.weighing(IDLE):
        for worker in workers:
            worker.frame("hello", Version=1, Role="backend", Queue="q", Node="n", Pod="p")
        yield from take(workers, IDLE)
    for worker in workers:
        worker.close()


# --- backend and client ------------------------------------------------------------------------


def _listen() -> tuple[socket.socket, Address]:
    listening = socket.create_server((ANYWHERE.host, 0))
    return listening, Address(*listening.getsockname())


def _welcomed(meter: Meter, listening: socket.socket) -> Generator[None, None, Wire]:
    """Accept the one session."""
    with listening:
        listening.settimeout(LOOK_S)
        for _ in range(LOOKS):
            try:
                wire = Wire(meter, listening.accept()[0])
                break
            except TimeoutError:
                yield
        else:
            raise RuntimeError("nobody connects")
    yield from take([wire], 1)
    wire.frame("welcome", Version=1, Heartbeat=5.0, Server="scalab")
    return wire


async def _backend(meter: Meter) -> None:
    listening, address = _listen()
    meter.play(_items(meter, listening))
    runner = RunnerSettings(workload=Workload.parse(["sleep"]), node="node-1", pod="pod-1")
    settings = BackendSettings(
        runner=runner, frontend=address, queue="q", when_empty="wait", slots=SLOTS
    )
    await run_backend(settings, Stop(), BackendResult())


def _items(meter: Meter, listening: socket.socket) -> Script:
    """Hand items to all slots, and others when they have run."""
    wire = yield from _welcomed(meter, listening)
    ids = iter(range(1 << 30))

    def rounds(items: int) -> Script:
        for _ in range(items // SLOTS):
            line = b'{"Kind":"item","Args":["0"],"Id":"%d"}\n'
            wire.say(*(line % next(ids) for _ in range(SLOTS)))
            yield
            yield from take([wire], SLOTS)

    yield from rounds(WARM_UP)
    with meter.counting(MEASURED):
        yield from rounds(MEASURED)
    wire.close()


async def _client(meter: Meter) -> None:
    listening, address = _listen()
    meter.play(_replies(meter, listening))
    scenario = make_scenario(queues=("q",), args=("0",), load=LoadOptions(parallel=IN_FLIGHT))
    settings = ClientSettings(frontend=address, scenario=scenario, control_addr=None)
    await run_client(settings, Stop(), ClientResult())


def _replies(meter: Meter, listening: socket.socket) -> Script:
    """Answer the oldest requests, and then those that come for them."""
    wire = yield from _welcomed(meter, listening)
    at_once = WORKERS * SLOTS
    (lines,) = yield from take([wire], IN_FLIGHT)
    pending = deque(id_of(line) for line in lines)

    def rounds(items: int) -> Script:
        for number in range(items // at_once):
            pod = number % WORKERS
            line = (
                b'{"Kind":"reply","Id":"%%s","Pod":"pod-%d","Node":"node-%d","Runtime":0.0123,'
                b'"Waittime":0.0456,"Attempts":1,"Outcome":"success"}\n' % (pod, pod)
            )
            wire.say(*(line % pending.popleft().encode() for _ in range(at_once)))
            yield
            (lines,) = yield from take([wire], at_once)
            pending.extend(id_of(line) for line in lines)

    yield from rounds(WARM_UP)
    with meter.counting(MEASURED):
        yield from rounds(MEASURED)
    wire.close()


SCENARIOS: dict[str, Callable[[Meter], Awaitable[None]]] = {
    "frontend, 256 in flight": partial(_frontend, partial(_sessions, IN_FLIGHT)),
    "frontend, one in flight": partial(_frontend, partial(_sessions, 1)),
    "frontend, classic peers": partial(_frontend, _classic),
    "frontend, an item that waits": partial(_frontend, _waiting),
    "frontend, a backend that idles": partial(_frontend, _idle),
    "backend": _backend,
    "client": _client,
}
"""What is counted, by name."""
