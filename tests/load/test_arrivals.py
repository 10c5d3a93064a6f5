"""Arrivals: exact times of known rates, and the same ones however they are taken or left out."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from scalab.load import arrivals
from scalab.load.arrivals import Arrivals, Constant, Poisson
from scalab.load.curve import Curve, Stage

from .curves import Exact, Reference, as_stages, shapes

kinds = pytest.mark.parametrize("kind", [Constant, lambda curve: Poisson(curve, 7)])
Make = Callable[[Curve], Arrivals]


def times(source: Arrivals, most: int) -> list[float]:
    found: list[float] = []
    while source.next_at is not None and len(found) < most:
        found.append(source.pop())
    return found


def test_a_constant_rate() -> None:
    source = Constant(Curve([Stage(10, 10, 0.3)], 5.0))
    assert source.next_at == 5.0
    assert times(source, 9) == [5.0, 5.1, 5.2]


def test_a_ramp() -> None:
    source = Constant(Curve([Stage(0, 10, 10)], 0.0))
    assert times(source, 99) == pytest.approx([math.sqrt(2 * i) for i in range(50)], rel=1e-15)


@given(shapes)
def test_all_arrivals_of_the_curve_and_no_more(shape: list[Exact]) -> None:
    shape = [(a / 30, b / 30, d) for a, b, d in shape]
    reference = Reference(shape)
    found = times(Constant(Curve(as_stages(shape), 0.0)), 2000)
    assert len(found) == min(math.ceil(reference.total), 2000)
    assert all(reference.brackets(at, i) for i, at in enumerate(found[:50]))


@kinds
def test_nothing_comes_after_the_end(kind: Make) -> None:
    source = kind(Curve([Stage(5, 5, 2)], 0.0))
    times(source, 99)
    assert source.next_at is None
    with pytest.raises(ValueError, match="no more"):
        source.pop()
    assert source.skip_until(1e9) == 0
    source.change(3.0, 1.0)
    assert source.next_at is not None
    assert source.pop() >= 3.0


@kinds
@given(shapes, st.lists(st.floats(0, 3000), max_size=3), st.integers(0, 20))
def test_leaving_out_is_taking_and_forgetting(
    kind: Make, shape: list[Exact], until: list[float], taken: int
) -> None:
    shape = [(a / 30, b / 30, d) for a, b, d in shape]
    skipping, taking = kind(Curve(as_stages(shape), 0.0)), kind(Curve(as_stages(shape), 0.0))
    for t in sorted(until):
        expected = 0
        while taking.next_at is not None and taking.next_at < t and expected < 5000:
            taking.pop()
            expected += 1
        if expected == 5000:  # enough of that
            return
        assert skipping.skip_until(t) == expected
        assert skipping.next_at == taking.next_at
        assert times(skipping, taken) == times(taking, taken)


@given(st.integers(1, 1000), st.integers(0, 10**6), st.sampled_from([0.0, 1e-12, -1e-12, 0.5]))
def test_leaving_out_is_exact_at_arrivals_themselves(rate: int, index: int, offset: float) -> None:
    curve = Curve.hold(rate / 7, 1234.567)
    at = curve.passing(index)
    assert at is not None
    t = at * (1 + offset)
    source = Constant(curve)
    skipped = source.skip_until(t)
    assert source.next_at is not None
    assert source.next_at >= t
    last = curve.passing(skipped - 1) if skipped else -1.0
    assert last is not None
    assert last < t


def test_a_year_is_left_out_at_once() -> None:
    source = Constant(Curve.hold(1e6, 0.0))
    assert source.skip_until(3e7) == 3 * 10**13


def test_leaving_out_arrivals_at_random_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "MOST_SKIPPED", 10)
    source, whole = Poisson(Curve.hold(100, 0.0), 1), Poisson(Curve.hold(100, 0.0), 1)
    assert source.skip_until(1.0) == 10
    assert source.next_at is not None
    assert source.next_at < 1.0
    n = 10
    while source.next_at < 1.0:
        n += source.skip_until(1.0)
    assert n == sum(at < 1.0 for at in times(whole, 1000))


@kinds
def test_a_change_of_rate_leaves_the_past_as_it_was(kind: Make) -> None:
    changed, same = kind(Curve.hold(10, 0.0)), kind(Curve.hold(10, 0.0))
    before = [changed.pop() for _ in range(5)]
    changed.change(20.0, 1.0)
    until = [at for at in times(same, 250) if at < 20]
    assert before + [changed.pop() for _ in range(len(until) - 5)] == pytest.approx(until)
    after = times(changed, 100)
    assert after[0] >= 20
    assert 70 < after[-1] - 20 < 130, "one a second"
    changed.change(after[-1], 0.0)
    assert changed.next_at is None


# --- at random -----------------------------------------------------------------------------------


def test_a_seed_makes_the_same_arrivals_again() -> None:
    a, b, c = (times(Poisson(Curve.hold(5, 0.0), seed), 100) for seed in (1, 1, 2))
    assert a == b
    assert not set(a) & set(c)
    assert a[:3] == pytest.approx([0.02773, 0.19926, 0.27316], abs=1e-5), "in every Python"


@given(shapes, st.integers(0, 99))
def test_a_curve_transforms_the_time_of_a_unit_process(shape: list[Exact], seed: int) -> None:
    curve = Curve(as_stages(shape), 0.0)
    unit = times(Poisson(Curve.hold(1, 0.0), seed), 100)
    found = times(Poisson(curve, seed), 100)
    assert [curve.cumulative(at) for at in found] == pytest.approx(
        unit[: len(found)], rel=1e-6, abs=1e-6
    )
    assert len(found) == 100 or unit[len(found)] >= curve.cumulative(curve.end_s) - 1e-9


def test_gaps_are_exponentially_distributed() -> None:
    found = times(Poisson(Curve.hold(100, 0.0), 3), 20_000)
    gaps = sorted(b - a for a, b in pairwise(found))
    n = len(gaps)
    worst = max(abs((i + 0.5) / n - (1 - math.exp(-100 * gap))) for i, gap in enumerate(gaps))
    assert worst < 1.95 / math.sqrt(n), "Kolmogorov-Smirnov at 0.1 %"


def test_arrivals_on_a_ramp_follow_it() -> None:
    found = times(Poisson(Curve([Stage(0, 200, 100)], 0.0), 5), 99_999)
    assert len(found) == pytest.approx(10_000, abs=5 * 100)
    assert sum(at < 50 for at in found) == pytest.approx(2500, abs=5 * 50)
