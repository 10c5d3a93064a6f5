"""Addresses, listeners and connections."""

from __future__ import annotations

import errno
import os
import random
import socket
from collections.abc import Iterator, Sequence

import attrs
import trio

from scalab.access.access import Access
from scalab.errors import ConfigError, UnreachableError

from .streams import Stream, TlsError, start_tls, transport_of

CONNECT_DEADLINE_S = 5.0

# A dead machine sends no FIN. Sessions have heartbeats; classic connections have only these:
# seconds of silence before the first probe, between probes, and probes until it counts as gone.
_KEEPALIVE = (
    (socket.TCP_KEEPIDLE, 5),
    (socket.TCP_KEEPINTVL, 5),
    (socket.TCP_KEEPCNT, 3),
)


class AddressError(ConfigError):
    """An address that is not of the form ``[HOST]:PORT``."""


@attrs.frozen
class Address:
    """Where to listen, or where to connect to."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, default_host: str = "localhost") -> Address:
        """Parse ``HOST:PORT``, ``[IPV6]:PORT``, ``:PORT`` or ``PORT``.

        Raises:
            AddressError: With what is wrong.
        """
        host, colon, port = text.strip().rpartition(":")
        if not port.isascii() or not port.isdigit() or int(port) > 65535:
            raise AddressError(f"'{text}' is not of the form [HOST]:PORT with a port up to 65535")
        bare = host.removeprefix("[").removesuffix("]")
        if ":" in bare and not host.startswith("["):
            raise AddressError(f"'{text}': write an IPv6 address as [{bare}]:{port}")
        if not colon:
            bare = default_host
        return cls(bare, int(port))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def __structlog__(self) -> str:
        """Return what is logged; JSON would show the fields otherwise."""
        return str(self)

    def __bool__(self) -> bool:
        return bool(self.host or self.port)


def bound_address(listeners: Sequence[trio.SocketListener]) -> Address:
    """Return where the first of ``listeners`` really listens."""
    host, port = listeners[0].socket.getsockname()[:2]
    return Address(host, port)


async def open_listeners(address: Address, what: str) -> list[trio.SocketListener]:
    """Listen on ``address``; an empty host means all interfaces.

    Args:
        address: Port 0 takes a free one.
        what: Who listens there, for the error.

    Raises:
        ConfigError: The port is in use, not allowed, or the host not ours.
    """
    try:
        return await trio.open_tcp_listeners(address.port, host=address.host or None)
    except OSError as exc:
        raise ConfigError(f"can't listen for {what} on {address}: {os_error(exc)}") from None


async def connect(address: Address, access: Access | None = None) -> Stream:
    """Connect to ``address``; an empty host means this one.

    Args:
        address: Where to.
        access: Whether with TLS, and whom to trust.

    Raises:
        UnreachableError: It can't be reached within ``CONNECT_DEADLINE_S``, or it is not whom we
            trust.
    """
    host = address.host or "localhost"
    context = access.for_connecting() if access is not None else None
    try:
        with trio.fail_after(CONNECT_DEADLINE_S):
            stream = await trio.open_tcp_stream(host, address.port)
            if context is None or access is None:
                return stream
            name = access.settings.tls_server_name or host
            return await start_tls(stream, context, "client", name)
    except OSError as exc:
        raise UnreachableError(f"can't connect to {address}: {os_error(exc)}") from None
    except TlsError as exc:
        raise UnreachableError(f"can't connect to {address} with TLS: {exc}") from None
    except trio.TooSlowError:
        text = f"can't connect to {address}: no answer within {CONNECT_DEADLINE_S:g} s"
        raise UnreachableError(text) from None


async def answers_within(address: Address, seconds: float, access: Access | None = None) -> bool:
    """Whether somebody who is awake listens on ``address``.

    The system accepts connections for a frozen process, too, but only one that runs closes a
    connection on which it was told that nothing will come, or makes a TLS handshake.
    """
    with trio.move_on_after(seconds):
        try:
            async with await connect(address, access) as stream:
                if isinstance(stream, trio.SocketStream):
                    await stream.send_eof()
                    await stream.receive_some(1)
        except (UnreachableError, trio.BrokenResourceError):
            return False
        return True
    return False


_TEXTS = {
    errno.EADDRINUSE: "port is in use",
    errno.EACCES: "permission denied (ports below 1024 need a privilege)",
}


def os_error(exc: OSError) -> str:
    """Say in a few words what the operating system refused."""
    cause = exc.__cause__
    if isinstance(cause, BaseExceptionGroup):
        # One error per address that a name stands for; they rarely differ in a helpful way.
        cause = next((e for e in cause.exceptions if isinstance(e, OSError)), None)
    if isinstance(cause, OSError):
        return os_error(cause)
    if isinstance(exc, socket.gaierror):
        return "host name not known" if exc.errno != socket.EAI_AGAIN else "name look-up failed"
    if exc.errno is None:
        return str(exc)
    return _TEXTS.get(exc.errno) or os.strerror(exc.errno).lower()


def watch_for_dead_peers(socket_like: Stream | trio.SocketListener) -> None:
    """Let the kernel notice within about 20 s that the machine of a peer is gone.

    What is accepted from a listener inherits this.
    """
    if not isinstance(socket_like, trio.SocketListener):
        socket_like = transport_of(socket_like)
    sock = socket_like.socket
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE:
        sock.setsockopt(socket.IPPROTO_TCP, option, value)


def backoff_delays(first_s: float, most_s: float) -> Iterator[float]:
    """Yield delays that double from ``first_s`` to ``most_s``, each ± 50 % at random.

    The randomness keeps peers that lost the same frontend from coming back all at once.
    """
    delay_s = first_s
    while True:
        yield delay_s * random.uniform(0.5, 1.5)  # noqa: S311 - spreads load, hides nothing
        delay_s = min(delay_s * 2, most_s)
