"""Devices that workloads share, in virtual time.

All workloads on a device go on at the same rate, which depends on how many they are (and, if the
devices have something in common, on how many devices are busy). So one number tells how far each
of them is: the work that the device has done for any workload that was there all the time. A
workload that needs 5 s of work, and came when that number stood at 12, is done when it is 17,
however often the rate changes meanwhile: nobody else's coming and going costs it anything, and
nothing runs by the tick. What happens on a device is a heap of such numbers.

A workload counts by the load that it puts on the device: two that keep it busy half of the time
share it like one that always does.

It is on the books until it is taken off them, also when its work is done. Whoever takes a
device's result late keeps the device from others, as a frozen process would.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from math import inf
from typing import Literal

import attrs

from .settings import DeviceSettings, NodeSettings, Sharing
from .telemetry import MIB, Reading, Sensors, noise

Outcome = Literal["success", "failure", "out_of_memory", "gone"]
OUTCOMES: tuple[Outcome, ...] = Outcome.__args__  # type: ignore[attr-defined]


@attrs.frozen
class Phase:
    """A stretch of a workload's work with one load."""

    load: float
    """Percent of the device."""
    fluctuation: float
    """Percent by which the load's reading goes up and down; it costs nobody anything."""
    work_s: float
    """Seconds of work; more than 0."""


@attrs.frozen
class Demand:
    """What a workload asks of a device."""

    device: str
    work_s: float
    """Seconds that it takes on a device of speed 1 that nobody else uses."""
    phases: tuple[Phase, ...]
    """At least one; they follow each other as the work proceeds, again and again."""
    memory_mib: float = 0.0

    @property
    def varies(self) -> bool:
        """Whether its load changes as it proceeds."""
        return len(self.phases) > 1


@attrs.define(eq=False)
class Run:
    """A workload that was registered."""

    demand: Demand
    number: int
    """From 1, in the order in which they came to the device."""
    on_end: Callable[[Run], object]
    """Told once, when ``outcome`` has become known; must not call back."""
    outcome: Outcome | None = None
    fails_after_s: float = inf
    """Seconds of work after which the device fails it."""
    ends_at: float = 0.0
    """The device's work when this one's is done."""
    phase: int = 0
    phase_ends_at: float = 0.0

    @property
    def load(self) -> float:
        """Of the present phase, in percent."""
        return self.demand.phases[self.phase].load

    def next_event(self) -> float:
        """Return the device's work at which something happens to this one."""
        return min(self.ends_at, self.phase_ends_at) if self.demand.varies else self.ends_at


class Device:
    """One device, and who is on it. Only ``Node`` calls what changes it.

    Attributes:
        settings: What it is like.
        running: Who has the device, in the order in which they got it.
        waiting: Who waits for a slot, in the order in which they came.
        load: All their loads, in percent; may be more than 100.
        memory_mib: What they hold.
        ended: Runs by outcome.
    """

    def __init__(self, settings: DeviceSettings, seed: int, now: float) -> None:
        self.settings = settings
        self.running: dict[Run, None] = {}
        self.waiting: dict[Run, None] = {}
        self.load = 0.0
        self.memory_mib = 0.0
        self.ended: dict[Outcome, int] = dict.fromkeys(OUTCOMES, 0)
        self._seed = f"{seed}/{settings.name}"
        self._fate = random.Random(self._seed)  # noqa: S311 - must be repeatable
        self._sensors = Sensors(settings)
        self._registered = 0
        self._work_s = 0.0
        self._rate = settings.speed
        self._started_at = self._synced_at = now
        self._events: list[tuple[float, int, Run]] = []

    @property
    def utilization(self) -> float:
        """How busy it is, from 0 to 1, fluctuations left out."""
        return min(self.load / 100.0, 1.0)

    # --- time --------------------------------------------------------------------------------

    def next_at(self) -> float:
        """Return when something will happen here by itself; infinite if nothing will."""
        while self._events and self._events[0][2] not in self.running:
            heapq.heappop(self._events)
        if not self._events:
            return inf
        return self._synced_at + max(self._events[0][0] - self._work_s, 0.0) / self._rate

    def sync(self, now: float) -> None:
        """Let time pass up to ``now``, in which nothing happens."""
        elapsed_s = now - self._synced_at
        if elapsed_s > 0:
            self._work_s += elapsed_s * self._rate
            self._sensors.advance(elapsed_s, self.utilization)
            self._synced_at = now

    def step(self) -> None:
        """Let the next thing happen; time has passed up to ``next_at``."""
        at, _, run = heapq.heappop(self._events)
        if at >= run.ends_at:
            self._end(run, "success" if run.fails_after_s > run.demand.work_s else "failure")
            return
        self.load -= run.load
        run.phase = (run.phase + 1) % len(run.demand.phases)
        run.phase_ends_at += run.demand.phases[run.phase].work_s
        self.load += run.load
        self._schedule(run)

    def retime(self, slowdown: float) -> None:
        """Go on at the rate that the load allows.

        Args:
            slowdown: By what the node's devices have in common.
        """
        own = self.settings.sharing.slowdown(self.load / 100.0)
        self._rate = self.settings.speed / (own * slowdown)

    # --- workloads ---------------------------------------------------------------------------

    def register(self, demand: Demand, on_end: Callable[[Run], object]) -> Run:
        """Take a workload in; it has the device at once if a slot is free."""
        self._registered += 1
        run = Run(demand, self._registered, on_end)
        # Both are drawn for everyone, so that a workload that fails at one rate also fails, and at
        # the same point, at any higher one.
        fails, after = self._fate.random() < self.settings.failure_rate, self._fate.random()
        if fails:
            run.fails_after_s = after * demand.work_s
        self.waiting[run] = None
        self._admit()
        return run

    def leave(self, run: Run) -> None:
        """Take a workload off the books, however far it has got."""
        if run in self.running:
            del self.running[run]
            self.load = self.load - run.load if self.running else 0.0
            self.memory_mib = self.memory_mib - run.demand.memory_mib if self.running else 0.0
        self.waiting.pop(run, None)
        if run.outcome is None:
            run.outcome = "gone"
            self.ended["gone"] += 1
        if len(self._events) > 2 * len(self.running) + 16:
            self._events = [event for event in self._events if event[2] in self.running]
            heapq.heapify(self._events)
        self._admit()

    def _admit(self) -> None:
        slots = self.settings.slots or inf
        while self.waiting and len(self.running) < slots:
            run = next(iter(self.waiting))
            del self.waiting[run]
            if self.memory_mib + run.demand.memory_mib > self.settings.memory:
                self._end(run, "out_of_memory")
                continue
            self.running[run] = None
            self.memory_mib += run.demand.memory_mib
            self.load += run.load
            run.ends_at = self._work_s + min(run.demand.work_s, run.fails_after_s)
            run.phase_ends_at = self._work_s + run.demand.phases[0].work_s
            self._schedule(run)

    def _schedule(self, run: Run) -> None:
        heapq.heappush(self._events, (run.next_event(), run.number, run))

    def _end(self, run: Run, outcome: Outcome) -> None:
        run.outcome = outcome
        self.ended[outcome] += 1
        run.on_end(run)

    # --- what it shows -----------------------------------------------------------------------

    def read(self) -> Reading:
        """Return what its sensors show at the moment up to which time has passed."""
        settings = self.settings
        second = int(self._synced_at - self._started_at)
        percent = self.load + sum(
            phase.fluctuation * noise(f"{self._seed}/{run.number}/{second}")
            for run in self.running
            if (phase := run.demand.phases[run.phase]).fluctuation
        )
        utilization = min(max(percent / 100.0, 0.0), 1.0)
        return Reading(
            utilization=utilization,
            memory_used=self.memory_mib * MIB,
            memory_free=(settings.memory - self.memory_mib) * MIB,
            memory_ratio=self.memory_mib / settings.memory if settings.memory else 0.0,
            power=settings.power.at(utilization),
            energy=self._sensors.energy_j,
            frequency=settings.frequency.at(utilization) * 1e6,
            temperature=self._sensors.temperature,
            running=len(self.running),
            waiting=len(self.waiting),
            **self.ended,
        )


class Node:
    """The devices of one node. Time comes in as ``now``, in seconds, and never goes back.

    Attributes:
        settings: What it is like.
        devices: By name, in the order of the settings.
    """

    def __init__(self, settings: NodeSettings, now: float) -> None:
        self.settings = settings
        self.devices = {d.name: Device(d, settings.seed, now) for d in settings.devices}
        self._common = settings.sharing != Sharing()

    def next_at(self) -> float:
        """Return when ``advance`` is due; infinite if nothing will happen by itself."""
        return min(device.next_at() for device in self.devices.values())

    def advance(self, now: float) -> None:
        """Let everything happen that is due by ``now``, in its order and at its own time."""
        while True:
            device = min(self.devices.values(), key=Device.next_at)
            at = device.next_at()
            if at > now:
                break
            self._sync(device, at)
            device.step()
            self._retime(device)
        for device in self.devices.values():
            device.sync(now)

    def start(self, demand: Demand, on_end: Callable[[Run], object], now: float) -> Run:
        """Put a workload on its device.

        Args:
            demand: Of a device of ours.
            on_end: Told once, when the run's outcome is known, perhaps before this returns; the
                run is on the books until ``leave`` even so. Must not call back.
            now: Now.

        Raises:
            KeyError: There is no such device.
        """
        device = self.devices[demand.device]
        self.advance(now)
        run = device.register(demand, on_end)
        self._retime(device)
        return run

    def leave(self, run: Run, now: float) -> None:
        """Take a workload off the books: its process has ended, or was lost."""
        self.advance(now)
        device = self.devices[run.demand.device]
        device.leave(run)
        self._retime(device)

    def read(self, now: float) -> dict[str, Reading]:
        """Return what each device shows."""
        self.advance(now)
        return {name: device.read() for name, device in self.devices.items()}

    def _sync(self, device: Device, now: float) -> None:
        for each in self.devices.values() if self._common else (device,):
            each.sync(now)

    def _retime(self, device: Device) -> None:
        """Set the rates after a change on one device; time has passed up to it."""
        if not self._common:
            device.retime(1.0)
            return
        busy = sum(each.utilization for each in self.devices.values())
        slowdown = self.settings.sharing.slowdown(busy)
        for each in self.devices.values():
            each.retime(slowdown)
