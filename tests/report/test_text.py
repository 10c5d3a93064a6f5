"""The report on one screen."""

from __future__ import annotations

import io
import re

import attrs
import pytest
from hypothesis import given, settings, strategies as st
from rich.cells import cell_len
from rich.console import Console

from scalab.load.curve import Stage
from scalab.load.scenario import ClosedLoad, QueueLoad, Scenario
from scalab.measure.aggregate import Aggregate
from scalab.measure.interval import DRAIN, Interval
from scalab.measure.sections import wrapped
from scalab.measure.statistics import ErrorCount
from scalab.report.model import Report, make_report
from scalab.report.parameters import parameters
from scalab.report.text import print_report, to_text
from scalab.runfile.reading import RunBuilder
from scalab.runfile.records import End
from scalab.verdict.results import Checked, Judged
from tests.report.sample_runs import CLOSED, EVIL, OPEN, a_run, header, records

AT_100_COLUMNS = """\
run 7f3a91c2 · media · 2026-11-24 11:00:00 UTC · scalab 0.2.0 ──────────────────────────────────────
FAILED 1 of 2 thresholds crossed. 1 caveat: see the checks.
  ran its time after 20.0 s; measured from 2.00 s to 20.0 s
  ✓ p95(total) < 2   216 ms
  ✗ failures < 0.1%  1.02 %

  sent         900  8 in parallel, on average
  completed    900  50.0/s (95 % sure: 49.6/s to 50.4/s) over 18.0 s · 49.5/s succeeded
  failed         9  1.00 % · failure 9

Time per request
                min     mean      p50      p90      p95      p99    p99.9      max
  wait      10.0 ms  10.0 ms  10.0 ms  10.0 ms  10.0 ms  10.0 ms  10.0 ms  10.0 ms
  run        100 ms   150 ms   149 ms   190 ms   195 ms   200 ms   200 ms   200 ms
  overhead  2.00 ms  2.00 ms  2.00 ms  2.00 ms  2.00 ms  2.00 ms  2.00 ms  2.00 ms
  total      112 ms   162 ms   161 ms   202 ms   207 ms   212 ms   212 ms   212 ms

Devices (4)
              served   share  failed  run p50     p95     max  run times
  renderD128     234  26.0 %       0   150 ms  195 ms  200 ms  ▄▅▄▆▅▆▄▇▆▅▅█
  renderD129     234  26.0 %       0   146 ms  193 ms  200 ms  ▆▅▄▇▅█▇▆█▇█▆
  renderD130     216  24.0 %       0   151 ms  194 ms  200 ms  ▂▃▄▃▄▄▅▆▅▅█▅
  renderD131     216  24.0 %       9   149 ms  198 ms  200 ms  ▄▅▅▅▆▄▇▆▆▆██
  renderD131: 4.17 % of its 216 requests failed (usual 0 %), most often: device lost
  fairness 1.00 (1 = all served alike)
  nodes 2      gpu-node-0 52.0 % · gpu-node-1 48.0 %, 9 failed
  pods 8       backend-7d9f8b6c5d-0 14.0 % · backend-7d9f8b6c5d-1 14.0 %
               backend-7d9f8b6c5d-2 12.0 % · backend-7d9f8b6c5d-3 12.0 %, 6 failed · … 4 more

Errors
  9  device lost

  checks       1 of 2 ok · 1 not applicable
    CAVEAT steady-state: throughput fell by 12 %: run it longer
  load         closed loop, 8 for 1m · warm-up 2s · queue media limit 5s, arguments --size '4 K'
               seed 42
  client       host loadgen-1 · python 3.12.4 · kernel 6.8 · cpus 4
  command      scalab client --frontend fe:9997
"""


@pytest.fixture(scope="module")
def closed() -> Report:
    return make_report(a_run())


@pytest.fixture(scope="module")
def opened() -> Report:
    return make_report(a_run(OPEN, held_s=0.3, dropped=3))


def printed(report: Report, **options: object) -> str:
    buffer = io.StringIO()
    options = {"force_terminal": True, "color_system": None, **options}
    print_report(Console(file=buffer, **options), report)  # type: ignore[arg-type]
    return buffer.getvalue()


def test_the_plain_report(closed: Report) -> None:
    assert to_text(closed) == AT_100_COLUMNS


def test_colours_only_add_to_the_text(closed: Report) -> None:
    coloured = printed(closed, width=100, color_system="truecolor")
    assert "\x1b[1;31m" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == AT_100_COLUMNS


def test_it_is_one_screen(closed: Report, opened: Report) -> None:
    assert len(to_text(closed).splitlines()) <= 45
    assert len(to_text(opened).splitlines()) <= 50


def test_an_open_loop_tells_what_was_asked_and_why_times_differ(opened: Report) -> None:
    out = " ".join(to_text(opened, 80).split())
    assert "50.0/s of the 50.0/s asked for" in out
    assert "dropped 54 arrivals" in out
    assert "held 900 sent late" in out
    assert "intended time of sending is 2.29 times the raw one at p99" in out
    assert "corrected 120 ms" in out
    assert "arrivals poisson" in out
    assert "open loop, 50/s for 30s, 50/s→20/s for 10s" in out


def test_times_that_agree_need_no_words() -> None:
    out = to_text(make_report(a_run(OPEN, failing=False)))
    assert "corrected" in out
    assert "intended time" not in out
    assert "\n  failed         0\n" in out
    assert "Errors" not in out


def test_nothing_was_measured() -> None:
    out = to_text(make_report(a_run(seconds=1)))
    assert "nothing was completed while it was measured" in out
    assert "Time per request" not in out
    assert "measured from" not in out


@pytest.mark.parametrize(
    ("end", "text"),
    [
        (None, "no end was recorded after 20.0 s: the client was killed"),
        (End(at_s=3.0, reason="time"), "  ran its time after 3.00 s; measured"),
        (End(at_s=3.0, reason="stopped"), "was stopped after 3.00 s; measured"),
        (End(at_s=3.0, reason="threshold"), "was ended by a threshold after"),
        (End(at_s=3.0, reason="error", error="gone\n"), r"ended by an error after 3.00 s: gone\n"),
        (End(at_s=3.0, reason="eclipse"), "ended (eclipse) after 3.00 s"),
    ],
)  # fmt: skip
def test_how_it_ended(end: End | None, text: str) -> None:
    run = a_run(ended=False)
    run.end = end
    assert text in to_text(make_report(run)).splitlines()[2]


def test_invalid_comes_first() -> None:
    checks = [
        Checked(name="window", state="caveat", text="short"),
        Checked(name="client-cpu", state="invalid", text="the client took 0.97 of a core"),
    ]
    lines = to_text(make_report(a_run(), checks=checks, thresholds=[])).splitlines()
    assert lines[1] == "INVALID These figures can't be trusted: client-cpu."
    n = lines.index("  checks       0 of 2 ok")
    assert lines[n + 1] == "    INVALID client-cpu: the client took 0.97 of a core"
    assert lines[n + 2] == "    CAVEAT window: short"


def test_checks_that_are_all_ok_are_a_word() -> None:
    ok = [Checked(name=name, state="ok", text="good") for name in "abc"]
    assert "\n  checks       all 3 ok\n" in to_text(make_report(a_run(), checks=ok))
    assert "\n  checks       none were made\n" in to_text(make_report(a_run(), checks=[]))


def test_a_run_without_thresholds_is_not_called_passed() -> None:
    lines = to_text(make_report(a_run(), thresholds=[], checks=[])).splitlines()
    assert lines[1] == "No thresholds were given."
    assert "✓" not in "".join(lines)


def test_a_short_run_says_that_it_is_not_sure() -> None:
    assert "too short a time to say how sure" in to_text(make_report(a_run(seconds=4)))


def evil(text: str) -> Report:
    """A report in which every text is ``text``."""
    report = make_report(a_run())
    statistics = report.statistics
    return attrs.evolve(
        report,
        header=attrs.evolve(header(), id=text, scalab=text, started_at=text, command=(text,)),
        end=End(at_s=1.0, reason=text, error=text),
        statistics=attrs.evolve(
            statistics,
            failures={text: 1},
            devices=tuple(attrs.evolve(place, name=text) for place in statistics.devices),
            nodes=tuple(attrs.evolve(place, name=text) for place in statistics.nodes),
            errors=(ErrorCount(text, 1),),
        ),
        thresholds=(Judged(expression=text, ok=False, value=text),),
        checks=(Checked(name=text, state="caveat", text=text),),
    )


def test_strangers_cannot_write_markup_or_escapes() -> None:
    for out in (to_text(evil(EVIL)), printed(evil(EVIL), width=100)):
        assert out.count(r"[bold]x[/] <b>&\"' \x1b[2J\n\u202e]]>".replace('\\"', '"')) >= 7
        assert all(line.isprintable() for line in out.splitlines())


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=300), st.integers(80, 140))
def test_no_line_is_wider_than_the_terminal(text: str, width: int) -> None:
    lines = to_text(evil(text), width).splitlines()
    assert max(map(cell_len, lines)) <= width


def test_parameters_leave_out_what_is_off() -> None:
    drawing = QueueLoad(name="b", rows=({"x": "1"},), args=("-n {x}", ""))
    queues = (QueueLoad(name="a", weight=3.0), drawing)
    load = ClosedLoad(stages=(Stage(4.0, 4.0, float("inf")),), delay_s=0.25, spread_s=2.0)
    assert parameters(Scenario(queues=queues, load=load, requests=5000)) == {
        "load": "closed loop, 4 in parallel",
        "delay": "250ms",
        "spread": "2s",
        "requests": "5,000",
        "queue a": "weight 3, no arguments",
        "queue b": "weight 1, arguments '-n {x}' '', drawn at random from 1 row",
        "seed": "0",
    }
    stages = tuple(Stage(float(n), n + 1.0, 1.0) for n in range(20))
    text = parameters(Scenario(queues=queues, load=ClosedLoad(stages=stages)))["load"]
    assert text.endswith("11→12 for 1s, … 8 more stages")


def test_an_encoding_that_lacks_characters_is_no_obstacle() -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    print_report(Console(file=out), make_report(a_run(CLOSED)))
    out.flush()
    text = raw.getvalue().decode("ascii")
    assert "  + p95(total) < 2   216 ms" in text
    assert "  x failures < 0.1%  1.02 %" in text


def test_requests_given_up_after_what_was_measured_are_told() -> None:
    first, *rest = records(ended=False)
    left = Aggregate(aborted=8)
    builder = RunBuilder(first)  # type: ignore[arg-type]
    for record in (*rest, Interval(from_s=20.0, to_s=20.5, phase=DRAIN, queues={"media": left})):
        builder.add(record)
    assert "\n  aborted        8  given up" in to_text(make_report(builder.run()))


def test_numbers_stay_with_their_units() -> None:
    assert wrapped("less than 98 % of it", 12) == ["less than", "98 % of it"]
    assert wrapped("at most 5.55 ms, 3 ms", 15) == ["at most", "5.55 ms, 3 ms"]
    assert wrapped("7 servers, 7 s", 3) == ["7", "se…", "7 s"]
    assert wrapped("", 5) == [""]
