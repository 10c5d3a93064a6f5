"""The frontend's Prometheus metrics.

The queues' own counters are read when they are scraped: the hot path pays for no metric objects,
and the figures can't differ from those that the dispatcher keeps. Every configured queue has all
its series, with 0, from the start.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import accumulate
from math import inf

import attrs
import trio
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from scalab.queueing.counters import BUCKETS_S, Counters, Durations
from scalab.queueing.queue import Queue
from scalab.runtime.lag import LAG_BUCKETS_S, LagMonitor
from scalab.runtime.series import NAME, Family, Many

from .hub import Hub
from .storemetrics import shared_series, store_metrics

_BOUNDS = tuple(map(floatToGoString, (*BUCKETS_S, inf)))
_LAG_BOUNDS = tuple(map(floatToGoString, (*LAG_BUCKETS_S, inf)))


class FrontendCollector(Collector):
    """What a frontend exports of itself, beside what it exports of each queue."""

    def __init__(self, hub: Hub, lag: LagMonitor) -> None:
        self._hub = hub
        self._lag = lag

    def collect(self) -> Iterable[Metric]:
        """Read everything now."""
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
        if hub.engine is not None:
            yield from store_metrics(hub.engine)


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=labels)


def _counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(name, text, labels=labels)


def queue_series(hub: Hub) -> Many[Queue]:
    """Return what is exported of each queue.

    When a queue was read, its maxima start anew, unless the log's interval does that.
    """
    families = [*_levels(), *_counts(hub), *_durations()]
    if hub.engine is not None:
        families += shared_series(hub.engine)
    resets = not hub.settings.interval_s

    def done(queue: Queue) -> None:
        if resets:
            queue.counters.reset_maxima()

    return Many(lambda: hub.dispatcher.queues, families, done)


def _levels() -> Iterator[Family[Queue]]:
    yield Family.of(
        _gauge("scalab_queue_items", "Items in a queue; their sum is its demand", "queue", "state"),
        lambda queue: (len(queue.waiting), queue.running),
        ("waiting", "running"),
    )
    yield Family.of(
        _gauge("scalab_queue_limit_items", "Most items that may wait; 0 = unlimited", "queue"),
        lambda queue: (queue.limit,),
    )
    yield Family.of(
        _gauge("scalab_queue_backends", "Slots of the connected backends", "queue", "state"),
        lambda queue: queue.slots().values(),
        Queue("").slots(),
    )
    yield Family.of(
        _gauge(
            "scalab_queue_oldest_item_timestamp_seconds",
            "When the item that waits longest was accepted; 0 = none waits",
            "queue",
        ),
        lambda queue: (_oldest_timestamp(queue),),
    )


def _oldest_timestamp(queue: Queue) -> float:
    head = queue.waiting.head()
    return time.time() - (trio.current_time() - head.accepted_at) if head else 0.0


def _counts(hub: Hub) -> Iterator[Family[Queue]]:
    yield Family.of(
        _counter("scalab_queue_items_accepted", "Requests taken into a queue", "queue"),
        lambda queue: (queue.counters.accepted,),
    )
    yield Family.of(
        _counter("scalab_queue_items_delivered", "Items handed to a backend", "queue"),
        lambda queue: (queue.counters.delivered,),
    )
    yield _labelled("completed", "outcome", "Items by how they ended; each ends once")
    rejected = _labelled("rejected", "reason", "Requests that were not accepted")
    yield attrs.evolve(rejected, others=partial(_unknown_queue, hub, rejected.metric))
    yield _labelled(
        "redelivered", "reason", "Items put back, as their backend lost or released them"
    )
    yield _labelled("cancelled", "stage", "Items that their client no longer wanted")


def _labelled(name: str, label: str, text: str) -> Family[Queue]:
    def counts(counters: Counters) -> dict[str, int]:
        found: dict[str, int] = getattr(counters, name)
        return found

    family = _counter(f"scalab_queue_items_{name}", text, "queue", label)
    return Family.of(family, lambda queue: counts(queue.counters).values(), counts(Counters()))


def _unknown_queue(hub: Hub, rejected: Metric) -> Metric:
    others = _counter(rejected.name, rejected.documentation, "queue", "reason")
    others.add_metric(["", "unknown_queue"], hub.dispatcher.unknown_queue)
    return others


def _durations() -> Iterator[Family[Queue]]:
    for name, text in (
        ("wait", "Time in the queue, of items that ran"),
        ("run", "Run time of the workload"),
        ("request", "Time from acceptance to the end, however it ended"),
    ):
        histogram = HistogramMetricFamily(f"scalab_queue_{name}_seconds", text, labels=["queue"])
        histogram.add_metric([NAME], [(bound, 0) for bound in _BOUNDS], 0)
        yield Family(histogram, partial(_histogram, name))
        maximum = _gauge(
            f"scalab_queue_{name}_seconds_max",
            f"{text}: the longest since the last scrape, or of the log's interval",
            "queue",
        )
        yield Family.of(maximum, partial(_maximum, name))


def _histogram(name: str, queue: Queue) -> Iterator[float]:
    durations: Durations = getattr(queue.counters, name)
    total = 0
    for count in durations.counts:
        total += count
        yield total
    yield total
    yield durations.sum_s


def _maximum(name: str, queue: Queue) -> Iterator[float]:
    durations: Durations = getattr(queue.counters, name)
    yield durations.max_s
