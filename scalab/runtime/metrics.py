"""Prometheus metrics over HTTP: what every part of scalab exports in the same way."""

from __future__ import annotations

from collections.abc import Iterable

import trio
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

import scalab
from scalab.access.access import Access

from .routing import Handler, Request, Response


class _Build(Collector):
    def collect(self) -> Iterable[Metric]:
        yield InfoMetricFamily("scalab_build", "What runs here", {"version": scalab.__version__})


class _Access(Collector):
    def __init__(self, access: Access) -> None:
        self._access = access

    def collect(self) -> Iterable[Metric]:
        failures = CounterMetricFamily(
            "scalab_auth_failures", "Peers that were not let in", labels=["role", "reason"]
        )
        for labels, count in self._access.failures.items():
            failures.add_metric(labels, count)
        yield failures


class _Tasks(Collector):
    def collect(self) -> Iterable[Metric]:
        if trio.lowlevel.in_trio_run():
            tasks = trio.lowlevel.current_statistics().tasks_living
            yield GaugeMetricFamily("scalab_event_loop_tasks", "Tasks of the event loop", tasks)


def make_registry(collector: Collector, access: Access | None = None) -> CollectorRegistry:
    """Return a registry of one part's metrics, who it let in, its version and its process."""
    registry = CollectorRegistry()
    if access is not None:
        registry.register(_Access(access))
    registry.register(collector)
    registry.register(_Build())
    registry.register(_Tasks())
    ProcessCollector(registry=registry)
    return registry


def metrics_handler(registry: CollectorRegistry) -> Handler:
    """Return a handler of ``/metrics``, in text or OpenMetrics as the scraper accepts."""

    def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), content_type)

    return metrics
