"""What a run is to do: queues, load, what is left out and what is asked of the result."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import ClassVar, Final, Literal

import attrs

from scalab.protocol.text import printable

from .curve import Stage
from .fields import FieldError, check_number, check_seconds
from .placeholders import check_draw
from .stages import MAX_STAGES
from .units import PARALLEL_MAX, Kind, exact, format_duration

Order = Literal["random", "sequence"]
Arrival = Literal["constant", "poisson"]

DEFAULT_IN_FLIGHT: Final = 10_000
DEFAULT_CATCH_UP_S: Final = 10.0

MAX_QUEUES: Final = 100
MAX_THRESHOLDS: Final = 1000
MAX_NAME: Final = 64
"""Characters of a queue's name: what a frontend serves."""
MAX_TITLE: Final = 200
"""Characters of a scenario's name."""
MAX_WEIGHT: Final = 1e6
MAX_REQUESTS: Final = 2**53
"""Counts up to here are exact as floats, too."""
MAX_SEED: Final = 2**53 - 1
"""Every reader of JSON keeps integers up to here."""
_TOLERANCE_S: Final = 0.001
"""Durations that differ by less were meant to be the same."""


@attrs.frozen(kw_only=True)
class QueueLoad:
    """What is sent to one queue.

    Raises:
        FieldError: A field can't be used.
    """

    name: str
    weight: float = 1.0
    """Its share of all requests, as a number beside those of other queues."""
    args: tuple[str, ...] = ()
    """Arguments of each request; ``{column}`` stands for what is drawn."""
    limit_s: float = 0.0
    """Run-time limit of each request; 0 = the backend's own."""
    rows: tuple[dict[str, str], ...] = ()
    """What to draw from, by column; empty = nothing is drawn."""
    order: Order = "random"

    def __attrs_post_init__(self) -> None:
        if not (0 < len(self.name) <= MAX_NAME and self.name.isprintable()):
            raise FieldError(("name",), f"give 1 to {MAX_NAME} printable characters")
        if not 0 < self.weight <= MAX_WEIGHT:
            text = f"{self.weight:g} is no weight; give more than 0, at most {MAX_WEIGHT:.0f}"
            raise FieldError(("weight",), text)
        check_seconds("limit", self.limit_s)
        check_draw(self.args, self.rows)
        if self.order not in {"random", "sequence"}:
            raise FieldError(("draw", "order"), _no_choice(self.order, "random or sequence"))


@attrs.frozen(kw_only=True)
class _StagedLoad:
    """What both kinds of load have."""

    kind: ClassVar[Kind]
    """What the levels are: requests in parallel, or requests per second."""
    stages: tuple[Stage, ...]

    @property
    def is_open(self) -> bool:
        """Whether requests are sent at a rate, whatever becomes of those before."""
        return self.kind == "open"

    @property
    def highest(self) -> float:
        """The highest level of the stages."""
        return max(max(stage.start, stage.end) for stage in self.stages)

    @property
    def stages_s(self) -> float:
        """How long the stages last; infinite if the last one has no end."""
        return math.fsum(stage.duration_s for stage in self.stages)

    def _check_stages(self) -> None:
        if not 0 < len(self.stages) <= MAX_STAGES:
            raise FieldError(("stages",), f"give 1 to {MAX_STAGES} stages")
        if any(stage.duration_s == math.inf for stage in self.stages[:-1]):
            raise FieldError(("stages",), "only the last one can be without end")


@attrs.frozen(kw_only=True)
class ClosedLoad(_StagedLoad):
    """So many requests in parallel: each is followed by the next when it has ended.

    Raises:
        FieldError: A field can't be used.
    """

    kind = "closed"
    parallel_max: int = 0
    """The most that can be asked for while it runs; 0 = the highest level, but 1 at least."""
    delay_s: float = 0.0
    """Between the end of a request and the next of the same lane."""
    spread_s: float = 0.0
    """Time over which requests that may start at once are spread."""

    def __attrs_post_init__(self) -> None:
        self._check_stages()
        for i, stage in enumerate(self.stages):
            if not (float(stage.start).is_integer() and float(stage.end).is_integer()):
                text = f"stage {i + 1} has a part of a request in parallel; for a rate write 1.5/s"
                raise FieldError(("stages",), text)
        check_number("parallel-max", self.parallel_max, 0, PARALLEL_MAX)
        if 0 < self.parallel_max < self.highest:
            text = f"{self.parallel_max} is less than the {self.highest:.0f} asked for"
            raise FieldError(("parallel-max",), text)
        check_seconds("delay", self.delay_s)
        check_seconds("spread", self.spread_s)

    @property
    def most_parallel(self) -> int:
        """The most that can be in parallel: the limit in force."""
        return max(self.parallel_max, int(self.highest), 1)


@attrs.frozen(kw_only=True)
class OpenLoad(_StagedLoad):
    """Requests at a rate, whatever becomes of those before.

    Raises:
        FieldError: A field can't be used.
    """

    kind = "open"
    arrival: Arrival = "constant"
    max_in_flight: int = DEFAULT_IN_FLIGHT
    catch_up_s: float = DEFAULT_CATCH_UP_S
    """How late a request may be sent; one that is due for longer is dropped and counted."""

    def __attrs_post_init__(self) -> None:
        self._check_stages()
        if self.arrival not in {"constant", "poisson"}:
            raise FieldError(("arrival",), _no_choice(self.arrival, "constant or poisson"))
        check_number("max-in-flight", self.max_in_flight, 1, PARALLEL_MAX)
        check_seconds("catch-up", self.catch_up_s)

    def arrivals_by_stage(self, end_s: float) -> list[Fraction | None]:
        """Return exactly how many arrivals are expected by the end of each stage.

        It is the integral of the rate; constant arrivals are that, rounded up. None if the last
        stage has no end.

        Args:
            end_s: When the last stage is over, if it has no end of its own.
        """
        arrivals, begin = Fraction(0), Fraction(0)
        counts: list[Fraction | None] = []
        for stage in self.stages:
            if stage.duration_s < math.inf:
                duration = exact(stage.duration_s)
            elif end_s < math.inf:
                duration = exact(end_s) - begin
            else:
                return [*counts, None]
            arrivals += (exact(stage.start) + exact(stage.end)) / 2 * duration
            begin += duration
            counts.append(arrivals)
        return counts


@attrs.frozen(kw_only=True)
class Scenario:
    """A run, as it was asked for; the same scenario and seed make the same run.

    Raises:
        FieldError: A field can't be used, or contradicts another.
    """

    queues: tuple[QueueLoad, ...]
    load: ClosedLoad | OpenLoad
    name: str = ""
    warm_up_s: float = 0.0
    """Left out of the figures, at the start of the run: the stages' clock runs during it, too."""
    duration_s: float = 0.0
    """When the run ends; 0 = after the last stage, or when stopped if that has no end."""
    requests: int = 0
    """The run ends after so many requests; 0 = never for this reason."""
    thresholds: tuple[str, ...] = ()
    seed: int = 0

    def __attrs_post_init__(self) -> None:
        if not (len(self.name) <= MAX_TITLE and (self.name.isprintable() or not self.name)):
            raise FieldError(("name",), f"give at most {MAX_TITLE} printable characters")
        self._check_queues()
        check_number("seed", self.seed, 0, MAX_SEED)
        check_number("requests", self.requests, 0, MAX_REQUESTS)
        check_seconds("warm-up", self.warm_up_s)
        check_seconds("duration", self.duration_s)
        self._check_times()
        if len(self.thresholds) > MAX_THRESHOLDS:
            raise FieldError(("thresholds",), f"give at most {MAX_THRESHOLDS}")

    @property
    def end_s(self) -> float:
        """When the run ends by the clock, warm-up included; infinite = when it is stopped."""
        return min(self.duration_s or math.inf, self.load.stages_s)

    @property
    def arrivals_expected(self) -> int | None:
        """Requests that an open loop is to send in all.

        None in a closed loop, where that depends on how long they take, and if there is no end.
        """
        if not isinstance(self.load, OpenLoad):
            return None
        arrivals = self.load.arrivals_by_stage(self.end_s)[-1]
        if arrivals is None:
            return self.requests if self.requests and self.load.stages[-1].end else None
        return min(math.ceil(arrivals), self.requests or math.ceil(arrivals))

    def _check_queues(self) -> None:
        if not 0 < len(self.queues) <= MAX_QUEUES:
            raise FieldError(("queues",), f"give 1 to {MAX_QUEUES} queues")
        names: set[str] = set()
        for i, queue in enumerate(self.queues):
            if queue.name in names:
                raise FieldError(("queues", i, "name"), f"'{queue.name}' is there twice")
            names.add(queue.name)

    def _check_times(self) -> None:
        stages_s, duration_s = self.load.stages_s, self.duration_s
        if duration_s and stages_s < math.inf and abs(duration_s - stages_s) > _TOLERANCE_S:
            text = f"{format_duration(duration_s)}, but the stages last {format_duration(stages_s)}"
            raise FieldError(("duration",), f"{text}; leave it out, or change the stages")
        begin_s = math.fsum(stage.duration_s for stage in self.load.stages[:-1])
        if 0 < duration_s <= begin_s:
            text = f"{format_duration(duration_s)} end before the last stage begins"
            raise FieldError(("duration",), f"{text}, at {format_duration(begin_s)}")
        if self.warm_up_s >= self.end_s:
            text = f"{format_duration(self.warm_up_s)} leave nothing to measure"
            raise FieldError(("warm-up",), f"{text} of a run of {format_duration(self.end_s)}")


def _no_choice(value: str, choices: str) -> str:
    return f"'{printable(value, 60)}' can't be; write {choices}"
