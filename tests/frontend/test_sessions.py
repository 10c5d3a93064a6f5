"""Sessions at the frontend: credit, cancellation, redelivery, and peers that leave."""

from __future__ import annotations

import socket
import struct

import pytest
from trio.testing import wait_all_tasks_blocked

from tests.support import Frontend, Wire, puppet, serving, working


async def done(backend: Wire, **reply: object) -> None:
    """Take the next item, and reply."""
    item = await backend.next("item")
    await backend.frame("reply", Id=item["Id"], **reply)


# --- slots -------------------------------------------------------------------------------------


async def test_a_backend_is_handed_as_many_items_as_it_has_slots() -> None:
    async with serving() as frontend:
        backend, client = await frontend.backend(Slots=2), await frontend.client()
        for i in range(4):
            await client.frame("request", Id=str(i), Queue="q", Args=[str(i)])
        first, second = await backend.next("item"), await backend.next("item")
        await backend.in_line()  # so there is no third
        assert (await frontend.queue())["slots"] == {"idle": 0, "busy": 2, "draining": 0}
        await backend.frame("reply", Id=second["Id"])
        third = await backend.next("item")
        reply = await client.next("reply")

    assert [item["Args"] for item in (first, second, third)] == [["0"], ["1"], ["2"]]
    assert reply["Id"] == "1"


async def test_items_spread_over_free_backends() -> None:
    async with serving() as frontend:
        backends = [await frontend.backend(Slots=4) for _ in range(3)]
        client = await frontend.client()
        for i in range(6):
            await client.frame("request", Id=str(i), Queue="q")
        for backend in backends:
            await backend.next("item")
            await backend.next("item")
            await backend.in_line()


async def test_a_backend_that_won_t_wait_is_told_empty_once_and_pulls_again() -> None:
    async with serving() as frontend:
        client, backend = await frontend.client(), await frontend.backend(Wait=False)
        await backend.next("empty")
        await client.frame("request", Id="1", Queue="q")
        await client.in_line()
        await backend.in_line()  # it rests: nothing is handed to it
        assert (await frontend.queue())["waiting"] == 1
        await backend.frame("pull")
        await done(backend)
        await backend.next("empty")
        await client.next("reply")


async def test_a_draining_backend_gets_nothing_more() -> None:
    async with serving() as frontend:
        client, backend = await frontend.client(), await frontend.backend(Slots=2)
        await client.frame("request", Id="1", Queue="q")
        item = await backend.next("item")
        await backend.frame("drain")
        await backend.in_line()
        await client.frame("request", Id="2", Queue="q")
        await backend.in_line()
        assert (await frontend.queue())["slots"] == {"idle": 0, "busy": 0, "draining": 1}
        await backend.frame("reply", Id=item["Id"])
        assert (await client.next("reply"))["Id"] == "1"
        await backend.frame("bye")
        await backend.gone()
        assert (await frontend.queue())["waiting"] == 1


# --- clients that leave or change their mind ---------------------------------------------------


async def test_a_waiting_request_is_cancelled_at_once() -> None:
    async with serving() as frontend:
        client = await frontend.client()
        await client.frame("request", Id="1", Queue="q")
        await client.frame("cancel", Id="1")
        await client.frame("cancel", Id="1")  # too late, and harmless
        await client.frame("cancel", Id="unknown")
        reply = await client.next("reply")
        await client.in_line()
        metrics = await frontend.metrics()

    assert (reply["Id"], reply["Outcome"], reply["Retcode"]) == ("1", "cancelled", 1)
    assert metrics['scalab_queue_items_cancelled_total{queue="q",stage="waiting"}'] == 1


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [({"Retcode": 143, "Error": "cancelled"}, "cancelled"), ({"Retcode": 0}, "success")],
)
async def test_a_running_request_ends_as_its_backend_says(
    reply: dict[str, object], outcome: str
) -> None:
    async with serving() as frontend:
        client, backend = await frontend.client(), await frontend.backend()
        await client.frame("request", Id="1", Queue="q")
        item = await backend.next("item")
        await client.frame("cancel", Id="1")
        await client.frame("cancel", Id="1")
        assert (await backend.next("cancel"))["Id"] == item["Id"]
        await backend.in_line()  # told once
        await backend.frame("reply", Id=item["Id"], **reply)
        assert (await client.next("reply"))["Outcome"] == outcome
        metrics = await frontend.metrics()

    assert metrics['scalab_queue_items_cancelled_total{queue="q",stage="running"}'] == 1
    assert metrics[f'scalab_queue_items_completed_total{{outcome="{outcome}",queue="q"}}'] == 1


async def leave(wire: Wire, reset: bool) -> None:
    """Close as a program does that ends, or as one that crashes with bytes unread."""
    if reset:
        wire.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await wire.aclose()


async def request(frontend: Frontend, kind: str) -> Wire:
    if kind == "classic":
        return await frontend.classic_client()
    client = await frontend.client()
    await client.frame("request", Id="1", Queue="q")
    await client.in_line()
    return client


@pytest.mark.parametrize("kind", ["classic", "session"])
@pytest.mark.parametrize("reset", [False, True])
async def test_a_client_that_leaves_takes_its_waiting_items_with_it(kind: str, reset: bool) -> None:
    async with serving() as frontend:
        client, stays = await request(frontend, kind), await frontend.classic_client()
        await leave(client, reset)
        await wait_all_tasks_blocked()
        queue = await frontend.queue()
        await done(await frontend.backend(), Node="n")
        await stays.answer()

    assert (queue["waiting"], queue["completed"]["disconnected"]) == (1, 1)


@pytest.mark.parametrize("kind", ["classic", "session"])
async def test_a_client_that_leaves_ends_what_runs_for_it(kind: str) -> None:
    """Down to the workload's process."""
    async with (
        serving() as frontend,
        puppet() as workload,
        working(frontend.bound.workers, *workload.command),
    ):
        client = await request(frontend, kind)
        run = await workload.run()
        await client.aclose()
        await run.killed()
        after = await frontend.classic_client()
        await (await workload.run()).end()
        assert (await after.answer())["Retcode"] == 0
        queue = await frontend.queue()

    assert (queue["completed"]["cancelled"], queue["completed"]["success"]) == (1, 1)


@pytest.mark.parametrize("kind", ["classic", "session"])
async def test_by_the_other_policy_it_runs_to_its_end(kind: str) -> None:
    async with (
        serving(on_client_gone="finish") as frontend,
        puppet() as workload,
        working(frontend.bound.workers, *workload.command),
    ):
        client = await request(frontend, kind)
        run = await workload.run()
        await client.aclose()
        await wait_all_tasks_blocked()
        assert (await frontend.queue())["running"] == 1
        await run.end()
        after = await frontend.classic_client()
        await (await workload.run()).end()
        await after.answer()
        queue = await frontend.queue()

    assert queue["completed"]["success"] == 2


async def test_a_classic_backend_always_finishes() -> None:
    async with serving() as frontend:
        client = await frontend.classic_client()
        backend, _ = await frontend.classic_backend()
        await client.aclose()
        await wait_all_tasks_blocked()
        assert (await frontend.queue())["running"] == 1
        await backend.say({"Node": "n"})
        await backend.gone()
        queue = await frontend.queue()

    assert queue["completed"]["success"] == 1


async def test_what_one_client_may_have_outstanding_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("scalab.frontend.clients.MAX_OUTSTANDING", 2)
    async with serving() as frontend:
        client, other = await frontend.client(), await frontend.client()
        for i in range(3):
            await client.frame("request", Id=str(i), Queue="q")
        refused = await client.next("reply")
        await other.frame("request", Id="0", Queue="q")
        await other.in_line()
        queue = await frontend.queue()

    assert (refused["Id"], refused["Outcome"]) == ("2", "rejected")
    assert refused["Error"] == "more than 2 requests of one client are pending"
    assert (queue["waiting"], queue["rejected"]["busy"]) == (3, 1)


async def test_a_session_may_say_bye_with_requests_outstanding() -> None:
    async with serving() as frontend:
        client, backend = await frontend.client(), await frontend.backend()
        for i in range(3):
            await client.frame("request", Id=str(i), Queue="q")
        await backend.next("item")
        await client.frame("bye")
        await client.gone()
        await backend.next("cancel")
        queue = await frontend.queue()

    assert (queue["waiting"], queue["running"]) == (0, 1)
    assert queue["completed"]["disconnected"] == 2


# --- backends that leave -----------------------------------------------------------------------


async def test_an_item_of_a_vanished_backend_is_the_next_one_of_another() -> None:
    async with serving() as frontend:
        client, backend = await frontend.client(), await frontend.backend()
        for i in range(2):
            await client.frame("request", Id=str(i), Queue="q", Args=[str(i)])
        await backend.next("item")
        await backend.aclose()
        await wait_all_tasks_blocked()
        other = await frontend.backend()
        item = await other.next("item")
        await other.frame("reply", Id=item["Id"])
        reply = await client.next("reply")
        queue = await frontend.queue()

    assert item["Args"] == ["0"]
    assert (reply["Id"], reply["Attempts"]) == ("0", 2)
    assert queue["redelivered"]["disconnect"] == 1


async def vanish(frontend: Frontend, kind: str, reset: bool) -> None:
    if kind == "classic":
        backend, _ = await frontend.classic_backend()
    else:
        backend = await frontend.backend()
        await backend.next("item")
    await leave(backend, reset)
    await wait_all_tasks_blocked()


@pytest.mark.parametrize("kind", ["classic", "session"])
@pytest.mark.parametrize("reset", [False, True])
async def test_an_item_that_no_backend_survives_is_lost(kind: str, reset: bool) -> None:
    async with serving(max_attempts=2) as frontend:
        classic, client = await frontend.classic_client(), await frontend.client()
        await client.frame("request", Id="1", Queue="q")
        await client.in_line()
        for _ in range(4):
            await vanish(frontend, kind, reset)
        replies = [await classic.answer(), await client.next("reply")]
        queue = await frontend.queue()

    for reply in replies:
        assert reply["Error"] == "lost: 2 backends vanished while they ran it"
        assert (reply["Retcode"], reply["Attempts"], reply.get("Node", "")) == (1, 2, "")
    assert replies[1]["Outcome"] == "lost"
    assert queue["completed"]["lost"] == 2
    assert queue["redelivered"]["disconnect"] == 2


async def test_an_item_that_is_given_back_was_not_attempted() -> None:
    async with serving(max_attempts=1) as frontend:
        client = await frontend.client()
        await client.frame("request", Id="1", Queue="q")
        for _ in range(3):
            backend = await frontend.backend()
            item = await backend.next("item")
            await backend.frame("drain")
            await backend.frame("release", Id=item["Id"])
            await backend.in_line()
            await backend.aclose()
        await done(await frontend.backend())
        reply = await client.next("reply")
        queue = await frontend.queue()

    assert (reply["Attempts"], reply["Outcome"]) == (1, "success")
    assert queue["redelivered"] == {"disconnect": 0, "heartbeat": 0, "protocol": 0, "release": 3}


@pytest.mark.parametrize("kind", ["classic", "session"])
async def test_half_a_reply_is_none(kind: str) -> None:
    async with serving() as frontend:
        client = await frontend.classic_client()
        if kind == "classic":
            backend, _ = await frontend.classic_backend()
        else:
            backend = await frontend.backend()
            await backend.next("item")
        await backend.send(b'{"Kind": "reply", "Id": "1", "Node": "half')
        await backend.stream.send_eof()
        assert b"connection closed inside a message" in await backend.rest()
        await done(await frontend.backend(), Node="whole")
        reply = await client.answer()
        queue = await frontend.queue()

    assert (reply["Node"], reply["Attempts"]) == ("whole", 2)
    assert queue["redelivered"]["protocol"] == 1


async def test_a_cancelled_item_is_not_redelivered() -> None:
    async with serving() as frontend:
        client, backend = await frontend.client(), await frontend.backend()
        await client.frame("request", Id="1", Queue="q")
        await backend.next("item")
        await client.frame("cancel", Id="1")
        await backend.next("cancel")
        await backend.aclose()
        reply = await client.next("reply")
        queue = await frontend.queue()

    assert reply["Outcome"] == "cancelled"
    assert queue["waiting"] == 0
