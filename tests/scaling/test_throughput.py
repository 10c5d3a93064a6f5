"""Throughput of a closed loop: from latencies where they tell it, from counts where they don't."""

from __future__ import annotations

import random
import runpy
from pathlib import Path

import pytest
from hypothesis import example, given, strategies as st

from scalab.measure.aggregate import Aggregate
from scalab.measure.histogram import Histogram
from scalab.measure.interval import Interval
from scalab.measure.window import Window
from scalab.scaling.throughput import LEAST_ERROR, Row, edge_s, from_rows, throughput

SIMULATION = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "verdict_rates.py"))
coverage = SIMULATION["coverage"]


def lanes(n: int, seconds: int, latency_s: float, offset_s: float = 0.0) -> Window:
    """All lanes start together, ``offset_s`` before the window."""
    window = Window()
    ended_s = latency_s - offset_s
    for second in range(seconds):
        whole = Aggregate()
        while ended_s < second + 1:
            if ended_s >= second:
                whole.completed += n
                whole.succeeded += n
                whole.total.record(latency_s, n)
                whole.run.record(latency_s, n)
            ended_s += latency_s
        window.add(Interval(from_s=second, to_s=second + 1, queues={"q": whole}))
    return window


@given(st.integers(1, 64), st.floats(0.3, 2.0), st.floats(0, 5))
@example(1, 0.8, 0.8)
def test_equal_runs_are_known_exactly_whatever_the_ends_cut_off(
    n: int, latency_s: float, offset_s: float
) -> None:
    window = lanes(n, 40, latency_s, offset_s)
    found = throughput(window, n)
    assert found.estimate.mean == pytest.approx(n / latency_s, rel=1e-4)
    assert found.method == "latency"
    assert found.estimate.error == pytest.approx(LEAST_ERROR * found.estimate.mean)
    # What is so much surer than to count them:
    counted = window.whole.succeeded / 40
    assert abs(counted / found.estimate.mean - 1) <= latency_s / 40 + 1e-6


def test_runs_of_many_seconds() -> None:
    found = throughput(lanes(2, 1200, 60.0, 17.0), 2)
    assert found.method == "latency"
    assert found.estimate.mean == pytest.approx(2 / 60)


def rows(*parts: tuple[float, float, float], times: int = 20) -> list[Row]:
    return [Row(*part) for part in parts] * times


def test_fast_failures_don_t_count_and_don_t_hurry_the_rest() -> None:
    # 2 lanes: each second one good request of 1 s, and ten that fail after 0.1 s.
    found = from_rows(rows((1.0, 1, 2.0)), 2, busy_s=0.5, edge_s=0.9)
    assert found.method == "latency"
    assert found.estimate.mean == pytest.approx(1)


def test_a_request_that_never_ends_isn_t_overlooked() -> None:
    # 4 lanes, one of which is stuck: latencies add up to those of three.
    found = from_rows(rows((1.0, 3, 3.0)), 4, busy_s=1, edge_s=1)
    assert found.method == "count"
    assert found.estimate.mean == pytest.approx(3)  # by latency it would be 4
    assert "75.0 % of 4" in found.text
    assert found.estimate.error == pytest.approx(3 * 0.5 / 20)  # half a run of 20 s isn't seen


def test_lanes_that_rest_aren_t_overlooked() -> None:
    found = from_rows(rows((1.0, 8, 1.0)), 2, busy_s=0.1, edge_s=0.2)
    assert found.method == "count"
    assert found.estimate.mean == pytest.approx(8)


def test_too_many_in_flight_is_noticed_too() -> None:
    found = from_rows(rows((1.0, 10, 3.0)), 2, busy_s=0.2, edge_s=0.3)
    assert found.method == "count"
    assert found.estimate.mean == pytest.approx(10)


def test_the_ends_may_cut_off_as_much_as_requests_are_old() -> None:
    short = [Row(1.0, 2, 2.0)] * 18 + [Row(1.0, 1, 1.0), Row(1.0, 0, 0.0)]
    assert from_rows(short, 2, busy_s=1, edge_s=1.5).method == "latency"
    assert from_rows(short, 2, busy_s=1, edge_s=1.4).method == "count"


@pytest.mark.parametrize(
    ("found", "edge"),
    [
        ([], 1.0),
        (rows((1.0, 1, 1.0), times=9), 1.0),  # too few
        (rows((1.0, 4, 4.0)), 4.1),  # fewer than five latencies long
    ],
)
def test_short_windows_are_counted(found: list[Row], edge: float) -> None:
    assert from_rows(found, 4, busy_s=1, edge_s=edge).method == "count"


def test_too_short_a_window_has_no_interval() -> None:
    assert not throughput(Window(), 2).estimate.known
    assert not throughput(lanes(2, 3, 1.0), 2).estimate.known


def test_twice_the_mean_age() -> None:
    alike, random_ones = Histogram(), Histogram()
    alike.record(2.0, 100)
    rng = random.Random(3)
    for _ in range(20_000):
        random_ones.record(rng.expovariate(1))
    assert edge_s(alike) == pytest.approx(2.0, rel=2e-3)
    assert edge_s(random_ones) == pytest.approx(2.0, rel=0.05)  # E[L²] / E[L] = 2 / 1
    assert edge_s(Histogram()) == 0


@pytest.mark.parametrize("kind", ["±5 %", "±30 %", "exponential"])
@pytest.mark.parametrize(("workers", "factor"), [(1, 2), (4, 1), (16, 2)])
def test_intervals_cover_the_truth(kind: str, workers: int, factor: int) -> None:
    found = coverage(kind, workers, 30, 120 if workers < 16 else 60, 1, factor=factor)
    assert found.covered >= 0.89  # at 95 % and of 120 windows, 3 standard errors below
    assert abs(found.bias) < 0.04
    assert found.unknown == 0


def test_a_tight_interval_and_the_right_method() -> None:
    found = coverage("constant", 4, 20, 40, 1)
    assert (found.covered, found.by_latency) == (1, 1)
    assert found.half_width < 0.003
    assert coverage("±5 %", 1, 20, 60, 1).half_width < 0.04
