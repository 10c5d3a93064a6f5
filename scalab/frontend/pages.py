"""The frontend's HTTP port: the page, metrics, health, and what the page shows as JSON."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

import orjson
import trio

from scalab.queueing.queue import Queue
from scalab.runtime.guard import Guard
from scalab.runtime.hosts import Hosts
from scalab.runtime.http import HttpServer
from scalab.runtime.lag import LagMonitor
from scalab.runtime.metrics import make_registry, metrics_handler
from scalab.runtime.routing import Handler, Request, Response, Router

from .history import History
from .hub import Hub
from .metrics import FrontendCollector, queue_series
from .overview import Only
from .page import backend_json, client_json, render_page, render_panels
from .seen import Backend, Client, QueueSeen
from .snapshot import Snapshot, in_slices, take_snapshot

REST = 10
"""A snapshot serves for so many times the time that it took: taking them takes a tenth at most."""

AWAY_S = 3.0
"""A frontend whose store has been away for so long sends no new peers to itself."""

_A = TypeVar("_A")


async def serve_pages(  # noqa: ASYNC128 - the server tells task_status
    hub: Hub,
    lag: LagMonitor,
    listeners: list[trio.SocketListener],
    *,
    task_status: trio.TaskStatus[object] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the HTTP port until cancelled."""

    def ready(_request: Request) -> Response:
        if hub.dispatcher.draining:
            return Response.text("draining", 503)
        if hub.engine is not None and hub.engine.away_s(trio.current_time()) > AWAY_S:
            return Response.text(f"the store is away: {hub.engine.reason}", 503)
        return Response.text("ok")

    history = History(list(hub.dispatcher.queues.values()))
    shown = _Shown(hub, history, lag)
    registry = make_registry(FrontendCollector(hub, lag), hub.access)
    router = Router(
        {
            "/": shown.page(render_page),
            "/panels": shown.page(render_panels),
            "/metrics": metrics_handler(registry, queue_series(hub)),
            "/livez": lambda _request: Response.text("ok"),
            "/readyz": ready,
            "/api/queues": lambda _request: Response.json(_queues(hub)),
            "/api/workers": shown.workers,
            "/api/clients": shown.clients,
        }
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(history.run)
        hosts = Hosts(hub.settings.allow_hosts)
        server = HttpServer(router, hosts=hosts, guard=Guard(hub.access))
        await server.serve(listeners, task_status=task_status)


class _Kept(Generic[_A]):
    """Something that is made anew when it is asked for, but at a bounded cost.

    It serves for ``REST`` times the time that it took, and all who ask at a time.
    """

    def __init__(self, make: Callable[[], Awaitable[_A]]) -> None:
        self._make = make
        self._making = trio.Lock()
        self._kept: tuple[_A, float] | None = None  # and until when

    async def get(self) -> _A:
        async with self._making:
            began = trio.current_time()
            if self._kept is None or began >= self._kept[1]:
                made = await self._make()
                now = trio.current_time()
                self._kept = made, now + REST * (now - began)
            return self._kept[0]


class _Shown:
    """What there is to see, for any number of viewers."""

    def __init__(self, hub: Hub, history: History, lag: LagMonitor) -> None:
        self._hub = hub
        self._snapshot = _Kept(partial(take_snapshot, hub, history, lag))
        self._workers, self._clients = _Kept(self._all_workers), _Kept(self._all_clients)
        # One thread, as rendering takes milliseconds, in which items would have to wait.
        self._aside = partial(trio.to_thread.run_sync, limiter=trio.CapacityLimiter(1))

    def page(self, render: Callable[[Snapshot, Only, list[Backend]], Response]) -> Handler:
        """Make a handler of something that shows the backends that are asked for."""

        async def handle(request: Request) -> Response:
            only = Only(**request.parameters("queue", "node"))
            snapshot = await self._snapshot.get()
            first = await self._aside(only.first, snapshot.workers)
            now = trio.current_time()
            there = [Backend.of(w, now) for w in first if w in w.queue.workers]
            return await self._aside(render, snapshot, only, there)

        return handle

    async def workers(self, request: Request) -> Response:
        """Answer with all backends."""
        request.parameters()
        return await self._workers.get()

    async def clients(self, request: Request) -> Response:
        """Answer with all clients."""
        request.parameters()
        return await self._clients.get()

    async def _all_workers(self) -> Response:
        queues = self._hub.dispatcher.queues.values()
        workers = await _as_json(
            (worker for queue in queues for worker in queue.workers),
            lambda worker, now: backend_json(Backend.of(worker, now)),
        )
        return Response.json({"draining": self._hub.dispatcher.draining, "workers": workers})

    async def _all_clients(self) -> Response:
        sessions = await _as_json(
            self._hub.clients, lambda client, now: client_json(Client.of(client, now))
        )
        classic = self._hub.connections["client"] - len(self._hub.clients)
        return Response.json({"classic": classic, "sessions": sessions})


async def _as_json(
    things: Iterable[_A], describe: Callable[[_A, float], dict[str, Any]]
) -> orjson.Fragment:
    """Return things as a JSON array, made slice by slice, so that nobody else has to wait."""
    parts: list[bytes] = []

    def add(part: Sequence[_A], now: float) -> None:
        parts.append(orjson.dumps([describe(thing, now) for thing in part])[1:-1])

    await in_slices(things, add)
    return orjson.Fragment(b"[" + b",".join(parts) + b"]")


def _queues(hub: Hub) -> dict[str, Any]:
    now = trio.current_time()
    return {
        "draining": hub.dispatcher.draining,
        "queues": {name: _queue(q, now) for name, q in hub.dispatcher.queues.items()},
    }


def _queue(queue: Queue, now: float) -> dict[str, Any]:
    """Describe a queue; ``demand`` is what an autoscaler should follow.

    Of a shared queue, all is said of all frontends together: whoever asks has been led to any.
    """
    seen, shared = QueueSeen.of(queue, now), queue.shared
    counters = shared or queue.counters
    return {
        "waiting": seen.waiting,
        "running": seen.running,
        "demand": seen.waiting + seen.running,
        "limit": queue.limit,
        "oldest_wait_s": round(seen.oldest_wait_s, 3),
        "slots": shared.slots if shared else queue.slots(),
        "accepted": counters.accepted,
        "completed": counters.completed,
        "rejected": counters.rejected,
        "redelivered": counters.redelivered,
        **({"frontends": shared.frontends} if shared else {}),
    }
