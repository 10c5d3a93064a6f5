"""Numbers for people: durations, counts, rates and shares with three significant figures."""

from __future__ import annotations

from collections.abc import Sequence

_BARS = "▁▂▃▄▅▆▇█"


def _figures(value: float) -> str:
    """Write a number from 0 to 999 with three significant figures: 1.23, 12.3, 123."""
    if value < 9.995:
        return f"{value:.2f}"
    return f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


def format_duration(seconds: float) -> str:
    """Write a duration in the unit that suits it, in at most 7 characters.

    >>> [format_duration(s) for s in (0, 0.000871, 0.01234, 1.5, 123.4, 754, 7384)]
    ['0 s', '871 µs', '12.3 ms', '1.50 s', '123 s', '12m 34s', '2h 03m']
    """
    if seconds <= 0:
        return "0 s"
    if seconds < 999.5e-6:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 999.5e-3:
        return f"{_figures(seconds * 1e3)} ms"
    if seconds < 299.5:
        return f"{_figures(seconds)} s"
    if seconds < 3599.5:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes}m {rest:02}s"
    hours, rest = divmod(round(seconds / 60), 60)
    return f"{hours}h {rest:02}m"


def format_count(n: int) -> str:
    """Write a count with its thousands set apart.

    >>> format_count(1234567)
    '1,234,567'
    """
    return f"{n:,}"


def format_rate(per_s: float) -> str:
    """Write something per second.

    >>> [format_rate(r) for r in (0, 0.0123, 1.5, 512.34, 54321.9)]
    ['0/s', '0.0123/s', '1.50/s', '512.3/s', '54,322/s']
    """
    if per_s <= 0:
        return "0/s"
    if per_s < 0.9995:
        return f"{per_s:.3g}/s"
    if per_s < 99.95:
        return f"{_figures(per_s)}/s"
    return f"{per_s:,.1f}/s" if per_s < 9999.95 else f"{per_s:,.0f}/s"


def format_share(part: float, whole: float) -> str:
    """Write a share in percent; one that is neither nothing nor all never reads as such.

    >>> [format_share(n, 100000) for n in (0, 1, 314, 33400, 99999, 100000)]
    ['0 %', '<0.01 %', '0.31 %', '33.4 %', '>99.9 %', '100 %']
    """
    if part <= 0 or whole <= 0:
        return "0 %"
    percent = 100 * part / whole
    if percent < 0.01:
        return "<0.01 %"
    if part < whole and percent >= 99.95:
        return ">99.9 %"
    return f"{_figures(percent)} %"


def format_ratio(high: float, low: float) -> str:
    """Write how many times ``low`` goes into ``high``.

    >>> format_ratio(3, 2)
    '1.50x'
    """
    ratio = high / low
    return f"{_figures(ratio)}x" if ratio < 999.5 else f"{ratio:,.0f}x"


def format_bars(counts: Sequence[int]) -> str:
    """Draw counts as bars, one character each; the highest is full, and only 0 is blank.

    >>> format_bars((0, 1, 50, 100))
    ' ▁▄█'
    """
    most = max(counts, default=0)
    return "".join(_BARS[max(-(-n * len(_BARS) // most) - 1, 0)] if n else " " for n in counts)
