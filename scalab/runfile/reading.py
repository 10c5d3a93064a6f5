"""A run that was recorded, in bounded memory whatever its length."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import attrs

from scalab.load.phases import LIVE_STAGE
from scalab.measure.aggregate import Aggregate, exhaust
from scalab.measure.interval import DRAIN, MEASURE, Interval
from scalab.measure.statistics import Statistics
from scalab.measure.timeline import Timeline
from scalab.measure.window import GROUPS, Window

from .files import RunFile
from .grouping import grouped
from .order import Order
from .records import Decision, End, Event, Header, Record, StepResult, Validation
from .steps import Steps
from .timelines import CoarseMeasuredTimeline, CoarseTimeline, MeasuredTimeline

TIMELINE: Final = 600
"""Intervals over which a run is shown."""
MAX_EVENTS: Final = 500
"""Events kept at the beginning, and as many at the end."""
MAX_STAGES: Final = 200
MAX_EARLIER: Final = 20
"""Windows of which the figures are kept, of those before the last change or reset."""
_STAGE_GROUPS = 16  # of a stage's window: there may be many
_GROUP_BUCKETS = 512  # of a histogram: within 0.2 % over two octaves, 0.4 % over four
_MANY_STAGES = f"Figures by stage are of the first {MAX_STAGES} only."


@attrs.frozen(kw_only=True)
class Earlier:
    """What was measured before a change of load or a reset."""

    window: int
    from_s: float
    to_s: float
    level: float
    """What was asked for, on average."""
    statistics: Statistics
    """Without places."""

    @classmethod
    def of(cls, number: int, window: Window) -> Earlier:
        """Return the figures of a window in which something was measured."""
        return cls(
            window=number,
            from_s=window.from_s or 0.0,
            to_s=window.to_s,
            level=window.asked / window.duration_s if window.duration_s else 0.0,
            statistics=window.statistics(places=False),
        )


@attrs.define(kw_only=True)
class Run:
    """A run as it was recorded, or several clients' runs merged. Not to be changed."""

    header: Header
    timeline: Timeline
    """The whole run in at most ``TIMELINE`` intervals, to be drawn: see ``CoarseTimeline``."""
    measured: Window
    """What is judged: the phase ``measure`` since the last change of load or reset."""
    earlier: tuple[Earlier, ...] = ()
    """What was measured before such changes: the last ``MAX_EARLIER`` windows, in order."""
    earlier_left_out: int = 0
    whole: Aggregate
    """The counts of all of the run and all queues, what was not measured included."""
    stages: dict[int, Window]
    """What was measured in each stage of the scenario that held its level, without places."""
    events: tuple[Event, ...] = ()
    """The first and the last ``MAX_EVENTS``, in order."""
    events_left_out: int = 0
    """Events between those."""
    end: End | None = None
    """None when the client was killed."""
    truncated: bool = False
    """Whether the last line is cut off: the client was killed while it wrote that."""
    load_s: float = 0.0
    """When the load ended; what came after was waiting for outstanding replies."""
    problems: tuple[str, ...] = ()
    """What a reader of the figures must know, one line each."""
    parts: tuple[Header, ...] = ()
    """Of the runs that were merged; empty if this is one client's own."""
    steps: tuple[StepResult, ...] = ()
    """Of a validation, like the next two; empty if this is no validation's run."""
    decisions: tuple[Decision, ...] = ()
    validation: Validation | None = None
    """The verdict, with the steps and decisions; None if it ended before there was one."""

    def groups(self, k: int) -> list[Interval]:
        """Return the measured window in at most ``k`` parts of about equal length.

        Their times are by a clock that stands still while nothing is measured.

        Args:
            k: At most 64, into which the window is divided anyhow.
        """
        return grouped(self.measured.groups, k)


def read_run(path: Path | str) -> Run:
    """Read a run file, packed with gzip or not.

    Returns:
        The run; that of a killed client has no end.

    Raises:
        ConfigError: It can't be read, is no run file, or not one that this version reads; one
            line, which names the file and the line in it.
    """
    file = RunFile(path)
    header, records = file.begin()
    builder, order = RunBuilder(header), Order(header)
    for record in records:
        try:
            order.check(record)
        except ValueError as exc:
            raise file.error(str(exc)) from None
        builder.add(record)
    return builder.run(truncated=file.truncated)


class RunBuilder:
    """Makes a run of its records, one by one.

    Args:
        header: The first record.
    """

    def __init__(self, header: Header) -> None:
        self._header = header
        self._timeline = CoarseTimeline(TIMELINE)
        self._whole = Aggregate()
        self._measured = _new_window()
        self._window = 0
        self._stages: dict[int, Window] = {}
        self._stages_left_out = False
        self._earlier: deque[Earlier] = deque(maxlen=MAX_EARLIER)
        self._windows = 0
        self._first: list[Event] = []
        self._last: deque[Event] = deque(maxlen=MAX_EVENTS)
        self._events = 0
        self._end: End | None = None
        self._load_s = 0.0
        self._steps = Steps()

    def add(self, record: Record) -> None:
        """Add the next record; a header beyond the first says nothing new."""
        exhaust(self.adding(record))

    def adding(self, record: Record) -> Iterator[None]:
        """Do the same bit by bit: an interval of thousands of requests takes 20 ms."""
        if isinstance(record, Interval):
            yield from self._adding_interval(record)
        elif isinstance(record, Event):
            self._add_event(record)
        elif isinstance(record, StepResult | Decision | Validation):
            self._steps.add(record)
        elif isinstance(record, End):
            self._end = record

    def measured(self, window: int) -> Window:
        """Return what was measured in a window so far, if it is the latest one."""
        return self._measured if self._window == window else Window()

    def run(
        self,
        *,
        truncated: bool = False,
        problems: Iterable[str] = (),
        parts: Iterable[Header] = (),
    ) -> Run:
        """Return the run that the records so far make."""
        return Run(
            header=self._header,
            timeline=self._timeline,
            measured=self._measured,
            whole=self._whole,
            earlier=tuple(self._earlier),
            earlier_left_out=self._windows - len(self._earlier),
            stages=self._stages,
            events=tuple(sorted((*self._first, *self._last), key=lambda event: event.at_s)),
            events_left_out=self._events - len(self._first) - len(self._last),
            end=self._end,
            truncated=truncated,
            load_s=self._load_s,
            problems=(*problems, *([_MANY_STAGES] if self._stages_left_out else [])),
            parts=tuple(parts),
            steps=tuple(self._steps.steps),
            decisions=tuple(self._steps.decisions),
            validation=self._steps.validation,
        )

    def _adding_interval(self, interval: Interval) -> Iterator[None]:
        if interval.phase != DRAIN:
            self._load_s = interval.to_s
        for aggregate in interval.queues.values():
            self._whole.count(aggregate)
        if interval.phase == MEASURE:
            yield from self._measuring(interval)
        yield from self._timeline.adding(interval)

    def _measuring(self, interval: Interval) -> Iterator[None]:
        if interval.window != self._window:
            if self._measured.from_s is not None:
                self._earlier.append(Earlier.of(self._window, self._measured))
                self._windows += 1
            self._measured, self._stages = _new_window(), {}
            self._window = interval.window
        if interval.level_from == interval.level_to and interval.stage < LIVE_STAGE:
            yield from self._measuring_stage(interval)
        yield from self._measured.adding(interval)

    def _measuring_stage(self, interval: Interval) -> Iterator[None]:
        stages = self._header.scenario.load.stages
        if len(stages) == 1 and not stages[0].is_ramp and not interval.stage:
            self._stages[0] = self._measured  # which is of this stage alone
            return
        stage = self._stages.get(interval.stage)
        if stage is None:
            if len(self._stages) >= MAX_STAGES:
                self._stages_left_out = True
                return
            stage = self._stages[interval.stage] = Window(
                groups=CoarseMeasuredTimeline(_STAGE_GROUPS)
            )
        yield from stage.adding(_without_places(interval))

    def _add_event(self, event: Event) -> None:
        self._events += 1
        if len(self._first) < MAX_EVENTS:
            self._first.append(event)
        else:
            self._last.append(event)


def _new_window() -> Window:
    return Window(groups=MeasuredTimeline(GROUPS, buckets=_GROUP_BUCKETS))


def _without_places(interval: Interval) -> Interval:
    queues = {
        name: attrs.evolve(aggregate, nodes={}, devices={}, pods={})
        for name, aggregate in interval.queues.items()
    }
    return attrs.evolve(interval, queues=queues)
