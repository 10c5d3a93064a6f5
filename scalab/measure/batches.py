"""Confidence intervals by batch means, in bounded memory.

Neighbouring completions depend on each other: a lane sends its next request when the last one is
answered. So their spread tells nothing about how sure the mean is. Batches that are long against
a request hardly depend on each other, and theirs does (the method of batch means: A. M. Law,
Simulation Modeling and Analysis, 5th ed., section 9.5.3).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

import attrs

from .student import quantile

MAX_BATCHES: Final = 64
"""Batches kept; when there are more, neighbours are merged in pairs."""
MIN_BATCHES: Final = 5
"""Fewer say nothing about how sure a figure is."""
MIN_COUNT: Final = 10
"""Fewer completions, likewise."""
SHORTEST_S: Final = 1e-6
"""Seconds; stretches shorter than this have no rate, and are left out."""
CONFIDENCE: Final = 0.95


@attrs.frozen
class Estimate:
    """A figure, and how sure it is."""

    mean: float
    error: float | None
    """Standard error of the mean; None when it is unknown."""
    low: float | None
    """The confidence interval; None when it is unknown."""
    high: float | None
    batches: float
    """Independent values that the interval rests on; its degrees of freedom are one less."""
    confidence: float

    @property
    def known(self) -> bool:
        """Whether there is a confidence interval: the window was long enough for one."""
        return self.error is not None

    @property
    def half_width_share(self) -> float | None:
        """Half of the interval's width over the mean: 0.02 is 2 %; None when it is unknown."""
        if self.low is None or self.high is None or not self.mean:
            return None
        return (self.high - self.low) / 2 / self.mean


class Pool:
    """Rows of figures over time, summed by stretches so that there are never many of them.

    Every row is a stretch: its duration and whatever was counted in it. At ``MAX_BATCHES``, each
    two neighbours become one, and from then on as many rows go into one as make up its length.
    """

    def __init__(self) -> None:
        self._rows: list[tuple[float, ...]] = []
        self._per_row = 1  # rows added that make a row kept
        self._in_last = 0  # of them, in the last row kept

    def add(self, row: tuple[float, ...]) -> None:
        """Append a row, all as long as each other, unless its duration is next to nothing."""
        if not row[0] >= SHORTEST_S:
            return
        if self._rows and self._in_last < self._per_row:
            self._rows[-1] = _sums((self._rows[-1], row))
            self._in_last += 1
            return
        if len(self._rows) >= MAX_BATCHES:
            self._rows = [_sums(pair) for pair in zip(*[iter(self._rows)] * 2, strict=True)]
            self._per_row *= 2
        self._rows.append(row)
        self._in_last = 1

    def rows(self) -> list[tuple[float, ...]]:
        """Return the rows kept, in order; the last one may be shorter than the others."""
        return list(self._rows)


class Batches:
    """Completions over time, to tell how sure the throughput is."""

    def __init__(self) -> None:
        self._pool = Pool()

    def add(self, duration_s: float, count: int) -> None:
        """Append an interval, such as a second.

        Args:
            duration_s: Its length; one without a length is left out.
            count: Completions in it.
        """
        self._pool.add((duration_s, float(count)))

    def estimate(self, confidence: float = CONFIDENCE, min_batch_s: float = 0.0) -> Estimate:
        """Return the throughput, per second; see ``rate`` for the arguments."""
        return rate(self._pool.rows(), confidence, min_batch_s)


def rate(
    rows: Sequence[tuple[float, ...]], confidence: float = CONFIDENCE, min_batch_s: float = 0.0
) -> Estimate:
    """Return the rate per second of what was counted, with its confidence interval.

    With counts c_i in durations d_i the rate is R = sum(c) / sum(d). A count's variance grows as
    its duration, so sum(d_i * (c_i / d_i - R)**2) / (k - 1) / sum(d) is the square of R's error,
    with k - 1 degrees of freedom: see ``mean``, with durations as weights.

    Batches can't see what the window's two ends cut off. A periodic process of which a window
    holds W periods shows either the whole number below or above W, so its error is up to half a
    period, though all batches may be alike; the error is never taken to be less than that, nor
    than half a completion.

    Args:
        rows: (duration in seconds, count, ...), in order; those without a length are left out.
        confidence: Of the interval, such as 0.95.
        min_batch_s: Neighbours are pooled until each batch lasts this long, but not to fewer
            than ``MIN_BATCHES``. Give twice the mean time for which a request keeps a worker
            busy (run + overhead): half of it counts as the period.

    Returns:
        The estimate; without an interval when there are fewer than ``MIN_BATCHES`` rows or
        ``MIN_COUNT`` completions, or the window is shorter than ``MIN_BATCHES`` periods.
    """
    rows = pooled([row for row in rows if row[0] >= SHORTEST_S], min_batch_s)
    found = mean([(row[1] / row[0], row[0]) for row in rows], confidence)
    duration_s = sum(row[0] for row in rows)
    count = sum(row[1] for row in rows)
    period_s = min_batch_s / 2
    if found.error is None or count < MIN_COUNT or duration_s < MIN_BATCHES * period_s:
        return attrs.evolve(found, error=None, low=None, high=None)
    unseen = max(1.0, found.mean * period_s) / 2 / duration_s
    return _estimate(found.mean, max(found.error, unseen), found.batches, confidence)


def combined(parts: Sequence[tuple[Estimate, float]], confidence: float = CONFIDENCE) -> Estimate:
    """Return the rate over several stretches that were at different levels, such as stages.

    What they differ by is no uncertainty. So each is estimated by itself, and the error is that of
    the weighted mean: sum(w_i**2 * e_i**2), w_i being shares of the time; its degrees of freedom
    are Welch's and Satterthwaite's (stratified sampling: W. G. Cochran, Sampling Techniques, 3rd
    ed., section 5.4).

    Args:
        parts: Each stretch's rate, and its duration in seconds; one at least.
        confidence: Of the interval.
    """
    whole_s = math.fsum(duration_s for _, duration_s in parts)
    shares = [duration_s / whole_s for _, duration_s in parts]
    middle = math.fsum(w * part.mean for w, (part, _) in zip(shares, parts, strict=True))
    squares = [
        None if part.error is None else (w * part.error) ** 2
        for w, (part, _) in zip(shares, parts, strict=True)
    ]
    known = [square for square in squares if square is not None]
    batches = math.fsum(part.batches for part, _ in parts)
    if len(known) < len(parts):
        return Estimate(middle, None, None, None, batches, confidence)
    error = math.sqrt(math.fsum(known))
    freedom = math.fsum(
        square**2 / (part.batches - 1) for square, (part, _) in zip(known, parts, strict=True)
    )
    df = error**4 / freedom if freedom else math.inf
    half = quantile((1 + confidence) / 2, df) * error
    return Estimate(middle, error, max(middle - half, 0.0), middle + half, df + 1, confidence)


def mean(values: Sequence[tuple[float, float]], confidence: float = CONFIDENCE) -> Estimate:
    """Return the mean of batches' values, with its confidence interval.

    With values v_i of weights w_i, whose variances are as 1 / w_i, the mean is
    M = sum(w * v) / sum(w), and sum(w_i * (v_i - M)**2) / (k - 1) / sum(w) is the square of its
    error: weighted least squares for a constant. With equal weights, it is the usual s**2 / k.
    Where neighbours are alike, k values tell less: see ``independent``.

    Args:
        values: (value, weight), one per batch, in order; those of weight 0 are left out.
        confidence: Of the interval, such as 0.95.
    """
    values = [(value, weight) for value, weight in values if weight > 0]
    total = sum(weight for _, weight in values)
    centre = sum(value * weight for value, weight in values) / total if values else 0.0
    n = len(values)
    if n < MIN_BATCHES:
        return Estimate(centre, None, None, None, n, confidence)
    residuals = [math.sqrt(weight) * (value - centre) for value, weight in values]
    squares = sum(residual**2 for residual in residuals)
    n_like = max(independent(residuals), 2.0)
    error = math.sqrt(squares / (n - 1) / total * n / n_like)
    return _estimate(centre, error, n_like, confidence)


def independent(residuals: Sequence[float]) -> float:
    """Return how many independent residuals tell as much as these.

    That is n (1 - r) / (1 + r), where r is the correlation of a residual with its neighbour, if
    it is positive: B. D. Santer et al., Statistical significance of trends, J. Geophys. Res. 105
    (2000), 7337-7356.
    """
    n = len(residuals)
    squares = sum(residual * residual for residual in residuals)
    if not squares:
        return n
    r = sum(a * b for a, b in pairwise(residuals)) / squares
    return n * min((1 - r) / (1 + r), 1.0)


def pooled(rows: Sequence[tuple[float, ...]], min_batch_s: float) -> list[tuple[float, ...]]:
    """Sum neighbours so that each batch lasts ``min_batch_s``, but not to too few of them.

    Args:
        rows: (duration in seconds, ...), in order.
        min_batch_s: The least length, in seconds, of a batch on the average.
    """
    duration_s = sum(row[0] for row in rows)
    if not duration_s:
        return list(rows)
    per_batch = math.ceil(min_batch_s / duration_s * len(rows) - 1e-9)
    return split(rows, max(len(rows) // max(per_batch, 1), MIN_BATCHES))


def split(rows: Sequence[tuple[float, ...]], parts: int) -> list[tuple[float, ...]]:
    """Sum neighbours to ``parts`` batches of nearly as many rows each, if there are as many."""
    n = len(rows)
    parts = min(parts, n)
    return [_sums(rows[i * n // parts : (i + 1) * n // parts]) for i in range(parts)]


def _sums(rows: Iterable[tuple[float, ...]]) -> tuple[float, ...]:
    return tuple(map(sum, zip(*rows, strict=True)))


def _estimate(centre: float, error: float, n: float, confidence: float) -> Estimate:
    half = quantile((1 + confidence) / 2, n - 1) * error
    return Estimate(centre, error, max(centre - half, 0.0), centre + half, n, confidence)
