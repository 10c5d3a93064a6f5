"""One accepted request on its way through a queue."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Protocol

import attrs

if TYPE_CHECKING:
    from scalab.protocol.messages import Reply

    from .queue import Queue
    from .worker import Worker


class State(Enum):
    """Where an item is; DONE is final."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"


class ClientPort(Protocol):
    """Whoever waits for an item's reply.

    Called by the dispatcher while it decides: it may only note or encode what it is told, never
    wait, and never call the dispatcher.
    """

    def answer(self, item: Item, reply: Reply) -> None:
        """Take the one reply to ``item``."""


@attrs.define(eq=False)
class Item:
    """An accepted request. All times are in seconds of the dispatcher's caller's clock."""

    seq: int
    """Place in line: an item with a lower number is handed out first."""
    queue: Queue
    client: ClientPort | None
    """None once the client has left."""
    id: str
    """The client's own name for it, "" for classic clients."""
    args: list[str]
    limit_s: float
    accepted_at: float
    state: State = State.WAITING
    since: float = 0.0
    """When it began to wait, or was handed over: its present state."""
    waited_s: float = 0.0
    """Time in the queue, summed over redeliveries."""
    attempts: int = 0
    """Hand-overs that ended in a crash of the backend, plus the present one."""
    worker: Worker | None = None
    token: str = ""
    """Names the present hand-over."""
    withdrawn: bool = False
    """The client doesn't want it any more, and the backend has been told so."""
