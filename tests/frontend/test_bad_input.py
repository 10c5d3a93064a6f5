"""What a peer gets wrong: one clear error in its own language, a count, and nobody else notices."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.support import Frontend, Json, Wire, serving

HELLO_CLIENT = {"Kind": "hello", "Version": 1, "Role": "client"}
HELLO_BACKEND = {"Kind": "hello", "Version": 1, "Role": "backend", "Queue": "q"}


def of_length(size: int, message: Json) -> bytes:
    """``message``, made so long by a field that nobody knows."""
    data = json.dumps(message | {"Padding": ""}).encode()
    return data.replace(b'ng": "', b'ng": "' + b"x" * (size - len(data)))


async def errors(frontend: Frontend) -> dict[str, float]:
    """The protocol errors counted so far, by reason, those that were made."""
    found = {
        name.split('"')[1]: count
        for name, count in (await frontend.metrics()).items()
        if name.startswith("scalab_protocol_errors_total") and count
    }
    # Each ended its connection, and what it had is not there any more.
    assert await frontend.queue() | {"accepted": 0, "completed": {}} == {
        **await frontend.queue(), "accepted": 0, "completed": {}, "running": 0, "waiting": 0,
    }  # fmt: skip
    return found


@asynccontextmanager
async def undisturbed(frontend: Frontend) -> AsyncIterator[None]:
    """Sessions and classic exchanges of others that are open meanwhile go on."""
    client, backend = await frontend.client(), await frontend.backend("other")
    yield
    waiting = await frontend.classic_client("other", Args=["classic"])
    await client.frame("request", Id="1", Queue="other")
    for _ in range(2):
        item = await backend.next("item")
        await backend.frame("reply", Id=item["Id"], Node="n")
    assert (await client.next("reply"))["Outcome"] == "success"
    assert (await waiting.answer())["Node"] == "n"


FIRST_MESSAGES = [
    (of_length(1025, {"Queue": "q"}), "oversize", "message longer than 1024 bytes"),
    (b"{" + b" " * 1024, "oversize", "message longer than 1024 bytes"),
    (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "malformed", "a message must be a JSON object"),
    (b'["Queue"]', "malformed", "a message must be a JSON object"),
    (b"\x16\x03\x01\x02\x00", "malformed", "this port speaks no TLS"),
    (b'{"Queue": q}', "malformed", "not valid JSON"),
    (b'{"Queue": "\xff"}', "malformed", "not valid JSON"),
    (b'{"Queue": "q"} {"Queue": "q"}', "malformed", "unexpected bytes after the message"),
    (b"{}", "field", "Queue is missing"),
    (b'{"Queue": 1}', "field", "Queue must be a string"),
    (b'{"Queue": ["q"]}', "field", "Queue must be a string"),
]
REQUESTS = [
    (b'{"Queue": "q", "Args": "x"}', "field", "Args must be a list of strings"),
    (b'{"Queue": "q", "Args": [1]}', "field", "Args must be a list of strings"),
    (b'{"Queue": "q", "Limit": "1"}', "field", "Limit must be a number"),
    (b'{"Queue": "q", "Limit": true}', "field", "Limit must be a number"),
    (b'{"Queue": "q", "Limit": -1}', "field", "Limit must not be negative"),
]


@pytest.mark.parametrize(("sent", "reason", "text"), FIRST_MESSAGES + REQUESTS)
async def test_a_client_s_bad_request(sent: bytes, reason: str, text: str) -> None:
    async with serving("q", "other") as frontend:
        async with undisturbed(frontend):
            wire = await (await frontend.to_clients()).send(sent)
            reply = await wire.answer()
        counted = await errors(frontend)

    assert text in reply["Error"]
    assert (reply["Retcode"], reply["Node"]) == (1, "")
    assert counted == {reason: 1}


@pytest.mark.parametrize(("sent", "reason", "text"), FIRST_MESSAGES)
async def test_a_backend_s_bad_work_request(sent: bytes, reason: str, text: str) -> None:
    async with serving("q", "other") as frontend:
        async with undisturbed(frontend):
            wire = await (await frontend.to_backends()).send(sent)
            item = await wire.answer()
        counted = await errors(frontend)

    assert text in item["Error"]
    assert item["Empty"] is False
    assert counted == {reason: 1}


async def test_exactly_1024_bytes_are_taken() -> None:
    async with serving() as frontend:
        client = await (await frontend.to_clients()).send(of_length(1024, {"Queue": "q"}))
        await wait_all_tasks_blocked()
        wire, item = await frontend.classic_backend()
        await wire.send(of_length(1024, {"Node": "n"}))
        reply = await client.answer()

    assert item["Error"] == ""
    assert reply["Node"] == "n"


@pytest.mark.parametrize("half", [b"", b'{"Queue": "', b'{"Kind": "hello", '])
async def test_silence_is_ended_by_a_deadline(half: bytes, mock_clock: MockClock) -> None:
    async with serving(opening_deadline_s=5.0) as frontend:
        wires = [await frontend.to_clients(), await frontend.to_backends()]
        for wire in wires:
            await wire.send(half)
        await wait_all_tasks_blocked()
        mock_clock.jump(4.9)
        await wait_all_tasks_blocked()
        assert await errors(frontend) == {}
        mock_clock.jump(0.2)
        answers = [await wire.answer() for wire in wires]
        counted = await errors(frontend)

    what = "half a message" if half else "nothing"
    assert [a["Error"] for a in answers] == [f"{what} within 5 s of connecting"] * 2
    assert counted == {"incomplete": 2}


async def test_a_connection_that_is_closed_without_a_word_is_no_error() -> None:
    """So do port scanners and the TCP probes of Kubernetes."""
    async with serving() as frontend:
        for wire in (await frontend.to_clients(), await frontend.to_backends()):
            await wire.stream.send_eof()
            await wire.gone()
        assert await errors(frontend) == {}


async def test_a_connection_that_is_closed_inside_a_message_is_one() -> None:
    async with serving() as frontend:
        wire = await (await frontend.to_clients()).send(b'{"Queue"')
        await wire.stream.send_eof()
        assert (await wire.answer())["Error"] == "connection closed inside a message"
        assert await errors(frontend) == {"incomplete": 1}


# --- sessions ----------------------------------------------------------------------------------


HELLOS = [
    ({"Version": 2}, "version", "session version 2 is not supported, only 1"),
    ({"Version": "1"}, "field", "Version must be an integer"),
    ({"Role": "frontend"}, "unexpected", "this port is for a "),
    ({"Role": "backend\n"}, "unexpected", "not for 'backend\\n'"),
    ({"Role": None}, "unexpected", "not for ''"),
    ({"Slots": 0}, "field", "Slots must be from 1 to 65536"),
    ({"Slots": 1.5}, "field", "Slots must be an integer"),
]


@pytest.mark.parametrize(("wrong", "reason", "text"), HELLOS)
async def test_a_hello_that_is_refused(wrong: Json, reason: str, text: str) -> None:
    async with serving("q", "other") as frontend:
        async with undisturbed(frontend):
            for wire, hello in (
                (await frontend.to_clients(), HELLO_CLIENT),
                (await frontend.to_backends(), HELLO_BACKEND),
            ):
                await wire.send(json.dumps(hello | wrong).encode() + b"\n")
                assert text in (await wire.next("error"))["Error"]
                await wire.gone()
        assert await errors(frontend) == {reason: 2}


async def test_the_ports_are_told_apart() -> None:
    async with serving() as frontend:
        backend = await frontend.to_clients()
        await backend.send(json.dumps(HELLO_BACKEND).encode())
        client = await frontend.to_backends()
        await client.send(json.dumps(HELLO_CLIENT).encode())
        texts = [(await wire.next("error"))["Error"] for wire in (backend, client)]

    assert texts == [
        "this port is for a client, not for 'backend'",
        "this port is for a backend, not for 'client'",
    ]


async def test_a_session_of_an_unknown_queue_is_refused_with_the_known_ones() -> None:
    async with serving("encode", "decode") as frontend:
        wire = await frontend.to_backends()
        await wire.frame("hello", Version=1, Role="backend", Queue="x")
        refusal = await wire.next("error")
        await wire.gone()

    assert refusal["Error"] == "unknown queue 'x'; known: encode, decode"


async def test_requests_of_a_session_are_refused_one_by_one() -> None:
    """An error of a request is its own; the session goes on."""
    async with serving(queue_max=1) as frontend:
        client = await frontend.client()
        for i, queue in enumerate(("q", "q", "x")):
            await client.frame("request", Id=str(i), Queue=queue)
        full, unknown = await client.next("reply"), await client.next("reply")
        await client.frame("request", Id="3", Queue="q", Args=["\0" * 160])
        too_large = await client.next("reply")
        backend = await frontend.backend()
        await backend.frame("reply", Id=(await backend.next("item"))["Id"])
        done = await client.next("reply")

    assert {r["Outcome"] for r in (full, unknown, too_large)} == {"rejected"}
    assert [r["Id"] for r in (full, unknown, too_large, done)] == ["1", "2", "3", "0"]
    assert full["Error"] == "queue 'q' is full: 1 items wait, the limit"
    assert unknown["Error"] == "unknown queue 'x'; known: q"
    assert done["Outcome"] == "success"


CLIENT_FRAMES = [
    ('{"Kind": "request", "Id": "1", "Queue": 5}', "field", "Queue must be a string"),
    ('{"Kind": "request", "Queue": "q"}', "field", "Id must name the request"),
    (
        '{"Kind": "request", "Id": "same", "Queue": "q"}\n' * 2,
        "field",
        "Id must name the request, and no other that is pending",
    ),
    (f'{{"Kind": "request", "Id": "{65 * "i"}", "Queue": "q"}}', "field", "Id is longer than 64"),
    ('{"Kind": "reply", "Id": "1"}', "unexpected", "a client may not send reply now"),
    ('{"Kind": "pull"}', "unexpected", "a client may not send pull now"),
    ('{"Kind": "hello", "Version": 1, "Role": "client"}', "unexpected", "may not send hello"),
    ('{"Kind": "welcome", "Version": 1, "Heartbeat": 1}', "unexpected", "may not send welcome"),
    (
        '{"Kind": "request", "Id": "1", "Queue": "q", "Limit": 1e308}',
        "field",
        "Limit must not be above 1e+09",
    ),
    ('{"Kind": "request", "Id": "1", "Queue": "q", "Limit": NaN}', "malformed", "not valid JSON"),
    ('{"Kind": "request", "Id": "1", "Queue": "q", "Limit": 1e999}', "malformed", "infinity"),
    ('{"Kind": "cancel", "Id": "\\ud800"}', "malformed", "not valid JSON"),
    ('{"Kind": "ping", "Kind": "dance"}', "unexpected", "unknown Kind 'dance'"),
    ('{"Kind": ' + 500 * "[" + 500 * "]" + "}", "unexpected", "unknown Kind [["),
    ('{"Kind": "dance"}', "unexpected", "unknown Kind 'dance'"),
    ('{"Kind": 1}', "unexpected", "unknown Kind 1"),
    ('{"Queue": "q"}', "unexpected", "unknown Kind None"),
    ("no json", "malformed", "not valid JSON"),
    ("[]", "malformed", "not a JSON object"),
    (of_length(1025, {"Kind": "ping"}).decode(), "oversize", "message longer than 1024 bytes"),
    ("x" * 1100, "oversize", "message longer than 1024 bytes"),
]
BACKEND_FRAMES = [
    ('{"Kind": "request", "Id": "1", "Queue": "q"}', "unexpected", "a backend may not send"),
    ('{"Kind": "item", "Id": "1"}', "unexpected", "a backend may not send item now"),
    ('{"Kind": "reply", "Id": "7"}', "unexpected", "Id '7' is no item that you run"),
    ('{"Kind": "release", "Id": "7"}', "unexpected", "Id '7' is no item that you run"),
    ('{"Kind": "reply", "Id": "1", "Retcode": "0"}', "field", "Retcode must be an integer"),
    ('{"Kind": "reply", "Id": "1", "Runtime": -1}', "field", "Runtime must not be negative"),
    ('{"Kind": "reply", "Id": "1", "Runtime": 1e308}', "field", "Runtime must not be above 1e+09"),
    ('{"Kind": "reply", "Id": "1", "Runtime": -Infinity}', "malformed", "not valid JSON"),
    ('{"Kind": "reply", "Id": "1", "Retcode": 1e30}', "field", "Retcode must be an integer"),
]


@pytest.mark.parametrize(("sent", "reason", "text"), CLIENT_FRAMES)
async def test_a_frame_that_a_client_may_not_send(sent: str, reason: str, text: str) -> None:
    async with serving("q", "other") as frontend:
        async with undisturbed(frontend):
            wire = await frontend.client()
            await wire.frame("request", Id="before", Queue="q")
            await wire.send(sent.encode() + b"\n")
            await refused(wire, text)
        counted = await errors(frontend)

    assert counted == {reason: 1}


@pytest.mark.parametrize(("sent", "reason", "text"), BACKEND_FRAMES)
async def test_a_frame_that_a_backend_may_not_send(sent: str, reason: str, text: str) -> None:
    async with serving("q", "other") as frontend:
        async with undisturbed(frontend):
            wire = await frontend.backend()
            await wire.send(sent.encode() + b"\n")
            await refused(wire, text)
        counted = await errors(frontend)

    assert counted == {reason: 1}


async def refused(wire: Wire, text: str) -> None:
    assert text in (await wire.next("error"))["Error"]
    await wire.gone()


async def test_an_item_of_a_backend_that_talks_nonsense_goes_to_another() -> None:
    async with serving() as frontend:
        client = await frontend.classic_client()
        bad = await frontend.backend()
        await bad.next("item")
        await bad.send(b"nonsense\n")
        await refused(bad, "not valid JSON")
        classic, _ = await frontend.classic_backend()
        await classic.send(b'{"Node": 5}')
        await classic.rest()
        good, _ = await frontend.classic_backend()
        await good.say({"Node": "n"})
        reply = await client.answer()
        queue = await frontend.queue()
        counted = await errors(frontend)

    assert (reply["Node"], reply["Attempts"]) == ("n", 3)
    assert queue["redelivered"]["protocol"] == 2
    assert counted == {"malformed": 1, "field": 1}


async def test_a_reply_of_somebody_else_s_item_is_refused() -> None:
    async with serving() as frontend:
        client = await frontend.client()
        owner, thief = await frontend.backend(), await frontend.backend()
        await client.frame("request", Id="1", Queue="q")
        item = await owner.next("item")
        await thief.frame("reply", Id=item["Id"], Node="thief")
        await refused(thief, "is no item that you run")
        await owner.frame("reply", Id=item["Id"], Node="owner")
        reply = await client.next("reply")

    assert reply["Node"] == "owner"


async def test_bytes_after_a_classic_request_end_it() -> None:
    """They come while the item waits: it must not stay."""
    async with serving() as frontend:
        client = await frontend.classic_client()
        await client.send(b" \n")
        await wait_all_tasks_blocked()
        assert (await frontend.queue())["waiting"] == 1
        await client.send(b"more")
        reply = await client.answer()
        queue = await frontend.queue()

    assert reply["Error"] == "unexpected bytes after the message"
    assert queue["waiting"] == 0
    assert queue["completed"]["disconnected"] == 1


# --- the opening in any segments ---------------------------------------------------------------


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"", b"\n\r\n\n"])
@pytest.mark.parametrize("size", [1, 5, 10000])
async def test_a_hello_and_what_follows_may_come_in_any_segments(end: bytes, size: int) -> None:
    request = b'{"Kind": "request", "Id": "1", "Queue": "q"}\n'
    sent = json.dumps(HELLO_CLIENT).encode() + end + request
    async with serving() as frontend:
        wire = await frontend.to_clients()
        await wire.send(*(sent[i : i + size] for i in range(0, len(sent), size)))
        await wire.next("welcome")
        await wire.frame("cancel", Id="1")
        reply = await wire.next("reply")

    assert (reply["Id"], reply["Outcome"]) == ("1", "cancelled")


async def test_an_indented_hello_is_one_too() -> None:
    async with serving() as frontend:
        wire = await (await frontend.to_backends()).say(HELLO_BACKEND)
        welcome = await wire.next("welcome")
        await wire.in_line()

    assert welcome == {"Kind": "welcome", "Version": 1, "Heartbeat": 5.0, "Server": "scalab"}


async def test_many_frames_in_one_segment_are_answered_in_order() -> None:
    """Also more of them than a message may have bytes."""
    async with serving() as frontend:
        backend = await frontend.backend(Slots=100)
        client = await frontend.to_clients()
        lines = [json.dumps(HELLO_CLIENT)]
        lines += [f'{{"Kind": "request", "Id": "{i}", "Queue": "q"}}' for i in range(100)]
        await client.send("\n".join([*lines, ""]).encode())
        for _ in range(100):
            item = await backend.next("item")
            await backend.frame("reply", Id=item["Id"])
        await client.next("welcome")
        replies = [await client.next("reply") for _ in range(100)]

    assert [reply["Id"] for reply in replies] == [str(i) for i in range(100)]


# --- a limit of connections --------------------------------------------------------------------


async def test_connections_over_the_limit_are_turned_away() -> None:
    async with serving(max_connections=3) as frontend:
        wires = [await frontend.client(), await frontend.backend(), await frontend.to_clients()]
        await wait_all_tasks_blocked()
        over = await frontend.to_clients()
        told = json.loads(await over.rest())
        await wires[0].in_line()
        await wires[2].aclose()
        await wait_all_tasks_blocked()
        await frontend.client()
        metrics = await frontend.metrics()

    assert told["Error"] == "too many connections: there are 3, the limit"
    assert metrics['scalab_connections_refused_total{limit="total"}'] == 1
    assert metrics['scalab_connections_opened_total{role="client"}'] == 3
    assert metrics['scalab_connections{role="client"}'] == 2
    assert metrics['scalab_connections{role="backend"}'] == 1
