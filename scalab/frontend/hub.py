"""What all connections of a frontend share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

import structlog
import trio

from scalab.access.access import Access
from scalab.protocol.errors import REASONS, ProtocolError
from scalab.protocol.messages import Drain, Message
from scalab.protocol.session import Role
from scalab.protocol.text import printable
from scalab.queueing.dispatch import Dispatcher
from scalab.queueing.dispatching import Dispatching
from scalab.queueing.item import Item
from scalab.runtime.net import Address
from scalab.runtime.peer import Batch, Peer

from .admission import Admission
from .settings import FrontendSettings
from .sharing import share
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

    def close(self) -> None:
        """Say goodbye."""


class Hub:
    """The dispatcher, the sessions, and the counts that belong to no queue."""

    def __init__(self, settings: FrontendSettings) -> None:
        self.settings = settings
        self.batch = Batch()
        self.access = Access(settings.access, clock=trio.current_time)
        self.engine = share(settings, self.check_finished)
        self.dispatcher: Dispatching
        if self.engine is not None:
            self.dispatcher = self.engine.dispatcher
        else:
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
        self.admission = Admission(settings.max_connections, settings.connections_per_address)
        self.turning_away = 0
        """Peers that are being told why they can't stay."""
        self.protocol_errors: dict[str, int] = dict.fromkeys(REASONS, 0)
        self.finished = trio.Event()
        """Set when the frontend drains and no item runs any more."""
        self._changed = trio.Event()

    @contextmanager
    def connection(self, role: Role, address: Address | None) -> Iterator[str]:
        """Count a connection for as long as it lasts; yield why it may not stay, "" if it may."""
        host = address.host if address else ""
        why = self.admission.enter(host)
        if why:
            log.warning("connection refused", role=role, why=why, peer=address)
            self.trouble(role, "refused", why, host)
            yield why
            return
        self.connections[role] += 1
        self.connections_total[role] += 1
        try:
            yield ""
        finally:
            self.connections[role] -= 1
            self.admission.leave(host)
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
        if self.engine is not None:  # there are others for clients to go to
            for client in self.clients:
                if not client.items:
                    client.close()
        self.check_finished()

    def give_up_running(self) -> None:
        """Answer the clients of what still runs; their items end as cancelled."""
        self.dispatcher.give_up(trio.current_time())

    def check_finished(self) -> None:
        """Note whether the last running item has ended; called after each that ends."""
        if self.dispatcher.draining and not self.dispatcher.running:
            self.finished.set()

    def protocol_error(
        self, role: Role, exc: ProtocolError, who: str = "", address: str = ""
    ) -> None:
        """Count and log what a peer got wrong."""
        self.protocol_errors[exc.reason] += 1
        who = who or address
        log.warning("protocol error", role=role, reason=exc.reason, error=str(exc), peer=who)
        self.trouble(role, exc.reason, str(exc), who)

    def not_let_in(self, role: Role, why: str, address: str) -> None:
        """Log that a peer was refused for its token or certificate."""
        log.warning("peer is not let in", role=role, reason=why, peer=address)
        self.trouble(role, "access", why, address)

    def trouble(self, role: Role, kind: str, text: str, who: str = "") -> None:
        """Keep for the page that something went wrong."""
        self.troubles.note(role, kind, text, trio.current_time(), who)

    def trace(self, what: str, messages: Iterable[Message]) -> None:
        """Log messages, with --verbose only."""
        for message in messages:
            log.debug(what, message=printable(repr(message), 1500))
