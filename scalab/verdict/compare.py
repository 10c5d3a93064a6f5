"""Compares two runs, figure by figure: same, better, worse, or can't tell.

Each run comes as batches, stretches of equal length of its measuring window. How much a figure
varies from batch to batch tells how sure it is (see ``measure/batches.py``); the ratio of the two
runs' figures gets a confidence interval from both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Final

import attrs

from scalab.errors import ConfigError, ExitCode
from scalab.measure.batches import MIN_BATCHES, Estimate, mean, rate
from scalab.measure.figures import format_duration, format_rate, format_share
from scalab.measure.histogram import Histogram
from scalab.measure.proportions import Share, difference
from scalab.measure.student import quantile
from scalab.protocol.text import printable

SAME: Final = "same"
BETTER: Final = "better"
WORSE: Final = "worse"
CANT_TELL: Final = "can't tell"
INVALID: Final = "invalid"

TOLERANCE: Final = 0.05
"""Ratios within 1 ± this are the same in practice."""
FLOOR_S: Final = 50e-6
"""Seconds; differences of durations below this are the same in practice.

That is what waking up a process varies by, whatever the clock's resolution.
"""
FAILURE_MARGIN: Final = 0.01
"""Shares of failures that differ by less than this are the same in practice."""
GATING: Final = ("rate", "failures", "total p50", "total p95")
"""The figures that decide; the others are shown."""

_PERCENTILES = (
    ("total", 50),
    ("total", 95),
    ("total", 99),
    ("corrected", 99),
    ("wait", 50),
    ("run", 50),
    ("overhead", 50),
)
_KNOWN = {name for name, _ in _PERCENTILES} | {"delay", "late"}
_FAR = 50.0  # a logarithm beyond which a ratio's bound says nothing, and none overflows
_MAX_NAME = 80


@attrs.frozen
class Batch:
    """A stretch of a run's measuring window."""

    duration_s: float
    completed: int
    """Replies, failed ones included."""
    succeeded: int
    failed: int
    histograms: dict[str, Histogram]
    """``total``, ``wait``, ``run``, ``overhead``, ``corrected``; what isn't there isn't compared.

    Any other name, such as ``run on renderD128``, stands for durations whose median is compared.
    """


@attrs.frozen
class Comparison:
    """One figure of two runs."""

    metric: str
    a: float
    """Per second, a share, or seconds."""
    b: float
    ratio: float | None
    """b / a, where a duration below ``FLOOR_S`` counts as that; None when a is 0."""
    low: float | None
    """The confidence interval, of the ratio; for ``failures``, of the difference b - a.

    None when there is too little to tell.
    """
    high: float | None
    verdict: str
    """same, better, worse, can't tell."""
    confidence: float
    """Of the interval."""
    text: str
    """One line for people."""
    gating: bool
    """Whether it decides the whole comparison."""


@attrs.frozen
class Result:
    """The comparison of two runs."""

    comparisons: tuple[Comparison, ...]
    verdict: str
    """worse, can't tell, better, same (of the gating figures, whichever comes first), invalid."""
    exit_code: ExitCode
    text: str
    """One sentence for people."""


@attrs.frozen
class _Rules:
    tolerance: float
    confidence: float
    """Of each interval."""


def compare(
    a: Sequence[Batch],
    b: Sequence[Batch],
    *,
    tolerance: float = TOLERANCE,
    confidence: float = 0.95,
    invalid: str = "",
) -> Result:
    """Compare run ``b`` with run ``a``.

    A figure is the *same* when the interval of its ratio lies within 1 ± tolerance; *better* or
    *worse* when the interval excludes 1 and the ratio is outside the tolerance; else one *can't
    tell*. The gating figures' intervals have the confidence that together leaves false alarms in
    1 - confidence of comparisons (Šidák: confidence ** (1 / 4) for four).

    Args:
        a: The baseline: 10 to 20 batches of equal length in order; some 5 at the least.
        b: What is judged, likewise.
        tolerance: What doesn't matter in practice: 0.05 is 5 %.
        confidence: Of the whole comparison.
        invalid: Why a run's measurement can't be trusted; "" if both can.

    Raises:
        ConfigError: Tolerance or confidence isn't between 0 and 1.
    """
    for name, value in (("tolerance", tolerance), ("confidence", confidence)):
        if not 0 < value < 1:
            raise ConfigError(f"{name} must be between 0 and 1 (0.05 is 5 %), not {value:g}")
    rules = _Rules(tolerance, confidence ** (1 / len(GATING)))
    comparisons = (_rates(a, b, rules), _failures(a, b, rules), *_durations(a, b, rules))
    return _result(comparisons, tolerance, invalid)


def _result(comparisons: tuple[Comparison, ...], tolerance: float, invalid: str) -> Result:
    if invalid:
        text = f"the comparison is invalid: {printable(invalid)}"
        return Result(comparisons, INVALID, ExitCode.INVALID, text)
    codes = {
        WORSE: ExitCode.VERDICT_FAIL,
        CANT_TELL: ExitCode.INCONCLUSIVE,
        BETTER: ExitCode.OK,
        SAME: ExitCode.OK,
    }
    for verdict, code in codes.items():
        named = [c.metric for c in comparisons if c.gating and c.verdict == verdict]
        if named and verdict != SAME:
            return Result(comparisons, verdict, code, f"{verdict}: {', '.join(named)}")
    return Result(comparisons, SAME, ExitCode.OK, f"the same, within {100 * tolerance:.3g} %")


# --- rates ----------------------------------------------------------------------------------


def _rates(a: Sequence[Batch], b: Sequence[Batch], rules: _Rules) -> Comparison:
    """Compare successes per second."""
    before, after = _rate(a, rules), _rate(b, rules)
    values = before.mean, after.mean
    if not before.mean or not after.mean:
        # No ratio, but no doubt either, when one did something and the other nothing at all.
        verdict = CANT_TELL
        if before.known or after.known:
            verdict = WORSE if before.known else BETTER
        return _comparison("rate", values, None, verdict, rules)
    interval = _ratio(after.mean / before.mean, _relative(before), _relative(after), rules)
    verdict = _verdict(interval, rules.tolerance, more_is_better=True)
    return _comparison("rate", values, interval, verdict, rules)


def _rate(batches: Sequence[Batch], rules: _Rules) -> Estimate:
    busy = [batch.histograms.get(name) for batch in batches for name in ("run", "overhead")]
    runs = sum(histogram.count for histogram in busy[::2] if histogram)
    busy_s = sum(histogram.sum_us for histogram in busy if histogram) / 1e6
    rows = [(batch.duration_s, float(batch.succeeded)) for batch in batches]
    return rate(rows, rules.confidence, 2 * busy_s / runs if runs else 0.0)


def _relative(estimate: Estimate) -> Estimate | None:
    """The same as the estimate of a logarithm: to first order, its error is the relative one."""
    if estimate.error is None:
        return None
    return attrs.evolve(estimate, error=estimate.error / estimate.mean)


# --- durations ------------------------------------------------------------------------------


def _durations(a: Sequence[Batch], b: Sequence[Batch], rules: _Rules) -> Iterator[Comparison]:
    there = _names(a) & _names(b)
    wanted = [(name, q) for name, q in _PERCENTILES if name in there]
    wanted += [(name, 50) for name in sorted(there - _KNOWN)]
    for name, q in wanted:
        metric = f"{printable(name, _MAX_NAME)} p{q}"
        before, after = _Percentile.of(a, name, q), _Percentile.of(b, name, q)
        # Below the floor a ratio means nothing, and a logarithm of 0 even less.
        ratio = max(after.value_s, FLOOR_S) / max(before.value_s, FLOOR_S)
        interval = _ratio(ratio, before.log, after.log, rules)
        margin = max(rules.tolerance, FLOOR_S / max(before.value_s, FLOOR_S))
        verdict = _verdict(interval, margin, more_is_better=False)
        yield _comparison(metric, (before.value_s, after.value_s), interval, verdict, rules)


def _names(batches: Sequence[Batch]) -> set[str]:
    return {name for batch in batches for name, h in batch.histograms.items() if h.count}


@attrs.frozen
class _Percentile:
    """A percentile of a run, and of its batches."""

    value_s: float
    """Of all durations."""
    log: Estimate | None
    """Of its logarithm; None when there are too few durations."""

    @classmethod
    def of(cls, batches: Sequence[Batch], name: str, q: int) -> _Percentile:
        """Find the percentile; batches with too few durations for it are pooled."""
        there = [batch.histograms[name] for batch in batches if name in batch.histograms]
        whole = _merged(there)
        parts = min(len(there), whole.count // _needed(q))
        if parts < MIN_BATCHES:
            return cls(whole.percentile(q), None)
        bounds = [i * len(there) // parts for i in range(parts + 1)]
        pooled = [_merged(there[i:j]) for i, j in pairwise(bounds)]
        logs = [(math.log(max(h.percentile(q), FLOOR_S)), float(h.count)) for h in pooled]
        return cls(whole.percentile(q), mean(logs))


def _needed(q: int) -> int:
    """How many durations a batch needs for a percentile: on the average, two above it."""
    return max(8, 200 // (100 - q))


def _merged(histograms: Iterable[Histogram]) -> Histogram:
    whole = Histogram()
    for histogram in histograms:
        whole.merge(histogram)
    return whole


# --- failures -------------------------------------------------------------------------------


def _failures(a: Sequence[Batch], b: Sequence[Batch], rules: _Rules) -> Comparison:
    """Compare shares of failed requests, by the interval of their difference."""
    before, after = _share(a), _share(b)
    interval = None
    verdict = CANT_TELL
    if before.n and after.n:
        low, high = difference(before, after, rules.confidence)
        interval = (after.p / before.p if before.p else None, low, high)
        verdict = _verdict_of_shares(before.p, after.p, low, high)
    return _comparison("failures", (before.p, after.p), interval, verdict, rules)


def _share(batches: Sequence[Batch]) -> Share:
    return Share.of([(batch.failed, batch.failed + batch.succeeded) for batch in batches])


def _verdict_of_shares(before: float, after: float, low: float, high: float) -> str:
    if not before and not after:
        return SAME  # however few they were, there is nothing to tell apart
    if low >= -FAILURE_MARGIN and high <= FAILURE_MARGIN:
        return SAME
    if not low <= 0 <= high and abs(after - before) > FAILURE_MARGIN:
        return WORSE if after > before else BETTER
    return CANT_TELL


# --- judging --------------------------------------------------------------------------------

_Interval = tuple[float | None, float | None, float | None]
"""A ratio, and the bounds of its confidence interval."""


def _ratio(ratio: float, a: Estimate | None, b: Estimate | None, rules: _Rules) -> _Interval:
    """Return a ratio with its interval, from estimates of two logarithms.

    Their difference is Student's t with Welch's degrees of freedom: B. L. Welch, The
    generalization of "Student's" problem, Biometrika 34 (1947), 28-35.
    """
    if a is None or b is None or a.error is None or b.error is None:
        return ratio, None, None
    squares = (a.error**2, b.error**2)
    if not sum(squares):
        return ratio, ratio, ratio
    freedom = sum(squares) ** 2 / (
        squares[0] ** 2 / (a.batches - 1) + squares[1] ** 2 / (b.batches - 1)
    )
    reach = quantile((1 + rules.confidence) / 2, freedom) * math.sqrt(sum(squares))
    reach = min(reach, _FAR)
    return ratio, ratio * math.exp(-reach), ratio * math.exp(reach)


def _verdict(interval: _Interval, margin: float, *, more_is_better: bool) -> str:
    ratio, low, high = interval
    if ratio is None or low is None or high is None:
        return CANT_TELL
    if 1 - margin <= low and high <= 1 + margin:
        return SAME
    if not low <= 1 <= high and abs(ratio - 1) > margin:
        return BETTER if (ratio > 1) == more_is_better else WORSE
    return CANT_TELL


def _comparison(
    metric: str,
    values: tuple[float, float],
    interval: _Interval | None,
    verdict: str,
    rules: _Rules,
) -> Comparison:
    interval = interval or (None, None, None)
    text = _text(metric, values, interval, verdict)
    gating = metric in GATING
    return Comparison(metric, *values, *interval, verdict, rules.confidence, text, gating)


def _text(metric: str, values: tuple[float, float], interval: _Interval, verdict: str) -> str:
    before, after = (_figure(metric, value) for value in values)
    ratio, low, high = interval
    change = ""
    if low is None or high is None:
        change = ", too few" if verdict == CANT_TELL else ""
    elif metric == "failures":
        change = f", {100 * low:+.2f} to {100 * high:+.2f} percentage points"
    elif ratio is not None:
        change = f", {_percent(ratio)} % ({_percent(low)} to {_percent(high)} %)"
    return f"{metric}: {before} -> {after}{change}: {verdict}"


def _percent(ratio: float) -> str:
    return f"{100 * (ratio - 1):+,.1f}"


def _figure(metric: str, value: float) -> str:
    if metric == "rate":
        return format_rate(value)
    return format_share(value, 1) if metric == "failures" else format_duration(value)
