"""Which request comes next: its queue, and its arguments."""

from __future__ import annotations

import random

import attrs

from scalab.errors import ConfigError
from scalab.load.draws import Draw
from scalab.load.scenario import OpenLoad, QueueLoad, Scenario
from scalab.load.weights import make_chooser
from scalab.protocol.codec import encode_classic, encode_frame, item_too_long
from scalab.protocol.errors import ProtocolError
from scalab.protocol.messages import Request

LONGEST_ID = 32 * "x"
"""As long as an id of ours ever gets."""


@attrs.define(eq=False)
class Sending:
    """A request on its way."""

    queue: int
    """Index of its queue."""
    args: tuple[str, ...]
    intended: float
    """When the schedule wanted it sent, by the monotonic clock like the next; so did a lane of a
    closed loop when it was sent."""
    sent: float


class Requests:
    """Hands out the requests of a scenario, the same ones for the same seed."""

    def __init__(self, scenario: Scenario) -> None:
        self._queues = scenario.queues
        seeds = random.Random(scenario.seed)  # noqa: S311 - to be repeated, not to be secret
        load = scenario.load
        by_chance = isinstance(load, OpenLoad) and load.arrival == "poisson"
        weights = [queue.weight for queue in scenario.queues]
        self._chooser = make_chooser(weights, seeds.getrandbits(64) if by_chance else None)
        self._draws = [Draw(queue, seeds.getrandbits(64)) for queue in scenario.queues]

    def next(self, intended: float, now: float) -> Sending:
        """Return the next one to send, at ``now``."""
        queue = self._chooser.pick()
        return Sending(queue, self._draws[queue].next(), intended, now)

    def skip(self) -> int:
        """Leave one out, as it can't be sent; return the index of its queue."""
        queue = self._chooser.pick()
        self._draws[queue].next()
        return queue

    def request(self, sending: Sending, request_id: str = "") -> Request:
        """Return the message."""
        queue = self._queues[sending.queue]
        return Request(queue.name, list(sending.args), queue.limit_s, request_id)


def check_requests(scenario: Scenario, *, classic: bool) -> None:
    """Refuse what the wire can't carry.

    Raises:
        ConfigError: A request would be too long, or can't be sent as it is.
    """
    for queue in scenario.queues:
        args, row = Draw(queue, 0).largest()
        what = "the arguments"
        if row is not None:
            what += f" of row {row}"
        if len(scenario.queues) > 1:
            what += f" for {queue.name}"
        _check(queue, args, f"{what} can't be sent", classic)


def _check(queue: QueueLoad, args: tuple[str, ...], what: str, classic: bool) -> None:
    request = Request(queue.name, list(args), queue.limit_s)
    try:
        if classic:
            encode_classic(request)
        else:
            request.id = LONGEST_ID
            encode_frame(request)
    except ProtocolError as exc:
        raise ConfigError(f"{what}: {exc}") from None
    if item_too_long(request.args, queue.limit_s):
        raise ConfigError(f"{what}: message longer than 1024 bytes")
