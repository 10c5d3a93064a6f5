"""What the page and the JSON show, copied from the dispatcher.

Queues are copied in one step, so their accounts are right. Backends are counted in slices, between
which everybody else has a turn: thousands of them hold up nobody for longer than a slice does. (A
thread would hold up everybody for the interpreter's switch interval, 5 ms, again and again.) Only
those that are shown are copied: thousands of copies would make the garbage collector look through
everything there is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from heapq import nlargest
from itertools import islice
from operator import attrgetter
from typing import NamedTuple, TypeVar

import attrs
import trio

import scalab
from scalab.queueing.item import Item
from scalab.queueing.queue import Queue
from scalab.queueing.worker import Worker
from scalab.runtime.lag import LagMonitor

from .history import History, Sample
from .hub import ClientSession, Hub

SLICE = 200
"""Backends counted, or backends and clients copied, in one go: less than half a millisecond."""
MAX_RUNNING = 16
"""Running items shown of a backend: those that run longest."""
MAX_LONGEST = 5
"""Items shown that run longest of all."""

_A = TypeVar("_A")


@attrs.define
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


@attrs.define
class Backend:
    """A connected backend."""

    queue: str
    node: str
    pod: str
    address: str
    classic: bool
    state: str
    """``draining``, ``busy``, ``idle``, or ``resting`` if it found the queue empty and left."""
    slots: int
    running: int
    connected_s: float
    finished: int
    devices: Mapping[str, int]
    """Items it has replied to, and by which device."""
    failed: int
    items: list[RunningItem]


class Place(NamedTuple):
    """Where backends belong to."""

    queue: str
    node: str


@attrs.define
class Group:
    """Backends that have something in common."""

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

    def merge(self, other: Group) -> None:
        """Count all those of another group in."""
        self.backends += other.backends
        self.slots += other.slots
        self.running += other.running
        self.finished += other.finished
        self.failed += other.failed


@attrs.define
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


@attrs.define
class QueueState:
    """A queue and what it has counted."""

    name: str
    waiting: int
    running: int
    limit: int
    oldest_wait_s: float
    accepted: int
    completed: Mapping[str, int]
    rejected: Mapping[str, int]
    redelivered: Mapping[str, int]
    place: int
    """In the samples."""


@attrs.frozen
class TroubleSeen:
    """Something that went wrong, seen from now."""

    role: str
    kind: str
    text: str
    who: str
    count: int
    first_s: float
    last_s: float
    """How long ago it came up first and last."""


@attrs.frozen(kw_only=True)
class Snapshot:
    """The frontend at a moment."""

    uptime_s: float
    draining: bool
    queues: list[QueueState]
    samples: list[Sample]
    workers: list[Worker]
    """All backends by node, pod and address; what else they are may change meanwhile."""
    places: Mapping[Place, Group]
    longest: list[tuple[RunningItem, Backend]]
    """Those of all items that run longest, the longest first."""
    clients: list[Client]
    """The first of them."""
    sessions: int
    """How many there are."""
    classic_clients: int
    """Connections to the client port without a session: one request each, or none yet."""
    unknown_queue: int
    connections_refused: int
    protocol_errors: int
    troubles: list[TroubleSeen]
    lag_mean_s: float
    lag_max_s: float
    version: str = scalab.__version__


async def take_snapshot(hub: Hub, history: History, lag: LagMonitor) -> Snapshot:
    """Copy what there is to show of a frontend."""
    workers = [w for queue in hub.dispatcher.queues.values() for w in queue.workers]
    places, longest = await _count(workers)
    await trio.to_thread.run_sync(partial(workers.sort, key=attrgetter("node", "pod", "address")))
    now, timers = trio.current_time(), sum(lag.counts)
    return Snapshot(
        uptime_s=now - hub.started_at,
        draining=hub.dispatcher.draining,
        queues=[_queue(q, i, now) for i, q in enumerate(hub.dispatcher.queues.values())],
        samples=history.samples(),
        workers=workers,
        places=places,
        longest=longest,
        clients=[copy_client(client, now) for client in islice(hub.clients, MAX_CLIENTS)],
        sessions=len(hub.clients),
        classic_clients=max(hub.connections["client"] - len(hub.clients), 0),
        unknown_queue=hub.dispatcher.unknown_queue,
        connections_refused=hub.connections_refused,
        protocol_errors=sum(hub.protocol_errors.values()),
        troubles=list(_troubles(hub, now)),
        lag_mean_s=lag.sum_s / timers if timers else 0.0,
        lag_max_s=lag.max_s,
    )


async def slices(things: Iterable[_A]) -> AsyncIterator[tuple[list[_A], float]]:
    """Yield things in slices, each with the time, and let the event loop go on in between."""
    rest = iter(list(things))
    while part := list(islice(rest, SLICE)):
        yield part, trio.current_time()
        await trio.lowlevel.checkpoint()


async def _count(
    workers: Sequence[Worker],
) -> tuple[dict[Place, Group], list[tuple[RunningItem, Backend]]]:
    """Count backends by their places, and find what runs longest."""
    places: dict[Place, Group] = {}
    longest: list[tuple[float, int, Item, Worker]] = []
    rest = iter(workers)
    while part := list(islice(rest, SLICE)):
        for worker in part:
            place = Place(worker.queue.name, worker.node)
            group = places.get(place)
            if group is None:
                group = places[place] = Group()
            group.add(worker)
            _note_longest(longest, worker)
        await trio.lowlevel.checkpoint()
    now = trio.current_time()
    still = [(i, w) for _, _, i, w in sorted(longest, reverse=True) if i.token in w.running]
    return places, [(_running(item, now), copy_backend(worker, now)) for item, worker in still]


def _note_longest(longest: list[tuple[float, int, Item, Worker]], worker: Worker) -> None:
    """Keep in a heap, whose first is the one that runs least, what runs longest."""
    for item in worker.running.values():  # by the time of their hand-over
        if len(longest) < MAX_LONGEST:
            heappush(longest, (-item.since, -item.seq, item, worker))
        elif -item.since > longest[0][0]:
            heapreplace(longest, (-item.since, -item.seq, item, worker))
        else:
            return


def _queue(queue: Queue, place: int, now: float) -> QueueState:
    head, counters = queue.waiting.head(), queue.counters
    return QueueState(
        queue.name,
        len(queue.waiting),
        queue.running,
        queue.limit,
        now - head.accepted_at if head else 0.0,
        counters.accepted,
        dict(counters.completed),
        dict(counters.rejected),
        dict(counters.redelivered),
        place,
    )


def copy_backend(worker: Worker, now: float) -> Backend:
    """Copy what there is to show of a backend."""
    running = worker.running
    if worker.draining:
        state = "draining"
    elif running:
        state = "busy"
    else:
        state = "resting" if worker.resting else "idle"
    return Backend(
        queue=worker.queue.name,
        node=worker.node,
        pod=worker.pod,
        address=worker.address,
        classic=worker.once,
        state=state,
        slots=worker.slots,
        running=len(running),
        connected_s=now - worker.since,
        finished=sum(worker.finished.values()),
        failed=worker.failed,
        devices=dict(worker.finished),
        # By the time of the hand-over, as dictionaries keep the order.
        items=[_running(item, now) for item in islice(running.values(), MAX_RUNNING)],
    )


def _running(item: Item, now: float) -> RunningItem:
    return RunningItem(item.seq, now - item.since, item.attempts, item.limit_s, item.withdrawn)


def copy_client(client: ClientSession, now: float) -> Client:
    """Copy what there is to show of a client."""
    oldest = next(iter(client.items.values()), None)
    return Client(
        name=client.name,
        address=client.address,
        connected_s=now - client.since,
        outstanding=len(client.items),
        queue=oldest.queue.name if oldest else "",
        oldest_s=now - oldest.accepted_at if oldest else 0.0,
        oldest_state=oldest.state.value if oldest else "",
    )


def _troubles(hub: Hub, now: float) -> Iterator[TroubleSeen]:
    for t in hub.troubles:
        yield TroubleSeen(t.role, t.kind, t.text, t.who, t.count, now - t.first_at, now - t.last_at)
