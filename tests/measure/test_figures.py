"""Numbers as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from scalab.measure.figures import (
    format_bars,
    format_count,
    format_duration,
    format_rate,
    format_ratio,
    format_share,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (-1, "0 s"),
        (1e-6, "1 µs"),
        (999.4e-6, "999 µs"),
        (999.6e-6, "1.00 ms"),
        (9.994e-3, "9.99 ms"),
        (9.996e-3, "10.0 ms"),
        (99.96e-3, "100 ms"),
        (999.6e-3, "1.00 s"),
        (59.94, "59.9 s"),
        (299.4, "299 s"),
        (299.6, "5m 00s"),
        (3599.4, "59m 59s"),
        (3599.6, "1h 00m"),
        (7384, "2h 03m"),
        (604800, "168h 00m"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def seconds_of(text: str) -> float:
    units = {"µs": 1e-6, "ms": 1e-3, "s": 1.0}
    number, unit = text.split()
    if unit in units:
        return float(number) * units[unit]
    factor = {"m": 60, "h": 3600}[number[-1]]
    return int(number[:-1]) * factor + int(unit[:-1]) * factor / 60


@given(st.integers(1, 99 * 3600 * 10**6).map(lambda us: us / 1e6) | st.floats(1e-6, 10))
def test_a_duration_says_what_it_is_in_seven_characters(seconds: float) -> None:
    text = format_duration(seconds)
    assert len(text) <= 7
    assert seconds_of(text) == pytest.approx(seconds, rel=0.0085, abs=0.51e-6)


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (0, "0/s"),
        (0.00012345, "0.000123/s"),
        (0.9994, "0.999/s"),
        (0.9996, "1.00/s"),
        (99.94, "99.9/s"),
        (99.96, "100.0/s"),
        (1234.56, "1,234.6/s"),
        (9999.96, "10,000/s"),
        (1234567.8, "1,234,568/s"),
    ],
)
def test_rates(rate: float, text: str) -> None:
    assert format_rate(rate) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 0, "0 %"),
        (0, 5, "0 %"),
        (1, 10**6, "<0.01 %"),
        (1, 10**4, "0.01 %"),
        (1, 3, "33.3 %"),
        (9994, 10**4, "99.9 %"),
        (10**6 - 1, 10**6, ">99.9 %"),
        (5, 5, "100 %"),
    ],
)
def test_shares(part: int, whole: int, text: str) -> None:
    assert format_share(part, whole) == text


def test_counts_and_ratios() -> None:
    assert format_count(999) == "999"
    assert format_count(12345) == "12,345"
    assert format_ratio(9, 4) == "2.25x"
    assert format_ratio(123456, 1) == "123,456x"


@given(st.lists(st.integers(0, 10**9), max_size=12))
def test_bars_show_the_order_and_hide_nothing(counts: list[int]) -> None:
    bars = format_bars(counts)
    assert len(bars) == len(counts)
    assert [bar == " " for bar in bars] == [n == 0 for n in counts]
    assert [bar == "█" for bar in bars if bar == "█"][:1] == [True] * (max(counts, default=0) > 0)
    for a, height_a in zip(counts, bars, strict=True):
        for b, height_b in zip(counts, bars, strict=True):
            assert not (a < b and height_a > height_b)
