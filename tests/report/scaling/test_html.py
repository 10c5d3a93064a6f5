"""The HTML report of a validation: whole, safe, readable, and it says what was found."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from importlib.resources import files

import attrs
import pytest

from scalab.measure.batches import Estimate
from scalab.measure.statistics import ErrorCount, Place, Spread
from scalab.report.scaling.html import to_html
from scalab.report.scaling.model import ScalingReport, make_scaling_report
from scalab.runfile.records import Environment, Event, Validation
from scalab.verdict.results import Checked
from tests.report.scaling.sample_validations import (
    a_step,
    a_validation,
    an_error,
    header,
    run_of,
    validated,
)
from tests.report.test_html import EVIL, Page, contrast

MANY = (1, 2, 4, 8, 16, 32)


@cache
def page(workers: tuple[int, ...] = MANY) -> str:
    return to_html(report_of(a_validation(workers)))


def report_of(validation: Validation) -> ScalingReport:
    return make_scaling_report(run_of(validation))


def body(text: str) -> str:
    return re.sub("<style>.*?</style>", "", text, flags=re.DOTALL)


# --- whole and safe ------------------------------------------------------------------------


def test_it_is_one_document_that_needs_nothing_else() -> None:
    tags = Counter(tag for tag, _ in Page(page()).elements)

    assert page().startswith("<!DOCTYPE html>")
    assert len(page().encode()) < 200_000
    assert tags["h1"] == tags["main"] == page().partition("</head>")[0].count("<title>") == 1
    assert not tags.keys() & {"script", "img", "link", "iframe", "object", "embed", "form", "use"}
    assert not re.search(r"https?:|//[a-z]|url\(|@import|javascript:|\son[a-z]+=", page())
    assert "content=\"default-src 'none'; style-src 'unsafe-inline';" in page()


def test_all_that_is_referred_to_is_there_once() -> None:
    shown = Page(page())
    ids = Counter(shown.values("id"))
    links = [link.removeprefix("#") for link in shown.values("href")]
    labels = shown.values("aria-labelledby")

    assert len(links) == 8
    assert max(ids.values()) == 1
    assert {*links, *labels} <= ids.keys()


def test_what_scrolls_can_be_reached_by_keyboard_and_is_named() -> None:
    boxes = [a for _, a in Page(page()).elements if a.get("class") == "scroll"]

    assert len(boxes) > 8
    assert all(box["tabindex"] == "0" and box["aria-label"] for box in boxes)


def styles() -> dict[str, str]:
    report, own = files("scalab.report") / "templates", files("scalab.report.scaling") / "templates"
    found = {name: (report / name).read_text() for name in ("report.css", "charts.css")}
    return {**found, "scaling.css": (own / "scaling.css").read_text()}


def test_every_class_of_colour_has_a_colour() -> None:
    undecided = a_validation(MANY)
    odd = attrs.evolve(undecided.decisions[0], outcome="INCONCLUSIVE")
    mixed = attrs.evolve(undecided, decisions=(odd, *undecided.decisions[1:]))
    style = "".join(styles().values())
    used = set(re.findall(r"\bc-[a-z0-9-]+", body(page() + to_html(report_of(mixed)))))
    used |= set(re.findall(r"\bheat-\d", body(page())))

    assert {"c-pass", "c-fail", "c-open", "c-law", "c-band", "c-peak", "heat-4"} <= used
    assert {name for name in used if f".{name} {{" not in style} == set()
    variables = set(re.findall(r"var\((--[a-z0-9-]+)", style))
    assert {name for name in variables if f"{name}:" not in style} == set()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(theme: str) -> None:
    light: dict[str, str] = {}
    dark: dict[str, str] = {}
    for style in styles().values():
        first, second = re.findall(r":root \{(.*?)\}", style, flags=re.DOTALL)[:2]
        for found, block in ((light, first), (dark, second)):
            found.update(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{3,6})", block))
    colours = light if theme == "light" else light | dark
    heats = ["track", *(f"heat-{n}" for n in range(1, 5))]

    assert light.keys() == dark.keys()
    assert {h for h in heats if contrast(colours["text"], colours[h]) < 4.5} == set()
    # Where runs are long, failures are written in the colour of the text.
    assert {h for h in heats[:3] if contrast(colours["bad"], colours[h]) < 4.5} == set()
    lines = ("law", "limit", "needed", "good", "bad", "warn")
    assert {n for n in lines if contrast(colours[n], colours["card"]) < 3} == set()
    assert contrast(colours["on-badge"], colours["warn"]) >= 4.5


def hostile() -> ScalingReport:
    """A validation in which every text is meant to do harm."""
    step = a_step(2)
    place = Place(EVIL, 9, 3, Spread(9, *[0.1] * 8), (), (EVIL,), (EVIL,), (ErrorCount(EVIL, 3),))
    statistics = attrs.evolve(
        step.statistics,
        failed=3,
        failures={EVIL: 3},
        devices=(place, attrs.evolve(place, name=f"{EVIL}2")),
        errors=(ErrorCount(EVIL, 3),),
    )
    checks = (Checked(name=EVIL, state="caveat", text=EVIL),)
    bad = attrs.evolve(step, workers=4, statistics=statistics, checks=checks)
    broken = attrs.evolve(step, workers=8, problem=EVIL)
    found = validated([step, bad, broken])
    found = attrs.evolve(
        found,
        sentence=EVIL,
        blame=(EVIL,),
        decisions=tuple(attrs.evolve(d, outcome="ERROR", text=EVIL) for d in found.decisions),
    )
    evil_header = attrs.evolve(
        header(queue="<script>&\"'"),
        id=EVIL,
        started_at=EVIL,
        scalab=EVIL,
        command=(EVIL,),
        environment=Environment(host=EVIL, node=EVIL, pod=EVIL, python=EVIL, kernel=EVIL),
    )
    run = run_of(found, evil_header)
    return make_scaling_report(
        attrs.evolve(
            run,
            problems=(EVIL,),
            events=(Event(at_s=1, kind=EVIL, text=EVIL),),
            end=run.end and attrs.evolve(run.end, error=EVIL, checks=checks),
        )
    )


def test_no_text_of_a_peer_or_file_does_harm() -> None:
    text = to_html(hostile())
    tags = {tag for tag, _ in Page(text).elements}

    assert not tags & {"script", "img"}
    assert text.count("&lt;script&gt;") > 20
    assert "{{ 7 * 7 }}" in text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_it_stays_small_however_much_there_is_to_show() -> None:
    name = "&" * 100
    run = Spread(10**6, *[0.1] * 8)
    places = tuple(
        Place(f"{n}{name}", 10**6, 10**5, run, (), errors=(ErrorCount(name * 4, 9),) * 9)
        for n in range(999)
    )
    step = a_step(1)
    statistics = attrs.evolve(
        step.statistics,
        devices=places,
        failures={f"{n}{name}": 9 for n in range(64)},
        errors=tuple(ErrorCount(f"{n}{name * 9}", 9) for n in range(400)),
    )
    checks = tuple(Checked(name=f"{n}", state="caveat", text=name * 9) for n in range(12))
    steps = [
        attrs.evolve(
            step,
            workers=2**n,
            statistics=statistics,
            checks=checks,
            throughput=Estimate(2.0**n, 0.1, 2.0**n - 0.2, 2.0**n + 0.2, 9.0, 0.95),
        )
        for n in range(12)
    ]
    found = attrs.evolve(validated(steps), blame=(name * 9,) * 400)
    text = to_html(report_of(found))

    Page(text)
    assert len(text.encode()) < 2_500_000
    plain = to_html(report_of(found)).replace("&amp;", "&")
    assert len(plain.encode()) < 1_000_000


# --- what it says --------------------------------------------------------------------------


def test_it_says_what_was_found() -> None:
    text = Page(page()).text

    for said in (
        "media FAIL Throughput doesn't follow the workers from 2 to 4",
        "validation 7f3a91c2 started 2026-11-24T11:00:00.123Z took",
        "ratio >= 1.8 per doubling exit code 3",
        "Steps passed 2 of 5 3 failed",
        "Most throughput 4.52/s with 32 workers",
        "Efficiency 34 % with 32 workers",
        "16 FAIL 4.15/s 0.6 % 1.50 [1.49, 1.52] 1.80 62 % 1,001 5 3.74 s 5.31 s 520 ms 0.11 %",
        "32 in parallel, measured for 240 s, workers ready after 6.50 s",
        "renderD131: runs took 1.45x",
        "renderD131 slow",
        "renderD130 failing",
        "with 4 workers, 0.99 with 8 workers",
        "! caveat sharing 16 workers 16 workers share 8 devices",
        "workers 1, 2, 4, 8, 16, 32",
        "scalab validate --max 16 -- /usr/bin/encode",
        "next doubling",
    ):
        assert said in text


@pytest.mark.parametrize("name", ["scaling", "efficiency", "step-times"])
def test_every_figure_is_there(name: str) -> None:
    assert name in Page(page()).values("id")


def test_a_step_that_could_not_be_measured_says_why() -> None:
    text = Page(to_html(report_of(an_error(a_validation((1, 2)))))).text

    assert "media ERROR With 2 workers nothing could be measured: 12 of 16 workers" in text
    assert "2 ERROR – – – 1.80" in text  # noqa: RUF001
    assert "exit code 7" in text


def test_one_step_alone_has_no_law_and_no_efficiency_to_show() -> None:
    text = page((1,))

    assert "The scalability law needs 3 different numbers of workers" in Page(text).text
    assert "next doubling" not in text
    assert "efficiency" not in Page(text).values("id")


def test_a_healthy_validation_blames_nobody() -> None:
    found = a_validation((1, 2))
    text = Page(to_html(report_of(attrs.evolve(found, blame=())))).text

    assert "None stands out." in text
    assert "Failures 0 of 299 requests None in any step." in text
