"""What is fuzzed: each target takes any bytes, and raises if a promise is broken.

A target is quick, has no memory of earlier inputs, and knows no fuzzer: the tests feed it seeds
and findings, ``python -m tests.fuzz`` whatever a coverage-guided fuzzer comes up with.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import orjson
import trio
from trio.testing import memory_stream_pair

from scalab.errors import ConfigError
from scalab.fakedev.wire import decode as decode_demand
from scalab.load.scenario import Scenario
from scalab.load.stages import format_stages, parse_stages
from scalab.load.toml import format_scenario, parse_scenario
from scalab.load.units import parse_duration, parse_rate
from scalab.protocol.codec import decode_classic, decode_frame, encode_classic, encode_frame
from scalab.protocol.errors import ProtocolError
from scalab.protocol.framing import MAX_MESSAGE, LineReader, ObjectReader
from scalab.protocol.messages import Reply, Request, WorkItem, WorkRequest
from scalab.protocol.session import MAY_SEND, Sender, Session, State
from scalab.report.html import to_html
from scalab.report.jsonform import to_json
from scalab.report.judging import judged_report
from scalab.report.junit import to_junit
from scalab.report.table import TABLES, to_csv
from scalab.report.text import to_text
from scalab.runfile.reading import read_run
from scalab.runfile.replay import replay
from scalab.runtime.hosts import Hosts
from scalab.runtime.http import HttpServer
from scalab.runtime.routing import Request as HttpRequest, Response, Router
from scalab.verdict.thresholds import Threshold

Target = Callable[[bytes], None]


def told(error: Exception) -> None:
    """An error is one line that can be shown anywhere."""
    assert str(error)
    assert str(error).isprintable()


def pieces(data: bytes) -> list[bytes]:
    """Cut what follows the first byte as that says, as a connection may deliver it."""
    size = data[0] % 37 + 1 if data else 1
    rest = data[1:]
    return [rest[i : i + size] for i in range(0, len(rest), size)]


def lines(data: bytes) -> None:
    """Lines are the same in whatever pieces they come."""

    def read(parts: list[bytes]) -> list[bytes] | str:
        reader, found = LineReader(64), []
        try:
            for part in parts:
                found += reader.feed(part)
            reader.feed_eof()
        except ProtocolError as exc:
            return exc.reason
        return found

    *complete, last = data[1:].split(b"\n")
    wanted: list[bytes] | str = "incomplete" if last else complete
    if any(len(line) > 64 for line in (*complete, last)):
        wanted = "oversize"
    assert read([data[1:]]) == read(pieces(data)) == wanted


def objects(data: bytes) -> None:
    """An opening is an object of limited size or an error, in whatever pieces it comes."""

    def read(parts: list[bytes]) -> object:
        reader = ObjectReader()
        try:
            for i, part in enumerate(parts):
                fields = reader.feed(part)
                if fields is not None:
                    return fields, (reader.rest + b"".join(parts[i + 1 :]))
            reader.feed_eof()
        except ProtocolError:
            return ProtocolError
        return None

    whole, cut = read([data[1:]]), read(pieces(data))
    assert whole == cut, (whole, cut)
    if isinstance(whole, tuple):
        assert len(data) - 1 - len(whole[1]) <= MAX_MESSAGE
    wanted = _object_at_the_start(data[1:])
    assert wanted is None or whole == wanted, (whole, wanted)


def _object_at_the_start(data: bytes) -> tuple[object, bytes] | None:
    """Return the object that other parsers find there, and the rest; None if there is none."""
    try:
        text = data.decode()
        start = len(text) - len(text.lstrip(" \t\r\n"))
        end = len(text[: json.JSONDecoder().raw_decode(text, start)[1]].encode())
        value = orjson.loads(data[:end])  # which knows no NaN
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or end > MAX_MESSAGE:
        return None
    return value, data[end:]


def frames(data: bytes) -> None:
    """What is a frame is the same frame when it is sent on, unless that is too long."""
    try:
        frame = decode_frame(data)
        line = encode_frame(frame)
    except ProtocolError as exc:
        told(exc)
        return
    again = decode_frame(line)
    assert again == frame or len(data) > MAX_MESSAGE


def classic(data: bytes) -> None:
    """The same of classic messages."""
    reader = ObjectReader()
    try:
        fields = reader.feed(data)
    except ProtocolError:
        return
    for cls in (Request, WorkRequest, WorkItem, Reply):
        try:
            message: Any = decode_classic(fields or {}, cls)
            sent = encode_classic(message)
        except ProtocolError as exc:
            told(exc)
            continue
        assert len(sent) <= MAX_MESSAGE
        back = ObjectReader().feed(sent)
        assert back is not None
        decode_classic(back, cls)


def sessions(data: bytes) -> None:
    """A session yields frames that the sender may send, or ends with one error, for ever."""
    senders: tuple[Sender, ...] = tuple(MAY_SEND)
    sender = senders[data[0] % len(senders)] if data else senders[0]
    session = Session(sender, State.OPENING if data[:1] > b"\x7f" else State.OPEN)
    try:
        for part in pieces(data):
            opening = session.state is State.OPENING
            for frame in session.receive(part):
                assert opening or type(frame) in MAY_SEND[sender]
        session.receive_eof()
    except ProtocolError as exc:
        told(exc)
    assert session.state is State.CLOSED
    assert session.receive(b'{"Kind":"ping"}\n') == []


def pages(data: bytes) -> None:
    """An HTTP connection gets responses, and nothing is changed for a page of another site."""
    changed: list[HttpRequest] = []

    def change(request: HttpRequest) -> Response:
        request.parameters("value", "type")
        request.require_intent()
        changed.append(request)
        return Response.json({"result": request.path})

    async def main() -> None:
        router = Router({"/": lambda _request: Response.page("hello"), "/change": change})
        server = HttpServer(router, hosts=Hosts())
        ours, theirs = memory_stream_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.handle, theirs)
            with suppress(trio.BrokenResourceError):  # it has closed: it was told enough
                for part in pieces(data):
                    await ours.send_all(part)
                await ours.send_eof()
            answer = b""
            while piece := await ours.receive_some(65536):
                answer += piece
        assert not answer or answer.startswith(b"HTTP/1.1 ")
        assert b"internal error" not in answer
        assert server.connections == 0

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    for request in changed:
        site = request.headers.get("sec-fetch-site", "none")
        assert site in ("none", "same-origin")
        if "accept-language" in request.headers:
            host = request.headers["host"].lower().split(":")[0]
            assert "evil" not in host or "." not in host or host.endswith((".local", ".test"))


def scenarios(data: bytes) -> None:
    """A scenario is one, or there is one line that says why not; written, it is the same."""

    def read_csv(name: str) -> str:
        raise ConfigError(f"can't read {name!r}")

    def check(text: str) -> None:
        Threshold.parse(text)

    def read(text: str) -> Scenario:
        return parse_scenario(text, "scenario.toml", read_csv=read_csv, check=check)

    try:
        scenario = read(data.decode(errors="replace"))
    except ConfigError as exc:
        told(exc)
        return
    assert read(format_scenario(scenario)) == scenario


def thresholds(data: bytes) -> None:
    """A threshold is one, or there is one line that says why not; written, it is the same."""
    text = data.decode(errors="replace")
    try:
        threshold = Threshold.parse(text)
    except ConfigError as exc:
        told(exc)
        return
    assert Threshold.parse(str(threshold)) == threshold


def stages(data: bytes) -> None:
    """The same of stages, durations and rates."""
    text = data.decode(errors="replace")
    for parse in (parse_duration, parse_rate):
        try:
            assert parse(text) >= 0
        except ConfigError as exc:
            told(exc)
    try:
        parsed, kind = parse_stages(text)
    except ConfigError as exc:
        told(exc)
        return
    assert parse_stages(format_stages(parsed, kind)) == (parsed, kind)


def demands(data: bytes) -> None:
    """What a workload asks of a simulated device is a demand, or an error."""
    try:
        decode_demand(data)
    except ProtocolError as exc:
        told(exc)


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="scalab-fuzz-"))


def runs(data: bytes) -> None:
    """A run file can be shown in every form, or there is one line that says why not."""
    path = _folder() / "run.jsonl"
    path.write_bytes(data)
    try:
        run = read_run(path)
        report = judged_report(run)
    except ConfigError as exc:
        told(exc)
        return
    shown = to_text(report)
    assert all(line.isprintable() for line in shown.splitlines())
    assert "<script" not in to_html(report)
    to_json(report)
    ET.fromstring(to_junit(report))
    for table in TABLES:
        cells = to_csv(report, table).splitlines()
        assert not any(cell.startswith(("=", "@")) for line in cells for cell in line.split(","))
    try:
        format_scenario(replay(run))
    except ConfigError as exc:
        told(exc)


TARGETS: dict[str, Target] = {
    target.__name__: target
    for target in (
        *(lines, objects, frames, classic, sessions, pages),
        *(scenarios, thresholds, stages, demands, runs),
    )
}
