"""One named queue: what waits, who works, what was counted."""

from __future__ import annotations

from collections import OrderedDict

import attrs

from .counters import Counters
from .waiting import WaitingLine
from .worker import Worker


@attrs.frozen
class Shared:
    """A queue over all the frontends that share it, as it was a moment ago."""

    waiting: int
    running: int
    oldest_s: float
    """How long the head of the line has waited."""
    frontends: int
    slots: dict[str, int] = attrs.Factory(dict)
    """Of all their backends, by what they do."""
    accepted: int = 0
    """This and what follows: counted by those frontends that are alive."""
    completed: dict[str, int] = attrs.Factory(dict)
    rejected: dict[str, int] = attrs.Factory(dict)
    redelivered: dict[str, int] = attrs.Factory(dict)


@attrs.define(eq=False)
class Queue:
    """The state of a queue; only the dispatcher changes it."""

    name: str
    limit: int = 0
    """Most items that may wait; 0 = unlimited."""
    waiting: WaitingLine = attrs.Factory(WaitingLine)
    running: int = 0
    workers: set[Worker] = attrs.Factory(set)
    idle: OrderedDict[Worker, None] = attrs.Factory(OrderedDict)
    """Workers with a free slot; whoever came, or was handed an item, last stands at the end."""
    counters: Counters = attrs.Factory(Counters)
    shared: Shared | None = None
    """If other frontends have this queue, too; all else here is ours alone."""

    def slots(self) -> dict[str, int]:
        """Count the backends' slots by what they do."""
        count = {"idle": 0, "busy": 0, "draining": 0}
        for worker in self.workers:
            busy = len(worker.running)
            count["draining" if worker.draining else "busy"] += busy
            if not worker.draining:
                count["idle"] += worker.slots - busy
        return count
