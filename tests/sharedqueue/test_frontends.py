"""Real frontends that share a queue over a real store, and raw peers at each of them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from scalab.errors import ConfigError
from scalab.frontend.service import Bound, serve
from scalab.redis.server import Server
from scalab.runtime.service import Stop
from scalab.sharedqueue.settings import StoreSettings
from tests.sharedqueue.servers import RedisServer, redis_server
from tests.support import (
    PATIENCE_S,
    Frontend,
    Wire,
    frontend_settings,
)

Json = dict[str, Any]


@pytest.fixture(scope="module")
def a_server() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def server(a_server: RedisServer) -> RedisServer:
    """A store that is empty."""
    a_server.ask("FLUSHALL")
    return a_server


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    """A store that the test may do anything to."""
    with redis_server() as server:
        yield server


@asynccontextmanager
async def sharing(
    server: RedisServer | str, count: int = 2, **options: Any
) -> AsyncIterator[list[Frontend]]:
    """Start frontends that share the queue ``q``."""
    url = server if isinstance(server, str) else server.unix_url
    store = StoreSettings(
        server=Server.parse(url), lease_s=options.pop("lease_s", 5.0), result_ttl_s=30.0
    )
    frontends = []
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            for _ in range(count):
                stop, settings = Stop(), frontend_settings(store=store, **options)
                bound: Bound = await nursery.start(serve, settings, stop)
                frontends.append(Frontend(bound, stop))
            try:
                yield frontends
            finally:
                with trio.CancelScope(shield=True):
                    for frontend in frontends:
                        await frontend.leave()
            for frontend in frontends:
                frontend.stop.requested.set()


async def known(frontend: Frontend, run: str, session: int) -> Wire:
    """The session of a client that frontends know again."""
    wire = await frontend.to_clients()
    await wire.frame("hello", Version=1, Role="client", Run=run, Session=session)
    await wire.next("welcome")
    return wire


async def until(condition: Callable[[Json], bool], frontend: Frontend) -> Json:
    """Wait until a frontend shows the queue in a certain state, and return it."""
    while True:
        _, text = await frontend.get("/api/queues")
        queue: Json = json.loads(text)["queues"]["q"]
        if condition(queue):
            return queue
        await trio.sleep(0.02)


async def counted(frontend: Frontend, wanted: dict[str, float]) -> None:
    """Wait until a frontend has counted of its own what it should, by kind or kind and label."""
    while True:
        metrics, found = await frontend.metrics(), {}
        for name in wanted:
            kind, _, label = name.partition(":")
            samples = [
                value for sample, value in metrics.items()
                if sample.startswith(f"scalab_queue_items_{kind}_total{{")
                and (not label or f'="{label}"' in sample)
            ]  # fmt: skip
            found[name] = sum(samples)
        if found == wanted:
            return
        await trio.sleep(0.02)


async def status(frontend: Frontend, path: str, wanted: int) -> str:
    """Wait until a path has a status."""
    while True:
        found, text = await frontend.get(path)
        if found == wanted:
            return text
        await trio.sleep(0.02)


# --- a request and its reply ---------------------------------------------------------------------


async def test_a_request_here_runs_over_there(server: RedisServer) -> None:
    async with sharing(server) as (here, there):
        client = await here.client()
        backend = await there.backend(Node="n1", Pod="p1")
        await client.frame("request", Id="a", Queue="q", Args=["1", "ü"], Limit=2.5)
        item = await backend.next("item")
        await backend.frame("reply", Id=item["Id"], Runtime=0.25, Device="card0")
        reply = await client.next("reply")

        assert (item["Args"], item["Limit"]) == (["1", "ü"], 2.5)
        assert reply["Waittime"] >= 0
        assert {k: reply[k] for k in ("Id", "Node", "Pod", "Device", "Outcome", "Attempts")} == {
            "Id": "a", "Node": "n1", "Pod": "p1", "Device": "card0", "Outcome": "success",
            "Attempts": 1,
        }  # fmt: skip
        await counted(here, {"accepted": 1, "delivered": 0, "completed:success": 1})
        await counted(there, {"accepted": 0, "delivered": 1, "completed": 0})
        for frontend in (here, there):
            await until(lambda q: (q["demand"], q["accepted"]) == (0, 1), frontend)


async def test_the_limit_counts_what_waits_at_all_frontends(server: RedisServer) -> None:
    async with sharing(server, queue_max=2) as (here, there):
        one, other = await here.client(), await there.client()
        for wire, name in ((one, "a"), (other, "b")):
            await wire.frame("request", Id=name, Queue="q")
        await until(lambda q: q["waiting"] == 2, here)
        await other.frame("request", Id="c", Queue="q")
        reply = await other.next("reply")

        assert (reply["Id"], reply["Outcome"], reply["Reason"]) == ("c", "rejected", "full")
        assert reply["Error"] == "queue 'q' is full: 2 items wait, the limit"
        await counted(there, {"accepted": 1, "rejected:full": 1})
        assert (await until(lambda q: q["rejected"]["full"] == 1, here))["accepted"] == 2


async def test_a_failure_there_is_one_here(server: RedisServer) -> None:
    async with sharing(server) as (here, there):
        client, backend = await here.client(), await there.backend()
        await client.frame("request", Id="a", Queue="q")
        item = await backend.next("item")
        await backend.frame("reply", Id=item["Id"], Retcode=3, Error="it broke")
        reply = await client.next("reply")

        assert (reply["Outcome"], reply["Retcode"], reply["Error"]) == ("failure", 3, "it broke")


async def test_a_backend_lost_too_often_loses_the_item(server: RedisServer) -> None:
    async with sharing(server, max_attempts=2) as (here, there):
        client = await here.client()
        await client.frame("request", Id="a", Queue="q")
        for frontend in (there, here):
            backend = await frontend.backend()
            await backend.next("item")
            await backend.aclose()
        reply = await client.next("reply")

        assert (reply["Outcome"], reply["Attempts"]) == ("lost", 2)
        assert reply["Error"] == "lost: 2 backends vanished while they ran it"


async def test_an_item_given_back_goes_to_another_frontend(server: RedisServer) -> None:
    async with sharing(server) as (here, there):
        client, backend = await here.client(), await here.backend()
        await client.frame("request", Id="a", Queue="q")
        item = await backend.next("item")
        await backend.frame("drain")
        await backend.frame("release", Id=item["Id"])
        other = await there.backend()
        item = await other.next("item")
        await other.frame("reply", Id=item["Id"])

        assert (await client.next("reply"))["Attempts"] == 1


# --- classic peers, and backends that don't wait -------------------------------------------------


async def test_classic_peers(server: RedisServer) -> None:
    async with sharing(server) as (here, there):
        client = await here.classic_client(Args=["x"])
        await until(lambda q: q["waiting"] == 1, there)
        backend, item = await there.classic_backend()
        await backend.say({"Node": "n1", "Runtime": 0.5})
        reply = await client.answer()

        assert item["Args"] == ["x"]
        assert (reply["Node"], reply["Runtime"], reply["Error"]) == ("n1", 0.5, "")


async def test_a_classic_backend_is_told_that_nothing_waits(server: RedisServer) -> None:
    async with sharing(server) as (here, _):
        _, item = await here.classic_backend()

        assert (item["Empty"], item["Error"]) == (True, "queue 'q' is empty")


async def test_a_classic_client_is_told_that_the_queue_is_full(server: RedisServer) -> None:
    async with sharing(server, queue_max=1) as (here, there):
        await here.classic_client()
        await until(lambda q: q["waiting"] == 1, there)
        reply = await (await there.classic_client()).answer()

        assert reply["Error"] == "queue 'q' is full: 1 items wait, the limit"


async def test_a_backend_that_does_not_wait(server: RedisServer) -> None:
    async with sharing(server) as (here, there):
        backend, client = await there.backend(Wait=False, Slots=2), await here.client()
        await backend.next("empty")
        await client.frame("request", Id="a", Queue="q")
        await until(lambda q: q["waiting"] == 1, there)
        await backend.frame("pull")
        item = await backend.next("item")
        await backend.next("empty")
        await backend.frame("reply", Id=item["Id"])

        assert (await client.next("reply"))["Outcome"] == "success"


# --- cancelling ----------------------------------------------------------------------------------


async def test_what_waits_is_cancelled(server: RedisServer) -> None:
    async with sharing(server) as (here, there):
        client = await here.client()
        await client.frame("request", Id="a", Queue="q")
        await client.frame("cancel", Id="a")
        reply = await client.next("reply")
        backend = await there.backend(Wait=False)

        assert (reply["Outcome"], reply["Error"]) == ("cancelled", "cancelled by the client")
        await backend.next("empty")


async def test_what_runs_over_there_is_cancelled(server: RedisServer) -> None:
    async with sharing(server) as (here, there):
        client, backend = await here.client(), await there.backend()
        await client.frame("request", Id="a", Queue="q")
        item = await backend.next("item")
        await client.frame("cancel", Id="a")
        assert (await backend.next("cancel"))["Id"] == item["Id"]
        await backend.frame("reply", Id=item["Id"], Retcode=143, Error="cancelled")

        assert (await client.next("reply"))["Outcome"] == "cancelled"


@pytest.mark.parametrize("run", ["", "run1"])
async def test_a_client_that_leaves_takes_its_requests_along(server: RedisServer, run: str) -> None:
    async with sharing(server) as (here, there):
        client = await (known(here, run, 1) if run else here.client())
        backend = await there.backend()
        for name in "ab":
            await client.frame("request", Id=name, Queue="q")
        item = await backend.next("item")
        await until(lambda q: q["waiting"] == 1, there)
        await client.aclose()
        await backend.next("cancel")
        await until(lambda q: q["waiting"] == 0, there)
        await backend.frame("reply", Id=item["Id"], Retcode=143, Error="cancelled")

        await counted(here, {"completed:cancelled": 1, "completed:disconnected": 1})


async def test_with_finish_what_runs_goes_on(server: RedisServer) -> None:
    async with sharing(server, on_client_gone="finish") as (here, there):
        client, backend = await here.client(), await there.backend()
        await client.frame("request", Id="a", Queue="q")
        item = await backend.next("item")
        await client.aclose()
        await backend.in_line()
        await backend.frame("reply", Id=item["Id"])

        await counted(here, {"completed:success": 1})


# --- clients that come back ----------------------------------------------------------------------


async def test_a_client_finds_its_item_at_another_frontend(server: RedisServer) -> None:
    """It runs once, and who was connected first is told nothing."""
    async with sharing(server, 3) as (first, second, third):
        before, backend = await known(first, "run1", 1), await third.backend(Slots=2)
        await before.frame("request", Id="a", Queue="q")
        item = await backend.next("item")
        after = await known(second, "run1", 2)
        await after.frame("request", Id="a", Queue="q")
        await after.in_line()
        await counted(second, {"accepted": 1})
        await before.aclose()  # whose requests these are no longer
        await counted(first, {"completed:disconnected": 1})
        await backend.in_line()
        await backend.frame("reply", Id=item["Id"])

        assert (await after.next("reply"))["Outcome"] == "success"


async def test_a_reply_is_kept_for_who_comes_back(server: RedisServer) -> None:
    async with sharing(server) as (here, there):
        before, backend = await known(here, "run1", 1), await there.backend()
        await before.frame("request", Id="a", Queue="q")
        item = await backend.next("item")
        await backend.frame("reply", Id=item["Id"], Device="card0")
        await before.next("reply")  # which gets lost on the way, let us say
        after = await known(there, "run1", 2)
        await after.frame("request", Id="a", Queue="q")
        reply = await after.next("reply")

        assert (reply["Outcome"], reply["Device"]) == ("success", "card0")


async def test_who_comes_back_after_its_end_was_seen_keeps_its_place(server: RedisServer) -> None:
    async with sharing(server) as (here, there):
        before, other = await known(here, "run1", 1), await here.client()
        await before.frame("request", Id="a", Queue="q", Args=["first"])
        await until(lambda q: q["waiting"] == 1, there)
        await other.frame("request", Id="b", Queue="q", Args=["second"])
        await before.aclose()
        await counted(here, {"completed:disconnected": 1})
        after = await known(there, "run1", 2)
        await after.frame("request", Id="a", Queue="q", Args=["first"])
        await until(lambda q: q["waiting"] == 2, there)
        backend = await there.backend()

        assert (await backend.next("item"))["Args"] == ["first"]


async def test_two_sessions_of_one_client_at_one_frontend(server: RedisServer) -> None:
    """The later one has the requests; one that isn't later is told so."""
    async with sharing(server, 1) as (here,):
        before = await known(here, "run1", 1)
        await before.frame("request", Id="a", Queue="q")
        await before.in_line()
        after, late = await known(here, "run1", 2), await known(here, "run1", 2)
        await after.frame("request", Id="a", Queue="q")
        await after.in_line()
        await late.frame("request", Id="a", Queue="q")
        refused = await late.next("reply")
        backend = await here.backend()
        item = await backend.next("item")
        await backend.frame("reply", Id=item["Id"])

        assert (refused["Outcome"], refused["Reason"]) == ("rejected", "busy")
        assert (await after.next("reply"))["Outcome"] == "success"
        await before.in_line()  # and nothing came


async def test_clients_without_a_name_are_not_mixed_up(server: RedisServer) -> None:
    """They may have equal ids, at whichever frontend, one after the other too."""
    async with sharing(server) as (here, there):
        one, other, backend = await here.client(), await there.client(), await there.backend()
        for client, arg in ((one, "1"), (other, "2"), (one, "3")):
            await client.frame("request", Id="a", Queue="q", Args=[arg])
            item = await backend.next("item")
            await backend.frame("reply", Id=item["Id"], Device=f"card{arg}")
            reply = await client.next("reply")

            assert (item["Args"], reply["Device"]) == ([arg], f"card{arg}")


@pytest.mark.parametrize("hello", [{"Run": "a/b"}, {"Run": "a b"}, {"Run": "r", "Session": -1}])
async def test_a_name_that_is_none(server: RedisServer, hello: Json) -> None:
    async with sharing(server, 1) as (here,):
        wire = await here.to_clients()
        await wire.frame("hello", Version=1, Role="client", **hello)

        assert "must be" in (await wire.next("error"))["Error"]


# --- the end of a frontend -----------------------------------------------------------------------


async def test_a_frontend_that_stops_sends_clients_away_at_once(server: RedisServer) -> None:
    """What runs is theirs again at the other one; nothing runs twice."""
    async with sharing(server) as (here, there):
        client, backend = await known(here, "run1", 1), await there.backend()
        for name in "ab":
            await client.frame("request", Id=name, Queue="q", Args=[name])
        item = await backend.next("item")
        here.stop.requested.set()
        told = [await client.next("reply") for _ in range(2)]
        assert {(reply["Id"], reply["Retry"]) for reply in told} == {("a", True), ("b", True)}
        await client.next("drain")
        await client.next("bye")
        client = await known(there, "run1", 2)
        for name in "ba":
            await client.frame("request", Id=name, Queue="q", Args=[name])
        await client.in_line()
        for name in "ab":
            assert item["Args"] == [name]
            await backend.frame("reply", Id=item["Id"])
            reply = await client.next("reply")
            assert (reply["Id"], reply["Outcome"]) == (name, "success")
            item = await backend.next("item") if name == "a" else {}
        await until(lambda q: q["frontends"] == 1, there)


async def test_what_runs_at_a_frontend_that_stops_has_its_grace(server: RedisServer) -> None:
    async with sharing(server) as (here, there):
        client, backend = await there.client(), await here.backend()
        await client.frame("request", Id="a", Queue="q")
        item = await backend.next("item")
        here.stop.requested.set()
        await backend.next("drain")
        await backend.frame("reply", Id=item["Id"])

        assert (await client.next("reply"))["Attempts"] == 1
        await backend.next("bye")


async def test_what_outlives_the_grace_runs_elsewhere(server: RedisServer) -> None:
    async with sharing(server, grace_s=0.1) as (here, there):
        client, backend = await there.client(), await here.backend()
        await client.frame("request", Id="a", Queue="q")
        await backend.next("item")
        here.stop.requested.set()
        other = await there.backend()
        item = await other.next("item")
        await other.frame("reply", Id=item["Id"])

        assert (await client.next("reply"))["Attempts"] == 1


@pytest.mark.parametrize("classic", [False, True])
async def test_clients_without_a_name_get_what_runs(server: RedisServer, classic: bool) -> None:
    """Nobody else could tell them; what waits is given back to them."""
    async with sharing(server) as (here, there):
        backend = await there.backend()
        if classic:
            running = await here.classic_client()
            item = await backend.next("item")
            waiting = await here.classic_client()
        else:
            running = waiting = await here.client()
            await running.frame("request", Id="a", Queue="q")
            item = await backend.next("item")
            await running.frame("request", Id="b", Queue="q")
        await until(lambda q: q["waiting"] == 1, there)
        here.stop.requested.set()
        if classic:
            assert (await waiting.answer())["Error"] == "frontend is shutting down"
        else:
            reply = await waiting.next()
            if reply["Kind"] == "drain":
                reply = await waiting.next("reply")
            assert (reply["Id"], reply["Retry"]) == ("b", True)
        await backend.frame("reply", Id=item["Id"], Runtime=0.5)
        if classic:
            assert (await running.answer())["Runtime"] == 0.5
        else:
            frame = await running.next()
            assert (frame if frame["Kind"] == "reply" else await running.next())["Runtime"] == 0.5


# --- the store -----------------------------------------------------------------------------------


async def test_a_store_that_is_away_is_no_reason_to_die(own_server: RedisServer) -> None:
    async with sharing(own_server, 1) as (here,):
        await status(here, "/readyz", 200)
        own_server.kill()
        text = await status(here, "/readyz", 503)
        client, backend = await here.client(), await here.backend()
        await client.frame("request", Id="a", Queue="q")
        assert (await here.get("/livez"))[0] == 200
        assert (await here.metrics())["scalab_engine_up"] == 0
        own_server.start()
        item = await backend.next("item")
        await backend.frame("reply", Id=item["Id"])

        assert text.startswith("the store is away: ")
        assert (await client.next("reply"))["Outcome"] == "success"
        await status(here, "/readyz", 200)


async def test_a_frontend_stops_without_its_store_too(own_server: RedisServer) -> None:
    """Whom it can't help is sent away; what it can't give back is taken from it later."""
    async with sharing(own_server, 1, grace_s=0.1) as (here,):
        client, other = await known(here, "run1", 1), await here.client()
        backend = await here.backend()
        await client.frame("request", Id="a", Queue="q")
        await backend.next("item")
        own_server.kill()
        for wire in (client, other):
            await wire.frame("request", Id="b", Queue="q")
        await other.in_line()
        here.stop.requested.set()

        assert {(await client.next("reply"))["Retry"] for _ in "ab"} == {True}
        assert (await other.next())["Kind"] == "drain"
        assert (await other.next("reply"))["Retry"] is True


async def test_a_store_that_comes_later(own_server: RedisServer) -> None:
    own_server.kill()
    async with sharing(own_server, 1) as (here,):
        client = await here.client()
        await client.frame("request", Id="a", Queue="q")
        own_server.start()
        backend = await here.backend()

        await backend.next("item")


async def test_what_the_store_loses_is_put_in_again(own_server: RedisServer) -> None:
    async with sharing(own_server) as (here, there):
        client = await here.client()
        for name in "ab":
            await client.frame("request", Id=name, Queue="q")
        backend = await there.backend()
        await backend.next("item")
        own_server.ask("FLUSHALL")
        await backend.next("cancel")  # its lease is gone
        other = await there.backend(Slots=2)
        for _ in range(2):
            item = await other.next("item")
            await other.frame("reply", Id=item["Id"])
        outcomes = {(await client.next("reply"))["Outcome"] for _ in range(2)}
        metrics = await here.metrics()
        lost = (await there.metrics())['scalab_leases_lost_total{queue="q"}']

        assert outcomes == {"success"}
        assert metrics['scalab_reasserted_total{queue="q"}'] == 2
        assert lost == 1


async def test_a_store_that_refuses_us_for_good(own_server: RedisServer) -> None:
    own_server.ask("CONFIG", "SET", "requirepass", "secret")
    with pytest.RaisesGroup(
        pytest.RaisesExc(ConfigError, match="can't use the store"), flatten_subgroups=True
    ):
        async with sharing(own_server, 1):
            pytest.fail("it began to serve")


# --- what it shows -------------------------------------------------------------------------------


async def test_all_frontends_show_the_whole_queue(server: RedisServer) -> None:
    async with sharing(server, queue_max=7) as (here, there):
        client, backend = await here.client(), await there.backend()
        for name in "abc":
            await client.frame("request", Id=name, Queue="q")
        await backend.next("item")
        for frontend in (here, there):
            queue = await until(lambda q: (q["waiting"], q["running"]) == (2, 1), frontend)
            metrics = await frontend.metrics()
            _, page = await frontend.get("/")

            assert (queue["demand"], queue["frontends"], queue["limit"]) == (3, 2, 7)
            await until(lambda q: q["slots"] == {"idle": 0, "busy": 1, "draining": 0}, frontend)
            assert metrics['scalab_shared_queue_items{queue="q",state="waiting"}'] == 2
            assert metrics['scalab_shared_queue_items{queue="q",state="running"}'] == 1
            assert metrics['scalab_shared_frontends{queue="q"}'] == 2
            assert metrics["scalab_engine_up"] == 1
            assert metrics['scalab_queue_items{queue="q",state="waiting"}'] == 0
            assert "2 frontends" in page
        running = [
            (await frontend.metrics())['scalab_queue_items{queue="q",state="running"}']
            for frontend in (here, there)
        ]
        assert running == [0, 1]
