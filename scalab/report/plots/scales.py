"""Where a value lies on an axis, and which values are labelled."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import attrs

_NICE: Final = (1, 2, 5, 10)
_CLOCK_S: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800)
_HOURS: Final = (1, 2, 3, 6, 12, 24)
_ROOM: Final = 1.06  # left above the highest value, as a ratio
_UNITS: Final = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


@attrs.frozen
class Tick:
    """A labelled value."""

    at: float
    """Where on the axis, from 0 to 1."""
    label: str
    minor: bool = False
    """Left out where there is little room."""


@attrs.frozen
class Scale:
    """An axis: its range, its ticks, and how values are laid out on it."""

    low: float
    """The value at 0; the values of all axes are those after ``warp``."""
    high: float
    ticks: tuple[Tick, ...]
    warp: Callable[[float], float] = float
    log: bool = False

    def at(self, value: float) -> float:
        """Return where a value lies, from 0 to 1; values off the range lie at its end."""
        return min(max((self.warp(value) - self.low) / (self.high - self.low), 0.0), 1.0)


def linear(high: float, *, low: float = 0.0) -> Scale:
    """Return an axis from ``low`` to a little more than ``high``, with round ticks."""
    if not high > low:
        high = low + 1.0
    step = nice_step((high - low) / 5)
    top = low + (high - low) * _ROOM
    # A product, not a running sum: 3 * 0.1 is off by less than ten additions are.
    values = [i * step for i in range(math.ceil(low / step), math.floor(top / step) + 1)]
    return _scale(low, top, [(value, number(value, step)) for value in values])


def durations(high_s: float, low_s: float | None = None) -> Scale:
    """Return an axis for durations: from 0 and in one unit, or logarithmic from ``low_s``.

    Args:
        high_s: The longest shown.
        low_s: The shortest one; None = the axis is linear.
    """
    if low_s is not None and 0 < low_s < high_s:
        return logarithmic(low_s, high_s)
    if not high_s > 0:
        high_s = 1.0
    unit, name = _unit(high_s)
    scale = linear(high_s / unit)
    ticks = [
        attrs.evolve(tick, label=f"{tick.label} {name}" if tick.at else "0") for tick in scale.ticks
    ]
    return Scale(0.0, scale.high * unit, tuple(ticks))


def logarithmic(low_s: float, high_s: float) -> Scale:
    """Return a logarithmic axis for durations.

    Ticks are at 1, 2 and 5 times powers of ten, or at these alone if there are many.

    Args:
        low_s: The shortest shown, more than 0.
        high_s: The longest.
    """
    low, high = math.log10(low_s / _ROOM), math.log10(high_s * _ROOM)
    steps = (1, 2, 5) if high - low < 2 else (1,)
    decades = range(math.floor(low), math.ceil(high), 1 if high - low < 8 else 2)
    values = [n * 10.0**decade for decade in decades for n in steps]
    labelled = [(math.log10(v), _duration(v)) for v in values if low <= math.log10(v) <= high]
    return _scale(low, high, labelled, warp=_log10, log=True)


def clock(high_s: float, low_s: float = 0.0) -> Scale:
    """Return an axis for time since a start, which ends where time ends."""
    if not high_s > low_s:
        high_s = low_s + 1.0
    steps = (*_CLOCK_S, *(hours * 3600 for hours in _HOURS))
    wanted = (high_s - low_s) / 6
    step = next((s for s in steps if s >= wanted * 0.8), None) or nice_step(wanted / 86400) * 86400
    first = math.ceil(low_s / step - 1e-9)
    values = [i * step for i in range(first, math.floor(high_s / step + 1e-9) + 1)]
    short = high_s < 100 and step < 60
    return _scale(
        low_s, high_s, [(value, f"{value:g} s" if short else at_clock(value)) for value in values]
    )


def tail(count: int) -> Scale:
    """Return an axis for percentiles, as shares, on which 90, 99, 99.9 % are equally far apart.

    Args:
        count: The values there are: the axis ends where a single one of them is left.
    """
    nines = max(math.log10(max(count, 1)), 1.0)
    whole = math.floor(nines + 1e-9)
    places = [(0.0, "0 %"), (_tail(0.5), "50 %"), (1.0, "90 %"), (2.0, "99 %")]
    places += [(float(n), f"99.{'9' * (n - 2)} %") for n in range(3, whole + 1)]
    if many := whole > 3:
        del places[0]
    ticks = (
        Tick(min(at / nines, 1.0), label, minor=not at or (many and i % 2 == 1))
        for i, (at, label) in enumerate(places[: whole + 1 + (not many)])
    )
    return Scale(0.0, nines, tuple(ticks), warp=_tail)


def nice_step(wanted: float) -> float:
    """Return 1, 2 or 5 times a power of ten: the nearest that is not smaller.

    >>> [nice_step(s) for s in (0.03, 1, 7, 1200)]
    [0.05, 1.0, 10.0, 2000.0]
    """
    power = 10.0 ** math.floor(math.log10(wanted))
    factor = next((n for n in _NICE if n * power >= wanted * (1 - 1e-9)), 10)
    # Dividing by 20 is right to the last bit where multiplying by 0.05 is not.
    return factor * power if power >= 1 else factor / round(1 / power)


def number(value: float, step: float) -> str:
    """Write a tick with the decimals that its step needs.

    >>> number(1500, 500), number(0.30000000000000004, 0.1)
    ('1,500', '0.3')
    """
    decimals = max(-math.floor(math.log10(step) + 1e-9), 0)
    return f"{value:,.{decimals}f}" if value else "0"


def at_clock(seconds: float) -> str:
    """Write a time since a start.

    >>> [at_clock(s) for s in (0, 90, 3725, 90061)]
    ['0:00', '1:30', '1:02:05', '25:01:01']
    """
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02}"
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def _scale(
    low: float,
    high: float,
    labelled: Sequence[tuple[float, str]],
    *,
    warp: Callable[[float], float] = float,
    log: bool = False,
) -> Scale:
    """Lay out labels; every second one is minor where there are many."""
    many = len(labelled) > 5
    ticks = tuple(
        Tick((value - low) / (high - low), label, minor=many and i % 2 == 1)
        for i, (value, label) in enumerate(labelled)
    )
    return Scale(low, high, ticks, warp, log)


def _log10(value: float) -> float:
    return math.log10(value) if value > 0 else -math.inf


def _tail(share: float) -> float:
    return math.log10(1 / (1 - share)) if share < 1 else math.inf


def _duration(seconds: float) -> str:
    unit, name = _unit(seconds)
    return f"{seconds / unit:,.4g} {name}"


def _unit(seconds: float) -> tuple[float, str]:
    """Return the unit, in seconds and by name, in which a duration is written."""
    return next((unit for unit in _UNITS if seconds >= unit[0] * 0.999), _UNITS[-1])
