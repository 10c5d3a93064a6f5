"""A page that stays open for a long run takes no more memory, neither here nor in the browser."""

from __future__ import annotations

import pytest
import trio

from scalab.client import feed
from scalab.client.control import control_router
from scalab.report.plots.scales import at_clock
from scalab.runfile.records import Event
from scalab.runtime.http import HttpServer
from tests.browser.browser import Browser
from tests.client.controlled import FakeClient
from tests.client.growing import Growing

FRAME_S = 0.05
STRETCH_S = 60
"""Seconds of the run between two frames."""


async def nodes(browser: Browser) -> int:
    """Nodes that the browser holds, those cut off from the page and not yet freed excluded."""
    await browser.cdp("HeapProfiler.collectGarbage")
    metrics = (await browser.cdp("Performance.getMetrics"))["metrics"]
    return int(next(metric["value"] for metric in metrics if metric["name"] == "Nodes"))


async def test_an_hour(
    browser: Browser, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "EVERY_S", FRAME_S)
    monkeypatch.setattr(feed, "RAREST_S", FRAME_S)
    record = Growing()
    client = FakeClient(recording=record, remaining_s=None)  # type: ignore[arg-type]
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    await nursery.start(HttpServer(control_router(client)).serve, listeners)
    await browser.cdp("Performance.enable")

    async def goes_on(minutes: int) -> None:
        for _ in range(minutes):
            record.grow(STRETCH_S, pods=6)
            record.builder.add(Event(at_s=float(record.seconds), kind="load", text="asked for 8"))
            client.elapsed_s = record.seconds
            await browser.until_text("#p-state", at_clock(record.seconds))

    host, port = listeners[0].socket.getsockname()
    record.grow(1)
    await browser.open(f"http://{host}:{port}/")
    await goes_on(20)
    early, sent = await nodes(browser), len(await document_of(browser))
    await goes_on(40)
    late = await nodes(browser)

    assert record.seconds > 3600
    assert late < 1.25 * early
    assert len(await document_of(browser)) < 1.25 * sent
    await browser.open("about:blank")
    nursery.cancel_scope.cancel()


async def document_of(browser: Browser) -> str:
    """The document as it is."""
    html = await browser.js("document.documentElement.outerHTML")
    assert isinstance(html, str)
    return html
