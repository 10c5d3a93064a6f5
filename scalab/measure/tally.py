"""The client's running counts: fed with every request and reply, cut into intervals.

What is counted where:

- A request is *outstanding* from ``sent`` until exactly one of ``completed``, ``unanswered`` and
  ``aborted``. One that is sent again after a lost connection stays outstanding.
- ``completed`` replies are counted by outcome; those that ran (success, timeout, and failure on a
  node) enter wait, run and overhead, since a refusal has none of these. The total time is that of
  every reply.
- ``unanswered`` requests are failures without a reply, hence neither completions nor throughput.
- ``aborted`` ones are neither failures nor completions: the run ended before they did.
- ``dropped`` arrivals are requests that the schedule of an open loop wanted and that were never
  sent: neither outstanding nor failed.

Everything counts in the interval in which it happens, a reply in that of its arrival.

Names and error texts come from peers. They are made printable when they are taken in, and there is
a limit to how many are kept: what comes later is counted under ``OTHERS``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

from scalab.protocol.messages import (
    FAILURE,
    LOST,
    OUTCOMES,
    REJECTED,
    SUCCESS,
    TIMEOUT,
    Reply,
)
from scalab.protocol.text import printable

from . import counts
from .aggregate import (
    KINDS,
    MAX_ERRORS,
    MAX_PLACE_ERRORS,
    Aggregate,
    PlaceAggregate,
    link,
    place_of,
)
from .histogram import Histogram, record
from .rate import RecentRate

MAX_NAME: Final = 253
"""Characters of a name; what Kubernetes allows."""
MAX_TEXT: Final = 200
"""Characters of an error text."""
_MAX_ROUTES = 4096

_KNOWN = frozenset((*OUTCOMES, REJECTED))
_RAN = frozenset((SUCCESS, FAILURE, TIMEOUT))


@attrs.frozen
class _Route:
    """Where the replies of one node, device and pod are counted."""

    places: tuple[PlaceAggregate, ...]
    runs: tuple[Histogram, ...]
    """Of the places, and of the whole."""


class Tally:
    """Counts what becomes of a client's requests.

    Args:
        now: Seconds of a monotonic clock, as in all methods; the first interval starts here.
        queues: Their names; each is named by its index from then on.
    """

    def __init__(self, now: float, queues: Sequence[str] = ("",)) -> None:
        self.queues = tuple(queues)
        self.outstanding = [0] * len(self.queues)
        """Requests sent and not yet ended, by queue, whatever intervals have passed since."""
        self._replies_lately = RecentRate(now)
        self._failures_lately = RecentRate(now)
        self._begin()

    def _begin(self) -> None:
        self._aggregates = [Aggregate() for _ in self.queues]
        # Where replies come from hardly changes, so what follows from the three raw names is
        # looked up rather than done again: cleaning, limits, and which pod belongs to which node.
        self._routes: list[dict[tuple[str, str, str], _Route]] = [{} for _ in self.queues]

    def cut(self) -> dict[str, Aggregate]:
        """Return what was counted since the last cut, by queue, and begin a new interval."""
        ended = self.current()
        self._begin()
        return ended

    def current(self) -> dict[str, Aggregate]:
        """Return what was counted since the last cut, by queue; it goes on counting."""
        return dict(zip(self.queues, self._aggregates, strict=True))

    # --- feeding ---------------------------------------------------------------------------

    def sent(self, queue: int = 0, n: int = 1) -> None:
        """Count requests sent; not those that are sent again."""
        self.outstanding[queue] += n
        self._aggregates[queue].sent += n

    def delayed(self, delay_s: float, held: bool, queue: int = 0) -> None:
        """Count how long after its intended time a request of an open loop was sent.

        Args:
            delay_s: Seconds.
            held: Whether it had to wait for room, rather than for the client.
            queue: Its index.
        """
        aggregate = self._aggregates[queue]
        if held:
            aggregate.held += 1
            aggregate.delay.record(delay_s)
        else:
            record((aggregate.delay, aggregate.late), delay_s)

    def dropped(self, n: int, queue: int = 0) -> None:
        """Count arrivals that were never sent."""
        self._aggregates[queue].dropped += n

    def completed(
        self,
        reply: Reply,
        total_s: float,
        now: float,
        queue: int = 0,
        corrected_s: float | None = None,
    ) -> None:
        """Count the reply to a request.

        Args:
            reply: As it came.
            total_s: Seconds from sending the request to the reply.
            now: The time.
            queue: Its index.
            corrected_s: Seconds from the intended time of sending, if there was one.
        """
        outcome = outcome_of(reply)
        aggregate = self._aggregates[queue]
        self.outstanding[queue] -= 1
        aggregate.completed += 1
        self._replies_lately.add(now)
        aggregate.total.record(total_s)
        if corrected_s is not None:
            aggregate.corrected.record(corrected_s)
        if reply.attempts > aggregate.attempts_max:  # noqa: PLR1730 - a call costs more
            aggregate.attempts_max = reply.attempts
        names = (reply.node, reply.device, reply.pod)
        route = self._routes[queue].get(names) or self._route(names, queue)
        for place in route.places:
            place.served += 1
        if outcome == SUCCESS:
            aggregate.succeeded += 1
        else:
            self._failed(aggregate, outcome, reply.error, route.places, now)
        if outcome in _RAN and (outcome != FAILURE or reply.node):
            wait_s, run_s = reply.waittime_s, reply.runtime_s
            aggregate.wait.record(wait_s)
            record(route.runs, run_s)
            # Wait and run are other machines' measurements: where there is hardly any overhead,
            # the rest may come out below zero, which counts as zero.
            aggregate.overhead.record(total_s - wait_s - run_s)

    def unanswered(self, kind: str, error: str, now: float, queue: int = 0) -> None:
        """Count a request that ended without a reply.

        Args:
            kind: How, such as ``disconnected``.
            error: Why; "" if there is nothing to tell.
            now: The time.
            queue: Its index.
        """
        self.outstanding[queue] -= 1
        self._failed(self._aggregates[queue], kind, error, (), now)

    def aborted(self) -> int:
        """Give up all outstanding requests because the run ends; return how many there were."""
        for aggregate, n in zip(self._aggregates, self.outstanding, strict=True):
            aggregate.aborted += n
        given_up = sum(self.outstanding)
        self.outstanding = [0] * len(self.queues)
        return given_up

    # --- reading ---------------------------------------------------------------------------

    def recent_rate(self, now: float) -> float:
        """Return completions per second over about the last two seconds."""
        return self._replies_lately.rate(now)

    def recent_failure_rate(self, now: float) -> float:
        """Return failed requests per second over about the last two seconds, likewise."""
        return self._failures_lately.rate(now)

    # --- inside ----------------------------------------------------------------------------

    def _failed(
        self,
        aggregate: Aggregate,
        kind: str,
        error: str,
        places: tuple[PlaceAggregate, ...],
        now: float,
    ) -> None:
        aggregate.failures[kind] = aggregate.failures.get(kind, 0) + 1
        self._failures_lately.add(now)
        error = printable(error, MAX_TEXT)
        if error:
            counts.add(aggregate.errors, error, 1, MAX_ERRORS)
        for place in places:
            place.failed += 1
            if error:
                counts.add(place.errors, error, 1, MAX_PLACE_ERRORS)

    def _route(self, names: tuple[str, str, str], queue: int) -> _Route:
        """Return where a reply is counted, by its node, device and pod; "" counts nowhere."""
        aggregate = self._aggregates[queue]
        found = [
            place_of(getattr(aggregate, kind), printable(name, MAX_NAME)) if name else ("", None)
            for kind, name in zip(KINDS, names, strict=True)
        ]
        (_, node), (device_name, device), (pod_name, pod) = found
        places = tuple(place for place in (node, device, pod) if place is not None)
        for place in places:
            if device_name and place is not device:
                link(place.devices, device_name)
            if pod_name and place is not pod:
                link(place.pods, pod_name)
        route = _Route(places, (aggregate.run, *(place.run for place in places)))
        if len(self._routes[queue]) < _MAX_ROUTES:
            self._routes[queue][names] = route
        return route


def outcome_of(reply: Reply) -> str:
    """Return how a request ended: as the frontend says, or derived if it is a classic one."""
    if reply.outcome in _KNOWN:
        return reply.outcome
    if reply.timeout_s > 0:
        return TIMEOUT
    if not reply.retcode and not reply.error:
        return SUCCESS
    if reply.node:
        return FAILURE
    # No backend answered: if one had been given the item, it vanished with it.
    return LOST if reply.attempts else REJECTED
