"""The client and a real server that is killed, frozen, busy, or not as it should be."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import trio

from scalab.redis import connection as connection_module
from scalab.redis.errors import UnavailableError, code_of
from scalab.redis.resp import MAX_REPLY, ReplyError
from tests.access.lab import Pki
from tests.faults.lab.proxy import Proxy, proxy
from tests.helpers import CancelAtStep, cancel_at_every_step
from tests.redis.watched import Watched, watched
from tests.sharedqueue.servers import PROGRAMS, RedisServer, redis_server

SOON_S = 0.3
"""For what is to time out."""


@pytest.fixture(params=PROGRAMS)
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    with redis_server(program=request.param) as running:
        yield running


@asynccontextmanager
async def behind_a_proxy(
    server: RedisServer, **options: float
) -> AsyncIterator[tuple[Watched, Proxy]]:
    """A client whose words pass through what can fail."""
    async with proxy("127.0.0.1", server.port, seed=1) as between:
        async with watched(f"redis://127.0.0.1:{between.port}", **options) as watch:
            await watch.up()
            yield watch, between


async def works(watch: Watched) -> None:
    """See that it does, whatever it takes to connect again."""
    while True:
        await watch.up()
        if await watch.outcome([("ECHO", "hello")]) == [b"hello"]:
            return


# --- the connection ------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["port", "socket"])
async def test_killed_and_started_again(server: RedisServer, by: str) -> None:
    async with watched(server.url if by == "port" else server.unix_url) as watch:
        await works(watch)
        server.kill()
        error = await watch.down()
        assert error.reason == "lost"
        error = await watch.down(2)
        assert error.reason == "connect"
        assert "refused" in str(error) or "no such file" in str(error)

        server.launch()
        await watch.up(2)
        await works(watch)


async def test_frozen_and_thawed(server: RedisServer) -> None:
    async with watched(server.url, timeout_s=SOON_S) as watch:
        await works(watch)
        with server.frozen():
            outcome = await watch.outcome([("PING",)])
            assert isinstance(outcome, UnavailableError)
            assert outcome.reason == "timeout"
            assert not watch.client.up
        await watch.up(2)
        await works(watch)


async def test_the_server_throws_us_out(server: RedisServer) -> None:
    async with watched(server.url) as watch:
        await works(watch)
        server.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert (await watch.down()).reason == "lost"
        await works(watch)


async def test_paused(server: RedisServer) -> None:
    async with watched(server.url, timeout_s=SOON_S) as watch:
        await works(watch)
        server.ask("CLIENT", "PAUSE", 1000, "ALL")
        outcome = await watch.outcome([("PING",)])
        assert isinstance(outcome, UnavailableError)
        assert outcome.reason == "timeout"
        await works(watch)


async def test_too_many_clients(server: RedisServer) -> None:
    server.ask("CONFIG", "SET", "maxclients", 1)
    talk = server.talk()
    talk("PING")
    async with watched(server.url) as watch:
        error = await watch.down()
        assert "max number of clients" in str(error)
        talk.close()
        await works(watch)


async def test_black_hole(server: RedisServer) -> None:
    async with behind_a_proxy(server, timeout_s=SOON_S) as (watch, between):
        between.change(black_hole=True)
        outcome = await watch.outcome([("PING",)])
        assert isinstance(outcome, UnavailableError)
        assert outcome.reason == "timeout"
        between.change()
        await works(watch)


async def test_byte_by_byte(server: RedisServer) -> None:
    async with behind_a_proxy(server) as (watch, between):
        between.change(one_byte=True)
        value = bytes(range(256)) * 20
        assert await watch.client.call([("SET", "a", value), ("GET", "a")]) == [b"OK", value]


async def test_a_reply_that_is_cut_off_is_not_known(server: RedisServer) -> None:
    async with behind_a_proxy(server) as (watch, between):
        between.change(cut_replies=1.0)
        outcome = await watch.outcome([("INCR", "a")])
        assert isinstance(outcome, UnavailableError)
        assert outcome.reason == "lost"
        between.change()
        await works(watch)
        assert await watch.ask("GET", "a") == b"1"  # done once, and not again by itself


async def test_a_reply_that_never_ends_is_not_kept(server: RedisServer) -> None:
    server.ask("SET", "a", bytes(MAX_REPLY + 100_000))
    async with watched(server.url) as watch:
        await works(watch)
        outcome = await watch.outcome([("GET", "a")])
        assert isinstance(outcome, UnavailableError)
        assert outcome.reason == "protocol"
        await works(watch)


async def test_nobody_gets_the_reply_of_another_whoever_gives_up(server: RedisServer) -> None:
    chance = random.Random(5)
    right = 0
    async with watched(server.url) as watch:
        await watch.up()

        async def caller(number: int) -> None:
            nonlocal right
            with trio.move_on_after(chance.choice([0.0, 0.0005, 0.003, 100.0])):
                words = [f"{number}.{part}".encode() for part in range(chance.randint(1, 4))]
                assert await watch.client.call([("ECHO", word) for word in words]) == words
                right += 1

        async with trio.open_nursery() as nursery:
            for number in range(600):
                nursery.start_soon(caller, number)
                if number % 50 == 0:
                    await trio.sleep(0.001)
        assert watch.downs == []
    assert right >= 100


async def test_a_caller_may_be_cancelled_anywhere(server: RedisServer) -> None:
    async with watched(server.url) as watch:
        await works(watch)

        async def scenario(cancel: CancelAtStep) -> None:
            await cancel.run(watch.client.call, [("ECHO", "a"), ("ECHO", "b")])
            assert await watch.client.call([("ECHO", "c")]) == [b"c"]

        assert await cancel_at_every_step(scenario) > 1
        assert watch.downs == []


async def test_the_client_may_be_cancelled_anywhere(server: RedisServer) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    async def life(watch: Watched) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch.client.run)
            await watch.up()
            nursery.start_soon(watch.outcome, [("BLPOP", "a", 0)])
            nursery.cancel_scope.cancel(reason="enough")

    async def scenario(cancel: CancelAtStep) -> None:
        watch, before = Watched(server.url, channels=["news"]), descriptors()
        await cancel.run(life, watch)
        assert not watch.client.up
        assert descriptors() == before

    assert await cancel_at_every_step(scenario) > 10


# --- what the server says ------------------------------------------------------------------------


async def test_subscribed_whenever_connected(server: RedisServer) -> None:
    async with watched(server.url, channels=["news", "more"]) as watch:
        await watch.up()
        server.ask("PUBLISH", "news", "one")
        await watch.pushed(1)
        server.ask("CLIENT", "KILL", "TYPE", "pubsub")
        await watch.up(2)
        assert await watch.ask("PUBLISH", "more", "two") == 1  # by ourselves, in between
        await watch.pushed(2)
        assert [push[2] for push in watch.pushes] == [b"one", b"two"]


async def test_replica_and_primary_again(server: RedisServer) -> None:
    async with watched(server.url) as watch:
        await works(watch)
        server.ask("REPLICAOF", "127.0.0.1", "1")
        reply = await watch.ask("SET", "a", "1")
        assert isinstance(reply, ReplyError)
        error = await watch.down()
        assert error.reason == "readonly"
        error = await watch.down(2)
        assert "no primary" in str(error)
        server.ask("REPLICAOF", "NO", "ONE")
        await works(watch)


async def test_loading(server: RedisServer) -> None:
    talk = server.talk()
    talk.all([("SET", f"key {number}", bytes(100)) for number in range(400)])
    talk("SAVE")
    talk.close()
    server.kill()
    server.options = ("--key-load-delay", "5000", "--loading-process-events-interval-bytes", "1024")
    server.launch()
    async with watched(server.url) as watch:
        await watch.up()
        reply = await watch.ask("GET", "key 1")
        assert isinstance(reply, ReplyError)
        assert code_of(reply) == "LOADING"
        while isinstance(await watch.ask("GET", "key 1"), ReplyError):  # noqa: ASYNC110
            await trio.sleep(0.05)  # nothing tells when it has loaded
        assert watch.client.generation == 1


async def test_busy(server: RedisServer) -> None:
    server.ask("CONFIG", "SET", "busy-reply-threshold", 10)
    async with watched(server.url) as watch:
        await works(watch)
        talk = server.talk()
        async with trio.open_nursery() as nursery:
            endless = [("EVAL", "while true do end", 0)]
            nursery.start_soon(trio.to_thread.run_sync, talk.all, endless)
            try:
                while not isinstance(reply := await watch.ask("ECHO", "a"), ReplyError):  # noqa: ASYNC110
                    await trio.sleep(0.01)  # nothing tells when it is busy
                assert code_of(reply) == "BUSY"
            finally:
                server.ask("SCRIPT", "KILL")
        talk.close()
        await works(watch)
        assert watch.client.generation == 1


# --- who may -------------------------------------------------------------------------------------


def wrong_login(url: str) -> str:
    return url.replace("redis://", "redis://app:nonsense@")


async def test_logins(server: RedisServer) -> None:
    server.ask("ACL", "SETUSER", "app", "on", ">s@cret", "~a", "+echo", "+get")
    async with watched(wrong_login(server.url)) as watch:
        error = await watch.down()
        assert (error.reason, error.permanent) == ("login", True)
        assert "nonsense" not in str(error)
    async with watched(server.url.replace("//", "//app:s%40cret@")) as watch:
        await works(watch)
        reply = await watch.ask("GET", "b")
        assert isinstance(reply, ReplyError)
        assert code_of(reply) == "NOPERM"
        server.ask("ACL", "DELUSER", "app")
        assert (await watch.down()).reason == "lost"
        assert (await watch.down(2)).reason == "login"
        server.ask("ACL", "SETUSER", "app", "on", ">s@cret", "+echo")
        await works(watch)


async def test_a_password_for_all(server: RedisServer) -> None:
    server.ask("CONFIG", "SET", "requirepass", "s3cret")
    async with watched(server.url) as watch:
        error = await watch.down()
        assert error.reason == "login"
        assert "wants a password" in str(error)
    async with watched(server.url.replace("//", "//:s3cret@") + "/3") as watch:
        await works(watch)
        await watch.ask("SET", "a", "1")
        assert "s3cret" not in repr(watch.client)
    talk = server.talk()
    talk("AUTH", "s3cret")
    talk("SELECT", 3)
    assert talk("GET", "a") == b"1"
    talk.close()


async def test_channels_that_are_not_allowed(server: RedisServer) -> None:
    server.ask("ACL", "SETUSER", "app", "on", ">pass", "+@all", "~*", "resetchannels")
    async with watched(server.url.replace("//", "//app:pass@"), channels=["news"]) as watch:
        error = await watch.down()
        assert error.reason == "login"
        assert "NOPERM" in str(error)


# --- TLS -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki.make(tmp_path_factory.mktemp("pki"))


@contextmanager
def secure_server(pki: Pki, name: str = "frontend", clients: str = "no") -> Iterator[RedisServer]:
    """A server that speaks TLS on its port."""
    with redis_server(
        *("--tls-port", "0", "--tls-ca-cert-file", pki.ca, "--tls-auth-clients", clients),
        *("--tls-cert-file", pki.file(f"{name}.pem"), "--tls-key-file", pki.file(f"{name}.key")),
    ) as server:
        port = server.port
        server.ask("CONFIG", "SET", "port", 0)
        server.ask("CONFIG", "SET", "tls-port", port)
        yield server


def secure(server: RedisServer) -> str:
    return f"rediss://localhost:{server.port}"


async def test_tls(pki: Pki) -> None:
    with secure_server(pki) as server:
        async with watched(secure(server), ca=pki.ca) as watch:
            await works(watch)
            server.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            await watch.up(2)
            await works(watch)


@pytest.mark.parametrize(
    ("name", "ca", "words"),
    [
        ("elsewhere", "ca.pem", "Hostname mismatch"),
        ("expired", "ca.pem", "expired"),
        ("frontend", "stranger/ca.pem", "self-signed|unable to get local issuer|not accepted"),
        ("frontend", "", "self-signed|unable to get local issuer"),
    ],
)
async def test_a_certificate_that_proves_nothing(pki: Pki, name: str, ca: str, words: str) -> None:
    with secure_server(pki, name) as server:
        async with watched(secure(server), ca=pki.file(ca) if ca else "") as watch:
            error = await watch.down()

    assert (error.reason, error.permanent) == ("certificate", True)
    with pytest.raises(UnavailableError, match=words):
        raise error


async def test_a_server_that_wants_a_certificate(pki: Pki) -> None:
    with secure_server(pki, clients="yes") as server:
        async with watched(secure(server), ca=pki.ca) as watch:
            assert (await watch.down()).reason == "connect"
        pair = {"cert": pki.file("peer.pem"), "key": pki.file("peer.key")}
        async with watched(secure(server), ca=pki.ca, **pair) as watch:
            await works(watch)


async def test_tls_and_plain_do_not_mix(
    pki: Pki, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each side waits for more of what it takes the other's words for.
    monkeypatch.setattr(connection_module, "CONNECT_DEADLINE_S", SOON_S)
    async with watched(secure(server), ca=pki.ca) as watch:
        error = await watch.down()
        assert error.reason == "connect"
    with secure_server(pki) as other:
        async with watched(other.url) as watch:
            error = await watch.down()
            assert error.reason in ("connect", "protocol")


async def test_files_that_are_none(pki: Pki, tmp_path: Path) -> None:
    for files in ({"ca": str(tmp_path / "none.pem")}, {"ca": pki.ca, "cert": pki.file("peer.key")}):
        async with watched("rediss://localhost:1", **files) as watch:  # nobody listens there
            error = await watch.down()
            assert (error.reason, error.permanent) == ("certificate", True)
            assert files.get("cert", files["ca"]) in str(error)
