"""What happens per second just now, for live views."""

from __future__ import annotations

from typing import Final


class RecentRate:
    """Events per second over about the last two seconds, in bins of a tenth.

    Args:
        now: Seconds of the clock; there were no events before.
    """

    BINS_PER_S: Final = 10
    BINS: Final = 20

    def __init__(self, now: float) -> None:
        self._start = now
        self._counts = [0] * self.BINS
        self._enter(int(now * self.BINS_PER_S))

    def add(self, now: float) -> None:
        """Count one event."""
        if now >= self._until:
            self._advance(now)
        self._counts[self._slot] += 1

    def rate(self, now: float) -> float:
        """Return events per second, up to ``now``."""
        self._advance(now)
        oldest = (self._bin - self.BINS + 1) / self.BINS_PER_S
        span = now - max(oldest, self._start)
        return sum(self._counts) / max(span, 1 / self.BINS_PER_S)

    def _enter(self, current: int) -> None:
        self._bin = current  # counted from the clock's zero
        self._slot = current % self.BINS
        self._until = (current + 1) / self.BINS_PER_S

    def _advance(self, now: float) -> None:
        current = int(now * self.BINS_PER_S)
        if current <= self._bin:
            return
        for passed in range(self._bin + 1, min(current, self._bin + self.BINS) + 1):
            self._counts[passed % self.BINS] = 0
        self._enter(current)
