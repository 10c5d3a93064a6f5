"""When to send the next request: the pace of a load, without I/O.

A pacer only says how many requests may be sent at a given time. Whoever sends them asks ``take``,
waits until ``next_due`` or until something ends, says so by ``finished``, and asks again.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Protocol


class Pacer(Protocol):
    """Decides how many requests may be sent, and when.

    All times are seconds of one monotonic clock, passed in by the caller.
    """

    @property
    def in_flight(self) -> int:
        """Requests taken and not yet finished."""

    @property
    def exhausted(self) -> bool:
        """Whether all requests of the run were taken, so that there will be no more."""

    @property
    def parallel(self) -> int:
        """Most requests in flight, as now in force."""

    def take(self, now: float) -> int:
        """Return how many requests to send now; they are in flight from here on."""

    def finished(self, now: float, n: int = 1, pause_s: float = 0.0) -> None:
        """Say that ``n`` requests in flight ended; what they make room for rests ``pause_s``."""

    def next_due(self, now: float) -> float | None:
        """Return when ``take`` will next return more than 0 if nothing finishes until then.

        ``now`` if that is at once, None if it won't.
        """

    def set_parallel(self, n: int, now: float) -> int:
        """Change the most requests in flight; return what is in force, after clamping."""


class ClosedLoop:
    """A closed loop: so many lanes, each of which sends its next request after the last one ended.

    A lane is either in flight or idle, and an idle one has a time from which on it may send. There
    are as many idle lanes as ``parallel`` leaves beside those in flight: lowering it removes idle
    ones, those that would have rested longest first, and lets what is in flight finish; raising
    it adds lanes that may send at once.

    Args:
        parallel: Lanes at the start; clamped as by ``set_parallel``. The first requests may be
            sent at once.
        parallel_max: Most lanes that can be asked for.
        delay_s: Seconds that a lane rests between the end of a request and the next.
        now: The time.
        requests: How many to send in all; None = without end.

    Raises:
        ValueError: A number is negative.
    """

    def __init__(
        self,
        parallel: int,
        parallel_max: int,
        delay_s: float,
        now: float,
        requests: int | None = None,
    ) -> None:
        if parallel_max < 0 or delay_s < 0 or (requests is not None and requests < 0):
            raise ValueError("parallel_max, delay_s and requests must not be negative")
        self.parallel_max = parallel_max
        self.delay_s = delay_s
        self.in_flight = 0
        self.parallel = 0
        self._left = requests
        self._idle: list[float] = []
        """A heap: when each idle lane may send."""
        self.set_parallel(parallel, now)

    def __repr__(self) -> str:
        return f"<ClosedLoop {self.in_flight} of {self.parallel} in flight, {self._left} left>"

    @property
    def exhausted(self) -> bool:
        """Whether all requests of the run were taken, so that there will be no more."""
        return self._left == 0

    def take(self, now: float) -> int:
        """Return how many requests to send now; they are in flight from here on."""
        idle = self._idle
        most = len(idle) if self._left is None else min(len(idle), self._left)
        n = 0
        while n < most and idle[0] <= now:
            heappop(idle)
            n += 1
        self.in_flight += n
        if self._left is not None:
            self._left -= n
        return n

    def finished(self, now: float, n: int = 1, pause_s: float = 0.0) -> None:
        """Say that ``n`` requests in flight ended; their lanes rest, or are no longer wanted.

        They rest for ``delay_s``, or for ``pause_s`` if that is longer.

        Raises:
            ValueError: There are fewer in flight.
        """
        if not 0 <= n <= self.in_flight:
            raise ValueError(f"{n} finished of {self.in_flight} in flight")
        self.in_flight -= n
        self._add_lanes(now + max(self.delay_s, pause_s))

    def next_due(self, now: float) -> float | None:
        """Return when ``take`` will next return more than 0 if nothing finishes until then."""
        return max(self._idle[0], now) if self._idle and not self.exhausted else None

    def set_parallel(self, n: int, now: float) -> int:
        """Change the number of lanes; return what is in force: ``n`` within 0..``parallel_max``."""
        self.parallel = min(max(n, 0), self.parallel_max)
        room = max(self.parallel - self.in_flight, 0)
        if len(self._idle) > room:
            self._idle = sorted(self._idle)[:room]  # a sorted list is a heap
        self._add_lanes(now)
        return self.parallel

    def _add_lanes(self, due: float) -> None:
        """Fill up the idle lanes with such as may send from ``due`` on."""
        for _ in range(self.parallel - self.in_flight - len(self._idle)):
            heappush(self._idle, due)
