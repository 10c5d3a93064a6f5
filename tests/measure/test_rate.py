"""The rate of the last two seconds."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from scalab.measure.rate import RecentRate

hundredths = st.integers(0, 800).map(lambda n: n / 100)
# No instant is near a bin's bound, which floats can't name exactly.
starts = hundredths.map(lambda start: start + 0.005)


@given(starts, st.lists(hundredths, max_size=60), hundredths)
def test_rate_is_what_came_in_the_last_twenty_bins(
    start: float, times: list[float], end: float
) -> None:
    times = sorted(start + t for t in times)
    now = max([start, *times]) + end
    recent = RecentRate(start)
    for time in times:
        recent.add(time)
    since = int(now * 10) / 10 - 1.9
    expected = sum(time > since for time in times) / max(now - max(since, start), 0.1)
    assert recent.rate(now) == pytest.approx(expected)
    assert recent.rate(now) == pytest.approx(expected)  # reading changes nothing


def test_a_steady_rate_is_seen_at_once_and_stays() -> None:
    recent = RecentRate(100.0)
    for n in range(1, 5001):
        now = 100 + n / 1000
        recent.add(now)
        if n > 100:
            assert recent.rate(now) == pytest.approx(1000, rel=0.02)


def test_the_first_instant_is_no_infinite_rate() -> None:
    recent = RecentRate(7.0)
    assert recent.rate(7.0) == 0
    recent.add(7.0)
    assert recent.rate(7.0) == 10


def test_what_is_long_past_is_forgotten() -> None:
    recent = RecentRate(0.0)
    recent.add(1.05)
    assert recent.rate(2.05) > 0
    assert recent.rate(3.15) == 0
    recent.add(1e6)
    assert recent.rate(1e6) == pytest.approx(1 / 1.9)
