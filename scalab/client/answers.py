"""What the control port tells scripts and programs: statistics as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from scalab.measure.figures import format_duration
from scalab.measure.statistics import Place, Statistics
from scalab.measure.summary import format_plain, to_json
from scalab.protocol.text import printable
from scalab.runtime.routing import Response

from .controlled import Controlled


@attrs.frozen
class View:
    """What is told."""

    queue: str
    parallel: int
    parallel_max: int
    connected: bool
    run_id: str
    open_loop: bool
    level: float
    """What is asked for: requests in parallel, or per second."""
    phase: str
    paused: bool
    statistics: Statistics
    show: str = ""
    """Only this kind of places; "" = everything."""

    @classmethod
    def of(cls, client: Controlled, show: str = "") -> View:
        """Return what there is to tell of a client now."""
        names = [field.name for field in attrs.fields(cls) if field.name not in _COMPUTED]
        known = {name: getattr(client, name) for name in names}
        return cls(**known, statistics=client.statistics(), show=show)


_COMPUTED = ("statistics", "show")


def render_plain(view: View) -> Response:
    """Return a report as text."""
    if not view.show:
        asked = f"{view.level:g}/s asked for" if view.open_loop else f"{view.parallel} in parallel"
        title = f"queue {printable(view.queue, 64)}, {asked}"
        return Response.text(format_plain(view.statistics, title).removesuffix("\n"))
    lines = [line for place in getattr(view.statistics, view.show) for line in _describe(place)]
    return Response.text("\n".join(lines) or f"no statistics for {view.show} yet")


def _describe(place: Place) -> Iterator[str]:
    """Describe a place in a line, and each of its errors in a further one."""
    parts = [f"{place.name}: {place.served} served, {place.failed} failed"]
    if place.run.count:
        durations = {"p50": place.run.p50_s, "p95": place.run.p95_s, "max": place.run.max_s}
        parts.append("run " + ", ".join(f"{k} {format_duration(s)}" for k, s in durations.items()))
    for what, names in (("devices", place.devices), ("pods", place.pods)):
        if names:
            parts.append(f"{what} {', '.join(names)}")
    yield printable("; ".join(parts), 2000)
    for error in place.errors:
        yield f"  {error.count} x {printable(error.text)}"


def render_json(view: View) -> Response:
    """Return the statistics as a classic endpoint does."""
    statistics = to_json(view.statistics)
    result = statistics[view.show] if view.show else statistics
    info = f"statistics of {view.show or 'the measuring window'}"
    return Response.json({"result": result, "info": info})


def render_api(view: View) -> Response:
    """Return everything in one object."""
    return Response.json(
        {
            "queue": view.queue,
            "parallel": view.parallel,
            "parallel_max": view.parallel_max,
            "connected": view.connected,
            "run": view.run_id,
            "loop": "open" if view.open_loop else "closed",
            "level": view.level,
            "phase": view.phase,
            "paused": view.paused,
            "statistics": to_json(view.statistics),
        }
    )
