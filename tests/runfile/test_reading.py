"""A run from its file, however the file is and however it ends."""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Iterable
from pathlib import Path
from random import Random
from sys import getsizeof

import attrs
import pytest
from hypothesis import given, strategies as st

from scalab.errors import ConfigError
from scalab.load.phases import LIVE_STAGE
from scalab.load.scenario import ClosedLoad
from scalab.measure.aggregate import Aggregate
from scalab.measure.histogram import bucket_us
from scalab.measure.interval import Interval
from scalab.measure.window import GROUPS
from scalab.runfile import files
from scalab.runfile.files import RunFile, iterate
from scalab.runfile.reading import (
    MAX_EARLIER,
    MAX_EVENTS,
    MAX_STAGES,
    TIMELINE,
    Run,
    RunBuilder,
    read_run,
)
from scalab.runfile.records import End, Event, Record
from scalab.runfile.timelines import CoarseTimeline
from tests.runfile.samples import HOLD, STEPS, a_header, a_run, an_interval, counted, lines, write

WHOLE = lines(a_run())
PACKED = gzip.compress(WHOLE)


def run_of(records: Iterable[Record], load: ClosedLoad = HOLD) -> Run:
    builder = RunBuilder(a_header(load))
    for record in records:
        builder.add(record)
    return builder.run()


def read_or_why(path: Path) -> tuple[Run | None, str]:
    """Read a run; or say why not."""
    try:
        return read_run(path), ""
    except ConfigError as exc:
        return None, str(exc)


def read(tmp_path: Path, data: bytes) -> Run:
    path = tmp_path / "run.jsonl"
    path.write_bytes(data)
    return read_run(path)


def refused(tmp_path: Path, data: bytes) -> str:
    path = tmp_path / "run.jsonl"
    path.write_bytes(data)
    with pytest.raises(ConfigError) as error:
        read_run(path)
    assert str(error.value).isprintable()
    return str(error.value).removeprefix(str(path))


# --- what is in a run --------------------------------------------------------------------------


@pytest.mark.parametrize("data", [WHOLE, PACKED], ids=["plain", "packed"])
def test_a_run_is_read(tmp_path: Path, data: bytes) -> None:
    run = read(tmp_path, data)
    expected = counted(20, 1)
    expected.merge(counted(20, 2))

    assert run.header == a_header()
    assert [event.text for event in run.events] == ["to fe:9997"]
    assert run.end == End(at_s=4.0, reason="time")
    assert run.truncated is False
    assert (run.problems, run.parts, run.earlier) == ((), (), ())
    assert (run.measured.from_s, run.measured.to_s, run.measured.duration_s) == (1.0, 3.0, 2.0)
    assert run.measured.queues == {"media": expected}
    assert run.load_s == 3.0
    assert [interval.phase for interval in run.timeline] == [
        "warm-up",
        "measure",
        "measure",
        "drain",
    ]


def test_records_are_read_in_order(tmp_path: Path) -> None:
    assert list(iterate(write(tmp_path / "run.jsonl", a_run()))) == list(a_run())


def test_a_file_can_be_read_twice(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(WHOLE[:-3])
    file = RunFile(tmp_path / "x")

    assert list(file) == list(file)
    assert file.truncated


def test_a_change_of_load_begins_a_new_window() -> None:
    def window(number: int, at_s: float, level: float) -> Interval:
        return an_interval(at_s, n=20, seed=int(at_s), level=level, window=number)

    run = run_of(
        [window(0, 0.0, 4.0), window(0, 1.0, 4.0), window(1, 2.0, 8.0), window(3, 3.0, 16.0)]
    )

    assert run.measured.queues == {"media": counted(20, 3)}
    assert run.stages.keys() == {0}
    assert [(e.window, e.from_s, e.to_s, e.level) for e in run.earlier] == [
        (0, 0.0, 2.0, 4.0),
        (1, 2.0, 3.0, 8.0),
    ]
    assert [e.statistics.completed for e in run.earlier] == [40, 20]


def test_a_last_window_without_measuring_leaves_the_one_before() -> None:
    run = run_of([an_interval(0.0, n=5), an_interval(1.0, n=5, window=1, phase="idle", level=0.0)])

    assert run.measured.queues == {"media": counted(5)}
    assert run.earlier == ()


def test_stages_are_those_that_hold_a_level() -> None:
    run = run_of(
        [
            an_interval(0.0, n=3, stage=0),
            attrs.evolve(an_interval(1.0, n=3, stage=1), level_to=9.0),
            an_interval(2.0, n=3, stage=2, phase="ramp"),
            an_interval(3.0, n=4, stage=3),
            an_interval(4.0, n=5, stage=3),
            an_interval(5.0, n=3, stage=LIVE_STAGE),
        ],
        STEPS,
    )

    completed = {i: window.whole.completed for i, window in run.stages.items()}
    assert completed == {0: 3, 3: 9}


def test_groups_divide_the_measured_window() -> None:
    run = run_of([an_interval(float(i), n=3, seed=i) for i in range(50)])

    groups = run.groups(20)
    assert len(groups) == 20
    assert (groups[0].from_s, groups[-1].to_s) == (0.0, 50.0)
    assert all(a.to_s == b.from_s for a, b in itertools.pairwise(groups))
    assert {group.duration_s for group in groups} == {2.0, 3.0}
    assert sum(group.whole.completed for group in groups) == 150
    assert all(group.whole.total.count == 3 * group.duration_s for group in groups)
    assert len(run.groups(1)) == 1
    assert len(run.groups(64)) == 50
    assert run_of([]).groups(10) == []


def test_groups_last_as_long_as_was_measured() -> None:
    """A pause, or a ramp between two stages, is no time in which nothing was achieved."""
    times = [float(i) for i in range(400) if i % 10 < 7]
    run = run_of(an_interval(at_s, n=3) for at_s in times)

    assert sum(group.duration_s for group in run.measured.groups) == len(times)
    for group in (*run.measured.groups, *run.groups(20), *run.stages[0].groups):
        assert group.whole.completed == 3 * group.duration_s
    assert run.measured.duration_s == len(times)
    assert (run.measured.from_s, run.measured.to_s) == (0.0, 397.0)


def test_groups_leave_the_window_as_it_was() -> None:
    run = run_of([an_interval(float(i), n=3) for i in range(10)])

    assert run.groups(2) == run.groups(2)


@given(st.lists(st.tuples(st.floats(0, 700_000), st.integers(1, 9)), min_size=1))
def test_what_is_drawn_is_nearly_exact(durations: list[tuple[float, int]]) -> None:
    interval = an_interval(0.0, n=30)
    exact = interval.queues["media"].total
    for value, n in durations:
        exact.record(value, n)
    drawn = drawn_of(interval).total

    for q in (1, 50, 99, 100):
        assert abs(drawn.percentile(q) - exact.percentile(q)) <= 0.01 * exact.percentile(q)
    assert drawn.mean_s == exact.mean_s
    assert (drawn.count, drawn.min_s, drawn.max_s) == (exact.count, exact.min_s, exact.max_s)
    assert all(bucket_us(bucket) == bucket for bucket in drawn.buckets)
    assert drawn_of(interval).completed == 30


def test_what_is_drawn_takes_little_memory() -> None:
    interval = an_interval(0.0, n=1)
    for ms in range(1000):
        interval.queues["media"].total.record(1 + ms / 1000)
    drawn = drawn_of(interval)

    assert len(drawn.total.buckets) < 70
    assert not drawn.devices
    assert interval.queues["media"].devices


def test_what_is_drawn_takes_no_more_memory_as_time_passes() -> None:
    rng = Random(1)
    timeline = CoarseTimeline(20)

    def add(seconds: int) -> tuple[int, int]:
        """Return the bytes of all that is held then, and how many numbers name its buckets."""
        for _ in range(seconds):
            interval = an_interval(0.0, n=1)
            for _ in range(100):
                interval.queues["media"].total.record(rng.lognormvariate(-2, 1))
            timeline.add(interval)
        totals = [each.queues["media"].total.buckets for each in timeline]
        return sum(map(getsizeof, totals)), len({id(each) for held in totals for each in held})

    full, later, last = add(640), add(640), add(640)

    assert max(later[0], last[0]) < 1.05 * full[0]
    assert last[1] < 64 * 12  # octaves; each number is there once, whatever number of intervals


def test_what_tells_how_sure_figures_are_takes_little_memory() -> None:
    rng = Random(1)
    intervals = [an_interval(float(i), n=1) for i in range(300)]
    for interval in intervals:
        for _ in range(100):
            interval.queues["media"].total.record(rng.lognormvariate(-2, 1))
    run = run_of(intervals)

    sizes = [len(group.queues["media"].total.buckets) for group in run.measured.groups]
    assert len(sizes) > GROUPS / 2
    assert 200 < max(sizes) <= 512
    assert len(run.measured.queues["media"].total.buckets) > 5000


def drawn_of(interval: Interval) -> Aggregate:
    timeline = CoarseTimeline(10)
    timeline.add(interval)
    (drawn,) = timeline
    return drawn.queues["media"]


# --- bounds ------------------------------------------------------------------------------------


def test_a_long_run_is_kept_short() -> None:
    one = counted(2)
    run = run_of(
        Interval(from_s=float(i), to_s=i + 1.0, queues={"media": one}) for i in range(36_000)
    )

    assert TIMELINE / 2 <= len(run.timeline) <= TIMELINE
    assert GROUPS / 2 <= len(run.measured.groups) <= GROUPS
    assert run.measured.whole.completed == 72_000
    assert run.measured.duration_s == 36_000
    assert sum(interval.whole.completed for interval in run.timeline) == 72_000


def test_of_many_events_first_and_last_are_kept() -> None:
    many = 2 * MAX_EVENTS + 7
    run = run_of(Event(at_s=float(i), kind="load", text="") for i in range(many))

    assert len(run.events) == 2 * MAX_EVENTS
    assert run.events_left_out == 7
    times = [event.at_s for event in run.events]
    assert times == [*range(MAX_EVENTS), *range(MAX_EVENTS + 7, many)]


def test_of_many_windows_the_last_are_kept() -> None:
    run = run_of(an_interval(float(i), n=1, window=i) for i in range(MAX_EARLIER + 6))

    assert [earlier.window for earlier in run.earlier] == [*range(5, MAX_EARLIER + 5)]
    assert run.earlier_left_out == 5


def test_of_many_stages_the_first_are_kept() -> None:
    run = run_of(an_interval(float(i), n=1, stage=i) for i in range(MAX_STAGES + 1))

    assert run.stages.keys() == set(range(MAX_STAGES))
    assert run.problems == (f"Figures by stage are of the first {MAX_STAGES} only.",)
    assert run.measured.whole.completed == MAX_STAGES + 1


def test_a_line_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_LINE", 1 << 20)
    data = gzip.compress(WHOLE + b"x" * (1 << 20) + b"\n")

    assert refused(tmp_path, data) == ":8: a line of more than 1 MB"


# --- files that are cut off --------------------------------------------------------------------


@pytest.mark.parametrize("data", [WHOLE, PACKED], ids=["plain", "packed"])
def test_any_part_of_a_file_is_read_or_refused_clearly(tmp_path: Path, data: bytes) -> None:
    whole = read(tmp_path, data)
    for length in {*range(0, len(data), 7), *range(len(data) - 40, len(data))}:
        path = tmp_path / "run.jsonl"
        path.write_bytes(data[:length])
        run, wrong = read_or_why(path)
        if run is None:
            first = length > 1 or data[:length] == b"{"
            assert ("first line is cut off" if first else NO_RUN) in wrong
            assert data is PACKED or length < WHOLE.index(b"\n")
            continue
        if length == len(data) - 1 and data is WHOLE:
            assert run.end is not None, "only the line feed is missing"
            assert not run.truncated
        elif data is WHOLE:
            assert run.end is None
            # Nothing is missing of a record that only lacks its line feed.
            assert run.truncated is (b"\n" not in data[length - 1 : length + 1])
        else:
            assert run.truncated
        assert run.header == whole.header
        assert len(run.timeline) <= len(whole.timeline)


def test_a_killed_client_leaves_what_it_measured(tmp_path: Path) -> None:
    run = read(tmp_path, WHOLE[: WHOLE.rindex(b'{"type":"interval"') + 100])

    assert run.truncated
    assert run.end is None
    assert run.measured.whole.completed == 40


def test_a_disk_that_failed_may_leave_zeros(tmp_path: Path) -> None:
    assert read(tmp_path, WHOLE + bytes(4096)).truncated


# --- files that are no run files ---------------------------------------------------------------

NO_RUN = 'not a run file of scalab: its first line has no "type": "run"'


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", f": {NO_RUN}"),
        (b"\n\n", f": {NO_RUN}"),
        (b"hello", f":1: {NO_RUN}"),
        (b"hello\n", f":1: {NO_RUN}"),
        (b"\x7fELF\x02\x01" + bytes(100), f":1: {NO_RUN}"),
        (b'{"type":"event","at_s":0,"kind":"","text":""}\n', f":1: {NO_RUN}"),
        (b'{"type":"rum"}\n', f": {NO_RUN}"),
        (b'{"type":"run"}\n', ":1: format must be 1"),
        (WHOLE + b"garbage\n", ":8: not a line of JSON"),
        (WHOLE.replace(b"\n", b"\n}{\n", 1), ":2: not a line of JSON"),
        (WHOLE.replace(b'"from_s":1.0', b'"from_s":"1"'), ":4: from_s must be a number"),
        (WHOLE.replace(b'"from_s":1.0', b'"from_s":0.5'), ":4: from_s goes back in time"),
        (WHOLE.replace(b'"media":{', b'"text":{'), ":3: queues must be of the run's scenario"),
        (WHOLE + lines(a_run()), ":8: a second run begins here, but a file holds one run"),
        (WHOLE + lines([an_interval(9.0)]), ":8: the run has ended in an earlier line"),
        (WHOLE + b'{"type":"event"}', ":8: at_s is missing"),
        (PACKED[:60] + b"\0\0\0\0" + PACKED[64:], ""),
        (PACKED[:-8] + bytes(8), ": CRC check failed"),
        (PACKED + b"garbage", ""),
    ],
)  # fmt: skip
def test_what_is_no_run_file_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    assert refused(tmp_path, data).startswith(message)


def test_blank_lines_do_no_harm(tmp_path: Path) -> None:
    data = WHOLE.replace(b"\n", b"\n \n")

    assert read(tmp_path, data).measured.whole.completed == 40


def test_a_later_format_is_refused_with_its_version(tmp_path: Path) -> None:
    data = WHOLE.replace(b'"format":1', b'"format":2', 1)

    assert refused(tmp_path, data).startswith(
        ":1: written by scalab 0.3.0 in format 2; this version reads format 1"
    )


def test_what_cannot_be_opened_is_told(tmp_path: Path) -> None:
    for path, why in ((tmp_path, "Is a directory"), (tmp_path / "x\ny", "No such file")):
        with pytest.raises(ConfigError) as error:
            read_run(path)
        assert why in str(error.value)
        assert "\n" not in str(error.value)


def test_kinds_of_failures_are_bounded(tmp_path: Path) -> None:
    intervals = [an_interval(float(i), n=1) for i in range(3)]
    for i, interval in enumerate(intervals):
        interval.queues["media"].failures = {f"{i}-{k}": 1 for k in range(30)}

    assert refused(tmp_path, lines([a_header(), *intervals])).startswith(":4: failures are of more")


@given(st.binary(max_size=40), st.integers(0, len(WHOLE)), st.integers(0, 30))
def test_garbage_never_breaks_the_reader(
    tmp_path_factory: pytest.TempPathFactory, garbage: bytes, at: int, instead_of: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "garbage.jsonl"
    path.write_bytes(WHOLE[:at] + garbage + WHOLE[at + instead_of :])

    run, wrong = read_or_why(path)
    assert run or wrong
    assert wrong.isprintable()
