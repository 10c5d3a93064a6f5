"""Waiting for what no descriptor tells."""

from __future__ import annotations

from collections.abc import Callable

import trio

_LONGEST_S = 0.5


async def poll_until(done: Callable[[], bool], pause_s: float) -> None:
    """Look again and again, less and less often, until ``done``; for as long as that may take.

    Args:
        done: Looks; cheap, and it doesn't block.
        pause_s: The first pause in seconds; each is twice as long as the one before.
    """
    while not done():
        await trio.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_S)
