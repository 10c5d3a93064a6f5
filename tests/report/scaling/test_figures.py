"""The report's figures: what is worked out, and where it is drawn."""

from __future__ import annotations

from itertools import pairwise

import attrs
import pytest
from hypothesis import given, settings, strategies as st

from scalab.errors import ExitCode
from scalab.measure.batches import Estimate
from scalab.measure.statistics import Place, Spread
from scalab.report.plots.frame import render_chart
from scalab.report.plots.spec import Chart, Columns, Dots, Line
from scalab.report.scaling import figures
from scalab.report.scaling.devices import MAX_PLACES, device_map, render_map
from scalab.report.scaling.model import ScalingReport, make_scaling_report
from scalab.runfile.records import End, StepResult, Validation
from scalab.scaling.model import Outcome
from scalab.scaling.usl import Fit, NoFit
from tests.report.scaling.sample_validations import (
    a_step,
    a_validation,
    an_error,
    records,
    run_of,
    run_of_records,
    validated,
)


def report_of(validation: Validation) -> ScalingReport:
    return make_scaling_report(run_of(validation))


@pytest.fixture(scope="module")
def report() -> ScalingReport:
    return report_of(a_validation())


def with_rate(workers: int, rate: float, half: float | None = None) -> StepResult:
    """A step with that throughput."""
    low, high, error = (None,) * 3 if half is None else (rate - half, rate + half, half / 2)
    found = Estimate(rate, error, low, high, 20.0, 0.95)
    return attrs.evolve(a_step(1), workers=workers, throughput=found)


def layer(chart: Chart | None, name: str) -> Line:
    assert chart is not None
    (found,) = [one for one in chart.layers if one.name == name]
    assert isinstance(found, Line)
    return found


def dots(chart: Chart | None) -> dict[str, list[float]]:
    """Where dots are, by the group."""
    assert chart is not None
    return {one.name: [dot.x for dot in one.dots] for one in chart.layers if isinstance(one, Dots)}


# --- what is worked out ------------------------------------------------------------------------


def test_efficiency_is_of_the_first_step_per_worker() -> None:
    steps = [with_rate(2, 10.0, 0.3), with_rate(4, 16.0, 0.64), with_rate(8, 20.0)]
    first, second, third = (row.efficiency for row in report_of(validated(steps)).rows)

    assert first is not None
    assert (first.mean, first.low) == (1.0, None)
    assert second is not None
    assert second.mean == pytest.approx(0.8)
    # Relative half widths of 3 % and 4 % make 5 %.
    assert second.low == pytest.approx(0.76)
    assert second.high == pytest.approx(0.84)
    assert third is not None
    assert (third.mean, third.low, third.high) == (0.5, None, None)


def test_ideal_goes_with_the_workers() -> None:
    rows = report_of(validated([with_rate(2, 10.0), with_rate(8, 20.0)])).rows

    assert [row.ideal for row in rows] == [10.0, 40.0]


def test_what_was_not_measured_has_no_figures() -> None:
    *_, last = report_of(an_error(a_validation())).rows

    assert (last.outcome, last.measured, last.efficiency) == ("ERROR", False, None)
    assert (last.overhead_share, last.fairness, last.places) == (None, None, ())


def test_the_first_step_may_be_the_one_that_was_not_measured() -> None:
    broken = attrs.evolve(with_rate(1, 0.0), problem="no worker came up")
    report = report_of(validated([broken, with_rate(2, 10.0), with_rate(4, 19.0)]))

    assert [row.outcome for row in report.rows][:2] == ["ERROR", "ERROR"]
    assert [row.efficiency and row.efficiency.mean for row in report.rows] == [None, 1.0, 0.95]


@pytest.mark.parametrize(
    ("workers", "doubling"), [((1, 2, 4), 1.8), ((1, 3, 9), 1.7), ((1, 2, 3, 5), 1.95)]
)
def test_the_ratio_per_doubling_is_found_again(workers: tuple[int, ...], doubling: float) -> None:
    assert report_of(a_validation(workers, doubling=doubling)).doubling == pytest.approx(doubling)


def test_ratios_that_differ_have_none_per_doubling() -> None:
    validation = a_validation((1, 2, 4))
    one, two = validation.decisions
    mixed = attrs.evolve(validation, decisions=(one, attrs.evolve(two, required=1.5)))

    assert report_of(mixed).doubling is None


def test_failures_and_errors_are_those_of_all_steps(report: ScalingReport) -> None:
    failed = [row.step.statistics.failed for row in report.rows]

    assert report.failed == sum(failed) > 0
    assert report.failures == ("failure",)
    assert [(error.text, error.count) for error in report.errors] == [("device lost", sum(failed))]
    assert report.ended == report.failed + sum(row.step.statistics.succeeded for row in report.rows)


def test_the_law_is_of_the_steps_that_were_measured() -> None:
    validation = a_validation()

    law = report_of(validation).law
    assert isinstance(law, Fit)
    assert law.sizes == (1, 2, 4, 8, 16)
    law = report_of(an_error(validation)).law
    assert isinstance(law, Fit)
    assert law.sizes == (1, 2, 4, 8)
    assert isinstance(report_of(a_validation((1, 2))).law, NoFit)


def test_checks_of_the_last_step_are_not_told_twice() -> None:
    run = run_of(a_validation((8, 16)))
    assert run.end is not None
    other = attrs.evolve(run.steps[-1].checks[0], text="the client took 0.05 of a core")
    end = attrs.evolve(run.end, checks=(*run.steps[-1].checks, other))

    assert make_scaling_report(attrs.evolve(run, end=end)).checks == (other,)


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        ("PASS", ExitCode.OK),
        ("FAIL", ExitCode.VERDICT_FAIL),
        ("INCONCLUSIVE", ExitCode.INCONCLUSIVE),
        ("INVALID", ExitCode.INVALID),
        ("ERROR", ExitCode.INFRASTRUCTURE),
    ],
)
def test_the_exit_code_is_the_verdict(outcome: Outcome, code: ExitCode) -> None:
    found = attrs.evolve(a_validation((1, 2)), outcome=outcome)

    assert report_of(found).exit_code == code
    failing = attrs.evolve(found, too_many_failures=True)
    assert report_of(failing).exit_code == ExitCode.FAILURES


def killed(workers: tuple[int, ...]) -> ScalingReport:
    kept = [r for r in records(a_validation(workers)) if not isinstance(r, Validation | End)]
    return make_scaling_report(run_of_records(kept))


def test_a_killed_validation_has_not_passed() -> None:
    assert killed((1, 2)).rows[-1].outcome == "PASS"
    assert killed((1, 2)).validation.outcome == "INCONCLUSIVE"
    assert killed((8, 16)).validation.outcome == "FAIL"
    assert "ended before its verdict" in killed((1, 2)).problems[-1]


# --- where it is drawn -------------------------------------------------------------------------


def test_the_curve_has_what_was_measured_and_what_would_be_ideal(report: ScalingReport) -> None:
    chart = figures.scaling_curve(report.rows, report.law)
    ideal = layer(chart, "ideal").points[-1]
    each = report.rows[0].step.throughput.mean

    assert dots(chart) == {"first, or passed": [1, 2, 8], "failed": [4, 16]}
    assert ideal[1] == pytest.approx(ideal[0] * each)
    assert chart is not None
    assert chart.y.high >= max(row.step.throughput.high or 0.0 for row in report.rows)
    assert [row.cells[0] for row in chart.data.rows] == ["1", "2", "4", "8", "16"]


def test_the_law_is_drawn_over_the_whole_axis(report: ScalingReport) -> None:
    chart = figures.scaling_curve(report.rows, report.law)
    points = layer(chart, "scalability law").points

    assert chart is not None
    assert isinstance(report.law, Fit)
    assert points[0][0] == 1.0
    assert points[-1][0] == pytest.approx(chart.x.high)
    assert points[-1][1] == pytest.approx(report.law.throughput(chart.x.high))
    assert any(one.name == "its 95 % band" for one in chart.layers)


def test_a_peak_is_drawn_where_it_is() -> None:
    report = report_of(a_validation((1, 2, 4, 8, 16, 32)))
    assert isinstance(report.law, Fit)
    assert report.law.peak is not None
    peak = report.law.peak.value

    chart = figures.scaling_curve(report.rows, report.law)
    assert [x for x, _ in layer(chart, f"peak at {peak:.0f}").points] == [peak, peak]


def test_without_a_law_there_is_no_curve_but_dots() -> None:
    report = report_of(a_validation((1, 2)))
    chart = figures.scaling_curve(report.rows, report.law)

    assert chart is not None
    assert [one.name for one in chart.layers] == ["ideal", "first, or passed"]


def test_what_is_just_enough_for_each_step(report: ScalingReport) -> None:
    points = layer(figures.efficiency(report.rows, 1.8), "just enough: 1.8 per doubling").points

    assert points[0] == (1.0, 1.0)
    assert points[-1] == pytest.approx((16.0, 0.9**4))


def test_each_doubling_is_equally_far() -> None:
    scale = figures.doublings([1, 2, 4, 8])
    places = [scale.at(n) for n in (1, 2, 4, 8)]

    gaps = [b - a for a, b in pairwise(places)]
    assert gaps == [pytest.approx(gaps[0])] * 3
    assert gaps[0] > 0.2


def test_times_are_stacked(report: ScalingReport) -> None:
    chart = figures.time_split(report.rows)
    assert chart is not None
    wait, run, overhead = chart.layers
    assert isinstance(wait, Columns)
    assert isinstance(run, Columns)
    assert isinstance(overhead, Columns)
    of = report.rows[-1].step.statistics

    assert (wait.name, run.name, overhead.name) == ("wait", "run", "overhead")
    assert overhead.bars[-1][2] == pytest.approx(of.overhead.mean_s)
    assert run.bars[-1][2] == pytest.approx(of.overhead.mean_s + of.run.mean_s)
    assert wait.bars[-1][2] == pytest.approx(of.total.mean_s, rel=0.01)


def test_nothing_measured_makes_no_chart() -> None:
    rows = report_of(an_error(a_validation((1,)))).rows

    assert figures.scaling_curve(rows, NoFit("")) is None
    assert figures.efficiency(rows, 1.8) is None
    assert figures.time_split(rows) is None


rates = st.floats(1e-9, 1e9)
some_steps = st.lists(
    st.builds(with_rate, st.integers(1, 10**6), rates, st.none() | st.floats(0, 1e9)),
    min_size=1,
    max_size=6,
)


@settings(max_examples=50, deadline=None)
@given(some_steps)
def test_whatever_was_measured_can_be_drawn(steps: list[StepResult]) -> None:
    report = report_of(attrs.evolve(a_validation((1,)), steps=tuple(steps)))
    for chart in (
        figures.scaling_curve(report.rows, report.law),
        figures.efficiency(report.rows, report.doubling),
        figures.time_split(report.rows),
    ):
        if chart is not None:
            assert "nan" not in render_chart(chart)


# --- the map of devices ------------------------------------------------------------------------


def test_the_map_has_a_cell_for_each_device_and_step(report: ScalingReport) -> None:
    found = device_map(report)
    assert found is not None
    cells = {name: (kinds, texts) for name, kinds, texts in found.rows}

    assert (found.kind, found.steps, found.left_out) == ("devices", ("1", "2", "4", "8", "16"), 0)
    assert list(cells) == [f"renderD{n}" for n in range(128, 136)]
    assert [cell is not None for cell in cells["renderD129"][1]] == [False, True, True, True, True]
    slow = cells["renderD131"][1][-1]
    assert slow is not None
    assert (cells["renderD131"][0], slow.heat) == (("slow",), 3)
    failing = cells["renderD130"][1][-1]
    assert failing is not None
    assert failing.failed.endswith("%")
    assert failing.detail.endswith("most often: device lost")


def test_colour_is_not_the_only_sign(report: ScalingReport) -> None:
    found = device_map(report)
    assert found is not None
    table = render_map(found)

    assert table.count('class="heat-') == 1 + 2 + 4 + 8 + 8
    assert "✗ 3.85 %" in table
    assert ">5.33 s<" in table


@pytest.mark.parametrize(
    ("times", "heat"), [(0.5, 0), (1.0, 0), (1.08, 1), (1.24, 1), (1.25, 2), (1.6, 3), (2.5, 4)]
)
def test_longer_runs_are_hotter(times: float, heat: int) -> None:
    usual, longer = (Place("d0", 9, 0, Spread(9, *[seconds] * 8), ()) for seconds in (1.0, times))
    of = a_step(1).statistics
    steps = [
        attrs.evolve(with_rate(n, 1.0), statistics=attrs.evolve(of, devices=(place,)))
        for n, place in ((1, usual), (2, longer))
    ]
    found = device_map(report_of(validated(steps)))
    assert found is not None
    cell = found.rows[0][2][1]
    assert cell is not None

    assert cell.heat == heat


def test_pods_stand_for_work_without_devices() -> None:
    step = a_step(2)
    without = attrs.evolve(step, statistics=attrs.evolve(step.statistics, devices=()))
    found = device_map(report_of(validated([without])))

    assert found is not None
    assert (found.kind, len(found.rows)) == ("pods", 2)
    bare = attrs.evolve(without.statistics, pods=(), nodes=())
    assert device_map(report_of(validated([attrs.evolve(step, statistics=bare)]))) is None


def test_those_that_fail_are_on_a_full_map() -> None:
    step = a_step(1)
    run = Spread(30, *[1.0] * 8)
    places = [Place(f"d{n}", 30, 9 if n == 199 else 0, run, ()) for n in range(200)]
    many = attrs.evolve(step, statistics=attrs.evolve(step.statistics, devices=tuple(places)))
    found = device_map(report_of(validated([many])))

    assert found is not None
    names = [name for name, _, _ in found.rows]
    assert (len(names), found.left_out) == (MAX_PLACES, 200 - MAX_PLACES)
    assert (names[:3], names[-1]) == (["d0", "d1", "d2"], "d199")
