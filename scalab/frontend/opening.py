"""The first message of a connection: it tells classic peers and sessions apart."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import trio

from scalab.protocol.codec import encode_frame, frame_from
from scalab.protocol.errors import ProtocolError
from scalab.protocol.framing import ObjectReader
from scalab.protocol.messages import Hello, Refusal
from scalab.protocol.session import Role, check_hello
from scalab.runtime.net import Address, close_politely

from .hub import Hub


@attrs.frozen
class Port:
    """How one of the two ports serves its peers."""

    role: Role
    serve_classic: Callable[[Hub, trio.SocketStream, dict[str, Any]], Awaitable[None]]
    serve_session: Callable[[Hub, trio.SocketStream, Hello, bytes], Awaitable[None]]
    classic_error: Callable[[str], bytes]
    """An error in the form that a classic peer of this port understands."""


async def serve_peer(hub: Hub, stream: trio.SocketStream, port: Port) -> None:
    """Serve one connection until it ends; an error of the peer is its own to read."""
    encode_error = port.classic_error
    try:
        opening = await _read_opening(stream, hub.settings.opening_deadline_s)
        if opening is None:
            return
        fields, rest = opening
        if fields.get("Kind") == Hello.kind:  # classic messages have no Kind
            encode_error = _refusal
            hello = frame_from(fields)
            assert isinstance(hello, Hello)  # noqa: S101 - its Kind says so
            check_hello(hello, port.role)
            await port.serve_session(hub, stream, hello, rest.lstrip(b"\r\n"))
        else:
            reject_rest(rest)
            await port.serve_classic(hub, stream, fields)
    except ProtocolError as exc:
        hub.protocol_error(port.role, exc, address=address_of(stream))
        await send_last(stream, encode_error(str(exc)))


def _refusal(text: str) -> bytes:
    return encode_frame(Refusal(text))


async def _read_opening(
    stream: trio.SocketStream, deadline_s: float
) -> tuple[dict[str, Any], bytes] | None:
    """Read the first message of a connection, and what came after it.

    Returns:
        None if the peer closed without a word, as port scanners and TCP probes do.

    Raises:
        ProtocolError: It is no message, or not complete within the deadline.
    """
    reader = ObjectReader()
    with trio.move_on_after(deadline_s):
        while data := bytes(await stream.receive_some(4096)):
            fields = reader.feed(data)
            if fields is not None:
                return fields, reader.rest
        reader.feed_eof()
        return None
    what = "half a message" if reader.started else "nothing"
    raise ProtocolError("incomplete", f"{what} within {deadline_s:g} s of connecting")


def address_of(stream: trio.SocketStream) -> str:
    """Return where a connection comes from."""
    try:
        name = stream.socket.getpeername()
    except OSError:  # it is gone
        return ""
    return str(Address(*name[:2])) if isinstance(name, tuple) else ""


def reject_rest(rest: bytes) -> None:
    """Refuse bytes after a classic message, which is the only one of its connection."""
    if rest.strip(b" \t\r\n"):
        raise ProtocolError("malformed", "unexpected bytes after the message")


async def send_last(stream: trio.SocketStream, message: bytes) -> None:
    """Send one last message to a peer that may be gone, and close."""
    try:
        with trio.move_on_after(1.0):
            await stream.send_all(message)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return
    await close_politely(stream)
