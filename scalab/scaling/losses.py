"""Requests that were lost, or had to run again, as workers were taken away."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Final

import attrs

from .observed import Sample

LINGER_S: Final = 2.0
"""So long after the last worker has left, what is counted is still put down to its leaving: the
frontend's answer has yet to reach the client."""


@attrs.frozen(kw_only=True)
class ScaleDown:
    """Workers were taken away. Times are in seconds since the run's start."""

    from_s: float
    to_s: float
    before: int
    """Workers desired."""
    after: int
    completed: int
    """Requests that ended in it, in any way."""
    failed: int
    lost: int
    redelivered: int


@attrs.frozen(kw_only=True)
class Losses:
    """What scale-downs did to requests."""

    scale_downs: tuple[ScaleDown, ...] = ()
    lost: int = 0
    """Requests that never got their result: those given up, and the failures beyond what was
    usual outside of scale-downs."""
    rerun: int = 0
    """Items that were handed out again, and so ran twice, at least in part."""
    rerun_elsewhere: int = 0
    """The same outside of scale-downs: workers that crashed."""
    usual_failures: float = 0.0
    """The share of requests that failed outside of scale-downs."""


def find_losses(samples: Sequence[Sample]) -> Losses:
    """Return what scale-downs did to requests.

    Args:
        samples: In order of time.
    """
    downs = tuple(_scale_downs(samples))
    failed, completed, rerun = (
        sum(getattr(down, name) for down in downs)
        for name in ("failed", "completed", "redelivered")
    )
    elsewhere = _grown(samples, lambda s: s.completed) - completed
    failed_elsewhere = _grown(samples, lambda s: s.failed) - failed
    usual = failed_elsewhere / elsewhere if elsewhere > 0 else 0.0
    return Losses(
        scale_downs=downs,
        lost=sum(down.lost for down in downs) + max(round(failed - usual * completed), 0),
        rerun=rerun,
        rerun_elsewhere=_grown(samples, lambda s: s.redelivered) - rerun,
        usual_failures=usual,
    )


def _scale_downs(samples: Sequence[Sample]) -> Iterator[ScaleDown]:
    """Yield the scale-downs; one that begins before another is over is part of it."""
    i = 1
    while i < len(samples):
        if samples[i].desired >= samples[i - 1].desired:
            i += 1
            continue
        end = _end(samples, i)
        window = samples[i - 1 : end + 1]
        yield ScaleDown(
            from_s=window[0].at_s,
            to_s=window[-1].at_s,
            before=window[0].desired,
            after=min(s.desired for s in window),
            completed=_grown(window, lambda s: s.completed),
            failed=_grown(window, lambda s: s.failed),
            lost=_grown(window, lambda s: s.lost),
            redelivered=_grown(window, lambda s: s.redelivered),
        )
        i = end + 1


def _end(samples: Sequence[Sample], start: int) -> int:
    """Return the last sample of the scale-down whose first is ``start``."""
    gone_s: float | None = None
    for i in range(start, len(samples)):
        sample = samples[i]
        if max(sample.ready, sample.connected) > sample.desired:
            gone_s = None
        elif gone_s is None or sample.desired < samples[i - 1].desired:
            gone_s = sample.at_s
        if gone_s is not None and sample.at_s >= gone_s + LINGER_S:
            return i
    return len(samples) - 1


def _grown(samples: Sequence[Sample], count: Callable[[Sample], int]) -> int:
    """Return by how much a count grew; one that began anew grew from 0."""
    counts = [count(sample) for sample in samples]
    return sum(after - before if after >= before else after for before, after in pairwise(counts))
