"""Who is named as an outlier, and above all who is not."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest
from hypothesis import given, strategies as st

from scalab.measure.counts import OTHERS
from scalab.measure.fairness import (
    FAILING,
    SLOW,
    STARVED,
    Outlier,
    jain,
    max_min,
    outliers,
)
from scalab.measure.histogram import Histogram
from scalab.measure.statistics import ErrorCount, Place

amounts = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=50)


def place(
    name: str,
    runs: Sequence[float] = (),
    *,
    failed: int = 0,
    served: int | None = None,
    errors: tuple[ErrorCount, ...] = (),
) -> Place:
    run = Histogram()
    for seconds in runs:
        run.record(seconds)
    served = len(runs) if served is None else served
    return Place(name, served, failed, run.spread(), (), errors=errors)


def around(mean: float, n: int, rng: random.Random, cv: float = 0.1) -> list[float]:
    return [mean * rng.lognormvariate(0, cv) for _ in range(n)]


def kinds(found: Sequence[Outlier]) -> list[tuple[str, str]]:
    return [(outlier.name, outlier.kind) for outlier in found]


# --- indices --------------------------------------------------------------------------------


def test_jain_of_the_paper_s_cases() -> None:
    assert jain([5, 5, 5, 5]) == 1
    assert jain([1, 0, 0, 0]) == 0.25
    assert jain([1, 2, 3]) == pytest.approx(36 / 42)
    assert jain([]) == jain([0, 0]) == 1  # nothing to share out


@given(amounts, st.floats(1e-3, 1e3))
def test_jain_lies_in_its_range_and_has_no_unit(values: list[float], scale: float) -> None:
    index = jain(values)
    assert 1 / len(values) - 1e-12 <= index <= 1 + 1e-12
    assert jain([scale * value for value in values]) == pytest.approx(index)


@given(st.integers(1, 30), st.integers(0, 30))
def test_jain_is_the_share_that_got_something(some: int, none: int) -> None:
    assert jain([7.0] * some + [0.0] * none) == pytest.approx(some / (some + none))


def test_jain_of_huge_and_tiny_values() -> None:
    assert jain([1e200, 1e200]) == jain([1e-200, 1e-200]) == 1


def test_max_min() -> None:
    assert max_min([2, 3, 6]) == 3
    assert max_min([1, 0]) == math.inf
    assert max_min([]) == max_min([0, 0]) == 1


# --- slow -----------------------------------------------------------------------------------


def test_a_slow_device_is_named_in_a_sentence() -> None:
    devices = [place(f"renderD{n}", [2.0] * 30) for n in (128, 129, 130)]
    (found,) = outliers([*devices, place("renderD131", [4.2] * 30)])
    assert (found.name, found.kind) == ("renderD131", SLOW)
    assert (found.value, found.usual) == pytest.approx((4.2, 2.0), rel=2e-3)
    expected = "renderD131: runs take 2.10x as long as on the others (median 4.20 s, usual 2.00 s)"
    assert found.text == expected


def test_of_two_devices_the_slower_is_named() -> None:
    assert kinds(outliers([place("a", [1.0] * 40), place("b", [1.5] * 40)])) == [("b", SLOW)]


def test_tiny_spreads_don_t_flag() -> None:
    devices = [place(f"d{n}", [1.0] * 1000) for n in range(7)]
    assert outliers([*devices, place("d7", [1.2] * 1000)]) == ()
    assert kinds(outliers([*devices, place("d7", [1.3] * 1000)])) == [("d7", SLOW)]


def test_few_runs_don_t_flag() -> None:
    devices = [place(f"d{n}", [1.0] * 30) for n in range(3)]
    assert outliers([*devices, place("d3", [3.0] * 19)]) == ()
    assert kinds(outliers([*devices, place("d3", [3.0] * 20)])) == [("d3", SLOW)]


def test_where_all_differ_nobody_stands_out() -> None:
    assert outliers([place(f"d{n}", [n * 1.0] * 200) for n in (2, 3, 4, 5)]) == ()


def test_one_slow_device_doesn_t_hide_another() -> None:
    rng = random.Random(1)
    devices = [place(f"d{n}", around(1, 50, rng)) for n in range(6)]
    late = [place(name, around(2, 50, rng)) for name in ("x", "y")]
    assert kinds(outliers([*devices, *late])) == [("x", SLOW), ("y", SLOW)]


def slow(places: Sequence[Place]) -> list[str]:
    return [outlier.name for outlier in outliers(places) if outlier.kind == SLOW]


def test_a_median_of_few_uneven_runs_may_be_off() -> None:
    uneven = [0.5] * 10 + [1.4] * 5 + [4.0] * 9
    even = [place(f"d{n}", [1.0] * 1000) for n in range(3)]
    assert slow([*even, place("d3", uneven)]) == []
    assert slow([*even, place("d3", uneven * 100)]) == ["d3"]


def test_so_may_the_others() -> None:
    uneven = [0.5] * 10 + [1.0] * 5 + [4.0] * 9
    odd = place("d3", [1.5] * 1000)
    assert slow([odd, *(place(f"d{n}", uneven) for n in range(3))]) == []
    assert slow([odd, *(place(f"d{n}", uneven * 100) for n in range(3))]) == ["d3"]


def test_healthy_devices_are_hardly_ever_named() -> None:
    rng = random.Random(7)
    named = 0
    for _ in range(60):
        devices = [
            place(f"d{n}", [rng.expovariate(1) for _ in range(rng.randrange(20, 60))])
            for n in range(10)
        ]
        named += sum(outlier.kind == SLOW for outlier in outliers(devices))
    assert named <= 1


# --- failing --------------------------------------------------------------------------------


def test_a_failing_device_is_named_with_its_error() -> None:
    good = [place(f"d{n}", [1.0] * 100) for n in range(3)]
    error = (ErrorCount("exit code 247\n\x1b[2J", 42),)
    (found,) = outliers([*good, place("bad", [0.01] * 42, failed=42, errors=error)])
    assert (found.kind, found.value, found.usual) == (FAILING, 1.0, 0.0)
    assert found.text == (
        "bad: 100 % of its 42 requests failed (usual 0 %), most often: exit code 247\\n\\x1b[2J"
    )


@pytest.mark.parametrize(("failed", "named"), [(0, False), (1, False), (2, True), (3, True)])
def test_one_of_three_is_chance(failed: int, named: bool) -> None:
    good = [place(f"d{n}", [1.0] * 300) for n in range(3)]
    found = outliers([*good, place("new", [1.0] * 3, failed=failed)])
    assert (FAILING in {outlier.kind for outlier in found}) == named


def test_failures_that_all_share_name_nobody() -> None:
    devices = [place(f"d{n}", [1.0] * 200, failed=60 + n) for n in range(5)]
    assert outliers(devices) == ()


def test_one_more_percent_is_too_little_to_name() -> None:
    good = [place(f"d{n}", [1.0], served=100_000, failed=100) for n in range(3)]
    assert outliers([*good, place("d3", [1.0], served=100_000, failed=900)]) == ()
    found = outliers([*good, place("d3", [1.0], served=100_000, failed=1200)])
    assert kinds(found) == [("d3", FAILING)]


def test_failures_by_chance_hardly_ever_name_anybody() -> None:
    rng = random.Random(3)
    named = 0
    for _ in range(100):
        devices = [
            place(f"d{n}", [1.0], served=50, failed=sum(rng.random() < 0.05 for _ in range(50)))
            for n in range(20)
        ]
        named += len(outliers(devices))
    assert named == 0


# --- starved --------------------------------------------------------------------------------


def test_a_starved_device_is_named() -> None:
    busy = [place(f"d{n}", [1.0] * 60) for n in range(3)]
    (found,) = outliers([*busy, place("idle", [1.0] * 12)])
    assert (found.kind, found.value, found.usual) == (STARVED, 12, 60)
    assert found.text == "idle: got little to do: 12 runs, 12.0 s of work (usual 60.0 s)"


def test_who_serves_less_because_it_is_slow_is_not_starved() -> None:
    busy = [place(f"d{n}", [1.0] * 90) for n in range(3)]
    assert kinds(outliers([*busy, place("slow", [3.0] * 30)])) == [("slow", SLOW)]


def test_few_requests_don_t_starve_anybody() -> None:
    assert outliers([place("a", [1.0] * 8), place("b", [1.0] * 9), place("c", [1.0])]) == ()


def test_a_device_that_fails_fast_is_not_starved() -> None:
    busy = [place(f"d{n}", [1.0] * 60) for n in range(3)]
    found = outliers([*busy, place("bad", [0.001] * 900, failed=900)])
    assert kinds(found) == [("bad", FAILING)]


# --- whatever comes -------------------------------------------------------------------------


def test_alone_nobody_stands_out() -> None:
    assert outliers([]) == outliers([place("a", [1.0] * 50, failed=50)]) == ()


def test_those_that_aren_t_told_apart_are_no_place() -> None:
    devices = [place(f"d{n}", [1.0] * 50) for n in range(3)]
    assert outliers([*devices, place(OTHERS, [9.0] * 50)]) == ()


def test_names_are_made_safe_and_short() -> None:
    devices = [place(f"d{n}", [1.0] * 50) for n in range(3)]
    (found,) = outliers([*devices, place("x\n" * 500, [9.0] * 50)])
    assert found.text.isprintable()
    assert len(found.text) < 200


@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from([0.0, 1e-6, 0.3, 5.0, 1e5]), max_size=40),
            st.integers(0, 1000),
            st.floats(0, 1),
        ),
        max_size=6,
    )
)
def test_any_places_are_judged(drawn: list[tuple[list[float], int, float]]) -> None:
    places = [
        place(f"d{n}", runs, served=len(runs) + more, failed=int(share * (len(runs) + more)))
        for n, (runs, more, share) in enumerate(drawn)
    ]
    for outlier in outliers(places):
        assert outlier.text.startswith(f"{outlier.name}: ")
        assert outlier.kind in {SLOW, FAILING, STARVED}
