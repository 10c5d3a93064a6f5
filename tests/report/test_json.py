"""The report for programs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import attrs
import pytest

from scalab.report.jsonform import VERSION, as_dict, to_json
from scalab.report.model import Report, make_report
from tests.report.sample_runs import CHECKS, EVIL, OPEN, THRESHOLDS, a_run, header

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def report() -> Report:
    return make_report(a_run())


def read(report: Report) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(to_json(report))
    return found


def test_it_says_what_the_other_formats_show(report: Report) -> None:
    found = read(report)
    assert next(iter(found)) == "report"
    assert found["report"] == VERSION == 1
    assert found["run"]["id"] == "7f3a91c2"
    assert found["run"]["end"] == {"at_s": 20.0, "reason": "time", "error": ""}
    assert found["run"]["command"] == ["client", "--frontend", "fe:9997"]
    assert found["verdict"]["state"] == "failed"
    assert found["thresholds"] == [attrs.asdict(judged) for judged in THRESHOLDS]
    assert found["checks"] == [attrs.asdict(check) for check in CHECKS]
    assert found["throughput"]["low"] < found["throughput"]["mean"] == 50.0
    assert found["statistics"]["completed"] == 900
    assert found["statistics"]["devices"][3]["errors"] == [{"text": "device lost", "count": 9}]
    assert found["queues"][0]["statistics"]["failed"] == 9
    assert found["stages"][0]["level"] == 8.0
    assert found["stages"][0]["statistics"]["total"] == found["statistics"]["total"]
    assert found["events"][0]["kind"] == "connected"
    assert len(found["intervals"]) == 20
    assert found["intervals"][0]["corrected_p99_s"] is None
    assert found["corrected_to_raw_p99"] is None


def test_an_open_loop() -> None:
    found = read(make_report(a_run(OPEN, held_s=0.3)))
    assert found["open_loop"] is True
    assert found["run"]["scenario"]["load"]["arrival"] == "poisson"
    assert found["corrected_to_raw_p99"] == pytest.approx(2.29, abs=0.01)


def test_what_is_unknown_is_null() -> None:
    found = read(make_report(a_run(seconds=3, ended=False)))
    assert found["run"]["end"] is None
    assert found["run"]["truncated"] is True
    assert (found["throughput"]["low"], found["thresholds"]) == (None, [])
    assert read(make_report(a_run(seconds=0)))["measured_from_s"] is None


def test_any_text_can_be_written(report: Report) -> None:
    for text in (EVIL, "\udcff", "\x00\ufffe"):
        evil = attrs.evolve(report, header=attrs.evolve(header(), command=(text,)))
        back = read(evil)["run"]["command"][0]
        assert back == text.encode("utf-8", "backslashreplace").decode()


def test_the_order_of_keys_is_stable(report: Report) -> None:
    assert to_json(report) == to_json(make_report(a_run()))
    assert list(read(report)) == list(as_dict(make_report(a_run(seconds=0))))


def test_every_key_is_explained(report: Report) -> None:
    page = (DOCS / "report-formats.md").read_text()
    section = page.split("\n## JSON\n", 1)[1].split("\n## ", 1)[0]
    explained = set(re.findall(r"^\| `([\w.]+)` \|", section, re.MULTILINE))
    found = read(report)
    keys = set(found) - {"run"} | {f"run.{key}" for key in found["run"]}
    assert explained == keys
