"""Which of several queues the next request goes to."""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Protocol

from .units import exact


class Chooser(Protocol):
    """Chooses one of several by weight."""

    def pick(self) -> int:
        """Return the index of the one that is next."""


def make_chooser(weights: Sequence[float], seed: int | None = None) -> Chooser:
    """Return what chooses by ``weights``: in turn, or at random if there is a seed.

    Args:
        weights: One for each to choose from; any positive numbers.
        seed: For the random numbers of arrivals at random.

    Raises:
        ValueError: There are no weights, or one is not positive and finite.
    """
    if not weights or not all(0 < weight < math.inf for weight in weights):
        raise ValueError("weights must be positive, and there must be one at least")
    if len(weights) == 1:
        return OnlyOne()
    return InTurn(weights) if seed is None else AtRandom(weights, seed)


class OnlyOne:
    """There is nothing to choose."""

    def pick(self) -> int:
        """Return 0."""
        return 0


class InTurn:
    """Smooth weighted round robin, as nginx chooses among servers.

    Each is owed its weight at every pick; the one that is owed most is picked, and pays the weights
    of all. Weights are taken as integers, so nothing is rounded and the order repeats exactly.

    After any number of picks, with m to choose from, each was picked at most 1 - 1/m times more
    than its share, and at most 1/2 + 1/3 + … + 1/m times less. More: what is owed sums up to 0, so
    the one picked is owed at least the mean, 1/m of a pick, before it pays one. Less: if the j that
    are owed most are owed a_j on average, then a_j <= a_(j+1) + 1/(j+1), since a pick outside of
    them is one that was owed no less; and a_m = 0. (The emptying game of cups.)
    """

    def __init__(self, weights: Sequence[float]) -> None:
        fractions = [exact(weight) for weight in weights]
        common = math.lcm(*(fraction.denominator for fraction in fractions))
        self._weights = [int(fraction * common) for fraction in fractions]
        self._total = sum(self._weights)
        self._owed = [0] * len(weights)

    def pick(self) -> int:
        """Return the index of the one that is owed most; of equals the first."""
        owed = self._owed
        most, best = -1, 0
        for i, weight in enumerate(self._weights):
            now_owed = owed[i] = owed[i] + weight
            if now_owed > most:
                most, best = now_owed, i
        owed[best] = most - self._total
        return best


class AtRandom:
    """Independent random choices, so that each queue's own arrivals are a Poisson process, too."""

    def __init__(self, weights: Sequence[float], seed: int) -> None:
        # A stream of its own, else short gaps between arrivals would belong to the first queue.
        self._random = random.Random(f"queues {seed}").random  # noqa: S311 - reproducible
        *self._bounds, self._total = accumulate(weights)

    def pick(self) -> int:
        """Return an index at random."""
        return bisect_right(self._bounds, self._random() * self._total)
