"""Shares of requests, such as those that failed, and how sure their difference is."""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import NormalDist

import attrs


@attrs.frozen
class Share:
    """A share of requests."""

    p: float
    """From 0 to 1; 0 also when there were no requests."""
    n: int
    """Requests."""
    effect: float = 1.0
    """The design effect: so many requests tell as much as one independent request; 1 or more."""

    @classmethod
    def of(cls, batches: Iterable[tuple[int, int]]) -> Share:
        """Find the share over a run's batches.

        What befalls requests comes in bursts. By as much as the batches' shares vary more than
        those of independent requests would, requests count for less: J. N. K. Rao, A. J. Scott,
        A simple method for the analysis of clustered binary data, Biometrics 48 (1992), 577-585.

        Args:
            batches: (requests that it befell, requests) of each.
        """
        pairs = [(hit, n) for hit, n in batches if n]
        n = sum(n for _, n in pairs)
        p = sum(hit for hit, _ in pairs) / n if n else 0.0
        if not 0 < p < 1 or len(pairs) < 2:
            return cls(p, n)
        squares = sum((hit - n * p) ** 2 / n for hit, n in pairs)
        return cls(p, n, max(squares / (p * (1 - p)) / (len(pairs) - 1), 1.0))

    def wilson(self, z: float, effect: float) -> tuple[float, float]:
        """Return Wilson's score interval, ``z`` standard errors to each side."""
        n = self.n / effect
        centre = self.p + z * z / (2 * n)
        half = z * math.sqrt(self.p * (1 - self.p) / n + (z / (2 * n)) ** 2)
        whole = 1 + z * z / n
        return max((centre - half) / whole, 0.0), min((centre + half) / whole, 1.0)


def difference(a: Share, b: Share, confidence: float) -> tuple[float, float]:
    """Return the confidence interval of b - a.

    Newcombe's interval, made of two Wilson intervals, holds also where nothing was hit: R. G.
    Newcombe, Interval estimation for the difference between independent proportions, Statistics
    in Medicine 17 (1998), 873-890, method 10. Of the two, the one with larger bursts tells how
    large they may be in both.

    Args:
        a: Of one request or more.
        b: Likewise.
        confidence: Such as 0.95.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    effect = max(a.effect, b.effect)
    (a_low, a_high), (b_low, b_high) = a.wilson(z, effect), b.wilson(z, effect)
    low = b.p - a.p - math.hypot(b.p - b_low, a_high - a.p)
    high = b.p - a.p + math.hypot(b_high - b.p, a.p - a_low)
    return low, high
