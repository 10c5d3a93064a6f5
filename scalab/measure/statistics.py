"""What is known about a run at one moment: frozen, and in the shape in which it is shown."""

from __future__ import annotations

import attrs


@attrs.frozen
class Spread:
    """A distribution of durations, all in seconds; all 0 when ``count`` is 0."""

    count: int = 0
    min_s: float = 0.0
    mean_s: float = 0.0
    max_s: float = 0.0
    p50_s: float = 0.0
    p90_s: float = 0.0
    p95_s: float = 0.0
    p99_s: float = 0.0
    p999_s: float = 0.0


@attrs.frozen
class ErrorCount:
    """One error text, and how often it was seen."""

    text: str
    count: int


@attrs.frozen
class Place:
    """Where work ran, and what became of it there: a node, a pod or a device."""

    name: str
    served: int
    """Replies from there, failed ones included."""
    failed: int
    run: Spread
    histogram: tuple[tuple[float, float, int], ...]
    """Run times as (from, to, count), seconds; at most 12 steps of equal ratio.

    All places of a window have the same steps, so that they can be compared.
    """
    devices: tuple[str, ...] = ()
    pods: tuple[str, ...] = ()
    errors: tuple[ErrorCount, ...] = ()


@attrs.frozen
class Statistics:
    """A measuring window: since the start, the last reset or the last change of load."""

    window_s: float
    """Length of the window so far."""
    outstanding: int
    """Requests sent and not yet answered, now."""
    completed: int
    """Replies in the window, failed ones included.

    A request that ended without a reply is failed but not completed, so the requests that ended
    are ``succeeded`` + ``failed``.
    """
    succeeded: int
    failed: int
    failures: dict[str, int]
    """Failed requests by kind: failure, timeout, lost, cancelled, rejected, disconnected."""
    throughput: float
    """Completions per second of the window."""
    wait: Spread
    """Time in the queue; this, run and overhead are of the replies that ran."""
    run: Spread
    overhead: Spread
    """Total - wait - run: what the framework and the network cost."""
    total: Spread
    """From sending a request to its reply, of all replies."""
    nodes: tuple[Place, ...]
    devices: tuple[Place, ...]
    pods: tuple[Place, ...]
    errors: tuple[ErrorCount, ...]
    """The most frequent error texts."""
    attempts_max: int = 0
    """The most attempts that a request took."""
    sent: int = 0
    """Requests sent in the window."""
    dropped: int = 0
    """Arrivals that an open loop's schedule wanted and that were never sent."""
    held: int = 0
    """Requests sent later than intended because the limit of those in flight was reached."""
    aborted: int = 0
    """Requests given up because the run ended: neither failed nor completed."""
    corrected: Spread = Spread()
    """From the intended time of sending to the reply: open loop only, like the next two."""
    delay: Spread = Spread()
    """From the intended time of sending to sending."""
    late: Spread = Spread()
    """The same of the requests that had room all the time: how late the client itself was."""

    @classmethod
    def empty(cls) -> Statistics:
        """Return those of a window in which nothing has happened."""
        none = Spread()
        return cls(0.0, 0, 0, 0, 0, {}, 0.0, none, none, none, none, (), (), (), ())
