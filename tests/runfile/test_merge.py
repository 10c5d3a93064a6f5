"""Several clients' runs as one: exact in what is counted, careful about when."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs
import pytest
from hypothesis import given, strategies as st

from scalab.errors import ConfigError
from scalab.load.curve import Stage
from scalab.load.scenario import ClosedLoad, OpenLoad
from scalab.measure.aggregate import Aggregate
from scalab.measure.interval import DRAIN, IDLE, MEASURE, RAMP, WARM_UP, Interval
from scalab.runfile.merge import merge_runs
from scalab.runfile.reading import Run, read_run
from scalab.runfile.records import End, Event, Header, Record
from scalab.runfile.slots import Track, slots
from tests.runfile.samples import HOLD, STEPS, a_header, a_run, an_interval, counted, reply, write


def client(number: int, *, at_s: float = 0.0, **header: object) -> Header:
    """The header of a client that started ``at_s`` after 11:00."""
    started = f"2026-11-24T11:{int(at_s) // 60:02}:{at_s % 60:06.3f}Z"
    return a_header(run_id=f"id{number}", started_at=started, **header)  # type: ignore[arg-type]


def merged(tmp_path: Path, *runs: Iterable[Record]) -> Run:
    return merge_runs([write(tmp_path / f"{i}.jsonl", run) for i, run in enumerate(runs)])


# --- the same as counting once -----------------------------------------------------------------

replies = st.lists(
    st.tuples(
        st.floats(0, 9.99),  # when
        st.floats(0, 20),  # run time
        st.sampled_from(("renderD128", "renderD129", "renderD130")),
        st.booleans(),
        st.integers(0, 2),  # which client
    ),
    max_size=60,
)
PHASES = [WARM_UP, WARM_UP, RAMP, *[MEASURE] * 5, IDLE, DRAIN]


def recorded(header: Header, some: Iterable[tuple[float, float, str, bool, int]]) -> list[Record]:
    intervals = [Interval(from_s=float(i), to_s=i + 1.0, phase=p) for i, p in enumerate(PHASES)]
    for at_s, run_s, device, ok, _ in some:
        aggregate = intervals[int(at_s)].queues.setdefault("media", Aggregate())
        reply(aggregate, run_s, device, ok=ok)
    return [header, *intervals]


@given(replies)
def test_merging_equals_counting_once(
    tmp_path_factory: pytest.TempPathFactory, some: list[tuple[float, float, str, bool, int]]
) -> None:
    path = tmp_path_factory.getbasetemp()
    once = read_run(write(path / "once.jsonl", recorded(a_header(), some)))
    parts = [recorded(client(i), [r for r in some if r[4] == i]) for i in range(3)]
    run = merged(path, *parts)

    assert run.measured == attrs.evolve(once.measured, groups=run.measured.groups)
    assert list(run.measured.groups) == list(once.measured.groups)
    assert list(run.timeline) == list(once.timeline)
    assert run.stages.keys() == once.stages.keys()
    assert run.load_s == once.load_s


def test_the_order_of_files_does_not_matter(tmp_path: Path) -> None:
    runs = [list(a_run(6, client(i, at_s=i * 0.3), n=10 + i)) for i in range(3)]
    one, other = merged(tmp_path, *runs), merged(tmp_path, *reversed(runs))

    assert one.measured.queues == other.measured.queues
    assert list(one.timeline) == list(other.timeline)
    assert one.header.id == other.header.id == "id0+2"


# --- time --------------------------------------------------------------------------------------


def window_of(*clients: Sequence[Interval]) -> list[tuple[float, float]]:
    """Where slots are measured."""
    tracks = [Track(iter(intervals)) for intervals in clients]
    return [(s.from_s, s.to_s) for s in slots(tracks) if s.phase == MEASURE]


def track(begin_s: float, end_s: float, length_s: float = 1.0, **fields: object) -> list[Interval]:
    times = [begin_s + i * length_s for i in range(math.ceil((end_s - begin_s) / length_s))]
    return [an_interval(at_s, min(at_s + length_s, end_s), **fields) for at_s in times]  # type: ignore[arg-type]


def test_the_window_is_what_all_measured() -> None:
    assert window_of(track(0, 10), track(4, 7), track(2, 6)) == [(4, 5), (5, 6)]
    assert window_of(track(0, 4), track(4, 8)) == []


def test_intervals_that_begin_apart_are_counted_whole() -> None:
    measured = window_of(track(0, 10), track(0.4, 10.4))

    assert measured == [(1, 2), (2, 3), (3, 4), (4, 5), (5, 6), (6, 7), (7, 8), (8, 9), (9, 10)]


def test_what_is_nearly_a_whole_slot_counts() -> None:
    assert window_of(track(0, 3), track(0.09, 3.09)) == [(0, 1), (1, 2), (2, 3)]
    assert window_of(track(0, 3), track(0, 2.91)) == [(0, 1), (1, 2), (2, 3)]
    assert window_of(track(0, 3), track(0, 2.89)) == [(0, 1), (1, 2)]


def test_intervals_of_different_lengths_make_slots_of_the_longest() -> None:
    assert window_of(track(0, 20), track(0, 20, 5.0)) == [(0, 5), (5, 10), (10, 15), (15, 20)]


@pytest.mark.parametrize(
    "pause",
    [
        [an_interval(4.0, phase=IDLE)],
        [an_interval(4.0, 4.05, phase=RAMP), an_interval(4.05, 5.0)],
        [],
        [an_interval(4.0, 4.5), an_interval(4.5, 5.0, window=1)],
    ],
    ids=["idle", "short-ramp", "gap", "new-window"],
)
def test_a_slot_is_measured_only_if_all_measured_throughout(pause: list[Interval]) -> None:
    after = track(5, 8, window=1) if pause and pause[-1].window else track(5, 8)

    assert window_of([*track(0, 4), *pause, *after], track(0, 8)) == [
        *((0, 1), (1, 2), (2, 3), (3, 4)),
        *((5, 6), (6, 7), (7, 8)),
    ]


@given(
    st.lists(
        st.tuples(st.floats(0, 3), st.floats(5, 20), st.sampled_from((0.5, 1.0, 1.7))),
        min_size=1,
        max_size=4,
    )
)
def test_nothing_is_lost_and_time_runs_on(shapes: list[tuple[float, float, float]]) -> None:
    clients = [track(begin, begin + length, each, n=3) for begin, length, each in shapes]
    expected = sum(len(intervals) for intervals in clients) * 3
    made = list(slots([Track(iter(intervals)) for intervals in clients]))

    assert sum(slot.whole.completed for slot in made) == expected
    assert all(slot.from_s <= slot.to_s for slot in made)
    assert all(a.to_s <= b.from_s for a, b in itertools.pairwise(made))
    latest, earliest = max(s[0] for s in shapes), min(s[0] + s[1] for s in shapes)
    for slot in made:
        if slot.phase == MEASURE:
            aside_s = 0.1 * slot.duration_s + 0.001
            assert latest - aside_s <= slot.from_s <= slot.to_s <= earliest + aside_s


def test_a_client_may_cut_an_interval_of_no_length() -> None:
    nothing = [an_interval(at_s, at_s, phase=p) for at_s, p in ((0, MEASURE), (2, DRAIN))]

    assert window_of([nothing[0], *track(0, 2), nothing[1]], track(0, 2)) == [(0, 1), (1, 2)]
    assert window_of(nothing, nothing) == [(0, 0)]


@pytest.mark.parametrize(
    ("phases", "expected"),
    [
        ((MEASURE, MEASURE), MEASURE),
        ((WARM_UP, MEASURE), WARM_UP),
        ((RAMP, WARM_UP), WARM_UP),
        ((DRAIN, MEASURE), RAMP),
        ((IDLE, MEASURE), RAMP),
        ((IDLE, DRAIN), IDLE),
        ((DRAIN, DRAIN), DRAIN),
    ],
)
def test_the_phase_is_that_which_keeps_from_measuring(
    phases: tuple[str, str], expected: str
) -> None:
    tracks = [Track(iter([an_interval(0.0, phase=phase)])) for phase in phases]

    assert [slot.phase for slot in slots(tracks)] == [expected]


def test_levels_and_the_outstanding_add_up_and_cpu_is_the_busiest() -> None:
    first = track(0, 3, level=4.0, outstanding=4, cpu_s=0.2)
    second = track(1, 2, level=3.0, outstanding=2, cpu_s=0.5)
    made = list(slots([Track(iter(first)), Track(iter(second))]))

    assert [(s.level_from, s.level_to) for s in made] == [(4, 4), (7, 7), (4, 4)]
    assert [s.cpu_s for s in made] == [0.2, 0.5, 0.2]
    assert made[1].outstanding == 6


def test_a_window_number_goes_up_with_any_clients() -> None:
    first = [*track(0, 2), *track(2, 6, window=1)]
    second = [*track(0, 4), *track(4, 6, window=1)]
    made = list(slots([Track(iter(first)), Track(iter(second))]))

    assert [slot.window for slot in made] == [0, 0, 1, 1, 2, 2]


def test_a_slot_of_different_stages_belongs_to_none(tmp_path: Path) -> None:
    def staged(change_s: int) -> list[Interval]:
        return [*track(0, change_s, stage=0, n=1), *track(change_s, 6, stage=1, n=1)]

    run = merged(tmp_path, [client(0, load=STEPS), *staged(2)], [client(1, load=STEPS), *staged(3)])

    stages = {i: (window.from_s, window.to_s) for i, window in run.stages.items()}
    assert stages == {0: (0.0, 2.0), 1: (3.0, 6.0)}
    assert run.measured.duration_s == 6.0


# --- what the merged run says ------------------------------------------------------------------


def test_times_are_aligned_by_the_wall_clock(tmp_path: Path) -> None:
    late: list[Record] = [
        client(1, at_s=2.0),
        *track(0, 8, n=3),
        Event(at_s=1.0, kind="load", text="x", level=3),
    ]
    late.append(End(at_s=8.5, reason="stopped"))
    early: list[Record] = [client(0), *track(0, 8, n=2), End(at_s=8.0, reason="stopped")]
    run = merged(tmp_path, early, late)

    assert (run.measured.from_s, run.measured.to_s) == (2.0, 8.0)
    assert run.measured.whole.completed == 6 * 5
    assert run.events == (Event(at_s=3.0, kind="load", text="client-id1: x"),)
    assert run.end == End(at_s=10.5, reason="stopped")
    assert run.header.started_at == "2026-11-24T11:00:00.000Z"
    assert run.problems[0].startswith("Merged from the runs of 2 clients, which started within 2 s")


def test_a_merged_run_names_its_parts(tmp_path: Path) -> None:
    headers = [client(0, seed=1), client(1, seed=2)]
    run = merged(tmp_path, *(a_run(header=header) for header in headers))

    assert list(run.parts) == headers
    assert run.header.environment.host == "client-id0, client-id1"
    assert "The clients' seeds differ; the first one's is shown." in run.problems


def test_one_file_is_just_read(tmp_path: Path) -> None:
    path = write(tmp_path / "x", a_run())

    assert merge_runs([path]).header == read_run(path).header
    assert merge_runs([path]).parts == ()


def test_levels_of_the_scenarios_add_up(tmp_path: Path) -> None:
    def rate(level: float, in_flight: int) -> OpenLoad:
        stages = (Stage(0.0, level, 60.0), Stage(level, level, math.inf))
        return OpenLoad(stages=stages, max_in_flight=in_flight)

    headers = [client(0, load=rate(50.0, 100)), client(1, load=rate(30.0, 10))]
    run = merged(tmp_path, *(a_run(header=header) for header in headers))

    assert run.header.scenario.load == rate(80.0, 110)


def test_scenarios_that_differ_are_told(tmp_path: Path) -> None:
    short = attrs.evolve(HOLD, stages=(Stage(4.0, 4.0, 9.0),))
    other = client(1, load=short, queues=("media", "text"), requests=5)
    run = merged(tmp_path, a_run(header=client(0, requests=7)), a_run(header=other))

    assert run.header.scenario.load == HOLD
    assert [queue.name for queue in run.header.scenario.queues] == ["media", "text"]
    assert run.header.scenario.requests == 12
    assert "The clients' queues, weights or arguments differ." in run.problems
    assert (
        "The clients' loads can't be added up; the first one's scenario is shown." in run.problems
    )


def test_open_and_closed_loops_are_a_caveat(tmp_path: Path) -> None:
    load = OpenLoad(stages=(Stage(9.0, 9.0, math.inf),))
    run = merged(tmp_path, a_run(header=client(0)), a_run(header=client(1, load=load)))

    assert any("open loop and some a closed one" in text for text in run.problems)
    assert {interval.level_to for interval in run.timeline} == {4.0}


def test_scenarios_beyond_one_clients_bounds_are_told(tmp_path: Path) -> None:
    huge = ClosedLoad(stages=(Stage(90_000.0, 90_000.0, math.inf),))
    runs = (a_run(header=client(i, load=huge)) for i in range(20))

    assert any("can't be added" in text for text in merged(tmp_path, *runs).problems)


def test_a_killed_client_is_told(tmp_path: Path) -> None:
    killed = list(a_run(header=client(1)))[:-1]
    run = merged(tmp_path, a_run(header=client(0)), killed)

    assert run.end is None
    assert any("1.jsonl has no end" in text for text in run.problems)


def test_an_end_is_that_of_all(tmp_path: Path) -> None:
    failed = [*list(a_run(header=client(1)))[:-1], End(at_s=4.2, reason="error", error="gone")]
    run = merged(tmp_path, a_run(header=client(0)), failed)

    assert run.end == End(at_s=4.2, reason="time, error", error="client-id1: gone")


def test_a_client_that_counted_nothing_is_left_out(tmp_path: Path) -> None:
    failed: list[Record] = [client(1), End(at_s=0.0, reason="error", error="no frontend")]
    run = merged(tmp_path, a_run(header=client(0)), failed)

    assert run.measured.whole.completed == 40
    assert any("1.jsonl holds no intervals" in text for text in run.problems)


def test_little_in_common_is_told(tmp_path: Path) -> None:
    one: list[Record] = [client(0), *track(0, 10, n=1)]
    other: list[Record] = [client(1, at_s=6.0), *track(0, 8)]
    run = merged(tmp_path, one, other)

    assert run.measured.duration_s == 4.0
    assert run.problems[-1] == (
        "Only 4 s were measured by all clients at the same time, of 8 s by the one that measured"
        " least."
    )


# --- what can't be merged ----------------------------------------------------------------------


def refused(tmp_path: Path, *runs: Iterable[Record]) -> str:
    with pytest.raises(ConfigError) as error:
        merged(tmp_path, *runs)
    assert str(error.value).isprintable()
    return str(error.value).replace(f"{tmp_path}/", "")


def test_runs_at_different_times_are_refused(tmp_path: Path) -> None:
    runs = [a_run(8, client(i, at_s=at_s)) for i, at_s in enumerate((65.0, 0.0, 63.0))]

    assert refused(tmp_path, *runs) == (
        "0.jsonl begins at 11:01:05 UTC, when 1.jsonl has ended at 11:00:08: only clients that ran"
        " at the same time can be merged"
    )


def test_the_same_run_twice_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, a_run(), a_run()) == (
        "1.jsonl is the same run as 0.jsonl (7f3a91c2): give each client's file once"
    )


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    write(good, a_run(header=client(0)))
    write(bad, [client(1), an_interval(5.0), an_interval(4.0)])

    with pytest.raises(ConfigError, match=r"bad:3: from_s goes back in time"):
        merge_runs([good, bad])
    with pytest.raises(ConfigError, match="missing: No such file"):
        merge_runs([good, tmp_path / "missing"])
    with pytest.raises(ConfigError, match="at least one"):
        merge_runs([])


def test_counts_of_one_client_are_its_own(tmp_path: Path) -> None:
    """What is merged into must not be what is read again."""
    run = merged(tmp_path, a_run(header=client(0)), a_run(header=client(1)))
    expected = counted(20, 1)
    for other in (counted(20, 1), counted(20, 2), counted(20, 2)):
        expected.merge(other)

    assert run.measured.queues == {"media": expected}
