"""Connecting, securing the connection, and finding out who is there."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import trio
from trio.abc import Stream

from scalab.access.tls import client_context
from scalab.errors import ConfigError
from scalab.protocol.text import printable
from scalab.runtime.net import os_error

from .errors import UnavailableError, code_of, refused
from .resp import Decoder, Push, Reply, ReplyError, encode
from .server import Server

CONNECT_DEADLINE_S = 5.0
RECEIVE_BYTES = 65536
OLDEST = {"redis": (7, 0), "valkey": (7, 2)}
NEEDED = "Redis 7.0 or Valkey 7.2, or later"


@asynccontextmanager
async def connection(
    server: Server, name: str, channels: Sequence[str]
) -> AsyncIterator[tuple[Stream, Decoder]]:
    """Connect, introduce ourselves as ``name`` and subscribe to ``channels``.

    Closing waits for nothing: there is no last word in this protocol.

    Raises:
        UnavailableError: That can't be done, or not in ``CONNECT_DEADLINE_S``.
    """
    stream: Stream | None = None
    try:
        with _errors_of(server), trio.fail_after(CONNECT_DEADLINE_S):
            stream = await _open(server)
            decoder = await _Opening(stream, server).introduce(name, channels)
        yield stream, decoder
    finally:
        if stream is not None:
            await trio.aclose_forcefully(stream)


@contextmanager
def _errors_of(server: Server) -> Iterator[None]:
    """Say where it was that something went wrong while connecting."""
    try:
        yield
    except UnavailableError as exc:
        raise UnavailableError(exc.reason, f"{server}: {exc}") from None
    except trio.TooSlowError:
        reason, text = "connect", f"no answer within {CONNECT_DEADLINE_S:g} s"
    except trio.BrokenResourceError as exc:
        reason, text = _why_broken(exc.__cause__)
    except OSError as exc:
        reason, text = "connect", os_error(exc)
    else:
        return
    raise UnavailableError(reason, f"can't connect to {server}: {text}") from None


def _why_broken(cause: BaseException | None) -> tuple[str, str]:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return "certificate", f"its certificate is not accepted: {cause.verify_message}"
    if isinstance(cause, ssl.SSLError):
        words = printable(cause.reason or str(cause), 100).lower().replace("_", " ")
        return "connect", f"no TLS: {words}"
    return "connect", "the connection broke"


async def _open(server: Server) -> Stream:
    if server.path:
        return await trio.open_unix_socket(server.path)
    context = _tls_context(server) if server.tls else None
    stream = await trio.open_tcp_stream(server.host, server.port)
    if context is None:
        return stream
    try:
        secure = trio.SSLStream(stream, context, server_hostname=server.host)
        await secure.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return secure


def _tls_context(server: Server) -> ssl.SSLContext:
    """Return what checks the server's certificate and its name; files are read each time."""
    try:
        return client_context(server.ca, server.cert, server.key)
    except ConfigError as exc:
        raise UnavailableError("certificate", str(exc)) from None


class _Opening:
    """The first exchange on a connection."""

    def __init__(self, stream: Stream, server: Server) -> None:
        self._stream = stream
        self._server = server
        self._decoder = Decoder()
        self._replies: list[Reply] = []

    async def introduce(self, name: str, channels: Sequence[str]) -> Decoder:
        """Log in, look at who answers, and subscribe; return what goes on decoding.

        Raises:
            UnavailableError: It is the wrong server, or doesn't want us.
        """
        server = self._server
        login = ("AUTH", server.user, server.password) if server.password else ()
        hello = await self._ask("HELLO", "3", *login, "SETNAME", name)
        _check_hello(hello)
        if server.db:
            _check(await self._ask("SELECT", server.db))
        if channels:
            await self._stream.send_all(encode([("SUBSCRIBE", *channels)]))
            for _ in channels:  # each is confirmed by a push; an error comes once
                _check(await self._next())
        return self._decoder

    async def _ask(self, *command: str | int) -> Reply:
        await self._stream.send_all(encode([command]))
        while isinstance(reply := await self._next(), Push):
            pass
        return reply

    async def _next(self) -> Reply:
        while not self._replies:
            data = bytes(await self._stream.receive_some(RECEIVE_BYTES))
            if not data:
                raise UnavailableError("connect", "the server closed the connection")
            self._replies += self._decoder.feed(data)
        return self._replies.pop(0)


def _check(reply: Reply) -> None:
    if isinstance(reply, ReplyError):
        raise refused(reply)


def _check_hello(reply: Reply) -> None:
    """Refuse servers that are too old, that want no more clients, or another login."""
    if isinstance(reply, ReplyError):
        if code_of(reply) == "NOPROTO" or "unknown command" in str(reply):
            raise UnavailableError("version", f"the server is too old: {NEEDED} is needed")
        if code_of(reply) == "NOAUTH":
            raise UnavailableError("login", "the server wants a password")
        raise refused(reply)
    if not isinstance(reply, dict):
        raise UnavailableError("protocol", "the server's greeting is no greeting")
    kind, version, role = (_text(reply, name) for name in (b"server", b"version", b"role"))
    parts = version.split(".")
    numbers = tuple(int(part) for part in parts[:2] if part.isascii() and part.isdigit())
    if numbers < OLDEST.get(kind, OLDEST["redis"]):
        text = f"the server is {printable(kind, 20)} {printable(version, 20)}"
        raise UnavailableError("version", f"{text}: {NEEDED} is needed")
    if role != "master":
        raise UnavailableError("readonly", f"the server is a {printable(role, 20)}, no primary")


def _text(hello: dict[object, object], name: bytes) -> str:
    value = hello.get(name)
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""
