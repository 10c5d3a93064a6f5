"""The client's web page: one self-contained document, made on the server, useful without scripts.

``panels.html`` is what changes with time. The page contains it, and its script fetches it again
every two seconds and patches the differences into the document, so that nothing flickers, and
what is selected, scrolled or typed stays.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from functools import cache
from statistics import median

import attrs
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from scalab.measure.figures import format_count, format_duration, format_rate, format_share
from scalab.measure.statistics import Place, Spread, Statistics
from scalab.protocol.text import printable
from scalab.runtime.routing import Response

MAX_ROWS = 200
"""Rows of a table; the JSON has them all."""
MAX_ERRORS = 20
"""Error texts shown; of a place, ``MAX_PLACE_ERRORS``."""
MAX_PLACE_ERRORS = 2
MAX_LINKS = 3
"""Devices or pods named in a row."""

KINDS = ("nodes", "devices", "pods")
_SLOW = 1.25  # a place whose median run is this much above the usual one is marked
_ENOUGH = 20  # runs from which on a place's median says something about the place
_NONE = "-"
_HEIGHT = 24  # of a histogram, in units of its own
_QUANTILES = ("min", "mean", "p50", "p90", "p95", "p99", "p999", "max")


@attrs.frozen
class View:
    """What is shown."""

    queue: str
    parallel: int
    parallel_max: int
    connected: bool
    statistics: Statistics
    run_id: str = ""
    open_loop: bool = False
    level: float = 0.0
    """What is asked for: requests in parallel, or per second."""
    phase: str = ""
    paused: bool = False
    show: str = ""
    """Only this kind of places; "" = everything."""
    notice: str = ""
    """What became of the request that led here."""
    failed: bool = False
    """Whether that is an error."""


@attrs.frozen
class _Row:
    """A place, ready for its table."""

    name: str
    served: str
    share: str
    width: float
    """Served, in percent of the most that a place served."""
    failed: int
    p50: str
    p95: str
    max: str
    slow: bool
    bars: tuple[tuple[int, float], ...]
    """Position and height of the histogram's bars."""
    range: str
    links: tuple[tuple[str, str], ...]
    """What belongs to it: kind and names."""
    errors: tuple[str, ...]


@attrs.frozen
class _Table:
    title: str
    rows: tuple[_Row, ...]
    more: int


@cache
def _template(name: str) -> Template:
    """Return a template of this package, which is read and compiled once."""
    environment = Environment(
        loader=PackageLoader("scalab.client"),
        autoescape=True,  # everything, whatever the templates are called
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": format_count,
        "rate": format_rate,
        "duration": format_duration,
        "printable": printable,
    }
    return environment.get_template(name)


def render_page(view: View) -> Response:
    """Return the whole page; with status 400 if what it tells is an error."""
    nonce = secrets.token_urlsafe(16)
    html = _template("page.html").render(nonce=nonce, **_context(view))
    return Response.page(html, nonce, 400 if view.failed else 200)


def render_panels(view: View) -> Response:
    """Return only what changes with time."""
    return Response.page(_template("panels.html").render(**_context(view)))


def _context(view: View) -> dict[str, object]:
    statistics = view.statistics
    requests = statistics.succeeded + statistics.failed
    return {
        "view": view,
        "statistics": statistics,
        "success": format_share(statistics.succeeded, requests) if requests else _NONE,
        "timings": [(name, spread.count, _cells(spread)) for name, spread in _spreads(view)],
        "split": tuple(_split(statistics)),
        "tables": [_table(kind, getattr(statistics, kind)) for kind in KINDS if _shows(view, kind)],
        "kinds": sorted(statistics.failures.items(), key=lambda item: -item[1]),
        "requests": requests,
        "errors": statistics.errors[:MAX_ERRORS],
        "more_errors": max(len(statistics.errors) - MAX_ERRORS, 0),
        "share": format_share,
    }


def _spreads(view: View) -> Iterator[tuple[str, Spread]]:
    names = ("wait", "run", "overhead", "total", *(("corrected", "delay") * view.open_loop))
    yield from ((name, getattr(view.statistics, name)) for name in names)


def _shows(view: View, kind: str) -> bool:
    return view.show in ("", kind)


def _cells(spread: Spread) -> list[str]:
    if not spread.count:
        return [_NONE] * len(_QUANTILES)
    return [format_duration(getattr(spread, f"{name}_s")) for name in _QUANTILES]


def _split(statistics: Statistics) -> Iterator[tuple[str, str, str, float, float]]:
    """Yield what the mean request spends its time on: name, time, share, and where it is drawn."""
    means = [
        (name, getattr(statistics, name).mean_s if statistics.run.count else 0.0)
        for name in ("wait", "run", "overhead")
    ]
    whole = sum(mean for _, mean in means)
    start = 0.0
    for name, mean in means:
        width = 100 * mean / whole if whole else 0.0
        yield name, format_duration(mean), format_share(mean, whole), start, width
        start += width


def _table(kind: str, places: Sequence[Place]) -> _Table:
    shown = places[:MAX_ROWS]
    return _Table(
        title=kind.capitalize(),
        rows=tuple(_rows(places, shown)),
        more=len(places) - len(shown),
    )


def _rows(places: Sequence[Place], shown: Sequence[Place]) -> Iterator[_Row]:
    all_served = sum(place.served for place in places)
    most = max((place.served for place in places), default=0)
    usual_s = median([p.run.p50_s for p in places if p.run.count >= _ENOUGH] or [0.0])
    for place in shown:
        run, steps = place.run, place.histogram
        highest = max((count for _, _, count in steps), default=0)
        durations = (run.p50_s, run.p95_s, run.max_s)
        p50, p95, longest = [format_duration(s) if run.count else _NONE for s in durations]
        yield _Row(
            name=printable(place.name, 253),
            served=format_count(place.served),
            share=format_share(place.served, all_served),
            width=100 * place.served / most if most else 0.0,
            failed=place.failed,
            p50=p50,
            p95=p95,
            max=longest,
            slow=run.count >= _ENOUGH and 0 < _SLOW * usual_s < run.p50_s,
            bars=tuple((i, _HEIGHT * n / highest) for i, (_, _, n) in enumerate(steps) if n),
            range=f"{format_duration(run.min_s)} to {format_duration(run.max_s)}" if steps else "",
            links=tuple(_links(place)),
            errors=tuple(
                f"{format_count(error.count)} x {printable(error.text, 120)}"
                for error in place.errors[:MAX_PLACE_ERRORS]
            ),
        )


def _links(place: Place) -> Iterator[tuple[str, str]]:
    for what, names in (("Devices:", place.devices), ("Pods:", place.pods)):
        if names:
            text = ", ".join(printable(name, 80) for name in names[:MAX_LINKS])
            more = len(names) - MAX_LINKS
            yield what, f"{text} and {more} more" if more > 0 else text
