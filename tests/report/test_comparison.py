"""The comparison of two runs, as people and programs see it."""

from __future__ import annotations

import json
import re

import attrs
import pytest
from hypothesis import given, settings, strategies as st
from rich.cells import cell_len

from scalab.errors import ExitCode
from scalab.report.comparison import (
    ComparedRuns,
    Difference,
    to_json,
    to_markdown,
    to_text,
    why_invalid,
)
from scalab.report.model import Report, make_report
from scalab.verdict.compare import Comparison, Result
from scalab.verdict.results import Checked
from tests.report.sample_runs import CLOSED, EVIL, OPEN, a_run


def figure(metric: str, verdict: str = "same", **fields: object) -> Comparison:
    values: dict[str, object] = {
        "a": 0.1, "b": 0.11, "ratio": 1.1, "low": 1.05, "high": 1.152,
        "confidence": 0.95 ** (1 / 4), "text": "",
        "gating": metric in {"rate", "failures", "total p50", "total p95"},
    } | fields  # fmt: skip
    return Comparison(metric=metric, verdict=verdict, **values)  # type: ignore[arg-type]


FIGURES = (
    figure("rate", "worse", a=50.0, b=45.0, ratio=0.9, low=0.88, high=0.92),
    figure("failures", "can't tell", a=0.0, b=0.01, ratio=None, low=-0.001, high=0.021),
    figure("total p50"),
    figure("total p95"),
    figure("run on renderD128 p50", "can't tell", low=None, high=None),
)
RESULT = Result(FIGURES, "worse", ExitCode.VERDICT_FAIL, "worse: rate")

AT_100_COLUMNS = """\
A: run 7f3a91c2 of 2026-11-24 11:00 · B: run 11111111 of 2026-11-24 11:00 ──────────────────────────
Worse: rate.
  not alike: scalab 0.2.0 → 0.3.0
             load closed loop, 8 for 1m → open loop, 50/s for 30s, 50/s→20/s for 10s
             measured for 18.0 s → 38.0 s · arrivals none → poisson
             in flight none → at most 10,000 · catch-up none → 10s
  B invalid client-cpu: the client took 0.97 of a core
  A caveat steady-state: throughput fell by 12 %: run it longer

                              A       B    change        interval
  rate *                 50.0/s  45.0/s   -10.0 %   [-12.0, -8.0]  worse
  failures *                0 %  1.00 %  +1.00 pp  [-0.10, +2.10]  can't tell
  total p50 *            100 ms  110 ms   +10.0 %   [+5.0, +15.2]  same
  total p95 *            100 ms  110 ms   +10.0 %   [+5.0, +15.2]  same
  run on renderD128 p50  100 ms  110 ms   +10.0 %         unknown  can't tell
  * decides. Changes are from A to B, with 98.7 % confidence intervals: 95 % for all that decide
  together. pp = percentage points.
"""


@pytest.fixture(scope="module")
def runs() -> ComparedRuns:
    bad = Checked(name="client-cpu", state="invalid", text="the client took 0.97 of a core")
    a, b = make_report(a_run(CLOSED)), make_report(a_run(OPEN, seconds=40), checks=[bad])
    header = attrs.evolve(b.header, id="11111111", scalab="0.3.0")
    return ComparedRuns(a=a, b=attrs.evolve(b, header=header), result=RESULT)


def test_the_text(runs: ComparedRuns) -> None:
    assert to_text(runs) == AT_100_COLUMNS


def test_the_markdown(runs: ComparedRuns) -> None:
    out = to_markdown(runs)
    assert out.startswith("**Worse: rate.**\n\nA: `run 7f3a91c2 of")
    assert "Not alike: `scalab 0.2.0 → 0.3.0`; `load closed" in out
    assert "\n- `B invalid client-cpu: the client took 0.97 of a core`\n- `A caveat" in out
    table = [line for line in out.splitlines() if line.startswith("|")]
    assert table[:3] == [
        "| metric | A | B | change | interval | verdict |",
        "|---|--:|--:|--:|--:|---|",
        r"| `rate` \* | 50.0/s | 45.0/s | -10.0 % | [-12.0, -8.0] | **worse** |",
    ]
    assert len(table) == 2 + len(FIGURES)
    assert r"\* decides." in out


def test_the_json(runs: ComparedRuns) -> None:
    found = json.loads(to_json(runs))
    assert next(iter(found)) == "comparison"
    assert (found["comparison"], found["verdict"], found["exit_code"]) == (1, "worse", 3)
    assert found["a"]["id"] == "7f3a91c2"
    assert found["b"]["window_s"] == 38.0
    assert found["differences"][0] == {"name": "scalab", "a": "0.2.0", "b": "0.3.0"}
    assert found["doubts"][0].startswith("B invalid client-cpu")
    assert [metric["metric"] for metric in found["metrics"]] == [c.metric for c in FIGURES]
    assert found["metrics"][4]["low"] is None


def test_runs_that_are_alike_need_no_words() -> None:
    a = make_report(a_run(), checks=[])
    runs = ComparedRuns(
        a=a, b=attrs.evolve(a, header=attrs.evolve(a.header, id="2")), result=RESULT
    )
    assert runs.differences == ()
    assert runs.doubts == ()
    assert "not alike" not in to_text(runs)
    assert "Not alike" not in to_markdown(runs)


def test_a_run_compared_with_itself_is_told() -> None:
    a = make_report(a_run(), checks=[])
    assert ComparedRuns(a=a, b=a, result=RESULT).doubts == ("A and B are the same run",)


@pytest.mark.parametrize(("seconds", "differs"), [(20, False), (21, False), (30, True)])
def test_lengths_differ_when_it_matters(seconds: int, differs: bool) -> None:
    a, b = make_report(a_run()), make_report(a_run(seconds=seconds))
    names = [d.name for d in ComparedRuns(a=a, b=b, result=RESULT).differences]
    assert names == ["measured for"] * differs


def test_why_it_is_invalid(runs: ComparedRuns) -> None:
    assert why_invalid(runs.a, runs.a) == ""
    assert why_invalid(runs.a, runs.b) == "B by client-cpu"
    assert why_invalid(runs.b, runs.b) == "A by client-cpu; B by client-cpu"


def test_a_difference_is_short() -> None:
    assert str(Difference("load", "x" * 200, "")) == f"load {'x' * 79}… → none"


def evil(report: Report, text: str) -> ComparedRuns:
    """A comparison in which every text that comes from elsewhere is ``text``."""
    a = attrs.evolve(
        report,
        header=attrs.evolve(report.header, id=text, scalab=text, started_at=text),
        checks=(Checked(name=text, state="invalid", text=text),),
        problems=(text,),
    )
    figures = (figure("rate"), figure(f"run on {text} p50", "worse"))
    result = Result(figures, "invalid", ExitCode.INVALID, f"it is invalid: {text}")
    return ComparedRuns(a=a, b=report, result=result)


SHORT = make_report(a_run(seconds=3))


def test_strangers_can_write_no_markdown() -> None:
    out = to_markdown(evil(SHORT, EVIL + "` @everybody | ![](http://x) </details>"))
    shown = re.sub(r"`[^`\n]*`", "", out)
    assert not re.search(r"@|<|http|bold", shown)
    assert r"bold" in out
    assert r"\x1b" in out
    rows = [line for line in out.splitlines() if line.startswith("|")]
    assert [row.count("|") for row in rows] == [7] * 4


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=200), st.integers(80, 120))
def test_any_text_stays_in_its_place(text: str, width: int) -> None:
    runs = evil(SHORT, text)
    lines = to_text(runs, width).splitlines()
    assert max(map(cell_len, lines)) <= width
    assert all(line.isprintable() for line in lines)
    rows = [line for line in to_markdown(runs).splitlines() if line.startswith("|")]
    assert [row.count("|") for row in rows] == [7] * 4
    assert json.loads(to_json(runs))["comparison"] == 1


def test_large_ratios_are_multiples() -> None:
    figures = (figure("wait p50", "worse", a=0.0, b=0.17, ratio=3476.0, low=9.5, high=4913.4),)
    report = ComparedRuns(a=SHORT, b=SHORT, result=Result(figures, "worse", ExitCode.OK, "worse"))
    assert "3,476x" in to_text(report)
    assert "[+850.0, 4,913x]" in to_text(report)
