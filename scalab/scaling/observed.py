"""What is seen of an autoscaler at work: samples of the queue and the workers, and their lives."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import attrs

from scalab.errors import ConfigError

ROUNDING = 1e-9
"""Room for the rounding errors of a division: 3.3 / 1.1 is 3, not a little more."""


@attrs.frozen(kw_only=True)
class Sample:
    """The system at one time. Counts go up from the run's start, and start again with a restart."""

    at_s: float
    """Seconds since the run's start."""
    level: float
    """What the load was asked for: requests in parallel, or per second."""
    waiting: int
    """Items in the queue."""
    running: int
    """Items on workers."""
    desired: int
    """Workers that the autoscaler asks for."""
    ready: int
    """Workers that are up, as far as the scaler knows."""
    connected: float
    """Workers that can take work: the frontend's slots by the slots of a worker."""
    oldest_s: float = 0.0
    """For how long the oldest item in the queue had been waiting."""
    completed: int = 0
    """Requests that ended in any way."""
    failed: int = 0
    """Of them, those that ended in a failure or at their limit; ``lost`` ones left out."""
    lost: int = 0
    """Of them, those given up since too many workers vanished with them."""
    redelivered: int = 0
    """Items put back, since their worker vanished or gave them back."""
    cancelled: int = 0
    """Items that their client no longer wanted."""

    @property
    def demand(self) -> int:
        """The metric of the queue that an autoscaler should follow: waiting and running items."""
        return self.waiting + self.running


@attrs.frozen(kw_only=True)
class WorkerLife:
    """The times of one worker, in seconds since the run's start; None = not seen, or not yet."""

    name: str
    asked_s: float
    """When a number of workers was asked for that includes this one."""
    created_s: float | None = None
    scheduled_s: float | None = None
    """When it was given a node."""
    ready_s: float | None = None
    first_item_s: float | None = None
    gone_s: float | None = None


@attrs.frozen(kw_only=True)
class Target:
    """What an autoscaler is to hold: so many items a worker, between two numbers of workers.

    Raises:
        ConfigError: No autoscaler can hold that.
    """

    items: float
    """Waiting and running items per worker."""
    minimum: int = 1
    """Workers."""
    maximum: int
    tolerance: float = 0.1
    """The part by which demand may be off the target before anything is done; 0.1 is the
    default of Kubernetes (``--horizontal-pod-autoscaler-tolerance``)."""

    def __attrs_post_init__(self) -> None:
        if not 0 < self.items < math.inf:
            raise ConfigError(f"target: {self.items:g} items per worker; it must be more than 0")
        if self.minimum < 0:
            raise ConfigError(f"workers: at least {self.minimum}; the least is 0")
        if self.maximum < max(self.minimum, 1):
            raise ConfigError(
                f"workers: at least {self.minimum} and at most {self.maximum}; "
                "the most must be 1 or more, and not less than the least"
            )
        if not 0 <= self.tolerance < 1:
            raise ConfigError(f"tolerance: {self.tolerance:g}; it must be from 0 to less than 1")

    def unlimited(self, demand: float) -> int:
        """Return the workers that hold the target, however many these are: ceil(demand/items)."""
        return math.ceil(demand / self.items - ROUNDING)

    def needed(self, demand: float) -> int:
        """Return the workers that hold the target, within the limits."""
        return self._limited(self.unlimited(demand))

    def tolerated(self, demand: float) -> int:
        """Return the least workers with which demand is no more than tolerably over the target."""
        return self._limited(self.unlimited(demand / (1 + self.tolerance)))

    def _limited(self, workers: int) -> int:
        return min(max(workers, self.minimum), self.maximum)


def stretches(samples: Sequence[Sample]) -> Iterator[tuple[Sample, float]]:
    """Yield each sample with the seconds until the next one; the last stands for none."""
    for sample, later in pairwise(samples):
        yield sample, later.at_s - sample.at_s
