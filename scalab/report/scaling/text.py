"""A validation on one screen of a terminal: a row per step, the law, who holds back, the result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from scalab.measure.figures import format_count, format_duration, format_rate
from scalab.measure.layout import INDENT, Column, cut_end, packed
from scalab.measure.sections import title_line, wrapped
from scalab.measure.summary import PLAIN_WIDTH, print_lines, to_plain
from scalab.protocol.text import printable
from scalab.scaling.model import Outcome
from scalab.scaling.usl import Fit, describe, parameters
from scalab.verdict.results import Checked

from .curve import draw_curve
from .model import ScalingReport, StepRow
from .words import (
    NONE,
    fairness_parts,
    half_width_text,
    ratio_text,
    rule_text,
    share_text,
    step_text,
    workers_text,
)

MAX_BLAME: Final = 4
"""Sentences about devices that are shown."""
MAX_CHECKS: Final = 5
"""Checks that found something, of all steps, that are shown."""
MAX_TEXT: Final = 600
"""Characters of any text from elsewhere."""
CURVE_FROM: Final = 100
"""Columns from which there is room for a curve."""

_STYLES: Final[dict[Outcome, str]] = {
    "PASS": "bold green",
    "BASE": "dim",
    "FAIL": "bold red",
    "INCONCLUSIVE": "bold yellow",
    "INVALID": "bold red",
    "ERROR": "bold red",
}
_KINDS: Final = {"devices": "devs", "pods": "pods", "nodes": "nodes"}
_LABEL: Final = 7  # columns of what stands before a line


def print_report(console: Console, report: ScalingReport, *, path: str = "") -> None:
    """Print a validation, as wide as the terminal, in colours if it has any.

    Args:
        console: Where to.
        report: What to show.
        path: Where a longer report is; "" if there is none.
    """
    print_lines(console, lambda width: lines(report, width, path=path))


def to_text(report: ScalingReport, width: int = PLAIN_WIDTH, *, path: str = "") -> str:
    """Return a validation as plain text; 80 columns are the least for what matters most."""
    return to_plain(lines(report, width, path=path))


def lines(report: ScalingReport, width: int, *, path: str = "") -> Iterator[Text]:
    """Lay out a validation for a width."""
    header = report.header
    when = header.started_at[:19].replace("T", " ") + " UTC"
    parts = ("scalab validate", f"run {header.id}", report.title, rule_text(report), when)
    yield title_line(" · ".join(parts), width)
    for problem in report.problems:
        yield from _labelled("NOTE", [problem], width, "yellow")
    if report.rows:
        yield from _table(report.rows, report.kind, width)
        yield from _undecided(report.rows, width)
    if width >= CURVE_FROM:
        yield from (Text(" " * INDENT + line) for line in draw_curve(report.rows, report.law))
    yield Text()
    yield from _law(report, width)
    yield from _places(report, width)
    yield from _errors(report, width)
    yield from _checks(report, width)
    yield from _result(report, width, path)


# --- steps ---------------------------------------------------------------------------------


def _table(rows: Sequence[StepRow], kind: str, width: int) -> Iterator[Text]:
    alike = len({row.decision.required for row in rows if row.decision}) < 2
    columns = [
        Column("workers", _cells(rows, lambda row: format_count(row.step.workers))),
        Column(_KINDS[kind], _counts(rows, lambda row: len(row.places)), 4),
        Column("nodes", _counts(rows, lambda row: len(row.step.statistics.nodes)), 5),
        Column("reqs", _counts(rows, lambda row: row.ended), 3),
        Column("fail", _failed(rows)),
        Column("reqs/s", _cells(rows, _rate)),
        Column("±95 %", _cells(rows, lambda row: half_width_text(row.step.throughput)), 2),
        Column("ratio [95 % CI]", _cells(rows, lambda row: ratio_text(row.decision))),
        Column("need", _cells(rows, _required), 4 if alike else 0),
        Column("effic.", _cells(rows, lambda row: share_text(row.efficiency))),
        Column("run p50/p95", _cells(rows, _run_times), 2),
        Column("wait p95", _cells(rows, _wait), 3),
        Column("ovh", _cells(rows, _overhead), 3),
        Column("", [Text(row.outcome, _STYLES[row.outcome]) for row in rows], left=True),
    ]
    gap, columns = _fitting(columns, width)
    yield _line([Text(column.head, "dim") for column in columns], columns, gap)
    for cells in zip(*(column.cells for column in columns), strict=True):
        yield _line(cells, columns, gap)


def _fitting(columns: list[Column], width: int) -> tuple[int, list[Column]]:
    """Return the space between columns, and those that fit the width."""
    for least in (9, 5, 4, 3, 2, 1):
        shown = [column for column in columns if column.rank < least]
        for gap in (2, 1):
            if sum(column.width + gap for column in shown) <= width:
                return gap, shown
    return 1, shown


def _line(cells: Iterable[Text], columns: Sequence[Column], gap: int) -> Text:
    line = Text()
    for cell, column in zip(cells, columns, strict=True):
        pad = " " * (column.width - cell.cell_len)
        line.append(" " * gap if column.left else " " * gap + pad).append_text(cell)
    return line


def _cells(rows: Sequence[StepRow], text: Callable[[StepRow], str]) -> list[Text]:
    return [Text("-", "dim") if found == NONE else Text(found) for found in map(text, rows)]


def _counts(rows: Sequence[StepRow], count: Callable[[StepRow], int]) -> list[Text]:
    return _cells(rows, lambda row: format_count(count(row)) if row.measured else NONE)


def _failed(rows: Sequence[StepRow]) -> list[Text]:
    found = [row.step.statistics.failed for row in rows]
    return [Text(format_count(n), "red" if n else "dim") for n in found]


def _rate(row: StepRow) -> str:
    return format_rate(row.step.throughput.mean).removesuffix("/s") if row.measured else NONE


def _required(row: StepRow) -> str:
    return f"{row.decision.required:.2f}" if row.decision else NONE


def _run_times(row: StepRow) -> str:
    run = row.step.statistics.run
    if not run.count:
        return NONE
    median, p95 = format_duration(run.p50_s), format_duration(run.p95_s)
    number, _, unit = median.rpartition(" ")
    return f"{number}/{p95}" if p95.endswith(f" {unit}") and number else f"{median}/{p95}"


def _wait(row: StepRow) -> str:
    wait = row.step.statistics.wait
    return format_duration(wait.p95_s) if wait.count else NONE


def _overhead(row: StepRow) -> str:
    share = row.overhead_share
    return NONE if share is None else f"{100 * share:.1f} %"


def _undecided(rows: Sequence[StepRow], width: int) -> Iterator[Text]:
    """Yield why steps are neither passed nor failed, and what would decide them."""
    for row in rows:
        decision = row.decision
        if row.outcome in {"PASS", "BASE", "FAIL"}:
            continue
        text = decision.text if decision else row.step.problem
        name = step_text(decision) if decision else workers_text(row.step.workers)
        for line in wrapped(f"{name}: {printable(text, MAX_TEXT)}", width - INDENT):
            yield Text(" " * INDENT).append(line, "yellow")


# --- what else there is to know -------------------------------------------------------------


def _law(report: ScalingReport, width: int) -> Iterator[Text]:
    parts = [parameters(report.law)] if isinstance(report.law, Fit) else []
    text = describe(report.law)
    if text not in report.validation.sentence:
        parts.append(text)
    yield from _labelled("USL", parts, width)


def _places(report: ScalingReport, width: int) -> Iterator[Text]:
    blame = report.validation.blame
    shown = [printable(text, MAX_TEXT) for text in blame[:MAX_BLAME]]
    if len(blame) > MAX_BLAME:
        shown.append(f"{len(blame) - MAX_BLAME} more stand out")
    fair = list(fairness_parts(report))
    if fair:
        shown.append(f"fairness {fair[-1]} (1 = all served alike)")
    yield from _labelled(report.kind, shown or ["nothing stands out"], width)


def _errors(report: ScalingReport, width: int) -> Iterator[Text]:
    if not report.failed:
        return
    parts = [f"{format_count(report.failed)} of {format_count(report.ended)} requests"]
    parts += [
        f"{format_count(error.count)} x {printable(error.text, 120)}" for error in report.errors[:2]
    ]
    yield from _labelled("failed", parts, width, "red")


def _checks(report: ScalingReport, width: int) -> Iterator[Text]:
    found = list(_all_checks(report))
    bad = sorted(
        ((name, c) for name, c in found if c.state in {"invalid", "caveat"}),
        key=lambda pair: pair[1].state != "invalid",
    )
    ok = sum(check.state == "ok" for _, check in found)
    parts = [f"{ok} of {ok + len(bad)} ok" if bad else f"all {ok} ok"] if found else ["none made"]
    for name, check in bad[:MAX_CHECKS]:
        label = f"{printable(check.state, 20).upper()} {printable(check.name, 40)}{name}"
        parts.append(f"{label}: {printable(check.text, 200)}")
    if len(bad) > MAX_CHECKS:
        parts.append(f"{len(bad) - MAX_CHECKS} more are not ok")
    style = "red" if any(check.state == "invalid" for _, check in bad) else "yellow" if bad else ""
    yield from _labelled("checks", parts, width, style)


def _all_checks(report: ScalingReport) -> Iterator[tuple[str, Checked]]:
    for row in report.rows:
        yield from ((f" with {workers_text(row.step.workers)}", c) for c in row.step.checks)
    yield from (("", check) for check in report.checks)


def _result(report: ScalingReport, width: int, path: str) -> Iterator[Text]:
    outcome = report.validation.outcome
    sentence = printable(report.validation.sentence, MAX_TEXT)
    start = INDENT + _LABEL + 2
    first, *more = wrapped(f"{outcome}  {sentence}", width - start) or [outcome]
    line = Text(" " * INDENT).append(f"{'RESULT':<{_LABEL}}  ", "bold").append(first)
    line.stylize(_STYLES[outcome], start, start + len(outcome))
    yield line
    yield from (Text(" " * start + rest) for rest in more)
    parts = [f"report {printable(path, MAX_TEXT)}"] if path else []
    yield from _labelled("", [*parts, f"exit {int(report.exit_code)}"], width)


def _labelled(label: str, parts: Iterable[str], width: int, style: str = "") -> Iterator[Text]:
    """Lines of parts, behind a word that says what they are."""
    start = INDENT + _LABEL + 2
    room = width - start
    pieces = [line for part in parts for line in wrapped(printable(part, MAX_TEXT), room)]
    first, *more = packed(pieces, room) or [""]
    label = cut_end(label, _LABEL)
    head = " " * INDENT + label + " " * (_LABEL - cell_len(label)) + "  "
    yield Text(head, "dim").append(first, style or "not dim")
    yield from (Text(" " * start).append(rest, style) for rest in more)
