"""The HTML report: whole, safe, readable, and it says what the run was."""

from __future__ import annotations

import re
from collections import Counter
from copy import copy
from functools import cache
from html.parser import HTMLParser
from importlib.resources import files

import attrs
import pytest

from scalab.load.scenario import QueueLoad
from scalab.measure.aggregate import Aggregate, PlaceAggregate
from scalab.measure.interval import MEASURE, Interval
from scalab.report.html import to_html
from scalab.report.model import Report, make_report
from scalab.runfile.reading import Run, RunBuilder
from scalab.runfile.records import End, Environment, Event
from scalab.verdict.results import Checked, Judged

from .simulated import THRESHOLDS, header, simulated

EVIL = "<script>alert(1)</script><img src=//x>&\"'\x1b[2J\n{{ 7 * 7 }}\u202e"
EVIL_NAME = "<script>alert(1)</script>&\"'"
VOID = {"meta", "link", "br", "hr", "img", "input"}


class Page(HTMLParser):
    """What a document consists of; complains about elements that aren't closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def values(self, attribute: str) -> list[str]:
        found = (attributes.get(attribute) for _, attributes in self.elements)
        return [value for value in found if value is not None]


@cache
def report(*, open_loop: bool = True) -> Report:
    return make_report(simulated(open_loop=open_loop))


@cache
def page(*, open_loop: bool = True) -> str:
    return to_html(report(open_loop=open_loop))


# --- whole and safe ------------------------------------------------------------------------


@pytest.mark.parametrize("open_loop", [True, False])
def test_it_is_one_document_that_needs_nothing_else(open_loop: bool) -> None:
    text = page(open_loop=open_loop)
    tags = Counter(tag for tag, _ in Page(text).elements)

    assert text.startswith("<!DOCTYPE html>")
    assert len(text.encode()) < 400_000
    assert tags["h1"] == tags["main"] == text.partition("</head>")[0].count("<title>") == 1
    assert not tags.keys() & {"script", "img", "link", "iframe", "object", "embed", "form", "use"}
    assert not re.search(r"https?:|//[a-z]|url\(|@import|javascript:|\son[a-z]+=", text)
    assert "content=\"default-src 'none'; style-src 'unsafe-inline';" in text


def test_all_that_is_referred_to_is_there_once() -> None:
    shown = Page(page())
    ids = Counter(shown.values("id"))
    links = [link.removeprefix("#") for link in shown.values("href")]
    labels = shown.values("aria-labelledby")

    assert len(links) > 6
    assert max(ids.values()) == 1
    assert {*links, *labels} <= ids.keys()


def test_what_scrolls_can_be_reached_by_keyboard_and_is_named() -> None:
    boxes = [a for _, a in Page(page()).elements if a.get("class") == "scroll"]

    assert len(boxes) > 10
    assert all(box["tabindex"] == "0" and box["aria-label"] for box in boxes)


def test_every_drawing_tells_what_it_is_or_is_hidden() -> None:
    pictures = re.findall(r"<svg[^>]*>", page())
    outer = [svg for svg in pictures if 'class="shapes"' not in svg]

    assert all('aria-label="' in svg or 'aria-hidden="true"' in svg for svg in outer)


def test_every_class_of_colour_has_a_colour() -> None:
    styles = "".join(
        (files("scalab.report") / "templates" / name).read_text()
        for name in ("charts.css", "report.css")
    )
    used = set(
        re.findall(r"\bc-[a-z0-9-]+", re.sub("<style>.*?</style>", "", page(), flags=re.DOTALL))
    )
    variables = set(re.findall(r"var\((--[a-z0-9-]+)", styles))

    assert len(used) > 10
    assert {name for name in used if f".{name} {{" not in styles} == set()
    assert {name for name in variables if f"{name}:" not in styles} == set()


def hostile() -> Run:
    """A run in which every text is meant to do harm."""
    evil_header = attrs.evolve(
        header(report().scenario.load),
        id=EVIL,
        started_at=EVIL,
        scalab=EVIL,
        command=(EVIL,),
        environment=Environment(host=EVIL, node=EVIL, pod=EVIL, python=EVIL, kernel=EVIL),
    )
    scenario = attrs.evolve(
        evil_header.scenario,
        name=EVIL_NAME,
        queues=(QueueLoad(name=EVIL_NAME, args=(EVIL_NAME,)), QueueLoad(name="b")),
        thresholds=(EVIL_NAME,),
    )
    place = PlaceAggregate(served=9, failed=3, devices={EVIL}, pods={EVIL}, errors={EVIL: 3})
    place.run.record(0.1, 9)
    counted = Aggregate(completed=9, succeeded=6, failures={EVIL: 3}, errors={EVIL: 3})
    counted.nodes[EVIL] = counted.devices[EVIL] = counted.pods[EVIL] = place
    counted.total.record(0.1, 9)
    builder = RunBuilder(attrs.evolve(evil_header, scenario=scenario))
    for second in range(3):
        builder.add(
            Interval(
                from_s=second,
                to_s=second + 1,
                phase=MEASURE if second else EVIL,
                stage=second,
                queues={EVIL_NAME: counted, "b": counted},
            )
        )
    builder.add(Event(at_s=1, kind=EVIL, text=EVIL))
    judged = Judged(expression=EVIL, ok=False, value=EVIL)
    checked = Checked(name=EVIL, state="invalid", text=EVIL)
    builder.add(End(at_s=3, reason=EVIL, error=EVIL, thresholds=(judged,), checks=(checked,)))
    return builder.run(problems=[EVIL], parts=[attrs.evolve(evil_header, scenario=scenario)])


def test_no_text_of_a_peer_or_file_does_harm() -> None:
    text = to_html(make_report(hostile()))
    tags = {tag for tag, _ in Page(text).elements}

    assert not tags & {"script", "img"}
    assert text.count("&lt;script&gt;") > 20
    assert "{{ 7 * 7 }}" in text
    assert "\x1b" not in text
    assert "\u202e" not in text


# --- at its limits -------------------------------------------------------------------------


def crowded(character: str) -> Run:
    """As much as a report can have to show, with names and texts of a character."""
    counted = Aggregate(errors={f"{i} {character * 100}": 9 for i in range(200)})
    for kind in ("nodes", "devices", "pods"):
        for i in range(150):
            place = PlaceAggregate(served=10**6, failed=10**5)
            place.run.record(0.1 + i / 1000, 100)
            place.devices = place.pods = {f"{n}{character * 40}" for n in range(99)}
            place.errors = {f"{n}{character * 100}": 9 for n in range(20)}
            getattr(counted, kind)[f"{i}{character * 60}"] = place
    builder = RunBuilder(header(report().scenario.load, ("media",)))
    for at in range(600):
        part = counted if at == 0 else Aggregate()
        part.completed, part.failures = 123456, {f"kind-{n}": 9 for n in range(16)}
        for name in ("total", "corrected", "wait", "run", "overhead", "delay", "late"):
            getattr(part, name).record(0.1 * (1 + at % 7), 99)
        builder.add(
            Interval(
                from_s=at,
                to_s=at + 1,
                stage=at,
                level_from=at,
                level_to=at,
                queues={"media": part},
            )
        )
        builder.add(Event(at_s=at, kind="load", text=character * 100, level=1))
    return builder.run()


@pytest.mark.parametrize(("character", "most"), [("x", 1_000_000), ("&", 2_500_000)])
def test_it_stays_small_however_much_there_is_to_show(character: str, most: int) -> None:
    text = to_html(make_report(crowded(character)))

    Page(text)
    assert len(text.encode()) < most


def test_a_run_of_nothing_can_be_shown() -> None:
    text = Page(to_html(make_report(RunBuilder(header(report().scenario.load)).run()))).text

    assert "NOT JUDGED" in text
    assert "nothing was measured" in text
    assert "The end of this run is missing" in text


# --- what it says --------------------------------------------------------------------------


def test_it_says_what_became_of_the_run() -> None:
    text = Page(page()).text

    for said in (
        "media mix FAILED 1 of 3 thresholds crossed. 1 caveat: see the checks.",
        "run 7f3a91c2 started 2026-11-24T11:00:00.123Z ran its time, 137 s",
        "✗ crossed p95(total) < 2 3.91 s",
        "✓ holds rate >= 20 29.3/s",
        "! caveat rate-reached 93 % of the arrivals asked for were sent",
        "2,624 in 90.0 s, from 0:20 to 2:10",
        "Failures 3.93 % 103 of 2,624",
        "renderD133: 29.3 % of its 351 requests failed",
        "At p99, corrected is 1.6 times raw",
        "5 2:10 load load set to 0/s",
        "were held until there was room",
        'stages = "5/s→20/s@20s',
        "'media mix.toml'",
        "seed 7",
        "loadgen-1",
    ):
        assert said in text


@pytest.mark.parametrize("name", ["throughput", "latency", "in-flight", "time-split", "failures"])
def test_every_figure_is_there(name: str) -> None:
    assert name in Page(page()).values("id")
    assert name in Page(page(open_loop=False)).values("id")


def test_a_closed_loop_has_no_corrected_latency_and_no_schedule() -> None:
    text, ids = page(open_loop=False), Page(page(open_loop=False)).values("id")

    assert "corrected" not in re.sub("<style>.*?</style>", "", text, flags=re.DOTALL)
    assert "schedule-delay" not in ids
    assert "schedule-delay" in Page(page()).values("id")


@pytest.mark.parametrize(
    ("thresholds", "checks", "badge"),
    [
        (THRESHOLDS[1:], (), "PASSED"),
        (THRESHOLDS, (), "FAILED"),
        ((), (), "NOT JUDGED"),
        (THRESHOLDS[1:], (Checked(name="window", state="invalid", text="empty"),), "INVALID"),
    ],
)
def test_the_badge_is_the_verdict(
    thresholds: tuple[Judged, ...], checks: tuple[Checked, ...], badge: str
) -> None:
    shown = Page(to_html(make_report(simulated(), thresholds=thresholds, checks=checks)))

    assert f"media mix {badge} " in shown.text


def test_failures_are_told_though_nothing_else_can_be_trusted() -> None:
    crossed = Judged(expression="failures < 1 %", ok=False, value="3.93 %")
    invalid = Checked(name="generator-cpu", state="invalid", text="0.99 of a core")
    text = Page(to_html(make_report(simulated(), thresholds=[crossed], checks=[invalid]))).text

    assert "FAILED 1 of 1 threshold crossed. Other figures can't be trusted: generator-cpu." in text


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("stopped", "was stopped"),
        ("time, stopped", "ran its time or was stopped"),
        ("mis\x1b", r"ended: mis\x1b"),
    ],
)
def test_it_says_how_the_run_ended(reason: str, said: str) -> None:
    run = copy(simulated())
    run.end = End(at_s=137.0, reason=reason)

    assert make_report(run).ending == said


def test_a_short_window_claims_no_precision() -> None:
    builder = RunBuilder(header(report().scenario.load, ("media",)))
    counted = Aggregate(completed=10, succeeded=10)
    counted.total.record(0.1, 10)
    builder.add(Interval(from_s=0, to_s=1, level_from=9, level_to=9, queues={"media": counted}))

    assert "10.0/s too short a window to say ±" in Page(to_html(make_report(builder.run()))).text


def test_live_changes_leave_earlier_windows() -> None:
    builder = RunBuilder(header(report(open_loop=False).scenario.load, ("media",)))
    for second in range(4):
        counted = Aggregate(completed=10 + second, succeeded=10)
        counted.total.record(0.1, 10)
        builder.add(
            Interval(
                from_s=second,
                to_s=second + 1,
                window=second // 2,
                level_from=5.0,
                level_to=5.0,
                queues={"media": counted},
            )
        )
    text = Page(to_html(make_report(builder.run()))).text

    assert "Earlier windows" in text
    assert "0:00 to 0:02 5 in parallel 10.5/s 21 0 %" in text
    assert "Earlier windows" not in Page(page()).text


def test_rows_to_draw_from_are_cut() -> None:
    run = copy(simulated())
    queue = QueueLoad(
        name="media", args=("{size}",), rows=tuple({"size": str(i)} for i in range(100_000))
    )
    run.header = attrs.evolve(
        run.header, scenario=attrs.evolve(run.header.scenario, queues=(queue,))
    )

    assert "# … and 99,995 more rows" in to_html(make_report(run))


# --- colours -------------------------------------------------------------------------------


def _luminance(colour: str) -> float:
    """Relative luminance by WCAG 2."""
    digits = colour.lstrip("#")
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    low, high = sorted((_luminance(a), _luminance(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_and_lines_stand_out_from_what_is_behind_them(theme: str) -> None:
    light: dict[str, str] = {}
    dark: dict[str, str] = {}
    for name in ("report.css", "charts.css"):
        style = (files("scalab.report") / "templates" / name).read_text()
        first, second = re.findall(r":root \{(.*?)\}", style, flags=re.DOTALL)[:2]
        for found, block in ((light, first), (dark, second)):
            found.update(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{3,6})", block))
    colours = light if theme == "light" else light | dark
    texts = ("text", "dim", "blue", "good", "bad", "warn")
    drawn = [name for name in colours if re.match("raw|corrected|failure|wait|run|overhead", name)]

    assert light.keys() == dark.keys()
    assert len(drawn) == 13
    for ground in ("page", "card"):
        assert all(contrast(colours[name], colours[ground]) >= 4.5 for name in texts)
    assert {n for n in drawn if contrast(colours[n], colours["card"]) < 3} == set()
    assert all(
        contrast(colours["on-badge"], colours[name]) >= 4.5 for name in ("good", "bad", "dim")
    )
