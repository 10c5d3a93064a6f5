"""The sections of a summary or report for people: lines of text that fit a width.

Names and error texts come from peers, so they only ever enter a report as literal, printable text,
never as markup, and are cut where that can be seen when they are longer than their column.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from statistics import median

from rich.cells import cell_len
from rich.text import Text

from scalab.protocol.text import printable

from .fairness import ENOUGH, jain, outliers
from .figures import (
    format_bars,
    format_count,
    format_duration,
    format_share,
)
from .layout import INDENT, Column, cut_end, heading, note, packed, table
from .statistics import Place, Spread, Statistics

MAX_PLACES = 20
"""Nodes, devices and pods shown of each: the busiest."""
MAX_ERRORS = 10
"""Error texts shown: the most frequent."""

_MAX_OUTLIERS = 3
_BREAKS = re.compile(
    r"(?<!\d)\s+|\s+(?!(?:%|µs|ms|s)(?:\W|$))"
)  # but not between a number and its unit
_SLOW = 1.25  # a place whose median run is this much above the usual one is marked

Row = tuple[str, int, str, Sequence[str]]
"""Something counted: what, how many, the style of the number, and remarks beside it."""


def title_line(title: str, width: int) -> Text:
    """The line that opens a report."""
    line = Text(cut_end(printable(title), width - 4), "bold").append(" ")
    return line.append("─" * (width - line.cell_len), "not bold dim")


def failed_parts(statistics: Statistics) -> list[str]:
    """The share of failed requests and the number of each kind, the most frequent first."""
    if not statistics.failed:
        return []
    kinds = sorted(statistics.failures.items(), key=lambda kind: -kind[1])
    share = format_share(statistics.failed, statistics.succeeded + statistics.failed)
    return [share, *(f"{printable(kind)} {format_count(n)}" for kind, n in kinds if n)]


def unsent(statistics: Statistics) -> Iterator[Row]:
    """Requests that were not sent as they should have been, or were given up; if there are any."""
    if statistics.dropped:
        text = "arrivals that were wanted and never sent"
        yield "dropped", statistics.dropped, "bold red", [text]
    if statistics.held:
        text = "sent late: the limit of requests in flight was reached"
        yield "held", statistics.held, "bold yellow", [text]
    if statistics.aborted:
        text = "given up at the end of the run, neither failed nor completed"
        yield "aborted", statistics.aborted, "bold", [text]


def counted(rows: Iterable[Row], width: int) -> Iterator[Text]:
    """Lay out what was counted, a line each; more if the remarks need them."""
    rows = list(rows)
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


def timings(statistics: Statistics, width: int) -> Iterator[Text]:
    """The table of times; those by the intended time of sending only if there is one."""
    spreads = {
        "wait": statistics.wait,
        "run": statistics.run,
        "overhead": statistics.overhead,
        "total": statistics.total,
    }
    if statistics.delay.count or statistics.corrected.count:
        spreads |= {"corrected": statistics.corrected, "delay": statistics.delay}
    columns = [
        Column(head, [_duration(s, getattr(s, field)) for s in spreads.values()], rank)
        for head, rank, field in _TIMINGS
    ]
    yield from heading("Time per request")
    yield from table(list(spreads), columns, width)
    ran = statistics.run.count
    if ran < statistics.total.count:
        whole = "total and corrected" if "corrected" in spreads else "total"
        yield note(
            f"{whole}: of all {format_count(statistics.total.count)} replies; "
            f"the others: of the {format_count(ran)} that ran",
            width,
        )


def places(
    kind: str, found: Sequence[Place], width: int, most: int = MAX_PLACES, *, hints: bool = True
) -> Iterator[Text]:
    """The table of nodes, devices or pods, the busiest first.

    Args:
        kind: What they are, for the heading.
        found: All of them.
        width: Columns of the terminal.
        most: How many to show.
        hints: Say below the table how evenly they were loaded, and which of them stand out.
    """
    if not found:
        return
    ranked = sorted(found, key=lambda place: (-place.served, place.name))
    shown, rest = ranked[:most], ranked[most:]
    served = sum(place.served for place in found)
    usual = median([place.run.p50_s for place in _telling(found)] or [0.0])
    columns = [
        Column("served", [Text(format_count(p.served)) for p in shown]),
        Column("share", [Text(format_share(p.served, served)) for p in shown], 4),
        Column("failed", [_failed(p) for p in shown], 1),
        Column("run p50", [_duration(p.run, p.run.p50_s, usual) for p in shown]),
        Column("p95", [_duration(p.run, p.run.p95_s) for p in shown], 2),
        Column("max", [_duration(p.run, p.run.max_s) for p in shown], 5),
        Column("run times", [_bars(p) for p in shown], 3, left=True),
    ]
    yield from heading(kind if len(found) == 1 else f"{kind} ({format_count(len(found))})")
    yield from table([printable(place.name) for place in shown], columns, width)
    if rest:
        share = format_share(sum(place.served for place in rest), served)
        yield note(f"… and {format_count(len(rest))} more, which served {share}", width)
    if hints:
        yield from _fairness(found, width)


def _telling(found: Sequence[Place]) -> list[Place]:
    """The places that ran enough for their median to mean something."""
    return [place for place in found if place.run.count >= ENOUGH]


def _fairness(found: Sequence[Place], width: int) -> Iterator[Text]:
    """Say how evenly the places were loaded, and which of them stand out."""
    telling = _telling(found)
    if len(telling) < 2:
        return
    named = outliers(found)
    for outlier in named[:_MAX_OUTLIERS]:
        for line in wrapped(outlier.text, width - INDENT):
            yield Text(" " * INDENT).append(line, "yellow")
    parts = [f"fairness {jain([place.served for place in telling]):.2f} (1 = all served alike)"]
    if len(named) > _MAX_OUTLIERS:
        parts.append(f"{len(named) - _MAX_OUTLIERS} more stand out")
    elif not named:
        parts.append("none stands out")
    yield from (note(line, width) for line in packed(parts, width - INDENT))


def errors(statistics: Statistics, width: int, most: int = MAX_ERRORS) -> Iterator[Text]:
    """The most frequent error texts, at most so many."""
    if not statistics.errors:
        return
    shown, rest = statistics.errors[:most], statistics.errors[most:]
    digits = max(len(format_count(error.count)) for error in shown)
    yield from heading("Errors")
    for error in shown:
        line = Text(" " * INDENT).append(f"{format_count(error.count):>{digits}}  ", "red")
        yield line.append(cut_end(printable(error.text), width - line.cell_len))
    if rest:
        seen = format_count(sum(error.count for error in rest))
        yield note(f"… and {format_count(len(rest))} more texts, seen {seen} times", width)


def wrapped(text: str, width: int) -> list[str]:
    """Break a text between words into lines of at most ``width`` columns; a longer word is cut."""
    found: list[str] = []
    for word in _BREAKS.split(text.strip()):
        if found and cell_len(found[-1]) + 1 + cell_len(word) <= width:
            found[-1] += f" {word}"
        else:
            found.append(cut_end(word, width))
    return found


# --- cells ---------------------------------------------------------------------------------


def _duration(spread: Spread, seconds: float, usual_s: float = 0.0) -> Text:
    if not spread.count:
        return Text("-", "dim")
    return Text(format_duration(seconds), "yellow" if 0 < _SLOW * usual_s < seconds else "")


def _failed(place: Place) -> Text:
    return Text(format_count(place.failed), "red" if place.failed else "dim")


def _bars(place: Place) -> Text:
    return Text(format_bars([count for _, _, count in place.histogram]), "cyan")
