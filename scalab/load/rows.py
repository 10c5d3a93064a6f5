"""Rows to draw from, out of a CSV text."""

from __future__ import annotations

import csv
import io
from typing import Final

from scalab.errors import ConfigError

from .fields import FieldError
from .placeholders import MAX_ROWS, check_columns

MAX_BYTES: Final = 16 << 20


def parse_rows(text: str, name: str) -> tuple[dict[str, str], ...]:
    """Return the rows of a CSV text (RFC 4180), whose first line names the columns.

    Empty lines are left out; spaces belong to the values.

    Args:
        text: The whole text.
        name: What it is called in errors.

    Raises:
        ConfigError: It can't be used; the error tells the line.
    """
    # With newline="", all three kinds of line ends are such, and those within a value stay.
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    columns: list[str] = []
    rows: list[dict[str, str]] = []
    try:
        for values in reader:
            if not values:
                continue
            if not columns:
                columns = [value.strip() for value in values]
                check_columns(columns)
                continue
            rows.append(_row(columns, values))
            if len(rows) > MAX_ROWS:
                raise ConfigError(f"there are more than {MAX_ROWS:,} rows")
    except FieldError as exc:
        raise ConfigError(f"{name}:{reader.line_num}: {exc.text}") from None
    except (ConfigError, csv.Error) as exc:
        raise ConfigError(f"{name}:{reader.line_num}: {exc}") from None
    if not rows:
        what = "there is no row below the names of the columns" if columns else "it is empty"
        raise ConfigError(f"{name}: {what}")
    return tuple(rows)


def _row(columns: list[str], values: list[str]) -> dict[str, str]:
    if len(values) != len(columns):
        found = "1 value" if len(values) == 1 else f"{len(values)} values"
        raise ConfigError(f"{found}, where the first line names {len(columns)} columns")
    if any("\0" in value for value in values):
        raise ConfigError("no argument can have a NUL character in it")
    return dict(zip(columns, values, strict=True))
