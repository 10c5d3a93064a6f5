"""Drawing in a thread, so that the load doesn't wait for it."""

from __future__ import annotations

import gc
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
    """Keep a thread that draws from holding up the other one.

    By default a thread may keep the interpreter for 5 ms, by which each request that is due would
    be late. And it makes so many objects that all of the heap would be searched for garbage again
    and again, which stops all threads for tens of milliseconds; none of what it makes needs that.
    """
    switch_s, collects = sys.getswitchinterval(), gc.isenabled()
    sys.setswitchinterval(SWITCH_S)
    gc.disable()
    try:
        yield
    finally:
        sys.setswitchinterval(switch_s)
        if collects:
            gc.enable()
