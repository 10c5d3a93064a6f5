"""Metrics of a frontend that shares its queues: of the store, and of the queues as a whole.

All frontends say the same of a shared queue as a whole, so those figures have names of their own,
and the highest of them is the right one. All other metrics add up over frontends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from scalab.sharedqueue.service import BOUNDS_S, Engine

_BOUNDS = (*(f"{bound:g}" for bound in BOUNDS_S), "+Inf")


def store_metrics(engine: Engine) -> Iterator[Metric]:
    """Yield what there is to say of the store."""
    yield from _whole_queues(engine)
    yield GaugeMetricFamily(
        "scalab_engine_up", "1 if the store is there", float(engine.away_since is None)
    )
    seconds = HistogramMetricFamily(
        "scalab_engine_command_seconds", "Time of a batch with such an operation", labels=["op"]
    )
    for op, times in sorted(engine.times.items()):
        buckets = list(zip(_BOUNDS, accumulate(times.counts), strict=True))
        seconds.add_metric([op], buckets, times.sum_s)
    yield seconds
    yield _counter("scalab_engine_errors", "Batches without an answer", "kind", engine.errors)
    yield CounterMetricFamily(
        "scalab_engine_reconnects", "Connections to the store after the first",
        max(0, engine.connects - 1),
    )  # fmt: skip
    shared = engine.dispatcher.shared
    for name, text, counts in (
        (
            "scalab_leases_lost",
            "Items that were taken from us, as the store had not heard of us for too long",
            {name: queue.holder.leases_lost for name, queue in shared.items()},
        ),
        (
            "scalab_stale_replies",
            "Replies that were void, as their lease had been lost",
            {name: queue.holder.stale_replies for name, queue in shared.items()},
        ),
        (
            "scalab_reasserted",
            "Items that the store had lost, and was given again",
            {name: queue.origin.reasserted for name, queue in shared.items()},
        ),
    ):
        yield _counter(name, text, "queue", counts)


def _whole_queues(engine: Engine) -> Iterable[Metric]:
    items = GaugeMetricFamily(
        "scalab_shared_queue_items",
        "Items in a queue over all frontends: take the highest, not the sum",
        labels=["queue", "state"],
    )
    oldest = GaugeMetricFamily(
        "scalab_shared_queue_oldest_seconds",
        "How long the head of the line has waited: take the highest",
        labels=["queue"],
    )
    frontends = GaugeMetricFamily(
        "scalab_shared_frontends",
        "Frontends that share a queue: take the highest",
        labels=["queue"],
    )
    for name, queue in engine.dispatcher.queues.items():
        shared = queue.shared
        items.add_metric([name, "waiting"], shared.waiting if shared else 0)
        items.add_metric([name, "running"], shared.running if shared else 0)
        oldest.add_metric([name], shared.oldest_s if shared else 0.0)
        frontends.add_metric([name], shared.frontends if shared else 0)
    return (items, oldest, frontends)


def _counter(name: str, text: str, label: str, counts: dict[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=[label])
    for value, count in sorted(counts.items()):
        family.add_metric([value], count)
    return family
