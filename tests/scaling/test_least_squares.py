"""Least squares, against solutions known beforehand and against their own optimality."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, strategies as st

from scalab.scaling.least_squares import solve, solve_non_negative, solve_reciprocal

numbers = st.floats(-10, 10).filter(lambda x: x == 0 or abs(x) > 1e-3)


def test_a_straight_line() -> None:
    # y = 1 + 2x fits (0, 1), (1, 3), (2, 5) but for +-e: textbook formulas for the errors
    found = solve([[1, 1, 1], [0, 1, 2]], [1.1, 2.8, 5.1])
    assert found
    assert found.coefficients == pytest.approx((1, 2))
    assert found.squares == pytest.approx(0.06)
    assert found.unscaled[0] == pytest.approx((5 / 6, -1 / 2))
    assert found.unscaled[1] == pytest.approx((-1 / 2, 1 / 2))


@pytest.mark.parametrize(
    "columns", [[[0.0, 0.0, 0.0]], [[1.0, 2.0, 3.0], [2.0, 4.0, 6.0]], [[1.0, 2.0, 3.0]] * 2]
)
def test_columns_that_are_sums_of_others_have_no_single_solution(
    columns: list[list[float]],
) -> None:
    assert solve(columns, [1.0, 2.0, 4.0]) is None


def test_columns_of_very_unlike_sizes() -> None:
    found = solve([[1e-150, 0, 1e-150], [0, 1e150, 1e150]], [3, 2, 5])
    assert found
    assert found.coefficients == pytest.approx((3e150, 2e-150))


def test_nearly_alike_columns_keep_their_digits() -> None:
    # The normal equations would lose all of them: 1 + 1e-20 is 1.
    tiny = 1e-9
    found = solve([[1, tiny, 0], [1, 0, tiny]], [2, tiny, tiny])
    assert found
    assert found.coefficients == pytest.approx((1, 1), rel=1e-5)


@given(st.lists(st.tuples(numbers, numbers, numbers, numbers), min_size=4, max_size=8))
def test_what_is_not_negative_is_the_best_within_bounds(rows: list[tuple[float, ...]]) -> None:
    """Karush, Kuhn and Tucker: no slope where a coefficient is above 0, none downhill at 0."""
    *columns, values = (list(column) for column in zip(*rows, strict=True))
    found = solve_non_negative(columns, values)
    assert min(found) >= 0
    rest = [
        value - sum(f * x for f, x in zip(found, row, strict=False))
        for value, row in zip(values, rows, strict=True)
    ]
    size = math.hypot(*values)
    for coefficient, column in zip(found, columns, strict=True):
        slope = sum(x * r for x, r in zip(column, rest, strict=True))
        scale = math.hypot(*column) * size + 1e-300
        assert slope <= 1e-6 * scale
        if coefficient > 1e-9:
            assert abs(slope) <= 1e-6 * scale


def test_a_reciprocal() -> None:
    rows = [(1.0, x) for x in (0.0, 1.0, 3.0, 7.0)]
    values = [1 / (0.5 + 2 * x) for _, x in rows]
    found = solve_reciprocal(rows, values, [1.0] * 4, [(9.0, 9.0)])
    assert found
    assert found.coefficients == pytest.approx((0.5, 2.0))
    assert found.squares == pytest.approx(0, abs=1e-20)
    # 1 / X has the slope -x X**2, so one point at x = 0 alone decides of the first coefficient.
    far = [(1.0, 0.0), (0.0, 1.0)]
    found = solve_reciprocal(far, [2.0, 4.0], [0.1, 0.1], [])
    assert found
    assert found.unscaled[0][0] == pytest.approx((0.1 / 2**2) ** 2)
    assert found.unscaled[1][1] == pytest.approx((0.1 / 4**2) ** 2)


def test_a_reciprocal_that_would_be_negative_is_at_its_bound() -> None:
    rows = [(1.0, x) for x in (0.0, 1.0, 3.0)]
    found = solve_reciprocal(rows, [1.0, 2.0, 3.0], [1.0] * 3, [])
    assert found
    assert found.coefficients[0] == pytest.approx(0.5)  # the mean is 2
    assert found.coefficients[1] == 0


def test_no_reciprocal_where_the_best_sum_would_be_zero() -> None:
    assert solve_reciprocal([(0.0,), (1.0,)], [1.0, 1.0], [1.0, 1.0], []) is None
