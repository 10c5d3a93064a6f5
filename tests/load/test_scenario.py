"""What a scenario refuses, and what follows from it."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import pytest
from hypothesis import given, strategies as st

from scalab.load.curve import Stage
from scalab.load.fields import FieldError
from scalab.load.scenario import ClosedLoad, OpenLoad, QueueLoad, Scenario

from .strategies import scenarios

QUEUE = QueueLoad(name="q")
RAMP = (Stage(0, 50, 60), Stage(50, 50, 300), Stage(50, 0, 30))


def hold(level: float, duration_s: float = inf) -> tuple[Stage, ...]:
    return (Stage(level, level, duration_s),)


def scenario(load: ClosedLoad | OpenLoad | None = None, **fields: Any) -> Scenario:
    return Scenario(**{"queues": (QUEUE,), "load": load or OpenLoad(stages=hold(50)), **fields})


# --- what follows ---------------------------------------------------------------------------------


def test_a_load_knows_its_kind_and_its_bounds() -> None:
    closed = ClosedLoad(stages=(Stage(0, 8, 60), *hold(4)))
    rates = OpenLoad(stages=RAMP)

    assert (closed.is_open, closed.kind, closed.highest, closed.stages_s) == (
        False,
        "closed",
        8,
        inf,
    )
    assert (rates.is_open, rates.kind, rates.highest, rates.stages_s) == (True, "open", 50, 390)


@pytest.mark.parametrize(
    ("level", "parallel_max", "most"), [(0, 0, 1), (8, 0, 8), (8, 9, 9), (0, 3, 3)]
)
def test_the_limit_of_parallel_requests(level: int, parallel_max: int, most: int) -> None:
    assert ClosedLoad(stages=hold(level), parallel_max=parallel_max).most_parallel == most


@pytest.mark.parametrize(
    ("load", "fields", "end_s", "arrivals"),
    [
        (OpenLoad(stages=RAMP), {}, 390, 1500 + 15_000 + 750),
        (OpenLoad(stages=RAMP), {"duration_s": 390}, 390, 17_250),
        (OpenLoad(stages=RAMP), {"warm_up_s": 380}, 390, 17_250),
        (OpenLoad(stages=RAMP), {"requests": 100}, 390, 100),
        (OpenLoad(stages=RAMP), {"requests": 10**6}, 390, 17_250),
        (OpenLoad(stages=hold(50)), {}, inf, None),
        (OpenLoad(stages=hold(50)), {"requests": 7}, inf, 7),
        (OpenLoad(stages=hold(50)), {"duration_s": 0.5}, 0.5, 25),
        (OpenLoad(stages=hold(50)), {"duration_s": 0.501}, 0.501, 26),
        # 100 a minute are not a whole number a second, and yet 100 in a minute.
        (OpenLoad(stages=hold(100 / 60)), {"duration_s": 60}, 60, 100),
        (OpenLoad(stages=hold(100 / 60, 60)), {}, 60, 100),
        (OpenLoad(stages=(*RAMP, *hold(0))), {"requests": 20_000}, inf, None),
        (OpenLoad(stages=hold(0)), {"duration_s": 60}, 60, 0),
        (ClosedLoad(stages=RAMP), {"requests": 7}, 390, None),
        (ClosedLoad(stages=hold(1)), {"duration_s": 60}, 60, None),
    ],
)
def test_when_it_ends_and_how_much_is_sent(
    load: ClosedLoad | OpenLoad, fields: dict[str, Any], end_s: float, arrivals: int | None
) -> None:
    it = scenario(load, **fields)

    assert (it.end_s, it.arrivals_expected) == (end_s, arrivals)


@given(scenarios())
def test_all_arrivals_are_those_of_its_stages(it: Scenario) -> None:
    if isinstance(it.load, OpenLoad):
        by_stage = it.load.arrivals_by_stage(it.end_s)
        assert len(by_stage) == len(it.load.stages)
        known = [arrivals for arrivals in by_stage if arrivals is not None]
        assert known == sorted(known)
        assert (len(known) == len(by_stage)) == (it.end_s < inf)


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"queues": ()}, "queues: give 1 to 100 queues"),
        ({"queues": 101 * (QUEUE,)}, "queues: give 1 to 100 queues"),
        ({"queues": (QUEUE, QUEUE)}, "queues[1].name: 'q' is there twice"),
        ({"name": "a\nb"}, "name: give at most 200 printable characters"),
        ({"name": 201 * "a"}, "name: give at most 200 printable characters"),
        ({"seed": -1}, "seed: -1 is out of bounds; give 0 to 9007199254740991"),
        ({"seed": 2**53}, "seed: 9007199254740992 is out of bounds"),
        ({"requests": -1}, "requests: -1 is out of bounds; give 0 to 9007199254740992"),
        ({"warm_up_s": -1}, "warm-up: -1 s is out of bounds; give 0 to 31536000 s"),
        ({"warm_up_s": nan}, "warm-up: nan s is out of bounds"),
        ({"duration_s": inf}, "duration: inf s is out of bounds"),
        ({"duration_s": 1e-12}, "duration: 1e-12 s is shorter than a nanosecond"),
        ({"warm_up_s": 10, "duration_s": 10}, "warm-up: 10s leave nothing to measure of a run of"),
        ({"thresholds": 1001 * ("a",)}, "thresholds: give at most 1000"),
    ],
)
def test_a_scenario_refuses(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(FieldError) as caught:
        scenario(**fields)
    assert str(caught.value).startswith(says)


@pytest.mark.parametrize(("duration_s", "refused"), [(389.9, True), (390.0005, False), (391, True)])
def test_a_duration_is_that_of_the_stages_if_they_have_an_end(
    duration_s: float, refused: bool
) -> None:
    if refused:
        with pytest.raises(FieldError, match=r"duration: \S+, but the stages last 390s"):
            scenario(OpenLoad(stages=RAMP), duration_s=duration_s)
    else:
        assert scenario(OpenLoad(stages=RAMP), duration_s=duration_s).end_s == 390


def test_a_run_must_not_end_before_its_last_stage_begins() -> None:
    load = OpenLoad(stages=(Stage(0, 50, 60), *hold(50)))

    assert scenario(load, duration_s=61).end_s == 61
    with pytest.raises(FieldError, match="duration: 1m end before the last stage begins, at 1m"):
        scenario(load, duration_s=60)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"stages": ()}, "stages: give 1 to 1000 stages"),
        ({"stages": 1001 * hold(1, 1)}, "stages: give 1 to 1000 stages"),
        ({"stages": 2 * hold(1)}, "stages: only the last one can be without end"),
        ({"stages": (*hold(1, 1), *hold(1.5))}, "stages: stage 2 has a part of a request"),
        ({"parallel_max": -1}, "parallel-max: -1 is out of bounds; give 0 to 1000000"),
        ({"parallel_max": 7}, "parallel-max: 7 is less than the 8 asked for"),
        ({"delay_s": -1}, "delay: -1 s is out of bounds"),
        ({"spread_s": nan}, "spread: nan s is out of bounds"),
    ],
)
def test_a_closed_load_refuses(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(FieldError) as caught:
        ClosedLoad(**{"stages": hold(8), **fields})
    assert str(caught.value).startswith(says)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"stages": ()}, "stages: give 1 to 1000 stages"),
        ({"arrival": "uniform"}, "arrival: 'uniform' can't be; write constant or poisson"),
        ({"max_in_flight": 0}, "max-in-flight: 0 is out of bounds; give 1 to 1000000"),
        ({"catch_up_s": -1}, "catch-up: -1 s is out of bounds"),
    ],
)
def test_an_open_load_refuses(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(FieldError) as caught:
        OpenLoad(**{"stages": hold(8.5), **fields})
    assert str(caught.value).startswith(says)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"name": ""}, "name: give 1 to 64 printable characters"),
        ({"name": "a\tb"}, "name: give 1 to 64 printable characters"),
        ({"weight": 0}, "weight: 0 is no weight; give more than 0, at most 1000000"),
        ({"weight": nan}, "weight: nan is no weight"),
        ({"limit_s": -1}, "limit: -1 s is out of bounds"),
        ({"order": "any"}, "draw.order: 'any' can't be; write random or sequence"),
    ],
)
def test_a_queues_load_refuses(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(FieldError) as caught:
        QueueLoad(**{"name": "q", **fields})
    assert str(caught.value).startswith(says)


@given(st.lists(st.text(max_size=5) | st.integers(0, 9), max_size=3))
def test_an_error_tells_where_its_field_stands(path: list[str | int]) -> None:
    exc = FieldError(("key",), "is wrong").under(*path)

    assert exc.path == (*path, "key")
    assert str(exc).endswith("key: is wrong")
    assert str(FieldError((), "is wrong")) == "is wrong"
