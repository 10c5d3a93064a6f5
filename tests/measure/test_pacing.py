"""The closed loop against a model that looks at every lane."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import assume, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from scalab.measure.pacing import ClosedLoop, Pacer

PARALLEL_MAX = 8


@attrs.define(eq=False)
class Lane:
    """One of the naive model's lanes."""

    due: float
    busy: bool = False


class ClosedLoopMachine(RuleBasedStateMachine):
    """Time is in whole seconds, so that the model and the pacer compare exactly."""

    @initialize(
        parallel=st.integers(-1, PARALLEL_MAX + 2),
        delay=st.integers(0, 3),
        requests=st.none() | st.integers(0, 40),
    )
    def start(self, parallel: int, delay: int, requests: int | None) -> None:
        self.now = 100.0
        self.delay = delay
        self.left = requests
        self.parallel = min(max(parallel, 0), PARALLEL_MAX)
        self.lanes = [Lane(self.now) for _ in range(self.parallel)]
        self.pacer: Pacer = ClosedLoop(parallel, PARALLEL_MAX, delay, self.now, requests)

    def idle(self) -> list[Lane]:
        return sorted((lane for lane in self.lanes if not lane.busy), key=lambda lane: lane.due)

    def busy(self) -> list[Lane]:
        return [lane for lane in self.lanes if lane.busy]

    @rule(seconds=st.integers(0, 4))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def take(self) -> None:
        ready = [lane for lane in self.idle() if lane.due <= self.now][: self.left]
        for lane in ready:
            lane.busy = True
        if self.left is not None:
            self.left -= len(ready)
        assert self.pacer.take(self.now) == len(ready)
        assert self.pacer.take(self.now) == 0  # they were taken

    @precondition(lambda self: self.busy())
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        n = data.draw(st.integers(1, len(self.busy())))
        for lane in self.busy()[:n]:
            lane.busy = False
            lane.due = self.now + self.delay
            if len(self.lanes) > self.parallel:
                self.lanes.remove(lane)
        self.pacer.finished(self.now, n)

    @rule(n=st.integers(-2, PARALLEL_MAX + 3))
    def set_parallel(self, n: int) -> None:
        self.parallel = min(max(n, 0), PARALLEL_MAX)
        assert self.pacer.set_parallel(n, self.now) == self.parallel
        while len(self.lanes) > self.parallel and self.idle():
            self.lanes.remove(self.idle()[-1])
        while len(self.lanes) < self.parallel:
            self.lanes.append(Lane(self.now))

    @rule()
    def until_due(self) -> None:
        """What next_due promises comes true then, and not before."""
        due = self.pacer.next_due(self.now)
        assume(due is not None)
        assert due is not None
        assert due == max(self.idle()[0].due, self.now)
        if due > self.now:
            assert self.pacer.take(due - 0.5) == 0
        self.now = due
        assert any(lane.due <= due for lane in self.idle())
        before = self.pacer.in_flight
        self.take()
        assert self.pacer.in_flight > before

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "pacer"):
            return
        assert self.pacer.in_flight == len(self.busy())
        assert self.pacer.parallel == self.parallel
        assert self.pacer.exhausted == (self.left == 0)
        may_ever_send = self.idle() and self.left != 0
        assert (self.pacer.next_due(self.now) is not None) == bool(may_ever_send)


TestClosedLoop = ClosedLoopMachine.TestCase


def test_a_lane_rests_after_each_request() -> None:
    pacer = ClosedLoop(2, 2, 0.5, now=10.0)
    assert pacer.take(10.0) == 2
    assert pacer.next_due(10.0) is None
    pacer.finished(11.0)
    assert pacer.take(11.4) == 0
    assert pacer.next_due(11.4) == 11.5
    assert pacer.take(11.5) == 1
    assert pacer.in_flight == 2


def test_raising_takes_effect_at_once_and_lowering_lets_requests_finish() -> None:
    pacer = ClosedLoop(2, 8, 1.0, now=0.0)
    assert pacer.take(0.0) == 2
    assert pacer.set_parallel(5, 0.0) == 5
    assert pacer.take(0.0) == 3
    assert pacer.set_parallel(1, 0.0) == 1
    assert pacer.in_flight == 5
    pacer.finished(0.0, 4)
    assert pacer.next_due(9.0) is None
    pacer.finished(1.0)
    assert pacer.next_due(1.0) == 2.0
    assert pacer.take(2.0) == 1


def test_the_number_of_requests_is_kept() -> None:
    pacer = ClosedLoop(3, 3, 0.0, now=0.0, requests=4)
    assert pacer.take(0.0) == 3
    pacer.finished(0.0, 3)
    assert pacer.take(0.0) == 1
    assert pacer.exhausted
    pacer.finished(0.0)
    assert pacer.take(1.0) == 0
    assert pacer.next_due(1.0) is None
    assert pacer.in_flight == 0


@pytest.mark.parametrize(
    "numbers", [{"parallel_max": -1}, {"delay_s": -0.1}, {"requests": -1}], ids=str
)
def test_negative_numbers_are_refused(numbers: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="negative"):
        ClosedLoop(**{"parallel": 1, "parallel_max": 1, "delay_s": 0, "now": 0, **numbers})


@pytest.mark.parametrize("n", [2, -1])
def test_more_than_is_in_flight_cannot_finish(n: int) -> None:
    pacer = ClosedLoop(4, 4, 0.0, now=0.0, requests=1)
    assert pacer.take(0.0) == 1
    with pytest.raises(ValueError, match="in flight"):
        pacer.finished(0.0, n)
    assert pacer.in_flight == 1
