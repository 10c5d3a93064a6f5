"""A small HTTP/1.1 server: h11 over Trio streams, for status pages, metrics and control.

It is meant to stay reachable whatever comes in. Each phase of a connection has a deadline: the
first byte of a request (``idle_s``), the rest of its head (``head_s``), the handler and every
write. When there are too many connections, the one that has waited longest for a complete request
gives way to a new one, so that silent or dripping peers lock nobody out; only if all are really
being answered is a new one turned away with 503.

Requests with a body don't exist here, which leaves one head as the most that is ever buffered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from email.utils import formatdate

import attrs
import h11
import structlog
import trio

from scalab.protocol.text import printable

from .accept import accept_connections
from .guard import Guard
from .hosts import Hosts
from .routing import TEXT, HttpError, Request, Response, Router, Stream
from .streams import TLS_BEGINS, close_politely

METHODS = ("GET", "HEAD")
LINGER_S = 0.5
"""Time that a peer has to read our last words before its connection is closed."""
PIECE = 1 << 18
"""Bytes that are written in one go: to encrypt megabytes would hold up everybody else."""

# Nothing here is for other sites, for caches, or for a browser to guess the type of.
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@attrs.frozen(kw_only=True)
class HttpLimits:
    """What a peer may take of us."""

    head: int = 4096
    """Bytes of a request's head."""
    head_s: float = 5.0
    """From the first byte of a head to its end."""
    idle_s: float = 60.0
    """Until the first byte of a request, after connecting and between requests."""
    handler_s: float = 10.0
    """For a handler to return its response."""
    write_s: float = 10.0
    """For the peer to take what is written: a response, or a piece of a streamed one."""
    connections: int = 64
    """Served at a time."""


class HttpServer:
    """Serves a router's paths on any number of connections.

    Args:
        router: Answers the requests.
        limits: On sizes, times and connections.
        hosts: Under which names browsers may ask.
        guard: Who may ask for what.
        idle: Entered around every wait that may last for ever: for the next request, and for a
            streamed response. What it cancels ends that connection in good order, so a draining
            service gets rid of those that merely idle.
        log: A structlog logger.

    Attributes:
        responses: How often each status was sent.
        connections: Open now.
        connections_total: Accepted so far.
        broken: Connections that were lost, or whose peer was too slow to read.
        evicted: Connections that waited for a request and gave way to new ones.
    """

    def __init__(
        self,
        router: Router,
        *,
        limits: HttpLimits | None = None,
        hosts: Hosts | None = None,
        guard: Guard | None = None,
        idle: Callable[[], AbstractContextManager[object]] = nullcontext,
        log: structlog.typing.FilteringBoundLogger | None = None,
    ) -> None:
        self.limits = limits or HttpLimits()
        self.hosts = hosts or Hosts()
        self.guard = guard or Guard()
        self.idle = idle
        self.log: structlog.typing.FilteringBoundLogger = log or structlog.get_logger()
        self.responses: Counter[int] = Counter()
        self.connections = 0
        self.connections_total = 0
        self.broken = 0
        self.evicted = 0
        self._router = router
        self._waiting: dict[trio.CancelScope, None] = {}  # in the order in which they began

    async def serve(
        self,
        listeners: Sequence[trio.SocketListener],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Accept and serve connections until cancelled; closes ``listeners``."""
        async with trio.open_nursery() as nursery:
            for listener in listeners:
                nursery.start_soon(accept_connections, listener, self.handle, nursery)
            task_status.started()

    async def handle(self, stream: trio.abc.Stream) -> None:
        """Serve one connection until either side ends it, and close it.

        Nothing that goes wrong with a connection is raised: one peer, or a defect that it
        reveals, must not end the service.
        """
        self.connections += 1
        self.connections_total += 1
        try:
            # Those turned away need a moment too, to read why; there must not be many of them.
            if self.connections <= 2 * self.limits.connections:
                await self._serve(stream, admitted=self._admit())
        except* (trio.BrokenResourceError, trio.ClosedResourceError) as lost:
            self.broken += 1
            self.log.debug("HTTP connection lost", error=repr(lost.exceptions[0]))
        except* Exception:
            self.log.exception("defect while serving an HTTP connection")
        finally:
            self.connections -= 1
            await trio.aclose_forcefully(stream)

    async def _serve(self, stream: trio.abc.Stream, *, admitted: bool) -> None:
        secured: trio.abc.Stream | None = stream
        if self.guard.speaks_tls:
            secured = None  # it may give way to a new connection
            with self.waiting():
                secured = await self.guard.secure(stream, _peer_name(stream))
        if secured is not None:
            await _Connection(self, secured).run(admitted=admitted)

    def _admit(self) -> bool:
        """Return whether one more connection can be served, perhaps in place of a waiting one."""
        if self.connections <= self.limits.connections:
            return True
        longest = next(iter(self._waiting), None)
        if longest is None:
            return False
        del self._waiting[longest]
        longest.cancel(reason="gives way to a new connection")
        self.evicted += 1
        return True

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Mark a connection as one that waits for a request, and may be cancelled for that."""
        with self.idle(), trio.CancelScope() as scope:
            self._waiting[scope] = None
            try:
                yield
            finally:
                self._waiting.pop(scope, None)

    async def answer(self, request: Request) -> Response:
        """Return the router's response, or 500 if it fails to give one."""
        try:
            with trio.fail_after(self.limits.handler_s):
                return await self._router.handle(request)
        except Exception:
            self.log.exception("defect in an HTTP handler", path=printable(request.path, 100))
            return Response.text("internal error; the log tells more", 500)


class _Connection:
    """One connection and its requests, one after the other."""

    def __init__(self, server: HttpServer, stream: trio.abc.Stream) -> None:
        self._server = server
        self._stream = stream
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=server.limits.head)
        self._buffered = 0
        """Bytes received that belong to no complete head yet."""
        self._head: h11.Request | None = None
        """Of the request that is being answered."""

    async def run(self, *, admitted: bool) -> None:
        again = admitted
        while True:
            try:
                if not admitted:
                    raise HttpError(503, "too many connections", Retry_After="1")
                request = await self._read_request()
                if request is None:
                    return
                response = await self._server.answer(request)
            except HttpError as refusal:
                # What follows on the connection can't be told apart from what was refused.
                response, again = refusal.response(), False
            self._record(response, refused=not again)
            await self._send(response, again=again)
            if self._h11.our_state is not h11.DONE or self._h11.their_state is not h11.DONE:
                break
            self._h11.start_next_cycle()
            self._head = None
        if isinstance(self._stream, trio.SocketStream | trio.SSLStream):
            await close_politely(self._stream, LINGER_S)

    # --- receiving ---------------------------------------------------------------------------

    async def _read_request(self) -> Request | None:
        """Return the next request; None if none comes, or none is to be waited for.

        Raises:
            HttpError: It must be refused.
        """
        event, limits = None, self._server.limits
        with self._server.waiting():
            with trio.move_on_after(limits.head_s if self._buffered else limits.idle_s) as deadline:
                event = await self._next_event(deadline)
            if deadline.cancelled_caught and self._buffered:
                raise HttpError(408, f"no complete request head within {limits.head_s:g} s")
        return self._accept(event) if isinstance(event, h11.Request) else None

    async def _next_event(self, deadline: trio.CancelScope) -> object:
        limits = self._server.limits
        try:
            while (event := self._h11.next_event()) is h11.NEED_DATA:
                data = bytes(await self._stream.receive_some(limits.head))
                if not self._buffered:
                    if data.startswith(TLS_BEGINS):
                        raise HttpError(400, "this port speaks no TLS: ask with http://")
                    deadline.deadline = trio.current_time() + limits.head_s
                self._buffered += len(data)
                self._h11.receive_data(data)
        except h11.RemoteProtocolError as exc:
            if exc.error_status_hint == 431:
                raise self._head_too_long() from None
            text = printable(f"malformed request: {exc}", 200)
            raise HttpError(exc.error_status_hint, text) from None
        return event

    def _accept(self, head: h11.Request) -> Request:
        """Return the request that begins with ``head``, unless it must be refused."""
        self._head = head
        rest = len(self._h11.trailing_data[0])
        size, self._buffered = self._buffered - rest, rest
        if size > self._server.limits.head:
            raise self._head_too_long()
        if head.http_version not in (b"1.0", b"1.1"):
            raise HttpError(505, "only HTTP/1.0 and HTTP/1.1 are spoken here")
        method = head.method.decode("ascii")
        if method not in METHODS:
            raise HttpError(405, f"only {' and '.join(METHODS)}", Allow=", ".join(METHODS))
        if _has_body(head):
            raise HttpError(413, "a request must not have a body")
        self._h11.next_event()  # the end of the message, which comes with its head
        headers = ((name.decode("latin-1"), v.decode("latin-1")) for name, v in head.headers)
        request = Request.parse(method, head.target.decode("ascii"), headers)
        self._server.hosts.check(request)
        self._server.guard.check(request, self._stream)
        return request

    def _head_too_long(self) -> HttpError:
        return HttpError(431, f"a request's head may have {self._server.limits.head} bytes")

    # --- sending -----------------------------------------------------------------------------

    def _record(self, response: Response, *, refused: bool) -> None:
        self._server.responses[response.status] += 1
        line = self._head.method + b" " + self._head.target if self._head else b"-"
        request = printable(line.decode("latin-1"), 100)
        if refused or 400 <= response.status < 500:
            body = response.body
            reason = body if response.content_type == TEXT and isinstance(body, bytes) else b""
            self._server.log.warning(
                "HTTP request refused",
                status=response.status,
                reason=printable(reason.decode(errors="replace").strip(), 200),
                request=request,
                peer=_peer_name(self._stream),
            )
        else:
            self._server.log.debug("HTTP request", status=response.status, request=request)

    async def _send(self, response: Response, *, again: bool) -> None:
        body = response.body
        headers = {
            "Date": formatdate(usegmt=True),
            "Content-Type": response.content_type,
            **_HEADERS,
            **dict(response.headers),
        }
        if isinstance(body, bytes):
            headers["Content-Length"] = str(len(body))
        if not (again and isinstance(body, bytes)):
            headers["Connection"] = "close"
        start = h11.Response(status_code=response.status, headers=list(headers.items()))
        data = self._h11.send(start)
        if self._head is None or self._head.method != b"HEAD":
            if not isinstance(body, bytes):
                await self._write(data)
                await self._send_stream(body)
                return
            if len(body) > PIECE:  # it isn't worth a copy to have them leave as one
                await self._write(data)
                data = b""
            data += self._h11.send(h11.Data(data=body))
        await self._write(data + self._h11.send(h11.EndOfMessage()))

    async def _send_stream(self, produce: Stream) -> None:
        async def send(piece: bytes) -> None:
            await self._write(self._h11.send(h11.Data(data=piece)))

        with self._server.idle():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._wait_until_gone, nursery.cancel_scope)
                await produce(send)
                nursery.cancel_scope.cancel(reason="all is sent")
        if self._h11.our_state is h11.SEND_BODY:  # no write was cut short
            await self._write(self._h11.send(h11.EndOfMessage()))

    async def _wait_until_gone(self, scope: trio.CancelScope) -> None:
        """Cancel ``scope`` once the peer leaves; a stream may have nothing to write for long."""
        # The connection serves no further request, so whatever comes has no meaning.
        while await self._stream.receive_some(self._server.limits.head):
            pass
        scope.cancel(reason="the peer has left")

    async def _write(self, data: bytes) -> None:
        """Send ``data``.

        Raises:
            BrokenResourceError: The peer is gone, or doesn't take it in time.
        """
        sent = False
        try:
            with trio.move_on_after(self._server.limits.write_s):
                for start in range(0, len(data), PIECE):
                    await self._stream.send_all(data[start : start + PIECE])
                sent = True
        finally:
            if not sent:
                self._h11.send_failed()
        if not sent:
            raise trio.BrokenResourceError("the peer reads too slowly")


def _has_body(head: h11.Request) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in head.headers
    )


def _peer_name(stream: trio.abc.Stream) -> str:
    """Return the address of the other side, for the log."""
    stream = getattr(stream, "transport_stream", stream)  # below TLS
    try:
        return str(stream.socket.getpeername()[0]) if isinstance(stream, trio.SocketStream) else "-"
    except OSError:
        return "gone"
