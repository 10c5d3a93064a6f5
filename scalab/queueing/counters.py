"""What a queue has seen: plain numbers, raised on the hot path and read by whoever reports."""

from __future__ import annotations

from bisect import bisect_left
from typing import Literal

import attrs

from scalab.protocol.messages import OUTCOMES

RejectReason = Literal["unknown_queue", "full", "too_large", "draining", "busy"]
REJECT_REASONS: tuple[RejectReason, ...] = ("full", "too_large", "draining", "busy")
"""Reasons of one queue; ``unknown_queue`` belongs to none."""

LossReason = Literal["disconnect", "heartbeat", "protocol", "release"]
LOSS_REASONS: tuple[LossReason, ...] = ("disconnect", "heartbeat", "protocol", "release")

BUCKETS_S = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0),
    *(120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0),
)
"""Upper bounds of the duration histograms, in seconds."""


@attrs.define(eq=False)
class Durations:
    """A histogram with fixed buckets, its sum, and the maximum since the last reset."""

    counts: list[int] = attrs.Factory(lambda: [0] * (len(BUCKETS_S) + 1))
    """Per bucket, not cumulated; the last is for what is longer than all bounds."""
    sum_s: float = 0.0
    max_s: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(BUCKETS_S, seconds)] += 1
        self.sum_s += seconds
        if seconds > self.max_s:  # noqa: PLR1730 - this runs three times for each item
            self.max_s = seconds


@attrs.frozen
class Slowest:
    """The run with the highest run time of a period, and where it ran."""

    run_s: float = 0.0
    node: str = ""
    pod: str = ""
    device: str = ""


@attrs.define(eq=False)
class Counters:
    """Everything counted for one queue; only ``max_s`` and ``slowest`` are ever reset."""

    accepted: int = 0
    delivered: int = 0
    completed: dict[str, int] = attrs.Factory(lambda: dict.fromkeys(OUTCOMES, 0))
    rejected: dict[str, int] = attrs.Factory(lambda: dict.fromkeys(REJECT_REASONS, 0))
    redelivered: dict[str, int] = attrs.Factory(lambda: dict.fromkeys(LOSS_REASONS, 0))
    cancelled: dict[str, int] = attrs.Factory(lambda: {"waiting": 0, "running": 0})
    wait: Durations = attrs.Factory(Durations)
    run: Durations = attrs.Factory(Durations)
    request: Durations = attrs.Factory(Durations)
    slowest: Slowest = Slowest()

    def reset_maxima(self) -> None:
        """Start a new period for the maxima."""
        self.wait.max_s = self.run.max_s = self.request.max_s = 0.0
        self.slowest = Slowest()
