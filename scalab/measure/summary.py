"""Statistics for people to read: the report at the end of a run, as plain text, and as JSON.

Names and error texts come from peers, so they only ever enter a report as literal text, never as
markup, and are cut where that can be seen when they are longer than their column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from io import StringIO
from statistics import median
from typing import Any, Literal

import attrs
from rich.cells import cell_len, set_cell_size
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from .figures import (
    format_bars,
    format_count,
    format_duration,
    format_rate,
    format_ratio,
    format_share,
)
from .statistics import Place, Spread, Statistics

PLAIN_WIDTH = 100
"""Columns of the report where there is no terminal to tell."""

MAX_PLACES = 20
"""Nodes, devices and pods shown of each: the busiest."""
MAX_ERRORS = 10
"""Error texts shown: the most frequent."""

_NAME_WIDTH = 24  # columns that a table rather leaves out other columns for than a longer name
_NONE = "–"
_UNEVEN = 1.1  # from this ratio on a difference between places is worth a word
_SLOW = 1.25  # a place whose median run is this much above the usual one is marked
_ENOUGH = 20  # runs from which on a place's median says something about the place
_COMPARED: dict[str, Callable[[Place], float]] = {
    "served": lambda place: place.served,
    "run p50": lambda place: place.run.p50_s,
}
_ASCII = str.maketrans("▁▂▃▄▅▆▇█─…–·µ×", "_.:-=+*#-~--ux")

# --- tables --------------------------------------------------------------------------------


@attrs.frozen
class _Column:
    head: str
    cells: Sequence[Text]
    justify: Literal["left", "right"] = "right"
    rank: int = 0
    """Columns of a higher rank are left out earlier when the width is short; 0 never."""

    @property
    def width(self) -> int:
        return max(cell_len(self.head), *(text.cell_len for text in self.cells))


def _table(names: _Column, columns: Sequence[_Column], width: int) -> RenderableType:
    """Lay out a table that never wraps: columns are left out, then names cut, to fit ``width``."""
    indent, gap = 2, 2 if width >= 90 else 1
    wanted = min(names.width, _NAME_WIDTH)

    def room(columns: Sequence[_Column]) -> int:
        return width - indent - sum(column.width + gap for column in columns)

    for rank in sorted({column.rank for column in columns if column.rank}, reverse=True):
        if room(columns) >= wanted:
            break
        columns = [column for column in columns if column.rank != rank]
    table = Table(box=None, padding=(0, gap, 0, 0), pad_edge=False, header_style="dim")
    most = max(room(columns), 8)
    fitted = attrs.evolve(names, cells=[Text(_cut_middle(c.plain, most)) for c in names.cells])
    for column in (fitted, *columns):
        table.add_column(
            Text(column.head), justify=column.justify, no_wrap=True, min_width=column.width
        )
    for row in zip(fitted.cells, *(column.cells for column in columns), strict=True):
        table.add_row(*row)
    return Padding(table, (0, 0, 0, indent))


def _cut_middle(text: str, width: int) -> str:
    """Cut a name in its middle: what tells pods of a deployment apart is at their end."""
    if cell_len(text) <= width:
        return text
    tail = text
    while cell_len(tail) > (width - 1) // 2:
        tail = tail[1:]
    return set_cell_size(text, width - 1 - cell_len(tail)) + "…" + tail


def _cut_end(text: str, width: int) -> str:
    return text if cell_len(text) <= width else set_cell_size(text, max(width - 1, 0)) + "…"


# --- sections ------------------------------------------------------------------------------


def _overview(statistics: Statistics, width: int) -> RenderableType:
    rate = [f"{format_rate(statistics.throughput)} over {format_duration(statistics.window_s)}"]
    failed = []
    if statistics.failed:
        if statistics.window_s > 0:
            rate.append(f"{format_rate(statistics.succeeded / statistics.window_s)} succeeded")
        failed.append(format_share(statistics.failed, statistics.succeeded + statistics.failed))
        kinds = sorted(statistics.failures.items(), key=lambda kind: -kind[1])
        failed += [f"{kind} {format_count(n)}" for kind, n in kinds if n]
    rows = [
        ("completed", statistics.completed, "bold", rate),
        ("failed", statistics.failed, "bold red" if failed else "bold", failed),
        ("outstanding", statistics.outstanding, "bold", []),
    ]
    if statistics.attempts_max > 1:
        rows.append(("attempts", statistics.attempts_max, "bold", ["at most, for one request"]))
    grid = Table.grid(padding=(0, 2, 0, 0))
    digits = max(len(format_count(n)) for _, n, _, _ in rows)
    for what, n, style, more in rows:
        grid.add_row(
            Text(what, "dim", no_wrap=True),
            Text(format_count(n).rjust(digits), style, no_wrap=True),
            Text(_packed(more, width - 17 - digits), no_wrap=True),
        )
    return Padding(grid, (0, 0, 0, 2))


def _packed(parts: Sequence[str], width: int) -> str:
    """Join parts, with as many on a line as fit."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + 3 + len(part) <= width:
            lines[-1] += f" · {part}"
        else:
            lines.append(_cut_end(part, width))
    return "\n".join(lines)


_TIMINGS = (
    ("min", 0, "min_s"),
    ("mean", 0, "mean_s"),
    ("p50", 0, "p50_s"),
    ("p90", 2, "p90_s"),
    ("p95", 1, "p95_s"),
    ("p99", 0, "p99_s"),
    ("p99.9", 2, "p999_s"),
    ("max", 0, "max_s"),
)


def _timings(statistics: Statistics, width: int) -> Iterator[RenderableType]:
    spreads = {
        "wait": statistics.wait,
        "run": statistics.run,
        "overhead": statistics.overhead,
        "total": statistics.total,
    }
    columns = [
        _Column(head, [_duration(s, getattr(s, field)) for s in spreads.values()], rank=rank)
        for head, rank, field in _TIMINGS
    ]
    yield _heading("Time per request")
    yield _table(_Column("", [Text(name) for name in spreads], "left"), columns, width)
    ran = statistics.run.count
    if ran < statistics.total.count:
        yield _note(
            f"total: of all {format_count(statistics.total.count)} replies; "
            f"the others: of the {format_count(ran)} that ran",
            width,
        )


def _places(kind: str, places: Sequence[Place], width: int) -> Iterator[RenderableType]:
    if not places:
        return
    ranked = sorted(places, key=lambda place: (-place.served, place.name))
    shown, rest = ranked[:MAX_PLACES], ranked[MAX_PLACES:]
    served = sum(place.served for place in places)
    usual = median([place.run.p50_s for place in _telling(places)] or [0.0])

    def column(head: str, cells: Iterator[str | Text], rank: int = 0) -> _Column:
        return _Column(head, [c if isinstance(c, Text) else Text(c) for c in cells], rank=rank)

    columns = [
        column("served", (format_count(p.served) for p in shown)),
        column("share", (format_share(p.served, served) for p in shown), 2),
        column("failed", (_failed(p) for p in shown)),
        column("run p50", (_duration(p.run, p.run.p50_s, usual) for p in shown)),
        column("p95", (_duration(p.run, p.run.p95_s) for p in shown)),
        column("max", (_duration(p.run, p.run.max_s) for p in shown), 3),
        _Column("run times", [_bars(p) for p in shown], "left", rank=1),
    ]
    yield _heading(kind if len(places) == 1 else f"{kind} ({format_count(len(places))})")
    yield _table(_Column("", [Text(p.name) for p in shown], "left"), columns, width)
    if rest:
        left = sum(place.served for place in rest)
        share = format_share(left, served)
        yield _note(f"… and {format_count(len(rest))} more, which served {share}", width)
    for hint in _fairness(places):
        yield _note(hint, width)


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
                f"{what}: {_cut_middle(most.name, _NAME_WIDTH)} has "
                f"{format_ratio(key(most), key(least))} that of "
                f"{_cut_middle(least.name, _NAME_WIDTH)}"
            )
    if even:
        yield f"even: served and run p50 differ by less than {_UNEVEN - 1:.0%}"


def _errors(statistics: Statistics, width: int) -> Iterator[RenderableType]:
    if not statistics.errors:
        return
    shown, rest = statistics.errors[:MAX_ERRORS], statistics.errors[MAX_ERRORS:]
    counts = [format_count(error.count) for error in shown]
    yield _heading("Errors")
    for n, error in zip(counts, shown, strict=True):
        n = n.rjust(max(map(len, counts)))
        line = Text(no_wrap=True).append(f"  {n}  ", "red")
        yield line.append(_cut_end(error.text, width - line.cell_len))
    if rest:
        seen = sum(error.count for error in rest)
        yield _note(
            f"… and {format_count(len(rest))} more texts, seen {format_count(seen)} times", width
        )


def _heading(text: str) -> Text:
    return Text(f"\n{text}", "bold", no_wrap=True)


def _note(text: str, width: int) -> Text:
    return Text("  " + _cut_end(text, width - 2), "dim", no_wrap=True)


def _duration(spread: Spread, seconds: float, usual_s: float = 0.0) -> Text:
    if not spread.count:
        return Text(_NONE, "dim")
    return Text(format_duration(seconds), "yellow" if 0 < _SLOW * usual_s < seconds else "")


def _failed(place: Place) -> Text:
    return Text(format_count(place.failed), "red" if place.failed else "dim")


def _bars(place: Place) -> Text:
    return Text(format_bars([count for _, _, count in place.histogram]), "cyan")


# --- the whole -----------------------------------------------------------------------------


def _report(statistics: Statistics, title: str, width: int) -> Iterator[RenderableType]:
    if title:
        yield Rule(Text(_cut_end(title, width - 4), "bold"), align="left", style="dim")
    yield _overview(statistics, width)
    if not statistics.total.count:
        yield _note("nothing completed in this window", width)
    else:
        yield from _timings(statistics, width)
        yield from _places("Nodes", statistics.nodes, width)
        yield from _places("Devices", statistics.devices, width)
        yield from _places("Pods", statistics.pods, width)
    yield from _errors(statistics, width)


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
    text = _rendered(statistics, title, width, None if console.no_color else console.color_system)
    if console.options.ascii_only:
        text = text.translate(_ASCII).encode("ascii", "backslashreplace").decode("ascii")
    console.out(text, end="", highlight=False)


def format_plain(statistics: Statistics, title: str = "") -> str:
    """Return the report as plain text, ``PLAIN_WIDTH`` columns wide, without colours."""
    return _rendered(statistics, title, PLAIN_WIDTH, None)


def _rendered(statistics: Statistics, title: str, width: int, color_system: Any) -> str:
    buffer = StringIO()
    console = Console(
        file=buffer,
        width=width,
        color_system=color_system,
        height=25,  # only both together keep rich from asking the environment
        force_terminal=color_system is not None,
        legacy_windows=False,
    )
    for part in _report(statistics, title, width):
        console.print(part, highlight=False)
    return "".join(f"{line.rstrip()}\n" for line in buffer.getvalue().splitlines())


def to_json(statistics: Statistics) -> dict[str, Any]:
    """Return the statistics as plain dicts, lists and numbers, ready to be encoded.

    The names are those of ``Statistics``: durations are in seconds and end in ``_s``. A step of a
    place's ``histogram`` is an object with ``from_s``, ``to_s`` and ``count``.
    """
    fields = attrs.asdict(statistics, retain_collection_types=False)
    for kind in ("nodes", "devices", "pods"):
        for place in fields[kind]:
            place["histogram"] = [
                {"from_s": low, "to_s": high, "count": count}
                for low, high, count in place["histogram"]
            ]
    return fields
