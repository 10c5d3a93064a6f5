"""A run at one moment, in a form that a thread may read while the run goes on.

What is recorded changes with every interval, so a thread needs a copy. With hundreds of places,
making it takes some milliseconds, in which nothing is sent; so it is made in slices, and again if
an interval was added in between. Intervals that are complete hardly ever change, and then in their
times, too: each is copied once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from typing import Final, TypeVar

import attrs
import trio

from scalab.measure.aggregate import HISTOGRAMS, KINDS, Aggregate, PlaceAggregate
from scalab.measure.histogram import Histogram
from scalab.measure.interval import Interval
from scalab.measure.statistics import Statistics
from scalab.measure.timeline import Timeline
from scalab.measure.window import Window
from scalab.runfile.reading import Run
from scalab.scaling.autoscale import AutoscaleReport

from .controlled import Controlled

SLICE: Final = 16
"""Places, or intervals, that are copied before others get their turn."""
ATTEMPTS: Final = 3
"""After so many, a copy is made in one go."""

T = TypeVar("T")
Copying = Generator[None, None, T]
"""Makes a copy; others may go on at each step."""


@attrs.frozen(kw_only=True)
class Snapshot:
    """What is known of a client and its run at one moment."""

    queue: str
    run_id: str
    phase: str
    elapsed_s: float
    remaining_s: float | None
    connected: bool
    paused: bool
    open_loop: bool
    level: float
    """What is asked for: requests in parallel, or per second."""
    parallel: int
    parallel_max: int
    in_flight: int
    recent_rate: float
    run: Run
    """The record; a copy."""
    present: Statistics | None
    """Of the present phase, if nothing is measured yet."""
    lag_max_s: float
    """The longest that the client's event loop was late."""
    unwritten: int
    """Records that the run file lacks."""
    autoscale: AutoscaleReport | None = None
    """What an autoscaler makes of the load, if one is watched."""


class Snapshots:
    """Takes snapshots of a client, and keeps what can be used again for the next one.

    Args:
        client: Of which.
    """

    def __init__(self, client: Controlled) -> None:
        self._client = client
        self._timeline = _Copies()
        self._measured = _WindowCopies()
        self._stages: dict[int, _WindowCopies] = {}

    async def take(self) -> Snapshot:
        """Return a snapshot."""
        await trio.lowlevel.checkpoint()
        for _ in range(ATTEMPTS):
            before, copying = self._version(), self._copy()
            try:
                while self._version() == before:
                    next(copying)
                    await trio.lowlevel.checkpoint()
            except StopIteration as done:
                return self._snapshot(done.value)
        return self._snapshot(_in_one_go(self._copy()))

    def _version(self) -> tuple[float, ...]:
        """Return what is another whenever something was added to the record."""
        last = deque(self._client.recording.run().timeline, maxlen=1)
        return tuple(n for interval in last for n in (interval.to_s, *_counted(interval.queues)))

    def _copy(self) -> Copying[Run]:
        recording = self._client.recording
        run, measured = recording.run(), recording.measured
        stages = run.stages if measured.duration_s else {}
        self._stages = {index: self._stages.get(index) or _WindowCopies() for index in stages}
        copied = {}
        for index, window in stages.items():
            copied[index] = yield from self._stages[index].of(window)
        return attrs.evolve(
            run,
            timeline=(yield from self._timeline.of(run.timeline)),
            measured=(yield from self._measured.of(measured)),
            stages=copied,
            whole=Aggregate(),  # no page shows it
        )

    def _snapshot(self, run: Run) -> Snapshot:
        client = self._client
        return Snapshot(
            queue=client.queue,
            run_id=client.run_id,
            phase=client.phase,
            elapsed_s=client.elapsed_s,
            remaining_s=client.remaining_s,
            connected=client.connected,
            paused=client.paused,
            open_loop=client.open_loop,
            level=client.level,
            parallel=client.parallel,
            parallel_max=client.parallel_max,
            in_flight=client.in_flight,
            recent_rate=client.recent_rate,
            run=run,
            present=None if run.measured.duration_s else client.statistics(),
            lag_max_s=client.lag.max_s,
            unwritten=client.unwritten,
            autoscale=client.autoscale,
        )


class _Copies:
    """Copies of intervals, each made again only if it has changed."""

    def __init__(self) -> None:
        self._made: list[tuple[Interval, Interval]] = []  # of what, the copy

    def of(self, intervals: Timeline) -> Copying[Timeline]:
        """Make a copy of a timeline, to be read only."""
        # The last one may have grown since, and the present one still may.
        made = self._made[: max(min(len(self._made), len(intervals)) - 1, 0)]
        now: list[tuple[Interval, Interval]] = []
        for i, interval in enumerate(intervals):
            of, copy = made[i] if i < len(made) else (None, interval)
            # Where neighbours were merged, the first of them has grown.
            if of is not interval or copy.to_s != interval.to_s:
                copy = _interval(interval)
                if i % SLICE == 0:
                    yield
            now.append((interval, copy))
        self._made = now
        return _Held([copy for _, copy in now])


class _Held(Timeline):
    """A timeline of intervals that are there already."""

    def __init__(self, intervals: list[Interval]) -> None:
        super().__init__(max(len(intervals), 2))
        self._intervals = intervals


class _WindowCopies:
    """Copies of a window, made again only if it has changed."""

    def __init__(self) -> None:
        self._groups = _Copies()
        self._of: Window | None = None
        self._counted: tuple[float, ...] = ()
        self._copy = Window()

    def of(self, window: Window) -> Copying[Window]:
        """Make a copy, to be read only."""
        counted = (window.duration_s, *_counted(window.queues))
        if self._of is not window or self._counted != counted:
            queues = {}
            for name, aggregate in window.queues.items():
                queues[name] = yield from _aggregate(aggregate)
            groups = yield from self._groups.of(window.groups)
            self._copy = attrs.evolve(window, queues=queues, groups=groups)
            self._of, self._counted = window, counted
        return self._copy


def _counted(queues: dict[str, Aggregate]) -> list[int]:
    return [queue.sent + queue.ended for queue in queues.values()]


def _in_one_go(copying: Copying[T]) -> T:
    try:
        while True:
            next(copying)
    except StopIteration as done:
        copy: T = done.value
        return copy


def _interval(interval: Interval) -> Interval:
    queues = {name: _in_one_go(_aggregate(queue)) for name, queue in interval.queues.items()}
    return attrs.evolve(interval, queues=queues)


def _aggregate(aggregate: Aggregate) -> Copying[Aggregate]:
    copy = attrs.evolve(aggregate, failures=dict(aggregate.failures), errors=dict(aggregate.errors))
    for name in HISTOGRAMS:
        setattr(copy, name, _histogram(getattr(aggregate, name)))
    for kind in KINDS:
        places: dict[str, PlaceAggregate] = getattr(aggregate, kind)
        setattr(copy, kind, (yield from _each(places, _place)))
    return copy


def _each(of: dict[str, T], copy: Callable[[T], T]) -> Copying[dict[str, T]]:
    made = {}
    for i, (name, one) in enumerate(list(of.items())):
        made[name] = copy(one)
        if i % SLICE == SLICE - 1:
            yield
    return made


def _place(place: PlaceAggregate) -> PlaceAggregate:
    return PlaceAggregate(
        place.served,
        place.failed,
        _histogram(place.run),
        set(place.devices),
        set(place.pods),
        dict(place.errors),
    )


def _histogram(histogram: Histogram) -> Histogram:
    copy = Histogram(histogram.count, histogram.sum_us, histogram.min_us, histogram.max_us)
    copy.buckets.update(histogram.buckets)
    return copy
