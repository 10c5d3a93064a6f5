"""The timelines of a run: one to be drawn, others to tell how sure a window's figures are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from scalab.measure.aggregate import HISTOGRAMS
from scalab.measure.histogram import Histogram, coarse
from scalab.measure.interval import Interval
from scalab.measure.timeline import Timeline

BITS: Final = 7
"""Highest bits of a duration that are kept: 64 buckets per octave, within 0.8 %."""


class CoarseTimeline(Timeline):
    """A timeline of which the percentiles are off by 1 % at most; all else stays exact.

    It takes a tenth of the memory: a timeline holds hundreds of intervals, and each of their
    histograms up to 1024 buckets per octave. That would come to hundreds of megabytes, for a plot
    that is a few hundred pixels high.
    """

    def __init__(self, most: int, *, buckets: int = 0) -> None:
        super().__init__(most, buckets=buckets)
        self._names: dict[int, int] = {}
        """Each bucket that came up, by itself: the same few in all intervals, as one object."""

    def adding(self, interval: Interval) -> Iterator[None]:
        """Append an interval bit by bit; what it holds is copied."""
        queues = {}
        for name, aggregate in interval.queues.items():
            queues[name] = attrs.evolve(aggregate, nodes={}, devices={}, pods={})
            for histogram in HISTOGRAMS:
                setattr(queues[name], histogram, self._fewer(getattr(aggregate, histogram)))
                yield
        yield from super().adding(attrs.evolve(interval, queues=queues))

    def _fewer(self, histogram: Histogram) -> Histogram:
        fewer = Histogram(histogram.count, histogram.sum_us, histogram.min_us, histogram.max_us)
        for bucket, count in coarse(histogram.buckets, BITS).items():
            fewer.buckets[self._names.setdefault(bucket, bucket)] = count
        return fewer


class MeasuredTimeline(Timeline):
    """A timeline by a clock that stands still while nothing is measured.

    So its intervals, which may reach over a pause or a ramp, last as long as was measured in them.
    """

    def __init__(self, most: int, *, buckets: int = 0) -> None:
        super().__init__(most, buckets=buckets)
        self._elapsed_s = 0.0

    def adding(self, interval: Interval) -> Iterator[None]:
        """Append an interval bit by bit; what it holds is copied."""
        from_s = self._elapsed_s
        self._elapsed_s += interval.duration_s
        yield from super().adding(attrs.evolve(interval, from_s=from_s, to_s=self._elapsed_s))


class CoarseMeasuredTimeline(MeasuredTimeline, CoarseTimeline):
    """Both."""
