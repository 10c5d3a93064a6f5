"""The backend's Prometheus metrics and health, on an HTTP port of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import attrs
import trio
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from scalab.access.access import Access
from scalab.runtime.guard import Guard
from scalab.runtime.http import HttpServer
from scalab.runtime.metrics import make_registry, metrics_handler
from scalab.runtime.routing import Request, Response, Router

from .runner import KILL_REASONS, RunCounts


@attrs.frozen
class Pages:
    """What a backend's HTTP port tells of."""

    counts: RunCounts
    slots: int
    busy: Callable[[], int]
    """Slots that run something now."""
    ready: Callable[[], bool]
    """Whether the frontend can hand us items."""
    access: Access = attrs.Factory(Access)


class _BackendCollector(Collector):
    """Reads the runner's own counts when it is scraped."""

    def __init__(self, pages: Pages) -> None:
        self._counts = pages.counts
        self._busy = pages.busy
        self._slots = pages.slots

    def collect(self) -> Iterable[Metric]:
        runs = CounterMetricFamily(
            "scalab_backend_runs", "Runs of the workload by how they ended", labels=["outcome"]
        )
        for outcome, count in self._counts.outcomes.items():
            runs.add_metric([outcome], count)
        runs.add_metric(["aborted"], self._counts.aborted)
        yield runs
        yield CounterMetricFamily(
            "scalab_backend_refused",
            "Items whose arguments are not allowed here; they are among the failures",
            value=self._counts.refused,
        )
        yield CounterMetricFamily(
            "scalab_backend_run_seconds", "Run time of the workload", value=self._counts.run_s
        )
        kills = CounterMetricFamily(
            "scalab_backend_kills",
            "Signals sent to workloads that had not ended by themselves",
            labels=["reason", "signal"],
        )
        for reason in KILL_REASONS:
            for name in ("SIGTERM", "SIGKILL"):
                kills.add_metric([reason, name], self._counts.kills[reason, name])
        yield kills
        slots = GaugeMetricFamily("scalab_backend_slots", "Slots by state", labels=["state"])
        slots.add_metric(["busy"], self._busy())
        slots.add_metric(["idle"], self._slots - self._busy())
        yield slots


async def serve_metrics(  # noqa: ASYNC128 - the server tells task_status
    pages: Pages,
    listeners: list[trio.SocketListener],
    *,
    task_status: trio.TaskStatus[object] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve ``/metrics``, ``/livez`` and ``/readyz`` until cancelled."""

    def ready(_request: Request) -> Response:
        return Response.text("ok") if pages.ready() else Response.text("no session", 503)

    router = Router(
        {
            "/metrics": metrics_handler(make_registry(_BackendCollector(pages), pages.access)),
            "/livez": lambda _request: Response.text("ok"),
            "/readyz": ready,
        }
    )
    await HttpServer(router, guard=Guard(pages.access)).serve(listeners, task_status=task_status)
