"""The level of a load over time, how much it adds up to, and when it has added up to so much.

A level is a rate per second or a number of parallel requests. It is linear within a stage, so its
integral N(t) is made of parabolas, and the time of the i-th arrival at a rate is where N reaches i.
(The same idea as k6's ramping-arrival-rate, whose ``cal`` integrates the rate and solves for the
time of each event.)

N at the start of each stage is an exact fraction, split into whole and part, and arrivals are
counted from there: nothing is summed up, so nothing drifts however long a run lasts.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from fractions import Fraction
from typing import Final

import attrs

from .units import DURATION_MAX_S, DURATION_MIN_S, PARALLEL_MAX, RATE_MAX, RATE_MIN, exact

_INF = math.inf
LEVEL_MAX: Final = max(RATE_MAX, float(PARALLEL_MAX))
_COUNTED = 2**64
"""Denominator of N after a live change, lest fractions grow with every change."""


def _split(x: float | Fraction) -> tuple[int, float]:
    """Return the whole part of ``x`` and the rest: tuples of them compare as the numbers do."""
    whole = math.floor(x)
    return whole, float(x - whole)


@attrs.frozen
class Stage:
    """A time during which the level goes linearly from ``start`` to ``end``.

    Raises:
        ValueError: A level or the duration is out of bounds (those of what can be written, see
            units.py), or the duration is infinite though the levels differ.
    """

    start: float
    end: float
    duration_s: float
    """May be infinite: until the run is stopped."""

    def __attrs_post_init__(self) -> None:
        for level in (self.start, self.end):
            if level != 0 and not RATE_MIN <= level <= LEVEL_MAX:
                raise ValueError(
                    f"a level must be 0 or from {RATE_MIN} to {LEVEL_MAX}, not {level}"
                )
        if self.duration_s == _INF:
            if self.is_ramp:
                raise ValueError("a ramp must have an end")
        elif not DURATION_MIN_S <= self.duration_s <= DURATION_MAX_S:
            raise ValueError(f"a stage can't take {self.duration_s} s")

    @property
    def is_ramp(self) -> bool:
        """Whether the level changes."""
        return self.start != self.end


class _Segment:
    """A stage, or a level set live, with the time at which it begins and N by then."""

    __slots__ = ("at", "count", "half", "key", "key_end", "length", "stage", "work")

    def __init__(self, work: Stage, stage: int | None, begin: Fraction, count: Fraction) -> None:
        self.work = work
        self.stage = stage
        self.at = float(begin)
        self.count = count
        self.key = _split(count)
        self.length = work.duration_s
        self.half = 0.0
        """Half of the slope."""
        self.key_end: tuple[float, float]
        if self.length < _INF:
            slope = (exact(work.end) - exact(work.start)) / exact(self.length)
            self.half = float(slope / 2)
            self.key_end = _split(self.count_end)
        else:
            self.key_end = (_INF, 0.0) if work.end else self.key

    @property
    def count_end(self) -> Fraction:
        """N at the end of a finite segment."""
        mean = (exact(self.work.start) + exact(self.work.end)) / 2
        return self.count + mean * exact(self.length)

    def level(self, t: float) -> float:
        """Return the level at a time within."""
        start, end = self.work.start, self.work.end
        if start == end:
            return start
        share = min(max((t - self.at) / self.length, 0.0), 1.0)
        return start + (end - start) * share

    def added(self, t: float) -> float:
        """Return by how much N has grown at a time within."""
        elapsed = t - self.at
        return elapsed * (self.work.start + self.half * elapsed)

    def passing(self, x: float) -> float:
        """Return when N passes ``x``, which it does within.

        The root is taken in the form without subtraction, 2y / (a + √(a² + 2cy)); where digits
        would cancel under the root, because the level has fallen, from the end of the segment.
        """
        whole, part = self.key
        y = max((x - whole) - part, 0.0)
        a = self.work.start
        square = a * a + 4 * self.half * y  # of the level at that time
        if square >= a * a / 4:
            below = a + math.sqrt(square)
            return self.at + min(2 * y / below if below else 0.0, self.length)
        rest = max((self.key_end[0] - x) + self.key_end[1], 0.0)
        b = self.work.end
        below = b + math.sqrt(b * b - 4 * self.half * rest)
        return self.at + max(self.length - (2 * rest / below if below else 0.0), 0.0)

    def crossing(self, level: int) -> float:
        """Return when the level of a ramp is ``level``."""
        start, end = self.work.start, self.work.end
        return self.at + self.length * ((level - start) / (end - start))

    def whole(self, t: float) -> tuple[int, float]:
        """Return the whole part of the level, see ``Curve.whole``, and its next change within."""
        start, end = math.floor(self.work.start), math.floor(self.work.end)
        n = math.floor(self.level(t))  # off by one at most, by rounding
        if self.half > 0:
            while n > start and self.crossing(n) > t:
                n -= 1
            while n < end and self.crossing(n + 1) <= t:
                n += 1
            return n, self.crossing(n + 1) if n < end else _INF
        while n < start and self.crossing(n + 1) > t:
            n += 1
        while n > end and self.crossing(n) <= t:
            n -= 1
        return n, self.crossing(n) if n > end else _INF


class Curve:
    """A level over time that is linear in each stage. It doesn't change; ``changed`` makes another.

    Args:
        stages: One after the other. Where one starts from another level than the last one ended
            with, the level jumps.
        t0: When the first one begins, in seconds of the clock by which all times are told.
        hold_last: Whether the last level stays for ever; else the curve is over, and the level 0.

    Raises:
        ValueError: There are no stages, or one follows after one without end.
    """

    def __init__(self, stages: Iterable[Stage], t0: float, *, hold_last: bool = False) -> None:
        begin, count = Fraction(t0), Fraction(0)
        segments: list[_Segment] = []
        for i, stage in enumerate(stages):
            if segments and segments[-1].length == _INF:
                raise ValueError(f"stage {i} never ends, so nothing can follow")
            segments.append(_Segment(stage, i, begin, count))
            if stage.duration_s < _INF:
                begin += exact(stage.duration_s)
                count = segments[-1].count_end
        if not segments:
            raise ValueError("there must be a stage")
        last = segments[-1]
        if hold_last and last.length < _INF:
            segments.append(_Segment(_hold(last.work.end), last.stage, begin, count))
        self._set(segments, t0, _INF if hold_last or last.length == _INF else float(begin))

    def _set(self, segments: list[_Segment], t0: float, end_s: float) -> None:
        self.t0 = t0
        self.end_s = end_s
        """When the curve is over; infinite if it never is."""
        self._segments = segments
        self._times = [segment.at for segment in segments]
        self._keys = [segment.key for segment in segments]

    def __repr__(self) -> str:
        return f"<Curve of {len(self._segments)} stages from {self.t0} to {self.end_s}>"

    @classmethod
    def hold(cls, level: float, t0: float) -> Curve:
        """Return a curve of one level from ``t0`` on, for ever."""
        return cls((_hold(level),), t0)

    def _segment(self, t: float) -> _Segment | None:
        """Return what is in force at ``t``."""
        if not self.t0 <= t < self.end_s:
            return None
        return self._segments[bisect_right(self._times, t) - 1]

    def level(self, t: float) -> float:
        """Return the level at ``t``; where it jumps, the one after the jump."""
        segment = self._segment(t)
        return segment.level(t) if segment else 0.0

    def stage_at(self, t: float) -> int | None:
        """Return which stage is in force at ``t``, counted from 0.

        A last level that is held belongs to the last stage. None before the start, after the end,
        and where the level was set live.
        """
        segment = self._segment(t)
        return segment.stage if segment else None

    def is_ramp(self, t: float) -> bool:
        """Whether the level is changing at ``t``."""
        segment = self._segment(t)
        return segment is not None and segment.work.is_ramp

    def next_stage(self, t: float) -> float | None:
        """Return when the next stage begins after ``t``, or the curve is over; None if neither."""
        following = bisect_right(self._times, t)
        if following < len(self._times):
            return self._times[following]
        return self.end_s if t < self.end_s < _INF else None

    def whole(self, t: float) -> tuple[int, float]:
        """Return the whole part of the level at ``t``, and when to look again (inf: never).

        On a ramp up it is raised at the very time that the level reaches the next number; on a ramp
        down, as soon as the level falls below one. It does not change before the time returned,
        which is later than ``t``.
        """
        segment = self._segment(t)
        if segment is None:
            return 0, self.t0 if t < self.t0 else _INF
        n, until = segment.whole(t)
        following = self.next_stage(t)
        return n, until if following is None else min(until, following)

    def cumulative(self, t: float) -> float:
        """Return N(t), the integral of the level from the start to ``t``."""
        if t < self.t0:
            return 0.0
        segment = self._segment(t)
        if segment is None:
            whole, part = self._segments[-1].key_end
            return whole + part
        whole, part = segment.key
        return whole + (part + segment.added(t))

    def passing(self, x: float) -> float | None:
        """Return when N passes ``x``: the earliest time after which it is more; None if never.

        So at 10 per second arrivals 0, 1, 2 … are at the start, 0.1 s later, 0.2 s later …, and in
        all there are ceil(N(end)).

        Args:
            x: 0 or more. A whole number is taken exactly.
        """
        key = _split(x)
        segment = self._segments[bisect_right(self._keys, key) - 1]
        return segment.passing(x) if key < segment.key_end else None

    def changed(self, now: float, level: float) -> Curve:
        """Return a curve that is this one until ``now``, and has ``level`` from then on, for ever.

        N goes on from where it is, so that the fraction of an arrival that is due by ``now`` is
        neither lost nor sent twice.

        Raises:
            ValueError: The level is out of bounds.
        """
        now = max(now, self.t0)
        # What came before isn't cut: only what N passes by ``now`` will be asked of it.
        segments = self._segments[: bisect_left(self._times, now)]
        count = self._exact_count(now)
        if self.end_s < now:
            segments.append(_Segment(_hold(0.0), None, Fraction(self.end_s), count))
        segments.append(_Segment(_hold(level), None, Fraction(now), count))
        curve = Curve.__new__(Curve)
        curve._set(segments, self.t0, _INF)  # noqa: SLF001 - its own class
        return curve

    def _exact_count(self, t: float) -> Fraction:
        """Return N(t) to 2^-64, but for the rounding of what the present stage has added."""
        segment = self._segment(t)
        if segment is None:
            count = self._segments[-1].count_end
        else:
            count = segment.count + Fraction(segment.added(t))
        return Fraction(round(count * _COUNTED), _COUNTED)


def _hold(level: float) -> Stage:
    return Stage(level, level, _INF)
