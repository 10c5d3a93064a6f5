"""The client's own metrics."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from scalab.client.load import Load
from scalab.client.service import client_router
from scalab.client.settings import ClientSettings
from scalab.protocol.messages import DISCONNECTED, TIMEOUT, Reply
from scalab.runtime.routing import Request


async def _scrape(load: Load) -> dict[tuple[str, str], float]:
    response = await client_router(load).handle(Request.parse("GET", "/metrics"))
    assert isinstance(response.body, bytes)
    return {
        (sample.name, sample.labels.get("outcome", "")): sample.value
        for family in text_string_to_metric_families(response.body.decode())
        for sample in family.samples
    }


async def test_metrics_count_the_whole_run_whatever_windows_begin() -> None:
    load = Load(ClientSettings(queue="q", parallel=3))
    assert load.take() == 3
    load.completed(Reply(outcome=TIMEOUT, timeout_s=1, runtime_s=1.0, node="n"), 1.25, 10.0)
    load.dropped(DISCONNECTED, "gone", 11.0)
    load.reset()

    metrics = await _scrape(load)

    assert metrics["scalab_client_requests_sent_total", ""] == 3
    assert metrics["scalab_client_requests_ended_total", "timeout"] == 1
    assert metrics["scalab_client_requests_ended_total", "disconnected"] == 1
    assert metrics["scalab_client_requests_ended_total", "success"] == 0
    assert metrics["scalab_client_reply_seconds_total", ""] == 1.25
    assert metrics["scalab_client_run_seconds_total", ""] == 1.0
    assert metrics["scalab_client_outstanding_requests", ""] == 1
    assert metrics["scalab_client_parallel_requests", ""] == 3
