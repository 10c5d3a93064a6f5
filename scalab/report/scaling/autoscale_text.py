"""The report of a run with an autoscaler, for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from rich.text import Text

from scalab.measure.figures import format_count
from scalab.measure.layout import INDENT, Column, heading, note, packed, table
from scalab.measure.sections import wrapped
from scalab.scaling.autoscale import AutoscaleReport

from .autoscale import RISE_HEAD, facts, longest, rise_cells, story

MAX_RISES: Final = 5
"""Rises in the table: those that lasted longest."""

_LABEL: Final = 11  # columns of what stands before a line
_STYLES: Final = {"PASS": "bold green", "FAIL": "bold red"}
_RANKS: Final = (4, 0, 0, 3, 1, 0, 5, 2, 6, 1)  # of the columns after the first


def lines(report: AutoscaleReport, width: int) -> Iterator[Text]:
    """Lay out the report for a width; 80 columns are the least for all figures."""
    style = _STYLES.get(report.outcome, "bold yellow")
    yield from _labelled(Text(report.outcome, style), report.reasons, width)
    for flag in report.flags:
        yield from _labelled(Text("warning", "yellow"), [flag.text], width)
    yield from _rises(report, width)
    yield Text()
    for name, parts in facts(report):
        yield from _labelled(Text(name, "dim"), packed(parts, width - INDENT - _LABEL - 2), width)


def _rises(report: AutoscaleReport, width: int) -> Iterator[Text]:
    shown = longest(report, MAX_RISES)
    if not shown:
        return
    first, *columns = zip(*(rise_cells(rise) for rise in shown), strict=True)
    n = len(report.rises)
    yield from heading("Rise of demand" if n == 1 else f"Rises of demand ({format_count(n)})")
    yield from table(
        first,
        [
            Column(head, [Text(cell) for cell in cells], rank)
            for head, cells, rank in zip(RISE_HEAD[1:], columns, _RANKS, strict=True)
        ],
        width,
    )
    if n > len(shown):
        yield note(f"… and {format_count(n - len(shown))} more, all of them shorter", width)
    for line in wrapped(story(longest(report, 1)[0]), width - INDENT):
        yield Text(" " * INDENT + line)


def _labelled(label: Text, parts: Iterable[str], width: int) -> Iterator[Text]:
    """Lines behind a word that says what they are."""
    start = INDENT + max(_LABEL, label.cell_len) + 2
    texts = [line for part in parts for line in wrapped(part, width - start)]
    for i, text in enumerate(texts):
        line = Text(" " * INDENT).append_text(label) if not i else Text()
        line.append(" " * (start - line.cell_len))
        yield line.append(text)
