"""Runs what the shared dispatcher decides against the store, and tells it what comes of that.

One task a queue sends its batches, one after the other, and repeats one until it has an answer;
what gathers meanwhile leaves in the next. So what is told to the store keeps its order, and a
store that is away costs nothing but time.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol, get_args

import attrs
import structlog
import trio

from scalab.errors import ConfigError
from scalab.protocol.text import printable
from scalab.redis.errors import UnavailableError
from scalab.runtime.net import backoff_delays

from .dispatcher import SharedDispatcher
from .operations import Answer, Connected, Disconnected, Event, Operation

TICK_S = 0.25
FIRST_DELAY_S = 0.05
MOST_DELAY_S = 1.0
LAST_WORDS_S = 2.0
"""Time to give back what a frontend that stops still has."""
BOUNDS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Upper bounds of the buckets in which the times of commands are counted."""

log = structlog.get_logger()


class Store(Protocol):
    """Where the queues are."""

    async def check(self) -> None:
        """Connect once.

        Raises:
            UnavailableError: That doesn't work.
        """

    async def run(self, tell: Callable[[Event], None]) -> None:
        """Keep the connection to it until cancelled, and tell what it says unasked."""

    async def execute(self, queue: str, operations: Sequence[Operation]) -> Sequence[Answer]:
        """Run operations of one queue in their order.

        Raises:
            UnavailableError: Some may have been run, some not.
        """


@attrs.define(eq=False)
class Times:
    """How long commands took: a histogram."""

    counts: list[int] = attrs.Factory(lambda: [0] * (len(BOUNDS_S) + 1))
    sum_s: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.sum_s += seconds


class Engine:
    """The store at work for one frontend.

    Args:
        store: Where the queues are.
        name: Our name, unlike that of any other frontend, ever.
        make: Makes the dispatcher, given what it has to call when a queue has something to send.
        changed: Called after answers of the store.
    """

    def __init__(
        self,
        store: Store,
        make: Callable[[Callable[[str], None]], SharedDispatcher],
        changed: Callable[[], None],
    ) -> None:
        self.dispatcher = make(self._wake)
        self.away_since: float | None = trio.current_time()
        """When the store was last seen to be away; None while it is there."""
        self.reason = "not connected yet"
        """Why it is away."""
        self.connects = 0
        self.errors: Counter[str] = Counter(lost=0, timeout=0)
        self.times = {kind.__name__.lower(): Times() for kind in get_args(Operation)}
        """Of batches, by the kinds of operations in them."""
        self._store = store
        self._changed = changed
        self._more = {name: trio.Event() for name in self.dispatcher.queues}
        self._back = trio.Event()
        """Set while the store is there."""
        self._idle = trio.Event()

    def __repr__(self) -> str:
        return f"<Engine {self.reason or 'up'}>"

    def away_s(self, now: float) -> float:
        """For how long the store has been away; 0 if it is there."""
        return 0.0 if self.away_since is None else now - self.away_since

    async def check(self) -> None:
        """Look whether there is a store that we can use; one that is away may come.

        Raises:
            ConfigError: It refuses us, and will do so for ever.
        """
        try:
            await self._store.check()
        except UnavailableError as exc:
            if exc.permanent:
                raise ConfigError(f"can't use the store: {exc}") from None

    async def run(self) -> None:
        """Work until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._store.run, self._tell)
            nursery.start_soon(self._tick)
            for name in self.dispatcher.queues:
                nursery.start_soon(self._send, name)

    async def close(self) -> None:
        """Send what is left, and say that we are gone; not for longer than ``LAST_WORDS_S``."""
        self.dispatcher.leave()
        with trio.move_on_after(LAST_WORDS_S) as scope:
            while any(len(shared.outbox) for shared in self.dispatcher.shared.values()):
                self._idle = trio.Event()
                await self._idle.wait()
        if scope.cancelled_caught:
            log.warning("the store was not told of our end", reason=self.reason)

    # --- inside ----------------------------------------------------------------------------

    def _wake(self, queue: str) -> None:
        self._more[queue].set()

    def _tell(self, event: Event) -> None:
        now = trio.current_time()
        if isinstance(event, Connected):
            self.connects += 1
            if self.connects > 1:
                log.info("the store is back", away_s=round(self.away_s(now), 1))
            self.away_since, self.reason = None, ""
            self._back.set()
        elif isinstance(event, Disconnected):
            reason = printable(event.reason, 300)
            if self.away_since is None or (not self.connects and reason != self.reason):
                log.warning("the store is away", reason=reason)
            if self.away_since is None:
                self.away_since, self._back = now, trio.Event()
            self.reason = reason
        self.dispatcher.told(event, now)
        self._changed()

    async def _tick(self) -> None:
        while True:
            self.dispatcher.tick(trio.current_time())
            await trio.sleep(TICK_S)

    async def _send(self, queue: str) -> None:
        """Send a queue's batches, for ever."""
        shared = self.dispatcher.shared[queue]
        while True:
            self._more[queue] = trio.Event()
            operations = shared.take()
            if operations:
                answers = await self._execute(queue, operations)
                shared.answered(answers, trio.current_time())
                self._changed()
                self._idle.set()
            else:
                await self._more[queue].wait()

    async def _execute(self, queue: str, operations: list[Operation]) -> Sequence[Answer]:
        """Run a batch, again and again until it is answered."""
        delays = backoff_delays(FIRST_DELAY_S, MOST_DELAY_S)
        while True:
            while not self._back.is_set():
                await self._back.wait()
            began = trio.current_time()
            try:
                answers = await self._store.execute(queue, operations)
            except UnavailableError as exc:
                self.errors[exc.reason] += 1
            else:
                self._note(operations, trio.current_time() - began)
                return answers
            await trio.sleep(next(delays))

    def _note(self, operations: list[Operation], seconds: float) -> None:
        for kind in {type(operation).__name__.lower() for operation in operations}:
            self.times[kind].add(seconds)
