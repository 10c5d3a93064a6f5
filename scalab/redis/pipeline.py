"""Who waits for which reply: a connection's replies come in the order of its commands."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import attrs

from .errors import UnavailableError
from .resp import Decoder, Push, Reply


@attrs.define(eq=False)
class Batch:
    """Commands that were sent together, and whose replies are awaited together."""

    count: int
    since: float
    """When they were sent."""
    wake: Callable[[], None]
    """Called once, when all replies are there, or none will come any more."""
    replies: list[Reply] = attrs.Factory(list)
    error: UnavailableError | None = None
    """Why not all replies are there."""


class Pipeline:
    """The batches of one connection that are on their way.

    A batch whose caller has gone stays: its replies are still to come, and belong to nobody else.

    Args:
        decoder: The connection's.
    """

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._waiting: deque[Batch] = deque()
        self.unanswered = 0
        """Commands on their way."""

    @property
    def oldest(self) -> Batch | None:
        """The batch that the next reply belongs to."""
        return self._waiting[0] if self._waiting else None

    def add(self, batch: Batch) -> None:
        """Note that a batch, of at least one command, is sent."""
        self._waiting.append(batch)
        self.unanswered += batch.count

    def receive(self, data: bytes) -> list[Push]:
        """Take what came, give replies to whom they belong, and return what came unasked.

        Raises:
            UnavailableError: ``protocol``. The connection is of no more use.
        """
        pushes: list[Push] = []
        for reply in self._decoder.feed(data):
            if isinstance(reply, Push):
                pushes.append(reply)
                continue
            if not self._waiting:
                raise UnavailableError("protocol", f"a reply to no command: {str(reply)[:100]!r}")
            batch = self._waiting[0]
            batch.replies.append(reply)
            self.unanswered -= 1
            if len(batch.replies) == batch.count:
                self._waiting.popleft()
                batch.wake()
        return pushes

    def fail(self, error: UnavailableError) -> None:
        """Let everybody know that nothing more will come."""
        waiting, self._waiting = self._waiting, deque()
        self.unanswered = 0
        for batch in waiting:
            batch.error = error
            batch.wake()
