"""Curves against their definition in rational numbers, and against times known in closed form."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import pairwise
from math import inf

import pytest
from hypothesis import given, strategies as st

from scalab.load.curve import Curve, Stage

from .curves import Exact, Reference, as_stages, durations, levels, shapes

starts = st.sampled_from([0.0, 100.0, 12345.678])


def passings(curve: Curve, n: int) -> list[float | None]:
    return [curve.passing(i) for i in range(n)]


def test_a_constant_rate() -> None:
    curve = Curve([Stage(10, 10, 0.5)], 100.0)
    assert passings(curve, 6) == [100.0, 100.1, 100.2, 100.3, 100.4, None]


def test_a_ramp_from_nothing() -> None:
    curve = Curve([Stage(0, 10, 10)], 0.0)
    assert passings(curve, 50) == pytest.approx([math.sqrt(2 * i) for i in range(50)], rel=1e-15)
    assert curve.passing(50) is None


def test_a_ramp_to_nothing_mirrors_it() -> None:
    up, down = Curve([Stage(0, 10, 10)], 0.0), Curve([Stage(10, 0, 10)], 0.0)
    for i in range(1, 50):
        rising, falling = up.passing(50 - i), down.passing(i)
        assert rising is not None
        assert falling == pytest.approx(10 - rising, rel=1e-14)


def test_a_pause_is_passed_over() -> None:
    curve = Curve([Stage(1, 1, 2), Stage(0, 0, 5), Stage(1, 1, 2)], 0.0)
    assert passings(curve, 5) == [0.0, 1.0, 7.0, 8.0, None]


def test_fractions_of_an_arrival_carry_over() -> None:
    curve = Curve([Stage(1, 1, 1.5), Stage(2, 2, 1)], 0.0)
    assert passings(curve, 5) == [0.0, 1.0, 1.75, 2.25, None]


def test_a_hundred_a_minute_are_a_hundred() -> None:
    curve = Curve([Stage(100 / 60, 100 / 60, 60)], 0.0)
    assert curve.passing(99) == pytest.approx(59.4)
    assert curve.passing(100) is None


@given(shapes, starts, st.data())
def test_each_arrival_is_where_the_integral_passes_it(
    shape: list[Exact], t0: float, data: st.DataObject
) -> None:
    reference, curve = Reference(shape), Curve(as_stages(shape), t0)
    total = math.ceil(reference.total)
    assert curve.passing(total) is None
    if total:
        for index in {0, total - 1, data.draw(st.integers(0, total - 1))}:
            at = curve.passing(index)
            assert at is not None
            assert reference.brackets(at, index, t0)
            assert curve.cumulative(at) == pytest.approx(index, rel=1e-9, abs=1e-6)


@given(shapes, st.data())
def test_parts_of_arrivals_are_passed_too(shape: list[Exact], data: st.DataObject) -> None:
    reference, curve = Reference(shape), Curve(as_stages(shape), 0.0)
    x = data.draw(
        st.floats(0, float(reference.total), exclude_max=True) if reference.total else st.just(0.0)
    )
    at = curve.passing(x)
    if at is None:
        assert x >= float(reference.total) * (1 - 1e-12)
    else:
        assert float(reference.count(Fraction(at))) == pytest.approx(x, rel=1e-9, abs=1e-9)


@given(shapes, st.data())
def test_times_never_go_back(shape: list[Exact], data: st.DataObject) -> None:
    curve = Curve(as_stages(shape), 1e5)
    total = math.ceil(Reference(shape).total)
    first = data.draw(st.integers(0, max(total - 300, 0)))
    times = [at for i in range(first, first + 300) if (at := curve.passing(i)) is not None]
    assert len(times) == min(300, total - first)
    assert all(a <= b for a, b in pairwise(times))
    assert all(1e5 <= at <= curve.end_s for at in times)


@pytest.mark.parametrize("index", [1, 999_999, 1_000_003, 54_321_987, 99_999_999])
@pytest.mark.parametrize("before", [0, 1, 7])
def test_ramps_do_not_drift(index: int, before: int) -> None:
    """10^8 arrivals on a ramp, after some stages that leave a third of an arrival over."""
    odd = [Stage(1 / 3, 1 / 3, 1)] * before
    curve = Curve([*odd, Stage(0, 2000, 100_000)], 0.0)
    at = curve.passing(index)
    with localcontext() as context:
        context.prec = 50
        y = Decimal(index) - Decimal(before) / 3
        expected = float(before + (y * 100).sqrt()) if y >= 0 else 3.0 * index
    assert at == pytest.approx(expected, rel=1e-14)


def test_falling_ramps_do_not_drift() -> None:
    curve = Curve([Stage(2000, 0, 100_000)], 0.0)
    for left in (1, 5, 1_000_003, 99_999_999):
        at = curve.passing(10**8 - left)
        with localcontext() as context:
            context.prec = 50
            expected = float(100_000 - (Decimal(left) * 100).sqrt())
        assert at == pytest.approx(expected, rel=1e-14)
    assert curve.passing(10**8) is None


def test_very_long_runs_keep_their_pace() -> None:
    curve = Curve([Stage(1000 / 7, 1000 / 7, 365 * 86400)], 0.0)
    assert curve.passing(10**9) == 7e6
    assert curve.passing(10**9 + 1) == pytest.approx(7e6 + 0.007, rel=1e-15)


@given(shapes, starts, st.booleans(), st.data())
def test_level_and_stage(
    shape: list[Exact], t0: float, hold_last: bool, data: st.DataObject
) -> None:
    curve = Curve(as_stages(shape), t0, hold_last=hold_last)
    begin = Fraction(t0)
    for i, (start, end, duration) in enumerate(shape):
        share = data.draw(st.sampled_from([Fraction(1, 3), Fraction(1, 2), Fraction(99, 100)]))
        t = float(begin + share * duration)
        assert curve.level(t) == pytest.approx(float(start + share * (end - start)), abs=1e-4)
        assert curve.stage_at(t) == i
        assert curve.is_ramp(t) == (start != end)
        assert curve.level(float(begin)) == pytest.approx(float(start), rel=1e-9, abs=1e-6)
        begin += duration
    later = t0 + float(begin) + 10
    assert curve.level(later) == (float(shape[-1][1]) if hold_last else 0)
    assert curve.stage_at(later) == (len(shape) - 1 if hold_last else None)
    assert not curve.is_ramp(later)
    assert curve.end_s == (inf if hold_last else pytest.approx(float(begin), rel=1e-12))
    assert (curve.level(t0 - 1), curve.stage_at(t0 - 1), curve.cumulative(t0 - 1)) == (0, None, 0)


def test_a_last_level_that_is_held_goes_on() -> None:
    curve = Curve([Stage(0, 4, 2)], 0.0, hold_last=True)
    assert curve.passing(4) == 2.0
    assert curve.passing(4 + 4 * 1000) == 1002.0
    assert curve.cumulative(10.0) == 4 + 32
    assert Curve([Stage(1, 0, 2)], 0.0, hold_last=True).passing(1) is None
    assert Curve([Stage(1, 1, 2)], 0.0).cumulative(10.0) == 2


def test_the_next_stage() -> None:
    curve = Curve([Stage(1, 1, 2), Stage(2, 2, 3)], 10.0)
    assert [curve.next_stage(t) for t in (9, 10, 11.9, 12, 14.9, 15, 16)] == [
        *(10, 12, 12, 15, 15, None, None)
    ]
    assert Curve.hold(3, 10.0).next_stage(11) is None


@given(shapes, st.lists(st.tuples(durations, levels), max_size=4), st.data())
def test_a_live_change_loses_nothing(
    shape: list[Exact], changes: list[tuple[Fraction, Fraction]], data: st.DataObject
) -> None:
    reference, curve = Reference(shape), Curve(as_stages(shape), 0.0)
    now = Fraction(0)
    for pause, level in changes:
        now += Fraction(float(pause))
        before = curve
        curve = curve.changed(float(now), float(level))
        reference.cut(now, level)
        assert curve.level(float(now)) == float(level)
        assert curve.stage_at(float(now)) is None
        assert curve.end_s == inf
        assert curve.level(float(now) / 2) == before.level(float(now) / 2)
    total = math.ceil(reference.count(now + 1000))
    if total:
        for index in data.draw(st.lists(st.integers(0, total - 1), max_size=5)):
            at = curve.passing(index)
            assert at is not None
            assert reference.brackets(at, index) or float(
                reference.count(Fraction(at))
            ) == pytest.approx(index, abs=1e-7)


def test_the_fraction_of_the_next_arrival_carries_over_a_live_change() -> None:
    curve = Curve.hold(2, 0.0).changed(3.25, 1)  # 6.5 by then
    assert curve.passing(6) == 3.0
    assert curve.passing(7) == 3.75
    paused = curve.changed(4.25, 0).changed(9.25, 0.5)  # 7.5 by then
    assert paused.passing(7) == 3.75
    assert paused.passing(8) == 10.25
    assert curve.changed(-5.0, 4).passing(1) == 0.25, "before the start is at the start"


def test_a_change_after_the_end_begins_then() -> None:
    curve = Curve([Stage(1, 1, 2)], 0.0).changed(10.0, 1)
    assert curve.level(5) == 0
    assert passings(curve, 4) == [0.0, 1.0, 10.0, 11.0]


def test_many_live_changes_stay_exact_and_cheap() -> None:
    curve = Curve.hold(1 / 3, 0.0)
    for i in range(1, 1000):
        curve = curve.changed(i / 7, i % 97 / 101)
    assert curve._segments[-1].count.denominator.bit_length() <= 65


# --- whole levels --------------------------------------------------------------------------------


@given(shapes, starts)
def test_whole_levels_change_where_the_level_crosses_them(shape: list[Exact], t0: float) -> None:
    shape = [(a / 100, b / 100, d) for a, b, d in shape]  # fewer to look at
    reference, curve = Reference(shape), Curve(as_stages(shape), t0)
    t, steps = t0, 0
    while t < curve.end_s:
        n, until = curve.whole(t)
        assert t < until <= curve.end_s
        for share in (0.001, 0.5, 0.999):
            level = reference.level(Fraction(t + (until - t) * share) - Fraction(t0))
            assert n == math.floor(level) or abs(level - round(level)) < 1e-6
        t, steps = until, steps + 1
    crossed = sum(abs(math.floor(b) - math.floor(a)) + 2 for a, b, _ in shape)
    assert steps <= crossed
    assert curve.whole(curve.end_s) == (0, inf)
    assert curve.whole(t0 - 1) == (0, t0)


def test_whole_levels_of_a_ramp() -> None:
    curve = Curve([Stage(0, 3, 3), Stage(3, 1, 2)], 10.0, hold_last=True)
    seen = []
    t = 10.0
    while t < inf:
        n, until = curve.whole(t)
        seen.append((t, n))
        t = until
    assert seen == [(10, 0), (11, 1), (12, 2), (13, 2), (14, 1), (15, 1)]


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "numbers",
    [
        *((-1, 0, 1), (0, -1, 1), (inf, inf, 1), (float("nan"), 0, 1), (0, 2e6, 1), (1e-9, 1, 1)),
        *((1, 1, 0), (1, 1, -1), (1, 1, float("nan")), (1, 1, 1e9), (1, 2, inf)),
    ],
    ids=str,
)
def test_stages_that_make_no_sense_are_refused(numbers: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError):
        Stage(*numbers)


def test_curves_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="must be a stage"):
        Curve([], 0.0)
    with pytest.raises(ValueError, match="never ends"):
        Curve([Stage(1, 1, inf), Stage(1, 1, 1)], 0.0)
    with pytest.raises(ValueError):
        Curve.hold(1, 0.0).changed(1.0, float("nan"))
