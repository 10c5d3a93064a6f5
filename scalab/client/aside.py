"""Drawing in a thread, so that the load doesn't wait for it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar, TypeVarTuple

import trio

SWITCH_S: Final = 0.0005
"""How long a thread that draws may keep the interpreter from the thread that sends."""

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Aside:
    """Runs functions in a thread, one at a time: more would only take turns."""

    def __init__(self) -> None:
        self._limiter = trio.CapacityLimiter(1)

    async def __call__(self, draw: Callable[[*Ts], T], *args: *Ts) -> T:
        """Return what ``draw`` returns."""

        def run() -> T:
            with _yielding():
                return draw(*args)

        return await trio.to_thread.run_sync(run, limiter=self._limiter)


@contextmanager
def _yielding() -> Iterator[None]:
    """Let the other thread have the interpreter soon when it needs it.

    By default a thread may keep it for 5 ms, by which each request that is due would be late.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
