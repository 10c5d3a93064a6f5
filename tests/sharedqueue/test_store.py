"""The store of real frontends in a real server, and all that may go wrong with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio

from scalab.redis.errors import UnavailableError
from scalab.redis.server import Server
from scalab.sharedqueue import store as store_module
from scalab.sharedqueue.admin import Admin, administer
from scalab.sharedqueue.keys import prefix_of
from scalab.sharedqueue.operations import (
    Answer,
    Beat,
    Beaten,
    Cancel,
    Check,
    Connected,
    Disconnected,
    Done,
    Enqueue,
    Enqueued,
    Event,
    Finished,
    Kill,
    Leased,
    Leave,
    Mailed,
    Operation,
    Pull,
    Pulled,
    Refresh,
    Release,
    Released,
    Wake,
)
from scalab.sharedqueue.settings import StoreSettings
from scalab.sharedqueue.store import Store
from tests.faults.lab.proxy import proxy
from tests.sharedqueue.servers import PROGRAMS, RedisServer, free_port, redis_server

PATIENCE_S = 60.0
LEASE_S = 100.0
LEAST = (
    *("resetkeys", "~sl:*", "resetchannels", "&sl:*", "-@all"),
    *("+ping", "+subscribe", "+select", "+evalsha", "+eval", "+time", "+publish"),
    *("+hmget", "+hget", "+hset", "+hdel", "+hincrby", "+hgetall"),
    *("+del", "+set", "+incr", "+pexpire"),
    *("+zadd", "+zrem", "+zrange", "+zscore", "+zcard", "+zcount"),
    *("+sadd", "+srem", "+spop", "+rpush", "+lrange"),
    *("+xadd", "+xdel", "+xlen", "+xrange", "+xrevrange"),
)
"""What a user of the server needs, as the documentation says, and no more."""


@pytest.fixture(scope="module", params=PROGRAMS)
def shared(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    with redis_server(program=request.param) as running:
        yield running


@pytest.fixture
def server(shared: RedisServer) -> RedisServer:
    """A server without data, and as it was at the start."""
    shared.ask("FLUSHALL")
    shared.ask("SCRIPT", "FLUSH")
    return shared


@attrs.define(eq=False)
class Site:
    """A frontend's store, and what it was told."""

    store: Store
    told: list[Event] = attrs.Factory(list)
    _changed: trio.Event = attrs.Factory(trio.Event)

    def tell(self, event: Event) -> None:
        self.told.append(event)
        self._changed.set()
        self._changed = trio.Event()

    async def until(self, event: Event, times: int = 1) -> None:
        """Wait until it was told something so many times."""
        while self.told.count(event) < times:
            await self._changed.wait()

    async def do(self, *operations: Operation, queue: str = "q") -> Any:
        """Run operations; return the answer, or the answers."""
        answers = await self.store.execute(queue, operations)
        return answers[0] if len(answers) == 1 else answers

    async def surely(self, *operations: Operation) -> list[Answer]:
        """Run operations again and again until they are answered, as a frontend does."""
        while True:
            try:
                return await self.store.execute("q", operations)
            except UnavailableError:
                await trio.sleep(0.01)

    async def leased(self, *ids: str, name: str = "setting the scene") -> list[Leased]:
        """Put items in and take them out."""
        await self.do(*(Enqueue(id_, b"body") for id_ in ids))
        pulled = await self.do(Pull(name, len(ids), LEASE_S, 3))
        return list(pulled.items)


@asynccontextmanager
async def site(
    url: str, name: str = "F", queues: tuple[str, ...] = ("q",), **options: Any
) -> AsyncIterator[Site]:
    """A frontend's store at work."""
    settings = StoreSettings(server=Server.parse(url), **{"timeout_s": 1000.0, **options})
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            made = Site(Store(settings, name, queues))
            nursery.start_soon(made.store.run, made.tell)
            await made.until(Connected())
            yield made
            nursery.cancel_scope.cancel(reason="the test is over")


def counts(server: RedisServer, queue: str = "q") -> dict[str, int]:
    """What the queue has counted."""
    flat = server.ask("HGETALL", prefix_of(queue) + "stats")
    return {name.decode(): int(number) for name, number in zip(flat[::2], flat[1::2], strict=True)}


# --- two frontends -------------------------------------------------------------------------------


async def test_a_request_is_run_elsewhere_and_answered_here(server: RedisServer) -> None:
    async with site(server.url, "F") as front, site(server.unix_url, "G") as back:
        assert await front.do(Enqueue("a", b"\x00body\xff")) == Enqueued("waiting", fresh=True)
        await back.until(Wake("q"), 2)  # one when it connected
        (item,) = (await back.do(Pull("p", 5, LEASE_S, 3))).items
        assert (item.id, item.body, item.attempts) == ("a", b"\x00body\xff", 0)
        assert await back.do(Done("a", item.token, b"\x00reply\xff", 60.0)) == Finished("mailed")
        while not (mail := [e for e in front.told if isinstance(e, Mailed)]):
            await front._changed.wait()

    (told,) = mail
    assert (told.id, told.ending.outcome, told.ending.reply) == ("a", "done", b"\x00reply\xff")
    assert told.ending.attempts == 1
    assert told.ending.waited_s == pytest.approx(item.waited_s)


async def test_a_run_is_ended_elsewhere(server: RedisServer) -> None:
    async with site(server.url, "F") as front, site(server.url, "G") as back:
        await front.do(Enqueue("a", b""))
        (item,) = (await back.do(Pull("p", 1, LEASE_S, 3))).items
        await front.do(Cancel("a"))
        await back.until(Kill("q", "a", item.token))


async def test_own_replies_need_no_letter(server: RedisServer) -> None:
    async with site(server.url) as front:
        (item,) = await front.leased("a")
        assert await front.do(Done("a", item.token, b"", 60.0)) == Finished("own")
        assert server.ask("EXISTS", prefix_of("q") + "mb:F") == 0


async def test_queues_do_not_touch_each_other(server: RedisServer) -> None:
    names = ("q", "Q", "q}:it:a", "{q}", "a b", "ü", "q*", "%7B")
    async with site(server.url, queues=names) as front:
        for name in names:
            assert await front.do(Enqueue("a", name.encode(), limit=1), queue=name) == Enqueued(
                "waiting", fresh=True
            )
        for name in names:
            (item,) = (await front.do(Pull("p", 9, LEASE_S, 3), queue=name)).items
            assert item.body == name.encode()
    assert len({prefix_of(name) for name in names}) == len(names)
    assert all(key.startswith(b"sl:{") and key.count(b"}") == 1 for key in server.ask("KEYS", "*"))


def letter(token: str) -> tuple[str, ...]:
    """The words of an order to end a run."""
    return ("k", "kill", "id", "a", "tok", token)


# --- replies that are cut off --------------------------------------------------------------------


CASES: dict[str, tuple[Callable[[Leased], Operation], object, dict[str, int]]] = {
    "enqueue": (lambda _: Enqueue("new", b""), Enqueued("waiting"), {"enqueued": 3}),
    "enqueue again": (lambda _: Enqueue("w", b"", 1), Enqueued("waiting"), {"enqueued": 2}),
    "cancel": (lambda _: Cancel("w"), "ended", {"cancelled": 1}),
    "cancel a run": (lambda i: Cancel(i.id), "killing", {"cancelled": 0}),
    "pull": (lambda _: Pull("p", 5, LEASE_S, 3), "w", {"delivered": 2}),
    "beat": (lambda i: Beat(((i.id, i.token),), LEASE_S), Beaten(), {}),
    "done": (lambda i: Done(i.id, i.token, b"r", 60.0), Finished("own"), {"done": 1, "stale": 0}),
    "done, but wanted": (
        lambda i: Done(i.id, i.token, b"r", 60.0, cancelled=True),
        Finished("again"),
        {"done": 0, "redelivered": 1},
    ),
    "release": (lambda i: Release(i.id, i.token, False, 3), Released("waiting"), {}),
    "crash": (
        lambda i: Release(i.id, i.token, True, 3, "it crashed"),
        Released("waiting"),
        {"redelivered": 1},
    ),
    "last crash": (
        lambda i: Release(i.id, i.token, True, 1, "it crashed"),
        Released("ended"),
        {"lost": 1},
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_an_operation_may_be_repeated_after_a_cut_reply(
    server: RedisServer, case: str
) -> None:
    make, expected, counted = CASES[case]
    async with proxy("127.0.0.1", server.port, seed=1) as between:
        async with site(f"redis://127.0.0.1:{between.port}") as front:
            (item,) = await front.leased("i")
            await front.do(Enqueue("w", b"waits"))
            operation = make(item)
            between.change(cut_replies=1.0)
            with pytest.raises(UnavailableError, match="lost"):
                await front.do(operation)
            between.change()
            (answer,) = await front.surely(operation)

    assert between.cut >= 1
    if isinstance(answer, Pulled):
        assert [leased.id for leased in answer.items] == [expected]
    elif isinstance(expected, str):
        assert getattr(answer, "state", "") == expected
    else:
        assert answer == expected
    seen = counts(server)
    assert {name: seen.get(name, 0) for name in counted} == counted


async def test_letters_are_told_once_though_their_reply_is_cut(server: RedisServer) -> None:
    box = prefix_of("q") + "mb:F"
    async with proxy("127.0.0.1", server.port, seed=1) as between:
        async with site(f"redis://127.0.0.1:{between.port}") as front:
            await front.do(Refresh(3.0, 3))
            between.change(cut_replies=1.0)
            server.ask("XADD", box, "*", *letter("1"))  # without a hint: it is found in time
            while not between.cut:  # noqa: ASYNC110
                await trio.sleep(0.02)  # nothing tells when
            between.change()
            await front.until(Kill("q", "a", "1"))
            server.ask("XADD", box, "*", *letter("2"))
            await front.until(Kill("q", "a", "2"))
        assert [event.token for event in front.told if isinstance(event, Kill)] == ["1", "2"]


async def test_many_letters_at_once(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "POLL_S", 1000.0)
    async with site(server.url, "F") as front, site(server.url, "G") as back:
        ids = [str(number) for number in range(350)]
        await front.do(*(Enqueue(id_, b"") for id_ in ids))
        items = (await back.do(Pull("p", 350, LEASE_S, 3))).items
        assert [item.id for item in items] == ids
        await back.do(*(Done(item.id, item.token, b"", 60.0) for item in items))
        while len(mail := [e.id for e in front.told if isinstance(e, Mailed)]) < 350:
            await front._changed.wait()
        assert mail == ids
        await front.until(Wake("q"))
    assert server.ask("XLEN", prefix_of("q") + "mb:F") <= 100


async def test_letters_of_strangers_are_skipped(server: RedisServer) -> None:
    async with site(server.url) as front:
        await front.do(Refresh(3.0, 3))
        talk = server.talk()
        strange = [("a", "b"), ("k", "end", "id", "x"), ("k", "kill", "id", "x"), letter("7")]
        box = prefix_of("q") + "mb:F"
        talk.all([("MULTI",), *(("XADD", box, "*", *words) for words in strange), ("EXEC",)])
        talk.close()
        await front.until(Kill("q", "a", "7"))


# --- the server's own troubles -------------------------------------------------------------------


async def test_forgotten_scripts_are_sent_again_and_the_order_is_kept(server: RedisServer) -> None:
    async with site(server.url) as front:
        for number in range(3):
            id_ = f"i{number}"
            server.ask("SCRIPT", "FLUSH")
            answers = await front.do(
                Enqueue(id_, b""), Cancel(id_, gone=True), Enqueue(id_, b"", 1), Refresh(3.0, 3)
            )
            assert [getattr(answer, "state", "") for answer in answers[:1]] == ["waiting"]
            assert (answers[2].state, answers[3].waiting) == ("waiting", number + 1)
        assert not any(isinstance(event, Disconnected) for event in front.told)


async def test_lost_data_is_noticed_and_made_good(server: RedisServer) -> None:
    async with site(server.url) as front:
        before = await front.do(Enqueue("a", b""), Refresh(3.0, 3))
        (item,) = (await front.do(Pull("p", 1, LEASE_S, 3))).items
        server.ask("FLUSHALL")
        after_ = await front.do(
            Refresh(3.0, 3),
            Check((("a", 0),)),
            Done("a", item.token, b"", 60.0),
            Enqueue("a", b"", limit=1, again=True),
            Pull("p2", 1, LEASE_S, 3),
        )
    assert after_[0].generation != before[1].generation
    assert after_[1].items[0].state == "unknown"
    assert after_[2] == Finished("stale")
    assert after_[3] == Enqueued("waiting", fresh=True)
    assert int(after_[4].items[0].token) > int(item.token)


async def test_killed_and_started_again_with_its_data() -> None:
    with redis_server("--appendonly", "yes", "--appendfsync", "always") as server:
        async with site(server.url) as front:
            (item,) = await front.leased("a")
            await front.do(Enqueue("b", b""))
            server.kill()
            while not any(isinstance(event, Disconnected) for event in front.told):
                await front._changed.wait()
            with pytest.raises(UnavailableError):
                await front.do(Refresh(3.0, 3))
            server.launch()
            await front.until(Connected(), 2)
            answers = await front.surely(
                Done("a", item.token, b"", 60.0), Check((("a", 0), ("b", 0)))
            )
    assert answers[0] == Finished("own")
    assert [found.state for found in answers[1].items] == ["ended", "waiting"]  # type: ignore[union-attr]


async def test_the_replica_goes_on_where_the_primary_was() -> None:
    with redis_server("--repl-diskless-sync-delay", "0") as primary, redis_server() as replica:
        replica.ask("REPLICAOF", "127.0.0.1", primary.port)
        async with site(primary.url) as front:
            (item,) = await front.leased("a")
            await front.do(Enqueue("b", b"body of b"), Enqueue("c", b""), Cancel("c"))
            before = await front.do(Refresh(3.0, 3))
            talk = primary.talk()
            talk("SET", "the last", "word", "PX", 60_000)
            while not talk("WAIT", 1, 1000):  # for what was written before, on this connection
                pass
            talk.close()
            primary.kill()
        replica.ask("REPLICAOF", "NO", "ONE")
        async with site(replica.url) as front:
            answers = await front.do(
                Done("a", item.token, b"", 60.0),
                Check((("b", 0), ("c", 0))),
                Pull("p", 9, LEASE_S, 3),
                Refresh(3.0, 3),
            )
        keys = replica.ask("KEYS", "*")
        assert all(replica.ask("PTTL", key) > 0 for key in keys)
    assert answers[0] == Finished("own")
    assert [found.state for found in answers[1].items] == ["waiting", "ended"]
    (pulled,) = answers[2].items
    assert (pulled.id, pulled.body) == ("b", b"body of b")
    assert int(pulled.token) > int(item.token)
    assert answers[3].generation == before.generation


async def test_a_cluster_takes_each_queue_for_one_slot() -> None:
    with redis_server("--cluster-enabled", "yes", "--cluster-port", str(free_port())) as server:
        server.ask("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        while b"cluster_state:ok" not in server.ask("CLUSTER", "INFO"):  # noqa: ASYNC110
            await trio.sleep(0.02)  # nothing tells when it has noticed
        async with site(server.url, queues=("q", "other")) as front:
            for queue in ("q", "other"):
                await front.do(Enqueue("a", b""), Enqueue("b", b""), Cancel("b"), queue=queue)
                (item,) = (await front.do(Pull("p", 1, LEASE_S, 3), queue=queue)).items
                await front.do(Beat(((item.id, item.token),), LEASE_S), queue=queue)
                await front.do(Release("a", item.token, True, 1), Refresh(3.0, 3), queue=queue)
                await front.do(Check((("a", 0),)), Leave(), queue=queue)
        slots = {
            queue: {server.ask("CLUSTER", "KEYSLOT", key) for key in keys}
            for queue in ("q", "other")
            if (keys := server.ask("KEYS", prefix_of(queue) + "*"))
        }
    assert {queue: len(found) for queue, found in slots.items()} == {"q": 1, "other": 1}
    assert slots["q"] != slots["other"]


async def test_frozen_for_longer_than_the_timeout(server: RedisServer) -> None:
    async with site(server.url, timeout_s=0.3) as front:
        with server.frozen():
            with pytest.raises(UnavailableError, match="not answered"):
                await front.do(Enqueue("a", b""))
        (answer,) = await front.surely(Enqueue("a", b""))
        assert answer.state == "waiting"  # type: ignore[union-attr]
        (answer,) = await front.surely(Refresh(3.0, 3))
        assert answer.waiting == 1  # type: ignore[union-attr]


async def test_full_memory_lets_nothing_in_and_everything_out(server: RedisServer) -> None:
    async with site(server.url) as front:
        one, two, three = await front.leased("a", "b", "c")
        await front.do(Enqueue("d", b""), Enqueue("e", b""))
        server.ask("CONFIG", "SET", "maxmemory", 1)
        try:
            let_in = await front.do(
                Enqueue("new", b""),
                Enqueue("lost before", b"", again=True),
                Enqueue("d", b""),
                Enqueue("a", b""),
            )
            answers = await front.do(
                Check((("d", 0), ("new", 0))),
                Refresh(3.0, 3),
                Beat(((one.id, one.token),), LEASE_S),
                Done(one.id, one.token, b"reply", 60.0),
                Release(two.id, two.token, True, 3),
                Release(three.id, three.token, False, 3),
                Cancel("d"),
                Pull("p", 9, LEASE_S, 3),
                Leave(),
            )
        finally:
            server.ask("CONFIG", "SET", "maxmemory", 0)
        assert [answer.state for answer in let_in] == ["full", "full", "waiting", "running"]
        assert [found.state for found in answers[0].items] == ["waiting", "unknown"]
        assert [leased.id for leased in answers[7].items] == ["b", "c", "e"]
        assert await front.do(Enqueue("new", b"")) == Enqueued("waiting", fresh=True)


@pytest.mark.parametrize(
    ("begin", "end", "reason"),
    [
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"), "readonly"),
        (("ACL", "SETUSER", "default", "-hset"), ("ACL", "SETUSER", "default", "+hset"), "login"),
        (("ACL", "SETUSER", "default", "-eval", "-evalsha"),
         ("ACL", "SETUSER", "default", "+eval", "+evalsha"), "login"),
        (("ACL", "SETUSER", "default", "resetkeys"), ("ACL", "SETUSER", "default", "~*"), "login"),
        (("CONFIG", "SET", "min-replicas-to-write", 1),
         ("CONFIG", "SET", "min-replicas-to-write", 0), "noreplicas"),
    ],
    ids=["replica", "command", "scripts", "keys", "replicas"],
)  # fmt: skip
async def test_what_the_server_refuses_is_unavailable_until_it_does_not(
    server: RedisServer, begin: tuple[str, ...], end: tuple[str, ...], reason: str
) -> None:
    async with site(server.url) as front:
        await front.do(Refresh(3.0, 3))
        server.ask(*begin)
        try:
            with pytest.raises(UnavailableError) as caught:
                await front.do(Enqueue("a", b""))
        finally:
            server.ask(*end)
        assert caught.value.reason == reason
        assert str(caught.value).isprintable()
        (answer,) = await front.surely(Enqueue("a", b""))
        assert answer.state == "waiting"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "damage",
    [
        ("SET", "w", "x"),
        ("HSET", "it:a", "st", "l", "ses", "x"),
        ("HSET", "it:a", "st", "e", "ses", "0"),
        ("HSET", "it:a", "st", "\xff", "ses", "0", "seq", "1"),
    ],
)
async def test_data_of_strangers_is_an_error_and_no_crash(
    server: RedisServer, damage: tuple[str, ...]
) -> None:
    command, key, *words = damage
    async with site(server.url) as front:
        server.ask(command, prefix_of("q") + key, *words)
        for operation in (
            *(Enqueue("a", b""), Check((("a", 0),)), Cancel("a"), Done("a", "1", b"", 60.0)),
            *(Pull("p", 1, LEASE_S, 3), Refresh(3.0, 3), Beat((("a", "1"),), LEASE_S)),
        ):
            try:
                await front.do(operation)
            except UnavailableError as exc:
                assert str(exc).isprintable()  # noqa: PT017 - it may be raised or not
        assert front.store.up


async def test_an_older_frontend_of_the_same_client_can_not_take_it_back(
    server: RedisServer,
) -> None:
    """Its first frontend was cut off, its client has gone elsewhere, and then it comes back."""
    async with site(server.url, "F") as old, site(server.url, "G") as new:
        await old.do(Enqueue("a", b"", 1))
        await new.do(Enqueue("a", b"", 2))
        answers = await old.do(
            Enqueue("a", b"", 1), Cancel("a", 1, gone=True), Check((("a", 1),)), Cancel("a", 1)
        )
        assert [a.state for a in (*answers[:2], answers[2].items[0], answers[3])] == ["moved"] * 4
        (item,) = (await old.do(Pull("p", 1, LEASE_S, 3))).items
        finished = await old.do(Done("a", item.token, b"", 60.0))
        assert (finished.state, finished.session) == ("mailed", 2)
        while not (mail := [event for event in new.told if isinstance(event, Mailed)]):
            await new._changed.wait()
        assert mail[0].session == 2


# --- who may -------------------------------------------------------------------------------------


async def test_the_least_user_that_can_do_everything(server: RedisServer) -> None:
    server.ask("ACL", "LOG", "RESET")
    server.ask("CONFIG", "RESETSTAT")
    server.ask("ACL", "SETUSER", "app", "on", ">secret", *LEAST)
    with_login = server.url.replace("//", "//app:secret@") + "/1"
    try:
        async with site(with_login, "F") as front, site(with_login, "G") as back:
            await front.do(*(Enqueue(id_, b"") for id_ in "abcdef"))
            one, two, three, four = (await back.do(Pull("p", 4, LEASE_S, 1))).items
            await front.do(
                Cancel("a"), Cancel("f"), Cancel("nope"), Check((("a", 0),)), Refresh(3.0, 1)
            )
            await back.do(
                Refresh(3.0, 1),
                Beat(((one.id, one.token),), LEASE_S),
                Release(one.id, one.token, True, 1),
                Release(two.id, two.token, True, 1),
                Release(three.id, three.token, False, 1),
                Done(four.id, four.token, b"", 60.0),
                Pull("p", 1, LEASE_S, 1),
                Leave(),
            )
            while len([e for e in front.told if isinstance(e, Mailed)]) < 3:
                await front._changed.wait()
            await front.do(Pull("short", 1, 0.001, 1), Leave())
            talk = server.talk()
            talk.all([("SELECT", 1), ("ZADD", prefix_of("q") + "fe", 1, "long dead")])
            talk.close()
            await front.do(Refresh(3.0, 1), Enqueue("g", b""))

            async def act(admin: Admin) -> None:
                assert (await admin.stats("q")).counts["lost"] >= 1
                assert len(await admin.dead("q")) >= 1
                assert await admin.purge("q") >= 1
                assert await admin.forget_dead("q") >= 1

            settings = StoreSettings(server=Server.parse(with_login))
            await administer(settings, act)
        log = server.ask("ACL", "LOG")
        assert log == []
        used = server.ask("INFO", "commandstats").decode()
        for word in LEAST:
            if word.startswith("+") and word != "+ping":  # which is for idle connections
                assert f"cmdstat_{word[1:]}:" in used, f"{word} isn't needed"
    finally:
        server.ask("ACL", "DELUSER", "app")


# --- people --------------------------------------------------------------------------------------


async def test_people_look_and_clear(server: RedisServer) -> None:
    async with site(server.url) as front:
        for number, why in enumerate(("the first", "it crashed\nforged: line")):
            (item,) = await front.leased(f"bad {number}", name=f"p{number}")
            await front.do(Release(item.id, item.token, True, 1, why))
        await front.do(*(Enqueue(f"i{number}", b"") for number in range(450)), Refresh(60.0, 1))

        async def look(admin: Admin) -> None:
            stats = await admin.stats("q")
            assert (stats.waiting, stats.running, stats.frontends, stats.dead) == (450, 0, 1, 2)
            assert 0.0 <= stats.oldest_s < PATIENCE_S
            assert stats.counts == {"enqueued": 452, "delivered": 2, "lost": 2}
            last, first = await admin.dead("q")
            assert (last.id, last.attempts, last.body) == ("bad 1", 1, b"body")
            assert (first.why, last.why) == ("the first", "it crashed\nforged: line")
            assert last.at_s >= first.at_s > 1_600_000_000
            assert [item.id for item in await admin.dead("q", 1)] == ["bad 1"]
            assert await admin.forget_dead("q") == 2
            assert await admin.forget_dead("q") == 0
            assert await admin.purge("q") == 450
            assert await admin.purge("q") == 0
            assert await admin.stats("nobody has it") == attrs.evolve(
                stats, waiting=0, running=0, oldest_s=0.0, frontends=0, dead=0, counts={}
            )

        await administer(StoreSettings(server=Server.parse(server.url)), look)
        while len([e for e in front.told if isinstance(e, Mailed)]) < 452:
            await front._changed.wait()
        assert {e.ending.outcome for e in front.told if isinstance(e, Mailed)} == {
            *("lost", "cancelled"),
        }


async def test_people_are_told_that_there_is_no_store() -> None:
    async def act(_admin: Admin) -> None:
        pytest.fail("there is none")

    settings = StoreSettings(server=Server.parse("redis://127.0.0.1:1"))
    with pytest.raises(UnavailableError, match=r"can't connect to redis://127\.0\.0\.1:1"):
        await administer(settings, act)


async def test_errors_of_people_come_as_they_are(server: RedisServer) -> None:
    async def act(_admin: Admin) -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await administer(StoreSettings(server=Server.parse(server.url)), act)


async def test_check_tells_at_the_start_what_will_never_work(server: RedisServer) -> None:
    async with site(server.url) as front:
        await front.store.check()
    wrong = server.url.replace("//", "//app:nonsense@")
    store = Store(StoreSettings(server=Server.parse(wrong)), "F", ("q",))
    with pytest.raises(UnavailableError, match="WRONGPASS") as caught:
        await store.check()
    assert caught.value.permanent
    assert "nonsense" not in f"{caught.value} {store!r}"
