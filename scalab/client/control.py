"""The client's control port: the classic endpoints, a JSON API, health, and the page.

Classic endpoints, each with ``type=plain``, ``json`` or ``html`` (when left out):

=====================================  ===========================================================
``/parallel`` ``/parallelism``         requests in parallel; ``value=N`` changes it
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
``parallel_max``, ``connected``, and ``statistics`` as ``scalab.measure.summary.to_json`` has them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

import attrs

from scalab.measure.figures import format_duration
from scalab.measure.statistics import Place, Statistics
from scalab.measure.summary import format_plain, to_json
from scalab.protocol.text import printable
from scalab.runtime.routing import Handler, HttpError, Request, Response, Router

from .page import KINDS, Pages, View

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

    def connected(self) -> bool:
        """Whether the frontend can be reached."""


def control_router(client: Controlled) -> Router:
    """Return the control port of ``client``."""
    control = _Control(client)
    parallel = control.classic(control.parallel, "value")
    rate = control.classic(control.rate)
    routes: dict[str, Handler] = {
        "/": control.page,
        "/panels": control.panels,
        "/api/stats": control.api_stats,
        "/livez": lambda _request: Response.text("ok"),
        "/readyz": control.ready,
        "/parallel": parallel,
        "/parallelism": parallel,
        "/reset": control.classic(control.reset),
        "/reqs-per-sec": rate,
        "/reqs-per-seq": rate,
        "/fails": control.classic(control.fails),
        "/stats": control.classic(control.stats),
    }
    return Router(routes | {f"/{kind}": control.classic(control.places(kind)) for kind in KINDS})


@attrs.frozen
class _Answer:
    """What a classic endpoint has to say, in each of the types."""

    plain: str
    result: Any
    info: str
    status: int = 200
    show: str = ""
    """The part of the page that answers; see ``View``."""
    notice: str = ""
    """What the page says above it."""


_Endpoint = Callable[[Request, dict[str, str]], _Answer]


class _Control:
    def __init__(self, client: Controlled) -> None:
        self._client = client
        self._pages = Pages()

    # --- classic endpoints -------------------------------------------------------------------

    def classic(self, endpoint: _Endpoint, *parameters: str) -> Handler:
        """Make a handler of an endpoint: check the parameters, and answer in the type asked for."""

        def handle(request: Request) -> Response:
            given = request.parameters("type", *parameters)
            kind = given.pop("type", "html")
            if kind not in TYPES:
                text = f"unknown type '{printable(kind, 40)}'; there are {', '.join(TYPES)}"
                raise HttpError(400, text)
            answer = endpoint(request, given)
            if kind == "plain":
                return Response.text(answer.plain, answer.status)
            if kind == "json":
                return Response.json({"result": answer.result, "info": answer.info}, answer.status)
            return self._pages.page(self._view(answer), answer.status)

        return handle

    def parallel(self, request: Request, given: dict[str, str]) -> _Answer:
        """Change the parallelism if there is a value, and tell what is in force."""
        client, note = self._client, ""
        if "value" in given:
            request.require_intent()
            number = _NUMBER.fullmatch(given["value"])
            if number is None:
                return _error(f"'{printable(given['value'], 40)}' is not a number")
            wanted = int(number[1])
            allowed = min(max(wanted, 0), client.parallel_max)
            if wanted != allowed:
                note = f", the {'most' if wanted > allowed else 'fewest'} that there can be"
            client.set_parallel(allowed)
        return _value(client.parallel, f"requests in parallel{note}")

    def reset(self, request: Request, _given: dict[str, str]) -> _Answer:
        """Begin a new measuring window."""
        request.require_intent()
        self._client.reset()
        return _value("Reseted", "a new measuring window has begun", separator=": ")

    def rate(self, _request: Request, _given: dict[str, str]) -> _Answer:
        """Tell the throughput."""
        throughput = self._client.statistics().throughput
        # Never with an exponent, which the ``bc`` of classic scripts doesn't read.
        return _value(throughput, "requests per second", f"{throughput:.6f}")

    def fails(self, _request: Request, _given: dict[str, str]) -> _Answer:
        """Tell how many requests failed."""
        return _value(self._client.statistics().failed, "request failures")

    def stats(self, _request: Request, _given: dict[str, str]) -> _Answer:
        """Tell everything."""
        client, statistics = self._client, self._client.statistics()
        title = f"queue {printable(client.queue, 64)}, {client.parallel} in parallel"
        report = format_plain(statistics, title).removesuffix("\n")
        return _Answer(report, to_json(statistics), "statistics of the measuring window")

    def places(self, kind: str) -> _Endpoint:
        """Return the endpoint for one kind of places."""

        def endpoint(_request: Request, _given: dict[str, str]) -> _Answer:
            statistics = self._client.statistics()
            lines = [line for place in getattr(statistics, kind) for line in _describe(place)]
            plain = "\n".join(lines) or f"no statistics for {kind} yet"
            return _Answer(plain, to_json(statistics)[kind], f"statistics of {kind}", show=kind)

        return endpoint

    # --- the page, programs and probes -------------------------------------------------------

    def page(self, request: Request) -> Response:
        """Answer with the page."""
        request.parameters()
        return self._pages.page(self._view())

    def panels(self, request: Request) -> Response:
        """Answer with what changes on the page."""
        show = request.parameters("show").get("show", "")
        if show not in ("", *KINDS):
            raise HttpError(400, f"there is nothing to show of '{printable(show, 40)}'")
        return self._pages.panels(attrs.evolve(self._view(), show=show))

    def api_stats(self, request: Request) -> Response:
        """Answer with everything, for programs."""
        request.parameters()
        client = self._client
        return Response.json(
            {
                "queue": client.queue,
                "parallel": client.parallel,
                "parallel_max": client.parallel_max,
                "connected": client.connected(),
                "statistics": to_json(client.statistics()),
            }
        )

    def ready(self, _request: Request) -> Response:
        """Answer whether the client can do its work."""
        if self._client.connected():
            return Response.text("ok")
        return Response.text("not connected to the frontend", 503)

    def _view(self, answer: _Answer | None = None) -> View:
        client = self._client
        return View(
            queue=client.queue,
            parallel=client.parallel,
            parallel_max=client.parallel_max,
            connected=client.connected(),
            statistics=client.statistics(),
            show=answer.show if answer else "",
            notice=answer.notice if answer else "",
            failed=answer is not None and answer.status != 200,
        )


def _value(result: float | str, info: str, plain: str = "", separator: str = " ") -> _Answer:
    plain = plain or str(result)
    return _Answer(plain, result, info, notice=f"{plain}{separator}{info}")


def _error(reason: str) -> _Answer:
    text = f"ERROR: {reason}"
    return _Answer(text, "ERROR", reason, status=400, notice=text)


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
