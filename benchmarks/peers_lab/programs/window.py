"""The closed loop that every client keeps, and the window in which it counts.

The times of the window come from a thread that sleeps, so that they are the same for clients on
asyncio, on Trio and on threads. It tells the program that measures when the window opens and
closes, a JSON line each, so that CPU time and memory are read over the same window.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

PAYLOAD = b'["0"]'
"""The arguments of each request, for peers that send bytes as they are."""


class Window:
    """Counts what is answered between the warm-up and the end.

    Args:
        in_flight: Requests at once.
        warm_up_s: Time that isn't counted, in seconds.
        seconds: Time that is.
    """

    def __init__(self, in_flight: int, warm_up_s: float, seconds: float) -> None:
        self.in_flight = in_flight
        self.over = False
        """Whether no more requests are to be sent."""
        self._warm_up_s, self._seconds = warm_up_s, seconds
        self._open = False
        self._opened_at = self._closed_at = 0.0
        self._times: list[float] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Start the warm-up."""
        self._thread.start()

    def add(self, sent_at: float) -> None:
        """Count a request that is answered now.

        Args:
            sent_at: When it was sent, by ``time.perf_counter``.
        """
        if self._open:
            self._times.append(time.perf_counter() - sent_at)

    def report(self) -> None:
        """Tell the result, after the end."""
        self._thread.join()
        times = sorted(self._times)
        per_s = len(times) / (self._closed_at - self._opened_at)
        say({"mark": "result", "requests": len(times), "per_s": per_s} | quantiles(times))

    def _run(self) -> None:
        time.sleep(self._warm_up_s)
        self._opened_at, self._open = time.perf_counter(), True
        say({"mark": "begin"})
        time.sleep(self._seconds)
        self._open, self._closed_at = False, time.perf_counter()
        say({"mark": "end"})
        self.over = True


def quantiles(ordered: list[float]) -> dict[str, float]:
    """Return the p50 and the p99 of sorted times; none if there are none."""
    if not ordered:
        return {}
    last = len(ordered) - 1
    return {
        f"p{percent}_s": ordered[min(len(ordered) * percent // 100, last)] for percent in (50, 99)
    }


def say(message: dict[str, object]) -> None:
    """Tell the program that measures something."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def window(arguments: list[str]) -> Window:
    """Make a window of IN_FLIGHT, WARM_UP and SECONDS, as they stand on the command line."""
    in_flight, warm_up_s, seconds = arguments
    return Window(int(in_flight), float(warm_up_s), float(seconds))


async def ask_by_tasks(window: Window, ask: Callable[[], Awaitable[object]]) -> None:
    """Keep the closed loop with asyncio tasks; ``ask`` sends a request and awaits its answer."""

    async def keep_asking() -> None:
        while not window.over:
            sent_at = time.perf_counter()
            await ask()
            window.add(sent_at)

    await ask()  # all is connected now
    window.start()
    await asyncio.gather(*(keep_asking() for _ in range(window.in_flight)))
    window.report()


def ask_by_threads(window: Window, ask: Callable[[], object]) -> None:
    """Keep the closed loop with threads; ``ask`` sends a request and blocks until its answer.

    What a request raises is raised, as a peer that fails requests has no rate.
    """

    def keep_asking() -> None:
        while not window.over:
            sent_at = time.perf_counter()
            ask()
            window.add(sent_at)

    ask()  # all is connected now
    window.start()
    with ThreadPoolExecutor(window.in_flight) as pool:
        askers = [pool.submit(keep_asking) for _ in range(window.in_flight)]
    for asker in askers:
        asker.result()
    window.report()
