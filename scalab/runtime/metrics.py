"""Prometheus metrics over HTTP: what every part of scalab exports in the same way."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

import scalab

from .routing import Handler, Request, Response


class _Build(Collector):
    def collect(self) -> Iterable[Metric]:
        yield InfoMetricFamily("scalab_build", "What runs here", {"version": scalab.__version__})


def make_registry(collector: Collector) -> CollectorRegistry:
    """Return a registry of one part's metrics, and of its version and process."""
    registry = CollectorRegistry()
    registry.register(collector)
    registry.register(_Build())
    ProcessCollector(registry=registry)
    return registry


def metrics_handler(registry: CollectorRegistry) -> Handler:
    """Return a handler of ``/metrics``, in text or OpenMetrics as the scraper accepts."""

    def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), content_type)

    return metrics
