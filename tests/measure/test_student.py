"""Student's t against tables, closed forms and itself."""

from __future__ import annotations

import math
from statistics import NormalDist

import pytest
from hypothesis import given, strategies as st

from scalab.measure.student import cdf, incomplete_beta, quantile

# NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2; inf is the normal distribution.
TABLE = {
    1: (3.078, 6.314, 12.706, 31.821, 63.657, 318.309),
    2: (1.886, 2.920, 4.303, 6.965, 9.925, 22.327),
    4: (1.533, 2.132, 2.776, 3.747, 4.604, 7.173),
    10: (1.372, 1.812, 2.228, 2.764, 3.169, 4.144),
    30: (1.310, 1.697, 2.042, 2.457, 2.750, 3.385),
    120: (1.289, 1.658, 1.980, 2.358, 2.617, 3.160),
    math.inf: (1.282, 1.645, 1.960, 2.326, 2.576, 3.090),
}
PROBABILITIES = (0.90, 0.95, 0.975, 0.99, 0.995, 0.999)

dfs = st.floats(0.5, 1e9)


@pytest.mark.parametrize("df", TABLE)
def test_quantiles_are_those_of_the_table(df: float) -> None:
    # The table is rounded to thousandths.
    found = [quantile(p, df) for p in PROBABILITIES]
    assert found == pytest.approx(TABLE[df], rel=0, abs=0.00051)


@given(st.floats(-1e3, 1e3))
def test_closed_forms(t: float) -> None:
    assert cdf(t, 1) == pytest.approx(0.5 + math.atan(t) / math.pi, abs=1e-13)
    assert cdf(t, 2) == pytest.approx(0.5 + t / (2 * math.sqrt(2 + t * t)), abs=1e-13)
    x = t / math.sqrt(4 + t * t)
    assert cdf(t, 4) == pytest.approx(0.5 + 0.75 * x * (1 - x * x / 3), abs=1e-13)


@given(st.floats(1e-6, 1 - 1e-6))
def test_closed_forms_of_quantiles(p: float) -> None:
    tail = min(p, 1 - p)
    assert abs(quantile(p, 1)) == pytest.approx(1 / math.tan(math.pi * tail), rel=1e-9, abs=1e-9)
    second = (2 * p - 1) * math.sqrt(2 / (4 * p * (1 - p)))
    assert quantile(p, 2) == pytest.approx(second, rel=1e-9, abs=1e-9)


@given(st.floats(1e-6, 1 - 1e-6), dfs)
def test_quantile_and_cdf_are_inverse(p: float, df: float) -> None:
    # With very many degrees of freedom rounding shows a little more.
    assert cdf(quantile(p, df), df) == pytest.approx(p, rel=1e-9 if df < 1e6 else 1e-8)


@given(st.floats(-50, 50), dfs)
def test_symmetry(t: float, df: float) -> None:
    assert cdf(t, df) + cdf(-t, df) == pytest.approx(1, abs=1e-13)


@given(st.floats(-5, 5))
def test_many_degrees_of_freedom_approach_the_normal_distribution(t: float) -> None:
    assert cdf(t, 2e8) == pytest.approx(NormalDist().cdf(t), abs=2e-9)
    assert cdf(t, 1e10) == pytest.approx(NormalDist().cdf(t), abs=1e-9)
    assert cdf(t, math.inf) == pytest.approx(NormalDist().cdf(t), abs=1e-15)


@given(st.floats(0.01, 0.99), st.floats(1e4, 1e7))
def test_many_degrees_of_freedom_agree_with_the_expansion(p: float, df: float) -> None:
    # Abramowitz and Stegun, 26.7.5, to the second order.
    z = NormalDist().inv_cdf(p)
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96 / df**2
    assert quantile(p, df) == pytest.approx(z + (z**3 + z) / 4 / df + second, abs=1e-9)


def test_where_the_formula_changes_nothing_jumps() -> None:
    below, above = quantile(0.975, 2e4 * (1 - 1e-9)), quantile(0.975, 2e4 * (1 + 1e-9))
    assert below == pytest.approx(above, rel=1e-11)


def test_incomplete_beta_is_the_binomial_tail() -> None:
    n, chance = 12, 0.3
    for k in range(1, n + 1):
        tail = sum(math.comb(n, i) * chance**i * (1 - chance) ** (n - i) for i in range(k, n + 1))
        assert incomplete_beta(chance, k, n - k + 1) == pytest.approx(tail, rel=1e-12)
    assert (incomplete_beta(0, 2, 3), incomplete_beta(1, 2, 3)) == (0, 1)


@pytest.mark.parametrize("p", [0, 1, -0.1, 1.1, math.nan])
def test_no_quantile_of_what_is_no_probability(p: float) -> None:
    with pytest.raises(ValueError, match="probability"):
        quantile(p, 3)


@pytest.mark.parametrize("df", [0, -1, math.nan])
def test_degrees_of_freedom_are_positive(df: float) -> None:
    with pytest.raises(ValueError, match="degrees of freedom"):
        quantile(0.975, df)
    with pytest.raises(ValueError, match="degrees of freedom"):
        cdf(1, df)
