"""A run at work, for who watches and controls it: the control port and the terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf

import trio

from scalab.load.scenario import OpenLoad
from scalab.measure.batches import Estimate
from scalab.measure.statistics import Statistics
from scalab.report.model import estimate_throughput
from scalab.runfile.records import Header
from scalab.runtime.lag import LagMonitor
from scalab.runtime.service import Stop
from scalab.scaling.autoscale import AutoscaleReport
from scalab.verdict.checks import Facts, run_checks
from scalab.verdict.results import Checked, Judged
from scalab.verdict.thresholds import Threshold, crossed, judge, judge_all

from .load import Load
from .recording import Recording
from .watched import describe_level


def _none() -> None:
    """Return nothing: no autoscaler is watched."""


class LiveRun:
    """What is known of a run and may be done to it while it goes on.

    Args:
        load: What makes the requests.
        header: What was asked for.
        interval_s: How often the counts are recorded.
        stop: Requested to end the run.
    """

    def __init__(self, load: Load, header: Header, interval_s: float, stop: Stop) -> None:
        self.load = load
        self.recording = Recording(load, header, interval_s)
        self.unwritten = 0
        """Records that the run file lacks."""
        self.lag = LagMonitor()
        self.autoscaler: Callable[[], AutoscaleReport | None] = _none
        """Tells what an autoscaler makes of the load; set by who watches one."""
        self._aborted = 0
        self._oldest_s: float | None = None
        self._stop = stop
        self._thresholds = [Threshold.parse(text) for text in load.scenario.thresholds]
        self._paused_at: float | None = None

    # --- what may be done ---------------------------------------------------------------------

    def set_level(self, level: float) -> float:
        """Change the load, begin a new window, and return the level in force."""
        now = trio.current_time()
        self._paused_at = None
        in_force = self._change(level, now)
        self.recording.new_window(now)
        return in_force

    def set_parallel(self, n: int) -> int:
        """Change the parallelism of a closed loop likewise."""
        return int(self.set_level(n))

    def _change(self, level: float, now: float) -> float:
        self.recording.cut(now)
        in_force = self.load.set_level(level, now)
        self.recording.load_changed(now)
        text = f"asked for {describe_level(in_force, open_loop=self.open_loop)}"
        self.recording.event("load", text, in_force)
        return in_force

    def reset(self) -> None:
        """Begin a new measuring window."""
        now = trio.current_time()
        self.recording.cut(now)
        self.recording.new_window(now)
        self.recording.event("reset", "a new measuring window has begun")

    def pause(self) -> None:
        """Send nothing until ``resume``; what is measured stays, the pause is left out of it."""
        level = self.level
        if not self.paused and level:
            self._change(0, trio.current_time())
            self._paused_at = level

    def resume(self) -> None:
        """Go on with the level from before the pause."""
        if self._paused_at is not None:
            level, self._paused_at = self._paused_at, None
            self._change(level, trio.current_time())

    def stop(self) -> None:
        """End the run, as the first signal does."""
        self._stop.requested.set()

    # --- judging ------------------------------------------------------------------------------

    def judged(self) -> Sequence[Judged]:
        """Return what becomes of the thresholds, by what is measured so far."""
        return judge_all(self._thresholds, self.recording.measured)

    def checks(self) -> Sequence[Checked]:
        """Return what the self-checks find so far."""
        load = self.load.scenario.load
        return run_checks(
            Facts(
                window=self.recording.measured,
                open_loop=self.open_loop,
                poisson=isinstance(load, OpenLoad) and load.arrival == "poisson",
                lag_max_s=self.lag.max_s,
                aborted=self._aborted,
                oldest_s=self._oldest_s,
                unwritten=self.unwritten,
            )
        )

    def crossed(self) -> Judged | None:
        """Return the threshold because of which the run must end now."""
        measured = self.recording.measured
        threshold = crossed(self._thresholds, measured)
        return None if threshold is None else judge(threshold, measured)

    def finish(self, reason: str, error: str = "") -> int:
        """End the record; return how many requests are given up."""
        self._oldest_s = self.load.oldest_s(trio.current_time())
        self._aborted = self.load.tally.aborted()
        self.recording.cut(trio.current_time())
        self.recording.finish(reason, error, self.judged(), self.checks())
        return self._aborted

    # --- what is shown ------------------------------------------------------------------------

    @property
    def title(self) -> str:
        """The queues."""
        return ", ".join(self.load.queues)

    @property
    def queue(self) -> str:
        """The queues."""
        return self.title

    @property
    def run_id(self) -> str:
        """Names the run."""
        return self.recording.header.id

    @property
    def phase(self) -> str:
        """The present phase; "" before the run has begun."""
        return self.recording.phase

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run's start."""
        return self.recording.seconds(trio.current_time())

    @property
    def remaining_s(self) -> float | None:
        """Seconds until the load ends; None if it has no end."""
        left = self.recording.ends_at - trio.current_time()
        return None if left == inf else max(left, 0.0)

    @property
    def open_loop(self) -> bool:
        """Whether the level is a rate."""
        return self.load.is_open

    @property
    def level(self) -> float:
        """The level asked for now: parallel requests, or a rate per second."""
        return self.load.level(trio.current_time())

    @property
    def level_max(self) -> float:
        """The most that can be asked for."""
        return self.load.level_max

    @property
    def parallel(self) -> int:
        """Requests in parallel, as now in force; in an open loop, those in flight."""
        return self.in_flight if self.open_loop else int(self.level)

    @property
    def parallel_max(self) -> int:
        """The most that there may be."""
        return int(self.level_max)

    @property
    def recent_rate(self) -> float:
        """Completions per second over about the last two seconds."""
        return self.load.tally.recent_rate(trio.current_time())

    @property
    def recent_failure_rate(self) -> float:
        """Failed requests per second, likewise."""
        return self.load.tally.recent_failure_rate(trio.current_time())

    @property
    def rates(self) -> Sequence[float]:
        """Completions per second of the last intervals."""
        return self.recording.rates

    @property
    def in_flight(self) -> int:
        """Requests sent and not yet ended."""
        return self.load.in_flight

    @property
    def autoscale(self) -> AutoscaleReport | None:
        """What an autoscaler makes of the load so far, if one is watched."""
        return self.autoscaler()

    @property
    def connected(self) -> bool:
        """Whether there is a session with the frontend (classic: whether one could be made)."""
        return self.load.connections > 0

    @property
    def paused(self) -> bool:
        """Whether nothing is sent until it is resumed."""
        return self._paused_at is not None

    @property
    def events(self) -> Sequence[str]:
        """The last things that happened."""
        return self.recording.events

    def statistics(self, *, places: bool = True) -> Statistics:
        """Return what is measured so far; of the present phase, while nothing is measured."""
        return self.recording.statistics(trio.current_time(), places=places)

    def throughput(self) -> Estimate:
        """Return the measured throughput, with how sure it is."""
        return estimate_throughput(self.recording.measured, self.recording.run().stages)
