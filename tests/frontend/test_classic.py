"""Classic peers at our frontend, as the archived tool's clients and backends behave."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import open_stream_to_socket_listener, wait_all_tasks_blocked

from scalab.frontend.clients import CLIENT_PORT
from scalab.frontend.hub import Hub
from scalab.frontend.opening import Port, serve_peer
from scalab.frontend.workers import WORKER_PORT
from tests.support import Frontend, Json, Wire, frontend_settings, indented, serving

REQUEST = {"Queue": "q", "Args": ["1", 'a "b" {c}', "\\", "é\t"], "Limit": 2.5}
REPLY = {
    "Pod": "pod-1", "Node": "node-1", "Device": "card0", "Error": "", "Timeout": 0,
    "Runtime": 1.25, "Waittime": 99.0, "Retcode": 0,
}  # fmt: skip

Split = Callable[[bytes], tuple[bytes, ...]]


def whole(data: bytes) -> tuple[bytes, ...]:
    return (data,)


def in_three(data: bytes) -> tuple[bytes, ...]:
    return data[:7], data[7:40], data[40:]


def byte_by_byte(data: bytes) -> tuple[bytes, ...]:
    return tuple(data[i : i + 1] for i in range(len(data)))


def spaced(data: bytes) -> tuple[bytes, ...]:
    """White space around the message is none of it."""
    return b"\r\n\t ", data, b" \n"


SPLITS = (whole, in_three, byte_by_byte, spaced)


@pytest.mark.parametrize("split", SPLITS)
async def test_a_message_may_come_in_any_segments(split: Split) -> None:
    """All three that a frontend reads: request, work request, reply."""
    async with serving() as frontend:
        client = await frontend.to_clients()
        await client.send(*split(indented(REQUEST)))
        await wait_all_tasks_blocked()
        backend = await frontend.to_backends()
        await backend.send(*split(indented({"Queue": "q"})))
        item = await backend.message()
        await backend.send(*split(indented(REPLY)))
        reply = await client.answer()

    assert item == {"Args": REQUEST["Args"], "Limit": 2.5, "Error": "", "Empty": False}
    assert reply["Waittime"] < 60
    assert reply == {**REPLY, "Waittime": reply["Waittime"], "Attempts": 1}
    assert {type(reply[name]) for name in ("Timeout", "Runtime", "Waittime")} == {float}


# --- all mixes of the two kinds ----------------------------------------------------------------


async def ask_classic(frontend: Frontend) -> Callable[[], Awaitable[Json]]:
    wire = await frontend.classic_client(Args=["7"], Limit=3)
    return wire.answer


async def ask_session(frontend: Frontend) -> Callable[[], Awaitable[Json]]:
    wire = await frontend.client()
    await wire.frame("request", Id="r1", Queue="q", Args=["7"], Limit=3)
    await wire.in_line()
    return wire.next


async def work_classic(frontend: Frontend, reply: Json) -> Json:
    wire, item = await frontend.classic_backend()
    await wire.say(reply)
    await wire.gone()
    return item


async def work_session(frontend: Frontend, reply: Json) -> Json:
    wire = await frontend.backend(Node="node-of-hello", Pod="pod-of-hello")
    item = await wire.next("item")
    await wire.frame("reply", Id=item["Id"], **reply)
    await wire.in_line()
    return item


@pytest.mark.parametrize("ask", [ask_classic, ask_session])
@pytest.mark.parametrize("work", [work_classic, work_session])
@pytest.mark.parametrize("failing", [False, True])
async def test_kinds_of_peers_mix(
    ask: Callable[[Frontend], Awaitable[Callable[[], Awaitable[Json]]]],
    work: Callable[[Frontend, Json], Awaitable[Json]],
    failing: bool,
) -> None:
    reply = REPLY | ({"Error": "boom", "Retcode": 3} if failing else {})
    async with serving() as frontend:
        answer = await ask(frontend)
        item = await work(frontend, reply)
        got = await answer()
        queue = await frontend.queue()

    assert (item["Args"], item["Limit"]) == (["7"], 3)
    names = ("Pod", "Node", "Device", "Runtime", "Error", "Retcode", "Timeout")
    assert {n: got.get(n, REPLY[n]) for n in names} == {n: reply[n] for n in names}
    assert got["Attempts"] == 1
    assert queue["completed"] == dict.fromkeys(queue["completed"], 0) | {
        "failure" if failing else "success": 1
    }


async def test_a_session_backend_needs_to_name_its_place_only_once() -> None:
    async with serving() as frontend:
        answer = await ask_session(frontend)
        await work_session(frontend, {"Runtime": 0.5})
        reply = await answer()

    assert (reply["Node"], reply["Pod"]) == ("node-of-hello", "pod-of-hello")
    assert reply["Outcome"] == "success"


# --- what the frontend itself says -------------------------------------------------------------


async def test_an_empty_queue_is_told_and_closed() -> None:
    async with serving("q", "other") as frontend:
        await frontend.classic_client("other")
        wire = await (await frontend.to_backends()).say({"Queue": "q"})
        answer = await wire.answer()

    assert answer == {"Error": "queue 'q' is empty", "Empty": True, "Args": [], "Limit": 0.0}


async def test_unknown_queues_are_refused_with_the_known_ones() -> None:
    async with serving("encode", "decode") as frontend:
        client = await (await frontend.to_clients()).say({"Queue": "x\n"})
        backend = await (await frontend.to_backends()).say({"Queue": "x\n"})
        reply, item = await client.answer(), await backend.answer()
        metrics = await frontend.metrics()

    text = "unknown queue 'x\\n'; known: encode, decode"
    assert (reply["Error"], reply["Retcode"], reply["Node"]) == (text, 1, "")
    assert (item["Error"], item["Empty"]) == (text, False)
    name = 'scalab_queue_items_rejected_total{queue="",reason="unknown_queue"}'
    assert metrics[name] == 2


async def test_a_full_queue_names_its_limit() -> None:
    async with serving(queue_max=1) as frontend:
        first = await frontend.classic_client()
        refused = await (await frontend.classic_client()).answer()
        await work_classic(frontend, REPLY)
        await first.answer()
        queue = await frontend.queue()

    assert refused["Error"] == "queue 'q' is full: 1 items wait, the limit"
    assert (refused["Retcode"], refused["Node"]) == (1, "")
    assert queue["rejected"]["full"] == 1
    assert queue["accepted"] == 1


async def test_items_are_handed_out_in_the_order_of_their_requests() -> None:
    async with serving() as frontend:
        clients = [await frontend.classic_client(Args=[str(i)]) for i in range(5)]
        for i, client in enumerate(clients):
            item = await work_classic(frontend, REPLY)
            assert item["Args"] == [str(i)]
            await client.answer()


async def test_field_names_may_be_in_any_case_and_missing_or_null() -> None:
    async with serving() as frontend:
        client = await (await frontend.to_clients()).say({"QUEUE": "q", "args": None})
        await wait_all_tasks_blocked()
        wire = await (await frontend.to_backends()).say({"queue": "q", "Colour": "blue"})
        item = await wire.message()
        await wire.say({"nODE": "n", "Error": None, "Device": None, "Runtime": 1, "Extra": {}})
        reply = await client.answer()

    assert (item["Args"], item["Limit"]) == ([], 0)
    assert (reply["Node"], reply["Error"], reply["Runtime"]) == ("n", "", 1.0)


# --- one write of at most 1024 bytes -----------------------------------------------------------


class Recorder(trio.abc.Stream):
    """A stream that notes what is written to it."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.writes: list[bytes] = []

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))
        await self.stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self.stream.receive_some(max_bytes)

    async def send_eof(self) -> None:
        await self.stream.send_eof()

    async def aclose(self) -> None:
        await self.stream.aclose()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@asynccontextmanager
async def recorded(hub: Hub, port: Port) -> AsyncIterator[tuple[Wire, Recorder]]:
    """A connection to a frontend of which every write is noted."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener, await open_stream_to_socket_listener(listener) as near:
        recorder = Recorder(await listener.accept())

        async def run() -> None:
            async with recorder:
                await serve_peer(hub, recorder, port)  # type: ignore[arg-type]

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            yield Wire(near), recorder
            await near.aclose()


LONG = "long, and it ends in umlauts: " + 900 * "ü"


@pytest.mark.parametrize(
    "reply",
    [
        REPLY,
        {**REPLY, "Error": LONG[:400], "Retcode": 1},
        {"Error": "\0" * 150},
        {"Node": "n" * 250, "Pod": "p" * 250, "Device": "d" * 250, "Error": "e" * 200},
    ],
    ids=["short", "umlauts", "controls", "names"],
)
async def test_whatever_a_classic_peer_is_sent_is_one_short_write(reply: Json) -> None:
    hub = Hub(frontend_settings())
    async with (
        recorded(hub, CLIENT_PORT) as (client, to_client),
        recorded(hub, WORKER_PORT) as (backend, to_backend),
    ):
        await client.say(REQUEST)
        await wait_all_tasks_blocked()
        await backend.say({"Queue": "q"})
        await backend.message()
        await backend.send(json.dumps(reply, ensure_ascii=False).encode())
        answer = await client.answer()

    assert len(to_client.writes) == len(to_backend.writes) == 1
    assert len(to_client.writes[0]) <= 1024
    error = str(reply.get("Error", ""))
    assert answer["Error"] == error or error.startswith(answer["Error"].removesuffix("…"))
    assert answer["Attempts"] == 1


async def test_an_error_is_one_short_write_too() -> None:
    hub = Hub(frontend_settings(*(f"{i:060}" for i in range(40))))
    for port in (CLIENT_PORT, WORKER_PORT):
        for bad in (b'{"Queue": "' + b"x" * 900 + b'"}', b'{"Queue": 7}', b"[", b"{" + b" " * 1024):
            async with recorded(hub, port) as (wire, recorder):
                await wire.send(bad)
                answer = await wire.answer()
            assert answer["Error"]
            assert len(recorder.writes) == 1
