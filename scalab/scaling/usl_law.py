"""The fitted scalability law: its parameters and what follows from them, with intervals.

It is kept in the form

    1 / X(N) = p / N + q + c (N - 1)

where p = (1 - sigma) / gamma, q = sigma / gamma and c = kappa / gamma. Intervals are Student's t
with n - 3 degrees of freedom times the standard error, which for functions of p, q and c is found
by their gradient (the delta method: G. A. F. Seber and C. J. Wild, Nonlinear Regression, Wiley
1989, sections 2.1 and 5.1).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import attrs

from .least_squares import Matrix
from .usl_points import Point

Vector = Sequence[float]


@attrs.frozen
class NoFit:
    """That there is no law to be fitted."""

    reason: str
    """One line, for people."""


@attrs.frozen(kw_only=True)
class Ranged:
    """A figure with its 95 % interval, which is None if there are too few points for one."""

    value: float
    error: float | None = None
    """Standard error."""
    low: float | None = None
    high: float | None = None
    """None also where the interval has no upper end."""
    at_bound: bool = False
    """It is the least or the greatest that the law allows; the measurements may want it beyond."""


@attrs.frozen
class Loss:
    """Shares of the ideal throughput, N times that of one worker, that are lost."""

    contention: float
    coherency: float

    @property
    def total(self) -> float:
        """Both: 1 - efficiency."""
        return self.contention + self.coherency


@attrs.frozen(kw_only=True)
class Fit:
    """The law that is nearest to the measurements.

    The methods take any number of workers from 1 on, fractions included.
    """

    points: tuple[Point, ...]
    """By workers, ascending."""
    superlinear: int | None
    """The workers that gained most above ideal; None if none did. See ``superlinear``."""
    df: int
    """Degrees of freedom: points beyond the three parameters."""
    residual_error: float | None
    """Residual standard error; None without intervals.

    In units of the points' errors: much above 1, the law doesn't hold, or the errors are too small.
    Without any errors, a share of the throughput; with equal weights, requests per second.
    """
    scale: float
    """Requests per second that terms, covariance and constant noise are in units of."""
    terms: tuple[float, float, float]
    """p, q and c."""
    covariance: Matrix | None
    """Of p, q and c; None without intervals."""
    t: float
    """Student's t for the intervals."""
    relative_noise: float
    """Standard deviation of a measurement, as a share of the throughput ..."""
    constant_noise: float
    """... or, with equal weights, in units of the scale; the other one is 0."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """The numbers of workers measured, ascending."""
        return tuple(sorted({point.workers for point in self.points}))

    @property
    def sigma(self) -> Ranged:
        """Contention: the share of a request for which a worker needs what all share."""
        p, q, _ = self.terms
        value, gradient = self._per_one(q, (0.0, 1.0, 0.0))
        return self._ranged(value, gradient, most=1.0, at_bound=not (p and q))

    @property
    def kappa(self) -> Ranged:
        """Coherency: what a worker loses to each other one, as a share of a request."""
        c = self.terms[2]
        value, gradient = self._per_one(c, (0.0, 0.0, 1.0))
        return self._ranged(value, gradient, at_bound=not c)

    @property
    def gamma(self) -> Ranged:
        """The throughput of one worker, requests per second."""
        return self._throughput(1.0)

    @property
    def limit(self) -> Ranged | None:
        """Requests per second that contention alone never lets exceed: gamma / sigma = 1 / q.

        None if there is no contention. The interval has no upper end if there may be none.
        """
        q, gradient = self.terms[1], (0.0, 1.0, 0.0)
        if not q:
            return None
        limit, error = self.scale / q, self._error(gradient)
        if error is None:
            return Ranged(value=limit)
        least, most = q - self.t * error, q + self.t * error
        high = self.scale / least if least > 0.0 else None
        return Ranged(value=limit, error=limit / q * error, low=self.scale / most, high=high)

    @property
    def peak(self) -> Ranged | None:
        """The workers with the most throughput, N* = sqrt((1 - sigma) / kappa).

        None unless its interval is finite, which is when that of kappa is above 0. It is the root
        of the ratio's interval by Fieller's theorem: all r for which (1 - sigma) - r kappa isn't
        further from 0 than t times its standard error (E. C. Fieller, Some problems in interval
        estimation, J. R. Statist. Soc. B 16 (1954), 175-185).
        """
        kappa, of_kappa = self._per_one(self.terms[2], (0.0, 0.0, 1.0))
        serial, of_serial = self._per_one(self.terms[0], (1.0, 0.0, 0.0))  # 1 - sigma
        if self.covariance is None or not kappa:
            return None
        # a r**2 - 2 b r + d <= 0
        a = kappa * kappa - self.t**2 * self._covariance(of_kappa, of_kappa)
        b = serial * kappa - self.t**2 * self._covariance(of_serial, of_kappa)
        d = serial * serial - self.t**2 * self._covariance(of_serial, of_serial)
        if a <= 0.0:
            return None
        root = math.sqrt(max(b * b - a * d, 0.0))
        value, low, high = (
            math.sqrt(max(ratio, 1.0)) for ratio in (serial / kappa, (b - root) / a, (b + root) / a)
        )
        return Ranged(value=value, low=low, high=high)

    def throughput(self, workers: float) -> float:
        """Return the law's requests per second."""
        return self.scale / self._time(workers)

    def efficiency(self, workers: float) -> float:
        """Return the law's share of the ideal throughput: X(N) / (N X(1))."""
        return self._time(1.0) / workers / self._time(workers)

    def loss(self, workers: float) -> Loss:
        """Return what is lost of the ideal throughput, by its cause.

        With D = 1 + sigma (N - 1) + kappa N (N - 1), contention takes sigma (N - 1) / D and
        coherency kappa N (N - 1) / D; what is left is the efficiency.
        """
        _, q, c = self.terms
        time, others = self._time(workers), workers - 1.0
        return Loss(q * others / workers / time, c * others / time)

    def band(self, workers: Iterable[float]) -> list[Ranged]:
        """Return the curve, requests per second, and where the true one may run at each place."""
        return [self._throughput(n) for n in workers]

    def forecast(self, workers: float) -> Ranged:
        """Return the requests per second that a measurement would give.

        Its interval is wider than the curve's, by the measurement's own noise.
        """
        return self._throughput(workers, noise=self._noise(workers))

    def doubling(self, workers: float | None = None) -> Ranged:
        """Return by how much a measurement with twice the workers would exceed the curve now.

        That is, the ratio of throughputs. The curve can't more than double, so above 2 the
        interval has only noise.

        Args:
            workers: Those to be doubled; the most measured if None.
        """
        n = float(self.sizes[-1] if workers is None else workers)
        time = self._time(2.0 * n)
        ratio = self._time(n) / time
        gradient = [(a - ratio * b) / time for a, b in zip(row_of(n), row_of(2.0 * n), strict=True)]
        noise = self._noise(2.0 * n) / self.throughput(n)
        most = 2.0 + self.t * noise if noise else 2.0
        return self._ranged(ratio, gradient, noise=noise, most=most)

    def _time(self, workers: float) -> float:
        """1 / X in units of the scale."""
        return math.fsum(t * x for t, x in zip(self.terms, row_of(workers), strict=True))

    def _noise(self, workers: float) -> float:
        return self.relative_noise * self.throughput(workers) + self.constant_noise * self.scale

    def _per_one(self, term: float, gradient: Vector) -> tuple[float, Vector]:
        """A term as a share of 1 / X(1), p + q, and that share's gradient."""
        one = self.terms[0] + self.terms[1]
        share = term / one
        return share, [
            (x - share * y) / one for x, y in zip(gradient, (1.0, 1.0, 0.0), strict=True)
        ]

    def _throughput(self, workers: float, noise: float = 0.0) -> Ranged:
        x = self.throughput(workers)
        slope = -x / self._time(workers)
        return self._ranged(x, [slope * part for part in row_of(workers)], noise=noise)

    def _covariance(self, left: Vector, right: Vector) -> float:
        """Of two functions of the terms, by their gradients."""
        return math.fsum(
            x * math.fsum(v * y for v, y in zip(row, right, strict=True))
            for x, row in zip(left, self.covariance or (), strict=True)
        )

    def _error(self, gradient: Vector) -> float | None:
        if self.covariance is None:
            return None
        return math.sqrt(max(self._covariance(gradient, gradient), 0.0))

    def _ranged(
        self,
        value: float,
        gradient: Vector,
        *,
        noise: float = 0.0,
        most: float = math.inf,
        at_bound: bool = False,
    ) -> Ranged:
        error = self._error(gradient)
        if error is None:
            return Ranged(value=value, at_bound=at_bound)
        error = math.hypot(error, noise)
        low, high = max(value - self.t * error, 0.0), min(value + self.t * error, most)
        return Ranged(value=value, error=error, low=low, high=high, at_bound=at_bound)


def row_of(workers: float) -> tuple[float, float, float]:
    """Return what p, q and c are multiplied by in 1 / X."""
    return 1.0 / workers, 1.0, workers - 1.0
