"""What the page tells of a snapshot: totals, groups, and as many rows as a page can have.

Pure: it is done in a thread.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from operator import attrgetter
from typing import Generic, TypeVar
from urllib.parse import urlencode

import attrs

from scalab.queueing.worker import Worker

from .history import Rates, rates
from .seen import Backend, Client, Group, QueueSeen
from .snapshot import Place, Snapshot

MAX_QUEUES = 100
"""Rows of a table; the JSON has them all."""
MAX_NODES = 50
MAX_BACKENDS = 100

_Row = TypeVar("_Row")


@attrs.frozen
class Only:
    """Which backends are asked for; None = all of them."""

    queue: str | None = None
    node: str | None = None

    def wants(self, queue: str | None = None, node: str | None = None) -> bool:
        """Whether backends of this queue, on this node, are asked for; None = of any."""
        wanted = ((self.queue, queue), (self.node, node))
        return all(None in pair or pair[0] == pair[1] for pair in wanted)

    def __bool__(self) -> bool:
        return self != Only()

    def first(self, workers: Iterable[Worker]) -> list[Worker]:
        """Return those that are asked for, as many as are shown."""
        return list(islice((w for w in workers if self.wants(w.queue.name, w.node)), MAX_BACKENDS))

    @property
    def query(self) -> str:
        """The query of a URL that asks for the same, "" or from its question mark on."""
        given = {name: v for name, v in attrs.asdict(self).items() if v is not None}
        return f"?{urlencode(given)}" if given else ""

    def link(self, **changed: str | None) -> str:
        """Return where the page is that shows what is asked for, but for ``changed``."""
        return f"./{attrs.evolve(self, **changed).query}"


@attrs.frozen
class Table(Generic[_Row]):
    """The rows that a page shows of a table, and how many there are."""

    rows: Sequence[_Row]
    all: int

    @classmethod
    def cut(cls, rows: Sequence[_Row], most: int) -> Table[_Row]:
        """Keep the first ``most`` of the rows."""
        return cls(rows[:most], len(rows))

    @property
    def more(self) -> int:
        """How many are left out."""
        return self.all - len(self.rows)


@attrs.frozen
class QueueRow:
    """A queue, who works for it, and what is worth a word."""

    state: QueueSeen
    workers: Group
    rates: Rates

    @property
    def warnings(self) -> Iterator[str]:
        """What somebody should do something about."""
        if self.state.limit and self.state.waiting >= self.state.limit:
            yield "full"
        if self.state.waiting and not self.state.running and not self.workers.backends:
            yield "no backend"


@attrs.frozen(kw_only=True)
class Overview:
    """All that the page shows."""

    snapshot: Snapshot
    only: Only
    workers: Group
    """All backends."""
    waiting: int
    running: int
    frontends: int | None
    """How many share the queues; None = they are ours alone."""
    rate: float
    """Items that ended, per second, over all queues."""
    queues: Table[QueueRow]
    nodes: Table[tuple[str, Group]]
    """By name: those with backends of the queue that is asked for."""
    backends: Table[Backend]
    """Those that are asked for."""
    clients: Table[Client]


def make_overview(snapshot: Snapshot, only: Only, backends: Sequence[Backend]) -> Overview:
    """Return what a snapshot tells, with those backends of the ones asked for that are shown."""
    places = snapshot.places
    of_queue = {place: group for place, group in places.items() if only.wants(queue=place.queue)}
    by_queue = _summed(places, attrgetter("queue"))
    by_node = _summed(of_queue, attrgetter("node"))
    all_rates = [rates(snapshot.samples, i) for i in range(len(snapshot.queues))]
    rows = [
        QueueRow(queue, by_queue.get(queue.name, Group()), its_rates)
        for queue, its_rates in zip(snapshot.queues, all_rates, strict=True)
    ]
    asked_for = Group.sum(g for place, g in places.items() if only.wants(place.queue, place.node))
    return Overview(
        snapshot=snapshot,
        only=only,
        workers=Group.sum(places.values()),
        waiting=sum(queue.waiting for queue in snapshot.queues),
        running=sum(queue.running for queue in snapshot.queues),
        frontends=max((n for q in snapshot.queues if (n := q.frontends) is not None), default=None),
        rate=sum(rate.ended for rate in all_rates),
        queues=Table.cut(rows, MAX_QUEUES),
        nodes=Table.cut(sorted(by_node.items()), MAX_NODES),
        backends=Table(backends, max(asked_for.backends, len(backends))),
        clients=Table(snapshot.clients, snapshot.sessions),
    )


def _summed(places: Mapping[Place, Group], key: Callable[[Place], str]) -> dict[str, Group]:
    groups: defaultdict[str, list[Group]] = defaultdict(list)
    for place, group in places.items():
        groups[key(place)].append(group)
    return {name: Group.sum(those) for name, those in groups.items()}
