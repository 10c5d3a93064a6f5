"""Whether records belong to one run, and can follow one another."""

from __future__ import annotations

from scalab.measure.interval import Interval

from .counted import MAX_FAILURE_KINDS
from .records import Decision, End, Header, Record, StepResult, Validation
from .steps import Steps

_ROUNDED_S = 2e-6  # the end of an interval and the start of the next one are rounded each


class Order:
    """Checks the records of a file, one by one.

    It also refuses what would make a reader's memory grow with the file, and can't be ours.

    Args:
        header: The file's.
    """

    def __init__(self, header: Header) -> None:
        self._queues = {queue.name for queue in header.scenario.queues}
        self._kinds: set[str] = set()
        self._to_s = 0.0
        self._ended = False
        self._steps = Steps()

    def check(self, record: Record) -> None:
        """Check the next record.

        Raises:
            ValueError: It can't be the next one; the message says why.
        """
        if self._ended:
            raise ValueError("the run has ended in an earlier line, so nothing can follow")
        self._ended = isinstance(record, End)
        if isinstance(record, Interval):
            self._check_interval(record)
        elif isinstance(record, StepResult | Decision | Validation):
            self._steps.check(record)
            self._steps.add(record)

    def _check_interval(self, interval: Interval) -> None:
        if interval.from_s < self._to_s - _ROUNDED_S:
            raise ValueError(f"from_s goes back in time, from {self._to_s} to {interval.from_s}")
        self._to_s = interval.to_s
        if not interval.queues.keys() <= self._queues:
            raise ValueError("queues must be of the run's scenario")
        for aggregate in interval.queues.values():
            self._kinds.update(aggregate.failures)
        if len(self._kinds) > MAX_FAILURE_KINDS:
            raise ValueError(f"failures are of more than {MAX_FAILURE_KINDS} kinds")
