"""Student's t distribution and the regularised incomplete beta function it rests on.

Written out rather than taken from a library: it is all that the confidence intervals of a run
need, and libraries that have it are larger than the rest of the program.

Sources: W. H. Press et al., Numerical Recipes, 3rd ed., section 6.4 (continued fraction of the
incomplete beta function, evaluated by Lentz's method; also DLMF 8.17.22), and section 6.14.3
(Student's t by it).
"""

from __future__ import annotations

import math
from statistics import NormalDist

_TINY = 1e-300  # stands for a zero denominator in Lentz's method
_LARGE = 1e4  # from here on the log-gamma functions' difference loses too many digits
_NORMAL = 3e8  # from here on the normal distribution is closer than what rounding leaves
_MAX_TERMS = 10_000


def cdf(t: float, df: float) -> float:
    """Return the probability that Student's t doesn't exceed ``t``.

    Args:
        t: Any number.
        df: Degrees of freedom, above 0; need not be whole; ``math.inf`` is the normal
            distribution.

    Raises:
        ValueError: ``df`` isn't positive.
    """
    upper = _upper_tail(abs(t), df)
    return 1.0 - upper if t > 0 else upper


def quantile(p: float, df: float) -> float:
    """Return the ``t`` that Student's t doesn't exceed with probability ``p``.

    For a two-sided interval at confidence c, ``p`` is (1 + c) / 2.

    Args:
        p: Between 0 and 1, both excluded.
        df: Degrees of freedom, as for ``cdf``.

    Raises:
        ValueError: An argument is out of its range.
    """
    if not 0.0 < p < 1.0:
        raise ValueError(f"not a probability between 0 and 1: {p!r}")
    _check(df)
    if df >= _NORMAL:
        return NormalDist().inv_cdf(p)
    if p == 0.5:
        return 0.0
    t = _upper_quantile(min(p, 1.0 - p), df)
    return t if p > 0.5 else -t


def incomplete_beta(x: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function, I_x(a, b).

    It is also the binomial distribution's tail: the probability of at least k of n at chance x
    is I_x(k, n - k + 1) (DLMF 8.17.5).

    Args:
        x: From 0 to 1.
        a: Above 0.
        b: Above 0.
    """
    if x <= 0.0:
        return 0.0
    if x >= 1.0:
        return 1.0
    return _incomplete_beta(x, 1.0 - x, a, b)


def _incomplete_beta(x: float, y: float, a: float, b: float) -> float:
    """As above; ``y`` is 1 - x, which the caller may know more exactly than a subtraction."""
    if x > (a + 1.0) / (a + b + 2.0):  # where the fraction of the mirrored function is faster
        return 1.0 - _incomplete_beta(y, x, b, a)
    front = math.exp(a * _log(x, y) + b * _log(y, x) - _log_beta(a, b)) / a
    return front * _fraction(x, a, b)


def _log(x: float, rest: float) -> float:
    """The logarithm of ``x`` = 1 - ``rest``, exact also where ``x`` is close to 1."""
    return math.log1p(-rest) if rest < 0.5 else math.log(x)


def _fraction(x: float, a: float, b: float) -> float:
    """Evaluate the continued fraction of the incomplete beta function by Lentz's method."""
    c, d = 1.0, 1.0 / (1.0 - (a + b) * x / (a + 1.0) or _TINY)
    result = d
    for m in range(1, _MAX_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1.0 / (1.0 + term * d or _TINY)
            c = 1.0 + term / c or _TINY
            result *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return result


def _log_beta(a: float, b: float) -> float:
    small, large = min(a, b), max(a, b)
    if small == 0.5 and large > _LARGE:
        # Gamma(a + 1/2) / Gamma(a), asymptotically: DLMF 5.11.13; the next term is below 1e-17.
        ratio = 1.0 - 1 / (8 * large) + 1 / (128 * large**2) + 5 / (1024 * large**3)
        return 0.5 * math.log(math.pi / large) - math.log(ratio)
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _check(df: float) -> None:
    if not df > 0:
        raise ValueError(f"degrees of freedom must be positive, not {df!r}")


def _upper_tail(t: float, df: float) -> float:
    """The probability of more than ``t``, which isn't negative."""
    _check(df)
    if df >= _NORMAL:
        return 0.5 * math.erfc(t / math.sqrt(2.0))
    whole = df + t * t
    share = t * t / whole
    return 0.5 * _incomplete_beta(df / whole, share, df / 2, 0.5) if share else 0.5


def _density(t: float, df: float) -> float:
    log = -0.5 * math.log(df) - _log_beta(df / 2, 0.5) - (df + 1) / 2 * math.log1p(t * t / df)
    return math.exp(log)


def _upper_quantile(tail: float, df: float) -> float:
    """The ``t`` that is exceeded with probability ``tail``, below 1/2."""
    low, high = 0.0, 1.0
    while _upper_tail(high, df) > tail:
        low, high = high, 2.0 * high
    t = high
    for _ in range(200):  # Newton's steps; a bisection wherever one would leave the bracket
        excess = _upper_tail(t, df) - tail
        low, high = (t, high) if excess > 0 else (low, t)
        step = excess / _density(t, df)
        if abs(step) <= 1e-14 * t:
            break
        t = t + step if low < t + step < high else (low + high) / 2
    return t
