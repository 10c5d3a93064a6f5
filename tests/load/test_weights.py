"""Choosing among queues: shares, their bounds, and that nothing depends on rounding."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from scalab.load.arrivals import Poisson
from scalab.load.curve import Curve
from scalab.load.weights import make_chooser

weights = st.lists(st.integers(1, 50), min_size=1, max_size=8)


def test_picks_are_spread_out() -> None:
    chooser = make_chooser([5, 1, 1])  # the example of nginx
    assert "".join("abc"[chooser.pick()] for _ in range(14)) == "aabacaa" * 2


def test_one_is_always_chosen() -> None:
    assert {make_chooser([3]).pick(), make_chooser([3], seed=1).pick()} == {0}


@given(weights)
def test_shares_are_kept_at_any_time(weights: list[int]) -> None:
    chooser, total, m = make_chooser([w / 10 for w in weights]), sum(weights), len(weights)
    most_over, most_under = 1 - Fraction(1, m), sum(Fraction(1, j) for j in range(2, m + 1))
    counts = [0] * m
    for n in range(1, 2 * total + 1):
        counts[chooser.pick()] += 1
        for count, weight in zip(counts, weights, strict=True):
            over = count - Fraction(n * weight, total)
            assert -most_under <= over <= most_over
    assert counts == [2 * weight for weight in weights]


@given(st.lists(st.sampled_from([0.1, 0.2, 0.7, 1 / 3, 1e-3, 2.5]), min_size=2, max_size=5))
def test_the_order_repeats_exactly(weights: list[float]) -> None:
    chooser = make_chooser(weights)
    period = round(sum(weights) * 3000)
    first = [chooser.pick() for _ in range(period)]
    assert [chooser.pick() for _ in range(period)] == first
    counts = Counter(first)
    assert [counts[i] for i in range(len(weights))] == [round(weight * 3000) for weight in weights]


def test_random_choices_have_the_shares_of_the_weights() -> None:
    chooser, n = make_chooser([1, 2, 7], seed=4), 20_000
    counts = Counter(chooser.pick() for _ in range(n))
    for i, share in enumerate((0.1, 0.2, 0.7)):
        assert counts[i] == pytest.approx(n * share, abs=5 * (n * share * (1 - share)) ** 0.5)


def test_random_choices_are_independent_and_reproducible() -> None:
    a, b, c = (make_chooser([1, 1], seed=seed) for seed in (1, 1, 2))
    first = [a.pick() for _ in range(4000)]
    assert first == [b.pick() for _ in range(4000)]
    assert first != [c.pick() for _ in range(4000)]
    pairs = Counter(pairwise(first))
    assert all(pairs[i, j] == pytest.approx(1000, abs=5 * 28) for i in (0, 1) for j in (0, 1))


def test_random_choices_do_not_follow_arrivals_of_the_same_seed() -> None:
    source, chooser = Poisson(Curve.hold(1, 0.0), 9), make_chooser([1, 1], seed=9)
    before = 0.0
    gaps: tuple[list[float], list[float]] = ([], [])
    for _ in range(4000):
        at = source.pop()
        gaps[chooser.pick()].append(at - before)
        before = at
    for some in gaps:
        assert sum(some) / len(some) == pytest.approx(1, abs=0.12)


@pytest.mark.parametrize("bad", [[], [0], [1, 0], [-1, 2], [float("nan")], [float("inf")]], ids=str)
def test_weights_that_make_no_sense_are_refused(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="weights must be positive"):
        make_chooser(bad)
