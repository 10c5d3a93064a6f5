"""A run over time, in bounded memory: when there are too many intervals, neighbours are merged."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from .aggregate import HISTOGRAMS, Aggregate, exhaust
from .interval import Interval


class Timeline:
    """Intervals in order, at most so many of them.

    When there are more, each two neighbours become one, and from then on as many intervals go
    into one as make up the new length. Places are left out.

    Args:
        most: Intervals kept; an even number.
        buckets: Most buckets of a histogram; 0 = no limit. See ``Histogram.thin``.
    """

    def __init__(self, most: int, *, buckets: int = 0) -> None:
        self._most = most
        self._buckets = buckets
        self._intervals: list[Interval] = []
        self._per_entry = 1  # intervals that make an entry
        self._in_last = 0  # of them, in the last entry

    def add(self, interval: Interval) -> None:
        """Append an interval; what it holds is copied."""
        exhaust(self.adding(interval))

    def adding(self, interval: Interval) -> Iterator[None]:
        """Do the same bit by bit."""
        if not (self._intervals and self._in_last < self._per_entry):
            if len(self._intervals) >= self._most:
                yield from self._halving()
            self._intervals.append(_empty(interval))
            self._in_last = 0
        self._in_last += 1
        yield from self._extending(self._intervals[-1], interval)

    def __iter__(self) -> Iterator[Interval]:
        return iter(self._intervals)

    def __len__(self) -> int:
        return len(self._intervals)

    def _halving(self) -> Iterator[None]:
        for first, second in zip(self._intervals[::2], self._intervals[1::2], strict=True):
            yield from self._extending(first, second)
        self._intervals = self._intervals[::2]
        self._per_entry *= 2

    def _extending(self, into: Interval, interval: Interval) -> Iterator[None]:
        """Make ``into`` reach to the end of ``interval``."""
        into.to_s = interval.to_s
        into.phase, into.window, into.stage = interval.phase, interval.window, interval.stage
        into.level_to = interval.level_to
        into.cpu_s += interval.cpu_s
        into.outstanding = interval.outstanding
        for name, aggregate in interval.queues.items():
            mine = into.queues.get(name)
            if mine is None:
                mine = into.queues[name] = Aggregate()
            yield from mine.merging(aggregate, places=False)
            if self._buckets:
                for histogram in HISTOGRAMS:
                    getattr(mine, histogram).thin(self._buckets)
                    yield


def _empty(interval: Interval) -> Interval:
    return attrs.evolve(interval, to_s=interval.from_s, cpu_s=0.0, queues={})
