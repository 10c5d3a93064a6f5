"""The scalability law: published fits, laws recovered from their curve, honest intervals."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

import attrs
import pytest
from hypothesis import given, strategies as st

from scalab.measure.student import quantile
from scalab.scaling.usl import Fit, NoFit, Point, describe, fit, parameters, superlinear

SPEC = ((1, 64.9), (18, 995.9), (36, 1652.4), (72, 1853.2), (108, 1828.9), (144, 1775.0))
SPECSDM91 = [Point(n, x) for n, x in (*SPEC, (216, 1702.2))]
"""Of the R package usl, whose fit is compared with; also in Gunther's book, chapter 5."""

DOUBLING = (1, 2, 4, 8, 16)


def law(sigma: float, kappa: float, gamma: float = 1.0) -> Callable[[float], float]:
    return lambda n: gamma * n / (1 + sigma * (n - 1) + kappa * n * (n - 1))


def curve(sizes: Sequence[int], sigma: float, kappa: float, gamma: float = 1.0) -> list[Point]:
    return [Point(n, law(sigma, kappa, gamma)(n)) for n in sizes]


def fitted(points: Sequence[Point], *, equal: bool = False) -> Fit:
    found = fit(points, weights="equal" if equal else "errors")
    assert isinstance(found, Fit), found
    return found


# --- published fits ----------------------------------------------------------------------------


def test_specsdm91_as_r_fits_it() -> None:
    found = fitted(SPECSDM91, equal=True)
    assert found.sigma.value == pytest.approx(0.027728, rel=1e-4)
    assert found.kappa.value == pytest.approx(1.0437e-4, rel=1e-4)
    assert found.gamma.value == pytest.approx(89.995, rel=1e-4)
    assert found.sigma.error == pytest.approx(9.122e-3, rel=1e-3)
    assert found.kappa.error == pytest.approx(1.988e-5, rel=1e-3)
    assert found.gamma.error == pytest.approx(14.21, rel=1e-3)
    assert found.residual_error == pytest.approx(82.85, rel=1e-4)
    assert found.df == 4
    assert found.peak
    assert found.peak.value == pytest.approx(96.519, rel=1e-4)
    assert found.throughput(found.peak.value) == pytest.approx(1884, rel=1e-3)
    assert found.limit
    assert found.limit.value == pytest.approx(3245.6, rel=1e-4)


def test_intervals_are_student_s_with_three_degrees_fewer_than_points() -> None:
    found = fitted(SPECSDM91, equal=True)
    for figure in (found.sigma, found.kappa, found.gamma, found.band([50])[0]):
        assert figure.error is not None
        half = quantile(0.975, 4) * figure.error
        assert figure.low == pytest.approx(figure.value - half)
        assert figure.high == pytest.approx(figure.value + half)


def test_the_error_of_a_function_is_that_of_its_gradient() -> None:
    """Against numeric derivatives of the law by its parameters, from the normal equations."""
    found = fitted(SPECSDM91, equal=True)
    at = (found.sigma.value, found.kappa.value, found.gamma.value)

    def gradient(n: float) -> list[float]:
        steps = [tuple(v * (1 + 1e-6 * (i == j)) for j, v in enumerate(at)) for i in range(3)]
        return [
            (law(*step)(n) - law(*at)(n)) / (1e-6 * v) for step, v in zip(steps, at, strict=True)
        ]

    # The error of X(72) is a change of parameters of length 1 in the metric of J'J, so that no
    # change of such length moves X(72) by more.
    rows = [gradient(point.workers) for point in SPECSDM91]
    error = found.band([72])[0].error
    assert error is not None
    assert found.residual_error is not None
    rng, most = random.Random(1), 0.0
    scales = [found.sigma.error, found.kappa.error, found.gamma.error]
    for _ in range(20_000):
        change = [rng.gauss(0, 1) * (scale or 0.0) for scale in scales]
        length = math.hypot(*(sum(a * b for a, b in zip(row, change, strict=True)) for row in rows))
        moved = abs(sum(a * b for a, b in zip(gradient(72), change, strict=True)))
        most = max(most, moved / length)
    assert 0.99 * error < found.residual_error * most < 1.00001 * error


def test_a_rounded_curve() -> None:
    xs = (1, 1.8868, 3.0769, 3.5294, 3.5398, 3.3557)
    found = fitted([Point(n, x) for n, x in zip((1, 2, 4, 6, 8, 10), xs, strict=True)])
    values = (found.sigma.value, found.kappa.value, found.gamma.value)
    assert values == pytest.approx((0.02, 0.02, 1.0), rel=1e-3)
    assert "peaks at 7 workers [7-7]" in describe(found)


@pytest.mark.parametrize("each", [1.0, 0.1, 3.7, 1e-9, 123456.789])
def test_a_perfectly_straight_line_has_no_peak_and_no_limit(each: float) -> None:
    found = fitted([Point(n, n * each) for n in DOUBLING])
    assert (found.sigma.value, found.kappa.value) == (0, 0)
    assert found.sigma.at_bound
    assert found.kappa.at_bound
    assert found.gamma.value == pytest.approx(each)
    assert (found.peak, found.limit, found.superlinear) == (None, None, None)
    said = describe(found)
    assert "at 16 workers less than 1 % of ideal is lost" in said
    assert "2.00x" in said
    assert "no peak seen up to 16 workers" in said


def test_contention_without_coherency_has_a_limit_and_no_peak() -> None:
    found = fitted(curve(DOUBLING, 0.1, 0.0, 5.0))
    assert found.kappa.at_bound
    assert not found.sigma.at_bound
    assert found.peak is None
    assert found.limit
    assert found.limit.value == pytest.approx(50)


def test_one_worker_s_throughput_whatever_their_number() -> None:
    found = fitted([Point(n, 3.0) for n in DOUBLING])
    assert (found.sigma.value, found.sigma.at_bound, found.kappa.value) == (1, True, 0)
    assert found.doubling().value == pytest.approx(1)


@pytest.mark.parametrize(
    "sizes", [(15, 21, 12, 23, 7, 22, 34, 30), (33, 20, 19, 21, 16), (32, 28, 2, 17, 27, 25)]
)
def test_rounding_is_no_coherency(sizes: tuple[int, ...]) -> None:
    for sigma, gamma in ((0.187785963, 88.6102), (0.0964873, 76.8006), (0.12196576, 66.80199)):
        found = fitted(curve(sizes, sigma, 0.0, gamma))
        assert found.kappa.value == 0
        assert found.kappa.at_bound
        assert found.peak is None


# --- laws are recovered from their curve ---------------------------------------------------------

sizes = st.lists(st.integers(1, 64), min_size=3, max_size=8, unique=True)
sigmas = st.one_of(st.just(0.0), st.floats(1e-4, 1))
kappas = st.one_of(st.just(0.0), st.floats(1e-5, 0.5))
gammas = st.floats(1e-6, 1e6)


@given(sizes, sigmas, kappas, gammas, st.booleans())
def test_a_law_is_recovered_from_its_curve(
    sizes: list[int], sigma: float, kappa: float, gamma: float, equal: bool
) -> None:
    found = fitted(curve(sizes, sigma, kappa, gamma), equal=equal)
    # Neighbouring numbers of workers tell the terms apart only by late digits.
    for n in (1, 2, max(sizes), 2 * max(sizes)):
        assert found.throughput(n) == pytest.approx(law(sigma, kappa, gamma)(n), rel=1e-3)
    if 1 in sizes:
        assert found.sigma.value == pytest.approx(sigma, rel=1e-3, abs=1e-5)
        assert found.kappa.value == pytest.approx(kappa, rel=1e-3, abs=1e-6)
        assert found.gamma.value == pytest.approx(gamma, rel=1e-4)


near, shares = st.floats(0.5, 1.5), st.floats(0.001, 0.2)


@pytest.mark.parametrize(
    "xs",
    [
        {1: 20, 4: 8, 8: 1, 16: 5, 32: 8},
        {1: 8, 2: 2, 4: 20, 8: 3, 16: 1, 32: 8},
        {1: 20, 2: 5, 4: 2, 16: 20, 32: 20},
    ],
)
def test_the_nearest_law_is_found_where_there_are_several_nearby_ones(xs: dict[int, int]) -> None:
    found = fitted([Point(n, x) for n, x in xs.items()])
    assert found.residual_error is not None
    least = found.residual_error**2 * found.df
    grid = [i / 20 for i in range(21)]
    for sigma in grid:
        for kappa in (0.0, *(10 ** (8 * i - 6) for i in grid)):
            shares = [law(sigma, kappa)(n) / x for n, x in xs.items()]
            gamma = sum(shares) / sum(share**2 for share in shares)  # the best one
            assert sum((1 - gamma * share) ** 2 for share in shares) >= least * (1 - 1e-9)


noisy = st.builds(
    lambda first, rows: [Point(n, n**0.8 * x, n**0.8 * x * e) for n, x, e in (first, *rows)],
    st.tuples(st.just(1), near, shares),
    st.lists(
        st.tuples(st.integers(2, 100), near, shares),
        min_size=3,
        max_size=8,
        unique_by=lambda row: row[0],
    ),
)


@given(noisy, st.sampled_from([1e-12, 1e-3, 3.0, 7e8]), st.booleans())
def test_the_unit_of_throughput_changes_nothing_else(
    points: list[Point], factor: float, equal: bool
) -> None:
    other = [Point(p.workers, p.throughput * factor, (p.error or 0) * factor) for p in points]
    one, two = fitted(points, equal=equal), fitted(other, equal=equal)
    assert two.throughput(5) == pytest.approx(factor * one.throughput(5), rel=1e-5)
    assert two.efficiency(50) == pytest.approx(one.efficiency(50), rel=1e-4, abs=1e-6)
    assert two.superlinear == one.superlinear


@given(noisy, st.booleans())
def test_what_is_said_of_a_fit_agrees(points: list[Point], equal: bool) -> None:
    found = fitted(points, equal=equal)
    sigma, kappa, gamma = (f.value for f in (found.sigma, found.kappa, found.gamma))
    assert 0 <= sigma <= 1
    assert kappa >= 0
    assert gamma > 0
    last = 1.0
    for n in (1, 1.5, 2, 7, 30, 100):
        d = 1 + sigma * (n - 1) + kappa * n * (n - 1)
        assert found.throughput(n) == pytest.approx(gamma * n / d)
        loss = found.loss(n)
        assert loss.contention == pytest.approx(sigma * (n - 1) / d)
        assert loss.coherency == pytest.approx(kappa * n * (n - 1) / d)
        assert found.efficiency(n) == pytest.approx(1 - loss.total)
        assert found.efficiency(n) <= last * (1 + 1e-12)
        last = found.efficiency(n)
    for figure in (found.sigma, found.kappa, found.gamma, found.doubling(), found.forecast(9)):
        assert figure.low is not None
        assert figure.high is not None
        assert 0 <= figure.low <= figure.value * (1 + 1e-9)
        assert figure.value <= figure.high * (1 + 1e-9)
    if found.peak:
        assert found.peak.low is not None
        assert found.peak.high is not None
        assert found.kappa.low
        assert 1 <= found.peak.low <= found.peak.value <= found.peak.high < math.inf
        for n in (found.peak.value * 0.99, found.peak.value * 1.01):
            if n >= 1:
                assert found.throughput(n) <= found.throughput(found.peak.value) * (1 + 1e-12)


@given(noisy, st.booleans())
def test_no_law_nearby_is_nearer(points: list[Point], equal: bool) -> None:
    found = fitted(points, equal=equal)
    sd = [1.0 if equal else max(p.error or 0, 0.005 * p.throughput) for p in points]

    def squares(sigma: float, kappa: float, gamma: float) -> float:
        x = law(sigma, kappa, gamma)
        return sum(
            ((p.throughput - x(p.workers)) / s) ** 2 for p, s in zip(points, sd, strict=True)
        )

    at = (found.sigma.value, found.kappa.value, found.gamma.value)
    least = squares(*at)
    assert found.residual_error == pytest.approx(math.sqrt(least / found.df), rel=1e-6)
    for step in (1e-4, -1e-4):
        for i in range(3):
            sigma, kappa, gamma = (v + step * (v or 0.01) * (i == j) for j, v in enumerate(at))
            if 0 <= sigma <= 1 and kappa >= 0:
                assert squares(sigma, kappa, gamma) >= least * (1 - 1e-9) - 1e-9


# --- hostile input -------------------------------------------------------------------------------

anything = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0.0, 1.0, 5e-324, 1e-300, 1e300, 1.7e308]),
)
hostile = st.lists(
    st.builds(
        Point,
        st.one_of(st.integers(0, 20), st.integers(), st.sampled_from([10**9, 10**9 - 1, 10**5000])),
        st.one_of(anything, st.floats(0.1, 100)),
        st.one_of(st.none(), anything),
    ),
    max_size=9,
)
positive = st.lists(
    st.builds(Point, st.integers(1, 40), st.floats(0, 13).map(lambda x: 10.0 ** (x - 6))),
    min_size=3,
    max_size=9,
)


@given(st.one_of(hostile, positive), st.booleans())
def test_nothing_raises(points: list[Point], equal: bool) -> None:
    found = fit(points, weights="equal" if equal else "errors")
    superlinear(points)
    said = describe(found)
    assert said
    if isinstance(found, Fit):
        for words in (said, parameters(found)):
            assert not any(word in words for word in ("nan", "inf", "None")), words
        for figure in [*found.band([1, 9.5, 1e9]), found.forecast(3), found.doubling(10**9)]:
            assert figure.value >= 0


def test_why_there_is_no_fit() -> None:
    def reason(*points: Point) -> str:
        found = fit(points)
        assert isinstance(found, NoFit)
        assert describe(found) == found.reason
        return found.reason

    assert "needs 3 different numbers of workers; there are 0" in reason()
    assert "there are 2" in reason(Point(1, 1), Point(2, 2), Point(2, 2), Point(1, 1))
    assert "0/s at N = 2" in reason(Point(1, 1), Point(2, 0), Point(4, 3))
    assert "nan/s at N = 4" in reason(Point(1, 1), Point(2, 2), Point(4, math.nan))
    assert "1 to 1,000,000,000 workers" in reason(Point(0, 1), Point(2, 2), Point(4, 4))
    assert "too far apart" in reason(Point(1, 1), Point(2, 1e-10), Point(4, 4))
    assert "lower the throughput" in reason(Point(2, 1e3), Point(4, 1), Point(8, 1e-3))


def test_three_numbers_of_workers_have_no_intervals_however_often_measured() -> None:
    found = fitted([*curve((1, 2, 4), 0.05, 0.01), *curve((1, 2, 4), 0.06, 0.01)])
    assert found.sigma.value == pytest.approx(0.055, rel=0.1)
    assert found.residual_error is None
    figures = (found.sigma, found.kappa, found.gamma, found.limit, found.forecast(8))
    for figure in (*figures, found.doubling(), *found.band([3])):
        assert figure
        assert (figure.error, figure.low, figure.high) == (None, None, None)
    assert found.peak is None
    assert "takes a fourth number of workers" in describe(found)


# --- weights -----------------------------------------------------------------------------------


def test_a_point_that_is_less_sure_counts_less() -> None:
    true = curve((1, 2, 4, 8, 16, 32), 0.05, 0.001)
    off = attrs.evolve(true[3], throughput=true[3].throughput * 1.3)

    def distance(error_of_it: float) -> float:
        points = [attrs.evolve(p, error=0.01 * p.throughput) for p in true]
        points[3] = attrs.evolve(off, error=error_of_it * off.throughput)
        return abs(fitted(points).sigma.value - 0.05)

    assert distance(0.3) < 0.1 * distance(0.01)


def test_an_unknown_error_is_the_largest_known() -> None:
    xs = {1: 1.0, 2: 1.93, 4: 3.5, 8: 6.4, 16: 9.0}
    known = {1: 0.01, 2: 0.02, 8: 0.04, 16: 0.02}
    points = [Point(n, x, known[n] * x if n in known else None) for n, x in xs.items()]
    filled = [Point(n, x, known.get(n, 0.04) * x) for n, x in xs.items()]
    assert fitted(points).sigma == fitted(filled).sigma
    assert fitted(points).sigma != fitted([Point(n, x) for n, x in xs.items()]).sigma


def test_without_errors_all_are_as_sure_relatively() -> None:
    xs = {1: 1.0, 2: 1.93, 4: 3.5, 8: 6.4, 16: 9.0}
    bare = fitted([Point(n, x) for n, x in xs.items()])
    alike = fitted([Point(n, x, 0.1 * x) for n, x in xs.items()])
    assert bare.sigma.value == pytest.approx(alike.sigma.value)
    assert bare.sigma.error == pytest.approx(alike.sigma.error)
    assert bare.residual_error is not None
    assert alike.residual_error == pytest.approx(10 * bare.residual_error)


@pytest.mark.parametrize("error", [0.0, 1e-12, math.nan, -1.0, math.inf])
def test_no_point_is_so_sure_that_the_others_don_t_count(error: float) -> None:
    points = [attrs.evolve(p, error=0.01 * p.throughput) for p in curve(DOUBLING, 0.05, 0.002)]
    points[1] = attrs.evolve(points[1], throughput=points[1].throughput * 1.02, error=error)
    assert fitted(points).throughput(16) == pytest.approx(points[-1].throughput, rel=0.03)


# --- how sure it is ------------------------------------------------------------------------------


def measured(rng: random.Random, sizes: Sequence[int], noise: float) -> list[Point]:
    """The law with sigma = 0.03, kappa = 0.002, measured with relative noise."""
    true = curve(sizes, 0.03, 0.002)
    xs = [(p.workers, p.throughput * (1 + rng.gauss(0, noise))) for p in true]
    return [Point(n, x, noise * x) for n, x in xs]


@pytest.mark.parametrize("sizes", [DOUBLING, (1, 2, 4, 8, 16, 32) * 2])
def test_95_percent_of_intervals_contain_the_truth(sizes: tuple[int, ...]) -> None:
    rng, runs = random.Random(91), 300
    true = law(0.03, 0.002)
    hits = dict.fromkeys(("sigma", "kappa", "gamma", "curve", "forecast", "doubling", "peak"), 0)
    n = max(sizes)
    for _ in range(runs):
        found = fitted(measured(rng, sizes, 0.02))
        again = true(2 * n) * (1 + rng.gauss(0, 0.02))
        peak = found.peak
        inside = {
            "sigma": (found.sigma, 0.03),
            "kappa": (found.kappa, 0.002),
            "gamma": (found.gamma, 1.0),
            "curve": (found.band([2 * n])[0], true(2 * n)),
            "forecast": (found.forecast(2 * n), again),
            "doubling": (found.doubling(), again / true(n)),
            "peak": (peak, math.sqrt(0.97 / 0.002)),
        }
        for name, (figure, value) in inside.items():
            hits[name] += figure is None or (figure.low or 0.0) <= value <= (
                figure.high or math.inf
            )
    # Three standard deviations of the binomial distribution are 3.8 %.
    assert {name: 0.912 <= hit / runs <= 0.988 for name, hit in hits.items()} == dict.fromkeys(
        hits, True
    ), hits


def test_a_peak_is_only_named_when_its_interval_ends() -> None:
    rng = random.Random(3)
    few = [fitted(measured(rng, DOUBLING, 0.1)) for _ in range(50)]
    many = [fitted(measured(rng, (1, 2, 4, 8, 16, 32, 64), 0.02)) for _ in range(50)]
    assert sum(found.peak is not None for found in few) < 10
    assert all(found.peak for found in many)
    for found in (*few, *many):
        assert (found.peak is not None) == bool(found.kappa.low)
        assert ("the throughput peaks at " in describe(found)) == (found.peak is not None)


def test_the_more_noise_the_less_sure() -> None:
    def width(noise: float) -> float:
        figure = fitted(measured(random.Random(5), DOUBLING, noise)).sigma
        assert figure.error is not None
        return figure.error

    assert width(0.005) < width(0.02) < width(0.08)


def test_a_forecast_is_less_sure_than_the_curve_and_less_so_farther_away() -> None:
    found = fitted(measured(random.Random(5), DOUBLING, 0.02))
    assert found.residual_error is not None
    for n in (1, 16, 32):
        noise = found.residual_error * 0.02 * found.throughput(n)
        (curve_error,) = (figure.error for figure in found.band([n]))
        assert curve_error is not None
        assert found.forecast(n).error == pytest.approx(math.hypot(curve_error, noise))
    shares = [(f.error or 0) / f.value for f in found.band([16, 32, 64])]
    assert shares == sorted(shares)


def test_a_forecast_with_equal_weights_has_as_many_requests_of_noise_everywhere() -> None:
    found = fitted(SPECSDM91, equal=True)
    for n in (1, 100):
        (curve_error,) = (figure.error for figure in found.band([n]))
        assert curve_error is not None
        assert found.residual_error is not None
        assert found.forecast(n).error == pytest.approx(
            math.hypot(curve_error, found.residual_error)
        )


def test_a_peak_s_interval_is_fieller_s() -> None:
    """At its ends, (1 - sigma) - N**2 kappa is just t standard errors from 0."""
    found = fitted(SPECSDM91, equal=True)
    assert found.peak
    assert found.covariance

    def distance(terms: Sequence[float], n: float) -> float:
        p, q, c = terms
        return (p - n * n * c) / (p + q)

    for n, side in ((found.peak.low, 1), (found.peak.high, -1)):
        assert n is not None
        at, gradient = distance(found.terms, n), []
        for i, term in enumerate(found.terms):
            moved = [v + 1e-6 * term * (i == j) for j, v in enumerate(found.terms)]
            gradient.append((distance(moved, n) - at) / (1e-6 * term))
        variance = sum(
            gradient[i] * found.covariance[i][j] * gradient[j] for i in range(3) for j in range(3)
        )
        assert at == pytest.approx(side * quantile(0.975, 4) * math.sqrt(variance), rel=1e-4)


def test_a_doubling_has_the_noise_of_a_measurement_with_twice_the_workers() -> None:
    found = fitted(measured(random.Random(6), (1, 2, 4, 8, 16, 32), 0.02))
    assert found.residual_error is not None
    # Without noise, the ratio's error is that of the curve's two places, which aren't independent.
    noise = found.residual_error * 0.02 * found.throughput(16) / found.throughput(8)
    quiet = attrs.evolve(found, relative_noise=0.0).doubling(8).error
    assert quiet is not None
    assert found.doubling(8).error == pytest.approx(math.hypot(quiet, noise))
    step = 1e-6
    assert found.covariance
    gradient = []
    for i, term in enumerate(found.terms):
        moved = [v + step * (term or 1e-3) * (i == j) for j, v in enumerate(found.terms)]
        other = attrs.evolve(found, terms=(moved[0], moved[1], moved[2]))
        gradient.append(
            (other.doubling(8).value - found.doubling(8).value) / (step * (term or 1e-3))
        )
    variance = sum(
        gradient[i] * found.covariance[i][j] * gradient[j] for i in range(3) for j in range(3)
    )
    assert quiet == pytest.approx(math.sqrt(variance), rel=1e-3)


def test_no_curve_more_than_doubles() -> None:
    found = fitted([Point(n, n * x) for n, x in zip(DOUBLING, (1, 1.1, 0.9, 1.1, 1), strict=True)])
    noise = found.t * found.relative_noise * found.throughput(32) / found.throughput(16)
    assert found.doubling().high == pytest.approx(2 + noise)


def test_a_limit_that_may_not_exist_has_no_upper_end() -> None:
    rng = random.Random(2)
    sure = fitted(measured(rng, (1, 2, 4, 8, 16, 32, 64), 0.005)).limit
    vague = [fitted(measured(rng, DOUBLING, 0.05)) for _ in range(20)]
    assert sure
    assert sure.low is not None
    assert sure.high is not None
    assert sure.low < 1 / 0.03 < sure.high
    for found in vague:
        if found.limit:
            assert found.limit.error is not None
            half = quantile(0.975, 2) * found.limit.error / found.limit.value
            assert found.limit.low == pytest.approx(found.limit.value / (1 + half))
            assert (found.limit.high is None) == (half >= 1)
    assert any(found.limit and found.limit.high is None for found in vague)


# --- too good to be true -------------------------------------------------------------------------


def test_superlinear() -> None:
    points = [Point(1, 0.8, 0.01), *(Point(n, float(n), 0.01 * n) for n in (2, 4, 8, 16))]
    found = fitted(points)
    assert found.superlinear == 2
    assert (
        "2 workers gave more than ideal: "
        "check warm-up, clocks and caches of the step with 1 worker" in describe(found)
    )
    assert "ideal:" not in describe(fitted(curve(DOUBLING, 0.05, 0.0)))


@pytest.mark.parametrize(
    ("gain", "error", "found"),
    [
        (0.04, 0.02, None),  # chance
        (0.04, 0.005, 2),
        (0.008, 1e-6, None),  # too little to matter
        (0.04, None, None),
        (0.06, None, 2),
    ],
)
def test_a_gain_above_ideal_is_a_finding_beyond_noise(
    gain: float, error: float | None, found: int | None
) -> None:
    x = 2 * (1 + gain)
    points = [Point(1, 1, error), Point(2, x, None if error is None else error * x)]
    assert superlinear(points) == found


def test_repeats_make_a_gain_surer() -> None:
    points = [Point(1, 1, 0.012), Point(2, 2.06, 0.024)]
    assert superlinear(points) is None
    assert superlinear(points * 4) == 2


def test_noise_alone_is_seldom_superlinear() -> None:
    rng = random.Random(7)
    found = sum(
        superlinear([Point(n, n * (1 + rng.gauss(0, 0.02)), n * 0.02) for n in DOUBLING])
        is not None
        for _ in range(2000)
    )
    assert found < 40


# --- words -------------------------------------------------------------------------------------


def test_the_sentence_that_a_person_would_write() -> None:
    points = [attrs.evolve(p, error=0.01 * p.throughput) for p in curve(DOUBLING, 0.025, 0.0002)]
    off = attrs.evolve(points[2], throughput=points[2].throughput * 0.995)
    found = fitted([*points[:2], off, *points[3:]])
    assert describe(found) == (
        "at 16 workers 30 % of ideal is lost: 27 contention, 3 coherency; the next doubling is "
        "predicted to give 1.46x [1.35-1.57]; no peak seen up to 16 workers"
    )


def test_the_line_of_parameters() -> None:
    assert parameters(fitted(SPECSDM91, equal=True)) == (
        "sigma 0.0277 [0.0024, 0.0531]  kappa 0.000104 [4.92e-05, 0.00016]  "
        "gamma 90.0/s [50.5/s, 129.5/s]"
    )
    assert "kappa 0 [0, " in parameters(fitted(curve(DOUBLING, 0.1, 0.0)))
    assert "at its bound" in parameters(fitted(curve(DOUBLING, 0.1, 0.0)))
    assert "[" not in parameters(fitted(curve((1, 2, 4), 0.1, 0.0)))


@pytest.mark.parametrize(
    ("sigma", "kappa", "said"),
    [
        (0.5, 0.0, "88 % of ideal is lost: 88 contention;"),
        (0.0, 0.01, "71 % of ideal is lost: 71 coherency;"),
        (1.0, 5.0, "more than 99 % of ideal is lost"),
    ],
)
def test_what_is_lost(sigma: float, kappa: float, said: str) -> None:
    assert said in describe(fitted(curve(DOUBLING, sigma, kappa)))


def test_what_is_not_known_is_said() -> None:
    noise = (1.0, 0.6, 1.3, 0.7, 1.2)
    found = fitted([Point(n, n * x) for n, x in zip(DOUBLING, noise, strict=True)])
    assert "too few steps, or too noisy ones, to predict the next doubling" in describe(found)
    falling = fitted([Point(n, x) for n, x in ((1, 1), (2, 2.2), (4, 2.1), (8, 2.4), (16, 1.6))])
    assert falling.peak is None
    assert "the throughput peaks before 16 workers, but where is not sure" in describe(falling)
