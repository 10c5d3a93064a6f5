"""The frontend's HTTP port: the page, metrics, health, and what the page shows as JSON."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import trio

from scalab.queueing.queue import Queue
from scalab.runtime.http import HttpServer
from scalab.runtime.lag import LagMonitor
from scalab.runtime.metrics import make_registry, metrics_handler
from scalab.runtime.routing import Handler, Request, Response, Router

from .history import History
from .hub import Hub
from .metrics import FrontendCollector
from .overview import Only
from .page import render_clients, render_page, render_panels, render_workers
from .snapshot import Snapshot, take_snapshot

REST = 20
"""A snapshot serves for so many times the time that it took: copying takes a 20th at most."""


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
        return Response.text("ok")

    history = History(list(hub.dispatcher.queues.values()))
    shown = _Shown(hub, history, lag)
    router = Router(
        {
            "/": shown.page(render_page),
            "/panels": shown.page(render_panels),
            "/metrics": metrics_handler(make_registry(FrontendCollector(hub, lag))),
            "/livez": lambda _request: Response.text("ok"),
            "/readyz": ready,
            "/api/queues": lambda _request: Response.json(_queues(hub)),
            "/api/workers": shown.data(render_workers),
            "/api/clients": shown.data(render_clients),
        }
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(history.run)
        await HttpServer(router).serve(listeners, task_status=task_status)


class _Shown:
    """Snapshots for any number of viewers, and a thread that draws for one after the other."""

    def __init__(self, hub: Hub, history: History, lag: LagMonitor) -> None:
        self._take = partial(take_snapshot, hub, history, lag)
        self._taking = trio.Lock()
        self._snapshot: Snapshot | None = None
        self._good_until = 0.0
        self._one = trio.CapacityLimiter(1)

    def page(self, render: Callable[[Snapshot, Only], Response]) -> Handler:
        """Make a handler of something that shows the backends that are asked for."""

        async def handle(request: Request) -> Response:
            only = Only(**request.parameters("queue", "node"))
            return await self._aside(render, await self._fresh(), only)

        return handle

    def data(self, render: Callable[[Snapshot], Response]) -> Handler:
        """Make a handler of something that shows everything."""

        async def handle(request: Request) -> Response:
            request.parameters()
            return await self._aside(render, await self._fresh())

        return handle

    async def _fresh(self) -> Snapshot:
        async with self._taking:
            began = trio.current_time()
            if self._snapshot is None or began >= self._good_until:
                self._snapshot = await self._take()
                now = trio.current_time()
                self._good_until = now + REST * (now - began)
            return self._snapshot

    async def _aside(self, render: Callable[..., Response], *args: object) -> Response:
        """Render in a thread: it takes so long that it would hold up items."""
        return await trio.to_thread.run_sync(render, *args, limiter=self._one)


def _queues(hub: Hub) -> dict[str, Any]:
    now = trio.current_time()
    return {
        "draining": hub.dispatcher.draining,
        "queues": {name: _queue(q, now) for name, q in hub.dispatcher.queues.items()},
    }


def _queue(queue: Queue, now: float) -> dict[str, Any]:
    """Describe a queue; ``demand`` is what an autoscaler should follow."""
    head = queue.waiting.head()
    return {
        "waiting": len(queue.waiting),
        "running": queue.running,
        "demand": len(queue.waiting) + queue.running,
        "limit": queue.limit,
        "oldest_wait_s": round(now - head.accepted_at, 3) if head else 0.0,
        "slots": queue.slots(),
        "accepted": queue.counters.accepted,
        "completed": queue.counters.completed,
        "rejected": queue.counters.rejected,
        "redelivered": queue.counters.redelivered,
    }
