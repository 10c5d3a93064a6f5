"""The report of a validation as JUnit XML, which continuous integration systems show as tests.

A test case per step that was to be decided, and per check of each step. A step that failed is a
failure; one that could not be decided, trusted or measured is an error, since it is neither passed
nor failed. An INVALID check is a failure, a caveat passes and says why in its output. Elements and
attributes are those of ``report.junit``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from scalab.protocol.text import printable
from scalab.report.parameters import surroundings
from scalab.scaling.model import Decision
from scalab.scaling.usl import Fit, describe
from scalab.verdict.results import Checked

from .model import ScalingReport, StepRow
from .text import to_text
from .words import asked_for, step_text, workers_text

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", re.ASCII)
_LIMIT: Final = 1000  # characters of a text


def to_junit(report: ScalingReport) -> str:
    """Return the report of a validation as a JUnit XML document."""
    suite = Element("testsuite", _attributes(report))
    properties = SubElement(suite, "properties")
    for name, value in _properties(report):
        SubElement(properties, "property", name=_text(name), value=_text(value))
    suite.extend(_cases(report))
    totals = {
        "tests": len(suite.findall("testcase")),
        "failures": len(suite.findall("testcase/failure")),
        "errors": len(suite.findall("testcase/error")),
        "skipped": len(suite.findall("testcase/skipped")),
    }
    suite.attrib |= {name: str(n) for name, n in totals.items()}
    # What is printable holds no character that XML forbids; lines are put together again here.
    lines = to_text(report).splitlines()
    SubElement(suite, "system-out").text = "\n".join(map(_text, lines))
    SubElement(suite, "system-err")
    totals_of = ("tests", "failures", "errors", "skipped", "time")
    root = Element("testsuites", {"name": "scalab", **{n: suite.attrib[n] for n in totals_of}})
    root.append(suite)
    indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _attributes(report: ScalingReport) -> dict[str, str]:
    header = report.header
    started = _TIME.match(header.started_at)
    return {
        "id": "0",
        "package": "scalab",
        "name": f"{_text(report.title) or 'scalab'} scales",
        "timestamp": started[0] if started else "1970-01-01T00:00:00",
        "hostname": _text(header.environment.host) or "localhost",
        "time": f"{report.duration_s:.3f}",
    }


def _properties(report: ScalingReport) -> Iterator[tuple[str, str]]:
    """The validation's figures: plain numbers, in seconds and per second; then what was asked."""
    yield "run", report.header.id
    yield "outcome", report.validation.outcome
    yield "exit_code", str(int(report.exit_code))
    for row in report.measured:
        workers = row.step.workers
        yield f"throughput_{workers}_per_s", f"{row.step.throughput.mean:.6g}"
        if row.efficiency is not None:
            yield f"efficiency_{workers}", f"{row.efficiency.mean:.6g}"
    if isinstance(report.law, Fit):
        for name in ("sigma", "kappa", "gamma"):
            yield name, f"{getattr(report.law, name).value:.6g}"
    yield "law", describe(report.law)
    yield from asked_for(report).items()
    yield from surroundings(report.header).items()


# --- test cases ----------------------------------------------------------------------------


def _cases(report: ScalingReport) -> Iterator[Element]:
    yield _whole_case(report)
    for row in report.rows:
        if row.decision is not None:
            yield _decision_case(row, row.decision)
        elif row.step.problem:
            case = _case("steps", workers_text(row.step.workers), row)
            SubElement(case, "error", message=_text(row.step.problem), type="ERROR")
            yield case
        for check in row.step.checks:
            yield _check_case(check, f"{check.name} with {workers_text(row.step.workers)}")
    yield from (_check_case(check, check.name) for check in report.checks)


def _whole_case(report: ScalingReport) -> Element:
    """Whether it was made to its end: parsers don't like a suite without a test, either."""
    case = _case("run", "the validation was made to its end")
    end = report.end
    if end is not None and end.error:
        SubElement(case, "error", message=_text(end.error), type=_text(end.reason))
    elif end is None:
        message = "no end was recorded: it was killed, or the file is cut off"
        SubElement(case, "error", message=message, type="truncated")
    return case


def _decision_case(row: StepRow, decision: Decision) -> Element:
    case = _case("steps", step_text(decision), row)
    text = _text(decision.text)
    if decision.outcome in {"PASS", "BASE"}:
        SubElement(case, "system-out").text = text
    else:
        tag = "failure" if decision.outcome == "FAIL" else "error"
        SubElement(case, tag, message=text, type=decision.outcome).text = text
    return case


def _check_case(check: Checked, name: str) -> Element:
    case, text = _case("checks", name), _text(check.text)
    if check.state == "invalid":
        SubElement(case, "failure", message=text, type="invalid").text = text
    elif check.state == "skipped":
        SubElement(case, "skipped", message=text)
    else:
        prefix = "" if check.state == "ok" else f"{_text(check.state)}: "
        SubElement(case, "system-out").text = prefix + text
    return case


def _case(group: str, name: str, row: StepRow | None = None) -> Element:
    time = f"{row.step.to_s - row.step.from_s:.3f}" if row else "0"
    return Element("testcase", classname=f"scalab.{group}", name=_text(name) or "?", time=time)


def _text(text: str) -> str:
    return printable(text, _LIMIT)
