"""The record of a run while it goes on.

Counts are cut into intervals, each of one phase; an interval goes into the record that is held in
memory and, if there is a run file, into that. All figures are drawn from the record, so that they
are the same while the run goes on, at its end, and from the file afterwards.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from math import floor, inf

import trio

from scalab.load.phases import Phases
from scalab.measure.aggregate import Aggregate, exhaust
from scalab.measure.interval import DRAIN, MEASURE, Interval
from scalab.measure.statistics import Statistics
from scalab.measure.window import Window
from scalab.runfile.reading import Run, RunBuilder
from scalab.runfile.records import End, Event, Header, Record
from scalab.verdict.results import Checked, Judged

from .header import begun
from .load import Load

_LATELY = 60
_EVENTS = 5
_INSTANT_S = 1e-9
_NOTHING = Aggregate()


def _ignore(_interval: Interval) -> None:
    """Do nothing."""


class Recording:
    """Cuts a load's counts into intervals and keeps them.

    Args:
        load: What makes the requests.
        header: The first record.
        interval_s: How often the counts are cut.
    """

    def __init__(self, load: Load, header: Header, interval_s: float) -> None:
        self.load = load
        self.header = header
        self.unwritten: deque[Record] = deque()
        """What the run file doesn't have yet."""
        self.rates: deque[float] = deque(maxlen=_LATELY)
        """Completions per second of the last intervals."""
        self.events: deque[str] = deque(maxlen=_EVENTS)
        """The last things that happened."""
        self.on_interval: Callable[[Interval], None] = _ignore
        """Called with each interval when it is closed."""
        self.phase = ""
        """The present one; "" before the run has begun."""
        self._interval_s = interval_s
        self._record = RunBuilder(header)
        self._before: list[Record] = []  # the run has begun
        self._has_header = False
        self._window = 0
        self._present = Window()  # of the phase, which may be one that doesn't count
        self._phases: Phases | None = None
        self._merging: Iterator[None] = iter(())
        self._cut_at = self._begun = trio.current_time()
        self._cpu_s = time.process_time()
        self._stage, self._level, self._changes_at = 0, 0.0, inf

    # --- the run's clock -----------------------------------------------------------------------

    def begin(self) -> None:
        """Start the clock of the run: the load has begun."""
        load, scenario = self.load, self.load.scenario
        self._begun = self._cut_at = load.began
        self._cpu_s = time.process_time()
        self._phases = Phases.of(
            scenario.load.stages,
            load.curve,
            warm_up_s=scenario.warm_up_s,
            ends_at=load.began + scenario.end_s,
        )
        self._write_header(begun(self.header))
        self._enter(load.began)

    def _write_header(self, header: Header) -> None:
        self.header, self._record, self._has_header = header, RunBuilder(header), True
        self.unwritten.append(header)
        for record in self._before:
            self.add(record)

    def seconds(self, at: float) -> float:
        """Return a time of the monotonic clock as seconds since the run's start."""
        return max(at - self._begun, 0.0) if self._phases else 0.0

    @property
    def ends_at(self) -> float:
        """When the load ends, by the monotonic clock; infinite if it has no end."""
        return self._phases.ends_at if self._phases else inf

    def next_cut(self, now: float) -> float:
        """Return when ``cut`` is due: at the interval's end, or where the phase changes."""
        passed = floor((now - self._begun + _INSTANT_S) / self._interval_s)
        due = self._begun + (passed + 1) * self._interval_s
        return min(due, self._phases.next_change(now)) if self._phases else due

    # --- intervals -----------------------------------------------------------------------------

    def cut(self, now: float) -> None:
        """Close the present interval, unless there is nothing to it, and begin the next one."""
        if self._phases is None:
            return
        self._take_events()
        self.load.settle(now)
        if now <= self._cut_at and not self._counted():
            return
        cpu_s = time.process_time()
        interval = Interval(
            from_s=self.seconds(self._cut_at),
            to_s=self.seconds(now),
            phase=self.phase,
            window=self._window,
            stage=self._stage,
            level_from=self._level,
            level_to=self._level_before(now),
            cpu_s=cpu_s - self._cpu_s,
            outstanding=sum(self.load.tally.outstanding),
            queues=self.load.tally.cut(),
        )
        self._cut_at, self._cpu_s = now, cpu_s
        self._start_adding(interval)
        if self.phase != MEASURE:
            self._present.add(interval)
        self.on_interval(interval)
        if interval.duration_s:
            self.rates.append(interval.whole.completed / interval.duration_s)
        self._enter(now)

    def _counted(self) -> bool:
        """Whether anything was counted since the last cut."""
        return any(part != _NOTHING for part in self.load.tally.current().values())

    def _level_before(self, now: float) -> float:
        """Return the level just before ``now``, or before the stage ended, if a cut is late."""
        end = min(now, self._changes_at) - _INSTANT_S
        return self.load.curve.level(max(end, self._cut_at))

    def _enter(self, now: float) -> None:
        """Begin an interval, and find out which phase it is in."""
        if self._phases is None:
            return
        phase = DRAIN if self.load.closing else self._phases.at(now)
        if phase != self.phase:
            self.phase, self._present = phase, Window()
        self._stage = self._phases.stage_at(now)
        self._changes_at = self._phases.next_change(now)
        self._level = self.load.curve.level(now)

    def load_changed(self, now: float) -> None:
        """Take note that the load follows another curve from ``now`` on, where it was cut."""
        if self._phases is not None:
            self._phases = self._phases.changed(self.load.curve)
            self._enter(now)

    def new_window(self, now: float) -> None:
        """Begin a new measuring window at ``now``, where it was cut."""
        self.load.tally.cut()  # what came in at this very moment
        self._window += 1
        self._present = Window()
        self._enter(now)

    # --- the record ----------------------------------------------------------------------------

    def _start_adding(self, interval: Interval) -> None:
        self.merge_all()
        self._merging = self._record.adding(interval)
        self.unwritten.append(interval)

    async def merge(self) -> None:
        """Take in what was cut, a bit at a time: of thousands of requests it takes 10 ms."""
        for _ in self._merging:
            await trio.lowlevel.checkpoint()

    def merge_all(self) -> None:
        """Take in what was cut, before it is read."""
        exhaust(self._merging)

    def add(self, record: Record) -> None:
        """Append a record."""
        if not self._has_header:
            self._before.append(record)
            return
        self.merge_all()
        self._record.add(record)
        self.unwritten.append(record)

    def event(self, kind: str, text: str, level: float | None = None) -> None:
        """Put on record that something happens now."""
        self._add_event(trio.current_time(), kind, text, level)

    def _add_event(self, at: float, kind: str, text: str, level: float | None = None) -> None:
        self.events.append(text)
        self.add(Event(at_s=self.seconds(at), kind=kind, text=text, level=level))

    def _take_events(self) -> None:
        for at, kind, text in self.load.happened:
            self._add_event(at, kind, text)
        self.load.happened.clear()

    def close(self) -> None:
        """Send nothing more: what still comes is no longer measured."""
        now = trio.current_time()
        self.cut(now)
        self.load.closing = True
        self._enter(now)

    def finish(
        self, reason: str, error: str, thresholds: Sequence[Judged], checks: Sequence[Checked]
    ) -> None:
        """End the record, also of a run that has not begun."""
        if self._phases is None:
            self._write_header(self.header)
        now = trio.current_time()
        self.cut(now)
        self._take_events()
        self.add(
            End(
                at_s=self.seconds(now),
                reason=reason,
                error=error,
                thresholds=tuple(thresholds),
                checks=tuple(checks),
            )
        )

    # --- reading -------------------------------------------------------------------------------

    @property
    def measured(self) -> Window:
        """What is judged: all that was measured in the present window, up to the last cut."""
        self.merge_all()
        return self._record.measured(self._window)

    def run(self) -> Run:
        """Return the whole record so far."""
        self.merge_all()
        return self._record.run()

    def statistics(self, now: float, *, places: bool) -> Statistics:
        """Return what is measured up to now; of the present phase, while nothing is measured."""
        measured, whole = self.measured, Aggregate()
        counting = self.phase == MEASURE
        shown = measured if counting or measured.duration_s else self._present
        duration_s, parts = shown.duration_s, list(shown.queues.values())
        if self._phases is not None and (counting or shown is self._present):
            duration_s += now - self._cut_at
            parts += self.load.tally.current().values()
        for part in parts:
            whole.merge(part, places=places)
        return whole.statistics(duration_s, self.load.in_flight, places=places)
