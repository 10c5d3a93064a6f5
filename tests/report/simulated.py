"""Runs of a simulated system, with all that a report has to show: queues, bursts, bad devices."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator, Sequence
from functools import cache

from scalab.load.curve import Stage
from scalab.load.scenario import ClosedLoad, OpenLoad, QueueLoad, Scenario
from scalab.measure import counts
from scalab.measure.aggregate import Aggregate, place_of
from scalab.measure.interval import DRAIN, IDLE, MEASURE, RAMP, WARM_UP, Interval
from scalab.runfile.reading import Run, RunBuilder
from scalab.runfile.records import End, Environment, Event, Header
from scalab.verdict.results import Checked, Judged

MAX_IN_FLIGHT = 60
STAGES = (
    Stage(5.0, 20.0, 20.0),
    Stage(20.0, 20.0, 30.0),
    Stage(20.0, 30.0, 10.0),
    Stage(30.0, 30.0, 30.0),
    Stage(30.0, 40.0, 10.0),
    Stage(40.0, 40.0, 30.0),
    Stage(0.0, 0.0, 5.0),
)
WARM_UP_S = 10.0
EVENTS = (
    Event(at_s=0.02, kind="connected", text="connected to frontend:9997"),
    Event(at_s=10.0, kind="phase", text="ramp"),
    Event(at_s=61.3, kind="disconnected", text="frontend:9997 closed the connection"),
    Event(at_s=63.0, kind="connected", text="connected to frontend:9997"),
    Event(at_s=118.2, kind="threshold", text="p95(total) < 1 s crossed: 1.21 s"),
    Event(at_s=130.0, kind="load", text="load set to 0/s", level=0.0),
)
THRESHOLDS = (
    Judged(expression="p95(total) < 2", ok=False, value="3.91 s"),
    Judged(expression="rate >= 20", ok=True, value="29.3/s"),
    Judged(expression="failures < 5 %", ok=True, value="1.9 %", aborts=True),
)
CHECKS = (
    Checked(name="client-cpu", state="ok", text="The client took 0.04 of a core."),
    Checked(name="schedule-delay", state="ok", text="p99 of the client's own delay is 0.6 ms."),
    Checked(
        name="rate-reached",
        state="caveat",
        text="93 % of the arrivals asked for were sent: the system, not the client, could not keep "
        "up, and the limit of requests in flight was reached.",
    ),
    Checked(name="steady-state", state="skipped", text="The load changed within the window."),
)


def header(load: OpenLoad | ClosedLoad, queues: Sequence[str] = ("media", "small")) -> Header:
    return Header(
        id="7f3a91c2",
        started_at="2026-11-24T11:00:00.123Z",
        scalab="0.3.0",
        scenario=Scenario(
            name="media mix",
            queues=tuple(
                QueueLoad(
                    name=name, weight=3.0 - i, args=("--size", "{size}"), rows=({"size": "1"},)
                )
                for i, name in enumerate(queues)
            ),
            load=load,
            warm_up_s=WARM_UP_S,
            thresholds=tuple(judged.expression for judged in THRESHOLDS),
            seed=7,
        ),
        environment=Environment(host="loadgen-1", python="3.12.4", kernel="6.8.0", cpus=4),
        command=("scalab", "client", "--scenario", "media mix.toml", "--out", "run.jsonl"),
    )


@cache
def simulated(*, open_loop: bool = True, devices: int = 8, seed: int = 1) -> Run:
    """A ramp, three levels of which the last is too much, a slow device and a failing one."""
    load: OpenLoad | ClosedLoad = ClosedLoad(stages=STAGES, parallel_max=64)
    if open_loop:
        load = OpenLoad(stages=STAGES, arrival="poisson", max_in_flight=MAX_IN_FLIGHT)
    builder = RunBuilder(header(load))
    for interval in _intervals(open_loop=open_loop, devices=devices, seed=seed):
        builder.add(interval)
    for event in EVENTS:
        builder.add(event)
    builder.add(End(at_s=137.0, reason="time", thresholds=THRESHOLDS, checks=CHECKS))
    return builder.run()


def _level(t: float) -> tuple[float, int]:
    for index, stage in enumerate(STAGES):
        if t < stage.duration_s:
            return stage.start + (stage.end - stage.start) * t / stage.duration_s, index
        t -= stage.duration_s
    return 0.0, len(STAGES) - 1


def _phase(t: float) -> str:
    level, stage = _level(t)
    if t >= 135:
        return DRAIN
    if t < WARM_UP_S:
        return WARM_UP
    if STAGES[stage].is_ramp:
        return RAMP
    return MEASURE if level else IDLE


def _intervals(*, open_loop: bool, devices: int, seed: int) -> Iterator[Interval]:
    end_s = 137
    wholes = [{"media": Aggregate(), "small": Aggregate()} for _ in range(end_s)]
    outstanding = [0] * (end_s + 1)
    for sent, done, queue in _requests(wholes, open_loop=open_loop, devices=devices, seed=seed):
        for second in range(int(sent) + 1, min(int(done), end_s) + 1):
            outstanding[second] += 1
        wholes[min(int(sent), end_s - 1)][queue].sent += 1
    for second, queues in enumerate(wholes):
        yield Interval(
            from_s=float(second),
            to_s=second + 1.0,
            phase=_phase(second),
            stage=_level(second)[1],
            level_from=_level(second)[0],
            level_to=_level(second + 0.999999)[0] if _level(second)[0] else 0.0,
            cpu_s=0.04,
            outstanding=outstanding[second + 1],
            queues=queues,
        )


def _requests(
    wholes: list[dict[str, Aggregate]], *, open_loop: bool, devices: int, seed: int
) -> Iterator[tuple[float, float, str]]:
    """Yield (sent, done, queue) of each request, and count it where it is done."""
    chance = random.Random(seed)
    free = [(0.0, device) for device in range(devices)]
    lanes: list[float] = []  # when requests in flight are done
    t = 0.0
    while t < 130:
        level = _level(t)[0]
        t += chance.expovariate(max(level, 1.0)) if open_loop else 0.0
        sent = t
        while lanes and lanes[0] <= sent:
            heapq.heappop(lanes)
        if len(lanes) >= (MAX_IN_FLIGHT if open_loop else max(int(level), 1)):
            sent = heapq.heappop(lanes)
            t = t if open_loop else sent
        free_at, device = heapq.heappop(free)
        start = max(free_at, sent)
        run_s = chance.lognormvariate(-1.6, 0.15) * (2.1 if device == 3 else 1.0)
        if 95 < start < 97:
            run_s *= 3
        heapq.heappush(free, (start + run_s, device))
        done = start + run_s + chance.uniform(0.002, 0.006)
        heapq.heappush(lanes, done)
        queue = "media" if chance.random() < 0.75 else "small"
        failed = device == 5 and chance.random() < 0.3
        aggregate = wholes[min(int(done), len(wholes) - 1)][queue]
        _count(aggregate, device, start - sent, run_s, done - sent, failed=failed)
        if open_loop:
            own = chance.uniform(0.0001, 0.0006)
            aggregate.corrected.record(done - t)
            aggregate.delay.record(sent - t + own)
            if sent == t:
                aggregate.late.record(own)
            else:
                aggregate.held += 1
        yield sent, done, queue


def _count(
    aggregate: Aggregate, device: int, wait_s: float, run_s: float, total_s: float, *, failed: bool
) -> None:
    aggregate.completed += 1
    aggregate.wait.record(wait_s)
    aggregate.run.record(run_s)
    aggregate.overhead.record(total_s - wait_s - run_s)
    aggregate.total.record(total_s)
    error = "vaapi: failed to map surface (exit code 247)"
    if failed:
        aggregate.failures["failure"] = aggregate.failures.get("failure", 0) + 1
        counts.add(aggregate.errors, error, 1, 20)
    else:
        aggregate.succeeded += 1
    names = {
        "nodes": f"gpu-node-{device // 4}",
        "devices": f"renderD{128 + device}",
        "pods": f"backend-7d9f8b6c5d-{device:03}",
    }
    for kind, name in names.items():
        place = place_of(getattr(aggregate, kind), name)[1]
        place.served += 1
        place.run.record(run_s)
        if kind != "devices":
            place.devices.add(names["devices"])
        if kind != "pods":
            place.pods.add(names["pods"])
        if failed:
            place.failed += 1
            counts.add(place.errors, error, 1, 20)
