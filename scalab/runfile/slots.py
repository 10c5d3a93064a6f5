"""Several clients' intervals, put together into intervals of all of them.

Clients start apart, and their intervals don't begin together. So slots are laid over the time, each
of which ends with some client's interval, and every client's intervals are counted as a whole in
the slot in which their middle lies. Where the clients' intervals begin together the slots are those
intervals. A slot is measured if all clients measured throughout it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from scalab.load.phases import LIVE_STAGE
from scalab.measure.aggregate import Aggregate
from scalab.measure.interval import DRAIN, IDLE, MEASURE, RAMP, WARM_UP, Interval

_TOLERANCE = 0.1
"""Part of a slot, at each of its ends, in which a client need not have measured."""
_GAP_S = 0.001
"""Intervals that are less apart follow one another."""
_ORDER = (WARM_UP, RAMP, MEASURE, IDLE, DRAIN)


class Track:
    """One client's intervals, looked at one ahead.

    Args:
        intervals: In order, their times those of all clients together.
        counts_level: Whether its level adds up with that of the others.
    """

    def __init__(self, intervals: Iterator[Interval], *, counts_level: bool = True) -> None:
        self._intervals = intervals
        self._counts_level = counts_level
        self.next: Interval | None = next(intervals, None)
        self.begun_s = self.next.from_s if self.next else math.inf
        self.last: Interval | None = None
        self.measured_s = 0.0
        """Of what was taken, the time that was measured since the last change or reset."""
        self._measured_window = 0
        self._measured_from = math.inf  # since when without a break; infinite if not now

    def take_slot(self, ends: Interval) -> list[Interval]:
        """Return the next intervals of the slot that ends with ``ends``, some client's interval."""
        taken = []
        while (interval := self.next) and (
            interval is ends or (interval.from_s + interval.to_s) / 2 < ends.to_s
        ):
            self._take(interval)
            taken.append(interval)
        return taken

    def _take(self, interval: Interval) -> None:
        if interval.phase != MEASURE:
            self._measured_from = math.inf
        else:
            if not self._continues(interval):
                self._measured_from = interval.from_s
            if interval.window != self._measured_window:
                self.measured_s, self._measured_window = 0.0, interval.window
            self.measured_s += interval.duration_s
        self.last, self.next = interval, next(self._intervals, None)

    def measured_throughout(self, from_s: float, to_s: float) -> bool:
        """Whether all of a slot that was just taken was measured, and in one window."""
        if self.last is None or self.last.phase != MEASURE:
            return False
        last_to_s = self.last.to_s
        if self.next and self.next.phase == MEASURE and self._continues(self.next):
            last_to_s = self.next.to_s
        aside_s = _TOLERANCE * (to_s - from_s)
        return self._measured_from <= from_s + aside_s and last_to_s >= to_s - aside_s

    def _continues(self, interval: Interval) -> bool:
        """Whether an interval that was measured goes on with the last one."""
        last = self.last
        return (
            last is not None
            and last.phase == MEASURE
            and last.window == interval.window
            and interval.from_s - last.to_s < _GAP_S
        )

    def levels(self, taken: Sequence[Interval]) -> tuple[float, float]:
        """Return its level at the start and at the end of a slot."""
        if not self._counts_level:
            return 0.0, 0.0
        if taken:
            return taken[0].level_from, taken[-1].level_to
        level = self.last.level_to if self.last and self.next else 0.0
        return level, level


def slots(tracks: Sequence[Track]) -> Iterator[Interval]:
    """Yield what all clients counted, slot by slot."""
    at_s = -math.inf
    while waiting := [track.next for track in tracks if track.next]:
        # Of those that begin together the longest, as it can't be divided.
        ends = min(waiting, key=lambda interval: (interval.from_s, -interval.to_s))
        from_s, at_s = max(ends.from_s, at_s), ends.to_s
        yield _slot(tracks, [track.take_slot(ends) for track in tracks], from_s, at_s)


def _slot(
    tracks: Sequence[Track], taken: Sequence[list[Interval]], from_s: float, to_s: float
) -> Interval:
    """Add up what was taken from the clients, which may change it."""
    intervals = [interval for of_one in taken for interval in of_one]
    levels = [track.levels(of_one) for track, of_one in zip(tracks, taken, strict=True)]
    lasts = [track.last for track in tracks if track.last]
    return Interval(
        from_s=from_s,
        to_s=to_s,
        phase=_phase(tracks, intervals, from_s, to_s),
        # Goes up as soon as any client's does.
        window=sum(interval.window for interval in lasts),
        stage=_stage(intervals),
        level_from=math.fsum(level for level, _ in levels),
        level_to=math.fsum(level for _, level in levels),
        cpu_s=max(sum(interval.cpu_s for interval in of_one) for of_one in taken),
        outstanding=sum(interval.outstanding for interval in lasts),
        queues=_added(intervals),
    )


def _phase(
    tracks: Sequence[Track], intervals: Sequence[Interval], from_s: float, to_s: float
) -> str:
    """Return the phase of all; where only some measure, the load is not what it is to be."""
    if all(interval.phase == MEASURE for interval in intervals) and all(
        track.measured_throughout(from_s, to_s) for track in tracks
    ):
        return MEASURE
    phases = {interval.phase for interval in intervals}
    phases |= {track.last.phase for track in tracks if track.last and track.next}
    phase = next((phase for phase in _ORDER if phase in phases), RAMP)
    return RAMP if phase == MEASURE else phase


def _stage(intervals: Sequence[Interval]) -> int:
    """Return the stage of all; a slot in which they differ belongs to none."""
    stages = {interval.stage for interval in intervals}
    return stages.pop() if len(stages) == 1 else LIVE_STAGE


def _added(intervals: Sequence[Interval]) -> dict[str, Aggregate]:
    queues: dict[str, Aggregate] = {}
    for interval in intervals:
        for name, aggregate in interval.queues.items():
            if name in queues:
                queues[name].merge(aggregate)
            else:
                queues[name] = aggregate
    return queues
