"""The scenario that repeats a run as it went."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import attrs
import pytest
from hypothesis import given, strategies as st

from scalab.errors import ConfigError
from scalab.load.curve import Stage
from scalab.load.scenario import ClosedLoad, OpenLoad, Scenario
from scalab.runfile.reading import Run, RunBuilder
from scalab.runfile.records import End, Event
from scalab.runfile.replay import replay
from tests.runfile.samples import HOLD, a_header, an_interval

RAMP = ClosedLoad(stages=(Stage(0.0, 50.0, 10.0), Stage(50.0, 50.0, 20.0)))
RATE = OpenLoad(stages=(Stage(0.0, 50.0, 10.0), Stage(50.0, 50.0, 20.0)), arrival="poisson")


def a_run(
    load: ClosedLoad | OpenLoad,
    changes: Iterable[tuple[float, float]] = (),
    *,
    load_s: float = 30.0,
    reason: str = "time",
    **scenario: Any,
) -> Run:
    """A run whose load ended at ``load_s`` and that took 2.5 s longer."""
    builder = RunBuilder(a_header(load, **scenario))
    builder.add(Event(at_s=0.0, kind="connected", text=""))
    for at_s, level in changes:
        builder.add(Event(at_s=at_s, kind="load", text="", level=level))
    builder.add(an_interval(0.0, load_s, n=3))
    builder.add(an_interval(load_s, load_s + 2.5, n=3, phase="drain"))
    if reason:
        builder.add(End(at_s=load_s + 2.5, reason=reason))
    return builder.run()


def stages(scenario: Scenario) -> list[tuple[float, float, float]]:
    return [(s.start, s.end, s.duration_s) for s in scenario.load.stages]


@pytest.mark.parametrize("reason", ["time", "requests"])
def test_a_run_that_went_as_asked_gives_its_own_scenario(reason: str) -> None:
    run = a_run(RAMP, reason=reason, requests=100)

    assert replay(run) is run.header.scenario


def test_live_changes_become_stages() -> None:
    run = a_run(HOLD, [(5.0, 8.0), (7.25, 0.0), (9.0, 2.0)], load_s=20.0, reason="stopped")

    again = replay(run)
    assert stages(again) == [(4, 4, 5.0), (8, 8, 2.25), (0, 0, 1.75), (2, 2, 11.0)]
    assert again.end_s == 20.0


def test_a_change_cuts_the_stage_that_it_falls_into() -> None:
    assert stages(replay(a_run(RATE, [(4.0, 30.0)]))) == [(0, 20, 4), (30, 30, 26)]
    assert stages(replay(a_run(RATE, [(10.0, 30.0)]))) == [(0, 50, 10), (30, 30, 20)]
    assert stages(replay(a_run(RATE, [(12.5, 30.0)]))) == [
        (0, 50, 10),
        (50, 50, 2.5),
        (30, 30, 17.5),
    ]


def test_levels_in_parallel_stay_whole() -> None:
    assert stages(replay(a_run(RAMP, [(3.33, 9.0)])))[0] == (0, 17, 3.33)


@pytest.mark.parametrize("reason", ["stopped", "threshold", "error", ""])
def test_a_run_that_ended_early_is_repeated_until_then(reason: str) -> None:
    again = replay(a_run(RATE, load_s=12.0, reason=reason))

    assert stages(again) == [(0, 50, 10), (50, 50, 2)]


def test_a_run_without_end_that_was_stopped_gets_one() -> None:
    assert stages(replay(a_run(HOLD, reason="stopped", load_s=12.3456))) == [(4, 4, 12.346)]


def test_all_else_stays() -> None:
    run = a_run(RATE, [(15.0, 20.0)], warm_up_s=10.0, requests=10**6)
    asked, again = run.header.scenario, replay(run)

    load = attrs.evolve(asked.load, stages=again.load.stages)
    assert again == attrs.evolve(asked, load=load, duration_s=0.0, requests=0)


def test_what_was_raised_live_is_within_the_limit() -> None:
    load = attrs.evolve(HOLD, parallel_max=6)
    again = replay(a_run(load, [(5.0, 9.0)]))

    assert isinstance(again.load, ClosedLoad)
    assert again.load.parallel_max == 9


def test_of_changes_at_one_moment_the_last_counts() -> None:
    assert stages(replay(a_run(HOLD, [(5.0, 8.0), (5.0002, 9.0)]))) == [(4, 4, 5), (9, 9, 25)]


def test_changes_at_the_start_and_after_the_load() -> None:
    assert stages(replay(a_run(HOLD, [(0.0, 8.0), (30.0, 1.0), (31.0, 9.0)]))) == [(8, 8, 30)]


def test_what_cannot_be_replayed_is_told() -> None:
    merged = attrs.evolve(a_run(RAMP), parts=(a_header(), a_header()))
    eventful = attrs.evolve(a_run(RAMP), events_left_out=1)
    early = a_run(RAMP, load_s=5.0, reason="stopped", warm_up_s=5.0)

    for run, why in (
        (merged, "merged from several"),
        (eventful, "too many events"),
        (early, "before anything was measured"),
        (a_run(RAMP, [(5.0, 1e9)]), "can't be replayed: a level must be"),
        (a_run(RAMP, [(5.0, 2.5)]), "a part of a request in parallel"),
    ):
        with pytest.raises(ConfigError, match=why):
            replay(run)


@given(
    st.sampled_from([HOLD, RAMP, RATE]),
    st.lists(st.tuples(st.floats(0, 40), st.integers(0, 50).map(float)), max_size=5),
    st.floats(1, 30),
)
def test_the_level_is_what_it_was(
    load: ClosedLoad | OpenLoad, changes: list[tuple[float, float]], load_s: float
) -> None:
    changes.sort(key=lambda change: change[0])
    again = replay(a_run(load, changes, load_s=load_s, reason="stopped"))

    assert math.isclose(again.end_s, load_s, abs_tol=0.0011)
    for tenth in range(1, 10):
        t = load_s * tenth / 10
        lately = [level for at_s, level in changes if at_s <= t]
        asked = lately[-1] if lately else level_at(load, t)
        if all(abs(at_s - t) > 0.002 for at_s, _ in changes):
            # Where a ramp in parallel is cut, it ends in a whole number.
            assert abs(level_at(again.load, t) - asked) <= (0.51 if load is RAMP else 0.02)


def level_at(load: ClosedLoad | OpenLoad, t: float) -> float:
    for stage in load.stages:
        if t < stage.duration_s:
            return stage.start + (stage.end - stage.start) * t / stage.duration_s
        t -= stage.duration_s
    return load.stages[-1].end
