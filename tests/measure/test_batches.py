"""Batch means: exact on small cases, bounded, and as sure as they say they are."""

from __future__ import annotations

import math
import random
import runpy
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from scalab.measure.batches import (
    MAX_BATCHES,
    Batches,
    Pool,
    independent,
    mean,
    pooled,
    rate,
    split,
)
from scalab.measure.student import quantile

SIMULATION = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "error_rates.py"))
Completions, coverage = SIMULATION["Completions"], SIMULATION["coverage"]

intervals = st.lists(st.tuples(st.floats(0.1, 3), st.integers(0, 500)), min_size=1, max_size=400)


def test_the_mean_of_equal_weights_is_the_textbook_one() -> None:
    values = [10.0, 12.0, 9.0, 13.0, 11.0]  # neighbours are unlike each other
    found = mean([(v, 2.0) for v in values])
    error = math.sqrt(2.5 / 5)  # s² = 2.5
    assert (found.mean, found.batches, found.confidence) == (11, 5, 0.95)
    assert found.error == pytest.approx(error)
    assert found.high == pytest.approx(11 + quantile(0.975, 4) * error)
    assert found.low == pytest.approx(11 - quantile(0.975, 4) * error)
    assert found.half_width_share == pytest.approx(quantile(0.975, 4) * error / 11)
    wider = mean([(v, 2.0) for v in values], 0.99)
    assert wider.high == pytest.approx(11 + quantile(0.995, 4) * error)


def test_a_value_of_twice_the_weight_has_half_the_variance() -> None:
    # M = (1·4 + 2·1 + 1·4 + 2·1 + 1·4 + 2·1) / 9 = 2; Σ w (v - M)² = 3·4 + 3·2 = 18
    found = mean([(4, 1), (1, 2)] * 3)
    assert found.mean == 2
    assert found.error == pytest.approx(math.sqrt(18 / 5 / 9))


def test_neighbours_that_are_alike_tell_less() -> None:
    up_and_down = [1.0, -1.0] * 10
    assert independent(up_and_down) == 20  # never more than there are
    slow = [1.0] * 10 + [-1.0] * 10
    r = (9 + 9 - 1) / 20
    assert independent(slow) == pytest.approx(20 * (1 - r) / (1 + r))
    quick, wandering = mean([(v, 1) for v in up_and_down]), mean([(v, 1) for v in slow])
    assert quick.error is not None
    assert wandering.error == pytest.approx(quick.error * math.sqrt(20 / 2))  # at least 2
    assert (quick.batches, wandering.batches) == (20, 2)


def test_rows_of_other_lengths_don_t_shift_the_rate() -> None:
    # 10/s throughout; the last interval is short.
    found = rate([(1.0, 10.0)] * 9 + [(0.1, 1.0)])
    assert found.mean == pytest.approx(10)
    assert found.high is not None
    # All alike, yet half a completion is never seen.
    assert found.error == pytest.approx(0.5 / 9.1)


def test_half_a_period_is_never_seen() -> None:
    found = rate([(1.0, 16.0)] * 20, min_batch_s=2.0)
    assert found.batches == 10
    assert found.error == pytest.approx(16 * 0.5 / 20)


@pytest.mark.parametrize(
    ("rows", "min_batch_s"),
    [
        ([], 0.0),
        ([(1.0, 50.0)] * 4, 0.0),  # too few intervals
        ([(1.0, 1.0)] * 9, 0.0),  # too few completions
        ([(1.0, 0.0)] * 60, 0.0),  # none at all
        ([(1.0, 5.0)] * 9, 4.0),  # fewer than five periods of 2 s
    ],
)
def test_too_short_a_window_has_no_interval(
    rows: list[tuple[float, ...]], min_batch_s: float
) -> None:
    found = rate(rows, 0.95, min_batch_s)
    assert (found.known, found.error, found.low, found.high) == (False, None, None, None)
    assert found.half_width_share is None
    total_s = sum(row[0] for row in rows)
    assert found.mean == pytest.approx(sum(row[1] for row in rows) / total_s if total_s else 0)


def test_just_long_enough() -> None:
    assert rate([(1.0, 2.0)] * 5).known
    assert rate([(1.0, 1.0)] * 10, min_batch_s=4.0).known


@given(intervals)
def test_memory_is_bounded_and_nothing_is_lost(rows: list[tuple[float, int]]) -> None:
    pool = Pool()
    for row in rows:
        pool.add(row)
    kept = pool.rows()
    assert len(kept) <= MAX_BATCHES
    assert len(kept) == len(rows) or len(kept) > MAX_BATCHES // 2
    assert sum(row[0] for row in kept) == pytest.approx(sum(row[0] for row in rows))
    assert sum(row[1] for row in kept) == sum(row[1] for row in rows)


def test_merged_rows_are_neighbours_and_equally_many() -> None:
    pool = Pool()
    for n in range(64 + 32 + 1):
        pool.add((1.0, float(n)))
    assert len(pool.rows()) == 49
    assert pool.rows()[:2] == [(2.0, 1.0), (2.0, 5.0)]
    assert pool.rows()[-2:] == [(2.0, 94.0 + 95.0), (1.0, 96.0)]


@given(intervals, st.floats(0, 30))
def test_pooling_keeps_sums_and_lengths(rows: list[tuple[float, int]], min_s: float) -> None:
    batches = pooled([(1.0, float(n)) for _, n in rows], min_s)
    assert sum(row[1] for row in batches) == sum(n for _, n in rows)
    assert len(batches) >= min(5, len(rows))
    if len(batches) > 5:
        assert min(row[0] for row in batches) >= min_s - 1e-9
        assert len(batches) == len(rows) // max(math.ceil(min_s), 1)


def test_split_is_even() -> None:
    assert [row[0] for row in split([(1.0,)] * 11, 4)] == [2, 3, 3, 3]
    assert split([(1.0,), (2.0,)], 5) == [(1.0,), (2.0,)]


def test_intervals_without_a_length_are_left_out() -> None:
    batches = Batches()
    for _ in range(20):
        batches.add(1.0, 7)
        batches.add(0.0, 1000)
    assert batches.estimate().mean == pytest.approx(7)


def test_an_interval_of_a_rate_is_not_negative() -> None:
    rng = random.Random(1)
    batches = Batches()
    for _ in range(10):
        batches.add(1.0, rng.choice([0, 0, 0, 9]))
    assert batches.estimate(0.999).low == 0


@pytest.mark.parametrize("kind", ["constant", "uniform", "exponential", "poisson"])
def test_intervals_cover_the_truth_as_often_as_they_say(kind: str) -> None:
    found = coverage(Completions(kind, lanes=4, run_s=1.0, periods=40), 300, seed=1)
    assert found.covered >= 0.93
    assert found.unknown == 0
    if kind in {"exponential", "poisson"}:  # the others' windows can't be seen through so well
        assert found.covered <= 0.985


def test_a_window_of_few_periods_is_known_as_such() -> None:
    found = coverage(Completions("exponential", lanes=4, run_s=7.0, periods=4), 20, seed=1)
    assert found.unknown == 1
