"""The Universal Scalability Law, fitted to the throughputs with several numbers of workers.

The law (N. J. Gunther, Guerrilla Capacity Planning, Springer 2007, chapter 4) is

    X(N) = gamma N / (1 + sigma (N - 1) + kappa N (N - 1))

where gamma is the throughput of one worker, sigma contention and kappa coherency; the R package
``usl`` calls the last two alpha and beta. Written as

    1 / X(N) = p / N + q + c (N - 1)

with p = (1 - sigma) / gamma, q = sigma / gamma and c = kappa / gamma, its bounds, sigma from 0 to
1, kappa >= 0 and gamma > 0, are that none of p, q and c is negative, and so it is fitted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import product
from statistics import median
from typing import Final, Literal

from scalab.measure.batches import CONFIDENCE
from scalab.measure.student import quantile

from .least_squares import Matrix, solve_reciprocal
from .usl_law import Fit, Loss, NoFit, Ranged, Vector, row_of
from .usl_points import MAX_WORKERS, Point, relative_errors, superlinear
from .usl_text import describe, parameters

__all__ = [
    "Fit",
    "Loss",
    "NoFit",
    "Point",
    "Ranged",
    "Weights",
    "describe",
    "fit",
    "parameters",
    "superlinear",
]

MIN_SIZES: Final = 3
"""Different numbers of workers that a fit needs: as many as the law has parameters."""
MIN_SIZES_FOR_INTERVALS: Final = 4
_MAX_RANGE = 1e9  # of the greatest throughput to the least
_NOTHING = 1e-9  # share of 1 / X that a term may have at each N and still be rounding only

_SIGMAS = (0.0, 0.03, 0.1, 0.3, 0.7, 1.0)
_KAPPAS = (0.0, *(10.0 ** (i / 3) for i in range(-18, 7)))

Weights = Literal["errors", "equal"]


def fit(points: Iterable[Point], *, weights: Weights = "errors") -> Fit | NoFit:
    """Fit the law to measurements by least squares, within its bounds.

    Args:
        points: In any order; several may have the same number of workers.
        weights: ``errors``: by 1 / error**2; a point without an error counts as the least sure of
            the others, relative to its throughput, and if none has an error, all are as sure,
            relatively. ``equal``: all errors are as many requests per second, as other programs
            assume; when in truth they grow with the throughput, intervals are too narrow.

    Returns:
        The fit, without intervals for fewer than 4 different numbers of workers; or why there is
        none.
    """
    points = sorted(points, key=lambda point: point.workers)
    if reason := _unusable(points):
        return NoFit(reason)
    scale = max(point.throughput for point in points)
    values = [point.throughput / scale for point in points]
    shares = relative_errors(points)
    equal = weights == "equal"
    errors = [1.0 if equal else x * share for x, share in zip(values, shares, strict=True)]
    rows = [row_of(point.workers) for point in points]
    found = solve_reciprocal(rows, values, errors, [_nearest_of_many(rows, values, errors)])
    p, q, c = _without_rounding(found.coefficients, rows) if found else (0.0, 0.0, 0.0)
    if not found or not p + q:
        return NoFit("more workers lower the throughput by more than the scalability law allows")
    df = len(points) - MIN_SIZES
    variance = found.squares / df if df else 0.0
    spread = math.sqrt(variance)
    known = len({point.workers for point in points}) >= MIN_SIZES_FOR_INTERVALS
    return Fit(
        points=tuple(points),
        superlinear=superlinear(points),
        df=df,
        residual_error=(spread * scale if equal else spread) if known else None,
        scale=scale,
        terms=(p, q, c),
        covariance=_times(found.unscaled, variance) if known else None,
        t=quantile((1 + CONFIDENCE) / 2, df) if known else math.inf,
        relative_noise=0.0 if equal else spread * median(shares),
        constant_noise=spread if equal else 0.0,
    )


def _unusable(points: Sequence[Point]) -> str:
    """Why there can't be a fit; "" if there may be one."""
    for point in points:
        if not 1 <= point.workers <= MAX_WORKERS:
            return f"the scalability law is for 1 to {MAX_WORKERS:,} workers"
        if not point.usable:
            return (
                "the scalability law knows no such throughput as "
                f"{point.throughput:.3g}/s at N = {point.workers}"
            )
    sizes = len({point.workers for point in points})
    if sizes < MIN_SIZES:
        return (
            f"the scalability law needs {MIN_SIZES} different numbers of workers; there are {sizes}"
        )
    throughputs = [point.throughput for point in points]
    if min(throughputs) < max(throughputs) / _MAX_RANGE:
        return "the throughputs are too far apart for the scalability law"
    return ""


def _nearest_of_many(rows: Sequence[Vector], values: Vector, errors: Vector) -> Vector:
    """The best terms of a coarse grid, so that a descent from there isn't lost in a side valley."""
    best: Vector = ()
    least = math.inf
    for sigma, kappa in product(_SIGMAS, _KAPPAS):
        shape = (1.0 - sigma, sigma, kappa)
        # In units of the errors; gamma, which only stretches the shape, has its best value.
        curve = [1.0 / _dot(shape, row) / e for row, e in zip(rows, errors, strict=True)]
        found = [x / e for x, e in zip(values, errors, strict=True)]
        gamma = _dot(curve, found) / _dot(curve, curve)
        squares = math.fsum((x - gamma * y) ** 2 for x, y in zip(found, curve, strict=True))
        if squares < least:
            best, least = [term / gamma for term in shape], squares
    return best


def _without_rounding(terms: Vector, rows: Sequence[Vector]) -> list[float]:
    """The terms, those that make up next to nothing of 1 / X at each point being 0."""
    sums = [_dot(terms, row) for row in rows]
    return [
        term if max(term * x / g for x, g in zip(column, sums, strict=True)) > _NOTHING else 0.0
        for term, column in zip(terms, zip(*rows, strict=True), strict=True)
    ]


def _dot(a: Vector, b: Vector) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


def _times(matrix: Matrix, factor: float) -> Matrix:
    return tuple(tuple(factor * x for x in row) for row in matrix)
