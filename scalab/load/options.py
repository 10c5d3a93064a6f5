"""A scenario from what stands on a command line: one line instead of a file."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import TypeVar

import attrs

from scalab.errors import ConfigError
from scalab.protocol.text import printable

from .curve import Stage
from .fields import FieldError
from .scenario import (
    DEFAULT_CATCH_UP_S,
    DEFAULT_IN_FLIGHT,
    Arrival,
    ClosedLoad,
    OpenLoad,
    QueueLoad,
    Scenario,
)
from .stages import parse_stages
from .units import parse_rate

Number = TypeVar("Number", int, float)


@attrs.frozen(kw_only=True)
class LoadOptions:
    """What may be said of a load in options; None = not said."""

    parallel: int | None = None
    parallel_max: int | None = None
    delay_s: float | None = None
    spread_s: float | None = None
    rate: str | None = None
    """Such as ``50/s``."""
    stages: str | None = None
    arrival: Arrival | None = None
    max_in_flight: int | None = None
    catch_up_s: float | None = None


_OPTIONS = {"name": "queue", "weight": "queue", "thresholds": "threshold"}
"""Options for the fields that are called otherwise."""
_CLOSED = ("parallel", "parallel_max", "delay_s", "spread_s")
_OPEN = ("rate", "arrival", "max_in_flight", "catch_up_s")


def make_scenario(
    *,
    queues: Sequence[str] = ("sleep",),
    args: Sequence[str] = (),
    limit_s: float = 0.0,
    load: LoadOptions | None = None,
    warm_up_s: float = 0.0,
    duration_s: float = 0.0,
    requests: int = 0,
    thresholds: Sequence[str] = (),
    seed: int = 0,
) -> Scenario:
    """Make a scenario of options.

    Args:
        queues: ``NAME`` or ``NAME=WEIGHT``.
        args: Of each request, whatever its queue.
        limit_s: Likewise.
        load: Open loop if a rate is said, closed otherwise.
        warm_up_s: As in a scenario, like the rest.
        duration_s: Likewise.
        requests: Likewise.
        thresholds: Likewise.
        seed: Likewise.

    Raises:
        ConfigError: Names the option.
    """
    try:
        return Scenario(
            queues=tuple(_queue(text, tuple(args), limit_s) for text in queues),
            load=_load(load or LoadOptions()),
            warm_up_s=warm_up_s,
            duration_s=duration_s,
            requests=requests,
            thresholds=tuple(thresholds),
            seed=seed,
        )
    except FieldError as exc:
        key = str(exc.path[-1]) if exc.path else ""
        option = _OPTIONS.get(key, key)
        raise ConfigError(f"--{option}: {exc.text}") from None


def _queue(text: str, args: tuple[str, ...], limit_s: float) -> QueueLoad:
    name, equals, weight = text.partition("=")
    if not name:
        raise ConfigError("--queue must not be empty")
    try:
        share = float(weight) if equals else 1.0
    except ValueError:
        share = 0.0
    if not 0 < share < inf:
        wrong = printable(text, 80)
        raise ConfigError(f"--queue {wrong}: a weight is a number above 0: --queue NAME=3")
    return QueueLoad(name=name, weight=share, args=args, limit_s=limit_s)


def _load(options: LoadOptions) -> ClosedLoad | OpenLoad:
    stages, is_open = _stages(options)
    foreign = _CLOSED if is_open else _OPEN
    said = [name for name in foreign if getattr(options, name) is not None]
    if said:
        option = "--" + said[0].removesuffix("_s").replace("_", "-")
        if is_open:
            raise ConfigError(f"{option} belongs to a closed loop, but a rate is asked for")
        text = f"{option} belongs to an open loop: say --rate 50/s, or --stages with levels in /s"
        raise ConfigError(text)
    if is_open:
        return OpenLoad(
            stages=stages,
            arrival=options.arrival or "constant",
            max_in_flight=_or(options.max_in_flight, DEFAULT_IN_FLIGHT),
            catch_up_s=_or(options.catch_up_s, DEFAULT_CATCH_UP_S),
        )
    return ClosedLoad(
        stages=stages,
        parallel_max=options.parallel_max or 0,
        delay_s=options.delay_s or 0.0,
        spread_s=options.spread_s or 0.0,
    )


def _stages(options: LoadOptions) -> tuple[tuple[Stage, ...], bool]:
    """Return the stages, and whether their levels are rates."""
    if options.stages is not None:
        for name, value in (("--rate", options.rate), ("--parallel", options.parallel)):
            if value is not None:
                raise ConfigError(f"{name}: the --stages tell the level, so leave it out")
        stages, kind = parse_stages(options.stages)
        return tuple(stages), kind == "open"
    if options.rate is not None:
        if options.parallel is not None:
            text = "--rate is an open loop, --parallel a closed one: say one of them"
            raise ConfigError(text)
        rate = parse_rate(options.rate)
        return (Stage(rate, rate, inf),), True
    level = float(_or(options.parallel, 1))
    return (Stage(level, level, inf),), False


def _or(value: Number | None, default: Number) -> Number:
    return default if value is None else value
