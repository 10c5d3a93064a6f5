"""Metrics of a frontend that shares its queues: of the store, and of the queues as a whole.

All frontends say the same of a shared queue as a whole, so those figures have names of their own,
and the highest of them is the right one. All other metrics add up over frontends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import accumulate

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from scalab.queueing.queue import Queue, Shared
from scalab.runtime.series import Family
from scalab.sharedqueue.dispatcher import SharedQueue
from scalab.sharedqueue.service import BOUNDS_S, Engine

_BOUNDS = (*(f"{bound:g}" for bound in BOUNDS_S), "+Inf")
_UNKNOWN = Shared(0, 0, 0.0, 0)
"""A queue of which the store has not told us yet."""


def store_metrics(engine: Engine) -> Iterator[Metric]:
    """Yield what there is to say of the store."""
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


def shared_series(engine: Engine) -> Iterator[Family[Queue]]:
    """Yield what there is to say of each queue."""

    def of_store(name: str, text: str, read: Callable[[Shared], float]) -> Family[Queue]:
        family = GaugeMetricFamily(name, text, labels=["queue"])
        return Family.of(family, lambda queue: (read(queue.shared or _UNKNOWN),))

    def of_ours(name: str, text: str, read: Callable[[SharedQueue], int]) -> Family[Queue]:
        family = CounterMetricFamily(name, text, labels=["queue"])
        return Family.of(family, lambda queue: (read(engine.dispatcher.shared[queue.name]),))

    yield Family.of(
        GaugeMetricFamily(
            "scalab_shared_queue_items",
            "Items in a queue over all frontends: take the highest, not the sum",
            labels=["queue", "state"],
        ),
        lambda queue: ((queue.shared or _UNKNOWN).waiting, (queue.shared or _UNKNOWN).running),
        ("waiting", "running"),
    )
    yield of_store(
        "scalab_shared_queue_oldest_seconds",
        "How long the head of the line has waited: take the highest",
        lambda shared: shared.oldest_s,
    )
    yield of_store(
        "scalab_shared_frontends",
        "Frontends that share a queue: take the highest",
        lambda shared: shared.frontends,
    )
    yield of_ours(
        "scalab_leases_lost",
        "Items that were taken from us, as the store had not heard of us for too long",
        lambda shared: shared.holder.leases_lost,
    )
    yield of_ours(
        "scalab_stale_replies",
        "Replies that were void, as their lease had been lost",
        lambda shared: shared.holder.stale_replies,
    )
    yield of_ours(
        "scalab_reasserted",
        "Items that the store had lost, and was given again",
        lambda shared: shared.origin.reasserted,
    )


def _counter(name: str, text: str, label: str, counts: dict[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=[label])
    for value, count in sorted(counts.items()):
        family.add_metric([value], count)
    return family
