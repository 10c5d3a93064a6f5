"""Curves in rational numbers: stages as hypothesis draws them, and what they add up to, exactly."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import inf

from hypothesis import strategies as st

from scalab.load.curve import Stage

Exact = tuple[Fraction, Fraction, Fraction]
"""Start, end, duration."""

levels = st.builds(Fraction, st.integers(0, 3000), st.sampled_from([1, 1, 1, 3, 10, 60]))
durations = st.builds(Fraction, st.integers(1, 600), st.sampled_from([1, 1, 3, 10, 1000]))


@st.composite
def _shapes(draw: st.DrawFn) -> list[Exact]:
    """Stages that go on where the last one ended, often; holds and pauses among them."""
    stages: list[Exact] = []
    for duration in draw(st.lists(durations, min_size=1, max_size=5)):
        before = stages[-1][1] if stages else Fraction(0)
        start = draw(st.just(before) | levels)
        end = draw(st.just(start) | st.just(Fraction(0)) | levels)
        stages.append((start, end, duration))
    return stages


shapes = _shapes()


def as_stages(shape: Sequence[Exact]) -> list[Stage]:
    """The same in floats, as everybody else has them."""
    return [Stage(float(a), float(b), float(d)) for a, b, d in shape]


class Reference:
    """Level and integral of stages that begin at time 0, by the definition and without rounding."""

    def __init__(self, shape: Sequence[Exact]) -> None:
        self.shape = list(shape)
        self.end = sum((d for _, _, d in shape), Fraction(0))

    def cut(self, now: Fraction, level: Fraction) -> None:
        """Leave out what comes after ``now`` and hold ``level`` for a very long time."""
        left, stages = now, list[Exact]()
        for a, b, d in self.shape:
            if left <= 0:
                break
            took = min(d, left)
            stages.append((a, a + (b - a) * took / d, took))
            left -= took
        if left > 0:
            stages.append((Fraction(0), Fraction(0), left))
        self.shape = [*stages, (level, level, Fraction(10**7))]
        self.end = now + 10**7

    def level(self, t: Fraction) -> Fraction:
        for a, b, d in self.shape:
            if t < d:
                return a + (b - a) * t / d
            t -= d
        return Fraction(0)

    def count(self, t: Fraction) -> Fraction:
        """The integral until ``t``."""
        count = Fraction(0)
        for a, b, d in self.shape:
            u = min(max(t, Fraction(0)), d)
            count += a * u + (b - a) * u * u / (2 * d)
            t -= d
        return count

    @property
    def total(self) -> Fraction:
        return self.count(self.end)

    def brackets(self, at: float, x: Fraction | int, t0: float = 0.0) -> bool:
        """Whether ``at`` is, to 1e-9, the time after which the integral is more than ``x``."""
        assert at < inf
        near = Fraction(max(abs(at), 1.0)) / 10**9
        t = Fraction(at) - Fraction(t0)
        return self.count(t - near) <= x < self.count(t + near)
