"""The client's own metrics."""

from __future__ import annotations

import trio
from prometheus_client.parser import text_string_to_metric_families

from scalab.client.load import Load
from scalab.client.metrics import ClientCollector
from scalab.protocol.messages import DISCONNECTED, TIMEOUT, Reply
from scalab.runtime.metrics import make_registry, metrics_handler
from scalab.runtime.routing import Request, Response
from tests.support import scenario


async def _scrape(load: Load) -> dict[tuple[str, str], float]:
    collector = ClientCollector(load)
    response = metrics_handler(make_registry(collector))(Request.parse("GET", "/metrics"))
    assert isinstance(response, Response)
    assert isinstance(response.body, bytes)
    return {
        (sample.name, sample.labels.get("outcome", "")): sample.value
        for family in text_string_to_metric_families(response.body.decode())
        for sample in family.samples
    }


async def test_metrics_count_the_whole_run_whatever_windows_begin() -> None:
    load = Load(scenario(parallel=3))
    load.connected("the frontend")
    now = trio.current_time()
    first, second, _ = load.take(now)
    reply = Reply(outcome=TIMEOUT, timeout_s=1, runtime_s=1.0, node="n")
    load.completed(first, reply, now + 1.25)
    load.unanswered(second, DISCONNECTED, "gone", now + 2)
    load.tally.cut()

    metrics = await _scrape(load)

    assert metrics["scalab_client_requests_sent_total", ""] == 3
    assert metrics["scalab_client_requests_ended_total", "timeout"] == 1
    assert metrics["scalab_client_requests_ended_total", "disconnected"] == 1
    assert metrics["scalab_client_requests_ended_total", "success"] == 0
    assert metrics["scalab_client_reply_seconds_total", ""] == 1.25
    assert metrics["scalab_client_run_seconds_total", ""] == 1.0
    assert metrics["scalab_client_outstanding_requests", ""] == 1
    assert metrics["scalab_client_parallel_requests", ""] == 3
