"""The frontend at a moment, for the page and the JSON, at a small and bounded cost.

Queues are copied in one step, so their accounts are right. Backends are counted in slices, between
which everybody else has a turn: thousands of them hold up nobody for longer than a slice does. (A
thread would hold up everybody for the interpreter's switch interval, 5 ms, again and again.) Only
those that are shown are copied: thousands of copies would make the garbage collector look through
everything there is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from heapq import heappush, heapreplace
from itertools import islice
from operator import attrgetter
from typing import NamedTuple, TypeVar

import attrs
import trio

import scalab
from scalab.queueing.item import Item
from scalab.queueing.worker import Worker
from scalab.runtime.lag import LagMonitor

from .history import History, Sample
from .hub import Hub
from .seen import Backend, Client, Group, QueueSeen, RunningItem, TroubleSeen

SLICE = 100
"""Done in one go: backends are counted in 0.1 ms, and described as JSON in 1 ms."""
MAX_LONGEST = 5
"""Items shown that run longest of all."""
MAX_CLIENTS = 50
"""Clients shown; the JSON has them all."""

_A = TypeVar("_A")


class Place(NamedTuple):
    """Where backends belong to."""

    queue: str
    node: str


@attrs.frozen(kw_only=True)
class Snapshot:
    """The frontend at a moment."""

    uptime_s: float
    draining: bool
    queues: Sequence[QueueSeen]
    samples: Sequence[Sample]
    workers: Sequence[Worker]
    """All backends, by node, pod and address. What else they are goes on to change."""
    places: Mapping[Place, Group]
    longest: Sequence[tuple[RunningItem, Backend]]
    """Those of all items that run longest, the longest first."""
    clients: Sequence[Client]
    """Of the sessions, the first ones."""
    sessions: int
    classic_clients: int
    """Connections of clients without a session: one request each, or none yet."""
    unknown_queue: int
    connections_refused: int
    protocol_errors: int
    troubles: Sequence[TroubleSeen]
    lag_mean_s: float
    """How late the event loop's timers are, since the start."""
    lag_max_s: float
    store_away: str = ""
    """Why the store of shared queues is not there."""
    version: str = scalab.__version__


async def take_snapshot(hub: Hub, history: History, lag: LagMonitor) -> Snapshot:
    """Copy and count what there is to show of a frontend."""
    queues = hub.dispatcher.queues.values()
    workers = [worker for queue in queues for worker in queue.workers]
    count = _Count()
    await in_slices(workers, count.add)
    longest = count.longest(trio.current_time())
    await trio.to_thread.run_sync(partial(workers.sort, key=attrgetter("node", "pod", "address")))
    now, timers = trio.current_time(), sum(lag.counts)
    return Snapshot(
        uptime_s=now - hub.started_at,
        draining=hub.dispatcher.draining,
        queues=[QueueSeen.of(queue, now) for queue in queues],
        samples=history.samples(),
        workers=workers,
        places=count.places,
        longest=longest,
        clients=[Client.of(client, now) for client in islice(hub.clients, MAX_CLIENTS)],
        sessions=len(hub.clients),
        classic_clients=hub.connections["client"] - len(hub.clients),
        unknown_queue=hub.dispatcher.unknown_queue,
        connections_refused=sum(hub.admission.refused.values()),
        protocol_errors=sum(hub.protocol_errors.values()),
        troubles=[TroubleSeen.of(trouble, now) for trouble in hub.troubles],
        lag_mean_s=lag.sum_s / timers if timers else 0.0,
        lag_max_s=lag.max_s,
        store_away=hub.engine.reason if hub.engine is not None else "",
    )


async def in_slices(things: Iterable[_A], do: Callable[[Sequence[_A], float], None]) -> None:
    """Do something with slices of things, and the time; before each, let others go on."""
    rest = iter(list(things))
    while part := list(islice(rest, SLICE)):
        await trio.lowlevel.checkpoint()
        do(part, trio.current_time())


class _Count:
    """Counts backends by their places, and finds what runs longest."""

    def __init__(self) -> None:
        self.places: dict[Place, Group] = {}
        self._longest: list[tuple[float, int, Item, Worker]] = []
        """A heap; its first is what runs least of these."""

    def add(self, workers: Iterable[Worker], _now: float) -> None:
        """Count those of the workers that are still there."""
        for worker in workers:
            if worker in worker.queue.workers:
                place = Place(worker.queue.name, worker.node)
                group = self.places.get(place)
                if group is None:
                    group = self.places[place] = Group()
                group.add(worker)
                self._compare(worker)

    def _compare(self, worker: Worker) -> None:
        for item in worker.running.values():  # by the time of their hand-over
            entry = (-item.since, -item.seq, item, worker)
            if len(self._longest) < MAX_LONGEST:
                heappush(self._longest, entry)
            elif entry > self._longest[0]:
                heapreplace(self._longest, entry)
            else:
                return

    def longest(self, now: float) -> list[tuple[RunningItem, Backend]]:
        """Return what ran longest and still runs."""
        return [
            (RunningItem.of(item, now), Backend.of(worker, now))
            for _, _, item, worker in sorted(self._longest, reverse=True)
            if worker.running.get(item.token) is item
        ]
