"""The load that a client makes: what to send and when, and what became of it.

Both kinds of connection (session.py, classic.py) are driven by this object. It knows nothing of
phases and files: liverun.py watches it.
"""

from __future__ import annotations

from collections import Counter
from math import inf, nextafter

import trio

from scalab.load.arrivals import Constant, Poisson
from scalab.load.curve import Curve
from scalab.load.pacing import ClosedLoop, OpenLoop, Pacer
from scalab.load.scenario import OpenLoad, Scenario
from scalab.load.units import RATE_MAX
from scalab.measure.tally import Tally, outcome_of
from scalab.protocol.messages import REJECTED, Reply, Request

from .metrics import Totals
from .requests import Requests, Sending

PAUSE_AFTER_REJECTION_S = 0.1
"""A full queue gains nothing from being asked again at once."""

PULSE_S = 0.001
"""What is due within this time is sent together: at 10 000 requests a second a wake-up for each
would cost more than the requests."""


class Load:
    """What a scenario wants sent, and the counts of it.

    Nothing is due before ``begin``: the schedule starts with the first connection.
    """

    def __init__(self, scenario: Scenario, *, verbose: bool = False) -> None:
        now = trio.current_time()
        self.scenario = scenario
        self.verbose = verbose
        """Whether each message is logged."""
        self.is_open = isinstance(scenario.load, OpenLoad)
        self.queues = tuple(queue.name for queue in scenario.queues)
        self.tally = Tally(now, self.queues)
        self.totals = [Totals() for _ in self.queues]
        self.begun = trio.Event()
        self.closing = False
        """No more requests are sent."""
        self.happened: list[tuple[float, str, str]] = []
        """What happened to the connection and is not yet on record: time, kind, text."""
        self.connections = 0
        self._requests = Requests(scenario)
        self._changed = trio.Event()
        self._ended = trio.Event()
        self._outstanding: dict[Sending, None] = {}  # in the order in which they were sent
        self._last = inf  # a request may be intended up to here
        self._dropped = 0  # of what the pacer dropped, as many as are counted
        self._start(now)

    def _start(self, now: float) -> None:
        scenario, load = self.scenario, self.scenario.load
        curve = Curve(load.stages, now, hold_last=True)
        requests = scenario.requests or None
        self._pacer: Pacer
        if isinstance(load, OpenLoad):
            arrivals = (
                Poisson(curve, scenario.seed) if load.arrival == "poisson" else Constant(curve)
            )
            self._pacer = OpenLoop(
                arrivals,
                max_in_flight=load.max_in_flight,
                catch_up_s=load.catch_up_s,
                requests=requests,
            )
        else:
            self._pacer = ClosedLoop(
                curve,
                parallel_max=load.most_parallel,
                delay_s=load.delay_s,
                now=now,
                requests=requests,
                spread_s=load.spread_s,
            )

    # --- for the connection ------------------------------------------------------------------

    def connected(self, to: str) -> None:
        """Take note of a connection to ``to``; the schedule starts with the first one."""
        now = trio.current_time()
        if not self.begun.is_set():
            if self._pacer.target is None:
                self._start(now)
            self.began = now
            self._last = nextafter(now + self.scenario.end_s, 0.0)
            self.begun.set()
        self.connections = 1
        self.happened.append((now, "connected", f"connected to {to}"))

    def disconnected(self, why: str) -> None:
        """Take note that the connection is gone."""
        self.connections = 0
        self.happened.append((trio.current_time(), "disconnected", why))

    def take(self, now: float) -> list[Sending]:
        """Return what is to be sent now; it counts as sent."""
        if self.closing or not self.begun.is_set():
            return []
        sendings = []
        for intended, held in self._pacer.take(min(now, self._last)):
            sending = self._requests.next(intended, now)
            queue = sending.queue
            self.tally.sent(queue)
            self.totals[queue].sent += 1
            if self.is_open:
                self.tally.delayed(now - intended, held, queue)
                self.totals[queue].delay_s += now - intended
            self._outstanding[sending] = None
            sendings.append(sending)
        self._count_dropped()
        return sendings

    def request(self, sending: Sending, request_id: str = "") -> Request:
        """Return the message to send."""
        return self._requests.request(sending, request_id)

    def completed(self, sending: Sending, reply: Reply, now: float) -> None:
        """Count a reply."""
        del self._outstanding[sending]
        outcome = outcome_of(reply)
        queue, total_s = sending.queue, now - sending.sent
        corrected_s = now - sending.intended if self.is_open else None
        self.tally.completed(reply, total_s, now, queue, corrected_s)
        totals = self.totals[queue]
        totals.ended[outcome] += 1
        totals.total_s += total_s
        totals.run_s += reply.runtime_s
        self._finished(now, PAUSE_AFTER_REJECTION_S if outcome == REJECTED else 0.0)

    def unanswered(self, sending: Sending, kind: str, error: str, now: float) -> None:
        """Count a request that will never be answered."""
        del self._outstanding[sending]
        self.tally.unanswered(kind, error, now, sending.queue)
        self.totals[sending.queue].ended[kind] += 1
        self._finished(now)

    def _finished(self, now: float, pause_s: float = 0.0) -> None:
        self._pacer.finished(now, pause_s=pause_s)
        if self._rests or pause_s:
            self.wake()  # a lane is due at a time that wait_due could not know
        if not self._pacer.in_flight:
            self._ended.set()

    @property
    def _rests(self) -> bool:
        return not isinstance(self.scenario.load, OpenLoad) and self.scenario.load.delay_s > 0

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
        now = trio.current_time()
        due = self._pacer.next_due(now)
        if due is None or self.closing or not self.begun.is_set():
            due = float("inf")
        elif self.is_open:
            due = max(due, now + PULSE_S)
        with trio.CancelScope(deadline=due):
            await self._changed.wait()

    def wake(self) -> None:
        """Let ``wait_due`` return."""
        self._changed.set()

    # --- for who watches and controls --------------------------------------------------------

    @property
    def in_flight(self) -> int:
        """Requests sent and not yet ended."""
        return self._pacer.in_flight

    def oldest_s(self, now: float) -> float | None:
        """Return for how long the oldest request has had no answer; None if there is none."""
        oldest = next(iter(self._outstanding), None)
        return None if oldest is None else now - oldest.sent

    @property
    def level_max(self) -> float:
        """The most that can be asked for: parallel requests, or a rate per second."""
        load = self.scenario.load
        return RATE_MAX if isinstance(load, OpenLoad) else load.most_parallel

    @property
    def curve(self) -> Curve:
        """The level over time, live changes included."""
        return self._pacer.curve

    def level(self, now: float) -> float:
        """Return the level asked for: parallel requests, or a rate per second."""
        return self._pacer.level(now)

    def set_level(self, level: float, now: float) -> float:
        """Change the level for good, and return what is in force, after clamping."""
        in_force = self._pacer.set_level(level, now)
        self.wake()
        return in_force

    def settle(self, now: float) -> None:
        """Count the arrivals that can't be sent any more."""
        if self.begun.is_set() and not self.closing:
            self._pacer.settle(now)
            self._count_dropped()

    def _count_dropped(self) -> None:
        n = self._pacer.dropped - self._dropped
        if n:
            self._dropped += n
            for queue, share in Counter(self._requests.skip() for _ in range(n)).items():
                self.tally.dropped(share, queue)
                self.totals[queue].dropped += share
