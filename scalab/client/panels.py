"""The panels of the page: pieces of HTML, each of which can be replaced by itself.

All of it is made of a scene, and the charts by the same code as a report's. A panel is made again
when it may look different: charts move by less than a pixel a second when a run is long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final

import attrs
from markupsafe import Markup

from scalab.measure.figures import format_duration, format_share
from scalab.measure.interval import DRAIN
from scalab.measure.statistics import Spread, Statistics
from scalab.protocol.text import printable
from scalab.report import figures, shapes
from scalab.report.figures import NONE
from scalab.report.plots.frame import render_chart
from scalab.report.plots.scales import at_clock
from scalab.report.plots.spec import Chart
from scalab.report.scaling.autoscale import to_fragment
from scalab.report.scaling.figures import scaling_curve
from scalab.report.scaling.model import make_scaling_report
from scalab.web.templating import make_environment

from .placemap import fairness, maps, where
from .scene import Scene
from .tiles import tiles

MAX_ERRORS: Final = 20
MAX_EVENTS: Final = 50
NEARLY_S: Final = 3.0
"""A client that is gone when it had less time left than this has come to its end."""
PIXELS: Final = 200
"""A chart over time is made again when the run is longer by this part of itself."""

_QUANTILES = ("min", "mean", "p50", "p90", "p95", "p99", "p999", "max")
_SIGNS = {"ok": "✓ ok", "caveat": "! caveat", "invalid": "✗ INVALID", "skipped": "– skipped"}  # noqa: RUF001
_COLOURS = {"ok": "good", "caveat": "warn", "invalid": "bad", "skipped": "dim"}


@cache
def templates() -> Callable[..., str]:
    """Return what renders a template of this package, each compiled once."""
    environment = make_environment("scalab.client")
    return lambda name, **context: environment.get_template(name).render(**context)


@attrs.frozen
class Moment:
    """When a panel was made."""

    elapsed_s: float
    phase: str
    events: int

    @classmethod
    def of(cls, scene: Scene) -> Moment:
        """Return that of a scene."""
        return cls(scene.now.elapsed_s, scene.now.phase, len(scene.now.run.events))


@attrs.frozen
class Panel:
    """A part of the page."""

    id: str
    render: Callable[[Scene], str]
    """Returns an element with this id, which is hidden if there is nothing to show."""
    over_time: bool = False
    """Whether it shows the whole run over time."""

    def is_due(self, now: Moment, then: Moment) -> bool:
        """Whether it may look different than it did."""
        longer_s = now.elapsed_s - then.elapsed_s
        return (
            not self.over_time
            or not 0 <= longer_s < now.elapsed_s / PIXELS
            or (now.phase, now.events) != (then.phase, then.events)
        )


def _figure(name: str, chart: Callable[[Scene], Chart | None], *, over_time: bool = True) -> Panel:
    def render(scene: Scene) -> str:
        made = chart(scene)
        drawn = render_chart(made) if made else Markup("")
        return templates()("figure.html", id=name, drawn=drawn)

    return Panel(name, render, over_time)


def _over_time(draw: Callable[[figures.Course], Chart | None]) -> Callable[[Scene], Chart | None]:
    return lambda scene: draw(scene.course) if scene.course.intervals else None


def _panel(name: str, context: Callable[[Scene], dict[str, Any]]) -> Panel:
    def render(scene: Scene) -> str:
        return templates()(f"{name}.html", scene=scene, now=scene.now, **context(scene))

    return Panel(f"p-{name}", render)


# --- what they show ------------------------------------------------------------------------------


def _state(scene: Scene) -> dict[str, Any]:
    left_s = scene.now.remaining_s
    is_over = scene.now.phase == DRAIN or (left_s is not None and left_s < NEARLY_S)
    return {"clock": at_clock, "is_over": is_over}


def _spectrum(scene: Scene) -> Chart | None:
    report = scene.report
    if not report.measured.total.count:
        return None
    return shapes.spectrum(report.measured.total, report.measured.corrected, report.gap)


def _scaling(scene: Scene) -> Chart | None:
    """The scaling curve, as far as a validation has measured it."""
    if not scene.now.run.steps:
        return None
    report = make_scaling_report(scene.now.run)
    return scaling_curve(report.rows, report.law)


def _autoscale(scene: Scene) -> str:
    """What an autoscaler makes of the load, while one is watched."""
    if scene.now.autoscale is None:
        return '<section id="autoscale" hidden></section>'
    return to_fragment(scene.now.autoscale)


def _levels(scene: Scene) -> dict[str, Any]:
    charts = shapes.knee(scene.report.stages, open_loop=scene.now.open_loop)
    return {"charts": [render_chart(chart) for chart in charts]}


def _fairness(scene: Scene) -> dict[str, Any]:
    return {"drawn": fairness(scene) if scene.places(scene.told_apart) else Markup("")}


def _failures(scene: Scene) -> dict[str, Any]:
    statistics = scene.statistics
    return {
        "statistics": statistics,
        "kinds": sorted(statistics.failures.items(), key=lambda item: -item[1]),
        "ended": statistics.succeeded + statistics.failed,
        "errors": [(error, where(scene, error.text)) for error in statistics.errors[:MAX_ERRORS]],
        "more": max(len(statistics.errors) - MAX_ERRORS, 0),
    }


def _judging(scene: Scene) -> dict[str, Any]:
    return {"report": scene.report, "signs": _SIGNS, "colours": _COLOURS}


def _times(scene: Scene) -> dict[str, Any]:
    statistics = scene.statistics
    return {"timings": list(_timings(statistics)), "split": list(_split(statistics))}


def _timings(statistics: Statistics) -> Iterator[tuple[str, int, list[str]]]:
    names = {name: name for name in ("wait", "run", "overhead", "total", "corrected")}
    for name, title in (names | {"delay": "schedule delay"}).items():
        spread: Spread = getattr(statistics, name)
        if spread.count or name in ("wait", "run", "overhead", "total"):
            yield title, spread.count, [_cell(spread, quantile) for quantile in _QUANTILES]


def _cell(spread: Spread, quantile: str) -> str:
    return format_duration(getattr(spread, f"{quantile}_s")) if spread.count else NONE


def _split(statistics: Statistics) -> Iterator[tuple[str, str, str, float, float]]:
    """Yield what the mean request spends its time on: name, time, share, and where it is drawn."""
    means = [
        (name, getattr(statistics, name).mean_s if statistics.run.count else 0.0)
        for name in ("wait", "run", "overhead")
    ]
    whole, start = sum(mean for _, mean in means), 0.0
    for name, mean in means:
        width = 100 * mean / whole if whole else 0.0
        yield name, format_duration(mean), format_share(mean, whole), start, width
        start += width


def _events(scene: Scene) -> dict[str, Any]:
    """The log, the latest first, with the numbers that the charts have."""
    events = scene.report.events
    numbers = {id(event): n for n, event in enumerate(figures.marked(events), 1)}
    return {
        "events": [
            (
                numbers.get(id(event), ""),
                f"{event.at_s:.1f} s" if event.at_s < 100 else at_clock(event.at_s),
                printable(event.kind, 40),
                printable(event.text, 200),
            )
            for event in events[: -MAX_EVENTS - 1 : -1]
        ],
        "more": scene.report.events_left_out + max(len(events) - MAX_EVENTS, 0),
    }


PANELS: Final = (
    _panel("state", _state),
    _panel("tiles", lambda scene: {"tiles": list(tiles(scene))}),
    _figure("f-throughput", _over_time(figures.throughput)),
    _figure("f-scaling", _scaling, over_time=False),
    Panel("autoscale", _autoscale),
    _figure("f-latency", _over_time(figures.latency)),
    _figure("f-split", _over_time(figures.time_split)),
    _figure("f-delay", _over_time(figures.schedule_delay)),
    _figure("f-failures", _over_time(figures.failures)),
    _figure("f-flight", _over_time(figures.in_flight)),
    _figure("f-spectrum", _spectrum, over_time=False),
    _panel("levels", _levels),
    _panel("map", lambda scene: {"maps": list(maps(scene))}),
    _panel("fairness", _fairness),
    _panel("failures", _failures),
    _panel("judging", _judging),
    _panel("times", _times),
    _panel("events", _events),
)
