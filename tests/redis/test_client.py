"""The client and its one connection, against a server whose every word is the test's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio

from scalab.redis import client as client_module, connection as connection_module
from scalab.redis.client import Client
from scalab.redis.errors import UnavailableError
from scalab.redis.resp import ReplyError
from scalab.redis.server import Server
from tests.redis.watched import Watched, watched

HELLO = (
    b"%5\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n$5\r\nproto\r\n:3\r\n"
    b"$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n"
)
PING = b"*1\r\n$4\r\nPING\r\n"


class Puppet:
    """A server that says what it is told to."""

    def __init__(self, listener: trio.SocketListener) -> None:
        self._listener = listener
        self._streams: list[trio.SocketStream] = []
        self.url = f"redis://127.0.0.1:{listener.socket.getsockname()[1]}"

    async def accept(self, hello: bytes = HELLO) -> trio.SocketStream:
        """The next connection, which has been greeted."""
        stream = await self._listener.accept()
        self._streams.append(stream)
        await self.read(stream, until=b"test\r\n")
        await stream.send_all(hello)
        return stream

    @staticmethod
    async def read(stream: trio.SocketStream, until: bytes) -> bytes:
        """Read up to some words."""
        data = b""
        while not data.endswith(until):
            piece = bytes(await stream.receive_some(65536))
            assert piece, data
            data += piece
        return data

    async def leave(self) -> None:
        """Close all connections."""
        for stream in self._streams:
            await trio.aclose_forcefully(stream)


@asynccontextmanager
async def puppet() -> AsyncIterator[Puppet]:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        server = Puppet(listener)
        try:
            yield server
        finally:
            with trio.CancelScope(shield=True):
                await server.leave()


@asynccontextmanager
async def meeting(**options: float) -> AsyncIterator[tuple[Watched, trio.SocketStream, Puppet]]:
    """A client that is connected to a puppet."""
    async with puppet() as server, watched(server.url, **options) as watch:
        stream = await server.accept()
        await watch.up()
        yield watch, stream, server


async def ask_into(answers: dict[int, object], watch: Watched, number: int) -> None:
    answers[number] = await watch.outcome([("GET", number)])


async def test_many_callers_share_the_connection_and_each_gets_its_own_reply() -> None:
    async with meeting() as (watch, stream, _server):
        answers: dict[int, object] = {}
        async with trio.open_nursery() as nursery:
            for number in range(100, 200):
                nursery.start_soon(ask_into, answers, watch, number)
            data = b""
            while data.count(b"GET") < 100:
                data += bytes(await stream.receive_some(65536))
            asked = [int(word) for word in data.split(b"\r\n") if word.isdigit()]
            assert set(asked) == set(range(100, 200))
            replies = b"".join(b":%d\r\n" % number for number in asked)
            for index in range(len(replies)):  # one by one
                await stream.send_all(replies[index : index + 1])

        assert answers == {number: [number] for number in range(100, 200)}


async def test_what_is_asked_at_once_leaves_in_one_piece() -> None:
    async with meeting() as (watch, stream, _server):
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(watch.ask, "PING")
            await trio.testing.wait_all_tasks_blocked()
            assert bytes(await stream.receive_some(65536)) == 50 * PING
            await stream.send_all(50 * b"+PONG\r\n")


async def test_a_cancelled_caller_leaves_the_replies_of_others_alone() -> None:
    async with meeting() as (watch, stream, server):
        answers: dict[int, object] = {}
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask_into, answers, watch, 1)
            await server.read(stream, until=b"$1\r\n1\r\n")
            async with trio.open_nursery() as impatient:
                impatient.start_soon(watch.ask, "GET", 2)
                await server.read(stream, until=b"$1\r\n2\r\n")
                impatient.cancel_scope.cancel(reason="it has waited long enough")
            nursery.start_soon(ask_into, answers, watch, 3)
            await server.read(stream, until=b"$1\r\n3\r\n")
            await stream.send_all(b":1\r\n:2\r\n:3\r\n")

        assert answers == {1: [1], 3: [3]}
        assert repr(watch.client).endswith("0 on their way>")


async def test_errors_are_values_among_the_replies() -> None:
    async with meeting() as (watch, stream, server):
        async with trio.open_nursery() as nursery:

            async def call() -> None:
                replies = await watch.client.call([("A",), ("B",)])
                assert replies[0] == 1
                assert isinstance(replies[1], ReplyError)

            nursery.start_soon(call)
            await server.read(stream, until=b"B\r\n")
            await stream.send_all(b":1\r\n-ERR no\r\n")
        assert watch.client.up


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "lost"),
        (b":1\r\n", "lost"),
        (b"HTTP/1.1 400 no\r\n", "protocol"),
        (b":1\r\n:2\r\n:3\r\n", "protocol"),
    ],
)
async def test_when_a_connection_ends_all_callers_are_told_and_there_is_another(
    answer: bytes, reason: str
) -> None:
    async with meeting() as (watch, stream, server):
        outcomes: list[object] = []

        async def call() -> None:
            outcomes.append(await watch.outcome([("A",), ("B",)]))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(call)
            await server.read(stream, until=b"B\r\n")
            await stream.send_all(answer)
            await stream.aclose()
        error = await watch.down()
        (outcome,) = outcomes
        if answer.count(b":") < 2:
            assert isinstance(outcome, UnavailableError)
            assert outcome.reason == reason
        assert error.reason == reason
        assert not error.permanent

        again = await server.accept()
        await watch.up(2)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch.ask, "PING")
            await server.read(again, until=PING)
            await again.send_all(b"+PONG\r\n")


@pytest.mark.parametrize("code", ["READONLY", "MASTERDOWN", "NOAUTH", "MOVED", "CLUSTERDOWN"])
async def test_some_errors_make_a_new_connection(code: str) -> None:
    async with meeting() as (watch, stream, server):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch.outcome, [("A",)])
            await server.read(stream, until=b"A\r\n")
            await stream.send_all(f"-{code} no\r\n".encode())
        assert (await watch.down()).reason == code.lower()
        await server.accept()
        await watch.up(2)


async def test_without_a_connection_a_call_fails_at_once() -> None:
    watch = Watched("redis://127.0.0.1:1")  # nobody runs it

    outcome = await watch.outcome([("PING",)])

    assert isinstance(outcome, UnavailableError)
    assert "not connected" in str(outcome)


async def test_callers_are_told_when_the_client_is_over() -> None:
    async with puppet() as server, trio.open_nursery() as nursery:
        outcomes: list[object] = []
        async with watched(server.url) as watch:
            stream = await server.accept()
            await watch.up()

            async def call() -> None:
                outcomes.append(await watch.outcome([("A",)]))

            nursery.start_soon(call)
            await server.read(stream, until=b"A\r\n")
        with trio.fail_after(5):
            await trio.testing.wait_all_tasks_blocked()
        (outcome,) = outcomes
        assert isinstance(outcome, UnavailableError)


async def test_there_is_a_bound_to_what_is_on_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "MAX_UNANSWERED", 3)
    async with meeting() as (watch, stream, server):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch.ask, "PING")
            await server.read(stream, until=PING)
            outcome = await watch.outcome([("A",), ("B",), ("C",)])
            assert isinstance(outcome, UnavailableError)
            assert outcome.reason == "overload"
            await stream.send_all(b"+PONG\r\n")
        assert watch.client.up


# --- time ----------------------------------------------------------------------------------------


async def test_no_answer_in_time_ends_the_connection(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with meeting(timeout_s=2.0) as (watch, _stream, server):
        began = trio.current_time()
        outcome = await watch.outcome([("A",)])

        assert isinstance(outcome, UnavailableError)
        assert outcome.reason == "timeout"
        assert "has not answered for 2 s" in str(outcome)
        assert trio.current_time() - began == pytest.approx(2.0)
        await server.accept()
        await watch.up(2)


async def test_an_idle_connection_is_pinged(autojump_clock: trio.testing.MockClock) -> None:
    async with meeting(timeout_s=2.0) as (watch, stream, server):
        for _ in range(3):
            began = trio.current_time()
            await server.read(stream, until=PING)
            # The last answer is looked for at the end of its time only.
            waited_s = trio.current_time() - began
            assert waited_s < client_module.PING_AFTER_S + 2.1
            await stream.send_all(b"+PONG\r\n")
            await trio.testing.wait_all_tasks_blocked()
        await server.read(stream, until=PING)

        error = await watch.down()  # the last one is not answered

        assert error.reason == "timeout"


async def test_steady_answers_are_no_timeout(autojump_clock: trio.testing.MockClock) -> None:
    async with meeting(timeout_s=2.0) as (watch, stream, server):
        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(watch.ask, "GET", number)
                await trio.sleep(1.5)
                await server.read(stream, until=b"\r\n%d\r\n" % number)
                await stream.send_all(b":1\r\n")
        assert watch.downs == []


async def test_time_in_which_this_process_stood_still_is_not_the_servers(
    mock_clock: trio.testing.MockClock,
) -> None:
    async with meeting(timeout_s=2.0) as (watch, stream, server):
        for _ in range(15):  # who runs first is a matter of chance
            async with trio.open_nursery() as nursery:
                nursery.start_soon(watch.ask, "PING")
                await server.read(stream, until=PING)
                await trio.testing.wait_all_tasks_blocked()
                mock_clock.jump(2.5)
                await stream.send_all(b"+PONG\r\n")
            mock_clock.jump(1.0)
            await trio.testing.wait_all_tasks_blocked()
        assert watch.downs == []
        assert watch.client.up


async def test_a_server_that_says_nothing_at_the_start_is_given_up(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with puppet() as server, watched(server.url) as watch:
        stream = await server._listener.accept()
        error = await watch.down()

        assert error.reason == "connect"
        await trio.aclose_forcefully(stream)
        assert "no answer within 5 s" in str(error)
        assert trio.current_time() == pytest.approx(connection_module.CONNECT_DEADLINE_S)


async def test_pauses_between_connections_grow(autojump_clock: trio.testing.MockClock) -> None:
    async with puppet() as server, watched(server.url) as watch:
        for _ in range(12):
            await (await server.accept()).aclose()
        assert trio.current_time() > 0.5 * client_module.MOST_DELAY_S * 4
        await watch.down(12)
        slow = trio.current_time()
        stream = await server.accept()
        await trio.sleep(client_module.STEADY_S + 1)
        await stream.aclose()
        steady = trio.current_time()

        await server.accept()  # it was a good one: the pauses begin anew

        assert trio.current_time() - steady < 2 * client_module.FIRST_DELAY_S
        assert steady > slow


# --- the greeting --------------------------------------------------------------------------------


def hello(server: str = "redis", version: str = "7.0.15", role: str = "master") -> bytes:
    words = (("server", server), ("version", version), ("role", role))
    return b"%3\r\n" + b"".join(f"+{name}\r\n+{value}\r\n".encode() for name, value in words)


@pytest.mark.parametrize(
    ("greeting", "reason", "words"),
    [
        (hello(version="6.2.14"), "version", "the server is redis 6.2.14: Redis 7.0 or Valkey 7.2"),
        (hello("valkey", "7.1.0"), "version", "the server is valkey 7.1.0"),
        (hello(version="unstable"), "version", "the server is redis unstable"),
        (b"-ERR unknown command `HELLO`, with args\r\n", "version", "too old"),
        (b"-NOPROTO unsupported protocol version\r\n", "version", "too old"),
        (b"-NOAUTH HELLO must be called\r\n", "login", "wants a password"),
        (b"-WRONGPASS invalid username-password pair\r\n", "login", "WRONGPASS"),
        (b"-DENIED Redis is running in protected mode\r\n", "denied", "protected mode"),
        (b"-ERR max number of clients reached\r\n", "err", "max number of clients"),
        (hello(role="slave"), "readonly", "no primary"),
        (hello(role="\x1b[2J"), "readonly", "no primary"),
        (b"+PONG\r\n", "protocol", "no greeting"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "protocol", "no Redis server"),
    ],
)
async def test_a_server_that_will_not_do(greeting: bytes, reason: str, words: str) -> None:
    async with puppet() as server, watched(server.url) as watch:
        await server.accept(greeting)
        error = await watch.down()

        assert error.reason == reason
        assert words in str(error)
        assert str(error).isprintable()
        assert error.permanent == (reason in ("version", "login"))
        await server.accept()  # it may be replaced by another one
        await watch.up()


@pytest.mark.parametrize(
    "greeting",
    [hello(), hello(version="8.2.1"), hello(version="10.0"), hello("valkey", "7.2.4"), HELLO],
)
async def test_a_server_that_will_do(greeting: bytes) -> None:
    async with puppet() as server, watched(server.url) as watch:
        await server.accept(greeting)
        await watch.up()


async def test_check_says_what_is_wrong_once() -> None:
    async with puppet() as server:
        client = Client(Server.parse(server.url), name="test")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.accept, hello(version="6.0"))
            with pytest.raises(UnavailableError, match=r"redis://127\.0\.0\.1:\d+: the server is"):
                await client.check()
        assert not client.up


@pytest.mark.parametrize(
    "leave", [lambda stream: stream.send_eof(), trio.aclose_forcefully], ids=["half", "whole"]
)
async def test_a_server_that_goes_before_it_has_said_anything(
    leave: Callable[[trio.SocketStream], object],
) -> None:
    async with puppet() as server, watched(server.url) as watch:
        stream = await server._listener.accept()
        await leave(stream)  # type: ignore[misc]
        error = await watch.down()

        assert error.reason == "connect"
        await trio.aclose_forcefully(stream)
