"""Histograms of durations: as exact as HdrHistogram with 3 significant figures, but sparse.

HdrHistogram's rule is one line: keep the 11 highest bits of a value (here in microseconds), which
is within 0.1 % of it. Its usual form is an array with a slot for every value that could come; ours
is a dict with an entry for every value that came. That is why this is not the `hdrhistogram`
package, which the tests use as the oracle. A client keeps a histogram per node, device and pod,
hundreds in all, each with a few distinct values: an empty one of the package takes 250 KB where
ours takes 160 bytes. And a client records several durations per reply, here at less than half of
the package's cost.

Sums, minima and maxima are integers of microseconds, so that merging in any order or grouping
gives the same as recording everything in one histogram, to the last bit.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import accumulate

import attrs

from .statistics import Spread

MAX_S = 7 * 86400.0
"""Seconds; whatever is longer is recorded as this, so that no peer's number breaks anything."""

_BITS = 11  # 2 * 10**3 distinct values need 11 bits: 3 significant figures in every octave
_EXACT = 1 << _BITS  # microseconds below which every value has its own bucket
_MIN_RATIO = 1.01  # a step for display spans at least 1 %, ten times what a bucket may be off


@attrs.define
class Histogram:
    """How often each duration occurred.

    Recording costs a fraction of a microsecond whatever the histogram holds; reading sorts it
    once. Memory is about 70 bytes per distinct value (after rounding); one octave, such as
    100 ms to 200 ms, has at most 1024.
    """

    count: int = 0
    """Durations recorded."""
    sum_us: int = 0
    min_us: int = 0
    """The shortest, exactly; 0 when empty."""
    max_us: int = 0
    """The longest, exactly; 0 when empty."""
    buckets: defaultdict[int, int] = attrs.field(factory=lambda: defaultdict(int), init=False)
    """Durations by bucket, each named by its lowest value in microseconds."""
    _view: _View | None = attrs.field(default=None, init=False, eq=False)

    def __repr__(self) -> str:
        return f"<Histogram of {self.count}, {self.min_us}..{self.max_us} us>"

    def record(self, seconds: float, count: int = 1) -> None:
        """Count a duration.

        Args:
            seconds: Rounded to microseconds. A negative one counts as 0, one over ``MAX_S`` as
                ``MAX_S``.
            count: How often it occurred; at least 1.
        """
        record((self,), seconds, count)

    def merge(self, other: Histogram) -> None:
        """Add everything that ``other`` holds."""
        if not other.count:
            return
        self.min_us = min(self.min_us, other.min_us) if self.count else other.min_us
        self.max_us = max(self.max_us, other.max_us)
        self.count += other.count
        self.sum_us += other.sum_us
        for bucket, count in other.buckets.items():
            self.buckets[bucket] += count

    def thin(self, most: int) -> None:
        """Count neighbours together, if there are more than ``most`` buckets.

        Of all values as many of the highest bits are kept as that allows; the middle stands for
        those that can't be told apart any more. So few values stay as exact as they were, and many
        are off by as little as possible. A bucket for each octave is the least.
        """
        bits = _BITS
        while len(self.buckets) > most and bits > 1:
            bits -= 1
            self.buckets = coarse(self.buckets, bits)
            self._view = None  # it is of many more

    @property
    def min_s(self) -> float:
        """The shortest, in seconds; 0 when empty."""
        return self.min_us / 1e6

    @property
    def max_s(self) -> float:
        """The longest, in seconds; 0 when empty."""
        return self.max_us / 1e6

    @property
    def mean_s(self) -> float:
        """The mean, in seconds, of what was recorded rather than of the buckets; 0 when empty."""
        return self.sum_us / self.count / 1e6 if self.count else 0.0

    def percentile(self, q: float) -> float:
        """Return the duration, in seconds, that ``q`` percent don't exceed.

        As HdrHistogram does: the rank is rounded to the nearest, and the bucket's highest value
        stands for it; never more than the exact maximum.

        Args:
            q: From 0 (the minimum) to 100 (the maximum).
        """
        if not self.count or q <= 0:
            return self.min_s
        view = self._sorted()
        rank = min(max(int(q * self.count / 100 + 0.5), 1), self.count)
        bucket = view.buckets[bisect_left(view.cumulated, rank)]
        return min(bucket + _width_us(bucket) - 1, self.max_us) / 1e6

    def spread(self) -> Spread:
        """Return the figures by which a distribution is shown."""
        percentiles = (self.percentile(q) for q in (50, 90, 95, 99, 99.9))
        return Spread(self.count, self.min_s, self.mean_s, self.max_s, *percentiles)

    def steps(
        self, n: int = 12, within: Histogram | None = None
    ) -> tuple[tuple[float, float, int], ...]:
        """Return the distribution in steps of equal ratio, for display.

        Args:
            n: The most steps. There are fewer when they would be narrower than 1 %.
            within: Cover this one's range instead, so that several can be compared step by step;
                what lies outside is counted in the first and last step.

        Returns:
            (from, to, count), in seconds, ascending and without gaps; empty when nothing was
            recorded in ``within``.
        """
        whole = self if within is None else within
        if not whole.count:
            return ()
        edges = _edges_us(whole.min_us, whole.max_us, n)
        view = self._sorted()
        # A bucket belongs to a step by its lowest value. The cumulated counts at the inner
        # edges tell the counts of all steps without going through the buckets.
        upto = [
            view.cumulated[i - 1] if (i := bisect_left(view.buckets, edge)) else 0
            for edge in edges[1:-1]
        ]
        counts = [b - a for a, b in zip([0, *upto], [*upto, self.count], strict=True)]
        bounds = [edge / 1e6 for edge in edges]
        return tuple(zip(bounds, bounds[1:], counts, strict=False))

    def to_list(self) -> list[tuple[int, int]]:
        """Return (lowest value of the bucket in microseconds, count), ascending."""
        return sorted(self.buckets.items())

    @classmethod
    def from_list(
        cls,
        pairs: Iterable[tuple[int, int]],
        *,
        min_us: int | None = None,
        max_us: int | None = None,
        sum_us: int | None = None,
    ) -> Histogram:
        """Make a histogram of what ``to_list`` returned.

        Args:
            pairs: Values need not be those of buckets, nor distinct.
            min_us: The exact minimum, and so on, if they are known.
            max_us: Otherwise the middle of a bucket stands for its values.
            sum_us: As above.

        Raises:
            ValueError: A value or a count is no integer in its range, or the extremes and the
                sum can't be those of the values.
        """
        self = cls()
        for value, count in pairs:
            if type(value) is not int or not 0 <= value <= MAX_S * 1e6:
                raise ValueError(f"not a duration in microseconds: {value!r}")
            if type(count) is not int or count < 1:
                raise ValueError(f"not a count: {count!r}")
            bucket = bucket_us(value)
            self.record((bucket + _width_us(bucket) // 2) / 1e6, count)
        self._correct("min_us", min_us, self.min_us)
        self._correct("max_us", max_us, self.max_us)
        if sum_us is not None:
            if not self.min_us * self.count <= sum_us <= self.max_us * self.count:
                raise ValueError(f"sum_us = {sum_us!r} doesn't belong to these values")
            self.sum_us = sum_us
        return self

    def _correct(self, name: str, exact: int | None, rounded: int) -> None:
        """Replace a rounded extreme by the exact one, which must be of the same bucket."""
        if exact is None:
            return
        if type(exact) is not int or bucket_us(exact) != bucket_us(rounded):
            raise ValueError(f"{name} = {exact!r} doesn't belong to these values")
        setattr(self, name, exact)

    def _sorted(self) -> _View:
        # Whatever is recorded raises the count, so the count says whether a view is current.
        if self._view is None or self._view.count != self.count:
            buckets = sorted(self.buckets)
            cumulated = list(accumulate(map(self.buckets.__getitem__, buckets)))
            self._view = _View(self.count, buckets, cumulated)
        return self._view


@attrs.frozen
class _View:
    """A histogram's content in order."""

    count: int
    buckets: list[int]
    cumulated: list[int]
    """Durations in this bucket and all below."""


def record(histograms: Iterable[Histogram], seconds: float, count: int = 1) -> None:
    """Count a duration in several histograms, for less than recording it in each.

    Args:
        histograms: Where.
        seconds: Rounded to microseconds. A negative one counts as 0, one over ``MAX_S`` as
            ``MAX_S``.
        count: How often it occurred; at least 1.
    """
    # Neither bucket_us() nor min() and max() are called: this runs several times per reply.
    if not 0.0 <= seconds <= MAX_S:
        seconds = MAX_S if seconds > 0.0 else 0.0
    us = int(seconds * 1e6 + 0.5)
    bucket = us
    if us >= _EXACT:
        shift = us.bit_length() - _BITS
        bucket = us >> shift << shift
    for histogram in histograms:
        if us > histogram.max_us:  # noqa: PLR1730
            histogram.max_us = us
        if us < histogram.min_us or not histogram.count:
            histogram.min_us = us
        histogram.count += count
        histogram.sum_us += us * count
        histogram.buckets[bucket] += count


def coarse(buckets: Mapping[int, int], bits: int) -> defaultdict[int, int]:
    """Return the counts of values of which only the highest ``bits`` are kept.

    The middle of those that have them in common stands for them all.
    """
    counts: defaultdict[int, int] = defaultdict(int)
    for bucket, count in buckets.items():
        shift = max(bucket.bit_length() - bits, 0)
        counts[(bucket >> shift << shift) + (1 << shift >> 1)] += count
    return counts


def bucket_us(us: int) -> int:
    """Return the lowest value that is counted together with ``us``."""
    shift = max(us.bit_length() - _BITS, 0)
    return us >> shift << shift


def _width_us(bucket: int) -> int:
    """How many values of microseconds share a bucket."""
    return 1 << max(bucket.bit_length() - _BITS, 0)


def _edges_us(low: int, high: int, n: int) -> list[float]:
    """Divide a range into at most ``n`` steps of equal ratio; return their bounds."""
    low = max(low, 1)  # a ratio needs a positive start; 0 is counted in the first step anyhow
    high = max(high, low)
    steps = min(n, max(math.ceil(math.log(high / low) / math.log(_MIN_RATIO)), 1))
    ratio = (high / low) ** (1 / steps)
    return [low * ratio**i for i in range(steps)] + [float(high)]
