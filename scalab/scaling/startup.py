"""How long new workers take from being asked for to their first item, part by part."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from statistics import median
from typing import Final

import attrs

from .observed import WorkerLife


@attrs.frozen
class Part:
    """A part of the way, over all workers of which both ends were seen."""

    name: str
    workers: int
    median_s: float
    longest_s: float


@attrs.frozen
class Startup:
    """The way of new workers to their first item."""

    parts: tuple[Part, ...] = ()
    """Those that were seen, in order."""


_TIMES: Final[tuple[tuple[str, Callable[[WorkerLife], float | None]], ...]] = (
    ("asked", lambda life: life.asked_s),
    ("created", lambda life: life.created_s),
    ("scheduled", lambda life: life.scheduled_s),
    ("ready", lambda life: life.ready_s),
    ("first item", lambda life: life.first_item_s),
)


def find_startup(lives: Iterable[WorkerLife]) -> Startup:
    """Return how long each part took: from each time that is known to the next known one."""
    seen: dict[str, list[float]] = {}
    for life in lives:
        for name, seconds in _parts(life):
            seen.setdefault(name, []).append(seconds)
    order = [f"{a} to {b}" for i, (a, _) in enumerate(_TIMES) for b, _ in _TIMES[i + 1 :]]
    return Startup(
        tuple(
            Part(name, len(seen[name]), median(seen[name]), max(seen[name]))
            for name in order
            if name in seen
        )
    )


def _parts(life: WorkerLife) -> Iterator[tuple[str, float]]:
    """Yield the parts of one worker's way; steps that nobody saw are within their neighbours."""
    known = [(name, at_s) for name, time in _TIMES if (at_s := time(life)) is not None]
    for (before, from_s), (after, to_s) in pairwise(known):
        yield f"{before} to {after}", max(to_s - from_s, 0.0)
