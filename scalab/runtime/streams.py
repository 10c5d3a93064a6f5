"""Connections with and without TLS.

Trio's ``SSLStream`` does the work. What is added here is a deadline for the handshake, the alert
that tells the other side what is wrong with it, and words for the log.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import Any, Final, cast

import trio

from scalab.access.tls import Side, explain

Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]
"""A connection to a peer."""

HANDSHAKE_S: Final = 5.0
LINGER_S: Final = 1.0
"""Time that a peer has to read our last words before its connection is closed."""
TLS_BEGINS: Final = b"\x16\x03"
"""The first bytes of whoever speaks TLS."""


class TlsError(Exception):
    """There is no TLS connection; the text says why, in a few words."""


def transport_of(stream: Stream) -> trio.SocketStream:
    """Return what is below TLS, or the connection itself."""
    return stream.transport_stream if isinstance(stream, trio.SSLStream) else stream


def certified(stream: trio.abc.Stream) -> bool:
    """Whether the other side has shown a certificate; TLS has checked it by then."""
    return isinstance(stream, trio.SSLStream) and bool(stream.getpeercert(binary_form=True))


async def start_tls(
    transport: trio.SocketStream,
    context: ssl.SSLContext,
    side: Side,
    name: str = "",
    *,
    deadline_s: float = HANDSHAKE_S,
) -> trio.SSLStream[trio.SocketStream]:
    """Return a connection on which the handshake is done.

    Args:
        transport: Closed if this fails.
        context: What to do it with.
        side: Which one we are.
        name: That the server has to prove.
        deadline_s: How long it may take.

    Raises:
        TlsError: It failed; the other side was told so by an alert, if it was to blame.
    """
    tap = _Tap(context)
    # As for HTTPS, an end without a farewell is an end: all our messages tell their own.
    stream = trio.SSLStream(
        transport,
        cast("ssl.SSLContext", tap),
        server_side=side == "server",
        server_hostname=name or None,
        https_compatible=True,
    )
    why = f"no TLS handshake within {deadline_s:g} s"
    try:
        with trio.move_on_after(deadline_s):
            await stream.do_handshake()
            return stream
    except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
        why = explain(exc, side) or "it closed in the middle of the handshake"
    except BaseException:
        await trio.aclose_forcefully(transport)
        raise
    await _close_after(transport, tap.outgoing.read())
    raise TlsError(why)


class _Tap:
    """Stands for a context, and keeps hold of what TLS wants to send.

    Trio drops the alert that a failed handshake leaves there.
    """

    outgoing: ssl.MemoryBIO

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context

    def wrap_bio(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, **options: Any
    ) -> ssl.SSLObject:
        self.outgoing = outgoing
        return self._context.wrap_bio(incoming, outgoing, **options)


async def _close_after(transport: trio.SocketStream, alert: bytes) -> None:
    try:
        with trio.move_on_after(LINGER_S):
            await transport.send_all(alert)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
    await close_politely(transport)


async def close_politely(stream: Stream, linger_s: float = LINGER_S) -> None:
    """Close after a last message, so that the peer can read it.

    Closing with bytes unread makes the kernel reset the connection, and a reset overtakes what
    was sent. So say that we are done, and read what the peer still sends, a little and for a
    short time.
    """
    transport = transport_of(stream)
    async with transport:
        with trio.move_on_after(linger_s):
            try:
                if isinstance(stream, trio.SSLStream):
                    with suppress(trio.BrokenResourceError, trio.BusyResourceError):
                        await stream.unwrap()
                await transport.send_eof()
                for _ in range(16):
                    if not await transport.receive_some(65536):
                        break
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
