"""Peers that are silent, slow or frozen delay nobody else."""

from __future__ import annotations

from functools import partial
from typing import Any

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.support import Frontend, Wire, client_run, serving, working


async def exchange(frontend: Frontend) -> None:
    """One request of each kind, through a backend of each kind."""
    client = await frontend.client()
    for kind in ("classic", "session"):
        asking = await frontend.classic_client()
        await client.frame("request", Id=kind, Queue="q")
        for _ in range(2):
            await _work(frontend, kind)
        assert (await asking.answer())["Node"] == "n"
        assert (await client.next("reply"))["Node"] == "n"
    await client.aclose()


async def _work(frontend: Frontend, kind: str) -> None:
    if kind == "classic":
        wire, _ = await frontend.classic_backend()
        await wire.say({"Node": "n"})
    else:
        wire = await frontend.backend()
        item = await wire.next("item")
        await wire.frame("drain")  # one is enough
        await wire.frame("reply", Id=item["Id"], Node="n")
        await wire.in_line()
    await wire.aclose()


async def test_fifty_silent_connections_delay_nobody(mock_clock: MockClock) -> None:
    """The clock stands still: whoever waits for a deadline of theirs waits for ever."""
    async with serving() as frontend:
        for wire in [await frontend.to_clients() for _ in range(25)]:
            await wire.send(b'{"Queue": ')
        for wire in [await frontend.to_backends() for _ in range(25)]:
            await wire.send(b"")
        await wait_all_tasks_blocked()
        await exchange(frontend)
        metrics = await frontend.metrics()

    assert metrics['scalab_connections{role="client"}'] == 25
    assert metrics['scalab_connections{role="backend"}'] == 25


async def test_backends_that_never_reply_delay_nobody(mock_clock: MockClock) -> None:
    async with serving() as frontend:
        stuck = await frontend.client()
        for i in range(20):
            await stuck.frame("request", Id=str(i), Queue="q")
        sleeper = await frontend.backend(Slots=10)
        for _ in range(10):
            await sleeper.next("item")
        for _ in range(10):
            await frontend.classic_backend()
        await exchange(frontend)
        queue = await frontend.queue()

    assert queue["running"] == 20


async def flood(wire: Wire, sent: list[int]) -> None:
    """Ask for more answers than anybody could keep for us."""
    lines = b"".join(
        b'{"Kind": "request", "Id": "%d", "Queue": "%s"}\n' % (i, 200 * b"x") for i in range(100)
    )
    for _ in range(2000):
        await wire.send(lines)
        sent.append(100)


async def test_a_client_that_doesn_t_read_is_not_listened_to(mock_clock: MockClock) -> None:
    """What it is owed is bounded, others go on, and in the end it is given up."""
    names = [f"{i:060}" for i in range(5)]
    async with serving("q", *names, patience_s=1000.0) as frontend:
        deaf, sent = await frontend.client(), list[int]()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(flood, deaf, sent)
            await wait_all_tasks_blocked()
            taken = (await frontend.metrics())[
                'scalab_queue_items_rejected_total{queue="",reason="unknown_queue"}'
            ]
            await exchange(frontend)
            assert 1000 < taken <= sum(sent) + 100 < 100_000
            nursery.cancel_scope.cancel()
        for _ in range(8):
            mock_clock.jump(2.5)
            await wait_all_tasks_blocked()
        metrics = await frontend.metrics()

    assert metrics['scalab_protocol_errors_total{reason="slow"}'] == 1
    assert metrics['scalab_connections{role="client"}'] == 0


async def test_real_peers_work_beside_silent_ones() -> None:
    async with serving() as frontend:
        for _ in range(20):
            await frontend.to_clients()
            await frontend.to_backends()
        async with working(frontend.bound.workers, "sleep", slots=4):
            results = []

            async def run(**options: Any) -> None:
                results.append(await client_run(frontend.bound.clients, **options))

            async with trio.open_nursery() as nursery:
                for classic in (False, True):
                    nursery.start_soon(
                        partial(run, classic=classic, args=("0",), requests=50, parallel=5)
                    )

    for result in results:
        assert result.statistics is not None
        assert (result.statistics.succeeded, result.statistics.failed) == (50, 0)
