"""What a scenario will do, told before it is run."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Any

import attrs

from scalab.measure.figures import format_count, format_duration, format_share
from scalab.measure.interval import MEASURE
from scalab.protocol.text import printable

from .curve import Curve
from .phases import Phases
from .placeholders import Template
from .scenario import ClosedLoad, OpenLoad, QueueLoad, Scenario
from .units import Kind, exact, format_level

_MAX_ARGS = 60
"""Characters of a request's arguments that are shown."""


@attrs.frozen(kw_only=True)
class QueuePlan:
    """What one queue gets."""

    name: str
    share: float
    """Of all requests, from 0 to 1."""
    args: tuple[str, ...]
    """Of the first row, if rows are drawn."""
    rows: int
    """How many there are to draw from; 0 = nothing is drawn."""
    order: str
    limit_s: float
    """0 = the backend's own."""


@attrs.frozen(kw_only=True)
class StagePlan:
    """What one stage does. Times are seconds since the start of the run."""

    start_s: float
    end_s: float | None
    """None = when the run is stopped."""
    level_from: float
    level_to: float
    requests: int | None
    """Arrivals expected in it, to the next whole one; None in a closed loop or without end."""
    measured_s: float | None
    """How much of it makes the figures; None = all until the run is stopped."""


@attrs.frozen(kw_only=True)
class Plan:
    """What a scenario will do. ``attrs.asdict`` makes it fit for JSON."""

    name: str
    seed: int
    kind: Kind
    """Whether the loop is closed or open."""
    settings: dict[str, Any]
    """The load's other settings, by the keys of a scenario's file; times in seconds."""
    queues: tuple[QueuePlan, ...]
    stages: tuple[StagePlan, ...]
    warm_up_s: float
    measured_s: float | None
    """None = until the run is stopped."""
    duration_s: float | None
    """None = until the run is stopped, or has sent all its requests."""
    requests: int | None
    """Arrivals expected in all; None in a closed loop or without end."""
    requests_max: int
    """The run ends after so many; 0 = never for this reason."""
    thresholds: tuple[str, ...]


def make_plan(scenario: Scenario) -> Plan:
    """Return what a scenario will do."""
    end_s = _end(scenario)
    stages = tuple(_stages(scenario, end_s))
    measured = [stage.measured_s for stage in stages]
    weights = math.fsum(queue.weight for queue in scenario.queues)
    return Plan(
        name=scenario.name,
        seed=scenario.seed,
        kind=scenario.load.kind,
        settings=_settings(scenario.load),
        queues=tuple(_queue(queue, queue.weight / weights) for queue in scenario.queues),
        stages=stages,
        warm_up_s=scenario.warm_up_s,
        measured_s=None if None in measured else math.fsum(s for s in measured if s),
        duration_s=_finite(end_s),
        requests=scenario.arrivals_expected,
        requests_max=scenario.requests,
        thresholds=scenario.thresholds,
    )


def _end(scenario: Scenario) -> float:
    """Return when the run ends: by the clock, or when an open loop has sent all its requests."""
    end_s = scenario.end_s
    if scenario.requests and isinstance(scenario.load, OpenLoad):
        last = Curve(scenario.load.stages, 0.0).passing(scenario.requests - 1)
        return end_s if last is None else min(last, end_s)
    return end_s


def _settings(load: ClosedLoad | OpenLoad) -> dict[str, Any]:
    if isinstance(load, OpenLoad):
        return {
            "arrival": load.arrival,
            "max-in-flight": load.max_in_flight,
            "catch-up": load.catch_up_s,
        }
    return {
        "parallel-max": load.most_parallel,
        "delay": load.delay_s,
        "spread": load.spread_s,
    }


def _queue(queue: QueueLoad, share: float) -> QueuePlan:
    return QueuePlan(
        name=queue.name,
        share=share,
        args=Template(queue.args).fill(queue.rows[0]) if queue.rows else queue.args,
        rows=len(queue.rows),
        order=queue.order,
        limit_s=queue.limit_s,
    )


def _stages(scenario: Scenario, end_s: float) -> Iterator[StagePlan]:
    load = scenario.load
    phases = Phases.of(
        load.stages, Curve(load.stages, 0.0), warm_up_s=scenario.warm_up_s, ends_at=end_s
    )
    begin = Fraction(0)
    sent = 0
    arrivals = _arrivals(scenario)
    for stage, due in zip(load.stages, arrivals, strict=True):
        start_s = float(begin)
        stop_s = scenario.end_s
        if stage.duration_s < math.inf:
            begin += exact(stage.duration_s)
            stop_s = float(begin)
        yield StagePlan(
            start_s=start_s,
            end_s=_finite(stop_s),
            level_from=stage.start,
            level_to=stage.end,
            requests=None if due is None else due - sent,
            measured_s=_finite(_measured(phases, start_s, min(stop_s, end_s))),
        )
        sent = due or 0


def _arrivals(scenario: Scenario) -> Sequence[int | None]:
    """Return how many requests are expected by the end of each stage."""
    load = scenario.load
    if not isinstance(load, OpenLoad):
        return [None] * len(load.stages)
    most = scenario.requests or math.inf
    arrivals = load.arrivals_by_stage(scenario.end_s)
    return [due if due is None else int(min(math.ceil(due), most)) for due in arrivals]


def _measured(phases: Phases, start_s: float, end_s: float) -> float:
    """Return for how long a stage is measured: from the warm-up on, since all of it is alike."""
    start_s = max(start_s, phases.measuring_from)
    if start_s >= end_s:
        return 0.0
    inside = start_s + 1 if end_s == math.inf else (start_s + end_s) / 2
    return end_s - start_s if phases.at(inside) == MEASURE else 0.0


def _finite(seconds: float) -> float | None:
    return seconds if seconds < math.inf else None


# --- as text -------------------------------------------------------------------------------------


def describe(scenario: Scenario) -> list[str]:
    """Tell what a scenario will do, in lines for people."""
    plan = make_plan(scenario)
    return [
        f"scenario {plan.name}, seed {plan.seed}" if plan.name else f"seed {plan.seed}",
        "",
        "Queues",
        *_table(("name", "share", "limit", "arguments"), map(_queue_cells, plan.queues)),
        "",
        f"Load: {_loop(scenario.load)}",
        *_table(*_stage_table(plan)),
        "",
        *_pairs(_times(plan)),
        *(["", "Thresholds"] if plan.thresholds else []),
        *(f"  {printable(threshold, 200)}" for threshold in plan.thresholds),
    ]


def _queue_cells(queue: QueuePlan) -> tuple[str, ...]:
    args = printable(shlex.join(queue.args), _MAX_ARGS)
    if queue.rows:
        order = "drawn at random" if queue.order == "random" else "one after the other"
        args += f"  (the first of {format_count(queue.rows)} rows, {order})"
    limit = format_duration(queue.limit_s) if queue.limit_s else "the backend's"
    return queue.name, format_share(queue.share, 1), limit, args


def _loop(load: ClosedLoad | OpenLoad) -> str:
    if isinstance(load, OpenLoad):
        room = f"{load.arrival} arrivals, at most {format_count(load.max_in_flight)} in flight"
        late = f"at most {format_duration(load.catch_up_s)} late"
        return f"open loop, {room}, sent {late if load.catch_up_s else 'at once or not at all'}"
    text = f"closed loop, at most {format_count(load.most_parallel)} in parallel"
    if load.delay_s:
        text += f", {format_duration(load.delay_s)} between a reply and the next request"
    if load.spread_s:
        text += f", starts spread over {format_duration(load.spread_s)}"
    return text


def _stage_table(plan: Plan) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    head = ["stage", "from", "to", "level", "measured", "requests"]
    rows = []
    for i, stage in enumerate(plan.stages, 1):
        level = format_level(stage.level_to, plan.kind)
        if stage.level_from != stage.level_to:
            level = f"{format_level(stage.level_from, plan.kind)} → {level}"
        rows.append(
            (
                str(i),
                format_duration(stage.start_s),
                _until(stage.end_s),
                level,
                "-" if stage.measured_s == 0 else _for(stage.measured_s),
                _about(plan) + format_count(stage.requests) if stage.requests is not None else "-",
            )
        )
    last = len(head) if plan.kind == "open" else -1
    return tuple(head[:last]), [row[:last] for row in rows]


def _times(plan: Plan) -> Iterator[tuple[str, str]]:
    if plan.warm_up_s:
        yield "warm-up", f"{format_duration(plan.warm_up_s)}, left out of the figures"
    if plan.measured_s == 0:
        yield "measured", "nothing: no level is held between the warm-up and the end"
    else:
        yield "measured", _for(plan.measured_s)
    yield "ends", _ends(plan)
    if plan.requests is not None:
        yield "requests", f"{_about(plan)}{format_count(plan.requests)} in all"
    elif plan.kind == "closed":
        yield "requests", "as many as are answered: that depends on how long each takes"


def _ends(plan: Plan) -> str:
    by_clock = f"after {_until(plan.duration_s)}" if plan.duration_s is not None else ""
    by_count = f"after {format_count(plan.requests_max)} requests" if plan.requests_max else ""
    if by_clock and by_count:
        if plan.requests == plan.requests_max:
            return f"{by_count}, which is {by_clock}"
        return f"{by_clock}, or {by_count} if that is earlier"
    return by_clock or by_count or "when it is stopped"


def _about(plan: Plan) -> str:
    """Poisson arrivals are as many on average only."""
    return "about " if plan.settings.get("arrival") == "poisson" else ""


def _until(seconds: float | None) -> str:
    return "stopped" if seconds is None else format_duration(seconds)


def _for(seconds: float | None) -> str:
    return "until stopped" if seconds is None else format_duration(seconds)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Align columns to the left."""
    table = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        yield "  ".join(("", *cells)).rstrip()


def _pairs(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    return (f"  {name:8}  {value}" for name, value in pairs)
