"""What a terminal view sees of a run, and what it may ask of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from scalab.measure.statistics import Statistics
from scalab.verdict.results import Checked, Judged


class Throughput(Protocol):
    """Completions per second, and how sure that is; see ``scalab.measure.batches.Estimate``."""

    @property
    def mean(self) -> float:
        """The best estimate."""

    @property
    def low(self) -> float | None:
        """The confidence interval; None when it is unknown."""

    @property
    def high(self) -> float | None:
        """The confidence interval; None when it is unknown."""


class Watched(Protocol):
    """A run at work. All of it but ``statistics`` is cheap, and none of it waits."""

    @property
    def title(self) -> str:
        """The names of its queues."""

    @property
    def run_id(self) -> str:
        """8 hexadecimal digits."""

    @property
    def phase(self) -> str:
        """``warm-up``, ``ramp``, ``measure``, ``idle`` or ``drain``; "" before it has begun."""

    @property
    def elapsed_s(self) -> float:
        """Since the start of the run."""

    @property
    def remaining_s(self) -> float | None:
        """Until its end; None if that isn't a matter of time."""

    @property
    def open_loop(self) -> bool:
        """Whether a rate is asked for, and not a number of requests in parallel."""

    @property
    def level(self) -> float:
        """What is asked for now: requests per second, or in parallel."""

    @property
    def level_max(self) -> float:
        """The most that can be asked for; 0 = no limit."""

    @property
    def recent_rate(self) -> float:
        """Completions per second over the last two seconds or so."""

    @property
    def recent_failure_rate(self) -> float:
        """Failed requests per second, likewise."""

    @property
    def rates(self) -> Sequence[float]:
        """Completions in each of the last 60 seconds, the latest last."""

    @property
    def in_flight(self) -> int:
        """Requests without an answer."""

    @property
    def connected(self) -> bool:
        """Whether there is a frontend to send to."""

    @property
    def paused(self) -> bool:
        """Whether nothing is sent because somebody asked for that."""

    @property
    def events(self) -> Sequence[str]:
        """What happened, for people, the latest last."""

    def statistics(self, *, places: bool = True) -> Statistics:
        """Return what was measured so far, or what there is of the present phase before that.

        Args:
            places: Include nodes, devices and pods, which takes longer.
        """

    def throughput(self) -> Throughput | None:
        """Return how much was measured, and how sure that is; None while nothing is known."""

    def checks(self) -> Sequence[Checked]:
        """Return what the self-checks find."""

    def judged(self) -> Sequence[Judged]:
        """Return what has become of the thresholds so far."""

    def set_level(self, level: float) -> object:
        """Ask for another rate or number in parallel.

        Raises:
            ScalabError: The run can't do that; the text says why.
        """

    def pause(self) -> object:
        """Send nothing, until ``resume``."""

    def resume(self) -> object:
        """Send again."""

    def reset(self) -> object:
        """Start a new measuring window."""

    def stop(self) -> object:
        """End the run in an orderly way, as the first signal does."""


def describe_level(level: float, *, open_loop: bool) -> str:
    """Say what is asked for.

    >>> describe_level(52.5, open_loop=True), describe_level(50, open_loop=False)
    ('52.5/s', '50 in parallel')
    """
    if not open_loop:
        return f"{round(level):,} in parallel"
    return f"{level:,.0f}/s" if level >= 10_000 else f"{level:.4g}/s"


def is_crossed(judged: Judged) -> bool:
    """Whether something was measured that crosses a threshold; at first, nothing is."""
    return not judged.ok and not judged.value.startswith("no data")


def is_odd(check: Checked) -> bool:
    """Whether a self-check found something that is news while the run goes on.

    That too little was measured is none: it is so at first, and more comes.
    """
    return check.state in {"caveat", "invalid"} and check.name != "window"
