"""What a report says, whatever it is written as: text, HTML, CSV, JSON or JUnit XML.

Nothing is worked out twice: a figure that two formats show is a field or a property here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

import attrs

from scalab.load.scenario import OpenLoad, Scenario
from scalab.measure.aggregate import Aggregate
from scalab.measure.batches import Batches, Estimate, combined
from scalab.measure.fairness import Outlier, outliers
from scalab.measure.interval import Interval
from scalab.measure.statistics import Statistics
from scalab.measure.window import Window
from scalab.protocol.text import printable
from scalab.runfile.reading import Earlier, Run
from scalab.runfile.records import Checked, End, Event, Header, Judged

State = Literal["passed", "failed", "invalid", "unjudged"]

GAP: Final = 1.2
"""From this ratio of corrected to raw latency on, a reader must be told why they differ."""
GAP_S: Final = 0.005
"""If it is so much at least: less is the loop's pulse, nothing that a user would feel."""

ENDINGS: Final = {
    "time": "ran its time",
    "requests": "sent all its requests",
    "stopped": "was stopped",
    "threshold": "was ended by a threshold",
    "error": "was ended by an error",
}
"""What is said of a run by the reason for its end."""


@attrs.frozen(kw_only=True)
class Verdict:
    """The result in a word and in a sentence."""

    state: State
    """``invalid`` when a check says so, whatever the thresholds; ``unjudged`` without any."""
    text: str


@attrs.frozen(kw_only=True)
class StageReport:
    """What was measured while a stage held its level."""

    index: int
    """From 0, as in the scenario."""
    level: float
    """Requests in parallel, or per second: the mean of what was asked for."""
    from_s: float
    to_s: float
    statistics: Statistics
    throughput: Estimate


@attrs.frozen(kw_only=True)
class QueueReport:
    """What was measured of one queue."""

    name: str
    statistics: Statistics


@attrs.frozen(kw_only=True)
class Report:
    """A run, ready to be shown. All times are in seconds, those of the run since its start."""

    header: Header
    verdict: Verdict
    thresholds: tuple[Judged, ...]
    checks: tuple[Checked, ...]
    statistics: Statistics
    """Of the measured window: all queues together."""
    outliers: tuple[Outlier, ...]
    """The devices that stand out: failing, slow or with little to do."""
    throughput: Estimate
    """Completions per second of the measured window, with the 95 % interval if it is known."""
    asked: float
    """The level asked for, on average over the measured window."""
    cpu_share: float
    """CPU that the client took in the measured window, in cores."""
    measured_from_s: float | None
    """When measuring began; None when nothing was measured."""
    measured_to_s: float
    queues: tuple[QueueReport, ...]
    stages: tuple[StageReport, ...]
    events: tuple[Event, ...]
    events_left_out: int
    """Events in the middle of a long run that are no longer known."""
    timeline: tuple[Interval, ...]
    """All of the run, what was not measured included: a few hundred intervals, without places."""
    measured: Aggregate
    """The histograms behind ``statistics``; not to be changed."""
    earlier: tuple[Earlier, ...]
    """What was measured before the load was changed live, or the statistics reset: the last of
    such windows, in order."""
    earlier_left_out: int
    problems: tuple[str, ...]
    """What a reader of the figures must know, one line each."""
    parts: tuple[Header, ...]
    """Of the runs of which this one was merged; empty if it is one client's own."""
    end: End | None
    truncated: bool
    """The end is missing: the client was killed, or the file is not whole."""

    @property
    def scenario(self) -> Scenario:
        """What was asked for."""
        return self.header.scenario

    @property
    def open_loop(self) -> bool:
        """Whether requests were sent by a schedule, and not one after the other's end."""
        return isinstance(self.scenario.load, OpenLoad)

    @property
    def title(self) -> str:
        """The scenario's name, or its queues'. A stranger's text: to be made printable."""
        return self.scenario.name or ", ".join(queue.name for queue in self.scenario.queues)

    @property
    def duration_s(self) -> float:
        """How long the run took, as far as it is known."""
        if self.end is not None:
            return self.end.at_s
        return self.timeline[-1].to_s if self.timeline else 0.0

    @property
    def ended(self) -> int:
        """Requests of the window that ended, by whatever: what shares are shares of."""
        return self.statistics.succeeded + self.statistics.failed

    @property
    def overhead_share(self) -> float:
        """The part of the time of all requests that was neither waiting nor running, 0 to 1."""
        parts = self.measured
        whole_us = parts.wait.sum_us + parts.run.sum_us + parts.overhead.sum_us
        return parts.overhead.sum_us / whole_us if whole_us else 0.0

    @property
    def levels(self) -> int:
        """How many different levels were measured: of more than one, no mean says much."""
        return len({round(stage.level, 6) for stage in self.stages})

    @property
    def ending(self) -> str:
        """How the run ended, to go on after its name: ``ran its time``."""
        if self.end is None:
            return "has no end: its client was killed, or the file is cut off"
        # Clients that were merged may have ended for several reasons.
        reasons = self.end.reason.split(", ")
        known = [ENDINGS[reason] for reason in reasons if reason in ENDINGS]
        return " or ".join(known) or f"ended: {printable(self.end.reason, 40)}"

    @property
    def gap(self) -> float | None:
        """How many times the raw p99 goes into the corrected one, if that must be explained."""
        raw, corrected = self.statistics.total, self.statistics.corrected
        if not corrected.count or not 0 < GAP * raw.p99_s < corrected.p99_s:
            return None
        if corrected.p99_s - raw.p99_s < GAP_S:
            return None
        return corrected.p99_s / raw.p99_s


def make_report(
    run: Run,
    *,
    thresholds: Iterable[Judged] | None = None,
    checks: Iterable[Checked] | None = None,
) -> Report:
    """Return what there is to say about a run.

    Args:
        run: As read, merged or just measured.
        thresholds: What became of them; None = as the run's end says, none if it has no end.
        checks: Likewise.
    """
    end, measured = run.end, run.measured
    statistics = measured.statistics()
    judged = tuple(thresholds if thresholds is not None else end.thresholds if end else ())
    checked = tuple(checks if checks is not None else end.checks if end else ())
    duration_s = measured.duration_s
    return Report(
        header=run.header,
        verdict=_verdict(judged, checked),
        thresholds=judged,
        checks=checked,
        statistics=statistics,
        outliers=outliers(statistics.devices),
        throughput=estimate_throughput(measured, run.stages),
        asked=measured.asked / duration_s if duration_s > 0 else 0.0,
        cpu_share=measured.cpu_s / duration_s if duration_s > 0 else 0.0,
        measured_from_s=measured.from_s,
        measured_to_s=measured.to_s,
        queues=tuple(
            QueueReport(name=name, statistics=measured.of_queue(name))
            for name in sorted(measured.queues)
        ),
        stages=tuple(_stage(index, run.stages[index]) for index in sorted(run.stages)),
        events=tuple(run.events),
        events_left_out=run.events_left_out,
        timeline=tuple(run.timeline),
        measured=measured.whole,
        earlier=run.earlier,
        earlier_left_out=run.earlier_left_out,
        problems=run.problems,
        parts=run.parts,
        end=end,
        truncated=run.truncated or end is None,
    )


def _stage(index: int, window: Window) -> StageReport:
    return StageReport(
        index=index,
        level=window.asked / window.duration_s if window.duration_s > 0 else 0.0,
        from_s=window.from_s or 0.0,
        to_s=window.to_s,
        statistics=window.statistics(places=False),
        throughput=_throughput(window),
    )


def estimate_throughput(measured: Window, stages: Mapping[int, Window]) -> Estimate:
    """Return the rate of what was measured, with how sure it is.

    Where several stages held different levels, each is estimated by itself: what they differ by
    is no uncertainty.
    """
    if len(stages) > 1:
        return combined([(_throughput(stage), stage.duration_s) for stage in stages.values()])
    return _throughput(measured)


def _throughput(window: Window) -> Estimate:
    """Estimate the rate from batches of twice the time for which a request keeps a worker busy."""
    batches, whole = Batches(), window.whole
    for interval in window.groups:
        batches.add(interval.duration_s, interval.whole.completed)
    return batches.estimate(min_batch_s=2 * (whole.run.mean_s + whole.overhead.mean_s))


def _verdict(thresholds: Sequence[Judged], checks: Sequence[Checked]) -> Verdict:
    invalid = [check.name for check in checks if check.state == "invalid"]
    caveats = sum(check.state == "caveat" for check in checks)
    crossed = sum(not judged.ok for judged in thresholds)
    # That requests failed is true whatever the other figures are worth.
    if invalid and not any(_is_of_failures(judged) for judged in thresholds):
        return Verdict(
            state="invalid",
            text=f"These figures can't be trusted: {', '.join(invalid)}.",
        )
    but = f" {_n(caveats, 'caveat')}: see the checks." if caveats else ""
    if invalid:
        but = f" Other figures can't be trusted: {', '.join(invalid)}."
    if crossed:
        text = f"{crossed} of {_n(len(thresholds), 'threshold')} crossed."
        return Verdict(state="failed", text=text + but)
    if not thresholds:
        return Verdict(state="unjudged", text=f"No thresholds were given.{but}")
    n = len(thresholds)
    text = "The threshold holds." if n == 1 else f"All {n} thresholds hold."
    return Verdict(state="passed", text=text + but)


def _is_of_failures(judged: Judged) -> bool:
    """Whether a threshold was crossed because requests failed."""
    return not judged.ok and judged.expression.startswith("fail")


def _n(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
