"""The report for continuous integration."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import attrs
import pytest
from hypothesis import given, settings, strategies as st

from scalab.report.junit import to_junit
from scalab.report.model import Report, make_report
from scalab.report.text import to_text
from scalab.runfile.records import End
from scalab.verdict.results import Checked, Judged
from tests.report.sample_runs import EVIL, a_run, header


@pytest.fixture(scope="module")
def report() -> Report:
    return make_report(a_run())


def suite_of(report: Report) -> ET.Element:
    root = ET.fromstring(to_junit(report).encode())
    assert root.tag == "testsuites"
    (suite,) = root
    assert suite.tag == "testsuite"
    return suite


def case(suite: ET.Element, name: str) -> ET.Element:
    (found,) = [case for case in suite.findall("testcase") if case.get("name") == name]
    return found


def test_a_case_per_threshold_and_check(report: Report) -> None:
    suite = suite_of(report)
    assert [(case.get("classname"), case.get("name")) for case in suite.findall("testcase")] == [
        ("scalab.run", "the run was made to its end"),
        ("scalab.thresholds", "p95(total) < 2"),
        ("scalab.thresholds", "failures < 0.1%"),
        ("scalab.checks", "client-cpu"),
        ("scalab.checks", "schedule-delay"),
        ("scalab.checks", "steady-state"),
    ]
    counts = {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "6", "failures": "1", "errors": "0", "skipped": "1"}


def test_what_becomes_of_each(report: Report) -> None:
    suite = suite_of(report)
    crossed = case(suite, "failures < 0.1%").find("failure")
    assert crossed is not None
    assert crossed.get("message") == "crossed; measured: 1.02 %"
    assert case(suite, "p95(total) < 2").findtext("system-out") == "measured: 216 ms"
    assert case(suite, "schedule-delay").find("skipped") is not None
    caveat = case(suite, "steady-state")
    assert caveat.find("failure") is None
    assert caveat.findtext("system-out") == "caveat: throughput fell by 12 %: run it longer"


def test_an_invalid_check_is_a_failure() -> None:
    checks = [Checked(name="client-cpu", state="invalid", text="0.97 of a core")]
    suite = suite_of(make_report(a_run(), checks=checks, thresholds=[]))
    failure = case(suite, "client-cpu").find("failure")
    assert failure is not None
    assert (failure.get("message"), failure.get("type")) == ("0.97 of a core", "invalid")
    assert suite.get("failures") == "1"


@pytest.mark.parametrize(
    ("end", "message"),
    [
        (None, "no end was recorded: the client was killed, or the file is cut off"),
        (End(at_s=5.0, reason="error", error="no frontend"), "no frontend"),
    ],
)
def test_a_run_that_went_wrong_is_an_error(end: End | None, message: str) -> None:
    run = attrs.evolve(a_run(ended=False), end=end)
    suite = suite_of(make_report(run))
    error = case(suite, "the run was made to its end").find("error")
    assert error is not None
    assert error.get("message") == message
    assert suite.get("errors") == "1"


def test_order_and_attributes_are_those_of_the_schema(report: Report) -> None:
    suite = suite_of(report)
    tags = [child.tag for child in suite]
    assert tags[0] == "properties"
    assert tags[-2:] == ["system-out", "system-err"]
    assert set(tags[1:-2]) == {"testcase"}
    assert suite.get("timestamp") == "2026-11-24T11:00:00"
    assert suite.get("hostname") == "loadgen-1"
    assert (suite.get("name"), suite.get("time")) == ("media", "20.000")


def test_figures_are_properties(report: Report) -> None:
    suite = suite_of(report)
    found = {p.get("name"): p.get("value") for p in suite.findall("properties/property")}
    assert found["completed"] == "900"
    assert found["rate_per_s"] == "50"
    assert float(found["rate_low_per_s"] or 0) < 50
    assert found["total_p99_s"] == f"{report.statistics.total.p99_s:.6f}"
    assert (found["load"], found["seed"]) == ("closed loop, 8 for 1m", "42")
    assert found["run"] == "7f3a91c2"
    assert "corrected_p99_s" not in found


def test_the_whole_report_is_in_the_output(report: Report) -> None:
    assert suite_of(report).findtext("system-out") == to_text(report).rstrip("\n")


def evil(report: Report, text: str) -> Report:
    return attrs.evolve(
        report,
        header=attrs.evolve(header(), id=text, started_at=text, command=(text,)),
        end=End(at_s=1.0, reason=text, error=text),
        thresholds=(Judged(expression=text, ok=False, value=text),),
        checks=tuple(
            Checked(name=text, state=state, text=text)
            for state in ("ok", "caveat", "invalid", "skipped")
        ),
    )  # fmt: skip


def test_strangers_cannot_break_out(report: Report) -> None:
    suite = suite_of(evil(report, EVIL))
    assert len(suite.findall("testcase")) == 6
    assert {element.tag for element in suite.iter()} <= {
        "testsuite", "properties", "property", "testcase", "failure", "error", "skipped",
        "system-out", "system-err",
    }  # fmt: skip
    message = suite.findall("testcase/failure")[0].get("message")
    assert message == r"""crossed; measured: =1+1|[bold]x[/] <b>&"' \x1b[2J\n\u202e]]>"""


SHORT = make_report(a_run(seconds=3))


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=[]), max_size=40))
def test_it_is_well_formed_whatever_is_in_it(text: str) -> None:
    suite = suite_of(evil(SHORT, text))
    assert suite.get("timestamp") == "1970-01-01T00:00:00"
    assert all(c.isprintable() or c == "\n" for e in suite.iter() for c in e.text or "")
