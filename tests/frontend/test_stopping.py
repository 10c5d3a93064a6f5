"""A frontend that is told to stop: what runs may end, what waits is answered, nobody is left."""

from __future__ import annotations

import pytest
import structlog
import trio
from trio.testing import wait_all_tasks_blocked

from tests.support import Frontend, Wire, ended, serving

LONG_S = 1000.0
"""A grace that nobody should have to wait for."""


async def draining(frontend: Frontend) -> None:
    frontend.stop.request("the test says so")
    await wait_all_tasks_blocked()


async def start_item(frontend: Frontend, kind: str) -> tuple[Wire, str]:
    """A backend that runs an item, and the item's name."""
    if kind == "classic":
        backend, _ = await frontend.classic_backend()
        return backend, ""
    backend = await frontend.backend()
    return backend, (await backend.next("item"))["Id"]


@pytest.mark.parametrize("kind", ["classic", "session"])
async def test_running_items_end_within_the_grace(kind: str) -> None:
    async with serving(grace_s=LONG_S) as frontend:
        client = await frontend.client()
        await client.frame("request", Id="runs", Queue="q")
        backend, token = await start_item(frontend, kind)
        await client.frame("request", Id="waits", Queue="q")
        classic = await frontend.classic_client()
        await draining(frontend)

        assert (await frontend.get("/readyz"))[0] == 503
        assert (await frontend.get("/livez"))[0] == 200
        assert (await frontend.metrics())["scalab_draining"] == 1
        for address in (frontend.bound.clients, frontend.bound.workers):
            with pytest.raises(OSError, match="all attempts to connect"):
                await trio.open_tcp_stream(address.host, address.port)

        # What waits is answered at once, sessions so that they can try the next frontend.
        waits, told = await client.next(), await client.next()
        if waits["Kind"] == "drain":
            waits, told = told, waits
        assert (waits["Id"], waits["Retry"], waits["Outcome"]) == ("waits", True, "cancelled")
        assert told["Kind"] == "drain"
        assert (await classic.answer())["Error"] == "frontend is shutting down"
        await client.frame("request", Id="too late", Queue="q")
        late = await client.next("reply")
        assert (late["Id"], late["Retry"], late["Outcome"]) == ("too late", True, "rejected")

        # What runs goes on.
        if kind == "session":
            await backend.next("drain")
            await backend.frame("reply", Id=token, Node="n")
            await backend.next("bye")
        else:
            await backend.say({"Node": "n"})
        runs = await client.next("reply")
        assert (runs["Id"], runs["Node"], runs["Outcome"]) == ("runs", "n", "success")
        await client.next("bye")
        await client.gone()
        await backend.gone()


@pytest.mark.parametrize("kind", ["classic", "session"])
async def test_a_backend_that_vanishes_while_we_stop_is_not_waited_for(kind: str) -> None:
    async with serving(grace_s=LONG_S) as frontend:
        client = await frontend.client()
        await client.frame("request", Id="1", Queue="q")
        backend, _ = await start_item(frontend, kind)
        await draining(frontend)
        await client.next("drain")
        await backend.aclose()
        reply = await client.next("reply")
        await client.next("bye")

    assert (reply["Retry"], reply["Outcome"]) == (True, "cancelled")


@pytest.mark.parametrize("kind", ["classic", "session"])
async def test_what_the_grace_doesn_t_suffice_for_is_given_up(kind: str) -> None:
    with structlog.testing.capture_logs() as logs:
        async with serving(grace_s=0.01) as frontend:
            client = await frontend.client()
            await client.frame("request", Id="1", Queue="q")
            backend, _ = await start_item(frontend, kind)
            classic = await frontend.classic_client() if kind == "session" else None
            await draining(frontend)
            await client.next("drain")
            reply = await client.next("reply")
            await client.next("bye")
            if classic is not None:
                assert (await classic.answer())["Error"] == "frontend is shutting down"
            await client.aclose()
            await backend.rest()
            await backend.aclose()

    assert (reply["Id"], reply["Retry"], reply["Outcome"]) == ("1", True, "cancelled")
    totals = next(line for line in logs if line["event"] == "frontend has ended")
    assert totals["accepted"] == totals["cancelled"] == (2 if kind == "session" else 1)


async def test_with_nothing_to_do_it_ends_although_peers_are_silent() -> None:
    """Silent connections, idle sessions, and one that doesn't read."""
    with structlog.testing.capture_logs() as logs, trio.fail_after(3):
        async with serving(grace_s=LONG_S) as frontend:
            for _ in range(5):
                await frontend.to_clients()
                await frontend.client()
                await frontend.backend()
            frontend.stop.request("the test says so")

    assert [line["accepted"] for line in logs if line["event"] == "frontend has ended"] == [0]


async def test_a_client_that_leaves_while_we_stop() -> None:
    async with serving(grace_s=LONG_S) as frontend:
        client = await frontend.client()
        await client.frame("request", Id="1", Queue="q")
        backend = await frontend.backend()
        item = await backend.next("item")
        await draining(frontend)
        await client.aclose()
        await backend.next("drain")
        assert (await backend.next("cancel"))["Id"] == item["Id"]
        queue = await frontend.queue()
        await backend.frame("reply", Id=item["Id"], Retcode=143, Error="cancelled")
        await backend.next("bye")

    assert (queue["running"], ended(queue)) == (1, 0)


async def test_a_hello_just_before_the_end_is_told_of_it() -> None:
    """It was accepted while we still were, and speaks only now."""
    async with serving(grace_s=LONG_S) as frontend:
        classic = await frontend.classic_client()
        running, _ = await frontend.classic_backend()
        client, backend = await frontend.to_clients(), await frontend.to_backends()
        await wait_all_tasks_blocked()
        await draining(frontend)
        await client.frame("hello", Version=1, Role="client")
        await backend.frame("hello", Version=1, Role="backend", Queue="q")
        for wire in (client, backend):
            await wire.next("welcome")
            await wire.next("drain")
        await running.say({"Node": "n"})
        await classic.answer()
        for wire in (client, backend):
            await wire.next("bye")
