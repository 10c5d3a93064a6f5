"""The report of a run on one screen: text that is complete without colour.

The most important first: whether the thresholds hold, then what was sent and answered, how long it
took, where it ran and what went wrong; at the end, all that it takes to run it again.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence

import attrs
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from scalab.measure.figures import format_count, format_duration, format_rate, format_share
from scalab.measure.layout import INDENT, cut_end, cut_middle, note, packed
from scalab.measure.sections import (
    Row,
    counted,
    errors,
    failed_parts,
    places,
    timings,
    title_line,
    unsent,
    wrapped,
)
from scalab.measure.statistics import Place, Statistics
from scalab.measure.summary import PLAIN_WIDTH, print_lines, to_plain
from scalab.protocol.text import printable
from scalab.verdict.results import Checked, Judged

from .model import ENDINGS, Report
from .parameters import parameters, surroundings
from .table import given_up

MAX_PLACES = 5
"""Rows of the table of devices; the busiest."""
MAX_NAMED = 4
"""Nodes and pods that are named in a line."""
MAX_ERRORS = 4
MAX_TEXT = 600
"""Characters shown of a check's text, or of the command line."""
MAX_PARAMETER = 160

_STATES = {
    "passed": ("PASSED", "bold green"),
    "failed": ("FAILED", "bold red"),
    "invalid": ("INVALID", "bold red"),
    "unjudged": ("", ""),
}
_LABEL = 11  # columns of what stands before a line


def print_report(console: Console, report: Report) -> None:
    """Print the report of a run, as wide as the terminal, in colours if it has any."""
    print_lines(console, lambda width: lines(report, width))


def to_text(report: Report, width: int = PLAIN_WIDTH) -> str:
    """Return the report of a run as plain text.

    Args:
        report: What to show.
        width: Columns of the lines; 80 is the least for all figures.
    """
    return to_plain(lines(report, width))


def lines(report: Report, width: int) -> Iterator[Text]:
    """Lay out the report of a run for a width."""
    yield from _head(report, width)
    yield from _thresholds(report.thresholds, width)
    yield Text()
    yield from counted(_requests(report), width)
    if report.statistics.completed:
        yield from timings(report.statistics, width)
        yield from _gap(report, width)
        yield from _where(report.statistics, width)
    else:
        yield note("nothing was completed while it was measured", width)
    yield from errors(report.statistics, width, MAX_ERRORS)
    yield Text()
    yield from _checks(report.checks, width)
    yield from _parameters(report, width)


# --- the head ------------------------------------------------------------------------------


def _head(report: Report, width: int) -> Iterator[Text]:
    header = report.header
    when = header.started_at[:19].replace("T", " ") + " UTC"
    scalab = f"scalab {header.scalab}"
    yield title_line(" · ".join((f"run {header.id}", report.title, when, scalab)), width)
    word, style = _STATES[report.verdict.state]
    line = Text(word, style).append(" " if word else "")
    yield line.append(cut_end(report.verdict.text, width - line.cell_len), "not bold default")
    for text in (_state(report), *_notes(report)):
        yield from (
            _indented(line, "dim") for line in wrapped(printable(text, MAX_TEXT), width - 4)
        )


def _state(report: Report) -> str:
    """How it ended, and what of it was measured."""
    lasted = format_duration(report.duration_s)
    if report.end is None:
        text = f"no end was recorded after {lasted}: the client was killed, or the file is cut off"
    else:
        reason = printable(report.end.reason, 40)
        text = f"{ENDINGS.get(reason, f'ended ({reason})')} after {lasted}"
        if report.end.error:
            text += f": {printable(report.end.error, 200)}"
    if report.measured_from_s is not None:
        start, to = (format_duration(at) for at in (report.measured_from_s, report.measured_to_s))
        text += f"; measured from {start} to {to}"
    return text


def _notes(report: Report) -> Iterator[str]:
    """What else a reader of the figures must know."""
    yield from report.problems
    changes = len(report.earlier) + report.earlier_left_out
    if changes:
        times = "once" if changes == 1 else f"{format_count(changes)} times"
        yield f"The load was changed or measuring begun anew {times}: this is what came after."


def _thresholds(thresholds: Sequence[Judged], width: int) -> Iterator[Text]:
    if not thresholds:
        return
    longest = max(cell_len(printable(judged.expression)) for judged in thresholds)
    most = min(longest, width // 2)
    for judged in thresholds:
        mark, style = ("✓", "green") if judged.ok else ("✗", "bold red")
        expression = cut_end(printable(judged.expression), most)
        line = Text(" " * INDENT).append(mark, style).append(f" {expression}")
        line.append(" " * (most - cell_len(expression) + 2))
        value = cut_end(printable(judged.value), width - line.cell_len)
        yield line.append(value, "" if judged.ok else style)


# --- counts --------------------------------------------------------------------------------


def _requests(report: Report) -> Iterator[Row]:
    statistics = report.statistics
    yield "sent", statistics.sent, "bold", [_sent(report)]
    yield "completed", statistics.completed, "bold", _rate(report)
    failed = failed_parts(statistics)
    yield "failed", statistics.failed, "bold red" if failed else "bold", failed
    # Requests are given up after the load's end, when nothing is measured any more.
    yield from unsent(attrs.evolve(statistics, aborted=given_up(report)))
    if statistics.attempts_max > 1:
        yield "attempts", statistics.attempts_max, "bold", ["at most, for one request"]


def _sent(report: Report) -> str:
    if not report.open_loop:
        return f"{report.asked:.4g} in parallel, on average"
    window_s = report.statistics.window_s
    sent = format_rate(report.statistics.sent / window_s) if window_s > 0 else "none"
    return f"{sent} of the {format_rate(report.asked)} asked for"


def _rate(report: Report) -> list[str]:
    statistics, rate = report.statistics, report.throughput
    text = format_rate(statistics.throughput)
    if rate.low is not None and rate.high is not None:
        low, high = format_rate(max(rate.low, 0.0)), format_rate(rate.high)
        text += f" ({100 * rate.confidence:.0f} % sure: {low} to {high})"
    elif statistics.completed:
        text += " (too short a time to say how sure that is)"
    parts = [f"{text} over {format_duration(statistics.window_s)}"]
    if statistics.failed and statistics.window_s > 0:
        parts.append(f"{format_rate(statistics.succeeded / statistics.window_s)} succeeded")
    return parts


def _gap(report: Report, width: int) -> Iterator[Text]:
    if report.gap is not None:
        text = (
            f"Latency from the intended time of sending is {report.gap:.3g} times the raw one at "
            "p99: requests had to wait in the client, so a user on schedule would have felt it."
        )
        yield from (_indented(line, "yellow") for line in wrapped(text, width - INDENT))


# --- places --------------------------------------------------------------------------------


def _where(statistics: Statistics, width: int) -> Iterator[Text]:
    """A table of the places that matter most, devices if there are any; others in a line."""
    kinds = {
        "Devices": statistics.devices,
        "Nodes": statistics.nodes,
        "Pods": statistics.pods,
    }
    shown = [(kind, found) for kind, found in kinds.items() if found]
    for n, (kind, found) in enumerate(shown):
        if not n:
            yield from places(kind, found, width, MAX_PLACES)
        else:
            parts = list(_named(found))
            yield from _labelled(f"{kind.lower()} {format_count(len(found))}", parts, width)


def _named(found: Sequence[Place]) -> Iterator[str]:
    ranked = sorted(found, key=lambda place: (-place.served, place.name))
    served = sum(place.served for place in found)
    for place in ranked[:MAX_NAMED]:
        name = cut_middle(printable(place.name), 30)
        failed = f", {format_count(place.failed)} failed" if place.failed else ""
        yield f"{name} {format_share(place.served, served)}{failed}"
    if len(ranked) > MAX_NAMED:
        yield f"… {format_count(len(ranked) - MAX_NAMED)} more"


# --- the end -------------------------------------------------------------------------------


def _checks(checks: Sequence[Checked], width: int) -> Iterator[Text]:
    good = [check for check in checks if check.state in {"ok", "skipped"}]
    bad = sorted((c for c in checks if c not in good), key=lambda check: check.state != "invalid")
    ok = sum(check.state == "ok" for check in good)
    skipped = len(good) - ok
    text = f"all {ok} ok" if not bad else f"{ok} of {ok + len(bad)} ok"
    parts = [text, *([f"{skipped} not applicable"] if skipped else [])]
    yield from _labelled("checks", parts if checks else ["none were made"], width)
    for check in bad:
        style = "bold red" if check.state == "invalid" else "yellow"
        label = f"{printable(check.state, 20).upper()} {printable(check.name, 40)}: "
        text = label + printable(check.text, MAX_TEXT)
        first, *more = wrapped(text, width - 2 * INDENT)
        line = _indented(first, "", 2 * INDENT)
        line.stylize(style, 2 * INDENT, 2 * INDENT + len(label) - 1)
        yield line
        yield from (_indented(rest, "", 2 * INDENT) for rest in more)


def _parameters(report: Report, width: int) -> Iterator[Text]:
    found = parameters(report.scenario)
    parts = [found.pop("load"), *(f"{name} {value}" for name, value in found.items())]
    yield from _labelled("load", parts, width)
    where = surroundings(report.header)
    where.pop("scalab", None)
    if where:
        yield from _labelled("client", [f"{name} {value}" for name, value in where.items()], width)
    if report.header.command:
        command = f"scalab {shlex.join(report.header.command)}"
        yield from _labelled("command", [command], width, MAX_TEXT)


def _labelled(
    label: str, parts: Iterable[str], width: int, limit: int = MAX_PARAMETER
) -> Iterator[Text]:
    """Lines of parts, behind a word that says what they are."""
    start = INDENT + _LABEL + 2
    room = width - start
    pieces = [line for part in parts for line in wrapped(printable(part, limit), room)]
    first, *more = packed(pieces, room) or [""]
    yield Text(" " * INDENT).append(f"{label:<{_LABEL}}  ", "dim").append(first)
    yield from (_indented(rest, "", start) for rest in more)


def _indented(text: str, style: str = "", by: int = INDENT) -> Text:
    return Text(" " * by).append(text, style)
