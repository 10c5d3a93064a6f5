"""The client's Prometheus metrics, on its control port."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import attrs
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


class Measured(Protocol):
    """The client, as far as its metrics know it."""

    totals: Totals

    @property
    def queue(self) -> str:
        """Where its requests go."""

    @property
    def parallel(self) -> int:
        """Requests in parallel, as now in force."""

    def connected(self) -> bool:
        """Whether the frontend can be reached."""


class ClientCollector(Collector):
    """Reads the load's own counts when it is scraped."""

    def __init__(self, client: Measured) -> None:
        self._client = client

    def collect(self) -> Iterable[Metric]:
        """Read everything now."""
        client, totals, queue = self._client, self._client.totals, [self._client.queue]
        counters = (
            ("requests_sent", "Requests sent", totals.sent),
            ("reply_seconds", "Time from sending to the reply", totals.total_s),
            ("run_seconds", "Time of it in which the workload ran", totals.run_s),
        )
        for name, text, value in counters:
            counter = CounterMetricFamily(f"scalab_client_{name}", text, labels=["queue"])
            counter.add_metric(queue, value)
            yield counter
        ended = CounterMetricFamily(
            "scalab_client_requests_ended",
            "Requests by how they ended",
            labels=["queue", "outcome"],
        )
        for outcome, count in totals.ended.items():
            ended.add_metric([*queue, outcome], count)
        yield ended
        outstanding = totals.sent - sum(totals.ended.values())
        gauges = (
            ("parallel_requests", "Requests in parallel, as asked for", client.parallel),
            ("outstanding_requests", "Sent and not ended", outstanding),
            ("connected", "1 while the frontend can be reached", client.connected()),
        )
        for name, text, level in gauges:
            gauge = GaugeMetricFamily(f"scalab_client_{name}", text, labels=["queue"])
            gauge.add_metric(queue, float(level))
            yield gauge
