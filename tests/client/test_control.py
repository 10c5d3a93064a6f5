"""The control port: what scripts, programs, probes and browsers get."""

from __future__ import annotations

import attrs
import orjson
import pytest
import trio

from scalab.client.control import control_router
from scalab.measure.summary import format_plain, to_json
from scalab.runtime.http import HttpServer
from tests.client.controlled import BUSY, EMPTY, FakeClient
from tests.client.outline import ask, outline, text

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
    headings = [had["id"] for tag, had in outline(page)[0] if tag == "h2"]
    assert headings == [f"h-{kind.title()}"]


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
        "/events?x=1",
        "/place?kind=secrets&id=0",
        "/place?id=0",
        "/report.html?x=1",
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
