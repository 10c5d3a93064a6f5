"""The page: what it shows, of any client and with any names in it."""

from __future__ import annotations

import attrs
import orjson
import pytest
from hypothesis import given, settings, strategies as st

from scalab.client.control import control_router
from scalab.client.page import MAX_ROWS
from scalab.client.placemap import MAX_CELLS
from scalab.client.scene import key_of
from scalab.measure.statistics import ErrorCount, Spread
from scalab.protocol.text import printable
from scalab.scaling.autoscale import analyse
from scalab.scaling.observed import Sample, Target
from tests.client.controlled import BUSY, EMPTY, SPREAD, FakeClient, FakeRecording, place
from tests.client.outline import Tag, ask, outline, text
from tests.report.sample_runs import OPEN, a_run
from tests.report.scaling.sample_validations import a_step
from tests.report.simulated import simulated

PANELS = {
    *("p-state", "p-tiles", "p-levels", "p-map", "p-fairness", "p-failures", "p-judging"),
    *("p-times", "p-events", "f-throughput", "f-latency", "f-split", "f-delay", "f-failures"),
    *("f-flight", "f-spectrum", "f-scaling", "autoscale"),
}


def measured(*, open_loop: bool = False) -> FakeClient:
    """A client in whose run a second device of two nodes fails at times."""
    run = a_run(OPEN) if open_loop else a_run(seconds=40)
    return FakeClient(recording=FakeRecording(run), open_loop=open_loop)


async def page_of(client: FakeClient, target: str = "/") -> tuple[list[Tag], list[str]]:
    return outline(text(await ask(client, target)))


def ids(tags: list[Tag]) -> list[str]:
    return [had["id"] or "" for _, had in tags if "id" in had]


def hidden(tags: list[Tag]) -> set[str]:
    return {had["id"] or "" for _, had in tags if "id" in had and "hidden" in had}


# --- validations ---------------------------------------------------------------------------------


async def test_a_validation_shows_its_curve_and_an_autoscaler_its_lane() -> None:
    plain, _ = await page_of(measured())
    assert {"f-scaling", "autoscale"} <= hidden(plain)

    run = attrs.evolve(a_run(seconds=40), steps=(a_step(1), a_step(2)))
    samples = [
        Sample(at_s=float(i), level=4.0, waiting=2, running=2, desired=2, ready=1, connected=1.0)
        for i in range(9)
    ]
    seen = analyse(samples, (), Target(items=1.0, maximum=4))
    client = FakeClient(recording=FakeRecording(run), autoscale=seen)
    tags, words = await page_of(client)
    assert not {"f-scaling", "autoscale"} & hidden(tags)
    assert "Throughput by workers" in words
    assert any("Autoscaler" in word for word in words)


# --- names of others -----------------------------------------------------------------------------

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
    return FakeClient(queue=name, run_id=name, shown=shown)


async def check_escaping(name: str) -> None:
    for target in ("/", "/devices", f"/place?kind=pods&id={key_of(name)}"):
        harmless = target.replace(key_of(name), key_of("harmless"))
        expected, _ = await page_of(everywhere("harmless"), harmless)
        tags, texts = await page_of(everywhere(name), target)
        assert [tag for tag, _ in tags] == [tag for tag, _ in expected]
        assert [set(had) for _, had in tags] == [set(had) for _, had in expected]
        assert printable(name, 64).strip() in texts


@pytest.mark.parametrize("name", HOSTILE)
async def test_names_of_others_are_only_ever_text(name: str) -> None:
    await check_escaping(name)


@settings(max_examples=20)
@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=60).filter(str.strip))
async def test_any_name_is_only_ever_text(name: str) -> None:
    await check_escaping(name)


async def test_the_value_of_a_bad_request_is_only_ever_text() -> None:
    harmless = await ask(FakeClient(), "/parallel?value=harmless")
    hostile = await ask(FakeClient(), "/parallel?value=%3Cscript%3Ealert(1)%3C/script%3E")

    assert [t for t, _ in outline(text(harmless))[0]] == [t for t, _ in outline(text(hostile))[0]]
    assert "ERROR: '<script>alert(1)</script>' is not a number" in outline(text(hostile))[1]


# --- what a browser needs ------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["/", "/devices"])
async def test_the_page_runs_and_loads_nothing_but_its_own(target: str) -> None:
    first, second = await ask(measured(), target), await ask(measured(), target)
    tags, _ = outline(text(first))
    nonces = {had.get("nonce") for tag, had in tags if tag in ("style", "script")}
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


@pytest.mark.parametrize("open_loop", [False, True])
async def test_the_page_works_without_scripts_and_for_everyone(open_loop: bool) -> None:
    tags, _ = await page_of(measured(open_loop=open_loop))
    forms = {had["action"] for tag, had in tags if tag == "form"}
    labels = {had["for"] for tag, had in tags if tag == "label"}
    found = ids(tags)

    assert forms == {"rate" if open_loop else "parallel", "pause", "resume", "reset"}
    assert ("html", {"lang": "en"}) in tags
    assert len([tag for tag, _ in tags if tag == "h1"]) == 1
    assert len(found) == len(set(found))
    assert all(had.get("scope") for tag, had in tags if tag == "th")
    for tag, had in tags:
        if tag == "input":
            assert had.get("id") in labels or had.get("aria-label")
        assert not had.get("aria-labelledby") or had["aria-labelledby"] in found
        if (had.get("href") or "").startswith("#"):
            assert (had["href"] or "")[1:] in found
    assert any(tag == "a" and had.get("id") == "refresh" for tag, had in tags)


@pytest.mark.parametrize(
    ("open_loop", "level", "steps", "top"),
    [
        (False, 4, ["3", "5"], "16"),
        (False, 0, ["0", "1"], "16"),
        (False, 16, ["15", "16"], "16"),
        (True, 40.0, ["35", "45"], "100"),
        (True, 0.05, ["0.045", "0.055"], "1"),
        (True, 0.0, ["0", "0.0001"], "1"),
        (True, 100_000.0, ["90000", "110000"], "200000"),
    ],
)
async def test_steps_suit_the_level(
    open_loop: bool, level: float, steps: list[str], top: str
) -> None:
    client = FakeClient(level=level, parallel=int(level), open_loop=open_loop)
    tags, _ = await page_of(client)
    slider = next(had for _, had in tags if had.get("id") == "slider")

    assert [had["value"] for _, had in tags if had.get("form") == "step"] == steps
    assert slider["max"] == top


async def test_only_one_of_pause_and_resume_is_offered() -> None:
    for paused in (False, True):
        tags, _ = await page_of(FakeClient(paused=paused))
        offered = [h["action"] for tag, h in tags if tag == "form" and "hidden" not in h]
        assert ("resume" in offered, "pause" in offered) == (paused, not paused)


# --- what it shows -------------------------------------------------------------------------------


async def test_the_figures_of_a_phase_that_does_not_count() -> None:
    tags, texts = await page_of(FakeClient(phase="warm-up"))

    for shown in ("1.50/s", "96.7 %", "3 of 91 failed", "media", "● connected", "warm-up"):
        assert shown in texts
    assert {"f-throughput", "f-latency", "f-spectrum", "p-levels"} <= hidden(tags)
    _, texts = await page_of(FakeClient(online=False))
    assert "○ not connected to the frontend" in texts


async def test_nothing_has_happened_yet() -> None:
    tags, texts = await page_of(FakeClient(shown=EMPTY, phase="", elapsed_s=0.0))

    assert "Nothing has come back from any device, node or pod yet." in texts
    assert "Nothing has happened yet." in texts
    assert set(ids(tags)) >= PANELS


@pytest.mark.parametrize("open_loop", [False, True])
async def test_every_panel_of_a_run(open_loop: bool) -> None:
    client = measured(open_loop=open_loop)
    tags, texts = await page_of(client)
    unseen = hidden(tags) & PANELS

    assert set(ids(tags)) >= PANELS
    of_validations = {"f-scaling", "autoscale"}
    assert unseen - of_validations == ({"p-levels"} if open_loop else {"p-levels", "f-delay"})
    assert unseen >= of_validations
    assert client.looks == 0, "figures of what was measured are those of the record"
    for shown in ("Throughput", "device lost", "connected to fe:9997", "client-cpu"):
        assert shown in texts


async def test_levels_are_compared() -> None:
    tags, _ = await page_of(FakeClient(recording=FakeRecording(simulated())))

    assert "p-levels" not in hidden(tags)
    assert {"knee-throughput", "knee-latency"} <= set(ids(tags))


async def test_the_queue_may_be_paused() -> None:
    _, texts = await page_of(FakeClient(paused=True))

    assert "Ⅱ paused" in texts


async def test_a_failing_device_is_red_and_named() -> None:
    tags, texts = await page_of(FakeClient(recording=FakeRecording(simulated())))
    cells = {
        (had.get("title") or "").split(":")[0]: had["class"] or ""
        for _, had in tags
        if "cell" in (had.get("class") or "").split() and "title" in had
    }

    assert "failing" in cells["renderD133"].split()
    assert "slow" in cells["renderD131"].split()
    assert cells["renderD128"].split() == ["cell", "heat-1"]
    assert any(shown.startswith("✗ ") and shown.endswith("failed") for shown in texts)
    assert any(shown.startswith("▲ ") for shown in texts)
    assert any(shown.startswith("renderD133: ") and "usual" in shown for shown in texts)
    assert "vaapi: failed to map surface (exit code 247)" in texts
    assert "renderD133" in texts, "the table of failures says where"


async def test_all_devices_may_fail_alike() -> None:
    devices = (place("a", failed=45), place("b", failed=45))
    client = FakeClient(shown=attrs.evolve(BUSY, devices=devices, nodes=(), pods=()))
    _, texts = await page_of(client)

    assert texts.count("✗ 50.0 % failed") == 2


async def test_run_times_compared_with_those_of_the_others() -> None:
    times = {"fast": 0.7, "usual": 1.0, "alike": 1.2, "slower": 1.5, "slow": 2.0, "worst": 9.0}
    times |= dict.fromkeys(("a", "b", "c"), 1.0)
    devices = tuple(
        place(name, run=attrs.evolve(SPREAD, p50_s=p50_s)) for name, p50_s in times.items()
    )
    tags, _ = await page_of(FakeClient(shown=attrs.evolve(BUSY, devices=devices)))
    heats = {
        (had["title"] or "").split(":")[0]: (had["class"] or "").split()[1]
        for _, had in tags
        if "title" in had and "heat" in (had.get("class") or "")
    }

    assert [heats[name] for name in times] == [f"heat-{n}" for n in (0, 1, 1, 2, 3, 4, 1, 1, 1)]


async def test_long_names_are_told_apart_by_their_ends() -> None:
    pods = tuple(place(f"backend-7d9f8b6c5d-x{n}kq2") for n in range(3))
    _, texts = await page_of(FakeClient(shown=attrs.evolve(BUSY, pods=pods)))

    cut = [shown for shown in texts if shown.startswith("backen…")]
    assert len(set(cut)) == 3
    assert {len(shown) for shown in cut} == {16}


# --- one place -----------------------------------------------------------------------------------


async def test_the_details_of_a_place() -> None:
    errors = (ErrorCount("CUDA error: out of memory", 7),)
    devices = (place("card0", failed=7, errors=errors, pods=("pod-x",)), place("card1"))
    client = FakeClient(shown=attrs.evolve(BUSY, devices=devices))
    target = f"/place?kind=devices&id={key_of('card0')}"
    part, page = await ask(client, f"{target}&part=1"), await ask(client, target)

    assert text(part) in text(page)
    tags, texts = outline(text(part))
    assert ids(tags)[0] == "place"
    for shown in ("card0", "7 (7.78 %)", "CUDA error: out of memory", "Pods: pod-x", "Run times"):
        assert shown in texts
    assert any(tag == "svg" for tag, _ in tags)


async def test_a_place_that_is_not_there() -> None:
    target = "/place?kind=devices&id=0000000000000000"

    assert (await ask(FakeClient(), target)).status == 404
    gone = await ask(FakeClient(), f"{target}&part=1")
    assert (gone.status, gone.body) == (200, b""), "a new window may not have it yet"


async def test_every_cell_leads_to_its_place() -> None:
    router = control_router(FakeClient(recording=FakeRecording(simulated())))
    tags, _ = outline(text(await ask(router, "/")))
    targets = [h["href"] or "" for _, h in tags if (h.get("href") or "").startswith("place?")]

    assert len(targets) > 10
    for target in targets:
        assert (await ask(router, f"/{target}")).status == 200


# --- tables --------------------------------------------------------------------------------------


async def test_a_place_slower_than_usual_is_marked() -> None:
    slow = place("node-c", run=attrs.evolve(SPREAD, p50_s=1.3))
    nodes = (place("node-a"), place("node-b"), slow)
    _, texts = await page_of(FakeClient(shown=attrs.evolve(BUSY, nodes=nodes)), "/nodes")

    assert texts.count("slow") == 1
    assert texts.index("slow") > texts.index("node-c")


async def test_a_place_where_nothing_ran() -> None:
    nodes = (place("node-a", run=Spread(), histogram=()),)
    for target in ("/", "/nodes", f"/place?kind=nodes&id={key_of('node-a')}"):
        answer = await ask(FakeClient(shown=attrs.evolve(BUSY, nodes=nodes)), target)
        assert answer.status == 200


async def test_a_table_keeps_itself_up_to_date() -> None:
    router = control_router(FakeClient())
    tags, _ = outline(text(await ask(router, "/nodes")))
    poll = next(had["data-poll"] for tag, had in tags if tag == "body")

    assert poll == "panels?show=nodes"
    assert text(await ask(router, f"/{poll}")) in text(await ask(router, "/nodes"))


# --- bounds --------------------------------------------------------------------------------------


async def test_the_page_stays_bounded() -> None:
    errors = tuple(ErrorCount(f"error {n}", 1) for n in range(20))
    many = tuple(place(f"pod-{n}", errors=errors) for n in range(1000))
    texts = tuple(ErrorCount(f"{n}" + "e" * 400, 1) for n in range(200))
    shown = attrs.evolve(BUSY, pods=many, nodes=many, devices=many, errors=texts)
    client = FakeClient(shown=shown)
    page, table = text(await ask(client, "/")), text(await ask(client, "/pods"))

    tags, seen = outline(table)
    assert len([1 for tag, had in tags if tag == "th" and had["scope"] == "row"]) == MAX_ROWS
    assert f"… and {1000 - MAX_ROWS} more; the" in seen
    assert seen.count("1 x error 0") == MAX_ROWS
    assert "1 x error 9" not in seen
    tags, seen = outline(page)
    assert len([1 for tag, _ in tags if tag == "li"]) < 3 * MAX_CELLS + 50
    assert seen.count(f"… and {1000 - MAX_CELLS} more; the") == 3
    assert len(table) < 500_000
    assert len(page) < 500_000


async def test_those_that_stand_out_are_shown_before_all_others() -> None:
    many = tuple(place(f"card{n:03}", failed=60 if n == 399 else 0) for n in range(400))
    _, texts = await page_of(FakeClient(shown=attrs.evolve(BUSY, devices=many)))

    assert "card399" in texts
    assert "card398" not in texts


async def test_more_failures_than_fit() -> None:
    texts = tuple(ErrorCount(f"error {n}", 100 - n) for n in range(50))
    _, seen = await page_of(FakeClient(shown=attrs.evolve(BUSY, errors=texts)))

    assert "error 19" in seen
    assert "error 20" not in seen
    assert "… and 30 more texts." in seen


# --- downloads -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content_type", "begins"),
    [
        ("report.html", "text/html", "<!DOCTYPE html>"),
        ("report.json", "application/json", "{"),
        ("report.csv", "text/csv", "from_s,to_s"),
        ("scenario.toml", "text/plain", ""),
    ],
)
async def test_files_of_the_run_so_far(name: str, content_type: str, begins: str) -> None:
    answer = await ask(measured(), f"/{name}")

    assert answer.status == 200
    assert answer.content_type.startswith(content_type)
    assert text(answer).lstrip().startswith(begins)
    assert len(text(answer)) > 100
    kept = dict(answer.headers)["Content-Disposition"]
    assert kept == f'attachment; filename="scalab-7f3a91c2-{name}"'


async def test_a_report_of_a_run_that_goes_on_is_not_one_of_a_killed_client() -> None:
    client = FakeClient(recording=FakeRecording(a_run(seconds=40, ended=False)))
    page, found = await ask(client, "/report.html"), await ask(client, "/report.json")

    assert "ended: not yet" in text(page)
    assert "killed" not in text(page)
    assert orjson.loads(text(found))["run"]["truncated"] is False


async def test_no_name_of_a_file_harms() -> None:
    client = measured()
    client.run_id = '"; x="../..\r\nSet-Cookie: a=b'
    kept = dict((await ask(client, "/report.json")).headers)["Content-Disposition"]

    assert kept == 'attachment; filename="scalab-xSetCookieab-report.json"'


async def test_a_run_without_a_scenario_yet() -> None:
    client = FakeClient(recording=FakeRecording(a_run(seconds=1, ended=False)))
    answer = await ask(client, "/scenario.toml")

    assert answer.status == 409
    assert "nothing to replay" in text(answer)
