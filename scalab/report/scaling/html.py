"""The report of a validation as one HTML file, in the manner of ``report.html``.

It needs no script and no other host, follows the reader's light or dark theme, and prints.
Everything in it that came from a peer or a file is made printable, cut, and escaped.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Final

import attrs
from jinja2 import Template

from scalab.measure.figures import format_count, format_duration, format_rate, format_share
from scalab.measure.statistics import Spread
from scalab.protocol.text import printable
from scalab.report.parameters import surroundings
from scalab.report.plots.frame import render_chart
from scalab.report.plots.scales import at_clock
from scalab.runfile.records import Event
from scalab.scaling.model import Outcome
from scalab.scaling.usl import Fit, NoFit, Ranged, describe
from scalab.verdict.results import Checked
from scalab.web.templating import make_environment

from . import figures
from .devices import device_map, render_map
from .model import ScalingReport, StepRow
from .words import (
    MEANINGS,
    NONE,
    asked_for,
    fairness_parts,
    half_width_text,
    ratio_text,
    rule_text,
    share_text,
    workers_text,
)

MAX_ERRORS: Final = 50
MAX_EVENTS: Final = 100
"""Events shown from the start, and as many from the end."""
MAX_KINDS: Final = 16
"""Kinds of failures shown."""
MAX_BLAME: Final = 40
"""Sentences about devices and nodes shown."""

_CLASSES: Final[dict[Outcome, str]] = {
    "PASS": "passed",
    "BASE": "",
    "FAIL": "failed",
    "INCONCLUSIVE": "open",
    "INVALID": "invalid",
    "ERROR": "failed",
}
_SIGNS: Final = {"ok": "✓", "caveat": "! caveat", "invalid": "✗ INVALID", "skipped": NONE}
_COLOURS: Final = {"ok": "good", "caveat": "warn", "invalid": "bad", "skipped": "dim"}


@attrs.frozen
class _Tile:
    name: str
    value: str
    detail: str = ""
    alarm: bool = False


def to_html(report: ScalingReport) -> str:
    """Return the whole document."""
    charts = (
        figures.scaling_curve(report.rows, report.law),
        figures.efficiency(report.rows, report.doubling),
        figures.time_split(report.rows),
    )
    found = device_map(report)
    header = report.header
    return _template().render(
        report=report,
        outcome=report.validation.outcome,
        classes=_CLASSES,
        meanings=MEANINGS,
        rule=rule_text(report),
        tiles=list(_tiles(report)),
        curves=[render_chart(chart) for chart in charts if chart is not None],
        steps=[(row, _cells(row), _remark(row)) for row in report.rows],
        law=_sentence(describe(report.law)),
        law_rows=list(_law(report.law)),
        blame=report.validation.blame[:MAX_BLAME],
        map=found and render_map(found),
        map_of=found,
        fairness=list(fairness_parts(report)),
        failures=_failures(report),
        errors=report.errors[:MAX_ERRORS],
        workers=[format_count(row.step.workers) for row in report.rows],
        check_rows=_check_rows(report),
        findings=list(_findings(report)),
        signs=_SIGNS,
        colours=_COLOURS,
        events=[_event(event) for event in _shown(report.events)],
        events_left_out=_events_left_out(report),
        parameters=asked_for(report),
        surroundings=surroundings(header),
        command=shlex.join(header.command),
    )


@cache
def _template() -> Template:
    """Return the template, which is read and compiled once."""
    return make_environment("scalab.report.scaling").get_template("scaling.html")


# --- figures -------------------------------------------------------------------------------


def _tiles(report: ScalingReport) -> Iterator[_Tile]:
    measured = report.measured
    if measured:
        best = max(measured, key=lambda row: row.step.throughput.mean)
        rate, last = best.step.throughput, measured[-1]
        sure = half_width_text(rate)
        detail = f"with {workers_text(best.step.workers)}" + (
            f", ±\u00a0{sure}" if sure != NONE else ""
        )
        yield _Tile("Most throughput", format_rate(rate.mean), detail)
        with_last = f"with {workers_text(last.step.workers)}"
        yield _Tile("Efficiency", share_text(last.efficiency), with_last)
    decided = report.validation.decisions
    passed = sum(decision.outcome == "PASS" for decision in decided)
    failed = sum(decision.outcome == "FAIL" for decision in decided)
    yield _Tile("Steps passed", f"{passed} of {len(decided)}", f"{failed} failed", bool(failed))
    share = format_share(report.failed, report.ended)
    of = f"{format_count(report.failed)} of {format_count(report.ended)} requests"
    yield _Tile("Failures", share, of, bool(report.failed))
    if isinstance(report.law, Fit):
        yield from _law_tiles(report.law)
    if measured and measured[-1].fairness is not None:
        detail = f"with {workers_text(measured[-1].step.workers)}; 1 = all served alike"
        yield _Tile("Fairness", f"{measured[-1].fairness:.2f}", detail)


def _law_tiles(law: Fit) -> Iterator[_Tile]:
    most = law.sizes[-1]
    loss, detail = law.loss(most), f"with {workers_text(most)}"
    yield _Tile("Lost to contention", format_share(loss.contention, 1.0), detail)
    yield _Tile("Lost to coherency", format_share(loss.coherency, 1.0), detail)
    if law.peak is None:
        yield _Tile("Peak", "none seen", f"up to {workers_text(most)}")
    else:
        yield _Tile("Peak", format_count(round(law.peak.value)), f"workers, {_within(law.peak)}")


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _law(law: Fit | NoFit) -> Iterator[tuple[str, str, str, str]]:
    """Yield the law's figures: name, value, interval, what it means."""
    if isinstance(law, NoFit):
        return
    yield _figure("sigma", law.sigma, "contention: share of a request for which workers queue")
    yield _figure("kappa", law.kappa, "coherency: what a worker loses to each other one")
    yield _figure("gamma", law.gamma, "requests per second of one worker")
    if law.limit is not None:
        yield _figure("limit", law.limit, "requests per second that contention never lets exceed")
    if law.peak is not None:
        yield _figure("peak", law.peak, "workers; more give less throughput")
    most = workers_text(2 * law.sizes[-1])
    yield _figure("next doubling", law.doubling(), f"times the throughput, with {most}")


def _figure(name: str, figure: Ranged, meaning: str) -> tuple[str, str, str, str]:
    bound = "; at its bound" if figure.at_bound else ""
    return name, f"{figure.value:.3g}", _within(figure), meaning + bound


def _within(figure: Ranged) -> str:
    if figure.low is None:
        return NONE
    high = "or more" if figure.high is None else f"to {figure.high:.3g}"
    return f"{figure.low:.3g} {high}"


# --- tables --------------------------------------------------------------------------------


def _cells(row: StepRow) -> tuple[str, ...]:
    step, of = row.step, row.step.statistics
    overhead = row.overhead_share
    return (
        format_rate(step.throughput.mean) if row.measured else NONE,
        half_width_text(step.throughput),
        ratio_text(row.decision),
        f"{row.decision.required:.2f}" if row.decision else NONE,
        share_text(row.efficiency),
        format_count(row.ended) if row.measured else NONE,
        format_count(of.failed),
        _duration(of.run, of.run.p50_s),
        _duration(of.run, of.run.p95_s),
        _duration(of.wait, of.wait.p95_s),
        NONE if overhead is None else f"{100 * overhead:.2g} %",
    )


def _remark(row: StepRow) -> str:
    """Return why it came to that, if not by the ratio alone, and how it was measured."""
    step, parts = row.step, []
    if row.outcome not in {"BASE", "PASS", "FAIL"}:
        parts.append(row.decision.text if row.decision else step.problem)
    if row.measured:
        window_s = format_duration(step.statistics.window_s)
        parts.append(
            f"{format_count(step.parallel)} in parallel, measured for {window_s}, workers ready "
            f"after {format_duration(step.ready_s)}"
        )
    return " · ".join(part for part in parts if part)


def _failures(report: ScalingReport) -> list[tuple[str, list[int], int]]:
    """Return the kinds of failures, with their number in each step and in all."""
    found = []
    for kind in report.failures[:MAX_KINDS]:
        counts = [row.step.statistics.failures.get(kind, 0) for row in report.rows]
        found.append((kind, counts, sum(counts)))
    return found


def _check_rows(report: ScalingReport) -> list[tuple[str, list[Checked | None]]]:
    """Return each check's name, and what it found in each step."""
    found = [{check.name: check for check in row.step.checks} for row in report.rows]
    names = dict.fromkeys(name for checks in found for name in checks)
    return [(name, [checks.get(name) for checks in found]) for name in names]


def _findings(report: ScalingReport) -> Iterator[tuple[str, Checked]]:
    """Yield what checks of steps found that is not ok, and all checks of the whole run."""
    for row in report.rows:
        for check in row.step.checks:
            if check.state in {"invalid", "caveat"}:
                yield workers_text(row.step.workers), check
    yield from (("whole run", check) for check in report.checks)


def _event(event: Event) -> tuple[str, str, str]:
    when = f"{event.at_s:.1f} s" if event.at_s < 100 else at_clock(event.at_s)
    return when, printable(event.kind, 40), printable(event.text, 200)


def _shown(events: Sequence[Event]) -> list[Event]:
    if len(events) <= 2 * MAX_EVENTS:
        return list(events)
    return [*events[:MAX_EVENTS], *events[-MAX_EVENTS:]]


def _events_left_out(report: ScalingReport) -> int:
    return report.events_left_out + len(report.events) - len(_shown(report.events))


def _duration(spread: Spread, seconds: float) -> str:
    return format_duration(seconds) if spread.count else NONE
