"""What the frontend says of its queues, which is what a validation goes by."""

from __future__ import annotations

import json
from typing import Any

import attrs

from scalab.access.access import Access
from scalab.errors import UnreachableError
from scalab.protocol.text import printable
from scalab.runtime.fetch import HttpPeer
from scalab.runtime.net import Address


@attrs.frozen(kw_only=True)
class QueueState:
    """A queue at one moment, as ``/api/queues`` tells it."""

    waiting: int
    running: int
    slots: int
    """Slots of connected backends that take items, busy ones included."""
    leaving: int
    """Slots of backends that finish and take no more."""
    oldest_s: float
    """For how long the oldest item in the queue has been waiting."""
    completed: dict[str, int]
    """Items that ended, by outcome."""
    redelivered: int
    """Items that went back into the queue because their backend was lost or gave them back."""


class FrontendWatch:
    """Asks a frontend's HTTP port about a queue.

    Args:
        http: Where it listens for HTTP.
        queue: Which queue.
        access: Our token, and whether with TLS.
    """

    def __init__(self, http: Address, queue: str, access: Access | None = None) -> None:
        self._frontend = HttpPeer(http, "the frontend", access)
        self._http = http
        self._queue = queue

    async def state(self) -> QueueState:
        """Return how the queue is.

        Raises:
            UnreachableError: There is no frontend, or it hasn't the queue.
        """
        text = await self._frontend.get("/api/queues")
        try:
            queue = json.loads(text)["queues"].get(self._queue)
        except (ValueError, KeyError) as exc:
            raise UnreachableError(f"{self._frontend.url} is no frontend: {exc!r}") from None
        if queue is None:
            name = printable(self._queue, 80)
            raise UnreachableError(f"the frontend at {self._http} has no queue '{name}'")
        return _state(queue)


def _state(queue: dict[str, Any]) -> QueueState:
    slots = queue["slots"]
    return QueueState(
        waiting=queue["waiting"],
        running=queue["running"],
        slots=slots["idle"] + slots["busy"],
        leaving=slots["draining"],
        oldest_s=queue["oldest_wait_s"],
        completed=dict(queue["completed"]),
        redelivered=sum(queue["redelivered"].values()),
    )
