"""The charts of a run over time, made of its intervals: for a report, and for a live page.

Lines show every interval that there is; the table behind a chart has at most ``ROWS`` rows, made
by merging neighbouring intervals, whose percentiles are exact.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Final

import attrs

from scalab.measure.aggregate import Aggregate
from scalab.measure.counts import OTHERS
from scalab.measure.figures import format_count, format_duration, format_rate
from scalab.measure.histogram import Histogram
from scalab.measure.interval import MEASURE, Interval
from scalab.measure.timeline import Timeline
from scalab.protocol.text import printable
from scalab.runfile.records import Event

from .plots.scales import Scale, at_clock, clock, durations, linear
from .plots.spec import Area, Chart, Columns, Data, Layer, Line, Mark, Row, Shade

ROWS: Final = 100
"""Rows of the table behind a chart."""
MAX_MARKS: Final = 99
NONE: Final = "–"  # noqa: RUF001 - stands for no value
_COLOURS: Final = 4  # of kinds of failures
_UNMARKED: Final = frozenset({"phase"})  # shown as shades
_LOG_FROM: Final = 30  # a latency axis is logarithmic from this ratio of long to usual on
_PERCENTILES: Final = ((50, "p50"), (95, "p95"), (99, "p99"))
_TIME: Final = "time since the start"
_PARTS: Final = ("overhead", "run", "wait")  # the lowest of the stack first


@attrs.frozen
class Course:
    """A run over time, and what all its charts have in common."""

    intervals: tuple[Interval, ...]
    rows: tuple[Interval, ...]
    """The same, in at most ``ROWS``."""
    open_loop: bool
    x: Scale
    shades: tuple[Shade, ...]
    """What was not measured."""
    marks: tuple[Mark, ...]


def course(intervals: Iterable[Interval], events: Iterable[Event], *, open_loop: bool) -> Course:
    """Return what the charts over time are made of.

    Args:
        intervals: In order; no more than there are pixels, such as those of a ``Timeline``.
        events: In order; marked are those of ``marked``.
        open_loop: The level asked for is a rate, not a number of requests in parallel.
    """
    # All queues together, once: every chart asks for them.
    kept = tuple(attrs.evolve(i, queues={"": i.whole}) for i in intervals)
    pool = Timeline(ROWS)
    for interval in kept:
        pool.add(interval)
    start, end = (kept[0].from_s, kept[-1].to_s) if kept else (0.0, 0.0)
    return Course(
        intervals=kept,
        rows=tuple(pool),
        open_loop=open_loop,
        x=clock(end, min(start, 0.0)),
        shades=tuple(_shades(kept)),
        marks=tuple(Mark(event.at_s, printable(event.text, 120)) for event in marked(events)),
    )


def marked(events: Iterable[Event]) -> list[Event]:
    """Return the events that are marked in charts, in the order of their numbers, from 1."""
    return [event for event in events if event.kind not in _UNMARKED][:MAX_MARKS]


def _shades(intervals: Iterable[Interval]) -> Iterable[Shade]:
    for phase, stretch in groupby(intervals, key=lambda interval: interval.phase):
        if phase != MEASURE:
            first, *others = stretch
            end_s = (others or [first])[-1].to_s
            yield Shade(first.from_s, end_s, printable(phase, 20))


# --- charts --------------------------------------------------------------------------------


def throughput(of: Course) -> Chart:
    """Return completions per second, and in an open loop the rate that was asked for."""
    done = Line("completed", _line(of, lambda i: _per_s(i, i.whole.completed)), "c-main")
    layers: tuple[Layer, ...] = (done,)
    if of.open_loop:
        layers = (Line("asked", _asked(of), "c-asked", "dotted"), done)
    return _chart(
        of,
        id="throughput",
        title="Throughput",
        y_title="completions per second",
        y=linear(_highest(layers)),
        layers=layers,
        head=("phase", "asked", "sent", "completed", "failed", "rate"),
        cells=lambda i: (
            printable(i.phase, 20),
            _level(i, of.open_loop),
            format_count(i.whole.sent),
            format_count(i.whole.completed),
            format_count(i.whole.failed),
            format_rate(_per_s(i, i.whole.completed)),
        ),
    )


def in_flight(of: Course) -> Chart:
    """Return the requests without an answer, and in a closed loop those asked for in parallel."""
    layers: tuple[Layer, ...] = (
        Line("in flight", _line(of, lambda i: i.outstanding, at_end=True), "c-main"),
    )
    if not of.open_loop:
        layers = (Line("in parallel, asked", _asked(of), "c-asked", "dotted"), *layers)
    return _chart(
        of,
        id="in-flight",
        title="Requests in flight",
        y_title="requests",
        y=linear(max(_highest(layers), 4)),
        layers=layers,
        head=("asked", "in flight at the end", "dropped", "held"),
        cells=lambda i: (
            _level(i, of.open_loop),
            format_count(i.outstanding),
            format_count(i.whole.dropped),
            format_count(i.whole.held),
        ),
    )


def latency(of: Course) -> Chart:
    """Return percentiles of raw latency, and of the corrected one where there is such."""
    layers: tuple[Layer, ...] = _percentiles(of, "total", "raw" if of.open_loop else "", "c-raw")
    if of.open_loop:
        corrected = _percentiles(of, "corrected", "corrected", "c-corrected", "dashed")
        layers = (*layers, *corrected)  # dashes on top: what is below shows through
    return _chart(
        of,
        id="latency",
        title="Latency",
        y_title="time from sending a request to its reply"
        if not of.open_loop
        else "time to the reply, from sending (raw) and from the intended time (corrected)",
        y=_duration_scale(layers),
        layers=layers,
        head=tuple(layer.name for layer in layers),
        cells=_percentile_cells(("total", "corrected") if of.open_loop else ("total",)),
    )


def time_split(of: Course) -> Chart:
    """Return what the mean request spends its time on, as a stack."""
    heights = [_means(interval.whole) for interval in of.intervals]
    layers = []
    for n, part in enumerate(_PARTS):
        points = [
            (_middle(interval), sum(means[:n]), sum(means[: n + 1])) if means else None
            for interval, means in zip(of.intervals, heights, strict=True)
        ]
        layers.append(Area(part, tuple(points), f"c-{part}"))
    return _chart(
        of,
        id="time-split",
        title="Where the time goes",
        y_title="mean time of the requests answered",
        y=durations(max((sum(means) for means in heights if means), default=0.0)),
        layers=tuple(reversed(layers)),
        head=("wait", "run", "overhead"),
        cells=lambda i: tuple(
            _duration(getattr(i.whole, part), getattr(i.whole, part).mean_s)
            for part in reversed(_PARTS)
        ),
        note="Wait is in the queue, run on the device; overhead is what the framework and the "
        "network add.",
    )


def schedule_delay(of: Course) -> Chart | None:
    """Return how late requests were sent; None if none had an intended time of sending."""
    if not any(interval.whole.delay.count for interval in of.intervals):
        return None
    layers = (
        Line("p50", _quantile(of, "delay", 50), "c-raw-p50"),
        Line("p99", _quantile(of, "delay", 99), "c-raw-p99"),
        Line("p99 of the client's own", _quantile(of, "late", 99), "c-corrected-p99", "dashed"),
    )
    return _chart(
        of,
        id="schedule-delay",
        title="Schedule delay",
        y_title="time from the intended time of sending to sending",
        y=_duration_scale(layers),
        layers=layers,
        head=("p50", "p99", "p99, own", "held", "dropped"),
        cells=lambda i: (
            _at(i.whole.delay, 50),
            _at(i.whole.delay, 99),
            _at(i.whole.late, 99),
            format_count(i.whole.held),
            format_count(i.whole.dropped),
        ),
        note="The client's own is that of requests which had room all the time; the others waited "
        "because the limit of requests in flight was reached.",
    )


def failures(of: Course) -> Chart | None:
    """Return failed requests per second by kind, as columns; None if there were none."""
    kinds = _kinds(of)
    if not kinds:
        return None
    counted = [_failed(interval, kinds) for interval in of.intervals]
    layers = []
    for at, kind in enumerate(kinds):
        # Drawn from 0 up to the sum of itself and those after it, which then cover it.
        heights = [_per_s(i, sum(n[at:])) for i, n in zip(of.intervals, counted, strict=True)]
        bars = [(i.from_s, i.to_s, y) for i, y in zip(of.intervals, heights, strict=True) if y > 0]
        layers.append(Columns(printable(kind, 40), tuple(bars), f"c-failure-{at}"))
    return _chart(
        of,
        id="failures",
        title="Failures",
        y_title="failed requests per second",
        y=linear(max(y for _, _, y in layers[0].bars)),
        layers=tuple(layers),
        head=("all", *(layer.name for layer in layers)),
        cells=lambda i: (
            format_count(i.whole.failed),
            *(format_count(n) for n in _failed(i, kinds)),
        ),
    )


# --- parts ---------------------------------------------------------------------------------


def _chart(
    of: Course,
    *,
    id: str,  # noqa: A002 - the name of the field
    title: str,
    y_title: str,
    y: Scale,
    layers: tuple[Layer, ...],
    head: tuple[str, ...],
    cells: Callable[[Interval], tuple[str, ...]],
    note: str = "",
) -> Chart:
    return Chart(
        id=id,
        title=title,
        note=note,
        x_title=_TIME,
        y_title=f"{y_title} (logarithmic)" if y.log else y_title,
        x=of.x,
        y=y,
        layers=layers,
        data=Data(
            ("time", *head),
            tuple(Row((_when(i), *cells(i)), i.from_s, i.to_s) for i in of.rows),
        ),
        shades=of.shades,
        marks=of.marks,
    )


def _kinds(of: Course) -> list[str]:
    """Return the kinds of failures, the most frequent first; those beyond the colours as one."""
    counted: Counter[str] = Counter()
    for interval in of.intervals:
        counted.update(interval.whole.failures)
    kinds = [kind for kind, _ in counted.most_common()]
    return kinds if len(kinds) <= _COLOURS else [*kinds[: _COLOURS - 1], OTHERS]


def _failed(interval: Interval, kinds: Sequence[str]) -> list[int]:
    """Return the failures of an interval by kind."""
    failures = interval.whole.failures
    others = sum(n for kind, n in failures.items() if kind not in kinds)
    return [others if kind == OTHERS else failures.get(kind, 0) for kind in kinds]


def _line(
    of: Course, value: Callable[[Interval], float | None], *, at_end: bool = False
) -> tuple[tuple[float, float | None], ...]:
    return tuple((i.to_s if at_end else _middle(i), value(i)) for i in of.intervals)


def _asked(of: Course) -> tuple[tuple[float, float | None], ...]:
    """Return the level asked for: linear within an interval, and it may jump between two."""
    return tuple(
        point for i in of.intervals for point in ((i.from_s, i.level_from), (i.to_s, i.level_to))
    )


def _percentiles(
    of: Course, name: str, prefix: str, colour: str, dash: str = ""
) -> tuple[Line, ...]:
    return tuple(
        Line(f"{prefix} {label}".strip(), _quantile(of, name, q), f"{colour}-{label}", dash)
        for q, label in _PERCENTILES
    )


def _quantile(of: Course, name: str, q: float) -> tuple[tuple[float, float | None], ...]:
    def value(interval: Interval) -> float | None:
        histogram: Histogram = getattr(interval.whole, name)
        return histogram.percentile(q) if histogram.count else None

    return _line(of, value)


def _percentile_cells(names: Sequence[str]) -> Callable[[Interval], tuple[str, ...]]:
    return lambda i: tuple(
        _at(getattr(i.whole, name), q) for name in names for q, _ in _PERCENTILES
    )


def _means(whole: Aggregate) -> list[float]:
    """Return the mean overhead, run and wait of the requests answered; nothing if none was."""
    return [getattr(whole, part).mean_s for part in _PARTS] if whole.run.count else []


def _duration_scale(lines: Iterable[Layer]) -> Scale:
    """Return an axis on which both the usual and the longest durations can be read."""
    values = sorted(_values(lines))
    if not values:
        return durations(1.0)
    positive = [value for value in values if value > 0]
    usual, longest = values[len(values) // 2], values[-1]
    return durations(longest, positive[0] if 0 < _LOG_FROM * usual < longest else None)


def _highest(layers: Iterable[Layer]) -> float:
    return max(_values(layers), default=0.0)


def _values(layers: Iterable[Layer]) -> list[float]:
    lines = [layer for layer in layers if isinstance(layer, Line)]
    return [y for line in lines for _, y in line.points if y is not None]


def _middle(interval: Interval) -> float:
    return (interval.from_s + interval.to_s) / 2


def _per_s(interval: Interval, n: int) -> float:
    return n / interval.duration_s if interval.duration_s > 0 else 0.0


def _level(interval: Interval, is_rate: bool) -> str:
    ends = dict.fromkeys((interval.level_from, interval.level_to))  # one if it doesn't change
    return " → ".join(format_rate(level) if is_rate else f"{level:,.3g}" for level in ends)


def _when(interval: Interval) -> str:
    if interval.to_s < 100:
        return f"{interval.from_s:.3g} to {interval.to_s:.3g} s"
    return f"{at_clock(interval.from_s)} to {at_clock(interval.to_s)}"


def _at(histogram: Histogram, q: float) -> str:
    return _duration(histogram, histogram.percentile(q))


def _duration(histogram: Histogram, seconds: float) -> str:
    return format_duration(seconds) if histogram.count else NONE
