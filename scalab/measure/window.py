"""A measuring window: intervals that are judged together."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from .aggregate import Aggregate, exhaust, merged
from .interval import Interval
from .statistics import Statistics
from .timeline import Timeline

GROUPS = 64
"""Stretches of a window that are kept apart, to tell how sure its figures are."""


@attrs.define
class Window:
    """What was counted in some intervals, as a whole and over time."""

    queues: dict[str, Aggregate] = attrs.Factory(dict)
    duration_s: float = 0.0
    cpu_s: float = 0.0
    """Seconds of CPU that the client took."""
    from_s: float | None = None
    """When its first interval began; None while there is none."""
    to_s: float = 0.0
    asked: float = 0.0
    """The level asked for, integrated over time: for an open loop, the arrivals wanted."""
    outstanding: int = 0
    groups: Timeline = attrs.Factory(lambda: Timeline(GROUPS))

    def add(self, interval: Interval) -> None:
        """Append an interval."""
        exhaust(self.adding(interval))

    def adding(self, interval: Interval) -> Iterator[None]:
        """Do the same bit by bit."""
        if self.from_s is None:
            self.from_s = interval.from_s
        self.to_s = interval.to_s
        self.duration_s += interval.duration_s
        self.cpu_s += interval.cpu_s
        self.asked += (interval.level_from + interval.level_to) / 2 * interval.duration_s
        self.outstanding = interval.outstanding
        for name, aggregate in interval.queues.items():
            yield from self.queues.setdefault(name, Aggregate()).merging(aggregate)
        yield from self.groups.adding(interval)

    @property
    def whole(self) -> Aggregate:
        """All queues together; not to be changed."""
        return merged(list(self.queues.values()))

    def statistics(self, *, places: bool = True) -> Statistics:
        """Return all queues together as they are shown."""
        return self.whole.statistics(self.duration_s, self.outstanding, places=places)

    def of_queue(self, name: str) -> Statistics:
        """Return one queue as it is shown; nothing was counted of an unknown one."""
        return self.queues.get(name, Aggregate()).statistics(self.duration_s)
