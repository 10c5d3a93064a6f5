"""Measuring windows made by hand, for tests of verdicts."""

from __future__ import annotations

from typing import Any

from scalab.measure.aggregate import Aggregate, PlaceAggregate
from scalab.measure.histogram import Histogram
from scalab.measure.interval import Interval
from scalab.measure.window import Window

TIMES = ("total", "wait", "run", "overhead", "corrected", "delay", "late")


def times(*seconds: float, n: int = 1) -> Histogram:
    """A histogram of durations, each of them ``n`` times."""
    histogram = Histogram()
    for value in seconds:
        histogram.record(value, n)
    return histogram


def place(served: int, run_s: float = 1.0, failed: int = 0) -> PlaceAggregate:
    """A place that served so many, all with nearly the same run time."""
    run = Histogram()
    for i in range(served):
        run.record(run_s * (1 + 0.01 * (i % 5 - 2)))
    return PlaceAggregate(served=served, failed=failed, run=run)


def counted(completed: int = 100, **fields: Any) -> Aggregate:
    """What was counted of requests that all took 1 s and, unless told otherwise, succeeded.

    Histograms may be given as a number of seconds, which is then that of every request.
    """
    fields = {"sent": completed, "total": 1.0, "run": 1.0} | fields
    for name in TIMES:
        if isinstance(fields.get(name), float):
            fields[name] = times(fields[name], n=max(completed, 1)) if completed else Histogram()
    failed = sum(fields.get("failures", {}).values())
    fields.setdefault("succeeded", completed - failed)
    return Aggregate(completed=completed, **fields)


def window(
    *seconds: Aggregate,
    every_s: float = 1.0,
    level: float = 0.0,
    queue: str = "media",
    **fields: Any,
) -> Window:
    """A window of intervals, one after the other."""
    made = Window()
    for i, aggregate in enumerate(seconds):
        made.add(
            Interval(
                from_s=i * every_s,
                to_s=(i + 1) * every_s,
                level_from=level,
                level_to=level,
                queues={queue: aggregate},
                **fields,
            )
        )
    return made
