"""Durations and rates: read exactly, written back, and refused in one clear line."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, strategies as st

from scalab.errors import ConfigError
from scalab.load.units import (
    DURATION_MAX_S,
    DURATION_MIN_S,
    RATE_MAX,
    RATE_MIN,
    exact,
    format_duration,
    format_level,
    format_rate,
    parse_duration,
    parse_rate,
    plain,
)

durations = st.just(0.0) | st.floats(DURATION_MIN_S, DURATION_MAX_S)
rates = st.just(0.0) | st.floats(RATE_MIN, RATE_MAX)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("60s", 60.0),
        ("5m", 300.0),
        ("5min", 300.0),
        ("1.5h", 5400.0),
        ("365d", 365 * 86400.0),
        ("90", 90.0),
        (" 0.1 s ", 0.1),
        ("100ms", 0.1),
        ("7us", 7e-6),
        ("7µs", 7e-6),
        ("0", 0.0),
    ],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("50/s", 50.0),
        ("3000/min", 50.0),
        ("3000/m", 50.0),
        ("3600/h", 1.0),
        ("50", 50.0),
        ("0.1 / s", 0.1),
        ("100/min", 100 / 60),
        ("1/h", 1 / 3600),
        ("0", 0.0),
    ],
)
def test_rates_are_read(text: str, rate: float) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    "text",
    ["", "s", "-1s", "+1s", "1e3", "nan", "inf", "1.s", ".5s", "1 week", "1s2", "٣s", "1" * 99],
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^--delay: \".*\" is no duration; write for example"):
        parse_duration(text, "--delay")


@pytest.mark.parametrize(
    "text",
    ["", "/s", "-1/s", "1e3/s", "nan/s", "5/week", "5/1s", "5s", "5/", "٣/s", "0." + "1" * 99],
)
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^rate: \".*\" is no rate; write for example"):
        parse_rate(text)


@pytest.mark.parametrize(
    ("parse", "text", "error"),
    [
        (parse_duration, "365.0001d", "longer than 365 days"),
        (parse_duration, "0.0000000009s", "shorter than a nanosecond"),
        (parse_rate, "1000000.1/s", "more than 1000000/s"),
        (parse_rate, "0.003/h", "less than one in 11 days"),
    ],
)
def test_what_is_out_of_bounds_is_refused(parse: object, text: str, error: str) -> None:
    assert callable(parse)
    with pytest.raises(ConfigError, match=error):
        parse(text)


def test_errors_are_one_short_line() -> None:
    with pytest.raises(ConfigError) as error:
        parse_duration("5\n\x1b[2J" + "x" * 5000)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 200


@given(durations)
def test_durations_are_read_as_they_were_written(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@given(rates)
def test_rates_are_read_as_they_were_written(rate: float) -> None:
    assert parse_rate(format_rate(rate)) == rate


@given(st.integers(0, 10**6), st.sampled_from(["s", "min", "h"]))
def test_round_rates_are_written_without_fractions(n: int, unit: str) -> None:
    text = format_rate(parse_rate(f"{n}/{unit}"))
    assert parse_rate(text) == parse_rate(f"{n}/{unit}")
    assert len(text) <= 12


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0s"),
        (0.25, "250ms"),
        (7e-6, "7us"),
        (60.0, "1m"),
        (90.0, "90s"),
        (5400.0, "90m"),
        (86400.0, "1d"),
        (1.5, "1.5s"),
        (1e-9, "0.000000001s"),
    ],
)
def test_durations_are_written_in_the_unit_that_suits(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_levels_have_a_unit_in_an_open_loop_only() -> None:
    assert format_level(50.0, "open") == "50/s"
    assert format_level(100 / 60, "open") == "100/min"
    assert format_level(1 / 3600, "open") == "1/h"
    assert format_level(0.5, "open") == "0.5/s"
    assert format_level(50.0, "closed") == "50"
    assert [plain(1e-7), plain(100.0), plain(0.0)] == ["0.0000001", "100", "0"]


@given(st.integers(0, 10**9), st.sampled_from([1, 3, 7, 10, 60, 1000, 3600, 10**9]))
def test_the_fraction_that_was_meant_is_found(n: int, denominator: int) -> None:
    meant = Fraction(n, denominator)
    if denominator <= 3600 and n <= 10**6 * denominator:
        assert exact(float(meant)) == meant
    assert float(exact(float(meant))) == float(meant)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_fraction_that_was_meant_is_the_same_float(value: float) -> None:
    assert float(exact(value)) == value


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_no_fraction(value: float) -> None:
    with pytest.raises(ValueError):
        exact(value)
