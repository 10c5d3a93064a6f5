"""A scaling curve in characters: both axes logarithmic, so that ideal is a straight line."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

from scalab.measure.figures import format_count, format_rate
from scalab.scaling.usl import Fit, NoFit

from .model import StepRow

HEIGHT: Final = 9
"""Lines of the plot itself."""
LEAST_STEPS: Final = 3
"""Fewer steps make no curve."""

_STEP: Final = 12  # columns from one doubling to the next
_MOST: Final = 80  # columns of the plot
_LABEL: Final = 9  # columns of the axis' labels


def draw_curve(rows: Sequence[StepRow], law: Fit | NoFit) -> Iterator[str]:
    """Yield the lines of a plot of throughput by workers; none if there are too few steps.

    Args:
        rows: The steps: ``o`` where it was measured, ``/`` where it would be ideal.
        law: Its curve, where it is known: ``.``.
    """
    shown = [row for row in rows if row.measured and row.ideal]
    sizes = sorted({row.step.workers for row in shown})
    if len(sizes) < LEAST_STEPS:
        return
    low, high = math.log2(sizes[0]), math.log2(sizes[-1])
    columns = min(round((high - low) * _STEP), _MOST)
    values = [row.step.throughput.mean for row in shown] + [row.ideal or 0.0 for row in shown]
    floor, top = math.log2(min(values)), math.log2(max(values))
    grid = [[" "] * (columns + 1) for _ in range(HEIGHT)]

    def put(workers: float, rate: float, sign: str) -> None:
        if rate > 0:
            x = round((math.log2(workers) - low) / (high - low) * columns)
            y = round((math.log2(rate) - floor) / ((top - floor) or 1.0) * (HEIGHT - 1))
            if 0 <= y < HEIGHT:
                grid[HEIGHT - 1 - y][x] = sign

    each = (shown[0].ideal or 0.0) / shown[0].step.workers
    for column in range(columns + 1):
        workers = 2 ** (low + (high - low) * column / columns)
        put(workers, workers * each, "/")
        if isinstance(law, Fit):
            put(workers, law.throughput(workers), ".")
    for row in shown:
        put(row.step.workers, row.step.throughput.mean, "o")
    legend = "o measured   / ideal" + "   . scalability law" * isinstance(law, Fit)
    yield f"{'reqs/s':>{_LABEL}} | {legend}"
    for at, cells in enumerate(grid):
        level = 2 ** (top - (top - floor) * at / (HEIGHT - 1))
        label = _label(level) if at % 4 == 0 else ""
        yield f"{label:>{_LABEL}} |{''.join(cells)}".rstrip()
    yield f"{'workers':>{_LABEL}}  {_ticks(sizes, low, high, columns)}"


def _label(rate: float) -> str:
    text = format_rate(rate).removesuffix("/s")
    return text if len(text) <= _LABEL else f"{rate:.3g}"


def _ticks(sizes: Sequence[int], low: float, high: float, columns: int) -> str:
    """Return the labels of the steps, those left out that would run into the one before."""
    line = ""
    for size in sizes:
        at = round((math.log2(size) - low) / (high - low) * columns)
        label = format_count(size)
        start = max(at - len(label) // 2, 0)
        if not line or start > len(line):
            line = line.ljust(start) + label
    return line
