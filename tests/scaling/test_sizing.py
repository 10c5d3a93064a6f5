"""How long steps are measured, and how seldom what is decided is wrong."""

from __future__ import annotations

import math
import runpy
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from scalab.measure.student import cdf
from scalab.scaling.model import Decision, StepResult
from scalab.scaling.sizing import LOOKS, Look, Sizer, shared_out, weights
from tests.scaling.samples import INVALID, step

SIMULATION = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "verdict_rates.py"))
Case, rates = SIMULATION["Case"], SIMULATION["rates"]

STEPS = (1, 2, 4, 8)


def sizer(steps: tuple[int, ...] = STEPS, *, required: float = 1.8) -> Sizer:
    return Sizer(steps, required=required)


def measured(
    workers: int, per_s: float, share: float, window_s: float = 20.0, latency_s: float = 0.1
) -> StepResult:
    return step(workers, per_s, share, window_s=window_s, latency_s=latency_s)


def done(look: Look) -> bool:
    return look.more_s is None


# --- for how long -----------------------------------------------------------------------------


def test_a_window_lasts_ten_seconds_and_ten_latencies_at_least() -> None:
    assert sizer().first_s(0.5) == 10
    assert sizer().first_s(4) == 40
    assert Sizer(STEPS, required=1.8, min_window_s=3).first_s(0.1) == 3


def test_equal_runs_are_soon_done_with() -> None:
    s = sizer()
    for workers in STEPS:
        s.first_s(0.1)
        look = s.look(measured(workers, 10 * workers, 0.001, 10), 500)
        assert done(look)
        assert (look.decision is None) == (workers == 1)
        assert look.decision is None or look.decision.outcome == "PASS"


def test_the_first_step_is_measured_until_the_next_can_be_decided() -> None:
    s = sizer()
    s.first_s(0.1)
    look = s.look(measured(1, 10, 0.03), 1000)
    assert look.decision is None
    assert look.more_s is not None
    # Half of log(2 / 1.8), at a t(19) of 2.65 and with an error sqrt(1.5) times as large.
    wanted = math.log(2 / 1.8) / 2 / 2.65 / math.sqrt(1.5)
    assert look.more_s == pytest.approx(20 * (0.03 / wanted) ** 2 * 1.1 - 20, rel=0.01)
    assert s.look(measured(1, 10, 0.3), 9000).more_s == 60  # a short window knows little of noise
    assert done(s.look(measured(1, 10, 0.015, 240), 780))


def test_more_is_asked_of_few_batches() -> None:
    few = step(1, 10, 0.014, batches=5, latency_s=0.1)
    assert not done(sizer().look(few, 1000))
    assert done(sizer().look(step(1, 10, 0.014, batches=40, latency_s=0.1), 1000))


def test_more_is_asked_where_more_is_required() -> None:
    assert done(sizer(required=1.8).look(measured(1, 10, 0.01), 1000))
    assert not done(sizer(required=1.9).look(measured(1, 10, 0.01), 1000))
    assert not done(sizer(required=2.0).look(measured(1, 10, 0.01), 1000))


def test_the_first_step_leaves_time_for_the_others() -> None:
    s = sizer()
    s.first_s(0.1)
    # 10 s each, and a share of the other 360 s: 1 of 1 + 1 + 1/sqrt(2) + 1/sqrt(8)
    whole = 10 + 360 / (2 + math.sqrt(0.5) + math.sqrt(1 / 8))
    look = s.look(measured(1, 10, 0.3, 60), 340)
    assert look.more_s == pytest.approx(whole - 60)
    assert done(s.look(measured(1, 10, 0.3, whole), 400 - whole))


def test_scaling_up_takes_its_time_too() -> None:
    quick, slow = (
        sizer().look(
            StepResult(
                workers=1,
                parallel=2,
                throughput=at.throughput,
                statistics=at.statistics,
                ready_s=ready_s,
            ),
            800,
        )
        for at in [measured(1, 10, 0.3, 60)]
        for ready_s in (0, 100)
    )
    assert quick.more_s is not None
    assert slow.more_s is not None
    assert quick.more_s > slow.more_s + 50


@given(st.lists(st.integers(1, 64), min_size=1, max_size=8, unique=True), st.floats(0, 1e4))
def test_time_is_shared_out_completely(workers: list[int], whole_s: float) -> None:
    steps = sorted(workers)
    shares = shared_out(weights(steps), whole_s, 10)
    assert sum(shares) == pytest.approx(max(whole_s, 10 * len(steps)))
    assert min(shares) >= 10
    assert shares[1:] == sorted(shares[1:], reverse=True)  # the fewer workers, the more time


def test_the_plan() -> None:
    plan = sizer().plan(run_s=3.0, budget_s=600)
    assert [step.workers for step in plan] == [1, 2, 4, 8]
    assert {step.least_s for step in plan} == {60.0}
    assert sum(step.most_s for step in plan) == pytest.approx(600)
    assert plan[0].most_s == pytest.approx(plan[1].most_s)  # sqrt(1/1), sqrt(2/2)
    assert [step.most_s for step in sizer().plan(3.0, 10)] == [60] * 4


def test_what_is_still_to_come() -> None:
    s = sizer()
    sure, unsure = measured(1, 10, 0.01), measured(1, 10, 0.1)
    assert s.expected_s(sure, None) == 10 * 3
    # Noise of 10 % after 20 s takes 20 s times its square over that of what is wanted.
    wanted = math.log(2 / 1.8) / 2 / 2.65 / math.sqrt(1.5)
    whole_s = 20 * (0.1 / wanted) ** 2
    expected = 5 + whole_s * (1 / 2 + 1 / 4 + 1 / 8)
    assert s.expected_s(unsure, 5.0) == pytest.approx(expected, rel=0.01)
    assert s.expected_s(measured(8, 80, 0.1), 7.0) == 7


# --- when to look, and what a look costs ------------------------------------------------------


def undecided(
    share: float = 0.04, growth: float = 1.85, left_s: float = 2000
) -> list[tuple[float, Decision]]:
    """All looks at the second of two steps, as its error falls with time."""
    s = sizer((1, 2))
    s.first_s(0.1)
    assert done(s.look(measured(1, 10, 0.005, 400), left_s))
    so_far_s = s.first_s(0.1)
    looks = []
    for _ in range(20):
        at = measured(2, 10 * growth, share * math.sqrt(10 / so_far_s), so_far_s)
        look = s.look(at, left_s - so_far_s)
        if look.decision is not None:
            looks.append((so_far_s, look.decision))
        if look.more_s is None:
            return looks
        so_far_s += look.more_s
    raise AssertionError("there is no end to it")


def risk_of(decision: Decision, so_far_s: float, share: float) -> tuple[float, float]:
    """The probabilities that the two ends of an interval stand for."""
    second = share * math.sqrt(10 / so_far_s)
    error = math.hypot(0.005, second)
    df = error**4 / (0.005**4 / 19 + second**4 / 19)
    assert decision.low is not None
    assert decision.high is not None
    assert decision.ratio is not None
    return (
        cdf(-math.log(decision.ratio / decision.low) / error, df),
        cdf(-math.log(decision.high / decision.ratio) / error, df),
    )


@pytest.mark.parametrize("share", [0.02, 0.06, 0.2])
@pytest.mark.parametrize("growth", [1.78, 1.8, 1.82])
def test_looks_never_cost_more_than_there_is(share: float, growth: float) -> None:
    looks = undecided(share, growth)
    assert 1 <= len(looks) <= LOOKS
    risks = [risk_of(decision, so_far_s, share) for so_far_s, decision in looks]
    passing, failing = (sum(each) for each in zip(*risks, strict=True))
    assert passing <= 0.015 * 1.0001
    assert failing <= 0.015 * 1.0001
    if looks[-1][1].outcome == "INCONCLUSIVE":
        assert passing == pytest.approx(0.015, rel=1e-3)  # nothing is given away
    times = [so_far_s for so_far_s, _ in looks]
    assert all(later >= 1.2 * earlier for earlier, later in pairwise(times))


def test_a_failure_of_many_steps_must_be_surer() -> None:
    lows, highs = [], []
    for steps in ((1, 2), (1, 2, 4, 8, 16, 32, 64)):
        s = sizer(steps)
        s.look(measured(1, 10, 0.005, 10), 0)
        decision = s.look(measured(2, 17, 0.005, 10), 0).decision
        assert decision is not None
        highs.append(decision.high or 0.0)
        lows.append(decision.low)
    assert lows[0] == lows[1]
    assert highs[0] < highs[1]


def test_no_time_left_makes_it_the_last_look() -> None:
    s = sizer((1, 2))
    assert done(s.look(measured(1, 10, 0.3), 0))
    look = s.look(measured(2, 18, 0.3), 0)
    assert done(look)
    assert look.decision is not None
    assert look.decision.outcome == "INCONCLUSIVE"


def test_no_time_is_spent_where_it_can_t_help() -> None:
    s = sizer((1, 2))
    s.look(measured(1, 10, 0.05), 0)  # the step before isn't sure, and can't be any more
    look = s.look(measured(2, 18, 0.005), 5000)
    assert done(look)
    assert "would not decide" in look.text


def test_an_unknown_error_is_measured_on() -> None:
    s = sizer((1, 2))
    unknown = step(1, 10, None, latency_s=0.1)
    assert not done(s.look(unknown, 1000))
    assert done(s.look(unknown, 0))
    unknown = step(2, 20, None, latency_s=0.1)
    assert not done(s.look(unknown, 1000))
    last = s.look(unknown, 0)
    assert last.decision is not None
    assert (last.more_s, last.decision.outcome) == (None, "INCONCLUSIVE")


# --- steps that can't be measured -------------------------------------------------------------


def test_a_bad_step_is_done_and_left_out() -> None:
    s = sizer()
    s.look(measured(1, 10, 0.001), 0)
    for bad, outcome in (
        (step(2, 20, problem="gone"), "ERROR"),
        (step(2, 20, checks=INVALID), "INVALID"),
    ):
        look = s.look(bad, 1000)
        assert look.decision is not None
        assert (look.more_s, look.decision.outcome) == (None, outcome)
    found = s.look(measured(4, 39, 0.001), 0).decision
    assert found is not None
    assert (found.before, found.after, found.outcome) == (1, 4, "PASS")


def test_the_first_good_step_is_the_base() -> None:
    s = sizer()
    assert s.look(step(1, problem="gone"), 1000) == Look(
        decision=None, more_s=None, text="it can't be judged"
    )
    assert s.look(measured(2, 20, 0.001), 0).decision is None
    assert s.look(measured(4, 40, 0.001), 0).decision is not None


def test_what_has_not_even_begun_is_waited_for() -> None:
    s = sizer()
    nothing = step(1, 0, None, checks=INVALID)
    assert not done(s.look(nothing, 1000))
    assert done(s.look(nothing, 0))


# --- error rates, by simulation ---------------------------------------------------------------


@pytest.mark.parametrize("kind", ["±5 %", "exponential"])
def test_what_just_passes_hardly_ever_fails(kind: str) -> None:
    found = rates(Case(kind, 1.8, 1.8, 400), 120, 3)
    assert found.wrong <= 0.1  # at most 5 %; of 120 that is 6, and 3 standard errors are 7
    assert found.steps["PASS"] <= 0.04
    assert found.steps["FAIL"] <= 0.03


def test_what_is_clear_is_soon_decided() -> None:
    good = rates(Case("±5 %", 2.0, 1.8, 1800), 60, 1)
    assert good.outcomes == {"PASS": 1}
    assert good.seconds < 300
    bad = rates(Case("±5 %", 1.7, 1.8, 1800), 30, 1)
    assert bad.outcomes == {"FAIL": 1}
    assert bad.wrong == 0


def test_constant_run_times_take_the_shortest_windows() -> None:
    found = rates(Case("constant", 1.9, 1.8, 1800), 20, 1)
    assert found.outcomes == {"PASS": 1}
    assert found.seconds < 140
