"""How long to measure each step, so that its decision is soon there, and seldom wrong.

*Sure enough for the next.* A step can't be measured again once the workers were scaled past it. So
it is measured until the step after it can be decided if its ratio lies halfway between what is
required and perfect scaling. What its throughput is isn't looked at for that, only how sure it is.

*Seldom wrong.* Who looks at a decision again and again, until he likes it, will like it by chance
in the end. So there are at most ``LOOKS`` of them, and they share the risk of being wrong: each
gets twice that of the one before, the last one all that is left. By the union bound the whole is no
riskier (C. Jennison, B. W. Turnbull, Group Sequential Methods with Applications to Clinical Trials,
chapter 7, on spending an error).

*Of the whole.* A validation passes only if all its steps do, so a wrong PASS takes one wrong step
wherever it should have failed, and no correction is due (R. L. Berger, Multiparameter hypothesis
testing and acceptance sampling, Technometrics 24 (1982), 295-300). But it fails by any one step, so
the risk of a wrong FAIL is shared out among them (Bonferroni).

*Where the time goes.* With N workers there are N times as many runs in a second, and the variance
is an Nth. Time shared out as its root makes the sum of variances least (J. Neyman, On the two
different aspects of the representative method, J. R. Stat. Soc. 97 (1934), 558-625); a step in
the middle counts twice. What one step leaves goes to the later ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import attrs

from scalab.measure.batches import CONFIDENCE
from scalab.measure.student import quantile

from .decide import POWER, Risk, decide, normal_quantile, required_ratio, unusable
from .model import Decision, StepResult
from .throughput import MOST_BATCHES

LOOKS: Final = 4
"""Looks at one decision, at most."""
MIN_WINDOW_S: Final = 10.0
"""Seconds that a step is measured at least: as the self-check of the window has it."""
MIN_LATENCIES: Final = 10.0
"""And so many times the mean latency: with twice as many requests as workers, 20 runs each."""
LEAST_MARGIN: Final = 0.02
"""Of the logarithm of a ratio; closer to perfect scaling than that nothing is planned for."""
LEAST_GAIN: Final = 0.1
"""Share of the variance; for less, it isn't worth going on."""

_USED = 0.6
"""Of the risk that may be taken. It is measured on until errors are small, so where that ends they
were rather taken for too small: decisions are wrong up to 1.6 times as often as planned."""
_SLACK = 1.1  # a variance is an estimate itself: rather measure a bit longer than look once more
_AT_LEAST = 1.25  # times the time so far until the next look: a shorter wait changes little
_AT_MOST = 4.0  # likewise, as a short window doesn't know yet how much run times vary


@attrs.frozen(kw_only=True)
class Look:
    """What there is to say of a step so far."""

    decision: Decision | None
    """None for the first step, which is compared with nothing, and while it isn't looked at."""
    more_s: float | None
    """Seconds to measure on until the next look; None if the step is done."""
    text: str
    """What more time is for, such as ``to decide``; or why no more is needed."""


@attrs.frozen(kw_only=True)
class Planned:
    """A step before it is measured."""

    workers: int
    least_s: float
    """Seconds, if all is clear at once."""
    most_s: float
    """Seconds, if each step needs all the time that it may have."""


class Sizer:
    """Says of one step after the other for how long to measure it, and what was decided.

    For each number of workers ``first_s`` says for how long to measure until the first look, and
    ``look`` for how long until the next one, until it says that the step is done.

    Args:
        steps: Numbers of workers, ascending; one at least.
        required: By how much throughput must grow when workers double.
        confidence: 0.95 = of the validations that should pass, at most 5 % fail, and of those that
            should fail, at most 2.5 % pass.
        min_window_s: Seconds that a step is measured at least.
    """

    def __init__(
        self,
        steps: Sequence[int],
        *,
        required: float,
        confidence: float = CONFIDENCE,
        min_window_s: float = MIN_WINDOW_S,
    ) -> None:
        self._steps = tuple(steps)
        self._required = required
        self._confidence = confidence
        self._min_window_s = min_window_s
        each = Risk.of(confidence)
        comparisons = max(len(self._steps) - 1, 1)
        failing = min(each.failing, (1 - confidence) / comparisons)
        self._risk = Risk(each.passing, failing).times(_USED)
        self._weights = weights(self._steps)
        self._before: StepResult | None = None
        self._looks = 0  # at the decision of the step that is measured
        self._unspent = 1.0  # share of its risk

    def first_s(self, latency_s: float) -> float:
        """Begin a step: return the seconds to measure until its first look.

        Args:
            latency_s: The mean latency, as far as it is known from the warm-up.
        """
        self._looks, self._unspent = 0, 1.0
        return self._least_s(latency_s)

    def look(self, step: StepResult, left_s: float) -> Look:
        """Judge a step by what was measured of it so far.

        Args:
            step: All of it since its window began.
            left_s: What is left of the time budget, in seconds, for this step and all that come
                after it. 0 makes this look the last one.
        """
        so_far_s, most_s = step.statistics.window_s, self._most_s(step, left_s)
        out_of_time = so_far_s * _AT_LEAST > most_s
        if step.problem or (unusable(step) and (out_of_time or step.statistics.completed)):
            return self._done(step, "it can't be judged")
        # A few batches may be alike by chance; Student's t asks for more where they are few.
        wanted_s = self._for_the_next_s(step, step.throughput.batches)
        if so_far_s < wanted_s and not out_of_time:
            # Longer windows have more batches, so that won't take as long as it seems now.
            planned_s = self._for_the_next_s(step, max(step.throughput.batches, MOST_BATCHES))
            more_s = _until(planned_s, so_far_s, min(_AT_MOST * so_far_s, most_s))
            return Look(decision=None, more_s=more_s, text="to be sure enough of it")
        if self._before is None:
            return self._done(step, "out of time" if so_far_s < wanted_s else "it is sure enough")
        return self._look_at_decision(self._before, step, most_s)

    def plan(self, run_s: float, budget_s: float, factor: float = 2.0) -> tuple[Planned, ...]:
        """Return how long each step takes, before anything is measured.

        Args:
            run_s: Seconds that a run is expected to take.
            budget_s: Seconds for all steps together.
            factor: Requests in flight per slot.
        """
        least_s = self._least_s(run_s * factor)
        most = shared_out(self._weights, budget_s, least_s)
        return tuple(
            Planned(workers=workers, least_s=least_s, most_s=most_s)
            for workers, most_s in zip(self._steps, most, strict=True)
        )

    def expected_s(self, step: StepResult, more_s: float | None) -> float:
        """Return for how many seconds everything will be measured from now on, roughly.

        Args:
            step: The one that is measured; the later ones are taken to be like it, with a variance
                that falls as their workers grow.
            more_s: What its last look said.
        """
        like_this_s = self._for_the_next_s(step, MOST_BATCHES) * step.workers
        least_s = self._least_s(step.statistics.total.mean_s)
        later = [workers for workers in self._steps if workers > step.workers]
        return (more_s or 0.0) + sum(max(like_this_s / workers, least_s) for workers in later)

    def _look_at_decision(self, before: StepResult, step: StepResult, most_s: float) -> Look:
        so_far_s = step.statistics.window_s
        self._looks += 1
        last = (
            self._looks >= LOOKS
            or so_far_s * _AT_LEAST > most_s
            or _gain(before, step, most_s) < LEAST_GAIN
        )
        share = self._unspent if last else _share(self._looks)
        self._unspent -= share
        risk = self._risk.times(share)
        decision = decide(before, step, self._required, self._confidence, risk)
        if decision.outcome != "INCONCLUSIVE":
            return self._done(step, "it is decided", decision=decision)
        if last:
            return self._done(step, "more time here would not decide it", decision=decision)
        wanted_s = most_s  # the last look is at the end of the time there is
        if self._looks < LOOKS - 1:
            wanted_s = _to_decide_s(before, step, decision, self._risk.times(2 * share))
            most_s = min(_AT_MOST * so_far_s, most_s)
        more_s = _until(wanted_s, so_far_s, most_s)
        return Look(decision=decision, more_s=more_s, text="to decide")

    def _done(self, step: StepResult, text: str, decision: Decision | None = None) -> Look:
        """End a step; the next one is compared with it if it is good for that."""
        if decision is None and self._before is not None:
            decision = decide(self._before, step, self._required, self._confidence, self._risk)
        if unusable(step) is None:
            self._before = step
        return Look(decision=decision, more_s=None, text=text)

    def _least_s(self, latency_s: float) -> float:
        return max(self._min_window_s, MIN_LATENCIES * latency_s)

    def _most_s(self, step: StepResult, left_s: float) -> float:
        """The seconds, with those so far, that a step may be measured for."""
        index = self._steps.index(step.workers)
        scaling_s = (len(self._steps) - index - 1) * step.ready_s
        whole_s = step.statistics.window_s + max(left_s - scaling_s, 0.0)
        least_s = self._least_s(step.statistics.total.mean_s)
        return shared_out(self._weights[index:], whole_s, least_s)[0]

    def _for_the_next_s(self, step: StepResult, batches: float) -> float:
        """For how many seconds to measure a step, so that the next can be decided."""
        estimate, so_far_s = step.throughput, step.statistics.window_s
        if estimate.error is None:
            return 2 * so_far_s
        later = [workers for workers in self._steps if workers > step.workers]
        if not later:
            return 0.0
        factor = later[0] / step.workers
        required = required_ratio(step.workers, later[0], self._required)
        margin = max(math.log(factor / required), LEAST_MARGIN) / 2
        errors = quantile(1 - self._risk.passing * _share(LOOKS), max(batches - 1, 1.0))
        # The next step has so many more workers, and may be measured for as long as this one.
        wanted = margin / errors / math.sqrt(1 + 1 / factor)
        return so_far_s * (estimate.error / estimate.mean / wanted) ** 2


def weights(steps: Sequence[int]) -> list[float]:
    """Return what part of the time each step gets: as 1 / sqrt(N); more if it is compared twice."""
    last = len(steps) - 1
    return [
        math.sqrt((2 if 0 < index < last else 1) / workers) for index, workers in enumerate(steps)
    ]


def shared_out(weights: Sequence[float], whole_s: float, least_s: float) -> list[float]:
    """Share out time by weights.

    Args:
        weights: Of the steps.
        whole_s: Seconds for all of them.
        least_s: Seconds that each of them takes at least, whether there is as much or not.
    """
    free_s = max(whole_s - least_s * len(weights), 0.0)
    return [least_s + free_s * weight / sum(weights) for weight in weights]


def _share(look: int) -> float:
    """The share of the risk that is spent by a look, from 1 to ``LOOKS``."""
    return float(2 ** (look - 1) / (2**LOOKS - 1))


def _until(wanted_s: float, so_far_s: float, most_s: float) -> float:
    """The seconds from now to the next look, if all of a step should take ``wanted_s``."""
    return min(max(wanted_s * _SLACK, so_far_s * _AT_LEAST), most_s) - so_far_s


def _squares(before: StepResult, step: StepResult) -> tuple[float, float]:
    """The squares of the relative errors of both; the second one falls as time goes by."""
    errors = (part.throughput.error or 0.0 for part in (before, step))
    first, second = (
        (error / part.throughput.mean) ** 2
        for error, part in zip(errors, (before, step), strict=True)
    )
    return first, second


def _gain(before: StepResult, step: StepResult, most_s: float) -> float:
    """The share of the ratio's variance that is gone when a step is measured up to ``most_s``."""
    fixed, now = _squares(before, step)
    then = now * step.statistics.window_s / most_s
    return (now - then) / (fixed + now) if fixed + now else 0.0


def _to_decide_s(before: StepResult, step: StepResult, decision: Decision, risk: Risk) -> float:
    """For how many seconds to measure a step until it is probably decided; maybe infinite."""
    if not decision.ratio:
        return math.inf
    distance = math.log(decision.ratio / decision.required)
    z = normal_quantile(risk.passing if distance > 0 else risk.failing)
    fixed, now = _squares(before, step)
    allowed = (distance / (z + normal_quantile(1 - POWER))) ** 2 - fixed
    return step.statistics.window_s * now / allowed if allowed > 0 else math.inf
