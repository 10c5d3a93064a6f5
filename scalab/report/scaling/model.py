"""What the report of a validation says, whatever it is written as.

Nothing is worked out twice: a figure that two formats show is a field or a property here.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

import attrs

from scalab.errors import ExitCode
from scalab.measure.counts import OTHERS
from scalab.measure.fairness import ENOUGH, jain
from scalab.measure.statistics import ErrorCount, Place, Statistics
from scalab.runfile.reading import Run
from scalab.runfile.records import End, Event, Header
from scalab.scaling.decide import unusable
from scalab.scaling.model import Decision, Outcome, StepResult, Validation
from scalab.scaling.overall import exit_code as code_of, make_validation
from scalab.scaling.usl import Fit, NoFit, Point, fit
from scalab.verdict.results import Checked

DOUBLING: Final = 1.8
"""What is taken as the ratio required per doubling where there is no decision to tell it."""

_ENDED_EARLY: Final = (
    "The validation ended before its verdict: this is what was measured until then."
)


@attrs.frozen
class Share:
    """A share of something, 1 being all of it, and how sure it is."""

    mean: float
    low: float | None = None
    """The confidence interval; None if it is unknown."""
    high: float | None = None


@attrs.frozen(kw_only=True)
class StepRow:
    """A step with what became of it."""

    step: StepResult
    decision: Decision | None
    """Against the step before; None of the first one, and where none was made."""
    efficiency: Share | None
    """Throughput per worker, as a share of the first step's; None if either wasn't measured."""
    ideal: float | None
    """Requests per second if each worker did as much as one of the first step."""

    @property
    def outcome(self) -> Outcome:
        """What it came to: that of its decision, or why there is none."""
        if self.decision is not None:
            return self.decision.outcome
        return "ERROR" if self.step.problem else "BASE"

    @property
    def measured(self) -> bool:
        """Whether there is a throughput to show."""
        return not self.step.problem and self.step.throughput.mean > 0

    @property
    def ended(self) -> int:
        """Requests that ended, by whatever."""
        return self.step.statistics.succeeded + self.step.statistics.failed

    @property
    def places(self) -> tuple[Place, ...]:
        """The devices; of work without devices the pods, or else the nodes."""
        return places_of(self.step.statistics)

    @property
    def overhead_share(self) -> float | None:
        """The part of requests' time that was neither waiting nor running; None without any."""
        of = self.step.statistics
        whole_s = of.wait.mean_s + of.run.mean_s + of.overhead.mean_s
        return of.overhead.mean_s / whole_s if of.overhead.count and whole_s > 0 else None

    @property
    def fairness(self) -> float | None:
        """Jain's index of what its places served; None if fewer than two served enough."""
        served = [place.served for place in self.places if place.served >= ENOUGH]
        return jain(served) if len(served) > 1 else None


@attrs.frozen(kw_only=True)
class ScalingReport:
    """A validation, ready to be shown. All times are in seconds, since the run's start."""

    header: Header
    validation: Validation
    rows: tuple[StepRow, ...]
    law: Fit | NoFit
    checks: tuple[Checked, ...]
    """Of the run as a whole, as far as they aren't those of a step."""
    events: tuple[Event, ...]
    events_left_out: int
    end: End | None
    problems: tuple[str, ...]
    """What a reader of the figures must know, one line each."""
    exit_code: ExitCode

    @property
    def title(self) -> str:
        """The queues' names. A stranger's text: to be made printable."""
        return ", ".join(queue.name for queue in self.header.scenario.queues)

    @property
    def doubling(self) -> float | None:
        """The ratio required of a doubling; None if decisions differ in it."""
        found = {
            round(d.required ** (1 / math.log2(d.after / d.before)), 6)
            for d in self.validation.decisions
            if d.required > 0 and d.after != d.before and min(d.after, d.before) > 0
        }
        return found.pop() if len(found) == 1 else None if found else DOUBLING

    @property
    def measured(self) -> tuple[StepRow, ...]:
        """The steps that have a throughput."""
        return tuple(row for row in self.rows if row.measured)

    @property
    def kind(self) -> str:
        """What ``places`` are: devices, pods or nodes."""
        return next(
            (kind for row in self.rows if (kind := kind_of(row.step.statistics))), "devices"
        )

    @property
    def duration_s(self) -> float:
        """How long it took, as far as it is known."""
        if self.end is not None:
            return self.end.at_s
        return self.rows[-1].step.to_s if self.rows else 0.0

    @property
    def failed(self) -> int:
        """Requests that failed, of all steps."""
        return sum(row.step.statistics.failed for row in self.rows)

    @property
    def ended(self) -> int:
        """Requests that ended, by whatever, of all steps."""
        return sum(row.ended for row in self.rows)

    @property
    def errors(self) -> tuple[ErrorCount, ...]:
        """The error texts of all steps, the most frequent first."""
        counted: Counter[str] = Counter()
        for row in self.rows:
            counted.update({error.text: error.count for error in row.step.statistics.errors})
        return tuple(ErrorCount(text, n) for text, n in counted.most_common())

    @property
    def failures(self) -> tuple[str, ...]:
        """The kinds of failures of all steps, the most frequent first."""
        counted: Counter[str] = Counter()
        for row in self.rows:
            counted.update(row.step.statistics.failures)
        return tuple(kind for kind, n in counted.most_common() if n)


def make_scaling_report(run: Run, *, exit_code: ExitCode | None = None) -> ScalingReport:
    """Return what there is to say about a validation.

    Args:
        run: As read, or just measured, with at least one step.
        exit_code: How it ends; None = as the verdict says.
    """
    found, problems = run.validation, run.problems
    if found is None:
        found = _unfinished(run.steps, run.decisions)
        problems = (*problems, _ENDED_EARLY)
    # A client's checks at its end are of its last window, which is that of the last step.
    known = {check for step in found.steps for check in step.checks}
    whole = run.end.checks if run.end else ()
    return ScalingReport(
        header=run.header,
        validation=found,
        rows=tuple(_rows(found)),
        law=law_of(found.steps),
        checks=tuple(check for check in whole if check not in known),
        events=run.events,
        events_left_out=run.events_left_out,
        end=run.end,
        problems=problems,
        exit_code=code_of(found) if exit_code is None else exit_code,
    )


def law_of(steps: Sequence[StepResult]) -> Fit | NoFit:
    """Return the scalability law of what was measured so far, or why there is none."""
    return fit(
        [
            Point(step.workers, step.throughput.mean, step.throughput.error)
            for step in steps
            if unusable(step) is None
        ]
    )


def kind_of(statistics: Statistics) -> str:
    """Return the kind of places that tell most: devices, else pods, else nodes; "" if none."""
    kinds = ("devices", "pods", "nodes")
    return next((kind for kind in kinds if getattr(statistics, kind)), "")


def places_of(statistics: Statistics) -> tuple[Place, ...]:
    """Return the places of that kind, without the row of those that are not told apart."""
    kind = kind_of(statistics)
    places: tuple[Place, ...] = getattr(statistics, kind) if kind else ()
    return tuple(place for place in places if place.name != OTHERS)


def _unfinished(steps: tuple[StepResult, ...], decisions: tuple[Decision, ...]) -> Validation:
    """Return what can be said of a validation that was killed: it can't have passed."""
    found = make_validation(steps, decisions)
    return attrs.evolve(found, outcome="INCONCLUSIVE") if found.outcome == "PASS" else found


def _rows(validation: Validation) -> Iterator[StepRow]:
    base = next((step for step in validation.steps if unusable(step) is None), None)
    made = {decision.after: decision for decision in validation.decisions}
    for step in validation.steps:
        yield StepRow(
            step=step,
            decision=made.get(step.workers),
            efficiency=_efficiency(step, base) if base else None,
            ideal=base.throughput.mean / base.workers * step.workers if base else None,
        )


def _efficiency(step: StepResult, base: StepResult) -> Share | None:
    """Return a step's efficiency; its interval has the errors of both steps in it."""
    of, first = step.throughput, base.throughput
    if step.problem or not of.mean > 0:
        return None
    mean = of.mean / first.mean * base.workers / step.workers
    if step is base:
        return Share(mean)
    width, first_width = of.half_width_share, first.half_width_share
    if width is None or first_width is None:
        return Share(mean)
    half = mean * math.hypot(width, first_width)
    return Share(mean, max(mean - half, 0.0), mean + half)
