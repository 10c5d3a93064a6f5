"""Records as a client writes them, and as hypothesis makes them up."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import attrs
from hypothesis import strategies as st

from scalab.load.curve import Stage
from scalab.load.scenario import ClosedLoad, OpenLoad, QueueLoad, Scenario
from scalab.measure.aggregate import HISTOGRAMS, KINDS, Aggregate, PlaceAggregate, place_of
from scalab.measure.histogram import Histogram, record
from scalab.measure.interval import MEASURE, PHASES, Interval
from scalab.runfile.codec import encode_record
from scalab.runfile.records import Checked, End, Environment, Event, Header, Judged, Record

HOLD = ClosedLoad(stages=(Stage(4.0, 4.0, math.inf),))


STEPS = ClosedLoad(stages=tuple(Stage(3, 3, 2) for _ in range(6)))
"""Several stages that hold their level."""


def a_header(
    load: ClosedLoad | OpenLoad = HOLD,
    *,
    run_id: str = "7f3a91c2",
    started_at: str = "2026-11-24T11:00:00.000Z",
    queues: Sequence[str] = ("media",),
    seed: int = 7,
    **scenario: float,
) -> Header:
    return Header(
        id=run_id,
        started_at=started_at,
        scalab="0.3.0",
        scenario=Scenario(
            queues=tuple(QueueLoad(name=name) for name in queues),
            load=load,
            seed=seed,
            **scenario,  # type: ignore[arg-type]
        ),
        environment=Environment(pod=f"client-{run_id}", cpus=2),
    )


def an_interval(
    from_s: float,
    to_s: float | None = None,
    *,
    n: int = 0,
    seed: int = 0,
    level: float = 4.0,
    queue: str = "media",
    **fields: object,
) -> Interval:
    """An interval of a second in which ``n`` requests ended."""
    return Interval(
        from_s=from_s,
        to_s=from_s + 1.0 if to_s is None else to_s,
        level_from=level,
        level_to=level,
        queues={queue: counted(n, seed)} if n else {},
        **fields,  # type: ignore[arg-type]
    )


def counted(n: int, seed: int = 0) -> Aggregate:
    """``n`` requests from two devices, every tenth of which failed."""
    aggregate, chance = Aggregate(sent=n), random.Random(seed)
    for i in range(n):
        reply(aggregate, chance.lognormvariate(0, 0.2), f"renderD{128 + i % 2}", ok=i % 10 != 9)
    return aggregate


def reply(aggregate: Aggregate, run_s: float, device: str, *, ok: bool) -> None:
    aggregate.completed += 1
    aggregate.succeeded += ok
    place = place_of(aggregate.devices, device)[1]
    place.served += 1
    place.pods.add(f"backend-{device}")
    if not ok:
        aggregate.failures["timeout"] = aggregate.failures.get("timeout", 0) + 1
        aggregate.errors["too slow"] = aggregate.errors.get("too slow", 0) + 1
        place.failed += 1
    record((aggregate.run, place.run), run_s)
    record((aggregate.total,), run_s + 0.01)


def lines(records: Iterable[Record]) -> bytes:
    return b"".join(map(encode_record, records))


def write(path: Path, records: Iterable[Record]) -> Path:
    path.write_bytes(lines(records))
    return path


def a_run(seconds: int = 4, header: Header | None = None, n: int = 20) -> Iterator[Record]:
    """A run of a second of warm-up, measured seconds and a last one of draining."""
    yield header or a_header()
    yield Event(at_s=0.0, kind="connected", text="to fe:9997")
    for second in range(seconds):
        phase = "warm-up" if second == 0 else "drain" if second == seconds - 1 else MEASURE
        yield an_interval(float(second), n=n, seed=second, phase=phase, outstanding=4, cpu_s=0.1)
    yield End(at_s=float(seconds), reason="time")


# --- made up -----------------------------------------------------------------------------------

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6).filter(str.isprintable)
counts = st.integers(0, 2**40)
seconds = st.integers(0, 10**12).map(lambda us: round(us / 1e6, 6))
durations = st.one_of(st.floats(0, 1e-3), st.floats(0, 10), st.floats(0, 1e6))


@st.composite
def histograms(draw: st.DrawFn) -> Histogram:
    histogram = Histogram()
    for value, n in draw(st.lists(st.tuples(durations, st.integers(1, 1000)), max_size=6)):
        histogram.record(value, n)
    return histogram


tallies = st.dictionaries(names, st.integers(1, 2**40), max_size=3)
places = st.builds(
    PlaceAggregate,
    served=counts,
    failed=counts,
    run=histograms(),
    devices=st.sets(names, max_size=3),
    pods=st.sets(names, max_size=3),
    errors=tallies,
)
aggregates = st.builds(
    Aggregate,
    **dict.fromkeys(("sent", "completed", "succeeded", "dropped", "held", "aborted"), counts),
    attempts_max=counts,
    failures=tallies,
    errors=tallies,
    **dict.fromkeys(HISTOGRAMS, histograms()),
    **dict.fromkeys(KINDS, st.dictionaries(names, places, max_size=2)),
)


def ordered(interval: Interval) -> Interval:
    low, high = sorted((interval.from_s, interval.to_s))
    return attrs.evolve(interval, from_s=low, to_s=high)


intervals = st.builds(
    Interval,
    from_s=seconds,
    to_s=seconds,
    phase=st.sampled_from(PHASES),
    window=counts,
    stage=counts,
    level_from=st.floats(0, 1e6),
    level_to=st.floats(0, 1e6),
    cpu_s=seconds,
    outstanding=counts,
    queues=st.dictionaries(names, aggregates, max_size=2),
).map(ordered)
events = st.builds(Event, at_s=seconds, kind=names, text=names, level=st.none() | st.floats(0, 1e6))
ends = st.builds(
    End,
    at_s=seconds,
    reason=names,
    error=names,
    thresholds=st.lists(st.builds(Judged, expression=names, ok=st.booleans(), value=names)).map(
        tuple
    ),
    checks=st.lists(
        st.builds(
            Checked,
            name=names,
            state=st.sampled_from(("ok", "caveat", "invalid", "skipped")),
            text=names,
        )
    ).map(tuple),
)
levels = st.integers(0, 100).map(float)
stages = st.lists(
    st.builds(Stage, levels, levels, st.integers(1, 10**6).map(lambda ms: ms / 1000)),
    min_size=1,
    max_size=4,
).map(tuple)
endless = stages.map(lambda some: (*some, Stage(5.0, 5.0, math.inf)))
loads = st.builds(
    ClosedLoad,
    stages=stages | endless,
    parallel_max=st.sampled_from((0, 100)),
    delay_s=st.just(0.5),
) | st.builds(
    OpenLoad,
    stages=stages | endless,
    arrival=st.sampled_from(("constant", "poisson")),
    max_in_flight=st.integers(1, 1000),
)
texts = st.text(st.characters(codec="utf-8", exclude_characters="{}\0"), max_size=6)
args = st.lists(texts, max_size=3)
common = {"name": names, "weight": st.floats(0.1, 10), "limit_s": st.sampled_from((0.0, 0.25))}
queues = st.builds(QueueLoad, args=args.map(tuple), **common) | st.builds(
    QueueLoad,
    args=args.map(lambda some: (*some, "{size}")),
    rows=st.just(({"size": "1"}, {"size": "é"})),
    order=st.sampled_from(("random", "sequence")),
    **common,
)
headers = st.builds(
    Header,
    id=names,
    started_at=st.sampled_from(("2026-11-24T11:00:00.123Z", "2026-11-24T12:00:00+01:00")),
    scalab=names,
    scenario=st.builds(
        Scenario,
        queues=queues.map(lambda queue: (queue,)),
        load=loads,
        name=st.just("") | names,
        seed=st.integers(0, 2**53 - 1),
        requests=st.integers(0, 2**53),
        thresholds=st.lists(texts, max_size=2).map(tuple),
    ),
    environment=st.builds(Environment, host=names, cpus=st.integers(0, 64)),
    command=st.lists(names).map(tuple),
    interval_s=st.sampled_from((0.5, 1.0, 10.0)),
)
records = st.one_of(headers, events, intervals, ends)
