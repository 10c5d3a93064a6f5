"""The client service: as many requests as asked for, at the pace asked for, each counted once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from scalab.client.service import Result, Running, run_client
from scalab.errors import ConfigError
from scalab.frontend.service import Bound, serve
from scalab.measure.statistics import Statistics
from scalab.runtime.net import bound_address
from scalab.runtime.service import Stop
from tests.support import (
    PATIENCE_S,
    Frontend,
    Wire,
    client_run,
    client_settings,
    frontend_settings,
    serving,
    working,
)

either = pytest.mark.parametrize("classic", [False, True])


def statistics(result: Result) -> Statistics:
    assert result.error is None
    assert result.statistics is not None
    return result.statistics


class Client:
    """A client at work."""

    def __init__(self, running: Running, stop: Stop, result: Result) -> None:
        self.run = running.run
        self.stop = stop
        self.result = result


@asynccontextmanager
async def asking(frontend: Frontend, **options: Any) -> AsyncIterator[Client]:
    """Run a client until it ends by itself or is told to."""
    stop, result = Stop(), Result()
    settings = client_settings(frontend.bound.clients, **options)
    async with trio.open_nursery() as nursery:
        running = await nursery.start(run_client, settings, stop, result)
        await wait_all_tasks_blocked()
        yield Client(running, stop, result)
    assert running.run.load.tally.outstanding == [0]


# --- how many ----------------------------------------------------------------------------------


@either
async def test_exactly_as_many_requests_as_asked_for(classic: bool) -> None:
    async with serving() as frontend, working(frontend.bound.workers, "sleep", slots=4):
        result = await client_run(
            frontend.bound.clients, classic=classic, args=("0",), requests=57, parallel=10
        )
        queue = await frontend.queue()

    stats = statistics(result)
    assert (stats.completed, stats.succeeded, stats.outstanding) == (57, 57, 0)
    assert (queue["accepted"], queue["completed"]["success"]) == (57, 57)
    assert result.aborted == 0


@either
async def test_no_more_at_once_than_asked_for(classic: bool) -> None:
    async with serving() as frontend:
        async with asking(frontend, classic=classic, parallel=7, parallel_max=9) as client:
            assert (await frontend.queue())["waiting"] == 7
            assert client.run.set_parallel(100) == 9
            await wait_all_tasks_blocked()
            assert (await frontend.queue())["waiting"] == 9
            client.stop.requested.set()
        queue = await frontend.queue()

    assert client.result.aborted == 9
    assert (queue["waiting"], queue["completed"]["disconnected"]) == (0, 9)


@either
async def test_none_at_once_is_nothing_until_the_load_is_changed(classic: bool) -> None:
    async with serving() as frontend, working(frontend.bound.workers, "sleep"):
        options = {"classic": classic, "parallel": 0, "args": ("0",), "requests": 5}
        async with asking(frontend, **options) as client:
            assert (await frontend.queue())["accepted"] == 0
            client.run.set_parallel(1)
    assert statistics(client.result).completed == 5


@either
async def test_requests_rest_between_a_reply_and_the_next(
    classic: bool, autojump_clock: MockClock
) -> None:
    async with serving(patience_s=1000.0) as frontend:
        async with working(frontend.bound.workers, "sleep", slots=4):
            result = await client_run(
                frontend.bound.clients, classic=classic, args=("0.5",), delay_s=0.7,
                requests=6, parallel=2,
            )  # fmt: skip
            took_s = trio.current_time()

    assert statistics(result).completed == 6
    assert 2.9 <= took_s < 3.0  # two lanes: 0.5 + 0.7 + 0.5 + 0.7 + 0.5


@either
async def test_an_end_by_time_leaves_what_runs(classic: bool, autojump_clock: MockClock) -> None:
    async with serving(patience_s=1000.0) as frontend:
        async with working(frontend.bound.workers, "sleep", slots=3):
            result = await client_run(
                frontend.bound.clients, classic=classic, args=("4",), duration_s=10.0, parallel=3
            )
            took_s = trio.current_time()

    stats = statistics(result)
    assert (stats.completed, stats.outstanding, result.aborted) == (6, 3, 3)
    assert 10.0 <= took_s < 11.0
    assert stats.failed == 0


@either
async def test_a_grace_lets_it_end(classic: bool, autojump_clock: MockClock) -> None:
    async with serving(patience_s=1000.0) as frontend:
        async with working(frontend.bound.workers, "sleep", slots=3):
            result = await client_run(
                frontend.bound.clients, classic=classic, args=("4",), duration_s=10.0,
                parallel=3, grace_s=100.0,
            )  # fmt: skip
            took_s = trio.current_time()

            queue = await frontend.queue()

    # What came after the end of the load is waited for, but not measured.
    assert (statistics(result).completed, result.aborted) == (6, 0)
    assert queue["completed"]["success"] == 9
    assert 12.0 <= took_s < 13.0


@either
async def test_a_grace_is_not_for_a_frontend_that_is_gone(
    classic: bool, autojump_clock: MockClock
) -> None:
    """It goes while the client waits for its last answers."""
    async with trio.open_nursery() as nursery:
        async with serving(patience_s=1000.0) as frontend:
            options = {"classic": classic, "grace_s": 500.0, "parallel": 3}
            settings, stop, result = (
                client_settings(frontend.bound.clients, **options), Stop(), Result()
            )  # fmt: skip
            nursery.start_soon(run_client, settings, stop, result)
            await trio.sleep(1)
            assert (await frontend.queue())["waiting"] == 3
            stop.requested.set()
            await trio.sleep(10)
            assert (await frontend.queue())["waiting"] == 3
        gone_at = trio.current_time()
    assert trio.current_time() - gone_at < 2.0
    assert result.run is not None
    assert result.run.whole.aborted + result.run.whole.failed == 3


async def test_the_limit_travels_with_each_request() -> None:
    async with serving() as frontend, working(frontend.bound.workers, "sleep"):
        result = await client_run(frontend.bound.clients, args=("100",), limit_s=0.01, requests=3)
    stats = statistics(result)
    assert stats.failures == {"timeout": 3}
    assert [e.text for e in stats.errors] == ["run-time limit of 0.01 s reached"]


async def test_what_is_refused_is_counted_as_that() -> None:
    async with serving(queue_max=2) as frontend:
        async with asking(frontend, parallel=2) as client:
            stats = statistics(await client_run(frontend.bound.clients, requests=5, parallel=5))
            unknown = await client_run(frontend.bound.clients, queue="x", requests=2)
            client.stop.requested.set()

    assert stats.failures == {"rejected": 5}
    assert [e.text for e in stats.errors] == ["queue 'q' is full: 2 items wait, the limit"]
    assert unknown.statistics is not None
    assert unknown.statistics.failures == {"rejected": 1}
    assert isinstance(unknown.error, ConfigError)
    assert "unknown queue 'x'; known: q" in str(unknown.error)


# --- a frontend that goes away and comes back --------------------------------------------------


class Incarnations:
    """A frontend that can be ended and started again on the same ports."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._scope = trio.CancelScope()
        self._ended = trio.Event()
        self.frontend: Frontend

    async def start(self, bound: Bound | None = None) -> Frontend:
        at = {}
        if bound is not None:
            at = {"client_addr": bound.clients, "worker_addr": bound.workers}
        stop = Stop()
        self._scope, self._ended = trio.CancelScope(), trio.Event()
        settings = frontend_settings(grace_s=1000.0, **at)
        self.frontend = Frontend(await self._nursery.start(self.serve, settings, stop), stop)
        return self.frontend

    async def serve(  # noqa: ASYNC128 - it passes the status on
        self, *args: Any, task_status: trio.TaskStatus[Bound]
    ) -> None:
        with self._scope:
            await serve(*args, task_status=task_status)
        self._ended.set()

    async def kill(self) -> None:
        self._scope.cancel()
        await self._ended.wait()
        await self.frontend.leave()

    async def drain(self) -> None:
        self.frontend.stop.requested.set()
        await self._ended.wait()
        await self.frontend.leave()


@asynccontextmanager
async def incarnations() -> AsyncIterator[Incarnations]:
    async with trio.open_nursery() as nursery:
        nursery.cancel_scope.relative_deadline = PATIENCE_S
        yield Incarnations(nursery)
        assert not nursery.cancel_scope.cancel_called
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("how", ["kill", "drain"])
async def test_a_restart_loses_no_request_and_counts_none_twice(how: str) -> None:
    async with incarnations() as incarnation:
        first = await incarnation.start()
        stop, result = Stop(), Result()
        settings = client_settings(first.bound.clients, args=("0",), requests=200, parallel=20)
        async with trio.open_nursery() as nursery:
            running: Running = await nursery.start(run_client, settings, stop, result)
            await some_work(first, 50)
            await wait_all_tasks_blocked()
            await (incarnation.kill() if how == "kill" else incarnation.drain())
            so_far = running.run.statistics()
            assert (so_far.completed, so_far.failed, so_far.outstanding) == (50, 0, 20)
            second = await incarnation.start(first.bound)
            async with working(second.bound.workers, "sleep", slots=8):
                await stop.requested.wait()
            queue = await second.queue()

    stats = statistics(result)
    assert (stats.completed, stats.succeeded, stats.failed) == (200, 200, 0)
    assert queue["completed"]["success"] == 150


async def some_work(frontend: Frontend, items: int) -> None:
    """A backend that runs so many items, and then no more."""
    backend = await frontend.backend(Slots=5)
    for i in range(items):
        item = await backend.next("item")
        if i == items - 5:  # it has the last five
            await backend.frame("drain")
        await backend.frame("reply", Id=item["Id"], Node="n")
    await backend.in_line()


async def test_an_answer_that_came_twice_is_counted_once() -> None:
    """By a frontend that answers again what another has answered."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        stop, result = Stop(), Result()
        settings = client_settings(bound_address([listener]), requests=4, parallel=4)
        with trio.fail_after(PATIENCE_S):
            async with trio.open_nursery() as nursery:
                running: Running = await nursery.start(run_client, settings, stop, result)
                first = await welcome(listener)
                requests = [await first.next("request") for _ in range(4)]
                for request in requests[:3]:
                    await first.frame("reply", Id=request["Id"], Node="n", Outcome="success")
                await first.frame("reply", Id=requests[0]["Id"], Node="n", Outcome="success")
                await first.frame("reply", Id="of somebody else", Outcome="failure")
                await wait_all_tasks_blocked()
                assert running.run.statistics().completed == 3
                await first.aclose()
                second = await welcome(listener)
                again = await second.next("request")
                for request in requests[::-1]:
                    await second.frame("reply", Id=request["Id"], Node="n", Outcome="success")
                await second.next("bye")
                await second.aclose()

    assert again == requests[3]
    stats = statistics(result)
    assert (stats.completed, stats.succeeded) == (4, 4)


async def welcome(listener: trio.SocketListener, role: str = "client") -> Wire:
    wire = Wire(await listener.accept())
    assert (await wire.next("hello"))["Role"] == role
    return await wire.frame("welcome", Version=1, Heartbeat=5.0)


async def test_a_frontend_that_falls_silent_is_lost(autojump_clock: MockClock) -> None:
    """As behind a partition, where no connection ever ends."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        stop, result = Stop(), Result()
        settings = client_settings(bound_address([listener]), requests=1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_client, settings, stop, result)
            first = await welcome(listener)
            request = await first.next("request")
            silent_since = trio.current_time()
            second = await welcome(listener)
            lost_after_s = trio.current_time() - silent_since
            assert await second.next("request") == request
            await second.frame("reply", Id=request["Id"], Node="n", Outcome="success")
            await second.next("bye")
            await first.aclose()
            await second.aclose()

    assert 15.0 < lost_after_s < 18.0
    assert statistics(result).succeeded == 1


# --- what listens there is not what was expected -----------------------------------------------


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b'{"Kind": "error", "Error": "no\\n\x1b[2Jway"}\n', r"refuses: no\n\x1b[2Jway"),
        (b'{"Kind": "welcome", "Version": 2, "Heartbeat": 5}\n', "the frontend speaks version 2"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "for the classic frontend, add --classic"),
        (b'{"Error": "unknown queue", "Retcode": 1}\n', "for the classic frontend, add --classic"),
    ],
)
async def test_no_session_is_told_in_one_line(answer: bytes, text: str) -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    address = bound_address([listener])

    async def serve_one() -> None:
        async with await listener.accept() as stream:
            await stream.receive_some(1024)
            await stream.send_all(answer.replace(b"\x1b", rb"\u001b"))

    async with listener, trio.open_nursery() as nursery:
        nursery.start_soon(serve_one)
        result = await client_run(address)

    assert isinstance(result.error, ConfigError)
    assert text in str(result.error)
    assert str(address) in str(result.error)


async def test_a_frontend_that_says_nothing_is_not_waited_for_for_ever(
    autojump_clock: MockClock,
) -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:  # the system accepts, and nobody else does anything
        result = await client_run(bound_address([listener]), connect_timeout_s=7.0)

    assert "no welcome in 5 s" in str(result.error)
