"""Looking at the shared queues, and clearing them, from outside of any frontend."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import attrs
import trio

from scalab.redis.errors import UnavailableError, refused
from scalab.redis.resp import Reply, ReplyError

from .operations import Connected, Disconnected, Event
from .settings import StoreSettings
from .store import Store

CONNECT_S = 5.0
"""The store has so long to be there."""
PIECE = 200
"""Items that are ended at once; the store does nothing else meanwhile."""

T = TypeVar("T")


@attrs.frozen
class Stats:
    """A queue, over all frontends."""

    waiting: int
    running: int
    oldest_s: float
    """How long the head of the line has waited."""
    frontends: int
    """That are alive."""
    dead: int
    """Lost items that are still listed."""
    counts: dict[str, int]
    """Since the store has had the queue: enqueued, delivered, done, cancelled, lost, rejected,
    redelivered, expired (leases), stale (replies without a lease), dropped (nobody was left to
    tell)."""


@attrs.frozen
class Dead:
    """An item that was lost."""

    id: str
    at_s: float
    """When, by the store's clock, in seconds since 1970."""
    attempts: int
    why: str
    """What happened to its last attempt."""
    body: bytes
    """What was asked for."""


class Admin:
    """One connection to the store. All raises UnavailableError if that is lost."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def stats(self, queue: str) -> Stats:
        """Look at a queue."""
        waiting, running, oldest, frontends, dead, counts = await self._run(queue, "stats")
        pairs = zip(counts[::2], counts[1::2], strict=True)
        named = {name.decode(): int(number) for name, number in pairs}
        return Stats(waiting, running, oldest / 1e6, frontends, dead, named)

    async def dead(self, queue: str, most: int = 100) -> list[Dead]:
        """Return the items that were lost last, the last one first."""
        found = []
        for _, fields in await self._run(queue, "dead", most):
            words: dict[bytes, Any] = dict(zip(fields[::2], fields[1::2], strict=True))
            id_, why = (words[name].decode("utf-8", "replace") for name in (b"id", b"why"))
            at_s, attempts = int(words[b"at"]) / 1e6, int(words[b"att"])
            found.append(Dead(id_, at_s, attempts, why, words[b"body"]))
        return found

    async def forget_dead(self, queue: str) -> int:
        """Empty the list of the lost, and return how long it was."""
        number: int = await self._run(queue, "forget")
        return number

    async def purge(self, queue: str) -> int:
        """Cancel all that waits now; its clients are told. Return how many items that were.

        What comes in meanwhile may be among them.
        """
        left, ended = (await self.stats(queue)).waiting, 0
        while left > 0 and (number := await self._run(queue, "purge", min(left, PIECE))):
            left, ended = left - number, ended + number
        return ended

    async def _run(self, queue: str, script: str, *args: int) -> Reply:
        (reply,) = await self._store.run_scripts([(queue, script, args)])
        if isinstance(reply, ReplyError):
            raise refused(reply)
        return reply


async def administer(settings: StoreSettings, act: Callable[[Admin], Awaitable[T]]) -> T:
    """Connect to the store, and return what ``act`` returns.

    Raises:
        UnavailableError: The store is not there, or was lost.
    """
    result: list[T] = []
    error: Exception | None = None
    async with trio.open_nursery() as nursery:
        try:
            result.append(await act(Admin(await _connected(settings, nursery))))
        except Exception as exc:  # noqa: BLE001 - out of the nursery it would come in a group
            error = exc
        nursery.cancel_scope.cancel(reason="all is done")
    if error is not None:
        raise error
    return result[0]


async def _connected(settings: StoreSettings, nursery: trio.Nursery) -> Store:
    connected, errors = trio.Event(), ["no answer"]

    def tell(event: Event) -> None:
        if isinstance(event, Connected):
            connected.set()
        elif isinstance(event, Disconnected):
            errors.append(event.reason)

    store = Store(settings, "admin", ())
    await store.check()  # says at once what will never work
    nursery.start_soon(store.run, tell)
    with trio.move_on_after(CONNECT_S):
        await connected.wait()
        return store
    raise UnavailableError("connect", errors[-1])
