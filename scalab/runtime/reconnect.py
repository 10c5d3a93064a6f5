"""Connecting to the frontend, and again when it went away."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import structlog
import trio

from scalab.access.access import Access
from scalab.errors import UnreachableError

from .net import Address, backoff_delays, connect
from .service import Stop
from .streams import Stream

FIRST_DELAY_S = 0.1
MOST_DELAY_S = 5.0

log = structlog.get_logger()
T = TypeVar("T")


class Connector:
    """Connects to one address for as long as there is hope.

    Args:
        address: The frontend's.
        stop: Its first request ends every wait here.
        first_s: How long the first session may take to come about, from now.
        again_s: How long the frontend may be away once it was there; 0 = for ever.
        access: Our token, and whether with TLS.
    """

    def __init__(
        self,
        address: Address,
        stop: Stop,
        first_s: float,
        again_s: float,
        access: Access | None = None,
    ) -> None:
        self.address = address
        self.stop = stop
        self.access = access or Access()
        self._first_s = first_s
        self._again_s = again_s or math.inf
        self._give_up_at = trio.current_time() + first_s
        """Infinite while the frontend is there."""
        self._delays = backoff_delays(FIRST_DELAY_S, MOST_DELAY_S)
        self._tries = 0
        """Since there was a session; the first one after a start waits for nothing."""

    def another(self) -> Connector:
        """Return a connector with the same settings and hopes of its own."""
        return Connector(self.address, self.stop, self._first_s, self._again_s, self.access)

    async def connect(self) -> Stream | None:
        """Return a connection, or None once the stop is requested.

        Raises:
            UnreachableError: There is no more hope.
        """
        while True:
            if self._tries:
                # The last try is made when the time is up, not a long pause later.
                pause_s = min(next(self._delays), self._give_up_at - trio.current_time())
                await unless_stopped(self.stop, partial(trio.sleep, max(pause_s, 0.0)))
            if self.stop.requested.is_set():
                return None
            self._tries += 1
            try:
                connecting: Callable[[], Awaitable[Stream]] = partial(
                    connect, self.address, self.access
                )
                return await unless_stopped(self.stop, connecting)
            except UnreachableError as exc:
                self.failed(exc)

    def failed(self, error: UnreachableError) -> None:
        """Count a try that led to no session; without effect once we stop.

        Raises:
            UnreachableError: ``error``, if there is no more hope.
        """
        if self.stop.requested.is_set():
            return
        now = trio.current_time()
        if math.isinf(self._give_up_at):
            self._give_up_at = now + self._again_s
        if now >= self._give_up_at:
            raise error
        if self._tries <= 1:
            log.warning("trying again", error=str(error))

    def welcomed(self) -> None:
        """Note that there is a session."""
        self._give_up_at = math.inf

    def exchanged(self) -> None:
        """Note that a short connection did its work: the next one needn't wait."""
        self.welcomed()
        self._tries = 0
        self._delays = backoff_delays(FIRST_DELAY_S, MOST_DELAY_S)

    def lost(self, why: str) -> None:
        """Note that a session has ended that should not have; without effect once we stop."""
        if self.stop.requested.is_set():
            return
        log.warning("lost the frontend, connecting again", frontend=self.address, why=why)
        self._tries = 1
        self._delays = backoff_delays(FIRST_DELAY_S, MOST_DELAY_S)
        self._give_up_at = trio.current_time() + self._again_s


async def unless_stopped(stop: Stop, function: Callable[[], Awaitable[T]]) -> T | None:
    """Await ``function()``; return None if the stop is requested before it ends."""
    result: T | None = None
    error: Exception | None = None
    async with trio.open_nursery() as nursery:

        async def end_at_stop() -> None:
            await stop.requested.wait()
            nursery.cancel_scope.cancel(reason="the stop was requested")

        nursery.start_soon(end_at_stop)
        try:
            result = await function()
        except Exception as exc:  # noqa: BLE001 - out of the nursery it would come in a group
            error = exc
        # The nursery ends at once now; a cancellation from outside must not lose the result,
        # which may be a connection, in this moment.
        nursery.cancel_scope.shield = True
        nursery.cancel_scope.cancel(reason="done")
    if error is not None:
        raise error
    return result
