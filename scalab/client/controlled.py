"""The client, as far as its control port knows it."""

from __future__ import annotations

from typing import Protocol

from scalab.measure.statistics import Statistics
from scalab.measure.window import Window
from scalab.runfile.reading import Run
from scalab.scaling.autoscale import AutoscaleReport


class Recorded(Protocol):
    """The record of a run while it goes on."""

    @property
    def measured(self) -> Window:
        """What was measured in the present window, up to the last cut."""

    def run(self) -> Run:
        """Return the whole record so far, which changes as the run goes on."""


class Lag(Protocol):
    """How late an event loop was."""

    @property
    def max_s(self) -> float:
        """The longest so far, in seconds."""


class Controlled(Protocol):
    """The client, as far as its control port knows it."""

    @property
    def queue(self) -> str:
        """Where its requests go."""

    @property
    def run_id(self) -> str:
        """Names the run."""

    @property
    def phase(self) -> str:
        """Which part of the run this is."""

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run's start."""

    @property
    def remaining_s(self) -> float | None:
        """Seconds until the load ends; None if it has no end."""

    @property
    def autoscale(self) -> AutoscaleReport | None:
        """What an autoscaler makes of the load so far, if one is watched."""

    @property
    def connected(self) -> bool:
        """Whether the frontend can be reached."""

    @property
    def paused(self) -> bool:
        """Whether nothing is sent because somebody asked for that."""

    @property
    def open_loop(self) -> bool:
        """Whether a rate is asked for, and no parallelism."""

    @property
    def level(self) -> float:
        """What is asked for now: requests in parallel, or per second."""

    @property
    def parallel(self) -> int:
        """Requests in parallel, as now in force; in an open loop, those in flight."""

    @property
    def parallel_max(self) -> int:
        """The most that there may be."""

    @property
    def in_flight(self) -> int:
        """Requests sent and not yet ended."""

    @property
    def recent_rate(self) -> float:
        """Completions per second over about the last two seconds."""

    @property
    def lag(self) -> Lag:
        """How late the client's event loop was."""

    @property
    def unwritten(self) -> int:
        """Records that the run file lacks."""

    @property
    def recording(self) -> Recorded:
        """What was recorded so far."""

    def statistics(self, *, places: bool = True) -> Statistics:
        """Return what is known of the present window, or of the phase while nothing counts."""

    def set_parallel(self, n: int) -> int:
        """Change the parallelism, begin a new window, and return what is in force."""

    def set_level(self, level: float) -> float:
        """Change the level, begin a new window, and return what is in force."""

    def pause(self) -> None:
        """Send nothing until ``resume``."""

    def resume(self) -> None:
        """Send again."""

    def reset(self) -> None:
        """Begin a new measuring window."""
