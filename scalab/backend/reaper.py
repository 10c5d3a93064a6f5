"""What process 1 of a container owes to others: to reap the orphans that it is given."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection
from pathlib import Path

import trio

EVERY_S = 1.0


async def reap_orphans(ours: Callable[[], Collection[int]]) -> None:
    """Reap ended processes that left their workload's session, until cancelled.

    Does nothing unless this is process 1.

    Args:
        ours: Called for the children that somebody else waits for.
    """
    if os.getpid() != 1:
        return
    while True:
        await trio.sleep(EVERY_S)
        for child in _children() - set(ours()):
            _reap(child)


def _children() -> set[int]:
    return set(map(int, Path("/proc/self/task/1/children").read_text().split()))


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
