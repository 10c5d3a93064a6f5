"""Scenarios as TOML files; docs/scenarios.md describes every key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from math import inf
from pathlib import Path
from typing import Any, Final, cast

from scalab.errors import ConfigError
from scalab.protocol.text import printable

from .curve import Stage
from .fields import FieldError
from .located import line_of
from .placeholders import ITEM
from .rows import MAX_BYTES, parse_rows
from .scenario import (
    DEFAULT_CATCH_UP_S,
    DEFAULT_IN_FLIGHT,
    MAX_QUEUES,
    Arrival,
    ClosedLoad,
    OpenLoad,
    Order,
    QueueLoad,
    Scenario,
)
from .stages import parse_stages
from .tables import (
    Table,
    as_integer,
    as_number,
    as_seconds,
    as_text,
    as_texts,
    as_word,
    as_words,
    shown,
    under,
)
from .units import PARALLEL_MAX, RATE_MAX, RATE_MIN, Kind, parse_rate, plain
from .written import format_scenario

__all__ = ["format_scenario", "parse_scenario", "read_scenario"]

Rows = tuple[dict[str, str], ...]
Levels = tuple[tuple[Stage, ...], Kind]
ReadFile = Callable[[str], str]
Check = Callable[[str], None]

_TOP: Final = (
    *("name", "seed", "warm-up", "duration", "requests", "thresholds"),
    *("load", "queues"),
)
_LEVEL: Final = ("parallel", "rate", "stages")
_CLOSED: Final = ("parallel-max", "delay", "spread")
_OPEN: Final = ("arrival", "max-in-flight", "catch-up")
_QUEUE: Final = ("name", "weight", "limit", "args", "draw")
_SOURCES: Final = ("csv", "list", "rows")
_NO_DRAW: Final[tuple[Rows, str]] = ((), "random")
_AT: Final = re.compile(r" ?\(at (?:line (\d+), column (\d+)|end of document)\)")


def read_scenario(path: str, check: Check | None = None) -> Scenario:
    """Read a scenario's file, and the CSV files that it names, relative to where it is.

    Args:
        path: The file.
        check: Raises ConfigError if a threshold can't be used.

    Raises:
        ConfigError: One line that begins with file and line.
    """
    folder = Path(path).parent

    def read_csv(name: str) -> str:
        return _read(folder / name, name)

    return parse_scenario(_read(Path(path), path), path, read_csv=read_csv, check=check)


def parse_scenario(
    text: str, name: str, *, read_csv: ReadFile, check: Check | None = None
) -> Scenario:
    """Read a scenario from TOML.

    Args:
        text: The whole text.
        name: What it is called in errors.
        read_csv: Returns the text of a CSV file that the scenario names.
        check: Raises ConfigError if a threshold can't be used.

    Raises:
        ConfigError: One line that begins with ``name`` and the line.
    """
    name = printable(name, 200)
    try:
        document = _parse_toml(text, name)
        try:
            return _scenario(document, read_csv, check)
        except FieldError as exc:
            line = line_of(text, exc.path)
            where = name if line is None else f"{name}:{line}"
            raise ConfigError(f"{where}: {exc}") from None
    except RecursionError:
        raise ConfigError(f"{name}: too many brackets in each other") from None


def _read(path: Path, name: str) -> str:
    name = printable(name, 200)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ConfigError(f"{name}: longer than {MAX_BYTES >> 20} MiB")
        return content.decode("utf-8-sig")
    except OSError as exc:
        raise ConfigError(f"can't read {name}: {exc.strerror}") from None
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        raise ConfigError(f"{name}:{line}: no UTF-8; save the file in that encoding") from None
    except ValueError:  # a NUL in the path
        raise ConfigError(f"can't read {name}: that is no name of a file") from None


def _parse_toml(text: str, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except ValueError as exc:  # tomllib's own, or of a number with thousands of digits
        told = printable(str(exc), 400)
        if not (at := _AT.search(told)):
            raise ConfigError(f"{name}: no TOML: {told.partition(':')[0]}") from None
        line = at[1] or text.count("\n") + 1
        column = f" (column {at[2]})" if at[2] else " (at the end)"
        raise ConfigError(f"{name}:{line}: no TOML: {_AT.sub('', told)}{column}") from None


def _scenario(document: Mapping[str, Any], read_csv: ReadFile, check: Check | None) -> Scenario:
    top = Table(document, _TOP)
    thresholds = top.get("thresholds", as_texts, ())
    for i, threshold in enumerate(thresholds):
        with under("thresholds", i):
            if check is not None:
                check(threshold)
    load = top.get("load", _load, None)
    if load is None:
        raise FieldError(("load",), 'it is missing; write [load] and, below, rate = "50/s"')
    return Scenario(
        name=top.get("name", as_text, ""),
        queues=top.get("queues", lambda value: _queues(value, read_csv), ()),
        load=load,
        warm_up_s=top.get("warm-up", as_seconds, 0.0),
        duration_s=top.get("duration", as_seconds, 0.0),
        requests=top.get("requests", as_integer, 0),
        thresholds=thresholds,
        seed=top.get("seed", as_integer, 0),
    )


def _queues(value: object, read_csv: ReadFile) -> tuple[QueueLoad, ...]:
    if not isinstance(value, list) or not all(isinstance(queue, dict) for queue in value):
        raise ConfigError("must be tables: write [[queues]] above each of them")
    if len(value) > MAX_QUEUES:  # before the files of all of them are read
        raise ConfigError(f"give at most {MAX_QUEUES} queues")
    queues = []
    for i, queue in enumerate(value):
        with under(i):
            queues.append(_queue(queue, read_csv))
    return tuple(queues)


def _queue(value: object, read_csv: ReadFile) -> QueueLoad:
    table = Table(value, _QUEUE)
    name = table.get("name", as_text, "")
    if not name:
        raise FieldError(("name",), 'say which queue it is: name = "sleep"')
    rows, order = table.get("draw", lambda value: _draw(value, read_csv), _NO_DRAW)
    return QueueLoad(
        name=name,
        weight=table.get("weight", as_number, 1.0),
        args=table.get("args", as_words, ()),
        limit_s=table.get("limit", as_seconds, 0.0),
        rows=rows,
        order=cast("Order", order),  # it refuses what is none, as a load does below
    )


def _draw(value: object, read_csv: ReadFile) -> tuple[Rows, str]:
    table = Table(value, (*_SOURCES, "order"))
    match table.one_of(_SOURCES):
        case "csv":
            rows = table.need("csv", lambda name: parse_rows(read_csv(as_text(name)), name))
        case "list":
            rows = tuple({ITEM: word} for word in table.need("list", as_words))
        case _:
            rows = table.need("rows", _rows)
    if not rows:
        raise ConfigError("there is nothing to draw from")
    return rows, table.get("order", as_text, "random")


def _rows(value: object) -> Rows:
    if not isinstance(value, list):
        raise ConfigError('must be a list of rows: [{ size = "640" }, …]')
    rows = []
    for i, row in enumerate(value):
        with under(i):
            if not isinstance(row, dict) or not row:
                raise ConfigError(f'must be a row such as {{ size = "640" }}, not {shown(row)}')
            rows.append({column: as_word(content) for column, content in row.items()})
    return tuple(rows)


# --- the load ------------------------------------------------------------------------------------


def _load(value: object) -> ClosedLoad | OpenLoad:
    table = Table(value, (*_LEVEL, *_CLOSED, *_OPEN))
    key = table.one_of(_LEVEL)
    stages, kind = table.need(key, _LEVELS[key])
    is_open = kind == "open"
    if foreign := table.there(_CLOSED if is_open else _OPEN):
        raise FieldError((foreign[0],), _mismatch(key, kind))
    if is_open:
        return OpenLoad(
            stages=stages,
            arrival=cast("Arrival", table.get("arrival", as_text, "constant")),
            max_in_flight=table.get("max-in-flight", as_integer, DEFAULT_IN_FLIGHT),
            catch_up_s=table.get("catch-up", as_seconds, DEFAULT_CATCH_UP_S),
        )
    return ClosedLoad(
        stages=stages,
        parallel_max=table.get("parallel-max", as_integer, 0),
        delay_s=table.get("delay", as_seconds, 0.0),
        spread_s=table.get("spread", as_seconds, 0.0),
    )


def _mismatch(key: str, kind: Kind) -> str:
    """Tell why a key of the other kind of load can't be there."""
    if kind == "open":
        return f"is for a closed loop, but {key} asks for a rate, an open one; leave it out"
    has = "has levels without /s" if key == "stages" else "asks for so many in parallel"
    return f"is for an open loop, but {key} {has}, a closed one; leave it out, or give a rate"


def _parallel(value: object) -> Levels:
    level = as_integer(value)
    if not 0 <= level <= PARALLEL_MAX:
        raise ConfigError(f"{shown(value)} is out of bounds; give 0 to {PARALLEL_MAX}")
    return (Stage(float(level), float(level), inf),), "closed"


def _rate(value: object) -> Levels:
    rate = parse_rate(value, "") if isinstance(value, str) else as_number(value)
    if rate != 0 and not RATE_MIN <= rate <= RATE_MAX:
        bounds = f"0, or {plain(RATE_MIN)} to {plain(RATE_MAX)} per second"
        raise ConfigError(f"{shown(value)} is out of bounds; give {bounds}")
    return (Stage(rate, rate, inf),), "open"


def _stages(value: object) -> Levels:
    return parse_stages(value if isinstance(value, str) else ", ".join(as_texts(value)), "")


_LEVELS: Final[Mapping[str, Callable[[Any], Levels]]] = {
    "parallel": _parallel,
    "rate": _rate,
    "stages": _stages,
}
