"""What there is to show of queues, backends, clients and troubles: copies that don't change.

Pure: all times are differences to ``now``, of the event loop's clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice

import attrs

from scalab.queueing.item import Item
from scalab.queueing.queue import Queue
from scalab.queueing.worker import Worker

from .hub import ClientSession
from .troubles import Trouble

MAX_ITEMS = 16
"""Running items copied of a backend: those that run longest."""


@attrs.frozen
class RunningItem:
    """An item that a backend has."""

    number: int
    """Its place among all that the frontend has accepted."""
    running_s: float
    attempt: int
    limit_s: float
    """Its own limit; 0 = none."""
    withdrawn: bool
    """It is to end, as its client doesn't want it any more."""

    @classmethod
    def of(cls, item: Item, now: float) -> RunningItem:
        """Copy an item."""
        return cls(item.seq, now - item.since, item.attempts, item.limit_s, item.withdrawn)


@attrs.frozen(kw_only=True)
class Backend:
    """A connected backend."""

    queue: str
    node: str
    pod: str
    address: str
    classic: bool
    state: str
    """``draining``, ``busy``, ``idle``, or ``resting`` while it has found the queue empty."""
    slots: int
    running: int
    connected_s: float
    finished: int
    """Items it has replied to."""
    failed: int
    """Those of them that failed or ran into their limit."""
    devices: Mapping[str, int]
    """Items it has replied to, by the device that the reply names."""
    items: list[RunningItem]

    @classmethod
    def of(cls, worker: Worker, now: float) -> Backend:
        """Copy a backend."""
        running = worker.running
        return cls(
            queue=worker.queue.name,
            node=worker.node,
            pod=worker.pod,
            address=worker.address,
            classic=worker.once,
            state=_state(worker),
            slots=worker.slots,
            running=len(running),
            connected_s=now - worker.since,
            finished=sum(worker.finished.values()),
            failed=worker.failed,
            devices=dict(worker.finished),
            # By the time of the hand-over, as dictionaries keep the order.
            items=[RunningItem.of(item, now) for item in islice(running.values(), MAX_ITEMS)],
        )


def _state(worker: Worker) -> str:
    if worker.draining:
        return "draining"
    if worker.running:
        return "busy"
    return "resting" if worker.resting else "idle"


@attrs.define
class Group:
    """Backends that have something in common, counted."""

    backends: int = 0
    slots: int = 0
    """Without the free ones of backends that drain."""
    running: int = 0
    finished: int = 0
    failed: int = 0

    def add(self, worker: Worker) -> None:
        """Count a backend in."""
        running = len(worker.running)
        self.backends += 1
        self.slots += running if worker.draining else worker.slots
        self.running += running
        self.finished += sum(worker.finished.values())
        self.failed += worker.failed

    @classmethod
    def sum(cls, groups: Iterable[Group]) -> Group:
        """Add groups up."""
        total = cls()
        for group in groups:
            total.backends += group.backends
            total.slots += group.slots
            total.running += group.running
            total.finished += group.finished
            total.failed += group.failed
        return total


@attrs.frozen(kw_only=True)
class Client:
    """A client's session."""

    name: str
    address: str
    connected_s: float
    outstanding: int
    queue: str
    """Where its oldest request is, and what is known of that; "" if nothing is outstanding."""
    oldest_s: float
    oldest_state: str

    @classmethod
    def of(cls, client: ClientSession, now: float) -> Client:
        """Copy a client."""
        oldest = next(iter(client.items.values()), None)
        return cls(
            name=client.name,
            address=client.address,
            connected_s=now - client.since,
            outstanding=len(client.items),
            queue=oldest.queue.name if oldest else "",
            oldest_s=now - oldest.accepted_at if oldest else 0.0,
            oldest_state=oldest.state.value if oldest else "",
        )


@attrs.frozen(kw_only=True)
class QueueSeen:
    """A queue and what it has counted."""

    name: str
    waiting: int
    running: int
    """Like what waits, over all frontends that share the queue."""
    limit: int
    """Most items that may wait; 0 = unlimited."""
    oldest_wait_s: float
    frontends: int | None
    """How many share it; None = it is ours alone."""
    accepted: int
    completed: Mapping[str, int]
    rejected: Mapping[str, int]
    redelivered: Mapping[str, int]

    @classmethod
    def of(cls, queue: Queue, now: float) -> QueueSeen:
        """Copy a queue."""
        head, counters, shared = queue.waiting.head(), queue.counters, queue.shared
        oldest_wait_s = now - head.accepted_at if head else 0.0
        return cls(
            name=queue.name,
            waiting=len(queue.waiting) + (shared.waiting if shared else 0),
            running=shared.running if shared else queue.running,
            limit=queue.limit,
            oldest_wait_s=max(oldest_wait_s, shared.oldest_s) if shared else oldest_wait_s,
            frontends=shared.frontends if shared else None,
            accepted=counters.accepted,
            completed=dict(counters.completed),
            rejected=dict(counters.rejected),
            redelivered=dict(counters.redelivered),
        )


@attrs.frozen(kw_only=True)
class TroubleSeen:
    """Something that went wrong, and how long ago."""

    role: str
    kind: str
    text: str
    who: str
    count: int
    first_s: float
    last_s: float

    @classmethod
    def of(cls, trouble: Trouble, now: float) -> TroubleSeen:
        """Copy a trouble."""
        return cls(
            role=trouble.role,
            kind=trouble.kind,
            text=trouble.text,
            who=trouble.who,
            count=trouble.count,
            first_s=now - trouble.first_at,
            last_s=now - trouble.last_at,
        )
