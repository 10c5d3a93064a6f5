"""The frontend's Prometheus metrics.

A collector that reads the queues' own counters when it is scraped: the hot path pays for no
metric objects, and the figures can't differ from those that the dispatcher keeps. Every
configured queue has all its series, with 0, from the start.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import accumulate
from math import inf

import trio
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from scalab.queueing.counters import BUCKETS_S, Durations
from scalab.queueing.queue import Queue
from scalab.runtime.lag import LAG_BUCKETS_S, LagMonitor

from .hub import Hub
from .storemetrics import store_metrics

_BOUNDS = tuple(map(floatToGoString, (*BUCKETS_S, inf)))
_LAG_BOUNDS = tuple(map(floatToGoString, (*LAG_BUCKETS_S, inf)))


class FrontendCollector(Collector):
    """Everything that a frontend exports of its own."""

    def __init__(self, hub: Hub, lag: LagMonitor) -> None:
        self._hub = hub
        self._lag = lag

    def collect(self) -> Iterable[Metric]:
        """Read everything now, and start new maxima unless the log's interval does that."""
        queues = list(self._hub.dispatcher.queues.values())
        yield from _levels(queues)
        yield from _counts(queues, self._hub.dispatcher.unknown_queue)
        yield from _durations(queues)
        yield from self._process()
        if self._hub.engine is not None:
            yield from store_metrics(self._hub.engine)
        if not self._hub.settings.interval_s:
            for queue in queues:
                queue.counters.reset_maxima()

    def _process(self) -> Iterator[Metric]:
        hub = self._hub
        now, ever = (
            _gauge("scalab_connections", "Connections now", "role"),
            _counter("scalab_connections_opened", "Connections accepted", "role"),
        )
        for role, count in hub.connections.items():
            now.add_metric([role], count)
            ever.add_metric([role], hub.connections_total[role])
        yield now
        yield ever
        refused = _counter("scalab_connections_refused", "Connections over a limit", "limit")
        for limit, count in hub.admission.refused.items():
            refused.add_metric([limit], count)
        yield refused
        errors = _counter("scalab_protocol_errors", "What peers got wrong", "reason")
        for reason, count in hub.protocol_errors.items():
            errors.add_metric([reason], count)
        yield errors
        draining = _gauge("scalab_draining", "1 while the frontend is stopping")
        draining.add_metric([], float(hub.dispatcher.draining))
        yield draining
        lag = HistogramMetricFamily(
            "scalab_event_loop_lag_seconds", "How late a timer of the event loop fires"
        )
        bounds = (*(f"{b:g}" for b in LAG_BUCKETS_S), "+Inf")
        lag.add_metric(
            [], list(zip(bounds, accumulate(self._lag.counts), strict=True)), self._lag.sum_s
        )
        yield lag


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=labels)


def _counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(name, text, labels=labels)


def _levels(queues: list[Queue]) -> Iterator[Metric]:
    items = _gauge(
        "scalab_queue_items", "Items in a queue; their sum is its demand", "queue", "state"
    )
    limit = _gauge("scalab_queue_limit_items", "Most items that may wait; 0 = unlimited", "queue")
    slots = _gauge("scalab_queue_backends", "Slots of the connected backends", "queue", "state")
    oldest = _gauge(
        "scalab_queue_oldest_item_timestamp_seconds",
        "When the item that waits longest was accepted; 0 = none waits",
        "queue",
    )
    for queue in queues:
        items.add_metric([queue.name, "waiting"], len(queue.waiting))
        items.add_metric([queue.name, "running"], queue.running)
        limit.add_metric([queue.name], queue.limit)
        for state, count in queue.slots().items():
            slots.add_metric([queue.name, state], count)
        oldest.add_metric([queue.name], _oldest_timestamp(queue))
    yield from (items, limit, slots, oldest)


def _oldest_timestamp(queue: Queue) -> float:
    head = queue.waiting.head()
    return time.time() - (trio.current_time() - head.accepted_at) if head else 0.0


def _counts(queues: list[Queue], unknown_queue: int) -> Iterator[Metric]:
    accepted = _counter("scalab_queue_items_accepted", "Requests taken into a queue", "queue")
    delivered = _counter("scalab_queue_items_delivered", "Items handed to a backend", "queue")
    families = (
        ("completed", "outcome", "Items by how they ended; each ends once"),
        ("rejected", "reason", "Requests that were not accepted"),
        ("redelivered", "reason", "Items put back, as their backend lost or released them"),
        ("cancelled", "stage", "Items that their client no longer wanted"),
    )
    labelled = [
        (name, _counter(f"scalab_queue_items_{name}", text, "queue", label))
        for name, label, text in families
    ]
    for queue in queues:
        accepted.add_metric([queue.name], queue.counters.accepted)
        delivered.add_metric([queue.name], queue.counters.delivered)
        for name, family in labelled:
            for value, count in getattr(queue.counters, name).items():
                family.add_metric([queue.name, value], count)
    dict(labelled)["rejected"].add_metric(["", "unknown_queue"], unknown_queue)
    yield from (accepted, delivered, *(family for _, family in labelled))


def _durations(queues: list[Queue]) -> Iterator[Metric]:
    for name, text in (
        ("wait", "Time in the queue, of items that ran"),
        ("run", "Run time of the workload"),
        ("request", "Time from acceptance to the end, however it ended"),
    ):
        histogram = HistogramMetricFamily(f"scalab_queue_{name}_seconds", text, labels=["queue"])
        maximum = _gauge(
            f"scalab_queue_{name}_seconds_max",
            f"{text}: the longest since the last scrape, or of the log's interval",
            "queue",
        )
        for queue in queues:
            durations: Durations = getattr(queue.counters, name)
            buckets = list(zip(_BOUNDS, accumulate(durations.counts), strict=True))
            histogram.add_metric([queue.name], buckets, durations.sum_s)
            maximum.add_metric([queue.name], durations.max_s)
        yield histogram
        yield maximum
