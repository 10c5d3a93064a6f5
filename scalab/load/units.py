"""Durations and rates as people write them: ``250ms``, ``1.5h``, ``50/s``, ``3000/min``.

What is written here is read back as exactly the same number.
"""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from typing import Final, Literal

from scalab.errors import ConfigError
from scalab.protocol.text import printable

Kind = Literal["closed", "open"]
"""Whether levels are numbers of parallel requests, or rates."""

DURATION_MAX_S: Final = 365 * 86400.0
DURATION_MIN_S: Final = 1e-9
"""Shortest duration but 0; with 17 significant figures it still fits what is read."""
RATE_MAX: Final = 1e6
RATE_MIN: Final = 1e-6
"""Lowest rate per second but 0."""
PARALLEL_MAX: Final = 1_000_000

_NUMBER = r"([0-9]{1,12}(?:\.[0-9]{1,30})?)"
_SECONDS: Final = {
    "us": Fraction(1, 1_000_000),
    "µs": Fraction(1, 1_000_000),
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "m": Fraction(60),
    "min": Fraction(60),
    "h": Fraction(3600),
    "d": Fraction(86400),
}
_DURATION = re.compile(_NUMBER + r"\s*(us|µs|ms|s|m|min|h|d)?")
_RATE = re.compile(_NUMBER + r"\s*(?:/\s*(s|m|min|h))?")


def shown(text: str) -> str:
    """Return ``text`` in quotes for an error, on one line and not too long."""
    return f'"{printable(text, 60)}"'


def exact(value: float) -> Fraction:
    """Return the fraction that was meant by ``value``: 1/10 for 0.1, 5/3 for 1.6666666666666667.

    It differs from ``value`` by less than what a float can tell apart. Schedules are computed with
    it, so that 100 a minute for one minute are 100 and not 101.

    Raises:
        ValueError: ``value`` is not finite.
    """
    try:
        simple = Fraction(value).limit_denominator(3_600_000)
        return simple if float(simple) == value else Fraction(repr(float(value)))
    except OverflowError:
        raise ValueError(f"{value} is not finite") from None


def parse_duration(text: str, what: str = "duration") -> float:
    """Return seconds for ``250ms``, ``60s``, ``5m``, ``1.5h``, ``2d`` or ``90`` (seconds).

    Args:
        text: What was written.
        what: What it was written for, to begin an error with.

    Raises:
        ConfigError: It is no duration, or longer than 365 days.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ConfigError(f"{what}: {shown(text)} is no duration; write for example 250ms, 60s, 5m")
    seconds = float(Fraction(match[1]) * _SECONDS[match[2] or "s"])
    if seconds > DURATION_MAX_S:
        raise ConfigError(f"{what}: {shown(text)} is longer than 365 days (365d)")
    if 0 < seconds < DURATION_MIN_S:
        raise ConfigError(f"{what}: {shown(text)} is shorter than a nanosecond")
    return seconds


def format_duration(seconds: float) -> str:
    """Write a duration so that ``parse_duration`` returns the very same number.

    >>> [format_duration(s) for s in (0.25, 60.0, 90.0, 5400.0, 1.5)]
    ['250ms', '1m', '90s', '90m', '1.5s']
    """
    for unit in ("d", "h", "m", "s") if seconds >= 1 else ("ms", "us"):
        number = round(exact(seconds) / _SECONDS[unit])
        if number and float(number * _SECONDS[unit]) == seconds:
            return f"{number}{unit}"
    return f"{plain(seconds)}s"


def parse_rate(text: str, what: str = "rate") -> float:
    """Return how many per second ``50/s``, ``3000/min``, ``3600/h`` or ``50`` (per second) are.

    Args:
        text: What was written.
        what: What it was written for, to begin an error with.

    Raises:
        ConfigError: It is no rate, or out of bounds.
    """
    match = _RATE.fullmatch(text.strip())
    if match is None:
        raise ConfigError(f"{what}: {shown(text)} is no rate; write for example 50/s or 3000/min")
    rate = float(Fraction(match[1]) / _SECONDS[match[2] or "s"])
    if rate > RATE_MAX:
        raise ConfigError(f"{what}: {shown(text)} is more than {RATE_MAX:.0f}/s")
    if 0 < rate < RATE_MIN:
        raise ConfigError(f"{what}: {shown(text)} is less than one in 11 days; the lowest is 0")
    return rate


def format_rate(rate: float) -> str:
    """Write a rate so that ``parse_rate`` returns the very same number.

    >>> [format_rate(r) for r in (50.0, 0.5, 100 / 60, 1 / 3600)]
    ['50/s', '0.5/s', '100/min', '1/h']
    """
    decimal = plain(rate)
    if len(decimal) > 6:  # a rate a minute or an hour reads better than many digits
        for unit in ("min", "h"):
            number = round(exact(rate) * _SECONDS[unit])
            if number and float(number / _SECONDS[unit]) == rate:
                return f"{number}/{unit}"
    return f"{decimal}/s"


def format_level(level: float, kind: Kind) -> str:
    """Write a level of a load: a rate for an open loop, a plain number for a closed one.

    >>> format_level(50.0, "open"), format_level(50.0, "closed")
    ('50/s', '50')
    """
    return format_rate(level) if kind == "open" else plain(level)


def plain(number: float) -> str:
    """Write a number with all its figures, without exponent, and no ``.0``.

    >>> plain(50.0), plain(1e-7)
    ('50', '0.0000001')
    """
    text = f"{Decimal(repr(float(number))):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
