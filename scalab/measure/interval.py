"""A stretch of a run: the unit in which a run is recorded, merged and judged."""

from __future__ import annotations

from typing import Final

import attrs

from .aggregate import Aggregate, merged

WARM_UP: Final = "warm-up"
RAMP: Final = "ramp"
MEASURE: Final = "measure"
IDLE: Final = "idle"
DRAIN: Final = "drain"
PHASES: Final = (WARM_UP, RAMP, MEASURE, IDLE, DRAIN)
"""What a stretch of a run is for; only what was measured enters the figures of the verdict."""


@attrs.define(kw_only=True)
class Interval:
    """What was counted between two times, all of it in one phase and one window."""

    from_s: float
    """Seconds since the run's start, as the next."""
    to_s: float
    phase: str = MEASURE
    window: int = 0
    """Counts up with every reset and every live change of the load."""
    stage: int = 0
    """Which stage of the load, from 0."""
    level_from: float = 0.0
    """Parallelism, or requests per second, at the start; what the load was asked for."""
    level_to: float = 0.0
    cpu_s: float = 0.0
    """Seconds of CPU that the client's process took in it."""
    outstanding: int = 0
    """Requests without an answer at its end."""
    queues: dict[str, Aggregate] = attrs.Factory(dict)

    @property
    def duration_s(self) -> float:
        """Its length."""
        return self.to_s - self.from_s

    @property
    def whole(self) -> Aggregate:
        """All queues together; not to be changed."""
        return merged(list(self.queues.values()))
