"""A run's measured window in the form in which runs are compared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from scalab.measure.histogram import Histogram
from scalab.measure.interval import Interval
from scalab.runfile.reading import Run
from scalab.verdict.compare import Batch

BATCHES: Final = 20
"""Enough to tell how much a figure varies, and long enough to have its percentiles."""

_COMPARED = ("total", "wait", "run", "overhead", "corrected")


def batches_of(run: Run) -> list[Batch]:
    """Return what was measured in at most ``BATCHES`` parts of about equal length.

    The run times of each queue are compared on their own, if there are several queues.
    """
    return [_batch(interval) for interval in run.groups(BATCHES)]


def _batch(interval: Interval) -> Batch:
    whole = interval.whole
    histograms: dict[str, Histogram] = {name: getattr(whole, name) for name in _COMPARED}
    return Batch(
        duration_s=interval.duration_s,
        completed=whole.completed,
        succeeded=whole.succeeded,
        failed=whole.failed,
        histograms={
            **{name: histogram for name, histogram in histograms.items() if histogram.count},
            **dict(_by_queue(interval)),
        },
    )


def _by_queue(interval: Interval) -> Iterator[tuple[str, Histogram]]:
    if len(interval.queues) > 1:
        for name, aggregate in interval.queues.items():
            if aggregate.run.count:
                yield f"run in {name}", aggregate.run
