"""The client's control port: the classic endpoints, a JSON API, health, and the page.

Classic endpoints, each with ``type=plain``, ``json`` or ``html`` (when left out):

=====================================  ===========================================================
``/parallel`` ``/parallelism``         requests in parallel; ``value=N`` changes it
``/rate``                              requests per second asked for; ``value=50`` or ``3000/min``
                                       changes it (open loop; there ``/parallel`` can't be changed)
``/pause`` ``/resume``                 send nothing, and go on where it was
``/reset``                             begins a new measuring window
``/reqs-per-sec`` ``/reqs-per-seq``    throughput, a decimal number
``/fails``                             failed requests of the window
``/stats``                             all statistics
``/nodes`` ``/devices`` ``/pods``      what each of them did
=====================================  ===========================================================

``plain`` is the bare value and a line feed, or a report; ``json`` an object of ``result``, in which
numbers are numbers, and ``info``.
A value that is no number is answered by ``ERROR`` and the reason, with status 400: scripts that
look at the body find what they always found, and everything else is not told that all is well.

``/api/stats`` gives the same figures to programs, as one object: ``queue``, ``parallel``,
``parallel_max``, ``connected``, ``run``, ``loop``, ``level``, ``phase``, ``paused``, and
``statistics`` as ``scalab.measure.summary.to_json`` has them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Protocol

import attrs
import trio

from scalab.errors import ConfigError
from scalab.load.units import parse_rate
from scalab.measure.figures import format_duration
from scalab.measure.statistics import Place, Statistics
from scalab.measure.summary import format_plain, to_json
from scalab.protocol.text import printable
from scalab.runtime.routing import Handler, HttpError, Request, Response, Router

from .page import KINDS, View, render_page, render_panels

TYPES: Final = ("plain", "json", "html")

_NUMBER = re.compile(r"\s*([+-]?[0-9]{1,100})\s*")  # a "+" in a query is a space


class Controlled(Protocol):
    """The client, as far as its control port knows it."""

    @property
    def queue(self) -> str:
        """Where its requests go."""

    @property
    def parallel(self) -> int:
        """Requests in parallel, as now in force."""

    @property
    def parallel_max(self) -> int:
        """The most that there may be."""

    def set_parallel(self, n: int) -> int:
        """Change the parallelism, begin a new window, and return what is in force."""

    def reset(self) -> None:
        """Begin a new measuring window."""

    def statistics(self) -> Statistics:
        """Return what is known of the present window."""

    @property
    def connected(self) -> bool:
        """Whether the frontend can be reached."""

    @property
    def run_id(self) -> str:
        """Names the run."""

    @property
    def open_loop(self) -> bool:
        """Whether a rate is asked for, and no parallelism."""

    @property
    def level(self) -> float:
        """What is asked for now: requests in parallel, or per second."""

    @property
    def phase(self) -> str:
        """Which part of the run this is."""

    @property
    def paused(self) -> bool:
        """Whether nothing is sent because somebody asked for that."""

    def set_level(self, level: float) -> float:
        """Change the level, begin a new window, and return what is in force."""

    def pause(self) -> None:
        """Send nothing until ``resume``."""

    def resume(self) -> None:
        """Send again."""


def control_router(client: Controlled, more: Mapping[str, Handler] | None = None) -> Router:
    """Return the control port of ``client``, with ``more`` routes."""
    control = _Control(client)
    parallel = control.value(control.parallel, "value")
    rate = control.value(control.rate)
    routes: dict[str, Handler] = {
        "/": control.page,
        "/panels": control.panels,
        "/api/stats": control.api_stats,
        "/livez": lambda _request: Response.text("ok"),
        "/readyz": control.ready,
        "/parallel": parallel,
        "/parallelism": parallel,
        "/rate": control.value(control.asked_rate, "value"),
        "/pause": control.value(control.pause),
        "/resume": control.value(control.resume),
        "/reset": control.value(control.reset),
        "/reqs-per-sec": rate,
        "/reqs-per-seq": rate,
        "/fails": control.value(control.fails),
        "/stats": control.report(),
    }
    reports = {f"/{kind}": control.report(kind) for kind in KINDS}
    return Router({**routes, **reports, **(more or {})})


@attrs.frozen
class _Answer:
    """What a classic endpoint that has a value says."""

    result: float | str
    info: str
    plain: str
    notice: str
    """What the page says."""
    failed: bool = False


_Endpoint = Callable[[Request, dict[str, str]], _Answer]


class _Control:
    def __init__(self, client: Controlled) -> None:
        self._client = client

    # --- classic endpoints -------------------------------------------------------------------

    def value(self, endpoint: _Endpoint, *parameters: str) -> Handler:
        """Make a handler of an endpoint that answers with one value."""

        async def handle(request: Request) -> Response:
            form, given = _parameters(request, *parameters)
            answer = endpoint(request, given)
            status = 400 if answer.failed else 200
            if form == "plain":
                return Response.text(answer.plain, status)
            if form == "json":
                return Response.json({"result": answer.result, "info": answer.info}, status)
            return await _aside(render_page, self._view(notice=answer.notice, failed=answer.failed))

        return handle

    def report(self, show: str = "") -> Handler:
        """Make a handler that answers with all statistics, or those of one kind of places."""
        renderers = {"plain": _render_plain, "json": _render_json, "html": render_page}

        async def handle(request: Request) -> Response:
            form, _ = _parameters(request)
            return await _aside(renderers[form], self._view(show=show))

        return handle

    def parallel(self, request: Request, given: dict[str, str]) -> _Answer:
        """Change the parallelism if there is a value, and tell what is in force."""
        client, note = self._client, ""
        if "value" in given:
            request.require_intent()
            if client.open_loop:
                return _refused("an open loop has a rate, no parallelism: change /rate")
            number = _NUMBER.fullmatch(given["value"])
            if number is None:
                return _refused(f"'{printable(given['value'], 40)}' is not a number")
            wanted = int(number[1])
            allowed = min(max(wanted, 0), client.parallel_max)
            if wanted != allowed:
                note = f", the {'most' if wanted > allowed else 'fewest'} that there can be"
            client.set_parallel(allowed)
        return _number(client.parallel, f"requests in parallel{note}")

    def asked_rate(self, request: Request, given: dict[str, str]) -> _Answer:
        """Change the rate of an open loop if there is a value, and tell what is in force."""
        client = self._client
        if not client.open_loop:
            return _refused("a closed loop has no rate: see /parallel and /reqs-per-sec")
        if "value" in given:
            request.require_intent()
            try:
                client.set_level(parse_rate(given["value"]))
            except ConfigError as exc:
                return _refused(str(exc))
        return _number(client.level, "requests per second asked for", f"{client.level:.6f}")

    def pause(self, request: Request, _given: dict[str, str]) -> _Answer:
        """Send nothing until it is resumed."""
        request.require_intent()
        self._client.pause()
        return _told("Paused", "nothing is sent until it is resumed")

    def resume(self, request: Request, _given: dict[str, str]) -> _Answer:
        """Send again."""
        request.require_intent()
        self._client.resume()
        return _told("Resumed", "requests are sent")

    def reset(self, request: Request, _given: dict[str, str]) -> _Answer:
        """Begin a new measuring window."""
        request.require_intent()
        self._client.reset()
        return _told("Reseted", "a new measuring window has begun")

    def rate(self, _request: Request, _given: dict[str, str]) -> _Answer:
        """Tell the throughput."""
        throughput = self._client.statistics().throughput
        # Never with an exponent, which the ``bc`` of classic scripts doesn't read.
        return _number(throughput, "requests per second", f"{throughput:.6f}")

    def fails(self, _request: Request, _given: dict[str, str]) -> _Answer:
        """Tell how many requests failed."""
        return _number(self._client.statistics().failed, "request failures")

    # --- the page, programs and probes -------------------------------------------------------

    async def page(self, request: Request) -> Response:
        """Answer with the page."""
        request.parameters()
        return await _aside(render_page, self._view())

    async def panels(self, request: Request) -> Response:
        """Answer with what changes on the page."""
        show = request.parameters("show").get("show", "")
        if show not in ("", *KINDS):
            raise HttpError(400, f"there is nothing to show of '{printable(show, 40)}'")
        return await _aside(render_panels, self._view(show=show))

    async def api_stats(self, request: Request) -> Response:
        """Answer with everything, for programs."""
        request.parameters()
        return await _aside(_render_api, self._view())

    def ready(self, _request: Request) -> Response:
        """Answer whether the client can do its work."""
        if self._client.connected:
            return Response.text("ok")
        return Response.text("not connected to the frontend", 503)

    def _view(self, *, show: str = "", notice: str = "", failed: bool = False) -> View:
        client = self._client
        return View(
            queue=client.queue,
            parallel=client.parallel,
            parallel_max=client.parallel_max,
            connected=client.connected,
            run_id=client.run_id,
            open_loop=client.open_loop,
            level=client.level,
            phase=client.phase,
            paused=client.paused,
            statistics=client.statistics(),
            show=show,
            notice=notice,
            failed=failed,
        )


def _parameters(request: Request, *known: str) -> tuple[str, dict[str, str]]:
    """Return the type that a classic endpoint is asked for, and its other parameters."""
    given = request.parameters("type", *known)
    form = given.pop("type", "html")
    if form not in TYPES:
        text = f"unknown type '{printable(form, 40)}'; there are {', '.join(TYPES)}"
        raise HttpError(400, text)
    return form, given


def _told(word: str, info: str) -> _Answer:
    return _Answer(word, info, word, notice=f"{word}: {info}")


def _refused(reason: str) -> _Answer:
    text = f"ERROR: {reason}"
    return _Answer("ERROR", reason, text, notice=text, failed=True)


def _number(result: float, info: str, plain: str = "") -> _Answer:
    plain = plain or str(result)
    return _Answer(result, info, plain, notice=f"{plain} {info}")


# --- rendering -----------------------------------------------------------------------------------


async def _aside(render: Callable[[View], Response], view: View) -> Response:
    """Render in a thread: with hundreds of pods it takes long enough to disturb the load."""
    return await trio.to_thread.run_sync(render, view)


def _render_plain(view: View) -> Response:
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


def _render_json(view: View) -> Response:
    statistics = to_json(view.statistics)
    result = statistics[view.show] if view.show else statistics
    info = f"statistics of {view.show or 'the measuring window'}"
    return Response.json({"result": result, "info": info})


def _render_api(view: View) -> Response:
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
