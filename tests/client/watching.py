"""A run to be watched, without one going on; and statistics of any size."""

from __future__ import annotations

import attrs

from scalab.errors import ConfigError
from scalab.measure.statistics import ErrorCount, Place, Spread, Statistics
from scalab.verdict.results import Checked, Judged


@attrs.frozen
class Estimate:
    mean: float
    low: float | None = None
    high: float | None = None


def spread(seconds: float, count: int = 1000) -> Spread:
    return Spread(
        count=count,
        min_s=seconds / 2,
        mean_s=seconds,
        max_s=seconds * 3,
        p50_s=seconds,
        p90_s=seconds * 1.2,
        p95_s=seconds * 1.5,
        p99_s=seconds * 2,
        p999_s=seconds * 2.5,
    )


def place(name: str, served: int = 100, failed: int = 0, run_s: float = 1.0) -> Place:
    steps = tuple((run_s * 2**i, run_s * 2 ** (i + 1), i) for i in range(12))
    return Place(name, served, failed, spread(run_s, served), steps)


def statistics(
    devices: tuple[Place, ...] = (),
    pods: tuple[Place, ...] = (),
    *,
    corrected: bool = False,
    **changed: object,
) -> Statistics:
    whole = Statistics(
        window_s=30.0,
        outstanding=49,
        completed=1500,
        succeeded=1497,
        failed=3,
        failures={"timeout": 2, "lost": 1},
        throughput=49.9,
        wait=spread(0.01),
        run=spread(1.0),
        overhead=spread(0.001),
        total=spread(1.01),
        corrected=spread(1.02) if corrected else Spread(),
        nodes=(place("node-a"),),
        devices=devices,
        pods=pods,
        errors=(ErrorCount("exit code 247: no such device", 2), ErrorCount("killed", 1)),
        sent=1549,
    )
    return attrs.evolve(whole, **changed)  # type: ignore[arg-type]


@attrs.define
class FakeRun:
    """Fulfils ``Watched``; notes what is asked of it."""

    title: str = "media, sleep"
    run_id: str = "7f3a91c2"
    phase: str = "measure"
    elapsed_s: float = 63.2
    remaining_s: float | None = 57.0
    open_loop: bool = False
    level: float = 50.0
    level_max: float = 200.0
    recent_rate: float = 50.1
    recent_failure_rate: float = 0.0
    rates: list[float] = attrs.field(factory=lambda: [40.0 + i % 15 for i in range(60)])
    in_flight: int = 49
    connected: bool = True
    paused: bool = False
    events: list[str] = attrs.field(factory=lambda: ["asked for 40", "asked for 50"])
    found: Statistics = attrs.field(factory=statistics)
    checked: list[Checked] = attrs.field(
        factory=lambda: [Checked(name="cpu", state="ok", text="12 % of a core")]
    )
    thresholds: list[Judged] = attrs.field(
        factory=lambda: [
            Judged(expression="total p95 < 2 s", ok=True, value="1.51 s"),
            Judged(expression="failed < 0.1 %", ok=False, value="0.20 %"),
        ]
    )
    estimate: Estimate | None = attrs.field(factory=lambda: Estimate(49.9, 49.5, 50.3))
    refuses: str = ""
    actions: list[str] = attrs.field(factory=list)
    looks: list[bool] = attrs.field(factory=list)

    def statistics(self, *, places: bool = True) -> Statistics:
        self.looks.append(places)
        if places:
            return self.found
        return attrs.evolve(self.found, nodes=(), devices=(), pods=())

    def throughput(self) -> Estimate | None:
        return self.estimate

    def checks(self) -> list[Checked]:
        return self.checked

    def judged(self) -> list[Judged]:
        return self.thresholds

    def set_level(self, level: float) -> None:
        if self.refuses:
            raise ConfigError(self.refuses)
        self.level = level
        self.actions.append(f"level {level:g}")

    def pause(self) -> None:
        self.paused = True
        self.actions.append("pause")

    def resume(self) -> None:
        self.paused = False
        self.actions.append("resume")

    def reset(self) -> None:
        self.actions.append("reset")

    def stop(self) -> None:
        self.actions.append("stop")
