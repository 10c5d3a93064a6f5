"""Runs as they might have been recorded, for the tests of what is made of them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

from scalab.load.curve import Stage
from scalab.load.scenario import ClosedLoad, OpenLoad, QueueLoad, Scenario
from scalab.measure.aggregate import Aggregate
from scalab.measure.interval import MEASURE, WARM_UP, Interval
from scalab.measure.tally import Tally
from scalab.protocol.messages import Reply
from scalab.runfile.codec import encode_record
from scalab.runfile.reading import Run, RunBuilder
from scalab.runfile.records import End, Environment, Event, Header, Record
from scalab.verdict.results import Checked, Judged

EVIL = "=1+1|[bold]x[/] <b>&\"' \x1b[2J\n\u202e]]>"
"""A name or text that would do harm where it isn't treated as one."""

CLOSED = ClosedLoad(stages=(Stage(8.0, 8.0, 60.0),))
OPEN = OpenLoad(stages=(Stage(50.0, 50.0, 30.0), Stage(50.0, 20.0, 10.0)), arrival="poisson")

THRESHOLDS = (
    Judged(expression="p95(total) < 2", ok=True, value="216 ms"),
    Judged(expression="failures < 0.1%", ok=False, value="1.02 %"),
)
CHECKS = (
    Checked(name="client-cpu", state="ok", text="the client took 0.04 of a core"),
    Checked(name="schedule-delay", state="skipped", text="closed loop"),
    Checked(name="steady-state", state="caveat", text="throughput fell by 12 %: run it longer"),
)


def header(load: ClosedLoad | OpenLoad = CLOSED, name: str = "", queue: str = "media") -> Header:
    return Header(
        id="7f3a91c2",
        started_at="2026-11-24T11:00:00.123Z",
        scalab="0.2.0",
        scenario=Scenario(
            name=name,
            queues=(QueueLoad(name=queue, limit_s=5.0, args=("--size", "4 K")),),
            load=load,
            warm_up_s=2.0,
            seed=42,
        ),
        environment=Environment(host="loadgen-1", python="3.12.4", kernel="6.8", cpus=4),
        command=("client", "--frontend", "fe:9997"),
    )


def counted(
    n: int, *, seed: int = 0, open_loop: bool = False, held_s: float = 0.0, failing: bool = True
) -> Aggregate:
    """A second's replies from four devices on two nodes, of which one device fails at times."""
    chance, tally = random.Random(seed), Tally(0.0)
    tally.sent(n=n)
    for i in range(n):
        run_s = chance.uniform(0.1, 0.2)
        failed = failing and i % 4 == 3 and chance.random() < 0.05
        reply = Reply(
            node=f"gpu-node-{i % 4 // 2}",
            device=f"renderD{128 + i % 4}",
            pod=f"backend-7d9f8b6c5d-{i % 8}",
            runtime_s=run_s,
            waittime_s=0.01,
            outcome="failure" if failed else "success",
            retcode=2 if failed else 0,
            error="device lost" if failed else "",
        )
        delay_s = held_s * i / n + 0.0005
        if open_loop:
            tally.delayed(delay_s, held=held_s > 0)
        corrected_s = run_s + 0.012 + delay_s if open_loop else None
        tally.completed(reply, run_s + 0.012, 0.0, corrected_s=corrected_s)
    return tally.current()[""]


def records(
    load: ClosedLoad | OpenLoad = CLOSED,
    *,
    seconds: int = 20,
    per_second: int = 50,
    held_s: float = 0.0,
    dropped: int = 0,
    failing: bool = True,
    thresholds: Sequence[Judged] = THRESHOLDS,
    checks: Sequence[Checked] = CHECKS,
    ended: bool = True,
    run_id: str = "7f3a91c2",
) -> Iterator[Record]:
    """A run of which the first two seconds are the warm-up, as its file has it."""
    yield attrs.evolve(header(load), id=run_id)
    level = load.stages[0].start
    for second in range(seconds):
        aggregate = counted(
            per_second, seed=second, open_loop=load is not CLOSED, held_s=held_s, failing=failing
        )
        aggregate.dropped = dropped
        yield Interval(
            from_s=float(second),
            to_s=second + 1.0,
            phase=WARM_UP if second < 2 else MEASURE,
            level_from=level,
            level_to=level,
            cpu_s=0.04,
            outstanding=8,
            queues={"media": aggregate},
        )
    yield Event(at_s=3.0, kind="connected", text="connected to fe:9997")
    if ended:
        yield End(
            at_s=float(seconds),
            reason="time",
            thresholds=tuple(thresholds),
            checks=tuple(checks),
        )


def a_run(load: ClosedLoad | OpenLoad = CLOSED, **options: Any) -> Run:
    """The run that ``records`` make."""
    first, *rest = records(load, **options)
    assert isinstance(first, Header)
    builder = RunBuilder(first)
    for record in rest:
        builder.add(record)
    return builder.run()


def write_run(path: Path, load: ClosedLoad | OpenLoad = CLOSED, **options: Any) -> str:
    """Write the file that ``records`` make, and return its name."""
    path.write_bytes(b"".join(map(encode_record, records(load, **options))))
    return str(path)
