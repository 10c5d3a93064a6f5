"""Whether something grows with time: pure."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import linear_regression


def grown(values: Sequence[float]) -> float:
    """Return by how much the least value of the last third is above that of the first.

    The least one, as something may always be under way when one looks; a leak raises it, too.
    The first value of all is left out: there, much was not yet used for the first time.

    Args:
        values: In the order of time, seven at least.
    """
    values = values[1:]
    third = len(values) // 3
    assert third >= 2, f"too few values: {values}"
    return min(values[-third:]) - min(values[:third])


def trend(times: Sequence[float], values: Sequence[float]) -> float:
    """Return by how much a straight line through the values rises from the first to the last.

    For what is never the same twice, as memory. The first value is left out here, too.
    """
    times, values = times[1:], values[1:]
    return linear_regression(times, values).slope * (times[-1] - times[0])
