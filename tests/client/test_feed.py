"""The stream that keeps the page up to date: for any number of viewers, at the cost of one."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, TypeVarTuple

import attrs
import orjson
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import scalab.web
from scalab.client import feed as feed_module
from scalab.client.aside import SWITCH_S, Aside
from scalab.client.control import control_router
from scalab.client.feed import EVERY_S, MAX_VIEWERS, RAREST_S, SHARE, Feed
from scalab.runtime.http import HttpServer
from scalab.runtime.routing import HttpError
from tests.client.controlled import FakeClient
from tests.client.outline import ask, text

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Here(Aside):
    """Draws in this thread, which takes as long as it is told to."""

    cost_s = 0.0

    async def __call__(self, draw: Callable[[*Ts], T], *args: *Ts) -> T:
        await trio.sleep(self.cost_s)
        return draw(*args)


@attrs.define(eq=False)
class Viewer:
    """Somebody who watches; notes the events and when they came."""

    feed: Feed
    numbers: list[int] = attrs.Factory(list)
    times: list[float] = attrs.Factory(list)
    pieces: list[str] = attrs.Factory(list)
    takes_s: float = 0.0
    """What an event takes it."""

    async def watch(self) -> None:
        body = self.feed.response().body
        assert not isinstance(body, bytes)
        await body(self._take)

    async def _take(self, data: bytes) -> None:
        await trio.sleep(self.takes_s)
        if data.startswith(b"retry: "):
            return
        event, number, content, *rest = data.decode().split("\n")
        assert (event, rest) == ("event: panels", ["", ""])
        self.numbers.append(int(number.removeprefix("id: ")))
        self.pieces.append(orjson.loads(content.removeprefix("data: ")))
        self.times.append(trio.current_time())


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def here() -> Here:
    return Here()


@pytest.fixture
def feed(client: FakeClient, here: Here) -> Feed:
    return Feed(client, here)


async def watched_for(seconds: float, *viewers: Viewer) -> None:
    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            for viewer in viewers:
                nursery.start_soon(viewer.watch)


async def test_a_frame_is_made_once_for_all_and_only_while_somebody_watches(
    client: FakeClient, feed: Feed, autojump_clock: MockClock
) -> None:
    viewers = [Viewer(feed) for _ in range(5)]
    await watched_for(9.5, *viewers)

    assert [viewer.numbers for viewer in viewers] == [list(range(1, 11))] * 5
    assert client.looks == 10
    await trio.sleep(100)
    assert client.looks == 10
    assert feed.viewers == 0


async def test_a_late_visitor_sees_everything_first(
    client: FakeClient, feed: Feed, autojump_clock: MockClock
) -> None:
    early, late = Viewer(feed), Viewer(feed)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(early.watch)
        await trio.sleep(3.5)
        nursery.start_soon(late.watch)
        await wait_all_tasks_blocked()
        assert late.numbers == [4]
        client.elapsed_s += 1
        await trio.sleep(1)
        nursery.cancel_scope.cancel()

    assert late.numbers == [4, 5]
    for viewer in (early, late):
        assert 'id="p-tiles"' in viewer.pieces[0]
        assert 'id="p-state"' in viewer.pieces[-1], "the clock of the run goes on"
        assert 'id="p-tiles"' not in viewer.pieces[-1], "nothing new"


async def test_somebody_takes_over_from_who_goes(feed: Feed, autojump_clock: MockClock) -> None:
    first, second = Viewer(feed), Viewer(feed)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watched_for, 2.5, first)
        await trio.sleep(0.1)
        nursery.start_soon(watched_for, 5.5, second)

    assert first.numbers == [1, 2, 3]
    assert second.numbers == [1, 2, 3, 4, 5, 6]
    assert second.times[1:] == pytest.approx([1, 2, 3, 4, 5])
    assert second.times[0] == pytest.approx(0.1)


async def test_who_goes_while_a_frame_is_made(
    feed: Feed, here: Here, autojump_clock: MockClock
) -> None:
    here.cost_s = 0.1
    first, second = Viewer(feed), Viewer(feed)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watched_for, 0.05, first)
        await wait_all_tasks_blocked()
        nursery.start_soon(watched_for, 3.5, second)

    assert first.numbers == []
    assert second.numbers[:2] == [1, 2]


async def test_a_slow_viewer_misses_frames_and_holds_nobody_up(
    client: FakeClient, feed: Feed, autojump_clock: MockClock
) -> None:
    slow, quick = Viewer(feed, takes_s=3.3), Viewer(feed)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watched_for, 12, slow, quick)
        for _ in range(12):
            await trio.sleep(1)
            client.elapsed_s += 1

    assert quick.numbers == list(range(1, 13))
    assert slow.numbers == [4, 7]
    assert client.looks == 12
    assert 'id="p-state"' in slow.pieces[1]


async def test_what_is_changed_is_seen_at_once(
    client: FakeClient, feed: Feed, autojump_clock: MockClock
) -> None:
    viewer = Viewer(feed)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(viewer.watch)
        await trio.sleep(1.2)
        client.paused = True
        feed.changed()
        await trio.sleep(0.1)
        assert viewer.times[-1] == pytest.approx(1.2)
        assert "paused" in viewer.pieces[-1]
        nursery.cancel_scope.cancel()


async def test_what_is_changed_while_a_frame_is_made_is_in_the_next_one(
    client: FakeClient, feed: Feed, here: Here, autojump_clock: MockClock
) -> None:
    here.cost_s = 0.15
    viewer = Viewer(feed)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(viewer.watch)
        await trio.sleep(0.1)
        client.paused = True
        feed.changed()
        await trio.sleep(0.3)
        assert viewer.times == pytest.approx([0.15, 0.3])
        assert "Ⅱ paused" in viewer.pieces[1]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("cost_s", "every_s"), [(0.0, EVERY_S), (0.1, EVERY_S), (0.5, 0.5 / SHARE), (4.0, RAREST_S)]
)
async def test_frames_that_take_long_are_rarer(
    cost_s: float, every_s: float, feed: Feed, here: Here, autojump_clock: MockClock
) -> None:
    here.cost_s = cost_s
    viewer = Viewer(feed)
    await watched_for(22, viewer)

    gaps = [b - a for a, b in zip(viewer.times, viewer.times[1:], strict=False)]
    assert gaps == pytest.approx([every_s] * len(gaps))
    assert len(gaps) >= 3


async def test_there_are_not_too_many_viewers(feed: Feed, autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(MAX_VIEWERS):
            nursery.start_soon(Viewer(feed).watch)
        await wait_all_tasks_blocked()
        with pytest.raises(HttpError) as refused:
            feed.response()
        assert refused.value.status == 503
        nursery.cancel_scope.cancel()
    feed.response()


async def test_a_page_is_no_older_than_a_frame(
    client: FakeClient, feed: Feed, autojump_clock: MockClock
) -> None:
    assert [(await feed.latest()).number for _ in range(3)] == [1, 1, 1]
    await trio.sleep(0.9)
    assert (await feed.latest()).number == 1
    await trio.sleep(0.2)
    assert (await feed.latest()).number == 2
    feed.changed()
    assert (await feed.latest()).number == 3
    assert client.looks == 3


async def test_a_page_does_not_wait_while_others_watch(
    feed: Feed, autojump_clock: MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Viewer(feed).watch)
        await trio.sleep(0.5)
        before = trio.current_time()
        assert (await feed.latest()).number == 1
        assert trio.current_time() == before
        nursery.cancel_scope.cancel()


async def test_a_change_by_the_control_port_shows_on_the_next_page(client: FakeClient) -> None:
    router = control_router(client)
    assert 'value="4"' in text(await ask(router, "/"))
    await ask(router, "/parallel?type=plain&value=9")
    assert 'value="9"' in text(await ask(router, "/"))
    await ask(router, "/pause?type=plain")
    assert "Ⅱ paused" in text(await ask(router, "/panels"))
    await ask(router, "/resume?type=plain")
    assert "Ⅱ paused" not in text(await ask(router, "/panels"))


async def test_frames_are_numbered_wherever_they_are_shown(client: FakeClient) -> None:
    router = control_router(client)
    for n, target in enumerate(("/", "/panels", "/"), 1):
        shown = text(await ask(router, target))
        assert f'<i id="frame" data-run="7f3a91c2" data-frame="{n}" hidden></i>' in shown
        await ask(router, "/reset?type=plain")


async def test_over_a_socket(client: FakeClient, nursery: trio.Nursery) -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    await nursery.start(HttpServer(control_router(client)).serve, listeners)
    with trio.fail_after(20):
        async with await trio.open_tcp_stream(*listeners[0].socket.getsockname()) as stream:
            await stream.send_all(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
            data = b""
            while b"id: 2\n" not in data:
                data += bytes(await stream.receive_some())
    head = data.partition(b"\r\n\r\n")[0]

    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"Content-Type: text/event-stream" in head
    assert b"Cache-Control: no-store" in head
    assert data.index(b"retry: 2000\n\n") < data.index(b"id: 1\n")
    nursery.cancel_scope.cancel()


async def test_a_thread_that_draws_lets_others_go_on() -> None:
    before = sys.getswitchinterval()
    aside = Aside()
    assert await aside(sys.getswitchinterval) == pytest.approx(SWITCH_S)
    with pytest.raises(ZeroDivisionError):
        await aside(lambda: 1 / 0)
    assert sys.getswitchinterval() == before
    assert [gc.isenabled(), await aside(gc.isenabled), gc.isenabled()] == [True, False, True]


async def test_one_thread_draws_at_a_time() -> None:
    aside, inside, most = Aside(), 0, 0
    gate = threading.Barrier(2, timeout=0.2)

    def draw() -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        try:
            gate.wait()
        except threading.BrokenBarrierError:
            gate.reset()
        inside -= 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(aside, draw)
        nursery.start_soon(aside, draw)
    assert most == 1


def test_a_frame_is_due_well_before_a_page_takes_the_client_for_gone() -> None:
    script = Path(scalab.web.__path__[0], "templates", "live.js").read_text()
    silence_ms = float(script.partition("SILENCE_MS = ")[2].partition(";")[0])

    assert silence_ms > 2 * feed_module.RAREST_S * 1000
