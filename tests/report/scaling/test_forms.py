"""A validation for programs: JSON and JUnit XML."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree as ET

import attrs
import pytest

from scalab.report.scaling.jsonform import to_json
from scalab.report.scaling.junit import to_junit
from scalab.report.scaling.model import ScalingReport, make_scaling_report
from scalab.runfile.records import End, Validation
from scalab.scaling.model import Outcome
from scalab.verdict.results import Checked
from tests.report.sample_runs import EVIL
from tests.report.scaling.sample_validations import (
    a_validation,
    an_error,
    header,
    records,
    run_of,
    run_of_records,
)


def report_of(validation: Validation) -> ScalingReport:
    return make_scaling_report(run_of(validation))


def as_json(validation: Validation) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(to_json(report_of(validation)))
    return found


# --- JSON --------------------------------------------------------------------------------------


def test_json_has_the_verdict_and_every_step() -> None:
    validation = a_validation()
    found = as_json(validation)
    last, step = found["steps"][-1], validation.steps[-1]

    assert (found["validation"], found["outcome"], found["exit_code"]) == (1, "FAIL", 3)
    assert found["required_per_doubling"] == 1.8
    assert [s["outcome"] for s in found["steps"]] == ["BASE", "PASS", "FAIL", "PASS", "FAIL"]
    assert last["throughput"]["mean"] == step.throughput.mean
    assert last["statistics"]["devices"][0]["name"] == "renderD128"
    assert last["checks"][-1]["state"] == "caveat"
    assert found["decisions"] == [attrs.asdict(decision) for decision in validation.decisions]
    assert found["blame"] == list(validation.blame)
    assert found["run"]["id"] == "7f3a91c2"


def test_json_has_the_law_or_why_there_is_none() -> None:
    law = as_json(a_validation())["law"]

    assert law["fitted"]
    assert law["peak"] is None
    assert law["sigma"].keys() == {"value", "error", "low", "high", "at_bound"}
    last = law["by_workers"][-1]
    assert last["workers"] == 16
    lost = last["lost_to_contention"] + last["lost_to_coherency"]
    assert lost + last["efficiency"] == pytest.approx(1.0)
    law = as_json(a_validation((1, 2)))["law"]
    assert (law["fitted"], "3 different numbers" in law["text"]) == (False, True)


def test_what_is_unknown_is_null() -> None:
    last = as_json(an_error(a_validation((1, 2))))["steps"][-1]

    assert last["problem"].startswith("12 of 16 workers came up")
    assert (last["throughput"]["low"], last["efficiency"], last["fairness"]) == (None,) * 3


# --- JUnit -------------------------------------------------------------------------------------


def suite_of(report: ScalingReport) -> ET.Element:
    root = ET.fromstring(to_junit(report).encode())
    (suite,) = root
    assert (root.tag, suite.tag) == ("testsuites", "testsuite")
    return suite


def case(suite: ET.Element, name: str) -> ET.Element:
    (found,) = [case for case in suite.findall("testcase") if case.get("name") == name]
    return found


def test_a_case_for_each_step_and_check() -> None:
    suite = suite_of(report_of(a_validation((8, 16))))

    assert [(case.get("classname"), case.get("name")) for case in suite.findall("testcase")] == [
        ("scalab.run", "the validation was made to its end"),
        ("scalab.checks", "client-cpu with 8 workers"),
        ("scalab.checks", "steady-state with 8 workers"),
        ("scalab.steps", "8 to 16 workers"),
        ("scalab.checks", "client-cpu with 16 workers"),
        ("scalab.checks", "steady-state with 16 workers"),
        ("scalab.checks", "sharing with 16 workers"),
    ]
    counts = {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "7", "failures": "1", "errors": "0", "skipped": "0"}
    failure = case(suite, "8 to 16 workers").find("failure")
    assert failure is not None
    assert failure.get("message") == "1.50x (1.49 to 1.52); at least 1.80x is required"
    caveat = case(suite, "sharing with 16 workers")
    assert (caveat.findtext("system-out") or "").startswith("caveat: 16 workers share")


@pytest.mark.parametrize(
    ("outcome", "tag"),
    [
        ("PASS", "system-out"),
        ("FAIL", "failure"),
        ("INCONCLUSIVE", "error"),
        ("INVALID", "error"),
        ("ERROR", "error"),
    ],
)
def test_what_becomes_of_a_step(outcome: Outcome, tag: str) -> None:
    found = a_validation((1, 2))
    decision = attrs.evolve(found.decisions[0], outcome=outcome, text="because")
    suite = suite_of(report_of(attrs.evolve(found, decisions=(decision,))))
    element = case(suite, "1 to 2 workers").find(tag)

    assert element is not None
    assert element.text == "because"
    if tag != "system-out":
        assert element.get("type") == outcome


def test_a_first_step_that_could_not_be_measured_is_an_error() -> None:
    error = case(suite_of(report_of(an_error(a_validation((1,))))), "1 worker").find("error")

    assert error is not None
    assert (error.get("message") or "").startswith("12 of 16 workers came up")


def test_a_validation_that_was_killed_is_an_error() -> None:
    kept = [r for r in records(a_validation((1, 2))) if not isinstance(r, Validation | End)]
    suite = suite_of(make_scaling_report(run_of_records(kept)))

    assert case(suite, "the validation was made to its end").find("error") is not None


def test_an_invalid_check_is_a_failure_and_a_skipped_one_is_skipped() -> None:
    checks = (
        Checked(name="cpu", state="invalid", text="0.99 of a core"),
        Checked(name="delay", state="skipped", text="closed loop"),
    )
    report = attrs.evolve(report_of(a_validation((1, 2))), checks=checks)
    suite = suite_of(report)

    failure = case(suite, "cpu").find("failure")
    assert failure is not None
    assert failure.get("message") == "0.99 of a core"
    assert case(suite, "delay").find("skipped") is not None


def test_its_figures_are_properties() -> None:
    suite = suite_of(report_of(a_validation()))
    found = {p.get("name"): p.get("value") for p in suite.findall("properties/property")}

    assert found["outcome"] == "FAIL"
    assert found["exit_code"] == "3"
    assert found["throughput_16_per_s"] == "4.15"
    assert float(found["efficiency_16"] or 0) == pytest.approx(0.616, abs=0.001)
    assert "of ideal is lost" in (found["law"] or "")


def test_no_text_breaks_the_document() -> None:
    found = a_validation((1, 2))
    evil = attrs.evolve(
        found,
        sentence=EVIL,
        decisions=(attrs.evolve(found.decisions[0], outcome="FAIL", text=EVIL),),
    )
    first = attrs.evolve(header(queue="<b>&\"'"), id=EVIL, started_at=EVIL)
    suite = suite_of(make_scaling_report(run_of(evil, first)))

    assert suite.get("name") == "<b>&\"' scales"
    assert suite.get("timestamp") == "1970-01-01T00:00:00"
