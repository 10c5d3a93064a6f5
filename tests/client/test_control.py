"""The control port: what scripts, programs, probes and browsers get."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import attrs
import orjson
import pytest
import trio
from hypothesis import given, strategies as st

from scalab.client.control import control_router
from scalab.client.page import MAX_ROWS
from scalab.measure.statistics import ErrorCount, Place, Spread, Statistics
from scalab.measure.summary import format_plain, to_json
from scalab.protocol.text import printable
from scalab.runtime.http import HttpServer
from scalab.runtime.routing import Request, Response

SPREAD = Spread(90, 0.5, 1.0, 2.0, 1.0, 1.5, 1.6, 1.8, 1.9)


def place(name: str, **more: Any) -> Place:
    steps = ((0.5, 1.0, 30), (1.0, 2.0, 60))
    return attrs.evolve(Place(name, served=90, failed=1, run=SPREAD, histogram=steps), **more)


BUSY = Statistics(
    window_s=60.0,
    outstanding=4,
    completed=90,
    succeeded=88,
    failed=3,
    failures={"failure": 2, "disconnected": 1},
    throughput=1.5,
    wait=SPREAD,
    run=SPREAD,
    overhead=SPREAD,
    total=SPREAD,
    nodes=(place("node-a", devices=("card0", "card1"), pods=("pod-x",)),),
    devices=(place("card0", pods=("pod-x",)), place("card1")),
    pods=(place("pod-x", devices=("card0",), errors=(ErrorCount("exit 3", 2),)),),
    errors=(ErrorCount("exit 3", 2),),
    attempts_max=2,
)

EMPTY = Statistics(0.0, 0, 0, 0, 0, {}, 0.0, Spread(), Spread(), Spread(), Spread(), (), (), (), ())


@attrs.define
class FakeClient:
    """A client that notes what it is told."""

    queue: str = "media"
    parallel: int = 4
    parallel_max: int = 16
    shown: Statistics = BUSY
    online: bool = True
    resets: int = 0
    open_loop: bool = False
    level: float = 4.0
    run_id: str = "7f3a91c2"
    phase: str = "measure"
    paused: bool = False
    changes: list[int] = attrs.Factory(list)

    def set_parallel(self, n: int) -> int:
        self.changes.append(n)
        self.parallel = n
        return n

    def set_level(self, level: float) -> float:
        self.level = level
        return level

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def reset(self) -> None:
        self.resets += 1

    def statistics(self) -> Statistics:
        return self.shown

    @property
    def connected(self) -> bool:
        return self.online


async def ask(client: FakeClient, target: str, method: str = "GET", **headers: str) -> Response:
    pairs = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return await control_router(client).handle(Request.parse(method, target, pairs))


def text(response: Response) -> str:
    assert isinstance(response.body, bytes)
    return response.body.decode()


# --- open loop -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "rate"), [("50", 50.0), ("3000/min", 50.0), ("0.5/s", 0.5)])
async def test_the_rate_of_an_open_loop_can_be_changed(value: str, rate: float) -> None:
    client = FakeClient(open_loop=True)
    answer = await ask(client, f"/rate?type=json&value={value.replace('/', '%2F')}")
    assert orjson.loads(text(answer)) == {
        "result": rate,
        "info": "requests per second asked for",
    }
    assert client.level == rate
    assert f"{rate:g}" in text(await ask(client, "/"))


@pytest.mark.parametrize(
    ("open_loop", "target", "reason"),
    [
        (True, "/rate?value=fast", 'rate: "fast" is no rate'),
        (True, "/rate?value=-1", 'rate: "-1" is no rate'),
        (True, "/parallel?value=3", "an open loop has a rate, no parallelism: change /rate"),
        (False, "/rate", "a closed loop has no rate: see /parallel and /reqs-per-sec"),
        (False, "/rate?value=3", "a closed loop has no rate: see /parallel and /reqs-per-sec"),
    ],
)
async def test_what_a_loop_does_not_have_can_not_be_changed(
    open_loop: bool, target: str, reason: str
) -> None:
    client = FakeClient(open_loop=open_loop)
    answer = await ask(client, f"{target}{'&' if '?' in target else '?'}type=plain")
    assert answer.status == 400
    assert text(answer).startswith(f"ERROR: {reason}")
    assert (client.level, client.changes) == (4.0, [])


async def test_pause_and_resume() -> None:
    client = FakeClient()
    assert text(await ask(client, "/pause?type=plain")) == "Paused\n"
    assert client.paused
    assert "Send again" in text(await ask(client, "/"))
    assert text(await ask(client, "/resume?type=plain")) == "Resumed\n"
    assert not client.paused


# --- classic endpoints ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "plain", "result", "info"),
    [
        ("/parallel", "4", 4, "requests in parallel"),
        ("/parallelism", "4", 4, "requests in parallel"),
        ("/parallel?value=7", "7", 7, "requests in parallel"),
        ("/parallelism?value=0", "0", 0, "requests in parallel"),
        ("/parallel?value=+7", "7", 7, "requests in parallel"),
        ("/parallel?value=16", "16", 16, "requests in parallel"),
        ("/parallel?value=17", "16", 16, "requests in parallel, the most that there can be"),
        (
            f"/parallel?value={'9' * 99}",
            "16",
            16,
            "requests in parallel, the most that there can be",
        ),
        ("/parallel?value=-1", "0", 0, "requests in parallel, the fewest that there can be"),
        ("/reqs-per-sec", "1.500000", 1.5, "requests per second"),
        ("/reqs-per-seq", "1.500000", 1.5, "requests per second"),
        ("/fails", "3", 3, "request failures"),
        ("/reset", "Reseted", "Reseted", "a new measuring window has begun"),
    ],
)
async def test_classic_values(target: str, plain: str, result: object, info: str) -> None:
    query = "&type=" if "?" in target else "?type="
    as_plain = await ask(FakeClient(), f"{target}{query}plain")
    as_json = await ask(FakeClient(), f"{target}{query}json")
    as_html = [await ask(FakeClient(), target), await ask(FakeClient(), f"{target}{query}html")]

    assert text(as_plain) == f"{plain}\n"
    assert as_plain.content_type.startswith("text/plain")
    assert orjson.loads(text(as_json)) == {"result": result, "info": info}
    assert as_json.content_type == "application/json"
    assert {r.status for r in (as_plain, as_json, *as_html)} == {200}
    for page in as_html:
        assert page.content_type.startswith("text/html")
        assert f"{plain}{':' if plain == 'Reseted' else ''} {info}" in text(page)


@pytest.mark.parametrize(
    "value", ["", "x", "1.5", "1e3", "0x10", "1_0", "--1", "4 4", "%D9%A3", "nan", "9" * 101]
)
async def test_a_value_that_is_no_number(value: str) -> None:
    client = FakeClient()
    as_plain = await ask(client, f"/parallel?value={value}&type=plain")
    as_json = await ask(client, f"/parallel?value={value}&type=json")
    as_html = await ask(client, f"/parallel?value={value}")

    assert text(as_plain).startswith("ERROR: '")
    assert text(as_plain).endswith("' is not a number\n")
    assert text(as_plain).count("\n") == 1
    answer = orjson.loads(text(as_json))
    assert answer["result"] == "ERROR"
    assert answer["info"].endswith("is not a number")
    assert "is not a number" in text(as_html)
    assert {r.status for r in (as_plain, as_json, as_html)} == {400}
    assert client.changes == []


async def test_what_is_changed_and_what_is_only_told() -> None:
    client = FakeClient()
    for target in ("/parallel", "/fails", "/stats", "/nodes", "/reqs-per-sec", "/", "/panels"):
        await ask(client, target)
    assert (client.changes, client.resets) == ([], 0)

    await ask(client, "/parallel?value=99")
    await ask(client, "/parallel?value=-99")
    await ask(client, "/reset")
    assert (client.changes, client.resets) == ([16, 0], 1)


async def test_a_small_throughput_has_no_exponent() -> None:
    client = FakeClient(shown=attrs.evolve(BUSY, throughput=0.0000123))

    assert text(await ask(client, "/reqs-per-sec?type=plain")) == "0.000012\n"


async def test_statistics_as_text_and_json() -> None:
    plain = await ask(FakeClient(), "/stats?type=plain")
    as_json = await ask(FakeClient(), "/stats?type=json")

    assert text(plain) == format_plain(BUSY, "queue media, 4 in parallel")
    assert orjson.loads(text(as_json))["result"] == orjson.loads(orjson.dumps(to_json(BUSY)))


@pytest.mark.parametrize("kind", ["nodes", "devices", "pods"])
async def test_places_as_text_and_json(kind: str) -> None:
    plain = text(await ask(FakeClient(), f"/{kind}?type=plain"))
    as_json = orjson.loads(text(await ask(FakeClient(), f"/{kind}?type=json")))
    page = text(await ask(FakeClient(), f"/{kind}"))

    names = [place.name for place in getattr(BUSY, kind)]
    assert [line.split(":")[0] for line in plain.splitlines() if line[0] != " "] == names
    assert [place["name"] for place in as_json["result"]] == names
    assert [h for h in outline(page)[1] if h in ("Nodes", "Devices", "Pods")] == [kind.title()]


async def test_places_say_what_they_did() -> None:
    plain = text(await ask(FakeClient(), "/pods?type=plain"))

    assert plain == (
        "pod-x: 90 served, 1 failed; run p50 1.00 s, p95 1.60 s, max 2.00 s; devices card0\n"
        "  2 x exit 3\n"
    )


async def test_no_places_yet() -> None:
    client = FakeClient(shown=EMPTY)

    assert text(await ask(client, "/pods?type=plain")) == "no statistics for pods yet\n"
    assert orjson.loads(text(await ask(client, "/pods?type=json")))["result"] == []
    assert (await ask(client, "/pods")).status == 200
    assert (await ask(client, "/")).status == 200


@pytest.mark.parametrize(
    "target",
    [
        "/stats?type=xml",
        "/stats?type=",
        "/stats?type=PLAIN",
        "/stats?value=1",
        "/reset?now=1",
        "/parallel?value=1&value=2",
        "/parallel?type=plain&type=plain&value=1",
        "/parallel?val=1",
        "/?x=1",
        "/panels?show=secrets",
        "/panels?show=nodes&show=pods",
        "/api/stats?type=json",
        "/parallel?" + "%0A" * 300 + "=1",
    ],
)
async def test_parameters_that_do_not_exist(target: str) -> None:
    client = FakeClient()
    response = await ask(client, target)

    assert response.status == 400
    assert text(response).count("\n") == 1
    assert len(text(response)) < 200
    assert (client.changes, client.resets) == ([], 0)


@pytest.mark.parametrize("target", ["/parallel?value=9&type=plain", "/reset?type=plain"])
async def test_only_those_who_mean_it_change_the_load(target: str) -> None:
    client = FakeClient()
    for headers in ({"sec_fetch_site": "cross-site"}, {"sec_purpose": "prefetch;prerender"}):
        assert (await ask(client, target, **headers)).status == 403
    assert (await ask(client, target, method="HEAD")).status == 405
    assert (client.changes, client.resets) == ([], 0)

    assert (await ask(client, target, sec_fetch_site="same-origin")).status == 200
    assert (await ask(client, target)).status == 200
    assert client.changes == [9, 9] or client.resets == 2


async def test_a_foreign_page_may_look() -> None:
    answer = await ask(FakeClient(), "/parallel?type=plain", sec_fetch_site="cross-site")

    assert text(answer) == "4\n"


# --- programs and probes -------------------------------------------------------------------------


async def test_everything_for_programs() -> None:
    answer = orjson.loads(text(await ask(FakeClient(), "/api/stats")))

    assert answer.pop("statistics") == orjson.loads(orjson.dumps(to_json(BUSY)))
    assert answer == {
        "queue": "media",
        "parallel": 4,
        "parallel_max": 16,
        "connected": True,
        "run": "7f3a91c2",
        "loop": "closed",
        "level": 4.0,
        "phase": "measure",
        "paused": False,
    }


async def test_health() -> None:
    assert (await ask(FakeClient(), "/readyz")).status == 200
    assert (await ask(FakeClient(online=False), "/readyz")).status == 503
    assert (await ask(FakeClient(online=False), "/livez")).status == 200


async def test_over_a_socket(nursery: trio.Nursery) -> None:
    client = FakeClient()
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    await nursery.start(HttpServer(control_router(client)).serve, listeners)
    async with await trio.open_tcp_stream(*listeners[0].socket.getsockname()) as stream:
        await stream.send_all(b"GET /parallel?type=plain&value=9 HTTP/1.0\r\n\r\n")
        data = b""
        with trio.fail_after(20):
            while piece := await stream.receive_some():
                data += piece

    assert data.startswith(b"HTTP/1.1 200 ")
    assert data.endswith(b"\r\n\r\n9\n")
    assert client.changes == [9]
    nursery.cancel_scope.cancel()


# --- the page ------------------------------------------------------------------------------------


class Outline(HTMLParser):
    """What a browser makes of a page: its elements, and the texts in them."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] not in ("style", "script") and data.strip():
            self.texts.append(data.strip())


def outline(page: str) -> tuple[list[tuple[str, dict[str, str | None]]], list[str]]:
    parser = Outline()
    parser.feed(page)
    parser.close()
    return parser.tags, parser.texts


HOSTILE = (
    "<script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' autofocus onfocus='alert(1)",
    "{{ 7 * 7 }}{% include 'x' %}",
    "&lt;b&gt; &amp; <!--",
    "a\u202eb\x1b[31m\r\nc",
    "javascript:alert(1)",
)


def everywhere(name: str) -> FakeClient:
    """A client with ``name`` wherever others choose what is shown."""
    somewhere = (place(name, devices=(name,), pods=(name,), errors=(ErrorCount(name, 1),)),)
    shown = attrs.evolve(
        BUSY,
        nodes=somewhere,
        devices=somewhere,
        pods=somewhere,
        errors=(ErrorCount(name, 1),),
        failures={name: 3},
    )
    return FakeClient(queue=name, shown=shown)


async def check_escaping(name: str) -> None:
    harmless, _ = outline(text(await ask(everywhere("harmless"), "/")))
    for target in ("/", "/panels"):
        tags, texts = outline(text(await ask(everywhere(name), target)))
        if target == "/":
            assert [tag for tag, _ in tags] == [tag for tag, _ in harmless]
            assert [set(had) for _, had in tags] == [set(had) for _, had in harmless]
        # 3 tables with the name, and the list of errors; once more each within longer texts.
        assert texts.count(printable(name).strip()) >= 4


@pytest.mark.parametrize("name", HOSTILE)
async def test_names_of_others_are_only_ever_text(name: str) -> None:
    await check_escaping(name)


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=60).filter(str.strip))
async def test_any_name_is_only_ever_text(name: str) -> None:
    await check_escaping(name)


async def test_the_value_of_a_bad_request_is_only_ever_text() -> None:
    harmless = await ask(FakeClient(), "/parallel?value=harmless")
    hostile = await ask(FakeClient(), "/parallel?value=%3Cscript%3Ealert(1)%3C/script%3E")

    assert [t for t, _ in outline(text(harmless))[0]] == [t for t, _ in outline(text(hostile))[0]]
    assert "ERROR: '<script>alert(1)</script>' is not a number" in outline(text(hostile))[1]


async def test_the_page_runs_and_loads_nothing_but_its_own() -> None:
    first, second = await ask(FakeClient(), "/"), await ask(FakeClient(), "/")
    tags, _ = outline(text(first))
    nonces = {given.get("nonce") for tag, given in tags if tag in ("style", "script")}
    policies = [dict(r.headers)["Content-Security-Policy"] for r in (first, second)]

    assert len(nonces) == 1
    assert f"script-src 'nonce-{nonces.pop()}'" in policies[0]
    assert policies[0] != policies[1]
    assert "unsafe" not in policies[0]
    for part in ("default-src 'none'", "form-action 'self'", "frame-ancestors 'none'"):
        assert part in policies[0]
    for _, had in tags:
        assert not any(name == "style" or name.startswith("on") for name in had)
        for name in ("src", "href", "action"):
            assert not (had.get(name) or "").startswith(("http", "//", "javascript"))


async def test_the_page_works_without_scripts_and_for_everyone() -> None:
    tags, _ = outline(text(await ask(FakeClient(), "/")))
    forms = {given["action"] for tag, given in tags if tag == "form"}
    ids = {had["id"] for _, had in tags if had.get("id")}
    labels = {given["for"] for tag, given in tags if tag == "label"}

    assert forms == {"parallel", "pause", "reset"}
    assert ("html", {"lang": "en"}) in tags
    assert len([tag for tag, _ in tags if tag == "h1"]) == 1
    assert all(given.get("scope") for tag, given in tags if tag == "th")
    assert {given["id"] for tag, given in tags if tag == "input"} <= labels
    for _, had in tags:
        assert (had.get("aria-labelledby") or "load") in ids
    assert [given["value"] for tag, given in tags if given.get("form") == "step"] == ["3", "5"]
    assert any(tag == "a" and given.get("id") == "refresh" for tag, given in tags)


@pytest.mark.parametrize(("parallel", "steps"), [(0, ["0", "1"]), (16, ["15", "16"])])
async def test_steps_stay_within_the_limits(parallel: int, steps: list[str]) -> None:
    tags, _ = outline(text(await ask(FakeClient(parallel=parallel), "/")))

    assert [given["value"] for tag, given in tags if given.get("form") == "step"] == steps


async def test_panels_are_the_part_of_the_page_that_changes() -> None:
    page = text(await ask(FakeClient(), "/"))
    panels = text(await ask(FakeClient(), "/panels"))
    nodes = text(await ask(FakeClient(), "/panels?show=nodes"))

    assert panels.strip() in page
    assert nodes.strip() in text(await ask(FakeClient(), "/nodes"))
    assert "<script" not in panels
    assert "Devices" not in outline(nodes)[1]


async def test_the_page_shows_the_figures() -> None:
    _, texts = outline(text(await ask(FakeClient(), "/")))

    for shown in ("1.50/s", "96.7 %", "3 failed", "media", "● connected"):
        assert shown in texts
    assert "slow" not in texts
    assert (
        "○ not connected to the frontend"
        in outline(text(await ask(FakeClient(online=False), "/")))[1]
    )


async def test_a_place_slower_than_usual_is_marked() -> None:
    slow = place("node-c", run=attrs.evolve(SPREAD, p50_s=1.3))
    nodes = (place("node-a"), place("node-b"), slow)
    _, texts = outline(text(await ask(FakeClient(shown=attrs.evolve(BUSY, nodes=nodes)), "/nodes")))

    assert texts.count("slow") == 1
    assert texts.index("slow") > texts.index("node-c")


async def test_the_page_stays_bounded() -> None:
    errors = tuple(ErrorCount(f"error {n}", 1) for n in range(20))
    many = tuple(place(f"pod-{n}", errors=errors) for n in range(1000))
    shown = attrs.evolve(BUSY, pods=many, errors=(ErrorCount("e" * 400, 1),) * 200)
    page = text(await ask(FakeClient(shown=shown), "/pods"))
    tags, texts = outline(page)

    assert len([1 for tag, given in tags if tag == "th" and given["scope"] == "row"]) == MAX_ROWS
    assert f"… and {1000 - MAX_ROWS} more; the" in texts
    assert texts.count("1 x error 0") == MAX_ROWS
    assert "1 x error 9" not in texts
    assert len(page) < 500_000
