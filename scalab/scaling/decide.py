"""Did throughput follow the workers? One step of a validation against the one before it."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Final

import attrs

from scalab.measure.batches import CONFIDENCE, Estimate
from scalab.measure.figures import format_count, format_duration
from scalab.measure.student import quantile
from scalab.protocol.text import printable
from scalab.verdict.checks import overall

from .model import Decision, Outcome, StepResult

TOO_CLOSE: Final = 100.0
"""Measuring for so many times longer is nothing that anybody does."""
POWER: Final = 0.8
"""Chance that as much more as is said really decides, if the ratio is what it seems."""

_MAX_TEXT = 160
_FAR = 50.0  # a logarithm beyond which a ratio's bound says nothing, and none overflows


@attrs.frozen
class Risk:
    """How likely a decision may be wrong; of each kind, by chance alone."""

    passing: float
    """Of PASS, though the ratio is too small."""
    failing: float
    """Of FAIL, though it isn't."""

    @classmethod
    def of(cls, confidence: float) -> Risk:
        """Return the risks of an interval at ``confidence``: half of the rest at each end."""
        return cls((1 - confidence) / 2, (1 - confidence) / 2)

    def times(self, share: float) -> Risk:
        """Return a share of both."""
        return Risk(self.passing * share, self.failing * share)


@attrs.frozen
class Ratio:
    """A ratio of two throughputs, as a logarithm, in which its error is alike at both ends."""

    log: float
    error: float
    """Standard error."""
    df: float
    """Degrees of freedom."""


def required_ratio(before: int, after: int, per_doubling: float) -> float:
    """Return by how much throughput must grow: S ** log2(f) when workers grow f-fold.

    Args:
        before: Workers.
        after: Workers.
        per_doubling: S, by how much it must grow when workers double.
    """
    return float(per_doubling ** math.log2(after / before))


def unusable(step: StepResult) -> Outcome | None:
    """Return why nothing can be compared with a step: ``ERROR``, ``INVALID``, or None if it can."""
    if step.problem:
        return "ERROR"
    if overall(step.checks) == "invalid" or step.throughput.mean <= 0:
        return "INVALID"
    return None


def why_unusable(step: StepResult) -> str:
    """Return the same for people, in one line; "" if it can be compared."""
    name = workers(step.workers)
    if step.problem:
        return f"with {name} nothing could be measured: {printable(step.problem, _MAX_TEXT)}"
    for check in step.checks:
        if check.state == "invalid":
            return f"with {name} {check.name} says: {printable(check.text, _MAX_TEXT)}"
    return "" if step.throughput.mean > 0 else f"with {name} no request succeeded"


def workers(n: int) -> str:
    """Write a number of workers.

    >>> workers(1), workers(1024)
    ('1 worker', '1,024 workers')
    """
    return "1 worker" if n == 1 else f"{format_count(n)} workers"


def decide(
    before: StepResult,
    after: StepResult,
    required_per_doubling: float,
    confidence: float = CONFIDENCE,
    risk: Risk | None = None,
) -> Decision:
    """Return whether throughput grew as much as it must.

    PASS if all of the ratio's interval is as large as required, FAIL if none of it is, and
    INCONCLUSIVE otherwise. INVALID and ERROR if one of the steps is.

    Args:
        before: The step with fewer workers.
        after: The step to judge.
        required_per_doubling: By how much throughput must grow when workers double.
        confidence: Of the interval.
        risk: Of the interval's two ends, if they are to be other than ``confidence`` has them;
            see ``sizing``.
    """
    required = required_ratio(before.workers, after.workers, required_per_doubling)
    decision = Decision(
        before=before.workers,
        after=after.workers,
        outcome="INCONCLUSIVE",
        required=required,
        confidence=confidence,
    )
    for outcome in ("ERROR", "INVALID"):
        for step in (before, after):
            if unusable(step) == outcome:
                return attrs.evolve(decision, outcome=outcome, text=why_unusable(step))
    ratio = ratio_of(before.throughput, after.throughput)
    if ratio is None:
        value = after.throughput.mean / before.throughput.mean
        text = f"{value:.2f}x, but too little was measured to tell how sure that is"
        return attrs.evolve(decision, ratio=value, text=text)
    return _judged(decision, ratio, risk or Risk.of(confidence), (before, after))


def ratio_of(before: Estimate, after: Estimate) -> Ratio | None:
    """Return by how much a throughput grew; None if that, or how sure it is, is unknown.

    The relative errors of both add up by their squares, and the degrees of freedom are Welch's
    and Satterthwaite's (B. L. Welch, The generalization of "Student's" problem when several
    different population variances are involved, Biometrika 34 (1947), 28-35).
    """
    parts = (before, after)
    if any(part.error is None or part.mean <= 0 for part in parts):
        return None
    squares = [((part.error or 0.0) / part.mean) ** 2 for part in parts]
    whole = math.fsum(squares)
    spread = math.fsum(
        square**2 / max(part.batches - 1, 1.0) for square, part in zip(squares, parts, strict=True)
    )
    df = whole**2 / spread if spread else math.inf
    return Ratio(math.log(after.mean / before.mean), math.sqrt(whole), df)


def normal_quantile(risk: float) -> float:
    """Return how many standard errors are exceeded with probability ``risk``."""
    return NormalDist().inv_cdf(1 - risk)


def _judged(
    decision: Decision, ratio: Ratio, risk: Risk, steps: tuple[StepResult, StepResult]
) -> Decision:
    required = decision.required
    low = _exp(ratio.log - quantile(1 - risk.passing, ratio.df) * ratio.error)
    high = _exp(ratio.log + quantile(1 - risk.failing, ratio.df) * ratio.error)
    outcome: Outcome = "PASS" if low >= required else "FAIL" if high < required else "INCONCLUSIVE"
    found = attrs.evolve(decision, outcome=outcome, ratio=_exp(ratio.log), low=low, high=high)
    text = f"{found.ratio:.2f}x ({low:.2f} to {high:.2f}); at least {required:.2f}x is required"
    if outcome != "INCONCLUSIVE":
        return attrs.evolve(found, text=text)
    longer = _longer(ratio, math.log(required), risk)
    if longer > TOO_CLOSE:
        return attrs.evolve(
            found, text=f"{text}; not even {TOO_CLOSE:.0f} times as many requests would tell"
        )
    more_s = longer * sum(step.statistics.window_s for step in steps)
    requests = math.ceil(longer * sum(step.statistics.succeeded for step in steps))
    text += f"; about {format_count(requests)} more requests, {format_duration(more_s)}, would tell"
    return attrs.evolve(found, more_requests=requests, more_s=more_s, text=text)


def _exp(log: float) -> float:
    return math.exp(max(-_FAR, min(log, _FAR)))


def _longer(ratio: Ratio, required_log: float, risk: Risk) -> float:
    """Return for how many times the time so far both steps must be measured on, to decide.

    The square of an error falls as the time that was measured grows.
    """
    distance = ratio.log - required_log
    if not distance:
        return math.inf
    z = normal_quantile(risk.passing if distance > 0 else risk.failing)
    return max(((z + normal_quantile(1 - POWER)) * ratio.error / distance) ** 2 - 1, 0.1)
