"""How the queues' counters went in the last minutes: for rates, and for small plots."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Sequence
from itertools import pairwise

import attrs
import trio

from scalab.queueing.queue import Queue

EVERY_S = 2.0
"""Between samples. One costs about a microsecond a queue."""
KEPT = 151
"""Samples: five minutes, at 16 bytes a queue and sample."""
RATE_S = 10.0
"""Time over which a present rate is taken."""
STEP = 3
"""Samples between the points of a course, so that single items don't make it a saw."""


@attrs.frozen
class Sample:
    """The counters of all queues at one time, by the queues' places."""

    number: int
    at: float
    accepted: Sequence[int]
    ended: Sequence[int]


@attrs.frozen
class Rates:
    """What happened in a queue, per second."""

    accepted: float
    ended: float
    """In the last ``RATE_S``, or since the start."""
    course: tuple[float, ...]
    """Ended, over the time that is kept, oldest first."""


class History:
    """Samples of the queues' counters.

    Args:
        queues: Sampled in this order.
    """

    def __init__(self, queues: Sequence[Queue]) -> None:
        self._queues = tuple(queues)
        self._samples = deque([self._sample(0)], maxlen=KEPT)

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            await trio.sleep(EVERY_S)
            self._samples.append(self._sample(self._samples[-1].number + 1))

    def samples(self) -> list[Sample]:
        """Return what is kept, and a last sample of this moment."""
        return [*self._samples, self._sample(self._samples[-1].number + 1)]

    def _sample(self, number: int) -> Sample:
        counters = [queue.counters for queue in self._queues]
        return Sample(
            number,
            trio.current_time(),
            array("q", [c.accepted for c in counters]),
            array("q", [sum(c.completed.values()) for c in counters]),
        )


def rates(samples: Sequence[Sample], place: int) -> Rates:
    """Return the rates of the queue at ``place``, up to the last of ``samples``."""
    *kept, now = samples
    # Not from a sample of just now: one item in a millisecond is no rate.
    recent = next((s for s in reversed(kept) if now.at - s.at >= RATE_S), kept[0])
    # Always the same samples, whenever it is asked: a course moves, and doesn't change its shape.
    marks = [sample for sample in kept if sample.number % STEP == 0]
    return Rates(
        _rate(recent.accepted[place], now.accepted[place], now.at - recent.at),
        _rate(recent.ended[place], now.ended[place], now.at - recent.at),
        tuple(
            _rate(early.ended[place], late.ended[place], late.at - early.at)
            for early, late in pairwise(marks)
        ),
    )


def _rate(before: int, after: int, seconds: float) -> float:
    return (after - before) / seconds if seconds > 0 else 0.0
