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

``/api/stats`` gives the same figures to programs, as one object. ``/`` is the page, and ``/events``
the stream that keeps it up to date.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

import attrs

from scalab.errors import ConfigError
from scalab.load.units import parse_rate
from scalab.protocol.text import printable
from scalab.runtime.routing import Handler, HttpError, Request, Response, Router

from .answers import View, render_api, render_json, render_plain
from .aside import Aside
from .controlled import Controlled
from .downloads import FILES, render_file
from .feed import Feed
from .page import (
    Notice,
    render_page,
    render_panels,
    render_place,
    render_table,
    render_table_page,
)
from .placemap import details
from .scene import KINDS, Scene

TYPES: Final = ("plain", "json", "html")

_NUMBER = re.compile(r"\s*([+-]?[0-9]{1,100})\s*")  # a "+" in a query is a space


def control_router(client: Controlled, more: Mapping[str, Handler] | None = None) -> Router:
    """Return the control port of ``client``, with ``more`` routes."""
    control = _Control(client)
    parallel = control.value(control.parallel, "value")
    rate = control.value(control.rate)
    routes: dict[str, Handler] = {
        "/": control.page,
        "/panels": control.panels,
        "/events": control.events,
        "/place": control.place,
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
    files = {f"/{name}": control.file(name) for name in FILES}
    return Router({**routes, **reports, **files, **(more or {})})


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
        self._aside = Aside()
        self._feed = Feed(client, self._aside)

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
            return await self._page(Notice(answer.notice, answer.failed))

        return handle

    def report(self, show: str = "") -> Handler:
        """Make a handler that answers with all statistics, or those of one kind of places."""
        renderers = {"plain": render_plain, "json": render_json}

        async def handle(request: Request) -> Response:
            form, _ = _parameters(request)
            if form in renderers:
                return await self._aside(renderers[form], View.of(self._client, show))
            if show:
                return await self._aside(render_table_page, await self._scene(), show)
            return await self._page(Notice())

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
            self._feed.changed()
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
            self._feed.changed()
        return _number(client.level, "requests per second asked for", f"{client.level:.6f}")

    def pause(self, request: Request, _given: dict[str, str]) -> _Answer:
        """Send nothing until it is resumed."""
        request.require_intent()
        self._client.pause()
        self._feed.changed()
        return _told("Paused", "nothing is sent until it is resumed")

    def resume(self, request: Request, _given: dict[str, str]) -> _Answer:
        """Send again."""
        request.require_intent()
        self._client.resume()
        self._feed.changed()
        return _told("Resumed", "requests are sent")

    def reset(self, request: Request, _given: dict[str, str]) -> _Answer:
        """Begin a new measuring window."""
        request.require_intent()
        self._client.reset()
        self._feed.changed()
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
        return await self._page(Notice())

    async def _page(self, notice: Notice) -> Response:
        return await self._aside(render_page, await self._feed.latest(), notice)

    def events(self, request: Request) -> Response:
        """Answer with the page's panels as they change."""
        request.parameters()
        return self._feed.response()

    async def panels(self, request: Request) -> Response:
        """Answer with what changes on the page, or on that of one kind of places."""
        show = request.parameters("show").get("show", "")
        if show in KINDS:
            return await self._aside(render_table, await self._scene(), show)
        if show:
            raise HttpError(400, f"there is nothing to show of '{printable(show, 40)}'")
        return render_panels(await self._feed.latest())

    async def place(self, request: Request) -> Response:
        """Answer with the details of a place: as a page, or the piece of it."""
        given = request.parameters("kind", "id", "part")
        kind = given.get("kind", "")
        if kind not in KINDS:
            raise HttpError(400, f"there is no kind of places '{printable(kind, 40)}'")
        frame = await self._feed.latest()
        found = await self._aside(details, frame.scene, kind, given.get("id", ""))
        if "part" in given:
            return render_place(found)
        if found is None:
            raise HttpError(404, "nothing has come back from there in this window")
        return await self._aside(render_page, frame, Notice(), found)

    def file(self, name: str) -> Handler:
        """Make a handler that answers with a file of the run so far."""

        async def handle(request: Request) -> Response:
            request.parameters()
            return await self._aside(render_file, name, await self._scene())

        return handle

    async def api_stats(self, request: Request) -> Response:
        """Answer with everything, for programs."""
        request.parameters()
        return await self._aside(render_api, View.of(self._client))

    async def _scene(self) -> Scene:
        return (await self._feed.latest()).scene

    def ready(self, _request: Request) -> Response:
        """Answer whether the client can do its work."""
        if self._client.connected:
            return Response.text("ok")
        return Response.text("not connected to the frontend", 503)


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
