"""What the frontend exports: there from the start, valid, and equal to what clients count."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
import time
from functools import partial
from itertools import product
from typing import Any

import pytest
import structlog
import trio
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text
from trio.testing import MockClock, wait_all_tasks_blocked

from scalab.protocol.errors import REASONS
from scalab.protocol.messages import OUTCOMES
from scalab.queueing.counters import LOSS_REASONS, REJECT_REASONS
from tests.support import Frontend, client_run, serving, working

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
AWKWARD = 'a "b" \\ é,{}='

LABELLED = {
    "scalab_queue_items": ("state", ("waiting", "running")),
    "scalab_queue_limit_items": None,
    "scalab_queue_backends": ("state", ("idle", "busy", "draining")),
    "scalab_queue_oldest_item_timestamp_seconds": None,
    "scalab_queue_items_accepted_total": None,
    "scalab_queue_items_delivered_total": None,
    "scalab_queue_items_completed_total": ("outcome", OUTCOMES),
    "scalab_queue_items_rejected_total": ("reason", REJECT_REASONS),
    "scalab_queue_items_redelivered_total": ("reason", LOSS_REASONS),
    "scalab_queue_items_cancelled_total": ("stage", ("waiting", "running")),
    "scalab_queue_wait_seconds_count": None,
    "scalab_queue_run_seconds_sum": None,
    "scalab_queue_request_seconds_bucket": ("le", ("0.001", "7200.0", "+Inf")),
    "scalab_queue_wait_seconds_max": None,
    "scalab_queue_run_seconds_max": None,
    "scalab_queue_request_seconds_max": None,
}


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    parse = parse_openmetrics if text.endswith("# EOF\n") else parse_text
    found = [sample for family in parse(text) for sample in family.samples]
    by_labels = {(s.name, frozenset(s.labels.items())): s.value for s in found}
    assert len(by_labels) == len(found)
    return by_labels


async def test_all_series_of_a_queue_are_there_from_the_start() -> None:
    queues = ("encode", AWKWARD)
    async with serving(*queues, queue_max=7) as frontend:
        _, text = await frontend.get("/metrics")
        found = samples(text)
    for queue, (name, labels) in product(queues, LABELLED.items()):
        label, values = labels or ("queue", (queue,))
        for value in values:
            key = (name, frozenset({"queue": queue, label: value}.items()))
            assert found[key] == (7 if name == "scalab_queue_limit_items" else 0)
    for reason in REASONS:
        assert found["scalab_protocol_errors_total", frozenset({("reason", reason)})] == 0
    for role in ("client", "backend"):
        assert found["scalab_connections", frozenset({("role", role)})] == 0


async def test_the_format_is_what_the_scraper_accepts() -> None:
    async with serving("q", AWKWARD) as frontend, working(frontend.bound.workers, "sleep"):
        await client_run(frontend.bound.clients, args=("0",), requests=3)
        _, plain = await frontend.get("/metrics")
        _, text = await frontend.get("/metrics", Accept="text/plain;version=0.0.4")
        _, openmetrics = await frontend.get("/metrics", Accept=OPENMETRICS)

    assert openmetrics.endswith("# EOF\n")
    assert not text.endswith("# EOF\n")
    # What changes by itself, or is named otherwise, is left out.
    kinds = [
        {
            (name, labels): value
            for (name, labels), value in samples(t).items()
            if not name.startswith(("process_", "scalab_event_loop")) and "_max" not in name
        }
        for t in (plain, text, openmetrics)
    ]
    assert kinds[0] == kinds[1] == kinds[2]
    assert kinds[0]["scalab_queue_run_seconds_count", frozenset({("queue", "q")})] == 3


@pytest.mark.skipif(
    shutil.which("promtool") is None and not os.environ.get("CI"),
    reason="promtool, of Prometheus, is not installed",
)
async def test_promtool_finds_nothing_to_complain_of() -> None:
    async with serving("q", AWKWARD) as frontend, working(frontend.bound.workers, "sleep"):
        await client_run(frontend.bound.clients, args=("0",), requests=3)
        _, text = await frontend.get("/metrics")
    checked = await trio.run_process(
        ["promtool", "check", "metrics"], stdin=text.encode(), check=False,
        capture_stdout=True, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert checked.stdout == b""
    assert checked.returncode == 0


async def run_one(frontend: Frontend, runtime_s: float, **place: str) -> None:
    client = await frontend.classic_client()
    backend, _ = await frontend.classic_backend()
    await backend.say({"Node": "n", **place, "Runtime": runtime_s})
    await client.answer()


async def maxima(frontend: Frontend) -> dict[str, float]:
    found = await frontend.metrics()
    return {
        name: found[f'scalab_queue_{name}_seconds_max{{queue="q"}}']
        for name in ("wait", "run", "request")
    }


async def test_a_scrape_starts_new_maxima() -> None:
    async with serving() as frontend:
        await run_one(frontend, 7.5)
        await run_one(frontend, 2.5)
        first, second = await maxima(frontend), await maxima(frontend)
        await run_one(frontend, 1.5)
        third = await maxima(frontend)

    assert (first["run"], third["run"]) == (7.5, 1.5)
    assert first["request"] >= first["wait"] > 0
    assert second == {"wait": 0, "run": 0, "request": 0}


async def test_with_an_interval_it_is_the_interval_that_does(mock_clock: MockClock) -> None:
    async with serving(interval_s=60.0, patience_s=1000.0) as frontend:
        await run_one(frontend, 7.5)
        assert [(await maxima(frontend))["run"] for _ in range(3)] == [7.5, 7.5, 7.5]
        mock_clock.jump(60)
        await wait_all_tasks_blocked()
        assert (await maxima(frontend))["run"] == 0


async def test_the_interval_s_log_names_where_the_slowest_ran(mock_clock: MockClock) -> None:
    with structlog.testing.capture_logs() as logs:
        async with serving("q", "idle", interval_s=10.0, patience_s=1000.0) as frontend:
            await run_one(frontend, 1.0, Pod="quick")
            await run_one(frontend, 3.5, Node="far", Pod="slow", Device="card1")
            await run_one(frontend, 2.0, Pod="middling")
            waiting = await frontend.classic_client()
            mock_clock.jump(10)
            await wait_all_tasks_blocked()
            await waiting.aclose()
            await wait_all_tasks_blocked()
            mock_clock.jump(10)
            await wait_all_tasks_blocked()

    lines = [line for line in logs if line["event"] == "queue statistics"]
    assert [line["queue"] for line in lines] == ["q", "idle"] * 2
    first, second = lines[0], lines[2]
    assert dict(first.items() - {("event", ""), ("log_level", "")}) == {
        "queue": "q", "waiting": 1, "running": 0, "backends": 0, "per_s": 0.3,
        "accepted": 4, "success": 3, "wait_max_s": 0.0, "run_max_s": 3.5,
        "slowest_node": "far", "slowest_pod": "slow", "slowest_device": "card1",
        "event": "queue statistics", "log_level": "info",
    }  # fmt: skip
    assert (second["disconnected"], second["run_max_s"]) == (1, 0.0)
    assert "slowest_node" not in second
    assert "accepted" not in second


async def test_intervals_that_we_slept_through_are_one(mock_clock: MockClock) -> None:
    with structlog.testing.capture_logs() as logs:
        async with serving(interval_s=10.0, patience_s=10_000.0) as frontend:
            for _ in range(2):
                await run_one(frontend, 1.0)
            for seconds in (100, 5, 5):
                mock_clock.jump(seconds)
                await wait_all_tasks_blocked()

    rates = [line["per_s"] for line in logs if line["event"] == "queue statistics"]
    assert rates == [0.02, 0.0]


async def test_the_levels_follow_the_items() -> None:
    before = time.time()
    async with serving() as frontend:
        clients = [await frontend.classic_client() for _ in range(3)]
        backend = await frontend.backend(Slots=2)
        for _ in range(2):
            await backend.next("item")
        found = await frontend.metrics()
        for client in clients:
            await client.aclose()

    assert found['scalab_queue_items{queue="q",state="waiting"}'] == 1
    assert found['scalab_queue_items{queue="q",state="running"}'] == 2
    assert found['scalab_queue_backends{queue="q",state="busy"}'] == 2
    oldest = found['scalab_queue_oldest_item_timestamp_seconds{queue="q"}']
    assert before - 1 < oldest < time.time() + 1


async def test_counts_equal_the_clients_own() -> None:
    """Of two clients with different fortunes, over sessions and classic exchanges."""
    statistics: list[Any] = []

    async def run(frontend: Frontend, **options: Any) -> None:
        statistics.append((await client_run(frontend.bound.clients, **options)).statistics)

    async with serving() as frontend, working(frontend.bound.workers, "sleep", slots=3):
        async with trio.open_nursery() as nursery:
            for options in (
                {"args": ("0.001",), "requests": 40, "parallel": 4},
                {"args": ("nonsense",), "requests": 15, "classic": True},
                {"args": ("0.5",), "limit_s": 0.01, "requests": 5},
            ):
                nursery.start_soon(partial(run, frontend, **options))
        found = await frontend.metrics()

    counted = {
        outcome: found[f'scalab_queue_items_completed_total{{outcome="{outcome}",queue="q"}}']
        for outcome in OUTCOMES
    }
    assert counted == dict.fromkeys(OUTCOMES, 0) | {"success": 40, "failure": 15, "timeout": 5}
    failures = [s.failures for s in statistics if s.failures]
    assert sorted(map(str, failures)) == ["{'failure': 15}", "{'timeout': 5}"]
    assert sum(s.succeeded for s in statistics) == 40
    assert found['scalab_queue_items_accepted_total{queue="q"}'] == 60
    for name, spread in (("wait", "wait"), ("run", "run")):
        assert found[f'scalab_queue_{name}_seconds_count{{queue="q"}}'] == 60
        own = sum(getattr(s, spread).mean_s * getattr(s, spread).count for s in statistics)
        # The client's histograms are exact to a thousandth.
        theirs = found[f'scalab_queue_{name}_seconds_sum{{queue="q"}}']
        assert math.isclose(own, theirs, rel_tol=0.01, abs_tol=60 * 2e-5)


class Work(trio.abc.Instrument):
    """How many functions are called in a step of the event loop, at most."""

    def __init__(self) -> None:
        self.most = self.total = self._calls = 0

    def _count(self, _frame: object, event: str, _arg: object) -> None:
        self._calls += event in ("call", "c_call")

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._calls = 0
        sys.setprofile(self._count)

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        sys.setprofile(None)
        self.most = max(self.most, self._calls)
        self.total += self._calls


async def test_a_scrape_of_a_thousand_queues_holds_up_nobody() -> None:
    work = Work()
    async with serving(*(f"queue-{number}" for number in range(1000))) as frontend:
        request = f"GET /metrics HTTP/1.1\r\nHost: {frontend.bound.metrics}\r\n\r\n".encode()
        stream = await trio.open_tcp_stream("127.0.0.1", frontend.bound.metrics.port)
        async with stream:
            trio.lowlevel.add_instrument(work)
            await stream.send_all(request)
            last = b""
            while b'scalab_queue_request_seconds_max{queue="queue-999"} 0.0\n' not in last:
                piece = bytes(await stream.receive_some(65536))
                assert piece
                last = last[-100:] + piece
            trio.lowlevel.remove_instrument(work)
            sys.setprofile(None)
        frontend.stop.request("all is measured")
    assert work.total > 100_000
    assert work.most < work.total / 10
