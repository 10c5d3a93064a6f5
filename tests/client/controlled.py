"""A client to be watched and controlled, without one at work."""

from __future__ import annotations

from typing import Any

import attrs

from scalab.measure.statistics import ErrorCount, Place, Spread, Statistics
from scalab.measure.window import Window
from scalab.runfile.reading import Run, RunBuilder
from scalab.scaling.autoscale import AutoscaleReport
from tests.report.sample_runs import header

SPREAD = Spread(90, 0.5, 1.0, 2.0, 1.0, 1.5, 1.6, 1.8, 1.9)


def place(name: str, **more: Any) -> Place:
    steps = ((0.5, 1.0, 30), (1.0, 2.0, 60))
    return attrs.evolve(Place(name, served=90, failed=1, run=SPREAD, histogram=steps), **more)


BUSY = Statistics(
    window_s=60.0,
    outstanding=4,
    completed=90,
    succeeded=88,
    failed=3,
    failures={"failure": 2, "disconnected": 1},
    throughput=1.5,
    wait=SPREAD,
    run=SPREAD,
    overhead=SPREAD,
    total=SPREAD,
    nodes=(place("node-a", devices=("card0", "card1"), pods=("pod-x",)),),
    devices=(place("card0", pods=("pod-x",)), place("card1")),
    pods=(place("pod-x", devices=("card0",), errors=(ErrorCount("exit 3", 2),)),),
    errors=(ErrorCount("exit 3", 2),),
    attempts_max=2,
)

EMPTY = Statistics.empty()


@attrs.define
class FakeRecording:
    """The record of a run, of which nothing was measured yet, or of one that was."""

    built: Run = attrs.Factory(lambda: RunBuilder(header()).run())

    def run(self) -> Run:
        return self.built

    @property
    def measured(self) -> Window:
        return self.built.measured


@attrs.frozen
class FakeLag:
    max_s: float = 0.001


@attrs.define
class FakeClient:
    """A client that notes what it is told."""

    queue: str = "media"
    parallel: int = 4
    parallel_max: int = 16
    shown: Statistics = BUSY
    online: bool = True
    resets: int = 0
    open_loop: bool = False
    level: float = 4.0
    run_id: str = "7f3a91c2"
    phase: str = "measure"
    paused: bool = False
    elapsed_s: float = 63.0
    remaining_s: float | None = 57.0
    in_flight: int = 4
    autoscale: AutoscaleReport | None = None
    recent_rate: float = 1.4
    lag: FakeLag = FakeLag()
    unwritten: int = 0
    recording: FakeRecording = attrs.Factory(FakeRecording)
    changes: list[int] = attrs.Factory(list)
    looks: int = 0

    def set_parallel(self, n: int) -> int:
        self.changes.append(n)
        self.parallel = n
        self.level = n
        return n

    def set_level(self, level: float) -> float:
        self.level = level
        return level

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def reset(self) -> None:
        self.resets += 1

    def statistics(self, *, places: bool = True) -> Statistics:
        self.looks += 1
        return self.shown

    @property
    def connected(self) -> bool:
        return self.online
