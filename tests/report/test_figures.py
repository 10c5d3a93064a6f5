"""The charts of a run: each shows what was counted."""

from __future__ import annotations

import pytest

from scalab.measure.aggregate import Aggregate
from scalab.measure.histogram import Histogram
from scalab.measure.interval import IDLE, MEASURE, RAMP, WARM_UP, Interval
from scalab.measure.statistics import ErrorCount, Place
from scalab.report import figures, shapes
from scalab.report.model import make_report
from scalab.report.plots.spec import Area, Chart, Columns, Dots, Line
from scalab.runfile.records import Event

from .simulated import simulated


def aggregate(n: int = 10, total_s: float = 0.5, held: int = 0) -> Aggregate:
    counted = Aggregate(completed=n, succeeded=n, sent=n, held=held)
    for name, seconds in (("wait", 0.1), ("run", 0.3), ("overhead", total_s - 0.4)):
        getattr(counted, name).record(seconds, n)
    counted.total.record(total_s, n)
    return counted


def interval(second: int, *parts: Aggregate, phase: str = MEASURE, level: float = 8) -> Interval:
    return Interval(
        from_s=float(second),
        to_s=second + 1.0,
        phase=phase,
        level_from=level,
        level_to=level,
        outstanding=second,
        queues={f"q{i}": part for i, part in enumerate(parts)},
    )


def course(*intervals: Interval, open_loop: bool = False) -> figures.Course:
    return figures.course(intervals, (), open_loop=open_loop)


def lines(chart: Chart) -> dict[str, list[tuple[float, float | None]]]:
    return {line.name: list(line.points) for line in chart.layers if isinstance(line, Line)}


def test_throughput_is_of_all_queues() -> None:
    shown = figures.throughput(course(interval(0, aggregate(10), aggregate(5)), interval(1)))

    assert lines(shown) == {"completed": [(0.5, 15.0), (1.5, 0.0)]}
    assert shown.data.rows[0].cells == ("0 to 1 s", "measure", "8", "15", "15", "0", "15.0/s")


def test_a_rate_that_was_asked_for_is_shown_with_what_came_of_it() -> None:
    ramp = interval(1, aggregate(3), phase=RAMP)
    ramp.level_to = 12
    shown = figures.throughput(course(interval(0, aggregate(10)), ramp, open_loop=True))

    assert lines(shown)["asked"] == [(0, 8), (1, 8), (1, 8), (2, 12)]
    assert shown.y.high > 12
    assert shown.data.rows[1].cells[2] == "8.00/s → 12.0/s"


def test_requests_in_parallel_are_shown_with_those_in_flight() -> None:
    shown = figures.in_flight(course(interval(0), interval(1)))

    assert lines(shown)["in flight"] == [(1.0, 0), (2.0, 1)]
    assert lines(shown)["in parallel, asked"] == [(0, 8), (1, 8), (1, 8), (2, 8)]


def test_latency_has_gaps_where_nothing_came() -> None:
    shown = figures.latency(course(interval(0, aggregate()), interval(1), interval(2, aggregate())))

    assert set(lines(shown)) == {"p50", "p95", "p99"}
    assert lines(shown)["p99"] == [(0.5, 0.5), (1.5, None), (2.5, 0.5)]
    assert shown.data.rows[1].cells[1:] == (figures.NONE,) * 3


def test_latency_of_an_open_loop_is_raw_and_corrected() -> None:
    counted = aggregate()
    counted.corrected.record(2.0, 10)
    shown = figures.latency(course(interval(0, counted), open_loop=True))

    assert lines(shown)["raw p50"] == [(0.5, 0.5)]
    assert lines(shown)["corrected p50"] == [(0.5, 2.0)]
    assert shown.data.head[1:] == tuple(lines(shown))
    assert shown.data.rows[0].cells[1:] == ("500 ms",) * 3 + ("2.00 s",) * 3


def test_an_axis_is_logarithmic_when_the_usual_could_not_be_read_otherwise() -> None:
    usual = [interval(second, aggregate(total_s=0.5)) for second in range(9)]

    assert not figures.latency(course(*usual, interval(9, aggregate(total_s=5.0)))).y.log
    assert figures.latency(course(*usual, interval(9, aggregate(total_s=50.0)))).y.log


def test_times_are_stacked_up_to_the_total() -> None:
    shown = figures.time_split(course(interval(0, aggregate()), interval(1)))
    areas = {a.name: a.points for a in shown.layers if isinstance(a, Area)}

    assert list(areas) == ["wait", "run", "overhead"]
    assert [point for points in areas.values() for point in points[1:]] == [None] * 3
    tops = {name: points[0] for name, points in areas.items()}
    assert tops["overhead"] == pytest.approx((0.5, 0.0, 0.1))
    assert tops["run"] == pytest.approx((0.5, 0.1, 0.4))
    assert tops["wait"] == pytest.approx((0.5, 0.4, 0.5))


def test_schedule_delay_is_only_where_there_was_a_schedule() -> None:
    counted = aggregate(held=3)
    counted.delay.record(0.2, 10)
    counted.late.record(0.001, 7)
    shown = figures.schedule_delay(course(interval(0, counted), open_loop=True))

    assert figures.schedule_delay(course(interval(0, aggregate()))) is None
    assert shown is not None
    assert lines(shown)["p99"] == [(0.5, 0.2)]
    assert lines(shown)["p99 of the client's own"] == [(0.5, 0.001)]
    assert shown.data.rows[0].cells[1:] == ("200 ms", "200 ms", "1.00 ms", "3", "0")


def test_failures_are_stacked_by_kind() -> None:
    bad = Aggregate(failures={"timeout": 2, "failure": 3})
    shown = figures.failures(course(interval(0, bad), interval(1, aggregate())))

    assert figures.failures(course(interval(0, aggregate()))) is None
    assert shown is not None
    assert [(c.name, c.bars) for c in shown.layers if isinstance(c, Columns)] == [
        ("failure", ((0, 1, 5.0),)),
        ("timeout", ((0, 1, 2.0),)),
    ]
    assert shown.data.rows[0].cells == ("0 to 1 s", "5", "3", "2")


def test_kinds_of_failures_beyond_the_colours_are_one() -> None:
    bad = Aggregate(failures={f"kind-{n}": n + 1 for n in range(6)})
    shown = figures.failures(course(interval(0, bad)))

    assert shown is not None
    assert shown.data.head == ("time", "all", "kind-5", "kind-4", "kind-3", "(others)")
    assert shown.data.rows[0].cells[1:] == ("21", "6", "5", "4", "6")


def test_what_is_not_measured_is_shaded_and_events_are_marked_but_phases() -> None:
    phases = [WARM_UP, WARM_UP, MEASURE, RAMP, IDLE]
    events = [
        Event(at_s=0.5, kind="phase", text="measure"),
        Event(at_s=1.5, kind="load", text="load \x1b[2J set", level=3),
    ]
    of = figures.course(
        [interval(i, phase=phase) for i, phase in enumerate(phases)], events, open_loop=False
    )

    assert [(s.low, s.high, s.name) for s in of.shades] == [
        (0, 2, WARM_UP),
        (3, 4, RAMP),
        (4, 5, IDLE),
    ]
    assert [(mark.x, mark.text) for mark in of.marks] == [(1.5, r"load \x1b[2J set")]


def test_lines_have_all_intervals_and_tables_some() -> None:
    of = course(*(interval(second, aggregate(second + 1)) for second in range(250)))
    shown = figures.throughput(of)

    assert len(lines(shown)["completed"]) == 250
    assert figures.ROWS / 2 < len(shown.data.rows) <= figures.ROWS
    assert shown.data.rows[0].cells[3] == "10", "1 + 2 + 3 + 4 in the first four seconds"
    assert shown.data.rows[-1].high == 250


# --- of a window as a whole ----------------------------------------------------------------


def test_the_spectrum_is_the_histogram() -> None:
    total = Histogram()
    for ms in range(1, 1001):
        total.record(ms / 1000)
    shown = shapes.spectrum(total, Histogram(), None)
    (points,) = lines(shown).values()

    assert points[0] == (0.0, 0.001)
    assert points[-1][0] == pytest.approx(0.999)
    assert points[-1][1] == pytest.approx(0.999, rel=2e-3)
    assert [row.cells for row in shown.data.rows if row.cells[0] in {"50 %", "99 %"}] == [
        ("50 %", "500 ms"),
        ("99 %", "990 ms"),
    ]
    assert shown.data.rows[-1].cells[0] == "99.9 %", "there is no 99.95th percentile of 1000"
    assert shown.note == ""


def test_the_spectrum_of_nothing_is_empty() -> None:
    shown = shapes.spectrum(Histogram(), Histogram(), None)

    assert lines(shown) == {"latency": []}


def test_the_gap_of_corrected_and_raw_is_explained() -> None:
    report = make_report(simulated())

    assert report.gap == pytest.approx(
        report.statistics.corrected.p99_s / report.statistics.total.p99_s
    )
    note = shapes.spectrum(report.measured.total, report.measured.corrected, report.gap).note
    assert note.startswith("At p99, corrected is 1.6 times raw: raw is what the system did")
    assert make_report(simulated(open_loop=False)).gap is None


def place(name: str, served: int = 100, run_s: float = 0.2, failed: int = 0) -> Place:
    run = Histogram()
    for i in range(100):
        run.record(run_s * (1 + i / 1000))
    errors = (ErrorCount("broken", failed),) if failed else ()
    return Place(name, served, failed, run.spread(), run.steps(), errors=errors)


def test_devices_that_stand_out_are_marked_for_what_they_are() -> None:
    report = make_report(simulated())
    devices = report.statistics.devices
    assert {o.name: o.kind for o in report.outliers} == {
        "renderD131": "slow",
        "renderD133": "failing",
    }

    rows = dict(shapes.shares(devices, report.outliers).rows)
    marked = {
        name: [bar.colour == "c-marked" for bar in bars]
        for name, bars in rows.items()
        if any(bar.colour == "c-marked" for bar in bars)
    }
    panels = shapes.run_times(devices, report.outliers).panels

    assert marked == {"renderD131": [False, True, True], "renderD133": [True, False, False]}
    assert [p.name for p in panels if p.colour == "c-marked"] == ["renderD131"]
    assert max(bars[0].share for bars in rows.values()) == 1.0
    assert rows["renderD131"][2].share == 1.0, "it has the longest p95"


def test_of_too_many_places_those_that_stand_out_are_shown() -> None:
    places = [place(f"d{i:03}") for i in range(100)]

    assert [p.name for p in shapes.chosen(places, {"d070"}, 3)] == ["d000", "d001", "d070"]
    assert shapes.chosen(places, {"d070"}, 100) == places
    assert shapes.shares(places, ()).note == "60 more are in the table below."
    assert len(shapes.run_times(places, ()).panels) == shapes.MAX_PANELS


def test_levels_are_compared_from_two_on() -> None:
    report = make_report(simulated())
    throughput, latency = shapes.knee(report.stages, open_loop=True)
    dots = next(layer for layer in throughput.layers if isinstance(layer, Dots)).dots

    assert [dot.x for dot in dots] == [20, 30, 40]
    assert [dot.y for dot in dots] == [s.throughput.mean for s in report.stages]
    assert all(dot.low is not None and dot.low < dot.y for dot in dots)
    assert lines(throughput)["asked"] == [(0, 0), (throughput.x.high, throughput.x.high)]
    assert "asked" not in lines(shapes.knee(report.stages, open_loop=False)[0])
    assert latency.data.rows[0].cells[2] == "404 ms"
    assert shapes.knee(report.stages[:1], open_loop=True) == ()
