"""The tiles at the top of the page: a figure each, with its recent course."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import attrs
from markupsafe import Markup

from scalab.measure.aggregate import Aggregate
from scalab.measure.figures import format_count, format_duration, format_rate, format_share
from scalab.measure.interval import Interval
from scalab.measure.statistics import Spread
from scalab.report.figures import NONE
from scalab.report.plots.markup import element, short
from scalab.report.shapes import rate_text
from scalab.verdict.families import overhead_share

from .scene import Scene

LATELY: Final = 60
"""Intervals of which the course is shown."""

NOTHING: Final = Markup("")

_WIDTH, _HEIGHT = 100, 24  # of the drawing, in units of its own


@attrs.frozen
class Tile:
    """A figure."""

    name: str
    value: str
    detail: str = ""
    course: Markup = NOTHING
    alarm: bool = False


def tiles(scene: Scene) -> Iterator[Tile]:
    """Yield the tiles."""
    now, statistics = scene.now, scene.statistics
    lately = scene.report.timeline[-LATELY:]
    yield Tile(
        "Throughput",
        format_rate(statistics.throughput),
        _sure(scene),
        spark(lately, lambda i: i.whole.completed / i.duration_s if i.duration_s else None),
    )
    asked = format_rate(now.level) if now.open_loop else f"{now.level:,.0f} in parallel"
    yield Tile(
        "In flight",
        format_count(now.in_flight),
        f"{asked} asked for",
        spark(lately, lambda i: i.outstanding),
    )
    ended = statistics.succeeded + statistics.failed
    yield Tile(
        "Success",
        format_share(statistics.succeeded, ended) if ended else NONE,
        f"{format_count(statistics.failed)} of {format_count(ended)} failed",
        spark(lately, _of(lambda whole: whole.succeeded / whole.ended if whole.ended else None)),
        alarm=bool(statistics.failed),
    )
    run, wait, overhead = statistics.run, statistics.wait, statistics.overhead
    yield _times("Run p50", run, "p50", "p95", spark(lately, _of(lambda w: _p(w, "run", 50))))
    yield _times("Wait p95", wait, "p95", "p50", spark(lately, _of(lambda w: _p(w, "wait", 95))))
    if now.open_loop:
        course = spark(lately, _of(lambda w: _p(w, "corrected", 95)))
        yield _times("Corrected p95", statistics.corrected, "p95", "p99", course)
    yield Tile(
        "Overhead",
        _overhead(scene),
        f"p50 {_duration(overhead, overhead.p50_s)}",
        spark(lately, _of(overhead_share)),
    )
    yield _workers(scene)


def _sure(scene: Scene) -> str:
    """Say how sure the throughput is, and what it is at the moment."""
    recent = f"now {format_rate(scene.now.recent_rate)}"
    estimate = scene.report.throughput
    if scene.now.present is not None or estimate.low is None:
        return f"{recent}, too short to say ±"
    return f"{rate_text(estimate).partition('(')[2].rstrip(')')} (95 %), {recent}"


def _overhead(scene: Scene) -> str:
    statistics = scene.statistics
    whole_s = statistics.wait.mean_s + statistics.run.mean_s + statistics.overhead.mean_s
    if not statistics.overhead.count:
        return NONE
    return format_share(statistics.overhead.mean_s, whole_s)


def _workers(scene: Scene) -> Tile:
    """Tell how many places answered in this window."""
    statistics = scene.statistics
    counted = {"devices": statistics.devices, "pods": statistics.pods, "nodes": statistics.nodes}
    kind, *others = [kind for kind, places in counted.items() if places] or ["devices"]
    detail = ", ".join(f"{format_count(len(counted[other]))} {other}" for other in others)
    return Tile(f"Active {kind}", format_count(len(counted[kind])), detail)


def _times(name: str, spread: Spread, shown: str, beside: str, course: Markup) -> Tile:
    value, other = (_duration(spread, getattr(spread, f"{q}_s")) for q in (shown, beside))
    return Tile(name, value, f"{beside} {other}", course)


def _duration(spread: Spread, seconds: float) -> str:
    return format_duration(seconds) if spread.count else NONE


# --- courses -------------------------------------------------------------------------------------


def spark(intervals: Sequence[Interval], value: Callable[[Interval], float | None]) -> Markup:
    """Return a value's course, from 0 up; the charts have the same with axes."""
    values = [value(interval) for interval in intervals]
    most = max((y for y in values if y is not None), default=0.0)
    if len(values) < 2 or not most:
        return NOTHING
    path, pen = [], "M"
    for i, y in enumerate(values):
        if y is None:
            pen = "M"
            continue
        at = short(_WIDTH * i / (len(values) - 1))
        path.append(f"{pen}{at} {short(_HEIGHT * (1 - y / most))}")
        pen = "L"
    return element(
        "svg",
        element("path", d="".join(path), class_="line c-main"),
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        preserveAspectRatio="none",
        class_="spark",
        aria_hidden="true",
    )


def _of(value: Callable[[Aggregate], float | None]) -> Callable[[Interval], float | None]:
    return lambda interval: value(interval.whole)


def _p(whole: Aggregate, name: str, q: float) -> float | None:
    histogram = getattr(whole, name)
    return histogram.percentile(q) if histogram.count else None
