"""The scenario that repeats a run as it really went, live changes of the load included."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import attrs

from scalab.errors import ConfigError
from scalab.load.curve import Stage
from scalab.load.scenario import ClosedLoad, OpenLoad, Scenario

from .reading import Run

LOAD: Final = "load"
"""The kind of event that tells a live change, in which level the new level."""
AS_ASKED: Final = ("time", "requests")
"""Reasons for which a run ends when everything has been done that was asked for."""

_DIGITS = 3  # of seconds: nobody changes a load more exactly than to the millisecond


def replay(run: Run) -> Scenario:
    """Return the scenario that repeats a run.

    A run that went as it was asked to gives its own scenario. Otherwise the stages become those
    that there were: the scenario's until the first live change, from then on a hold at each level
    that was set, and the end when the load really ended. Everything else stays: queues, arguments,
    seed, thresholds.

    Raises:
        ConfigError: There is no such scenario: the run is merged from several clients', has too
            many events, or ended within its warm-up.
    """
    scenario, name = run.header.scenario, run.header.id
    if run.parts:
        raise ConfigError(f"{name} is merged from several runs: replay each client's own file")
    if run.events_left_out:
        raise ConfigError(f"{name} has too many events to replay: some were left out")
    changes = _changes(run)
    if not changes and run.end and run.end.reason in AS_ASKED:
        return scenario
    end_s = round(run.load_s, _DIGITS)
    if end_s <= scenario.warm_up_s:
        raise ConfigError(
            f"{name} ended before anything was measured, so there is nothing to replay"
        )
    try:
        stages = tuple(_stages(scenario, changes, end_s))
    except ValueError as exc:  # nobody's client has had such a level
        raise ConfigError(f"{name} can't be replayed: {exc}") from None
    load = scenario.load
    if isinstance(load, ClosedLoad):
        highest = max(max(stage.start, stage.end) for stage in stages)
        most = max(load.parallel_max, int(highest)) if load.parallel_max else 0
        load = attrs.evolve(load, stages=stages, parallel_max=most)
    else:
        load = attrs.evolve(load, stages=stages)
    return attrs.evolve(scenario, load=load, duration_s=0.0, requests=0)


def _changes(run: Run) -> list[tuple[float, float]]:
    """Return the live changes as (when, level), each time once, within the load."""
    changes = {
        at_s: event.level
        for event in run.events
        if event.kind == LOAD and event.level is not None
        if (at_s := round(event.at_s, _DIGITS)) < round(run.load_s, _DIGITS)
    }
    return list(changes.items())


def _stages(
    scenario: Scenario, changes: Sequence[tuple[float, float]], end_s: float
) -> Iterator[Stage]:
    """Yield the scenario's stages until the first change, then holds until the end."""
    times = [*(at_s for at_s, _ in changes), end_s]
    yield from _until(scenario.load, times[0])
    for (at_s, level), to_s in zip(changes, times[1:], strict=True):
        yield Stage(level, level, round(to_s - at_s, _DIGITS))


def _until(load: ClosedLoad | OpenLoad, end_s: float) -> Iterator[Stage]:
    """Yield a load's stages, of which the last is cut where the time is over."""
    left_s = end_s
    for stage in load.stages:
        if left_s <= 0:
            return
        if stage.duration_s <= left_s:
            left_s = round(left_s - stage.duration_s, _DIGITS)
            yield stage
            continue
        share = left_s / stage.duration_s  # 0 of a stage without end, which is a hold
        level = stage.start + (stage.end - stage.start) * share
        if isinstance(load, ClosedLoad):
            level = float(round(level))
        yield Stage(stage.start, level, left_s)
        return
