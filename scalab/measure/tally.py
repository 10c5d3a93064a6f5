"""The client's running statistics: fed with every reply, read now and then.

What is counted where:

- A request is *outstanding* from ``sent`` until exactly one of ``completed``, ``dropped`` and
  ``aborted``. One that is sent again after a lost connection stays outstanding.
- ``completed`` replies are counted by outcome; those that ran (success, timeout, and failure on a
  node) enter wait, run and overhead, since a refusal has none of these. The total time is that of
  every reply.
- ``dropped`` requests are failures without a reply, hence neither completions nor throughput.
- ``aborted`` ones are neither failures nor completions: the run ended before they did.

Names and error texts come from peers. They are made printable when they are taken in, and there is
a limit to how many are kept: what comes later is counted under ``OTHERS``.
"""

from __future__ import annotations

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

from .histogram import Histogram, record
from .rate import RecentRate
from .statistics import ErrorCount, Place, Statistics

OTHERS: Final = "(others)"
"""Stands for the names and texts beyond the limits."""

MAX_PLACES: Final = 1000
"""Distinct names kept of each kind: nodes, devices, pods."""
MAX_LINKS: Final = 128
"""Distinct devices, and pods, kept per place."""
MAX_ERRORS: Final = 200
"""Distinct error texts kept for the whole."""
MAX_PLACE_ERRORS: Final = 20
"""Distinct error texts kept per place."""
MAX_NAME: Final = 253
"""Characters of a name; what Kubernetes allows."""
MAX_TEXT: Final = 200
"""Characters of an error text."""
_MAX_ROUTES = 4096

_KNOWN = frozenset((*OUTCOMES, REJECTED))
_RAN = frozenset((SUCCESS, FAILURE, TIMEOUT))


class _Counts(dict[str, int]):
    """How often each of a bounded number of texts was seen."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def add(self, text: str, n: int = 1) -> None:
        if text not in self and len(self) >= self._limit:
            text = OTHERS
        self[text] = self.get(text, 0) + n

    def most(self) -> tuple[ErrorCount, ...]:
        """The texts, the most frequent first."""
        ranked = sorted(self.items(), key=lambda item: (-item[1], item[0]))
        return tuple(ErrorCount(text, n) for text, n in ranked)


class _Place:
    """What came from one node, device or pod."""

    __slots__ = ("devices", "errors", "failed", "name", "pods", "run", "served")

    def __init__(self, name: str) -> None:
        self.name = name
        self.served = 0
        self.failed = 0
        self.run = Histogram()
        self.devices = _Counts(MAX_LINKS)
        self.pods = _Counts(MAX_LINKS)
        self.errors = _Counts(MAX_PLACE_ERRORS)

    def frozen(self, whole: Histogram) -> Place:
        return Place(
            name=self.name,
            served=self.served,
            failed=self.failed,
            run=self.run.spread(),
            histogram=self.run.steps(within=whole),
            devices=tuple(sorted(self.devices)),
            pods=tuple(sorted(self.pods)),
            errors=self.errors.most(),
        )


class _Places:
    """All places of a kind."""

    def __init__(self) -> None:
        self._by_name: dict[str, _Place] = {}

    def get(self, name: str) -> _Place:
        place = self._by_name.get(name)
        if place is None:
            if len(self._by_name) >= MAX_PLACES:
                name = OTHERS
            place = self._by_name.setdefault(name, _Place(name))
        return place

    def frozen(self, whole: Histogram) -> tuple[Place, ...]:
        return tuple(self._by_name[name].frozen(whole) for name in sorted(self._by_name))


@attrs.frozen
class _Route:
    """Where the replies of one node, device and pod are counted."""

    places: tuple[_Place, ...]
    runs: tuple[Histogram, ...]
    """Of the places, and of the whole."""


class Tally:
    """Counts what becomes of a client's requests.

    Args:
        now: Seconds of a monotonic clock, as in all methods; the first window starts here.
    """

    def __init__(self, now: float) -> None:
        self.outstanding = 0
        """Requests sent and not yet ended, whatever windows have passed since."""
        self._replies_lately = RecentRate(now)
        self._failures_lately = RecentRate(now)
        self.reset(now)

    def reset(self, now: float) -> None:
        """Start a new window: forget everything but what is outstanding."""
        self._start = now
        self.replies = 0
        """Replies in the window, failed ones included."""
        self.failures: dict[str, int] = {}
        """Failed requests of the window by kind."""
        self._succeeded = 0
        self._attempts_max = 0
        self._wait = Histogram()
        self._run = Histogram()
        self._overhead = Histogram()
        self._total = Histogram()
        self._errors = _Counts(MAX_ERRORS)
        self._nodes, self._devices, self._pods = _Places(), _Places(), _Places()
        # Where replies come from hardly changes, so what follows from the three raw names is
        # looked up rather than done again: cleaning, limits, and which pod belongs to which node.
        self._routes: dict[tuple[str, str, str], _Route] = {}

    # --- feeding ---------------------------------------------------------------------------

    def sent(self, n: int = 1) -> None:
        """Count requests sent; not those that are sent again."""
        self.outstanding += n

    def completed(self, reply: Reply, total_s: float, now: float) -> None:
        """Count the reply to a request.

        Args:
            reply: As it came.
            total_s: Seconds from sending the request to the reply.
            now: The time.
        """
        outcome = outcome_of(reply)
        self.outstanding -= 1
        self.replies += 1
        self._replies_lately.add(now)
        self._total.record(total_s)
        if reply.attempts > self._attempts_max:  # noqa: PLR1730 - a call costs more
            self._attempts_max = reply.attempts
        names = (reply.node, reply.device, reply.pod)
        route = self._routes.get(names) or self._route(names)
        for place in route.places:
            place.served += 1
        if outcome == SUCCESS:
            self._succeeded += 1
        else:
            self._failed(outcome, reply.error, route.places, now)
        if outcome in _RAN and (outcome != FAILURE or reply.node):
            self._ran(reply.waittime_s, reply.runtime_s, total_s, route)

    def dropped(self, kind: str, error: str, now: float) -> None:
        """Count a request that ended without a reply.

        Args:
            kind: How, such as ``disconnected``.
            error: Why; "" if there is nothing to tell.
            now: The time.
        """
        self.outstanding -= 1
        self._failed(kind, error, (), now)

    def aborted(self, n: int = 1) -> None:
        """Forget outstanding requests that are given up because the run ends."""
        self.outstanding -= n

    # --- reading ---------------------------------------------------------------------------

    @property
    def failed(self) -> int:
        """Failed requests of the window."""
        return sum(self.failures.values())

    def throughput(self, now: float) -> float:
        """Return completions per second of the window so far: replies, failed ones included."""
        window_s = now - self._start
        return self.replies / window_s if window_s > 0 else 0.0

    def recent_rate(self, now: float) -> float:
        """Return completions per second over about the last two seconds, whatever the window."""
        return self._replies_lately.rate(now)

    def recent_failure_rate(self, now: float) -> float:
        """Return failed requests per second over about the last two seconds, likewise."""
        return self._failures_lately.rate(now)

    def snapshot(self, now: float, *, places: bool = True) -> Statistics:
        """Return the statistics of the window so far.

        Args:
            now: The time.
            places: Include nodes, devices and pods; when there are hundreds of them, they are
                nearly all of the work, and a view that doesn't show them does without.
        """
        kinds = (self._nodes, self._devices, self._pods) if places else ()
        nodes, devices, pods = [kind.frozen(self._run) for kind in kinds] or [(), (), ()]
        return Statistics(
            window_s=max(now - self._start, 0.0),
            outstanding=self.outstanding,
            completed=self.replies,
            succeeded=self._succeeded,
            failed=self.failed,
            failures=dict(self.failures),
            throughput=self.throughput(now),
            wait=self._wait.spread(),
            run=self._run.spread(),
            overhead=self._overhead.spread(),
            total=self._total.spread(),
            nodes=nodes,
            devices=devices,
            pods=pods,
            errors=self._errors.most(),
            attempts_max=self._attempts_max,
        )

    # --- inside ----------------------------------------------------------------------------

    def _ran(self, wait_s: float, run_s: float, total_s: float, route: _Route) -> None:
        self._wait.record(wait_s)
        record(route.runs, run_s)
        # Wait and run are other machines' measurements: where there is hardly any overhead, the
        # rest may come out below zero, which counts as zero.
        self._overhead.record(total_s - wait_s - run_s)

    def _failed(self, kind: str, error: str, places: tuple[_Place, ...], now: float) -> None:
        self.failures[kind] = self.failures.get(kind, 0) + 1
        self._failures_lately.add(now)
        error = printable(error, MAX_TEXT)
        if error:
            self._errors.add(error)
        for place in places:
            place.failed += 1
            if error:
                place.errors.add(error)

    def _route(self, names: tuple[str, str, str]) -> _Route:
        """Return where a reply is counted, by its node, device and pod; "" counts nowhere."""
        kinds = (self._nodes, self._devices, self._pods)
        node, device, pod = (
            kind.get(printable(name, MAX_NAME)) if name else None
            for kind, name in zip(kinds, names, strict=True)
        )
        places = tuple(place for place in (node, device, pod) if place)
        for place in places:
            if device and place is not device:
                place.devices.add(device.name)
            if pod and place is not pod:
                place.pods.add(pod.name)
        route = _Route(places, (self._run, *(place.run for place in places)))
        if len(self._routes) < _MAX_ROUTES:
            self._routes[names] = route
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
