"""The figures of a run that have a name: what each one is, and how it is computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

import attrs

from scalab.measure.aggregate import Aggregate
from scalab.measure.counts import OTHERS
from scalab.measure.fairness import jain
from scalab.measure.figures import format_count, format_duration, format_rate, format_share
from scalab.measure.histogram import Histogram
from scalab.protocol.messages import OUTCOMES, REJECTED, SUCCESS

Kind = Literal["duration", "share", "rate", "count", "ratio"]
Better = Literal["lower", "higher"]

TIMES: Final = ("total", "wait", "run", "overhead", "corrected", "delay")
"""What can stand for TIME."""
FAILURES: Final = tuple(kind for kind in (*OUTCOMES, REJECTED) if kind != SUCCESS)
"""What can stand for KIND."""
OPEN_TIMES: Final = ("corrected", "delay")
"""Times that need an intended time of sending, which only an open loop has."""
PLACES: Final = ("node", "device", "pod")


@attrs.frozen
class Family:
    """Metrics of one form, such as the percentiles."""

    form: str
    """How they are written; N, TIME and KIND stand for what is to be put in."""
    kind: Kind
    better: Better
    meaning: str
    """One line, for people."""
    value: Value
    """How it is found."""
    whole: Callable[[Aggregate], int] | None = attrs.field(default=None, kw_only=True)
    """Of a count: what it is a share of, when it is compared with one."""
    open_loop: bool = attrs.field(default=False, kw_only=True)
    """Only an open loop has it."""
    per_place: bool = attrs.field(default=False, kw_only=True)
    """It is also known of each node, device and pod; of those with a TIME, only that of run."""


@attrs.frozen
class Metric:
    """One figure of a run."""

    name: str
    """As it is written, such as ``p95(total)``."""
    family: Family
    argument: str = ""
    """Of which time, or which kind of failure; "" if it has none."""
    percentile: float = 0.0
    """Above 0, at most 100; 0 if it is no percentile."""
    as_share: bool = False
    """A count, taken as a share of its whole."""

    @property
    def kind(self) -> Kind:
        """What its values are; durations are in seconds, rates per second, shares from 0 to 1."""
        return "share" if self.as_share else self.family.kind

    @property
    def better(self) -> Better:
        """Which values are the better ones."""
        return self.family.better

    @property
    def open_loop(self) -> bool:
        """Whether only an open loop has it."""
        return self.family.open_loop or self.argument in OPEN_TIMES

    @property
    def per_place(self) -> bool:
        """Whether it is known of each node, device and pod."""
        return self.family.per_place and self.argument in {"", "run"}

    def value(self, counted: Aggregate, duration_s: float) -> float | None:
        """Return the figure, or None if there is no data.

        Args:
            counted: What was counted.
            duration_s: Over how many seconds.
        """
        value = self.family.value(self, counted, duration_s)
        if not self.as_share or value is None or not self.family.whole:
            return value
        return _share(value, self.family.whole(counted))

    def read(self, value: float) -> str:
        """Write a value of it as people read it, with its unit."""
        return _WRITERS[self.kind](value)


Value = Callable[[Metric, Aggregate, float], float | None]
"""How a metric is found in what was counted over so many seconds; None without data."""

_WRITERS: Final[dict[Kind, Callable[[float], str]]] = {
    "duration": format_duration,
    "share": lambda value: format_share(value, 1),
    "rate": format_rate,
    "count": lambda value: format_count(round(value)),
    "ratio": lambda value: f"{value:.3f}",
}


# --- the families --------------------------------------------------------------------------------


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None


def _of_time(figure: Callable[[Histogram, Metric], float]) -> Value:
    """Return how a figure of the histogram that a metric is about is found."""

    def value(metric: Metric, counted: Aggregate, _: float) -> float | None:
        times: Histogram = getattr(counted, metric.argument)
        return figure(times, metric) if times.count else None

    return value


def overhead_share(counted: Aggregate) -> float | None:
    """Return which part of the time of the requests that ran was neither waiting nor running."""
    overhead = counted.overhead.sum_us
    return _share(overhead, counted.wait.sum_us + counted.run.sum_us + overhead)


def _fairness(_: Metric, counted: Aggregate, __: float) -> float | None:
    """Jain's index over the devices, or over the pods where no device is named."""
    places = counted.devices or counted.pods
    served = [place.served for name, place in places.items() if name != OTHERS]
    return jain(served) if served else None


_ALL = (
    Family(
        "pN(TIME)",
        "duration",
        "lower",
        "what N percent of the requests don't exceed, 0 < N ≤ 100: p50, p95, p99.9",
        _of_time(lambda times, metric: times.percentile(metric.percentile)),
        per_place=True,
    ),
    Family(
        "min(TIME)",
        "duration",
        "lower",
        "the shortest",
        _of_time(lambda times, _: times.min_s),
        per_place=True,
    ),
    Family(
        "mean(TIME)",
        "duration",
        "lower",
        "the arithmetic mean",
        _of_time(lambda times, _: times.mean_s),
        per_place=True,
    ),
    Family(
        "max(TIME)",
        "duration",
        "lower",
        "the longest",
        _of_time(lambda times, _: times.max_s),
        per_place=True,
    ),
    Family(
        "overhead",
        "share",
        "lower",
        "of the time of the requests that ran: what was neither waiting nor running",
        lambda _, counted, __: overhead_share(counted),
    ),
    Family(
        "failures",
        "share",
        "lower",
        "of the requests that ended: those that failed, in whatever way",
        lambda _, counted, __: _share(counted.failed, counted.ended),
        per_place=True,
    ),
    Family(
        "failures(KIND)",
        "share",
        "lower",
        "of the requests that ended: those that failed in this way",
        lambda metric, counted, _: _share(counted.failures.get(metric.argument, 0), counted.ended),
    ),
    Family(
        "rate",
        "rate",
        "higher",
        "completions per second: replies, failed ones included",
        lambda _, counted, duration_s: _share(counted.completed, duration_s),
        per_place=True,
    ),
    Family(
        "goodput",
        "rate",
        "higher",
        "successes per second",
        lambda _, counted, duration_s: _share(counted.succeeded, duration_s),
        per_place=True,
    ),
    Family(
        "completed",
        "count",
        "higher",
        "replies, failed ones included",
        lambda _, counted, __: counted.completed,
        per_place=True,
    ),
    Family(
        "failed",
        "count",
        "lower",
        "requests that failed; with a %, of those that ended",
        lambda _, counted, __: counted.failed,
        whole=lambda counted: counted.ended,
        per_place=True,
    ),
    Family(
        "dropped",
        "count",
        "lower",
        "arrivals that were never sent; with a %, of all arrivals",
        lambda _, counted, __: counted.dropped,
        whole=lambda counted: counted.sent + counted.dropped,
        open_loop=True,
    ),
    Family(
        "held",
        "count",
        "lower",
        "requests sent late as too many were in flight; with a %, of those sent",
        lambda _, counted, __: counted.held,
        whole=lambda counted: counted.sent,
        open_loop=True,
    ),
    Family(
        "aborted",
        "count",
        "lower",
        "requests given up as the run ended; with a %, of those sent",
        lambda _, counted, __: counted.aborted,
        whole=lambda counted: counted.sent,
    ),
    Family(
        "attempts",
        "count",
        "lower",
        "the most hand-overs to a backend that one request took",
        lambda _, counted, __: counted.attempts_max if counted.completed else None,
    ),
    Family(
        "fairness",
        "ratio",
        "higher",
        "Jain's index of what the devices served: 1 = all the same, 1/n = one of n did all",
        _fairness,
    ),
)
FAMILIES: Final = {family.form: family for family in _ALL}
"""All metrics, by form."""
