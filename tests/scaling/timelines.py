"""Runs with an autoscaler, made by hand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from scalab.scaling.observed import Sample, Target, WorkerLife

TARGET = Target(items=1.0, minimum=1, maximum=10)


def sample(at_s: float, demand: int, desired: int, ready: int | None = None, **more: Any) -> Sample:
    """A sample in a closed loop: the level is the demand; ready ones are connected."""
    up = desired if ready is None else ready
    told: dict[str, Any] = {"level": float(demand), "connected": float(up), **more}
    if "waiting" not in told:
        told["waiting"] = max(demand - up, 0)
    return Sample(at_s=at_s, running=demand - told["waiting"], desired=desired, ready=up, **told)


def timeline(rows: Iterable[tuple[int, ...]]) -> list[Sample]:
    """Samples of (time, demand, desired, ready)."""
    return [sample(*row) for row in rows]


CLEAN = timeline(
    [
        (0, 1, 1, 1),
        (10, 4, 1, 1),  # demand rises
        (20, 4, 4, 1),  # asked for
        (30, 4, 4, 2),  # the first one is ready
        (40, 4, 4, 4),  # all are
        (50, 4, 4, 4),
        (60, 1, 4, 4),  # demand falls
        (70, 1, 1, 4),
        (80, 1, 1, 1),
    ]
)
"""One rise, followed as it should be, and one scale-down."""

LIVES = [
    WorkerLife(name="w-1", asked_s=0, ready_s=0, first_item_s=0),
    WorkerLife(
        name="w-2", asked_s=19, created_s=20, scheduled_s=22, ready_s=29, first_item_s=31, gone_s=75
    ),
    WorkerLife(
        name="w-3", asked_s=19, created_s=21, scheduled_s=26, ready_s=38, first_item_s=39, gone_s=75
    ),
    WorkerLife(name="w-4", asked_s=19, ready_s=38, first_item_s=39, gone_s=75),
]
