"""Whether something grows with time: pure."""

from __future__ import annotations

from collections.abc import Sequence


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
