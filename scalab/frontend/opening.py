"""The first message of a connection: it tells classic peers and sessions apart."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import trio

from scalab.access.access import refusal
from scalab.access.tokens import Role as TokenRole
from scalab.protocol.codec import encode_frame, encode_turned_away, frame_from
from scalab.protocol.errors import ProtocolError
from scalab.protocol.framing import ObjectReader
from scalab.protocol.messages import Hello, Refusal
from scalab.protocol.session import Role, check_hello
from scalab.runtime.direct import Direct
from scalab.runtime.net import Address
from scalab.runtime.streams import (
    TLS_BEGINS,
    Stream,
    TlsError,
    close_politely,
    start_tls,
    transport_of,
)

from .hub import Hub

TOKEN_ROLES: dict[Role, TokenRole] = {"client": "client", "backend": "worker"}
"""What a token has to be good for, by port."""
MOST = 4096
"""Bytes of it read at a time."""
TURN_AWAY_AT_ONCE = 32
"""Peers that are told at a time why they are turned away."""


@attrs.frozen
class Port:
    """How one of the two ports serves its peers."""

    role: Role
    serve_classic: Callable[[Hub, Stream, dict[str, Any]], Awaitable[None]]
    serve_session: Callable[[Hub, Stream, Hello, bytes], Awaitable[None]]
    classic_error: Callable[[str], bytes]
    """An error in the form that a classic peer of this port understands."""


class NotLetInError(Exception):
    """Says to a peer why it is not let in."""


async def serve_peer(hub: Hub, transport: trio.SocketStream, port: Port) -> None:
    """Serve one connection until it ends; an error of the peer is its own to read."""
    stream = await _secure(hub, transport, port)
    if stream is None:
        return
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
            _let_in(hub, port, hello.token)
            check_hello(hello, port.role)
            await port.serve_session(hub, stream, hello, rest.lstrip(b"\r\n"))
        else:
            _let_in_classic(hub, port)
            reject_rest(rest)
            await port.serve_classic(hub, stream, fields)
    except ProtocolError as exc:
        hub.protocol_error(port.role, exc, address=address_of(stream))
        await send_last(stream, encode_error(str(exc)))
    except NotLetInError as exc:
        hub.not_let_in(port.role, str(exc), address_of(stream))
        await send_last(stream, encode_error(str(exc)))


async def _secure(hub: Hub, transport: trio.SocketStream, port: Port) -> Stream | None:
    """Return the connection to speak on, with TLS if that is asked for; None if there is none."""
    context = hub.access.for_peers()
    if context is None:
        return transport
    address = address_of(transport)
    try:
        return await start_tls(
            transport, context, "server", deadline_s=hub.settings.opening_deadline_s
        )
    except TlsError as exc:
        hub.access.failed(TOKEN_ROLES[port.role], "tls")
        hub.not_let_in(port.role, str(exc), address)
        return None


def _let_in(hub: Hub, port: Port, token: str) -> None:
    """Check a token, before anything else of the hello has an effect.

    Raises:
        NotLetInError: It is no good.
    """
    role = TOKEN_ROLES[port.role]
    problem = hub.access.refuses(token, role)
    if problem is not None:
        raise NotLetInError(refusal(problem, role))


def _let_in_classic(hub: Hub, port: Port) -> None:
    """Let a classic peer in, which can't present a token, if TLS has seen its certificate.

    Raises:
        NotLetInError: There are tokens, and no certificate is asked for.
    """
    if hub.access.needs_token and not hub.access.needs_certificate:
        hub.access.failed(TOKEN_ROLES[port.role], "missing")
        text = f"a token is needed, which a classic {port.role} can't present: see --tls-client-ca"
        raise NotLetInError(text)


def _refusal(text: str) -> bytes:
    return encode_frame(Refusal(text))


async def _read_opening(stream: Stream, deadline_s: float) -> tuple[dict[str, Any], bytes] | None:
    """Read the first message of a connection, and what came after it.

    Returns:
        None if the peer closed without a word, as port scanners and TCP probes do.

    Raises:
        ProtocolError: It is no message, or not complete within the deadline.
    """
    reader, direct = ObjectReader(), Direct(stream)
    # Most have said it by the time that they are accepted, and then there is nothing to wait for.
    data = direct.read_now(MOST)
    if data:
        fields = _feed(reader, data)
        if fields is not None:
            return fields, reader.rest
    with trio.move_on_after(deadline_s):
        while data := await direct.read(MOST):
            fields = _feed(reader, data)
            if fields is not None:
                return fields, reader.rest
        reader.feed_eof()
        return None
    what = "half a message" if reader.started else "nothing"
    raise ProtocolError("incomplete", f"{what} within {deadline_s:g} s of connecting")


def _feed(reader: ObjectReader, data: bytes) -> dict[str, Any] | None:
    if data.startswith(TLS_BEGINS):
        text = "this port speaks no TLS: connect without it, or start it with --tls-cert"
        raise ProtocolError("malformed", text)
    return reader.feed(data)


def peer_of(stream: Stream) -> Address | None:
    """Return where a connection comes from, if it is still there."""
    try:
        name = transport_of(stream).socket.getpeername()
    except OSError:  # it is gone
        return None
    return Address(*name[:2]) if isinstance(name, tuple) else None


def address_of(stream: Stream) -> str:
    """Return where a connection comes from, "" if it is gone."""
    return str(peer_of(stream) or "")


async def turn_away(hub: Hub, transport: trio.SocketStream, port: Port, why: str) -> None:
    """Tell a peer of whatever kind, which has not said that yet, why it can't stay.

    Of a flood most are told nothing: those who wait for the word to be read hold a file each.
    """
    if hub.turning_away >= TURN_AWAY_AT_ONCE:
        return
    hub.turning_away += 1
    try:
        stream = await _secure(hub, transport, port)
        if stream is not None:
            await send_last(stream, encode_turned_away(why))
    finally:
        hub.turning_away -= 1


def reject_rest(rest: bytes) -> None:
    """Refuse bytes after a classic message, which is the only one of its connection."""
    if rest.strip(b" \t\r\n"):
        raise ProtocolError("malformed", "unexpected bytes after the message")


async def send_last(stream: Stream, message: bytes) -> None:
    """Send one last message to a peer that may be gone, and close."""
    try:
        with trio.move_on_after(1.0):
            await stream.send_all(message)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return
    await close_politely(stream)
