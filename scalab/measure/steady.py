"""Was the load steady while it was measured, or was something still changing?

A mean over a window tells little when its end was unlike its start: caches still filling, clocks
throttling as devices heat up, a queue that grows. Two things are looked for, in throughput and in
mean latency: a trend over the window, and a first fifth unlike the rest. What counts must be both
larger than chance and large enough to matter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import attrs

from .batches import MIN_COUNT, Pool, independent
from .student import quantile

MIN_CHANGE: Final = 0.05
"""A change of less than this share of the mean doesn't matter."""
MIN_BATCHES: Final = 8
"""Intervals from which on a trend can be told from chance."""

_CONFIDENCE = 0.95
_TESTS = 4  # a trend and a beginning, of throughput and of latency
_PARTS = 5  # the beginning is a fifth

_Points = list[tuple[float, float, float]]
"""Middle of the batch in shares of the window, value, weight."""


@attrs.frozen
class Steady:
    """Whether the window was steady."""

    ok: bool | None
    """None when there is too little to say."""
    slope_share: float
    """The largest change found, as a share of the mean: 0.1 is 10 % up over the window.

    0 when it was steady.
    """
    text: str
    """One sentence for people."""


class SteadyState:
    """Collects what is needed to tell whether a window was steady, in bounded memory."""

    def __init__(self) -> None:
        self._pool = Pool()

    def add(
        self, duration_s: float, completions: int, latency_sum_s: float, latency_count: int
    ) -> None:
        """Append an interval, such as a second.

        Args:
            duration_s: Its length; one without a length is left out.
            completions: Requests completed in it.
            latency_sum_s: Their latencies' sum, in seconds.
            latency_count: How many latencies that is the sum of.
        """
        self._pool.add((duration_s, float(completions), latency_sum_s, float(latency_count)))

    def check(self) -> Steady:
        """Return whether throughput and latency were steady.

        Of all steady windows, at most 5 % are called unsteady by chance: each of the four tests
        is made at the confidence that together leaves so much (Šidák).
        """
        rows = self._pool.rows()
        series = {"throughput": _throughput(rows), "latency": _latency(rows)}
        enough = {what: points for what, points in series.items() if len(points) >= MIN_BATCHES}
        if not enough or sum(row[1] for row in rows) < MIN_COUNT:
            return Steady(None, 0.0, "too short a window to tell whether it was steady")
        found = [_judged(what, points) for what, points in enough.items()]
        unsteady = [steady for steady in found if not steady.ok]
        if unsteady:
            return max(unsteady, key=lambda steady: abs(steady.slope_share))
        return Steady(True, 0.0, "throughput and latency were steady")


def _throughput(rows: Sequence[tuple[float, ...]]) -> _Points:
    return _points(rows, [(row[1] / row[0], row[0]) for row in rows])


def _latency(rows: Sequence[tuple[float, ...]]) -> _Points:
    return _points(rows, [(row[2] / row[3] if row[3] else 0.0, row[3]) for row in rows])


def _points(rows: Sequence[tuple[float, ...]], values: list[tuple[float, float]]) -> _Points:
    whole_s = sum(row[0] for row in rows)
    points, start_s = [], 0.0
    for row, (value, weight) in zip(rows, values, strict=True):
        if weight > 0:
            points.append(((start_s + row[0] / 2) / whole_s, value, weight))
        start_s += row[0]
    return points


def _judged(what: str, points: _Points) -> Steady:
    """Judge one figure: is it a beginning unlike the rest, or a trend?"""
    change = trend(points)
    beginning = _beginning(points)
    rest = [point for point in points if point[0] > 1 / _PARTS]
    if beginning and not (len(rest) >= MIN_BATCHES and trend(rest)):
        side = "below" if beginning < 0 else "above"
        text = (
            f"warm-up was not over: {what} in the first fifth was "
            f"{abs(beginning):.0%} {side} that of the rest"
        )
        return Steady(False, beginning, text)
    if change:
        text = f"{what} {'rose' if change > 0 else 'fell'} by {abs(change):.0%} over the window"
        return Steady(False, change, text)
    return Steady(True, 0.0, "")


def trend(points: Sequence[tuple[float, float, float]]) -> float:
    """Return the change over the window as a share of the mean; 0 unless it is significant.

    A straight line is fitted by weighted least squares, and its slope tested by Student's t.

    Args:
        points: (time in shares of the window, value, weight), in order, 3 or more.
    """
    x_mean, y_mean = _mean([(x, w) for x, _, w in points]), _mean([(y, w) for _, y, w in points])
    xx = sum(w * (x - x_mean) ** 2 for x, _, w in points)
    if not y_mean or not xx:
        return 0.0
    slope = sum(w * (x - x_mean) * (y - y_mean) for x, y, w in points) / xx
    noise, df = _noise([(y - y_mean - slope * (x - x_mean), w) for x, y, w in points], 2)
    if abs(slope) <= _quantile(df) * noise / math.sqrt(xx):
        return 0.0
    return _if_it_matters(slope / y_mean)


def _beginning(points: _Points) -> float:
    """How far the first fifth was from the rest, as a share of the rest; 0 if not significant.

    The noise is that of the rest, as a beginning that differs may well be less even.
    """
    first = [(y, w) for x, y, w in points if x <= 1 / _PARTS]
    rest = [(y, w) for x, y, w in points if x > 1 / _PARTS]
    usual = _mean(rest)
    if not first or not usual:
        return 0.0
    difference = _mean(first) - usual
    noise, df = _noise([(y - usual, w) for y, w in rest], 1)
    weights = sum(w for _, w in first), sum(w for _, w in rest)
    if abs(difference) <= _quantile(df) * noise * math.sqrt(1 / weights[0] + 1 / weights[1]):
        return 0.0
    return _if_it_matters(difference / usual)


def _noise(residuals: Sequence[tuple[float, float]], fitted: int) -> tuple[float, float]:
    """Return the standard deviation of a value of weight 1, and its degrees of freedom.

    Where neighbours are alike, there are fewer of them: see ``batches.independent``.

    Args:
        residuals: (residual, weight), in order.
        fitted: Parameters that were fitted.
    """
    scaled = [math.sqrt(weight) * residual for residual, weight in residuals]
    squares = sum(residual * residual for residual in scaled)
    df = max(independent(scaled) - fitted, 1.0)
    return math.sqrt(squares / df), df


def _mean(values: Sequence[tuple[float, float]]) -> float:
    return sum(value * weight for value, weight in values) / sum(weight for _, weight in values)


def _if_it_matters(change: float) -> float:
    return change if abs(change) > MIN_CHANGE else 0.0


def _quantile(df: float) -> float:
    confidence = _CONFIDENCE ** (1 / _TESTS)
    return quantile((1 + confidence) / 2, df)
