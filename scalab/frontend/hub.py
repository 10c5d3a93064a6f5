"""What all connections of a frontend share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

import structlog
import trio

from scalab.protocol.errors import REASONS, ProtocolError
from scalab.protocol.messages import Drain, Message
from scalab.protocol.session import Role
from scalab.protocol.text import printable
from scalab.queueing.dispatch import Dispatcher
from scalab.queueing.item import Item
from scalab.runtime.peer import Peer

from .settings import FrontendSettings
from .troubles import Troubles

ROLES: tuple[Role, ...] = ("client", "backend")

log = structlog.get_logger()


class ClientSession(Protocol):
    """A client's session, as far as others want to know of it."""

    items: dict[str, Item]
    """Its requests that are on their way, the oldest first, by the client's names for them."""
    name: str
    """Its pod or node, if it says so."""
    address: str
    since: float


class Hub:
    """The dispatcher, the sessions, and the counts that belong to no queue."""

    def __init__(self, settings: FrontendSettings) -> None:
        self.settings = settings
        self.dispatcher = Dispatcher(
            settings.queues,
            queue_max=settings.queue_max,
            max_attempts=settings.max_attempts,
            on_client_gone=settings.on_client_gone,
        )
        self.peers: set[Peer] = set()
        self.clients: dict[ClientSession, None] = {}
        """Sessions, in the order in which they began."""
        self.troubles = Troubles()
        self.started_at = trio.current_time()
        self.connections: dict[str, int] = dict.fromkeys(ROLES, 0)
        self.connections_total: dict[str, int] = dict.fromkeys(ROLES, 0)
        self.connections_refused = 0
        self.protocol_errors: dict[str, int] = dict.fromkeys(REASONS, 0)
        self.finished = trio.Event()
        """Set when the frontend drains and no item runs any more."""
        self._changed = trio.Event()

    @contextmanager
    def connection(self, role: Role) -> Iterator[bool]:
        """Count a connection for as long as it lasts; False if there are too many."""
        if sum(self.connections.values()) >= self.settings.max_connections:
            self.connections_refused += 1
            text = f"more than {self.settings.max_connections} connections, the limit"
            self.trouble(role, "refused", text)
            yield False
            return
        self.connections[role] += 1
        self.connections_total[role] += 1
        try:
            yield True
        finally:
            self.connections[role] -= 1
            self._changed.set()

    @contextmanager
    def session(self, peer: Peer) -> Iterator[None]:
        """Keep the heartbeats of a session for as long as it lasts."""
        self.peers.add(peer)
        try:
            yield
        finally:
            self.peers.discard(peer)

    async def all_gone(self) -> None:
        """Wait until no connection is left."""
        while any(self.connections.values()):
            self._changed = trio.Event()
            await self._changed.wait()

    def drain(self) -> None:
        """Accept and hand out nothing more, and say so to everybody."""
        self.dispatcher.drain(trio.current_time())
        for peer in self.peers:
            peer.send(Drain())
        self.check_finished()

    def give_up_running(self) -> None:
        """Answer the clients of what still runs; their items end as cancelled."""
        for queue in self.dispatcher.queues.values():
            for worker in list(queue.workers):
                self.dispatcher.detach(worker, "release", trio.current_time())

    def check_finished(self) -> None:
        """Note whether the last running item has ended; called after each that ends."""
        if self.dispatcher.draining and not self.dispatcher.running:
            self.finished.set()

    def protocol_error(
        self, role: Role, exc: ProtocolError, who: str = "", address: str = ""
    ) -> None:
        """Count and log what a peer got wrong."""
        self.protocol_errors[exc.reason] += 1
        log.warning("protocol error", role=role, reason=exc.reason, error=str(exc), peer=who)
        self.trouble(role, exc.reason, str(exc), who or address)

    def trouble(self, role: Role, kind: str, text: str, who: str = "") -> None:
        """Keep for the page that something went wrong."""
        self.troubles.note(role, kind, text, trio.current_time(), who)

    def trace(self, what: str, messages: Iterable[Message]) -> None:
        """Log messages, with --verbose only."""
        for message in messages:
            log.debug(what, message=printable(repr(message), 1500))
