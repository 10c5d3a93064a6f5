"""A validation on a terminal: one screen, whatever its width."""

from __future__ import annotations

import io

import attrs
import pytest
from hypothesis import given, settings, strategies as st
from rich.cells import cell_len
from rich.console import Console

from scalab.measure.statistics import ErrorCount
from scalab.report.scaling.curve import HEIGHT, draw_curve
from scalab.report.scaling.model import ScalingReport, make_scaling_report
from scalab.report.scaling.text import print_report, to_text
from scalab.scaling.usl import Fit, NoFit, describe, parameters
from scalab.verdict.results import Checked
from tests.report.sample_runs import EVIL
from tests.report.scaling.sample_validations import (
    a_validation,
    an_error,
    header,
    run_of,
    validated,
)


@pytest.fixture(scope="module")
def report() -> ScalingReport:
    return make_scaling_report(run_of(a_validation()))


def test_it_is_one_screen(report: ScalingReport) -> None:
    lines = to_text(report, 100, path="media-7f3a91c2.html").splitlines()

    assert len(lines) < 40
    assert lines[0].startswith("scalab validate · run 7f3a91c2 · media · ratio >= 1.8 per doubling")
    assert lines[1].split() == [
        *("workers", "devs", "reqs", "fail", "reqs/s", "±95", "%", "ratio", "[95", "%", "CI]"),
        *("need", "effic.", "run", "p50/p95", "wait", "p95", "ovh"),
    ]
    assert lines[6].split() == [
        *("16", "8", "1,001", "5", "4.15", "0.6", "%", "1.50", "[1.49,", "1.52]", "1.80"),
        *("62", "%", "3.74/5.31", "s", "520", "ms", "0.1", "%", "FAIL"),
    ]


def test_it_says_all_there_is_to_know(report: ScalingReport) -> None:
    text = to_text(report, 200, path="media-7f3a91c2.html")
    assert isinstance(report.law, Fit)

    for said in (
        f"  USL      {parameters(report.law)[:12]}",
        describe(report.law),
        "  devices  renderD131: runs took 1.45x",
        "fairness 0.99 with 16 workers (1 = all served alike)",
        "  failed   10 of 2,314 requests · 10 x device lost",
        "10 of 11 ok · CAVEAT sharing with 16 workers: 16 workers share 8 devices",
        "  RESULT   FAIL Throughput doesn't follow the workers from 2 to 4",
        "           report media-7f3a91c2.html · exit 3",
    ):
        assert said in text


@pytest.mark.parametrize("width", [40, 60, 80, 90, 100, 140, 200])
def test_no_line_is_wider_than_the_terminal(report: ScalingReport, width: int) -> None:
    for line in to_text(report, width, path="x.html").splitlines():
        assert cell_len(line) <= max(width, 60)


@pytest.mark.parametrize(
    ("width", "there", "gone"),
    [(80, "±95 %", "wait p95"), (100, "wait p95", "nodes"), (140, "nodes", "nothing")],
)
def test_columns_are_left_out_where_there_is_no_room(
    report: ScalingReport, width: int, there: str, gone: str
) -> None:
    head = to_text(report, width).splitlines()[1]

    assert there in head
    assert gone not in head
    assert "ratio [95 % CI]" in head


def test_pods_are_counted_where_there_are_no_devices(report: ScalingReport) -> None:
    steps = [
        attrs.evolve(step, statistics=attrs.evolve(step.statistics, devices=()))
        for step in report.validation.steps
    ]
    lines = to_text(make_scaling_report(run_of(validated(steps))), 100).splitlines()

    assert lines[1].split()[1] == "pods"
    assert lines[6].split()[:2] == ["16", "16"]


def test_required_ratios_that_differ_are_always_shown() -> None:
    report = make_scaling_report(run_of(a_validation((1, 2, 3))))

    lines = to_text(report, 80).splitlines()
    assert "need" in lines[1]
    assert " 1.80 " in lines[3]
    assert " 1.41 " in lines[4]


def test_what_was_not_measured_is_said() -> None:
    text = to_text(make_scaling_report(run_of(an_error(a_validation((1, 2))))), 160)

    assert "1 to 2 workers: with 2 workers nothing could be measured: 12 of 16 workers came" in text
    assert "ERROR With 2 workers nothing could be measured" in text
    assert "exit 7" in text
    assert text.splitlines()[3].split()[:4] == ["2", "-", "-", "-"]


def test_what_the_sentence_says_is_not_said_twice(report: ScalingReport) -> None:
    law = describe(report.law)
    said = attrs.evolve(report.validation, sentence=f"It does. {law}")

    assert to_text(attrs.evolve(report, validation=said), 300).count(law) == 1
    assert to_text(report, 300).count(law) == 1


def test_an_invalid_check_comes_first(report: ScalingReport) -> None:
    checks = (
        Checked(name="a", state="caveat", text="doubtful"),
        Checked(name="b", state="invalid", text="wrong"),
        Checked(name="c", state="skipped", text="not here"),
    )
    text = to_text(attrs.evolve(report, checks=checks), 300)

    assert "10 of 13 ok · INVALID b: wrong · CAVEAT sharing with 16 workers" in text
    assert "not here" not in text


def test_a_terminal_without_unicode_or_colours(report: ScalingReport) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    print_report(Console(file=out, width=100), report, path="x.html")
    out.seek(0)
    text = out.read()

    assert "\\" not in text
    assert "\x1b" not in text
    assert "RESULT   FAIL" in text


def test_no_text_from_elsewhere_does_harm(report: ScalingReport) -> None:
    validation = report.validation
    step = validation.steps[-1]
    statistics = attrs.evolve(step.statistics, errors=(ErrorCount(EVIL, 9),))
    evil = attrs.evolve(
        validation,
        sentence=EVIL,
        blame=(EVIL,),
        steps=(
            *validation.steps[:-1],
            attrs.evolve(
                step,
                statistics=statistics,
                problem=EVIL,
                checks=(Checked(name=EVIL, state="caveat", text=EVIL),),
            ),
        ),
        decisions=(
            *validation.decisions[:-1],
            attrs.evolve(validation.decisions[-1], outcome="ERROR", text=EVIL),
        ),
    )
    run = attrs.evolve(run_of(evil, attrs.evolve(header(), id=EVIL)), problems=(EVIL,))
    text = to_text(make_scaling_report(run), 120, path=EVIL)

    assert text.count(r"\x1b[2J") > 5
    assert text.isprintable() or set(text) - set("\n") <= {c for c in text if c.isprintable()}
    assert "[bold]x[/]" in text


def test_nothing_measured_is_a_screen_too() -> None:
    run = run_of(an_error(a_validation((1,))))
    text = to_text(make_scaling_report(run), 100)

    assert "nothing stands out" not in text
    assert "none made" in text
    assert "exit 7" in text


# --- the curve ---------------------------------------------------------------------------------


def curve(report: ScalingReport) -> list[str]:
    return list(draw_curve(report.rows, report.law))


def test_ideal_is_a_straight_line_up_to_the_corner(report: ScalingReport) -> None:
    head, *plot, foot = curve(report)

    assert len(plot) == HEIGHT
    assert head.endswith("| o measured   / ideal   . scalability law")
    assert plot[0].endswith("/")
    assert plot[-1].partition("|")[2].startswith("o")
    assert foot.split() == ["workers", "1", "2", "4", "8", "16"]
    assert sum(line.count("o") for line in plot) == 5


def test_a_point_on_the_ideal_line_is_there() -> None:
    rows = make_scaling_report(run_of(a_validation((1, 2, 4)))).rows
    best = [
        attrs.evolve(
            row, step=attrs.evolve(row.step, throughput=attrs.evolve(row.step.throughput, mean=n))
        )
        for row, n in zip(rows, (1.0, 2.0, 4.0), strict=True)
    ]
    ideal = [attrs.evolve(row, ideal=row.step.throughput.mean) for row in best]
    _, *plot, _ = draw_curve(ideal, NoFit(""))

    assert [line.partition("|")[2].rfind("o") for line in (plot[0], plot[4], plot[8])] == [
        24,
        12,
        0,
    ]
    assert "." not in "".join(line.partition("|")[2] for line in plot)


def test_too_few_steps_make_no_curve() -> None:
    assert curve(make_scaling_report(run_of(a_validation((1, 2))))) == []


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 10**9), st.floats(1e-300, 1e300)), min_size=1, max_size=9))
def test_any_curve_can_be_drawn(points: list[tuple[int, float]]) -> None:
    row = make_scaling_report(run_of(a_validation((1,)))).rows[0]
    rows = [
        attrs.evolve(
            row,
            ideal=rate,
            step=attrs.evolve(
                row.step,
                workers=workers,
                throughput=attrs.evolve(row.step.throughput, mean=rate),
            ),
        )
        for workers, rate in points
    ]

    assert all(len(line) <= 98 for line in draw_curve(rows, NoFit("")))
