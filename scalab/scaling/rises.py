"""Rises of demand, and how workers followed them. The definitions are in docs/autoscale.md."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import attrs

from .observed import Sample, Target, WorkerLife


@attrs.frozen(kw_only=True)
class Rise:
    """Demand rose above what the workers asked for can carry.

    Durations are from its start, and as exact as the samples are close; None = it never came.
    """

    start_s: float
    """Seconds since the run's start."""
    until_s: float
    """The last sample before the next rise, or of the run."""
    before: int
    """Workers desired when it began."""
    demand: int
    """The most items waiting and running."""
    needed: int
    """The most workers that these call for, within the limits."""
    lasted_s: float
    """For how long there were not enough workers."""
    reacted_after_s: float | None
    """Until more workers were desired."""
    ready_after_s: float | None
    """Until the first new worker was ready."""
    first_item_after_s: float | None
    """Until the first item of a new worker."""
    target_after_s: float | None
    """Until there were enough workers connected; None also if demand fell without any new one."""
    settled_after_s: float | None
    """Until they were enough and neither desired nor ready ones changed any more."""
    overshoot: int
    """Workers ready at most, beyond ``needed``."""
    undershoot: int
    """Workers missing at most, after there had been enough."""
    oscillations: int
    """Times that the desired workers changed direction while the load was held."""


def find_rises(
    samples: Sequence[Sample], lives: Sequence[WorkerLife], target: Target
) -> tuple[Rise, ...]:
    """Return the rises of demand in a run, in order.

    Args:
        samples: In order of time.
        lives: Of workers; without them, times of new workers are those of samples.
        target: What the autoscaler is to hold.
    """
    found = list(_spans(samples, target))
    ends = [*(start for start, _ in found[1:]), len(samples)]  # one too many if there is no rise
    return tuple(
        _rise(_Span(samples, start, met, end), lives, target)
        for (start, met), end in zip(found, ends, strict=False)
    )


def reversals(values: Sequence[float], tolerance: float) -> int:
    """Return how often values change direction, by more than a part of the highest or lowest.

    >>> reversals([1, 4, 8, 8], 0.1), reversals([1, 8, 4, 8], 0.1), reversals([1, 20, 19, 20], 0.1)
    (0, 2, 0)
    """
    count = direction = 0
    low = high = values[0] if values else 0.0
    for value in values:
        low, high = min(low, value), max(high, value)
        if direction >= 0 and high - value > tolerance * high:
            count += direction > 0
            direction, low = -1, value
        elif direction <= 0 and value - low > tolerance * low:
            count += direction < 0
            direction, high = 1, value
    return count


@attrs.frozen
class _Span:
    """A rise as places in the samples."""

    samples: Sequence[Sample]
    start: int
    met: int | None
    """The first sample with enough workers."""
    end: int
    """The one after its last."""

    @property
    def before(self) -> Sample:
        """The last sample that knows nothing of the rise."""
        return self.samples[max(self.start - 1, 0)]

    @property
    def whole(self) -> Sequence[Sample]:
        return self.samples[self.start : self.end]

    @property
    def short(self) -> Sequence[Sample]:
        """Up to the first sample with enough workers."""
        return self.whole if self.met is None else self.samples[self.start : self.met + 1]

    def held(self, tolerance: float) -> int:
        """Return the first sample at which the load that was asked for has fallen."""
        highest = 0.0
        for i in range(self.start, self.end):
            level = self.samples[i].level
            if level < (1 - tolerance) * highest:
                return i
            highest = max(highest, level)
        return self.end


def _spans(samples: Sequence[Sample], target: Target) -> Iterator[tuple[int, int | None]]:
    """Yield the first sample of each rise, and the first with enough workers, if there is one."""
    start, low = None, 0.0  # as if there was no demand before
    for i, sample in enumerate(samples):
        if start is None:
            low = min(low, sample.demand)
            # A fast autoscaler may have asked for more by the time that the rise is seen.
            desired = min(sample.desired, samples[max(i - 1, 0)].desired)
            # That workers are taken away while demand stays is no rise, so it must have grown.
            grown = sample.demand > (1 + target.tolerance) * low
            if grown and target.tolerated(sample.demand) > desired:
                start = i
        if start is not None and sample.connected >= target.tolerated(sample.demand):
            yield start, i
            start, low = None, sample.demand
    if start is not None:
        yield start, None


def _rise(span: _Span, lives: Sequence[WorkerLife], target: Target) -> Rise:
    first, last, before = span.whole[0], span.whole[-1], span.before
    # What happened between the two samples around the start belongs to the rise.
    since_s = before.at_s if span.start else -math.inf
    held = span.samples[span.start : span.held(target.tolerance)]
    new = [life for life in lives if since_s < life.asked_s <= last.at_s]
    desired = min(before.desired, first.desired)
    needed = max(target.needed(s.demand) for s in span.whole)

    def after(at_s: float | None) -> float | None:
        return None if at_s is None else max(at_s - first.at_s, 0.0)

    ready_s = _earliest(life.ready_s for life in new)
    if ready_s is None:
        ready_s = _when(span.whole, lambda s: s.ready > before.ready)
    end_s = last.at_s if span.met is None else span.samples[span.met].at_s
    return Rise(
        start_s=first.at_s,
        until_s=last.at_s,
        before=desired,
        demand=max(s.demand for s in span.whole),
        needed=needed,
        lasted_s=end_s - first.at_s,
        reacted_after_s=after(_when(span.short, lambda s: s.desired > desired)),
        ready_after_s=after(ready_s),
        first_item_after_s=after(_earliest(life.first_item_s for life in new)),
        target_after_s=after(_target_s(span)),
        settled_after_s=after(_settled_s(span, target)),
        overshoot=max(max(s.ready for s in span.whole) - needed, 0),
        undershoot=_undershoot(span, target),
        oscillations=reversals([desired, *(s.desired for s in held)], target.tolerance),
    )


def _target_s(span: _Span) -> float | None:
    """When there were enough workers, if it was new ones that made them enough."""
    if span.met is None:
        return None
    met = span.samples[span.met]
    return met.at_s if met.connected > span.before.connected else None


def _settled_s(span: _Span, target: Target) -> float | None:
    """When workers came to rest at the level that was held, if that was seen to last."""
    held = span.held(target.tolerance)
    if span.met is None or span.met >= held:
        return None
    rest = span.samples[held - 1].desired
    near = target.tolerance * rest
    start = held
    while start > span.met and all(
        abs(n - rest) <= near
        for n in (span.samples[start - 1].desired, span.samples[start - 1].ready)
    ):
        start -= 1
    return span.samples[start].at_s if start < held - 1 else None


def _undershoot(span: _Span, target: Target) -> int:
    if span.met is None:
        return 0
    later = span.samples[span.met : span.held(target.tolerance)]
    missing = (target.tolerated(s.demand) - s.connected for s in later)
    return max(math.ceil(max(missing, default=0)), 0)


def _when(samples: Sequence[Sample], holds: Callable[[Sample], bool]) -> float | None:
    return next((s.at_s for s in samples if holds(s)), None)


def _earliest(times: Iterator[float | None]) -> float | None:
    return min((at_s for at_s in times if at_s is not None), default=None)
