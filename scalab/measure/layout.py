"""Lines and tables of a report, as texts that fit a width and never wrap.

Laid out here rather than by rich's tables, which wrap or cut at the end of a cell where these
leave out columns and cut names in the middle; and since a line is there as plain text without
being rendered, a client can answer with a report while it generates load.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import attrs
from rich.cells import cell_len, set_cell_size
from rich.text import Text

INDENT = 2
NAME_WIDTH = 24
"""Columns that a name gets before other columns of its table do."""


@attrs.frozen
class Column:
    """A column of a table."""

    head: str
    cells: Sequence[Text]
    rank: int = 0
    """Columns of a higher rank are left out earlier when the width is short; 0 never."""
    left: bool = False
    """Aligned to the left."""

    @property
    def width(self) -> int:
        """Of its widest cell, in characters of a terminal."""
        return max(cell_len(self.head), *(cell.cell_len for cell in self.cells))


def table(names: Sequence[str], columns: Sequence[Column], width: int) -> Iterator[Text]:
    """Lay out a table within ``width``: columns are left out, then names cut, until it fits.

    Args:
        names: What the rows are about; at least one.
        columns: The other columns, with a cell per row.
        width: Columns of the terminal.
    """
    gap = 2 if width >= 90 else 1
    longest = max(map(cell_len, names))

    def room() -> int:
        return width - INDENT - sum(column.width + gap for column in columns)

    for rank in sorted({column.rank for column in columns} - {0}, reverse=True):
        if room() < min(longest, NAME_WIDTH):
            columns = [column for column in columns if column.rank != rank]
    most = min(longest, max(room(), 8))
    cells = [Text(cut_middle(name, most)) for name in names]
    columns = [Column("", cells, left=True), *columns]
    yield _row((Text(column.head, "dim") for column in columns), columns, gap)
    for row in zip(*(column.cells for column in columns), strict=True):
        yield _row(row, columns, gap)


def _row(cells: Iterable[Text], columns: Sequence[Column], gap: int) -> Text:
    line = Text(" " * (INDENT - gap))
    for cell, column in zip(cells, columns, strict=True):
        pad = " " * (column.width - cell.cell_len)
        line.append(" " * gap if column.left else " " * gap + pad)
        line.append_text(cell)
        line.append(pad if column.left else "")
    return line


def heading(text: str) -> tuple[Text, Text]:
    """Lines that open a section."""
    return Text(), Text(text, "bold")


def note(text: str, width: int) -> Text:
    """A remark below a table, cut at ``width``."""
    return Text(" " * INDENT + cut_end(text, width - INDENT), "dim")


def packed(parts: Sequence[str], width: int) -> list[str]:
    """Join parts, with as many on a line as fit."""
    lines: list[str] = []
    for part in parts:
        if lines and cell_len(lines[-1]) + 3 + cell_len(part) <= width:
            lines[-1] += f" · {part}"
        else:
            lines.append(cut_end(part, width))
    return lines


def cut_end(text: str, width: int) -> str:
    """Cut a text at its end, visibly."""
    return text if cell_len(text) <= width else set_cell_size(text, max(width - 1, 0)) + "…"


def cut_middle(text: str, width: int) -> str:
    """Cut a name in its middle: what tells pods of a deployment apart is at their end."""
    if cell_len(text) <= width:
        return text
    tail = text
    while cell_len(tail) > (width - 1) // 2:
        tail = tail[1:]
    return set_cell_size(text, width - 1 - cell_len(tail)) + "…" + tail
