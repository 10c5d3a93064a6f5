"""Prometheus metrics over HTTP: what every part of scalab exports in the same way."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import trio
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

import scalab
from scalab.access.access import Access

from .routing import Handler, Request, Response
from .series import END, Encode, Many


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


def metrics_handler(registry: CollectorRegistry, many: Many[Any] | None = None) -> Handler:
    """Return a handler of ``/metrics``, in text or OpenMetrics as the scraper accepts.

    Args:
        registry: Metrics that are few: they are read in one step.
        many: Those of many things.
    """

    def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), content_type)

    return metrics if many is None else _Scrapes(registry, many).handle


class _Scrapes:
    """Scrapes that take their time: one is made at a time, and serves all who wait for one."""

    def __init__(self, registry: CollectorRegistry, many: Many[Any]) -> None:
        self._registry = registry
        self._many = many
        self._making = trio.Lock()
        self._begun = 0
        self._last: tuple[int, Response] | None = None

    async def handle(self, request: Request) -> Response:
        """Return a scrape that began after this request came, and so has all that was before."""
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        begun = self._begun
        async with self._making:
            last = self._last
            if last is None or last[0] <= begun or last[1].content_type != content_type:
                self._begun = number = self._begun + 1
                last = number, Response(await self._make(encode), content_type)
            # It is kept only for those who wait: it may be of several megabytes.
            self._last = last if self._making.statistics().tasks_waiting else None
        return last[1]

    async def _make(self, encode: Encode) -> bytes:
        few = encode(self._registry)
        end = END if few.endswith(END) else b""
        return b"".join([few.removesuffix(END), *await self._many.write(encode), end])
