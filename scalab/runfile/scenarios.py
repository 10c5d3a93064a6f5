"""The scenarios of several clients that ran at the same time, as one."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from scalab.errors import ConfigError
from scalab.load.curve import Stage
from scalab.load.scenario import ClosedLoad, OpenLoad, QueueLoad, Scenario


def merged_scenario(scenarios: Sequence[Scenario]) -> tuple[Scenario, list[str]]:
    """Return what the clients together were asked to do.

    Levels and numbers of requests add up. Whatever can't be added is the first one's.

    Returns:
        The scenario, and what a reader must know about it, one line each.
    """
    first, notes = scenarios[0], []
    queues, alike = _queues(scenarios)
    if not alike:
        notes.append("The clients' queues, weights or arguments differ.")
    if len({scenario.seed for scenario in scenarios}) > 1:
        notes.append("The clients' seeds differ; the first one's is shown.")
    load = _load([scenario.load for scenario in scenarios])
    if load is None:
        notes.append("The clients' loads can't be added up; the first one's scenario is shown.")
    thresholds = dict.fromkeys(text for scenario in scenarios for text in scenario.thresholds)
    ends = [scenario.duration_s for scenario in scenarios]
    requests = [scenario.requests for scenario in scenarios]
    try:
        together = attrs.evolve(
            first,
            queues=queues,
            load=load or first.load,
            warm_up_s=max(scenario.warm_up_s for scenario in scenarios),
            duration_s=max(ends) if all(ends) else 0.0,
            requests=sum(requests) if all(requests) else 0,
            thresholds=tuple(thresholds),
        )
    except ConfigError:  # beyond what one client can do
        notes.append("Together the clients' scenarios are too large to show; the first one's is.")
        together = attrs.evolve(first, queues=queues)
    return together, notes


def _queues(scenarios: Sequence[Scenario]) -> tuple[tuple[QueueLoad, ...], bool]:
    """Return each queue as the first client with it has it, and whether all have the same."""
    queues: dict[str, QueueLoad] = {}
    for scenario in scenarios:
        for queue in scenario.queues:
            queues.setdefault(queue.name, queue)
    return tuple(queues.values()), all(s.queues == scenarios[0].queues for s in scenarios)


def _load(loads: Sequence[ClosedLoad | OpenLoad]) -> ClosedLoad | OpenLoad | None:
    """Return the sum of loads of one kind whose stages take the same times, else None."""
    first = loads[0]
    durations = {tuple(stage.duration_s for stage in load.stages) for load in loads}
    if len(durations) > 1 or len({load.kind for load in loads}) > 1:
        return None
    limits = [
        load.max_in_flight if isinstance(load, OpenLoad) else load.parallel_max for load in loads
    ]
    try:
        stages = tuple(map(_stage, zip(*(load.stages for load in loads), strict=True)))
        if isinstance(first, OpenLoad):
            return attrs.evolve(first, stages=stages, max_in_flight=sum(limits))
        return attrs.evolve(first, stages=stages, parallel_max=sum(limits) if all(limits) else 0)
    except (ValueError, ConfigError):  # more than one client can do
        return None


def _stage(same: Sequence[Stage]) -> Stage:
    levels = (sum(stage.start for stage in same), sum(stage.end for stage in same))
    return Stage(*levels, same[0].duration_s)
