"""When to send the next requests: the pace of a load, without I/O.

Whoever sends them asks a pacer by ``take``, waits until ``next_due`` or until something ends, says
so by ``finished``, and asks again.

An open loop that was held up catches up: what is overdue and not yet too old is handed out at once,
faster than the rate asked for. That is the point of an open loop, for requests do not wait with
their arrival until a server has recovered; but it must not go unnoticed. So every request carries
the time it was intended for (sent - intended is its schedule delay), says whether it was *held*
because there was no room, and what is too old is *dropped* and counted. At most
rate x max(``catch_up_s``, ``LATE_S``) requests can come at once in this way, and no more than
``max_in_flight``.
"""

from __future__ import annotations

import math
from heapq import heappop, heappush
from typing import Final, NamedTuple, Protocol

from .arrivals import Arrivals
from .curve import Curve
from .units import RATE_MAX, RATE_MIN

LATE_S: Final = 1.0
"""A client that was late itself, though there was room, may make up for so much at least."""

MOST_TAKEN: Final = 10_000
"""Requests handed out at once at most, so that whoever sends them can do something else, too."""


class Due(NamedTuple):
    """A request to send now."""

    intended_s: float
    """When it was to be sent. In a closed loop that is now: its lane waits for replies."""
    held: bool
    """Whether it comes late because there was no room for it."""


class Pacer(Protocol):
    """Decides how many requests may be sent, and when.

    All times are seconds of one monotonic clock, passed in by the caller.
    """

    in_flight: int
    """Requests taken and not yet finished."""
    target: float | None
    """The level that was last asked for while running, as it came into force; None = none was."""
    dropped: int
    """Arrivals that were given up, so far; see ``settle``."""
    held: int
    """Requests that were handed out later than intended, because there was no room."""

    @property
    def curve(self) -> Curve:
        """The level over time, live changes included."""

    @property
    def exhausted(self) -> bool:
        """Whether the number of requests of the run is used up, so that there will be no more.

        The end of the last stage is no such thing (see ``curve.end_s``): the level may be raised.
        """

    def level(self, now: float) -> float:
        """Return the level in force: requests in parallel, or per second."""

    def take(self, now: float, most: int = MOST_TAKEN) -> list[Due]:
        """Return the requests to send now; they are in flight from here on.

        After ``most`` there may be more: ``next_due`` is ``now`` then.
        """

    def finished(self, now: float, n: int = 1, pause_s: float = 0.0) -> None:
        """Say that ``n`` requests in flight ended; in a closed loop their lanes rest ``pause_s``.

        Raises:
            ValueError: There are fewer in flight.
        """

    def next_due(self, now: float) -> float | None:
        """Return when to ``take`` again, if nothing finishes until then.

        Before that ``take`` returns nothing. None if only a reply or a live change can help.
        """

    def set_level(self, level: float, now: float) -> float:
        """Change the level; return what is in force from now on, after clamping.

        Raises:
            ValueError: ``level`` is not a number.
        """

    def settle(self, now: float) -> None:
        """Count what is too old by now as dropped, before ``dropped`` is read."""


class ClosedLoop:
    """A closed loop: so many lanes, each of which sends its next request after the last one ended.

    A lane is either in flight or idle, and an idle one has a time from which on it may send. There
    are as many idle lanes as ``parallel`` leaves beside those in flight: lowering it removes idle
    ones, those that would have rested longest first, and lets what is in flight finish; raising
    it adds lanes that may send at once.

    Args:
        curve: Lanes over time; the whole part counts, up to ``parallel_max``. On a ramp each lane
            starts at the very time that the level reaches its number.
        parallel_max: Most lanes that can be asked for.
        delay_s: Seconds that a lane rests between the end of a request and the next.
        now: The time.
        requests: How many to send in all; None = without end.
        spread_s: Lanes that are added together, at the start or by a jump of the level, start
            evenly over this time, lest they stampede.

    Raises:
        ValueError: A number is negative.
    """

    def __init__(
        self,
        curve: Curve,
        parallel_max: int,
        delay_s: float,
        now: float,
        *,
        requests: int | None = None,
        spread_s: float = 0.0,
    ) -> None:
        if min(parallel_max, delay_s, spread_s, requests or 0) < 0:
            raise ValueError("parallel_max, delay_s, spread_s and requests must not be negative")
        self.curve = curve
        self.parallel_max = parallel_max
        self.delay_s = delay_s
        self.spread_s = spread_s
        self.in_flight = 0
        self.parallel = 0
        """Lanes in force when it was last asked."""
        self.target: float | None = None
        self.dropped = 0
        self.held = 0
        self._left = requests
        self._idle: list[float] = []
        """A heap: when each idle lane may send."""
        self._until = now
        """When the curve is to be looked at again."""
        self._follow(now)

    def __repr__(self) -> str:
        return f"<ClosedLoop {self.in_flight} of {self.parallel} in flight, {self._left} left>"

    @property
    def exhausted(self) -> bool:
        """Whether all requests of the run were taken, so that there will be no more."""
        return self._left == 0

    def level(self, now: float) -> float:
        """Return the number of lanes in force."""
        return float(min(self.curve.whole(now)[0], self.parallel_max))

    def take(self, now: float, most: int = MOST_TAKEN) -> list[Due]:
        """Return the requests to send now; they are in flight from here on."""
        self._follow(now)
        idle = self._idle
        most = min(len(idle), most if self._left is None else min(most, self._left))
        n = 0
        while n < most and idle[0] <= now:
            heappop(idle)
            n += 1
        self.in_flight += n
        if self._left is not None:
            self._left -= n
        return [Due(now, held=False)] * n

    def finished(self, now: float, n: int = 1, pause_s: float = 0.0) -> None:
        """Say that ``n`` requests in flight ended; their lanes rest, or are no longer wanted.

        They rest for ``delay_s``, or for ``pause_s`` if that is longer.

        Raises:
            ValueError: There are fewer in flight.
        """
        if not 0 <= n <= self.in_flight:
            raise ValueError(f"{n} finished of {self.in_flight} in flight")
        self._follow(now)
        self.in_flight -= n
        due = now + max(self.delay_s, pause_s)
        for _ in range(self._missing()):
            heappush(self._idle, due)

    def next_due(self, now: float) -> float | None:
        """Return when to ``take`` again: a lane may send then, or their number changes."""
        if self.exhausted:
            return None
        due = min(self._idle[0], self._until) if self._idle else self._until
        return max(due, now) if due < math.inf else None

    def set_level(self, level: float, now: float) -> float:
        """Change the number of lanes, to the whole part of ``level``."""
        if math.isnan(level):
            raise ValueError("the level is not a number")
        return float(self.set_parallel(int(min(max(level, 0.0), self.parallel_max)), now))

    def set_parallel(self, n: int, now: float) -> int:
        """Change the number of lanes; return what is in force: ``n`` within 0..``parallel_max``."""
        self._follow(now)
        n = min(max(n, 0), self.parallel_max)
        self.curve = self.curve.changed(now, n)
        self.target = float(n)
        self._until = now
        self._follow(now)
        return self.parallel

    def settle(self, now: float) -> None:
        """Do nothing: a closed loop drops nothing."""

    def _follow(self, now: float) -> None:
        """Add and remove lanes as the curve has asked for by now, one change after the other."""
        while self._until <= now:
            at = self._until
            n, self._until = self.curve.whole(at)
            self.parallel = min(n, self.parallel_max)
            room = max(self.parallel - self.in_flight, 0)
            if len(self._idle) > room:
                self._idle = sorted(self._idle)[:room]  # a sorted list is a heap
            added = self._missing()
            for i in range(added):
                heappush(self._idle, at + self.spread_s * i / added)

    def _missing(self) -> int:
        """Return how many idle lanes are to be added."""
        return self.parallel - self.in_flight - len(self._idle)


class OpenLoop:
    """An open loop: requests arrive by the clock, whether or not those before have ended.

    An arrival for which there is no room (``max_in_flight`` is reached) is held, and dropped when
    it is more than ``catch_up_s`` late: at once if that is 0. One for which there was room, but
    that nobody took in time, because the client was busy or not connected, is dropped when it is
    more than ``catch_up_s`` and more than ``LATE_S`` late; so the jitter of an event loop drops
    nothing. There is no room from when the last place is taken until one ends: arrivals of that
    time count as held even if they are taken only later.

    What is sent and what is dropped both count against ``requests``.

    Args:
        arrivals: When requests arrive.
        max_in_flight: Most requests in flight.
        catch_up_s: Seconds that a request may be late.
        requests: How many are to arrive in all; None = without end.

    Raises:
        ValueError: A number is negative, or there is never any room.
    """

    def __init__(
        self,
        arrivals: Arrivals,
        max_in_flight: int,
        catch_up_s: float,
        *,
        requests: int | None = None,
    ) -> None:
        if max_in_flight < 1 or catch_up_s < 0 or (requests is not None and requests < 0):
            raise ValueError("max_in_flight must be positive; catch_up_s, requests not negative")
        self.max_in_flight = max_in_flight
        self.catch_up_s = catch_up_s
        self.in_flight = 0
        self.target: float | None = None
        self.dropped = 0
        self.held = 0
        self._arrivals = arrivals
        self._left = requests
        self._room_since = -math.inf
        """Since when there is room; inf if there is none."""

    def __repr__(self) -> str:
        return f"<OpenLoop {self.in_flight} in flight, {self.dropped} dropped, {self._left} left>"

    @property
    def curve(self) -> Curve:
        """The rate over time, live changes included."""
        return self._arrivals.curve

    @property
    def exhausted(self) -> bool:
        """Whether all requests of the run were taken or dropped."""
        return self._left == 0

    def level(self, now: float) -> float:
        """Return the rate in force, per second."""
        return self.curve.level(now)

    def take(self, now: float, most: int = MOST_TAKEN) -> list[Due]:
        """Return the requests to send now; they are in flight from here on."""
        if not self._drop(now):
            return []
        most = min(most, self.max_in_flight - self.in_flight)
        if self._left is not None:
            most = min(most, self._left)
        arrivals, room_since = self._arrivals, self._room_since
        due: list[Due] = []
        while len(due) < most and (at := arrivals.next_at) is not None and at <= now:
            arrivals.pop()
            due.append(Due(at, at < room_since))
        self.held += sum(held for _, held in due)
        self.in_flight += len(due)
        if self._left is not None:
            self._left -= len(due)
        if due and self.in_flight == self.max_in_flight:
            self._room_since = math.inf
            self._drop(now)
        return due

    def finished(self, now: float, n: int = 1, pause_s: float = 0.0) -> None:  # noqa: ARG002
        """Say that ``n`` requests in flight ended. Arrivals don't rest, so ``pause_s`` is void.

        Raises:
            ValueError: There are fewer in flight.
        """
        if not 0 <= n <= self.in_flight:
            raise ValueError(f"{n} finished of {self.in_flight} in flight")
        if n:
            self.in_flight -= n
            self._room_since = min(self._room_since, now)

    def next_due(self, now: float) -> float | None:
        """Return when the next request arrives; None while there is no room for it."""
        at = self._arrivals.next_at
        if at is None or self.exhausted or self.in_flight >= self.max_in_flight:
            return None
        return max(at, now)

    def set_level(self, level: float, now: float) -> float:
        """Change the rate; less than one in 11 days is taken as 0."""
        if math.isnan(level):
            raise ValueError("the level is not a number")
        level = min(level, RATE_MAX) if level >= RATE_MIN else 0.0
        self._arrivals.change(now, level)
        self.target = level
        return level

    def settle(self, now: float) -> None:
        """Count what is too old by now as dropped, before ``dropped`` is read."""
        while not self._drop(now):
            pass

    def _drop(self, now: float) -> bool:
        """Drop arrivals that are too old, a bounded number; return whether that was all."""
        held_before = now - self.catch_up_s
        if self._room_since == math.inf:
            before = math.nextafter(held_before, math.inf)  # what expires now has no chance left
        else:
            before = max(min(held_before, self._room_since), now - max(self.catch_up_s, LATE_S))
        skipped = self._arrivals.skip_until(before)
        if self._left is not None:
            skipped = min(skipped, self._left)
            self._left -= skipped
        self.dropped += skipped
        return (at := self._arrivals.next_at) is None or at >= before
