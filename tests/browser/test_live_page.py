"""The client's page in a real browser, with a real system behind it."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
import trio

from scalab.client import feed
from scalab.client.control import control_router
from scalab.client.feed import EVERY_S
from scalab.runtime.http import HttpServer
from tests.browser.browser import Browser
from tests.browser.system import system
from tests.client.controlled import BUSY, FakeClient, place

THROUGHPUT = "parseFloat(document.querySelector('#p-tiles dd').innerText)"
ENTER, ESCAPE, TAB, RIGHT = "\ue007", "\ue00c", "\ue004", "\ue014"


async def test_the_throughput_follows_the_load(browser: Browser, tmp_path: Path) -> None:
    async with system(browser, tmp_path) as at_work:
        client = await at_work.client()
        await browser.open(client.url)
        before = await browser.until(f"{THROUGHPUT} > 20 && {THROUGHPUT}")

        await browser.click("#more")
        await browser.until_text("#notice", "3 requests in parallel")
        await browser.until("document.querySelector('#value').value === '3'")
        await browser.js("document.querySelector('#slider').focus()")
        await browser.type("#slider", RIGHT * 3)
        assert await browser.js("document.querySelector('#value').value") == "6"
        await browser.click("#set .main")
        await browser.until_text("#notice", "6 requests in parallel")
        assert client.run.parallel == 6
        await browser.until(f"{THROUGHPUT} > arguments[0]", before * 1.5)
        await browser.until_text("#p-events", "asked for 6 in parallel")
        await browser.until("document.querySelectorAll('#f-throughput .mark').length > 1")


async def test_an_open_loop_has_a_rate(
    browser: Browser, tmp_path: Path, allowed_complaints: list[str]
) -> None:
    allowed_complaints += ["status of 400"]
    async with system(browser, tmp_path) as at_work:
        client = await at_work.client(rate="20")
        await browser.open(client.url)
        await browser.until(f"{THROUGHPUT} > 10")
        await browser.js("document.querySelector('#value').select()")
        await browser.type("#value", f"60{ENTER}")
        await browser.until_text("#notice", "60 requests per second asked for")
        await browser.until(f"{THROUGHPUT} > 40")
        await browser.until("document.querySelector('#value').value === '60'")
        await browser.until("!document.querySelector('#f-delay').hidden")

        await browser.js("document.querySelector('#value').select()")
        await browser.type("#value", f"fast{ENTER}")
        await browser.until_text("#notice", "is no rate")
        assert client.run.level == 60
        assert await browser.js("document.querySelector('#notice').className") == "notice bad"


async def test_pause_resume_and_reset(browser: Browser, tmp_path: Path) -> None:
    async with system(browser, tmp_path) as at_work:
        client = await at_work.client()
        await browser.open(client.url)
        await browser.until(f"{THROUGHPUT} > 1")

        await browser.js("document.querySelector('.pause button').focus()")
        await browser.press(ENTER)
        await browser.until_text("#p-state", "paused")
        assert client.run.paused
        focused = "document.activeElement.innerText"
        assert await browser.until(f"{focused} !== 'Pause' && {focused}") == "Resume"
        await browser.until_text("#announce", "paused")
        await browser.press(ENTER)
        await browser.until("!document.querySelector('#p-state').innerText.includes('paused')")
        assert not client.run.paused

        await browser.click("form[action=reset] button")
        await browser.until_text("#notice", "a new measuring window has begun")
        await browser.until_text("#p-events", "a new measuring window has begun")


async def test_a_failing_device_turns_red_and_is_named(browser: Browser, tmp_path: Path) -> None:
    async with system(browser, tmp_path, failing=1) as at_work:
        client = await at_work.client()
        await browser.open(client.url)
        failing = "document.querySelector('.map .cell.failing')"
        name = await browser.until(f"{failing}?.innerText")

        assert "card3" in name
        assert "✗ 100 % failed" in name
        red, others = await browser.js(
            f"[{failing}, document.querySelector('.map .cell:not(.failing)')]"
            ".map((cell) => getComputedStyle(cell).borderLeftColor)"
        )
        assert red != others
        await browser.until_text("#p-map .outliers", "card3")
        await browser.until_text("#p-failures", "vaapi: failed to map surface")
        await browser.until_text("#p-failures", "card3")


async def test_the_details_of_a_device(browser: Browser, tmp_path: Path) -> None:
    async with system(browser, tmp_path, failing=1) as at_work:
        client = await at_work.client()
        await browser.open(client.url)
        await browser.until("document.querySelector('.map .cell.failing')")

        await browser.js("document.querySelector('.map .cell.failing').focus()")
        await browser.press(ENTER)
        await browser.until("document.activeElement.id === 'h-place'")
        await browser.until_text("#place", "vaapi: failed to map surface")
        served = await browser.text("#place .facts")
        await browser.until(
            "document.querySelector('#place .facts').innerText !== arguments[0]", served
        )
        assert await browser.js("location.pathname") == "/"

        await browser.press(ESCAPE)
        await browser.until("document.querySelector('#place').hidden")
        assert "card3" in await browser.js("document.activeElement.innerText")


async def test_what_the_reader_does_stays(browser: Browser, tmp_path: Path) -> None:
    async with system(browser, tmp_path) as at_work:
        client = await at_work.client()
        await browser.open(client.url)
        await browser.until("document.querySelector('#f-throughput details')")

        await browser.js(
            "[...document.querySelectorAll('details')].forEach((part) => { part.open = true })"
        )
        await browser.js("document.querySelector('#value').focus()")
        await browser.type("#value", "5")
        typed = await browser.js("document.querySelector('#value').value")
        marked = "document.querySelector('#f-throughput figure').dataset.mark"
        await browser.js("(document.querySelector('.map .cell').id = 'mine')")
        drawn = "document.querySelector('#f-throughput path.c-main').getAttribute('d')"
        path = await browser.js(drawn)
        for _ in range(2):
            path = await browser.until(f"{drawn} !== arguments[0] && {drawn}", path)
        assert await browser.js(marked) is None
        assert await browser.js("document.querySelector('#f-throughput details').open")
        assert await browser.js("document.querySelector('#value').value") == typed
        assert await browser.js("document.activeElement.id") == "value"


async def test_a_held_picture_stands_still(browser: Browser, tmp_path: Path) -> None:
    shown = "document.querySelector('#p-state').innerText"
    async with system(browser, tmp_path) as at_work:
        client = await at_work.client()
        await browser.open(client.url)
        await browser.until(f"{THROUGHPUT} > 1")
        await browser.click("#hold")
        held = await browser.js(shown)
        await browser.requests()
        await client.run_for(2 * EVERY_S)
        assert await browser.js(shown) == held
        assert await browser.requests() == []
        await browser.click("#hold")
        await browser.until(f"{shown} !== arguments[0]", held)


async def test_where_too_many_watch_the_page_asks(
    browser: Browser,
    tmp_path: Path,
    allowed_complaints: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feed, "MAX_VIEWERS", 0)
    allowed_complaints += ["status of 503"]
    shown = "document.querySelector('#p-state').innerText"
    async with system(browser, tmp_path) as at_work:
        client = await at_work.client()
        await browser.open(client.url)
        for _ in range(2):
            await browser.until(f"{shown} !== arguments[0]", await browser.js(shown))
        asked = [url.rpartition("/")[2] for url in await browser.requests()]
        assert asked.count("events") == 1
        assert asked.count("panels") >= 2


async def test_another_client_on_the_same_port(
    browser: Browser, tmp_path: Path, allowed_complaints: list[str]
) -> None:
    allowed_complaints += ["ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING"]
    async with system(browser, tmp_path) as at_work:
        first = await at_work.client()
        await browser.open(first.url)
        await browser.until_text("#p-state", first.run.run_id)
        first.stop.requested.set()
        await browser.until("document.body.classList.contains('stale')")
        assert "its last figures" in await browser.text("#notice")

        second = await at_work.client(first.address)
        await browser.until_text("#p-state", second.run.run_id)
        assert not await browser.js("document.body.classList.contains('stale')")
        assert await browser.text("#notice") == ""
        second.stop.requested.set()
        await browser.until("document.body.classList.contains('stale')")

        await at_work.client(first.address, rate="20")
        await browser.until("document.querySelector('#set').getAttribute('action') === 'rate'")


async def test_names_of_others_are_text(browser: Browser, tmp_path: Path) -> None:
    evil = "<script>window.hacked=1</script><img src=x onerror=window.hacked=2>"
    async with system(browser, tmp_path, healthy=1, pod=evil) as at_work:
        client = await at_work.client()
        await browser.open(client.url)
        await browser.until(
            "[...document.querySelectorAll('.cell')].some((c) => c.title.includes('<script>'))"
        )
        await browser.click("#p-map ul[aria-label=Pods] .cell")
        await browser.until_text("#h-place", evil)
        await browser.open(f"{client.url}pods")
        await browser.until_text("main", evil)
        assert await browser.js("window.hacked ?? null") is None


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1280, "light"), (2560, "dark")])
async def test_nothing_keeps_people_from_using_it(
    width: int, scheme: str, browser: Browser, tmp_path: Path
) -> None:
    await browser.resize(width)
    await browser.prefer(color_scheme=scheme, reduced_motion="reduce")
    async with system(browser, tmp_path, failing=1) as at_work:
        client = await at_work.client(thresholds=("p95(total) < 1 s", "failures < 1%"))
        await browser.open(client.url)
        await browser.until("document.querySelector('.map .cell.failing')")
        await browser.click(".map .cell.failing")
        await browser.until("document.activeElement.id === 'h-place'")
        await browser.js(
            "[...document.querySelectorAll('details')].forEach((part) => { part.open = true })"
        )
        assert await browser.barriers() == []
        scrolls = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert await browser.js(scrolls) == 0
        await browser.open(f"{client.url}devices")
        assert await browser.barriers() == []
        assert await browser.js(scrolls) == 0


async def test_it_is_read_and_controlled_without_scripts(browser: Browser, tmp_path: Path) -> None:
    async with system(browser, tmp_path, failing=1) as at_work:
        client = await at_work.client()
        await client.run.load.begun.wait()
        await browser.cdp("Emulation.setScriptExecutionDisabled", value=True)
        await browser.open(client.url)
        await browser.click("#more")
        await browser.until_source("3 requests in parallel")
        await browser.click(".pause button")
        await browser.until_source("Paused: nothing is sent until it is resumed")
        assert client.run.paused
        await browser.until_source("Ⅱ paused")
        await browser.click(".resume button")
        await browser.until_source("Resumed: requests are sent")
        assert client.run.parallel == 3


async def test_the_focus_stays_when_something_new_is_shown_before_it(
    browser: Browser, nursery: trio.Nursery
) -> None:
    usual = tuple(place(f"card{n}", failed=0) for n in range(4))
    client = FakeClient(shown=attrs.evolve(BUSY, devices=usual))
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    await nursery.start(HttpServer(control_router(client)).serve, listeners)
    host, port = listeners[0].socket.getsockname()
    await browser.open(f"http://{host}:{port}/")
    cells = "[...document.querySelectorAll('#map-devices .cell')]"
    await browser.js(f"({cells}[2].focus(), {cells}[2].mine = 1)")

    failing = (place("card00", failed=60), *usual)
    client.shown = attrs.evolve(BUSY, devices=failing)
    await browser.until(f"{cells}.length === 5")
    await browser.until_text("#found-devices", "card00")
    assert await browser.js("document.activeElement.mine") == 1
    assert "card2" in await browser.js("document.activeElement.innerText")
    client.shown = attrs.evolve(BUSY, devices=usual[1:])
    await browser.until(f"{cells}.length === 3")
    await browser.until("!document.querySelector('#found-devices')")
    assert await browser.js("document.activeElement.mine") == 1
    await browser.open("about:blank")
    nursery.cancel_scope.cancel()


async def test_keys_alone_suffice(browser: Browser, tmp_path: Path) -> None:
    async with system(browser, tmp_path) as at_work:
        client = await at_work.client()
        await browser.open(client.url)
        await browser.until("document.querySelector('.map .cell')")
        await browser.press(TAB)
        assert await browser.js("document.activeElement.className") == "skip"
        wanted = {"refresh", "hold", "fewer", "value", "more", "slider", "cell"}
        active = "document.activeElement"
        for _ in range(60):
            await browser.press(TAB)
            at = await browser.js(f"{active}.id || {active}.className.split(' ')[0]")
            wanted.discard(at)
        assert wanted == set()
