"""The verdict of a whole validation: its outcome, its sentence, its exit code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from scalab.errors import ExitCode
from scalab.measure.figures import format_count, format_duration, format_share

from .decide import TOO_CLOSE, unusable, why_unusable, workers
from .model import Decision, Outcome, StepResult, Validation

EXIT_CODES: Final[dict[Outcome, ExitCode]] = {
    "PASS": ExitCode.OK,
    "FAIL": ExitCode.VERDICT_FAIL,
    "ERROR": ExitCode.INFRASTRUCTURE,
    "INVALID": ExitCode.INVALID,
    "INCONCLUSIVE": ExitCode.INCONCLUSIVE,
    "BASE": ExitCode.INCONCLUSIVE,
}
"""What an outcome tells whoever started the validation."""

WORST_FIRST: Final[tuple[Outcome, ...]] = ("FAIL", "ERROR", "INVALID", "INCONCLUSIVE")
"""FAIL comes first: what was measured well and doesn't scale is so whatever else went wrong."""


def make_validation(
    steps: Sequence[StepResult],
    decisions: Sequence[Decision],
    *,
    fit: str = "",
    blame: Sequence[str] = (),
    failures_max: float | None = None,
) -> Validation:
    """Return the whole verdict: the worst that any step came to, and PASS only if all pass.

    Args:
        steps: In the order in which they were measured.
        decisions: Each of a step against one before it.
        fit: A sentence about what the scalability law has to say; "" if there is none.
        blame: Who holds back or fails.
        failures_max: The share of requests that may fail in any step, from 0 to 1; None = all.
    """
    outcome = _outcome(steps, decisions)
    failing = _failing(steps, failures_max)
    sentences = [*_failures(failing, failures_max), *_sentences(outcome, steps, decisions), fit]
    return Validation(
        outcome="FAIL" if failing else outcome,
        sentence=" ".join(sentence for sentence in sentences if sentence),
        steps=tuple(steps),
        decisions=tuple(decisions),
        blame=tuple(blame),
        too_many_failures=bool(failing),
    )


def exit_code(validation: Validation) -> ExitCode:
    """Return what a validation's verdict means for whoever started it."""
    if validation.too_many_failures:
        return ExitCode.FAILURES
    return EXIT_CODES[validation.outcome]


def efficiencies(steps: Sequence[StepResult]) -> dict[int, float]:
    """Return each step's throughput per worker as a share of the first one's, by workers.

    Args:
        steps: Those of which nothing is known are left out.
    """
    each = {
        step.workers: step.throughput.mean / step.workers for step in steps if not unusable(step)
    }
    first = next(iter(each.values()), 0.0)
    return {n: per_worker / first for n, per_worker in each.items()}


def _outcome(steps: Sequence[StepResult], decisions: Sequence[Decision]) -> Outcome:
    found = {decision.outcome for decision in decisions} | {unusable(step) for step in steps}
    for outcome in WORST_FIRST:
        if outcome in found:
            return outcome
    return "PASS" if decisions else "INCONCLUSIVE"


def _failing(steps: Sequence[StepResult], failures_max: float | None) -> StepResult | None:
    """The step in which the most requests failed, if that is more than may."""
    worst = max(steps, key=_failed_share, default=None)
    if worst is None or failures_max is None or _failed_share(worst) <= failures_max:
        return None
    return worst


def _failed_share(step: StepResult) -> float:
    ended = step.statistics.succeeded + step.statistics.failed
    return step.statistics.failed / ended if ended else 0.0


def _failures(step: StepResult | None, failures_max: float | None) -> Iterator[str]:
    if step is not None:
        share, most = format_share(_failed_share(step), 1), format_share(failures_max or 0.0, 1)
        yield f"With {workers(step.workers)} {share} of the requests failed; {most} may."


def _sentences(
    outcome: Outcome, steps: Sequence[StepResult], decisions: Sequence[Decision]
) -> Iterator[str]:
    """What a person would say of the outcome."""
    found = [decision for decision in decisions if decision.outcome == outcome]
    if outcome in ("ERROR", "INVALID"):
        yield from _unusable(outcome, steps)
    elif not decisions:
        yield "There are no two steps to compare."
    elif outcome == "PASS":
        yield _growth(decisions)
    elif outcome == "FAIL":
        yield from _knee(found, decisions)
    else:
        yield from (_undecided(decision) for decision in found)
    yield from _efficiency(steps)


def _growth(decisions: Sequence[Decision]) -> str:
    ratios = sorted(decision.ratio or 0.0 for decision in decisions)
    grew = " to ".join(dict.fromkeys(f"{ratio:.2f}x" for ratio in (ratios[0], ratios[-1])))
    least = " or ".join(dict.fromkeys(f"{decision.required:.2f}x" for decision in decisions))
    return (
        f"Throughput follows the workers from {decisions[0].before} to {decisions[-1].after}: from "
        f"step to step it grew by {grew}, and had to by {least}."
    )


def _knee(failed: Sequence[Decision], decisions: Sequence[Decision]) -> Iterator[str]:
    first = failed[0]
    yield (
        f"Throughput doesn't follow the workers from {first.before} to {first.after}: it grew by "
        f"{_interval(first)}, and had to by {first.required:.2f}x."
    )
    before = decisions[: decisions.index(first)]
    if before and all(decision.outcome == "PASS" for decision in before):
        yield f"Up to {workers(first.before)} it does."
    if failed[1:]:
        others = ", ".join(f"{d.before} to {d.after} ({d.ratio or 0.0:.2f}x)" for d in failed[1:])
        yield f"Nor does it from {others}."


def _undecided(decision: Decision) -> str:
    steps = f"From {decision.before} to {workers(decision.after)} it can't be told"
    if decision.ratio is None or decision.low is None:
        return f"{steps}: too little was measured."
    text = f"{steps}: throughput grew by {_interval(decision)}, and had to by "
    text += f"{decision.required:.2f}x"
    if decision.more_requests is None or decision.more_s is None:
        return f"{text}; not even {TOO_CLOSE:.0f} times as many requests would tell."
    return (
        f"{text}; about {format_count(decision.more_requests)} more requests "
        f"({format_duration(decision.more_s)}) would tell, so give it more time."
    )


def _unusable(outcome: Outcome, steps: Sequence[StepResult]) -> Iterator[str]:
    for step in steps:
        if unusable(step) == outcome:
            reason = why_unusable(step).removesuffix(".")
            yield f"{reason[:1].upper()}{reason[1:]}."
            return


def _efficiency(steps: Sequence[StepResult]) -> Iterator[str]:
    found = efficiencies(steps)
    if len(found) < 2:
        return
    first, last = next(iter(found)), list(found)[-1]
    than = "of what it did alone" if first == 1 else f"of what it did with {first}"
    yield f"With {workers(last)} each does {format_share(found[last], 1)} {than}."


def _interval(decision: Decision) -> str:
    if decision.ratio is None or decision.low is None or decision.high is None:
        return "an unknown ratio"
    return f"{decision.ratio:.2f}x ({decision.low:.2f} to {decision.high:.2f})"
