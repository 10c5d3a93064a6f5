"""One request and its answer, on a connection of its own: h11 over Trio streams."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

import attrs
import h11
import trio

from scalab import __version__

MAX_BODY: Final = 64 << 20
"""Bytes of an answer; a pod takes about ten thousand."""


@attrs.frozen(kw_only=True)
class Answer:
    """What the server says."""

    status: int
    body: bytes
    at_s: float | None
    """The server's time, in seconds since 1970."""


async def exchange(
    stream: trio.abc.Stream, method: str, path: str, headers: Mapping[str, str], body: bytes = b""
) -> Answer:
    """Send a request and return the answer; the connection can't be used again.

    Raises:
        h11.RemoteProtocolError: What came back is no HTTP, too much, or cut short.
        trio.BrokenResourceError: The connection was lost.
    """
    connection = h11.Connection(h11.CLIENT)
    head = {"User-Agent": f"scalab/{__version__}", "Connection": "close", **headers}
    if body:
        head["Content-Length"] = str(len(body))
    request = h11.Request(method=method, target=path, headers=list(head.items()))
    pieces = [connection.send(request)]
    if body:
        pieces.append(connection.send(h11.Data(data=body)))
    pieces.append(connection.send(h11.EndOfMessage()))
    await stream.send_all(b"".join(piece for piece in pieces if piece))
    return await _receive(stream, connection)


async def _receive(stream: trio.abc.Stream, connection: h11.Connection) -> Answer:
    status, at_s, body = 0, None, bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(bytes(await stream.receive_some(65536)))
        elif isinstance(event, h11.Response):
            status = event.status_code
            at_s = _time(dict(event.headers).get(b"date", b""))
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > MAX_BODY:
                raise h11.RemoteProtocolError(f"the answer is longer than {MAX_BODY} bytes")
        elif isinstance(event, h11.EndOfMessage):
            return Answer(status=status, body=bytes(body), at_s=at_s)
        elif isinstance(event, h11.ConnectionClosed):
            raise h11.RemoteProtocolError("the connection was closed before the answer")


def _time(date: bytes) -> float | None:
    try:
        return parsedate_to_datetime(date.decode("ascii")).timestamp()
    except ValueError:
        return None
