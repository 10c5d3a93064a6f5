"""The throughput of a closed loop: from latencies where that is right, else from counts.

With P requests in flight all the time, throughput is P over the mean latency: Little's law,
J. D. C. Little, A proof for the queuing formula L = λW, Operations Research 9 (1961), 383-387. It
is much surer than a count where run times hardly vary. Then twenty runs tell all, while a count
doesn't see up to one run that either end of the window cuts off.

It is only as good as its premises. A lane that rests, or a request that never ends, isn't in the
latencies, and throughput seems higher than it is. Both show in that the latencies of a window don't
add up to P times its length.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import attrs

from scalab.measure.batches import (
    CONFIDENCE,
    MIN_BATCHES,
    MIN_COUNT,
    Estimate,
    mean,
    pooled,
    rate,
)
from scalab.measure.figures import format_share
from scalab.measure.histogram import Histogram
from scalab.measure.student import quantile
from scalab.measure.window import Window

Method = Literal["latency", "count"]

MOST_BATCHES: Final = 20
"""Longer batches depend less on each other, and more of them hardly narrow an interval."""
LEAST_ERROR: Final = 1e-3
"""As a share: what batches can't show, such as a clock's rate or how soon a lane goes on."""

_ROUNDED = 1.01  # what histograms tell of the ends is rounded by up to 0.1 %


class Row(NamedTuple):
    """What was counted in a stretch of the window."""

    duration_s: float
    succeeded: float
    latency_s: float
    """The latencies of all replies, failed ones included, added up."""


@attrs.frozen
class Throughput:
    """Successful requests per second, and how they were found."""

    estimate: Estimate
    method: Method
    text: str
    """Why it was found so, for people, in one line."""


def throughput(window: Window, parallel: float, confidence: float = CONFIDENCE) -> Throughput:
    """Return the rate at which requests succeeded in a window of a closed loop without delay.

    Args:
        window: With steady load; the warm-up was before it.
        parallel: Requests in flight all the time.
        confidence: Of the interval.
    """
    whole = window.whole
    rows = [
        _row(group.duration_s, group.whole.succeeded, group.whole.total) for group in window.groups
    ]
    busy_s = whole.run.mean_s + whole.overhead.mean_s
    return from_rows(
        rows, parallel, busy_s=busy_s, edge_s=edge_s(whole.total), confidence=confidence
    )


def from_rows(
    rows: Sequence[Row],
    parallel: float,
    *,
    busy_s: float,
    edge_s: float,
    confidence: float = CONFIDENCE,
) -> Throughput:
    """Return the same of what was counted, stretch by stretch.

    Args:
        rows: In order.
        parallel: Requests in flight all the time.
        busy_s: Seconds for which a request keeps a worker busy, on average.
        edge_s: Seconds of latency per lane that the window's ends may add or take; see ``edge_s``.
        confidence: Of the interval.
    """
    counted = rate([(row.duration_s, row.succeeded) for row in rows], confidence, 2 * busy_s)
    problem = _premises(rows, parallel, edge_s)
    if problem:
        return Throughput(counted, "count", problem)
    found = _by_latency(rows, parallel, edge_s, confidence)
    if found.error is None:
        return Throughput(counted, "count", "too few latencies; requests were counted")
    return Throughput(found, "latency", f"{parallel:g} in flight over their mean latency")


def edge_s(latencies: Histogram) -> float:
    """Return the latency per lane, in seconds, that a window's ends may add or take away.

    What was in flight at the start is in the latencies with its time before the window, and what
    is in flight at the end is not in them. Each is the mean age of a request in flight,
    E[L²] / 2 E[L] by renewal theory (W. Feller, An Introduction to Probability Theory and Its
    Applications, vol. 2, section XI.4), and they may differ by about two of them.
    """
    if not latencies.sum_us:
        return 0.0
    squares = math.fsum(count * float(value) ** 2 for value, count in latencies.buckets.items())
    return squares / latencies.sum_us / 1e6


def _row(duration_s: float, succeeded: int, latencies: Histogram) -> Row:
    return Row(duration_s, succeeded, latencies.sum_us / 1e6)


def _premises(rows: Sequence[Row], parallel: float, edge_s: float) -> str:
    """Why latencies can't tell the throughput; "" if they can."""
    duration_s = math.fsum(row.duration_s for row in rows)
    latency_s = math.fsum(row.latency_s for row in rows)
    if sum(row.succeeded for row in rows) < MIN_COUNT or duration_s < MIN_BATCHES * edge_s:
        return "too short a window for latencies; requests were counted"
    lanes_s = parallel * duration_s
    if abs(latency_s - lanes_s) > _ROUNDED * parallel * edge_s:
        return (
            f"requests were counted: latencies tell of {format_share(latency_s, lanes_s)} of "
            f"{parallel:g} requests in flight all the time"
        )
    return ""


def _by_latency(rows: Sequence[Row], parallel: float, edge_s: float, confidence: float) -> Estimate:
    """A rate per second of one lane's time, times the lanes; the batches' weights are that time."""
    duration_s = math.fsum(row.duration_s for row in rows)
    batch_s = max(edge_s, duration_s / MOST_BATCHES)
    batches = [Row(*sums) for sums in pooled(rows, batch_s)]
    lanes = [(row.latency_s / parallel, row.succeeded) for row in batches]
    found = mean([(n / lane_s, lane_s) for lane_s, n in lanes if lane_s > 0], confidence)
    least = LEAST_ERROR * found.mean
    if found.error is None or found.error >= least:
        return found
    # What is left of differences is rounding, and tells nothing of how many are independent.
    half = quantile((1 + confidence) / 2, len(batches) - 1) * least
    low, high = max(found.mean - half, 0.0), found.mean + half
    return Estimate(found.mean, least, low, high, len(batches), confidence)
