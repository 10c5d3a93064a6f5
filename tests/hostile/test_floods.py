"""Too much of everything: connections, errors, silence; the rest is served, and told of briefly."""

from __future__ import annotations

import resource
import socket
import struct
from collections import Counter
from contextlib import AsyncExitStack

import pytest
import trio

from tests.support import FrontendProcess, Http, Wire, address_of, processes, promptly

from .attack import LONG
from .system import Footprint

CONNECTIONS = 5000 if LONG else 1000
ERRORS = 600 if LONG else 60
LINES = 14
"""Of one kind of error in a log: a burst of ten, and a few more if the flood takes a while."""


@pytest.fixture
def files() -> int:
    """How many connections this process can make, when it may open all files that it is allowed."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard - 300


async def serves(frontend: FrontendProcess) -> None:
    client, backend = await frontend.client(), await frontend.backend()
    await client.frame("request", Id="1", Queue="q")
    await backend.frame("reply", Id=(await backend.next("item"))["Id"])
    assert (await client.next("reply"))["Outcome"] == "success"
    await client.aclose()
    await backend.aclose()


async def back_to(before: Footprint, frontend: FrontendProcess) -> None:
    """Wait until all files that the attackers caused to be open are closed."""
    while True:
        if Footprint.of(frontend.process).files <= before.files:
            return
        await trio.sleep(0.05)  # nothing tells the outside when it changes


async def test_thousands_of_connections_that_say_nothing_or_half(files: int) -> None:
    """Silent ones, half a hello, whole sessions that idle: others are served meanwhile."""
    n = min(CONNECTIONS, files)
    openings = (b"", b'{"Kind":"hel', b'{"Kind":"hello","Version":1,"Role":"client"}\n')
    async with processes(100) as started:
        frontend = await started.frontend()
        await serves(frontend)
        before = Footprint.of(frontend.process)
        async with AsyncExitStack() as exits:
            for i in range(n):
                address = frontend.bound.clients
                stream = await trio.open_tcp_stream(address.host, address.port)
                await exits.enter_async_context(stream)
                await stream.send_all(openings[i % 3])
            await serves(frontend)
        await back_to(before, frontend)
        await serves(frontend)
        metrics = await frontend.metrics()

    assert metrics['scalab_connections_opened_total{role="client"}'] >= n
    assert metrics['scalab_connections_refused_total{limit="total"}'] == 0


async def test_a_flood_of_connections_beyond_the_limit() -> None:
    async with processes(100) as started:
        frontend = await started.frontend("--max-connections", "40")
        client, backend = await frontend.client(), await frontend.backend()
        async with trio.open_nursery() as nursery:
            limiter = trio.CapacityLimiter(100)
            for _ in range(ERRORS):
                nursery.start_soon(_connect, frontend, limiter)
            await client.frame("request", Id="1", Queue="q")
            await backend.frame("reply", Id=(await backend.next("item"))["Id"])
            assert (await client.next("reply"))["Outcome"] == "success"
        metrics = await frontend.metrics()
        log = frontend.process.log

    refused = metrics['scalab_connections_refused_total{limit="total"}']
    assert refused > LINES
    assert 0 < sum("connection refused" in line for line in log) <= LINES


async def _connect(frontend: FrontendProcess, limiter: trio.CapacityLimiter) -> None:
    async with limiter:
        wire = Wire(await trio.open_tcp_stream("127.0.0.1", frontend.bound.clients.port))
        try:
            with trio.move_on_after(1):
                await wire.rest()
        except trio.BrokenResourceError:
            pass
        finally:
            await wire.aclose()


async def test_no_flood_of_errors_floods_the_log() -> None:
    async with processes(100) as started:
        frontend = await started.frontend()
        bound = frontend.bound
        for i in range(ERRORS):
            for address, said in (
                (bound.clients, b"nonsense"),
                (bound.workers, b'{"Queue":1}'),
                (bound.metrics, f"GET /{i} HTTP/1.1\r\nHost: x\r\n\r\n".encode()),
            ):
                async with await trio.open_tcp_stream(address.host, address.port) as stream:
                    await stream.send_all(said)
                    await stream.receive_some(4096)
        metrics = await frontend.metrics()
        log = frontend.process.log

    assert metrics['scalab_protocol_errors_total{reason="malformed"}'] == ERRORS
    assert metrics['scalab_protocol_errors_total{reason="field"}'] == ERRORS
    kinds = ("reason=malformed", "reason=field", "status=404")
    counted = Counter(kind for line in log for kind in kinds if kind in line)
    assert all(10 <= counted[kind] <= LINES for kind in kinds), counted


async def test_slowloris_keeps_nobody_from_the_pages() -> None:
    """More dripping connections than there are places for, on the page of a client."""
    async with processes(100) as started:
        frontend = await started.frontend()
        client = await started.client(
            frontend, parallel="1", control_addr="127.0.0.1:0", no_live=""
        )
        control = address_of(await client.line("client is ready"), "page")
        async with AsyncExitStack() as exits:
            for address in (control, frontend.bound.metrics):
                for _ in range(200):
                    stream = await trio.open_tcp_stream(address.host, address.port)
                    await exits.enter_async_context(stream)
                    await stream.send_all(b"GET / HTTP/1.1\r\nX: ")
                with promptly():
                    status, _ = await Http(address).get("/livez")
                    assert status == 200


async def test_resets_in_the_middle_of_everything_leave_nothing() -> None:
    said = (
        b'{"Kind":"hello","Version":1,"Role":"client"}\n{"Kind":"request","Id":"1","Queue":"q"}\n'
        b'{"Kind":"request","Id":"2","Qu'
    )
    async with processes(100) as started:
        frontend = await started.frontend()
        await serves(frontend)
        before = Footprint.of(frontend.process)
        for i in range(300):
            stream = await trio.open_tcp_stream("127.0.0.1", frontend.bound.clients.port)
            await stream.send_all(said[: i % len(said)])
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await stream.aclose()
        await frontend.until(waiting=0, running=0)
        await back_to(before, frontend)
        await serves(frontend)
        log = frontend.process.log

    assert not [line for line in log if "Z error " in line]
