"""Self-checks: each in the state that its limits say, on either side of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from scalab.load.units import parse_duration
from scalab.measure.aggregate import Aggregate
from scalab.measure.window import Window
from scalab.verdict.checks import CHECKS, Facts, overall, run_checks
from scalab.verdict.client_checks import LATE_CAVEAT_S, late_invalid_s
from scalab.verdict.place_checks import type_of
from scalab.verdict.results import Checked, State

from .windows import counted, place, times, window

PAGE = (Path(__file__).parents[2] / "docs" / "checks.md").read_text()


def find(name: str, of: Window, **facts: Any) -> tuple[str, str]:
    facts = {"open_loop": False} | facts
    found = {check.name: check for check in run_checks(Facts(window=of, **facts))}[name]
    return found.state, found.text


def state(name: str, of: Window, **facts: Any) -> str:
    return find(name, of, **facts)[0]


def steady(aggregate: Aggregate | None = None, n: int = 60, **fields: Any) -> Window:
    """A minute of the same every second."""
    return window(*[counted(10) if aggregate is None else aggregate] * n, **fields)


# --- all ---------------------------------------------------------------------------------------


def test_a_good_closed_run_is_valid() -> None:
    second = counted(10, devices={"a0": place(5), "a1": place(5)})
    found = run_checks(Facts(window=steady(second, cpu_s=0.1), open_loop=False, lag_max_s=0.001))
    states = {check.name: check.state for check in found}
    skipped = {"schedule-delay", "rate-reached", "merging", "device-types"}
    assert states == {check.name: "skipped" if check.name in skipped else "ok" for check in CHECKS}
    assert overall(found) == "valid"


def test_a_good_open_run_is_valid() -> None:
    second = counted(10, corrected=1.0, delay=0.001, late=0.001)
    found = run_checks(Facts(window=steady(second, level=10), open_loop=True))
    states = {check.name: check.state for check in found}
    assert states["schedule-delay"] == states["rate-reached"] == "ok"
    assert overall(found) == "valid"


def test_nothing_measured_is_invalid_and_breaks_no_check() -> None:
    for of in (Window(), window(Aggregate())):
        for open_loop in (False, True):
            found = run_checks(Facts(window=of, open_loop=open_loop))
            assert [check.name for check in found if check.state == "invalid"] == ["window"]
            assert overall(found) == "invalid"


@given(states=st.lists(st.sampled_from(["ok", "caveat", "invalid", "skipped"])))
def test_overall_is_the_worst(states: list[State]) -> None:
    checks = [Checked(name="x", state=state, text="") for state in states]
    expected = "valid"
    if "caveat" in states:
        expected = "caveats"
    if "invalid" in states:
        expected = "invalid"
    assert overall(checks) == expected


# --- the client --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cpu_s", "clients", "expected"),
    [
        (0.69, 1, "ok"),
        (0.71, 1, "caveat"),
        (0.89, 1, "caveat"),
        (0.91, 1, "invalid"),
        (1.3, 2, "ok"),
        (1.7, 2, "caveat"),
        (1.9, 2, "invalid"),
    ],
)
def test_client_cpu(cpu_s: float, clients: int, expected: str) -> None:
    assert state("client-cpu", steady(cpu_s=cpu_s), clients=clients) == expected


def test_client_cpu_says_what_was_measured_and_what_to_do() -> None:
    _, text = find("client-cpu", steady(cpu_s=0.95))
    assert text.startswith("the client took 95.0 % of a core, more than 90 %: ")
    assert "several clients" in text


@pytest.mark.parametrize(
    ("lag_s", "total_s", "expected"),
    [
        (0.04, 0.1, "ok"),
        (0.06, 0.1, "caveat"),
        (0.06, 1.0, "ok"),
        (0.11, 1.0, "caveat"),
        (None, 1.0, "skipped"),
    ],
)
def test_client_lag(lag_s: float | None, total_s: float, expected: str) -> None:
    of = steady(counted(10, total=total_s))
    assert state("client-lag", of, lag_max_s=lag_s) == expected


@pytest.mark.parametrize(
    ("p50_s", "limit_s"),
    [(0.0, 0.005), (0.001, 0.005), (0.02, 0.02), (0.1, 0.05), (0.5, 0.05), (1.0, 0.1), (60.0, 6.0)],
)
def test_how_late_makes_a_run_invalid(p50_s: float, limit_s: float) -> None:
    assert late_invalid_s(p50_s) == pytest.approx(limit_s)


@given(st.floats(0, 1000), st.floats(0, 1000))
def test_longer_requests_allow_more_lateness(a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert 0.005 <= late_invalid_s(low) <= late_invalid_s(high)


@pytest.mark.parametrize(
    ("late_s", "total_s", "expected"),
    [
        (0.004, 1.0, "ok"),
        (0.006, 1.0, "caveat"),
        (0.09, 1.0, "caveat"),
        (0.11, 1.0, "invalid"),
        (0.004, 0.002, "ok"),
        (0.006, 0.002, "invalid"),
    ],
)
def test_schedule_delay(late_s: float, total_s: float, expected: str) -> None:
    of = steady(counted(10, total=total_s, late=late_s))
    assert state("schedule-delay", of, open_loop=True) == expected
    assert state("schedule-delay", of) == "skipped"


def test_schedule_delay_is_that_of_the_client_not_of_the_limit_in_flight() -> None:
    held = counted(10, held=10, delay=5.0, corrected=6.0)
    assert state("schedule-delay", steady(held), open_loop=True) == "skipped"
    one_in_200 = times(0.001, n=199)
    one_in_200.merge(times(9.0))
    assert state("schedule-delay", window(counted(200, late=one_in_200)), open_loop=True) == "ok"


def rate_reached(sent: int, *, poisson: bool = False, **fields: Any) -> tuple[str, str]:
    """Of 1000 arrivals in 10 s."""
    second = counted(100, sent=sent // 10, **fields)
    return find("rate-reached", steady(second, n=10, level=100), open_loop=True, poisson=poisson)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [(1000, "ok"), (980, "ok"), (970, "caveat"), (1020, "ok"), (1030, "caveat")],
)
def test_rate_reached(sent: int, expected: str) -> None:
    assert rate_reached(sent, held=1)[0] == expected


def test_rate_reached_allows_for_chance() -> None:
    assert rate_reached(910, poisson=True)[0] == "ok"
    assert rate_reached(890, poisson=True)[0] == "caveat"


def test_who_is_to_blame_for_a_rate_not_reached() -> None:
    state, text = rate_reached(900, held=5)
    assert (state, "the system could not keep up, not the client" in text) == ("caveat", True)
    assert text.startswith("90.0 % of the arrivals asked for were sent: 90.0/s of 100.0/s, ")
    state, text = rate_reached(900, held=5, late=0.5)
    assert (state, "the client could not keep up" in text) == ("invalid", True)
    state, text = rate_reached(900, late=0.001)
    assert (state, "was the client connected all the time" in text) == ("caveat", True)
    state, text = rate_reached(1100)
    assert (state, "more than was asked for" in text) == ("caveat", True)


def test_a_short_constant_load_may_miss_an_arrival_at_each_end() -> None:
    for sent, expected in ((8, "ok"), (7, "caveat")):
        of = window(counted(10, sent=sent), level=10)
        assert state("rate-reached", of, open_loop=True) == expected


def test_no_rate_in_a_closed_loop() -> None:
    assert state("rate-reached", steady(level=50)) == "skipped"
    assert state("rate-reached", steady(level=0), open_loop=True) == "skipped"


def test_recording() -> None:
    assert state("recording", steady()) == "ok"
    assert state("recording", steady(), unwritten=1) == "caveat"
    assert state("recording", steady(), truncated=True) == "caveat"


def test_merging() -> None:
    assert state("merging", steady()) == "skipped"
    assert state("merging", steady(), clients=2) == "ok"
    notes = ("clocks are 2 s apart", "a\x1bb", "three", "four")
    found = find("merging", steady(), clients=2, notes=notes)
    assert found == ("caveat", r"clocks are 2 s apart; a\x1bb; three; and 1 more notes")


# --- the window --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("completed", "seconds", "total_s", "expected", "why"),
    [
        (10, 10, 1.0, "ok", "100 completions in 10.0 s"),
        (100, 9, 1.0, "caveat", "900 completions in 9.00 s: less than 10 s; measure for longer"),
        (3, 33, 1.0, "caveat", "99 completions in 33.0 s: fewer than 100 completions;"),
        (10, 10, 2.1, "caveat", "less than 5 mean latencies (2.10 s)"),
        (1, 5, 2.1, "caveat", "less than 10 s, fewer than 100 completions, less than 5 mean"),
        (0, 60, 1.0, "invalid", "nothing was completed in 60.0 s"),
    ],
)
def test_window(completed: int, seconds: int, total_s: float, expected: str, why: str) -> None:
    found, text = find("window", steady(counted(completed, total=total_s), n=seconds))
    assert (found, why in text) == (expected, True), text


def test_steady_state() -> None:
    rising = window(*(counted(100 + i) for i in range(60)))
    found, text = find("steady-state", rising)
    assert (found, "throughput rose by" in text) == ("caveat", True)
    slow_start = window(*(counted(50 if i < 12 else 100) for i in range(60)))
    found, text = find("steady-state", slow_start)
    assert (found, "in the first fifth" in text, "--warm-up" in text) == ("caveat", True, True)
    slower = window(*(counted(100, total=1 + i / 100) for i in range(60)))
    found, text = find("steady-state", slower)
    assert (found, "latency rose by" in text) == ("caveat", True)
    assert state("steady-state", steady(n=3)) == "skipped"
    assert state("steady-state", steady()) == "ok"


def test_a_load_that_changes_is_not_called_unsteady() -> None:
    of = window(*[counted(10)] * 30, level=10)
    for interval in window(*[counted(20)] * 30, level=20).groups:
        of.add(interval)
    found, text = find("steady-state", of)
    assert (found, "the load itself changed" in text) == ("skipped", True)


@pytest.mark.parametrize(
    ("overhead_s", "expected", "why"),
    [
        (0.1, "ok", "9.09 % of a request's time"),
        (
            0.2,
            "caveat",
            "16.7 % of a request's time was neither waiting nor running, more",
        ),
        (0.9, "caveat", "more than 10 %"),
        (1.2, "caveat", "more than 50 %: most of what was measured is framework"),
    ],
)
def test_overhead(overhead_s: float, expected: str, why: str) -> None:
    found, text = find("overhead", steady(counted(10, overhead=overhead_s)))
    assert (found, why in text) == (expected, True), text


def test_overhead_counts_waiting_as_none() -> None:
    assert state("overhead", steady(counted(10, wait=5.0, overhead=0.2))) == "ok"
    assert state("overhead", steady(counted(10, run=times()))) == "skipped"


def test_failures() -> None:
    some = counted(
        10, failures={"timeout": 1, "lost": 3}, errors={"rare": 1, "out of\x1bmemory": 3}
    )
    found, text = find("failures", window(some))
    assert found == "caveat"
    assert text.startswith(r"4 requests failed (40.0 %), most often by lost: out of\x1bmemory; ")
    assert find("failures", steady()) == ("ok", "no request failed")
    found, text = find("failures", window(counted(10, failures={"timeout": 10})))
    assert (found, text.startswith("every request failed")) == ("invalid", True)


def test_left_out() -> None:
    assert state("left-out", window(counted(100, held=1, aborted=1))) == "ok"
    assert state("left-out", window(counted(100)), aborted=1) == "ok"
    for of, word in (
        (counted(100, dropped=1), "0.99 % of the arrivals were dropped"),
        (counted(100, held=2), "2.00 % of the requests were held"),
        (counted(100, aborted=2), "2 requests were given up"),
    ):
        found, text = find("left-out", window(of))
        assert (found, text.startswith(word)) == ("caveat", True), text
    assert state("left-out", window(counted(100)), aborted=2) == "caveat"
    assert state("left-out", window(counted(100)), aborted=2, oldest_s=0.001) == "ok"
    assert state("left-out", window(counted(100)), aborted=2, oldest_s=1000.0) == "caveat"


# --- places ------------------------------------------------------------------------------------


def devices(*served: int, run_s: Iterable[float] = (), **fields: Any) -> Window:
    runs = list(run_s) or [1.0] * len(served)
    made = {f"d{i}": place(n, runs[i]) for i, n in enumerate(served)}
    return window(counted(sum(served), devices=made, **fields))


@pytest.mark.parametrize(
    ("served", "expected"),
    [
        ((100,), "skipped"),
        ((100, 100), "ok"),
        ((100, 55), "ok"),
        ((100, 49), "caveat"),
        ((30, 9), "skipped"),
    ],
)
def test_fairness(served: tuple[int, ...], expected: str) -> None:
    assert state("fairness", devices(*served)) == expected


def test_fairness_names_who_had_most_and_least() -> None:
    _, text = find("fairness", devices(1000, 40, 900))
    assert "less than 0.9: d0 served 1,000, d1 40;" in text


def test_places_are_pods_where_no_device_is_named() -> None:
    of = window(counted(140, pods={"p": place(100), "q": place(40), "(others)": place(1)}))
    found, text = find("fairness", of)
    assert (found, "over 2 pods" in text) == ("caveat", True)


def test_outliers() -> None:
    assert state("outliers", devices(100)) == "skipped"
    assert state("outliers", devices(100, 100, 100)) == "ok"
    found, text = find("outliers", devices(100, 100, 100, run_s=(1, 2, 1)))
    assert (found, text.startswith("d1: runs take 2.00x as long")) == ("caveat", True)
    many = devices(*[100] * 12, run_s=[1] * 7 + [2] * 5)
    assert find("outliers", many)[1].endswith("; and 2 more")


def types(**run_s: float) -> Window:
    made = {name.replace("_", "-"): place(50, seconds) for name, seconds in run_s.items()}
    return window(counted(50 * len(made), devices=made))


def test_device_types() -> None:
    mixed = types(renderD128=1.0, renderD129=1.01, nvidia0=1.4)
    found, text = find("device-types", mixed)
    assert (found, "median runs on nvidia* take 1.4" in text) == ("caveat", True), text
    assert state("device-types", types(renderD128=1.0, nvidia0=1.2)) == "ok"
    assert state("device-types", types(renderD128=1.0, renderD129=3.0)) == "skipped"
    assert state("device-types", types(a=1.0, b=2.0, c=1.0, d=1.0, e=1.0)) == "skipped"


def test_types_of_nodes_count_too() -> None:
    nodes = {"gpu-a-1": place(50, 1.0), "gpu-b-1": place(50, 2.0), "(others)": place(50, 9.0)}
    of = window(counted(100, devices={"d0": place(100)}, nodes=nodes))
    found, text = find("device-types", of)
    assert (found, "gpu-b-* take 2.0" in text) == ("caveat", True), text
    few = {"gpu-a-1": place(50, 1.0), "gpu-b-1": place(19, 2.0)}
    assert state("device-types", window(counted(69, nodes=few))) == "skipped"


@pytest.mark.parametrize(
    ("name", "kind"),
    [("renderD128", "renderD*"), ("card0", "card*"), ("a100-1", "a100-*"), ("gpu", "gpu")],
)
def test_type_of_a_name(name: str, kind: str) -> None:
    assert type_of(name) == kind


def test_names_of_peers_are_made_printable() -> None:
    made = {"a\x1b1": place(100, 1.0), "b\x1b1": place(20, 3.0)}
    for check in run_checks(Facts(window=window(counted(120, devices=made)), open_loop=False)):
        assert check.text.isprintable()


# --- the page ----------------------------------------------------------------------------------


def test_the_documented_checks_are_those_there_are() -> None:
    table = PAGE.split("| check |", 1)[1].split("\n\n", 1)[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    assert rows == [
        [f"[{check.name}](#{check.name})", check.question, check.caveat, check.invalid]
        for check in CHECKS
    ]


def test_every_check_is_explained_in_its_section() -> None:
    sections = [part.split("\n", 1)[0] for part in PAGE.split("\n### ")[1:]]
    assert sections == [check.name for check in CHECKS]


def test_the_documented_lateness_is_what_is_allowed() -> None:
    table = PAGE.split("| median total |", 1)[1].split("\n\n", 1)[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    assert len(rows) == 4
    for total, caveat, invalid in rows:
        limit_s = late_invalid_s(parse_duration(total))
        assert limit_s == pytest.approx(parse_duration(invalid))
        assert caveat == "" or parse_duration(caveat) == LATE_CAVEAT_S < limit_s
