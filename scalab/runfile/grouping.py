"""Intervals put together into fewer, longer ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

import attrs

from scalab.measure.aggregate import Aggregate
from scalab.measure.interval import Interval


def grouped(intervals: Iterable[Interval], k: int) -> list[Interval]:
    """Return intervals in at most ``k`` parts of about equal length, without places."""
    parts = groupby(_placed(list(intervals), k), key=lambda pair: pair[0])
    return [_pooled([interval for _, interval in part]) for _, part in parts]


def _placed(intervals: list[Interval], k: int) -> Iterator[tuple[int, Interval]]:
    """Yield each interval with the number of the part in which its middle lies."""
    duration_s = sum(interval.duration_s for interval in intervals)
    per_s = k / duration_s if duration_s > 0 else 0.0
    elapsed_s = 0.0
    for interval in intervals:
        yield min(int((elapsed_s + interval.duration_s / 2) * per_s), k - 1), interval
        elapsed_s += interval.duration_s


def _pooled(intervals: list[Interval]) -> Interval:
    """Return neighbours as one interval; its phase is that of the first."""
    first, last = intervals[0], intervals[-1]
    queues: dict[str, Aggregate] = {}
    for interval in intervals:
        for name, aggregate in interval.queues.items():
            queues.setdefault(name, Aggregate()).merge(aggregate, places=False)
    return attrs.evolve(
        first,
        to_s=last.to_s,
        level_to=last.level_to,
        cpu_s=sum(interval.cpu_s for interval in intervals),
        outstanding=last.outstanding,
        queues=queues,
    )
