"""The HTTP server over real sockets; where time matters, in memory and in virtual time."""

from __future__ import annotations

import math
import os
import resource
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import (
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from typing import Any

import attrs
import h11
import pytest
import structlog
import trio
from hypothesis import given, settings, strategies as st
from trio.testing import MockClock, lockstep_stream_pair, memory_stream_pair, wait_all_tasks_blocked

from scalab.runtime.http import HttpLimits, HttpServer
from scalab.runtime.routing import Handler, Request, Response, Router, Send

PATIENCE_S = 20.0
"""For what must happen soon: a test that fails takes so long at most."""

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def head_of(size: int) -> bytes:
    return GET[:-2] + b"X: " + b"a" * (size - len(GET) - 5) + b"\r\n\r\n"


def hello(request: Request) -> Response:
    return Response.text("hello")


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as entries:
        yield entries


@asynccontextmanager
async def serving(
    routes: Mapping[str, Handler] | None = None,
    limits: HttpLimits | None = None,
    idle: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> AsyncIterator[tuple[HttpServer, Callable[[], Awaitable[Client]]]]:
    """Run a server on a free port; yield it, and a way to connect."""
    server = HttpServer(Router(routes or {"/": hello}), limits=limits, idle=idle)
    async with trio.open_nursery() as nursery, AsyncExitStack() as clients:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        await nursery.start(server.serve, listeners)
        port = listeners[0].socket.getsockname()[1]

        async def connect() -> Client:
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            return Client(await clients.enter_async_context(stream))

        with trio.fail_after(PATIENCE_S):
            yield server, connect
        nursery.cancel_scope.cancel()


@attrs.frozen
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """The other end, which notices what is not HTTP."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.h11 = h11.Connection(h11.CLIENT)

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def get(self, target: str = "/", method: str = "GET", **headers: str) -> Answer:
        pairs = [("Host", "x"), *((name.replace("_", "-"), v) for name, v in headers.items())]
        request = h11.Request(method=method, target=target, headers=pairs)
        await self.send(self.h11.send(request) + self.h11.send(h11.EndOfMessage()))
        answer = await self.answer()
        if self.h11.our_state is self.h11.their_state is h11.DONE:
            self.h11.start_next_cycle()
        return answer

    async def event(self) -> Any:
        while (event := self.h11.next_event()) is h11.NEED_DATA:
            self.h11.receive_data(bytes(await self.stream.receive_some(65536)))
        return event

    async def answer(self) -> Answer:
        if self.h11.our_state is h11.IDLE:  # raw bytes were sent past it: pretend it was a GET
            self.h11.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
            self.h11.send(h11.EndOfMessage())
        head, body = await self.event(), b""
        assert isinstance(head, h11.Response)
        while isinstance(event := await self.event(), h11.Data):
            body += event.data
        assert isinstance(event, h11.EndOfMessage)
        headers = {name.decode(): value.decode() for name, value in head.headers}
        return Answer(head.status_code, headers, body)

    async def until(self, end: bytes) -> None:
        """Read, and forget it, until ``end`` has come."""
        data = b""
        while end not in data:
            piece = await self.stream.receive_some(65536)
            assert piece
            data += piece

    async def rest(self) -> bytes:
        """Everything until the other side closes."""
        data = b""
        while piece := await self.stream.receive_some(65536):
            data += piece
        return data


# --- what is served ------------------------------------------------------------------------------


async def test_a_get_is_answered() -> None:
    async with serving() as (server, connect):
        answer = await (await connect()).get()

        assert (answer.status, answer.body) == (200, b"hello\n")
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.headers["content-length"] == "6"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert server.responses == {200: 1}


async def test_head_has_the_headers_of_get_and_no_body() -> None:
    async with serving() as (_, connect):
        client = await connect()
        head = await client.get(method="HEAD")
        get = await client.get()

        assert head.body == b""
        assert {**head.headers, "date": ""} == {**get.headers, "date": ""}


async def test_a_response_can_replace_headers() -> None:
    own = Response(b"x", headers=(("Cache-Control", "max-age=60"),))
    async with serving({"/": lambda _: own}) as (_, connect):
        answer = await (await connect()).get()

        assert answer.headers["cache-control"] == "max-age=60"


async def test_a_connection_serves_requests_one_after_the_other() -> None:
    paths: list[str] = []

    async def note(request: Request) -> Response:
        await trio.lowlevel.checkpoint()
        paths.append(request.path)
        return Response.text(request.path)

    async with serving({"/a": note, "/b": note}) as (server, connect):
        client = await connect()
        for path in ("/a", "/b", "/a"):
            assert (await client.get(path)).body == f"{path}\n".encode()

        assert paths == ["/a", "/b", "/a"]
        assert server.connections_total == 1


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with serving() as (server, connect):
        client = await connect()
        last = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        await client.send(GET + GET + last)
        replies = await client.rest()

        assert replies.count(b"hello\n") == 3
        assert server.responses == {200: 3}


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ],
)
async def test_the_connection_closes_when_the_client_does_not_want_it(request_: bytes) -> None:
    async with serving() as (_, connect):
        client = await connect()
        await client.send(request_)

        assert (await client.rest()).endswith(b"\r\n\r\nhello\n")


@pytest.mark.parametrize(
    "request_",
    [
        b"GET http://elsewhere:80/ HTTP/1.1\r\nHost: x\r\n\r\n",  # as a proxy sends it
        b"GET /? HTTP/1.1\r\nHost: any.name.will.do\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        head_of(4096),
    ],
    ids=["absolute", "empty query", "no length", "upgrade", "largest head"],
)
async def test_unusual_requests_that_are_fine(request_: bytes) -> None:
    async with serving() as (_, connect):
        client = await connect()
        await client.send(request_)

        assert (await client.answer()).status == 200


# --- what is refused -----------------------------------------------------------------------------

REFUSALS = {
    "POST": (405, b"POST / HTTP/1.1\r\nHost: x\r\n\r\n"),
    "POST with a body": (405, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"),
    "unknown method": (405, b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n"),
    "CONNECT": (405, b"CONNECT other:443 HTTP/1.1\r\nHost: x\r\n\r\n"),
    "body": (413, b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"),
    "body that doesn't come": (413, b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n"),
    "empty chunked body": (
        413,
        b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    "HEAD with a body": (413, b"HEAD / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"),
    "unknown path": (404, b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"),
    "other spelling of a path": (404, b"GET /%2f HTTP/1.1\r\nHost: x\r\n\r\n"),
    "network path": (404, b"GET //x/ HTTP/1.1\r\nHost: x\r\n\r\n"),
    "no path": (400, b"GET * HTTP/1.1\r\nHost: x\r\n\r\n"),
    "other scheme": (400, b"GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n"),
    "query without a name": (400, b"GET /?a&b HTTP/1.1\r\nHost: x\r\n\r\n"),
    "query that is not UTF-8": (400, b"GET /?a=%ff HTTP/1.1\r\nHost: x\r\n\r\n"),
    "too many parameters": (400, b"GET /?" + b"a=1&" * 20 + b"a=1 HTTP/1.1\r\nHost: x\r\n\r\n"),
    "no host": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "two lengths": (
        400,
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ),
    "bad header": (400, b"GET / HTTP/1.1\r\nHost x\r\n\r\n"),
    "nul in a header": (400, b"GET / HTTP/1.1\r\nHost: x\0y\r\n\r\n"),
    "no HTTP": (400, b"hello there\r\n\r\n"),
    "TLS": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n\r\n"),
    "classic message": (400, b'{"Queue": "sleep"}\r\n\r\n'),
    "HTTP/2": (505, b"PRI * HTTP/2.0\r\nHost: x\r\n\r\nSM\r\n\r\n"),
    "long head": (431, head_of(4097)),
    "endless head": (431, b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 5000),
    "many headers": (431, b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 1000),
    "long URL": (431, b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"),
}


@pytest.mark.parametrize("step", [100_000, 61], ids=["whole", "in pieces"])
@pytest.mark.parametrize("name", REFUSALS)
async def test_refusals(name: str, step: int, logs: list[Any]) -> None:
    status, data = REFUSALS[name]
    async with serving() as (server, connect):
        client = await connect()
        try:
            for start in range(0, len(data), step):
                await client.send(data[start : start + step])
        except trio.BrokenResourceError:
            pass  # refused before all was sent
        if name.startswith("HEAD"):
            client.h11.send(h11.Request(method="HEAD", target="/", headers=[("Host", "x")]))
            client.h11.send(h11.EndOfMessage())
        answer = await client.answer()

        assert answer.status == status
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.headers.get("allow") == ("GET, HEAD" if status == 405 else None)
        assert answer.body.count(b"\n") == (0 if name.startswith("HEAD") else 1)
        [entry] = logs
        assert (entry["log_level"], entry["status"]) == ("warning", status)
        assert entry["peer"] == "127.0.0.1"
        # The refusal ended at most this connection.
        assert (await (await connect()).get()).status == 200
        assert server.responses == {status: 1, 200: 1}


@pytest.mark.parametrize("name", ["body", "bad header", "long head", "POST"])
async def test_nothing_that_follows_a_refused_request_is_served(name: str) -> None:
    _, data = REFUSALS[name]
    async with serving() as (server, connect):
        client = await connect()
        await client.send(data + GET)

        assert b"hello" not in await client.rest()
        assert sum(server.responses.values()) == 1


async def test_a_refusal_reaches_a_peer_that_goes_on_sending() -> None:
    """The connection ends in good order, not by a reset that may overtake the refusal."""
    async with serving() as (_, connect):
        client = await connect()
        await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n")
        await client.send(b"x" * 200_000)

        assert (await client.answer()).status == 405
        assert await client.rest() == b""


async def test_what_follows_a_head_request_is_answered_with_a_body() -> None:
    async with serving() as (_, connect):
        client = await connect()
        await client.get(method="HEAD")
        await client.send(b"nonsense\r\n\r\n")

        assert (await client.answer()).body.startswith(b"malformed request")


async def test_an_unknown_path_leaves_the_connection_usable() -> None:
    async with serving() as (_, connect):
        client = await connect()
        unknown = await client.get("/nothing")

        assert (unknown.status, unknown.body) == (404, b"no such path; there are: /\n")
        assert (await client.get()).status == 200


async def test_half_a_request_and_then_nothing_is_malformed() -> None:
    async with serving() as (_, connect):
        client = await connect()
        await client.send(GET[:-2])
        await client.stream.send_eof()  # type: ignore[attr-defined]

        assert (await client.answer()).status == 400


async def test_a_probe_that_only_connects_is_no_event(logs: list[Any]) -> None:
    async with serving() as (server, connect):
        await (await connect()).stream.aclose()
        await (await connect()).get()

        assert server.responses == {200: 1}
        assert server.broken == 0
        assert [entry["log_level"] for entry in logs] == ["debug"]


async def test_no_peer_forges_a_line_of_the_log(logs: list[Any]) -> None:
    async with serving() as (_, connect):
        for data in (
            b"GET /\x1b[2J\x85 HTTP/1.1\r\nHost: x\r\n\r\n",
            b"a\x1b[2Jb\nforged\r\n\r\n",
            b"GET /" + b"a" * 1000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        ):
            client = await connect()
            await client.send(data)
            await client.answer()

        assert len(logs) == 3
        for entry in logs:
            assert all(str(value).isprintable() for value in entry.values())
            assert all(len(str(value)) <= 200 for value in entry.values())


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.binary(max_size=200)
        | st.sampled_from([GET, GET[:-2], b"\r\n", b"GET ", b"HTTP/1.1", b": ", b"\0", b"a" * 5000])
        | st.sampled_from([data for _, data in REFUSALS.values()]),
        max_size=6,
    )
)
async def test_any_bytes_get_http_or_a_close(pieces: list[bytes]) -> None:
    """Whatever comes, the answer is HTTP or nothing, there is no defect, and the next is served."""
    with structlog.testing.capture_logs() as logs:
        async with serving() as (server, connect):
            client = await connect()
            try:
                for piece in pieces:
                    await client.send(piece)
                await client.stream.send_eof()  # type: ignore[attr-defined]
                data = await client.rest()
            except trio.BrokenResourceError:
                data = b""
            assert data == b"" or data.startswith(b"HTTP/1.1 ")
            assert (await (await connect()).get()).body == b"hello\n"
    assert [entry for entry in logs if entry["log_level"] == "error"] == []
    assert server.responses[500] == 0


# --- handlers that fail --------------------------------------------------------------------------


async def test_a_failing_handler_gives_500_and_the_service_goes_on(logs: list[Any]) -> None:
    async def fail(request: Request) -> Response:
        raise ZeroDivisionError("secret")

    async with serving({"/": hello, "/fail": fail}) as (server, connect):
        client = await connect()
        answer = await client.get("/fail")

        assert (answer.status, answer.body) == (500, b"internal error; the log tells more\n")
        assert (await client.get("/")).status == 200
        assert server.responses == {500: 1, 200: 1}
        [error] = [entry for entry in logs if entry["log_level"] == "error"]
        assert error["exc_info"]
        assert error["path"] == "/fail"


async def test_a_response_that_can_not_be_sent_ends_its_connection_only(logs: list[Any]) -> None:
    bad = Response(b"x", headers=(("X", "a\r\nInjected: yes"),))
    async with serving({"/": hello, "/bad": lambda _: bad}) as (_, connect):
        client = await connect()
        await client.send(b"GET /bad HTTP/1.1\r\nHost: x\r\n\r\n")

        assert await client.rest() == b""
        assert (await (await connect()).get("/")).status == 200
        assert [entry["log_level"] for entry in logs].count("error") == 1


# --- time ----------------------------------------------------------------------------------------


def in_memory(server: HttpServer, nursery: trio.Nursery) -> Client:
    ours, theirs = memory_stream_pair()
    nursery.start_soon(server.handle, theirs)
    return Client(ours)


async def test_a_dripping_head_is_refused_in_time(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    server = HttpServer(Router({"/": hello}), limits=HttpLimits(head_s=5, idle_s=60))
    client = in_memory(server, nursery)
    await trio.sleep(30)  # still idle: the time of a head begins with its first byte
    start = trio.current_time()
    for byte in GET[:4]:
        await client.send(bytes([byte]))
        await trio.sleep(1)
    answer = await client.answer()

    assert answer.status == 408
    assert trio.current_time() - start == 5


async def test_the_rest_of_a_pipelined_head_has_its_own_time(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    server = HttpServer(Router({"/": hello}), limits=HttpLimits(head_s=5, idle_s=60))
    client = in_memory(server, nursery)
    await client.send(GET + GET[:4])
    start = trio.current_time()
    await client.rest()

    assert trio.current_time() - start == 5
    assert server.responses == {200: 1, 408: 1}


@pytest.mark.parametrize("requests", [0, 2])
async def test_an_idle_connection_is_closed_without_a_word(
    autojump_clock: MockClock, nursery: trio.Nursery, requests: int
) -> None:
    server = HttpServer(Router({"/": hello}), limits=HttpLimits(idle_s=60))
    client = in_memory(server, nursery)
    for _ in range(requests):
        await client.get()
    start = trio.current_time()

    assert await client.rest() == b""
    assert trio.current_time() - start == 60
    assert server.responses[408] == 0


async def test_a_peer_that_does_not_read_is_given_up(autojump_clock: MockClock) -> None:
    server = HttpServer(Router({"/": hello}), limits=HttpLimits(write_s=10))
    ours, theirs = lockstep_stream_pair()
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.handle, theirs)
        await ours.send_all(GET)

    assert server.broken == 1
    assert trio.current_time() - start == 10


async def test_a_handler_that_hangs_is_a_defect(
    autojump_clock: MockClock, nursery: trio.Nursery, logs: list[Any]
) -> None:
    async def hang(request: Request) -> Response:
        await trio.sleep_forever()
        raise AssertionError

    server = HttpServer(Router({"/": hang}), limits=HttpLimits(handler_s=10))
    client = in_memory(server, nursery)
    start = trio.current_time()

    assert (await client.get()).status == 500
    assert trio.current_time() - start == 10
    assert [entry["log_level"] for entry in logs].count("error") == 1


# --- too many connections ------------------------------------------------------------------------


async def test_the_connection_that_waited_longest_gives_way() -> None:
    async with serving(limits=HttpLimits(connections=3)) as (server, connect):
        first, second, third = [await connect() for _ in range(3)]
        for client in (first, second, third, first):  # now the second has waited longest
            assert (await client.get()).status == 200
        fourth = await connect()

        assert (await fourth.get()).status == 200
        assert await second.rest() == b""
        for client in (first, third, fourth):
            assert (await client.get()).status == 200
        assert server.evicted == 1


async def test_half_a_head_does_not_hold_a_place() -> None:
    async with serving(limits=HttpLimits(connections=2)) as (server, connect):
        attackers = []
        for _ in range(2):
            attacker = await connect()
            await attacker.send(b"GET / HTTP/1.1\r\nX: ")
            attackers.append(attacker)
        while server.connections < 2:
            await trio.lowlevel.checkpoint()

        assert (await (await connect()).get()).status == 200
        assert server.evicted == 1


async def test_when_all_are_being_answered_a_new_one_is_turned_away(logs: list[Any]) -> None:
    go_on, inside = trio.Event(), trio.Semaphore(0)

    async def slow(request: Request) -> Response:
        inside.release()
        await go_on.wait()
        return Response.text("done")

    async with serving({"/": slow}, HttpLimits(connections=2)) as (_, connect):
        busy = [await connect() for _ in range(2)]
        for client in busy:
            await client.send(GET)
            await inside.acquire()

        turned_away = await connect()
        await turned_away.send(GET)
        answer = await turned_away.answer()
        assert (answer.status, answer.body) == (503, b"too many connections\n")
        assert answer.headers["retry-after"] == "1"
        assert await turned_away.rest() == b""
        assert [entry["status"] for entry in logs] == [503]

        go_on.set()
        for client in busy:
            assert (await client.answer()).body == b"done\n"
        assert (await (await connect()).get()).body == b"done\n"


async def test_a_flood_does_not_even_get_an_explanation(nursery: trio.Nursery) -> None:
    async def hang(request: Request) -> Response:
        await trio.sleep_forever()
        raise AssertionError

    server = HttpServer(Router({"/": hang}), limits=HttpLimits(connections=2))
    for _ in range(4):  # two are being answered, two don't read that they are turned away
        ours, theirs = lockstep_stream_pair()
        nursery.start_soon(server.handle, theirs)
        if server.connections < 2:
            await ours.send_all(GET)
        await wait_all_tasks_blocked()
    assert server.connections == 4

    assert await in_memory(server, nursery).rest() == b""
    assert server.responses == {503: 2}
    nursery.cancel_scope.cancel()


# --- streams -------------------------------------------------------------------------------------


class Source:
    """A streamed body that says what it is told to, and notes how it ended."""

    def __init__(self) -> None:
        self.pieces, self._receive = trio.open_memory_channel[bytes](math.inf)
        self.ended = trio.Event()
        self.cancelled = False

    def handler(self, request: Request) -> Response:
        return Response(self.produce, "text/event-stream")

    async def produce(self, send: Send) -> None:
        try:
            async for piece in self._receive:
                await send(piece)
        except trio.Cancelled:
            self.cancelled = True
            raise
        finally:
            self.ended.set()


async def test_a_stream_arrives_piece_by_piece() -> None:
    source = Source()
    async with serving({"/": source.handler}) as (_, connect):
        client = await connect()
        await client.send(GET)
        client.h11.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
        head = await client.event()
        assert (b"content-type", b"text/event-stream") in head.headers
        for piece in (b"data: 1\n\n", b"data: 2\n\n"):
            source.pieces.send_nowait(piece)
            assert (await client.event()).data == piece
        await source.pieces.aclose()

        assert isinstance(await client.event(), h11.EndOfMessage)
        assert await client.rest() == b""
        assert not source.cancelled


async def test_a_stream_to_an_old_client_ends_with_the_connection() -> None:
    source = Source()
    async with serving({"/": source.handler}) as (_, connect):
        client = await connect()
        source.pieces.send_nowait(b"all")
        await source.pieces.aclose()
        await client.send(b"GET / HTTP/1.0\r\n\r\n")

        assert (await client.rest()).endswith(b"\r\n\r\nall")


async def test_head_of_a_stream_does_not_start_it() -> None:
    source = Source()
    async with serving({"/": source.handler}) as (_, connect):
        answer = await (await connect()).get(method="HEAD")

        assert answer.headers["content-type"] == "text/event-stream"
        assert not source.ended.is_set()


@pytest.mark.parametrize("reset", [False, True])
async def test_a_stream_is_cancelled_when_its_peer_leaves(reset: bool) -> None:
    source = Source()
    async with serving({"/": source.handler}) as (server, connect):
        client = await connect()
        await client.send(GET)
        source.pieces.send_nowait(b"first")
        await client.until(b"first\r\n")
        assert isinstance(client.stream, trio.SocketStream)
        if reset:
            linger = struct.pack("ii", 1, 0)
            client.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        await client.stream.aclose()
        await source.ended.wait()

        assert source.cancelled
        while server.connections:
            await trio.lowlevel.checkpoint()


async def test_a_stream_that_fails_does_not_look_complete(logs: list[Any]) -> None:
    async def fail(send: Send) -> None:
        await send(b"half")
        raise ZeroDivisionError

    async with serving({"/": lambda _: Response(fail)}) as (_, connect):
        client = await connect()
        await client.send(GET)
        data = await client.rest()

        assert b"half" in data
        assert not data.endswith(b"0\r\n\r\n")
        assert [entry["log_level"] for entry in logs].count("error") == 1


async def test_a_peer_that_stops_reading_ends_its_stream(
    autojump_clock: MockClock, logs: list[Any]
) -> None:
    async def endless(send: Send) -> None:
        while True:
            await send(b"x")

    server = HttpServer(Router({"/": lambda _: Response(endless)}), limits=HttpLimits(write_s=10))
    ours, theirs = lockstep_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.handle, theirs)
        await ours.send_all(GET)
        for _ in range(3):
            await ours.receive_some()
        start = trio.current_time()

    assert server.broken == 1
    assert trio.current_time() - start == 10
    assert {entry["log_level"] for entry in logs} == {"debug"}


# --- the end -------------------------------------------------------------------------------------


class Drain:
    """What a service offers for ``idle``."""

    def __init__(self) -> None:
        self._scopes: set[trio.CancelScope] = set()

    @contextmanager
    def idle(self) -> Iterator[None]:
        with trio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                yield
            finally:
                self._scopes.discard(scope)

    def begin(self) -> None:
        for scope in self._scopes:
            scope.cancel()


async def test_draining_closes_what_idles_and_lets_work_finish() -> None:
    go_on, inside, drain, source = trio.Event(), trio.Event(), Drain(), Source()

    async def slow(request: Request) -> Response:
        inside.set()
        await go_on.wait()
        return Response.text("done")

    routes: dict[str, Handler] = {"/": hello, "/slow": slow, "/stream": source.handler}
    async with serving(routes, idle=drain.idle) as (_, connect):
        idle, busy, streaming = [await connect() for _ in range(3)]
        await idle.get()
        await busy.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        await streaming.send(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        source.pieces.send_nowait(b"first")
        await streaming.until(b"first\r\n")
        await inside.wait()
        await wait_all_tasks_blocked()
        drain.begin()

        assert await idle.rest() == b""
        assert (await streaming.rest()).endswith(b"0\r\n\r\n")  # complete, as far as it went
        go_on.set()
        assert (await busy.answer()).body == b"done\n"


async def test_draining_does_not_wait_for_a_stream_that_is_not_read(
    autojump_clock: MockClock, logs: list[Any]
) -> None:
    async def endless(send: Send) -> None:
        while True:
            await send(b"x")

    drain = Drain()
    server = HttpServer(Router({"/": lambda _: Response(endless)}), idle=drain.idle)
    ours, theirs = lockstep_stream_pair()
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.handle, theirs)
        await ours.send_all(GET)
        await ours.receive_some()
        await wait_all_tasks_blocked()
        drain.begin()

    assert trio.current_time() == start
    assert {entry["log_level"] for entry in logs} == {"debug"}


async def test_cancelling_closes_everything_at_once() -> None:
    source = Source()
    async with trio.open_nursery() as nursery:
        server = HttpServer(Router({"/": hello, "/stream": source.handler}))
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        await nursery.start(server.serve, listeners)
        address = listeners[0].socket.getsockname()
        idle, streaming = [Client(await trio.open_tcp_stream(*address)) for _ in range(2)]
        await idle.get()
        await streaming.send(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        source.pieces.send_nowait(b"first")
        await streaming.until(b"first\r\n")
        nursery.cancel_scope.cancel()
    with trio.fail_after(PATIENCE_S):
        async with idle.stream, streaming.stream:
            assert await idle.rest() == b""
            assert await streaming.rest() == b""

    assert server.connections == 0
    with pytest.raises(OSError):
        await trio.open_tcp_stream(*address)


async def test_without_descriptors_it_waits_for_some(logs: list[Any]) -> None:
    """And says so in one line, without a traceback."""
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        await nursery.start(HttpServer(Router({"/": hello})).serve, listeners)
        sock = trio.socket.socket()
        await wait_all_tasks_blocked()
        lowest = os.dup(0)
        os.close(lowest)
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, before[1]))
        try:
            with trio.fail_after(PATIENCE_S):
                await sock.connect(listeners[0].socket.getsockname())
                while not logs:  # noqa: ASYNC110
                    await trio.sleep(0.01)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        with trio.fail_after(PATIENCE_S):
            async with trio.SocketStream(sock) as stream:
                assert (await Client(stream).get()).status == 200
        nursery.cancel_scope.cancel()

    assert logs[0] == {
        "event": "can't accept, waiting", "error": "Too many open files", "log_level": "warning",
    }  # fmt: skip


async def test_a_peer_that_resets_is_counted(logs: list[Any]) -> None:
    go_on, inside = trio.Event(), trio.Event()

    async def slow(request: Request) -> Response:
        inside.set()
        await go_on.wait()
        return Response.text("x" * 10_000_000)

    async with serving({"/": slow}) as (server, connect):
        client = await connect()
        await client.send(GET)
        await inside.wait()
        assert isinstance(client.stream, trio.SocketStream)
        client.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await client.stream.aclose()
        go_on.set()
        while server.connections:
            await trio.lowlevel.checkpoint()

        assert server.broken == 1
        assert {entry["log_level"] for entry in logs} == {"debug"}
