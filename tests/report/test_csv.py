"""The report as tables for spreadsheets."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import attrs
import pytest
from hypothesis import given, strategies as st

from scalab.measure.statistics import ErrorCount
from scalab.report.model import Report, make_report
from scalab.report.table import TABLES, to_csv
from tests.report.sample_runs import CLOSED, OPEN, a_run

DOCS = Path(__file__).parents[2] / "docs"
EMPTY = make_report(a_run(seconds=0))


@pytest.fixture(scope="module")
def report() -> Report:
    return make_report(a_run())


def rows(report: Report, table: str = "intervals") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(to_csv(report, table))))


def test_a_row_for_each_interval(report: Report) -> None:
    found = rows(report)
    assert [row["from_s"] for row in found] == [str(n) for n in range(20)]
    assert [row["phase"] for row in found] == ["warm-up"] * 2 + ["measure"] * 18
    first, last = report.timeline[0].whole, found[-1]
    assert found[0]["completed"] == str(first.completed)
    assert float(found[0]["total_p95_s"]) == pytest.approx(first.total.percentile(95), abs=1e-6)
    assert (last["level_from"], last["rate_per_s"], last["outstanding"]) == ("8", "50", "8")
    assert last["cpu_s"] == "0.04"
    assert last["corrected_p99_s"] == ""  # a closed loop has none
    assert sum(int(row["failed"]) for row in found[2:]) == report.statistics.failed


def test_an_open_loop_has_corrected_times() -> None:
    row = rows(make_report(a_run(OPEN, held_s=0.3, dropped=3)))[-1]
    assert float(row["corrected_p99_s"]) > float(row["total_p99_s"]) > 0.2
    assert (row["dropped"], row["held"]) == ("3", "50")


def test_places_stages_queues_and_errors(report: Report) -> None:
    devices = rows(report, "devices")
    assert [row["name"] for row in devices] == [f"renderD{n}" for n in range(128, 132)]
    assert (devices[3]["failed"], devices[3]["top_error"]) == ("9", "device lost")
    assert devices[0]["pods"] == "backend-7d9f8b6c5d-0 backend-7d9f8b6c5d-4"
    assert [row["name"] for row in rows(report, "nodes")] == ["gpu-node-0", "gpu-node-1"]
    assert len(rows(report, "pods")) == 8
    assert rows(report, "errors") == [{"count": "9", "error": "device lost"}]
    (queue,) = rows(report, "queues")
    assert (queue["queue"], queue["completed"], queue["rate_per_s"]) == ("media", "900", "50")
    (stage,) = rows(report, "stages")
    assert (stage["stage"], stage["level"], stage["to_s"]) == ("0", "8", "20")
    assert float(stage["rate_low_per_s"]) < 50 < float(stage["rate_high_per_s"])


@pytest.mark.parametrize("table", TABLES)
def test_columns_are_the_same_with_and_without_rows(report: Report, table: str) -> None:
    head, *none = to_csv(EMPTY, table).splitlines()
    assert none == []
    assert to_csv(report, table).splitlines()[0] == head


def test_every_column_is_documented() -> None:
    page = (DOCS / "report-formats.md").read_text().split("\n## CSV\n")[1].split("\n## ")[0]
    documented = {}
    for row in re.findall(r"^\| (`\w+` \| .*) \|$", page, re.MULTILINE):
        table, _, columns = row.split(" | ", 2)
        documented[table.strip("`")] = columns.replace("`", "").split()
    same = dict.fromkeys(("nodes", "pods"), documented["devices"])
    expected = {name: to_csv(EMPTY, name).strip().split(",") for name in TABLES}
    assert {name: (documented | same)[name] for name in TABLES} == expected


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "＝1+1"])  # noqa: RUF001
def test_no_cell_is_a_formula(report: Report, text: str) -> None:
    evil = attrs.evolve(report.statistics, errors=(ErrorCount(text, 1),))
    (row,) = rows(attrs.evolve(report, statistics=evil), "errors")
    assert row["error"] == f"'{text}"


@given(st.text(max_size=50))
def test_any_text_is_one_line_that_reads_back(text: str) -> None:
    evil = attrs.evolve(EMPTY.statistics, errors=(ErrorCount(text, 7),))
    out = to_csv(attrs.evolve(EMPTY, statistics=evil), "errors")
    assert len(out.splitlines()) == 2
    ((count, error),) = list(csv.reader(io.StringIO(out)))[1:]
    assert count == "7"
    assert error.removeprefix("'") == text or not text.isprintable() or text.startswith("'")
    assert not error.lstrip().startswith(("=", "+", "-", "@"))


def test_numbers_have_no_exponent() -> None:
    run = a_run(CLOSED, seconds=3)
    out = to_csv(make_report(run))
    assert "e-" not in out
    assert out.splitlines()[1].startswith("0,1,warm-up,0,0,8,8,50,50,")
