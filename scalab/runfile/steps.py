"""A validation's records: its steps, the decisions between them, and what they come to.

A validation's file is a client's run file with these among its records. A ``step`` is written when
it was measured, a ``decision`` when it was made, and a ``validation`` at the end: it has neither
steps nor decisions in it, which stand before it. If there are several, the last one counts.
"""

from __future__ import annotations

import math
from typing import Final

import attrs

from scalab.scaling.model import Decision, StepResult, Validation

from .counted import WrongError, count_from, list_from

MAX_STEPS: Final = 100
"""Steps of a file, and decisions; doubling from 1, there are about ten."""

Bar = tuple[float, float, int]
"""A step of a place's histogram: from, to, count."""


def finite_from(value: object) -> float:
    """Return a figure: a number of 0 or more.

    Raises:
        WrongError: It is none.
    """
    if type(value) is not int and type(value) is not float:
        raise WrongError("a number")
    if not 0 <= value < math.inf:
        raise WrongError("0 or more")
    return float(value)


def batches_from(value: object) -> float:
    """Return the batches that an estimate rests on: null, which stands for infinity, or so many.

    Raises:
        WrongError: It is neither.
    """
    return math.inf if value is None else finite_from(value)


def bar_from(value: object) -> Bar:
    """Return a step of a place's histogram.

    Raises:
        WrongError: It is none.
    """
    fields = list_from(value)
    if len(fields) != 3:
        raise WrongError("a list of [from, to, count]")
    return finite_from(fields[0]), finite_from(fields[1]), count_from(fields[2])


@attrs.define
class Steps:
    """What was recorded of a validation so far."""

    steps: list[StepResult] = attrs.Factory(list)
    decisions: list[Decision] = attrs.Factory(list)
    last: Validation | None = None

    def add(self, record: StepResult | Decision | Validation) -> None:
        """Add the next record."""
        match record:
            case StepResult():
                self.steps.append(record)
            case Decision():
                self.decisions.append(record)
            case Validation():
                self.last = record

    def check(self, record: StepResult | Decision | Validation) -> None:
        """Check the next record, before it is added.

        Raises:
            ValueError: It can't be the next one; the message says why.
        """
        kept = self.steps if isinstance(record, StepResult) else self.decisions
        if len(kept) >= MAX_STEPS and not isinstance(record, Validation):
            raise ValueError(f"there are more than {MAX_STEPS} steps or decisions")
        if isinstance(record, StepResult):
            if record.workers < 1:
                raise ValueError("workers must be 1 or more")
            if record.to_s < record.from_s:
                raise ValueError("to_s is before from_s")

    @property
    def validation(self) -> Validation | None:
        """The verdict with its steps and decisions; None if there is none yet."""
        if self.last is None:
            return None
        return attrs.evolve(self.last, steps=tuple(self.steps), decisions=tuple(self.decisions))
