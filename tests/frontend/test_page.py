"""The frontend's page and its JSON: what they tell, to whom they listen, and what they cost."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from urllib.parse import urlencode

import hypothesis
import pytest
import trio
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from scalab.frontend.history import EVERY_S, KEPT, STEP, History, rates
from scalab.frontend.hub import Hub
from scalab.frontend.overview import MAX_BACKENDS, MAX_NODES, Only
from scalab.frontend.page import draw_line, render_page, render_panels
from scalab.frontend.pages import REST, _as_json, _Kept
from scalab.frontend.seen import MAX_ITEMS, Backend
from scalab.frontend.snapshot import MAX_LONGEST, SLICE, Snapshot, _Count, take_snapshot
from scalab.frontend.troubles import MAX_TROUBLES, Troubles
from scalab.protocol.errors import ProtocolError
from scalab.protocol.messages import Reply, Request
from scalab.protocol.text import printable
from scalab.queueing.worker import MAX_DEVICES, OTHER_DEVICES, Worker
from scalab.runtime.lag import LagMonitor
from scalab.runtime.routing import Response
from tests.queueing.ports import Backend as Port, Client as ClientPort
from tests.support import Frontend, Json, Wire, client_run, frontend_settings, serving, working

PATIENCE_S = 100_000.0
"""For tests with a clock of their own."""
VOID = {"meta", "link", "br", "rect", "path", "img", "input"}


class Page(HTMLParser):
    """What a browser makes of a page."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: dict[str, list[list[str]]] = {}
        """The rows of each table, without its head, by the name of the region that it is in."""
        self._open: list[str] = []
        self._rows: list[list[str]] = []
        self._cell: list[str] | None = None
        self._texts: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    @property
    def text(self) -> str:
        """All of it, in one line."""
        return " ".join(" ".join(self._texts).split())

    def table(self, name: str) -> list[list[str]]:
        """The rows of a table; none if there is no such table."""
        return self.tables.get(name, [])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append((tag, given))
        if tag == "div" and given.get("role") == "region":
            self._rows = self.tables.setdefault(str(given["aria-label"]), [])
        elif tag == "tr" and "tbody" in self._open:
            self._rows.append([])
        elif tag in ("td", "th") and "tbody" in self._open:
            self._cell = []
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert tag == self._open.pop()
        if tag in ("td", "th") and self._cell is not None:
            self._rows[-1].append(" ".join(" ".join(self._cell).split()))
            self._cell = None

    def handle_data(self, data: str) -> None:
        if {"script", "style", "title"} & set(self._open):
            return
        self._texts.append(data)
        if self._cell is not None:
            self._cell.append(data)


async def page_of(frontend: Frontend, path: str = "/") -> Page:
    status, html = await frontend.get(path)
    assert status == 200
    return Page(html)


async def json_of(frontend: Frontend, path: str) -> Json:
    status, text = await frontend.get(path)
    assert status == 200
    found = json.loads(text)
    assert isinstance(found, dict)
    return found


# --- what it tells -----------------------------------------------------------------------------


async def test_a_frontend_without_anybody() -> None:
    async with serving("encode", "media", queue_max=9) as frontend:
        page = await page_of(frontend)
        workers = await json_of(frontend, "/api/workers")
        clients = await json_of(frontend, "/api/clients")

    assert "● serving" in page.text
    assert "None is connected" in page.text
    assert "Nothing that peers or connections are to blame for" in page.text
    assert [row[:5] for row in page.table("What waits and runs now")] == [
        ["encode", "0 of 9", "-", "0", "0 of 0"],
        ["media", "0 of 9", "-", "0", "0 of 0"],
    ]
    assert (page.table("Backends"), page.table("Clients")) == ([], [])
    assert workers == {"draining": False, "workers": []}
    assert clients == {"classic": 0, "sessions": []}


async def test_who_runs_what_since_when(mock_clock: MockClock) -> None:
    async with serving("media", "idle", patience_s=PATIENCE_S, heartbeat_s=9e9) as frontend:
        backend = await frontend.backend("media", Slots=2, Node="n1", Pod="p1")
        resting = await frontend.backend("idle", Wait=False, Pod="p2")
        await resting.next("empty")
        client = await frontend.client()
        mock_clock.jump(30)
        for i in range(4):
            await client.frame("request", Id=str(i), Queue="media", Limit=600)
        items = [await backend.next("item") for _ in range(2)]
        mock_clock.jump(90)
        reply = {"Id": items[0]["Id"], "Device": "card0", "Runtime": 90}
        await backend.frame("reply", **reply, Retcode=3)
        await backend.next("item")
        mock_clock.jump(15)
        page = await page_of(frontend)
        found = await json_of(frontend, "/api/workers")
        clients = await json_of(frontend, "/api/clients")

    assert page.table("What waits and runs now")[0][:5] == ["media", "1", "105 s", "2", "2 of 2"]
    assert page.table("Nodes") == [
        ["no name", "1", "0 of 1", "0", "0"], ["n1", "1", "2 of 2", "1", "1"],
    ]  # fmt: skip
    assert page.table("Backends") == [
        ["p2", "no name", "idle", "resting", "-", "0", "0", "", "135 s"],
        ["p1", "n1", "media", "busy 2 of 2", "#2 105 s #3 15.0 s", "1", "1", "card0 1", "135 s"],
    ]
    assert page.table("Items that run longest") == [
        ["#2", "105 s", "10m 00s", "1", "media", "p1", "n1"],
        ["#3", "15.0 s", "10m 00s", "1", "media", "p1", "n1"],
    ]
    (row,) = page.table("Clients")
    assert row[1:] == ["3", "105 s", "running", "media", "135 s"]

    busy = next(worker for worker in found["workers"] if worker["pod"] == "p1")
    assert busy.pop("address").startswith("127.0.0.1:")
    assert busy == {
        "queue": "media", "node": "n1", "pod": "p1", "classic": False, "state": "busy",
        "slots": 2, "running": 2, "connected_s": 135.0, "finished": 1, "failed": 1,
        "devices": {"card0": 1},
        "items": [
            {"number": 2, "running_s": 105.0, "attempt": 1, "limit_s": 600.0, "withdrawn": False},
            {"number": 3, "running_s": 15.0, "attempt": 1, "limit_s": 600.0, "withdrawn": False},
        ],
    }  # fmt: skip
    (session,) = clients["sessions"]
    assert session.pop("address") == row[0]
    assert session == {
        "name": "", "connected_s": 135.0, "outstanding": 3, "queue": "media", "oldest_s": 105.0,
        "oldest_state": "running",
    }  # fmt: skip


async def test_a_redelivered_item_starts_anew(mock_clock: MockClock) -> None:
    async with serving(patience_s=PATIENCE_S, heartbeat_s=9e9) as frontend:
        waiting = await frontend.classic_client()
        first = await frontend.backend(Pod="first")
        await first.next("item")
        mock_clock.jump(50)
        await first.aclose()
        await wait_all_tasks_blocked()
        mock_clock.jump(5)
        second = await frontend.backend(Pod="second")
        await second.next("item")
        mock_clock.jump(7)
        page = await page_of(frontend)
        await waiting.aclose()
        await second.next("cancel")
        cancelled = await page_of(frontend)

    assert page.table("Backends")[0][4] == "#1 7.00 s attempt 2"
    assert page.table("Items that run longest")[0][:4] == ["#1", "7.00 s", "-", "2"]
    assert page.table("How items ended")[0][-1] == "1 disconnect"
    assert page.table("Errors of peers and connections") == [
        ["12.0 s ago", "1", "backend first", "lost by disconnect",
         "left while it ran items of queue 'q'"],
    ]  # fmt: skip
    assert "to end" in cancelled.table("Backends")[0][4]


async def test_classic_peers() -> None:
    async with serving() as frontend:
        for _ in range(2):
            await frontend.classic_client()
        await frontend.classic_backend()
        page = await page_of(frontend)
        clients = await json_of(frontend, "/api/clients")

    ((backend, *_, connected),) = page.table("Backends")
    assert backend == "no name classic"
    assert connected
    assert "2 classic clients wait" in page.text
    assert clients == {"classic": 2, "sessions": []}


async def test_it_agrees_with_a_run_s_own_counts() -> None:
    async with serving("q", "other") as frontend, working(frontend.bound.workers, "sleep", slots=3):
        await client_run(frontend.bound.clients, args=("0.001",), requests=40, parallel=4)
        await client_run(frontend.bound.clients, args=("nonsense",), requests=15)
        page = await page_of(frontend)

    assert page.table("How items ended") == [
        ["q", "55", "40", "15", "0", "0", "0", "0", "0", "0"],
        ["other", *["0"] * 9],
    ]
    ((*_, finished, failed),) = page.table("Nodes")
    assert (finished, failed) == ("55", "15")


async def test_a_queue_that_needs_somebody() -> None:
    async with serving("q", "served", queue_max=1) as frontend:
        client = await frontend.client()
        await frontend.backend("served", Slots=2)
        for i, queue in enumerate(("q", "q", "served")):
            await client.frame("request", Id=str(i), Queue=queue)
        await client.next("reply")
        await client.in_line()
        page = await page_of(frontend)

    full, served = page.table("What waits and runs now")
    assert full[0] == "q full no backend"
    assert served[0] == "served"
    assert page.table("How items ended")[0][-2] == "1 full"


async def test_draining() -> None:
    async with serving() as frontend:
        backend = await frontend.backend(Slots=4)
        client = await frontend.client()
        await client.frame("request", Id="1", Queue="q")
        await backend.next("item")
        frontend.stop.requested.set()
        await client.next("drain")
        page = await page_of(frontend)
        workers = await json_of(frontend, "/api/workers")
        status, _ = await frontend.get("/readyz")
        await client.aclose()
        await backend.aclose()

    assert status == 503
    assert "◐ draining" in page.text
    assert page.table("Backends")[0][3] == "draining 1 of 4"
    assert page.table("Nodes")[0][2] == "1 of 1"
    assert workers["draining"] is True


async def test_backends_of_a_queue_or_a_node() -> None:
    async with serving("q", "r") as frontend:
        for queue, node, pod in (("q", "a&b", "1"), ("q", "c", "2"), ("r", "a&b", "3")):
            await frontend.backend(queue, Node=node, Pod=pod)
        shown = {}
        for only in (Only(), Only("q"), Only("q", "a&b"), Only(None, "a&b"), Only("s"), Only("")):
            page = await page_of(frontend, f"/{only.query}")
            nodes = [row[:2] for row in page.table("Nodes")]
            shown[only] = nodes, [row[0] for row in page.table("Backends")]
        hrefs = [a.get("href") for tag, a in page.tags if tag == "a"]

    assert shown == {
        Only(): ([["a&b", "2"], ["c", "1"]], ["1", "3", "2"]),
        Only("q"): ([["a&b", "1"], ["c", "1"]], ["1", "2"]),
        Only("q", "a&b"): ([["a&b", "1"], ["c", "1"]], ["1"]),
        Only(None, "a&b"): ([["a&b", "2"], ["c", "1"]], ["1", "3"]),
        Only("s"): ([], []),
        Only(""): ([], []),
    }
    assert "./?queue=q#backends" in hrefs


async def test_other_parameters_are_refused() -> None:
    async with serving() as frontend:
        for path in ("/?pod=x", "/?queue=a&queue=b", "/api/workers?queue=q", "/api/clients?x"):
            status, _ = await frontend.get(path)
            assert status == 400, path


async def test_what_it_leads_to_is_there() -> None:
    async with serving() as frontend:
        page = await page_of(frontend, "/?node=x")
        targets = [a["href"] for tag, a in page.tags if tag == "a"]
        paths = {f"/{href}" for href in targets if href and href[0] not in ".#"}
        assert paths == {
            *("/metrics", "/api/queues", "/api/workers", "/api/clients", "/livez", "/readyz"),
        }
        for path in paths:
            assert (await frontend.get(path))[0] == 200


# --- what went wrong ---------------------------------------------------------------------------


async def refused(wire: Wire) -> None:
    """Read until the frontend has closed, and let it forget the connection."""
    await wire.rest()
    await wire.aclose()
    await wait_all_tasks_blocked()


async def test_what_peers_got_wrong() -> None:
    async with serving(max_connections=3) as frontend:
        await refused(await (await frontend.backend(Pod="p1")).send(b"nonsense\n"))
        for _ in range(3):
            await refused(await (await frontend.to_clients()).send(b"[]"))
        await refused(await frontend.classic_client("nosuch"))
        client = await frontend.client()
        await client.frame("request", Id="1", Queue="nosuch")
        await client.next("reply")
        await refused(await (await frontend.to_backends()).say({"Queue": "nosuch"}))
        hello = {"Version": 1, "Role": "backend", "Queue": "nosuch", "Pod": "p2"}
        await refused(await (await frontend.to_backends()).frame("hello", **hello))
        for _ in range(2):
            await frontend.backend()
        await refused(await frontend.to_clients())
        page = await page_of(frontend)

    rows = [
        (int(times), re.sub(r"127.0.0.1:\d+", "ADDRESS", who), what)
        for _, times, who, what, _ in page.table("Errors of peers and connections")
    ]
    assert rows == [
        (1, "client 127.0.0.1", "refused"),
        (2, "backend p2", "unknown queue"),
        (2, "client ADDRESS", "unknown queue"),
        (3, "client ADDRESS", "malformed"),
        (1, "backend p1", "malformed"),
    ]
    assert "4 requests or backends named a queue" in page.text


def test_a_flood_is_one_line_and_the_last_ones_are_kept() -> None:
    troubles = Troubles()
    for now in range(1000):
        troubles.note("client", "refused", "too many", now, f"p{now}")
    for now in range(1000, 1000 + MAX_TROUBLES - 1):
        troubles.note("backend", "malformed", f"error {now}", now)
    *_, flood = troubles
    assert (flood.count, flood.who, flood.first_at, flood.last_at) == (1000, "p999", 0, 999)

    troubles.note("backend", "malformed", "\x1b[2J\n" + "x" * 5000, 3000, "\n" + "y" * 5000)
    first, *_, last = troubles
    assert len(list(troubles)) == MAX_TROUBLES
    assert last.text == "error 1000"
    assert (first.text + first.who).isprintable()
    assert len(first.text + first.who) < 1000


async def test_a_peer_that_is_gone_has_no_address() -> None:
    hub = Hub(frontend_settings())
    hub.protocol_error("client", ProtocolError("malformed", "x"))
    assert [trouble.who for trouble in hub.troubles] == [""]


# --- rates -------------------------------------------------------------------------------------


async def sampled(clock: MockClock, hub: Hub, history: History, counts: list[int]) -> None:
    """Let so many items end between samples."""
    counters = hub.dispatcher.queues["r"].counters
    for count in counts:
        counters.accepted += 2 * count
        counters.completed["success"] += count
        clock.jump(EVERY_S)
        await wait_all_tasks_blocked()


async def test_rates_are_of_the_last_seconds(mock_clock: MockClock, nursery: trio.Nursery) -> None:
    hub = Hub(frontend_settings("q", "r"))
    history = History(list(hub.dispatcher.queues.values()))
    nursery.start_soon(history.run)
    await wait_all_tasks_blocked()
    assert rates(history.samples(), 1).ended == 0

    await sampled(mock_clock, hub, history, [10, 10])
    early = rates(history.samples(), 1)
    assert (early.accepted, early.ended) == (10, 5)
    assert rates(history.samples(), 0).ended == 0

    await sampled(mock_clock, hub, history, [1000] + [20] * 5)
    late = rates(history.samples(), 1)
    assert (late.accepted, late.ended) == (20, 10)
    assert late.course == (1020 / (EVERY_S * STEP), 10)


async def test_the_course_is_bounded_and_only_moves(
    mock_clock: MockClock, nursery: trio.Nursery
) -> None:
    hub = Hub(frontend_settings("r"))
    history = History(list(hub.dispatcher.queues.values()))
    nursery.start_soon(history.run)
    await wait_all_tasks_blocked()
    await sampled(mock_clock, hub, history, [i % 7 for i in range(2 * KEPT)])
    assert len(history.samples()) == KEPT + 1

    courses = []
    for _ in range(2 * STEP):
        await sampled(mock_clock, hub, history, [5])
        courses.append(rates(history.samples(), 0).course)
    for before, after in pairwise(courses):
        assert len(after) in (KEPT // STEP - 1, KEPT // STEP)
        assert any(before[skip : skip + 45] == after[:45] for skip in (0, 1))


@hypothesis.given(st.lists(st.floats(0, 1e9), max_size=60))
def test_a_course_stays_within_its_plot(course: list[float]) -> None:
    path = draw_line(course)
    points = [tuple(map(float, p.split())) for p in path.removeprefix("M").split("L") if p]
    assert len(points) == (len(course) if len(course) > 1 and max(course) > 0 else 0)
    assert all(0 <= x <= 100 and 1 <= y <= 23 for x, y in points)


# --- what peers say is text --------------------------------------------------------------------

HOSTILE = (
    "<script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' autofocus onfocus='alert(1)",
    "{{ 7 * 7 }}{% include 'x' %}",
    "&lt;b&gt; &amp; <!--",
    "a\u202eb\x1b[31m\r\nc\x00",
    "javascript:alert(1)",
)


@pytest.mark.parametrize("name", HOSTILE)
async def test_what_peers_say_is_text(name: str) -> None:
    queue = name if name.isprintable() else "q"
    async with serving(queue) as frontend:
        # Other sessions never say who they are; this one does.
        client = await frontend.to_clients()
        await client.frame("hello", Version=1, Role="client", Pod=name)
        await client.next("welcome")
        for i in range(3):
            await client.frame("request", Id=str(i), Queue=queue)
        await client.frame("request", Id="4", Queue=f"no {name}")
        await client.next("reply")
        backend = await frontend.backend(queue, Node=name, Pod=name)
        item = await backend.next("item")
        await backend.frame("reply", Id=item["Id"], Device=name)
        await backend.next("item")
        path = f"?{urlencode({'queue': queue, 'node': name})}"
        plain, page = await page_of(frontend), await page_of(frontend, f"/{path}")
        found = await json_of(frontend, "/api/workers")
        usual = await page_of(frontend, "/?queue=nosuch")

    shown = printable(name)
    text = " ".join(shown.split())
    assert page.table("Nodes")[0][0] == text
    assert page.table("Backends")[0][:3] == [text, text, " ".join(queue.split())]
    assert page.table("Backends")[0][7] == f"{text} 1"
    assert page.table("Clients")[0][0].startswith(text)
    assert any(text in row[4] for row in page.table("Errors of peers and connections"))
    assert shown in page.text or text in page.text
    assert found["workers"][0]["pod"] == name
    assert {tag for tag, _ in page.tags} <= {tag for tag, _ in plain.tags}
    assert sum(tag == "script" for tag, _ in page.tags) == 1
    attributes = {a for tag, given in page.tags for a in given}
    assert attributes - {a for _, given in plain.tags for a in given} == set()
    assert "img" not in {tag for tag, _ in usual.tags}
    body = next(given for tag, given in page.tags if tag == "body")
    assert body["data-poll"] == f"panels{path}"


async def test_nothing_comes_from_elsewhere_and_nothing_is_inline() -> None:
    async with serving() as frontend:
        page, again = await page_of(frontend), await page_of(frontend)
    for _, given in page.tags:
        assert not [name for name in given if name.startswith("on") or name == "style"]
        for name in ("href", "src", "action", "data-poll"):
            target = given.get(name) or ""
            assert target.startswith("data:") or "//" not in target
    nonces = [[given["nonce"] for _, given in p.tags if "nonce" in given] for p in (page, again)]
    assert [len(of_one) for of_one in nonces] == [2, 2], "of the style and the script"
    assert len({nonce for of_one in nonces for nonce in of_one}) == 2, "each response has its own"


async def test_a_reader_finds_the_way() -> None:
    """Landmarks, headings, labels: what can be checked without a browser."""
    async with serving() as frontend:
        await frontend.backend()
        page = await page_of(frontend)
    tags = [tag for tag, _ in page.tags]
    ids = [given["id"] for _, given in page.tags if "id" in given]
    assert len(ids) == len(set(ids))
    assert (tags.count("main"), tags.count("h1"), tags.count("header")) == (1, 1, 1)
    for tag, given in page.tags:
        if "aria-labelledby" in given:
            assert given["aria-labelledby"] in ids
        if tag == "nav" or given.get("role") in ("region", "img"):
            assert given["aria-label"]
        if given.get("role") == "region":
            assert given["tabindex"] == "0", "it scrolls by keyboard"
        if tag == "th":
            assert given["scope"] in ("row", "col")
        if (given.get("href") or "").startswith("#"):
            assert (given["href"] or "")[1:] in ids


async def test_the_script_fetches_what_the_page_has() -> None:
    async with serving() as frontend:
        whole = await page_of(frontend)
        poll = next(given["data-poll"] for tag, given in whole.tags if tag == "body")
        panels = await page_of(frontend, f"/{poll}")
    ids = [given["id"] for tag, given in panels.tags if tag == "section"]
    assert ids == [given["id"] for tag, given in whole.tags if tag == "section"]
    assert len(ids) == 6
    assert "script" not in {tag for tag, _ in panels.tags}


# --- what it costs -----------------------------------------------------------------------------


def crowded(backends: int, nodes: int = 400) -> Hub:
    """A frontend with backends that each run an item."""
    hub, now = Hub(frontend_settings("q", "r")), trio.current_time()
    client = ClientPort()
    for i in range(backends):
        pod, node = f"pod-{i:05}", f"node-{i % nodes:03}"
        hub.dispatcher.attach(Port(), "q", now, node=node, pod=pod)
        hub.dispatcher.submit(client, Request("q", [], id=str(i)), now)
    return hub


async def seen(hub: Hub, only: Only | None = None) -> tuple[Snapshot, Page, str]:
    only = only or Only()
    history = History(list(hub.dispatcher.queues.values()))
    snapshot = await take_snapshot(hub, history, LagMonitor())
    first = only.first(snapshot.workers)
    backends = [Backend.of(worker, trio.current_time()) for worker in first]
    html = body_of(render_page(snapshot, only, backends))
    panels = body_of(render_panels(snapshot, only, backends))
    assert panels in html
    return snapshot, Page(html), html


def body_of(response: Response) -> str:
    assert isinstance(response.body, bytes)
    return response.body.decode()


async def test_ten_thousand_backends() -> None:
    hub = crowded(10_000)
    snapshot, page, html = await seen(hub)

    assert len(page.table("Backends")) == MAX_BACKENDS
    assert page.table("Backends")[0][:2] == ["pod-00000", "node-000"]
    assert page.table("Backends")[1][:2] == ["pod-00400", "node-000"], "by node, then by pod"
    assert f"… and {10_000 - MAX_BACKENDS:,} more" in page.text
    assert len(page.table("Nodes")) == MAX_NODES
    assert f"… and {400 - MAX_NODES} more" in page.text
    assert page.table("What waits and runs now")[0][3:5] == ["10,000", "10,000 of 10,000"]
    assert len(page.table("Items that run longest")) == MAX_LONGEST
    assert len(html) < 150_000
    assert len(snapshot.workers) == 10_000

    _, of_one_node, _ = await seen(hub, Only(node="node-399"))
    assert [row[1] for row in of_one_node.table("Backends")] == ["node-399"] * 25
    assert "Backends 25" in of_one_node.text


async def test_many_of_everything_else() -> None:
    queues = tuple(f"queue-{i}" for i in range(300))
    hub = Hub(frontend_settings(*queues))
    worker = hub.dispatcher.attach(Port(), "queue-7", 0.0, slots=5000)
    client = ClientPort()
    for i in range(4000):
        hub.dispatcher.submit(client, Request("queue-7", [], id=str(i)), 0.0)
    for i in range(500):
        worker.count(f"card{i}", "success")
    _, page, html = await seen(hub)

    ((*_, items, finished, _, devices, _),) = page.table("Backends")
    assert "and 3,997 more" in items
    assert finished == "500"
    assert f"and {MAX_DEVICES - 3} more" in devices
    assert len(page.table("What waits and runs now")) == 100
    assert "… and 200 more" in page.text
    assert len(html) < 150_000
    assert len(Backend.of(worker, 0.0).items) == MAX_ITEMS
    assert len(worker.finished) == MAX_DEVICES + 1
    assert worker.finished[OTHER_DEVICES] == 500 - MAX_DEVICES


async def test_others_have_their_turns_while_it_is_taken(nursery: trio.Nursery) -> None:
    hub = crowded(20 * SLICE)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    nursery.start_soon(others)
    await _as_json(hub.dispatcher.queues["q"].workers, lambda *_: {})
    assert turns >= 15
    turns = 0
    await take_snapshot(hub, History(()), LagMonitor())
    assert turns >= 15
    nursery.cancel_scope.cancel()


async def test_who_leaves_meanwhile_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = crowded(2 * SLICE, nodes=1)
    queue, add = hub.dispatcher.queues["q"], _Count.add

    def add_and_leave(self: _Count, workers: list[Worker], now: float) -> None:
        add(self, workers, now)
        for worker in list(queue.workers):
            hub.dispatcher.detach(worker, "disconnect", now)

    monkeypatch.setattr(_Count, "add", add_and_leave)
    snapshot, page, _ = await seen(hub)
    assert sum(group.backends for group in snapshot.places.values()) == SLICE
    assert snapshot.longest == []
    assert page.table("Items that run longest") == []


async def test_a_client_that_has_left_is_not_shown() -> None:
    async with serving() as frontend:
        client, other = await frontend.client(), await frontend.client()
        await other.frame("request", Id="1", Queue="q")
        await client.aclose()
        await wait_all_tasks_blocked()
        page = await page_of(frontend)
    assert [row[1] for row in page.table("Clients")] == ["1"]


async def test_what_runs_longest_is_found_wherever_it_runs() -> None:
    hub = Hub(frontend_settings())
    client, now = ClientPort(), 1000.0
    for i in range(300):
        hub.dispatcher.attach(Port(), "q", 0.0, pod=f"p{i}", slots=2)
    started = {}
    for i in range(600):
        item = hub.dispatcher.submit(client, Request("q", [], id=str(i)), float(i))
        started[item.seq] = i
        assert item.worker is not None
        if i == 3:  # it ends before anybody looks
            ended = item
    assert ended.worker is not None
    hub.dispatcher.finish(ended.worker, ended.token, Reply(), now)
    snapshot = await take_snapshot(hub, History(()), LagMonitor())
    assert [started[item.number] for item, _ in snapshot.longest] == [0, 1, 2, 4, 5]


async def test_one_making_serves_all_who_ask_and_for_a_while(mock_clock: MockClock) -> None:
    made = 0

    async def make() -> int:
        nonlocal made
        made += 1
        mock_clock.jump(2)
        await wait_all_tasks_blocked()
        return made

    kept = _Kept(make)
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(kept.get)
    assert made == 1
    mock_clock.jump(2 * REST - 1)
    assert await kept.get() == 1
    mock_clock.jump(2)
    assert await kept.get() == 2


async def test_what_was_cancelled_did_not_fail() -> None:
    hub = crowded(1)
    (worker,) = hub.dispatcher.queues["q"].workers
    for outcome in ("success", "failure", "timeout", "cancelled"):
        worker.count("card0", outcome)
    assert (worker.finished, worker.failed) == ({"card0": 4}, 2)
