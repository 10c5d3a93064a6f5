"""The records of a run file, in the order in which they come."""

from __future__ import annotations

from typing import Final

import attrs

from scalab.load.scenario import Scenario
from scalab.measure.interval import Interval
from scalab.scaling.model import Decision, StepResult, Validation
from scalab.verdict.results import Checked, Judged

__all__ = (
    "FORMAT",
    "Checked",
    "Decision",
    "End",
    "Environment",
    "Event",
    "Header",
    "Judged",
    "Record",
    "StepResult",
    "Validation",
)

FORMAT: Final = 1
"""Raised when a reader of the format before would misread a file."""


@attrs.frozen(kw_only=True)
class Environment:
    """Where the client ran."""

    host: str = ""
    node: str = ""
    pod: str = ""
    python: str = ""
    kernel: str = ""
    cpus: int = 0


@attrs.frozen(kw_only=True)
class Header:
    """The first record: what was asked for, by whom, and when."""

    format: int = FORMAT
    id: str
    """8 hexadecimal digits."""
    started_at: str
    """ISO 8601 with milliseconds, UTC."""
    scalab: str
    """The version that wrote the file."""
    scenario: Scenario
    environment: Environment = Environment()
    command: tuple[str, ...] = ()
    interval_s: float = 1.0


@attrs.frozen(kw_only=True)
class Event:
    """Something that happened at one moment."""

    at_s: float
    kind: str
    """``load``, ``reset``, ``connected``, ``disconnected`` or ``threshold``."""
    text: str
    """For people: one line."""
    level: float | None = None
    """The level asked for, of a change of load."""


@attrs.frozen(kw_only=True)
class End:
    """The last record; missing when the client was killed."""

    at_s: float
    reason: str
    """``time``, ``requests``, ``stopped``, ``threshold`` or ``error``."""
    error: str = ""
    thresholds: tuple[Judged, ...] = ()
    checks: tuple[Checked, ...] = ()


Record = Header | Event | Interval | StepResult | Decision | Validation | End
