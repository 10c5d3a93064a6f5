"""The charts of a validation, made of its steps: for a report, and for a live page.

All are data (``report.plots.spec``), and need no more than the steps so far.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from scalab.measure.figures import format_count, format_duration, format_rate
from scalab.report.plots.scales import Scale, Tick, durations, linear
from scalab.report.plots.spec import Area, Chart, Columns, Data, Dot, Dots, Layer, Line, Row
from scalab.scaling.usl import Fit, NoFit

from .model import Share, StepRow
from .words import MEANINGS, NONE, ratio_text, share_text, workers_text

_POINTS: Final = 60  # of a curve
_REACH: Final = 1.6  # a peak is shown up to so many times the most workers measured
_IDEAL: Final = 1.5  # the ideal line is shown up to so many times the highest throughput
_WIDTH: Final = 0.68  # of a column, where columns are 1 apart
_PARTS: Final = ("overhead", "run", "wait")  # the lowest of the stack first
_GROUPS: Final = (
    ("first, or passed", ("BASE", "PASS"), "c-pass"),
    ("failed", ("FAIL",), "c-fail"),
    ("not decided", ("INCONCLUSIVE", "INVALID", "ERROR"), "c-open"),
)
"""Steps by what became of them: name, outcomes, colour."""

_Range = tuple[float, float | None, float | None]


def scaling_curve(rows: Sequence[StepRow], law: Fit | NoFit) -> Chart | None:
    """Return throughput by workers: measured, ideal, and by the law.

    Args:
        rows: The steps so far.
        law: Fitted to them.

    Returns:
        The chart; None if nothing was measured.
    """
    shown = [row for row in rows if row.measured]
    if not shown:
        return None
    peak = _peak(law)
    most = max(row.step.workers for row in shown)
    x = linear(peak * 1.05 if peak and most < peak <= _REACH * most else most)
    each = (shown[0].ideal or 0.0) / shown[0].step.workers
    top = max(_throughput(row)[2] or _throughput(row)[0] for row in shown)
    y = linear(max(top, min(each * most, _IDEAL * top)))
    end = min(x.high, y.high / each)
    layers = (
        *_law_layers(law, x, y),
        Line("ideal", ((0.0, 0.0), (end, end * each)), "c-asked", "dotted"),
        *_dots(shown, _throughput, _curve_text),
    )
    return Chart(
        id="scaling",
        title="Throughput by workers",
        x_title="workers",
        y_title="successful requests per second",
        x=x,
        y=y,
        layers=layers,
        data=_curve_data(shown, law),
        note="Dots are measured, with their 95 % intervals. Ideal is as much per worker as in the "
        "first step.",
    )


def efficiency(rows: Sequence[StepRow], doubling: float | None) -> Chart | None:
    """Return throughput per worker as a share of the first step's, each doubling equally far.

    Args:
        rows: The steps so far.
        doubling: The ratio required per doubling, for the line below which steps fail; None
            leaves it out.

    Returns:
        The chart; None if there are not two steps to compare.
    """
    shown = [row for row in rows if row.measured and row.efficiency]
    if len({row.step.workers for row in shown}) < 2:
        return None
    x = doublings([row.step.workers for row in shown])
    first = shown[0].step.workers
    layers: list[Layer] = []
    ends = [first, max(row.step.workers for row in shown)]
    layers.append(Line("ideal", tuple((n, 1.0) for n in ends), "c-asked", "dotted"))
    if doubling is not None:
        points = tuple((n, _needed(n / first, doubling)) for n in _between(*ends))
        name = f"just enough: {doubling:.4g} per doubling"
        layers.append(Line(name, points, "c-needed", "dashed"))
    layers.append(Line("", tuple((r.step.workers, _share(r)[0]) for r in shown), "c-main"))
    layers += _dots(shown, _share, lambda row: share_text(row.efficiency))
    top = max(1.0, *(high or mean for mean, _, high in map(_share, shown)))
    return Chart(
        id="efficiency",
        title="Efficiency",
        x_title="workers (each doubling equally far)",
        y_title="throughput per worker, as a share of the first step's",
        x=x,
        y=_percents(linear(top)),
        layers=tuple(layers),
        data=Data(
            ("workers", "efficiency", "interval", "ratio"),
            tuple(
                _strip(row, x, share_text(row.efficiency), _bounds(row), ratio_text(row.decision))
                for row in shown
            ),
        ),
    )


def time_split(rows: Sequence[StepRow]) -> Chart | None:
    """Return what the mean request of each step spends its time on, as stacked columns.

    Returns:
        The chart; None if nothing ran.
    """
    shown = [row for row in rows if row.step.statistics.run.count]
    if not shown:
        return None
    half = _WIDTH / 2
    heights = [[getattr(row.step.statistics, part).mean_s for part in _PARTS] for row in shown]
    layers = []
    for n, part in reversed(list(enumerate(_PARTS))):
        # Drawn from 0 up to the sum of itself and those below it, which then cover it.
        bars = [(at - half, at + half, sum(means[: n + 1])) for at, means in enumerate(heights)]
        layers.append(Columns(part, tuple(bars), f"c-{part}"))
    return Chart(
        id="step-times",
        title="Where the time goes",
        x_title="workers",
        y_title="mean time of a request",
        x=_in_order(shown),
        y=durations(max(map(sum, heights))),
        layers=tuple(layers),
        data=Data(
            ("workers", "wait", "run", "overhead", "overhead's share"),
            tuple(
                Row(
                    (
                        format_count(row.step.workers),
                        *(format_duration(means[n]) for n in (2, 1, 0)),
                        NONE if row.overhead_share is None else f"{100 * row.overhead_share:.2g} %",
                    ),
                    at - half,
                    at + half,
                )
                for at, (row, means) in enumerate(zip(shown, heights, strict=True))
            ),
        ),
        note="Wait is in the queue, run on the device: where it grows with the workers, they are "
        "in each other's way. Overhead is what the framework and the network add.",
    )


def doublings(workers: Sequence[int]) -> Scale:
    """Return an axis for numbers of workers on which each doubling is equally far."""
    logs = sorted({math.log2(n) for n in workers if n > 0})
    low, high = logs[0] - 0.25, logs[-1] + 0.25
    ticks = tuple(
        Tick((log - low) / (high - low), format_count(round(2**log)), minor=_minor(i, len(logs)))
        for i, log in enumerate(logs)
    )
    return Scale(low, high, ticks, warp=_log2)


# --- the law -------------------------------------------------------------------------------


def _law_layers(law: Fit | NoFit, x: Scale, y: Scale) -> Iterator[Layer]:
    """Yield the law's curve with its band, and its limit and peak where they are in sight."""
    if isinstance(law, NoFit):
        return
    places = [1 + (x.high - 1) * i / (_POINTS - 1) for i in range(_POINTS)]
    curve = list(zip(places, law.band(places), strict=True))
    band = [
        (n, figure.low, figure.high) if figure.low is not None and figure.high is not None else None
        for n, figure in curve
    ]
    if any(band):
        yield Area("its 95 % band", tuple(band), "c-band")
    yield Line("scalability law", tuple((n, figure.value) for n, figure in curve), "c-law")
    if law.limit is not None and law.limit.value <= y.high:
        level = law.limit.value
        name = f"limit by contention, {format_rate(level)}"
        yield Line(name, ((0.0, level), (x.high, level)), "c-limit", "dashed")
    if (peak := _peak(law)) and peak <= x.high:
        yield Line(f"peak at {peak:.0f}", ((peak, 0.0), (peak, y.high)), "c-peak", "dashed")


def _peak(law: Fit | NoFit) -> float | None:
    """Return the workers of the law's peak, if it is known within an interval."""
    return law.peak.value if isinstance(law, Fit) and law.peak else None


def _curve_data(shown: Sequence[StepRow], law: Fit | NoFit) -> Data:
    rows = []
    for row in shown:
        by_law = NONE if isinstance(law, NoFit) else format_rate(law.throughput(row.step.workers))
        mean, low, high = _throughput(row)
        cells = (
            format_rate(mean),
            NONE if low is None or high is None else f"{format_rate(low)} to {format_rate(high)}",
            NONE if row.ideal is None else format_rate(row.ideal),
            by_law,
        )
        n = row.step.workers
        rows.append(Row((format_count(n), *cells), n - 0.4, n + 0.4))
    return Data(("workers", "measured", "interval", "ideal", "by the law"), tuple(rows))


# --- parts ---------------------------------------------------------------------------------


def _dots(
    rows: Sequence[StepRow], value: Callable[[StepRow], _Range], text: Callable[[StepRow], str]
) -> Iterator[Dots]:
    """Yield the steps as dots, in a group each by what became of them."""
    for name, outcomes, colour in _GROUPS:
        dots = [
            Dot(row.step.workers, *value(row), _dot_text(row, text(row)))
            for row in rows
            if row.outcome in outcomes
        ]
        if dots:
            yield Dots(name, tuple(dots), colour)


def _dot_text(row: StepRow, text: str) -> str:
    return f"{workers_text(row.step.workers)}: {text}, {MEANINGS[row.outcome]}"


def _curve_text(row: StepRow) -> str:
    return format_rate(row.step.throughput.mean)


def _throughput(row: StepRow) -> _Range:
    return row.step.throughput.mean, row.step.throughput.low, row.step.throughput.high


def _share(row: StepRow) -> _Range:
    share = row.efficiency or Share(0.0)
    return share.mean, share.low, share.high


def _bounds(row: StepRow) -> str:
    _, low, high = _share(row)
    if low is None or high is None:
        return NONE
    return f"{100 * low:.1f} to {100 * high:.1f} %"


def _needed(times: float, doubling: float) -> float:
    """Return the efficiency that is left if each doubling multiplies throughput by so much."""
    return float((doubling / 2) ** math.log2(times))


def _between(first: int, last: int) -> list[float]:
    return [first * (last / first) ** (i / 20) for i in range(21)]


def _strip(row: StepRow, x: Scale, *cells: str) -> Row:
    """Return a row of data that is told over a stretch around its step."""
    half = (x.high - x.low) / 60
    log = math.log2(row.step.workers)
    return Row((format_count(row.step.workers), *cells), 2 ** (log - half), 2 ** (log + half))


def _in_order(rows: Sequence[StepRow]) -> Scale:
    """Return an axis with a place for each step."""
    low, high = -0.6, len(rows) - 0.4
    ticks = (
        Tick((at - low) / (high - low), format_count(row.step.workers), minor=_minor(at, len(rows)))
        for at, row in enumerate(rows)
    )
    return Scale(low, high, tuple(ticks))


def _minor(at: int, of: int) -> bool:
    """Whether a step's label may be left out where there is little room."""
    return of > 6 and at % 2 == 1


def _percents(scale: Scale) -> Scale:
    labelled = ((tick.at, scale.low + tick.at * (scale.high - scale.low)) for tick in scale.ticks)
    ticks = tuple(Tick(at, f"{100 * value:.0f} %") for at, value in labelled)
    return Scale(scale.low, scale.high, ticks)


def _log2(value: float) -> float:
    return math.log2(value) if value > 0 else -math.inf
