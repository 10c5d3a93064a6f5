"""The report of a run as JUnit XML, which continuous integration systems show as test results.

A test case per threshold and per check: a crossed threshold and an INVALID check are failures, a
caveat passes and says why in its output. The order of elements and the attributes are those of the
schema that Jenkins, GitLab and the rest agree on (the "JUnit.xsd" of Ant's task, as kept by
windyroad/JUnit-Schema).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from scalab.protocol.text import printable
from scalab.verdict.results import Checked, Judged

from .model import Report
from .parameters import parameters, surroundings
from .text import to_text

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", re.ASCII)
_LIMIT: Final = 1000  # characters of a text


def to_junit(report: Report) -> str:
    """Return the report of a run as a JUnit XML document."""
    suite = Element("testsuite", _attributes(report))
    properties = SubElement(suite, "properties")
    for name, value in _properties(report):
        SubElement(properties, "property", name=_text(name), value=_text(value))
    suite.append(_run_case(report))
    suite.extend(_threshold_case(judged) for judged in report.thresholds)
    suite.extend(_check_case(check) for check in report.checks)
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
    root = Element("testsuites", {"name": "scalab", **_totals(suite)})
    root.append(suite)
    indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _totals(suite: Element) -> dict[str, str]:
    names = ("tests", "failures", "errors", "skipped", "time")
    return {name: suite.attrib[name] for name in names}


def _attributes(report: Report) -> dict[str, str]:
    header = report.header
    started = _TIME.match(header.started_at)
    return {
        "id": "0",
        "package": "scalab",
        "name": _text(report.title) or "scalab",
        "timestamp": started[0] if started else "1970-01-01T00:00:00",
        "hostname": _text(header.environment.host) or "localhost",
        "time": f"{report.duration_s:.3f}",
    }


def _properties(report: Report) -> Iterator[tuple[str, str]]:
    """The run's figures: plain numbers, in seconds and per second; then what was asked for."""
    statistics, rate = report.statistics, report.throughput
    yield "run", report.header.id
    yield "verdict", report.verdict.state
    for name in ("sent", "completed", "succeeded", "failed", "dropped", "held", "aborted"):
        yield name, str(getattr(statistics, name))
    yield "rate_per_s", f"{statistics.throughput:.6g}"
    if rate.low is not None and rate.high is not None:
        yield "rate_low_per_s", f"{rate.low:.6g}"
        yield "rate_high_per_s", f"{rate.high:.6g}"
    for name in ("wait", "run", "overhead", "total", "corrected", "delay"):
        spread = getattr(statistics, name)
        if spread.count:
            for figure in ("p50_s", "p95_s", "p99_s", "max_s"):
                yield f"{name}_{figure}", f"{getattr(spread, figure):.6f}"
    yield from parameters(report.scenario).items()
    yield from surroundings(report.header).items()


# --- test cases ----------------------------------------------------------------------------


def _case(group: str, name: str) -> Element:
    return Element("testcase", classname=f"scalab.{group}", name=_text(name) or "?", time="0")


def _run_case(report: Report) -> Element:
    """Whether there is a run at all: parsers don't like a suite without a test, either."""
    case = _case("run", "the run was made to its end")
    end = report.end
    if end is not None and end.error:
        SubElement(case, "error", message=_text(end.error), type=_text(end.reason))
    elif end is None:
        message = "no end was recorded: the client was killed, or the file is cut off"
        SubElement(case, "error", message=message, type="truncated")
    return case


def _threshold_case(judged: Judged) -> Element:
    case = _case("thresholds", judged.expression)
    if judged.ok:
        SubElement(case, "system-out").text = f"measured: {_text(judged.value)}"
    else:
        message = f"crossed; measured: {_text(judged.value)}"
        SubElement(case, "failure", message=message, type="threshold").text = message
    return case


def _check_case(check: Checked) -> Element:
    case, text = _case("checks", check.name), _text(check.text)
    if check.state == "invalid":
        SubElement(case, "failure", message=text, type="invalid").text = text
    elif check.state == "skipped":
        SubElement(case, "skipped", message=text)
    else:
        prefix = "" if check.state == "ok" else f"{_text(check.state)}: "
        SubElement(case, "system-out").text = prefix + text
    return case


def _text(text: str) -> str:
    return printable(text, _LIMIT)
