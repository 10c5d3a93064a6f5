"""A session with the frontend, from the side of a client or a backend."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from scalab.access.tls import explain
from scalab.access.tokens import Role
from scalab.errors import ConfigError, UnreachableError
from scalab.protocol.errors import ProtocolError
from scalab.protocol.messages import Frame, Hello, Refusal, Welcome
from scalab.protocol.session import Sender, Session
from scalab.protocol.text import printable

from .peer import Peer, keep_alive
from .reconnect import Connector, unless_stopped
from .streams import Stream

WELCOME_DEADLINE_S = 5.0

_TOKEN_ROLES: dict[str, Role] = {"client": "client", "backend": "worker"}


class Link:
    """One connection that was opened with a hello.

    Args:
        stream: The connection; ``run`` closes it.
        hello: Who we are; the token is added to it.
        connector: It has made the connection; once its stop is requested, a session that has not
            come about is given up.
    """

    def __init__(self, stream: Stream, hello: Hello, connector: Connector) -> None:
        sender: Sender = "frontend to client" if hello.role == "client" else "frontend to backend"
        self.peer = Peer(stream, Session(sender))
        self.welcomed = trio.Event()
        self.ended = trio.Event()
        self._stream = stream
        self._tls = isinstance(stream, trio.SSLStream)
        self._address = connector.address
        self._stop = connector.stop
        self._heartbeat_s = 0.0
        self._refused = ""
        self._retry = False
        self._nursery: trio.Nursery | None = None
        hello.token = connector.access.own_token(_TOKEN_ROLES[hello.role])
        self.peer.send(hello)

    def start_soon(self, function: Callable[..., Awaitable[object]], *args: object) -> None:
        """Start a task that the end of the session cancels; only while ``run`` runs."""
        assert self._nursery is not None  # noqa: S101 - a defect of the caller
        self._nursery.start_soon(function, *args)

    async def run(
        self, handle: Callable[[list[Frame]], None], beside: Callable[[], Awaitable[None]]
    ) -> str:
        """Serve the session until it ends.

        Args:
            handle: Called with each batch of frames.
            beside: Runs from the welcome to the end of the session, which cancels it.

        Returns:
            Why it ended, "" if one side said bye or closed.

        Raises:
            UnreachableError: There was no welcome.
            ConfigError: The frontend refuses us, or is none.
        """

        def handle_opening(frames: list[Frame]) -> None:
            for frame in frames:
                if isinstance(frame, Welcome):
                    self._heartbeat_s = frame.heartbeat_s
                    self.welcomed.set()
                elif isinstance(frame, Refusal):
                    self._refused = printable(frame.error)
                    self._retry = frame.retry
            handle(frames)

        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._keep_alive, nursery, beside)
            async with self._stream:
                await self.peer.run(handle_opening)
            nursery.cancel_scope.cancel(reason="the session has ended")
        self.ended.set()
        return self._why()

    async def _keep_alive(
        self, nursery: trio.Nursery, beside: Callable[[], Awaitable[None]]
    ) -> None:
        with trio.move_on_after(WELCOME_DEADLINE_S):
            await unless_stopped(self._stop, self.welcomed.wait)
        if not self.welcomed.is_set():
            self.peer.abort(ProtocolError("silent", f"no welcome in {WELCOME_DEADLINE_S:g} s"))
            return
        nursery.start_soon(beside)
        await keep_alive(lambda: (self.peer,), max(self._heartbeat_s, 0.1))

    def _why(self) -> str:
        error = self.peer.error
        if self._refused:
            text = f"the frontend at {self._address} refuses: {self._refused}"
            raise UnreachableError(text) if self._retry else ConfigError(text)
        if self.welcomed.is_set():
            return str(error) if error else ""
        if error is not None and error.reason not in ("silent", "slow"):
            raise ConfigError(
                f"what listens on {self._address} speaks no scalab session ({error}); "
                f"for the classic frontend, add --classic"
            )
        closed = "it closed" if self._tls else "it closed; if it speaks TLS, give --tls or --tls-ca"
        why = error or explain(self.peer.broken, "client") or closed
        raise UnreachableError(f"no session with the frontend at {self._address}: {why}")
