"""Which part of a run counts: what is warm-up, what a ramp, and what is measured."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs

from scalab.measure.interval import DRAIN, IDLE, MEASURE, RAMP, WARM_UP

from .curve import Curve, Stage

LIVE_STAGE: Final = 1000
"""Stands for the stage when the level was set live: none of the scenario's."""


@attrs.frozen
class Phases:
    """Tells the phase of each moment of a run. Times are those of the curve."""

    curve: Curve
    measuring_from: float
    """When the warm-up is over."""
    ends_at: float
    """When the load ends; infinite if it has no end."""
    ramps_count: bool = False
    """Whether ramps are measured, because the load is nothing but ramps."""

    @classmethod
    def of(
        cls, stages: Iterable[Stage], curve: Curve, *, warm_up_s: float, ends_at: float
    ) -> Phases:
        """Return the phases of a load that begins with ``curve``."""
        holds = any(not stage.is_ramp and stage.start for stage in stages)
        return cls(curve, curve.t0 + warm_up_s, ends_at, ramps_count=not holds)

    def changed(self, curve: Curve) -> Phases:
        """Return the phases after the level was changed live."""
        return attrs.evolve(self, curve=curve)

    def at(self, now: float) -> str:
        """Return the phase."""
        if now >= self.ends_at:
            return DRAIN
        if now < self.measuring_from:
            return WARM_UP
        if self.curve.is_ramp(now):
            return MEASURE if self.ramps_count else RAMP
        return MEASURE if self.curve.level(now) > 0 else IDLE

    def stage_at(self, now: float) -> int:
        """Return the stage of the scenario, or ``LIVE_STAGE``."""
        stage = self.curve.stage_at(now)
        return LIVE_STAGE if stage is None else stage

    def next_change(self, now: float) -> float:
        """Return when phase or stage may change next after ``now``; infinite if never."""
        times = (self.measuring_from, self.ends_at, self.curve.next_stage(now))
        return min((t for t in times if t is not None and t > now), default=float("inf"))
