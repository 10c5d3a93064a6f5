"""What a validation is told at its start."""

from __future__ import annotations

from typing import Final

import attrs

from scalab.access.settings import AccessSettings
from scalab.errors import ConfigError
from scalab.runtime.net import Address

MAX_WORKERS: Final = 100_000
MAX_STEPS: Final = 64


@attrs.frozen(kw_only=True)
class ValidateSettings:
    """Validated once, never changed."""

    steps: tuple[int, ...] = (1, 2, 4, 8)
    """Numbers of workers, ascending."""
    ratio: float = 1.8
    """By how much throughput must grow with each doubling of the workers."""
    confidence: float = 0.95
    """Of the decision about each step."""
    per_slot: float = 1.0
    """Requests in parallel for each slot of a worker."""
    time_budget_s: float = 300.0
    """For measuring all steps; bringing up workers comes on top."""
    ready_timeout_s: float = 120.0
    """How long workers may take to come up."""
    drain_timeout_s: float = 60.0
    """How long requests may take to end before the workers are changed."""
    warm_up_s: float = 1.0
    """At least; every worker also has to have finished two requests."""
    failures_max: float = 0.01
    """Share of the requests that may fail."""
    queue: str = "validate"
    args: tuple[str, ...] = ()
    """Of each request."""
    limit_s: float = 0.0
    """Run-time limit of each request; 0 = the backend's own."""
    frontend: Address | None = None
    """Where clients connect; None = a frontend of our own."""
    frontend_workers: Address | None = None
    """Where backends connect; needed only if they run on this machine."""
    frontend_http: Address | None = None
    """Where it listens for HTTP; None = port 9998 of the same host."""
    client: Address | None = None
    """Control port of a client that makes the load; None = a load of our own."""
    control_addr: Address | None = None
    """Where our own control port is; None = nowhere."""
    allow_hosts: tuple[str, ...] = ()
    """Further names under which browsers may ask for its page."""
    access: AccessSettings = attrs.Factory(AccessSettings)
    min_window_s: float = 10.0
    """Each step is measured for so long at least."""
    out: str = ""
    """Where the run file goes; "" = nowhere."""
    command: tuple[str, ...] = ()
    """The command line, for the record."""

    def __attrs_post_init__(self) -> None:
        """Refuse what can't work.

        Raises:
            ConfigError: Names the option.
        """
        if not 2 <= len(self.steps) <= MAX_STEPS:
            raise ConfigError(f"--steps: give 2 to {MAX_STEPS} numbers of workers, such as 1,2,4")
        if not all(0 < a < b for a, b in zip(self.steps, self.steps[1:], strict=False)):
            raise ConfigError("--steps: numbers of workers must be above 0 and ascending")
        if self.steps[-1] > MAX_WORKERS:
            raise ConfigError(f"--steps: {self.steps[-1]} workers are more than {MAX_WORKERS}")
        if not 1 < self.ratio <= 2:
            text = f"--ratio {self.ratio:g}: give what a doubling must bring, above 1 and at most 2"
            raise ConfigError(text)
        if not 0.5 <= self.confidence < 1:
            raise ConfigError("--confidence: give a share from 0.5 to below 1, such as 0.95")
        if not 0.1 <= self.per_slot <= 1000:
            raise ConfigError("--per-slot: give 0.1 to 1000 requests for each slot")

    def parallel(self, workers: int, slots_per_worker: int) -> int:
        """Return how many requests are in parallel with so many workers."""
        return max(round(workers * slots_per_worker * self.per_slot), 1)


def doubled(most: int) -> tuple[int, ...]:
    """Return 1, 2, 4 … and ``most``.

    >>> doubled(6)
    (1, 2, 4, 6)
    """
    counts = [1]
    while counts[-1] * 2 < most:
        counts.append(counts[-1] * 2)
    return (*counts, most) if most > counts[-1] else tuple(counts)
