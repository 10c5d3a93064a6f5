"""The whole verdict: what it comes to, what it says, and its exit code."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import attrs
import pytest
from hypothesis import given, strategies as st

from scalab.errors import ExitCode
from scalab.scaling.decide import decide
from scalab.scaling.model import Decision, StepResult, Validation
from scalab.scaling.overall import efficiencies, exit_code, make_validation
from tests.scaling.samples import INVALID, step

RATES = {1: 10.0, 2: 19.5, 4: 38.0}


def taken(steps: Sequence[StepResult]) -> list[Decision]:
    return [decide(before, after, 1.8) for before, after in pairwise(steps)]


def validation(*steps: StepResult, failures_max: float | None = None) -> Validation:
    return make_validation(steps, taken(steps), failures_max=failures_max)


def good() -> list[StepResult]:
    return [step(workers, per_s, 0.005) for workers, per_s in RATES.items()]


PASSING, FAILING = step(8, 75, 0.005), step(8, 45, 0.005)
UNDECIDED, CLOSE = step(8, 69.5, 0.01), step(8, 68.4, 0.01)
BROKEN, DOUBTFUL = step(8, 75, problem="only 5 of 8 workers came up"), step(8, 75, checks=INVALID)


def test_all_pass() -> None:
    found = validation(*good(), PASSING)
    assert found.outcome == "PASS"
    assert found.sentence == (
        "Throughput follows the workers from 1 to 8: from step to step it grew by 1.95x to 1.97x, "
        "and had to by 1.80x. With 8 workers each does 93.8 % of what it did alone."
    )
    assert exit_code(found) == ExitCode.OK


def test_the_knee_is_named() -> None:
    found = validation(*good(), FAILING, step(16, 46, 0.005))
    assert found.outcome == "FAIL"
    assert found.sentence == (
        "Throughput doesn't follow the workers from 4 to 8: it grew by 1.18x (1.17 to 1.20), and "
        "had to by 1.80x. Up to 4 workers it does. Nor does it from 8 to 16 (1.02x). With 16 "
        "workers each does 28.7 % of what it did alone."
    )
    assert exit_code(found) == ExitCode.VERDICT_FAIL


def test_what_is_undecided_says_what_would_help() -> None:
    found = validation(*good(), UNDECIDED)
    assert found.outcome == "INCONCLUSIVE"
    assert "From 4 to 8 workers it can't be told: throughput grew by 1.83x (1.79 to" in (
        found.sentence
    )
    assert "more requests (" in found.sentence
    assert exit_code(found) == ExitCode.INCONCLUSIVE
    assert "not even 100 times as many" in validation(*good(), CLOSE).sentence
    unknown = validation(*good(), step(8, 80, None))
    assert "too little was measured" in unknown.sentence


def test_what_can_t_be_trusted_or_measured() -> None:
    found = validation(*good(), DOUBTFUL)
    assert (found.outcome, exit_code(found)) == ("INVALID", ExitCode.INVALID)
    assert found.sentence.startswith("With 8 workers client-cpu says: 95 % of a core\\nwas used.")
    found = validation(*good(), BROKEN)
    assert (found.outcome, exit_code(found)) == ("ERROR", ExitCode.INFRASTRUCTURE)
    assert found.sentence.startswith(
        "With 8 workers nothing could be measured: only 5 of 8 workers came up."
    )


@pytest.mark.parametrize(
    ("bad", "outcome"),
    [
        ((PASSING,), "PASS"),
        ((UNDECIDED,), "INCONCLUSIVE"),
        ((UNDECIDED, step(16, 10, checks=INVALID)), "INVALID"),
        ((DOUBTFUL, step(16, 10, problem="gone")), "ERROR"),
        ((FAILING, step(16, 10, problem="gone")), "FAIL"),
        ((FAILING, step(16, 81, 0.01)), "FAIL"),
    ],
)
def test_the_worst_decides(bad: tuple[StepResult, ...], outcome: str) -> None:
    assert validation(*good(), *bad).outcome == outcome


def test_a_bad_first_step_counts_though_nothing_is_decided_about_it() -> None:
    steps = [attrs.evolve(BROKEN, workers=1), *good()[1:]]
    assert make_validation(steps, taken(steps[1:])).outcome == "ERROR"


def test_nothing_to_compare() -> None:
    for steps in ([], good()[:1]):
        found = make_validation(steps, [])
        assert (found.outcome, exit_code(found)) == ("INCONCLUSIVE", ExitCode.INCONCLUSIVE)
        assert "no two steps" in found.sentence


def test_failed_requests_fail_it_whatever_the_ratios() -> None:
    steps = [*good(), attrs.evolve(PASSING, statistics=step(8, 75, failed=80).statistics)]
    found = make_validation(steps, taken(steps), failures_max=0.01)
    assert (found.outcome, found.too_many_failures) == ("FAIL", True)
    assert exit_code(found) == ExitCode.FAILURES
    assert found.sentence.startswith(
        "With 8 workers 5.06 % of the requests failed; 1.00 % may. Throughput follows"
    )
    for allowed in (None, 0.06):
        assert exit_code(make_validation(steps, taken(steps), failures_max=allowed)) == 0
    none = make_validation(good(), taken(good()), failures_max=0)
    assert exit_code(none) == ExitCode.OK


def test_fit_and_blame_are_passed_on() -> None:
    steps = good()
    found = make_validation(steps, taken(steps), fit="Peak at 40.", blame=["renderD129: slow"])
    assert found.sentence.endswith(" Peak at 40.")
    assert found.blame == ("renderD129: slow",)
    assert found.steps == tuple(steps)
    assert found.decisions == tuple(taken(steps))


def test_efficiency_is_per_worker_of_the_first_step() -> None:
    steps = [step(2, 20), BROKEN, step(4, 30), step(16, 0)]
    assert efficiencies(steps) == {2: 1.0, 4: pytest.approx(0.75)}
    assert efficiencies([]) == {}
    found = validation(step(2, 20), step(4, 38))
    assert found.sentence.endswith("With 4 workers each does 95.0 % of what it did with 2.")


numbers = st.none() | st.floats(0, 1e300)
decisions = st.builds(
    Decision,
    before=st.integers(1, 100),
    after=st.integers(1, 100),
    outcome=st.sampled_from(["PASS", "FAIL", "INCONCLUSIVE", "INVALID", "BASE", "ERROR"]),
    required=st.floats(0, 1e300),
    ratio=numbers,
    low=numbers,
    high=numbers,
    more_requests=st.none() | st.integers(0, 10**9),
    more_s=numbers,
)
results = st.builds(
    step,
    workers=st.integers(1, 100),
    per_s=st.floats(0, 1e9),
    share=numbers,
    failed=st.integers(0, 100),
    problem=st.text(max_size=5),
)


@given(st.lists(results, max_size=4), st.lists(decisions, max_size=4))
def test_whatever_a_file_says_there_is_a_verdict(
    steps: list[StepResult], decided: list[Decision]
) -> None:
    found = make_validation(steps, decided, failures_max=0.5)
    assert found.sentence.isprintable()
    assert exit_code(found) in ExitCode
