"""Statistics for people to read: a summary for a terminal, as plain text, and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import attrs
from rich.console import Console
from rich.text import Text

from .figures import format_duration, format_rate
from .layout import note
from .sections import Row, counted, errors, failed_parts, places, timings, title_line, unsent
from .statistics import Place, Statistics

__all__ = ["format_duration", "format_plain", "print_lines", "print_summary", "to_json", "to_plain"]

PLAIN_WIDTH = 100
"""Columns of a summary where there is no terminal to tell."""

_ASCII = str.maketrans("▁▂▃▄▅▆▇█─…·µ±✓✗", "_.:-=+*#-~-u~+x")


def print_summary(console: Console, statistics: Statistics, title: str) -> None:
    """Print a summary, by the rules of ``print_lines``.

    Args:
        console: Where to.
        statistics: What to report.
        title: The run in a few words, such as its queue and load.
    """
    print_lines(console, lambda width: _report(statistics, title, width))


def print_lines(console: Console, draw: Callable[[int], Iterable[Text]]) -> None:
    """Print lines that are laid out for a width.

    They get the terminal's, and at least ``PLAIN_WIDTH`` columns where there is none. What the
    output's encoding lacks is replaced.

    Args:
        console: Where to.
        draw: Returns the lines for a width.
    """
    for line in draw(console.width if console.is_terminal else max(console.width, PLAIN_WIDTH)):
        if console.options.ascii_only:
            plain = line.plain.translate(_ASCII).encode("ascii", "backslashreplace")
            line = Text(plain.decode("ascii"))  # noqa: PLW2901 - the same line
        line.rstrip()
        console.print(line, soft_wrap=True)


def format_plain(statistics: Statistics, title: str = "") -> str:
    """Return a summary as plain text, ``PLAIN_WIDTH`` columns wide, without colours."""
    return to_plain(_report(statistics, title, PLAIN_WIDTH))


def to_plain(lines: Iterable[Text]) -> str:
    """Return lines as plain text, without colours."""
    return "".join(f"{line.plain.rstrip()}\n" for line in lines)


def to_json(statistics: Statistics) -> dict[str, Any]:
    """Return the statistics as dicts, sequences, strings and numbers, ready to be encoded.

    The names are those of ``Statistics``: durations are in seconds and end in ``_s``. A step of a
    place's ``histogram`` is an object with ``from_s``, ``to_s`` and ``count``.
    """
    fields = attrs.asdict(statistics, recurse=False)
    for name in _SPREADS:
        fields[name] = attrs.asdict(fields[name])
    for name in ("nodes", "devices", "pods"):
        fields[name] = [_place_json(place) for place in fields[name]]
    fields["errors"] = [attrs.asdict(error) for error in statistics.errors]
    return fields


_SPREADS = ("wait", "run", "overhead", "total", "corrected", "delay", "late")


def _place_json(place: Place) -> dict[str, Any]:
    return attrs.asdict(place, recurse=False) | {
        "run": attrs.asdict(place.run),
        "histogram": [
            {"from_s": low, "to_s": high, "count": count} for low, high, count in place.histogram
        ],
        "errors": [attrs.asdict(error) for error in place.errors],
    }


# --- a summary -----------------------------------------------------------------------------


def _report(statistics: Statistics, title: str, width: int) -> Iterator[Text]:
    if title:
        yield title_line(title, width)
    yield from counted(_overview(statistics), width)
    if not statistics.completed:
        yield note("nothing completed in this window", width)
    else:
        yield from timings(statistics, width)
        yield from places("Nodes", statistics.nodes, width)
        yield from places("Devices", statistics.devices, width)
        yield from places("Pods", statistics.pods, width)
    yield from errors(statistics, width)


def _overview(statistics: Statistics) -> Iterator[Row]:
    rate = [f"{format_rate(statistics.throughput)} over {format_duration(statistics.window_s)}"]
    if statistics.failed and statistics.window_s > 0:
        rate.append(f"{format_rate(statistics.succeeded / statistics.window_s)} succeeded")
    failed = failed_parts(statistics)
    yield "completed", statistics.completed, "bold", rate
    yield "failed", statistics.failed, "bold red" if failed else "bold", failed
    yield "outstanding", statistics.outstanding, "bold", []
    yield from unsent(statistics)
    if statistics.attempts_max > 1:
        yield "attempts", statistics.attempts_max, "bold", ["at most, for one request"]
