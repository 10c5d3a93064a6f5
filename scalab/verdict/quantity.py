"""The values that thresholds compare with: read with or without a unit, and written back."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from scalab.errors import ConfigError
from scalab.load.units import format_duration, format_rate, parse_duration, parse_rate, plain, shown

from .metrics import Kind

NUMBER: Final = r"[0-9]{1,12}(?:\.[0-9]{1,12})?"
_PLAIN = re.compile(NUMBER)
EXAMPLES: Final[dict[Kind, str]] = {
    "duration": "2s or 500ms",
    "share": "0.1% or 0.001",
    "rate": "50/s or 3000/min",
    "count": "100",
    "ratio": "0.95",
}
"""How a value of each kind is written."""


def kind_of(text: str) -> Kind | None:
    """Return what a value is by its unit, or None if it has none."""
    unit = text.lstrip("0123456789. ")
    if not unit:
        return None
    if unit.startswith("/"):
        return "rate"
    return "share" if unit.startswith("%") else "duration"


def parse_value(text: str, kind: Kind, what: str) -> float:
    """Return a value in seconds, per second, or from 0 to 1.

    Without a unit, a duration is in seconds, a rate per second, and a share a part of 1.

    Args:
        text: Such as ``500ms``.
        kind: What it must be.
        what: What it is for, to begin an error with.

    Raises:
        ConfigError: It is something else, or can't be.
    """
    other = kind_of(text) or kind
    if other != kind:
        example = EXAMPLES[kind]
        raise ConfigError(f"{what} is a {kind}; {text} is a {other}: write e.g. {example}")
    if kind == "duration":
        return parse_duration(text, what)
    if kind == "rate":
        return parse_rate(text, what)
    percent = text.endswith("%")
    number = text.removesuffix("%").rstrip()
    if not _PLAIN.fullmatch(number):
        raise ConfigError(f"{what} is a {kind}; {shown(text)} is none: write e.g. {EXAMPLES[kind]}")
    return _bounded(Decimal(number).scaleb(-2 if percent else 0), percent, kind, what)


def _bounded(number: Decimal, percent: bool, kind: Kind, what: str) -> float:
    if kind == "count" and number != int(number):
        raise ConfigError(f"{what} is a count; {number} is no whole number")
    if kind == "share" and number == 1 and not percent:
        # Either could be meant, and a limit of 100 % by mistake would never be crossed.
        raise ConfigError(f"{what} is a share, and 1 means all: write 1% or 100%")
    if kind in {"share", "ratio"} and number > 1:
        raise ConfigError(
            f"{what} is at most {'100%' if percent else 1}: write e.g. {EXAMPLES[kind]}"
        )
    return float(number)


def write_value(value: float, kind: Kind) -> str:
    """Write a value so that ``parse_value`` returns the very same number.

    >>> [write_value(0.001, kind) for kind in ("duration", "share", "rate", "ratio")]
    ['1ms', '0.1%', '0.001/s', '0.001']
    """
    if kind == "duration":
        return format_duration(value)
    if kind == "rate":
        return format_rate(value)
    if kind == "share":
        return f"{Decimal(repr(value)).scaleb(2).normalize():f}%"
    return plain(value)
