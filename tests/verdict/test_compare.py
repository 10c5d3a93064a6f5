"""What a comparison calls same, better and worse, and how often it is wrong."""

from __future__ import annotations

import math
import random
import runpy
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from scalab.errors import ConfigError, ExitCode
from scalab.measure.histogram import Histogram
from scalab.verdict.compare import (
    BETTER,
    CANT_TELL,
    GATING,
    INVALID,
    SAME,
    WORSE,
    Batch,
    Comparison,
    Result,
    compare,
)

SIMULATION = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "error_rates.py"))
Drift, verdicts = SIMULATION["Drift"], SIMULATION["verdicts"]


def filled(durations: Sequence[float]) -> Histogram:
    histogram = Histogram()
    for seconds in durations:
        histogram.record(seconds)
    return histogram


def made(
    run_s: float = 0.2,
    others: dict[str, float] | None = None,
    *,
    n: int = 200,
    batches: int = 15,
    failed: Sequence[int] = (),
    seed: int = 1,
) -> list[Batch]:
    """A run: ``n`` requests in each batch of 4 s, with some spread about the medians given."""
    rng = random.Random(seed)
    result = []
    for i in range(batches):
        names = {"total": run_s, "run": run_s, **(others or {})}
        histograms = {
            name: filled([median * rng.lognormvariate(0, 0.1) for _ in range(n)])
            for name, median in names.items()
        }
        bad = failed[i] if failed else 0
        count = n + rng.randrange(-2, 3)
        result.append(Batch(4.0, count, count - bad, bad, histograms))
    return result


def named(result: Result) -> dict[str, Comparison]:
    return {comparison.metric: comparison for comparison in result.comparisons}


def verdicts_of(result: Result) -> dict[str, str]:
    return {c.metric: c.verdict for c in result.comparisons if c.gating}


# --- verdicts -------------------------------------------------------------------------------


def test_a_run_is_the_same_as_another_of_its_kind() -> None:
    result = compare(made(seed=1), made(seed=2))
    assert verdicts_of(result) == dict.fromkeys(GATING, SAME)
    assert (result.verdict, result.exit_code) == (SAME, ExitCode.OK)
    assert result.text == "the same, within 5 %"


def test_slower_is_worse_and_faster_is_better() -> None:
    slower = compare(made(0.2), made(0.3, seed=2))
    assert (slower.verdict, slower.exit_code) == (WORSE, ExitCode.VERDICT_FAIL)
    assert slower.text == "worse: total p50, total p95"
    median = named(slower)["total p50"]
    assert median.ratio == pytest.approx(1.5, rel=0.02)
    assert median.low is not None
    assert median.high is not None
    assert median.ratio is not None
    assert 1.45 < median.low < median.ratio < median.high < 1.55
    faster = compare(made(0.3, seed=2), made(0.2))
    assert (faster.verdict, faster.exit_code) == (BETTER, ExitCode.OK)


def test_more_per_second_is_better() -> None:
    few, many = made(n=200), made(n=300)
    assert named(compare(few, many))["rate"].verdict == BETTER
    assert named(compare(many, few))["rate"].verdict == WORSE
    assert compare(many, few).exit_code == ExitCode.VERDICT_FAIL


def test_only_successes_are_a_rate() -> None:
    result = named(compare(made(), made(failed=[60] * 15)))
    assert result["rate"].b == pytest.approx(35, rel=0.01)
    assert result["rate"].verdict == WORSE


def test_what_doesn_t_gate_doesn_t_decide() -> None:
    result = compare(made(others={"wait": 0.1}), made(others={"wait": 0.4}))
    wait = named(result)["wait p50"]
    assert (wait.verdict, wait.gating) == (WORSE, False)
    assert (result.verdict, result.exit_code) == (SAME, ExitCode.OK)


def test_worse_comes_before_undecided_and_undecided_before_better() -> None:
    short = made(n=6, seed=3)
    result = compare(made(), short)  # too few for a p95, and fewer in the same time
    assert verdicts_of(result)["total p95"] == CANT_TELL
    assert result.verdict == WORSE
    result = compare(short, made())
    assert verdicts_of(result)["rate"] == BETTER
    assert (result.verdict, result.exit_code) == (CANT_TELL, ExitCode.INCONCLUSIVE)
    assert result.text == "can't tell: total p95"


def test_an_invalid_run_makes_it_invalid_whatever_the_figures() -> None:
    result = compare(made(), made(0.5), invalid="run B: the client was late")
    assert (result.verdict, result.exit_code) == (INVALID, ExitCode.INVALID)
    assert result.text == "the comparison is invalid: run B: the client was late"
    assert named(result)["total p50"].verdict == WORSE  # they are shown all the same


def test_between_same_and_different_nobody_can_tell() -> None:
    median = named(compare(made(0.2), made(0.21, seed=2)))["total p50"]
    assert median.low is not None
    assert 1 < median.low < 1.05
    assert median.verdict == CANT_TELL
    assert named(compare(made(), made(0.21), tolerance=0.1))["total p50"].verdict == SAME
    assert named(compare(made(), made(0.21), tolerance=0.01))["total p50"].verdict == WORSE


# --- small durations, and few of them -------------------------------------------------------


def test_differences_below_the_floor_are_the_same() -> None:
    pairs = [(10e-6, 40e-6), (0.0, 45e-6), (100e-6, 140e-6), (0.0, 0.0)]
    for before, after in pairs:
        result = named(compare(made(others={"overhead": before}), made(others={"overhead": after})))
        assert result["overhead p50"].verdict == SAME, (before, after)
    result = named(compare(made(others={"overhead": 100e-6}), made(others={"overhead": 200e-6})))
    assert result["overhead p50"].verdict == WORSE
    result = named(compare(made(others={"wait": 0.0}), made(others={"wait": 2.0})))
    assert result["wait p50"].verdict == WORSE
    assert result["wait p50"].ratio == pytest.approx(2 / 50e-6, rel=0.1)


def test_percentiles_need_so_many_durations() -> None:
    def p95(n: int, batches: int) -> str:
        few = made(n=n, batches=batches)
        return named(compare(few, few))["total p95"].verdict

    assert p95(20, 9) == CANT_TELL  # 180 in all
    assert p95(20, 10) != CANT_TELL  # 5 times 40
    assert p95(200, 4) == CANT_TELL  # 4 batches don't say how they vary


def test_only_what_both_runs_have_is_compared() -> None:
    result = compare(
        made(0.2, {"wait": 0.1, "corrected": 0.2}), made(0.2, {"wait": 0.1, "overhead": 0.1})
    )
    metrics = [c.metric for c in result.comparisons]
    assert metrics == ["rate", "failures", *(f"total p{q}" for q in (50, 95, 99)), *_p50s]


_p50s = ("wait p50", "run p50")


def test_open_loops_have_corrected_latencies_and_places_have_medians() -> None:
    a, b = (made(others={"corrected": 0.2, "run on d0": median}) for median in (1.0, 2.0))
    result = named(compare(a, b))
    assert result["corrected p99"].verdict in {SAME, CANT_TELL}
    assert result["run on d0 p50"].verdict == WORSE
    assert not result["run on d0 p50"].gating


def test_names_are_made_safe() -> None:
    a = made(others={"x\n\x1b[2J": 1.0})
    assert all(c.text.isprintable() for c in compare(a, a).comparisons)


def test_nothing_at_all_can_t_be_told() -> None:
    result = compare([], [])
    assert verdicts_of(result) == {"rate": CANT_TELL, "failures": CANT_TELL}
    assert result.exit_code == ExitCode.INCONCLUSIVE
    assert named(result)["rate"].text == "rate: 0/s -> 0/s, too few: can't tell"


def test_an_interval_that_says_nothing_has_bounds_all_the_same() -> None:
    def wild(n: int) -> list[Batch]:
        times = [1e-6] * 3 + [1e5] * 3
        return [Batch(4.0, n, n, 0, {"total": filled([s] * n)}) for s in times]

    found = named(compare(wild(100), wild(100)))["total p50"]
    assert found.low is not None
    assert found.high is not None
    assert 0 < found.low < 1e-9
    assert 1e9 < found.high < math.inf
    assert found.verdict == CANT_TELL


def test_a_run_that_did_nothing_is_worse_than_one_that_did() -> None:
    nothing = [Batch(4.0, 0, 0, 0, {}) for _ in range(15)]
    assert compare(made(), nothing).verdict == WORSE
    assert named(compare(nothing, made()))["rate"].verdict == BETTER


# --- failures -------------------------------------------------------------------------------


def test_newcombe_s_own_examples() -> None:
    # Table II of the paper: 56/70 against 48/80, 9/10 against 3/10, 10/10 against 0/20, at 95 %.
    for a, b, low, high in [
        ((48, 80), (56, 70), 0.0524, 0.3339),
        ((3, 10), (9, 10), 0.1705, 0.8090),
        ((0, 20), (10, 10), 0.6791, 1.0000),
    ]:
        runs = [[Batch(60.0, n, n - x, x, {})] for x, n in (a, b)]
        found = named(compare(*runs, confidence=0.95 ** len(GATING)))["failures"]
        assert (found.low, found.high) == pytest.approx((low, high), abs=6e-5)


@pytest.mark.parametrize("n", [10, 3000])
def test_no_failures_are_the_same_however_few_requests(n: int) -> None:
    runs = [[Batch(60.0, n, n, 0, {})] for _ in range(2)]
    found = named(compare(*runs))["failures"]
    assert (found.verdict, found.ratio) == (SAME, None)
    assert found.high is not None
    assert 0 < found.high < 0.5


def test_failures_are_worse_only_when_sure_and_more_than_a_percent() -> None:
    def failures(*failed: int) -> str:
        return named(compare(made(), made(failed=failed)))["failures"].verdict

    assert failures(*[0] * 14, 1) == SAME
    assert failures(*[8] * 15) == WORSE  # 4 %
    assert failures(*[1, 2] * 7, 1) == CANT_TELL  # 0.7 %, up to 1.3
    # As many in a burst: a device that was away for a moment, or a sign of worse to come?
    assert failures(*[0] * 14, 120) == CANT_TELL


def test_fewer_failures_are_better() -> None:
    found = named(compare(made(failed=[20] * 15), made(failed=[2] * 15)))["failures"]
    assert found.verdict == BETTER
    assert found.ratio == pytest.approx(0.1)
    assert found.text.startswith("failures: 9.99 % -> 1.00 %, -")


# --- texts ----------------------------------------------------------------------------------


def test_texts_say_how_much_and_how_sure() -> None:
    median = named(compare(made(0.2), made(0.3, seed=2)))["total p50"]
    assert median.ratio is not None
    assert median.low is not None
    assert median.high is not None
    percents = [f"{100 * (x - 1):+.1f}" for x in (median.ratio, median.low, median.high)]
    assert median.text == "total p50: 200 ms -> 301 ms, {} % ({} to {} %): worse".format(*percents)


@pytest.mark.parametrize("value", [0, 1, -0.1, math.nan])
@pytest.mark.parametrize("name", ["tolerance", "confidence"])
def test_settings_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be between 0 and 1"):
        compare(made(), made(), **{name: value})  # type: ignore[arg-type]


# --- error rates ----------------------------------------------------------------------------


def test_confidence_is_adjusted_for_what_gates() -> None:
    result = compare(made(), made())
    assert all(c.confidence == pytest.approx(0.95**0.25) for c in result.comparisons)
    assert [c.metric for c in result.comparisons if c.gating] == list(GATING)


def shares(runs: int, **how: object) -> Counter[str]:
    return Counter(result.verdict for result in verdicts(runs, 1, **how))


def test_equal_runs_are_seldom_told_apart() -> None:
    found = shares(40, drift=Drift())
    assert found[WORSE] + found[BETTER] <= 2  # 5 %
    assert found[SAME] >= 28


def test_equal_runs_that_drift_neither() -> None:
    found = shares(40, drift=Drift(0.05))
    assert found[WORSE] + found[BETTER] <= 3  # not taking heed of neighbours: 6


def test_ten_percent_are_found() -> None:
    assert shares(20, slower=1.1, drift=Drift())[WORSE] == 20


def test_three_percent_are_hardly_ever_called_worse() -> None:
    assert shares(20, slower=1.03, drift=Drift())[WORSE] <= 2


batches = st.builds(
    Batch,
    duration_s=st.sampled_from([0.0, 0.5, 4.0]),
    completed=st.just(0),
    succeeded=st.integers(0, 500),
    failed=st.integers(0, 500),
    histograms=st.dictionaries(
        st.sampled_from(["total", "wait", "run", "overhead", "late", "other"]),
        st.lists(st.sampled_from([0.0, 1e-6, 0.3, 5.0, 1e5]), max_size=60).map(filled),
    ),
)


@given(st.lists(batches, max_size=20), st.lists(batches, max_size=20))
def test_whatever_comes_is_compared(a: list[Batch], b: list[Batch]) -> None:
    there, back = compare(a, b), compare(b, a)
    opposite = {WORSE: BETTER, BETTER: WORSE}
    for one, other in zip(there.comparisons, back.comparisons, strict=True):
        assert one.text
        if one.ratio is not None and one.low is not None and one.metric != "failures":
            assert one.high is not None
            assert one.low <= one.ratio <= one.high
        # 1 - tolerance and 1 + tolerance aren't each other's inverse: at the edge it matters.
        assert other.verdict in {opposite.get(one.verdict, one.verdict), CANT_TELL, SAME} or (
            one.verdict in {CANT_TELL, SAME}
        )
