"""How late the event loop is: the first sign that one process is not enough."""

from __future__ import annotations

from bisect import bisect_left

import trio

LAG_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)


class LagMonitor:
    """Measures by how much a timer fires late.

    Attributes:
        counts: Per bucket of ``LAG_BUCKETS_S``, not cumulated; the last is for what is longer.
        sum_s: All lateness, in seconds.
        max_s: The longest, likewise.
    """

    def __init__(self, every_s: float = 0.25) -> None:
        self.counts = [0] * (len(LAG_BUCKETS_S) + 1)
        self.sum_s = 0.0
        self.max_s = 0.0
        self._every_s = every_s

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            due = trio.current_time() + self._every_s
            await trio.sleep_until(due)
            late_s = max(trio.current_time() - due, 0.0)
            self.counts[bisect_left(LAG_BUCKETS_S, late_s)] += 1
            self.sum_s += late_s
            self.max_s = max(self.max_s, late_s)
