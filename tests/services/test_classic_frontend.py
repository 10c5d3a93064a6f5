"""Our client and backend with ``--classic``: at the archived frontend, and at ours."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from typing import Any

import attrs
import pytest
import structlog
import trio
from trio.testing import MockClock

from scalab.backend.service import Result as BackendResult
from scalab.client.service import Result as ClientResult
from scalab.errors import ConfigError, UnreachableError
from scalab.measure.statistics import Statistics
from scalab.runtime.net import Address, bound_address
from tests.support import (
    PATIENCE_S,
    Json,
    Puppet,
    backend_run,
    client_run,
    indented,
    puppet,
    serving,
    working,
)


class ArchivedFrontend:
    """What is known of the archived tool's frontend, written from the protocol alone.

    Like the original it makes one read for each message, reads requests where it accepts
    connections, and closes after each exchange.
    """

    def __init__(self, *queues: str) -> None:
        self.queues: dict[str, deque[tuple[Json, trio.SocketStream, float]]] = {
            name: deque() for name in queues
        }
        self.faults: list[str] = []
        self.requests = 0
        self.polls = 0

    async def serve_clients(self, listener: trio.SocketListener) -> None:
        async with listener:
            while True:
                stream = await listener.accept()
                request = await self._read(stream)
                queue = self.queues.get(request.get("Queue", ""))
                self.requests += bool(request)
                if not request:
                    await stream.aclose()
                elif queue is None:
                    await self._write(stream, {"Error": "queue not known", "Retcode": 1})
                    await stream.aclose()
                else:
                    queue.append((request, stream, trio.current_time()))

    async def serve_backends(self, listener: trio.SocketListener, nursery: trio.Nursery) -> None:
        async with listener:
            while True:
                stream = await listener.accept()
                request = await self._read(stream)
                nursery.start_soon(self._hand_over, request.get("Queue", ""), stream)

    async def _hand_over(self, name: str, stream: trio.SocketStream) -> None:
        async with stream:
            self.polls += 1
            if name not in self.queues:
                await self._write(stream, {"Error": "queue not known", "Empty": False})
            elif not self.queues[name]:
                await self._write(stream, {"Error": "queue empty", "Empty": True})
            else:
                request, client, since = self.queues[name].popleft()
                waited = trio.current_time() - since
                async with client:
                    item = {"Args": request["Args"], "Limit": request["Limit"], "Error": ""}
                    await self._write(stream, item)
                    reply = await self._read(stream)
                    await self._write(client, {**reply, "Waittime": waited})

    async def _read(self, stream: trio.SocketStream) -> Json:
        data = bytes(await stream.receive_some(1024))
        if not data:
            return {}
        try:
            message: Json = json.loads(data)
        except json.JSONDecodeError:
            self.faults.append(f"not one whole message: {data!r}")
            return {}
        return message

    async def _write(self, stream: trio.SocketStream, message: Json) -> None:
        with suppress(trio.BrokenResourceError):
            await stream.send_all(indented(message))


@attrs.frozen
class Place:
    """Where a frontend listens."""

    clients: Address
    workers: Address


@asynccontextmanager
async def archived(*queues: str) -> AsyncIterator[Place]:
    """Run the double; what it could not have read is a fault of ours."""
    double = ArchivedFrontend(*(queues or ("q",)))
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            clients = await trio.open_tcp_listeners(0, host="127.0.0.1")
            workers = await trio.open_tcp_listeners(0, host="127.0.0.1")
            nursery.start_soon(double.serve_clients, clients[0])
            nursery.start_soon(double.serve_backends, workers[0], nursery)
            yield Place(bound_address(clients), bound_address(workers))
            nursery.cancel_scope.cancel()
    assert double.faults == []


@asynccontextmanager
async def ours(*queues: str) -> AsyncIterator[Place]:
    """Run our own."""
    async with serving(*queues) as frontend:
        yield Place(frontend.bound.clients, frontend.bound.workers)


Frontends = Callable[..., AbstractAsyncContextManager[Place]]
both = pytest.mark.parametrize("frontend", [archived, ours])

classic_client: Callable[..., Awaitable[ClientResult]] = partial(client_run, classic=True)
classic_backend: Callable[..., Awaitable[BackendResult]] = partial(backend_run, classic=True)
classic_working: Callable[..., AbstractAsyncContextManager[object]] = partial(
    working, classic=True, backoff_s=0.01, backoff_max_s=0.02
)


def statistics(result: ClientResult) -> Statistics:
    assert result.error is None
    assert result.statistics is not None
    return result.statistics


@both
async def test_requests_are_served(frontend: Frontends) -> None:
    async with frontend() as at, classic_working(at.workers, "sleep", slots=3, pod="pod-7"):
        stats = statistics(await classic_client(at.clients, args=("0",), requests=30, parallel=5))

    assert (stats.completed, stats.succeeded, stats.failed, stats.outstanding) == (30, 30, 0, 0)
    assert [(node.name, node.served) for node in stats.nodes] == [("node", 30)]
    assert [pod.name for pod in stats.pods] == ["pod-7"]
    assert stats.run.count == stats.wait.count == 30


@both
async def test_arguments_and_limits_arrive(frontend: Frontends) -> None:
    async with frontend() as at, puppet() as workload:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_serve_one, at, workload)
            stats = statistics(
                await classic_client(at.clients, args=("a", "b"), requests=1, limit_s=60.0)
            )
            nursery.cancel_scope.cancel()

    assert stats.succeeded == 1


async def _serve_one(at: Place, workload: Puppet) -> None:
    async with classic_working(at.workers, *workload.command):
        run = await workload.run()
        assert run.args == ["a", "b"]
        await run.end()
        await trio.sleep_forever()


@both
async def test_failures_come_with_their_reason(frontend: Frontends) -> None:
    command = ("bash", "-c", "printf 'frame 7:\\n\\tno such codec\\n' >&2; exit 3")
    async with frontend() as at, classic_working(at.workers, *command):
        stats = statistics(await classic_client(at.clients, requests=2))

    assert stats.failures == {"failure": 2}
    assert [(e.text, e.count) for e in stats.errors] == [("no such codec", 2)]


@both
async def test_timeouts_are_told_apart(frontend: Frontends) -> None:
    async with frontend() as at, classic_working(at.workers, "sleep"):
        stats = statistics(await classic_client(at.clients, args=("60",), limit_s=0.01, requests=2))

    assert stats.failures == {"timeout": 2}


@both
async def test_an_unknown_queue(frontend: Frontends) -> None:
    async with frontend() as at:
        backend = await classic_backend(at.workers, queue="x")
        stats = statistics(await classic_client(at.clients, queue="x", requests=3))

    assert isinstance(backend.error, ConfigError)
    assert str(backend.error).startswith("the frontend refuses: ")
    assert stats.failures == {"rejected": 3}


@both
async def test_a_backend_leaves_when_the_queue_is_empty(frontend: Frontends) -> None:
    async with frontend() as at:
        backend = await classic_backend(at.workers, "sleep", when_empty="exit", slots=3)

    assert backend.error is None
    assert sum(backend.counts.outcomes.values()) == 0


@both
@pytest.mark.parametrize("when_empty", ["backoff", "wait"])
async def test_or_it_asks_again(frontend: Frontends, when_empty: str) -> None:
    async with frontend() as at, classic_working(at.workers, "sleep", when_empty=when_empty):
        for _ in range(2):
            stats = statistics(await classic_client(at.clients, args=("0",), requests=1))
            assert stats.succeeded == 1


async def test_pauses_grow_up_to_their_limit(autojump_clock: MockClock) -> None:
    """In virtual time: an hour of an empty queue."""
    double = ArchivedFrontend("q")
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(double.serve_backends, listener, nursery)
        options: dict[str, Any] = {"backoff_s": 0.1, "backoff_max_s": 10.0}
        async with working(bound_address([listener]), "sleep", classic=True, **options):
            await trio.sleep(3600)
        nursery.cancel_scope.cancel()

    # Seven doublings, then one in 5 to 15 s.
    assert 240 <= double.polls <= 730


# --- a frontend that goes away -----------------------------------------------------------------


@asynccontextmanager
async def dropping() -> AsyncIterator[Address]:
    """A frontend that closes every connection without an answer."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")

    async def drop() -> None:
        async with listener:
            while True:
                async with await listener.accept() as stream:
                    await stream.receive_some(1024)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(drop)
        yield bound_address([listener])
        nursery.cancel_scope.cancel()


async def test_a_request_that_the_frontend_drops_is_a_failure(autojump_clock: MockClock) -> None:
    async with dropping() as address:
        stats = statistics(await classic_client(address, requests=3))

    assert (stats.completed, stats.failures) == (0, {"disconnected": 3})
    assert [(e.text, e.count) for e in stats.errors] == [("the frontend closed without a reply", 3)]


async def test_a_backend_that_gets_no_answer_tries_again_for_a_while(
    autojump_clock: MockClock,
) -> None:
    with structlog.testing.capture_logs() as logs:
        async with dropping() as address:
            result = await classic_backend(address, connect_timeout_s=20.0)
            tried_s = trio.current_time()

    assert isinstance(result.error, UnreachableError)
    assert str(result.error) == (
        f"no exchange with the frontend at {address}: the frontend closed without an answer"
    )
    assert 20.0 <= tried_s <= 21.0
    assert [line["event"] for line in logs].count("trying again") == 1


@pytest.mark.parametrize("classic", [False, True])
async def test_nobody_there_at_the_start(classic: bool, autojump_clock: MockClock) -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    address = bound_address([listener])
    await listener.aclose()
    for run in (client_run, backend_run):
        started = trio.current_time()
        result = await run(address, classic=classic, connect_timeout_s=5.0)
        assert isinstance(result.error, UnreachableError)
        assert str(result.error) == f"can't connect to {address}: connection refused"
        assert 5.0 <= trio.current_time() - started <= 6.0


@pytest.mark.parametrize("classic", [False, True])
async def test_a_backend_gives_up_a_frontend_that_stays_away(
    classic: bool, autojump_clock: MockClock
) -> None:
    """Having worked for it, it waits as long as it was told, and no longer."""
    results: list[BackendResult] = []

    async def backend(address: Address) -> None:
        results.append(
            await backend_run(address, "sleep", classic=classic, reconnect_timeout_s=60.0)
        )

    async with trio.open_nursery() as nursery:
        async with serving() as frontend:
            address = frontend.bound.workers
            nursery.start_soon(backend, address)
            await client_run(frontend.bound.clients, args=("1",), requests=2)
        gone_at = trio.current_time()

    assert isinstance(results[0].error, UnreachableError)
    assert 60.0 <= trio.current_time() - gone_at <= 70.0
    assert results[0].counts.outcomes["success"] == 2
