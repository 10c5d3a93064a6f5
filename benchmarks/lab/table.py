"""Figures as an aligned table for people, and as JSON for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

Row = Mapping[str, Any]


@attrs.frozen
class Table:
    """What one mode has measured."""

    title: str
    columns: Mapping[str, str]
    """What each column is called, unit included, and how its numbers are written."""
    rows: Sequence[Row]
    """By the name of the column; what has no figure is left out."""
    notes: tuple[str, ...] = ()
    """What one has to know to read it."""

    def __str__(self) -> str:
        """Return it aligned, text to the left and numbers to the right."""
        cells = [[self._cell(row.get(name), name) for name in self.columns] for row in self.rows]
        head = list(self.columns)
        widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
        left = [isinstance(self.rows[0].get(name), str) if self.rows else True for name in head]
        lines = [
            "  ".join(
                cell.ljust(width) if is_left else cell.rjust(width)
                for cell, width, is_left in zip(line, widths, left, strict=True)
            ).rstrip()
            for line in (head, *cells)
        ]
        return "\n".join([f"{self.title}\n", *lines, *(["", *self.notes] if self.notes else [])])

    def _cell(self, value: object, name: str) -> str:
        if value is None:
            return "-"
        return value if isinstance(value, str) else format(value, self.columns[name])

    def as_json(self) -> dict[str, Any]:
        """Return it as dicts, lists and numbers."""
        rows = [{name: row.get(name) for name in self.columns} for row in self.rows]
        return {"title": self.title, "rows": rows, "notes": list(self.notes)}
