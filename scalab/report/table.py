"""The report of a run as CSV: a table of its intervals, stages, queues, places or errors.

Spreadsheets take a cell that begins with ``=``, ``+``, ``-`` or ``@`` for a formula, in a file from
wherever. Names and error texts come from strangers, so theirs are written behind an apostrophe, as
OWASP recommends ("CSV Injection"); spreadsheets take that as a sign for text.
"""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Callable, Iterable
from typing import Any, Final

from scalab.measure.aggregate import Aggregate
from scalab.measure.batches import Batches
from scalab.measure.interval import Interval
from scalab.measure.statistics import ErrorCount, Place, Spread, Statistics
from scalab.protocol.text import printable

from .model import QueueReport, Report, StageReport

Cell = str | int | float | None
"""None = there is nothing to tell; the cell is empty."""
Row = dict[str, Cell]

_FORMULA: Final = frozenset("=+-@")


def to_csv(report: Report, table: str = "intervals") -> str:
    """Return one table of a report, with a line of column names.

    Args:
        report: What to show.
        table: One of ``TABLES``. Seconds and rates per second are plain numbers.
    """
    make_row, empty, items = _TABLES[table]
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(make_row(empty)), lineterminator="\n")
    writer.writeheader()
    for item in items(report):
        writer.writerow({name: _cell(value) for name, value in make_row(item).items()})
    return out.getvalue()


def interval_row(interval: Interval) -> Row:
    """Return an interval's figures, over all queues, by the names of the table's columns."""
    whole, duration_s = interval.whole, interval.duration_s
    figures = (
        ("total_p50_s", whole.total, 50.0),
        ("total_p95_s", whole.total, 95.0),
        ("total_p99_s", whole.total, 99.0),
        ("corrected_p99_s", whole.corrected, 99.0),
        ("wait_p95_s", whole.wait, 95.0),
        ("run_p50_s", whole.run, 50.0),
    )
    return {
        "from_s": interval.from_s,
        "to_s": interval.to_s,
        "phase": interval.phase,
        "window": interval.window,
        "stage": interval.stage,
        "level_from": interval.level_from,
        "level_to": interval.level_to,
        "sent": whole.sent,
        "completed": whole.completed,
        "succeeded": whole.succeeded,
        "failed": whole.failed,
        "dropped": whole.dropped,
        "held": whole.held,
        "aborted": whole.aborted,
        "rate_per_s": whole.completed / duration_s if duration_s > 0 else None,
        **{
            name: histogram.percentile(q) if histogram.count else None
            for name, histogram, q in figures
        },
        "outstanding": interval.outstanding,
        "cpu_s": interval.cpu_s,
    }


def given_up(report: Report) -> int:
    """Return how many requests of the whole run were given up, mostly at its end."""
    return sum(interval.whole.aborted for interval in report.timeline)


# --- the other tables ----------------------------------------------------------------------


def _stage_row(stage: StageReport) -> Row:
    return {
        "stage": stage.index,
        "level": stage.level,
        "from_s": stage.from_s,
        "to_s": stage.to_s,
        **_figures(stage.statistics),
        "rate_low_per_s": stage.throughput.low,
        "rate_high_per_s": stage.throughput.high,
    }


def _queue_row(queue: QueueReport) -> Row:
    return {"queue": queue.name, **_figures(queue.statistics)}


def _place_row(place: Place) -> Row:
    return {
        "name": place.name,
        "served": place.served,
        "failed": place.failed,
        **_spread("run", place.run, "min_s", "mean_s", "p50_s", "p95_s", "p99_s", "max_s"),
        "devices": " ".join(place.devices),
        "pods": " ".join(place.pods),
        "top_error": place.errors[0].text if place.errors else None,
    }


def _error_row(error: ErrorCount) -> Row:
    return {"count": error.count, "error": error.text}


def _figures(statistics: Statistics) -> Row:
    counts = ("sent", "completed", "succeeded", "failed", "dropped", "held", "aborted")
    return {
        **{name: getattr(statistics, name) for name in counts},
        "rate_per_s": statistics.throughput,
        **_spread("total", statistics.total, "p50_s", "p95_s", "p99_s"),
        **_spread("corrected", statistics.corrected, "p99_s"),
        **_spread("wait", statistics.wait, "p95_s"),
        **_spread("run", statistics.run, "p50_s"),
        **_spread("overhead", statistics.overhead, "p50_s"),
    }


def _spread(prefix: str, spread: Spread, *names: str) -> Row:
    return {f"{prefix}_{n}": getattr(spread, n) if spread.count else None for n in names}


# --- cells ---------------------------------------------------------------------------------


def _cell(value: Cell) -> str | int:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6f}".rstrip("0").rstrip(".")
    return _harmless(value) if isinstance(value, str) else value


def _harmless(text: str) -> str:
    """One line that no spreadsheet takes for a formula; nor for one written in wide characters."""
    text = printable(text)
    first = unicodedata.normalize("NFKC", text.lstrip()[:1])
    return f"'{text}" if first in _FORMULA else text


_NOTHING = Aggregate().statistics(0.0)
_NO_STAGE = StageReport(
    index=0, level=0.0, from_s=0.0, to_s=0.0, statistics=_NOTHING, throughput=Batches().estimate()
)
_NO_PLACE = Place("", 0, 0, Spread(), ())

_TABLES: Final[dict[str, tuple[Callable[[Any], Row], Any, Callable[[Report], Iterable[Any]]]]] = {
    # How to make a row, of what the columns are known without there being a row, and the rows.
    "intervals": (interval_row, Interval(from_s=0.0, to_s=0.0), lambda r: r.timeline),
    "stages": (_stage_row, _NO_STAGE, lambda r: r.stages),
    "queues": (_queue_row, QueueReport(name="", statistics=_NOTHING), lambda r: r.queues),
    "devices": (_place_row, _NO_PLACE, lambda r: r.statistics.devices),
    "nodes": (_place_row, _NO_PLACE, lambda r: r.statistics.nodes),
    "pods": (_place_row, _NO_PLACE, lambda r: r.statistics.pods),
    "errors": (_error_row, ErrorCount("", 0), lambda r: r.statistics.errors),
}
TABLES: Final = tuple(_TABLES)
"""Names of the tables."""
