"""Validations as they might have been recorded: devices that are shared, one slow, one failing."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence

import attrs

from scalab.load.curve import Stage
from scalab.load.scenario import ClosedLoad, QueueLoad, Scenario
from scalab.measure.batches import Estimate
from scalab.measure.interval import MEASURE, RAMP, Interval
from scalab.measure.statistics import Statistics
from scalab.measure.tally import Tally
from scalab.protocol.messages import Reply
from scalab.runfile.reading import Run, RunBuilder
from scalab.runfile.records import End, Environment, Event, Header, Record
from scalab.scaling.model import Decision, Outcome, StepResult, Validation
from scalab.verdict.results import Checked

WORKERS = (1, 2, 4, 8, 16)
DEVICES = 8
STEP_S = 60.0

SENTENCE = (
    "Throughput follows the workers up to 4; from 4 to 8 it grew 1.62 times where 1.80 was"
    " required. More than 8 workers are of little use: 8 of them share 4 devices."
)
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


def statistics(workers: int, *, seed: int = 0, devices: int = DEVICES) -> Statistics:
    """What so many workers did in a step, with each of the devices' own speed."""
    chance, tally = random.Random(1000 * seed + workers), Tally(0.0)
    shared = max(workers / devices, 1.0)
    n = 0
    for worker in range(workers):
        device = worker % devices
        usual_s = (2.4 + 0.02 * workers) * shared * (1.45 if device == 3 else 1.0)
        spent_s = 0.0
        while spent_s < STEP_S:
            run_s = chance.gauss(usual_s, 0.06 * usual_s)
            spent_s += run_s + 0.004
            failed = device == 2 and chance.random() < 0.06
            n += 1
            reply = Reply(
                node=f"gpu-node-{device // 4}",
                device=f"renderD{128 + device}",
                pod=f"backend-7d9f8b6c5d-{worker}",
                runtime_s=run_s,
                waittime_s=0.003 + 0.001 * workers,
                outcome="failure" if failed else "success",
                retcode=10 if failed else 0,
                error="device lost" if failed else "",
            )
            tally.sent(n=1)
            tally.completed(reply, run_s + 0.008 + 0.001 * workers, 0.0)
    return tally.current()[""].statistics(STEP_S, workers)


def a_step(workers: int, *, seed: int = 0, at: int = 0, devices: int = DEVICES) -> StepResult:
    found = statistics(workers, seed=seed, devices=devices)
    rate = found.succeeded / STEP_S
    half = rate * 0.025 / math.sqrt(workers)
    checks = (
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
        from_s=at * 70.0 + 8.0,
        to_s=at * 70.0 + 68.0,
        checks=checks,
    )


def decided(before: StepResult, after: StepResult, *, doubling: float = 1.8) -> Decision:
    """A decision by these figures, whose interval is no statistics."""
    required = doubling ** math.log2(after.workers / before.workers)
    ratio = after.throughput.mean / before.throughput.mean
    low, high = ratio * 0.975, ratio * 1.025
    outcome: Outcome = "PASS" if low >= required else "FAIL" if high < required else "INCONCLUSIVE"
    return Decision(
        before=before.workers,
        after=after.workers,
        outcome=outcome,
        required=required,
        ratio=ratio,
        low=low,
        high=high,
        more_requests=240 if outcome == "INCONCLUSIVE" else None,
        more_s=95.0 if outcome == "INCONCLUSIVE" else None,
        text=f"ratio {ratio:.2f} against {required:.2f}",
    )


def a_validation(workers: Sequence[int] = WORKERS, *, outcome: Outcome = "FAIL") -> Validation:
    steps = tuple(a_step(n, at=at) for at, n in enumerate(workers))
    decisions = tuple(decided(a, b) for a, b in zip(steps, steps[1:], strict=False))
    return Validation(
        outcome=outcome, sentence=SENTENCE, steps=steps, decisions=decisions, blame=BLAME
    )


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
        **dict.fromkeys(("wait", "run", "overhead", "total"), last.statistics.late),
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
    decision = Decision(
        before=steps[-1].workers, after=last.workers, outcome="ERROR", required=1.8, text=problem
    )
    return attrs.evolve(
        validation,
        outcome="ERROR",
        sentence=f"Could not be measured with {last.workers} workers: {problem}.",
        steps=(*steps, failed),
        decisions=(*validation.decisions[:-1], decision),
    )


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
        if window:
            yield validation.decisions[window - 1]
    yield validation
    yield End(at_s=validation.steps[-1].to_s + 1, reason="stopped")


def run_of(validation: Validation, first: Header | None = None) -> Run:
    """The run that ``records`` make."""
    found = list(records(validation, first))
    assert isinstance(found[0], Header)
    builder = RunBuilder(found[0])
    for record in found[1:]:
        builder.add(record)
    return builder.run()
