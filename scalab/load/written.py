"""A scenario as the text of a TOML file, from which it can be read again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from math import inf

from .placeholders import ITEM
from .scenario import ClosedLoad, OpenLoad, QueueLoad, Scenario
from .stages import format_stages
from .units import format_duration, format_rate, plain


def format_scenario(scenario: Scenario) -> str:
    """Write a scenario as TOML that reads back as an equal one; rows stand in it, too."""
    lines = [*_top(scenario), "", "[load]", *_load(scenario.load)]
    for queue in scenario.queues:
        lines += ["", "[[queues]]", *_queue(queue)]
    return "\n".join(lines) + "\n"


def _top(scenario: Scenario) -> Iterator[str]:
    if scenario.name:
        yield f"name = {_string(scenario.name)}"
    yield f"seed = {scenario.seed}"
    yield from _time("warm-up", scenario.warm_up_s)
    yield from _time("duration", scenario.duration_s)
    if scenario.requests:
        yield f"requests = {scenario.requests}"
    if scenario.thresholds:
        yield "thresholds = ["
        yield from _indented(map(_string, scenario.thresholds))
        yield "]"


def _load(load: ClosedLoad | OpenLoad) -> Iterator[str]:
    first = load.stages[0]
    if first.duration_s < inf:
        yield f"stages = {_string(format_stages(load.stages, load.kind))}"
    elif isinstance(load, OpenLoad):
        yield f"rate = {_string(format_rate(first.start))}"
    else:
        yield f"parallel = {plain(first.start)}"
    if isinstance(load, OpenLoad):
        # These are said even if they are the defaults: another version may have others.
        yield f"arrival = {_string(load.arrival)}"
        yield f"max-in-flight = {load.max_in_flight}"
        yield f"catch-up = {_string(format_duration(load.catch_up_s))}"
        return
    if load.parallel_max:
        yield f"parallel-max = {load.parallel_max}"
    yield from _time("delay", load.delay_s)
    yield from _time("spread", load.spread_s)


def _queue(queue: QueueLoad) -> Iterator[str]:
    yield f"name = {_string(queue.name)}"
    yield f"weight = {plain(queue.weight)}"
    yield from _time("limit", queue.limit_s)
    if queue.args:
        yield f"args = [{', '.join(map(_string, queue.args))}]"
    if queue.rows:
        yield f"draw.order = {_string(queue.order)}"
        if list(queue.rows[0]) == [ITEM]:
            yield "draw.list = ["
            yield from _indented(_string(row[ITEM]) for row in queue.rows)
        else:
            yield "draw.rows = ["
            yield from _indented(map(_row, queue.rows))
        yield "]"


def _row(row: dict[str, str]) -> str:
    # Quoted, since a dot in the name of a column would make a table of it.
    return f"{{ {', '.join(f'{_string(key)} = {_string(row[key])}' for key in row)} }}"


def _indented(values: Iterable[str]) -> Iterator[str]:
    return (f"    {value}," for value in values)


def _time(key: str, seconds: float) -> Iterator[str]:
    """Write a time, but not 0, which means none."""
    if seconds:
        yield f"{key} = {_string(format_duration(seconds))}"


def _string(text: str) -> str:
    """Write a basic string: the escapes of JSON are among those of TOML, and lack only DEL's."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
