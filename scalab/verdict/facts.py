"""What self-checks look at, and the form that each of them has."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import attrs

from scalab.measure.aggregate import Aggregate, PlaceAggregate
from scalab.measure.counts import OTHERS
from scalab.measure.window import Window
from scalab.protocol.text import printable

from .results import State

Finding = tuple[State, str]
"""What a check finds: ``Checked`` without its name."""


@attrs.frozen(kw_only=True)
class Facts:
    """A measuring window, and what else is known of the run."""

    window: Window
    open_loop: bool
    """Whether the load was a rate."""
    poisson: bool = False
    """Whether its arrivals were random."""
    clients: int = 1
    """Whose runs the window is made of; their CPU time adds up in it."""
    lag_max_s: float | None = None
    """The longest that the client's event loop was late, in seconds; None if unknown."""
    aborted: int = 0
    """Requests given up when the run ended; those counted in the window needn't be added."""
    oldest_s: float | None = None
    """For how long the oldest of these had had no answer, in seconds; None if unknown."""
    unwritten: int = 0
    """Records that could not be written to the run file."""
    truncated: bool = False
    """Whether the run file has no end, because the client was killed."""
    notes: tuple[str, ...] = ()
    """What is doubtful about merging the runs of several clients; one line each."""

    @cached_property
    def whole(self) -> Aggregate:
        """All queues together; not to be changed."""
        return self.window.whole

    def by_queue(self) -> dict[str, Facts]:
        """Return what is known of each queue: places that serve different ones do other work."""
        if len(self.window.queues) < 2:
            return {"": self}
        return {
            f"queue {printable(name, 64)}: ": attrs.evolve(
                self, window=attrs.evolve(self.window, queues={name: aggregate})
            )
            for name, aggregate in sorted(self.window.queues.items())
        }

    @property
    def places(self) -> tuple[str, dict[str, PlaceAggregate]]:
        """What shares the work and is told apart: devices, or pods where no device is named."""
        kind = "devices" if self.whole.devices else "pods"
        places: dict[str, PlaceAggregate] = getattr(self.whole, kind)
        return kind, {name: place for name, place in places.items() if name != OTHERS}


@attrs.frozen(kw_only=True)
class Check:
    """One question about whether a run's figures can be trusted."""

    name: str
    question: str
    caveat: str
    """When there is one; "" for never."""
    invalid: str
    """When the run is invalid; "" for never."""
    find: Callable[[Facts], Finding]


def percent(limit: float) -> str:
    """Write a limit that is a share.

    >>> percent(0.05)
    '5 %'
    """
    return f"{100 * limit:.0f} %"
