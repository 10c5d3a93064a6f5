"""Arguments with placeholders, such as ``{size}``, and the rows that fill them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Final

from scalab.protocol.text import printable

from .fields import FieldError, nearest

ITEM: Final = "item"
"""The column of rows that are a plain list."""
MAX_ROWS: Final = 100_000
MAX_COLUMNS: Final = 100
_NAME = r"[A-Za-z_][A-Za-z0-9_.-]*"
_COLUMN: Final = re.compile(_NAME)
# Other braces, as those of JSON, stay as they are.
_PLACEHOLDER: Final = re.compile(rf"\{{\{{(?P<literal>{_NAME})\}}\}}|\{{(?P<column>{_NAME})\}}")


class Template:
    """Arguments that are split at their placeholders once, to be filled often.

    ``{size}`` is replaced by what a row has in column ``size``, and ``{{size}}`` becomes
    ``{size}``. Nothing that a row puts in is looked at again.
    """

    def __init__(self, args: Sequence[str]) -> None:
        self._args = [_split(arg) for arg in args]

    @property
    def columns(self) -> set[str]:
        """What it takes of a row."""
        return {column for parts in self._args for column in parts[1::2]}

    def fill(self, row: Mapping[str, str]) -> tuple[str, ...]:
        """Return the arguments with a row's values."""
        return tuple([parts[0] if len(parts) == 1 else _join(parts, row) for parts in self._args])


def _split(arg: str) -> list[str]:
    """Return texts and the columns between them, in turns, beginning and ending with a text."""
    parts, at = [""], 0
    for match in _PLACEHOLDER.finditer(arg):
        parts[-1] += arg[at : match.start()]
        if column := match["column"]:
            parts += (column, "")
        else:
            parts[-1] += f"{{{match['literal']}}}"
        at = match.end()
    parts[-1] += arg[at:]
    return parts


def _join(parts: Sequence[str], row: Mapping[str, str]) -> str:
    return "".join([row[part] if i % 2 else part for i, part in enumerate(parts)])


def check_draw(args: Sequence[str], rows: Sequence[Mapping[str, str]]) -> None:
    """Check arguments, and the rows that are to fill them; without rows they stay as they are.

    Raises:
        FieldError: An argument asks for a column that there is not, or something can't be one.
    """
    _check_args(args)
    if not rows:
        return
    if len(rows) > MAX_ROWS:
        raise FieldError(("draw",), f"there are more than {MAX_ROWS:,} rows")
    columns = tuple(rows[0])
    check_columns(columns)
    known = rows[0].keys()
    for i, row in enumerate(rows):
        if row.keys() != known:
            text = f"its columns are {_listed(row)}, but those of the first row {_listed(columns)}"
            raise FieldError(("draw", "rows", i), text)
    _check_values(rows)
    _check_use(args, columns)


def check_columns(columns: Sequence[str]) -> None:
    """Check the names of columns.

    Raises:
        FieldError: One can't stand in a placeholder, or is there twice, or there are too many.
    """
    if not 0 < len(columns) <= MAX_COLUMNS:
        raise FieldError(("draw",), f"give 1 to {MAX_COLUMNS} columns")
    for column in columns:
        if not _COLUMN.fullmatch(column):
            text = (
                f"'{printable(column, 60)}' is no name of a column; use letters, digits and _ . -"
            )
            raise FieldError(("draw",), f"{text}, with a letter or _ first")
        if columns.count(column) > 1:
            raise FieldError(("draw",), f"column '{column}' is there twice")


def _check_args(args: Sequence[str]) -> None:
    for i, arg in enumerate(args):
        if wrong := _unfit(arg):
            raise FieldError(("args", i), wrong)


def _check_values(rows: Sequence[Mapping[str, str]]) -> None:
    if not _unfit("".join(chain.from_iterable(row.values() for row in rows))):
        return
    for i, row in enumerate(rows):
        for column, value in row.items():
            if wrong := _unfit(value):
                raise FieldError(("draw", "rows", i, column), wrong)


def _unfit(text: str) -> str:
    """Return why a text can't be an argument of a program, or of one on another machine."""
    if "\0" in text:
        return "no argument can have a NUL character in it"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "it is no valid UTF-8"
    return ""


def _check_use(args: Sequence[str], columns: tuple[str, ...]) -> None:
    wanted = [(i, column) for i, arg in enumerate(args) for column in Template((arg,)).columns]
    if not wanted:
        text = f"nothing of it is used: write {{{columns[0]}}} somewhere in args"
        raise FieldError(("draw",), text)
    for i, column in sorted(wanted):
        if column not in columns:
            text = f"no column for {{{column}}}; {nearest(column, columns)}"
            raise FieldError(("args", i), f"{text} (literally: {{{{{column}}}}})")


def _listed(names: Mapping[str, str] | Sequence[str]) -> str:
    return printable(", ".join(names) or "none", 200)
