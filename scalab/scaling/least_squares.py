"""Least squares for a few coefficients, also such that none of them is negative.

Columns are made orthogonal one after the other (modified Gram-Schmidt, the values to be fitted as
the last column), which loses half as many digits as the normal equations do: Å. Björck, Numerical
Methods for Least Squares Problems, 2nd ed., section 2.2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import attrs

Column = Sequence[float]
Matrix = tuple[tuple[float, ...], ...]

_INDEPENDENT = 1e-11
"""A column of which so small a share is left, after the others are taken out, is one of them."""
_MAX_STEPS = 300
_MAX_HALVINGS = 40
_SETTLED = 1e-15  # a step that improves the squares by a smaller share is the last


@attrs.frozen
class Solution:
    """The coefficients that fit best."""

    coefficients: tuple[float, ...]
    squares: float
    """Sum of the squared residuals."""
    unscaled: Matrix
    """Inverse of (columns' transpose) x columns: times the residual variance, it is the
    coefficients' covariance."""


def solve(columns: Sequence[Column], values: Column) -> Solution | None:
    """Return the coefficients whose sum of columns is nearest to the values.

    Args:
        columns: As long as ``values``, all finite.
        values: What is to be fitted.

    Returns:
        The solution; None if a column is zero, or nearly a sum of the others: then there is no
        single one.
    """
    scales = [_norm(column) for column in columns]
    if not all(scales):
        return None
    units: list[list[float]] = []
    upper: list[list[float]] = []  # of each column, its parts along the units up to its own
    for column, scale in zip(columns, scales, strict=True):
        parts, rest = _parts([x / scale for x in column], units)
        length = _norm(rest)
        if length < _INDEPENDENT:
            return None
        units.append([x / length for x in rest])
        upper.append([*parts, length])
    parts, rest = _parts(values, units)
    inverse = _inverse(upper)
    k = len(columns)
    coefficients = tuple(
        math.fsum(inverse[i][j] * parts[j] for j in range(i, k)) / scales[i] for i in range(k)
    )
    unscaled = tuple(
        tuple(_dot(inverse[i], inverse[j]) / scales[i] / scales[j] for j in range(k))
        for i in range(k)
    )
    return Solution(coefficients, _dot(rest, rest), unscaled)


def solve_non_negative(columns: Sequence[Column], values: Column) -> tuple[float, ...]:
    """Return the coefficients, none of them negative, that fit best.

    The best ones that are above 0 are the best of their columns alone, so it is enough to try all
    sets of columns: 2**k of them, for k columns. See ``solve`` for the arguments.
    """
    k = len(columns)
    best, least = (0.0,) * k, _dot(values, values)
    for size in range(1, k + 1):
        for chosen in combinations(range(k), size):
            found = solve([columns[j] for j in chosen], values)
            if found and found.squares < least and min(found.coefficients) >= 0.0:
                given = dict(zip(chosen, found.coefficients, strict=True))
                best, least = tuple(given.get(j, 0.0) for j in range(k)), found.squares
    return best


def solve_reciprocal(
    rows: Sequence[Column], values: Column, errors: Column, starts: Sequence[Column]
) -> Solution | None:
    """Fit values by 1 / (coefficients x row), none of the coefficients being negative.

    Gauss and Newton's method: wherever it is, the reciprocal is replaced by its tangent, the best
    coefficients for that are found, and it goes that way, half as far if that is no better, and so
    on. That is down the hill and stays within the bounds, which are convex.

    Args:
        rows: What the coefficients are multiplied by, for each value; none negative.
        values: What is to be fitted, all above 0.
        errors: What the values' standard errors are, or are proportional to.
        starts: Coefficients to start from, besides the best ones for 1 / value; of where they
            lead, the best is returned.

    Returns:
        The solution, its squares and covariance in units of the errors; None if there is no single
        one, or where the sum at a row would be 0.
    """
    problem = _Reciprocal(rows, values, errors)
    first = solve_non_negative(*problem.tangent([1.0 / value for value in values]))
    ends = [problem.descend(start) for start in (first, *starts)]
    best = min(ends, key=problem.squares)
    if math.isinf(squares := problem.squares(best)):
        return None
    there = solve(*problem.tangent(problem.sums(best)))
    return attrs.evolve(there, coefficients=best, squares=squares) if there else None


@attrs.frozen
class _Reciprocal:
    rows: Sequence[Column]
    values: Column
    errors: Column

    def sums(self, coefficients: Column) -> list[float]:
        return [_dot(row, coefficients) for row in self.rows]

    def squares(self, coefficients: Column) -> float:
        sums = self.sums(coefficients)
        if min(sums) <= 0.0:
            return math.inf
        return math.fsum(
            ((value - 1.0 / g) / error) ** 2
            for value, error, g in zip(self.values, self.errors, sums, strict=True)
        )

    def tangent(self, sums: Column) -> tuple[list[list[float]], list[float]]:
        """Columns and values of the linear problem, as 1 / G is about 2 / g - G / g**2 near g."""
        slopes = [1.0 / (g * g * error) for g, error in zip(sums, self.errors, strict=True)]
        columns = [
            [slope * x for slope, x in zip(slopes, column, strict=True)]
            for column in zip(*self.rows, strict=True)
        ]
        values = [
            (2.0 / g - value) / error
            for value, error, g in zip(self.values, self.errors, sums, strict=True)
        ]
        return columns, values

    def descend(self, start: Column) -> tuple[float, ...]:
        here, squares = tuple(start), self.squares(start)
        for _ in range(_MAX_STEPS if math.isfinite(squares) else 0):
            target = solve_non_negative(*self.tangent(self.sums(here)))
            there = self._step(here, target, squares)
            if there is None:
                break
            gained, here, squares = squares - self.squares(there), there, self.squares(there)
            if gained <= _SETTLED * squares:
                break
        return here

    def _step(self, here: Column, target: Column, squares: float) -> tuple[float, ...] | None:
        """The first better place between here and there; None if there is none."""
        for halvings in range(_MAX_HALVINGS):
            share = 0.5**halvings
            place = tuple(a + share * (b - a) for a, b in zip(here, target, strict=True))
            if self.squares(place) < squares:
                return place
        return None


def _parts(column: Column, units: Sequence[Column]) -> tuple[list[float], list[float]]:
    """The column's parts along the units, and what is left of it."""
    parts, rest = [], list(column)
    for unit in units:
        part = _dot(unit, rest)
        parts.append(part)
        rest = [x - part * u for x, u in zip(rest, unit, strict=True)]
    return parts, rest


def _inverse(upper: Sequence[Sequence[float]]) -> list[list[float]]:
    """Invert a triangular matrix, given by columns; returned by rows."""
    k = len(upper)
    inverse = [[0.0] * k for _ in range(k)]
    for j in range(k):
        inverse[j][j] = 1.0 / upper[j][j]
        for i in reversed(range(j)):
            known = math.fsum(upper[m][i] * inverse[m][j] for m in range(i + 1, j + 1))
            inverse[i][j] = -known / upper[i][i]
    return inverse


def _dot(a: Column, b: Column) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


def _norm(column: Column) -> float:
    return math.hypot(*column)
