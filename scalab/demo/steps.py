"""The demo's measurement: throughput at 1, 2, 4 … backends, and what to make of it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import attrs

from scalab.measure.statistics import Statistics

SCALES = 0.9
"""From this share of the ideal on we say that throughput follows the backends."""
ENOUGH = 10
"""Replies below which a step says nothing."""


@attrs.frozen
class Step:
    """What was measured with so many backends."""

    backends: int
    statistics: Statistics


@attrs.frozen
class Comparison:
    """A step against the one before it."""

    before: Step
    after: Step
    ideal: float
    """How many times as many backends."""
    ratio: float
    """How many times the throughput."""

    @property
    def scales(self) -> bool:
        """Whether throughput followed the backends."""
        return self.ratio >= SCALES * self.ideal


def backend_counts(most: int) -> list[int]:
    """Return 1, 2, 4 … and ``most``."""
    counts = [1]
    while counts[-1] * 2 < most:
        counts.append(counts[-1] * 2)
    return counts if most == 1 else [*counts, most]


def compare(steps: list[Step]) -> Iterator[Comparison]:
    """Compare each step with the one before it, as far as both say something."""
    for before, after in pairwise(steps):
        if min(before.statistics.completed, after.statistics.completed) >= ENOUGH:
            ratio = after.statistics.throughput / before.statistics.throughput
            yield Comparison(before, after, after.backends / before.backends, ratio)


def conclusion(steps: list[Step]) -> str:
    """Say in a sentence or two what the steps show, and how sure that is."""
    comparisons = list(compare(steps))
    if not comparisons:
        return "Too few replies to compare: give it a longer --duration or shorter work."
    knee = next((c for c in comparisons if not c.scales), None)
    if knee is None:
        last = steps[-1].backends
        return f"Throughput follows the backends up to {last}: no knee in sight."
    before, after = knee.before, knee.after
    slower = after.statistics.run.p50_s / max(before.statistics.run.p50_s, 1e-9)
    text = (
        f"From {before.backends} to {after.backends} backends, throughput grew {knee.ratio:.2f} "
        f"times instead of {knee.ideal:g}: the knee is there."
    )
    if slower > 1.15:
        text += f" Each run took {slower:.2f} times as long: the work shares what it runs on."
    return text
