"""Stages of a load as they are written: ``0→50@60s, 50@5m, 0@30s``.

``A→B@D`` goes linearly from A to B within D (``->`` will do for the arrow), ``B@D`` from where the
stage before ended; the first of all holds B. So a level is held by naming it again, and a jump is
written ``20→20@1m``. The last stage may leave out ``@D``: it holds until the run is stopped.

Levels with a unit (``50/s``, ``3000/min``) are rates and make an open loop; those without are
numbers of parallel requests and make a closed one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import inf
from typing import Final

import attrs

from scalab.errors import ConfigError
from scalab.protocol.text import printable

from .curve import Stage
from .units import (
    PARALLEL_MAX,
    Kind,
    format_duration,
    format_level,
    parse_duration,
    parse_rate,
    shown,
)

MAX_STAGES: Final = 1000
_ARROW = re.compile(r"→|->")
_UNIT = re.compile(r"/\s*([a-z]{1,3})\s*$")


@attrs.frozen
class _Written:
    """The parts of a stage, as they were written."""

    where: str
    """Option, number and text, to begin an error with."""
    start: str | None
    end: str
    duration: str | None

    @property
    def levels(self) -> tuple[str, ...]:
        return (self.end,) if self.start is None else (self.start, self.end)


def parse_stages(text: str, what: str = "--stages") -> tuple[tuple[Stage, ...], Kind]:
    """Return the stages that are written in ``text``, and what their levels are.

    Args:
        text: Stages, separated by commas.
        what: What it was written for, to begin an error with.

    Raises:
        ConfigError: It can't be read; the error names the stage and tells what to write.
    """
    parts = text.split(",", MAX_STAGES)
    if len(parts) > MAX_STAGES:
        raise ConfigError(f"{what}: there are more than {MAX_STAGES} stages")
    written = [_take_apart(part.strip(), i, what) for i, part in enumerate(parts, 1)]
    unit = _common_unit(written)
    stages: list[Stage] = []
    for i, stage in enumerate(written):
        before = stages[-1].end if stages else None
        stages.append(_stage(stage, before, unit, is_last=i == len(written) - 1))
    return tuple(stages), "closed" if unit is None else "open"


def format_stages(stages: Iterable[Stage], kind: Kind) -> str:
    """Write stages so that ``parse_stages`` returns the very same ones.

    >>> format_stages([Stage(0, 50, 60), Stage(50, 50, 300), Stage(20, 20, inf)], "closed")
    '0→50@1m, 50@5m, 20→20'
    """
    texts = []
    before: float | None = None
    for stage in stages:
        end = format_level(stage.end, kind)
        implied = stage.end if before is None else before
        start = "" if stage.start == implied else format_level(stage.start, kind) + "→"
        duration = "" if stage.duration_s == inf else "@" + format_duration(stage.duration_s)
        texts.append(start + end + duration)
        before = stage.end
    return ", ".join(texts)


def _take_apart(text: str, number: int, what: str) -> _Written:
    where = f"{what}: stage {number} {shown(text)}"
    levels, at, duration = text.partition("@")
    texts = [level.strip() for level in _ARROW.split(levels)]
    if not all(texts) or len(texts) > 2 or "@" in duration:
        raise ConfigError(f"{where} is not FROM→TO@DURATION; write for example 0→50@60s")
    if at and not duration.strip():
        raise _lacks_duration(where, texts[-1])
    start = texts[0] if len(texts) == 2 else None
    return _Written(where, start, texts[-1], duration if at else None)


def _lacks_duration(where: str, level: str) -> ConfigError:
    return ConfigError(f"{where}: say for how long, for example {printable(level, 20)}@60s")


def _common_unit(written: Iterable[_Written]) -> str | None:
    """Return what to put behind levels without unit: None if all are without.

    Raises:
        ConfigError: Levels without unit stand beside such of several units.
    """
    units: set[str] = set()
    bare: list[tuple[str, str]] = []
    for stage in written:
        for level in stage.levels:
            if found := _UNIT.search(level):
                units.add(found[1])
            elif level.strip("0."):
                bare.append((stage.where, level))
    if len(units) > 1 and bare:
        where, level = bare[0]
        either = " or ".join(f"{printable(level, 20)}/{unit}" for unit in sorted(units)[:3])
        raise ConfigError(f"{where}: say which unit {shown(level)} has: {either}")
    return min(units, default=None)


def _stage(written: _Written, before: float | None, unit: str | None, *, is_last: bool) -> Stage:
    where = written.where
    end = _level(written.end, unit, where)
    if written.start is not None:
        start = _level(written.start, unit, where)
    else:
        start = end if before is None else before
    if written.duration is not None:
        duration = parse_duration(written.duration, where)
        if duration == 0:
            text = "a stage takes more than 0 s; a jump to 20 is written 20→20@60s"
            raise ConfigError(f"{where}: {text}")
        return Stage(start, end, duration)
    if not is_last or start != end:
        raise _lacks_duration(where, written.end)
    return Stage(start, end, inf)


def _level(text: str, unit: str | None, where: str) -> float:
    if unit is not None:
        return parse_rate(text if "/" in text else f"{text}/{unit}", where)
    if not re.fullmatch(r"[0-9]{1,12}", text):
        hint = "write a whole number of parallel requests, or a rate such as 50/s"
        raise ConfigError(f"{where}: {shown(text)} is no level; {hint}")
    if int(text) > PARALLEL_MAX:
        raise ConfigError(f"{where}: {shown(text)} is more than {PARALLEL_MAX} in parallel")
    return float(text)
