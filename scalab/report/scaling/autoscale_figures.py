"""The charts of a run with an autoscaler: the queue, the workers, and the life of each of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import attrs

from scalab.measure.figures import format_count, format_duration
from scalab.protocol.text import printable
from scalab.report.figures import NONE
from scalab.report.plots.scales import Scale, Tick, clock, linear
from scalab.report.plots.spec import Area, Chart, Data, Layer, Line, Mark, Row, Shade
from scalab.scaling.autoscale import AutoscaleReport
from scalab.scaling.observed import Sample, WorkerLife

MAX_LIVES: Final = 60
"""Bars of workers; the first that were asked for."""
MAX_MARKS: Final = 50
_POINTS: Final = 600  # of a line: about as many as there are pixels
_ROWS: Final = 100  # of a table
_TIME: Final = "time since the start"
_HEAD: Final = (
    *("time", "load", "waiting", "running", "needed", "desired", "ready", "connected"),
    "run again",
)


def charts(report: AutoscaleReport) -> tuple[Chart, ...]:
    """Return the charts, all with the same axis of time; none if nothing was seen."""
    if len(report.samples) < 2:
        return ()
    drawn = [_items(report), _workers(report)]
    if report.lives:
        drawn.append(_lives(report))
    return tuple(drawn)


def _items(report: AutoscaleReport) -> Chart:
    seen, per_worker = thinned(report.samples, _POINTS), report.target.items
    running = tuple((s.at_s, 0.0, float(s.running)) for s in seen)
    waiting = tuple((s.at_s, float(s.running), float(s.demand)) for s in seen)
    capacity = _steps(seen, lambda s: s.connected * per_worker)
    return _over_time(
        report,
        id="autoscale-items",
        title="The queue",
        y_title="items",
        y=linear(max(*(s.demand for s in seen), _highest(capacity))),
        layers=(
            Area("waiting", waiting, "c-wait"),
            Area("running", running, "c-run"),
            Line("target of the workers connected", capacity, "c-asked", "dashed"),
        ),
        note="Demand is what waits and runs. As long as it is above the dashed line, there are not "
        "enough workers.",
    )


def _workers(report: AutoscaleReport) -> Chart:
    seen, target = thinned(report.samples, _POINTS), report.target
    lines = (
        Line("needed", _steps(seen, lambda s: target.needed(s.demand)), "c-asked", "dotted"),
        Line("ready", _steps(seen, lambda s: s.ready), "c-overhead"),
        Line("connected", _steps(seen, lambda s: s.connected), "c-main"),
        Line("desired", _steps(seen, lambda s: s.desired), "c-corrected-p95", "dashed"),
    )
    return _over_time(
        report,
        id="autoscale-workers",
        title="Workers",
        y_title="workers",
        y=linear(max(_highest(line.points) for line in lines)),
        layers=lines,
        note="Needed: what demand calls for, within the limits. Desired: what the autoscaler asks "
        "for.",
    )


def _lives(report: AutoscaleReport) -> Chart:
    """Return a bar per worker, the first one at the top."""
    shown, end_s = report.lives[:MAX_LIVES], report.samples[-1].at_s
    x = _clock(report)
    every = math.ceil(len(shown) / 10)
    ticks = tuple(
        Tick(1 - (i + 0.5) / len(shown), str(i + 1))
        for i in range(len(shown))
        if not (i + 1) % every
    )
    parts = [_bars(life, max(end_s, life.asked_s)) for life in shown]
    layers = []
    for name, colour in (("starting", "c-wait"), ("ready", "c-overhead"), ("working", "c-run")):
        points: list[tuple[float, float, float] | None] = []
        for i, bars in enumerate(parts):
            low, high = len(shown) - i - 0.85, len(shown) - i - 0.15
            if (bar := bars.get(name)) is not None:
                points += [(bar[0], low, high), (bar[1], low, high), None]
        layers.append(Area(name, tuple(points), colour))
    more = len(report.lives) - len(shown)
    return Chart(
        id="autoscale-lives",
        title="The life of each worker",
        x_title=_TIME,
        y_title="number of the worker",
        x=x,
        y=Scale(0.0, float(len(shown)), ticks),
        layers=tuple(layers),
        data=Data(
            ("number", "name", "asked", "created", "scheduled", "ready", "first item", "gone"),
            # Without a stretch of time: those of several workers lie one above the other.
            tuple(Row((str(i), *_life(life)), 0.0, 0.0) for i, life in enumerate(shown, 1)),
        ),
        note="Starting: from being asked for to being ready. Working: from the first item."
        + (f" {format_count(more)} more are not shown." if more else ""),
        marks=_marks(report),
    )


def _bars(life: WorkerLife, end_s: float) -> dict[str, tuple[float, float]]:
    """Return from when to when a worker was what; what nobody saw is left out."""
    gone_s = end_s if life.gone_s is None else life.gone_s
    first_s = gone_s if life.first_item_s is None else min(life.first_item_s, gone_s)
    ready_s = first_s if life.ready_s is None else min(life.ready_s, first_s)
    spans = {
        "starting": (life.asked_s, ready_s),
        "ready": (ready_s, first_s),
        "working": (first_s, gone_s),
    }
    return {name: span for name, span in spans.items() if span[0] < span[1]}


def _life(life: WorkerLife) -> tuple[str, ...]:
    times = attrs.astuple(life)[1:]
    return printable(life.name, 64), *(NONE if t is None else f"{t:.1f} s" for t in times)


# --- parts -----------------------------------------------------------------------------------


def _over_time(
    report: AutoscaleReport,
    *,
    id: str,  # noqa: A002 - the name of the field
    title: str,
    y_title: str,
    y: Scale,
    layers: tuple[Layer, ...],
    note: str,
) -> Chart:
    return Chart(
        id=id,
        title=title,
        x_title=_TIME,
        y_title=y_title,
        x=_clock(report),
        y=y,
        layers=layers,
        data=Data(_HEAD, tuple(_rows(report))),
        note=note,
        shades=tuple(Shade(d.from_s, d.to_s, "scale-down") for d in report.losses.scale_downs),
        marks=_marks(report),
    )


def _clock(report: AutoscaleReport) -> Scale:
    return clock(report.samples[-1].at_s, min(report.samples[0].at_s, 0.0))


def _marks(report: AutoscaleReport) -> tuple[Mark, ...]:
    return tuple(
        Mark(r.start_s, f"demand rises: up to {format_count(r.demand)} items, {r.needed} needed")
        for r in report.rises[:MAX_MARKS]
    )


def _rows(report: AutoscaleReport) -> Iterator[Row]:
    shown = thinned(report.samples, _ROWS)
    ends = [*(s.at_s for s in shown[1:]), report.samples[-1].at_s]
    for s, end_s in zip(shown, ends, strict=True):
        counts = (s.waiting, s.running, report.target.needed(s.demand), s.desired, s.ready)
        cells = (
            format_duration(s.at_s),
            f"{s.level:,.4g}",
            *map(format_count, counts),
            f"{s.connected:,.4g}",
            format_count(s.redelivered),
        )
        yield Row(cells, s.at_s, end_s)


def thinned(samples: Sequence[Sample], most: int) -> list[Sample]:
    """Return at most so many samples: of neighbours, the one with the highest demand."""
    step = math.ceil(len(samples) / most)
    return [
        max(samples[i : i + step], key=lambda s: s.demand) for i in range(0, len(samples), step)
    ]


def _steps(
    samples: Sequence[Sample], value: Callable[[Sample], float]
) -> tuple[tuple[float, float | None], ...]:
    """Return a line that keeps each value until the next one."""
    points: list[tuple[float, float]] = []
    for sample in samples:
        if points:
            points.append((sample.at_s, points[-1][1]))
        points.append((sample.at_s, value(sample)))
    return tuple(points)


def _highest(points: Sequence[tuple[float, float | None]]) -> float:
    return max((y for _, y in points if y is not None), default=0.0)
