"""The client's Prometheus metrics, on its control port."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import attrs
import trio
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from scalab.protocol.messages import OUTCOMES, REJECTED


@attrs.define(eq=False)
class Totals:
    """Counts of the whole run, which no new window resets."""

    sent: int = 0
    ended: dict[str, int] = attrs.Factory(lambda: dict.fromkeys((*OUTCOMES, REJECTED), 0))
    """Requests that have ended, by outcome."""
    total_s: float = 0.0
    """Seconds from sending to the reply, summed."""
    run_s: float = 0.0
    """Of these, seconds of the workload."""
    delay_s: float = 0.0
    """Seconds from the intended time of sending to sending, summed; open loop."""
    dropped: int = 0
    """Arrivals that the schedule wanted and that were never sent; open loop."""


class Measured(Protocol):
    """The client, as far as its metrics know it."""

    totals: list[Totals]
    """By queue."""
    queues: tuple[str, ...]
    is_open: bool
    connections: int

    def level(self, now: float) -> float:
        """Return the level asked for: parallel requests, or a rate per second."""


_COUNTERS = (
    ("requests_sent", "Requests sent", "sent"),
    ("reply_seconds", "Time from sending to the reply", "total_s"),
    ("run_seconds", "Time of it in which the workload ran", "run_s"),
    ("schedule_delay_seconds", "Time from the intended time of sending to sending", "delay_s"),
    ("arrivals_dropped", "Requests of an open loop that were never sent", "dropped"),
)


class ClientCollector(Collector):
    """Reads the load's own counts when it is scraped.

    Counts are told by queue. The level asked for and the connection are the client's, whatever
    its queues; their label names them all.
    """

    def __init__(self, client: Measured) -> None:
        self._client = client

    def collect(self) -> Iterable[Metric]:
        """Read everything now."""
        client = self._client
        by_queue = list(zip(client.queues, client.totals, strict=True))
        for name, text, field in _COUNTERS:
            counter = CounterMetricFamily(f"scalab_client_{name}", text, labels=["queue"])
            for queue, totals in by_queue:
                counter.add_metric([queue], getattr(totals, field))
            yield counter
        ended = CounterMetricFamily(
            "scalab_client_requests_ended",
            "Requests by how they ended",
            labels=["queue", "outcome"],
        )
        for queue, totals in by_queue:
            for outcome, count in totals.ended.items():
                ended.add_metric([queue, outcome], count)
        yield ended
        outstanding = {q: t.sent - sum(t.ended.values()) for q, t in by_queue}
        yield _gauge("outstanding_requests", "Sent and not ended", outstanding)
        every = ",".join(client.queues)
        level = client.level(trio.current_time())
        yield _gauge(
            "parallel_requests",
            "Requests in parallel, as asked for; 0 in an open loop",
            {every: 0.0 if client.is_open else level},
        )
        yield _gauge(
            "requested_rate",
            "Requests per second, as asked for; 0 in a closed loop",
            {every: level if client.is_open else 0.0},
        )
        yield _gauge(
            "connected", "1 while the frontend can be reached", {every: client.connections > 0}
        )


def _gauge(name: str, text: str, levels: Mapping[str, float]) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(f"scalab_client_{name}", text, labels=["queue"])
    for queue, level in levels.items():
        gauge.add_metric([queue], float(level))
    return gauge
