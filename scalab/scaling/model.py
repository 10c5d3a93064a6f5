"""What a validation finds out, step by step: the form in which it is recorded and shown."""

from __future__ import annotations

from typing import Literal

import attrs

from scalab.measure.batches import Estimate
from scalab.measure.statistics import Statistics
from scalab.verdict.results import Checked

Outcome = Literal["PASS", "FAIL", "INCONCLUSIVE", "INVALID", "BASE", "ERROR"]
"""``BASE``: the first step, which is compared with nothing. ``ERROR``: it could not be measured,
for example because the workers never came up."""


@attrs.frozen(kw_only=True)
class StepResult:
    """What was measured with so many workers."""

    workers: int
    parallel: int
    """Requests in parallel."""
    throughput: Estimate
    """Successful requests per second, with its 95 % interval."""
    statistics: Statistics
    """Of the step's window, with nodes, devices and pods."""
    ready_s: float = 0.0
    """Seconds until exactly so many workers were ready."""
    from_s: float = 0.0
    """When its window began, in seconds since the run's start."""
    to_s: float = 0.0
    checks: tuple[Checked, ...] = ()
    problem: str = ""
    """Why it could not be measured; "" if it was."""


@attrs.frozen(kw_only=True)
class Decision:
    """A step against the one before it."""

    before: int
    """Workers."""
    after: int
    outcome: Outcome
    required: float
    """By how much throughput must grow, at least: 1.8 for a doubling, say."""
    ratio: float | None = None
    """By how much it grew; None if that is unknown."""
    low: float | None = None
    """Its confidence interval."""
    high: float | None = None
    confidence: float = 0.95
    more_requests: int | None = None
    """About so many more, of both steps together, would decide; None when decided or unknown."""
    more_s: float | None = None
    """And so many seconds."""
    text: str = ""
    """The reason, for people, in one line."""


@attrs.frozen(kw_only=True)
class Validation:
    """The whole verdict."""

    outcome: Outcome
    """The worst that a step came to."""
    sentence: str
    """What a person would say: what scales, where the knee is, what to do."""
    steps: tuple[StepResult, ...]
    decisions: tuple[Decision, ...]
    blame: tuple[str, ...] = ()
    """A sentence about each device or node that holds back or fails."""
    too_many_failures: bool = False
    """Whether more requests failed than may; the outcome is FAIL then, whatever the ratios."""
