"""Measured throughputs, each with so many workers, and whether more than ideal was gained."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import NormalDist
from typing import Final

import attrs

MAX_WORKERS: Final = 10**9
THROUGHPUTS: Final = (1e-100, 1e100)
"""Requests per second; with more or less, squares aren't numbers any more."""
LEAST_ERROR: Final = 0.005
"""Share of the throughput; smaller errors count as this, as no system keeps to a law so exactly."""
SUPERLINEAR_SHARE: Final = 0.01
"""Gains above ideal that are smaller are no finding, however sure."""
SUPERLINEAR_UNKNOWN: Final = 0.05
"""The same where it isn't known how sure the throughputs are."""
_CHANCE = 0.01  # of finding a gain above ideal by chance alone


@attrs.frozen
class Point:
    """A measurement."""

    workers: int
    throughput: float
    """Successful requests per second."""
    error: float | None = None
    """Its standard error; None if that is unknown."""

    @property
    def usable(self) -> bool:
        """Whether the law can say anything of it."""
        least, most = THROUGHPUTS
        return 1 <= self.workers <= MAX_WORKERS and least < self.throughput < most

    @property
    def relative_error(self) -> float | None:
        """The error as a share of the throughput, within reason; None if it is unknown."""
        if self.error is None or not 0.0 <= self.error < math.inf:
            return None
        return min(max(self.error / self.throughput, LEAST_ERROR), 1.0)


def relative_errors(points: Iterable[Point]) -> list[float]:
    """Return all points' errors as shares, those unknown as the largest that is known.

    If none is known, all are 1.
    """
    shares = [point.relative_error for point in points]
    largest = max((share for share in shares if share is not None), default=1.0)
    return [largest if share is None else share for share in shares]


def superlinear(points: Iterable[Point]) -> int | None:
    """Return the workers that gained most above ideal, if any gained more than noise can.

    Ideal is the throughput per worker of the fewest workers. A gain is a finding if it is above
    1 % and beyond chance (by the normal distribution, at 99 % for all numbers of workers together),
    or above 5 % where errors are unknown.
    """
    sizes: dict[int, list[Point]] = {}
    for point in points:
        if point.usable:
            sizes.setdefault(point.workers, []).append(point)
    if len(sizes) < 2:
        return None
    first, *others = sorted(sizes)
    ideal, ideal_error = _per_worker(sizes[first])
    z = NormalDist().inv_cdf(1 - _CHANCE / len(others))
    gains: dict[int, float] = {}
    for size in others:
        each, error = _per_worker(sizes[size])
        ratio, least = each / ideal, SUPERLINEAR_UNKNOWN
        if error is not None and ideal_error is not None:
            least = max(SUPERLINEAR_SHARE, z * ratio * math.hypot(error, ideal_error))
        if ratio - 1 > least:
            gains[size] = ratio
    return max(gains, key=gains.__getitem__, default=None)


def _per_worker(points: Sequence[Point]) -> tuple[float, float | None]:
    """The mean throughput per worker of measurements with as many, and its relative error."""
    n = len(points)
    mean = math.fsum(point.throughput / n / point.workers for point in points)
    known = [point.relative_error for point in points if point.relative_error is not None]
    return mean, math.hypot(*known) / n if len(known) == n else None
