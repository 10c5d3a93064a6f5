"""What the page tells of a snapshot: totals, groups, and as many rows as a page can have.

Pure: it is done in a thread.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Generic, TypeVar
from urllib.parse import urlencode

import attrs

from .history import Rates, rates
from .snapshot import Backend, Client, Group, Place, QueueState, Snapshot

MAX_QUEUES = 100
"""Rows of a table; the JSON has them all."""
MAX_NODES = 50
MAX_BACKENDS = 100
MAX_CLIENTS = 50

_Row = TypeVar("_Row")


@attrs.frozen
class Only:
    """Which backends are asked for; None = all of them."""

    queue: str | None = None
    node: str | None = None

    def __contains__(self, backend: Backend) -> bool:
        return self.queue in (None, backend.queue) and self.node in (None, backend.node)

    def __bool__(self) -> bool:
        return self != Only()

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

    state: QueueState
    workers: Group
    rates: Rates

    @property
    def warnings(self) -> Iterator[str]:
        """What somebody should do something about."""
        if self.state.limit and self.state.waiting >= self.state.limit:
            yield "full"
        if self.state.waiting and not self.workers.backends:
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
    rate: float
    """Items that ended, per second, over all queues."""
    queues: Table[QueueRow]
    nodes: Table[tuple[str, Group]]
    """By name: those with backends of the queue that is asked for."""
    backends: Table[Backend]
    """Those that are asked for."""
    clients: Table[Client]


def make_overview(snapshot: Snapshot, only: Only) -> Overview:
    """Return what a snapshot tells of those that are asked for."""
    places, backends = snapshot.places, snapshot.backends
    of_queue = {p: g for p, g in places.items() if only.queue in (None, p.queue)}
    by_queue = _merged(places, attrgetter("queue"))
    all_rates = [rates(snapshot.samples, queue.place) for queue in snapshot.queues]
    rows = [
        QueueRow(queue, by_queue.get(queue.name) or Group(), all_rates[queue.place])
        for queue in snapshot.queues
    ]
    nodes = sorted(_merged(of_queue, attrgetter("node")).items())
    return Overview(
        snapshot=snapshot,
        only=only,
        workers=_merged(places, lambda _: "").get("") or Group(),
        waiting=sum(queue.waiting for queue in snapshot.queues),
        running=sum(queue.running for queue in snapshot.queues),
        rate=sum(rate.ended for rate in all_rates),
        queues=Table.cut(rows, MAX_QUEUES),
        nodes=Table.cut(nodes, MAX_NODES),
        backends=Table.cut([b for b in backends if b in only] if only else backends, MAX_BACKENDS),
        clients=Table.cut(snapshot.clients, MAX_CLIENTS),
    )


def _merged(places: Mapping[Place, Group], key: Callable[[Place], str]) -> dict[str, Group]:
    merged: defaultdict[str, Group] = defaultdict(Group)
    for place, group in places.items():
        merged[key(place)].merge(group)
    return merged
