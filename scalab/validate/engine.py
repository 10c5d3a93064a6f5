"""What makes the load of a validation: our own load engine, or a client that runs elsewhere."""

from __future__ import annotations

from typing import Protocol

import trio

from scalab.client.liverun import LiveRun
from scalab.measure.statistics import Statistics
from scalab.measure.window import Window
from scalab.verdict.results import Checked


class Engine(Protocol):
    """A closed loop whose parallelism can be changed, and what it measures."""

    @property
    def in_flight(self) -> int:
        """Requests without an answer."""

    @property
    def window(self) -> Window:
        """What was measured since the last reset, up to the last ``look``."""

    async def set_parallel(self, n: int) -> None:
        """Ask for so many requests in parallel."""

    async def until_idle(self) -> None:
        """Wait until nothing is in flight."""

    async def reset(self) -> None:
        """Begin to measure."""

    async def look(self) -> None:
        """Bring ``window`` up to date."""

    async def statistics(self) -> Statistics:
        """Return what was measured, with places."""

    def checks(self) -> tuple[Checked, ...]:
        """Return what the self-checks find."""


class OwnEngine:
    """The load engine in this process."""

    def __init__(self, run: LiveRun) -> None:
        self._run = run

    @property
    def in_flight(self) -> int:
        """Requests without an answer."""
        return self._run.in_flight

    @property
    def window(self) -> Window:
        """What was measured since the last reset, up to the last ``look``."""
        return self._run.recording.measured

    async def set_parallel(self, n: int) -> None:
        """Ask for so many requests in parallel."""
        self._run.set_parallel(n)

    async def until_idle(self) -> None:
        """Wait until nothing is in flight."""
        await self._run.load.until_idle()

    async def reset(self) -> None:
        """Begin to measure."""
        self._run.reset()

    async def look(self) -> None:
        """Bring ``window`` up to date."""
        self._run.recording.cut(trio.current_time())

    async def statistics(self) -> Statistics:
        """Return what was measured, with places."""
        return self._run.recording.measured.statistics()

    def checks(self) -> tuple[Checked, ...]:
        """Return what the self-checks find."""
        return tuple(self._run.checks())
