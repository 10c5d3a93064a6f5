"""What a run was asked to do, and where it ran, in words: by name, for people to read and compare.

All values are as they came from files and command lines: to be made printable, and cut.
"""

from __future__ import annotations

import math
import shlex

from scalab.load.curve import Stage
from scalab.load.scenario import ClosedLoad, OpenLoad, QueueLoad, Scenario
from scalab.load.units import format_duration, format_level
from scalab.measure.figures import format_count
from scalab.runfile.records import Header

MAX_STAGES = 12
"""Stages that are written out; of more, the rest is a number."""


def parameters(scenario: Scenario) -> dict[str, str]:
    """Return what a scenario asks for, by name; what is off or unlimited is left out."""
    load = scenario.load
    found = {"load": load_text(load)}
    found |= _open(load) if isinstance(load, OpenLoad) else _closed(load)
    for name, seconds in (("warm-up", scenario.warm_up_s), ("duration", scenario.duration_s)):
        if seconds > 0:
            found[name] = format_duration(seconds)
    if scenario.requests:
        found["requests"] = format_count(scenario.requests)
    for queue in scenario.queues:
        found[f"queue {queue.name}"] = _queue(queue, alone=len(scenario.queues) == 1)
    found["seed"] = str(scenario.seed)
    return found


def surroundings(header: Header) -> dict[str, str]:
    """Return where and by what a run was made, by name; what is unknown is left out."""
    environment = header.environment
    found = {
        "scalab": header.scalab,
        "host": environment.host,
        "node": environment.node,
        "pod": environment.pod,
        "python": environment.python,
        "kernel": environment.kernel,
        "cpus": str(environment.cpus or ""),
    }
    return {name: value for name, value in found.items() if value}


def load_text(load: ClosedLoad | OpenLoad) -> str:
    """Return the level over time, such as ``closed loop, 0→50@60s, 50@5m``."""
    is_open = isinstance(load, OpenLoad)
    shown = [_stage(stage, is_open) for stage in load.stages[:MAX_STAGES]]
    if len(load.stages) > MAX_STAGES:
        shown.append(f"… {len(load.stages) - MAX_STAGES} more stages")
    return f"{'open' if is_open else 'closed'} loop, {', '.join(shown) or 'nothing'}"


def _stage(stage: Stage, is_open: bool) -> str:
    levels = dict.fromkeys((stage.start, stage.end))
    text = "→".join(format_level(level, "open" if is_open else "closed") for level in levels)
    if math.isinf(stage.duration_s):
        return text if is_open else f"{text} in parallel"
    return f"{text} for {format_duration(stage.duration_s)}"


def _open(load: OpenLoad) -> dict[str, str]:
    return {
        "arrivals": load.arrival,
        "in flight": f"at most {format_count(load.max_in_flight)}",
        "catch-up": format_duration(load.catch_up_s),
    }


def _closed(load: ClosedLoad) -> dict[str, str]:
    found = {}
    if load.delay_s > 0:
        found["delay"] = format_duration(load.delay_s)
    if load.spread_s > 0:
        found["spread"] = format_duration(load.spread_s)
    return found


def _queue(queue: QueueLoad, *, alone: bool) -> str:
    parts = [] if alone else [f"weight {queue.weight:g}"]
    if queue.limit_s > 0:
        parts.append(f"limit {format_duration(queue.limit_s)}")
    parts.append(f"arguments {shlex.join(queue.args)}" if queue.args else "no arguments")
    if queue.rows:
        how = "at random" if queue.order == "random" else "in sequence"
        rows = "1 row" if len(queue.rows) == 1 else f"{format_count(len(queue.rows))} rows"
        parts.append(f"drawn {how} from {rows}")
    return ", ".join(parts)
