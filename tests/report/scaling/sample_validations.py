"""Validations as they might have been recorded: devices that are shared, one slow, one failing."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise

import attrs

from scalab.load.curve import Stage
from scalab.load.scenario import ClosedLoad, QueueLoad, Scenario
from scalab.measure.batches import Estimate
from scalab.measure.interval import MEASURE, RAMP, Interval
from scalab.measure.statistics import Spread, Statistics
from scalab.measure.tally import Tally
from scalab.protocol.messages import Reply
from scalab.runfile.reading import Run, RunBuilder
from scalab.runfile.records import End, Environment, Event, Header, Record
from scalab.scaling.decide import decide
from scalab.scaling.model import StepResult, Validation
from scalab.scaling.overall import make_validation
from scalab.verdict.results import Checked

WORKERS = (1, 2, 4, 8, 16)
DEVICES = 8
STEP_S = 240.0

BLAME = (
    "renderD131: runs took 1.45x as long as on the other devices (3.61 s against 2.49 s)",
    "renderD130: 4.1 % of its 413 requests failed, most often: device lost (exit 10)",
)


def header(name: str = "", queue: str = "media") -> Header:
    return Header(
        id="7f3a91c2",
        started_at="2026-11-24T11:00:00.123Z",
        scalab="0.3.0",
        scenario=Scenario(
            name=name,
            queues=(QueueLoad(name=queue, args=("--size", "4K")),),
            load=ClosedLoad(stages=(Stage(1.0, 1.0, math.inf),)),
            seed=7,
        ),
        environment=Environment(host="loadgen-1", python="3.12.4", kernel="6.8", cpus=4),
        command=("validate", "--max", "16", "--", "/usr/bin/encode"),
    )


@cache
def statistics(workers: int, *, seed: int = 0, devices: int = DEVICES) -> Statistics:
    """What so many workers did in a step, with each of the devices' own speed."""
    chance, tally = random.Random(1000 * seed + workers), Tally(0.0)
    slower = 1 + 0.012 * (workers - 1) + 0.0015 * workers * (workers - 1)
    n = 0
    for worker in range(workers):
        device = worker % devices
        usual_s = 2.4 * slower * (1.45 if device == 3 else 1.0)
        spent_s = 0.0
        while spent_s < STEP_S:
            run_s = chance.gauss(usual_s, 0.06 * usual_s)
            spent_s += run_s + 0.004
            failed = device == 2 and chance.random() < 0.05
            n += 1
            reply = Reply(
                node=f"gpu-node-{device // 4}",
                device=f"renderD{128 + device}",
                pod=f"backend-7d9f8b6c5d-{worker}",
                runtime_s=run_s,
                waittime_s=0.2 + 0.02 * workers,
                outcome="failure" if failed else "success",
                retcode=10 if failed else 0,
                error="device lost" if failed else "",
            )
            tally.sent(n=1)
            tally.completed(reply, run_s + 0.205 + 0.02 * workers, 0.0)
    return tally.current()[""].statistics(STEP_S, workers)


@cache
def a_step(workers: int, *, seed: int = 0, at: int = 0, devices: int = DEVICES) -> StepResult:
    found = statistics(workers, seed=seed, devices=devices)
    rate = found.succeeded / STEP_S
    half = rate * 0.025 / math.sqrt(workers)
    checks: tuple[Checked, ...] = (
        Checked(name="client-cpu", state="ok", text="the client took 0.04 of a core"),
        Checked(name="steady-state", state="ok", text="throughput held its level"),
    )
    if workers > devices:
        text = f"{workers} workers share {devices} devices: runs get longer, not more"
        checks = (*checks, Checked(name="sharing", state="caveat", text=text))
    return StepResult(
        workers=workers,
        parallel=2 * workers,
        throughput=Estimate(rate, half / 2, rate - half, rate + half, 24.0, 0.95),
        statistics=found,
        ready_s=2.5 + workers / 4,
        from_s=at * 250.0 + 8.0,
        to_s=at * 250.0 + 8.0 + STEP_S,
        checks=checks,
    )


def a_validation(workers: Sequence[int] = WORKERS, *, doubling: float = 1.8) -> Validation:
    steps = [a_step(n, at=at) for at, n in enumerate(workers)]
    return validated(steps, doubling=doubling)


def validated(steps: Sequence[StepResult], *, doubling: float = 1.8) -> Validation:
    """The verdict on steps, with each step's decision."""
    decisions = [decide(before, after, doubling) for before, after in pairwise(steps)]
    return make_validation(steps, decisions, blame=BLAME)


def an_error(validation: Validation) -> Validation:
    """The same, but the workers of the last step never came up."""
    *steps, last = validation.steps
    problem = "12 of 16 workers came up within 300 s: 4 pods ImagePullBackOff"
    nothing = Statistics(
        window_s=0.0,
        outstanding=0,
        completed=0,
        succeeded=0,
        failed=0,
        failures={},
        throughput=0.0,
        wait=Spread(),
        run=Spread(),
        overhead=Spread(),
        total=Spread(),
        nodes=(),
        devices=(),
        pods=(),
        errors=(),
    )
    failed = attrs.evolve(
        last,
        throughput=Estimate(0.0, None, None, None, 0, 0.95),
        statistics=nothing,
        problem=problem,
        checks=(),
    )
    return validated([*steps, failed])


def records(validation: Validation, first: Header | None = None) -> Iterator[Record]:
    """The file of a validation: the client's records with the steps among them."""
    yield first or header()
    yield Event(at_s=0.1, kind="connected", text="connected to fe:9997")
    for window, step in enumerate(validation.steps):
        level = float(step.parallel)
        yield Event(at_s=step.from_s - 1, kind="load", text=f"{level:g} in parallel", level=level)
        for from_s, to_s, phase in (
            (step.from_s - 1, step.from_s, RAMP),
            (step.from_s, step.to_s, MEASURE),
        ):
            yield Interval(
                from_s=from_s,
                to_s=to_s,
                phase=phase,
                window=window,
                level_from=level,
                level_to=level,
            )
        yield step
        if 0 < window <= len(validation.decisions):
            yield validation.decisions[window - 1]
    yield validation
    yield End(at_s=validation.steps[-1].to_s + 1, reason="stopped")


def run_of(validation: Validation, first: Header | None = None) -> Run:
    """The run that ``records`` make."""
    return run_of_records(list(records(validation, first)))


def run_of_records(found: Sequence[Record]) -> Run:
    """The run that these records make."""
    first, *rest = found
    assert isinstance(first, Header)
    builder = RunBuilder(first)
    for record in rest:
        builder.add(record)
    return builder.run()
