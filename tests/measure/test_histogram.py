"""The histogram against HdrHistogram, of which it must be the same in less space."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given, strategies as st

from scalab.measure.histogram import MAX_S, Histogram, bucket_us, record
from scalab.measure.statistics import Spread

MAX_US = int(MAX_S * 1e6)

# Some of every octave rather than nearly all of the highest one.
microseconds = st.one_of(
    st.integers(0, 5000),
    st.integers(0, MAX_US.bit_length()).flatmap(
        lambda bits: st.integers(0, min((1 << bits) + 1, MAX_US))
    ),
)
samples = st.lists(microseconds, min_size=1, max_size=200)


def hdr(values: list[int]) -> HdrHistogram:
    oracle = HdrHistogram(1, MAX_US, 3)
    for value in values:
        assert oracle.record_value(value)
    return oracle


def recorded(values: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.record(value / 1e6)
    return histogram


@given(microseconds)
def test_values_are_quantised_as_in_hdrhistogram(us: int) -> None:
    oracle = HdrHistogram(1, MAX_US, 3)
    assert bucket_us(us) == oracle.get_lowest_equivalent_value(us)
    assert us - bucket_us(us) <= us / 1000


@given(samples)
def test_content_is_that_of_hdrhistogram(values: list[int]) -> None:
    oracle = hdr(values)
    counts = {
        oracle.get_lowest_equivalent_value(item.value_iterated_to): item.count_at_value_iterated_to
        for item in oracle.get_recorded_iterator()
    }
    assert recorded(values).to_list() == sorted(counts.items())


@given(samples, st.lists(st.floats(0, 100, exclude_min=True), min_size=1, max_size=5))
def test_percentiles_are_those_of_hdrhistogram(values: list[int], qs: list[float]) -> None:
    histogram = recorded(values)
    for q, value in hdr(values).get_percentile_to_value_dict(qs).items():
        assert histogram.percentile(q) == min(value, max(values)) / 1e6


@given(samples)
def test_extremes_and_mean_are_exact(values: list[int]) -> None:
    histogram = recorded(values)
    assert histogram.count == len(values)
    assert histogram.percentile(0) == histogram.min_s == min(values) / 1e6
    assert histogram.percentile(100) == histogram.max_s == max(values) / 1e6
    assert histogram.mean_s == sum(values) / len(values) / 1e6


@given(st.lists(st.lists(microseconds, max_size=20), max_size=6))
def test_merging_is_recording_everything_in_one(groups: list[list[int]]) -> None:
    merged = Histogram()
    for values in reversed(groups):
        merged.merge(recorded(values))
    assert merged == recorded([value for values in groups for value in values])


def test_merging_leaves_the_other_alone() -> None:
    one, other = recorded([1, 2]), recorded([5])
    one.merge(other)
    one.record(5e-6)
    assert other == recorded([5])


@given(samples, st.integers(1, 5))
def test_recording_in_several_is_recording_in_each(values: list[int], count: int) -> None:
    several = [Histogram(), recorded([7])]
    for value in values:
        record(several, value / 1e6, count)
    assert several == [recorded(values * count), recorded([7, *values * count])]


@pytest.mark.parametrize(
    ("seconds", "us"),
    [
        (-1.0, 0),
        (-math.inf, 0),
        (math.nan, 0),
        (0.49e-6, 0),
        (0.51e-6, 1),
        (math.inf, MAX_US),
        (1e300, MAX_US),
        (MAX_S, MAX_US),
    ],
)
def test_any_number_can_be_recorded(seconds: float, us: int) -> None:
    histogram = Histogram()
    histogram.record(seconds)
    assert (histogram.min_us, histogram.max_us, histogram.sum_us) == (us, us, us)
    assert histogram.percentile(50) == us / 1e6


def test_the_empty_histogram_is_all_zero() -> None:
    assert Histogram().spread() == Spread()
    assert Histogram().percentile(99) == 0
    assert Histogram().steps() == ()
    assert Histogram().to_list() == []


def test_spread_of_a_known_distribution() -> None:
    spread = recorded(list(range(1, 1001))).spread()
    assert spread == Spread(
        count=1000, min_s=1e-6, mean_s=500.5e-6, max_s=1000e-6,
        p50_s=500e-6, p90_s=900e-6, p95_s=950e-6, p99_s=990e-6, p999_s=999e-6,
    )  # fmt: skip


def test_what_is_read_is_never_out_of_date() -> None:
    histogram = recorded([10])
    assert histogram.percentile(100) == 10e-6
    histogram.record(20e-6)
    assert histogram.percentile(100) == 20e-6
    histogram.merge(recorded([30]))
    assert histogram.percentile(100) == 30e-6
    assert sum(count for _, _, count in histogram.steps()) == 3


@given(samples, st.integers(1, 20))
def test_steps_cover_the_range_in_equal_ratios(values: list[int], n: int) -> None:
    histogram = recorded(values)
    steps = histogram.steps(n)
    assert 1 <= len(steps) <= n
    assert steps[0][0] == max(min(values), 1) / 1e6
    assert steps[-1][1] == max(*values, 1, 1) / 1e6
    assert all(one[1] == following[0] for one, following in pairwise(steps))
    ratios = [high / low for low, high, _ in steps]
    assert ratios == pytest.approx([ratios[0]] * len(steps))
    # A bucket counts where its lowest value is.
    for low, high, count in steps[1:-1]:
        assert count == sum(low * 1e6 <= bucket_us(value) < high * 1e6 for value in values)
    assert sum(count for _, _, count in steps) == len(values)


def test_steps_are_not_finer_than_a_percent() -> None:
    assert recorded([100_000] * 3).steps() == ((0.1, 0.1, 3),)
    assert recorded([100_000, 100_900]).steps() == ((0.1, 0.1009, 2),)
    assert [count for _, _, count in recorded([100_000, 102_900]).steps()] == [1, 0, 1]


def test_steps_within_another_range_have_its_bounds() -> None:
    whole, part = recorded([1000, 8000]), recorded([500, 1500, 3000, 20_000])
    bounds = [step[:2] for step in whole.steps(3)]
    assert bounds == [
        pytest.approx(pair) for pair in [(0.001, 0.002), (0.002, 0.004), (0.004, 0.008)]
    ]
    assert [step[:2] for step in part.steps(3, within=whole)] == bounds
    assert [step[2] for step in part.steps(3, within=whole)] == [2, 1, 1]
    assert [step[2] for step in Histogram().steps(3, within=whole)] == [0, 0, 0]
    assert part.steps(within=Histogram()) == ()


@given(st.lists(microseconds, max_size=50))
def test_list_and_extremes_make_the_same_histogram(values: list[int]) -> None:
    histogram = recorded(values)
    again = Histogram.from_list(
        histogram.to_list(),
        min_us=histogram.min_us,
        max_us=histogram.max_us,
        sum_us=histogram.sum_us,
    )
    assert again == histogram


@given(samples)
def test_list_alone_makes_one_within_a_bucket(values: list[int]) -> None:
    histogram = recorded(values)
    again = Histogram.from_list(histogram.to_list())
    assert again.to_list() == histogram.to_list()
    assert again.mean_s == pytest.approx(histogram.mean_s, rel=0.001)


@given(samples, st.integers(1, 100), st.lists(st.floats(0, 100), min_size=1, max_size=5))
def test_a_thin_histogram_keeps_as_much_as_fits(
    values: list[int], most: int, qs: list[float]
) -> None:
    exact, thin = recorded(values), recorded(values)
    thin.percentile(50)
    thin.thin(most)

    octaves = len({us.bit_length() for us in exact.buckets})
    assert len(thin.buckets) <= max(most, octaves)
    assert (thin.count, thin.sum_us) == (exact.count, exact.sum_us) == (len(values), sum(values))
    assert sum(thin.buckets.values()) == len(values)
    tops = {bits: {_top(us, bits) for us in exact.buckets} for bits in range(1, 12)}
    bits = max(b for b, distinct in tops.items() if b == 1 or len(distinct) <= most)
    for q in qs:
        of_exact = exact.percentile(q)
        assert thin.percentile(q) == pytest.approx(of_exact, rel=2.0**-bits + 2.0**-10, abs=1e-6)
    if bits == 11:
        assert thin == exact


def _top(us: int, bits: int) -> int:
    shift = max(us.bit_length() - bits, 0)
    return us >> shift << shift


def test_what_is_added_to_a_thin_histogram_counts() -> None:
    histogram = Histogram()
    for n in range(50):
        for us in range(1000 * n, 1000 * n + 1000, 7):
            histogram.record(us / 1e6)
        histogram.thin(64)

    assert len(histogram.buckets) <= 64
    for q in (10, 50, 99):
        assert histogram.percentile(q) == pytest.approx(0.050 * q / 100, rel=0.05)


@pytest.mark.parametrize(
    ("pairs", "extremes"),
    [
        ([(-1, 1)], {}),
        ([(MAX_US + 1, 1)], {}),
        ([("1", 1)], {}),
        ([(True, 1)], {}),
        ([(1, 0)], {}),
        ([(1, 1.5)], {}),
        ([(1, 1)], {"min_us": 2}),
        ([(1, 1)], {"max_us": 2.0}),
        ([(4096, 1)], {"max_us": 4100}),
        ([(1, 2), (3, 1)], {"sum_us": 10}),
        ([(1, 2), (3, 1)], {"sum_us": 2}),
        ([], {"sum_us": 1}),
        ([], {"min_us": 1}),
    ],
)
def test_a_list_that_is_none_is_refused(
    pairs: list[tuple[int, int]], extremes: dict[str, int]
) -> None:
    with pytest.raises(ValueError, match=r"not a |doesn't belong"):
        Histogram.from_list(pairs, **extremes)


@pytest.mark.parametrize("sigma", [0.1, 1.0, 2.5])
def test_percentiles_of_a_million_are_exact_to_a_thousandth(sigma: float) -> None:
    rng = random.Random(1)
    values = [rng.lognormvariate(-2, sigma) for _ in range(1_000_000)]
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    values.sort()
    for q in (1, 10, 50, 90, 95, 99, 99.9, 99.99, 99.999):
        exact = values[max(round(q * len(values) / 100), 1) - 1]
        # Beside the 0.1 %, what is recorded is rounded to microseconds.
        assert histogram.percentile(q) == pytest.approx(exact, rel=0.001, abs=1e-6)
