"""The frontend's HTTP port: metrics, health, and the queues as JSON."""

from __future__ import annotations

from typing import Any

import trio

from scalab.queueing.queue import Queue
from scalab.runtime.http import HttpServer
from scalab.runtime.lag import LagMonitor
from scalab.runtime.metrics import make_registry, metrics_handler
from scalab.runtime.routing import Request, Response, Router

from .hub import Hub
from .metrics import FrontendCollector

_INDEX = """scalab frontend

/metrics     Prometheus metrics
/api/queues  the queues as JSON
/livez       answers as long as the event loop makes progress
/readyz      200 while requests are accepted, 503 while draining"""


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

    router = Router(
        {
            "/": lambda _request: Response.text(_INDEX),
            "/metrics": metrics_handler(make_registry(FrontendCollector(hub, lag))),
            "/livez": lambda _request: Response.text("ok"),
            "/readyz": ready,
            "/api/queues": lambda _request: Response.json(_queues(hub)),
        }
    )
    await HttpServer(router).serve(listeners, task_status=task_status)


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
