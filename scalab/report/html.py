"""The report as one HTML file: it needs no script and no other host, and prints as it looks.

Colours follow the reader's light or dark theme. Everything in it that came from a peer or a file
is made printable, cut, and escaped.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Final

import attrs
from jinja2 import Template
from markupsafe import Markup

from scalab.load.scenario import Scenario
from scalab.load.written import format_scenario
from scalab.measure.figures import format_count, format_duration, format_rate, format_share
from scalab.measure.statistics import Place, Spread, Statistics
from scalab.protocol.text import printable
from scalab.runfile.reading import Earlier
from scalab.runfile.records import Event
from scalab.web.templating import make_environment

from . import figures, shapes
from .figures import NONE
from .model import Report, StageReport
from .parameters import parameters, surroundings
from .plots.frame import render_bars, render_chart, render_multiples
from .plots.scales import at_clock

MAX_ROWS: Final = 100
"""Rows of a table of places; the JSON has them all."""
MAX_ERRORS: Final = 50
MAX_EVENTS: Final = 100
"""Events shown from the start, and as many from the end."""
MAX_PLACE_ERRORS: Final = 2
MAX_DRAWN: Final = 5
"""Rows to draw from that are shown of each queue."""
MAX_TOML: Final = 20_000
"""Characters of the scenario's file."""
MAX_LINKS: Final = 3
"""Devices or pods named in a row."""

_KINDS = ("devices", "nodes", "pods")
_QUANTILES = ("min", "mean", "p50", "p90", "p95", "p99", "p999", "max")
_BADGES = {"passed": "PASSED", "failed": "FAILED", "invalid": "INVALID", "unjudged": "NOT JUDGED"}
_SIGNS = {"ok": "✓ ok", "caveat": "! caveat", "invalid": "✗ INVALID", "skipped": "– skipped"}  # noqa: RUF001
_COLOURS = {"ok": "good", "caveat": "warn", "invalid": "bad", "skipped": "dim"}


@attrs.frozen
class _Tile:
    name: str
    value: str
    detail: str = ""
    alarm: bool = False


@attrs.frozen
class _Row:
    """A place, ready for its table."""

    name: str
    tags: tuple[str, ...]
    """How it stands out."""
    cells: tuple[str, ...]
    failed: bool
    links: tuple[tuple[str, str], ...]
    """What belongs to it: kind and names."""
    errors: tuple[str, ...]


NOTHING: Final = Markup()


def to_html(report: Report, also: Markup = NOTHING) -> str:
    """Return the whole document.

    Args:
        report: Of a run.
        also: What else there is to say, before the charts.
    """
    return _template().render(
        report=report,
        also=also,
        statistics=report.statistics,
        badge=_BADGES[report.verdict.state],
        tiles=list(_tiles(report)),
        signs=_SIGNS,
        colours=_COLOURS,
        over_time=_over_time(report),
        spectrum=render_chart(
            shapes.spectrum(report.measured.total, report.measured.corrected, report.gap)
        ),
        knee=[render_chart(c) for c in shapes.knee(report.stages, open_loop=report.open_loop)],
        devices=_devices(report),
        timings=_timings(report.statistics),
        split=_split(report.statistics),
        places=[_places(kind, report) for kind in _KINDS],
        stages=[_stage(stage, report) for stage in report.stages],
        earlier=[_earlier(window, report) for window in report.earlier],
        errors=report.statistics.errors[:MAX_ERRORS],
        events=_events(report),
        events_left_out=_events_left_out(report),
        toml=_toml(report.scenario),
        parameters=parameters(report.scenario),
        surroundings=surroundings(report.header),
        command=shlex.join(report.header.command),
    )


@cache
def _template() -> Template:
    """Return the template, which is read and compiled once."""
    return make_environment("scalab.report").get_template("report.html")


# --- figures -------------------------------------------------------------------------------


def _tiles(report: Report) -> Iterator[_Tile]:
    statistics, throughput = report.statistics, report.throughput
    total, corrected = statistics.total, statistics.corrected
    asked = f", asked {format_rate(report.asked)}" if report.open_loop else ""
    yield _Tile("Throughput", format_rate(throughput.mean), _sure(report) + asked)
    yield _Tile("Completed", format_count(statistics.completed), _in(report))
    failed = f"{format_count(statistics.failed)} of {format_count(report.ended)}"
    yield _Tile(
        "Failures", format_share(statistics.failed, report.ended), failed, bool(statistics.failed)
    )
    for name, seconds in (("p50", total.p50_s), ("p95", total.p95_s), ("p99", total.p99_s)):
        detail = ""
        if corrected.count:
            detail = f"corrected {_duration(corrected, getattr(corrected, f'{name}_s'))}"
        yield _Tile(f"Latency {name}", _duration(total, seconds), detail)
    wait = statistics.wait
    yield _Tile("Wait p95", _duration(wait, wait.p95_s), f"p50 {_duration(wait, wait.p50_s)}")
    overhead = statistics.overhead
    yield _Tile(
        "Overhead",
        format_share(report.overhead_share, 1.0) if overhead.count else NONE,
        f"of a request's time, p50 {_duration(overhead, overhead.p50_s)}",
    )


def _sure(report: Report) -> str:
    if report.levels > 1:
        return f"over {report.levels} levels: see there"
    share = report.throughput.half_width_share
    return f"± {100 * share:.2g} % (95 %)" if share is not None else "too short a window to say ±"


def _in(report: Report) -> str:
    if report.measured_from_s is None:
        return "nothing was measured"
    span = _span(report.measured_from_s, report.measured_to_s)
    return f"in {format_duration(report.statistics.window_s)}, from {span}"


def _over_time(report: Report) -> list[Markup]:
    of = figures.course(report.timeline, report.events, open_loop=report.open_loop)
    if not of.intervals:
        return []
    charts = (
        figures.throughput(of),
        figures.latency(of),
        figures.in_flight(of),
        figures.time_split(of),
        figures.schedule_delay(of),
        figures.failures(of),
    )
    return [render_chart(chart) for chart in charts if chart is not None]


def _devices(report: Report) -> list[Markup]:
    devices = report.statistics.devices
    if not devices:
        return []
    return [
        render_bars(shapes.shares(devices, report.outliers)),
        render_multiples(shapes.run_times(devices, report.outliers)),
    ]


# --- tables --------------------------------------------------------------------------------


def _timings(statistics: Statistics) -> list[tuple[str, int, list[str]]]:
    """Return the rows of times per request; those of an open loop only if there are such."""
    rows = [(name, getattr(statistics, name)) for name in ("wait", "run", "overhead", "total")]
    rows += [("corrected", statistics.corrected)] if statistics.corrected.count else []
    rows += [("schedule delay", statistics.delay)] if statistics.delay.count else []
    return [(name, spread.count, _cells(spread)) for name, spread in rows]


def _cells(spread: Spread) -> list[str]:
    return [_duration(spread, getattr(spread, f"{name}_s")) for name in _QUANTILES]


def _split(statistics: Statistics) -> list[tuple[str, str, str, float, float]]:
    """Return what the mean request spends its time on: name, time, share, start and width in %."""
    means = [(name, getattr(statistics, name).mean_s) for name in ("wait", "run", "overhead")]
    whole, start, parts = sum(mean for _, mean in means), 0.0, []
    for name, mean in means:
        width = 100 * mean / whole if whole else 0.0
        parts.append((name, format_duration(mean), format_share(mean, whole), start, width))
        start += width
    return parts


def _places(kind: str, report: Report) -> tuple[str, list[_Row], int]:
    """Return the kind of places, their rows, and how many more there are."""
    places: Sequence[Place] = getattr(report.statistics, kind)
    served = sum(place.served for place in places)
    tags: dict[str, list[str]] = {}
    for outlier in report.outliers if kind == "devices" else ():
        tags.setdefault(outlier.name, []).append(outlier.kind)
    rows = [
        _row(place, served, tuple(tags.get(place.name, ())))
        for place in shapes.chosen(places, tags, MAX_ROWS)
    ]
    return kind, rows, max(len(places) - MAX_ROWS, 0)


def _row(place: Place, served: int, tags: tuple[str, ...]) -> _Row:
    run = place.run
    return _Row(
        name=printable(place.name, 128),
        tags=tags,
        cells=(
            format_count(place.served),
            format_share(place.served, served),
            format_count(place.failed),
            format_share(place.failed, place.served),
            *(_duration(run, s) for s in (run.p50_s, run.p95_s, run.max_s)),
        ),
        failed=bool(place.failed),
        links=tuple(
            (what, _names(names))
            for what, names in (("Devices:", place.devices), ("Pods:", place.pods))
            if names
        ),
        errors=tuple(
            f"{format_count(error.count)} × {printable(error.text, 160)}"  # noqa: RUF001
            for error in place.errors[:MAX_PLACE_ERRORS]
        ),
    )


def _names(names: Sequence[str]) -> str:
    text = ", ".join(printable(name, 64) for name in names[:MAX_LINKS])
    more = len(names) - MAX_LINKS
    return f"{text} and {more} more" if more > 0 else text


def _stage(stage: StageReport, report: Report) -> tuple[str, ...]:
    return (
        shapes.level_text(stage.level, open_loop=report.open_loop),
        _span(stage.from_s, stage.to_s),
        shapes.rate_text(stage.throughput),
        *_results(stage.statistics),
    )


def _earlier(window: Earlier, report: Report) -> tuple[str, ...]:
    return (
        _span(window.from_s, window.to_s),
        shapes.level_text(window.level, open_loop=report.open_loop),
        format_rate(window.statistics.throughput),
        *_results(window.statistics),
    )


def _results(of: Statistics) -> tuple[str, ...]:
    times = (of.total.p50_s, of.total.p95_s, of.total.p99_s)
    failed = format_share(of.failed, of.succeeded + of.failed)
    return format_count(of.completed), failed, *(_duration(of.total, s) for s in times)


def _span(from_s: float, to_s: float) -> str:
    return f"{at_clock(from_s)} to {at_clock(to_s)}"


def _events(report: Report) -> list[tuple[str, str, str, str]]:
    """Return the log: the number in the charts, the time, the kind, the text."""
    numbers = {id(event): n for n, event in enumerate(figures.marked(report.events), 1)}
    return [
        (
            str(numbers.get(id(event), "")),
            f"{event.at_s:.1f} s" if event.at_s < 100 else at_clock(event.at_s),
            printable(event.kind, 40),
            printable(event.text, 200),
        )
        for event in _shown(report.events)
    ]


def _shown(events: Sequence[Event]) -> list[Event]:
    if len(events) <= 2 * MAX_EVENTS:
        return list(events)
    return [*events[:MAX_EVENTS], *events[-MAX_EVENTS:]]


def _events_left_out(report: Report) -> int:
    return report.events_left_out + len(report.events) - len(_shown(report.events))


def _toml(scenario: Scenario) -> str:
    """Return the scenario's file, with only the first of the rows to draw from."""
    queues = [attrs.evolve(queue, rows=queue.rows[:MAX_DRAWN]) for queue in scenario.queues]
    more = sum(max(len(queue.rows) - MAX_DRAWN, 0) for queue in scenario.queues)
    text = format_scenario(attrs.evolve(scenario, queues=tuple(queues)))
    text = "\n".join(printable(line, 1000) for line in text.splitlines())
    if more:
        text += f"\n# … and {format_count(more)} more rows: the run file has them all"
    return text if len(text) <= MAX_TOML else f"{text[:MAX_TOML]}\n# …"


def _duration(spread: Spread, seconds: float) -> str:
    return format_duration(seconds) if spread.count else NONE
