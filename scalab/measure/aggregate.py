"""What was counted over some time, in a form that adds up exactly.

The same class holds an interval of a second, a measuring window, a run, and the runs of several
clients together: merging in any order or grouping gives what counting everything once would give.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from . import counts
from .counts import OTHERS
from .histogram import Histogram
from .statistics import Place, Statistics

MAX_PLACES: Final = 1000
"""Distinct names kept of each kind: nodes, devices, pods."""
MAX_LINKS: Final = 128
"""Distinct devices, and pods, kept per place."""
MAX_ERRORS: Final = 200
"""Distinct error texts kept for the whole."""
MAX_PLACE_ERRORS: Final = 20
"""Distinct error texts kept per place."""

KINDS: Final = ("nodes", "devices", "pods")


@attrs.define
class PlaceAggregate:
    """What came from one node, device or pod."""

    served: int = 0
    """Replies from there, failed ones included."""
    failed: int = 0
    run: Histogram = attrs.Factory(Histogram)
    devices: set[str] = attrs.Factory(set)
    pods: set[str] = attrs.Factory(set)
    errors: dict[str, int] = attrs.Factory(dict)

    def merge(self, other: PlaceAggregate) -> None:
        """Add everything that ``other`` holds."""
        self.served += other.served
        self.failed += other.failed
        self.run.merge(other.run)
        for name in other.devices:
            link(self.devices, name)
        for name in other.pods:
            link(self.pods, name)
        counts.merge(self.errors, other.errors, MAX_PLACE_ERRORS)

    def frozen(self, name: str, whole: Histogram) -> Place:
        """Return it as it is shown, with the steps of its histogram those of ``whole``."""
        return Place(
            name=name,
            served=self.served,
            failed=self.failed,
            run=self.run.spread(),
            histogram=self.run.steps(within=whole),
            devices=tuple(sorted(self.devices)),
            pods=tuple(sorted(self.pods)),
            errors=counts.ranked(self.errors),
        )


@attrs.define
class Aggregate:
    """Counts and histograms of requests.

    All histograms hold seconds. Wait, run and overhead are of the replies that ran; total,
    corrected and delay of all replies.
    """

    sent: int = 0
    """Requests sent; not those that were sent again."""
    completed: int = 0
    """Replies, failed ones included."""
    succeeded: int = 0
    failures: dict[str, int] = attrs.Factory(dict)
    """Failed requests by kind; some of them (``disconnected``) without a reply."""
    dropped: int = 0
    """Arrivals that the schedule wanted and that were never sent."""
    held: int = 0
    """Requests sent later than intended because the limit of those in flight was reached."""
    aborted: int = 0
    """Requests given up because the run ended: neither failed nor completed."""
    attempts_max: int = 0
    wait: Histogram = attrs.Factory(Histogram)
    run: Histogram = attrs.Factory(Histogram)
    overhead: Histogram = attrs.Factory(Histogram)
    total: Histogram = attrs.Factory(Histogram)
    """From sending to the reply: raw latency."""
    corrected: Histogram = attrs.Factory(Histogram)
    """From the intended time of sending to the reply; empty in a closed loop, which has none."""
    delay: Histogram = attrs.Factory(Histogram)
    """From the intended time of sending to sending, of all requests sent; likewise."""
    late: Histogram = attrs.Factory(Histogram)
    """The same of those that had room all the time: how late the client itself was."""
    errors: dict[str, int] = attrs.Factory(dict)
    nodes: dict[str, PlaceAggregate] = attrs.Factory(dict)
    devices: dict[str, PlaceAggregate] = attrs.Factory(dict)
    pods: dict[str, PlaceAggregate] = attrs.Factory(dict)

    @property
    def failed(self) -> int:
        """Failed requests."""
        return sum(self.failures.values())

    @property
    def ended(self) -> int:
        """Requests that ended, by whatever."""
        return self.succeeded + self.failed

    def merge(self, other: Aggregate, *, places: bool = True) -> None:
        """Add everything that ``other`` holds, or all but its places."""
        exhaust(self.merging(other, places=places))

    def merging(self, other: Aggregate, *, places: bool = True) -> Iterator[None]:
        """Do the same bit by bit, so that something else can be done in between.

        Until it is exhausted, counts and histograms don't agree. ``other`` must not change.
        """
        self.count(other)
        for name in HISTOGRAMS:
            getattr(self, name).merge(getattr(other, name))
            yield
        if places:
            for kind in KINDS:
                mine = getattr(self, kind)
                for name, place in getattr(other, kind).items():
                    place_of(mine, name)[1].merge(place)
                    yield

    def count(self, other: Aggregate) -> None:
        """Add the counts of ``other`` alone, without its times and places."""
        for name in _SUMMED:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.attempts_max = max(self.attempts_max, other.attempts_max)
        for kind, n in other.failures.items():
            self.failures[kind] = self.failures.get(kind, 0) + n
        counts.merge(self.errors, other.errors, MAX_ERRORS)

    def statistics(
        self, window_s: float, outstanding: int = 0, *, places: bool = True
    ) -> Statistics:
        """Return it as it is shown.

        Args:
            window_s: The time over which it was counted.
            outstanding: Requests sent and not yet ended, now.
            places: Include nodes, devices and pods; when there are hundreds of them, they are
                nearly all of the work, and a view that doesn't show them does without.
        """
        nodes, devices, pods = [
            tuple(mine[name].frozen(name, self.run) for name in sorted(mine))
            for mine in (getattr(self, kind) if places else {} for kind in KINDS)
        ]
        return Statistics(
            window_s=window_s,
            outstanding=outstanding,
            sent=self.sent,
            completed=self.completed,
            succeeded=self.succeeded,
            failed=self.failed,
            failures=dict(self.failures),
            dropped=self.dropped,
            held=self.held,
            aborted=self.aborted,
            throughput=self.completed / window_s if window_s > 0 else 0.0,
            wait=self.wait.spread(),
            run=self.run.spread(),
            overhead=self.overhead.spread(),
            total=self.total.spread(),
            corrected=self.corrected.spread(),
            delay=self.delay.spread(),
            late=self.late.spread(),
            nodes=nodes,
            devices=devices,
            pods=pods,
            errors=counts.ranked(self.errors),
            attempts_max=self.attempts_max,
        )


_SUMMED = ("sent", "completed", "succeeded", "dropped", "held", "aborted")
HISTOGRAMS = ("wait", "run", "overhead", "total", "corrected", "delay", "late")


def exhaust(steps: Iterator[None]) -> None:
    """Do all that is left of what is done bit by bit."""
    for _ in steps:
        pass


def merged(aggregates: list[Aggregate]) -> Aggregate:
    """Return the sum; the only one itself, not a copy, if there is just one."""
    if len(aggregates) == 1:
        return aggregates[0]
    whole = Aggregate()
    for aggregate in aggregates:
        whole.merge(aggregate)
    return whole


def place_of(places: dict[str, PlaceAggregate], name: str) -> tuple[str, PlaceAggregate]:
    """Return the place called ``name``, made if need be, and what it is called here."""
    place = places.get(name)
    if place is None:
        if len(places) >= MAX_PLACES:
            name = OTHERS
        place = places.setdefault(name, PlaceAggregate())
    return name, place


def link(names: set[str], name: str) -> None:
    """Add ``name`` to a bounded set."""
    if name not in names:
        names.add(name if len(names) < MAX_LINKS else OTHERS)
