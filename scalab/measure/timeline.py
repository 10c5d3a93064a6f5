"""A run over time, in bounded memory: when there are too many intervals, neighbours are merged."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from .aggregate import Aggregate
from .interval import Interval


class Timeline:
    """Intervals in order, at most so many of them.

    When there are more, each two neighbours become one, and from then on as many intervals go
    into one as make up the new length. Places are left out.

    Args:
        most: Intervals kept; an even number.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._intervals: list[Interval] = []
        self._per_entry = 1  # intervals that make an entry
        self._in_last = 0  # of them, in the last entry

    def add(self, interval: Interval) -> None:
        """Append an interval; what it holds is copied."""
        if self._intervals and self._in_last < self._per_entry:
            _extend(self._intervals[-1], interval)
            self._in_last += 1
            return
        if len(self._intervals) >= self._most:
            self._halve()
        self._intervals.append(_copy(interval))
        self._in_last = 1

    def __iter__(self) -> Iterator[Interval]:
        return iter(self._intervals)

    def __len__(self) -> int:
        return len(self._intervals)

    def _halve(self) -> None:
        pairs = zip(self._intervals[::2], self._intervals[1::2], strict=True)
        self._intervals = [_extend(first, second) for first, second in pairs]
        self._per_entry *= 2


def _copy(interval: Interval) -> Interval:
    return _extend(attrs.evolve(interval, to_s=interval.from_s, cpu_s=0.0, queues={}), interval)


def _extend(into: Interval, interval: Interval) -> Interval:
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
        mine.merge(aggregate, places=False)
    return into
