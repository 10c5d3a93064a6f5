"""Statistics for people to read: the report at the end of a run, as plain text, and as JSON.

Names and error texts come from peers, so they only ever enter a report as literal, printable text,
never as markup, and are cut where that can be seen when they are longer than their column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Any

import attrs
from rich.console import Console
from rich.text import Text

from scalab.protocol.text import printable

from .figures import (
    format_bars,
    format_count,
    format_duration,
    format_rate,
    format_ratio,
    format_share,
)
from .layout import INDENT, NAME_WIDTH, Column, cut_end, cut_middle, heading, note, packed, table
from .statistics import Place, Spread, Statistics

__all__ = ["format_duration", "format_plain", "print_summary", "to_json"]

PLAIN_WIDTH = 100
"""Columns of the report where there is no terminal to tell."""

MAX_PLACES = 20
"""Nodes, devices and pods shown of each: the busiest."""
MAX_ERRORS = 10
"""Error texts shown: the most frequent."""

_UNEVEN = 1.1  # from this ratio on a difference between places is worth a word
_SLOW = 1.25  # a place whose median run is this much above the usual one is marked
_ENOUGH = 20  # runs from which on a place's median says something about the place
_COMPARED: dict[str, Callable[[Place], float]] = {
    "served": lambda place: place.served,
    "run p50": lambda place: place.run.p50_s,
}
_ASCII = str.maketrans("▁▂▃▄▅▆▇█─…·µ", "_.:-=+*#-~-u")


def print_summary(console: Console, statistics: Statistics, title: str) -> None:
    """Print the report at the end of a run.

    It takes the terminal's width, and at least ``PLAIN_WIDTH`` columns where there is none. What
    the output's encoding lacks is replaced.

    Args:
        console: Where to.
        statistics: What to report.
        title: The run in a few words, such as its queue and load.
    """
    width = console.width if console.is_terminal else max(console.width, PLAIN_WIDTH)
    for line in _report(statistics, title, width):
        if console.options.ascii_only:
            plain = line.plain.translate(_ASCII).encode("ascii", "backslashreplace")
            line = Text(plain.decode("ascii"))  # noqa: PLW2901 - the same line
        line.rstrip()
        console.print(line, soft_wrap=True)


def format_plain(statistics: Statistics, title: str = "") -> str:
    """Return the report as plain text, ``PLAIN_WIDTH`` columns wide, without colours."""
    lines = _report(statistics, title, PLAIN_WIDTH)
    return "".join(f"{line.plain.rstrip()}\n" for line in lines)


def to_json(statistics: Statistics) -> dict[str, Any]:
    """Return the statistics as dicts, sequences, strings and numbers, ready to be encoded.

    The names are those of ``Statistics``: durations are in seconds and end in ``_s``. A step of a
    place's ``histogram`` is an object with ``from_s``, ``to_s`` and ``count``.
    """
    fields = attrs.asdict(statistics, recurse=False)
    for name in ("wait", "run", "overhead", "total"):
        fields[name] = attrs.asdict(fields[name])
    for name in ("nodes", "devices", "pods"):
        fields[name] = [_place_json(place) for place in fields[name]]
    fields["errors"] = [attrs.asdict(error) for error in statistics.errors]
    return fields


def _place_json(place: Place) -> dict[str, Any]:
    return attrs.asdict(place, recurse=False) | {
        "run": attrs.asdict(place.run),
        "histogram": [
            {"from_s": low, "to_s": high, "count": count} for low, high, count in place.histogram
        ],
        "errors": [attrs.asdict(error) for error in place.errors],
    }


# --- the report ----------------------------------------------------------------------------


def _report(statistics: Statistics, title: str, width: int) -> Iterator[Text]:
    if title:
        line = Text(cut_end(printable(title), width - 4), "bold").append(" ")
        yield line.append("─" * (width - line.cell_len), "not bold dim")
    yield from _overview(statistics, width)
    if not statistics.completed:
        yield note("nothing completed in this window", width)
    else:
        yield from _timings(statistics, width)
        yield from _places("Nodes", statistics.nodes, width)
        yield from _places("Devices", statistics.devices, width)
        yield from _places("Pods", statistics.pods, width)
    yield from _errors(statistics, width)


def _overview(statistics: Statistics, width: int) -> Iterator[Text]:
    rate = [f"{format_rate(statistics.throughput)} over {format_duration(statistics.window_s)}"]
    failed = []
    if statistics.failed:
        if statistics.window_s > 0:
            rate.append(f"{format_rate(statistics.succeeded / statistics.window_s)} succeeded")
        failed.append(format_share(statistics.failed, statistics.succeeded + statistics.failed))
        kinds = sorted(statistics.failures.items(), key=lambda kind: -kind[1])
        failed += [f"{printable(kind)} {format_count(n)}" for kind, n in kinds if n]
    rows: list[tuple[str, int, str, list[str]]] = [
        ("completed", statistics.completed, "bold", rate),
        ("failed", statistics.failed, "bold red" if failed else "bold", failed),
        ("outstanding", statistics.outstanding, "bold", []),
    ]
    if statistics.attempts_max > 1:
        rows.append(("attempts", statistics.attempts_max, "bold", ["at most, for one request"]))
    digits = max(len(format_count(n)) for _, n, _, _ in rows)
    for what, n, style, parts in rows:
        line = Text(" " * INDENT).append(f"{what:<11}  ", "dim")
        line.append(f"{format_count(n):>{digits}}  ", style)
        start = line.cell_len
        first, *more = packed(parts, width - start) or [""]
        yield line.append(first)
        yield from (Text(" " * start + rest) for rest in more)


_TIMINGS = (
    ("min", 2, "min_s"),
    ("mean", 0, "mean_s"),
    ("p50", 0, "p50_s"),
    ("p90", 4, "p90_s"),
    ("p95", 3, "p95_s"),
    ("p99", 1, "p99_s"),
    ("p99.9", 4, "p999_s"),
    ("max", 0, "max_s"),
)


def _timings(statistics: Statistics, width: int) -> Iterator[Text]:
    spreads = {
        "wait": statistics.wait,
        "run": statistics.run,
        "overhead": statistics.overhead,
        "total": statistics.total,
    }
    columns = [
        Column(head, [_duration(s, getattr(s, field)) for s in spreads.values()], rank)
        for head, rank, field in _TIMINGS
    ]
    yield from heading("Time per request")
    yield from table(list(spreads), columns, width)
    ran = statistics.run.count
    if ran < statistics.total.count:
        yield note(
            f"total: of all {format_count(statistics.total.count)} replies; "
            f"the others: of the {format_count(ran)} that ran",
            width,
        )


def _places(kind: str, places: Sequence[Place], width: int) -> Iterator[Text]:
    if not places:
        return
    ranked = sorted(places, key=lambda place: (-place.served, place.name))
    shown, rest = ranked[:MAX_PLACES], ranked[MAX_PLACES:]
    served = sum(place.served for place in places)
    usual = median([place.run.p50_s for place in _telling(places)] or [0.0])
    columns = [
        Column("served", [Text(format_count(p.served)) for p in shown]),
        Column("share", [Text(format_share(p.served, served)) for p in shown], 4),
        Column("failed", [_failed(p) for p in shown], 1),
        Column("run p50", [_duration(p.run, p.run.p50_s, usual) for p in shown]),
        Column("p95", [_duration(p.run, p.run.p95_s) for p in shown], 2),
        Column("max", [_duration(p.run, p.run.max_s) for p in shown], 5),
        Column("run times", [_bars(p) for p in shown], 3, left=True),
    ]
    yield from heading(kind if len(places) == 1 else f"{kind} ({format_count(len(places))})")
    yield from table([printable(place.name) for place in shown], columns, width)
    if rest:
        share = format_share(sum(place.served for place in rest), served)
        yield note(f"… and {format_count(len(rest))} more, which served {share}", width)
    yield from (note(hint, width) for hint in _fairness(places))


def _telling(places: Sequence[Place]) -> list[Place]:
    """The places that ran enough for their median to mean something."""
    return [place for place in places if place.run.count >= _ENOUGH]


def _fairness(places: Sequence[Place]) -> Iterator[str]:
    """Say how evenly the places were loaded, and whether one of them is slower than others."""
    ran = _telling(places)
    if len(ran) < 2:
        return
    even = True
    for what, key in _COMPARED.items():
        most, least = max(ran, key=key), min(ran, key=key)
        if key(most) > _UNEVEN * key(least) > 0:
            even = False
            yield (
                f"{what}: {cut_middle(printable(most.name), NAME_WIDTH)} has "
                f"{format_ratio(key(most), key(least))} that of "
                f"{cut_middle(printable(least.name), NAME_WIDTH)}"
            )
    if even:
        yield f"even: served and run p50 differ by at most {_UNEVEN - 1:.0%}"


def _errors(statistics: Statistics, width: int) -> Iterator[Text]:
    if not statistics.errors:
        return
    shown, rest = statistics.errors[:MAX_ERRORS], statistics.errors[MAX_ERRORS:]
    digits = max(len(format_count(error.count)) for error in shown)
    yield from heading("Errors")
    for error in shown:
        line = Text(" " * INDENT).append(f"{format_count(error.count):>{digits}}  ", "red")
        yield line.append(cut_end(printable(error.text), width - line.cell_len))
    if rest:
        seen = format_count(sum(error.count for error in rest))
        yield note(f"… and {format_count(len(rest))} more texts, seen {seen} times", width)


# --- cells ---------------------------------------------------------------------------------


def _duration(spread: Spread, seconds: float, usual_s: float = 0.0) -> Text:
    if not spread.count:
        return Text("-", "dim")
    return Text(format_duration(seconds), "yellow" if 0 < _SLOW * usual_s < seconds else "")


def _failed(place: Place) -> Text:
    return Text(format_count(place.failed), "red" if place.failed else "dim")


def _bars(place: Place) -> Text:
    return Text(format_bars([count for _, _, count in place.histogram]), "cyan")
