"""When requests arrive in an open loop: one by one, at times that no reply can change."""

from __future__ import annotations

import math
import random
from typing import Final, Protocol

from .curve import Curve

MOST_SKIPPED: Final = 100_000
"""Arrivals at random that are skipped at once at most: some ten milliseconds' work."""


class Arrivals(Protocol):
    """Times of requests, in order. Seconds of the curve's clock."""

    @property
    def curve(self) -> Curve:
        """The rate over time."""

    @property
    def next_at(self) -> float | None:
        """When the next request arrives; None if the rate leaves room for none any more."""

    def pop(self) -> float:
        """Return when the next request arrives, and go on to the one after it.

        Raises:
            ValueError: There is none.
        """

    def skip_until(self, t: float) -> int:
        """Leave out arrivals before ``t``; return how many.

        After very many it may return early, with ``next_at`` still before ``t``: call it again.
        """

    def change(self, now: float, level: float) -> None:
        """Set the rate per second from ``now`` on; arrivals before ``now`` stay as they are.

        One at ``now`` itself belongs to the new rate: if that is 0, it waits until it is raised.
        """


class Constant:
    """Arrivals that are evenly spaced while the rate is: the i-th is where the curve passes i."""

    def __init__(self, curve: Curve) -> None:
        self.curve = curve
        self.index = 0
        """Of the next arrival."""
        self.next_at = curve.passing(0)

    def pop(self) -> float:
        """Return when the next request arrives, and go on to the one after it."""
        at = self.next_at
        if at is None:
            raise ValueError("there are no more arrivals")
        self.index += 1
        self.next_at = self.curve.passing(self.index)
        return at

    def skip_until(self, t: float) -> int:
        """Leave out arrivals before ``t``, however many, and return how many."""
        if self.next_at is None or self.next_at >= t:
            return 0
        first, passing = self.index, self.curve.passing
        index = max(first, math.ceil(self.curve.cumulative(t)))  # but for rounding
        while index > first and not _is_before(passing(index - 1), t):
            index -= 1
        while _is_before(passing(index), t):
            index += 1
        self.index, self.next_at = index, passing(index)
        return index - first

    def change(self, now: float, level: float) -> None:
        """Set the rate from ``now`` on; the time since the last arrival counts for the next."""
        self.curve = self.curve.changed(now, level)
        self.next_at = self.curve.passing(self.index)


class Poisson:
    """Arrivals at random: an inhomogeneous Poisson process with the curve as its intensity.

    Arrivals of a process with the constant rate 1, whose gaps are exponentially distributed, are
    put where the curve passes them (time transformation: E. Çinlar, Introduction to Stochastic
    Processes, 1975, ch. 4.7). So the same seed makes the same arrivals, and a change of the rate
    stretches or squeezes those to come.

    Args:
        curve: Rate over time.
        seed: For the random numbers.
    """

    def __init__(self, curve: Curve, seed: int) -> None:
        self.curve = curve
        # A stream of its own: what else takes the run's seed must not follow the arrivals.
        self._random = random.Random(f"arrivals {seed}").random  # noqa: S311 - reproducible
        self._x = self._gap()
        self.next_at = curve.passing(self._x)

    def _gap(self) -> float:
        # Spelt out, because only random() itself is promised to stay the same in all Pythons.
        return -math.log(1.0 - self._random())

    def pop(self) -> float:
        """Return when the next request arrives, and go on to the one after it."""
        at = self.next_at
        if at is None:
            raise ValueError("there are no more arrivals")
        self._x += self._gap()
        following = self.curve.passing(self._x)
        self.next_at = None if following is None else max(following, at)  # but for rounding
        return at

    def skip_until(self, t: float) -> int:
        """Leave out arrivals before ``t``, a bounded number of them; return how many."""
        if self.next_at is None or self.next_at >= t:
            return 0
        most = self.curve.cumulative(t)
        n = 0
        while n < MOST_SKIPPED and (self._x < most or n == 0):
            self._x += self._gap()
            n += 1
        self.next_at = self.curve.passing(self._x)
        return n

    def change(self, now: float, level: float) -> None:
        """Set the rate from ``now`` on."""
        self.curve = self.curve.changed(now, level)
        self.next_at = self.curve.passing(self._x)


def _is_before(at: float | None, t: float) -> bool:
    return at is not None and at < t
