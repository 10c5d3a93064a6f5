"""What is told of a scenario before it is run."""

from __future__ import annotations

from math import inf
from typing import Any

import attrs
import orjson
import pytest
from hypothesis import given, strategies as st

from scalab.load.arrivals import Constant
from scalab.load.curve import Curve, Stage
from scalab.load.plan import Plan, describe, make_plan
from scalab.load.scenario import ClosedLoad, OpenLoad, QueueLoad, Scenario
from scalab.load.toml import parse_scenario

from .strategies import scenarios
from .test_toml import MEDIA, SIZES

QUEUES = (QueueLoad(name="q"),)
RAMPS = (Stage(0, 10, 10), Stage(10, 10, 30), Stage(10, 0, 10))


def plan(load: ClosedLoad | OpenLoad, **fields: Any) -> Plan:
    return make_plan(Scenario(queues=QUEUES, load=load, **fields))


def text(load: ClosedLoad | OpenLoad, **fields: Any) -> str:
    return "\n".join(describe(Scenario(queues=QUEUES, load=load, **fields)))


def test_a_scenario_is_described() -> None:
    scenario = parse_scenario(MEDIA, "scenario.toml", read_csv=lambda _: SIZES)

    assert "\n".join(describe(scenario)) == (
        """\
scenario media mix, seed 7

Queues
  name    share   limit          arguments
  media   75.0 %  30.0 s         --size 640 a.mp4  (the first of 2 rows, drawn at random)
  thumbs  25.0 %  the backend's

Load: open loop, poisson arrivals, at most 10,000 in flight, sent at most 10.0 s late
  stage  from    to      level       measured  requests
  1      0 s     60.0 s  0/s → 50/s  -         about 1,500
  2      60.0 s  6m 00s  50/s        5m 00s    about 15,000
  3      6m 00s  6m 30s  50/s → 0/s  -         about 750

  warm-up   10.0 s, left out of the figures
  measured  5m 00s
  ends      after 6m 30s
  requests  about 17,250 in all

Thresholds
  p95(total) < 2
  failures < 0.1 %"""
    )


def test_a_closed_loop_tells_that_its_requests_depend_on_run_times() -> None:
    load = ClosedLoad(stages=((Stage(8, 8, inf)),), delay_s=0.5, spread_s=2)

    it = plan(load)
    told = text(load)

    assert (it.duration_s, it.measured_s, it.requests) == (None, None, None)
    assert it.settings == {"parallel-max": 8, "delay": 0.5, "spread": 2}
    assert "closed loop, at most 8 in parallel, 500 ms between a reply and the next" in told
    assert "starts spread over 2.00 s" in told
    assert "1      0 s   stopped  8      until stopped" in told
    assert "as many as are answered: that depends on how long each takes" in told
    assert "ends      when it is stopped" in told


@pytest.mark.parametrize(
    ("load", "fields", "measured"),
    [
        (OpenLoad(stages=RAMPS), {}, [0, 30, 0]),
        (OpenLoad(stages=RAMPS), {"warm_up_s": 15}, [0, 25, 0]),
        (OpenLoad(stages=RAMPS), {"warm_up_s": 45}, [0, 0, 0]),
        # 50 requests on the ramp, the 51st at 10 s, the 151st at 20 s: it is the last one.
        (OpenLoad(stages=RAMPS), {"requests": 151}, [0, 10, 0]),
        (OpenLoad(stages=RAMPS), {"requests": 10}, [0, 0, 0]),
        # Nothing but ramps: then they are measured.
        (OpenLoad(stages=RAMPS[::2]), {"warm_up_s": 5}, [5, 10]),
        (ClosedLoad(stages=RAMPS), {}, [0, 30, 0]),
        (ClosedLoad(stages=(Stage(0, 0, 5), Stage(3, 3, inf))), {}, [0, None]),
        (ClosedLoad(stages=(Stage(3, 3, inf),)), {"duration_s": 9, "warm_up_s": 2}, [7]),
        # A closed loop may end earlier, but nobody knows when.
        (ClosedLoad(stages=(Stage(3, 3, 9),)), {"requests": 1}, [9]),
    ],
)
def test_what_is_measured(
    load: ClosedLoad | OpenLoad, fields: dict[str, Any], measured: list[float | None]
) -> None:
    it = plan(load, **fields)

    assert [stage.measured_s for stage in it.stages] == pytest.approx(measured)
    known = [s for s in measured if s is not None]
    assert it.measured_s == (pytest.approx(sum(known)) if known == measured else None)
    assert ("measured  nothing:" in text(load, **fields)) == (it.measured_s == 0)


@pytest.mark.parametrize(
    ("load", "fields", "ends"),
    [
        (OpenLoad(stages=RAMPS), {"requests": 151}, "after 151 requests, which is after 20.0 s"),
        (
            OpenLoad(stages=RAMPS),
            {"requests": 10**6},
            "after 50.0 s, or after 1,000,000 requests if",
        ),
        (
            OpenLoad(stages=(Stage(1, 1, inf),)),
            {"requests": 11},
            "after 11 requests, which is after",
        ),
        (ClosedLoad(stages=RAMPS), {"requests": 9}, "after 50.0 s, or after 9 requests if that"),
        (ClosedLoad(stages=(Stage(1, 1, inf),)), {"requests": 9}, "after 9 requests"),
    ],
)
def test_when_it_ends(load: ClosedLoad | OpenLoad, fields: dict[str, Any], ends: str) -> None:
    assert f"\n  ends      {ends}" in text(load, **fields)


levels = st.integers(0, 12).map(lambda n: n / 4)


@given(
    st.lists(st.builds(Stage, levels, levels, st.integers(1, 12)), min_size=1, max_size=5),
    st.integers(0, 40),
)
def test_requests_of_stages_are_those_that_constant_arrivals_send(
    stages: list[Stage], requests: int
) -> None:
    it = plan(OpenLoad(stages=tuple(stages)), requests=requests)
    arrivals = Constant(Curve(stages, 0.0))
    sent = [0] * len(stages)
    while arrivals.next_at is not None and sum(sent) < (requests or inf):
        at = arrivals.pop()
        sent[next(i for i, s in enumerate(it.stages) if at < (s.end_s or inf))] += 1

    assert [stage.requests for stage in it.stages] == sent
    assert it.requests == sum(sent)


@given(scenarios())
def test_every_plan_is_lines_and_json(scenario: Scenario) -> None:
    it = attrs.asdict(make_plan(scenario))

    assert orjson.loads(orjson.dumps(it))["stages"] == list(it["stages"])
    assert all(line.isprintable() for line in describe(scenario))
    assert sum(queue["share"] for queue in it["queues"]) == pytest.approx(1)
