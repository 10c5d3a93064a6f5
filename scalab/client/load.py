"""The load that a client makes: when to send, and what became of it.

Both kinds of connection (session.py, classic.py) are driven by this object, and the control port
changes it while they run.
"""

from __future__ import annotations

import trio

from scalab.measure.pacing import ClosedLoop
from scalab.measure.statistics import Statistics
from scalab.measure.tally import Tally, outcome_of
from scalab.protocol.messages import REJECTED, Reply, Request

from .metrics import Totals
from .settings import ClientSettings

PAUSE_AFTER_REJECTION_S = 0.1
"""A full queue gains nothing from being asked again at once."""


class Load:
    """A closed loop of requests, and its tally."""

    def __init__(self, settings: ClientSettings) -> None:
        now = trio.current_time()
        self.settings = settings
        self.queue = settings.queue
        self.parallel_max = settings.most_parallel
        self.tally = Tally(now)
        self.totals = Totals()
        self.connections = 0
        self._pacer = ClosedLoop(
            parallel=settings.parallel,
            parallel_max=self.parallel_max,
            delay_s=settings.delay_s,
            now=now,
            requests=settings.requests or None,
        )
        self._parallel = settings.parallel
        self._changed = trio.Event()
        self._ended = trio.Event()
        self.closing = False
        """No more requests are sent."""

    # --- for the connection ------------------------------------------------------------------

    def take(self) -> int:
        """Return how many requests are to be sent now; they count as sent."""
        if self.closing:
            return 0
        n = self._pacer.take(trio.current_time())
        if n:
            self.tally.sent(n)
            self.totals.sent += n
        return n

    def request(self, request_id: str = "") -> Request:
        """Return a request to send."""
        settings = self.settings
        return Request(settings.queue, list(settings.args), settings.limit_s, request_id)

    def completed(self, reply: Reply, total_s: float, now: float) -> None:
        """Count a reply, ``total_s`` seconds after its request was first sent."""
        outcome = outcome_of(reply)
        self.tally.completed(reply, total_s, now)
        self.totals.ended[outcome] += 1
        self.totals.total_s += total_s
        self.totals.run_s += reply.runtime_s
        self._finished(now, PAUSE_AFTER_REJECTION_S if outcome == REJECTED else 0.0)

    def dropped(self, kind: str, error: str, now: float) -> None:
        """Count a request that will never be answered."""
        self.tally.dropped(kind, error, now)
        self.totals.ended[kind] += 1
        self._finished(now)

    def _finished(self, now: float, pause_s: float = 0.0) -> None:
        self._pacer.finished(now, pause_s=pause_s)
        if self.settings.delay_s or pause_s:
            self.wake()  # a lane is due at a time that wait_due could not know
        if not self._pacer.in_flight:
            self._ended.set()

    async def until_done(self) -> None:
        """Wait until the last of ``requests`` has ended; for ever, if there is no last one."""
        while not self._pacer.exhausted or self._pacer.in_flight:
            self._ended = trio.Event()
            await self._ended.wait()

    async def until_idle(self) -> None:
        """Wait until nothing is outstanding."""
        while self._pacer.in_flight:
            self._ended = trio.Event()
            await self._ended.wait()

    async def wait_due(self) -> None:
        """Wait until the pacing, not a reply, lets a request go, or the load was changed."""
        self._changed = trio.Event()
        due = self._pacer.next_due(trio.current_time())
        with trio.CancelScope(deadline=float("inf") if due is None else due):
            await self._changed.wait()

    def wake(self) -> None:
        """Let ``wait_due`` return."""
        self._changed.set()

    # --- for the control port ----------------------------------------------------------------

    @property
    def parallel(self) -> int:
        """The parallelism in force."""
        return self._parallel

    def set_parallel(self, n: int) -> int:
        """Change the parallelism, start a new window, and return what is in force."""
        now = trio.current_time()
        self._parallel = self._pacer.set_parallel(n, now)
        self.tally.reset(now)
        self.wake()
        return self._parallel

    def reset(self) -> None:
        """Start a new measuring window."""
        self.tally.reset(trio.current_time())

    def statistics(self) -> Statistics:
        """Return what is known of the present window."""
        return self.tally.snapshot(trio.current_time())

    def connected(self) -> bool:
        """Whether there is a session with the frontend (classic: whether one could be made)."""
        return self.connections > 0
